"""Random functions in fused loops, run by Python: values and gradients are those of single calls."""

import numpy as np
import pytest
from interpreting import interpret
from random_functions import RandomFunction

import tinygrad_sm as tg
from tinygrad_sm.compiler import compile
from tinygrad_sm.compiler.fused import plan

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
TOLERANCE = {np.float64: 1e-9, np.float32: 3e-3}


def check(seed):
    dtype = (np.float64, np.float32)[seed % 2]
    function = RandomFunction(seed, dtype)
    both = tg.value_and_grad(function, range(len(function.arrays)))
    compiled = compile(both, backend="numba")
    compiled(*function.arrays)
    held = []  # results that are not to change when others are computed
    for _ in range(3):
        function.renew()
        value, gradients = both(*function.arrays)
        held.append((compiled(*function.arrays), (value, gradients)))
    for (got, got_gradients), (value, gradients) in held:
        for g, e in zip([got, *got_gradients], [value, *gradients], strict=True):
            assert (g.shape, g.dtype) == (e.shape, e.dtype)
            largest = max(1, np.abs(e).max(initial=0))
            np.testing.assert_allclose(g, e, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * largest)
    assert len(compiled._order) == 1


@pytest.mark.parametrize("start", range(0, 200, 20))
def test_random_functions(monkeypatch, start):
    interpret(monkeypatch)
    for seed in range(start, start + 20):
        check(seed)


@pytest.mark.parametrize("start", range(1000, 1100, 20))
def test_random_functions_on_several_threads_with_results_in_arrays_of_their_own(monkeypatch, start):
    interpret(monkeypatch)
    for name, value in (("PARALLEL", 8), ("PARALLEL_EXPENSIVE", 8), ("BLOCK", 16), ("ROWS", 2), ("LARGE", 16)):
        monkeypatch.setattr(plan, name, value)
    monkeypatch.setattr(plan, "PRODUCT", 8)
    monkeypatch.setattr(plan, "BLAS_SHARES", 4)
    monkeypatch.setattr(plan, "LONGEST", 6)
    for seed in range(start, start + 20):
        check(seed)
