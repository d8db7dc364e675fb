"""Arithmetic, powers, exponentials and logarithms, element by element; choice and conversion too.

Operands broadcast as in NumPy. A rule here returns the derivative in the broadcast shape; the tape sums it back to
the operand's own shape and keeps a zero cotangent zero, whatever infinite slope it is multiplied with.
`trigonometry.py` and `special.py` hold further functions.

Source for the derivatives: M. Abramowitz and I. Stegun, Handbook of Mathematical Functions, 1964, chapters 3 and 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.errors import ArgumentError, DTypeError
from tinygrad_sm.operand import as_array
from tinygrad_sm.ops.samples import BINARY, UNARY, Sample, booleans, distinct, normal, uniform

DIVISORS = [  # first operand anything, second away from zero
    Sample(normal(2, 3), uniform(0.5, 2, 2, 3)),
    Sample(normal(2, 1), uniform(-2, -0.5, 1, 3)),
    Sample(normal(3), uniform(0.5, 2)),
    Sample(2.5, uniform(0.5, 2, 3)),
]
LOG_2, LOG_10 = float(np.log(2)), float(np.log(10))  # Python's numbers, which keep float32

WITHOUT_JUMPS = [  # the quotient stays away from whole numbers
    Sample(uniform(5.2, 5.8, 2, 1), uniform(1.95, 2.05, 1, 3)),
    Sample(uniform(-5.8, -5.2, 3), 2.0),
]


@primitive(elementwise=True, method=False, numpy=[np.positive], samples=UNARY)
def positive(x: Array) -> Array:
    """The argument itself, as a new value: out = x.

    >>> positive(np.array([1.0, -2.0]))
    array([ 1., -2.])
    """
    return np.positive(x)


@positive.vjp("x")
def positive_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g


@primitive(elementwise=True, method=False, numpy=[np.negative], samples=UNARY)
def negative(x: Array) -> Array:
    """Change of sign: out = -x.

    >>> negative(np.array([1.0, -2.0]))
    array([-1.,  2.])
    """
    return np.negative(x)


@negative.vjp("x")
def negative_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return -g


@primitive(elementwise=True, method=False, numpy=[np.add], samples=BINARY)
def add(x: Array, y: Array) -> Array:
    """Sum of two arrays: out = x + y, broadcast.

    >>> add(np.array([1.0, 2.0]), 1.0)
    array([2., 3.])
    """
    return np.add(x, y)


@add.vjp("x")
def add_vjp_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    return g


@add.vjp("y")
def add_vjp_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    return g


@primitive(elementwise=True, method=False, numpy=[np.subtract], samples=BINARY)
def subtract(x: Array, y: Array) -> Array:
    """Difference of two arrays: out = x - y, broadcast.

    >>> subtract(np.array([1.0, 2.0]), 1.0)
    array([0., 1.])
    """
    return np.subtract(x, y)


@subtract.vjp("x")
def subtract_vjp_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    return g


@subtract.vjp("y")
def subtract_vjp_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    return -g


@primitive(elementwise=True, method=False, numpy=[np.multiply], samples=BINARY)
def multiply(x: Array, y: Array) -> Array:
    """Product element by element: out = x * y, broadcast.

    >>> multiply(np.array([1.0, 2.0]), 3.0)
    array([3., 6.])
    """
    return np.multiply(x, y)


@multiply.vjp("x")
def multiply_vjp_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    return g * y


@multiply.vjp("y")
def multiply_vjp_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    return g * x


@primitive(elementwise=True, method=False, numpy=[np.divide], samples=DIVISORS)
def divide(x: Array, y: Array) -> Array:
    """Quotient element by element: out = x / y, broadcast; infinite or NaN at y = 0, as in NumPy.

    >>> divide(np.array([1.0, 2.0]), 2.0)
    array([0.5, 1. ])
    """
    return np.divide(x, y)


@divide.vjp("x")
def divide_vjp_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    return g / y


@divide.vjp("y")
def divide_vjp_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    return -g * out / y


@primitive(elementwise=True, numpy=[np.reciprocal], samples=[Sample(uniform(0.5, 2, 2, 3))])
def reciprocal(x: Array) -> Array:
    """Reciprocal: out = 1 / x, infinite at 0; of integers a whole number, as in NumPy.

    >>> reciprocal(np.array([2.0, -0.5]))
    array([ 0.5, -2. ])
    """
    return np.reciprocal(x)


@reciprocal.vjp("x")
def reciprocal_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return -g * out * out


@primitive(elementwise=True, method=False, numpy=[np.mod], samples=WITHOUT_JUMPS)
def mod(x: Array, y: Array) -> Array:
    """Remainder with the sign of the divisor: out = x - y floor(x / y), broadcast; NaN at y = 0.

    d out/dx = 1 and d out/dy = -floor(x / y). At its jumps, where y divides x, the derivatives are those of the side
    on which the quotient is floor(x / y).

    >>> mod(np.array([5.5, -5.5]), 2.0)
    array([1.5, 0.5])
    """
    return np.mod(x, y)


@mod.vjp("x")
def mod_vjp_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    return g


@mod.vjp("y")
def mod_vjp_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    return -g * np.floor_divide(x, y)  # the quotient that belongs to `out`, which x / y may round away from


@primitive(elementwise=True, method=False, numpy=[np.fmod], samples=WITHOUT_JUMPS)
def fmod(x: Array, y: Array) -> Array:
    """Remainder with the sign of the dividend: out = x - y trunc(x / y), broadcast; NaN at y = 0.

    d out/dx = 1 and d out/dy = -trunc(x / y); at its jumps as for `mod`.

    >>> fmod(np.array([5.5, -5.5]), 2.0)
    array([ 1.5, -1.5])
    """
    return np.fmod(x, y)


@fmod.vjp("x")
def fmod_vjp_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    return g


@fmod.vjp("y")
def fmod_vjp_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    return -g * np.rint((x - out) / y)  # the quotient that belongs to `out`, which x / y may round away from


@primitive(
    elementwise=True,
    method=False,
    numpy=[np.power],
    samples=[
        Sample(uniform(0.5, 2, 2, 3), normal(2, 3)),
        Sample(uniform(0.5, 2, 3), normal(2, 1)),
        Sample(normal(2, 3), 2),
        Sample(normal(3), 3.0),
        Sample(uniform(0.5, 2, 3), -1.5),
        Sample(2.0, normal(3)),
    ],
)
def power(x: Array, y: Array) -> Array:
    """Power element by element: out = x ** y, broadcast.

    d out/dx = y x**(y-1), which is 0 where y = 0, at x = 0 too; d out/dy = out log x, which is taken as 0 where x or
    out is 0, and NaN where x < 0. Negative powers of whole numbers are refused.

    >>> power(np.array([1.0, 2.0]), 3)
    array([1., 8.])
    """
    return np.power(x, y)


@power.vjp("x")
def power_vjp_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    if isinstance(y, (int, float)):  # has no derivative, and choosing by one number saves three quarters of the time
        return g * np.where(np.equal(y, 0), 0, y * x ** (y - 1))
    lower = x ** np.subtract(y, 1)
    return g * np.where(np.equal(y, 0) & ~np.isfinite(lower), 0, y * lower)


@power.vjp("y")
def power_vjp_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    flat = np.equal(out, 0) | np.equal(x, 0)
    return g * np.where(flat, 0, out * np.log(np.where(flat, 1, x)))


@primitive(
    elementwise=True, numpy=[np.absolute], samples=[Sample(distinct(2, 3)), Sample(normal()), Sample(normal(0, 3))]
)
def abs(x: Array) -> Array:
    """Absolute value: out = |x|; the derivative at 0 is 0.

    >>> abs(np.array([1.0, -2.0]))
    array([1., 2.])
    """
    return np.absolute(x)


@abs.vjp("x")
def abs_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g * np.sign(x)


@primitive(elementwise=True, numpy=[np.sign], samples=[Sample(distinct(2, 3))])
def sign(x: Array) -> Array:
    """Sign: out = -1, 0 or 1; the derivative is 0 everywhere, at the jump too.

    >>> sign(np.array([-3.0, 0.0, 2.0]))
    array([-1.,  0.,  1.])
    """
    return np.sign(x)


@sign.vjp("x")
def sign_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return 0 * g


@primitive(elementwise=True, numpy=[np.exp], samples=UNARY)
def exp(x: Array) -> Array:
    """Exponential: out = e**x; infinite above 709 in float64 and above 88 in float32.

    >>> exp(np.array([0.0, 1.0]))
    array([1.        , 2.71828183])
    """
    return np.exp(x)


@exp.vjp("x")
def exp_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g * out


@primitive(elementwise=True, numpy=[np.exp2], samples=[Sample(normal(2, 3))])
def exp2(x: Array) -> Array:
    """Power of two: out = 2**x; infinite from 1024 in float64 and from 128 in float32.

    >>> exp2(np.array([3.0, -1.0]))
    array([8. , 0.5])
    """
    return np.exp2(x)


@exp2.vjp("x")
def exp2_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g * (LOG_2 * out)


@primitive(elementwise=True, numpy=[np.expm1], samples=UNARY)
def expm1(x: Array) -> Array:
    """Exponential minus one: out = e**x - 1, exact for small x.

    >>> expm1(np.array([0.0, 1e-20]))
    array([0.e+00, 1.e-20])
    """
    return np.expm1(x)


@expm1.vjp("x")
def expm1_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g * np.exp(x)  # out + 1 is 0 where e**x is below the precision of 1


@primitive(elementwise=True, numpy=[np.log], samples=[Sample(uniform(0.5, 2, 2, 3)), Sample(uniform(0.5, 2))])
def log(x: Array) -> Array:
    """Natural logarithm: out = log x; -inf at 0 and NaN below. For log of a softmax use log_softmax.

    >>> log(np.array([1.0, np.e]))
    array([0., 1.])
    """
    return np.log(x)


@log.vjp("x")
def log_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g / x


@primitive(elementwise=True, numpy=[np.log2], samples=[Sample(uniform(0.5, 2, 2, 3))])
def log2(x: Array) -> Array:
    """Binary logarithm: out = log x / log 2; -inf at 0 and NaN below.

    >>> log2(np.array([8.0, 0.5]))
    array([ 3., -1.])
    """
    return np.log2(x)


@log2.vjp("x")
def log2_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g / x / LOG_2


@primitive(elementwise=True, numpy=[np.log10], samples=[Sample(uniform(0.5, 2, 2, 3))])
def log10(x: Array) -> Array:
    """Decimal logarithm: out = log x / log 10; -inf at 0 and NaN below.

    >>> log10(np.array([1000.0, 0.1]))
    array([ 3., -1.])
    """
    return np.log10(x)


@log10.vjp("x")
def log10_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g / x / LOG_10


@primitive(elementwise=True, numpy=[np.log1p], samples=[Sample(uniform(-0.5, 2, 2, 3)), Sample(uniform(-0.5, 2))])
def log1p(x: Array) -> Array:
    """Logarithm of one plus x: out = log(1 + x), exact for small x.

    >>> log1p(np.array([0.0, 1e-20]))
    array([0.e+00, 1.e-20])
    """
    return np.log1p(x)


@log1p.vjp("x")
def log1p_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g / (1 + x)


@primitive(elementwise=True, numpy=[np.sqrt], samples=[Sample(uniform(0.5, 2, 2, 3)), Sample(uniform(0.5, 2))])
def sqrt(x: Array) -> Array:
    """Square root; the derivative at 0 is infinite for a non-zero cotangent and 0 for a zero one.

    >>> sqrt(np.array([0.0, 4.0]))
    array([0., 2.])
    """
    return np.sqrt(x)


@sqrt.vjp("x")
def sqrt_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g / (2 * out)


@primitive(elementwise=True, numpy=[np.cbrt], samples=[Sample(distinct(2, 3))])
def cbrt(x: Array) -> Array:
    """Cube root, of negative numbers too; infinitely steep at 0, but 0 there for a zero cotangent.

    >>> cbrt(np.array([8.0, -1.0]))
    array([ 2., -1.])
    """
    return np.cbrt(x)


@cbrt.vjp("x")
def cbrt_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g / (3 * out * out)


@primitive(elementwise=True, numpy=[np.square], samples=UNARY)
def square(x: Array) -> Array:
    """Square: out = x * x.

    >>> square(np.array([3.0, -2.0]))
    array([9., 4.])
    """
    return np.square(x)


@square.vjp("x")
def square_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g * (2 * x)


PAIRS = [Sample(distinct(2, 3), normal(2, 3)), Sample(normal(2, 3), normal(3)), Sample(normal(3), 0.25)]


@primitive(elementwise=True, method=False, numpy=[np.maximum], samples=PAIRS)
def maximum(x: Array, y: Array) -> Array:
    """The larger of two, element by element; at a tie each operand gets half the gradient.

    >>> maximum(np.array([1.0, -2.0]), 0.0)
    array([1., 0.])
    """
    return np.maximum(x, y)


@maximum.vjp("x")
def maximum_vjp_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    return np.where(np.equal(x, y), g / 2, np.where(np.greater(x, y), g, 0))


@maximum.vjp("y")
def maximum_vjp_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    return np.where(np.equal(x, y), g / 2, np.where(np.greater(y, x), g, 0))


@primitive(elementwise=True, method=False, numpy=[np.minimum], samples=PAIRS)
def minimum(x: Array, y: Array) -> Array:
    """The smaller of two, element by element; at a tie each operand gets half the gradient.

    >>> minimum(np.array([1.0, -2.0]), 0.0)
    array([ 0., -2.])
    """
    return np.minimum(x, y)


@minimum.vjp("x")
def minimum_vjp_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    return np.where(np.equal(x, y), g / 2, np.where(np.less(x, y), g, 0))


@minimum.vjp("y")
def minimum_vjp_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    return np.where(np.equal(x, y), g / 2, np.where(np.less(y, x), g, 0))


@primitive(
    elementwise=True,
    numpy=[np.clip],
    samples=[Sample(distinct(3, 3), -0.3, 0.3), Sample(distinct(4), 0.0), Sample(distinct(4), a_max=0.0)],
)
def clip(x: Array, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Array:
    """Values limited to [a_min, a_max]: out = min(max(x, a_min), a_max).

    The derivative is 1 within and at the bounds, 0 outside. The bounds are constants; None leaves a side open. min and
    max are other names of them, as in NumPy; ArgumentError if a bound is given under both.

    >>> clip(np.array([-2.0, 0.5, 2.0]), 0.0, 1.0)
    array([0. , 0.5, 1. ])
    """
    return np.clip(x, only_one(a_min, min), only_one(a_max, max))


@clip.vjp("x")
def clip_vjp_x(
    g: Array, out: Array, x: Array, a_min: Any = None, a_max: Any = None, min: Any = None, max: Any = None
) -> Array:
    return np.where(np.equal(x, out), g, 0)  # clipping changed no value that lies within


def only_one(bound: Any, other: Any) -> Any:
    """The bound that was given, under one of its two names."""
    if bound is not None and other is not None:
        raise ArgumentError("a bound is given twice", remedy="write clip(x, a_min, a_max) or clip(x, min=, max=)")
    return other if bound is None else bound


@primitive(
    elementwise=True,
    method=False,
    numpy=[np.where],
    samples=[
        Sample(booleans(2, 3), normal(2, 3), normal(2, 3)),
        Sample(booleans(2, 1), normal(3), normal()),
        Sample(booleans(4), normal(4), 0.0),
    ],
)
def where(condition: Array, x: Array, y: Array) -> Array:
    """Choice element by element: x where the condition holds, else y, all broadcast.

    The branch that was not chosen gets a gradient of exactly 0, even where its value or slope is infinite.

    >>> where(np.array([True, False]), 1.0, 2.0)
    array([1., 2.])
    """
    return np.where(condition, x, y)


@where.vjp("x")
def where_vjp_x(g: Array, out: Array, condition: Array, x: Array, y: Array) -> Array:
    return np.where(condition, g, 0)


@where.vjp("y")
def where_vjp_y(g: Array, out: Array, condition: Array, x: Array, y: Array) -> Array:
    return np.where(condition, 0, g)


@primitive(elementwise=True, samples=[Sample(normal(2, 3), np.float64)])
def astype(x: Array, dtype: Any) -> Array:
    """The values in another type; a cast to integers or booleans carries no gradient.

    >>> astype(np.array([1.7, -1.7]), int)
    array([ 1, -1])
    """
    if np.dtype(dtype).kind not in "biuf":
        raise DTypeError(f"tensors hold real numbers, not {np.dtype(dtype)}")
    return as_array(x).astype(dtype)


@astype.vjp("x")
def astype_vjp_x(g: Array, out: Array, x: Array, dtype: Any) -> Array:
    return g.astype(x.dtype)
