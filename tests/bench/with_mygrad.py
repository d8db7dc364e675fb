"""MyGrad: tensors over NumPy."""

from __future__ import annotations

from typing import Any

import mygrad as mg
from mygrad.nnet.activations import relu
from mygrad.nnet.losses import softmax_crossentropy
from workloads import FACTOR, LEARNING_RATE, START, SUMMAND, Kernel, Problem, Scores, Step


def training(problem: Problem) -> Step:
    X, labels, _ = problem
    layers = [(mg.tensor(W), mg.tensor(b)) for W, b in problem.layers]

    def step() -> float:
        h = X
        for W, b in layers[:-1]:
            h = relu(h @ W + b)
        W, b = layers[-1]
        loss = softmax_crossentropy(h @ W + b, labels)
        loss.backward()
        for layer in layers:
            for p in layer:
                p.data -= LEARNING_RATE * p.grad
        return float(loss)

    return step


def cross_entropy(scores: Scores) -> Kernel:
    logits, labels = mg.tensor(scores.logits), scores.labels

    def run() -> tuple[Any, Any]:
        loss = softmax_crossentropy(logits, labels)
        loss.backward()
        return loss, logits.grad

    return run


def logsumexp(scores: Scores) -> Kernel:
    logits = mg.tensor(scores.logits)

    def run() -> tuple[Any, Any]:
        top = scores.logits.max(axis=1, keepdims=True)
        loss = (mg.log(mg.exp(logits - top).sum(axis=1, keepdims=True)) + top).sum()
        loss.backward()
        return loss, logits.grad

    return run


def chain(count: int) -> Kernel:
    start = mg.tensor(START, dtype="float32")

    def run() -> tuple[Any, Any]:
        x = start
        for _ in range(count // 2):
            x = x * FACTOR + SUMMAND
        x.backward()
        return x, start.grad

    return run
