"""The one container of data: inputs, targets, and what they are called.

Read `splitting.py` next for how a test part is drawn, then `batching.py` for how a training loop is fed.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_sm.data.checks import as_array, check_labels_flat
from tinygrad_sm.data.splitting import split_indices
from tinygrad_sm.errors import ArgumentError, DTypeError, ShapeError, TargetError

MOST_CLASSES = 10_000  # beyond this an integer is a year, a price or an identifier, not the number of a class


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """N examples, read-only: one row of `inputs` and one of `targets` each.

    `inputs` become float32 (N, D); `shape`, of one example, remembers (8, 8) where rows are images. Integer `targets`
    (N,) are labels, become int64 and index `class_names`; float ones are numbers to predict and become float32 (N, K),
    the shape of a network's output. Both are read-only views of what was passed, copied only to change type or layout.
    Raises ShapeError, DTypeError, TargetError or, for values that are not finite, ArgumentError.

    >>> data = Dataset([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1], class_names=("no", "yes"))
    >>> data, data.targets.dtype
    (<Dataset: 3 examples of shape (2,), 2 classes>, dtype('int64'))
    """

    inputs: NDArray[Any]
    targets: NDArray[Any]
    class_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        inputs = as_array("Dataset", "inputs", self.inputs)
        shape = tuple(self.shape) or inputs.shape[1:]
        rows = _as_rows(inputs, shape)
        given = as_array("Dataset", "targets", self.targets)
        if len(given) != len(rows):
            raise ShapeError(
                f"Dataset: {len(rows)} examples but {len(given)} targets", remedy="give every example one target"
            )
        class_names = tuple(map(str, self.class_names))
        targets = _as_targets(given, labelled=bool(class_names))
        feature_names = tuple(map(str, self.feature_names))
        if feature_names and len(feature_names) != rows.shape[1]:
            raise ShapeError(
                f"Dataset: {len(feature_names)} feature_names for {rows.shape[1]} features",
                remedy="name every feature once",
            )
        # A frozen dataclass can be completed only past its own __setattr__.
        object.__setattr__(self, "inputs", _read_only(rows))
        object.__setattr__(self, "targets", _read_only(targets))
        object.__setattr__(self, "class_names", _class_names(targets, class_names))
        object.__setattr__(self, "feature_names", feature_names)
        object.__setattr__(self, "shape", shape)

    def __len__(self) -> int:
        return len(self.inputs)

    def __repr__(self) -> str:
        kind = f"{len(self.class_names)} classes" if self.is_classification else f"{self.targets.shape[1]} to predict"
        return f"<Dataset: {len(self)} examples of shape {self.shape}, {kind}>"

    @property
    def is_classification(self) -> bool:
        """Whether targets are class labels rather than numbers to predict."""
        return self.targets.dtype == np.int64

    def take(self, indices: slice | NDArray[Any]) -> Dataset:
        """The data set of the examples that a slice, an array of indices or a boolean mask picks.

        >>> Dataset([[1.0], [2.0], [3.0]], [0, 1, 0]).take(slice(0, 2))
        <Dataset: 2 examples of shape (1,), 2 classes>
        """
        return dataclasses.replace(self, inputs=self.inputs[indices], targets=self.targets[indices])

    def split(self, fraction: float, *, rng: np.random.Generator | int = 0) -> tuple[Dataset, Dataset]:
        """Cut at random into (train, test), with `fraction` of every class, rounded, in the test part.

        Each class gives both parts at least one example; regression splits the whole alike. Examples keep their order.
        `rng` is a generator or a seed. Raises ArgumentError for a fraction outside (0, 1) or a class of one example.

        >>> train, test = Dataset(np.eye(10), [0, 1] * 5).split(0.4, rng=0)
        >>> len(train), np.bincount(test.targets)
        (6, array([2, 2]))
        """
        train, test = split_indices("split", self.targets, fraction, rng, self.class_names)
        return self.take(train), self.take(test)


def _as_rows(inputs: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Inputs as finite float32 (N, D), each example of `shape` laid out as one row."""
    if inputs.ndim == 1:
        raise ShapeError(
            f"Dataset: inputs {inputs.shape} have no axis of features", remedy="inputs.reshape(-1, 1) for one feature"
        )
    if inputs.size == 0:
        raise ShapeError(
            f"Dataset: inputs {inputs.shape} are empty", remedy="give at least one example and one feature"
        )
    if math.prod(shape) != inputs[0].size:
        raise ShapeError(
            f"Dataset: examples of shape {shape} cannot be made from {inputs[0].size} features",
            remedy="pass the shape of one example, without N",
        )
    return _as_float32("inputs", inputs).reshape(len(inputs), -1)


def _as_targets(targets: NDArray[Any], *, labelled: bool) -> NDArray[np.int64] | NDArray[np.float32]:
    """Targets as int64 (N,) labels or finite float32 (N, K), by their type."""
    if targets.dtype.kind in "USO":
        raise TargetError(
            f"Dataset: targets of type {targets.dtype} are not numbers",
            remedy="class_names, targets = np.unique(labels, return_inverse=True)",
        )
    if targets.dtype.kind == "f" and not labelled:
        return _as_float32("targets", targets).reshape(len(targets), -1)
    if targets.dtype.kind not in "biu":
        raise TargetError(
            f"Dataset: class labels must be integers, not {targets.dtype}",
            remedy="targets.astype(np.int64), or leave class_names out for regression",
        )
    check_labels_flat("Dataset", targets)
    return np.ascontiguousarray(targets, dtype=np.int64)


def _as_float32(name: str, array: NDArray[Any]) -> NDArray[np.float32]:
    if array.dtype.kind not in "biuf":
        raise DTypeError(
            f"Dataset: {name} of type {array.dtype} are not real numbers", remedy="turn them into floats first"
        )
    with np.errstate(over="ignore"):  # what overflows becomes infinite and is named below
        result = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(result).all():
        place = tuple(map(int, np.argwhere(~np.isfinite(result))[0]))
        raise ArgumentError(
            f"Dataset: {name}[{', '.join(map(str, place))}] = {array[place]} is not a finite float32 number",
            remedy="drop or fill in the examples where values are missing, rescale those that are too large",
        )
    return result


def _class_names(targets: NDArray[Any], names: tuple[str, ...]) -> tuple[str, ...]:
    """The names given, or the labels themselves where none were; none at all for regression."""
    if targets.dtype != np.int64:
        return ()
    smallest, largest = int(targets.min()), int(targets.max())
    most = len(names) or MOST_CLASSES
    if smallest < 0 or largest >= most:
        raise TargetError(
            f"Dataset: class labels must lie in 0..{most - 1}, got {smallest if smallest < 0 else largest}",
            remedy="np.unique(labels, return_inverse=True) numbers them from 0; pass floats for regression",
        )
    return names or tuple(str(label) for label in range(largest + 1))


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A view that cannot be written through; the caller's own array stays writable."""
    view = array.view()
    view.flags.writeable = False
    return view
