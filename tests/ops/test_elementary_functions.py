"""Elementary and special functions at the edges of their domains, at ties and near zero: value and slopes written out.

The oracles are `math`, decimal arithmetic of many digits and closed forms.
"""

import itertools
import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from calls import DIFFERENTIABLE, Call, variables

import tinygrad_sm as tg
from tinygrad_sm import Tensor

INF, NAN, PI = np.inf, np.nan, math.pi


def derivatives(f, x, order):
    """The value of a function of one number and its derivatives up to an order."""
    x = Tensor(float(x), requires_grad=True)
    found, y = [], f(x)
    for _ in range(order + 1):
        found.append(y.data)
        y = tg.gradients(y, x, create_graph=True) if y.requires_grad else Tensor(np.zeros_like(x.data))
    return found


def pair(f, x, y, dtype=float):
    """The value of a function of two numbers, its gradient and its Hessian."""
    both = [Tensor(np.array(value, dtype), requires_grad=True) for value in (x, y)]
    out = f(*both)
    slopes = tg.gradients(out, both, create_graph=True)
    second = [tg.gradients(slope, both) if slope.requires_grad else [Tensor(0.0)] * 2 for slope in slopes]
    return out.item(), [slope.item() for slope in slopes], [[each.item() for each in row] for row in second]


def slope(f, x, cotangent=1.0):
    x = Tensor(x, requires_grad=True)
    f(x).backward(np.asarray(cotangent, x.dtype))
    return x.grad


# The edges of domains ---------------------------------------------------------------------------------------------

EDGES = [  # function, x, its value, first and second derivative
    (tg.log, 0.0, -INF, INF, -INF),
    (tg.log2, 0.0, -INF, INF, -INF),
    (tg.log10, 0.0, -INF, INF, -INF),
    (tg.log1p, -1.0, -INF, INF, -INF),
    (tg.sqrt, 0.0, 0, INF, -INF),
    (tg.cbrt, 0.0, 0, INF, 0),  # the mean of minus and plus infinity, left and right
    (tg.cbrt, -8.0, -2, 1 / 12, 1 / 144),
    (tg.reciprocal, 0.0, INF, -INF, INF),
    (tg.reciprocal, -0.0, -INF, -INF, -INF),
    (tg.reciprocal, INF, 0, 0, 0),
    (tg.arcsin, 1.0, PI / 2, INF, INF),
    (tg.arcsin, -1.0, -PI / 2, INF, -INF),
    (tg.arccos, 1.0, 0, -INF, -INF),
    (tg.arccos, -1.0, PI, -INF, INF),
    (tg.arctanh, 1.0, INF, INF, INF),
    (tg.arctanh, -1.0, -INF, INF, -INF),
    (tg.arccosh, 1.0, 0, INF, -INF),
    (tg.arccosh, INF, INF, 0, 0),
    (tg.arcsinh, -INF, -INF, 0, 0),
    (tg.arctan, INF, PI / 2, 0, 0),
    (tg.arctan, -1e200, -PI / 2, 0, 0),
    (tg.exp2, -INF, 0, 0, 0),
    (tg.exp2, 10.0, 1024, 1024 * math.log(2), 1024 * math.log(2) ** 2),
    (tg.sinh, 0.0, 0, 1, 0),
    (tg.cosh, 0.0, 1, 0, 1),
    (tg.erf, INF, 1, 0, 0),
    (tg.erf, -1e300, -1, 0, 0),
    (tg.sign, 0.0, 0, 0, 0),
    (tg.deg2rad, 180.0, PI, PI / 180, 0),
    (tg.rad2deg, PI, 180, 180 / PI, 0),
]


@pytest.mark.parametrize(("f", "x", "value", "first", "second"), EDGES, ids=lambda each: getattr(each, "name", None))
def test_edge_of_a_domain(f, x, value, first, second):
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(derivatives(f, x, 2), [value, first, second], rtol=4e-16, atol=0)


@pytest.mark.parametrize(("f", "x"), [(f, x) for f, x, _, first, _ in EDGES if np.isinf(first)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_infinite_slope_is_zero_for_a_zero_cotangent(f, x, dtype):
    with np.errstate(divide="ignore"):
        got = slope(f, np.array([x, 1.5 if f is tg.arccosh else 0.5], dtype), [0, 1])
    assert got.dtype == dtype
    assert got[0] == 0
    assert 0 < abs(got[1]) < INF


@pytest.mark.parametrize(
    ("f", "x"),
    [(tg.arcsin, 1.5), (tg.arccos, -1.5), (tg.arccosh, 0.5), (tg.arccosh, -2.0), (tg.log2, NAN), (tg.erf, NAN)],
)
def test_slope_outside_of_the_domain_is_not_a_number(f, x):
    with np.errstate(invalid="ignore"):
        assert np.isnan(derivatives(f, x, 1)).all()


@pytest.mark.parametrize("f", [tg.arctan, tg.arcsinh, tg.tanh, tg.erf, tg.log2, tg.cbrt])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_large_arguments_overflow_nowhere(f, dtype):
    x = np.array([0.25, 0.5, 1.0]).astype(dtype) * np.finfo(dtype).max  # warnings are errors
    assert np.isfinite(slope(f, x, [1, 1, 1])).all()


def test_slope_of_arctan_at_large_arguments_in_half_precision():
    got = slope(tg.arctan, np.array([300.0, -1000.0], np.float16), [1, 1])
    np.testing.assert_allclose(got, [1 / (1 + 300**2), 1 / (1 + 1000**2)], rtol=0.05)


STEEP = {  # the slope, in terms of decimals
    tg.arcsin: lambda x: 1 / (1 - x * x).sqrt(),
    tg.arccos: lambda x: -1 / (1 - x * x).sqrt(),
    tg.arctanh: lambda x: 1 / (1 - x * x),
    tg.arccosh: lambda x: 1 / (x * x - 1).sqrt(),
    tg.arcsinh: lambda x: 1 / (1 + x * x).sqrt(),
    tg.arctan: lambda x: 1 / (1 + x * x),
}


@pytest.mark.parametrize("f", STEEP, ids=lambda f: f.name)
def test_slopes_keep_their_precision_where_they_are_steep_or_flat(f):
    gaps = [2.0**-k for k in (3, 10, 20, 30, 40, 52)]
    x = {tg.arccosh: [1 + gap for gap in gaps] + [3.0, 1e100], tg.arctan: [*gaps, 1e4, 1e100, 1e150]}.get(
        f, [1 - gap for gap in gaps] + gaps
    )
    with localcontext() as context:
        context.prec = 50
        expected = [float(STEEP[f](Decimal(each))) for each in x]
    np.testing.assert_allclose(slope(f, np.array(x), np.ones(len(x))), expected, rtol=1e-15, atol=0)


def test_slope_of_tan_near_its_poles():
    x = PI / 2 - np.array([0.0, 1e-12, 1e-6, 0.5])
    np.testing.assert_allclose(slope(tg.tan, x, np.ones(4)), [math.cos(each) ** -2 for each in x], rtol=1e-14)


# The error function -----------------------------------------------------------------------------------------------


def grid():
    rng = np.random.default_rng(0)
    small = 10.0 ** rng.uniform(-307, 0, 2000)
    x = np.concatenate([np.linspace(-7, 7, 20001), small, -small, [0.0, -0.0, INF, -INF, 1e300, 5e-324]])
    return x[np.abs(x) != 1e-10]


def test_erf_is_exact_to_one_part_in_ten_to_the_fifteenth():
    x = grid()
    expected = [math.erf(each) for each in x]
    np.testing.assert_allclose(tg.erf(x), expected, rtol=6e-16, atol=1e-323)
    assert np.signbit(tg.erf(np.array([-0.0, 0.0]))).tolist() == [True, False]
    assert np.isnan(tg.erf(np.array(NAN)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_erf_and_gelu_end_exactly(dtype):
    far = np.array([-np.inf, -1e4, -40, -12, 12, 40, 1e4, np.inf], dtype)
    np.testing.assert_array_equal(tg.erf(far), np.sign(far))
    x = tg.Tensor(far, requires_grad=True)
    y = tg.nn.functional.gelu(x)
    y.sum().backward()
    np.testing.assert_array_equal(y.data, np.maximum(far, 0))
    np.testing.assert_allclose(x.grad, far > 0, rtol=0, atol=1e-30)


def test_slope_of_expm1_in_its_tail():
    x = tg.Tensor([-600.0, -40.0, 0.0], requires_grad=True)
    (slope,) = tg.gradients(tg.expm1(x), [x], create_graph=True, cotangent=np.ones(3))
    (second,) = tg.gradients(slope.sum(), [x])
    for got in (slope, second):
        np.testing.assert_allclose(got.data, [2.6503965530043108e-261, 4.248354255291589e-18, 1.0], rtol=1e-13)


def test_erf_of_narrow_floats():
    x = grid()
    x = x[(np.abs(x) > 1e-37) & (np.abs(x) < 1e37)].astype(np.float32)
    expected = [math.erf(each) for each in x]
    assert tg.erf(x).dtype == np.float32
    np.testing.assert_allclose(tg.erf(x), expected, rtol=3e-7)
    x = np.linspace(-5, 5, 501).astype(np.float16)
    assert tg.erf(x).dtype == np.float16
    np.testing.assert_allclose(tg.erf(x), [math.erf(each) for each in x], rtol=1e-3)


def test_erf_of_integers_lists_and_empties():
    np.testing.assert_allclose(tg.erf([0, 1, -2]), [0, math.erf(1), -math.erf(2)], rtol=4e-16)
    np.testing.assert_allclose(tg.erf(Tensor([1, 2])).data, [math.erf(1), math.erf(2)], rtol=4e-16)
    assert tg.erf(np.zeros((0, 3), np.float32)).shape == (0, 3)
    assert tg.erf(0.5).dtype == np.float64


@pytest.mark.parametrize("x", [0.0, 1e-200, 0.5, -2.0, 6.0, 26.0])
def test_derivatives_of_erf(x):
    bell = 2 / math.sqrt(PI) * math.exp(-x * x)
    expected = [math.erf(x), bell, -2 * x * bell, (4 * x * x - 2) * bell]
    np.testing.assert_allclose(derivatives(tg.erf, x, 3), expected, rtol=2e-15, atol=1e-320)


# The cardinal sine and the spherical Bessel functions --------------------------------------------------------------


def bessel(x, n):
    """j_n(x) by its power series in decimals of eighty digits."""
    with localcontext() as context:
        context.prec = 80
        x = Decimal(float(x))
        term = x**n / math.prod(range(1, 2 * n + 2, 2)) if n else Decimal(1)
        total = Decimal(0)
        for k in range(1, 120):
            total += term
            term *= -(x**2) / (2 * k * (2 * n + 1 + 2 * k))
        return float(total)


@pytest.mark.parametrize("n", range(5))
def test_spherical_bessel_function(n):
    x = [0.0, 1e-150, 1e-8, -0.5, n - 0.25, n + 0.75, n + 1.0, np.nextafter(n + 1, INF), n + 1.5, -6.0, 9.5]
    expected = [bessel(each, n) for each in x]
    np.testing.assert_allclose(tg.spherical_bessel(np.array(x), n), expected, rtol=2e-14, atol=1e-300)
    got = tg.spherical_bessel(np.array(x, np.float32), n)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_spherical_bessel_functions_of_higher_order():
    x = np.array([0.5, 12.0, 20.9, 21.5, 40.0])
    np.testing.assert_allclose(tg.spherical_bessel(x, 20), [bessel(each, 20) for each in x], rtol=1e-11)
    assert np.isfinite(tg.spherical_bessel(x.astype(np.float32), 40)).all()


@pytest.mark.parametrize("n", [-1, 1.0, 0.5, None])
def test_order_of_a_bessel_function_is_whole(n):
    with pytest.raises(tg.errors.ArgumentError, match="spherical_bessel: n="):
        tg.spherical_bessel(np.ones(2), n)


def test_only_real_numbers_have_an_error_function():
    for x in (np.ones(2, complex), np.array(["a"])):
        with pytest.raises(tg.errors.DTypeError, match="erf: wants real numbers"):
            tg.erf(x)


def test_derivatives_of_sinc_at_zero():
    expected = [1, 0, -(PI**2) / 3, 0, PI**4 / 5, 0, -(PI**6) / 7]
    np.testing.assert_allclose(derivatives(tg.sinc, 0.0, 6), expected, rtol=1e-15, atol=0)


@pytest.mark.parametrize("x", [1e-300, 1e-12, -1e-8, 1e-5, 1e-3, 0.03])
def test_derivatives_of_sinc_near_zero_cancel_nothing(x):
    p = PI * x
    value = 1 - p**2 / 6 + p**4 / 120 - p**6 / 5040
    first = -PI * p * (1 / 3 - p**2 / 30 + p**4 / 840 - p**6 / 45360)
    second = -(PI**2) * (1 / 3 - p**2 / 10 + p**4 / 168 - p**6 / 6480)
    third = PI**3 * p * (1 / 5 - p**2 / 42 + p**4 / 1080)
    np.testing.assert_allclose(derivatives(tg.sinc, x, 2), [value, first, second], rtol=1e-13)
    np.testing.assert_allclose(derivatives(tg.sinc, x, 3)[3], third, rtol=1e-9)


@pytest.mark.parametrize("x", [0.5, -1.0, 1.75, 30.25])
def test_derivatives_of_sinc_away_from_zero(x):
    s, c = math.sin(PI * x), math.cos(PI * x)
    first = c / x - s / (PI * x**2)
    second = -PI * s / x - 2 * c / x**2 + 2 * s / (PI * x**3)
    np.testing.assert_allclose(derivatives(tg.sinc, x, 2), [s / (PI * x), first, second], rtol=1e-12, atol=1e-15)


# Two operands -----------------------------------------------------------------------------------------------------


def test_hypot_at_the_origin_is_zero_and_flat():
    for x, y in itertools.product([0.0, -0.0], repeat=2):
        assert pair(tg.hypot, x, y) == (0, [0, 0], [[0, 0], [0, 0]])


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_hypot_neither_overflows_nor_underflows(scale):
    length, gradient, _ = pair(tg.hypot, 3 * scale, -4 * scale)
    np.testing.assert_allclose([length, *gradient], [5 * scale, 0.6, -0.8], rtol=1e-15)


def test_hypot_away_from_the_origin():
    _, _, second = pair(tg.hypot, 3.0, 4.0)  # (1 - u u^T) / length for the direction u
    np.testing.assert_allclose(second, [[16 / 125, -12 / 125], [-12 / 125, 9 / 125]], rtol=1e-14)
    assert pair(tg.hypot, 0.0, -2.0) == (2, [0, -1], [[0.5, 0], [0, 0]])
    assert pair(tg.hypot, -INF, 2.0)[:2] == (INF, [-1, 0])
    assert np.isnan(pair(tg.hypot, NAN, 2.0)[1]).all()


ANGLES = [  # y, x, the angle, its derivatives by y and x
    (0.0, 0.0, 0, 0, 0),
    (0.0, -0.0, PI, 0, 0),
    (-0.0, -0.0, -PI, 0, 0),
    (0.0, 2.0, 0, 0.5, 0),
    (0.0, -2.0, PI, -0.5, 0),
    (2.0, 0.0, PI / 2, 0, -0.5),
    (3.0, 4.0, math.atan2(3, 4), 4 / 25, -3 / 25),
    (1e-20, 1.0, 1e-20, 1, -1e-20),
    (1.0, 1e-20, PI / 2, 1e-20, -1),
    (3e200, 4e200, math.atan2(3, 4), 4e-200 / 25, -3e-200 / 25),
    (3e-200, 4e-200, math.atan2(3, 4), 4e200 / 25, -3e200 / 25),
    (INF, INF, PI / 4, 0, 0),
    (1.0, -INF, PI, 0, 0),
]


@pytest.mark.parametrize(("y", "x", "value", "by_y", "by_x"), ANGLES)
def test_arctan2(y, x, value, by_y, by_x):
    if abs(x) < 1e-100 and 0 < abs(y) < 1e-100:  # the second derivatives overflow
        leaves = [Tensor(y, requires_grad=True), Tensor(x, requires_grad=True)]
        out = tg.arctan2(*leaves)
        out.backward()
        got = out.item(), [leaf.grad for leaf in leaves]
    else:
        got = pair(tg.arctan2, y, x)[:2]
    np.testing.assert_allclose(got[0], value, rtol=1e-15)
    np.testing.assert_allclose(got[1], [by_y, by_x], rtol=1e-15, atol=0)


def test_second_derivatives_of_arctan2():
    assert pair(tg.arctan2, 0.0, 0.0)[2] == [[0, 0], [0, 0]]
    _, _, second = pair(tg.arctan2, 3.0, 4.0)
    np.testing.assert_allclose(second, np.array([[-24, -7], [-7, 24]]) / 625, rtol=1e-14)


LOGS_OF_SUMS = [  # x, y, logaddexp, its derivative by x, by y, and the second derivative by x
    (0.0, 0.0, math.log(2), 0.5, 0.5, 0.25),
    (-3.5, -3.5, math.log(2) - 3.5, 0.5, 0.5, 0.25),
    (1e3, 1e3, 1e3 + math.log(2), 0.5, 0.5, 0.25),
    (1e3, -1e3, 1e3, 1, 0, 0),
    (-1e3, 1e3, 1e3, 0, 1, 0),
    (-50.0, 0.0, math.exp(-50), math.exp(-50), 1, math.exp(-50)),
    (0.0, math.log(3), math.log(4), 0.25, 0.75, 3 / 16),
    (-INF, 2.0, 2, 0, 1, 0),
    (2.0, -INF, 2, 1, 0, 0),
    (-INF, -INF, -INF, 0, 0, 0),
    (INF, 2.0, INF, 1, 0, 0),
    (INF, -INF, INF, 1, 0, 0),
    (INF, INF, INF, 0.5, 0.5, 0),
]


@pytest.mark.parametrize(("x", "y", "value", "by_x", "by_y", "second"), LOGS_OF_SUMS)
@pytest.mark.parametrize("base", ["e", "2"])
def test_logaddexp(x, y, value, by_x, by_y, second, base):
    unit = 1 if base == "e" else math.log(2)
    got, gradient, hessian = pair(tg.logaddexp if base == "e" else tg.logaddexp2, x / unit, y / unit)
    np.testing.assert_allclose(got, value / unit, rtol=1e-14)
    np.testing.assert_allclose(gradient, [by_x, by_y], rtol=1e-13)
    np.testing.assert_allclose(hessian, np.array([[second, -second], [-second, second]]) * unit, 1e-13, 1e-16)


def test_logaddexp_of_a_tensor_with_itself():
    np.testing.assert_allclose(derivatives(lambda x: np.logaddexp(x, x), 7.0, 2), [7 + math.log(2), 1, 0], rtol=1e-15)
    with np.errstate(invalid="ignore"):
        got = slope(lambda x: np.logaddexp(x, x), np.array([-INF, INF, NAN]), np.ones(3))
    np.testing.assert_array_equal(got, [0, 1, NAN])


X_LOG_Y = [  # x, y, x log y, its derivative by x, by y
    (0.0, 0.0, 0, -INF, 0),
    (0.0, 2.0, 0, math.log(2), 0),
    (0.0, INF, 0, INF, 0),
    (2.0, 0.0, -INF, -INF, INF),
    (2.0, 4.0, 2 * math.log(4), math.log(4), 0.5),
    (-2.0, 4.0, -2 * math.log(4), math.log(4), -0.5),
    (0.0, -1.0, 0, NAN, 0),
    (2.0, -1.0, NAN, NAN, -2),
    (0.0, NAN, NAN, NAN, NAN),
    (NAN, 2.0, NAN, math.log(2), NAN),
]


@pytest.mark.parametrize(("x", "y", "value", "by_x", "by_y"), X_LOG_Y)
def test_xlogy(x, y, value, by_x, by_y):
    with np.errstate(divide="ignore", invalid="ignore"):
        got, gradient, _ = pair(tg.xlogy, x, y)
    np.testing.assert_allclose(got, value, rtol=1e-15)
    np.testing.assert_allclose(gradient, [by_x, by_y], rtol=1e-15)


def test_xlogy_of_a_tensor_with_itself_is_the_entropy():
    got = slope(lambda x: tg.xlogy(x, x), np.array([0.0, 1.0, math.e]), np.ones(3))
    np.testing.assert_allclose(got, [-INF, 1, 2], rtol=1e-15)
    got = slope(lambda x: tg.xlogy(x, x), np.array([0.0, 1.0]), [0, 1])
    assert got.tolist() == [0, 1]
    assert pair(tg.xlogy, 0.0, 2.0)[2] == [[0, 0.5], [0.5, 0]]  # mixed derivatives at x = 0 are there


def test_xlogy_of_labels_and_of_numbers():
    p = Tensor(np.array([0.5, 0.25], np.float32), requires_grad=True)
    out = tg.xlogy(np.array([0, 1]), p)
    out.sum().backward()
    assert (p.grad.tolist(), p.grad.dtype) == ([0, 4], np.float32)
    assert tg.xlogy(p, 2.0).dtype == tg.xlogy(2.0, p).dtype == np.float32
    assert tg.xlogy(0, 0) == 0


REMAINDERS = [  # x, y, the remainder, its derivative by y
    (tg.mod, 5.5, 2.0, 1.5, -2),
    (tg.mod, -5.5, 2.0, 0.5, 3),
    (tg.mod, 5.5, -2.0, -0.5, 3),
    (tg.mod, 6.0, 2.0, 0, -3),  # at a jump, as on the right
    (tg.mod, -6.0, 2.0, 0, 3),
    (tg.mod, 1.0, 0.1, 1 - 9 * 0.1, -9),  # 1 / 0.1 is 10 when rounded, yet 0.1 is more than a tenth
    (tg.mod, 0.5, INF, 0.5, 0),
    (tg.fmod, 5.5, 2.0, 1.5, -2),
    (tg.fmod, -5.5, 2.0, -1.5, 2),
    (tg.fmod, 5.5, -2.0, 1.5, 2),
    (tg.fmod, 6.0, 2.0, 0, -3),
    (tg.fmod, 1.0, 0.1, 1 - 9 * 0.1, -9),
    (tg.fmod, 0.5, INF, 0.5, 0),
]


@pytest.mark.parametrize(("f", "x", "y", "value", "by_y"), REMAINDERS)
def test_remainders(f, x, y, value, by_y):
    got, gradient, second = pair(f, x, y)
    np.testing.assert_allclose(got, value, rtol=1e-14)
    assert gradient == [1, by_y]
    assert second == [[0, 0], [0, 0]]


def test_remainders_of_whole_numbers_and_of_a_division_by_zero():
    with np.errstate(invalid="ignore"):
        assert np.isnan(tg.mod(np.array(1.0), 0.0))
    assert np.mod(Tensor([7, -7]), 3).data.tolist() == [1, 2]
    assert np.remainder(Tensor([7, -7]), 3).data.tolist() == [1, 2]
    assert np.fmod(Tensor([7, -7]), 3).data.tolist() == [1, -1]


# Powers -----------------------------------------------------------------------------------------------------------

POWERS = [  # x, y, x**y, its derivatives by x and y, by x twice, mixed, and by y twice
    (2.0, 0.0, 1, 0, math.log(2), 0, 0.5, math.log(2) ** 2),
    (2.0, 1.0, 2, 1, 2 * math.log(2), 0, 1 + math.log(2), 2 * math.log(2) ** 2),
    (2.0, -1.0, 0.5, -0.25, math.log(2) / 2, 0.25, (1 - math.log(2)) / 4, math.log(2) ** 2 / 2),
    (0.0, 0.0, 1, 0, 0, 0, 0, 0),
    (0.0, 1.0, 0, 1, 0, 0, None, 0),
    (0.0, 2.0, 0, 0, 0, 2, 0, 0),
    (0.0, 0.5, 0, INF, 0, -INF, None, 0),
    (0.0, 1.5, 0, 0, 0, INF, None, 0),
    (0.0, -1.0, INF, -INF, 0, INF, None, 0),
    (-2.0, 2.0, 4, -4, NAN, 2, NAN, NAN),
    (-2.0, 0.0, 1, 0, NAN, 0, -0.5, NAN),
    (-2.0, 0.5, NAN, NAN, NAN, NAN, NAN, NAN),
    (INF, -1.0, 0, 0, 0, 0, 0, 0),
    (INF, 0.0, 1, 0, INF, 0, 0, INF),
    (NAN, 0.0, 1, 0, NAN, 0, None, NAN),
]


@pytest.mark.parametrize(("x", "y", "value", "by_x", "by_y", "xx", "mixed", "yy"), POWERS)
def test_power_to_second_order(x, y, value, by_x, by_y, xx, mixed, yy):
    with np.errstate(divide="ignore", invalid="ignore"):
        got, gradient, second = pair(tg.power, x, y)
    np.testing.assert_allclose(got, value, rtol=1e-15)
    np.testing.assert_allclose(gradient, [by_x, by_y], rtol=1e-15)
    np.testing.assert_allclose([second[0][0], second[1][1]], [xx, yy], rtol=1e-15)
    if mixed is not None:  # None: the limits differ with the direction
        np.testing.assert_allclose([second[0][1], second[1][0]], [mixed, mixed], rtol=1e-15)


def test_power_to_zero_as_an_array_is_flat_at_every_base():
    x = np.array([0.0, -0.0, 5e-324, 2.0, INF, -INF, NAN])
    with np.errstate(divide="ignore", over="ignore"):
        assert slope(lambda t: t ** np.zeros(7), x, np.ones(7)).tolist() == [0] * 7
        assert slope(lambda t: t**0, x, np.ones(7)).tolist() == [0] * 7


def test_powers_of_whole_numbers():
    y = Tensor([2.0, 0.0], requires_grad=True)
    out = np.array([3, 0]) ** y
    out.backward(np.ones(2))
    np.testing.assert_allclose(y.grad, [9 * math.log(3), 0], rtol=1e-15)
    assert (Tensor([3, -2]) ** 2).data.tolist() == [9, 4]
    with pytest.raises(tg.errors.TinygradError, match="power"):
        Tensor([3, 2]) ** -1
    x = Tensor(np.array([3.0], np.float32), requires_grad=True)
    (x ** np.array([2])).sum().backward()
    assert (x.grad.tolist(), x.grad.dtype) == ([6], np.float32)


def test_reciprocal_of_whole_numbers_is_whole():
    assert np.reciprocal(Tensor([1, 2, -1])).data.tolist() == [1, 0, -1]
    assert tg.reciprocal(np.array([1, 2])).dtype == np.reciprocal(np.array([1, 2])).dtype


def test_functions_of_whole_numbers_are_floating():
    for f in (tg.exp2, tg.log2, tg.log10, tg.cbrt, tg.tan, tg.arctan, tg.sinh, tg.arcsinh, tg.sinc, tg.erf):
        assert f(Tensor([1, 2])).dtype == np.float64
    assert tg.hypot(Tensor([3]), Tensor([4])).data.tolist() == [5]


def test_numpy_s_other_names():
    x = Tensor([0.25], requires_grad=True)
    for name in ("asin", "acos", "atan", "asinh", "atanh"):
        if hasattr(np, name):
            assert getattr(np, name)(x).requires_grad
    assert np.radians(x).requires_grad
    assert np.degrees(x).requires_grad


FAMILIES = ("elementwise", "trigonometry", "special")
ELEMENTWISE = [op for op in DIFFERENTIABLE if op.elementwise and op.__module__.rpartition(".")[2] in FAMILIES]


@pytest.mark.parametrize("op", [op for op in ELEMENTWISE if op.name != "astype"], ids=lambda op: op.name)
def test_half_precision_stays_and_is_right_to_second_order(op):
    call, exact = Call(op, 0, dtype=np.float16), Call(op, 0)
    found = []
    for each, arrays in ((call, call.arrays), (exact, [array.astype(np.float64) for array in call.arrays])):
        leaves = variables(arrays)
        out = each(*leaves)
        slopes = tg.gradients(out.sum(), leaves, create_graph=True)
        total = sum(slope.sum() for slope in slopes)
        found.append([out, *slopes, *(tg.gradients(total, leaves) if total.requires_grad else [])])
    for got, expected in zip(*found, strict=True):
        assert got.dtype == np.float16
        np.testing.assert_allclose(got.data, expected.data, rtol=0.05, atol=0.05)
