"""What all optimisers share: the parameters, the loop over them, and the state that a checkpoint keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.errors import ArgumentError, GradientError, ShapeError, StateError, warn
from tinygrad_sm.overwrites import note_overwrite

Array = npt.NDArray[Any]


class Optimizer:
    """Base of the optimisers: a subclass names its state arrays in `slots` and writes `update`.

    Args: params: the tensors to train, leaves that require a gradient; lr: learning rate, settable at any time.
    Raises ArgumentError for no parameters, one given twice or a negative rate, GradientError for one without gradient.
    """

    slots: tuple[str, ...] = ()  # names of the arrays kept for each parameter, zeros at the start

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        self.params = [params] if isinstance(params, Tensor) else list(params)
        if not self.params:
            raise ArgumentError(f"{self} was given no parameters", remedy="pass model.parameters()")
        for i, p in enumerate(self.params):
            if not isinstance(p, Tensor) or not (p.requires_grad and p.is_leaf):
                raise GradientError(f"{self}: parameter {i} is not a leaf that requires a gradient")
        if len({id(p) for p in self.params}) < len(self.params):
            raise ArgumentError(f"{self} was given a parameter twice")
        if not lr >= 0:
            raise ArgumentError(f"{self}: lr={lr}", remedy="pass a learning rate of 0 or more")
        self.lr = lr
        self.steps = 0
        self.state = [{slot: np.zeros_like(p.data) for slot in self.slots} for p in self.params]
        self._warned = False

    def update(self, data: Array, g: Array, state: dict[str, Array]) -> None:
        """Move `data` in place against its gradient `g`."""
        raise TypeError(f"{type(self).__name__} has no update(self, data, g, state): write one")

    def step(self) -> None:
        """Update every parameter that has a gradient. Warns where the gradients were used by a step already."""
        trained = [(p, state) for p, state in zip(self.params, self.state, strict=True) if p.grad is not None]
        self._check(trained)
        self.steps += 1
        for p, state in trained:
            assert p.grad is not None
            self.update(p.data, p.grad, state)
            note_overwrite(p.data)
            p._stepped = True

    def _check(self, trained: list[tuple[Tensor, dict[str, Array]]]) -> None:
        """Refuse gradients of another shape, and warn of the two things that are forgotten around a step."""
        for p, _ in trained:
            if getattr(p.grad, "shape", None) != p.shape:
                raise ShapeError(f"{self}: grad {getattr(p.grad, 'shape', None)} for a parameter {p.shape}")
        if not trained:
            self._warn("step() found no gradients: call loss.backward() before it")
        elif any(p._stepped for p, _ in trained):
            self._warn(
                "step() uses gradients that a step has used already, and backward() adds to them: "
                "call zero_grad() before each backward()"
            )

    def _warn(self, message: str) -> None:
        if not self._warned:  # once is enough for one loop
            self._warned = True
            warn(f"{self}: {message}")

    def zero_grad(self) -> None:
        """Forget the gradients, so that the next backward starts from nothing."""
        for p in self.params:
            p.grad = None

    def state_dict(self) -> dict[str, Any]:
        """The learning rate, the number of steps, and a copy of every state array, as a flat dict."""
        arrays = {f"{i}.{slot}": state[slot].copy() for i, state in enumerate(self.state) for slot in self.slots}
        return {"lr": self.lr, "steps": self.steps, **arrays}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned; all of it is checked before anything is changed."""
        own = self.state_dict()
        if set(state) != set(own):
            different = ", ".join(sorted(set(state) ^ set(own)))
            raise StateError(f"{self}: the state is not one of this optimiser: {different}")
        for name, value in own.items():
            if np.shape(state[name]) != np.shape(value):
                raise StateError(f"{self}: {name} has shape {np.shape(state[name])}, {np.shape(value)} needed")
        self.lr, self.steps = float(state["lr"]), int(state["steps"])
        for i, arrays in enumerate(self.state):
            for slot, array in arrays.items():
                np.copyto(array, state[f"{i}.{slot}"])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({f'lr={self.lr}' if hasattr(self, 'lr') else ''})"
