"""HIPS autograd: the derivative of a function in its NumPy."""

from __future__ import annotations

import autograd.numpy as anp
import numpy as np
from autograd import value_and_grad
from autograd.scipy.special import logsumexp as row_logsumexp
from workloads import FACTOR, LEARNING_RATE, START, SUMMAND, Array, Kernel, Labels, Problem, Scores, Step


def mean_cross_entropy(logits: Array, labels: Labels) -> float:
    return anp.mean(row_logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels])


def training(problem: Problem) -> Step:
    X, labels, layers = problem
    params = [array for layer in layers for array in layer]  # one flat list, which it takes apart fastest

    def loss_of(params: list[Array]) -> float:
        h = X
        for i in range(0, len(params) - 2, 2):
            h = anp.maximum(anp.dot(h, params[i]) + params[i + 1], 0)
        return mean_cross_entropy(anp.dot(h, params[-2]) + params[-1], labels)

    differentiated = value_and_grad(loss_of)

    def step() -> float:
        loss, slopes = differentiated(params)
        for p, slope in zip(params, slopes, strict=True):
            p -= LEARNING_RATE * slope
        return float(loss)

    return step


def cross_entropy(scores: Scores) -> Kernel:
    differentiated = value_and_grad(mean_cross_entropy)
    return lambda: differentiated(*scores)


def logsumexp(scores: Scores) -> Kernel:
    differentiated = value_and_grad(lambda z: anp.sum(row_logsumexp(z, axis=1)))
    return lambda: differentiated(scores.logits)


def chain(count: int) -> Kernel:
    def links(x: float) -> float:
        for _ in range(count // 2):
            x = x * FACTOR + SUMMAND
        return x

    differentiated = value_and_grad(links)
    return lambda: differentiated(np.float32(START))
