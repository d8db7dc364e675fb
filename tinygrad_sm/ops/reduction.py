"""Reductions: sums, means, extrema and products along axes.

`axis` is None for all axes, an integer or a tuple, negative ones counted from the end; `keepdims` keeps reduced axes
with length 1.
"""

from __future__ import annotations

import operator

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.operand import as_array, as_floating
from tinygrad_sm.ops.samples import Sample, distinct, normal

Axis = int | tuple[int, ...] | None

SAMPLES = [
    Sample(normal(2, 3)),
    Sample(normal(2, 3), axis=1),
    Sample(normal(2, 3), axis=-2, keepdims=True),
    Sample(normal(2, 3, 2), axis=(0, 2)),
    Sample(normal()),
]
EXTREMA = [
    Sample(distinct(2, 3)),
    Sample(distinct(2, 3), axis=1),
    Sample(distinct(2, 3, 2), axis=(0, -1), keepdims=True),
]


def restore_axes(g: Array, shape: tuple[int, ...], axis: Axis, keepdims: bool) -> Array:
    """A reduced array with length-1 axes where they were reduced away, ready to broadcast against `shape`."""
    if keepdims:
        return g
    axes = range(len(shape)) if axis is None else normalised(axis, len(shape))
    return g.reshape(tuple(1 if i in axes else n for i, n in enumerate(shape)))


def count_reduced(shape: tuple[int, ...], axis: Axis) -> int:
    """How many elements each result of a reduction combines."""
    axes = range(len(shape)) if axis is None else normalised(axis, len(shape))
    return int(np.prod([shape[i] for i in axes]))


def degrees_of_freedom(shape: tuple[int, ...], axis: Axis, ddof: float) -> float:
    """What a variance divides by: the number of elements less ddof, but never below 0, as in NumPy."""
    left = count_reduced(shape, axis) - ddof
    return left if left > 0 else 0


def normalised(axis: int | tuple[int, ...], ndim: int) -> tuple[int, ...]:
    """One or several axes as a tuple, counted from the first."""
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)  # a list for median and quantile, as in NumPy
    return tuple(operator.index(i) % ndim for i in axes) if ndim else ()


@primitive(numpy=[np.sum], samples=SAMPLES)
def sum(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Sum along axes: out = sum_i x_i.

    >>> sum(np.array([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    array([4., 6.])
    """
    return np.sum(x, axis=axis, keepdims=keepdims)


@sum.vjp("x")
def sum_vjp_x(g: Array, out: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    return np.broadcast_to(restore_axes(g, x.shape, axis, keepdims), x.shape)


@primitive(numpy=[np.mean], samples=SAMPLES)
def mean(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Arithmetic mean along axes: out = (1/N) sum_i x_i.

    >>> mean(np.array([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    array([2., 3.])
    """
    return np.mean(x, axis=axis, keepdims=keepdims)


@mean.vjp("x")
def mean_vjp_x(g: Array, out: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    share = g / count_reduced(x.shape, axis)
    return np.broadcast_to(restore_axes(share, x.shape, axis, keepdims), x.shape)


@primitive(numpy=[np.max, np.amax], samples=EXTREMA)
def max(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Largest value along axes; tied elements share the gradient evenly.

    >>> max(np.array([[1.0, 3.0], [4.0, 2.0]]), axis=1)
    array([3., 4.])
    """
    return np.max(x, axis=axis, keepdims=keepdims)


@max.vjp("x")
def max_vjp_x(g: Array, out: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    tied = np.equal(x, restore_axes(out, x.shape, axis, keepdims))
    share = restore_axes(g, x.shape, axis, keepdims) / tied.sum(axis=axis, keepdims=True)
    return np.where(tied, share, 0)


@primitive(numpy=[np.min, np.amin], samples=EXTREMA)
def min(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Smallest value along axes; tied elements share the gradient evenly.

    >>> min(np.array([[1.0, 3.0], [4.0, 2.0]]), axis=1)
    array([1., 2.])
    """
    return np.min(x, axis=axis, keepdims=keepdims)


@min.vjp("x")
def min_vjp_x(g: Array, out: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    tied = np.equal(x, restore_axes(out, x.shape, axis, keepdims))
    share = restore_axes(g, x.shape, axis, keepdims) / tied.sum(axis=axis, keepdims=True)
    return np.where(tied, share, 0)


@primitive(method=False, numpy=[np.ptp], samples=EXTREMA)
def ptp(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Peak to peak: the largest value minus the smallest along axes; tied elements share the gradient evenly.

    >>> float(ptp(np.array([1.0, 3.0, 2.0])))
    2.0
    """
    return np.max(x, axis=axis, keepdims=keepdims) - np.min(x, axis=axis, keepdims=keepdims)


@ptp.vjp("x")
def ptp_vjp_x(g: Array, out: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    largest = max_vjp_x(g, np.max(x, axis=axis, keepdims=keepdims), x, axis, keepdims)
    smallest = min_vjp_x(g, np.min(x, axis=axis, keepdims=keepdims), x, axis, keepdims)
    return largest - smallest


SPREAD = [*SAMPLES[:-1], Sample(normal(4), ddof=1), Sample(normal(2, 3), axis=1, ddof=1)]


@primitive(numpy=[np.var], samples=SPREAD)
def var(x: Array, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Array:
    """Variance along axes: out = sum_i (x_i - mean)**2 / (N - ddof).

    With ddof >= N that is a division by 0, as in NumPy: infinite or NaN, and so is the derivative.

    >>> float(var(np.array([1.0, 3.0])))
    1.0
    """
    return np.var(x, axis=axis, ddof=ddof, keepdims=keepdims)


@var.vjp("x")
def var_vjp_x(g: Array, out: Array, x: Array, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Array:
    deviation = x - np.mean(x, axis=axis, keepdims=True)
    share = restore_axes(g, x.shape, axis, keepdims) / degrees_of_freedom(x.shape, axis, ddof)
    return 2 * share * deviation


@primitive(numpy=[np.std], samples=SPREAD)
def std(x: Array, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Array:
    """Standard deviation along axes: out = sqrt(var(x)); the derivative of a constant input is 0.

    >>> float(std(np.array([1.0, 3.0])))
    1.0
    """
    x = as_floating(x)  # small integers would wrap around
    shifted = x - np.max(x, axis=axis, keepdims=True)  # a constant input must give 0, not the rounding of its mean
    return np.std(shifted, axis=axis, ddof=ddof, keepdims=keepdims)


@std.vjp("x")
def std_vjp_x(g: Array, out: Array, x: Array, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Array:
    deviation = x - np.mean(x, axis=axis, keepdims=True)
    share = g / np.where(np.equal(out, 0), 1, out) / degrees_of_freedom(x.shape, axis, ddof)
    return restore_axes(np.where(np.equal(out, 0), 0, share), x.shape, axis, keepdims) * deviation


@primitive(numpy=[np.prod], samples=[*SAMPLES, Sample(normal(3, 1), axis=1)])
def prod(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Product along axes: out = prod_i x_i; derivatives are exact with zeros among the factors.

    >>> prod(np.array([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    array([3., 8.])
    """
    return np.prod(x, axis=axis, keepdims=keepdims)


@prod.vjp("x")
def prod_vjp_x(g: Array, out: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    return restore_axes(g, x.shape, axis, keepdims) * prod_of_others(x, axis)


@primitive(
    method=False, samples=[Sample(normal(2, 3)), Sample(normal(2, 3, 2), axis=(0, 2)), Sample(normal(3), axis=0)]
)
def prod_of_others(x: Array, axis: Axis = None) -> Array:
    """For each element the product of all the others along axes: out_i = prod_{j != i} x_j, without dividing.

    Products from the left and from the right are multiplied, so zeros do no harm and the work is linear.

    >>> prod_of_others(np.array([2.0, 0.0, 5.0]))
    array([ 0., 10.,  0.])
    """
    rows = reduced_last(as_array(x), axis)
    from_left = np.cumprod(np.concatenate([np.ones_like(rows[..., :1]), rows[..., :-1]], axis=-1), axis=-1)
    from_right = np.cumprod(np.concatenate([np.ones_like(rows[..., :1]), rows[..., :0:-1]], axis=-1), axis=-1)
    return restored_from_last(from_left * from_right[..., ::-1], np.shape(x), axis)


@prod_of_others.vjp("x")
def prod_of_others_vjp_x(g: Array, out: Array, x: Array, axis: Axis = None) -> Array:
    # Row i of the matrix leaves x_i out. It takes quadratic memory, but only the derivative of a derivative comes here.
    rows = reduced_last(x, axis)
    n = rows.shape[-1]
    matrix = np.where(np.eye(n, dtype=bool), 1, np.broadcast_to(np.expand_dims(rows, -2), (*rows.shape, n)))
    pairs = np.where(np.eye(n, dtype=bool), 0, prod_of_others(matrix, -1))
    return restored_from_last((np.expand_dims(reduced_last(g, axis), -1) * pairs).sum(axis=-2), x.shape, axis)


def _permutation(ndim: int, axis: Axis) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes that stay and those that are reduced."""
    reduced = tuple(range(ndim)) if axis is None else normalised(axis, ndim)
    return tuple(i for i in range(ndim) if i not in reduced), reduced


def reduced_last(x: Array, axis: Axis) -> Array:
    """The reduced axes moved to the end and flattened into one."""
    stay, reduced = _permutation(x.ndim, axis)
    return np.transpose(x, stay + reduced).reshape((*[x.shape[i] for i in stay], count_reduced(x.shape, axis)))


def restored_from_last(rows: Array, shape: tuple[int, ...], axis: Axis) -> Array:
    """The inverse of `reduced_last`."""
    stay, reduced = _permutation(len(shape), axis)
    unflattened = rows.reshape(tuple(shape[i] for i in stay + reduced))
    return np.transpose(unflattened, tuple(int(i) for i in np.argsort(stay + reduced)))
