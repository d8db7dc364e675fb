"""Initialisers: fans, gains, the variances of the papers, and signals that neither fade nor grow."""

import itertools
import math

import numpy as np
import pytest

import tinygrad_sm as tg
from tinygrad_sm import errors, nn
from tinygrad_sm.nn import init

# A (fan_in, fan_out) of (300, 200) three times: for a Linear, and for kernels of a convolution.
SHAPES = [(300, 200), (8, 12, 5, 5), (100, 150, 2)]
UNIFORM, NORMAL = 1.8, 3.0  # kurtosis


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((64, 32), (64, 32)),
        ((8, 3, 5, 5), (75, 200)),
        ((8, 3, 1, 1), (3, 8)),
        ((16, 4, 7), (28, 112)),
        ((2, 3, 4, 5, 6), (360, 240)),
        ((8, 12, 5, 5), (300, 200)),
        ((1, 1), (1, 1)),
    ],
)
def test_fans_count_what_an_output_sees_and_an_input_reaches(shape, expected):
    assert init.fans(shape) == expected


@pytest.mark.parametrize("shape", [nn.Parameter([[1.0, 2.0]]), np.ones((2, 3)), 3, (3, "a"), (3.0, 4), (3, -1)])
def test_what_is_no_shape_is_refused(shape):
    for call in (init.xavier_uniform, init.xavier_normal, init.kaiming_uniform, init.kaiming_normal, init.fans):
        with pytest.raises(errors.ShapeError, match="is no shape of weights") as caught:
            call(shape)
        assert "layer.weight.shape" in caught.value.remedy


@pytest.mark.parametrize("shape", [(), (5,)])
def test_biases_have_no_fans(shape):
    with pytest.raises(errors.ShapeError, match="no fans") as caught:
        init.kaiming_normal(shape)
    assert "zeros" in caught.value.remedy


@pytest.mark.parametrize(
    ("initialiser", "variance", "kurtosis"),
    [
        (init.xavier_uniform, lambda fan_in, fan_out: 2 / (fan_in + fan_out), UNIFORM),
        (init.xavier_normal, lambda fan_in, fan_out: 2 / (fan_in + fan_out), NORMAL),
        (init.kaiming_uniform, lambda fan_in, fan_out: 2 / fan_in, UNIFORM),
        (init.kaiming_normal, lambda fan_in, fan_out: 2 / fan_in, NORMAL),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("gain", [None, 0.5])
def test_the_variance_is_that_of_the_paper(initialiser, variance, kurtosis, shape, gain):
    fan_in, fan_out = (shape[1] * math.prod(shape[2:]), shape[0] * math.prod(shape[2:])) if len(shape) > 2 else shape
    expected = variance(fan_in, fan_out)
    options = {}
    if gain:
        usual = math.sqrt(2) if "kaiming" in initialiser.__name__ else 1.0
        expected *= (gain / usual) ** 2
        options = {"gain": gain}
    drawn = np.concatenate([initialiser(shape, generator=g, **options).ravel() for g in map(rng, range(20))])
    n = drawn.size
    # Five standard errors, of the mean and of the variance, for n independent draws.
    assert abs(drawn.mean(dtype=float)) < 5 * math.sqrt(expected / n)
    assert abs(drawn.var(dtype=float) / expected - 1) < 5 * math.sqrt((kurtosis - 1) / n)
    if kurtosis == UNIFORM:
        bound = math.sqrt(3 * expected)
        assert bound * (1 - 20 / n) < np.abs(drawn).max() <= bound * (1 + 1e-6)
    else:
        # 4.5 deviations happen about once in 150,000 draws, and here are at least 400,000.
        assert np.abs(drawn).max() > 4 * math.sqrt(expected)


@pytest.mark.parametrize(
    "initialiser", [init.xavier_uniform, init.xavier_normal, init.kaiming_uniform, init.kaiming_normal]
)
def test_values_come_from_the_generator_in_the_dtype_asked_for(initialiser):
    first, second = initialiser((3, 4), generator=rng(5)), initialiser((3, 4), generator=rng(5))
    assert first.dtype == np.float32
    assert first.shape == (3, 4)
    np.testing.assert_array_equal(first, second)
    double = initialiser((3, 4), generator=rng(5), dtype=np.float64)
    assert double.dtype == np.float64
    np.testing.assert_allclose(first, double, rtol=1e-6)
    tg.seed(5)
    default = initialiser((3, 4))
    tg.seed(5)
    np.testing.assert_array_equal(default, initialiser((3, 4)))
    assert not np.array_equal(default, initialiser((3, 4)))


def test_a_shape_without_elements_is_no_reason_to_divide_by_zero():
    assert init.xavier_normal((0, 0), generator=rng()).shape == (0, 0)
    assert init.kaiming_uniform((0, 3), generator=rng()).shape == (0, 3)


def test_gains():
    assert init.gain("linear") == init.gain("sigmoid") == 1
    assert init.gain("tanh") == pytest.approx(5 / 3)
    assert init.gain("relu") == pytest.approx(math.sqrt(2))
    assert init.gain("leaky_relu") == pytest.approx(math.sqrt(2 / 1.0001))
    with pytest.raises(errors.ArgumentError, match="'swish'") as caught:
        init.gain("swish")
    assert "softplus" in caught.value.remedy


@pytest.mark.parametrize("slope", [0.0, 0.01])
def test_the_gain_of_a_rectifier_keeps_the_mean_square(slope):
    """E[f(z)**2] gain**2 = 1 for a standard normal z, which is what He's derivation asks for."""
    z = rng().normal(size=1_000_000)
    square = np.where(z > 0, z, slope * z) ** 2
    expected = 1 / init.gain("leaky_relu" if slope else "relu") ** 2
    assert abs(square.mean() - expected) < 5 * square.std() / math.sqrt(z.size)


@pytest.mark.parametrize("initialiser", [init.kaiming_normal, init.kaiming_uniform])
def test_kaiming_keeps_signals_alive_through_thirty_rectifiers(initialiser):
    generator = rng()
    x = generator.normal(size=(64, 400))
    start = np.mean(x**2)
    for _ in range(30):
        x = np.maximum(x @ initialiser((400, 400), generator=generator), 0)
    # Without the factor 2 the mean square would shrink to 2**-30. One layer of 400 varies it by sqrt(5 / 400), 30 by
    # 60 %, so that three deviations are a factor of six.
    assert 1 / 6 < np.mean(x**2) / start < 6


@pytest.mark.parametrize("initialiser", [init.xavier_normal, init.xavier_uniform])
def test_xavier_keeps_signals_and_gradients_alive_through_linear_layers(initialiser):
    generator = rng()
    x, g = generator.normal(size=(64, 300)), generator.normal(size=(64, 300))
    sizes = [300, 500, 300, 500, 300]
    weights = [initialiser(shape, generator=generator) for shape in itertools.pairwise(sizes)]
    for W in weights:
        x = x @ W
    for W in reversed(weights):
        g = g @ W.T
    # Widening by 5/3 takes 3/4 of the mean square and narrowing gives 5/4: after four layers (15/16)**2.
    for signal in (x, g):
        assert abs(np.mean(signal**2) / (15 / 16) ** 2 - 1) < 0.2
