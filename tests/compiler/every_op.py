"""Every operation of the registry, compiled: for other data of the same kind it gives what it gives by itself.

What `test_every_op.py` and `test_numba_every_op.py` share: they tell the backend, and how equal results have to be.
"""

import numpy as np
from calls import CALLS, NAMES, OPS, Call

import tinygrad_sm as tg
from tinygrad_sm import Tensor
from tinygrad_sm.compiler import compile

__all__ = ["CALLS", "CONSTANT", "NAMES", "check_operation_without_derivative", "check_value_and_gradients"]

CONSTANT = [op for op in OPS if not op.differentiable]


def check_value_and_gradients(op, number, dtype, backend, assert_equal):
    call, other = Call(op, number, dtype=dtype), Call(op, number, seed=1, dtype=dtype)
    cotangent = call.cotangent().astype(dtype)
    runs = []

    def weighted(*tensors):
        runs.append(1)
        return (call(*tensors) * cotangent).sum()

    both = tg.value_and_grad(weighted, range(len(call.arrays)))
    compiled = compile(both, backend=backend)
    for arrays in (call.arrays, other.arrays, call.arrays):
        value, gradients = both(*arrays)
        count = len(runs)
        got, got_gradients = compiled(*arrays)
        assert_equal([got, *got_gradients], [value, *gradients])
    assert len(runs) == count  # the program itself ran


def check_operation_without_derivative(op, backend, assert_equal):
    for sample in op.samples:
        args, kwargs = sample.make(np.random.default_rng(0))
        places = [i for i, value in enumerate(args) if isinstance(value, np.ndarray)]

        def function(*arrays, args=args, kwargs=kwargs, places=places):
            given = dict(zip(places, arrays, strict=True))
            return op(*[given.get(i, value) for i, value in enumerate(args)], **kwargs)

        compiled = compile(function, backend=backend)
        others = sample.make(np.random.default_rng(1))[0]
        for values in (args, others, args):
            arrays = [values[i] for i in places]
            expected = function(*map(Tensor, arrays))
            assert_equal([compiled(*arrays)], [expected.data])
