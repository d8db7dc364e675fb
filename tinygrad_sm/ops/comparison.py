"""Comparisons, rounding and the search for positions: what has no derivative, or none but zero.

Their results never carry a gradient, so that a mask made from them is a constant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_sm.engine.primitive import Array, Primitive, primitive
from tinygrad_sm.ops.samples import Recipe, Sample, booleans, distinct


def _constant(function: Any, operands: int, draw: Callable[..., Recipe] = distinct) -> Primitive:
    """A NumPy function of one or two operands as an operation without a derivative."""
    if operands == 1:

        def forward(x: Array) -> Array:
            return function(x)

    else:

        def forward(x: Array, y: Array) -> Array:  # type: ignore[misc]  # the other arity
            return function(x, y)

    forward.__name__ = forward.__qualname__ = function.__name__
    forward.__doc__ = f"NumPy's `{function.__name__}`, element by element; carries no gradient."
    samples = [Sample(*[draw(2, 3)] * operands)]
    register = primitive(samples=samples, differentiable=False, method=False, elementwise=True, numpy=[function])
    return register(forward)


equal = _constant(np.equal, 2)
not_equal = _constant(np.not_equal, 2)
less = _constant(np.less, 2)
less_equal = _constant(np.less_equal, 2)
greater = _constant(np.greater, 2)
greater_equal = _constant(np.greater_equal, 2)
logical_and = _constant(np.logical_and, 2)
logical_or = _constant(np.logical_or, 2)
logical_not = _constant(np.logical_not, 1)
bitwise_and = _constant(np.bitwise_and, 2, draw=booleans)
bitwise_or = _constant(np.bitwise_or, 2, draw=booleans)
bitwise_xor = _constant(np.bitwise_xor, 2, draw=booleans)
invert = _constant(np.invert, 1, draw=booleans)
floor_divide = _constant(np.floor_divide, 2)
floor = _constant(np.floor, 1)
ceil = _constant(np.ceil, 1)
trunc = _constant(np.trunc, 1)
rint = _constant(np.rint, 1)
isnan = _constant(np.isnan, 1)
isinf = _constant(np.isinf, 1)
isfinite = _constant(np.isfinite, 1)


@primitive(differentiable=False, numpy=[np.round, np.around], samples=[Sample(distinct(2, 3), 1)])
def round(x: Array, decimals: int = 0) -> Array:
    """Values rounded to a number of decimals, halves to even; carries no gradient.

    >>> round(np.array([0.5, 1.5]))
    array([0., 2.])
    """
    return np.round(x, decimals)


@primitive(differentiable=False, numpy=[np.argmax], samples=[Sample(distinct(2, 3), axis=1), Sample(distinct(4))])
def argmax(x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
    """Position of the largest value along an axis, the first of several; carries no gradient.

    >>> argmax(np.array([[1.0, 3.0], [4.0, 2.0]]), axis=1)
    array([1, 0])
    """
    return np.argmax(x, axis=axis, keepdims=keepdims)


@primitive(differentiable=False, numpy=[np.argmin], samples=[Sample(distinct(2, 3), axis=1), Sample(distinct(4))])
def argmin(x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
    """Position of the smallest value along an axis, the first of several; carries no gradient.

    >>> argmin(np.array([[1.0, 3.0], [4.0, 2.0]]), axis=1)
    array([0, 1])
    """
    return np.argmin(x, axis=axis, keepdims=keepdims)


@primitive(differentiable=False, numpy=[np.argsort], samples=[Sample(distinct(2, 3), axis=1)])
def argsort(x: Array, axis: int | None = -1, kind: Any = None, *, stable: bool | None = None) -> Array:
    """Positions that would sort an array along an axis, or the flattened one; carries no gradient.

    kind="stable" or stable=True leaves equal values in their order.

    >>> argsort(np.array([3.0, 1.0, 2.0]))
    array([1, 2, 0])
    """
    return np.argsort(x, axis=axis, kind=kind, stable=stable)


@primitive(differentiable=False, numpy=[np.any], samples=[Sample(distinct(2, 3), axis=1)])
def any(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """Whether any element along an axis is true; carries no gradient.

    >>> bool(any(np.array([False, True])))
    True
    """
    return np.any(x, axis=axis, keepdims=keepdims)


@primitive(differentiable=False, numpy=[np.all], samples=[Sample(distinct(2, 3), axis=1)])
def all(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """Whether all elements along an axis are true; carries no gradient.

    >>> bool(all(np.array([False, True])))
    False
    """
    return np.all(x, axis=axis, keepdims=keepdims)
