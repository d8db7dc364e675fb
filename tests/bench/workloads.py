"""What is measured: training steps, loss kernels and a chain of scalar operations, on the same data for everyone.

A framework is a module with a function for each `Workload.function`. The function gets the data and returns another,
without arguments, that computes it once:

    training(problem)       one step of plain gradient descent; returns the loss before the update
    convolution(pictures)   one such step of a network that convolves, pools and decides
    cross_entropy(scores)   the mean softmax cross-entropy of the logits; returns it and its gradient
    logsumexp(scores)       the sum over the rows of their logsumexp; returns it and its gradient
    layer_norm(rows)        the product of normalised rows with others; returns it and its gradient
    chain(count)            `count` operations on one number; returns the result and its slope

What comes back is finished, not promised. What cannot be had on this machine raises UnavailableError. See `by_hand.py`
for the first framework.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float32]
Labels: TypeAlias = npt.NDArray[np.int64]
Step: TypeAlias = Callable[[], float]
Kernel: TypeAlias = Callable[[], tuple[Any, Any]]

LEARNING_RATE = 0.01
# A link of the chain is x = x * FACTOR + SUMMAND, two operations. Both numbers are exact in float32, and x tends to 1.
START, FACTOR, SUMMAND = 2.0, 1 - 2**-10, 2**-10
EPSILON = 1e-5  # what is added to a variance


class UnavailableError(Exception):
    """Says why a framework does not compute a workload here."""


class Workload(NamedTuple):
    """What is computed: the function of a framework's module, on what, and how a person calls it."""

    function: str
    sizes: tuple[int, ...]  # of the layers; image, kernel, channels, classes; of the logits; how many operations
    title: str
    batch: int = 0


def _training(name: str, sizes: tuple[int, ...], batch: int, spelled: str = "") -> Workload:
    return Workload("training", sizes, f"{name} {spelled or '-'.join(map(str, sizes))}, batch {batch}", batch)


def _kernels(function: str, *shapes: tuple[int, int]) -> dict[str, Workload]:
    name = function.replace("_", "-")
    return {f"{name}-{n}x{classes}": Workload(function, (n, classes), f"{name} ({n}, {classes})")
            for n, classes in shapes}  # fmt: skip


# Perceptrons with ReLU between their layers; logits of few classes, of ImageNet, and of a vocabulary.
WORKLOADS = {
    "moons": _training("moons", (2, 16, 16, 2), 100),
    "digits": _training("digits", (64, 32, 10), 32),
    "mnist": _training("mnist", (784, 128, 10), 128),
    "deep": _training("deep", (64, *[64] * 8, 10), 64, "64-(64 x 8)-10"),
    "wide": _training("wide", (784, 1024, 1024, 10), 256),
    "cnn": Workload("convolution", (28, 3, 32, 10), "cnn 32 of 3x3, pool 2, dense 10, batch 32 of 28x28", 32),
    **_kernels("cross_entropy", (128, 10), (4096, 1000), (64, 50257)),
    **_kernels("logsumexp", (128, 10), (4096, 1000), (64, 50257)),
    **_kernels("layer_norm", (256, 128), (4096, 1024)),
    "chain": Workload("chain", (1000,), "chain of 1,000 scalar operations"),
}
GROWTH = (100, 1_000, 10_000, 100_000)  # operations of a chain that grows


class Problem(NamedTuple):
    """One batch, and the values to start from: a weight (inputs, outputs) and a bias (outputs,) for each layer."""

    X: Array
    labels: Labels
    layers: list[tuple[Array, Array]]


class Pictures(NamedTuple):
    """One batch, and the values to start from.

    X (batch, 1, size, size); a kernel (channels, 1, k, k) with a bias (channels,); then, after relu and the maximum of
    every 2 x 2 pixels, a weight (inputs, classes) with a bias (classes,).
    """

    X: Array
    labels: Labels
    kernel: Array
    bias: Array
    W: Array
    b: Array


class Scores(NamedTuple):
    """Logits, and the classes that they should point at."""

    logits: Array
    labels: Labels


class Rows(NamedTuple):
    """Rows to normalise, with a weight and a bias (length,), and what the result is multiplied by."""

    X: Array
    weight: Array
    bias: Array
    others: Array


def data(name: str) -> Any:
    """What the function of a workload is given."""
    workload = WORKLOADS[name]
    if workload.function == "training":
        return problem(name)
    if workload.function == "convolution":
        return pictures(name)
    if workload.function == "layer_norm":
        return rows(name)
    return workload.sizes[0] if workload.function == "chain" else scores(name)


def problem(name: str) -> Problem:
    """The batch and the initial values of a perceptron; arrays of its own for every call, since a step updates them."""
    sizes, batch = WORKLOADS[name].sizes, WORKLOADS[name].batch
    generator = np.random.default_rng(0)
    X = normal(generator, batch, sizes[0])
    labels = generator.integers(0, sizes[-1], batch)
    layers = [
        (normal(generator, inputs, outputs, np.sqrt(inputs)), np.zeros(outputs, np.float32))
        for inputs, outputs in pairwise(sizes)
    ]
    return Problem(X, labels, layers)


def pictures(name: str) -> Pictures:
    """The batch and the initial values of a convolutional network; arrays of its own for every call."""
    (size, k, channels, classes), batch = WORKLOADS[name].sizes, WORKLOADS[name].batch
    generator = np.random.default_rng(0)
    X = normal(generator, batch, size * size, 4).reshape(batch, 1, size, size)  # dim enough for steps to converge
    labels = generator.integers(0, classes, batch)
    kernel = normal(generator, channels, k * k, k).reshape(channels, 1, k, k)
    inputs = channels * ((size - k + 1) // 2) ** 2
    W = normal(generator, inputs, classes, np.sqrt(inputs))
    return Pictures(X, labels, kernel, np.zeros(channels, np.float32), W, np.zeros(classes, np.float32))


def scores(name: str) -> Scores:
    """The logits and labels of a loss kernel."""
    n, classes = WORKLOADS[name].sizes
    generator = np.random.default_rng(0)
    return Scores(normal(generator, n, classes), generator.integers(0, classes, n))


def rows(name: str) -> Rows:
    """What a layer is normalised on; its rows have a mean of about 1."""
    n, length = WORKLOADS[name].sizes
    generator = np.random.default_rng(0)
    X = normal(generator, n, length) + np.float32(1)
    weight, bias = normal(generator, 2, length)
    return Rows(X, weight, bias, normal(generator, n, length))


def normal(generator: np.random.Generator, rows: int, columns: int, divisor: float = 1.0) -> Array:
    """Normal numbers, made row by row: a large array in double precision would show in the memory of a step."""
    values = np.empty((rows, columns), np.float32)
    for row in values:
        row[:] = generator.standard_normal(columns) / divisor
    return values
