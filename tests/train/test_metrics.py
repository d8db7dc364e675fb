"""Accuracy and the confusion matrix count what one would count by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_sm.errors import ShapeError, TargetError
from tinygrad_sm.train import accuracy, confusion_matrix, confusion_table

PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=50)


@given(PAIRS)
def test_cells_count_pairs(pairs):
    predicted, targets = np.array(pairs).T
    matrix = confusion_matrix(predicted, targets, classes=6)
    for i in range(6):
        for j in range(6):
            assert matrix[i, j] == sum(pair == (j, i) for pair in pairs)
    assert accuracy(predicted, targets) == pytest.approx(sum(p == t for p, t in pairs) / len(pairs))


@given(PAIRS)
def test_without_a_number_of_classes_it_is_as_large_as_needed(pairs):
    predicted, targets = np.array(pairs).T
    assert confusion_matrix(predicted, targets).shape == (1 + max(map(max, pairs)),) * 2


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_any_integers_will_do(dtype):
    labels = np.array([0, 200, 200, 7], dtype=dtype)
    matrix = confusion_matrix(labels, labels)
    assert matrix[200, 200] == 2
    assert matrix.sum() == matrix.trace() == 4


@pytest.mark.parametrize(
    ("predicted", "targets", "error"),
    [
        ([0, 1], [0, 1, 1], ShapeError),
        ([[0], [1]], [0, 1], ShapeError),
        ([], [], ShapeError),
        ([0.0, 1.0], [0, 1], TargetError),
        ([0, 1], [0.0, 1.0], TargetError),
    ],
)
def test_what_is_not_one_class_each(predicted, targets, error):
    for function in (accuracy, confusion_matrix):
        with pytest.raises(error):
            function(predicted, targets)


@pytest.mark.parametrize("labels", [[0, 3], [0, -1]])
def test_classes_that_there_are_not(labels):
    with pytest.raises(TargetError, match=f"no class {labels[1]} in 0..2"):
        confusion_matrix(labels, [0, 1], classes=3)


def test_a_table_of_wide_names_and_numbers_stays_aligned():
    matrix = np.array([[12345, 0, 1], [0, 0, 0], [3, 4, 5]])
    lines = confusion_table(matrix, ["a", "something very long", "c"]).splitlines()
    assert len(lines) == 5
    cells = [line[6 + 12 :].split() for line in lines[2:]]
    assert cells == [["12345", ".", "1", "100.0%"], [".", ".", ".", "-"], ["3", "4", "5", "41.7%"]]
    assert "something ve" in lines[1]
    assert "something ver" not in lines[1]
    ends = [
        [i for i, c in enumerate(line) if c != " " and line[i + 1 : i + 2] in ("", " ")][-4:-1] for line in lines[2:]
    ]
    assert ends[0] == ends[1] == ends[2]


def test_classes_without_names_are_numbered():
    assert confusion_table(np.eye(2, dtype=int)).splitlines()[1].split() == ["0", "1"]
