"""Every operation of the registry in the loops of the backend `numba`, compiled: what it gives by itself.

Compiling takes long, so that many programs are run together as one.
"""

import numpy as np
import pytest
from calls import CALLS, NAMES, Call
from closeness import assert_close

import tinygrad_sm as tg
from tinygrad_sm.compiler import compile, numba_code
from tinygrad_sm.compiler.numpy_code import Executable
from tinygrad_sm.compiler.program import Program

pytestmark = [pytest.mark.extra, pytest.mark.filterwarnings("ignore::RuntimeWarning")]
TOGETHER = 28  # programs


def program_of(monkeypatch, function, arrays):
    """The program that the backend would be given, and what the function returns."""
    seen = []

    def build(program):
        seen.append(program)
        return Executable(lambda *arguments: None, "", [], 0)

    with monkeypatch.context() as patch:
        patch.setattr(numba_code, "build", build)
        compile(function, backend="numba")(*arrays)
    return seen[0]


def together(programs):
    """One program that does what all of them do."""
    whole = Program([value for program in programs for value in program.inputs])
    for program in programs:
        whole.instructions += program.instructions
    whole.results = tuple(program.results for program in programs)
    return whole


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TINYGRAD_SM_CACHE", str(tmp_path_factory.mktemp("cache")))


def flat(results):
    return [each for value, gradients in [results] for each in (value, *gradients)]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("start", range(0, len(CALLS), TOGETHER), ids=lambda start: f"from {NAMES[start]}")
def test_values_and_gradients(monkeypatch, start, dtype):
    programs, arguments, expected = [], [], []
    for op, number in CALLS[start : start + TOGETHER]:
        call, other = Call(op, number, dtype=dtype), Call(op, number, seed=1, dtype=dtype)
        cotangent = call.cotangent().astype(dtype)

        def weighted(*tensors, call=call, cotangent=cotangent):
            return (call(*tensors) * cotangent).sum()

        both = tg.value_and_grad(weighted, range(len(call.arrays)))
        programs.append(program_of(monkeypatch, both, call.arrays))
        arguments += other.arrays
        expected.append(both(*other.arrays))
    results = numba_code.build(together(programs)).run(*arguments)
    for got, wanted in zip(results, expected, strict=True):
        assert_close(flat(got), flat(wanted))
