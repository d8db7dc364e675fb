"""Mini-batches: the examples of one epoch, a few at a time.

Read `train/` next for the loop that takes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinygrad_sm.data.checks import as_array, as_count
from tinygrad_sm.data.dataset import Dataset
from tinygrad_sm.errors import ArgumentError, DTypeError, ShapeError

Batch = tuple[NDArray[Any], NDArray[Any]]


def batches(
    inputs: Dataset | ArrayLike,
    targets: ArrayLike | None = None,
    *,
    batch_size: int,
    rng: np.random.Generator | None = None,
    drop_last: bool = False,
) -> Iterator[Batch]:
    """Pairs `(x, y)` of at most `batch_size` examples that together are one epoch.

    `inputs` is a Dataset, or an array (N, ...) beside `targets` (N, ...); types are kept. With a generator `rng` the
    order is a new permutation on each call and x and y are copies; without, the order stays and they are views.
    The last batch holds what is left; `drop_last` leaves it out where it is not full. Raises ShapeError where N
    differs, DTypeError or ArgumentError for the rest, at once rather than at the first batch.

    >>> for x, y in batches(np.arange(5.0), np.arange(5), batch_size=2):
    ...     print(x, y)
    [0. 1.] [0 1]
    [2. 3.] [2 3]
    [4.] [4]
    """
    x, y = _pair(inputs, targets)
    size = as_count("batches", "batch_size", batch_size, at_least=1)
    order = _order(len(x), rng)
    if drop_last and len(x) < size:
        raise ArgumentError(
            f"batches: drop_last leaves nothing of {len(x)} examples with batch_size={size}",
            remedy="take a smaller batch_size, or drop_last=False",
        )
    stop = len(x) - len(x) % size if drop_last else len(x)
    return _cut(x, y, order, size, stop)


def _cut(x: NDArray[Any], y: NDArray[Any], order: NDArray[np.intp] | None, size: int, stop: int) -> Iterator[Batch]:
    for start in range(0, stop, size):
        chosen = slice(start, start + size) if order is None else order[start : start + size]
        yield x[chosen], y[chosen]


def _pair(inputs: Dataset | ArrayLike, targets: ArrayLike | None) -> Batch:
    """The two arrays to cut, equally long and not empty."""
    if isinstance(inputs, Dataset):
        if targets is not None:
            raise ArgumentError("batches: a Dataset brings its own targets", remedy="leave targets out")
        return inputs.inputs, inputs.targets
    if targets is None:
        raise ArgumentError("batches: inputs came without targets", remedy="pass a Dataset, or targets as well")
    x, y = as_array("batches", "inputs", inputs), as_array("batches", "targets", targets)
    if len(x) != len(y):
        raise ShapeError(
            f"batches: inputs {x.shape} and targets {y.shape} differ in their number of examples",
            remedy="give every example one target",
        )
    if len(x) == 0:
        raise ArgumentError("batches: there are no examples", remedy="pass at least one")
    return x, y


def _order(n: int, rng: object) -> NDArray[np.intp] | None:
    """A permutation of n examples, or None to leave them as they are."""
    if rng is None:
        return None
    if not isinstance(rng, np.random.Generator):
        # An integer seed would give every epoch the same order without a word.
        raise DTypeError(
            f"batches: rng must be a numpy.random.Generator, got {rng!r}",
            remedy="make one before the first epoch, rng = np.random.default_rng(0), and hand it to every call",
        )
    return rng.permutation(n)
