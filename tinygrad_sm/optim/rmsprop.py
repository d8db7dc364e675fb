"""RMSprop: steps divided by the recent size of the gradient."""

from __future__ import annotations

import numpy as np

from tinygrad_sm.errors import ArgumentError
from tinygrad_sm.optim.optimizer import Optimizer, Params
from tinygrad_sm.optim.storage import Array, State


class RMSprop(Optimizer):
    """Root mean square of the gradient: s = alpha s + (1 - alpha) g**2, p = p - lr g / (sqrt(s) + eps).

    Args: centered: divides by the deviation sqrt(s - m**2) instead, m the running mean of g; momentum: steps along
    v = momentum v + g / (sqrt(s) + eps); weight_decay: adds weight_decay p to the gradient g. Raises ArgumentError as
    `Optimizer`. A variance that rounding makes negative counts as 0, where PyTorch gets NaN.
    Source: T. Tieleman and G. Hinton, Lecture 6.5, COURSERA 2012; centered: A. Graves, arXiv 1308.0850.

    >>> from tinygrad_sm import Tensor
    >>> w = Tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> RMSprop([w], lr=0.1, alpha=0.75).step()
    >>> w.data.round(6)
    array([0.8])
    """

    elementwise = True
    start_settings = ("momentum", "centered")

    def __init__(
        self,
        params: Params,
        lr: float = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        self.alpha = alpha
        self.eps = eps
        self.weight_decay = weight_decay
        self.momentum = momentum
        self.centered = centered
        super().__init__(params, lr)

    def check_settings(self) -> None:
        super().check_settings()
        self.check_numbers("alpha", "eps", "weight_decay", "momentum")
        if not (0 <= self.alpha < 1 and 0 <= self.momentum < 1 and self.eps >= 0 and self.weight_decay >= 0):
            given = f"alpha={self.alpha}, eps={self.eps}, weight_decay={self.weight_decay}, momentum={self.momentum}"
            remedy = "alpha and momentum lie from 0 up to, but not including, 1; the others are not negative"
            raise ArgumentError(f"RMSprop: {given}", remedy=remedy)

    def start(self, data: Array) -> State:
        names = ["square", *["mean"] * self.centered, *["velocity"] * bool(self.momentum)]
        return {name: np.zeros_like(data) for name in names}

    def update(self, data: Array, g: Array, state: State) -> None:
        if self.weight_decay:
            g = g + self.weight_decay * data
        square = state["square"]
        square *= self.alpha
        square += (1 - self.alpha) * np.square(g)
        variance = square
        if self.centered:
            mean = state["mean"]
            mean *= self.alpha
            mean += (1 - self.alpha) * g
            variance = np.maximum(square - np.square(mean), 0)
        move = g / (np.sqrt(variance) + self.eps)
        if self.momentum:
            velocity = state["velocity"]
            velocity *= self.momentum
            velocity += move
            move = velocity
        data -= self.lr * move
