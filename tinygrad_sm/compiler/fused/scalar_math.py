"""Functions of one number that a compiler can turn into vector instructions: no branches, no tables, no calls.

The mathematical library works on one number at a time, eight to sixteen times as slowly. Errors are within three units
in the last place; infinities and NaN come out as NumPy has them. Adding MAGIC rounds to an integer, which then stands
in the lowest bits; that these functions are compiled without reassociation keeps it from being optimised away.

Coefficients: minimax polynomials by E. Remez's exchange algorithm, 1934. Argument reduction: W. Cody and W. Waite,
Software manual for the elementary functions, 1980; log1p: W. Kahan, in HP-15C advanced functions handbook, 1982.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

f32, f64, i32, i64 = np.float32, np.float64, np.int32, np.int64
inf, nan = np.inf, np.nan

LOG2_E = 1.4426950408889634
MAGIC_32, BITS_32 = f32(1.5 * 2**23), i32(0x4B400000)
MAGIC_64, BITS_64 = f64(1.5 * 2**52), i64(0x4338000000000000)
# ln 2 in two parts, the first of which has so few digits that its products with exponents are exact.
LN2_32 = f32(0.693359375), f32(-2.12194440054690583e-4)
LN2_64 = 0.693147180369123816490, 1.90821492927058770002e-10


def function(body: Callable[..., Any]) -> Any:
    """Compile a function."""
    return njit(fastmath={"contract"}, error_model="numpy")(body)


def _chosen(name: str) -> Any:
    """An LLVM intrinsic of two numbers: one instruction or two, and it reduces in vectors too."""

    def choose(context: Any, x: Any, y: Any) -> Any:
        kind = x if x == y and x in (types.float32, types.float64) else None

        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            suffix = "f32" if kind is types.float32 else "f64"
            operand = args[0].type
            declared = ir.FunctionType(operand, [operand, operand])
            function = cgutils.get_or_insert_function(builder.module, declared, f"llvm.{name}.{suffix}")
            return builder.call(function, args)

        return (kind(kind, kind), code) if kind else None

    return intrinsic(choose)


maximum = _chosen("maximum")  # NaN if one is NaN, as np.maximum
minimum = _chosen("minimum")


@function
def exp_parts_32(x: Any) -> Any:
    """The k and e**r - 1 of x = k ln 2 + r."""
    t = x * f32(LOG2_E) + MAGIC_32
    k = t - MAGIC_32
    r = (x - k * LN2_32[0]) - k * LN2_32[1]
    q = f32(1.39460042673638292e-3) * r + f32(8.36634751873274215e-3)
    q = q * r + f32(4.16662904034236101e-2)
    q = q * r + f32(0.166665454477973423)
    q = q * r + f32(0.500000005830664524)
    return i32(f32(t).view(np.int32) - BITS_32), q * (r * r) + r


@function
def power_of_two_32(k: Any) -> Any:
    """The number 2**k for k from -126 to 127."""
    return i32((k + i32(127)) << i32(23)).view(np.float32)


@function
def exp_32(x: Any) -> Any:
    """Exponential."""
    x = f32(-104) if x < f32(-104) else x
    x = f32(89) if x > f32(89) else x
    k, p = exp_parts_32(x)
    half = i32(k >> i32(1))
    return (p + f32(1)) * power_of_two_32(half) * power_of_two_32(i32(k - half))  # in two steps, for the smallest


@function
def expm1_32(x: Any) -> Any:
    """Exponential less one."""
    x = f32(-40) if x < f32(-40) else x
    x = f32(89) if x > f32(89) else x
    k, p = exp_parts_32(x)
    scale = power_of_two_32(i32(k - i32(1)))
    return f32(2) * (scale * p + (scale - f32(0.5)))


@function
def log_32(x: Any) -> Any:
    """Natural logarithm."""
    tiny = x < f32(1.1754943508222875e-38)
    y = x * f32(2**24) if tiny else x
    bits = f32(y).view(np.int32)
    k = i32(bits - i32(0x3F3504F3)) >> i32(23)  # so that y / 2**k lies between sqrt(1/2) and sqrt(2)
    f = i32(bits - i32(k << i32(23))).view(np.float32) - f32(1)
    exponent = f32(i32(k - i32(24)) if tiny else i32(k))
    s = f / (f + f32(2))
    z = s * s
    r = f32(0.235546279911355625) * z + f32(0.285389979660039001)
    r = (r * z + f32(0.400003030151421506)) * z + f32(0.666666658292843639)
    half = f32(0.5) * f * f
    result = exponent * LN2_32[0] - ((half - (s * (half + z * r) + exponent * LN2_32[1])) - f)
    result = x if x == f32(inf) else result
    return f32(nan) if x < f32(0) or x != x else (f32(-inf) if x == f32(0) else result)


@function
def exp_parts_64(x: Any) -> Any:
    """The k and e**r - 1 of x = k ln 2 + r."""
    t = x * LOG2_E + MAGIC_64
    k = t - MAGIC_64
    r = (x - k * LN2_64[0]) - k * LN2_64[1]
    q = 2.09240927455755781e-9 * r + 2.51086481835278838e-8
    q = q * r + 2.75572440500615166e-7
    q = q * r + 2.75572453989342416e-6
    q = q * r + 2.48015873587945477e-5
    q = q * r + 1.98412698848504733e-4
    q = q * r + 1.38888888888679198e-3
    q = q * r + 8.33333333332218504e-3
    q = q * r + 4.16666666666666985e-2
    q = q * r + 0.166666666666666758
    q = q * r + 0.5
    return f64(t).view(np.int64) - BITS_64, q * (r * r) + r


@function
def power_of_two_64(k: Any) -> Any:
    """The number 2**k for k from -1022 to 1023."""
    return i64((k + i64(1023)) << i64(52)).view(np.float64)


@function
def exp_64(x: Any) -> Any:
    """Exponential."""
    x = -746.0 if x < -746.0 else x
    x = 710.0 if x > 710.0 else x
    k, p = exp_parts_64(x)
    half = k >> i64(1)
    return (p + 1.0) * power_of_two_64(half) * power_of_two_64(k - half)


@function
def expm1_64(x: Any) -> Any:
    """Exponential less one."""
    x = -80.0 if x < -80.0 else x
    x = 710.0 if x > 710.0 else x
    k, p = exp_parts_64(x)
    scale = power_of_two_64(k - i64(1))
    return 2.0 * (scale * p + (scale - 0.5))


@function
def log_64(x: Any) -> Any:
    """Natural logarithm."""
    tiny = x < 2.2250738585072014e-308
    y = x * 2.0**54 if tiny else x
    bits = f64(y).view(np.int64)
    k = (bits - i64(0x3FE6A09E667F3BCD)) >> i64(52)
    f = i64(bits - (k << i64(52))).view(np.float64) - 1.0
    exponent = f64(k - i64(54) if tiny else k)
    s = f / (f + 2.0)
    z = s * s
    r = 0.132148089491468426 * z + 0.132545764988572933
    r = r * z + 0.153868687966540467
    r = r * z + 0.181817814452135115
    r = r * z + 0.222222225630294898
    r = r * z + 0.285714285697472941
    r = r * z + 0.400000000000036989
    r = r * z + 0.666666666666666645
    half = 0.5 * f * f
    result = exponent * LN2_64[0] - ((half - (s * (half + z * r) + exponent * LN2_64[1])) - f)
    result = x if x == inf else result
    return nan if x < 0.0 or x != x else (-inf if x == 0.0 else result)


@function
def log1p_32(x: Any) -> Any:
    """Natural logarithm of 1 + x."""
    u = x + f32(1)
    lost = x - (u - f32(1))  # what the sum could not hold
    result = log_32(u) + lost / u
    return log_32(u) if u == f32(inf) or u == f32(0) else result


@function
def log1p_64(x: Any) -> Any:
    """Natural logarithm of 1 + x."""
    u = x + 1.0
    lost = x - (u - 1.0)
    result = log_64(u) + lost / u
    return log_64(u) if u == inf or u == 0.0 else result


@function
def tanh_32(x: Any) -> Any:
    """Hyperbolic tangent, from e**2x - 1."""
    y = f32(-10) if x < f32(-10) else x
    y = f32(10) if y > f32(10) else y
    e = expm1_32(f32(2) * y)
    return e / (e + f32(2))


@function
def tanh_64(x: Any) -> Any:
    """Hyperbolic tangent, from e**2x - 1."""
    y = -20.0 if x < -20.0 else x
    y = 20.0 if y > 20.0 else y
    e = expm1_64(2.0 * y)
    return e / (e + 2.0)
