"""Scans: sums, products and the like of all elements up to each, and differences between neighbours.

Their derivatives are scans from the other end, in linear work and without dividing.
"""

from __future__ import annotations

import itertools

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.errors import ShapeError
from tinygrad_sm.operand import as_floating
from tinygrad_sm.ops.samples import Sample, normal

ALONG_AXIS = [Sample(normal(2, 3)), Sample(normal(2, 3), axis=0), Sample(normal(2, 3, 2), axis=-2)]


@primitive(numpy=[np.cumsum], samples=ALONG_AXIS)
def cumsum(x: Array, axis: int | None = None) -> Array:
    """Sum of all elements up to each along an axis, or of the flattened array: out_i = sum_{j <= i} x_j.

    >>> cumsum(np.array([1.0, 2.0, 3.0]))
    array([1., 3., 6.])
    """
    return np.cumsum(x, axis=axis)


@cumsum.vjp("x")
def cumsum_vjp_x(g: Array, out: Array, x: Array, axis: int | None = None) -> Array:
    return np.flip(np.cumsum(np.flip(g, axis), axis=axis), axis).reshape(x.shape)


@primitive(numpy=[np.cumprod], samples=ALONG_AXIS)
def cumprod(x: Array, axis: int | None = None) -> Array:
    """Product of all elements up to each along an axis, or of the flattened array: out_i = prod_{j <= i} x_j.

    Derivatives are exact with zeros among the factors, in linear work: grad_i = out_{i-1} s_i with the recurrence
    s_i = g_i + x_{i+1} s_{i+1}, which is Horner's scheme.

    >>> cumprod(np.array([2.0, 0.0, 3.0]))
    array([2., 0., 0.])
    """
    return np.cumprod(x, axis=axis)


@cumprod.vjp("x")
def cumprod_vjp_x(g: Array, out: Array, x: Array, axis: int | None = None) -> Array:
    before = shifted(rows_of(out, axis), 1)
    later = recurrence_from_the_end(rows_of(x, axis), rows_of(g, axis))
    return of_rows(before * later, x.shape, axis)


@primitive(samples=[Sample(normal(2, 3)), Sample(normal(2, 3), axis=0), Sample(normal(3))])
def logcumsumexp(x: Array, axis: int = -1) -> Array:
    """Logarithm of the sum of exponentials of all elements up to each: out_i = log sum_{j <= i} e**x_j.

    Neither overflows nor underflows. Where all so far are -inf it is -inf and their gradient 0; of k that are +inf each
    has 1/k of the gradient. Its derivative takes ratios of sums, e**(out_i - out_{i+1}) <= 1, alone.

    >>> logcumsumexp(np.array([-np.inf, 1000.0, 1000.0]))
    array([         -inf, 1000.        , 1000.69314718])
    """
    return np.logaddexp.accumulate(as_floating(x), axis=axis)


@logcumsumexp.vjp("x")
def logcumsumexp_vjp_x(g: Array, out: Array, x: Array, axis: int = -1) -> Array:
    values, totals = rows_of(x, axis), rows_of(out, axis)
    infinite = np.equal(values, np.inf)
    count = np.cumsum(infinite, axis=-1)
    share = ratio(values, totals, infinite, count)
    kept = ratio(shifted(totals, -np.inf), totals, shifted(count, 0), count)
    return of_rows(share * recurrence_from_the_end(kept, rows_of(g, axis)), x.shape, axis)


def ratio(part: Array, whole: Array, infinite_part: Array, infinite_whole: Array) -> Array:
    """e**(part - whole); 0 where the whole is -inf, and where it is +inf the ratio of the numbers of infinities."""
    unbounded = np.isinf(whole)
    of_infinities = (infinite_part / np.maximum(infinite_whole, 1)).astype(whole.dtype)
    difference = np.where(unbounded, 0, part - whole)
    return np.where(unbounded, of_infinities, np.exp(difference))


def rows_of(x: Array, axis: int | None) -> Array:
    """The axis of a scan as the last one; all of them in one for None."""
    return x.reshape((-1,)) if axis is None or not x.ndim else np.moveaxis(x, axis, -1)


def of_rows(rows: Array, shape: tuple[int, ...], axis: int | None) -> Array:
    """The inverse of `rows_of`."""
    return rows.reshape(shape) if axis is None or not shape else np.moveaxis(rows, -1, axis)


def shifted(rows: Array, first: float) -> Array:
    """Rows with every element moved to the next place, and a number in the first."""
    return np.concatenate([np.full_like(rows[..., :1], first), rows[..., :-1]], axis=-1)


def recurrence_from_the_end(factors: Array, terms: Array) -> Array:
    """out_i = terms_i + factors_{i+1} out_{i+1} along the last axis."""
    return np.flip(linear_recurrence(np.flip(np.roll(factors, -1, -1), -1), np.flip(terms, -1)), -1)


@primitive(method=False, samples=[Sample(normal(2, 4), normal(2, 4))])
def linear_recurrence(factors: Array, terms: Array) -> Array:
    """Linear recurrence along the last axis: out_i = factors_i out_{i-1} + terms_i, beginning with terms_0.

    Both have the same shape, and factors_0 plays no part. With a constant factor below 1 it is a moving average.

    >>> linear_recurrence(np.full(3, 0.5), np.array([4.0, 0.0, 1.0]))
    array([4., 2., 2.])
    """
    factors, terms = np.asarray(factors), np.asarray(terms)  # no stand-ins: a program of n steps is worse than a call
    if factors.shape != terms.shape or not terms.ndim:
        raise ShapeError(f"factors {factors.shape} and terms {terms.shape}", remedy="give both the same shape")
    out = np.array(terms, dtype=np.result_type(factors, terms))
    if out.size == out.shape[-1] > 0:  # one row: Python's numbers take a tenth of the time that NumPy's take
        steps = zip(factors.ravel().tolist()[1:], terms.ravel().tolist()[1:], strict=True)
        out[..., 1:] = list(itertools.accumulate(steps, _step, initial=out.ravel()[:1].tolist()[0]))[1:]
        return out
    by_step, out_by_step = np.moveaxis(factors, -1, 0), np.moveaxis(out, -1, 0)
    for i in range(1, len(out_by_step)):
        out_by_step[i] += by_step[i] * out_by_step[i - 1]
    return out


def _step(before: float, now: tuple[float, float]) -> float:
    return now[0] * before + now[1]


@linear_recurrence.textbook
def linear_recurrence_textbook(factors: Array, terms: Array) -> Array:
    n = terms.shape[-1]
    later = np.triu(np.ones((n, n), bool), 1)  # row j: the steps after step j, through which terms_j goes on
    products = np.triu(np.cumprod(np.where(later, np.expand_dims(factors, -2), 1), axis=-1))
    return (np.expand_dims(terms, -1) * products).sum(axis=-2)


@linear_recurrence.vjp("factors")
def linear_recurrence_vjp_factors(g: Array, out: Array, factors: Array, terms: Array) -> Array:
    return recurrence_from_the_end(factors, g) * shifted(out, 0)


@linear_recurrence.vjp("terms")
def linear_recurrence_vjp_terms(g: Array, out: Array, factors: Array, terms: Array) -> Array:
    return recurrence_from_the_end(factors, g)


@primitive(
    method=False, numpy=[np.diff], samples=[Sample(normal(2, 4)), Sample(normal(4, 2), 2, axis=0), Sample(normal(2), 3)]
)
def diff(x: Array, n: int = 1, axis: int = -1) -> Array:
    """Differences between neighbours along an axis, n times over: out_i = x_{i+1} - x_i.

    >>> diff(np.array([1.0, 3.0, 0.0]))
    array([ 2., -3.])
    """
    return np.diff(x, n, axis)


@diff.vjp("x")
def diff_vjp_x(g: Array, out: Array, x: Array, n: int = 1, axis: int = -1) -> Array:
    ends = (n, x.shape[axis] - out.shape[axis])
    widths = [(0, 0)] * (axis % x.ndim) + [ends] + [(0, 0)] * ((-1 - axis) % x.ndim)
    return (-1) ** n * np.diff(np.pad(g, widths), n, axis)
