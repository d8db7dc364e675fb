"""Activation functions as layers, one for each function of `nn.functional`."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_sm.errors import ArgumentError
from tinygrad_sm.nn import functional as F
from tinygrad_sm.nn.module import Module, Parameter
from tinygrad_sm.nn.sizes import check_sizes


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


class LogSigmoid(Module):
    """Logarithm of the logistic function: -log(1 + e**-x); see `F.log_sigmoid`."""

    def forward(self, x: Any) -> Any:
        return F.log_sigmoid(x)


class GELU(Module):
    """Gaussian error linear unit: x times the normal distribution function, or its tanh approximation; see `F.gelu`."""

    def __init__(self, approximate: str = "none") -> None:
        F.gelu(np.empty(0), approximate)  # refuses wrong options now rather than in the first step
        self.approximate = approximate

    def forward(self, x: Any) -> Any:
        return F.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        return "" if self.approximate == "none" else f"approximate={self.approximate!r}"


class SiLU(Module):
    """Sigmoid-weighted linear unit, or swish: x sigmoid(x); see `F.silu`."""

    def forward(self, x: Any) -> Any:
        return F.silu(x)


class Mish(Module):
    """Self-regularised unit: x tanh(softplus(x)); see `F.mish`."""

    def forward(self, x: Any) -> Any:
        return F.mish(x)


class SELU(Module):
    """Scaled exponential linear unit, which keeps mean 0 and variance 1; see `F.selu`."""

    def forward(self, x: Any) -> Any:
        return F.selu(x)


class Softsign(Module):
    """Softsign: x / (1 + |x|); see `F.softsign`."""

    def forward(self, x: Any) -> Any:
        return F.softsign(x)


class Tanhshrink(Module):
    """What the hyperbolic tangent takes away: x - tanh(x); see `F.tanhshrink`."""

    def forward(self, x: Any) -> Any:
        return F.tanhshrink(x)


class Hardtanh(Module):
    """Piecewise linear tanh: x between min_val and max_val, and these outside; see `F.hardtanh`."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        F.hardtanh(np.empty(0), min_val, max_val)  # refuses wrong bounds
        self.min_val, self.max_val = min_val, max_val

    def forward(self, x: Any) -> Any:
        return F.hardtanh(x, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        return f"{self.min_val}, {self.max_val}"


class ReLU6(Module):
    """Rectifier with a ceiling: min(max(x, 0), 6); see `F.relu6`."""

    def forward(self, x: Any) -> Any:
        return F.relu6(x)


class Hardsigmoid(Module):
    """Piecewise linear sigmoid: x / 6 + 1 / 2, not below 0 nor above 1; see `F.hardsigmoid`."""

    def forward(self, x: Any) -> Any:
        return F.hardsigmoid(x)


class Hardswish(Module):
    """Piecewise quadratic silu: x hardsigmoid(x); see `F.hardswish`."""

    def forward(self, x: Any) -> Any:
        return F.hardswish(x)


class Softshrink(Module):
    """Values moved towards 0 by lambd; see `F.softshrink`."""

    def __init__(self, lambd: float = 0.5) -> None:
        F.softshrink(np.empty(0), lambd)  # refuses a negative number
        self.lambd = lambd

    def forward(self, x: Any) -> Any:
        return F.softshrink(x, self.lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd}"


class Threshold(Module):
    """Values above a threshold, and in place of the others another value; see `F.threshold`."""

    def __init__(self, threshold: float, value: float) -> None:
        self.threshold, self.value = threshold, value

    def forward(self, x: Any) -> Any:
        return F.threshold(x, self.threshold, self.value)

    def extra_repr(self) -> str:
        return f"{self.threshold}, {self.value}"


class PReLU(Module):
    """Leaky rectifier whose slope is trained: x for x > 0, else weight x; see `F.prelu`.

    Args: num_parameters: 1, or the number of channels along axis 1, each with a slope of its own; init: where the
    slopes start, a number. Keep it out of weight decay, which would pull the slopes towards those of a ReLU.

    >>> PReLU(3)(-np.ones((2, 3), np.float32)).data[0].tolist()
    [-0.25, -0.25, -0.25]
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, *, dtype: Any = np.float32) -> None:
        check_sizes("PReLU", num_parameters=num_parameters)
        if not isinstance(init, (int, float, np.number)):
            raise ArgumentError(f"PReLU: init={init!r}", remedy="pass a number, such as 0.25")
        self.weight = Parameter(np.full(num_parameters, init, dtype))

    def forward(self, x: Any) -> Any:
        return F.prelu(x, self.weight)

    def extra_repr(self) -> str:
        return f"{self.weight.size}"


class GLU(Module):
    """Gated linear unit: the first half of an axis times the sigmoid of the second; see `F.glu`."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Any:
        return F.glu(x, self.axis)

    def extra_repr(self) -> str:
        return f"axis={self.axis}"


ACTIVATIONS: dict[str, type[Module]] = {
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "elu": ELU,
    "softplus": Softplus,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "gelu": GELU,
    "silu": SiLU,
    "mish": Mish,
    "selu": SELU,
    "softsign": Softsign,
    "hardtanh": Hardtanh,
}
