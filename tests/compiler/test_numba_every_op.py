"""Every operation of the registry in the loops of the backend `numba`, run by Python: what it gives by itself."""

import numpy as np
import pytest
from calls import CALLS, NAMES, OPS, Call
from closeness import assert_close
from interpreting import interpret

import tinygrad_sm as tg
from tinygrad_sm import Tensor
from tinygrad_sm.compiler import compile

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch):
    interpret(monkeypatch)


@pytest.mark.parametrize(("op", "number"), CALLS, ids=NAMES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_value_and_gradients_of_an_operation(op, number, dtype):
    call, other = Call(op, number, dtype=dtype), Call(op, number, seed=1, dtype=dtype)
    cotangent = call.cotangent().astype(dtype)
    runs = []

    def weighted(*tensors):
        runs.append(1)
        return (call(*tensors) * cotangent).sum()

    both = tg.value_and_grad(weighted, range(len(call.arrays)))
    compiled = compile(both, backend="numba")
    for arrays in (call.arrays, other.arrays, call.arrays):
        value, gradients = both(*arrays)
        count = len(runs)
        got, got_gradients = compiled(*arrays)
        assert_close([got, *got_gradients], [value, *gradients])
    assert len(runs) == count  # the program itself ran


@pytest.mark.parametrize("op", [op for op in OPS if not op.differentiable], ids=lambda op: op.name)
def test_operation_without_derivative(op):
    for sample in op.samples:
        args, kwargs = sample.make(np.random.default_rng(0))
        places = [i for i, value in enumerate(args) if isinstance(value, np.ndarray)]

        def function(*arrays, args=args, kwargs=kwargs, places=places):
            given = dict(zip(places, arrays, strict=True))
            return op(*[given.get(i, value) for i, value in enumerate(args)], **kwargs)

        compiled = compile(function, backend="numba")
        others = sample.make(np.random.default_rng(1))[0]
        for values in (args, others, args):
            arrays = [values[i] for i in places]
            expected = function(*map(Tensor, arrays))
            assert_close([compiled(*arrays)], [expected.data])
