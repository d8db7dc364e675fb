"""Every operation of the registry in the loops of the backend `numba`, run by Python: what it gives by itself."""

import numpy as np
import pytest
from closeness import assert_close
from every_op import CALLS, CONSTANT, NAMES, check_operation_without_derivative, check_value_and_gradients
from interpreting import interpret

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch):
    interpret(monkeypatch)


@pytest.mark.parametrize(("op", "number"), CALLS, ids=NAMES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_value_and_gradients_of_an_operation(op, number, dtype):
    check_value_and_gradients(op, number, dtype, "numba", assert_close)


@pytest.mark.parametrize("op", CONSTANT, ids=lambda op: op.name)
def test_operation_without_derivative(op):
    check_operation_without_derivative(op, "numba", assert_close)
