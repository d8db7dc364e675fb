"""Activation functions: the non-linearities between layers.

Source: I. Goodfellow, Y. Bengio and A. Courville, Deep Learning, 2016, section 6.3, and where named below. At a kink
the derivative is the left one.
"""

from __future__ import annotations

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.errors import ArgumentError, DTypeError
from tinygrad_sm.operand import as_array, as_floating
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
    x = as_floating(x)
    tail = np.exp(-np.abs(x))
    above = np.maximum(tail, np.greater_equal(x, 0))  # 1 where x >= 0: a choice by np.where takes seven times as long
    return above / (1 + tail)


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
    x = as_floating(x)
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@softplus.vjp("x")
def softplus_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g * sigmoid(x)


@softplus.textbook
def softplus_textbook(x: Array) -> Array:
    e = np.exp(x)
    return np.log(1 + e)


@primitive(elementwise=True, samples=SMOOTH)
def log_sigmoid(x: Array) -> Array:
    """Logarithm of the logistic function: out = -log(1 + e**-x), with the sigmoid of -x as its derivative.

    Computed as min(x, 0) - log(1 + e**-|x|), exact in both tails.

    >>> log_sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([-1.00000000e+03, -6.93147181e-01,  0.00000000e+00])
    """
    x = as_floating(x)
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


@log_sigmoid.vjp("x")
def log_sigmoid_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g * sigmoid(-x)


@log_sigmoid.textbook
def log_sigmoid_textbook(x: Array) -> Array:
    e = np.exp(-x)
    s = 1 / (1 + e)
    return np.log(s)


@primitive(elementwise=True, samples=SMOOTH)
def softsign(x: Array) -> Array:
    """Softsign: out = x / (1 + |x|), from -1 at -inf to 1 at +inf, with the derivative 1 / (1 + |x|)**2.

    Source: X. Glorot and Y. Bengio, Understanding the difficulty of training deep feedforward networks, AISTATS 2010.

    >>> softsign(np.array([-3.0, 0.0, 1.0]))
    array([-0.75,  0.  ,  0.5 ])
    """
    x = as_floating(x)
    far = np.finfo(x.dtype).max
    x = np.clip(x, -far, far)  # inf / inf would be NaN
    return x / (1 + np.abs(x))


@softsign.vjp("x")
def softsign_vjp_x(g: Array, out: Array, x: Array) -> Array:
    scale = 1 / (1 + np.abs(x))
    return g * (scale * scale)


@primitive(elementwise=True, samples=SMOOTH)
def tanhshrink(x: Array) -> Array:
    """What the hyperbolic tangent takes away: out = x - tanh(x), with the derivative tanh(x)**2.

    >>> tanhshrink(np.array([0.0, 1000.0]))
    array([  0., 999.])
    """
    x = as_floating(x)
    return x - np.tanh(x)


@tanhshrink.vjp("x")
def tanhshrink_vjp_x(g: Array, out: Array, x: Array) -> Array:
    t = np.tanh(x)
    return g * (t * t)


SELU_ALPHA = 1.6732632423543772  # with these two, the mean 0 and the variance 1 are a fixed point
SELU_SCALE = 1.0507009873554805


@primitive(elementwise=True, samples=KINKED)
def selu(x: Array) -> Array:
    """Scaled exponential linear unit: out = 1.0507 x for x > 0, else 1.0507 * 1.6733 (e**x - 1), the slope at 0 too.

    Normal inputs and weights keep the mean 0 and the variance 1 from layer to layer.
    Source: G. Klambauer et al., Self-normalizing neural networks, NIPS 2017.

    >>> selu(np.array([-1000.0, 1.0]))
    array([-1.75809934,  1.05070099])
    """
    below = SELU_SCALE * SELU_ALPHA * np.expm1(np.minimum(x, 0))
    return np.where(np.greater(x, 0), np.multiply(x, SELU_SCALE), below)


@selu.vjp("x")
def selu_vjp_x(g: Array, out: Array, x: Array) -> Array:
    below = SELU_SCALE * SELU_ALPHA * np.exp(np.where(x > 0, 0, x))
    return g * np.where(x > 0, SELU_SCALE, below)


@primitive(elementwise=True, samples=[*KINKED[:1], Sample(distinct(4), -0.1, 0.1)])
def hardtanh(x: Array, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    """Piecewise linear tanh: out = x between min_val and max_val, and these outside; the left derivative at both.

    So the slope is 0 at min_val and 1 at max_val. Raises ArgumentError unless min_val < max_val.
    Source: R. Collobert, Large scale machine learning, thesis, Paris 6, 2004.

    >>> hardtanh(np.array([-3.0, 0.5, 3.0]))
    array([-1. ,  0.5,  1. ])
    """
    if not min_val < max_val:
        raise ArgumentError(f"min_val={min_val}, max_val={max_val}", remedy="pass a min_val below max_val")
    return np.clip(x, float(min_val), float(max_val))


@hardtanh.vjp("x")
def hardtanh_vjp_x(g: Array, out: Array, x: Array, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    return g * ((x > min_val) & (x <= max_val))


@primitive(elementwise=True, samples=KINKED[:1])
def relu6(x: Array) -> Array:
    """Rectifier with a ceiling: out = min(max(x, 0), 6); the derivative at 0 is 0, and at 6 it is 1.

    >>> relu6(np.array([-1.0, 2.0, 8.0]))
    array([0., 2., 6.])
    """
    return np.clip(x, 0, 6)


@relu6.vjp("x")
def relu6_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g * ((x > 0) & (x <= 6))


@primitive(elementwise=True, samples=SMOOTH)
def hardsigmoid(x: Array) -> Array:
    """Piecewise linear sigmoid: out = x / 6 + 1 / 2, not below 0 nor above 1; the left derivative at -3 and 3.

    >>> hardsigmoid(np.array([-4.0, 0.0, 1.5]))
    array([0.  , 0.5 , 0.75])
    """
    return np.clip(as_floating(x) + 3, 0, 6) / 6


@hardsigmoid.vjp("x")
def hardsigmoid_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g * ((x > -3) & (x <= 3)) / 6


@primitive(elementwise=True, samples=[Sample(distinct(3, 4), 0.2)])
def softshrink(x: Array, lambd: float = 0.5) -> Array:
    """Values moved towards 0 by lambd, and those that would pass it, 0; the slope at -lambd is 1, at lambd it is 0.

    Raises ArgumentError for a negative lambd.

    >>> softshrink(np.array([-2.0, 0.25, 1.0]))
    array([-1.5,  0. ,  0.5])
    """
    if not lambd >= 0:
        raise ArgumentError(f"lambd={lambd}", remedy="pass a number from 0")
    x = as_floating(x)
    return np.where(np.abs(x) <= lambd, 0, x - np.copysign(float(lambd), x))  # NaN is handed on


@softshrink.vjp("x")
def softshrink_vjp_x(g: Array, out: Array, x: Array, lambd: float = 0.5) -> Array:
    return g * ((x <= -lambd) | (x > lambd))


@primitive(elementwise=True, samples=[Sample(distinct(3, 4), 0.2, -1.0)])
def threshold(x: Array, threshold: float, value: float) -> Array:
    """Values above a threshold, and in place of the others another value; there the derivative is 0.

    >>> threshold(np.array([0.5, 2.0]), 1.0, -1.0)
    array([-1.,  2.])
    """
    return np.where(np.less_equal(x, threshold), float(value), x)  # NaN is handed on


@threshold.vjp("x")
def threshold_vjp_x(g: Array, out: Array, x: Array, threshold: float, value: float) -> Array:
    return g * (x > threshold)


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
