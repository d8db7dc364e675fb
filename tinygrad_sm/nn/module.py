"""Module: something callable that owns parameters, found by walking its attributes in the order they were set."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tinygrad_sm.engine.tape import MODULE
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.errors import StateError
from tinygrad_sm.overwrites import note_overwrite


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


class Module:
    """A layer or a whole model: assign parameters and modules to attributes, and write `forward`.

    Attributes may also be lists, tuples or dicts of modules and parameters. Names are paths of attributes, in the order
    in which these were set; a parameter that occurs twice is counted once.

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
    _name: str = ""  # the attribute of its owner that holds this module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; subclasses write it."""
        raise TypeError(f"{type(self).__name__} has no forward(self, x): write one")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        owner = MODULE.get().rpartition(".")[0]
        path = ".".join(filter(None, (owner, self._name, type(self).__name__)))
        token = MODULE.set(path)
        try:
            return self.forward(*args, **kwargs)
        finally:
            MODULE.reset(token)

    def __setattr__(self, name: str, value: Any) -> None:
        for path, part in _parts(name, value):
            if isinstance(part, Module):
                part.__dict__["_name"] = path
            for inner, parameter in _named_parameters(path, part):
                if parameter.name is None or inner.endswith(f".{parameter.name}"):  # unless the user named it
                    parameter.name = inner
        super().__setattr__(name, value)

    def children(self) -> Iterator[Module]:
        """The modules that are attributes of this one, in order."""
        for name, value in vars(self).items():
            yield from (part for _, part in _parts(name, value) if isinstance(part, Module))

    def modules(self) -> Iterator[Module]:
        """This module and all below it, owners first."""
        yield self
        for child in self.children():
            yield from child.modules()

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its path, such as `0.weight`, each once."""
        seen: set[int] = set()
        for name, parameter in _named_parameters("", self):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter

    def parameters(self) -> Iterator[Parameter]:
        """Every parameter, each once, in the order of `named_parameters`."""
        return (parameter for _, parameter in self.named_parameters())

    def state_dict(self) -> dict[str, npt.NDArray[Any]]:
        """A copy of the value of every parameter, by name."""
        return {name: parameter.data.copy() for name, parameter in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy values into the parameters, in place; all are checked before the first is written.

        Raises StateError for a name that is unknown or missing and for a shape that differs.
        """
        own = dict(self.named_parameters())
        for name in state:
            if name not in own:
                close = difflib.get_close_matches(name, own, n=1)
                remedy = f"did you mean {close[0]}?" if close else f"the names are {', '.join(own)}"
                raise StateError(f"load_state_dict: {type(self).__name__} has no parameter {name!r}", remedy=remedy)
        missing = [name for name in own if name not in state]
        if missing:
            raise StateError(f"load_state_dict: no value for {', '.join(missing)}", remedy="pass a complete state_dict")
        for name, parameter in own.items():
            if np.shape(state[name]) != parameter.shape:
                shapes = f"{np.shape(state[name])} given, {parameter.shape} needed"
                remedy = "build the model with the sizes that it was saved with"
                raise StateError(f"load_state_dict: {name} has another shape: {shapes}", remedy=remedy)
        for name, parameter in own.items():
            np.copyto(parameter.data, state[name])
            note_overwrite(parameter.data)

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

    def __repr__(self) -> str:
        children = [(path, p) for n, v in vars(self).items() for path, p in _parts(n, v) if isinstance(p, Module)]
        if not children:
            return f"{type(self).__name__}({self.extra_repr()})"
        lines = [f"  ({path}): {child!r}".replace("\n", "\n  ") for path, child in children]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The modules and parameters that an attribute holds, itself or in a list, tuple or dict."""
    if isinstance(value, (Module, Parameter)):
        yield name, value
    elif isinstance(value, (list, tuple, dict)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _parts(f"{name}.{key}", item)


def _named_parameters(path: str, part: Module | Parameter) -> Iterator[tuple[str, Parameter]]:
    if isinstance(part, Parameter):
        yield path, part
        return
    for name, value in vars(part).items():
        for inner, found in _parts(f"{path}.{name}" if path else name, value):
            yield from _named_parameters(inner, found)
