"""What all optimisers share: the parameters, the loop over them, and the state that a checkpoint keeps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_sm.display import describe
from tinygrad_sm.effects import note_overwrite
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.errors import ArgumentError, DTypeError, GradientError, ShapeError, StateError, warn
from tinygrad_sm.state import fitted

Array = npt.NDArray[Any]


class Optimizer:
    """Base of the optimisers: a subclass writes `update` and, if it remembers anything between steps, `start`.

    Args: params: the tensors to train, leaves that require a gradient; lr: learning rate, settable at any time.
    Raises ArgumentError for no parameters, one given twice or a negative rate, GradientError for one without gradient.
    """

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        self.lr = lr
        if not isinstance(params, Iterable):
            remedy = "pass model.parameters(), or a list of tensors"
            raise DTypeError(f"{type(self).__name__}: the parameters are {type(params).__name__}", remedy=remedy)
        self.params = [params] if isinstance(params, Tensor) else list(params)
        if not self.params:
            raise ArgumentError(f"{self} was given no parameters", remedy="pass model.parameters()")
        for i, p in enumerate(self.params):
            if not isinstance(p, Tensor):
                raise ArgumentError(f"{self}: parameter {i} is {describe(p)}", remedy="pass model.parameters()")
            if not (p.requires_grad and p.is_leaf):
                remedy = "to train only some, pass [p for p in model.parameters() if p.requires_grad]"
                raise GradientError(f"{self}: parameter {i} is not a leaf that requires a gradient", remedy=remedy)
        if len({id(p) for p in self.params}) < len(self.params):
            raise ArgumentError(
                f"{self} was given a parameter twice", remedy="model.parameters() has each of them once"
            )
        if not lr >= 0:
            raise ArgumentError(f"{self}: a negative learning rate", remedy="pass lr=0.1, say")
        self.state = [self.start(p.data) for p in self.params]
        self._warnings: set[str] = set()

    def start(self, data: Array) -> dict[str, Array]:
        """The arrays to keep for a parameter, as they are before its first step; none unless overridden."""
        return {}

    def update(self, data: Array, g: Array, state: dict[str, Array]) -> None:
        """Move `data` in place against its gradient `g`, with the arrays that `start` made."""
        raise TypeError(f"{type(self).__name__} has no update(self, data, g, state): write one")

    def step(self) -> None:
        """Update every parameter that has a gradient. Warns where the gradients were used by a step already."""
        trained = [(p, p.grad, state) for p, state in zip(self.params, self.state, strict=True) if p.grad is not None]
        used = False
        for p, g, _ in trained:
            if getattr(g, "shape", None) != p.shape or isinstance(g, Tensor):
                remedy = f"assign an array of shape {p.shape}, such as t.data, or None"
                raise ShapeError(
                    f"{self}: grad of a parameter {p.shape} is a {type(g).__name__} {describe(g)}", remedy=remedy
                )
            used |= p._used_grad is g
        if used:
            self._warn_once(
                "step() uses gradients that a step has used already, and backward() adds to them: "
                "call zero_grad() before each backward()"
            )
        if not trained:
            self._warn_once("step() found no gradients: call loss.backward() before it")
        for p, g, state in trained:
            self.update(p.data, g, state)
            p._used_grad = g
        note_overwrite(*[p.data for p, _, _ in trained])

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
        """The learning rate and a copy of what is kept for each parameter, as a flat dict: `lr`, `0.velocity`, ..."""
        return {"lr": self.lr, **{name: array.copy() for name, array in self._arrays()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned; all of it is checked before anything is changed.

        Raises StateError if it is not the state of such an optimiser over parameters of the same shapes.
        """
        own = {"lr": np.array(0.0), **dict(self._arrays())}
        if not isinstance(state, Mapping) or state.keys() != own.keys():
            given = ", ".join(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
            raise StateError(f"{self}: takes {', '.join(own)}, not {given}", remedy="pass what state_dict() returned")
        remedy = "give the optimiser parameters of the same shapes in the same order"
        values = {name: fitted(state[name], array, f"{self}: {name}", remedy) for name, array in own.items()}
        self.lr = values["lr"].item()
        for name, array in self._arrays():
            np.copyto(array, values[name])

    def _arrays(self) -> Iterator[tuple[str, Array]]:
        """What is kept, under the names of a flat dict."""
        return ((f"{i}.{name}", array) for i, kept in enumerate(self.state) for name, array in kept.items())

    def __repr__(self) -> str:
        return f"{type(self).__name__}(lr={self.lr})"
