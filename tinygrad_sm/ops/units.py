"""Activations of more than one value: PReLU has a weight, GLU a gate, and maxout takes the largest of several pieces.

At the kink of PReLU the derivative is the left one; among equal pieces of maxout the first in memory order wins. Their
rules sum over other elements or route between them: no zero cotangent is kept from an infinite factor.
"""

from __future__ import annotations

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.errors import ArgumentError, ShapeError
from tinygrad_sm.operand import as_array
from tinygrad_sm.ops.activation import sigmoid
from tinygrad_sm.ops.samples import Sample, distinct, normal


def along_channels(weight: Array, ndim: int) -> Array:
    """A weight of one element as it is, and one per channel in the shape that broadcasts along axis 1."""
    return weight.reshape((1, -1) + (1,) * (ndim - 2) if ndim > 1 else (1,) * ndim)


def axes_of_sharing(weight: Array, ndim: int) -> tuple[int, ...]:
    """The axes along which values have a weight in common."""
    return tuple(i for i in range(ndim) if i != 1 or weight.size == 1)


@primitive(
    samples=[Sample(distinct(3, 4), normal(4)), Sample(distinct(2, 2, 3), normal(1)), Sample(normal(), normal(1))]
)
def prelu(x: Array, weight: Array) -> Array:
    """Leaky rectifier with a trained slope: out = x for x > 0, else weight x; the derivative at 0 is the weight.

    Args: x of any shape; weight (1,) for all, or (C,), one for each channel of x (N, C, ...). Returns the shape of x.
    Raises ShapeError for a weight of another shape.
    Source: K. He et al., Delving deep into rectifiers, ICCV 2015.

    >>> prelu(np.array([-1.0, 2.0]), np.array([0.1]))
    array([-0.1,  2. ])
    """
    x, weight = as_array(x), as_array(weight)
    channels = x.shape[1] if x.ndim > 1 else 1
    if weight.shape not in ((1,), (channels,)):
        remedy = f"give it shape (1,), or ({channels},) with one for each channel, along axis 1"
        raise ShapeError(f"weight {weight.shape} for x {x.shape}", remedy=remedy)
    return np.where(x > 0, x, along_channels(weight, x.ndim) * x)


@prelu.vjp("x")
def prelu_vjp_x(g: Array, out: Array, x: Array, weight: Array) -> Array:
    return np.where(x > 0, g, along_channels(weight, x.ndim) * g)


@prelu.vjp("weight")
def prelu_vjp_weight(g: Array, out: Array, x: Array, weight: Array) -> Array:
    below = np.where(x > 0, 0, g * x)
    return np.sum(below, axis=axes_of_sharing(weight, x.ndim)).reshape(weight.shape)


def pieces_of(x: Array, pieces: int, axis: int) -> list[Array]:
    """The first pieces of all units, their second ones, ...: slices along an axis, without copying."""
    before = (slice(None),) * (axis % x.ndim)
    return [x[(*before, slice(k, None, pieces))] for k in range(pieces)]


def largest(arrays: list[Array]) -> Array:
    """Their maximum, element by element: for two a hundredth of the time of np.max along an axis of them."""
    return arrays[0] if len(arrays) == 1 else np.maximum(arrays[0], largest(arrays[1:]))


def handed_on(g: Array, out: Array, pieces: list[Array]) -> list[Array]:
    """What each piece gets of the cotangent: all, if it is the first that nothing exceeds, else 0."""
    if len(pieces) == 1:
        return [g]
    wins = ~np.less(pieces[0], out)
    return [np.where(wins, g, 0), *handed_on(np.where(wins, 0, g), out, pieces[1:])]


@primitive(
    samples=[Sample(distinct(3, 6), 2), Sample(distinct(2, 6, 2), 3, axis=1), Sample(distinct(4), 4, axis=0)],
)
def maxout(x: Array, pieces: int, axis: int = -1) -> Array:
    """Largest of every so many values along an axis: out_j = max_k x_(j pieces + k), k from 0 to pieces - 1.

    The first of several winners gets the gradient, all of it. Args: x of any shape; pieces, which divides the length of
    the axis. Returns the shape of x with the axis shorter by that factor. Raises ShapeError where it does not divide.
    Source: I. Goodfellow et al., Maxout networks, ICML 2013.

    >>> maxout(np.array([1.0, 3.0, 5.0, 2.0]), 2)
    array([3., 5.])
    """
    x = as_array(x)
    if isinstance(pieces, bool) or not isinstance(pieces, (int, np.integer)) or pieces < 1:
        raise ArgumentError(f"pieces={pieces!r}", remedy="pass a whole number of at least 1")
    length = length_along(x, axis)
    if length % pieces:
        remedy = f"the layer before it has a multiple of {pieces} outputs"
        raise ShapeError(f"{length} values along axis {axis} of x {x.shape} are no multiple of {pieces}", remedy=remedy)
    return largest(pieces_of(x, pieces, axis))


def length_along(x: Array, axis: int) -> int:
    """The length of an axis; ShapeError where there is none."""
    if not -x.ndim <= axis < x.ndim:
        raise ShapeError(f"x {x.shape} has no axis {axis}", remedy="give it the axis of the features")
    return int(x.shape[axis])


@maxout.vjp("x")
def maxout_vjp_x(g: Array, out: Array, x: Array, pieces: int, axis: int = -1) -> Array:
    by_piece = handed_on(g, out, pieces_of(x, pieces, axis))
    return np.stack(by_piece, axis=axis % x.ndim + 1).reshape(x.shape)


def halves(x: Array, axis: int) -> tuple[Array, Array]:
    """The first and the second half along an axis."""
    before, half = (slice(None),) * (axis % x.ndim), x.shape[axis] // 2
    return x[(*before, slice(None, half))], x[(*before, slice(half, None))]


@primitive(samples=[Sample(normal(2, 4)), Sample(normal(4, 3), axis=0)])
def glu(x: Array, axis: int = -1) -> Array:
    """Gated linear unit: out = a sigmoid(b), a and b the first and the second half of x along an axis.

    Returns the shape of x with half the length along the axis. Raises ShapeError for an odd one.
    Source: Y. Dauphin et al., Language modeling with gated convolutional networks, ICML 2017.

    >>> glu(np.array([3.0, 5.0, 0.0, 1000.0]))
    array([1.5, 5. ])
    """
    x = as_array(x)
    length = length_along(x, axis)
    if length % 2:
        remedy = "it takes an even number: as many gates as values"
        raise ShapeError(f"{length} values along axis {axis} of x {x.shape} have no halves", remedy=remedy)
    value, gate = halves(x, axis)
    return value * sigmoid(gate)


@glu.vjp("x")
def glu_vjp_x(g: Array, out: Array, x: Array, axis: int = -1) -> Array:
    value, gate = halves(x, axis)
    s = sigmoid(gate)
    return np.concatenate([g * s, g * value * (s * (1 - s))], axis=axis)


@glu.textbook
def glu_textbook(x: Array, axis: int = -1) -> Array:
    value, gate = halves(x, axis)
    e = np.exp(-gate)
    s = 1 / (1 + e)
    return value * s
