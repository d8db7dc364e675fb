"""Circular and hyperbolic functions, their inverses, and the length and the angle of a point of the plane.

Slopes are written so that they keep their relative precision where they are steep or flat: (1 - x) (1 + x) for
1 - x**2, which cancels near 1, and lengths by `hypot`, whose squares cannot overflow.

Source: M. Abramowitz and I. Stegun, Handbook of Mathematical Functions, 1964, chapter 4.
"""

from __future__ import annotations

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.ops.samples import UNARY, Sample, normal, uniform

BELOW_ONE = [Sample(uniform(-0.9, 0.9, 2, 3))]
ANYWHERE = [Sample(normal(2, 3))]
PLANE = [Sample(normal(2, 1), normal(1, 3)), Sample(normal(3), 2.5)]


@primitive(elementwise=True, numpy=[np.sin], samples=UNARY)
def sin(x: Array) -> Array:
    """Sine of x in radians.

    >>> sin(np.array([0.0, np.pi / 2]))
    array([0., 1.])
    """
    return np.sin(x)


@sin.vjp("x")
def sin_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g * np.cos(x)


@primitive(elementwise=True, numpy=[np.cos], samples=UNARY)
def cos(x: Array) -> Array:
    """Cosine of x in radians.

    >>> cos(np.array([0.0, np.pi]))
    array([ 1., -1.])
    """
    return np.cos(x)


@cos.vjp("x")
def cos_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return -g * np.sin(x)


@primitive(elementwise=True, numpy=[np.tan], samples=[Sample(uniform(-1.2, 1.2, 2, 3))])
def tan(x: Array) -> Array:
    """Tangent of x in radians: out = sin x / cos x, with out' = 1 + out**2, which is exact near the poles too.

    >>> tan(np.array([0.0, np.pi / 4]))
    array([0., 1.])
    """
    return np.tan(x)


@tan.vjp("x")
def tan_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g * (1 + out * out)


@primitive(elementwise=True, numpy=[np.arcsin], samples=BELOW_ONE)
def arcsin(x: Array) -> Array:
    """Inverse sine, from -pi/2 to pi/2; infinitely steep at -1 and 1 (0 for a zero cotangent), NaN beyond.

    >>> arcsin(np.array([0.0, 1.0]))
    array([0.        , 1.57079633])
    """
    return np.arcsin(x)


@arcsin.vjp("x")
def arcsin_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g / np.sqrt((1 - x) * (1 + x))


@primitive(elementwise=True, numpy=[np.arccos], samples=BELOW_ONE)
def arccos(x: Array) -> Array:
    """Inverse cosine, from 0 to pi; infinitely steep at -1 and 1 (0 for a zero cotangent), NaN beyond.

    >>> arccos(np.array([0.0, 1.0]))
    array([1.57079633, 0.        ])
    """
    return np.arccos(x)


@arccos.vjp("x")
def arccos_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return -g / np.sqrt((1 - x) * (1 + x))


@primitive(elementwise=True, numpy=[np.arctan], samples=ANYWHERE)
def arctan(x: Array) -> Array:
    """Inverse tangent, from -pi/2 to pi/2: out' = 1 / (1 + x**2), without overflow.

    >>> arctan(np.array([0.0, np.inf]))
    array([0.        , 1.57079633])
    """
    return np.arctan(x)


@arctan.vjp("x")
def arctan_vjp_x(g: Array, out: Array, x: Array) -> Array:
    length = np.hypot(1, x)
    return g / length / length


@primitive(elementwise=True, numpy=[np.sinh], samples=ANYWHERE)
def sinh(x: Array) -> Array:
    """Hyperbolic sine: out = (e**x - e**-x) / 2; infinite beyond 710 in float64 and 89 in float32.

    >>> sinh(np.array([0.0, 1.0]))
    array([0.        , 1.17520119])
    """
    return np.sinh(x)


@sinh.vjp("x")
def sinh_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g * np.cosh(x)


@primitive(elementwise=True, numpy=[np.cosh], samples=ANYWHERE)
def cosh(x: Array) -> Array:
    """Hyperbolic cosine: out = (e**x + e**-x) / 2; infinite beyond 710 in float64 and 89 in float32.

    >>> cosh(np.array([0.0, 1.0]))
    array([1.        , 1.54308063])
    """
    return np.cosh(x)


@cosh.vjp("x")
def cosh_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g * np.sinh(x)


@primitive(elementwise=True, numpy=[np.tanh], samples=UNARY)
def tanh(x: Array) -> Array:
    """Hyperbolic tangent: out = (e**x - e**-x) / (e**x + e**-x), between -1 and 1; out' = 1 - out**2.

    >>> tanh(np.array([0.0, 100.0]))
    array([0., 1.])
    """
    return np.tanh(x)


@tanh.vjp("x")
def tanh_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g * (1 - out * out)


@primitive(elementwise=True, numpy=[np.arcsinh], samples=ANYWHERE)
def arcsinh(x: Array) -> Array:
    """Inverse hyperbolic sine: out = log(x + sqrt(x**2 + 1)), with out' = 1 / sqrt(1 + x**2).

    >>> arcsinh(np.array([0.0, 1e200]))
    array([  0.        , 461.21016578])
    """
    return np.arcsinh(x)


@arcsinh.vjp("x")
def arcsinh_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g / np.hypot(1, x)


@primitive(elementwise=True, numpy=[np.arccosh], samples=[Sample(uniform(1.2, 3, 2, 3))])
def arccosh(x: Array) -> Array:
    """Inverse hyperbolic cosine: out = log(x + sqrt(x**2 - 1)); infinitely steep at 1, NaN below.

    >>> arccosh(np.array([1.0, 2.0]))
    array([0.       , 1.3169579])
    """
    return np.arccosh(x)


@arccosh.vjp("x")
def arccosh_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g / (np.sqrt(x - 1) * np.sqrt(x + 1))


@primitive(elementwise=True, numpy=[np.arctanh], samples=BELOW_ONE)
def arctanh(x: Array) -> Array:
    """Inverse hyperbolic tangent: out = log((1 + x) / (1 - x)) / 2; infinite and infinitely steep at -1 and 1.

    >>> arctanh(np.array([0.0, 0.5]))
    array([0.        , 0.54930614])
    """
    return np.arctanh(x)


@arctanh.vjp("x")
def arctanh_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g / ((1 - x) * (1 + x))


@primitive(elementwise=True, method=False, numpy=[np.hypot], samples=PLANE)
def hypot(x: Array, y: Array) -> Array:
    """Length of the vector (x, y): out = sqrt(x**2 + y**2), broadcast, without overflow.

    The gradient is the vector over its length; at (0, 0) it is 0, to every order, and an infinite x has a slope of 1.

    >>> hypot(np.array([3.0, 3e200]), np.array([4.0, 4e200]))
    array([5.e+000, 5.e+200])
    """
    return np.hypot(x, y)


def ratio_to_length(x: Array, length: Array) -> Array:
    """Quotient of x and length, the cosine of an angle: 0 where both are 0, the sign of x where both are infinite."""
    return np.where(np.isinf(x), np.sign(1.0 * x), x / infinite_for_zero(length))  # a boolean has no sign


def infinite_for_zero(length: Array) -> Array:
    """A length to divide by: infinite instead of zero, so that quotients and their derivatives vanish there."""
    return np.where(np.equal(length, 0), np.inf, length)


@hypot.vjp("x")
def hypot_vjp_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    return g * ratio_to_length(x, out)


@hypot.vjp("y")
def hypot_vjp_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    return g * ratio_to_length(y, out)


@primitive(elementwise=True, method=False, numpy=[np.arctan2], samples=PLANE)
def arctan2(y: Array, x: Array) -> Array:
    """Angle of the point (x, y) with the positive x axis, from -pi to pi; y comes first, as in NumPy.

    d out/dy = x / (x**2 + y**2) and d out/dx = -y / (x**2 + y**2). At (0, 0), where the angle may be any, the gradient
    is 0, the mean over all directions, and so it is at infinity. At the jump (y = 0, x < 0) it is that of either side.

    >>> arctan2(np.array([1.0, -1.0]), np.array([0.0, -1.0]))
    array([ 1.57079633, -2.35619449])
    """
    return np.arctan2(y, x)


@arctan2.vjp("y")
def arctan2_vjp_y(g: Array, out: Array, y: Array, x: Array) -> Array:
    length = np.hypot(x, y)
    return g * ratio_to_length(x, length) / infinite_for_zero(length)


@arctan2.vjp("x")
def arctan2_vjp_x(g: Array, out: Array, y: Array, x: Array) -> Array:
    length = np.hypot(x, y)
    return -g * ratio_to_length(y, length) / infinite_for_zero(length)


@primitive(elementwise=True, method=False, numpy=[np.deg2rad, np.radians], samples=ANYWHERE)
def deg2rad(x: Array) -> Array:
    """Degrees to radians: out = x pi / 180.

    >>> deg2rad(np.array([180.0, 90.0]))
    array([3.14159265, 1.57079633])
    """
    return np.deg2rad(x)


@deg2rad.vjp("x")
def deg2rad_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g * (np.pi / 180)


@primitive(elementwise=True, method=False, numpy=[np.rad2deg, np.degrees], samples=ANYWHERE)
def rad2deg(x: Array) -> Array:
    """Radians to degrees: out = 180 x / pi.

    >>> rad2deg(np.array([np.pi, np.pi / 2]))
    array([180.,  90.])
    """
    return np.rad2deg(x)


@rad2deg.vjp("x")
def rad2deg_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return g * (180 / np.pi)
