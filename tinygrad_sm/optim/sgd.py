"""Stochastic gradient descent."""

from __future__ import annotations

import numpy as np

from tinygrad_sm.errors import ArgumentError
from tinygrad_sm.optim.optimizer import Optimizer, Params
from tinygrad_sm.optim.storage import Array, State


class SGD(Optimizer):
    """Gradient descent, with momentum if wanted: v = momentum v + g, p = p - lr v.

    Args: nesterov: step along g + momentum v instead; weight_decay: adds weight_decay p to the gradient g. Raises
    ArgumentError for a momentum outside [0, 1), and as `Optimizer`.
    Source: I. Sutskever et al., On the importance of initialization and momentum in deep learning, ICML 2013.

    >>> from tinygrad_sm import Tensor
    >>> w = Tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> SGD([w], lr=0.1).step()
    >>> w.data
    array([0.8])
    """

    elementwise = True
    start_settings = ("momentum",)

    def __init__(
        self,
        params: Params,
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        super().__init__(params, lr)

    def check_settings(self) -> None:
        super().check_settings()
        self.check_numbers("momentum", "weight_decay")
        if not (0 <= self.momentum < 1 and self.weight_decay >= 0):
            remedy = "momentum lies from 0 up to, but not including, 1; weight_decay is not negative"
            raise ArgumentError(f"SGD: momentum={self.momentum}, weight_decay={self.weight_decay}", remedy=remedy)
        if self.nesterov and not self.momentum:
            raise ArgumentError("SGD: nesterov=True needs momentum", remedy="pass momentum=0.9, say")

    def start(self, data: Array) -> State:
        return {"velocity": np.zeros_like(data)} if self.momentum else {}

    def update(self, data: Array, g: Array, state: State) -> None:
        if self.weight_decay:
            g = g + self.weight_decay * data
        if self.momentum:
            velocity = state["velocity"]
            velocity *= self.momentum
            velocity += g
            g = g + self.momentum * velocity if self.nesterov else velocity
        data -= self.lr * g
