"""This library, as a user would write it: recorded, differentiated and updated anew in every call."""

from __future__ import annotations

from typing import Any

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


def model(problem: Problem) -> nn.Sequential:
    """The perceptron with the problem's initial values."""
    modules: list[nn.Module] = []
    for W, _ in problem.layers:
        modules += [nn.Linear(*W.shape), nn.ReLU()]
    sequential = nn.Sequential(*modules[:-1])
    values = [array for layer in problem.layers for array in layer]
    sequential.load_state_dict(dict(zip(sequential.state_dict(), values, strict=True)))
    return sequential


def convolutional_model(pictures: Pictures) -> nn.Sequential:
    """The convolutional network with the initial values of the pictures."""
    channels, _, k, _ = pictures.kernel.shape
    first = nn.Conv2d(1, channels, k), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    network = nn.Sequential(*first, nn.Linear(*pictures.W.shape))
    network.load_state_dict(dict(zip(network.state_dict(), pictures[2:], strict=True)))
    return network


def convolution(pictures: Pictures) -> Step:
    return descent(convolutional_model(pictures), pictures.X, pictures.labels)


def training(problem: Problem) -> Step:
    return descent(model(problem), problem.X, problem.labels)


def descent(network: nn.Sequential, X: Array, labels: Labels) -> Step:
    """A step of a network."""
    optimizer = optim.SGD(network.parameters(), lr=LEARNING_RATE)
    x = Tensor(X)

    def step() -> float:
        optimizer.zero_grad()
        loss = F.cross_entropy(network(x), labels)
        loss.backward()
        optimizer.step()
        return float(loss)

    return step


def cross_entropy(scores: Scores) -> Kernel:
    logits, labels = Tensor(scores.logits, requires_grad=True), scores.labels

    def run() -> tuple[Tensor, Any]:
        logits.grad = None
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        return loss, logits.grad

    return run


def logsumexp(scores: Scores) -> Kernel:
    logits = Tensor(scores.logits, requires_grad=True)

    def run() -> tuple[Tensor, Any]:
        logits.grad = None
        loss = tg.logsumexp(logits, axis=1).sum()
        loss.backward()
        return loss, logits.grad

    return run


def layer_norm(rows: Rows) -> Kernel:
    x = Tensor(rows.X, requires_grad=True)

    def run() -> tuple[Tensor, Any]:
        x.grad = None
        loss = (F.layer_norm(x, x.shape[1], rows.weight, rows.bias) * rows.others).sum()
        loss.backward()
        return loss, x.grad

    return run


def chain(count: int) -> Kernel:
    start = Tensor(START, requires_grad=True, dtype="float32")

    def run() -> tuple[Tensor, Any]:
        start.grad = None
        x = start
        for _ in range(count // 2):
            x = x * FACTOR + SUMMAND
        x.backward()
        return x, start.grad

    return run
