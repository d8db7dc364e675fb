"""The toy sets lie on their curves, and the noise is what was asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_sm.data import make_moons, make_spirals
from tinygrad_sm.errors import ArgumentError, DTypeError

MAKERS = [make_moons, make_spirals]


def test_moons_without_noise_lie_on_two_half_circles():
    data = make_moons(200, noise=0.0)
    upper, lower = data.inputs[data.targets == 0], data.inputs[data.targets == 1]
    np.testing.assert_allclose(np.hypot(*upper.T), 1, atol=1e-6)
    np.testing.assert_allclose(np.hypot(lower[:, 0] - 1, lower[:, 1] - 0.5), 1, atol=1e-6)
    assert upper[:, 1].min() > -1e-6
    assert lower[:, 1].max() < 0.5 + 1e-6
    np.testing.assert_allclose(upper[[0, -1]], [[1, 0], [-1, 0]], atol=1e-6)
    np.testing.assert_allclose(lower[[0, -1]], [[0, 0.5], [2, 0.5]], atol=1e-6)


def test_spirals_without_noise_are_one_arm_turned_by_equal_angles():
    data = make_spirals(400, classes=4, noise=0.0)
    arms = [data.inputs[data.targets == k] @ np.array([1, 1j]) for k in range(4)]
    np.testing.assert_allclose(np.abs(arms[0]), np.linspace(0.1, 1, 100), atol=1e-6)
    np.testing.assert_allclose(np.unwrap(np.angle(arms[0])), 4 * np.linspace(0.1, 1, 100), atol=1e-5)
    for k in range(4):
        np.testing.assert_allclose(arms[k], arms[0] * 1j**k, atol=1e-6)


@pytest.mark.parametrize("make", MAKERS)
def test_noise_is_a_standard_deviation(make):
    rest = make(20_000, noise=0.25).inputs - make(20_000, noise=0.0).inputs
    np.testing.assert_allclose(rest.std(axis=0), 0.25, rtol=0.03)
    np.testing.assert_allclose(rest.mean(axis=0), 0, atol=0.01)


@given(n=st.integers(2, 60), classes=st.integers(2, 7))
def test_every_prefix_is_balanced(n, classes):
    if n < classes:
        with pytest.raises(ArgumentError, match=f"n must be at least {classes}"):
            make_spirals(n, classes=classes)
        return
    targets = make_spirals(n, classes=classes).targets
    assert len(targets) == n
    for stop in range(1, n + 1):
        counts = np.bincount(targets[:stop], minlength=classes)
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("make", MAKERS)
def test_types_names_and_seeds(make):
    data = make(30, rng=1)
    assert (data.inputs.dtype, data.targets.dtype) == (np.float32, np.int64)
    assert data.inputs.shape == (30, 2)
    assert data.feature_names == ("x", "y")
    np.testing.assert_array_equal(data.inputs, make(30, rng=np.random.default_rng(1)).inputs)
    assert not np.array_equal(data.inputs, make(30, rng=2).inputs)


@pytest.mark.parametrize("make", MAKERS)
def test_a_nearest_neighbour_tells_the_classes_apart(make):
    train, test = make(400).split(0.25)
    distances = np.linalg.norm(test.inputs[:, None] - train.inputs, axis=2)
    assert np.mean(train.targets[distances.argmin(axis=1)] == test.targets) > 0.95


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("n", "options", "error", "message"),
    [
        (0, {}, ArgumentError, "n must be at least"),
        (1, {}, ArgumentError, "n must be at least"),
        (-5, {}, ArgumentError, "n must be at least"),
        (10.0, {}, DTypeError, "n must be an integer"),
        (10, {"noise": -0.1}, ArgumentError, "noise is a standard deviation"),
        (10, {"noise": np.nan}, ArgumentError, "noise must be finite"),
        (10, {"noise": "much"}, DTypeError, "noise must be a number"),
        (10, {"rng": None}, DTypeError, "rng must be"),
    ],
)
def test_bad_arguments_are_refused(make, n, options, error, message):
    with pytest.raises(error, match=f"{make.__name__}: {message}") as caught:
        make(n, **options)
    assert caught.value.remedy


@pytest.mark.parametrize("classes", [1, 0, -1])
def test_spirals_need_two_classes(classes):
    with pytest.raises(ArgumentError, match="classes must be at least 2"):
        make_spirals(10, classes=classes)
