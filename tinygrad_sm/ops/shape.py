"""Shapes and positions: what moves values about without changing them.

The derivative of each moves the cotangent back to where the values came from, and adds up where one value went to
several places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.errors import UnsupportedError
from tinygrad_sm.numpy_calls import unbroadcast
from tinygrad_sm.operand import as_array
from tinygrad_sm.ops.samples import Sample, distinct, normal

Shape = int | tuple[int, ...]


@primitive(
    hint="the lengths must multiply to the size of x",
    numpy=[np.reshape],
    samples=[Sample(normal(2, 3), (3, 2)), Sample(normal(2, 3), -1), Sample(normal(), (1, 1))],
)
def reshape(x: Array, shape: Shape) -> Array:
    """The same values in another shape, in C order; one length may be -1.

    >>> reshape(np.arange(4.0), (2, 2))
    array([[0., 1.],
           [2., 3.]])
    """
    return np.reshape(x, shape)


@reshape.vjp("x")
def reshape_vjp_x(g: Array, out: Array, x: Array, shape: Shape) -> Array:
    return g.reshape(x.shape)


@primitive(
    numpy=[np.transpose],
    samples=[Sample(normal(2, 3)), Sample(normal(2, 3, 4), (2, 0, 1)), Sample(normal(2, 3, 4), (-1, 0, 1))],
)
def transpose(x: Array, axes: tuple[int, ...] | None = None) -> Array:
    """Axes in another order: reversed, or axis i of the result is axis axes[i].

    >>> transpose(np.array([[1.0, 2.0]]))
    array([[1.],
           [2.]])
    """
    return np.transpose(x, axes)


@transpose.vjp("x")
def transpose_vjp_x(g: Array, out: Array, x: Array, axes: tuple[int, ...] | None = None) -> Array:
    return np.transpose(g, None if axes is None else inverse_permutation(axes))


def inverse_permutation(axes: Sequence[int]) -> tuple[int, ...]:
    """The order of axes that undoes a transposition."""
    return tuple(int(i) for i in np.argsort([axis % len(axes) for axis in axes]))


@primitive(numpy=[np.swapaxes], samples=[Sample(normal(2, 3, 4), 0, -1)])
def swapaxes(x: Array, axis1: int, axis2: int) -> Array:
    """Two axes exchanged.

    >>> swapaxes(np.zeros((2, 3, 4)), 0, 2).shape
    (4, 3, 2)
    """
    return np.swapaxes(x, axis1, axis2)


@swapaxes.vjp("x")
def swapaxes_vjp_x(g: Array, out: Array, x: Array, axis1: int, axis2: int) -> Array:
    return np.swapaxes(g, axis1, axis2)


@primitive(
    numpy=[np.squeeze], samples=[Sample(normal(1, 3, 1)), Sample(normal(1, 3, 1), 0), Sample(normal(1, 3, 1), (0, 2))]
)
def squeeze(x: Array, axis: Any = None) -> Array:
    """Axes of length 1 removed: all of them, or those named.

    >>> squeeze(np.zeros((1, 3, 1))).shape
    (3,)
    """
    return np.squeeze(x, axis)


@squeeze.vjp("x")
def squeeze_vjp_x(g: Array, out: Array, x: Array, axis: Any = None) -> Array:
    return g.reshape(x.shape)


@primitive(numpy=[np.expand_dims], samples=[Sample(normal(3), 0), Sample(normal(2, 3), (0, -1))])
def expand_dims(x: Array, axis: Any) -> Array:
    """New axes of length 1 at the named positions.

    >>> expand_dims(np.zeros(3), 0).shape
    (1, 3)
    """
    return np.expand_dims(x, axis)


@expand_dims.vjp("x")
def expand_dims_vjp_x(g: Array, out: Array, x: Array, axis: Any) -> Array:
    return g.reshape(x.shape)


@primitive(
    numpy=[np.broadcast_to],
    samples=[Sample(normal(3), (2, 3)), Sample(normal(2, 1), (4, 2, 3)), Sample(normal(), (2, 2))],
)
def broadcast_to(x: Array, shape: Shape) -> Array:
    """Values repeated along new axes and axes of length 1, without copying.

    >>> broadcast_to(np.array([1.0, 2.0]), (2, 2))
    array([[1., 2.],
           [1., 2.]])
    """
    return np.broadcast_to(x, shape)


@broadcast_to.vjp("x")
def broadcast_to_vjp_x(g: Array, out: Array, x: Array, shape: Shape) -> Array:
    return unbroadcast(g, x.shape)


@primitive(
    variadic=True,
    method=False,
    numpy=[np.concatenate],
    samples=[Sample([normal(2, 3), normal(1, 3)]), Sample([normal(2, 1), normal(2, 2), normal(2, 1)], axis=-1)],
    hint="the shapes must be equal except along the axis",
)
def concatenate(arrays: Sequence[Array], axis: int = 0) -> Array:
    """Arrays joined along an axis that they have.

    >>> concatenate([np.array([1.0]), np.array([2.0, 3.0])])
    array([1., 2., 3.])
    """
    if axis is None:
        raise UnsupportedError("axis=None", remedy="reshape the arrays to (-1,) and join them along axis 0")
    return np.concatenate(arrays, axis=axis)


@concatenate.vjp("arrays")
def concatenate_vjp_arrays(g: Array, out: Array, position: int, arrays: Sequence[Array], axis: int = 0) -> Array:
    start = sum(np.shape(array)[axis] for array in arrays[:position])
    stop = start + np.shape(arrays[position])[axis]
    return g[(slice(None),) * (axis % g.ndim) + (slice(start, stop),)]


@primitive(
    variadic=True,
    method=False,
    numpy=[np.stack],
    samples=[Sample([normal(3), normal(3)]), Sample([normal(2, 3), normal(2, 3)], axis=-1)],
    hint="all arrays must have the same shape",
)
def stack(arrays: Sequence[Array], axis: int = 0) -> Array:
    """Arrays of one shape joined along a new axis.

    >>> stack([np.array([1.0, 2.0]), np.array([3.0, 4.0])], axis=1)
    array([[1., 3.],
           [2., 4.]])
    """
    return np.stack(arrays, axis=axis)


@stack.vjp("arrays")
def stack_vjp_arrays(g: Array, out: Array, position: int, arrays: Sequence[Array], axis: int = 0) -> Array:
    return g[(slice(None),) * (axis % g.ndim) + (position,)]


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
        np.add.at(out, index, values)
    return out


@scatter_add.vjp("values")
def scatter_add_vjp_values(g: Array, out: Array, values: Array, index: Any, shape: tuple[int, ...]) -> Array:
    return g[index]


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
    """One element per index along an axis, the other axes matched: out[i, j] = x[i, indices[i, j]].

    >>> take_along_axis(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1], [0]]), axis=1)
    array([[2.],
           [3.]])
    """
    if axis is None:
        raise UnsupportedError("axis=None", remedy="reshape the array to (-1,) and take along axis 0")
    return np.take_along_axis(x, indices, axis)


@take_along_axis.vjp("x")
def take_along_axis_vjp_x(g: Array, out: Array, x: Array, indices: Array, axis: int = -1) -> Array:
    return scatter_add(g, index_along_axis(indices, axis, x.shape), x.shape)


def index_along_axis(indices: Array, axis: int, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """The indices for which x[index] is take_along_axis(x, indices, axis)."""
    axis %= len(shape)
    grids = np.ogrid[tuple(slice(n) for n in shape)]
    return tuple(as_array(indices) if i == axis else grid for i, grid in enumerate(grids))
