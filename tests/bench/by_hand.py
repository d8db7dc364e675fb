"""Written by hand in NumPy as one would write it first: new arrays wherever NumPy makes them.

This is the yardstick: what everything costs is told as a multiple of it.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from workloads import (
    EPSILON,
    FACTOR,
    LEARNING_RATE,
    START,
    SUMMAND,
    Array,
    Kernel,
    Pictures,
    Problem,
    Rows,
    Scores,
    Step,
)


def training(problem: Problem) -> Step:
    X, labels, layers = problem
    rows = np.arange(len(labels))
    last = len(layers) - 1

    def step() -> float:
        h, inputs = X, []
        for i, (W, b) in enumerate(layers):
            inputs.append(h)
            h = h @ W + b
            if i < last:
                h = np.maximum(h, 0)

        top = h.max(axis=1, keepdims=True)
        p = np.exp(h - top)
        total = p.sum(axis=1, keepdims=True)
        loss = (np.log(total[:, 0]) + top[:, 0] - h[rows, labels]).mean()

        p /= total
        p[rows, labels] -= 1
        g = p / len(labels)
        for i in range(last, -1, -1):
            W, b = layers[i]
            slope_W, slope_b = inputs[i].T @ g, g.sum(axis=0)
            if i:
                g = (g @ W.T) * (inputs[i] > 0)
            W -= LEARNING_RATE * slope_W
            b -= LEARNING_RATE * slope_b
        return float(loss)

    return step


def convolution(pictures: Pictures) -> Step:
    X, labels, kernel, bias, W, b = pictures
    rows = np.arange(len(labels))
    channels, k = len(kernel), kernel.shape[-1]
    size = X.shape[-1] - k + 1

    def step() -> float:
        windows = sliding_window_view(X, (k, k), axis=(2, 3)).transpose(0, 2, 3, 1, 4, 5)
        columns = windows.reshape(-1, k * k)
        z = columns @ kernel.reshape(channels, -1).T + bias
        h = np.maximum(z, 0).reshape(-1, size // 2, 2, size // 2, 2, channels)  # channels last: they are next in memory
        pooled = h.max(axis=(2, 4))
        flat = pooled.transpose(0, 3, 1, 2).reshape(len(X), -1)
        logits = flat @ W + b

        top = logits.max(axis=1, keepdims=True)
        p = np.exp(logits - top)
        total = p.sum(axis=1, keepdims=True)
        loss = (np.log(total[:, 0]) + top[:, 0] - logits[rows, labels]).mean()

        p /= total
        p[rows, labels] -= 1
        g = p / len(labels)
        slope_W, slope_b = flat.T @ g, g.sum(axis=0)
        slope_pooled = (g @ W.T).reshape(-1, channels, size // 2, size // 2).transpose(0, 2, 3, 1)
        winners = (h == pooled[:, :, None, :, None]) & (h > 0)  # which relu leaves no ties among
        slope_z = (winners * slope_pooled[:, :, None, :, None]).reshape(-1, channels)
        slope_kernel, slope_bias = slope_z.T @ columns, slope_z.sum(axis=0)

        for values, slope in (
            (kernel, slope_kernel.reshape(kernel.shape)),
            (bias, slope_bias),
            (W, slope_W),
            (b, slope_b),
        ):
            values -= LEARNING_RATE * slope
        return float(loss)

    return step


def cross_entropy(scores: Scores) -> Kernel:
    logits, labels = scores
    rows = np.arange(len(labels))

    def run() -> tuple[float, Array]:
        top = logits.max(axis=1, keepdims=True)
        p = np.exp(logits - top)
        total = p.sum(axis=1, keepdims=True)
        loss = (np.log(total[:, 0]) + top[:, 0] - logits[rows, labels]).mean()
        p /= total
        p[rows, labels] -= 1
        p /= len(labels)
        return loss, p

    return run


def logsumexp(scores: Scores) -> Kernel:
    logits = scores.logits

    def run() -> tuple[float, Array]:
        top = logits.max(axis=1, keepdims=True)
        p = np.exp(logits - top)
        total = p.sum(axis=1, keepdims=True)
        loss = (np.log(total) + top).sum()
        p /= total
        return loss, p

    return run


def layer_norm(rows: Rows) -> Kernel:
    X, weight, bias, others = rows
    epsilon = np.float32(EPSILON)

    def run() -> tuple[float, Array]:
        centred = X - X.mean(axis=1, keepdims=True)
        deviation = np.sqrt((centred * centred).mean(axis=1, keepdims=True) + epsilon)
        x_hat = centred / deviation
        loss = np.vdot(x_hat * weight + bias, others)

        g = others * weight
        g -= g.mean(axis=1, keepdims=True) + x_hat * (g * x_hat).mean(axis=1, keepdims=True)
        g /= deviation
        return loss, g

    return run


def chain(count: int) -> Kernel:
    factor, summand = np.float32(FACTOR), np.float32(SUMMAND)

    def run() -> tuple[float, float]:
        x, g = np.float32(START), np.float32(1)
        for _ in range(count // 2):
            x = x * factor + summand
        for _ in range(count // 2):
            g = g * factor
        return x, g

    return run
