"""Every operation of the registry, compiled by the backend `numpy`: equal to the last bit."""

import numpy as np
import pytest
from every_op import CALLS, CONSTANT, NAMES, check_operation_without_derivative, check_value_and_gradients


def assert_identical(got, expected):
    assert len(got) == len(expected)
    for g, e in zip(got, expected, strict=True):
        assert type(g) is type(e)
        assert (g.shape, g.dtype) == (e.shape, e.dtype)
        np.testing.assert_array_equal(g, e)


@pytest.mark.parametrize(("op", "number"), CALLS, ids=NAMES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_value_and_gradients_of_an_operation(op, number, dtype):
    check_value_and_gradients(op, number, dtype, "numpy", assert_identical)


@pytest.mark.parametrize("op", CONSTANT, ids=lambda op: op.name)
def test_operation_without_derivative(op):
    check_operation_without_derivative(op, "numpy", assert_identical)
