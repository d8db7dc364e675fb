"""Matrix products: `matmul`, and `linear` for layers. Others stand in `contraction.py`, inverses in `matrix.py`.

A matrix product sums over other elements, so here a zero cotangent times an infinite operand is NaN, as in NumPy.

Source: M. Giles, An extended collection of matrix derivative results for forward and reverse mode algorithmic
differentiation, Oxford, 2008.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.numpy_calls import unbroadcast
from tinygrad_sm.operand import as_array
from tinygrad_sm.ops.samples import Sample, normal


@primitive(
    method=False,
    numpy=[np.matmul],
    hint="the last axis of x must be as long as the second last of y (its only one, if y is 1-d)",
    samples=[
        Sample(normal(2, 3), normal(3, 4)),
        Sample(normal(3), normal(3)),
        Sample(normal(3), normal(3, 4)),
        Sample(normal(2, 3), normal(3)),
        Sample(normal(5, 2, 3), normal(5, 3, 4)),
        Sample(normal(5, 1, 2, 3), normal(4, 3, 2)),
        Sample(normal(3), normal(2, 3, 4)),
        Sample(normal(2, 2, 3), normal(3)),
    ],
)
def matmul(x: Array, y: Array) -> Array:
    """Matrix product: out_ik = sum_j x_ij y_jk over the last two axes; others broadcast.

    Args: x (..., n, m), y (..., m, k), or 1-d operands of m numbers, whose missing axis the result lacks too. Returns
    (..., n, k). Raises ShapeError for scalars and for lengths that differ.

    >>> matmul(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]))
    array([[11.]])
    """
    return np.matmul(x, y)


@matmul.vjp("x")
def matmul_vjp_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    if np.ndim(y) == 1:
        return unbroadcast(np.expand_dims(g, -1) * y, x.shape)
    if np.ndim(x) == 1:
        return unbroadcast(np.squeeze(y @ np.expand_dims(g, -1), -1), x.shape)
    if np.ndim(x) == 2 and np.ndim(y) > 2:
        return as_rows(np.moveaxis(g, -2, -1)).T @ as_rows(np.moveaxis(y, -2, -1))
    return unbroadcast(g @ np.swapaxes(y, -1, -2), x.shape)


@matmul.vjp("y")
def matmul_vjp_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    if np.ndim(x) == 1:
        return unbroadcast(np.expand_dims(x, -1) * np.expand_dims(g, -2), y.shape) if np.ndim(y) > 1 else g * x
    if np.ndim(x) > 2 and np.ndim(y) == 2:
        return as_rows(x).T @ as_rows(g)
    if np.ndim(y) == 1:
        return unbroadcast(np.squeeze(np.expand_dims(g, -2) @ x, -2), y.shape)
    return unbroadcast(np.swapaxes(x, -1, -2) @ g, y.shape)


def as_rows(x: Array) -> Array:
    """All rows of a stack of matrices as one matrix.

    Where many matrices meet a single one, its derivative is one product of all rows: the sum of a product for each
    takes up to forty times as long, and as much memory as there are matrices.
    """
    shape = np.shape(x)
    return np.reshape(x, (math.prod(shape[:-1]), shape[-1]))


@primitive(
    method=False,
    hint="x (..., in_features), weight (in_features, out_features), bias (out_features,); nn.Flatten() flattens images",
    samples=[
        Sample(normal(4, 3), normal(3, 2), normal(2)),
        Sample(normal(4, 3), normal(3, 2)),
        Sample(normal(3), normal(3, 2), normal(2)),
        Sample(normal(2, 4, 3), normal(3, 2), normal(2)),
    ],
)
def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Affine map: out = x @ weight + bias.

    Args: x (..., in_features), weight (in_features, out_features), bias (out_features,) or None. Returns
    (..., out_features). The weight stands as in the formula, transposed with respect to PyTorch's.

    >>> linear(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]), np.array([0.5]))
    array([[11.5]])
    """
    weight = as_array(weight)
    if weight.ndim != 2:
        raise ValueError("weight must be a matrix")
    out = as_array(x) @ weight
    if bias is None:
        return out
    bias = as_array(bias)
    if bias.shape != weight.shape[1:]:
        raise ValueError("bias must be as long as the rows of weight")
    if bias.dtype != out.dtype:
        return out + bias
    out += bias  # one array less to allocate
    return out


@linear.vjp("x")
def linear_vjp_x(g: Array, out: Array, x: Array, weight: Array, bias: Array | None = None) -> Array:
    return g @ weight.T


@linear.vjp("weight")
def linear_vjp_weight(g: Array, out: Array, x: Array, weight: Array, bias: Array | None = None) -> Array:
    rows = as_array(x).reshape(-1, weight.shape[0])
    return rows.T @ g.reshape(-1, weight.shape[1])


@linear.vjp("bias")
def linear_vjp_bias(g: Array, out: Array, x: Array, weight: Array, bias: Array) -> Array:
    rows = g.reshape(-1, bias.shape[0])
    return _ones(rows.shape[0], rows.dtype) @ rows  # rows.sum(axis=0), in as little as a third of the time


@functools.lru_cache(maxsize=64)
def _ones(size: int, dtype: Any) -> Array:
    """A vector of ones, made once: making it anew in each rule takes 3 % of a small step."""
    return np.ones(size, dtype)


@linear.textbook
def linear_textbook(x: Array, weight: Array, bias: Array | None = None) -> Array:
    product = x @ weight
    return product if bias is None else product + bias
