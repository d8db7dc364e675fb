"""This library with its steps and functions compiled, on either backend."""

from __future__ import annotations

from typing import Any

import numpy as np
from ours import convolutional_model, model
from workloads import (
    FACTOR,
    LEARNING_RATE,
    START,
    SUMMAND,
    Array,
    Kernel,
    Labels,
    Pictures,
    Problem,
    Rows,
    Scores,
    Step,
)

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, nn, optim


def training(problem: Problem, backend: str) -> Step:
    return descent(model(problem), problem.X, problem.labels, backend)


def convolution(pictures: Pictures, backend: str) -> Step:
    return descent(convolutional_model(pictures), pictures.X, pictures.labels, backend)


def descent(network: nn.Sequential, X: Array, labels: Labels, backend: str) -> Step:
    """A compiled step of a network."""

    def loss(x: Tensor, labels: Any) -> Tensor:
        return F.cross_entropy(network(x), labels)

    compiled = tg.compile_step(loss, optim.SGD(network.parameters(), lr=LEARNING_RATE), backend=backend)
    return lambda: float(compiled(X, labels))


def cross_entropy(scores: Scores, backend: str) -> Kernel:
    logits, labels = scores

    def loss(z: Tensor) -> Tensor:
        return F.cross_entropy(z, labels)

    compiled = tg.compile(tg.value_and_grad(loss), backend=backend)
    return lambda: compiled(logits)


def logsumexp(scores: Scores, backend: str) -> Kernel:
    def total(z: Tensor) -> Tensor:
        return tg.logsumexp(z, axis=1).sum()

    compiled = tg.compile(tg.value_and_grad(total), backend=backend)
    return lambda: compiled(scores.logits)


def layer_norm(rows: Rows, backend: str) -> Kernel:
    def total(x: Tensor) -> Tensor:
        return (F.layer_norm(x, x.shape[1], rows.weight, rows.bias) * rows.others).sum()

    compiled = tg.compile(tg.value_and_grad(total), backend=backend)
    return lambda: compiled(rows.X)


def chain(count: int, backend: str) -> Kernel:
    start: Array = np.array(START, np.float32)

    def links(x: Tensor) -> Tensor:
        for _ in range(count // 2):
            x = x * FACTOR + SUMMAND
        return x

    compiled = tg.compile(tg.value_and_grad(links), backend=backend)
    return lambda: compiled(start)
