"""tinygrad, on its CPU device, with TinyJit around the whole step."""

from __future__ import annotations

from typing import Any

import numpy as np
from tinygrad import Tensor, TinyJit
from workloads import FACTOR, LEARNING_RATE, START, SUMMAND, Kernel, Problem, Scores, Step


def training(problem: Problem) -> Step:
    X, labels = Tensor(problem.X).realize(), Tensor(problem.labels.astype("int32")).realize()
    layers = [(Tensor(W).realize(), Tensor(b).realize()) for W, b in problem.layers]
    params = [p for layer in layers for p in layer]

    @TinyJit
    def descend() -> Tensor:
        h = X
        for W, b in layers[:-1]:
            h = (h @ W + b).relu()
        W, b = layers[-1]
        loss = (h @ W + b).sparse_categorical_crossentropy(labels)
        slopes = loss.gradient(*params)
        updates = [p.assign(p - LEARNING_RATE * slope) for p, slope in zip(params, slopes, strict=True)]
        return loss.realize(*updates)

    return lambda: descend().item()


def kernel(loss_of: Any, *args: Any) -> Kernel:
    """A scalar function of a first argument, with its gradient."""
    tensors = [Tensor(arg).realize() for arg in args]

    @TinyJit
    def both() -> tuple[Tensor, Tensor]:
        loss = loss_of(*tensors)
        (slope,) = loss.gradient(tensors[0])
        return loss.realize(slope), slope

    def run() -> tuple[float, Tensor]:
        loss, slope = both()
        return loss.item(), slope

    return run


def cross_entropy(scores: Scores) -> Kernel:
    return kernel(Tensor.sparse_categorical_crossentropy, scores.logits, scores.labels.astype("int32"))


def logsumexp(scores: Scores) -> Kernel:
    return kernel(lambda z: z.logsumexp(1).sum(), scores.logits)


def chain(count: int) -> Kernel:
    def links(x: Tensor) -> Tensor:
        for _ in range(count // 2):
            x = x * FACTOR + SUMMAND
        return x.reshape(())

    both = kernel(links, np.array([START], np.float32))  # tinygrad would fold a number without dimensions away

    def run() -> tuple[float, float]:
        value, slope = both()
        return value, slope.item()

    return run
