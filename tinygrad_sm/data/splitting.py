"""Which examples are held back for testing: a random part of every class.

`Dataset.split` in `dataset.py` is made from this; read `batching.py` next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinygrad_sm.data.checks import as_array, as_generator, as_real, check_labels_flat
from tinygrad_sm.errors import ArgumentError, ShapeError

Indices = NDArray[np.intp]


def train_test_split(
    inputs: ArrayLike, targets: ArrayLike, *, fraction: float = 0.2, rng: np.random.Generator | int = 0
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Two arrays cut at random into a training part and a test part, class by class where targets are classes.

    `inputs` (N, ...) of any dtype; `targets` (N,) labels, or floats of any shape (N, ...) for regression; `fraction` of
    each class, rounded, goes to the test part. Returns `(train_inputs, test_inputs, train_targets, test_targets)`,
    the rows in their old order. Raises ShapeError, TargetError or ArgumentError; see `split_indices`.

    >>> x, y = np.arange(10).reshape(10, 1), np.array([0, 1] * 5)
    >>> train_x, test_x, train_y, test_y = train_test_split(x, y, fraction=0.4, rng=0)
    >>> train_x.shape, test_x.shape, np.bincount(test_y)
    ((6, 1), (4, 1), array([2, 2]))
    """
    x = as_array("train_test_split", "inputs", inputs)
    y = as_array("train_test_split", "targets", targets)
    if len(x) != len(y):
        raise ShapeError(
            f"train_test_split: inputs {x.shape} and targets {y.shape} differ in their number of examples",
            remedy="give every example one target",
        )
    train, test = split_indices("train_test_split", y, fraction, rng)
    return x[train], x[test], y[train], y[test]


def split_indices(
    op: str,
    targets: NDArray[Any],
    fraction: float,
    rng: np.random.Generator | int,
    class_names: Sequence[str] = (),
) -> tuple[Indices, Indices]:
    """Indices of the training and of the test examples, both ascending, together every example once.

    Of a class with m examples, `fraction` times m, rounded, are drawn without replacement for the test part, but at
    least one and at most m - 1: both parts know every class. Float targets count as one class. Raises ArgumentError
    for a fraction outside (0, 1) or a class with a single example, TargetError for labels that are not (N,).

    >>> train, test = split_indices("split", np.array([0, 0, 0, 1, 1, 1]), fraction=1 / 3, rng=0)
    >>> len(train), len(test)
    (4, 2)
    """
    if not 0 < as_real(op, "fraction", fraction) < 1:
        raise ArgumentError(
            f"{op}: fraction must lie between 0 and 1, got {fraction}",
            remedy="pass the share of the examples to test on, such as 0.2",
        )
    generator = as_generator(op, rng)
    in_test = np.zeros(len(targets), dtype=bool)
    for name, members in _strata(op, targets, class_names):
        if len(members) < 2:
            raise ArgumentError(
                f"{op}: {name} has {len(members)} example, too few for both parts",
                remedy="drop it, join it with another class, or gather more examples",
            )
        size = min(max(round(fraction * len(members)), 1), len(members) - 1)
        in_test[generator.permutation(members)[:size]] = True
    return np.flatnonzero(~in_test), np.flatnonzero(in_test)


def _strata(op: str, targets: NDArray[Any], class_names: Sequence[str]) -> list[tuple[str, Indices]]:
    """The groups that are each split alike: their names, for messages, and their members."""
    if len(targets) == 0 or targets.dtype.kind == "f":
        return [("the data set", np.arange(len(targets)))]
    check_labels_flat(op, targets)
    return [
        (f"class {class_names[label] if class_names else label!s}", np.flatnonzero(targets == label))
        for label in np.unique(targets)
    ]
