"""How good predictions are: accuracy and the confusion matrix.

Read `trainer.py` next for the loop that reports them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_sm.errors import ShapeError, TargetError

LONGEST = 12  # characters of a class's name that a table shows


def accuracy(predicted: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """The share of classes that were predicted right, from 0 to 1.

    Args: predicted, targets: integers (N,). Raises ShapeError where the shapes differ.

    >>> accuracy([0, 1, 1, 2], [0, 1, 2, 2])
    0.75
    """
    predicted, targets = _labels(predicted, targets)
    return float(np.mean(predicted == targets))


def confusion_matrix(
    predicted: npt.ArrayLike, targets: npt.ArrayLike, classes: int | None = None
) -> npt.NDArray[np.int64]:
    """How often class i was taken for class j: row i is the true class, column j the predicted one.

    Args: predicted, targets: integers (N,) from 0; classes: their number C, by default as many as occur. Returns
    (C, C). Raises ShapeError where the shapes differ, TargetError for a class outside 0..C-1.

    >>> confusion_matrix([0, 1, 1, 2], [0, 1, 2, 2])
    array([[1, 0, 0],
           [0, 1, 0],
           [0, 1, 1]])
    """
    predicted, targets = _labels(predicted, targets)
    lowest, highest = int(min(predicted.min(), targets.min())), int(max(predicted.max(), targets.max()))
    count = highest + 1 if classes is None else classes
    if lowest < 0 or highest >= count:
        wrong = lowest if lowest < 0 else highest
        raise TargetError(f"confusion_matrix: there is no class {wrong} in 0..{count - 1}", remedy="number them from 0")
    cells = np.bincount(targets.astype(np.int64) * count + predicted, minlength=count * count)
    return cells.reshape(count, count)


def confusion_table(matrix: npt.NDArray[np.int64], class_names: Sequence[str] = ()) -> str:
    """A confusion matrix as text, with the share of each class that was recognised; a dot is a zero.

    >>> print(confusion_table(np.array([[8, 2], [0, 5]]), ["cat", "dog"]))
               predicted
                cat   dog
    true  cat     8     2   80.0%
          dog     .     5  100.0%
    """
    names = [str(name)[:LONGEST] for name in class_names] or [str(i) for i in range(len(matrix))]
    label = max(map(len, names))
    width = max(3, label, len(str(matrix.max())) + 1) + 2
    lines = [" " * (label + 8) + "predicted", " " * (label + 6) + "".join(f"{name:>{width}}" for name in names)]
    for i, (name, row) in enumerate(zip(names, matrix, strict=True)):
        cells = "".join(f"{count or '.':>{width}}" for count in row)
        share = f"{row[i] / row.sum():.1%}" if row.sum() else "-"
        lines.append(f"{'true' if i == 0 else '':<6}{name:>{label}}{cells}{share:>8}")
    return "\n".join(lines)


def _labels(predicted: npt.ArrayLike, targets: npt.ArrayLike) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Both as integer arrays of one shape, (N,) with N > 0."""
    first, second = np.asarray(predicted), np.asarray(targets)
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise ShapeError(
            f"predicted {first.shape} and targets {second.shape} are not one class for each example",
            remedy="pass both of shape (N,); scores.argmax(axis=1) turns scores (N, C) into classes",
        )
    for name, labels in (("predicted", first), ("targets", second)):
        if labels.dtype.kind not in "biu":
            raise TargetError(f"{name} are {labels.dtype}, not integer classes", remedy="pass labels.astype(int)")
    return first, second
