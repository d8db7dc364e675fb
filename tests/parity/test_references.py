"""Values, gradients and second derivatives equal PyTorch's, of which `references.json` holds a few for each function.

`make parity` compares all of PyTorch's sample inputs and writes that file; it needs torch, this test does not.
"""

import pathlib

import answers
import numpy as np
import pytest
import spellings
from differences import DIFFERENCES, OTHERS

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F

REFERENCES, PYTORCH = answers.read_references(pathlib.Path(__file__).with_name("references.json"))
NAMES = sorted({call.name for call, _ in REFERENCES})
REWRITE = "make parity ARGS=--write"


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_those_of_pytorch(name):
    for call, expected in REFERENCES:
        if call.name == name:
            largest, wrong = answers.differences(expected, answers.ours(call))
            assert not wrong, f"{call.args} {call.kwargs}: {largest}"


# Batch normalisation in training changes arrays that a compiled function must be given.
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(NAMES) - {"nn.functional.batch_norm", "nn.BatchNorm1d", "nn.BatchNorm2d"}))
def test_compiled_gradients_are_those_of_pytorch(name):
    for call, expected in REFERENCES:
        got = answers.compiled_gradients(call) if call.name == name else None
        if got is not None:
            apart = [answers.difference(*pair) for pair in zip(expected.gradient, got, strict=True)]
            assert max(apart, default=0) < answers.TOLERANCE["gradient"], f"{call.args} {call.kwargs}"


def test_every_operation_that_pytorch_has_too_is_compared():
    known = {name.rpartition(".")[2] for name in PYTORCH["functions"]}
    compared = {op for name in NAMES for op in spellings.SPELLINGS[name].ops}
    here = {*tg.ops.OPERATIONS, *tg.linalg.__all__, *F.__all__}
    missing = (here & known) - compared - set(OTHERS)
    assert not missing, f"spell them in tests/parity/spellings.py, then {REWRITE}"


def test_every_spelling_has_references_and_operations_that_exist():
    for name, spelling in spellings.SPELLINGS.items():
        assert name in NAMES, f"{name}: {REWRITE}"
        assert all(spellings.is_here(op) for op in spelling.ops), name


def test_deliberate_differences_name_functions_that_are_compared():
    names = {name for each in DIFFERENCES for name in each.names}
    assert names <= set(spellings.SPELLINGS)
    assert all(each.reason.endswith(".") and each.what for each in DIFFERENCES)


def test_a_wrong_answer_is_noticed():
    call, expected = next((call, answer) for call, answer in REFERENCES if call.name == "exp" and call.size > 1)
    for part in vars(expected):
        wrong = answers.Answer(**{**vars(expected), part: [array + 1e-5 for array in getattr(expected, part)]})
        assert len(answers.differences(wrong, answers.ours(call))[1]) == 1


@pytest.mark.parametrize(
    ("expected", "got", "apart"),
    [
        ([1.0, np.inf], [1.0, np.inf], 0),
        ([1.0, np.nan], [1.0, 3.0], 0),
        ([1.0, 3.0], [1.0, np.nan], np.inf),
        ([np.inf], [-np.inf], np.inf),
        ([1.0], [[1.0]], np.inf),
        ([3.0], [5.0], 0.5),
        ([True, False], [True, True], np.inf),
        ([], [], 0),
        ([1.0], [1], np.inf),
    ],
)
def test_difference_of_two_arrays(expected, got, apart):
    assert answers.difference(np.array(expected), np.array(got)) == apart


def test_references_are_written_as_they_are_read(tmp_path):
    call = answers.Call("add", (np.array([0.1, np.inf]), 2, [(1, slice(None, 3)), ...]), {"alpha": 0.5}, [True])
    answer = answers.Answer([np.array([[True]])], [np.array(1.5)], [np.zeros((0, 2))])
    answers.write_references(tmp_path / "references.json", [(call, answer)], functions=["add"])
    ((read, answer_read),), known = answers.read_references(tmp_path / "references.json")
    assert known == {"functions": ["add"]}
    assert (read.name, read.args[1:], read.kwargs, read.variable) == ("add", call.args[1:], {"alpha": 0.5}, [True])
    np.testing.assert_array_equal(read.args[0], call.args[0])
    for (_, wanted), (_, found) in zip(answer.parts(), answer_read.parts(), strict=True):
        assert (wanted[0].dtype, wanted[0].shape) == (found[0].dtype, found[0].shape)
