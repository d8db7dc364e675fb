"""Values written as code: evaluated, the code gives the value again, to the last bit and in its type."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_sm.debug.literals import array_literal, index_literal, literal


def same(a, b):
    """Equal in type and shape and to the last bit, with NaN equal to NaN."""
    if isinstance(a, (tuple, list)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, (np.ndarray, np.generic)):
        return type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return type(a) is type(b) and (a == b or a != a)


@pytest.mark.parametrize(
    "value",
    [
        *(3, -2.5, True, None, "mean", ..., float("inf"), -float("inf"), (1,), (), [1, 2.0], (slice(1, None), None, 0)),
        *(slice(None), slice(None, None, -2), np.float32(0.1), np.int64(3), np.bool_(True), np.float64("inf")),
        *(np.float32, np.int8, float, bool, (np.array([1, 2]), slice(0, 2))),
        *([np.array([True, False])], {"a": 1}),
    ],
    ids=repr,
)
def test_code_of_a_value_gives_the_value(value):
    assert same(eval(literal(value), {"np": np}), value)


@pytest.mark.parametrize("value", [np.longdouble(1) / 3, np.longdouble("-inf"), np.longdouble("nan")], ids=repr)
def test_code_of_a_long_double_has_all_its_digits(value):
    got = eval(literal(value), {"np": np})
    assert type(got) is np.longdouble
    np.testing.assert_equal(got, value)  # its padding is not compared


@pytest.mark.parametrize("dtype", [np.dtype(kind) for kind in (np.float32, bool, int, np.uint8, ">f8")], ids=repr)
def test_code_of_a_dtype_means_that_dtype(dtype):
    assert np.dtype(eval(literal(dtype), {"np": np})) == dtype


ARRAYS = st.one_of(
    *(
        hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
        for dtype in (np.float64, np.float32, np.float16, np.longdouble, ">f8", np.int64, np.int32, np.uint8, np.bool_)
    )
)


@given(ARRAYS)
def test_code_of_an_array_gives_every_bit_of_it(array):
    got = eval(array_literal(array), {"np": np})
    assert got.dtype == array.dtype
    assert got.shape == array.shape
    np.testing.assert_array_equal(got, array)  # the sign and payload of NaN are not written
    assert (np.signbit(got) == np.signbit(array))[~np.isnan(array)].all() if array.dtype.kind == "f" else True


def test_how_the_user_has_arrays_printed_makes_no_difference():
    array = np.array([np.nan, -np.inf, 1 / 3, 1e-300])
    with np.printoptions(legacy="1.13", nanstr="?", infstr="oo", precision=1, threshold=1):
        got = eval(array_literal(array), {"np": np})
    np.testing.assert_array_equal(got, array)


def test_rows_of_a_matrix_stand_below_each_other():
    assert array_literal(np.array([[1.0, -np.inf], [np.nan, 0.1]], np.float32)).splitlines() == [
        "np.array([[ 1. , -np.inf],",
        "          [ np.nan,  0.1]], dtype=np.float32)",
    ]


def test_long_arrays_are_wrapped_and_not_shortened():
    text = array_literal(np.arange(3000))
    assert max(map(len, text.splitlines())) <= 110
    np.testing.assert_array_equal(eval(text, {"np": np}), np.arange(3000))


@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        slice(1, None),
        slice(None, None, -1),
        ...,
        None,
        (0, slice(None)),
        (..., None, slice(0, 2)),
        np.array([1, 0]),
    ],
    ids=repr,
)
def test_code_of_an_index_picks_the_same(index):
    x = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(eval(f"x[{index_literal(index)}]", {"np": np, "x": x}), x[index])
