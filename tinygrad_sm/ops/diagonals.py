"""Diagonals and triangles of matrices, and of the matrices along two axes of an array."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.errors import ShapeError
from tinygrad_sm.numpy_calls import unbroadcast
from tinygrad_sm.ops.indexing import scatter_add
from tinygrad_sm.ops.samples import Sample, normal


@primitive(method=False, numpy=[np.tril], samples=[Sample(normal(3, 3)), Sample(normal(2, 3, 4), 1), Sample(normal(3))])
def tril(x: Array, k: int = 0) -> Array:
    """Lower triangle of the last two axes: zeros above diagonal k, whatever stood there.

    >>> tril(np.ones((2, 2)))
    array([[1., 0.],
           [1., 1.]])
    """
    return np.tril(of_one_axis(x), k)


@tril.vjp("x")
def tril_vjp_x(g: Array, out: Array, x: Array, k: int = 0) -> Array:
    return unbroadcast(np.tril(g, k), x.shape)


def of_one_axis(x: Array) -> Array:
    """The array, refused if it has no axis."""
    if not np.ndim(x):
        raise ShapeError(f"x {np.shape(x)} has no triangle", remedy="give it a matrix, or many of them")
    return x


@primitive(method=False, numpy=[np.triu], samples=[Sample(normal(3, 3)), Sample(normal(2, 3, 4), -1)])
def triu(x: Array, k: int = 0) -> Array:
    """Upper triangle of the last two axes: zeros below diagonal k, whatever stood there.

    >>> triu(np.ones((2, 2)))
    array([[1., 1.],
           [0., 1.]])
    """
    return np.triu(of_one_axis(x), k)


@triu.vjp("x")
def triu_vjp_x(g: Array, out: Array, x: Array, k: int = 0) -> Array:
    return unbroadcast(np.triu(g, k), x.shape)


@primitive(method=False, numpy=[np.diag], samples=[Sample(normal(3)), Sample(normal(2), -1), Sample(normal(3, 4), 1)])
def diag(x: Array, k: int = 0) -> Array:
    """A matrix with x on its diagonal k, or the diagonal k of a matrix x.

    >>> diag(np.array([1.0, 2.0]))
    array([[1., 0.],
           [0., 2.]])
    """
    return np.diag(x, k)


@diag.vjp("x")
def diag_vjp_x(g: Array, out: Array, x: Array, k: int = 0) -> Array:
    return np.diag(g, k) if x.ndim == 1 else onto_diagonal(g, x.shape, k, 0, 1)


@primitive(
    numpy=[np.diagonal],
    samples=[Sample(normal(3, 4)), Sample(normal(3, 2, 4), -1, 0, 2), Sample(normal(2, 3, 3), 1, axis1=-1, axis2=1)],
)
def diagonal(x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """Diagonals of the matrices along two axes, as the last axis: out[..., i] = x[i, i + offset, ...].

    >>> diagonal(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([1., 4.])
    """
    return np.diagonal(x, offset, axis1, axis2)


@diagonal.vjp("x")
def diagonal_vjp_x(g: Array, out: Array, x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    return onto_diagonal(g, x.shape, offset, axis1, axis2)


@primitive(numpy=[np.trace], samples=[Sample(normal(3, 4)), Sample(normal(3, 2, 4), 1, 0, 2)])
def trace(x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """Sum of the diagonal of a matrix, or of the matrices along two axes: out = sum_i x[i, i + offset].

    >>> float(trace(np.array([[1.0, 2.0], [3.0, 4.0]])))
    5.0
    """
    return np.trace(x, offset, axis1, axis2)


@trace.vjp("x")
def trace_vjp_x(g: Array, out: Array, x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    alike = np.broadcast_to(np.expand_dims(g, -1), diagonal_shape(x.shape, offset, axis1, axis2))
    return onto_diagonal(alike, x.shape, offset, axis1, axis2)


def diagonal_shape(shape: tuple[int, ...], offset: int, axis1: int, axis2: int) -> tuple[int, ...]:
    """The shape of the diagonals of an array."""
    return np.broadcast_to(0, shape).diagonal(offset, axis1, axis2).shape


def onto_diagonal(values: Array, shape: tuple[int, ...], offset: int, axis1: int, axis2: int) -> Array:
    """Zeros of a shape with values on the diagonals: the adjoint of `diagonal`."""
    count = values.shape[-1]
    rows, columns = np.arange(count) + max(-offset, 0), np.arange(count) + max(offset, 0)
    matrices: Any = np.moveaxis(np.broadcast_to(0, shape), (axis1, axis2), (-2, -1)).shape
    return np.moveaxis(scatter_add(values, (..., rows, columns), matrices), (-2, -1), (axis1, axis2))
