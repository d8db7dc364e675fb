"""The stable family around softmax: logsumexp, softmax and log_softmax.

All of them shift by the largest value first, because e**(x - max) cannot overflow and the shift cancels; as it cancels,
the textbook formulas may take it for a constant. Where every value of a row is -inf (a fully masked row) softmax is
zero, and where k values are +inf it is 1/k on those. A sum over nothing is 0, and its logarithm -inf.

Source: P. Blanchard, D. J. Higham and N. J. Higham, Accurately computing the log-sum-exp and softmax functions, IMA J.
Numer. Anal. 41, 2021.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.operand import as_array, as_floating, plain
from tinygrad_sm.ops.reduction import SAMPLES, Axis, restore_axes
from tinygrad_sm.ops.samples import Sample, normal
from tinygrad_sm.threads import one_call, run_rows, splits

ALONG_AXIS = [Sample(normal(2, 3)), Sample(normal(2, 3), axis=0), Sample(normal(2, 3, 2), axis=1), Sample(normal(3))]

FEW = 128  # Up to so many classes a batch is worked on class by class, which is 2 to 7 times as fast as row by row.


def shifted_exp(x: Array, axis: Axis, out: Array | None = None) -> tuple[Array, Array, Array, bool]:
    """e**(x - max), its sum and max along axes (kept), and whether all maxima are finite: the heart of the family.

    What is returned first may stand in `out`.
    """
    x = as_floating(x)
    by_class = x.ndim == 2 and axis in (1, -1) and x.shape[1] <= min(x.shape[0], FEW)
    if by_class:
        x, axis, out = x.T.copy(), 0, None
    if x.size:
        top = np.maximum.reduce(x, axis=axis, keepdims=True)
    else:  # the largest of nothing, as of a fully masked row
        top = np.add.reduce(x, axis=axis, keepdims=True) - np.inf
    finite = all_finite(top)
    if finite:
        e = np.subtract(x, top, out=out)
        e = np.exp(e, out=e if x.ndim else None)  # NumPy makes scalars of 0-d results
    else:  # masked rows and infinities: inf - inf would be NaN
        with np.errstate(invalid="ignore"):
            e = np.exp(x - np.where(np.isneginf(top), 0, top))
        e = np.where(np.isposinf(top), x == top, e)
    total = np.add.reduce(e, axis=axis, keepdims=True)
    return (e.T, total.T, top.T, finite) if by_class else (e, total, top, finite)


def normalised(e: Array, total: Array, finite: bool) -> Array:
    """What sums to 1, in place of e; zero in a fully masked row. The total is at least 1 where maxima are finite."""
    e /= total if finite else np.where(total == 0, 1, total)
    return e


def all_finite(array: Array) -> bool:
    """Whether an array holds neither infinity nor NaN, nor numbers whose squares overflow; one call, not three."""
    return bool(np.vdot(array, array) < np.inf)


@primitive(residual=True, samples=SAMPLES)
def logsumexp(x: Array, axis: Axis = None, keepdims: bool = False) -> tuple[Array, Array]:
    """Logarithm of a sum of exponentials along axes, a smooth maximum: out = log sum_i e**x_i.

    Neither overflows nor underflows; -inf where all are -inf, +inf where one is. Its derivative is the softmax.

    >>> float(logsumexp(np.array([1000.0, 1000.0])))
    1000.6931471805599
    """
    x = as_array(x)
    out, p = logsumexp_in_blocks(x, axis) if splits_along(x, axis) else logsumexp_and_slope(x, axis)
    return out if keepdims else np.squeeze(out, axis=axis), p


def logsumexp_and_slope(x: Array, axis: Axis, out: Array | None = None) -> tuple[Array, Array]:
    """The logsumexp, with its axes kept, and its slope, the softmax, which may stand in `out`."""
    e, total, top, finite = shifted_exp(x, axis, out)
    with np.errstate(divide="ignore"):  # log 0 is the -inf of a fully masked row
        log_sum = np.log(total) + top
    return log_sum, normalised(e, total, finite)


@logsumexp.vjp("x")
def logsumexp_vjp_x(
    g: Array, out: Array, x: Array, axis: Axis = None, keepdims: bool = False, residual: Array | None = None
) -> Array:
    if residual is not None:  # the softmax, ours to overwrite
        residual *= restore_axes(g, residual.shape, axis, keepdims)
        return residual
    return restore_axes(g, x.shape, axis, keepdims) * softmax(x, axis)


@logsumexp.textbook
def logsumexp_textbook(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    top = np.max(plain(x), axis=axis, keepdims=True)
    shifted = x - top
    e = np.exp(shifted)
    e_sum = np.sum(e, axis=axis, keepdims=True)
    out = np.log(e_sum) + top
    return out if keepdims else np.squeeze(out, axis)


@primitive(residual=True, samples=ALONG_AXIS)
def softmax(x: Array, axis: Axis = -1) -> tuple[Array, Array | None]:
    """Positive values that sum to 1 along an axis, in proportion to e**x: out_i = e**x_i / sum_j e**x_j.

    Its Jacobian is diag(p) - p p^T. For a loss take `cross_entropy`, which needs no softmax before it.

    >>> softmax(np.array([[1000.0, 1000.0], [0.0, -np.inf]]))
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    x = as_array(x)
    if splits_along(x, axis):
        out = softmax_in_blocks(x, axis)
        return out, out
    return normalised_exp(x, axis), None


def normalised_exp(x: Array, axis: Axis, out: Array | None = None) -> Array:
    """The softmax, which may stand in `out`."""
    e, total, _, finite = shifted_exp(x, axis, out)
    return normalised(e, total, finite)


@softmax.vjp("x")
def softmax_vjp_x(g: Array, out: Array, x: Array, axis: Axis = -1, residual: Array | None = None) -> Array:
    if residual is not None:  # the output, which is large
        return softmax_slope_in_blocks(g, residual, axis)
    return out * (g - np.sum(g * out, axis=axis, keepdims=True))


@softmax.textbook
def softmax_textbook(x: Array, axis: Axis = -1) -> Array:
    top = np.max(plain(x), axis=axis, keepdims=True)
    shifted = x - top
    e = np.exp(shifted)
    e_sum = np.sum(e, axis=axis, keepdims=True)
    return e / e_sum


@primitive(residual=True, samples=ALONG_AXIS)
def log_softmax(x: Array, axis: Axis = -1) -> tuple[Array, Array | None]:
    """Logarithm of the softmax, without its underflow: out_i = x_i - log sum_j e**x_j.

    A fully masked row (all -inf) gives -inf and a gradient of 0.

    >>> log_softmax(np.array([0.0, -1e4]))
    array([     0., -10000.])
    """
    x = as_array(x)
    if splits_along(x, axis):
        out = log_softmax_in_blocks(x, axis)
        return out, out
    return log_of_softmax(x, axis), None


def log_of_softmax(x: Array, axis: Axis, out: Array | None = None) -> Array:
    """The logarithm of the softmax, which may stand in `out`."""
    _, total, top, finite = shifted_exp(x, axis, out)
    if finite:
        shifted = np.subtract(x, top, out=out)
        shifted -= np.log(total)
        return shifted
    with np.errstate(divide="ignore", invalid="ignore"):
        shifted = (x - top) - np.log(total)
        infinite = np.where(np.equal(x, top) & (top > 0), -np.log(total), -np.inf)
    return np.where(np.isinf(top), infinite, shifted)


@log_softmax.vjp("x")
def log_softmax_vjp_x(g: Array, out: Array, x: Array, axis: Axis = -1, residual: Array | None = None) -> Array:
    if residual is not None:  # the output, which is large
        return log_softmax_slope_in_blocks(g, residual, axis)
    masked = np.all(np.equal(out, -np.inf), axis=axis, keepdims=True)
    return np.where(masked, 0, g - np.exp(out) * np.sum(g, axis=axis, keepdims=True))


@log_softmax.textbook
def log_softmax_textbook(x: Array, axis: Axis = -1) -> Array:
    top = np.max(plain(x), axis=axis, keepdims=True)
    shifted = x - top
    e = np.exp(shifted)
    e_sum = np.sum(e, axis=axis, keepdims=True)
    log_sum = np.log(e_sum)
    return shifted - log_sum


# Large arrays, in blocks of rows.


def splits_along(x: Array, axis: Axis) -> bool:
    """Whether an array is large, and an axis leaves its rows apart."""
    return splits(x) and isinstance(axis, int) and axis != 0 and -x.ndim < axis < x.ndim


def in_blocks(function: Callable[..., Array], axis: int, *arrays: Array) -> Array:
    """function(*arrays, axis) of arrays of one shape, as an array of that shape, in blocks of rows."""
    result = empty_like(arrays[0])
    axis, (out, *rows) = as_rows(axis, result, *arrays)

    def kernel(lo: int, hi: int) -> None:
        into = out[lo:hi]
        put(into, function(*[each[lo:hi] for each in rows], axis, into))

    run_rows(kernel, out)
    return result


def put(out: Array, found: Array) -> None:
    """Put an array where it should stand, unless it is that very one."""
    if found is not out:
        out[...] = found


def as_rows(axis: int, *arrays: Array) -> tuple[int, list[Array]]:
    """The axis counted from the end, and the arrays in two axes where it is the last one: more rows, and shorter."""
    axis = axis if axis < 0 else axis - arrays[0].ndim
    return axis, [each.reshape(-1, each.shape[-1]) if axis == -1 else each for each in arrays]


def empty_like(x: Array) -> Array:
    """An array to fill, in C order and floating."""
    return np.empty(x.shape, x.dtype if x.dtype.kind == "f" else float)


@one_call
def softmax_in_blocks(x: Array, axis: int) -> Array:
    """The softmax."""
    return in_blocks(normalised_exp, axis, x)


@one_call
def log_softmax_in_blocks(x: Array, axis: int) -> Array:
    """The logarithm of the softmax."""
    return in_blocks(log_of_softmax, axis, x)


@one_call
def logsumexp_in_blocks(x: Array, axis: int) -> tuple[Array, Array]:
    """The logsumexp, with its axis kept, and its slope."""
    slope = empty_like(x)
    out = np.empty_like(slope, shape=[1 if i == axis % x.ndim else n for i, n in enumerate(x.shape)])
    axis, (rows, slope_rows, out_rows) = as_rows(axis, x, slope, out)

    def kernel(lo: int, hi: int) -> None:
        into = slope_rows[lo:hi]
        out_rows[lo:hi], found = logsumexp_and_slope(rows[lo:hi], axis, into)
        put(into, found)

    run_rows(kernel, rows)
    return out, slope


@one_call
def softmax_slope_in_blocks(g: Array, p: Array, axis: int) -> Array:
    """What `softmax` makes of a cotangent."""
    return in_blocks(softmax_slope, axis, p, g)


def softmax_slope(p: Array, g: Array, axis: int, out: Array) -> Array:
    """The same for one block, without an array besides `out`."""
    np.multiply(g, p, out=out)
    np.subtract(g, np.add.reduce(out, axis=axis, keepdims=True), out=out)
    return np.multiply(out, p, out=out)


@one_call
def log_softmax_slope_in_blocks(g: Array, log_p: Array, axis: int) -> Array:
    """What `log_softmax` makes of a cotangent."""
    return in_blocks(log_softmax_slope, axis, log_p, g)


def log_softmax_slope(log_p: Array, g: Array, axis: int, out: Array) -> Array:
    """The same for one block, without an array besides `out`."""
    np.exp(log_p, out=out)
    out *= np.add.reduce(g, axis=axis, keepdims=True)
    np.subtract(g, out, out=out)
    if np.isneginf(log_p.take(0, axis)).any():  # so that a row may be fully masked
        np.copyto(out, 0, where=np.all(np.isneginf(log_p), axis=axis, keepdims=True))
    return out
