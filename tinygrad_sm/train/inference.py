"""What a network says, without recording and with dropout off, and how right it is.

Shared by everything that evaluates or predicts. Read `trainer.py` next.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tinygrad_sm.data import Dataset
from tinygrad_sm.engine.tape import no_grad
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.errors import ArgumentError, ShapeError
from tinygrad_sm.nn import Module

Array: TypeAlias = "npt.NDArray[Any]"
Examples: TypeAlias = "Dataset | tuple[npt.ArrayLike, npt.ArrayLike]"

CHUNK = 1024  # examples that go through the network at once, so that memory does not grow with the data


class Tally:
    """Mean loss and, where the targets are classes, accuracy over the examples seen so far."""

    def __init__(self) -> None:
        self.count = 0
        self.loss = 0.0
        self.right: int | None = None

    def add(self, loss: float, output: Array, targets: Array) -> None:
        """Count one batch: the mean loss over it, what the network said, and the targets."""
        self.count += targets.size
        self.loss += loss * targets.size
        axis = _class_axis(output, targets)
        if axis is not None:
            self.right = (self.right or 0) + int(np.count_nonzero(output.argmax(axis) == targets))

    def means(self, prefix: str = "") -> dict[str, float]:
        """`loss` and perhaps `accuracy`, a share of 1."""
        means = {f"{prefix}loss": self.loss / self.count}
        if self.right is not None:
            means[f"{prefix}accuracy"] = self.right / self.count
        return means


def _class_axis(output: Array, targets: Array) -> int | None:
    """The axis of the scores of classes: 1, as `cross_entropy` has it, or the last; None if neither fits or both do."""
    if targets.dtype.kind not in "iu" or output.ndim != targets.ndim + 1:
        return None
    fitting = {
        axis
        for axis in (1, output.ndim - 1)
        if output.shape[:axis] + output.shape[axis + 1 :] == targets.shape and output.shape[axis] > 1
    }
    return fitting.pop() if len(fitting) == 1 else None


@contextlib.contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Without recording, and with every module switched to evaluation until the block ends."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def chunks(inputs: Array) -> Iterator[slice]:
    """Slices that together are all examples, in order."""
    return (slice(start, start + CHUNK) for start in range(0, len(inputs), CHUNK))


def run_model(model: Module, inputs: npt.ArrayLike) -> Array:
    """What the model gives for inputs (N, ...), as an array (N, ...)."""
    x = np.asarray(inputs)
    if not x.ndim or not len(x):
        raise ShapeError(f"predict: inputs {x.shape} hold no examples", remedy="pass one row for each example")
    with evaluating(model):
        return np.concatenate([np.asarray(model(Tensor(x[chunk]))) for chunk in chunks(x)])


def measure(model: Module, loss: Callable[[Any, Any], Any], inputs: Array, targets: Array) -> dict[str, float]:
    """Mean loss and, for classes, accuracy of the model on all examples."""
    tally = Tally()
    with evaluating(model):
        for chunk in chunks(inputs):
            output = model(Tensor(inputs[chunk]))
            tally.add(float(loss(output, targets[chunk])), np.asarray(output), targets[chunk])
    return tally.means()


def check_scores(op: str, output: Array) -> Array:
    """The output itself, if it holds a score for each of at least two classes."""
    if output.ndim < 2 or output.shape[1] < 2:
        raise ShapeError(
            f"{op}: the model gives {output.shape}, not scores (N, C) for at least two classes",
            remedy="give it one output for each class; for one logit or a number, call the model itself",
        )
    return output


def as_arrays(op: str, examples: Examples) -> tuple[Array, Array]:
    """Inputs and targets of a Dataset or of a pair, equally long and not empty."""
    if isinstance(examples, Dataset):
        return examples.inputs, examples.targets
    if not isinstance(examples, (tuple, list)) or len(examples) != 2:
        raise ArgumentError(
            f"{op}: a {type(examples).__name__} is not a data set", remedy="pass a Dataset or a pair (inputs, targets)"
        )
    inputs, targets = np.asarray(examples[0]), np.asarray(examples[1])
    if not inputs.ndim or not targets.ndim or len(inputs) != len(targets) or not len(inputs):
        raise ShapeError(
            f"{op}: inputs {inputs.shape} and targets {targets.shape} are not one target for each example",
            remedy="give both the same number of rows, at least one",
        )
    return inputs, targets


def fingerprint(inputs: Array, targets: Array) -> str:
    """How many examples there are, and a checksum by which to know them again.

    >>> fingerprint(np.eye(3), np.zeros(3)) == fingerprint(np.eye(3), np.ones(3))
    False
    """
    checksum = 0
    for array in (inputs, targets):
        checksum = zlib.crc32(f"{array.shape} {array.dtype}".encode(), checksum)
        checksum = zlib.crc32(np.ascontiguousarray(array).data, checksum)
    return f"{len(inputs)} examples ({checksum:08x})"
