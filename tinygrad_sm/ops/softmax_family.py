"""The stable family around softmax: logsumexp, softmax and log_softmax.

All of them shift by the largest value first, because e**(x - max) cannot overflow and the shift cancels; as it cancels,
the textbook formulas may take it for a constant. Where every value of a row is -inf (a fully masked row) softmax is
zero, and where k values are +inf it is 1/k on those.

Source: P. Blanchard, D. J. Higham and N. J. Higham, Accurately computing the log-sum-exp and softmax functions, IMA J.
Numer. Anal. 41, 2021.
"""

from __future__ import annotations

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.operand import plain
from tinygrad_sm.ops.reduction import SAMPLES, Axis, restore_axes
from tinygrad_sm.ops.samples import Sample, normal

ALONG_AXIS = [Sample(normal(2, 3)), Sample(normal(2, 3), axis=0), Sample(normal(2, 3, 2), axis=1), Sample(normal(3))]

FEW = 128  # Up to so many classes a batch is worked on class by class, which is 2 to 7 times as fast as row by row.


def shifted_exp(x: Array, axis: Axis) -> tuple[Array, Array, Array, bool]:
    """e**(x - max), its sum and max along axes (kept), and whether all maxima are finite: the heart of the family."""
    x = np.asarray(x)
    x = x if x.dtype.kind == "f" else x.astype(float)
    by_class = x.ndim == 2 and axis in (1, -1) and x.shape[1] <= min(x.shape[0], FEW)
    if by_class:
        x, axis = np.ascontiguousarray(x.T), 0
    top = np.maximum.reduce(x, axis=axis, keepdims=True)
    finite = all_finite(top)
    if finite:
        e = np.asarray(np.subtract(x, top))
        np.exp(e, out=e)
    else:  # masked rows and infinities: inf - inf would be NaN
        with np.errstate(invalid="ignore"):
            e = np.exp(x - np.where(np.isneginf(top), 0, top))
        e = np.where(np.isposinf(top), x == top, e)
    total = np.add.reduce(e, axis=axis, keepdims=True)
    return (e.T, total.T, top.T, finite) if by_class else (e, total, top, finite)


def all_finite(array: Array) -> bool:
    """Whether an array holds neither infinity nor NaN."""
    return bool(np.logical_and.reduce(np.isfinite(array), axis=None))


@primitive(samples=SAMPLES)
def logsumexp(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Logarithm of a sum of exponentials along axes, a smooth maximum: out = log sum_i e**x_i.

    Neither overflows nor underflows; -inf where all are -inf, +inf where one is. Its derivative is the softmax.

    >>> float(logsumexp(np.array([1000.0, 1000.0])))
    1000.6931471805599
    """
    _, total, top, _ = shifted_exp(x, axis)
    with np.errstate(divide="ignore"):  # log 0 is the -inf of a fully masked row
        out = np.log(total) + top
    return out if keepdims else np.squeeze(out, axis=axis)


@logsumexp.vjp("x")
def logsumexp_vjp_x(g: Array, out: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    return restore_axes(g, x.shape, axis, keepdims) * softmax(x, axis)


@logsumexp.textbook
def logsumexp_textbook(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    top = np.max(plain(x), axis=axis, keepdims=True)
    shifted = x - top
    e = np.exp(shifted)
    e_sum = np.sum(e, axis=axis, keepdims=True)
    out = np.log(e_sum) + top
    return out if keepdims else np.squeeze(out, axis)


@primitive(samples=ALONG_AXIS)
def softmax(x: Array, axis: Axis = -1) -> Array:
    """Positive values that sum to 1 along an axis, in proportion to e**x: out_i = e**x_i / sum_j e**x_j.

    Its Jacobian is diag(p) - p p^T. For a loss take `cross_entropy`, which needs no softmax before it.

    >>> softmax(np.array([[1000.0, 1000.0], [0.0, -np.inf]]))
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    e, total, _, _ = shifted_exp(x, axis)
    return np.divide(e, np.where(total == 0, 1, total), out=e)


@softmax.vjp("x")
def softmax_vjp_x(g: Array, out: Array, x: Array, axis: Axis = -1) -> Array:
    return out * (g - np.sum(g * out, axis=axis, keepdims=True))


@softmax.textbook
def softmax_textbook(x: Array, axis: Axis = -1) -> Array:
    top = np.max(plain(x), axis=axis, keepdims=True)
    shifted = x - top
    e = np.exp(shifted)
    e_sum = np.sum(e, axis=axis, keepdims=True)
    return e / e_sum


@primitive(samples=ALONG_AXIS)
def log_softmax(x: Array, axis: Axis = -1) -> Array:
    """Logarithm of the softmax, without its underflow: out_i = x_i - log sum_j e**x_j.

    A fully masked row (all -inf) gives -inf and a gradient of 0.

    >>> log_softmax(np.array([0.0, -1e4]))
    array([     0., -10000.])
    """
    _, total, top, _ = shifted_exp(x, axis)
    with np.errstate(divide="ignore", invalid="ignore"):
        out = (x - top) - np.log(total)
        infinite = np.where(np.equal(x, top) & (top > 0), -np.log(total), -np.inf)
    return np.where(np.isinf(top), infinite, out)


@log_softmax.vjp("x")
def log_softmax_vjp_x(g: Array, out: Array, x: Array, axis: Axis = -1) -> Array:
    masked = np.all(np.equal(x, -np.inf), axis=axis, keepdims=True)
    return np.where(masked, 0, g - softmax(x, axis) * np.sum(g, axis=axis, keepdims=True))


@log_softmax.textbook
def log_softmax_textbook(x: Array, axis: Axis = -1) -> Array:
    top = np.max(plain(x), axis=axis, keepdims=True)
    shifted = x - top
    e = np.exp(shifted)
    e_sum = np.sum(e, axis=axis, keepdims=True)
    log_sum = np.log(e_sum)
    return shifted - log_sum
