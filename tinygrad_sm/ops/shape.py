"""Shapes: the same values along other axes.

The derivative of each gives the cotangent the shape that the values had, and adds up where one value was repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.errors import ArgumentError
from tinygrad_sm.numpy_calls import unbroadcast
from tinygrad_sm.operand import as_array
from tinygrad_sm.ops.samples import Sample, normal

Shape = int | tuple[int, ...]
Axes = int | Sequence[int]


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
    method=False,
    numpy=[np.moveaxis],
    samples=[Sample(normal(2, 3, 4), 0, -1), Sample(normal(2, 3, 4), (0, 1), (-1, 0))],
)
def moveaxis(x: Array, source: Axes, destination: Axes) -> Array:
    """Axes moved to other positions, the others left in their order.

    >>> moveaxis(np.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    return np.moveaxis(x, source, destination)


@moveaxis.vjp("x")
def moveaxis_vjp_x(g: Array, out: Array, x: Array, source: Axes, destination: Axes) -> Array:
    return np.moveaxis(g, destination, source)


@primitive(numpy=[np.ravel], samples=[Sample(normal(2, 3)), Sample(normal())])
def ravel(x: Array) -> Array:
    """All values along one axis, in C order.

    >>> ravel(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([1., 2., 3., 4.])
    """
    return np.ravel(x)


@ravel.vjp("x")
def ravel_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g.reshape(x.shape)


@primitive(samples=[Sample(normal(2, 3)), Sample(normal(2, 3, 2), 1), Sample(normal(2, 3, 2), 0, -2)])
def flatten(x: Array, start_axis: int = 0, end_axis: int = -1) -> Array:
    """Axes from one to another made one, all of them if none is named; `flatten(x, 1)` leaves the batch.

    >>> flatten(np.zeros((2, 3, 4)), 1).shape
    (2, 12)
    """
    shape = np.shape(x) or (1,)
    start, end = _position(start_axis, len(shape)), _position(end_axis, len(shape))
    if start > end:
        raise ArgumentError(f"axis {start_axis} comes after axis {end_axis}", remedy="name the first one first")
    return as_array(x).reshape((*shape[:start], int(np.prod(shape[start : end + 1])), *shape[end + 1 :]))


@flatten.vjp("x")
def flatten_vjp_x(g: Array, out: Array, x: Array, start_axis: int = 0, end_axis: int = -1) -> Array:
    return g.reshape(x.shape)


def _position(axis: int, ndim: int) -> int:
    """An axis counted from the first."""
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(axis, ndim)
    return axis % ndim


@primitive(method=False, numpy=[np.atleast_1d], samples=[Sample(normal()), Sample(normal(2, 3))])
def atleast_1d(x: Array) -> Array:
    """A number as an array of one axis; other arrays as they are.

    >>> atleast_1d(np.array(2.0))
    array([2.])
    """
    return np.atleast_1d(as_array(x))


@atleast_1d.vjp("x")
def atleast_1d_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g.reshape(x.shape)


@primitive(method=False, numpy=[np.atleast_2d], samples=[Sample(normal()), Sample(normal(3))])
def atleast_2d(x: Array) -> Array:
    """An array with axes of length 1 in front, so that it has two at least.

    >>> atleast_2d(np.array([1.0, 2.0]))
    array([[1., 2.]])
    """
    return np.atleast_2d(as_array(x))


@atleast_2d.vjp("x")
def atleast_2d_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g.reshape(x.shape)


@primitive(method=False, numpy=[np.atleast_3d], samples=[Sample(normal(3)), Sample(normal(2, 3))])
def atleast_3d(x: Array) -> Array:
    """An array of three axes at least: (n,) becomes (1, n, 1), and (m, n) becomes (m, n, 1), as in NumPy.

    >>> atleast_3d(np.zeros((2, 3))).shape
    (2, 3, 1)
    """
    return np.atleast_3d(as_array(x))


@atleast_3d.vjp("x")
def atleast_3d_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g.reshape(x.shape)
