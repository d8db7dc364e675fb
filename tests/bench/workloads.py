"""What is measured: one training step of a classifier on random numbers, which are the same for every framework.

A framework is a function from a `Problem` to a step: a function without arguments that runs forward, backward and the
update of plain gradient descent once, and returns the loss before the update. See `by_hand.py` for the first two.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float32]
Step: TypeAlias = Callable[[], float]

LEARNING_RATE = 0.01


class Workload(NamedTuple):
    """A multilayer perceptron with ReLU between its layers, and how many samples it sees in one step."""

    sizes: tuple[int, ...]
    batch: int


WORKLOADS = {
    "moons": Workload((2, 16, 16, 2), 100),
    "digits": Workload((64, 32, 10), 32),
    "mnist": Workload((784, 128, 10), 128),
}


class Problem(NamedTuple):
    """One batch, and the values to start from: a weight (inputs, outputs) and a bias (outputs,) for each layer."""

    X: Array
    labels: npt.NDArray[np.int64]
    layers: list[tuple[Array, Array]]


def problem(name: str) -> Problem:
    """The batch and the initial values of a workload; arrays of its own for every call, since a step updates them."""
    sizes, batch = WORKLOADS[name]
    generator = np.random.default_rng(0)
    X = generator.standard_normal((batch, sizes[0])).astype(np.float32)
    labels = generator.integers(0, sizes[-1], batch)
    layers = []
    for inputs, outputs in pairwise(sizes):
        weight = generator.standard_normal((inputs, outputs)) / np.sqrt(inputs)
        layers.append((weight.astype(np.float32), np.zeros(outputs, np.float32)))
    return Problem(X, labels, layers)
