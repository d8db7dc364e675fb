"""The likely cause of a wrong gradient, in words."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tinygrad_sm.checking.causes import likely_cause

RIGHT = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]])


@pytest.mark.parametrize(
    ("got", "cause"),
    [
        (-RIGHT, "the sign is wrong"),
        (2 * RIGHT, "everything is 2 times too large"),
        (64 * RIGHT, "everything is 64 times too large"),
        (RIGHT / 32, "everything is 32 times too small"),
        (RIGHT / 2, "half of what it should be"),
        (-3 * RIGHT, "-3 times too large"),
        (0 * RIGHT, "zero everywhere"),
        (RIGHT.T, "transposed"),
        (RIGHT * np.nan, "NaN or infinity"),
        (np.where(RIGHT == 4, np.inf, RIGHT), "NaN or infinity"),
        (np.ones((2, 3)), "the incoming cotangent was not used"),
        (np.stack([RIGHT, RIGHT]), "sum over the axes"),
        (RIGHT[0], "its shape is not that of the argument"),
        (RIGHT[:, :2], "its shape is not that of the argument"),
        (RIGHT + np.eye(2, 3), ""),
    ],
)
def test_cause(got, cause):
    found = likely_cause(got, RIGHT)
    assert cause in found
    assert bool(cause) == bool(found)


@pytest.mark.parametrize(
    ("got", "expected"),
    [((4, 3), (3,)), ((4, 3), (1, 3)), ((4, 3), (4, 1)), ((5, 4, 3), (4, 1)), ((2,), ()), ((2, 2), (1, 1))],
)
def test_missing_sum_over_broadcast_axes(got, expected):
    assert "sum over the axes that broadcasting added" in likely_cause(np.ones(got), np.ones(expected))


def test_transposition_of_a_square_matrix_and_of_a_rectangle():
    square = np.arange(9.0).reshape(3, 3)
    assert likely_cause(square.T, square) == "it is transposed"
    assert likely_cause(RIGHT.T, RIGHT) == "it is transposed"
    assert "transposed" not in likely_cause(RIGHT.T + 1, RIGHT)


def test_zeros_among_right_values():
    holes = np.where(np.arange(RIGHT.size).reshape(RIGHT.shape) % 3 == 1, 0, RIGHT)
    assert likely_cause(holes, RIGHT).startswith("it is zero there and right elsewhere")
    assert likely_cause(holes + 1, RIGHT) == ""


def test_nothing_can_be_said_where_everything_should_be_zero():
    assert likely_cause(RIGHT, 0 * RIGHT) == ""


@given(
    expected=arrays.arrays(float, arrays.array_shapes(max_dims=3, max_side=3), elements=st.floats(-100, 100)),
    factor=st.floats(1.5, 1000) | st.floats(-1000, -1.5),
)
def test_factor_is_named_whatever_the_array(expected, factor):
    assume(np.abs(expected).max() > 1e-3 and expected.size > 1)
    cause = likely_cause(factor * expected, expected)
    assert f"everything is {factor:.4g} times too large" in cause


def test_two_single_numbers_tell_a_factor_only_where_it_is_whole():
    assert likely_cause(6.0, 2.0) == "a factor is missing: everything is 3 times too large (1/N?)"
    assert likely_cause(2.0, 6.0) == "a factor is missing: everything is 3 times too small (1/N?)"
    assert likely_cause(3.1, 2.0) == ""


@pytest.mark.parametrize("got", [RIGHT.reshape(1, 2, 3), RIGHT.reshape(6), RIGHT.reshape(2, 1, 3)])
def test_right_values_in_the_wrong_shape(got):
    assert "the values are right and the shape is not" in likely_cause(got, RIGHT)


@pytest.mark.parametrize("got", [RIGHT.sum(0), RIGHT.sum(1), RIGHT.sum()])
def test_one_sum_too_many(got):
    assert likely_cause(got, RIGHT) == "it was summed over an axis too many"


def test_numbers_and_lists():
    assert likely_cause(-2.0, 2.0) == "the sign is wrong"
    assert likely_cause([2, 4], [1, 2]).startswith("a factor is missing")
