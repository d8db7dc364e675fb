"""Activation functions as layers, one for each function of `nn.functional`."""

from __future__ import annotations

from typing import Any

from tinygrad_sm.nn import functional as F
from tinygrad_sm.nn.module import Module


class ReLU(Module):
    """Rectified linear unit: max(x, 0); see `F.relu`."""

    def forward(self, x: Any) -> Any:
        return F.relu(x)


class LeakyReLU(Module):
    """Leaky rectifier: x for x > 0, else negative_slope x; see `F.leaky_relu`."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: Any) -> Any:
        return F.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        return f"{self.negative_slope}"


class ELU(Module):
    """Exponential linear unit: x for x > 0, else alpha (e**x - 1); see `F.elu`."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Any) -> Any:
        return F.elu(x, self.alpha)

    def extra_repr(self) -> str:
        return f"{self.alpha}"


class Softplus(Module):
    """Smooth rectifier: log(1 + e**x); see `F.softplus`."""

    def forward(self, x: Any) -> Any:
        return F.softplus(x)


class Sigmoid(Module):
    """Logistic function: 1 / (1 + e**-x); see `F.sigmoid`."""

    def forward(self, x: Any) -> Any:
        return F.sigmoid(x)


class Tanh(Module):
    """Hyperbolic tangent; see `F.tanh`."""

    def forward(self, x: Any) -> Any:
        return F.tanh(x)


class Softmax(Module):
    """Softmax along an axis; not to be put before `cross_entropy`, which contains it. See `F.softmax`."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Any:
        return F.softmax(x, self.axis)

    def extra_repr(self) -> str:
        return f"axis={self.axis}"


class LogSoftmax(Module):
    """Logarithm of the softmax along an axis; see `F.log_softmax`."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Any:
        return F.log_softmax(x, self.axis)

    def extra_repr(self) -> str:
        return f"axis={self.axis}"


ACTIVATIONS: dict[str, type[Module]] = {
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "elu": ELU,
    "softplus": Softplus,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
}
