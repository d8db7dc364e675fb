"""The batches of an epoch are the data set, once, in the order that was asked for."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_sm.data import Dataset, batches
from tinygrad_sm.errors import ArgumentError, DTypeError, ShapeError


@given(n=st.integers(1, 50), size=st.integers(1, 60), seed=st.none() | st.integers(0, 99), drop_last=st.booleans())
def test_an_epoch_is_every_example_once(n, size, seed, drop_last):
    x, y = np.arange(n) * 10.0, np.arange(n)
    rng = None if seed is None else np.random.default_rng(seed)
    if drop_last and n < size:
        with pytest.raises(ArgumentError, match="drop_last leaves nothing"):
            batches(x, y, batch_size=size, rng=rng, drop_last=drop_last)
        return
    found = list(batches(x, y, batch_size=size, rng=rng, drop_last=drop_last))
    sizes = [len(batch_y) for _, batch_y in found]
    rest = [] if drop_last or n % size == 0 else [n % size]
    assert sizes == [size] * (n // size) + rest
    for batch_x, batch_y in found:
        np.testing.assert_array_equal(batch_x, batch_y * 10)
    labels = np.concatenate([batch_y for _, batch_y in found]).tolist()
    assert len(set(labels)) == len(labels)
    if seed is None:
        assert labels == list(range(len(labels)))


def test_the_state_of_the_generator_decides_the_order():
    x = np.arange(100)
    rng = np.random.default_rng(5)
    first, second = (np.concatenate([b for b, _ in batches(x, x, batch_size=7, rng=rng)]) for _ in range(2))
    again = np.concatenate([b for b, _ in batches(x, x, batch_size=7, rng=np.random.default_rng(5))])
    np.testing.assert_array_equal(first, again)
    assert sorted(first) == sorted(second) == list(range(100))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, x)


def test_the_order_is_drawn_at_the_call():
    rng, twin = np.random.default_rng(5), np.random.default_rng(5)
    never_read = batches(np.arange(9), np.arange(9), batch_size=3, rng=rng)
    twin.permutation(9)
    assert rng.bit_generator.state == twin.bit_generator.state
    assert len(list(never_read)) == 3


def test_without_a_generator_batches_are_views_and_with_one_copies():
    x, y = np.zeros((6, 2)), np.zeros(6)
    for batch_x, batch_y in batches(x, y, batch_size=4):
        assert np.shares_memory(batch_x, x)
        assert np.shares_memory(batch_y, y)
    for batch_x, batch_y in batches(x, y, batch_size=4, rng=np.random.default_rng(0)):
        assert not np.shares_memory(batch_x, x)
        assert not np.shares_memory(batch_y, y)


def test_a_dataset_brings_its_targets():
    data = Dataset([[1.0], [2.0], [3.0]], [0, 1, 0])
    (x, y), (last_x, last_y) = batches(data, batch_size=2)
    assert (x.tolist(), y.tolist()) == ([[1], [2]], [0, 1])
    assert (last_x.tolist(), last_y.tolist()) == ([[3]], [0])
    assert (x.dtype, y.dtype) == (np.float32, np.int64)


def test_types_and_further_axes_are_kept():
    images = np.asfortranarray(np.arange(24, dtype=np.uint8).reshape(4, 3, 2))
    for rng in (None, np.random.default_rng(1)):
        for x, y in batches(images, np.arange(4), batch_size=3, rng=rng):
            assert x.dtype == np.uint8
            np.testing.assert_array_equal(x, images[y])


def test_lists_are_taken():
    assert [(x.tolist(), y.tolist()) for x, y in batches([[1], [2]], [5, 6], batch_size=1)] == [
        ([[1]], [5]),
        ([[2]], [6]),
    ]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (([1, 2], [1]), {"batch_size": 1}, ShapeError, r"inputs \(2,\) and targets \(1,\)"),
        (([], []), {"batch_size": 1}, ArgumentError, "no examples"),
        (([1],), {"batch_size": 1}, ArgumentError, "without targets"),
        ((Dataset([[1.0]], [0]), [0]), {"batch_size": 1}, ArgumentError, "brings its own targets"),
        ((1, 2), {"batch_size": 1}, ShapeError, "single value"),
        (([1], [1]), {"batch_size": 0}, ArgumentError, "batch_size must be at least 1, got 0"),
        (([1], [1]), {"batch_size": -3}, ArgumentError, "got -3"),
        (([1], [1]), {"batch_size": 2.0}, DTypeError, r"must be an integer, got 2\.0"),
        (([1], [1]), {"batch_size": None}, DTypeError, "must be an integer"),
        (([1], [1]), {"batch_size": 1, "rng": 0}, DTypeError, r"default_rng\(0\), and hand it to every call"),
    ],
)
def test_bad_arguments_are_refused_at_the_call(arguments, options, error, message):
    with pytest.raises(error, match=message) as caught:
        batches(*arguments, **options)
    assert caught.value.remedy


def test_batches_are_made_one_at_a_time():
    x = np.arange(6)
    stream = batches(x, x, batch_size=2)
    assert [y.tolist() for _, y in itertools.islice(stream, 2)] == [[0, 1], [2, 3]]
    assert next(stream)[1].tolist() == [4, 5]
    assert next(stream, None) is None
