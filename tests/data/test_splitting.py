"""A split is a partition with every class in proportion, decided by the generator alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_sm.data import Dataset, load_digits, train_test_split
from tinygrad_sm.errors import ArgumentError, DTypeError, ShapeError, TargetError


def numbered(counts):
    """A data set whose class k has counts[k] examples, shuffled; the one feature of an example is its own number."""
    labels = np.random.default_rng(7).permutation(np.repeat(np.arange(len(counts)), counts))
    return Dataset(np.arange(len(labels)).reshape(-1, 1), labels, [f"c{k}" for k in range(len(counts))])


@given(
    counts=st.lists(st.integers(2, 40), min_size=1, max_size=6),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
)
def test_a_split_is_a_partition_with_every_class_in_proportion(counts, fraction, seed):
    data = numbered(counts)
    train, test = data.split(fraction, rng=seed)
    together = np.concatenate([train.inputs, test.inputs]).ravel()
    assert sorted(together) == list(range(len(data)))
    for part in (train, test):
        np.testing.assert_array_equal(part.targets, data.targets[part.inputs.ravel().astype(int)])
        assert (np.diff(part.inputs.ravel()) > 0).all()
    for label, count in enumerate(counts):
        held_back = np.sum(test.targets == label)
        assert 1 <= held_back <= count - 1
        assert abs(held_back - min(max(fraction * count, 1), count - 1)) <= 0.5 + 1e-9


def test_a_fifth_of_the_digits():
    train, test = load_digits().split(0.2, rng=0)
    assert (len(train), len(test)) == (1438, 359)
    assert np.bincount(test.targets).tolist() == [36, 36, 35, 37, 36, 36, 36, 36, 35, 36]
    assert (test.shape, test.class_names) == ((8, 8), tuple("0123456789"))


def test_every_example_is_as_likely_as_any_other_of_its_class():
    data = numbered([5, 5])
    times = np.zeros(10)
    for seed in range(400):
        times[data.split(0.4, rng=seed)[1].inputs.ravel().astype(int)] += 1
    # 400 draws with probability 0.4: the standard deviation is 9.8.
    assert np.abs(times - 160).max() < 45


def test_the_same_seed_gives_the_same_split_and_another_seed_another():
    data = numbered([30, 30])
    first, again, other = (data.split(0.3, rng=seed)[1].inputs for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_generator_is_used_and_advanced():
    data = numbered([30, 30])
    rng = np.random.default_rng(1)
    first, second = data.split(0.3, rng=rng)[1].inputs, data.split(0.3, rng=rng)[1].inputs
    np.testing.assert_array_equal(first, data.split(0.3, rng=1)[1].inputs)
    assert not np.array_equal(first, second)


def test_regression_is_split_as_a_whole():
    data = Dataset(np.arange(10).reshape(10, 1), np.arange(10) / 10)
    train, test = data.split(0.25)
    assert (len(train), len(test)) == (8, 2)
    np.testing.assert_allclose(test.targets, test.inputs / 10)


def test_a_class_without_examples_is_no_obstacle():
    train, test = Dataset(np.eye(4), [0, 0, 2, 2], ("a", "b", "c")).split(0.5)
    assert train.class_names == test.class_names == ("a", "b", "c")
    assert sorted(test.targets.tolist()) == [0, 2]


@pytest.mark.parametrize("fraction", [0, 1, -0.2, 1.5, 20, np.nan, np.inf])
def test_a_fraction_outside_0_to_1_is_refused(fraction):
    with pytest.raises(ArgumentError, match="fraction must"):
        numbered([4, 4]).split(fraction)


@pytest.mark.parametrize("fraction", ["0.2", None, [0.2]])
def test_a_fraction_that_is_no_number_is_refused(fraction):
    with pytest.raises(DTypeError, match="fraction must be a number"):
        numbered([4, 4]).split(fraction)


@pytest.mark.parametrize("rng", [None, 1.5, "seed", np.random.RandomState(0)])
def test_rng_must_be_a_generator_or_a_seed(rng):
    with pytest.raises(DTypeError, match=r"rng must be a numpy\.random\.Generator or an integer seed"):
        numbered([4, 4]).split(0.5, rng=rng)


def test_a_negative_seed_is_refused():
    with pytest.raises(ArgumentError, match="seed cannot be negative"):
        numbered([4, 4]).split(0.5, rng=-1)


def test_a_class_with_a_single_member_is_named():
    with pytest.raises(ArgumentError, match=r"split: class c1 has 1 example, .*"):
        numbered([4, 1]).split(0.5)


def test_a_single_number_to_predict_cannot_be_split():
    with pytest.raises(ArgumentError, match="the data set has 1 example"):
        Dataset([[1.0]], [1.0]).split(0.5)


# --- train_test_split, the same for plain arrays


def test_plain_arrays_of_any_shape_are_split_alike():
    images = np.arange(20 * 4).reshape(20, 2, 2)
    labels = np.array(["cat", "dog"] * 10)
    train_x, test_x, train_y, test_y = train_test_split(images, labels, fraction=0.3, rng=3)
    assert (train_x.shape, test_x.shape) == ((14, 2, 2), (6, 2, 2))
    assert train_x.dtype == images.dtype
    assert sorted(test_y) == ["cat"] * 3 + ["dog"] * 3
    np.testing.assert_array_equal(labels[test_x[:, 0, 0] // 4], test_y)
    np.testing.assert_array_equal(labels[train_x[:, 0, 0] // 4], train_y)


def test_lists_and_float_targets_of_any_shape():
    _, test_x, _, test_y = train_test_split(
        [[1], [2], [3], [4]], [[0.1, 1], [0.2, 2], [0.3, 3], [0.4, 4]], fraction=0.5
    )
    np.testing.assert_array_equal(test_x[:, 0], test_y[:, 1])


@pytest.mark.parametrize(
    ("inputs", "targets", "error", "message"),
    [
        ([1, 2, 3], [0, 1], ShapeError, r"inputs \(3,\) and targets \(2,\)"),
        ([1, 2], [[0], [1]], TargetError, r"must have shape \(2,\)"),
        ([], [], ArgumentError, "the data set has 0 example"),
        ([1, 2, 3], ["a", "a", "b"], ArgumentError, "class b has 1 example"),
        (5, [0], ShapeError, "single value"),
    ],
)
def test_bad_arrays_are_refused(inputs, targets, error, message):
    with pytest.raises(error, match=message):
        train_test_split(inputs, targets)
