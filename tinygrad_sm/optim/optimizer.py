"""What all optimisers share: the parameters, the loop over them, and the state that a checkpoint keeps."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, TypeAlias

import numpy as np

from tinygrad_sm.display import describe
from tinygrad_sm.effects import note_overwrite
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.errors import ArgumentError, DTypeError, GradientError, ShapeError, StateError, warn
from tinygrad_sm.optim.groups import ParamGroup, divided
from tinygrad_sm.optim.storage import SMALL, Array, FlatStorage, State, held_elsewhere, side_by_side
from tinygrad_sm.state import fitted

CHUNK = 8192  # elements updated by one call; Adam's temporaries for 34,000 left the cache and cost a tenth of a step
MOVES = 20  # how often arrays that were replaced are moved together again, before each is updated where it is
SETTINGS = (bool, int, float, str, tuple, np.generic)

Params: TypeAlias = Iterable[Tensor] | Iterable[Mapping[str, Any]]


class Optimizer:
    """Base of the optimisers: a subclass writes `update` and, if it remembers anything between steps, `start`.

    Args: params: the tensors to train, leaves that require a gradient, or dicts of `params` and what a group of them
    sets for itself (`param_groups`); lr: learning rate, of every group without one of its own, settable at any time.
    Raises ArgumentError for no parameters, one given twice or a negative rate, DTypeError for a setting that is no
    number, GradientError for a parameter without gradient.

    A subclass whose `update` works element by element, in place, may say so: `elementwise = True`. Its small parameters
    then lie side by side in one array and are updated by one call, as arrays of one axis. Both see the settings of the
    group as attributes. Where `start` keeps more with a setting, such as a momentum, `start_settings` names that.
    """

    elementwise: ClassVar[bool] = False
    start_settings: ClassVar[tuple[str, ...]] = ()

    def __init__(self, params: Params, lr: float) -> None:
        self.lr = lr
        self._own: list[dict[str, Any]] = [{}]  # what each group sets for itself
        if not isinstance(params, Iterable):
            remedy = "pass model.parameters(), or a list of tensors"
            raise DTypeError(f"{type(self).__name__}: the parameters are {type(params).__name__}", remedy=remedy)
        given = [params] if isinstance(params, Tensor) else list(params)
        self.params, self._member, self._own = divided(self, given)
        if len(self._own) == 1:  # the rate of a single group is the optimiser's
            self.lr = self._own[0].pop("lr", lr)
        if not self.params:
            raise ArgumentError(f"{self} was given no parameters", remedy="pass model.parameters()")
        self._check_params(self.params, ())
        for group in range(len(self._own)):
            with self.in_group(group):
                self.check_settings()
        self.state = [self._start(group, p.data) for group, p in zip(self._member, self.params, strict=True)]
        self._warnings: set[str] = set()
        self._storages: list[FlatStorage] = []
        self._moves = 0
        self._move_together()

    def __init_subclass__(cls) -> None:
        if {"update", "start"} & vars(cls).keys():  # what is true of another rule need not be true of this one
            cls.elementwise = vars(cls).get("elementwise", False)

    def __setattr__(self, name: str, value: Any) -> None:
        turned_on = name in self.start_settings and "state" in vars(self) and value and not getattr(self, name)
        super().__setattr__(name, value)
        if turned_on:
            self.start_missing()

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Train more parameters from the next step on, such as layers that were frozen until now.

        Args: group: a dict of `params` and what they set for themselves; other settings are the optimiser's, its
        present learning rate too, and schedules go on from that. Raises what the constructor raises, and DTypeError for
        what is no dict; then nothing has changed. A checkpoint is resumed by an optimiser with the same groups.

        >>> from tinygrad_sm import nn, optim
        >>> optimizer = optim.SGD([nn.Parameter([1.0])], lr=0.1)
        >>> optimizer.add_param_group({"params": nn.Parameter([2.0]), "lr": 0.01})
        >>> optimizer.group_rates()
        [0.1, 0.01]
        """
        if not isinstance(group, Mapping):
            what = f"{self}: add_param_group was given {describe(group)}, not a group"
            raise DTypeError(what, remedy='pass {"params": layer.parameters(), "lr": 0.01}, say')
        before, number = self._own, len(self._own)
        params, member, own = divided(self, [group], number)
        self._check_params(params, self.params)
        self._own = [*before, *own]
        try:
            with self.in_group(number):
                self.check_settings()
            state = [self._start(number, p.data) for p in params]
        except BaseException:
            self._own = before
            raise
        self._part()
        self.params, self._member = [*self.params, *params], [*self._member, *member]
        self.state = [*self.state, *state]
        self._moves = 0
        self._move_together()

    def _check_params(self, params: Sequence[Any], others: Sequence[Tensor]) -> None:
        """Refuse what is no leaf that requires a gradient, and what is there twice or among the others."""
        for i, p in enumerate(params, len(others)):
            if not isinstance(p, Tensor):
                raise ArgumentError(f"{self}: parameter {i} is {describe(p)}", remedy="pass model.parameters()")
            if not (p.requires_grad and p.is_leaf):
                remedy = "to train only some, pass [p for p in model.parameters() if p.requires_grad]"
                raise GradientError(f"{self}: parameter {i} is not a leaf that requires a gradient", remedy=remedy)
        if len({id(p) for p in (*params, *others)}) < len(params) + len(others):
            raise ArgumentError(
                f"{self} was given a parameter twice", remedy="model.parameters() has each of them once"
            )

    def start(self, data: Array) -> State:
        """The arrays to keep for a parameter, as they are before its first step; none unless overridden."""
        return {}

    def start_missing(self) -> None:
        """Start what a setting that was turned on after some steps asks to keep; what is kept already stays."""
        self._part()
        for group, p, kept in zip(self._member, self.params, self.state, strict=True):
            whole = {**self._start(group, p.data), **kept}  # in the order in which it would have begun
            kept.clear()
            kept.update(whole)
        self._moves = 0
        self._move_together()

    def update(self, data: Array, g: Array, state: State) -> None:
        """Move `data` in place against its gradient `g`, with the arrays that `start` made."""
        raise TypeError(f"{type(self).__name__} has no update(self, data, g, state): write one")

    def check_settings(self) -> None:
        """Refuse settings that make no sense; each group's own are the attributes while it is asked."""
        self.check_numbers("lr")
        if not self.lr >= 0:
            raise ArgumentError(f"{self}: a negative learning rate", remedy="pass lr=0.1, say")

    def check_numbers(self, *names: str) -> None:
        """Refuse settings that are no numbers."""
        for name in names:
            value = getattr(self, name)
            if not isinstance(value, (int, float, np.number, np.ndarray)):
                what = f"{type(self).__name__}: {name} is {describe(value)}"
                raise DTypeError(what, remedy="pass a number, such as 0.1")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient. Warns where the gradients were used by a step already.

        Args: closure: clears the gradients, computes the loss, goes back and returns it; called before the update, for
        loops that suit `LBFGS` too. Returns its loss.
        """
        loss = closure() if closure else None
        together = [storage for storage in self._storages if storage.gather()]
        others = [storage for storage in self._storages if storage not in together]
        indices = self._alone if not others else _indices_outside(together, len(self.params))
        apart = [i for i in indices if self.params[i].grad is not None]
        if apart or not together:
            self._check([self.params[i] for i in apart], bool(together))
        for storage in together:
            self._update(self._member[storage.indices[0]], storage.data, storage.grad, storage.state)
            note_overwrite(storage.data)
            for p in storage.params:
                p._used_grad = p.grad
        if apart:
            self._step_apart(apart, others)
        return loss

    def _step_apart(self, apart: Sequence[int], storages: Sequence[FlatStorage]) -> None:
        """Update parameters one by one, among them those of storages that cannot be updated as a whole."""
        for storage in storages:
            storage.part()
        for i in apart:
            p = self.params[i]
            assert p.grad is not None
            self._update(self._member[i], p._data, p.grad, self.state[i])
            p._used_grad = p.grad
        note_overwrite(*[self.params[i]._data for i in apart])
        if not all(storage.holds() for storage in storages):
            self._move_together()
        else:
            for storage in storages:
                storage.join()

    def _update(self, group: int, data: Array, g: Array, state: State) -> None:
        if self._own[group]:
            with self.in_group(group):
                self.update(data, g, state)
        else:
            self.update(data, g, state)

    def _start(self, group: int, data: Array) -> State:
        with self.in_group(group):
            return self.start(data)

    @contextmanager
    def in_group(self, group: int) -> Iterator[None]:
        """Have the settings of a group as attributes, and keep what becomes of its own ones."""
        own = self._own[group]
        before = {name: getattr(self, name) for name in own if hasattr(self, name)}
        for name, value in own.items():
            super().__setattr__(name, value)  # which turns nothing on in the other groups
        try:
            yield
        finally:
            for name in own:
                own[name] = getattr(self, name)
                if name in before:
                    super().__setattr__(name, before[name])
                else:
                    delattr(self, name)

    @property
    def param_groups(self) -> tuple[ParamGroup, ...]:
        """The groups of parameters, of which each is a dict of its settings; one if no groups were given."""
        return tuple([ParamGroup(self, group) for group in range(len(self._own))])

    def group_of(self, i: int) -> int:
        """The number of the group that parameter number i belongs to."""
        return self._member[i]

    def own_settings(self) -> list[dict[str, Any]]:
        """What each group sets for itself; the other settings are the optimiser's attributes."""
        return self._own

    def group_rates(self) -> list[float]:
        """The learning rate of each group."""
        return [own.get("lr", self.lr) for own in self._own]

    def group_numbers(self, names: Sequence[str] = ()) -> list[float]:
        """The learning rate and other numbers of each group, one after another, tuples of them opened."""
        if not names:
            return self.group_rates()
        values = [own.get(name, getattr(self, name)) for own in self._own for name in ("lr", *names)]
        return [each for value in values for each in (value if isinstance(value, tuple) else (value,))]

    def set_group_rates(self, rates: Sequence[float], lr: float | None = None) -> None:
        """Give every group its learning rate; those that had the optimiser's go on to, as long as that is the same.

        Args: lr: the optimiser's; that of the first group without one of its own if None.
        """
        followers = [rate for own, rate in zip(self._own, rates, strict=True) if "lr" not in own]
        self.lr = lr if lr is not None else followers[0] if followers else self.lr
        for own, rate in zip(self._own, rates, strict=True):
            if "lr" in own or rate != self.lr:
                own["lr"] = rate

    def _check(self, params: Sequence[Tensor], others: bool) -> None:
        """Refuse what is no gradient of its parameter, and warn of a step that does nothing or too much."""
        used = False
        for p in params:
            g: Any = p.grad
            if getattr(g, "shape", None) != p.shape or isinstance(g, Tensor):
                remedy = f"assign an array of shape {p.shape}, such as t.data, or None"
                raise ShapeError(
                    f"{self}: grad of a parameter {p.shape} is a {type(g).__name__} {describe(g)}", remedy=remedy
                )
            used = used or p._used_grad is g
        if used:
            self._warn_once(
                "step() uses gradients that a step has used already, and backward() adds to them: "
                "call zero_grad() before each backward()"
            )
        if not (params or others):
            self._warn_once("step() found no gradients: call loss.backward() before it")

    def _move_together(self) -> None:
        """Put small parameters side by side, unless somebody else keeps replacing their arrays or holds them too."""
        self._moves += 1
        self._part()
        small = [i for i, p in enumerate(self.params) if p.size <= SMALL]
        wanted = self._groups(small) if self.elementwise and self._moves <= MOVES else []
        storages = []
        for group in itertools.chain.from_iterable(map(self._chunks, wanted)):
            if side_by_side([self.params[i] for i in group]) is None:
                group = [i for i in group if not held_elsewhere(self.params[i])]
            if len(group) > 1:
                storages.append(self._storage(group))
        self._keep(storages, whole=False)

    def _chunks(self, group: Sequence[int]) -> list[list[int]]:
        """Parts of a group, of at most CHUNK elements."""
        chunks: list[list[int]] = [[]]
        room = CHUNK
        for i in group:
            if self.params[i].size > room:
                chunks.append([])
                room = CHUNK
            chunks[-1].append(i)
            room -= self.params[i].size
        return chunks

    def _part(self) -> None:
        for storage in self._storages:
            storage.part()

    def _keep(self, storages: list[FlatStorage], whole: bool) -> None:
        self._storages, self._whole = storages, whole
        self._alone = _indices_outside(storages, len(self.params))

    def _groups(self, indices: Iterable[int]) -> list[list[int]]:
        """Parameters that can lie side by side: of one group and dtype, with equal counts of steps."""
        groups: dict[Any, list[int]] = {}
        for i in indices:
            data, state = self.params[i].data, self.state[i]
            fresh = self._start(self._member[i], data.reshape(-1))
            kinds = [(name, array.dtype) for name, array in fresh.items()]
            if data.flags.c_contiguous and kinds == [(name, array.dtype) for name, array in state.items()]:
                counts = tuple([state[name].item() for name, array in fresh.items() if array.ndim == 0])
                groups.setdefault((self._member[i], data.dtype, counts), []).append(i)
        return list(groups.values())

    def _storage(self, indices: Sequence[int]) -> FlatStorage:
        start = functools.partial(self._start, self._member[indices[0]])
        return FlatStorage(self.params, self.state, indices, start)

    def flatten(self) -> list[FlatStorage]:
        """All parameters and their state in flat arrays, one storage for each group, dtype and count of steps.

        Arrays and state become views there, and `update(storage.data, storage.grad, storage.state)` moves all of them,
        within `in_group` of the group if it has settings of its own.
        The same storages are returned as long as they hold. None where `update` does not work element by element.
        """
        if not self._whole or any(storage.parted or not storage.holds() for storage in self._storages):
            self._part()
            groups = self._groups(range(len(self.params))) if self.elementwise else []
            self._keep([self._storage(group) for group in groups], whole=True)
        return self._storages

    def settings(self) -> tuple[tuple[str, Any], ...]:
        """Name and value of what the rule is set to, but for the learning rate: numbers, words and tuples of them."""
        other = ("lr", "_moves", "_whole")
        return tuple([pair for pair in vars(self).items() if isinstance(pair[1], SETTINGS) and pair[0] not in other])

    def _warn_once(self, message: str) -> None:
        """Warn of what a loop would otherwise say in every round."""
        if message not in self._warnings:
            self._warnings.add(message)
            warn(f"{self}: {message}")

    def zero_grad(self) -> None:
        """Forget the gradients, so that the next backward starts from nothing."""
        for p in self.params:
            p.grad = None

    def state_dict(self) -> dict[str, Any]:
        """The learning rate and a copy of what is kept for each parameter, as a flat dict: `lr`, `0.velocity`, ...

        Where there are several groups, each has its rate: `groups.0.lr`, ...
        """
        return {"lr": self.lr, **self._named_rates(), **{name: array.copy() for name, array in self._arrays()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned; all of it is checked before anything is changed.

        Raises StateError if it is not the state of such an optimiser over parameters of the same shapes.
        """
        rates = {name: np.array(0.0) for name in ("lr", *self._named_rates())}
        own = {**rates, **dict(self._arrays())}
        self._check_names(state, own)
        remedy = "give the optimiser parameters of the same shapes in the same order"
        values = {name: fitted(state[name], array, f"{self}: {name}", remedy) for name, array in own.items()}
        lr, *others = [values[name].item() for name in rates]
        self.set_group_rates(others or [lr], lr)
        self._part()
        for name, array in self._arrays():
            np.copyto(array, values[name])
        for storage in self._storages:
            storage.join()

    def _check_names(self, state: Any, own: Mapping[str, Any]) -> None:
        """Refuse a state that lacks names or has others."""
        if not isinstance(state, Mapping):
            what = f"{self}: load_state_dict was given {describe(state)}, not a dict"
            raise StateError(what, remedy="pass what state_dict() returned")
        kinds = (
            ("lacks", [name for name in own if name not in state]),
            ("has", [name for name in state if name not in own]),
        )
        wrong = [f"{verb} {_some(names)}" for verb, names in kinds if names]
        if wrong:
            remedy = "pass what state_dict() of such an optimiser, with the same settings and parameters, returned"
            raise StateError(f"{self}: the state {' and '.join(wrong)}", remedy=remedy)

    def _named_rates(self) -> dict[str, float]:
        """The rates of several groups, under the names of a flat dict."""
        rates = self.group_rates()
        return {f"groups.{group}.lr": rate for group, rate in enumerate(rates)} if len(rates) > 1 else {}

    def _arrays(self) -> Iterator[tuple[str, Array]]:
        """What is kept, under the names of a flat dict."""
        return ((f"{i}.{name}", array) for i, kept in enumerate(self.state) for name, array in kept.items())

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle or a copy takes along: what is kept of each parameter, apart from that of the others."""
        state = [{name: array.copy() for name, array in kept.items()} for kept in self.state]
        return {**vars(self), "state": state, "_storages": [], "_own": [dict(own) for own in self._own]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._move_together()

    def __repr__(self) -> str:
        groups = f", {len(self._own)} groups" if len(self._own) > 1 else ""
        return f"{type(self).__name__}(lr={self.lr}{groups})"


def _some(names: Sequence[Any], most: int = 3) -> str:
    shown = ", ".join(map(str, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _indices_outside(storages: Sequence[FlatStorage], count: int) -> list[int]:
    within = {i for storage in storages for i in storage.indices}
    return [i for i in range(count) if i not in within]
