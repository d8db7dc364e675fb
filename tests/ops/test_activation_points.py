"""Activations where they are hard: kinks, ties, tails and infinities, with value and gradient written out."""

import math

import numpy as np
import pytest

import tinygrad_sm as tg
from tinygrad_sm import Tensor

INF = np.inf
ROOT_2 = math.sqrt(2)


def value_and_slope(f, x, cotangent=1.0):
    leaf = Tensor(np.array(x, float), requires_grad=True)
    out = f(leaf)
    out.backward(np.broadcast_to(cotangent, out.shape))
    return out.data.tolist(), leaf.grad.tolist()


def second(f, x):
    leaf = Tensor(np.array(x, float), requires_grad=True)
    slope = tg.gradients(f(leaf).sum(), leaf, create_graph=True)
    return tg.gradients(slope.sum(), leaf).data.tolist() if slope.requires_grad else [0.0] * leaf.size


SELU = 1.0507009873554805


@pytest.mark.parametrize(
    ("f", "x", "value", "slope"),
    [
        (tg.hardtanh, [-1, 0.5, 1], [-1, 0.5, 1], [0, 1, 1]),
        (lambda x: tg.hardtanh(x, -2, 0.5), [-2, 0, 0.5, 1], [-2, 0, 0.5, 0.5], [0, 1, 1, 0]),
        (tg.relu6, [0, 3, 6, 7], [0, 3, 6, 6], [0, 1, 1, 0]),
        (tg.hardsigmoid, [-3, 0, 3], [0, 0.5, 1], [0, 1 / 6, 1 / 6]),
        (tg.hardswish, [-3, 0, 3, 4], [0, 0, 3, 4], [0, 0.5, 1.5, 1]),
        (tg.softshrink, [-0.5, 0, 0.5, 2], [0, 0, 0, 1.5], [1, 0, 0, 1]),
        (lambda x: tg.threshold(x, 1.0, -5.0), [1, 2], [-5, 2], [0, 1]),
        (tg.softsign, [0, -3], [0, -0.75], [1, 1 / 16]),
        (tg.selu, [0, 1], [0, SELU], [SELU * 1.6732632423543772, SELU]),
    ],
)
def test_at_a_kink_the_derivative_is_the_left_one(f, x, value, slope):
    got, gradient = value_and_slope(f, x)
    np.testing.assert_allclose(got, value, rtol=1e-14, atol=0)
    np.testing.assert_allclose(gradient, slope, rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    ("f", "value", "slope", "curvature"),
    [
        (tg.silu, 0.0, 0.5, 0.5),
        (tg.gelu, 0.0, 0.5, 2 / math.sqrt(2 * math.pi)),
        (lambda x: tg.gelu(x, "tanh"), 0.0, 0.5, 2 / math.sqrt(2 * math.pi)),
        (tg.mish, 0.0, 0.6, 0.64),
        (tg.hardswish, 0.0, 0.5, 1 / 3),
        (tg.log_sigmoid, -math.log(2), 0.5, -0.25),
        (tg.softsign, 0.0, 1.0, 0.0),
        (tg.tanhshrink, 0.0, 0.0, 0.0),
    ],
)
def test_at_zero(f, value, slope, curvature):
    got, gradient = value_and_slope(f, [0])
    np.testing.assert_allclose([*got, *gradient, *second(f, [0])], [value, slope, curvature], rtol=1e-14)


SELF_GATED = [tg.silu, tg.gelu, lambda x: tg.gelu(x, "tanh"), tg.mish, tg.hardswish]
FAR_OUT = [-INF, -1e30, -1e4, 1e4, 1e30, INF]


@pytest.mark.parametrize("f", SELF_GATED, ids=["silu", "gelu", "tanh gelu", "mish", "hardswish"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_gates_are_shut_or_open_far_out(f, dtype):
    with np.errstate(over="ignore"):
        x = Tensor(np.array(FAR_OUT, dtype), requires_grad=True)
    slope = tg.gradients(f(x), x, create_graph=True, cotangent=np.ones(6))
    tolerance = np.finfo(dtype).eps * 10
    np.testing.assert_allclose(f(x).data, np.maximum(x.data, 0), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(slope.data, [0, 0, 0, 1, 1, 1], rtol=0, atol=tolerance)
    np.testing.assert_allclose(tg.gradients(slope.sum(), x).data, np.zeros(6), rtol=0, atol=tolerance)
    assert f(x).dtype == slope.dtype == dtype


def test_tails_of_log_sigmoid():
    x = [-INF, -1e4, -100, 100, 1e4, INF]
    value, slope = value_and_slope(tg.log_sigmoid, x)
    np.testing.assert_allclose(value, [-INF, -1e4, -100, -math.exp(-100), 0, 0], rtol=1e-14)
    np.testing.assert_allclose(slope, [1, 1, 1, math.exp(-100), 0, 0], rtol=1e-14)
    np.testing.assert_allclose(second(tg.log_sigmoid, x), [0, 0, 0, -math.exp(-100), 0, 0], rtol=1e-14, atol=1e-43)


def test_gelu_is_the_normal_distribution_and_its_approximation_is_near():
    x = np.linspace(-6, 6, 241)
    exact = np.array([v * (1 + math.erf(v / ROOT_2)) / 2 for v in x])
    np.testing.assert_allclose(tg.gelu(x), exact, rtol=0, atol=1e-15)
    u = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    np.testing.assert_allclose(tg.gelu(x, approximate="tanh"), x * (1 + np.tanh(u)) / 2, rtol=0, atol=1e-15)
    assert 1e-4 < np.abs(tg.gelu(x, "tanh") - exact).max() < 5e-4


def test_nan_stays_where_it_is():
    for f in (*SELF_GATED, tg.hardtanh, tg.relu6, tg.selu, tg.softsign, tg.log_sigmoid, tg.hardsigmoid, tg.tanhshrink):
        value, slope = value_and_slope(f, [np.nan, 1.0])
        assert math.isnan(value[0])
        assert np.isfinite(value[1])
        assert np.isfinite(slope[1])


def test_a_zero_cotangent_stays_zero_times_anything():
    for f in (*SELF_GATED, tg.log_sigmoid, tg.softsign, tg.selu, tg.hardtanh, tg.softshrink, tg.tanhshrink):
        leaf = Tensor(np.array([-INF, INF, np.nan, 1.0]), requires_grad=True)
        with np.errstate(invalid="ignore"):
            f(leaf).backward(np.array([0.0, 0.0, 0.0, 1.0]))
        assert leaf.grad[:3].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda x: tg.gelu(x, "erf"), "gelu: approximate='erf'"),
        (lambda x: tg.hardtanh(x, 1, 1), "hardtanh: min_val=1, max_val=1"),
        (lambda x: tg.hardtanh(x, math.nan, 1), "hardtanh: min_val=nan"),
        (lambda x: tg.softshrink(x, -1), "softshrink: lambd=-1"),
        (lambda x: tg.maxout(x, 0), "maxout: pieces=0"),
        (lambda x: tg.maxout(x, 2.0), r"maxout: pieces=2\.0"),
    ],
)
def test_options_that_make_no_sense_are_refused(call, match):
    with pytest.raises(tg.errors.ArgumentError, match=match) as caught:
        call(Tensor([1.0, 2.0], requires_grad=True))
    assert caught.value.remedy


# PReLU.


def test_prelu_by_hand():
    x = Tensor([[-2.0, 3.0], [0.0, -4.0], [5.0, -INF]], requires_grad=True)
    weight = Tensor([0.5, 0.25], requires_grad=True)
    out = tg.prelu(x, weight)
    assert out.data.tolist() == [[-1, 3], [0, -1], [5, -INF]]
    out.backward([[1, 10], [2, 20], [4, 0.5]])
    assert x.grad.tolist() == [[0.5, 10], [1.0, 5], [4, 0.125]]  # at 0 the weight
    assert weight.grad.tolist() == [-2, -INF]


@pytest.mark.parametrize(
    ("shape", "count"), [((), 1), ((3,), 1), ((2, 3), 1), ((2, 3), 3), ((2, 3, 4, 5), 3), ((0, 3), 3), ((2, 1, 2), 1)]
)
def test_prelu_has_a_weight_for_all_or_one_for_each_channel(shape, count):
    rng = np.random.default_rng(0)
    x, w, g = rng.standard_normal(shape), rng.standard_normal(count), rng.standard_normal(shape)
    leaf, weight = Tensor(x, requires_grad=True), Tensor(w, requires_grad=True)
    out = tg.prelu(leaf, weight)
    out.backward(g)
    value, slope, weight_slope = np.empty(shape), np.empty(shape), np.zeros(count)
    for i in np.ndindex(shape):
        channel = i[1] if count > 1 else 0
        value[i] = x[i] if x[i] > 0 else w[channel] * x[i]
        slope[i] = g[i] if x[i] > 0 else w[channel] * g[i]
        weight_slope[channel] += 0 if x[i] > 0 else g[i] * x[i]
    np.testing.assert_allclose(out.data, value, rtol=1e-15)
    np.testing.assert_allclose(leaf.grad, slope, rtol=1e-15)
    np.testing.assert_allclose(weight.grad, weight_slope, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("shape", "weight"), [((2, 3), (2,)), ((3,), (3,)), ((2, 3), ()), ((2, 3), (1, 3)), ((), (2,))]
)
def test_prelu_refuses_weights_that_would_broadcast_otherwise(shape, weight):
    with pytest.raises(tg.errors.ShapeError, match="prelu: weight") as caught:
        tg.prelu(np.ones(shape), np.ones(weight))
    assert "axis 1" in caught.value.remedy


# Maxout and GLU.


def test_maxout_gives_the_first_winner_everything():
    x = Tensor([[1.0, 1.0, 3.0, 2.0], [-INF, -INF, 5.0, 7.0]], requires_grad=True)
    out = tg.maxout(x, 2)
    assert out.data.tolist() == [[1, 3], [-INF, 7]]
    out.backward([[10, 20], [30, 40]])
    assert x.grad.tolist() == [[10, 0, 20, 0], [30, 0, 0, 40]]
    x.grad = None
    tg.maxout(x, 4).backward([[1], [INF]])
    assert x.grad.tolist() == [[0, 0, 1, 0], [0, 0, 0, INF]]  # an infinite cotangent is no NaN elsewhere
    x.grad = None
    tg.maxout(x, 1).backward(np.ones((2, 4)))
    assert x.grad.tolist() == np.ones((2, 4)).tolist()


@pytest.mark.parametrize(
    ("shape", "axis", "pieces"), [((6,), 0, 3), ((2, 6, 3), 1, 2), ((2, 6, 3), -2, 6), ((0, 4), 1, 2)]
)
def test_maxout_against_loops(shape, axis, pieces):
    x = np.random.default_rng(1).standard_normal(shape)
    moved = np.moveaxis(x, axis, -1)
    expected = np.empty((*moved.shape[:-1], moved.shape[-1] // pieces))
    for i in np.ndindex(expected.shape):
        expected[i] = max(moved[i[:-1]][i[-1] * pieces : (i[-1] + 1) * pieces])
    out = tg.maxout(Tensor(x, requires_grad=True), pieces, axis)
    assert out.data.tolist() == np.moveaxis(expected, -1, axis).tolist()


def test_glu_by_hand():
    x = Tensor([[2.0, -3.0, 0.0, 1e4], [1.0, 1.0, -1e4, 0.0]], requires_grad=True)
    out = tg.glu(x)
    assert out.data.tolist() == [[1, -3], [0, 0.5]]
    out.backward(np.ones((2, 2)))
    assert x.grad.tolist() == [[0.5, 1, 0.5, 0], [0, 0.5, 0, 0.25]]
    assert tg.glu(x.data.T, axis=0).T.tolist() == out.data.tolist()


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: tg.glu(np.ones((2, 3))), r"glu: 3 values along axis -1 of x \(2, 3\) have no halves"),
        (lambda: tg.glu(np.ones((3, 2)), axis=0), "3 values along axis 0"),
        (lambda: tg.glu(np.float64(1)), r"x \(\) has no axis -1"),
        (lambda: tg.glu(np.ones(2), axis=1), r"x \(2,\) has no axis 1"),
        (lambda: tg.maxout(np.ones((2, 5)), 2), r"maxout: 5 values along axis -1 of x \(2, 5\) are no multiple of 2"),
        (lambda: tg.maxout(np.ones((2, 4)), 2, axis=2), "has no axis 2"),
    ],
)
def test_axes_that_do_not_divide_are_refused(call, match):
    with pytest.raises(tg.errors.ShapeError, match=match) as caught:
        call()
    assert caught.value.remedy


# Narrow integers and NumPy's scalars.

EVERY = [
    *SELF_GATED,
    tg.sigmoid,
    tg.softplus,
    tg.log_sigmoid,
    tg.selu,
    tg.softsign,
    tg.tanhshrink,
    tg.hardtanh,
    tg.relu6,
]


@pytest.mark.parametrize("f", [*EVERY, tg.hardsigmoid, tg.softshrink])
def test_narrow_integers_are_taken_for_their_values(f):
    for values in (np.array([0, 1, 7, 200], np.uint8), np.array([-100, -1, 0, 100], np.int8), np.array([True, False])):
        np.testing.assert_allclose(f(values), f(values.astype(float)), rtol=1e-3)


def test_numpy_scalars_as_options_keep_float32():
    x, one, y = np.array([[0.5, -2.0, 1.0]], np.float32), np.float64(1), np.array([1])
    for f in (tg.hardtanh, tg.threshold):
        assert f(x, -one, one).dtype == np.float32
    assert tg.softshrink(x, one).dtype == np.float32
    for loss in (tg.hinge_loss, tg.logsumexp_hinge_loss, tg.softplus_hinge_loss):
        assert loss(x, y, one).dtype == np.float32
    assert tg.softplus_hinge_loss(x, y, temperature=one).dtype == tg.focal_loss(x, y, one).dtype == np.float32
    assert tg.huber_loss(x, x, delta=one).dtype == tg.smooth_l1_loss(x, x, beta=one).dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softsign_ends_at_1(dtype):
    far = np.finfo(dtype).max
    x = Tensor(np.array([-INF, -far, far, INF, np.nan], dtype), requires_grad=True)
    out = tg.softsign(x)
    out.backward(np.ones(5, dtype))
    np.testing.assert_array_equal(out.data, [-1, -1, 1, 1, np.nan])
    np.testing.assert_array_equal(x.grad, [0, 0, 0, 0, np.nan])
