"""Order: sorted values, medians and quantiles.

Each result is one element, or a mean of two, and their cotangents go back to where these stood.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.errors import ShapeError
from tinygrad_sm.operand import as_array
from tinygrad_sm.ops.indexing import scatter_add, take_along_axis
from tinygrad_sm.ops.reduction import Axis, count_reduced, reduced_last, restored_from_last
from tinygrad_sm.ops.samples import Sample, distinct, normal

ALONG_AXES = [Sample(distinct(2, 3)), Sample(distinct(2, 4), axis=1), Sample(distinct(2, 3, 2), (0, -1), keepdims=True)]


@primitive(
    method=False,
    numpy=[np.sort],
    samples=[Sample(distinct(2, 3)), Sample(distinct(2, 3), axis=0), Sample(distinct(2, 3), axis=None)],
)
def sort(x: Array, axis: int | None = -1, kind: Any = None, *, stable: bool | None = None) -> Array:
    """Values in rising order along an axis, or of the flattened array; NaN comes last.

    The gradient goes to where each value stood; equal ones keep their order, whatever kind of sorting is asked for.

    >>> sort(np.array([3.0, 1.0, 2.0]))
    array([1., 2., 3.])
    """
    return np.sort(x, axis=axis, kind=kind, stable=stable)


@sort.vjp("x")
def sort_vjp_x(
    g: Array, out: Array, x: Array, axis: int | None = -1, kind: Any = None, stable: bool | None = None
) -> Array:
    rows, along = (x.reshape(-1), 0) if axis is None else (x, axis)
    ranks = np.argsort(np.argsort(rows, along, kind="stable"), along)
    return take_along_axis(g, ranks, along).reshape(x.shape)


@primitive(
    method=False,
    numpy=[np.quantile],
    samples=[
        Sample(distinct(2, 3), 0.3),
        Sample(distinct(2, 4), [0.1, 0.75], axis=1),
        Sample(distinct(2, 3, 2), 0.6, (0, -1), method="midpoint", keepdims=True),
        Sample(distinct(4, 2), [[0.2], [0.5]], axis=0, method="hazen", keepdims=True),
    ],
)
def quantile(x: Array, q: Any, axis: Axis = None, method: str = "linear", keepdims: bool = False) -> Array:
    """Values below which the fractions q of the elements along axes lie; an array q puts its axes in front.

    A result is a mean of the two sorted values next to it, weighted by one of NumPy's methods. Its gradient goes to
    these two, and is shared evenly among elements equal to them, as that of max and min is.

    >>> quantile(np.array([4.0, 1.0, 2.0]), [0.5, 0.75])
    array([2., 3.])
    """
    refuse_empty(np.shape(x), axis)
    x = as_array(x)
    out: Any = np.quantile(x, q, axis=axis, method=method, keepdims=keepdims)  # type: ignore[call-overload]
    return out.astype(x.dtype) if x.dtype.kind == "f" else out  # an array q makes float64 of it


@quantile.vjp("x")
def quantile_vjp_x(
    g: Array, out: Array, x: Array, q: Any, axis: Axis = None, method: str = "linear", keepdims: bool = False
) -> Array:
    rows = reduced_last(x, axis)
    below, above, fraction = sorted_neighbours(q, rows.shape[-1], method, g.dtype)
    rows_of_g = np.moveaxis(g.reshape((len(below), *rows.shape[:-1])), 0, -1)
    shares = np.concatenate([rows_of_g * (1 - fraction), rows_of_g * fraction], axis=-1)
    ordered = scatter_add(shares, (..., np.concatenate([below, above])), rows.shape)
    return restored_from_last(shared_back(ordered, rows), x.shape, axis)


@primitive(method=False, numpy=[np.percentile], samples=[Sample(distinct(2, 4), [25, 60], axis=1)])
def percentile(x: Array, q: Any, axis: Axis = None, method: str = "linear", keepdims: bool = False) -> Array:
    """Values below which q per cent of the elements along axes lie: the `quantile` of q / 100.

    >>> float(percentile(np.array([4.0, 1.0, 2.0]), 75))
    3.0
    """
    return quantile.forward(x, fractions(q), axis, method, keepdims)


@percentile.vjp("x")
def percentile_vjp_x(
    g: Array, out: Array, x: Array, q: Any, axis: Axis = None, method: str = "linear", keepdims: bool = False
) -> Array:
    return quantile_vjp_x(g, out, x, fractions(q), axis, method, keepdims)


def fractions(q: Any) -> Array:
    """Percentages as fractions."""
    return np.asarray(q) / 100


@primitive(method=False, numpy=[np.median], samples=ALONG_AXES)
def median(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Middle value along axes, or the mean of the middle two; the quantile of 0.5, and its gradient the same.

    >>> float(median(np.array([4.0, 1.0, 2.0])))
    2.0
    """
    refuse_empty(np.shape(x), axis)
    return np.median(x, axis=axis, keepdims=keepdims)


@median.vjp("x")
def median_vjp_x(g: Array, out: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    return quantile_vjp_x(g, out, x, 0.5, axis, "linear", keepdims)


def refuse_empty(shape: tuple[int, ...], axis: Axis) -> None:
    """Raise where there is nothing to choose from."""
    if not count_reduced(shape, axis):
        raise ShapeError(f"x {shape} has no elements along axis {axis}", remedy="leave out empty arrays")


def sorted_neighbours(q: Any, count: int, method: Any, dtype: Any) -> tuple[Array, Array, Array]:
    """Positions of the sorted values below and above each quantile, and how far it lies between the two.

    They are the same for any values, so NumPy's quantiles of 0, 1, 2, ... tell them for each of its methods.
    """
    place = np.quantile(np.arange(float(count)), np.ravel(q), method=method)
    below = np.floor(place).astype(int)
    return below, np.minimum(below + 1, count - 1), (place - below).astype(dtype)


def shared_back(ordered: Array, rows: Array) -> Array:
    """Cotangents of sorted rows put where the values stand in the rows, shared evenly among those that are equal."""
    order = np.argsort(rows, -1, kind="stable")
    values = take_along_axis(rows, order, -1)
    begins = np.concatenate([np.ones_like(values[..., :1], bool), np.not_equal(values[..., 1:], values[..., :-1])], -1)
    return take_along_axis(mean_of_runs(ordered, begins), np.argsort(order, -1), -1)


@primitive(method=False, samples=[Sample(normal(2, 4), np.array([[1, 0, 1, 0], [1, 1, 0, 0]], bool))])
def mean_of_runs(values: Array, begins: Array) -> Array:
    """Mean of each run of elements along the last axis, in the place of each of them; begins says where one begins.

    >>> mean_of_runs(np.array([1.0, 3.0, 5.0]), np.array([True, False, True]))
    array([2., 2., 5.])
    """
    values, begins = np.asarray(values), np.asarray(begins)  # no stand-ins: how many runs there are, the values say
    first = np.flatnonzero(begins)
    count = np.diff(np.append(first, values.size))
    means = np.add.reduceat(values.ravel(), first) / count.astype(values.dtype)
    return np.repeat(means, count).reshape(values.shape)


@mean_of_runs.vjp("values")
def mean_of_runs_vjp_values(g: Array, out: Array, values: Array, begins: Array) -> Array:
    return mean_of_runs(g, begins)
