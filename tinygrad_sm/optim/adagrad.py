"""Adagrad and Adadelta: steps divided by the size of all gradients so far, or of the recent ones."""

from __future__ import annotations

import numpy as np

from tinygrad_sm.errors import ArgumentError
from tinygrad_sm.optim.optimizer import Optimizer, Params
from tinygrad_sm.optim.storage import Array, State


class Adagrad(Optimizer):
    """Adaptive gradient: s = s + g**2, p = p - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps), t counting the steps.

    Args: initial_accumulator_value: s before the first step, which a group may have of its own (PyTorch's may not);
    weight_decay: adds weight_decay p to the gradient g. Raises ArgumentError as `Optimizer`.
    Source: J. Duchi et al., Adaptive subgradient methods for online learning and stochastic optimization, JMLR 2011.

    >>> from tinygrad_sm import Tensor
    >>> w = Tensor([1.0, 3.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> Adagrad([w], lr=0.5).step()
    >>> w.data.round(6)
    array([0.5, 2.5])
    """

    elementwise = True

    def __init__(
        self,
        params: Params,
        lr: float = 0.01,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        self.lr_decay = lr_decay
        self.weight_decay = weight_decay
        self.initial_accumulator_value = initial_accumulator_value
        self.eps = eps
        super().__init__(params, lr)

    def check_settings(self) -> None:
        super().check_settings()
        names = "lr_decay", "weight_decay", "initial_accumulator_value", "eps"
        _refuse_negative(self, names)

    def start(self, data: Array) -> State:
        return {"steps": np.array(0), "square": np.full_like(data, self.initial_accumulator_value)}

    def update(self, data: Array, g: Array, state: State) -> None:
        if self.weight_decay:
            g = g + self.weight_decay * data
        square = state["square"]
        slowed = (1 + self.lr_decay * state["steps"]).astype(data.dtype)
        state["steps"] += 1
        square += np.square(g)
        data -= self.lr / slowed * g / (np.sqrt(square) + self.eps)


class Adadelta(Optimizer):
    """Steps in the units of the parameters: d = sqrt(a + eps) / sqrt(s + eps) g, p = p - lr d.

    s = rho s + (1 - rho) g**2 is the size of recent gradients, a = rho a + (1 - rho) d**2 that of recent steps. Args:
    weight_decay: adds weight_decay p to the gradient g. Raises ArgumentError as `Optimizer`.
    Source: M. Zeiler, ADADELTA: an adaptive learning rate method, arXiv 1212.5701.

    >>> from tinygrad_sm import Tensor
    >>> w = Tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> Adadelta([w], rho=0.75, eps=1e-4).step()
    >>> w.data.round(3)
    array([0.98])
    """

    elementwise = True

    def __init__(
        self, params: Params, lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0
    ) -> None:
        self.rho = rho
        self.eps = eps
        self.weight_decay = weight_decay
        super().__init__(params, lr)

    def check_settings(self) -> None:
        super().check_settings()
        self.check_numbers("rho")
        if not 0 <= self.rho < 1:
            raise ArgumentError(f"Adadelta: rho={self.rho}", remedy="rho lies from 0 up to, but not including, 1")
        _refuse_negative(self, ("eps", "weight_decay"))

    def start(self, data: Array) -> State:
        return {"square": np.zeros_like(data), "moves": np.zeros_like(data)}

    def update(self, data: Array, g: Array, state: State) -> None:
        if self.weight_decay:
            g = g + self.weight_decay * data
        square, moves = state["square"], state["moves"]
        square *= self.rho
        square += (1 - self.rho) * np.square(g)
        move = np.sqrt(moves + self.eps) / np.sqrt(square + self.eps) * g
        moves *= self.rho
        moves += (1 - self.rho) * np.square(move)
        data -= self.lr * move


def _refuse_negative(optimizer: Optimizer, names: tuple[str, ...]) -> None:
    optimizer.check_numbers(*names)
    for name in names:
        if not getattr(optimizer, name) >= 0:
            what = f"{type(optimizer).__name__}: {name}={getattr(optimizer, name)}"
            raise ArgumentError(what, remedy=f"{name} is not negative")
