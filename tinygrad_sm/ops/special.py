"""Special functions: the error function, sinc and the spherical Bessel functions, x log y, and smooth maxima of two.

What cancels, overflows or divides by zero in the textbook formula is written another way here; each block says how.
`softmax_family.py` holds logsumexp, the smooth maximum of many.

Source: M. Abramowitz and I. Stegun, Handbook of Mathematical Functions, 1964, chapters 4, 7 and 10.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.errors import ArgumentError
from tinygrad_sm.operand import as_array, as_floating
from tinygrad_sm.ops.activation import sigmoid
from tinygrad_sm.ops.elementwise import LOG_2
from tinygrad_sm.ops.samples import Sample, normal, uniform

PAIRS = [Sample(normal(2, 1), normal(1, 3)), Sample(normal(3), 0.25)]

# erf(x)**2 = 1 - exp(-s r(s)) with s = x**2, where r is smooth and near 1: here a quotient of two polynomials, the
# lowest power first, fitted for s up to 35.5 so that erf is right to 1e-17 of its value. Beyond it is 1 to all digits.
ERF_ABOVE = (
    1.2732395447351628,
    0.5528987731399507,
    0.1633958300796711,
    0.030121012360322132,
    0.004148579578617395,
    0.00040459873193397506,
    2.931529207609581e-05,
    1.4984319612282397e-06,
    4.7790113921073916e-08,
    5.11949711640298e-10,
)
ERF_BELOW = (
    1.0,
    0.4642925752679034,
    0.1396169407375304,
    0.026574349888414124,
    0.0037126776408335322,
    0.00037025152967261224,
    2.720368137422557e-05,
    1.4165707959077993e-06,
    4.64381256127838e-08,
    5.11014700247843e-10,
)
ERF_SLOPE = float(2 / np.sqrt(np.pi))
ERF_IS_ONE = 6.1  # where the formula rounds to exactly 1, so that gelu, which multiplies 1 + erf, vanishes far out
ERF_IS_LINEAR = 1e-10  # below, where the square of x may underflow


def polynomial(coefficients: Sequence[float], x: Array) -> Array:
    """Its values by Horner's rule, the lowest power first; a recursion, which opens into one formula."""
    if len(coefficients) == 1:
        return coefficients[0]
    return coefficients[0] + x * polynomial(coefficients[1:], x)


@primitive(elementwise=True, samples=[Sample(normal(2, 3)), Sample(uniform(-4, 4))])
def erf(x: Array) -> Array:
    """Error function: out = 2/sqrt(pi) integral of e**(-t**2) over t from 0 to x, between -1 and 1.

    Exact to 5e-16 of its value, in float32 to 3e-7; its derivative is 2/sqrt(pi) e**(-x**2).

    >>> erf(np.array([0.0, 0.5, -np.inf]))
    array([ 0.        ,  0.52049988, -1.        ])
    """
    x = as_floating(x)
    if x.dtype == np.float16:  # which cannot hold the coefficients
        return erf(x.astype(np.float32)).astype(np.float16)
    size = np.minimum(np.abs(x), ERF_IS_ONE)
    s = size * size
    exponent = s * polynomial(ERF_ABOVE, s) / polynomial(ERF_BELOW, s)
    value = np.sqrt(-np.expm1(-exponent))
    return np.copysign(np.where(np.less(size, ERF_IS_LINEAR), ERF_SLOPE * size, value), x)


@erf.vjp("x")
def erf_vjp_x(g: Array, out: Array, x: Array) -> Array:
    near = np.maximum(np.minimum(x, 30), -30)  # e**-900 is 0, and squares of larger numbers may overflow
    return g * (ERF_SLOPE * np.exp(-near * near))


@primitive(elementwise=True, numpy=[np.sinc], samples=[Sample(normal(2, 3))])
def sinc(x: Array) -> Array:
    """Normalised cardinal sine: out = sin(pi x) / (pi x), and 1 at 0; its derivatives there are 0, -pi**2/3, 0, ...

    It is the spherical Bessel function j_0(pi x), through which all its derivatives are exact near 0.

    >>> sinc(np.array([0.0, 0.5]))
    array([1.        , 0.63661977])
    """
    return np.sinc(x)


@sinc.vjp("x")
def sinc_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g * (-np.pi * spherical_bessel(np.pi * x, 1))


@primitive(elementwise=True, method=False, samples=[Sample(normal(2, 3)), Sample(uniform(-8, 8, 4), 2)])
def spherical_bessel(x: Array, n: int = 0) -> Array:
    """Spherical Bessel function of the first kind of whole order n >= 0: j_0(x) = sin x / x, j_1(x) = -j_0'(x), ...

    Computed by its power series up to n + 1 and by recurrence from j_0 and j_1 beyond, so that nothing cancels;
    j_n' = (n j_(n-1) - (n+1) j_(n+1)) / (2n + 1).

    >>> spherical_bessel(np.array([0.0, 1.0]), 1)
    array([0.        , 0.30116868])
    """
    if not isinstance(n, (int, np.integer)) or n < 0:
        raise ArgumentError(f"n={n!r}: the order is a whole number, 0 or more")
    x = as_floating(x)
    if x.dtype == np.float16:
        return spherical_bessel(x.astype(np.float32), n).astype(np.float16)
    near = np.less_equal(np.abs(x), n + 1)
    small, large = np.where(near, x, 0), np.where(near, n + 1, x)
    by_series = leading_term(small, n) * series(small * small / 2, n, 1)
    by_recurrence = recurrence(np.cos(large) / large, np.sin(large) / large, large, 0, n)
    return np.where(near, by_series, by_recurrence)


def leading_term(x: Array, n: int) -> Array:
    """That of the power series of j_n(x): x/3 x/5 ... x/(2n+1)."""
    if n == 0:
        return 1
    return x / (2 * n + 1) * leading_term(x, n - 1)


def series(s: Array, n: int, k: int) -> Array:
    """j_n(x) over its leading term from the k-th factor on: 1 - s / (k (2n+1+2k)) (1 - ...), with s = x**2 / 2."""
    if k > 12 + 2 * n:
        return 1
    return 1 - s / (k * (2 * n + 1 + 2 * k)) * series(s, n, k + 1)


def recurrence(before: Array, value: Array, x: Array, k: int, n: int) -> Array:
    """j_n(x) from j_(k-1) and j_k by j_(k+1) = (2k+1) j_k / x - j_(k-1), which is stable where x exceeds n."""
    if k == n:
        return value
    return recurrence(value, (2 * k + 1) * value / x - before, x, k + 1, n)


@spherical_bessel.vjp("x")
def spherical_bessel_vjp_x(g: Array, out: Array, x: Array, n: int = 0) -> Array:
    below = spherical_bessel(x, max(n - 1, 0))  # whose factor is 0 for the order 0
    above = spherical_bessel(x, n + 1)
    return g * ((n * below - (n + 1) * above) / (2 * n + 1))


@primitive(elementwise=True, method=False, samples=[Sample(normal(2, 1), uniform(0.5, 2, 3)), Sample(normal(3), 2.5)])
def xlogy(x: Array, y: Array) -> Array:
    """The product x log y, broadcast, and 0 where x = 0, whatever y is (NaN excepted): the terms of an entropy.

    d out/dx = log y and d out/dy = x / y, of which the latter is 0 at (0, 0). So `xlogy(x, x)` has the derivative
    -inf at 0, its limit, and never NaN from 0 times infinity.

    >>> xlogy(np.array([0.0, 2.0]), np.array([0.0, np.e]))
    array([0., 2.])
    """
    x, y = [as_array(each) if isinstance(each, (list, tuple)) else each for each in (x, y)]
    y = as_array(y, np.result_type(x, y))
    return x * np.log(np.where(np.equal(x, 0) & ~np.isnan(y), 1, y))


@xlogy.vjp("x")
def xlogy_vjp_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    return g * np.log(y)


@xlogy.vjp("y")
def xlogy_vjp_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    return g * np.where(np.equal(x, 0) & np.equal(y, 0), 0, x / y)


@primitive(elementwise=True, method=False, numpy=[np.logaddexp], samples=PAIRS)
def logaddexp(x: Array, y: Array) -> Array:
    """Logarithm of a sum of two exponentials, a smooth maximum: out = log(e**x + e**y), broadcast.

    Neither overflows nor underflows; its derivative is the sigmoid of the difference, half to each at a tie. As for
    `logsumexp`, that is 0 where both are -inf and half to each where both are +inf.

    >>> logaddexp(np.array([0.0, 1000.0]), np.array([0.0, 1000.0]))
    array([6.93147181e-01, 1.00069315e+03])
    """
    return np.logaddexp(x, y)


def lead(x: Array, y: Array) -> Array:
    """Difference of x and y, 0 where they are the same infinity."""
    return np.where(np.isinf(x) & np.equal(x, y), 0, x - y)


@logaddexp.vjp("x")
def logaddexp_vjp_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    share = sigmoid(lead(x, y))
    return g * np.where(np.equal(out, -np.inf), 0, share)


@logaddexp.vjp("y")
def logaddexp_vjp_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    share = sigmoid(lead(y, x))
    return g * np.where(np.equal(out, -np.inf), 0, share)


@primitive(elementwise=True, method=False, numpy=[np.logaddexp2], samples=PAIRS)
def logaddexp2(x: Array, y: Array) -> Array:
    """Binary logarithm of a sum of two powers of two: out = log2(2**x + 2**y), broadcast; see `logaddexp`.

    >>> logaddexp2(np.array([3.0, 5000.0]), np.array([3.0, 0.0]))
    array([4.e+00, 5.e+03])
    """
    return np.logaddexp2(x, y)


@logaddexp2.vjp("x")
def logaddexp2_vjp_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    share = sigmoid(LOG_2 * lead(x, y))
    return g * np.where(np.equal(out, -np.inf), 0, share)


@logaddexp2.vjp("y")
def logaddexp2_vjp_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    share = sigmoid(LOG_2 * lead(y, x))
    return g * np.where(np.equal(out, -np.inf), 0, share)
