"""Groups of parameters that one optimiser moves with different settings.

A group has settings of its own and takes the others from the optimiser. Read `optimizer.py` next.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.errors import ArgumentError

GROUPS = 'pass [{"params": some, "lr": 0.01}, {"params": others}], say'


class ParamGroup(MutableMapping[str, Any]):
    """The settings of one group, as a dict: `params`, `lr` and the others; what is written here is the group's own.

    A setting that the group has none of its own of is the optimiser's, and is written there if this is the only group.
    `del group[name]` goes back to the optimiser's.

    >>> from tinygrad_sm import optim
    >>> w, b = Tensor([1.0], requires_grad=True), Tensor([0.0], requires_grad=True)
    >>> optimizer = optim.SGD([{"params": w, "lr": 0.01}, {"params": b}], lr=0.1)
    >>> optimizer.lr = 0.2
    >>> [group["lr"] for group in optimizer.param_groups]
    [0.01, 0.2]
    """

    def __init__(self, optimizer: Any, number: int) -> None:
        self._optimizer = optimizer
        self._number = number
        self._own: dict[str, Any] = optimizer._own[number]

    def __getitem__(self, name: str) -> Any:
        if name == "params":
            members = zip(self._optimizer.params, self._optimizer._member, strict=True)
            return [p for p, number in members if number == self._number]
        if name not in list(self):
            raise KeyError(name)
        return self._own[name] if name in self._own else getattr(self._optimizer, name)

    def __setitem__(self, name: str, value: Any) -> None:
        if name == "params":
            remedy = "make an optimiser of the new groups, or add one with add_param_group"
            raise ArgumentError("the parameters of a group cannot be replaced", remedy=remedy)
        if name not in list(self):
            known = ", ".join(list(self)[1:])
            raise ArgumentError(f"a group of {self._optimizer} has no {name!r}", remedy=f"it has {known}")
        if name not in self._own and len(self._optimizer._own) == 1:
            setattr(self._optimizer, name, value)
            return
        turned_on = name in self._optimizer.start_settings and value and not self[name]
        self._own[name] = value
        if turned_on:
            self._optimizer.start_missing()

    def __delitem__(self, name: str) -> None:
        del self._own[name]
        if name in self._optimizer.start_settings:
            self._optimizer.start_missing()

    def __iter__(self) -> Iterator[str]:
        settings = [name for name, _ in self._optimizer.settings() if name[0] != "_"]
        return iter(dict.fromkeys(["params", "lr", *settings, *self._own]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        shown = {name: self[name] for name in list(self)[1:]}
        return f"<group of {len(self['params'])} parameters, {shown}>"


def divided(optimizer: Any, params: Sequence[Any], first: int = 0) -> tuple[list[Any], list[int], list[dict[str, Any]]]:
    """Parameters or groups of them: a list of all, the number of each one's group, and the groups' own settings.

    Args: first: the number of the first group. Raises ArgumentError for a group without parameters, and for a setting
    that the optimiser does not take.
    """
    groups = [each for each in params if isinstance(each, Mapping)]
    if not groups:
        return list(params), [first] * len(params), [{}]
    if len(groups) < len(params):
        raise ArgumentError(f"{optimizer}: parameters beside groups", remedy=GROUPS)
    found: list[Any] = []
    member: list[int] = []
    for number, group in enumerate(groups, first):
        given = group.get("params", ())
        single = isinstance(given, Tensor) or not isinstance(given, Iterable)
        own = [given] if single else list(given)
        if not own:
            raise ArgumentError(f"{optimizer}: group {number} has no parameters", remedy=GROUPS)
        found += own
        member += [number] * len(own)
    names = _settings_of(optimizer)
    for number, group in enumerate(groups, first):
        unknown = [name for name in group if name != "params" and names is not None and name not in names]
        if unknown:
            known = ", ".join(names or ())
            raise ArgumentError(f"{optimizer}: group {number} sets {unknown[0]!r}", remedy=f"a group may set {known}")
    return found, member, [{name: value for name, value in group.items() if name != "params"} for group in groups]


def _settings_of(optimizer: Any) -> list[str] | None:
    """What the constructor takes besides parameters; None if it takes any keyword."""
    parameters = list(inspect.signature(type(optimizer).__init__).parameters.values())[2:]
    if any(each.kind in (each.VAR_KEYWORD, each.VAR_POSITIONAL) for each in parameters):
        return None
    return list(dict.fromkeys(["lr", *(each.name for each in parameters)]))
