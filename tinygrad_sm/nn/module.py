"""Module: something callable that owns parameters and buffers, found among its attributes in the order of setting."""

from __future__ import annotations

import difflib
import itertools
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from tinygrad_sm.effects import note_overwrite
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.errors import ArgumentError, GradientError, StateError
from tinygrad_sm.location import PACKAGE, RUNNING, caller
from tinygrad_sm.operand import plain
from tinygrad_sm.state import fitted


class Parameter(Tensor):
    """A tensor that is trained: a leaf that requires a gradient, and that a Module finds among its attributes.

    >>> Parameter([0.5, 1.0]).requires_grad
    True
    """

    __slots__ = ()

    def __init__(
        self, data: Any, *, requires_grad: bool = True, dtype: npt.DTypeLike | None = None, name: str | None = None
    ) -> None:
        super().__init__(data, requires_grad=requires_grad, dtype=dtype, name=name)


class Buffer(Tensor):
    """A tensor that belongs to a module and is saved with it but not trained, such as a running mean.

    A Module finds it among its attributes. Raises GradientError if a gradient is asked for.

    >>> Buffer([0.0, 1.0]).requires_grad
    False
    """

    __slots__ = ()

    def __init__(
        self, data: Any, *, requires_grad: bool = False, dtype: npt.DTypeLike | None = None, name: str | None = None
    ) -> None:
        if requires_grad:
            raise GradientError("Buffer: it is not trained", remedy="what is trained is an nn.Parameter")
        super().__init__(np.array(plain(data), dtype=dtype), name=name)


T = TypeVar("T")

observers: list[Callable[[Module], None]] = []  # told of every call of a module, before it runs
_next_change = itertools.count(1).__next__
_changes = 0


def changes() -> int:
    """How often an attribute of any module became another, `training` among them: while the number stays, all do."""
    return _changes


class Module:
    """A layer or a whole model: assign parameters and modules to attributes, and write `forward`.

    Attributes may also be lists, tuples or dicts of modules and parameters. Names are paths of attributes, in the order
    in which these were set; a parameter that occurs twice is counted once. A `Buffer` is saved, but not trained. Raises
    ArgumentError for parts whose paths are the same, as those of a dict with the keys 1 and "1".

    >>> class Scale(Module):
    ...     def __init__(self):
    ...         self.factor = Parameter([2.0])
    ...
    ...     def forward(self, x):
    ...         return self.factor * x
    >>> model = Scale()
    >>> model(Tensor([3.0])).item(), list(model.state_dict())
    (6.0, ['factor'])
    """

    training: bool = True
    _built_in: bool = False
    _name: str = ""  # the attribute of its owner that holds this module
    _path: tuple[str | None, str] = (None, "")  # the path of the owner that called last, and the own path below it

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; subclasses write it."""
        raise TypeError(f"{type(self).__name__} has no forward(self, x): write one")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if observers:
            for observer in observers:
                observer(self)
        owner, where = RUNNING.get()
        known, path = self._path
        if owner != known:
            path = ".".join(filter(None, (owner.rpartition(".")[0], self._name, type(self).__name__)))
            self.__dict__["_path"] = owner, path
        # Inside a layer of ours every operation belongs to the user's line that called it, which is looked up once.
        token = RUNNING.set((path, where or caller() if self._built_in else None))
        try:
            return self.forward(*args, **kwargs)
        finally:
            RUNNING.reset(token)

    def __init_subclass__(cls) -> None:
        cls._built_in = cls.__module__.startswith(f"{PACKAGE}.")

    def __setattr__(self, name: str, value: Any) -> None:
        old = getattr(self, name, None)
        if isinstance(old, (Parameter, Buffer)) and isinstance(value, (np.ndarray, np.generic, float)):
            kind = type(old).__name__
            remedy = f"wrap it in nn.{kind}(...), or write its values in place: .{name}.data[...] = values"
            raise ArgumentError(f"{type(self).__name__}.{name} would no longer be a {kind}", remedy=remedy)
        if old is not value:
            global _changes
            _changes = _next_change()
        parts = list(_parts(name, value))
        self._by_name(parts)
        super().__setattr__(name, value)
        for path, part in parts:
            list(_walk(path, part, set()))  # names them

    def children(self) -> Iterator[Module]:
        """The modules that are attributes of this one, in order."""
        return (child for _, child in self._named_children())

    def _named_children(self) -> Iterator[tuple[str, Module]]:
        for name, value in vars(self).items():
            yield from ((path, part) for path, part in _parts(name, value) if isinstance(part, Module))

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once, owners first."""
        return (module for _, module in self.named_modules())

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """This module, whose path is empty, and all below it with their paths, such as `encoder.0`, each once."""
        return ((path, part) for path, part in _walk("", self, set()) if isinstance(part, Module))

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its path, such as `0.weight`, each once."""
        return ((path, part) for path, part in _walk("", self, set()) if isinstance(part, Parameter))

    def parameters(self) -> Iterator[Parameter]:
        """Every parameter, each once, in the order of `named_parameters`."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """Every buffer with its path, such as `1.running_mean`, each once."""
        return ((path, part) for path, part in _walk("", self, set()) if isinstance(part, Buffer))

    def buffers(self) -> Iterator[Buffer]:
        """Every buffer, each once, in the order of `named_buffers`."""
        return (buffer for _, buffer in self.named_buffers())

    def _named_state(self) -> dict[str, Parameter | Buffer]:
        return self._by_name((path, part) for path, part in _walk("", self, set()) if not isinstance(part, Module))

    def _by_name(self, parts: Iterable[tuple[str, T]]) -> dict[str, T]:
        """Parts by their paths; refused are two of the same path, of which a state would keep one."""
        found: dict[str, T] = {}
        for path, part in parts:
            if found.setdefault(path, part) is not part:
                what = f"{type(self).__name__}: two parts are named {path!r}"
                raise ArgumentError(what, remedy="take other keys of the dict: 1 and '1' make the same name")
        return found

    def state_dict(self) -> dict[str, npt.NDArray[Any]]:
        """A copy of the value of every parameter and buffer, by name."""
        return {name: part.data.copy() for name, part in self._named_state().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy values into parameters and buffers, in place and in their dtype; nothing is written unless all fit.

        Raises StateError for a name that is unknown or missing, and for a value of another shape or without numbers.
        """
        if not isinstance(state, Mapping):
            what = f"a dict of arrays by name, not {type(state).__name__}"
            raise StateError(f"load_state_dict: takes {what}", remedy="pass what state_dict() returned")
        own = self._named_state()
        for name in state:
            if name not in own:
                close = difflib.get_close_matches(str(name), own, n=1)
                remedy = f"did you mean {close[0]}?" if close else f"its parameters: {', '.join(own) or 'none'}"
                raise StateError(f"load_state_dict: {type(self).__name__} has no parameter {name!r}", remedy=remedy)
        missing = [name for name in own if name not in state]
        if missing:
            raise StateError(f"load_state_dict: no value for {', '.join(missing)}", remedy="pass a complete state_dict")
        remedy = "build the model with the sizes that it was saved with"
        values = {
            name: fitted(state[name], part.data, f"load_state_dict: {name}", remedy) for name, part in own.items()
        }
        for name, part in own.items():
            np.copyto(part.data, values[name])
            note_overwrite(part.data)

    def train(self, mode: bool = True) -> Self:
        """Switch this module and all below it to training, where dropout drops."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch this module and all below it to evaluation."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters, so that the next backward starts from nothing."""
        for parameter in self.parameters():
            parameter.grad = None

    def extra_repr(self) -> str:
        """What stands between the parentheses of the repr."""
        return ""

    @reprlib.recursive_repr()
    def __repr__(self) -> str:
        lines = [f"  ({path}): {child!r}".replace("\n", "\n  ") for path, child in self._named_children()]
        own = self.extra_repr()
        if not lines:
            return f"{type(self).__name__}({own})"
        lines = [f"  {own}", *lines] if own else lines
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])


Part: TypeAlias = Module | Parameter | Buffer


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The modules and tensors that an attribute is, or holds in a list, tuple or dict; tells modules their name."""
    if isinstance(value, (Module, Parameter, Buffer)):
        if isinstance(value, Module) and value._name != name:
            value.__dict__.update(_name=name, _path=Module._path)
        yield name, value
    elif isinstance(value, (list, tuple, dict)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _parts(f"{name}.{key}", item)


def _walk(path: str, part: Part, seen: set[int]) -> Iterator[tuple[str, Part]]:
    """A part and all below it with their paths, each once; a tensor takes its path for a name as it grows."""
    if id(part) in seen:
        return
    seen.add(id(part))
    if not isinstance(part, Module):
        if part.name is None or path.endswith(f".{part.name}"):  # any other name is the user's, or longer than this one
            part.name = path
        yield path, part
        return
    yield path, part
    for name, value in list(vars(part).items()):  # a list, as a part below may hold this one and name it
        for inner, found in _parts(name, value):
            yield from _walk(f"{path}.{inner}" if path else inner, found, seen)
