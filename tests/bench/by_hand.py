"""The training step written by hand in NumPy: as one would write it first, and with every array allocated beforehand.

These are the yardsticks: the library's cost is told as a multiple of `plain`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from workloads import LEARNING_RATE, Array, Problem, Step


def plain(problem: Problem) -> Step:
    """New arrays wherever NumPy makes them."""
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


def preallocated(problem: Problem) -> Step:
    """No new arrays in the step: every result has its place, and one flat array holds the parameters of all layers."""
    X, labels, layers = problem
    batch = len(labels)
    zero, share, rate = np.zeros(1, np.float32), np.float32(1 / batch), np.float32(LEARNING_RATE)
    flat = np.concatenate([values.ravel() for layer in layers for values in layer])
    slopes = np.empty_like(flat)

    forward, backward = [], []
    x: Array = X
    slope_x: Any = None  # nobody asks for the slope of the data
    start = 0
    for W, b in layers:
        middle, stop = start + W.size, start + W.size + b.size
        W, b = flat[start:middle].reshape(W.shape), flat[middle:stop]
        slope_W, slope_b = slopes[start:middle].reshape(W.shape), slopes[middle:stop]
        out, slope_out = np.empty((2, batch, len(b)), np.float32)
        forward.append((x, W, b, out))
        backward.append((x, x.T, W.T, slope_W, slope_b, slope_out, slope_x, np.empty(x.shape, bool)))
        x, slope_x, start = out, slope_out, stop
    backward.reverse()
    logits, p = x, slope_x
    top, total = np.empty((2, batch, 1), np.float32)
    wanted = np.arange(batch) * logits.shape[1] + labels  # the logit of each label, counted through all of them
    flat_logits, flat_p = logits.ravel(), p.ravel()

    def step() -> float:
        for x, W, b, out in forward:
            np.matmul(x, W, out=out)
            np.add(out, b, out=out)
            if out is not logits:
                np.maximum(out, zero, out=out)

        np.maximum.reduce(logits, axis=1, keepdims=True, out=top)
        np.subtract(logits, top, out=p)
        np.exp(p, out=p)
        np.add.reduce(p, axis=1, keepdims=True, out=total)
        loss = (np.log(total).sum() + top.sum() - flat_logits.take(wanted).sum()) / batch

        np.divide(p, total, out=p)
        flat_p[wanted] -= 1
        np.multiply(p, share, out=p)
        for x, x_T, W_T, slope_W, slope_b, slope_out, slope_x, positive in backward:
            np.matmul(x_T, slope_out, out=slope_W)
            np.add.reduce(slope_out, axis=0, out=slope_b)
            if slope_x is not None:
                np.matmul(slope_out, W_T, out=slope_x)
                np.greater(x, zero, out=positive)
                np.multiply(slope_x, positive, out=slope_x)

        np.multiply(slopes, rate, out=slopes)
        np.subtract(flat, slopes, out=flat)
        return float(loss)

    return step
