"""Indexing: what takes elements at positions, and what puts them there.

Taking and adding are adjoint: the gradient of an element that was taken several times is the sum over its copies.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.errors import DTypeError, UnsupportedError
from tinygrad_sm.numpy_calls import unbroadcast
from tinygrad_sm.operand import as_array
from tinygrad_sm.ops.samples import Sample, distinct, normal

REPEATED = np.array([0, 2, 2, 1])


@primitive(
    method=False,
    samples=[
        Sample(normal(4, 3), 1),
        Sample(normal(4, 3), (slice(None, None, -2), 0)),
        Sample(normal(4, 3), (..., None, slice(1, 3))),
        Sample(normal(4, 3), REPEATED),
        Sample(normal(4, 3), (REPEATED[:, None], REPEATED[:3] // 2)),
        Sample(normal(3), np.array([True, False, True])),
        Sample(normal(2, 3), (0, np.array([True, False, True]))),
    ],
)
def getitem(x: Array, index: Any) -> Array:
    """NumPy's indexing x[index]: integers, slices, newaxis, ellipsis, integer arrays, boolean masks.

    The gradient of an element that was taken several times is the sum over its copies.

    >>> getitem(np.array([1.0, 2.0, 3.0]), slice(1, None))
    array([2., 3.])
    """
    return as_array(x)[index]


@getitem.vjp("x")
def getitem_vjp_x(g: Array, out: Array, x: Array, index: Any) -> Array:
    return scatter_add(g, index, x.shape)


@primitive(
    method=False,
    samples=[
        Sample(normal(4), REPEATED, (3,)),
        Sample(normal(4, 2), REPEATED, (3, 2)),
        Sample(normal(2), slice(0, 4, 2), (5,)),
    ],
)
def scatter_add(values: Array, index: Any, shape: tuple[int, ...]) -> Array:
    """Zeros of a shape with values added at an index, repeatedly where positions repeat: the adjoint of x[index].

    >>> scatter_add(np.array([1.0, 2.0, 3.0]), np.array([0, 2, 2]), (3,))
    array([1., 0., 5.])
    """
    values = as_array(values)
    out = np.zeros(shape, dtype=values.dtype)
    if _selects_once(index):
        out[index] = values
    else:
        # Sorting the index and np.add.reduceat take a third of the time at best, four times as long at worst.
        np.add.at(out, index, values)
    return out


@scatter_add.vjp("values")
def scatter_add_vjp_values(g: Array, out: Array, values: Array, index: Any, shape: tuple[int, ...]) -> Array:
    return unbroadcast(g[index], values.shape)


def _selects_once(index: Any) -> bool:
    """Whether no position can occur twice: an index without integer arrays or lists."""
    parts = index if isinstance(index, tuple) else (index,)
    basic = (int, np.integer, slice, type(None), type(Ellipsis))
    return all(isinstance(part, basic) or as_array(part).dtype.kind == "b" for part in parts)


@primitive(
    hint="indices has as many axes as x, and its lengths but along the axis",
    numpy=[np.take_along_axis],
    samples=[
        Sample(distinct(2, 3), np.array([[0, 0], [2, 1]]), axis=1),
        Sample(distinct(2, 3), np.array([[1, 0, 1]]), axis=0),
        Sample(distinct(4), REPEATED, axis=0),
    ],
)
def take_along_axis(x: Array, indices: Array, axis: int = -1) -> Array:
    """One element per index along an axis, the other axes matched: out[i, j] = x[i, indices[i, j]]; PyTorch's gather.

    >>> take_along_axis(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1], [0]]), axis=1)
    array([[2.],
           [3.]])
    """
    if axis is None:
        raise UnsupportedError("axis=None", remedy="reshape the array to (-1,) and take along axis 0")
    return np.take_along_axis(as_array(x), as_array(indices), axis)


@take_along_axis.vjp("x")
def take_along_axis_vjp_x(g: Array, out: Array, x: Array, indices: Array, axis: int = -1) -> Array:
    return scatter_add(g, index_along_axis(indices, axis, x.shape), x.shape)


def index_along_axis(indices: Array, axis: int, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """The indices for which x[index] is take_along_axis(x, indices, axis)."""
    axis %= len(shape)
    grids = np.ogrid[tuple(slice(n) for n in shape)]
    return tuple(as_array(indices) if i == axis else grid for i, grid in enumerate(grids))


@primitive(
    numpy=[np.take],
    samples=[
        Sample(normal(2, 3), REPEATED),
        Sample(normal(2, 3), np.array([[0, -1], [2, 2]]), axis=1),
        Sample(normal(3, 2), np.array([4, -5, 1]), axis=0, mode="wrap"),
        Sample(normal(3, 2), np.array([4, -5, 1]), axis=0, mode="clip"),
    ],
)
def take(x: Array, indices: Array, axis: int | None = None, mode: str = "raise") -> Array:
    """Elements at integer positions along an axis, or of the flattened array; a position may be taken several times.

    mode says what becomes of positions outside of the array: "raise", "wrap" around, or "clip" to the first and last.

    >>> take(np.array([1.0, 2.0, 3.0]), [0, 2, 2])
    array([1., 3., 3.])
    """
    indices = whole(indices)
    return np.take(x, indices, axis=axis, mode=mode)  # type: ignore[call-overload]  # NumPy checks the mode


@take.vjp("x")
def take_vjp_x(g: Array, out: Array, x: Array, indices: Array, axis: int | None = None, mode: str = "raise") -> Array:
    if axis is None:
        return scatter_add(g, positions_within(indices, x.size, mode), (x.size,)).reshape(x.shape)
    shape = x.shape or (1,)  # as NumPy has it
    index = (slice(None),) * (axis % len(shape)) + (positions_within(indices, shape[axis], mode),)
    return scatter_add(g, index, shape).reshape(x.shape)


def whole(indices: Any) -> Array:
    """Positions as an array of integers; an empty list counts as one."""
    indices = as_array(indices)
    if indices.dtype.kind not in "iu" and indices.size:
        raise DTypeError(f"indices of {indices.dtype}", remedy="give positions, which are integers")
    return indices if indices.size else indices.astype(int)


def positions_within(indices: Array, count: int, mode: str) -> Array:
    """Positions as `take` reads them in its modes."""
    indices = whole(indices)
    if mode == "wrap":
        return indices % count
    return np.clip(indices, 0, count - 1) if mode == "clip" else indices


@primitive(
    method=False,
    hint="value must broadcast to the shape of x[index]",
    samples=[
        Sample(normal(4, 3), 1, normal(3)),
        Sample(normal(4, 3), (slice(None), REPEATED[:2]), normal(4, 1)),
        Sample(normal(4), REPEATED, normal(4)),
        Sample(normal(3), np.array([True, False, True]), normal()),
    ],
)
def index_update(x: Array, index: Any, value: Array) -> Array:
    """A copy of x with out[index] = value: assignment as a function, with a gradient for x and for value.

    Where an index names a position several times the last value stands, and it alone has a gradient.
    Raises DTypeError for a floating value in an array of integers.

    >>> index_update(np.array([1.0, 2.0, 3.0]), slice(1, None), 0.0)
    array([1., 0., 0.])
    """
    out = writable(x, value)
    out[index] = value
    return out


@index_update.vjp("x")
def index_update_vjp_x(g: Array, out: Array, x: Array, index: Any, value: Array) -> Array:
    return index_update(g, index, 0)


@index_update.vjp("value")
def index_update_vjp_value(g: Array, out: Array, x: Array, index: Any, value: Array) -> Array:
    return unbroadcast(np.where(stands(index, x.shape), g[index], 0), np.shape(value))


def stands(index: Any, shape: tuple[int, ...]) -> Array:
    """For each element that is assigned at an index, whether it is the last one at its position."""
    owner = np.zeros(shape, int)
    number = np.arange(owner[index].size).reshape(owner[index].shape)
    owner[index] = number
    return owner[index] == number


@primitive(
    method=False,
    hint="value must broadcast to the shape of x[index]",
    samples=[Sample(normal(4, 3), 1, normal(3)), Sample(normal(4, 3), REPEATED, normal(4, 1))],
)
def index_add(x: Array, index: Any, value: Array) -> Array:
    """A copy of x with out[index] += value, repeatedly where positions repeat.

    Raises DTypeError for a floating value in an array of integers.

    >>> index_add(np.array([1.0, 2.0]), [0, 0], np.array([3.0, 4.0]))
    array([8., 2.])
    """
    out = writable(x, value)
    np.add.at(out, index, value)
    return out


@index_add.vjp("x")
def index_add_vjp_x(g: Array, out: Array, x: Array, index: Any, value: Array) -> Array:
    return g


@index_add.vjp("value")
def index_add_vjp_value(g: Array, out: Array, x: Array, index: Any, value: Array) -> Array:
    return unbroadcast(g[index], np.shape(value))


def writable(x: Array, value: Array) -> Array:
    """A copy of x in C order, to which a value is to be written."""
    out = as_array(x).copy()
    if as_array(value).dtype.kind == "f" and out.dtype.kind in "iub":
        what = f"a value of {as_array(value).dtype} in an array of {out.dtype}"
        raise DTypeError(what, remedy="write x.astype(float) for x")
    return out
