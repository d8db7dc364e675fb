"""Activation functions: the non-linearities between layers.

Source: I. Goodfellow, Y. Bengio and A. Courville, Deep Learning, 2016, section 6.3, and where named below. At a kink
the derivative is the left one.
"""

from __future__ import annotations

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.errors import DTypeError
from tinygrad_sm.operand import as_array
from tinygrad_sm.ops.samples import Sample, distinct, normal

SMOOTH = [Sample(normal(2, 3)), Sample(normal())]
KINKED = [Sample(distinct(3, 4)), Sample(distinct(0, 2))]


@primitive(elementwise=True, samples=SMOOTH)
def sigmoid(x: Array) -> Array:
    """Logistic function: out = 1 / (1 + e**-x), between 0 and 1, with out' = out (1 - out).

    Computed from e**-|x|, so that neither tail overflows. Where it saturates its slope vanishes, which is why a
    squared error on it learns slowly and the cross-entropy does not.

    >>> sigmoid(np.array([0.0, -1000.0, 1000.0]))
    array([0.5, 0. , 1. ])
    """
    tail = np.exp(-np.abs(x))
    return np.where(np.greater_equal(x, 0), 1, tail) / (1 + tail)


@sigmoid.vjp("x")
def sigmoid_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g * (out * (1 - out))


@sigmoid.textbook
def sigmoid_textbook(x: Array) -> Array:
    e = np.exp(-x)
    return 1 / (1 + e)


@primitive(elementwise=True, samples=KINKED)
def relu(x: Array) -> Array:
    """Rectified linear unit: out = max(x, 0); the derivative at 0 is 0.

    Source: V. Nair and G. Hinton, Rectified linear units improve restricted Boltzmann machines, ICML 2010.

    >>> relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return np.maximum(x, 0)


@relu.vjp("x")
def relu_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g * (x > 0)  # a product takes an eighth of the time of a choice by np.where


@primitive(elementwise=True, samples=[*KINKED, Sample(distinct(4), 0.3)])
def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """Leaky rectifier: out = x for x > 0, else negative_slope x; the derivative at 0 is negative_slope.

    Source: A. Maas, A. Hannun and A. Ng, Rectifier nonlinearities improve neural network acoustic models, ICML 2013.

    >>> leaky_relu(np.array([-1.0, 2.0]), 0.1)
    array([-0.1,  2. ])
    """
    return np.where(np.greater(x, 0), x, np.multiply(x, float(negative_slope)))


@leaky_relu.vjp("x")
def leaky_relu_vjp_x(g: Array, out: Array, x: Array, negative_slope: float = 0.01) -> Array:
    return np.where(x > 0, g, negative_slope * g)


@primitive(elementwise=True, samples=[*KINKED, Sample(distinct(4), 0.3)])
def elu(x: Array, alpha: float = 1.0) -> Array:
    """Exponential linear unit: out = x for x > 0, else alpha (e**x - 1); the derivative at 0 is alpha.

    Source: D.-A. Clevert, T. Unterthiner and S. Hochreiter, Fast and accurate deep network learning by exponential
    linear units, ICLR 2016.

    >>> elu(np.array([-1000.0, 2.0]))
    array([-1.,  2.])
    """
    return np.where(np.greater(x, 0), x, alpha * np.expm1(np.minimum(x, 0)))


@elu.vjp("x")
def elu_vjp_x(g: Array, out: Array, x: Array, alpha: float = 1.0) -> Array:
    return np.where(x > 0, g, g * alpha * np.exp(np.where(x > 0, 0, x)))


@primitive(elementwise=True, samples=SMOOTH)
def softplus(x: Array) -> Array:
    """Smooth rectifier: out = log(1 + e**x), with the sigmoid as its derivative.

    Computed as max(x, 0) + log(1 + e**-|x|), exact in both tails.
    Source: C. Dugas et al., Incorporating second-order functional knowledge for better option pricing, NIPS 2000.

    >>> softplus(np.array([-1000.0, 0.0, 1000.0]))
    array([0.00000000e+00, 6.93147181e-01, 1.00000000e+03])
    """
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@softplus.vjp("x")
def softplus_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g * sigmoid(x)


@softplus.textbook
def softplus_textbook(x: Array) -> Array:
    e = np.exp(x)
    return np.log(1 + e)


@primitive(
    elementwise=True,
    method=False,
    samples=[Sample(normal(2, 3), np.array([[1, 0, 1], [0, 1, 1]], dtype=bool), 0.25)],
)
def dropout(x: Array, mask: Array, p: float = 0.5) -> Array:
    """Values kept where the mask is true and scaled so that their expectation stays: out = x mask / (1 - p).

    The mask is an argument, so that what was recorded can be computed again. `nn.functional.dropout` draws it.
    Source: N. Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting, JMLR 15, 2014.

    >>> dropout(np.array([1.0, 2.0]), np.array([True, False]), 0.5)
    array([2., 0.])
    """
    if as_array(mask).dtype.kind != "b":
        raise DTypeError("the mask holds booleans", remedy="to draw one, call nn.functional.dropout(x, p)")
    return np.where(mask, np.divide(x, 1 - p), 0)


@dropout.vjp("x")
def dropout_vjp_x(g: Array, out: Array, x: Array, mask: Array, p: float = 0.5) -> Array:
    return g * mask / (1 - p)
