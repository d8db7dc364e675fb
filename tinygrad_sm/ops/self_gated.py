"""Activations that gate themselves: x times a number between 0 and 1 that grows with x.

They tend to 0 at -inf and to x at +inf, and are bounded below. Far out, where the gate is 0 or 1, x is clipped before
the slope is computed, as infinity times the slope of a gate that has vanished would be NaN.
"""

from __future__ import annotations

import math

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.errors import ArgumentError
from tinygrad_sm.operand import as_floating
from tinygrad_sm.ops.activation import SMOOTH, hardsigmoid, sigmoid, softplus
from tinygrad_sm.ops.samples import Sample, normal
from tinygrad_sm.ops.special import erf

ROOT_HALF = math.sqrt(0.5)
PEAK = math.sqrt(0.5 / math.pi)  # the density of the normal distribution at 0
STEEPNESS = math.sqrt(2 / math.pi)  # the same density, twice
FAR = 30  # from here the distribution function is 0 or 1, to double precision and as a value


@primitive(elementwise=True, residual=True, samples=[*SMOOTH, Sample(normal(2, 3), approximate="tanh")])
def gelu(x: Array, approximate: str = "none") -> tuple[Array, Array]:
    """Gaussian error linear unit: out = x P(x), with P the normal distribution function, (1 + erf(x / sqrt 2)) / 2.

    With approximate="tanh" P is (1 + tanh u) / 2 = sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x**3). Tends to 0 at
    -inf and to x at +inf. Raises ArgumentError for another approximation.
    Source: D. Hendrycks and K. Gimpel, Gaussian error linear units, arXiv:1606.08415, 2016.

    >>> gelu(np.array([-np.inf, 0.0, 1.0])).round(4)
    array([-0.    ,  0.    ,  0.8413])
    """
    if approximate not in ("none", "tanh"):
        raise ArgumentError(f"approximate={approximate!r}", remedy='pass "none" or "tanh"')
    x = as_floating(x)
    p = normal_cdf(np.clip(x, -FAR, FAR), approximate)
    return np.maximum(x, -FAR) * p, p


def normal_cdf(x: Array, approximate: str) -> Array:
    """The distribution function of the normal distribution."""
    if approximate == "tanh":
        return sigmoid(2 * STEEPNESS * (x + 0.044715 * x * x * x))
    return (1 + erf(x * ROOT_HALF)) / 2


def normal_density(x: Array, p: Array, approximate: str) -> Array:
    """The derivative of `normal_cdf`, whose value is p."""
    if approximate == "tanh":
        return p * (1 - p) * (2 * STEEPNESS * (1 + 3 * 0.044715 * x * x))
    return PEAK * np.exp(-x * x / 2)


@gelu.vjp("x")
def gelu_vjp_x(g: Array, out: Array, x: Array, approximate: str = "none", residual: Array | None = None) -> Array:
    x = np.clip(x, -FAR, FAR)  # beyond, the slope is 0 or 1
    if residual is not None:  # the distribution function
        return g * (residual + x * normal_density(x, residual, approximate))
    p = normal_cdf(x, approximate)
    return g * (p + x * normal_density(x, p, approximate))


@gelu.textbook
def gelu_textbook(x: Array, approximate: str = "none") -> Array:
    if approximate == "tanh":
        u = STEEPNESS * (x + 0.044715 * x**3)
        p = (1 + np.tanh(u)) / 2
    else:
        p = (1 + erf(x * ROOT_HALF)) / 2
    return x * p


@primitive(elementwise=True, samples=SMOOTH)
def silu(x: Array) -> Array:
    """Sigmoid-weighted linear unit, or swish: out = x sigmoid(x), which tends to 0 at -inf and to x at +inf.

    Source: S. Elfwing, E. Uchibe and K. Doya, Sigmoid-weighted linear units for neural network function approximation
    in reinforcement learning, Neural Networks 107, 2018.

    >>> silu(np.array([-np.inf, 0.0, 1000.0]))
    array([  -0.,    0., 1000.])
    """
    x = as_floating(x)
    return np.maximum(x, -1000) * sigmoid(x)  # beyond, the sigmoid is 0, and -inf times that would be NaN


@silu.vjp("x")
def silu_vjp_x(g: Array, out: Array, x: Array) -> Array:
    x = np.clip(x, -1000, 1000)  # beyond, the slope is 0 or 1
    s = sigmoid(x)
    return g * (s * (1 + x * (1 - s)))


@silu.textbook
def silu_textbook(x: Array) -> Array:
    e = np.exp(-x)
    s = 1 / (1 + e)
    return x * s


@primitive(elementwise=True, samples=SMOOTH)
def mish(x: Array) -> Array:
    """Self-regularised unit: out = x tanh(softplus(x)), which tends to 0 at -inf and to x at +inf.

    Source: D. Misra, Mish: a self regularized non-monotonic activation function, BMVC 2020.

    >>> mish(np.array([-np.inf, 0.0, 1000.0]))
    array([  -0.,    0., 1000.])
    """
    x = as_floating(x)
    return np.maximum(x, -1000) * np.tanh(softplus(x))


@mish.vjp("x")
def mish_vjp_x(g: Array, out: Array, x: Array) -> Array:
    x = np.clip(x, -1000, 1000)
    t = np.tanh(softplus(x))
    return g * (t + x * sigmoid(x) * (1 - t * t))


@primitive(elementwise=True, samples=SMOOTH)
def hardswish(x: Array) -> Array:
    """Piecewise quadratic silu: out = x hardsigmoid(x); the left derivative at -3 and 3, 0 and 3/2.

    Source: A. Howard et al., Searching for MobileNetV3, ICCV 2019.

    >>> hardswish(np.array([-np.inf, 0.0, 3.0]))
    array([-0.,  0.,  3.])
    """
    x = as_floating(x)
    return np.maximum(x, -3) * hardsigmoid(x)


@hardswish.vjp("x")
def hardswish_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g * np.where(x > 3, 1, np.where(x > -3, x / 3 + 1 / 2, 0))
