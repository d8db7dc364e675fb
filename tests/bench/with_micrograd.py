"""micrograd: one object for every number, so only a chain of numbers and the smallest network are written in it."""

from __future__ import annotations

import math

from micrograd.engine import Value
from workloads import FACTOR, LEARNING_RATE, START, SUMMAND, Kernel, Problem, Step


def exp(x: Value) -> Value:
    """The exponential, which micrograd lacks, written as its own operations are."""
    out = Value(math.exp(x.data), (x,), "exp")

    def backward() -> None:
        x.grad += out.data * out.grad

    out._backward = backward
    return out


def log(x: Value) -> Value:
    """The logarithm, likewise."""
    out = Value(math.log(x.data), (x,), "log")

    def backward() -> None:
        x.grad += out.grad / x.data

    out._backward = backward
    return out


def training(problem: Problem) -> Step:
    X, labels = problem.X.tolist(), problem.labels.tolist()
    layers = [([[Value(w) for w in row] for row in W.T.tolist()], [Value(x) for x in b.tolist()])
              for W, b in problem.layers]  # fmt: skip
    params = [p for rows, biases in layers for p in (*(w for row in rows for w in row), *biases)]

    def loss_of(x: list[float], label: int) -> Value:
        for i, (rows, biases) in enumerate(layers, 1):
            sums = [sum((w * value for w, value in zip(row, x, strict=True)), b)
                    for row, b in zip(rows, biases, strict=True)]  # fmt: skip
            x = [value.relu() for value in sums] if i < len(layers) else sums
        top = max(score.data for score in x)
        return log(sum(exp(score - top) for score in x)) + top - x[label]

    def step() -> float:
        for p in params:
            p.grad = 0
        loss = sum(loss_of(x, label) for x, label in zip(X, labels, strict=True)) / len(X)
        loss.backward()
        for p in params:
            p.data -= LEARNING_RATE * p.grad
        return loss.data

    return step


def chain(count: int) -> Kernel:
    def run() -> tuple[float, float]:
        start = x = Value(START)
        for _ in range(count // 2):
            x = x * FACTOR + SUMMAND
        x.backward()
        return x.data, start.grad

    return run
