"""What is probably wrong with a gradient that differs from the right one: the mistakes that people make by hand."""

from __future__ import annotations

from typing import Any

import numpy as np


def likely_cause(got: Any, expected: Any, rtol: float = 1e-3) -> str:
    """The most likely cause in words, empty where none fits.

    >>> likely_cause(np.array([-1.0, 2.0]), np.array([1.0, -2.0]))
    'the sign is wrong'
    >>> likely_cause(np.array([4.0, 8.0]), np.array([1.0, 2.0]))
    'a factor is missing: everything is 4 times too large (1/N?)'
    """
    got, expected = np.asarray(got, dtype=float), np.asarray(expected, dtype=float)
    if got.shape != expected.shape:
        return _cause_of_shape(got, expected, rtol)
    if not np.isfinite(got).all():
        return "NaN or infinity: a value was divided by zero, or overflowed"
    if _close(got, expected, rtol):
        return ""
    size = np.abs([got, expected]).max(initial=0.0)
    if 0 < size < np.inf:  # squares of the largest and of the smallest numbers are out of range
        got, expected = got / size, expected / size
    if not got.any():
        return "it is zero everywhere: the contribution never arrives"
    if _close(got, -expected, rtol):
        return "the sign is wrong"
    if got.ndim == 2 and _close(got.T, expected, rtol):
        return "it is transposed"
    return _cause_of_factor(got, expected, rtol) or _cause_of_part(got, expected, rtol)


def _cause_of_shape(got: Any, expected: Any, rtol: float) -> str:
    if got.shape == expected.shape[::-1] and _close(got.T, expected, rtol):
        return "it is transposed"
    if got.size == expected.size > 0 and _close(got.reshape(expected.shape), expected, rtol):
        return "the values are right and the shape is not: sum with keepdims=True, or reshape"
    if any(_close(got, np.asarray(expected.sum(axis)), rtol) for axis in (None, *range(expected.ndim))):
        return "it was summed over an axis too many"
    added = got.ndim - expected.ndim
    if added >= 0 and all(n in (1, m) for n, m in zip(expected.shape, got.shape[added:], strict=True)):
        return "the sum over the axes that broadcasting added or stretched is missing"
    return "its shape is not that of the argument"


def _cause_of_factor(got: Any, expected: Any, rtol: float) -> str:
    square = np.vdot(expected, expected)
    ratio = np.vdot(got, expected) / square if square > np.finfo(float).tiny else 0.0
    if ratio and _close(got, ratio * expected, rtol) and (got.size > 1 or _is_whole(ratio) or _is_whole(1 / ratio)):
        if abs(ratio - 0.5) < rtol:
            return "it is half of what it should be: a contribution was overwritten, or a factor 2 is missing"
        size = f"{ratio:.4g} times too large" if abs(ratio) > 1 else f"{1 / ratio:.4g} times too small"
        return f"a factor is missing: everything is {size} (1/N?)"
    return ""


def _cause_of_part(got: Any, expected: Any, rtol: float) -> str:
    if got.size > 1 and np.ptp(got) == 0:
        return "it is the same everywhere: the incoming cotangent was not used"
    if _close(got, np.where(got == 0, 0, expected), rtol):
        return "it is zero there and right elsewhere: a contribution is lost, or stopped on purpose, as by padding_idx"
    return ""


def _is_whole(ratio: float) -> bool:
    """Whether a factor is a whole number; that of two single numbers always exists, and any other says nothing."""
    return abs(ratio - round(ratio)) < 1e-6 * abs(ratio)


def _close(a: Any, b: Any, rtol: float) -> bool:
    scale = float(np.abs(b).max(initial=0.0))
    with np.errstate(over="ignore"):
        return a.shape == b.shape and scale > 0 and bool(np.abs(a - b).max(initial=0.0) <= rtol * scale)
