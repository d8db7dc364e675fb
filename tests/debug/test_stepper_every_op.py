"""The stepper knows every operation from its block alone: its screens, its sums and its check."""

import math

import numpy as np
import pytest

import tinygrad_sm as tg
from tests.calls import CALLS, NAMES, Call, variables
from tinygrad_sm import debug
from tinygrad_sm.debug.recording import Recording
from tinygrad_sm.debug.stepping.differences import check
from tinygrad_sm.debug.stepping.evaluation import arrived
from tinygrad_sm.debug.stepping.paths import paths
from tinygrad_sm.debug.stepping.screen import screen, sources, tape_around
from tinygrad_sm.debug.stepping.sums import sum_of, why

DTYPES = [np.float64, np.float32]


def recorded(op, number, dtype=np.float64):
    """A recording of one sample of an operation, led to a scalar by a random cotangent."""
    call = Call(op, number, dtype=dtype)
    out = call(*variables(call.arrays))
    outputs = out if isinstance(out, tuple) else (out,)
    weights = [call.rng.uniform(0.5, 1.5, each.shape).astype(dtype) for each in outputs if each.requires_grad]
    weighted = [(each * w).sum() for each, w in zip(outputs, weights, strict=False) if each.requires_grad]
    return Recording(sum(weighted[1:], weighted[0]))


def elements(array):
    """Some indices of an array: the first, the last, and one between."""
    return {
        tuple(map(int, np.unravel_index(i, array.shape))) for i in {0, array.size // 2, array.size - 1} if array.size
    }


@pytest.mark.parametrize(("op", "number"), CALLS, ids=NAMES)
def test_the_screens_fit_in_80_columns(op, number):
    recording = recorded(op, number)
    for step in recording.steps:
        texts = [screen(step), tape_around(step, arrived(step))]
        texts += [why(recording, each.edge, i) for each in step.contributions for i in elements(each.value)]
        for line in "\n".join(texts).splitlines():
            assert len(line) <= 80, line
            assert line == line.rstrip()
        assert op.name in screen(step) or step.op is not op
        assert "def " in sources(step)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize(("op", "number"), CALLS, ids=NAMES)
def test_the_sums_are_what_was_recorded(op, number, dtype):
    for step in recorded(op, number, dtype).backward:
        for contribution in step.contributions:
            for index in elements(contribution.value):
                found = sum_of(step, contribution, index)
                value = float(contribution.value[index])
                size = np.abs(found.terms).sum() + abs(value)
                rtol = 1e-4 if dtype == np.float32 else 1e-12
                assert math.fsum(found.factors * found.cotangents) == pytest.approx(value, rel=rtol, abs=rtol * size)
                assert found.agrees


@pytest.mark.parametrize(("op", "number"), CALLS, ids=NAMES)
def test_check_agrees(op, number):
    for step in recorded(op, number).backward:
        report, agrees = check(step)
        assert agrees, report


@pytest.mark.parametrize(("op", "number"), CALLS, ids=NAMES)
def test_the_paths_add_up(op, number):
    recording = recorded(op, number)
    for edge in recording.cotangents:
        text = paths(recording, edge)
        assert "sum over" in text or edge == recording.output._edge
        distance = text.rpartition("largest difference ")[2] if "sum over" in text else 0
        assert float(distance) <= 1e-12 * max(1, np.abs(recording.cotangents[edge]).max(initial=0))


EXTREME = [0.0, -0.0, np.nan, np.inf, -np.inf, 1e30, -1e30, 1e-30, 1.0]
EVERYTHING = (
    "check; n; check; n; why g_v0{index}; check; paths v0; list; cmp g; break nan; break |g|>1; rc; c; b 9; p out"
)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize(("op", "number"), CALLS, ids=NAMES)
def test_no_session_breaks_on_nan_and_infinity(op, number, dtype, capsys):
    call = Call(op, number)
    leaves = [
        tg.Tensor(call.rng.choice(EXTREME, size=array.shape).astype(dtype), requires_grad=True, name=f"v{i}")
        for i, array in enumerate(call.arrays)
    ]
    with np.errstate(all="ignore"):
        try:
            out = call(*leaves)
        except tg.errors.TinygradError:
            return  # it refuses such values
        outputs = out if isinstance(out, tuple) else (out,)
        loss = sum((each * call.rng.choice(EXTREME, size=each.shape).astype(dtype)).sum() for each in outputs)
    index = f"[{','.join('0' * leaves[0].ndim)}]" if leaves[0].ndim else ""
    with np.errstate(over="ignore"):  # as in backward, whose warning it is
        try:
            debug.step(loss, commands=EVERYTHING.format(index=index))
        except tg.errors.RuleError as error:
            if "is singular" not in error.message:  # to rounding: the transpose of what was none
                raise
            return
    shown = capsys.readouterr().out
    assert shown.count("(tape) ") == 15
    assert "NOT what the sums give" not in shown
