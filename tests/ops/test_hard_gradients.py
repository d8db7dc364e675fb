"""The points at which derivatives are usually wrong, NaN or undefined: each value and gradient is written out by hand.

Where a derivative does not exist, what is written here is a decision: the left derivative at a kink of an activation,
shares among ties, and above all that a zero cotangent never turns into NaN.
"""

import itertools

import numpy as np
import pytest
from calls import DIFFERENTIABLE
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor

INF, NAN = np.inf, np.nan


def value_and_gradients(f, *arrays, cotangent=1.0):
    leaves = [Tensor(array, requires_grad=True, dtype=None if hasattr(array, "dtype") else float) for array in arrays]
    out = f(*leaves)
    out.backward(np.broadcast_to(cotangent, out.shape))
    return out.data, [leaf.grad for leaf in leaves]


def check(f, array, value, gradient, cotangent=1.0, rtol=1e-15):
    got, (slope,) = value_and_gradients(f, array, cotangent=cotangent)
    np.testing.assert_allclose(got, value, rtol=rtol, atol=0)
    np.testing.assert_allclose(slope, gradient, rtol=rtol, atol=0)


def second_derivative(f, array):
    """The derivative of the sum of all elements of the gradient: the row sums of the Hessian."""
    x = Tensor(array, requires_grad=True, dtype=float)
    slope = tg.gradients(f(x).sum(), x, create_graph=True)
    total = slope.sum()
    return tg.gradients(total, x).data if total.requires_grad else np.zeros_like(x.data)


def hessian(f, array):
    x = Tensor(array, requires_grad=True, dtype=float)
    slope = tg.gradients(f(x), x, create_graph=True)
    rows = [tg.gradients(slope[i], x).data for i in np.ndindex(slope.shape)]
    return np.reshape(rows, (x.size, x.size))


# Kinks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "gradient_at_zero"),
    [
        (tg.relu, 0.0),
        (tg.leaky_relu, 0.01),
        (lambda x: tg.leaky_relu(x, 0.3), 0.3),
        (tg.elu, 1.0),
        (lambda x: tg.elu(x, 0.5), 0.5),
        (tg.abs, 0.0),
    ],
)
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_kink_at_zero(f, gradient_at_zero, zero):
    check(f, [zero], [0.0], [gradient_at_zero])


@pytest.mark.parametrize(
    ("f", "left", "right"),
    [(tg.relu, 0.0, 1.0), (tg.leaky_relu, 0.01, 1.0), (tg.elu, np.exp(-1e-9), 1.0), (tg.abs, -1.0, 1.0)],
)
def test_both_sides_of_a_kink(f, left, right):
    _, (slope,) = value_and_gradients(f, [-1e-9, 1e-9])
    np.testing.assert_allclose(slope, [left, right], rtol=1e-15)


@pytest.mark.parametrize(
    ("f", "second"),
    [
        (tg.relu, [0, 0, 0]),
        (tg.leaky_relu, [0, 0, 0]),
        (tg.abs, [0, 0, 0]),
        (tg.elu, [np.exp(-1), 1, 0]),  # at 0 as the left branch, alpha e**x
        (lambda x: tg.elu(x, 0.5), [0.5 * np.exp(-1), 0.5, 0]),
    ],
)
def test_second_derivative_at_a_kink(f, second):
    np.testing.assert_allclose(second_derivative(f, [-1.0, 0.0, 1.0]), second, rtol=1e-15)


def test_sign_is_zero_at_zero_and_flat_everywhere():
    check(np.sign, [-2.0, 0.0, -0.0, 3.0, INF], [-1, 0, 0, 1, 1], [0, 0, 0, 0, 0])
    check(np.sign, [-2.0, 0.0], [-1, 0], [0, 0], cotangent=INF)
    assert second_derivative(tg.sign, [-2.0, 0.0, 3.0]).tolist() == [0, 0, 0]


def test_root_at_zero_is_infinitely_steep_unless_nothing_depends_on_it():
    check(tg.sqrt, [0.0, 4.0], [0, 2], [INF, 0.25])
    check(tg.sqrt, [0.0, 4.0], [0, 2], [0, 0.25], cotangent=[0.0, 1.0])
    check(tg.sqrt, [0.0], [0], [-INF], cotangent=[-2.0])


# Ties -------------------------------------------------------------------------------------------------------------


def test_extremum_shares_its_gradient_evenly_among_ties():
    check(tg.max, [3.0, 1.0, 3.0, 3.0], 3, [1 / 3, 0, 1 / 3, 1 / 3])
    check(tg.min, [1.0, 1.0, 3.0], 1, [0.5, 0.5, 0])
    table = [[1.0, 2.0, 2.0], [5.0, 4.0, 3.0]]
    check(lambda x: tg.max(x, axis=1), table, [2, 5], [[0, 3.5, 3.5], [11, 0, 0]], cotangent=[7.0, 11.0])
    check(lambda x: tg.max(x, axis=1, keepdims=True), table, [[2], [5]], [[0, 0.5, 0.5], [1, 0, 0]])
    check(lambda x: tg.min(x, axis=0), table, [1, 2, 2], [[1, 1, 1], [0, 0, 0]])
    check(tg.max, np.full((2, 3), INF), INF, np.full((2, 3), 1 / 6))
    check(tg.max, 7.0, 7, 1)


def test_extremum_over_two_axes_counts_its_ties_over_both():
    x = [[[1.0, 9.0], [4.0, 4.0]], [[1.0, 0.0], [4.0, 9.0]]]
    gradient = [[[0, 0.5], [0, 0]], [[0, 0], [0, 0.5]]]
    check(lambda x: tg.max(x, axis=(0, 1, 2)), x, 9, gradient)
    check(lambda x: tg.max(x, axis=(-3, 1)), x, [4, 9], [[[0, 0.5], [0.5, 0]], [[0, 0], [0.5, 0.5]]])


@pytest.mark.parametrize("f", [tg.maximum, tg.minimum])
def test_tie_of_two_operands_gives_half_to_each(f):
    _, (x, y) = value_and_gradients(f, [2.0, -INF, 0.0], [2.0, -INF, -0.0], cotangent=[6.0, 1.0, -1.0])
    assert x.tolist() == y.tolist() == [3, 0.5, -0.5]


def test_maximum_and_minimum_away_from_ties():
    _, (x, y) = value_and_gradients(tg.maximum, [1.0, 5.0], [2.0, -INF])
    assert (x.tolist(), y.tolist()) == ([0, 1], [1, 0])
    _, (x, y) = value_and_gradients(tg.minimum, [1.0, 5.0], [2.0, -INF])
    assert (x.tolist(), y.tolist()) == ([1, 0], [0, 1])


def test_maximum_of_a_tensor_with_itself_has_the_whole_gradient():
    check(lambda x: tg.maximum(x, x), [1.0, -2.0], [1, -2], [1, 1])


def test_clip_has_slope_one_within_and_at_its_bounds():
    x = [-2.0, -1.0, 0.0, 1.0, 2.0]
    check(lambda x: tg.clip(x, -1.0, 1.0), x, [-1, -1, 0, 1, 1], [0, 1, 1, 1, 0])
    check(lambda x: tg.clip(x, None, 1.0), x, [-2, -1, 0, 1, 1], [1, 1, 1, 1, 0])
    check(lambda x: tg.clip(x, a_min=-1.0), x, [-1, -1, 0, 1, 2], [0, 1, 1, 1, 1])
    check(lambda x: tg.clip(x, 1.0, 1.0), x, [1, 1, 1, 1, 1], [0, 0, 0, 1, 0])
    check(lambda x: tg.clip(x, -1.0, 1.0), [INF, -INF], [1, -1], [0, 0])


def test_clip_with_bounds_that_broadcast():
    bounds = np.array([[0.0], [1.0]])
    check(lambda x: tg.clip(x, bounds, None), [-1.0, 1.0, 2.0], [[0, 1, 2], [1, 1, 2]], [0, 2, 2])


# The softmax family -----------------------------------------------------------------------------------------------


def test_logsumexp_of_a_fully_masked_row():
    check(tg.logsumexp, [-INF, -INF], -INF, [0, 0])
    check(lambda x: tg.logsumexp(x, axis=1), [[-INF, -INF], [0, 0]], [-INF, np.log(2)], [[0, 0], [0.5, 0.5]])


def test_logsumexp_with_infinities():
    check(tg.logsumexp, [INF, 0.0, 1000.0], INF, [1, 0, 0])
    check(tg.logsumexp, [INF, 0.0, INF, -INF], INF, [0.5, 0, 0.5, 0])
    check(tg.logsumexp, [-INF, 0.0], 0, [0, 1])


def test_logsumexp_far_from_zero():
    check(tg.logsumexp, [1000.0, 1000.0], 1000 + np.log(2), [0.5, 0.5])
    check(tg.logsumexp, [-1000.0, -1000.0], -1000 + np.log(2), [0.5, 0.5])
    check(tg.logsumexp, [0.0, 1e4], 1e4, [0, 1])


def test_hessian_of_logsumexp_is_that_of_the_softmax_also_where_it_is_masked():
    p = np.array([0.25, 0.75, 0])
    got = hessian(tg.logsumexp, [1000.0, 1000 + np.log(3), -INF])
    np.testing.assert_allclose(got, np.diag(p) - np.outer(p, p), rtol=1e-12)
    assert hessian(tg.logsumexp, [-INF, -INF]).tolist() == [[0, 0], [0, 0]]


def test_softmax_shifts_every_row_by_its_own_maximum():
    s = 1 / (1 + np.e)
    x = [[1000.0, 1001.0], [0.0, 1.0], [-1e4, -1e4 + 1]]
    rows = [[s, 1 - s]] * 3
    gradient = [[s * (1 - s), -s * (1 - s)]] * 3
    check(tg.softmax, x, rows, gradient, cotangent=[1.0, 0.0], rtol=1e-13)
    across = np.tile([[1.0], [0.0]], 3)
    check(lambda x: tg.softmax(x, axis=0), np.transpose(x), np.transpose(rows), np.transpose(gradient), across, 1e-13)


def test_softmax_of_a_fully_masked_row_is_zero_and_leaves_the_others_alone():
    x = [[-INF, -INF], [0.0, 0.0], [-INF, 3.0]]
    check(tg.softmax, x, [[0, 0], [0.5, 0.5], [0, 1]], [[0, 0], [0.25, -0.25], [0, 0]], cotangent=[1.0, 0.0])


def test_softmax_with_infinities_shares_among_them():
    check(tg.softmax, [INF, 1000.0, INF], [0.5, 0, 0.5], [0.25, 0, -0.25], cotangent=[1.0, 5.0, 0.0])


@pytest.mark.parametrize("f", [tg.softmax, tg.log_softmax, tg.logsumexp])
def test_nan_stays_visible(f):
    assert np.isnan(f(np.array([NAN, 1000.0]))).all()
    assert np.isnan(f(np.array([INF, NAN]))).all()


def test_log_softmax_of_a_fully_masked_row():
    x = [[-INF, -INF], [0.0, 0.0]]
    check(tg.log_softmax, x, [[-INF, -INF], -np.log([2, 2])], [[0, 0], [0.5, -0.5]], cotangent=[1.0, 0.0])


def test_log_softmax_with_infinities():
    check(tg.log_softmax, [INF, 0.0, INF], [-np.log(2), -INF, -np.log(2)], [0.5, 0, -0.5], cotangent=[1.0, 0, 0])
    check(tg.log_softmax, [-INF, 0.0], [-INF, 0], [0, 0], cotangent=[0.0, 1.0])


@pytest.mark.parametrize("size", [1e3, 1e4])
def test_log_softmax_and_cross_entropy_of_huge_float32_logits(size):
    x = np.array([[size, -size], [-size, size]], dtype=np.float32)
    value, (slope,) = value_and_gradients(tg.log_softmax, x, cotangent=[1.0, 0.0])
    assert value.tolist() == [[0, -2 * size], [-2 * size, 0]]
    assert slope.tolist() == [[0, 0], [1, -1]]  # g - p sum(g)
    value, (slope,) = value_and_gradients(lambda x: F.cross_entropy(x, np.array([0, 0]), reduction="none"), x)
    assert value.tolist() == [0, 2 * size]
    assert slope.tolist() == [[0, 0], [-1, 1]]  # p - y
    assert slope.dtype == np.float32


def test_cross_entropy_of_a_fully_masked_row():
    x, y = [[-INF, -INF], [0.0, 0.0]], np.array([1, 0])
    check(lambda x: F.cross_entropy(x, y, reduction="none"), x, [INF, np.log(2)], [[0, 0], [-0.5, 0.5]])
    check(lambda x: F.cross_entropy(x, y), x, INF, [[0, 0], [-0.25, 0.25]])


def test_cross_entropy_of_a_masked_target_is_infinite_with_a_finite_gradient():
    x = [[-INF, 0.0, 0.0]]
    check(lambda x: F.cross_entropy(x, np.array([0])), x, INF, [[-1, 0.5, 0.5]])
    check(lambda x: F.cross_entropy(x, np.array([1])), x, np.log(2), [[0, -0.5, 0.5]])


def test_cross_entropy_with_probabilities_ignores_masked_classes_without_weight():
    q = np.array([[0.0, 0.25, 0.75]])
    check(lambda x: F.cross_entropy(x, q), [[-INF, 0.0, 0.0]], np.log(2), [[0, 0.25, -0.25]])


def test_cross_entropy_where_every_target_is_ignored():
    y = np.array([-100, -100])
    for reduction, value in [("mean", 0), ("sum", 0), ("none", [0, 0])]:
        check(lambda x, r=reduction: F.cross_entropy(x, y, reduction=r), np.ones((2, 3)), value, np.zeros((2, 3)))
    check(lambda x: F.cross_entropy(x, y, label_smoothing=0.5), [[INF, 0.0]] * 2, 0, np.zeros((2, 2)))


def test_cross_entropy_does_not_hide_nan():
    x = [[NAN, 0.0], [0.0, 0.0]]
    value, (slope,) = value_and_gradients(lambda x: F.cross_entropy(x, np.array([1, 0]), reduction="none"), x)
    assert np.isnan(value[0])
    np.testing.assert_allclose(value[1], np.log(2))
    assert np.isnan(slope[0]).all()
    assert slope[1].tolist() == [-0.5, 0.5]


def test_hessian_of_cross_entropy_at_huge_logits_and_where_masked():
    y = np.array([0])
    p = np.array([0.25, 0.75, 0])
    got = hessian(lambda x: F.cross_entropy(x, y), [[1e4, 1e4 + np.log(3), -INF]])
    np.testing.assert_allclose(got, np.diag(p) - np.outer(p, p), rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize(
    ("x", "value", "slope"), [(-1e3, 0, 0), (0.0, np.log(2), 0.5), (1e3, 1e3, 1), (-INF, 0, 0), (INF, INF, 1)]
)
def test_softplus_and_its_slope(x, value, slope):
    check(tg.softplus, [x], [value], [slope])


def test_tails_of_softplus_and_sigmoid_keep_their_relative_precision():
    check(tg.softplus, [-50.0], [np.exp(-50)], [np.exp(-50)], rtol=1e-14)
    check(tg.sigmoid, [-50.0], [np.exp(-50)], [np.exp(-50)], rtol=1e-14)
    np.testing.assert_allclose(second_derivative(tg.softplus, [-50.0, 0.0, 1e3]), [np.exp(-50), 0.25, 0], rtol=1e-14)


@pytest.mark.parametrize(("x", "value"), [(-1e3, 0), (1e3, 1), (-INF, 0), (INF, 1)])
def test_sigmoid_where_it_saturates(x, value):
    check(tg.sigmoid, [x], [value], [0])
    assert second_derivative(tg.sigmoid, [x]).tolist() == [0]


@pytest.mark.parametrize(("x", "value"), [(-1e3, -1), (1e3, 1), (-INF, -1), (INF, 1)])
def test_tanh_where_it_saturates(x, value):
    check(tg.tanh, [x], [value], [0])
    assert second_derivative(tg.tanh, [x]).tolist() == [0]


@pytest.mark.parametrize(
    ("x", "target", "value", "slope"),
    [
        (1e3, 0.0, 1e3, 1),
        (1e3, 1.0, 0, 0),
        (-1e3, 0.0, 0, 0),
        (-1e3, 1.0, 1e3, -1),
        (1e3, 0.25, 750, 0.75),
        (0.0, 0.25, np.log(2), 0.25),
    ],
)
def test_binary_cross_entropy_with_logits_is_stable(x, target, value, slope):
    check(lambda x: F.binary_cross_entropy_with_logits(x, np.array([target])), [x], value, [slope])


# Constants, zeros and powers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, 0.1, 1e300, -3.3])
@pytest.mark.parametrize("count", [1, 3, 7, 1000])
def test_std_of_a_constant_input_is_zero_and_flat(value, count):
    x = np.full(count, value)
    check(tg.std, x, 0, np.zeros(count))
    assert second_derivative(tg.std, x).tolist() == [0] * count
    value, (slope,) = value_and_gradients(tg.std, x.astype(np.float32) if abs(value) < 1e30 else x)
    assert (value, slope.any()) == (0, False)


def test_std_of_a_constant_row_leaves_the_others_alone():
    x = [[0.1, 0.1, 0.1], [0.0, 1.0, 2.0]]
    slope = np.array([-1, 0, 1]) / 3 / np.sqrt(2 / 3)
    check(lambda x: tg.std(x, axis=1), x, [0, np.sqrt(2 / 3)], [[0, 0, 0], slope])
    check(lambda x: tg.var(x, axis=1), [[0.5, 0.5], [0.0, 2.0]], [0, 1], [[0, 0], [-1, 1]])


def test_prod_divides_by_nothing():
    check(tg.prod, [2.0, 3.0, 4.0], 24, [12, 8, 6])
    check(tg.prod, [2.0, 0.0, 4.0], 0, [0, 8, 0])
    check(tg.prod, [2.0, 0.0, 0.0], 0, [0, 0, 0])
    check(tg.prod, [0.0], 0, [1])
    check(tg.prod, 0.0, 0, 1)
    table = [[2.0, 3.0], [0.0, 5.0], [0.0, 0.0]]
    check(lambda x: tg.prod(x, axis=1), table, [6, 0, 0], [[3, 2], [5, 0], [0, 0]])
    check(lambda x: tg.prod(x, axis=(0, 1)), [[2.0, 0.0], [3.0, 5.0]], 0, [[0, 30], [0, 0]])


def test_hessian_of_prod_with_zeros():
    # d2/dxi dxj is the product of the others, whatever zeros there are.
    assert hessian(tg.prod, [2.0, 0.0, 4.0]).tolist() == [[0, 4, 0], [4, 0, 2], [0, 2, 0]]
    assert hessian(tg.prod, [0.0, 0.0, 4.0]).tolist() == [[0, 4, 0], [4, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("x", "exponent", "value", "slope", "second"),
    [
        (0.0, 0.0, 1, 0, 0),
        (0.0, 0, 1, 0, 0),
        (2.0, 0.0, 1, 0, 0),
        (0.0, 1.0, 0, 1, 0),
        (0.0, 2.0, 0, 0, 2),
        (0.0, 2, 0, 0, 2),
        (0.0, 3.0, 0, 0, 0),
        (-2.0, 2.0, 4, -4, 2),
        (-2.0, 3, -8, 12, -12),
        (-2.0, -1, -0.5, -0.25, -0.25),
    ],
)
def test_power_with_a_constant_exponent(x, exponent, value, slope, second):
    check(lambda x: x**exponent, [x], [value], [slope])
    np.testing.assert_allclose(second_derivative(lambda x: x**exponent, [x]), [second], rtol=1e-15, atol=0)


def test_power_at_zero_with_a_tensor_for_the_exponent():
    value, (x, y) = value_and_gradients(tg.power, [0.0, 0.0, 0.0, 2.0], [0.0, 2.0, 1.0, 0.0])
    assert value.tolist() == [1, 0, 0, 1]
    assert x.tolist() == [0, 0, 1, 0]
    np.testing.assert_allclose(y, [0, 0, 0, np.log(2)])


def test_power_of_zero_by_its_exponent_is_flat():
    check(lambda y: 0.0**y, [0.0, 1.0, 2.5], [1, 0, 0], [0, 0, 0])
    assert second_derivative(lambda y: 0.0**y, [0.0, 1.0, 2.5]).tolist() == [0, 0, 0]


def test_power_of_a_negative_base_with_a_constant_whole_exponent_is_differentiable():
    check(lambda x: x ** np.array([2.0, 3.0]), [-1.0, -1.0], [1, -1], [-2, 3])


# A zero cotangent stays zero --------------------------------------------------------------------------------------

SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 2.5, 1e308, -1e308, 5e-324, INF, -INF, NAN])
ELEMENTWISE = [op for op in DIFFERENTIABLE if op.elementwise]


def operands(op):
    """Special values for every differentiable argument, in all combinations, and what the call needs besides."""
    x, y = SPECIAL[:, None], SPECIAL[None, :]
    first = op.samples[0].make(np.random.default_rng(0))[0]
    if op.name == "where":
        return (np.eye(len(SPECIAL), dtype=bool), x, y), (1, 2)
    if op.name == "dropout":
        return (SPECIAL, np.arange(len(SPECIAL)) % 2 == 0, 0.5), (0,)
    if len(op.rules) == 2:
        return (x, y), (0, 1)
    return (SPECIAL, *first[1:]), (0,)


@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
def test_zero_cotangent_stays_zero_in_every_elementwise_rule(op):
    args, places = operands(op)
    leaves = {i: Tensor(args[i], requires_grad=True) for i in places}
    with np.errstate(all="ignore"):
        out = op(*[leaves.get(i, value) for i, value in enumerate(args)])
        out.backward(np.zeros(out.shape))
    for i, leaf in leaves.items():
        np.testing.assert_array_equal(leaf.grad, np.zeros(args[i].shape))


@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
def test_zero_cotangent_stays_zero_beside_others_that_are_not(op):
    """Each cotangent but one is zero: only that element may get a gradient, and the same as if it stood alone."""
    args, places = operands(op)
    with np.errstate(all="ignore"):
        shape = np.shape(op(*args))
        for place in np.ndindex(shape):
            leaves = {i: Tensor(np.broadcast_to(args[i], shape), requires_grad=True) for i in places}
            others = {i: np.broadcast_to(v, shape) for i, v in enumerate(args) if isinstance(v, np.ndarray)}
            alone = [
                Tensor(others[i][place], requires_grad=True) if i in leaves else others[i][place] if i in others else v
                for i, v in enumerate(args)
            ]
            cotangent = np.zeros(shape)
            cotangent[place] = -2.0
            op(*[leaves.get(i, value) for i, value in enumerate(args)]).backward(cotangent)
            op(*alone).backward(-2.0)
            for i, leaf in leaves.items():
                np.testing.assert_array_equal(leaf.grad[place], alone[i].grad)
                leaf.grad[place] = 0
                assert not leaf.grad.any()


@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
def test_zero_cotangent_stays_zero_in_the_derivative_of_every_elementwise_rule(op):
    args, places = operands(op)
    leaves = {i: Tensor(args[i], requires_grad=True) for i in places}
    with np.errstate(all="ignore"):
        out = op(*[leaves.get(i, value) for i, value in enumerate(args)])
        slopes = tg.gradients(out, list(leaves.values()), create_graph=True, cotangent=np.zeros(out.shape))
        total = sum(slope.sum() for slope in slopes)
        assert total.item() == 0
        if total.requires_grad:
            for second in tg.gradients(total, list(leaves.values())):
                np.testing.assert_array_equal(second.data, np.zeros(second.shape))


DEAD = {  # functions that are infinite, NaN or infinitely steep at -1 or 0
    "log": tg.log,
    "log1p": tg.log1p,
    "sqrt": tg.sqrt,
    "reciprocal": lambda x: 1 / x,
    "negative power": lambda x: x**-2.0,
    "root as a power": lambda x: x**0.5,
    "power of infinity": lambda x: (x + INF) ** (x - 1),
    "exp": lambda x: tg.exp(1e4 * (x + 1.5)),
    "expm1": lambda x: tg.expm1(1e4 * (x + 1.5)),
    "tanh of infinity": lambda x: tg.tanh(x * INF),
    "product with infinity": lambda x: x * INF,
    "infinity less infinity": lambda x: x * INF - x * INF,
    "sine of infinity": lambda x: tg.sin(x / 0.0),
    "softplus of infinity": lambda x: tg.softplus(x * -INF),
    "log of a root": lambda x: tg.log(tg.sqrt(x)),
    "arcsin": tg.arcsin,
    "arccos": tg.arccos,
    "arctanh": tg.arctanh,
    "arccosh": lambda x: tg.arccosh(x + 1),
    "cbrt": tg.cbrt,
    "log2": tg.log2,
    "log10": tg.log10,
    "xlogy": lambda x: tg.xlogy(x, x),
    "logaddexp of infinities": lambda x: tg.logaddexp(x / 0.0, -x / 0.0),
    "remainder of a division by zero": lambda x: tg.mod(1.0, x) + tg.fmod(1.0, x),
    "sinc of infinity": lambda x: tg.sinc(x / 0.0),
    "error function of infinity": lambda x: tg.erf(x / 0.0),
    "angle at infinity": lambda x: tg.arctan2(x / 0.0, x / 0.0) + tg.hypot(x / 0.0, x),
    "quotient of infinities": lambda x: tg.exp(1e4 * (x + 1.5)) / tg.exp(1e4 * (x + 1.5)),
}


@pytest.mark.parametrize("dead", DEAD)
@pytest.mark.parametrize("place", [0, 1])
def test_dead_branch_adds_exactly_nothing(dead, place):
    x = Tensor([-1.0, 0.0, 4.0], requires_grad=True)
    with np.errstate(all="ignore"):
        branches = [3 * x * x, DEAD[dead](x)]
        live = np.array([True, True, False]) if place else np.array([False, False, True])
        # The dead function is chosen at 4 alone, where it does no harm.
        chosen = tg.where(live, branches[0], branches[1]) if place else tg.where(live, branches[1], branches[0])
        slope = tg.gradients(chosen.sum(), x, create_graph=True)
        second = tg.gradients(slope.sum(), x)
        chosen.sum().backward()
    for grad in (slope.data, x.grad):
        assert grad[:2].tolist() == [-6, 0]
    assert second.data[:2].tolist() == [6, 6]


def test_dead_branch_with_an_index_instead_of_where():
    x = Tensor([0.0, 1.0, 4.0], requires_grad=True)
    with np.errstate(divide="ignore"):
        y = tg.log(x)
    y[1:].sum().backward()
    assert x.grad.tolist() == [0, 1, 0.25]


def test_live_infinite_slope_is_not_hidden():
    with np.errstate(divide="ignore"):
        check(tg.log, [0.0], [-INF], [INF])
        check(lambda x: 1 / x, [0.0], [INF], [-INF])
        check(lambda x: x**0.5, [0.0], [0], [INF])


@pytest.mark.parametrize(
    ("f", "flat_at"),
    [
        (tg.square, 0.0),
        (tg.cos, 0.0),
        (tg.tanh, 1e3),
        (tg.sigmoid, 1e3),
        (tg.softplus, -1e3),
        (tg.exp, -1e3),
        (tg.abs, 0.0),
        (tg.relu, -1.0),
        (tg.elu, -1e3),
        (lambda x: x**3, 0.0),
        (lambda x: x**0, 2.0),
        (lambda x: x * 0.0, 2.0),
        (lambda x: x * x, 0.0),
        (lambda x: x / np.inf, 2.0),
        (lambda x: tg.clip(x, 0.0, 1.0), 2.0),
        (lambda x: tg.maximum(x, 1.0), 0.0),
    ],
)
@pytest.mark.parametrize("cotangent", [np.inf, -np.inf])
def test_infinite_cotangent_of_a_flat_function_is_zero_too(f, flat_at, cotangent):
    """As in a chain whose outer function is infinitely steep: sqrt(x * x) at 0."""
    x = Tensor([flat_at, 0.5], requires_grad=True)
    f(x).backward([cotangent, 0.0])
    assert x.grad.tolist() == [0, 0]
    recorded = tg.gradients(f(x), x, create_graph=True, cotangent=[cotangent, 0.0])
    assert recorded.data.tolist() == [0, 0]


# Positions --------------------------------------------------------------------------------------------------------


def test_repeated_indices_add_up():
    index = np.array([0, 2, 2, 2])
    check(lambda x: x[index], [1.0, 2.0, 3.0], [1, 3, 3, 3], [10, 0, 90], cotangent=[10.0, 20.0, 30.0, 40.0])
    check(lambda x: x[[0, -1, 2]], [1.0, 2.0, 3.0], [1, 3, 3], [1, 0, 2])
    check(lambda x: x[index], [[1.0, 2.0]] * 3, [[1, 2]] * 4, [[1, 1], [0, 0], [3, 3]])
    check(lambda x: x[[0, 0], [1, 1]], [[1.0, 2.0]], [2, 2], [[0, 2]])
    columns = np.array([[0, 0], [1, 0]])
    check(lambda x: tg.take_along_axis(x, columns, axis=1), [[1.0, 2.0]] * 2, [[1, 1], [2, 1]], [[2, 0], [1, 1]])


def test_second_derivative_through_repeated_indices():
    index = np.array([1, 1, 0])
    assert second_derivative(lambda x: x[index] ** 3, [1.0, 2.0]).tolist() == [6, 24]


@given(
    values=st.lists(st.integers(-5, 5), min_size=1, max_size=6),
    picks=st.lists(st.integers(0, 10**6), max_size=12),
)
def test_gradient_of_picking_counts_the_picks(values, picks):
    index = np.array([pick % len(values) for pick in picks], dtype=int)
    x = Tensor(values, dtype=float, requires_grad=True)
    x[index].sum().backward()
    assert x.grad.tolist() == np.bincount(index, minlength=len(values)).tolist()


@st.composite
def broadcastable(draw):
    """Two shapes that broadcast: of each length either may have 1 instead, and either may lack axes in front."""
    shape = draw(st.lists(st.integers(0, 3), max_size=4))
    pair = [[draw(st.sampled_from([1, n])) for n in shape] for _ in range(2)]
    return tuple(tuple(each[draw(st.integers(0, len(shape))) :]) for each in pair)


@given(shapes=broadcastable())
def test_broadcasting_is_summed_back_to_each_operand(shapes):
    rng = np.random.default_rng(0)
    x, y = (Tensor(rng.integers(1, 9, shape), dtype=float, requires_grad=True) for shape in shapes)
    out = x * y
    assert out.shape == np.broadcast_shapes(*shapes)
    cotangent = rng.integers(1, 9, out.shape).astype(float)
    out.backward(cotangent)
    for leaf, other in ((x, y), (y, x)):
        assert leaf.grad.shape == leaf.shape
        full = np.broadcast_to(np.arange(leaf.size).reshape(leaf.shape), out.shape).ravel()
        terms = (cotangent * other.data).ravel()
        expected = np.bincount(full, weights=terms, minlength=leaf.size) if leaf.size else np.zeros(0)
        np.testing.assert_array_equal(leaf.grad.ravel(), expected)


# One tensor in two places -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "value", "gradient"),
    [
        (lambda x: x * x, [4, 9], [4, 6]),
        (lambda x: x - x, [0, 0], [0, 0]),
        (lambda x: x + x, [4, 6], [2, 2]),
        (lambda x: x / x, [1, 1], [0, 0]),
        (lambda x: x**x, [4, 27], [4 * (1 + np.log(2)), 27 * (1 + np.log(3))]),
        (lambda x: x @ x, 13, [4, 6]),
        (lambda x: tg.where(np.array([True, False]), x, x), [2, 3], [1, 1]),
        (lambda x: np.concatenate([x, x]), [2, 3, 2, 3], [2, 2]),
        (lambda x: np.stack([x, x, x]), [[2, 3]] * 3, [3, 3]),
        (lambda x: F.mse_loss(x, x), 0, [0, 0]),
        (lambda x: x * x * x, [8, 27], [12, 27]),
        (lambda x: x[::-1] * x, [6, 6], [6, 4]),
    ],
)
def test_same_tensor_twice_gets_both_contributions(f, value, gradient):
    check(f, [2.0, 3.0], value, gradient)


def test_matrix_times_itself():
    x = [[1.0, 2.0], [3.0, 4.0]]
    check(lambda x: x @ x, x, [[7, 10], [15, 22]], [[7, 11], [9, 13]])
    check(lambda x: x @ x.T, x, [[5, 11], [11, 25]], [[8, 12], [8, 12]])


# Shapes at the edges ----------------------------------------------------------------------------------------------


def test_everything_works_on_zero_dimensional_tensors():
    for f in (tg.exp, tg.sum, tg.max, tg.prod, tg.logsumexp, lambda x: x[()], lambda x: x[None][0], tg.squeeze):
        x = Tensor(0.5, requires_grad=True)
        y = f(x)
        y.backward()
        assert y.shape == x.grad.shape == ()
        assert isinstance(x.grad, np.ndarray)


EMPTY = {
    "exp": (tg.exp, (0, 3), (0, 3)),
    "sum": (tg.sum, (0, 3), ()),
    "sum to zeros": (lambda x: tg.sum(x, axis=0), (0, 3), (3,)),
    "prod": (tg.prod, (0,), ()),
    "prod to nothing": (lambda x: tg.prod(x, axis=1), (0, 3), (0,)),
    "max to nothing": (lambda x: tg.max(x, axis=1), (0, 3), (0,)),
    "mean to nothing": (lambda x: tg.mean(x, axis=1), (0, 3), (0,)),
    "std to nothing": (lambda x: tg.std(x, axis=1), (0, 3), (0,)),
    "broadcast": (lambda x: x + np.ones(3), (0, 1), (0, 3)),
    "softmax": (tg.softmax, (0, 3), (0, 3)),
    "log_softmax": (tg.log_softmax, (0, 3), (0, 3)),
    "logsumexp": (lambda x: tg.logsumexp(x, axis=1), (0, 3), (0,)),
    "cross_entropy": (lambda x: F.cross_entropy(x, np.zeros(0, int)), (0, 3), ()),
    "losses": (lambda x: F.cross_entropy(x, np.zeros(0, int), reduction="none"), (0, 3), (0,)),
    "nll_loss": (lambda x: F.nll_loss(x, np.zeros(0, int)), (0, 3), ()),
    "mse_loss": (lambda x: F.mse_loss(x, np.zeros((0, 3)), reduction="sum"), (0, 3), ()),
    "mean of no errors": (lambda x: F.mse_loss(x, np.zeros((0, 3))), (0, 3), ()),
    "no logits": (lambda x: F.binary_cross_entropy_with_logits(x, np.zeros((0, 3))), (0, 3), ()),
    "matmul of no rows": (lambda x: x @ np.ones((3, 2)), (0, 3), (0, 2)),
    "matmul over nothing": (lambda x: x @ np.ones((0, 2)), (4, 0), (4, 2)),
    "linear": (lambda x: F.linear(x, np.ones((3, 2)), np.ones(2)), (0, 3), (0, 2)),
    "getitem": (lambda x: x[2:2], (3,), (0,)),
    "no picks": (lambda x: x[[]], (3, 2), (0, 2)),
    "empty mask": (lambda x: x[np.zeros(3, bool)], (3, 2), (0, 2)),
    "reshape": (lambda x: x.reshape(3, 0), (0, 3), (3, 0)),
    "transpose": (lambda x: x.T, (0, 3), (3, 0)),
    "concatenate": (lambda x: np.concatenate([x, np.ones((2, 3))]), (0, 3), (2, 3)),
    "stack": (lambda x: np.stack([x, x]), (0, 3), (2, 0, 3)),
    "broadcast_to": (lambda x: np.broadcast_to(x, (0, 3)), (3,), (0, 3)),
    "take_along_axis": (lambda x: tg.take_along_axis(x, np.zeros((2, 0), int), axis=1), (2, 3), (2, 0)),
    "clip": (lambda x: tg.clip(x, 0.0, 1.0), (0,), (0,)),
    "maximum": (lambda x: tg.maximum(x, 0.0), (0, 2), (0, 2)),
}


@pytest.mark.parametrize("name", EMPTY)
def test_empty_tensors(name):
    f, shape, expected = EMPTY[name]
    x = Tensor(np.ones(shape, np.float32), requires_grad=True)
    y = f(x)
    assert y.shape == expected
    y.backward(np.ones(expected))
    assert (x.grad.shape, x.grad.dtype) == (shape, np.float32)
    assert np.isfinite(x.grad).all()


def test_extremum_of_nothing_is_refused():
    for f in (tg.max, tg.min, tg.std):
        with pytest.raises(tg.errors.ShapeError, match=f.name):
            f(np.ones(0))


REDUCTIONS = [tg.sum, tg.mean, tg.max, tg.min, tg.prod, tg.var, tg.std, tg.logsumexp]


@pytest.mark.parametrize("f", REDUCTIONS, ids=lambda f: f.name)
@pytest.mark.parametrize("axis", [0, -1, (0, 1), (-1, 0), (), (2, -2), 1])
@pytest.mark.parametrize("keepdims", [False, True])
def test_axes_of_every_kind(f, axis, keepdims):
    """The same as moving the axes to the end and reducing rows one by one."""
    rng = np.random.default_rng(0)
    array = rng.permutation(24).reshape(2, 4, 3) / 10 + 0.1
    x = Tensor(array, requires_grad=True)
    out = f(x, axis=axis, keepdims=keepdims)
    axes = [i % 3 for i in (axis if isinstance(axis, tuple) else (axis,))]
    stay = [i for i in range(3) if i not in axes]
    assert out.shape == tuple(1 if i in axes else n for i, n in enumerate(array.shape) if keepdims or i in stay)
    cotangent = rng.standard_normal(out.shape)
    out.backward(cotangent)

    rows = np.transpose(array, stay + axes).reshape(*[array.shape[i] for i in stay], -1)
    slopes = np.transpose(x.grad, stay + axes).reshape(rows.shape)
    compact = np.asarray(cotangent).reshape(rows.shape[:-1])
    for place in np.ndindex(rows.shape[:-1]):
        row = Tensor(rows[place], requires_grad=True)
        single = f(row)
        np.testing.assert_allclose(out.data.reshape(rows.shape[:-1])[place], single.data, rtol=1e-13)
        single.backward(compact[place])
        np.testing.assert_allclose(slopes[place], row.grad, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("f", REDUCTIONS, ids=lambda f: f.name)
def test_axes_of_length_one(f):
    x = np.array([[1.0], [2.0]])
    flat = f in (tg.var, tg.std)
    value = [0, 0] if flat else [1, 2]
    check(lambda t: f(t, axis=1), x, value, [[0], [0]] if flat else [[1], [1]])


STABLE = {
    "sigmoid": tg.sigmoid,
    "softplus": tg.softplus,
    "tanh": tg.tanh,
    "elu": tg.elu,
    "relu": tg.relu,
    "leaky_relu": tg.leaky_relu,
    "softmax": tg.softmax,
    "log_softmax": tg.log_softmax,
    "logsumexp": tg.logsumexp,
    "cross_entropy": lambda x: F.cross_entropy(x, np.arange(len(x)) % 3),
    "cross_entropy, smoothed": lambda x: F.cross_entropy(x, np.arange(len(x)) % 3, label_smoothing=0.1),
    "cross_entropy, probabilities": lambda x: F.cross_entropy(x, np.full(x.shape, 1 / 3, x.dtype)),
    "binary": lambda x: F.binary_cross_entropy_with_logits(x, np.full(x.shape, 0.5, x.dtype)),
    "binary, weighted": lambda x: F.binary_cross_entropy_with_logits(x, x.data > 0, pos_weight=np.array(3.0)),
}


@pytest.mark.parametrize("name", STABLE)
@pytest.mark.parametrize("size", [1e3, 1e4])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_extreme_values_stay_finite_to_second_order(name, size, dtype):
    array = np.array(list(itertools.product([-size, 0, size], repeat=3)), dtype)
    x = Tensor(array, requires_grad=True)
    out = STABLE[name](x)
    slope = tg.gradients(out.sum(), x, create_graph=True)
    results = [out, slope, *([tg.gradients((slope * slope).sum(), x)] if slope.requires_grad else [])]
    for result in results:
        assert result.dtype == dtype
        assert np.isfinite(result.data).all()


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 0), (3, 0, 2)])
@pytest.mark.parametrize("kind", [lambda f: f, tg.compile], ids=["eager", "compiled"])
def test_softmax_family_over_no_elements(shape, kind):
    axis = 1 if len(shape) > 1 else 0
    rows = np.full([n for i, n in enumerate(shape) if i != axis], -np.inf)
    for op, expected in ((tg.softmax, np.zeros(shape)), (tg.log_softmax, np.zeros(shape)), (tg.logsumexp, rows)):
        np.testing.assert_array_equal(kind(lambda x, op=op: op(x, axis))(np.zeros(shape)), expected)
        _, slope = kind(tg.value_and_grad(lambda x, op=op: op(x, axis).sum()))(np.zeros(shape))
        assert slope.shape == shape
