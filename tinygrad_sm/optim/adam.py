"""Adam, AdamW and NAdam: steps scaled by running estimates of the gradient's mean and size."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_sm.display import describe
from tinygrad_sm.errors import ArgumentError, DTypeError
from tinygrad_sm.optim.optimizer import Optimizer, Params
from tinygrad_sm.optim.storage import Array, State


class Adam(Optimizer):
    """Adaptive moments: m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g**2, p = p - lr m^ / (sqrt(v^) + eps).

    m^ = m / (1 - b1**t) and v^ = v / (1 - b2**t) undo the start from zero; t counts the steps of that parameter.
    Args: betas: b1 and b2; weight_decay: adds weight_decay p to the gradient g. Raises ArgumentError as `Optimizer`.
    Source: D. Kingma and J. Ba, Adam: a method for stochastic optimization, ICLR 2015.

    >>> from tinygrad_sm import Tensor
    >>> w = Tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> Adam([w], lr=0.1).step()
    >>> w.data.round(6)
    array([0.9])
    """

    elementwise = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        self.betas = betas
        self.eps = eps
        self.weight_decay = weight_decay
        super().__init__(params, lr)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "betas" and isinstance(value, list):
            value = tuple(value)  # which compiled steps and groups know as a setting
        super().__setattr__(name, value)

    def check_settings(self) -> None:
        super().check_settings()
        self.check_numbers("eps", "weight_decay")
        betas, eps, weight_decay = self.betas, self.eps, self.weight_decay
        if np.shape(betas) != (2,) or not all(isinstance(beta, (int, float, np.number)) for beta in betas):
            what = f"{type(self).__name__}: betas is {describe(betas)}"
            raise DTypeError(what, remedy="pass two numbers, as in betas=(0.9, 0.999)")
        if not all(0 <= beta < 1 for beta in betas) or not (eps >= 0 and weight_decay >= 0):
            raise ArgumentError(
                f"{type(self).__name__}: betas={betas}, eps={eps}, weight_decay={weight_decay}",
                remedy="betas lie from 0 up to, but not including, 1; the others are not negative",
            )

    def start(self, data: Array) -> State:
        return {"steps": np.array(0), "mean": np.zeros_like(data), "square": np.zeros_like(data)}

    def update(self, data: Array, g: Array, state: State) -> None:
        if self.weight_decay:
            g = g + self.weight_decay * data
        self._move(data, g, state)

    def _move(self, data: Array, g: Array, state: State) -> None:
        beta1, beta2 = self.betas
        mean, square = state["mean"], state["square"]
        state["steps"] += 1
        unbias1, unbias2 = [(1 - np.power(beta, state["steps"])).astype(data.dtype) for beta in self.betas]
        mean *= beta1
        mean += (1 - beta1) * g
        square *= beta2
        square += (1 - beta2) * np.square(g)
        unbiased_mean = mean / unbias1
        unbiased_square = square / unbias2
        data -= self.lr * unbiased_mean / (np.sqrt(unbiased_square) + self.eps)


class AdamW(Adam):
    """Adam with weight decay apart from the gradient: p = p - lr weight_decay p, then Adam's step.

    Source: I. Loshchilov and F. Hutter, Decoupled weight decay regularization, ICLR 2019.

    >>> from tinygrad_sm import Tensor
    >>> AdamW([Tensor([1.0], requires_grad=True)]).weight_decay
    0.01
    """

    elementwise = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)

    def update(self, data: Array, g: Array, state: State) -> None:
        data -= self.lr * self.weight_decay * data
        self._move(data, g, state)


class NAdam(Adam):
    """Adam with Nesterov's momentum: p = p - lr ((1 - u) g / (1 - U) + u' m / (1 - U u')) / (sqrt(v^) + eps).

    u = b1 (1 - 0.96**(t momentum_decay) / 2), u' that of the next step, U the product of all u; m, v^ as in `Adam`.
    Args: decoupled_weight_decay: p = p - lr weight_decay p first, instead of adding to the gradient, as `AdamW`.
    Raises ArgumentError as `Optimizer`.
    Source: T. Dozat, Incorporating Nesterov momentum into Adam, ICLR workshop 2016.

    >>> from tinygrad_sm import Tensor
    >>> w = Tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> NAdam([w], lr=0.1).step()
    >>> w.data.round(4)
    array([0.8944])
    """

    elementwise = True

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
    ) -> None:
        self.momentum_decay = momentum_decay
        self.decoupled_weight_decay = decoupled_weight_decay
        super().__init__(params, lr, betas, eps, weight_decay)

    def check_settings(self) -> None:
        super().check_settings()
        self.check_numbers("momentum_decay")
        if not self.momentum_decay >= 0:
            raise ArgumentError(f"NAdam: momentum_decay={self.momentum_decay}", remedy="momentum_decay is not negative")

    def start(self, data: Array) -> State:
        return {**super().start(data), "product": np.array(1.0)}

    def update(self, data: Array, g: Array, state: State) -> None:
        if self.decoupled_weight_decay:
            data -= self.lr * self.weight_decay * data
        elif self.weight_decay:
            g = g + self.weight_decay * data
        self._move(data, g, state)

    def _move(self, data: Array, g: Array, state: State) -> None:
        beta1, beta2 = self.betas
        mean, square, product = state["mean"], state["square"], state["product"]
        state["steps"] += 1
        now = beta1 * (1 - 0.5 * np.power(0.96, self.momentum_decay * state["steps"]))
        later = beta1 * (1 - 0.5 * np.power(0.96, self.momentum_decay * (state["steps"] + 1)))
        product *= now
        mean *= beta1
        mean += (1 - beta1) * g
        square *= beta2
        square += (1 - beta2) * np.square(g)
        weight_g = ((1 - now) / (1 - product)).astype(data.dtype)
        weight_mean = (later / (1 - product * later)).astype(data.dtype)
        unbiased_square = square / (1 - np.power(beta2, state["steps"])).astype(data.dtype)
        data -= self.lr * (weight_g * g + weight_mean * mean) / (np.sqrt(unbiased_square) + self.eps)
