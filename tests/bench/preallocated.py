"""Written by hand in NumPy by someone who counts microseconds: every result has its place before the first call.

What is gained where, on small arrays: `np.dot` costs less than `np.matmul`, a sum is a product with ones, a scalar is a
`np.float32`, and the scores lie in memory a class a row, so that sums over classes run along the batch. On large ones:
parameters begin on a cache line, which makes the step of mnist a seventh faster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from workloads import EPSILON, FACTOR, LEARNING_RATE, START, SUMMAND, Array, Kernel, Problem, Rows, Scores, Step

ZERO, ONE = np.float32(0), np.float32(1)
CACHE_LINE = 64  # bytes
LARGE = 20_000  # elements


def aligned(size: int) -> Array:
    """A flat array that begins on a cache line."""
    room = np.empty(4 * size + CACHE_LINE, np.uint8)
    start = -room.ctypes.data % CACHE_LINE
    return room[start : start + 4 * size].view(np.float32)


def multiplier(out: Array) -> Callable[..., Any]:
    """The faster of NumPy's two products: `dot` is called with less ado, but clears what it is about to overwrite."""
    return np.dot if out.size < LARGE else np.matmul


def training(problem: Problem) -> Step:
    labels = problem.labels
    batch = len(labels)
    share, rate, ones = np.float32(1 / batch), np.float32(LEARNING_RATE), np.ones(batch, np.float32)
    parameters = np.concatenate([values.ravel() for layer in problem.layers for values in layer])
    flat, slopes = aligned(parameters.size), aligned(parameters.size)
    np.copyto(flat, parameters)
    forward, backward, logits, p = places(problem, flat, slopes)
    top, total = np.empty((2, batch), np.float32)
    wanted = labels * batch + np.arange(batch)  # the logit of each label, counted through all of them
    flat_logits, flat_p = logits.ravel(), p.ravel()

    def step() -> float:
        for multiply, left, right, product, out, b in forward:
            multiply(left, right, out=product)
            np.add(out, b, out=out)
            if product is not logits:
                np.maximum(out, ZERO, out=out)

        np.maximum.reduce(logits, axis=0, out=top)
        np.subtract(logits, top, out=p)
        np.exp(p, out=p)
        np.add.reduce(p, axis=0, out=total)
        loss = (np.log(total).sum() + top.sum() - flat_logits.take(wanted).sum()) / batch

        np.divide(p, total, out=p)
        flat_p[wanted] -= ONE
        np.multiply(p, share, out=p)
        for multiply, x_T, slope_out, slope_W, slope_b, towards_x in backward:
            multiply(x_T, slope_out, out=slope_W)
            np.dot(ones, slope_out, out=slope_b)
            if towards_x:
                multiply, W_T, slope_x, x, positive = towards_x
                multiply(slope_out, W_T, out=slope_x)
                np.greater(x, ZERO, out=positive)
                np.multiply(slope_x, positive, out=slope_x)

        np.multiply(slopes, rate, out=slopes)
        np.subtract(flat, slopes, out=flat)
        return float(loss)

    return step


def places(problem: Problem, flat: Array, slopes: Array) -> tuple[list[Any], list[Any], Array, Array]:
    """Where every result of the step goes: of each layer on the way there and back, the logits, their slope.

    The logits and their slope have a row for each class. A layer's parameters are views of `flat`, their slopes of
    `slopes`, and nobody asks for the slope of the data.
    """
    forward, backward = [], []
    x, slope_x, start = problem.X, None, 0
    for layer, (W, b) in enumerate(problem.layers, 1):
        middle, stop = start + W.size, start + W.size + b.size
        W, b = flat[start:middle].reshape(W.shape), flat[middle:stop]
        slope_W, slope_b = slopes[start:middle].reshape(W.shape), slopes[middle:stop]
        if layer < len(problem.layers):
            out, slope_out = np.empty((2, len(x), len(b)), np.float32)
            forward.append((multiplier(out), x, W, out, out, b))
        else:
            logits, p = np.empty((2, len(b), len(x)), np.float32)
            out, slope_out = logits.T, p.T
            forward.append((multiplier(logits), W.T, x.T, logits, out, b))
        towards_x = None if slope_x is None else (multiplier(x), W.T, slope_x, x, np.empty(x.shape, bool))
        backward.append((multiplier(W), x.T, slope_out, slope_W, slope_b, towards_x))
        x, slope_x, start = out, slope_out, stop
    return forward, backward[::-1], logits, p


def cross_entropy(scores: Scores) -> Kernel:
    logits, labels = scores
    batch = len(labels)
    p = np.empty_like(logits)
    top, total, log_total = np.empty((3, batch), np.float32)
    ones = np.ones(logits.shape[1], np.float32)
    wanted = np.arange(batch) * logits.shape[1] + labels
    flat_logits, flat_p = logits.ravel(), p.ravel()
    size, share = np.float32(batch), np.float32(1 / batch)

    def run() -> tuple[float, Array]:
        softmax_parts(logits, p, top, total, ones)
        np.log(total, out=log_total)
        loss = (log_total.sum() + top.sum() - flat_logits.take(wanted).sum()) / batch
        np.multiply(total, size, out=total)  # so that the mean costs no pass of its own
        np.divide(p, total[:, None], out=p)
        flat_p[wanted] -= share
        return loss, p

    return run


def logsumexp(scores: Scores) -> Kernel:
    logits = scores.logits
    p = np.empty_like(logits)
    top, total, log_total = np.empty((3, len(logits)), np.float32)
    ones = np.ones(logits.shape[1], np.float32)

    def run() -> tuple[float, Array]:
        softmax_parts(logits, p, top, total, ones)
        np.log(total, out=log_total)
        loss = log_total.sum() + top.sum()
        np.divide(p, total[:, None], out=p)
        return loss, p

    return run


def softmax_parts(logits: Array, p: Array, top: Array, total: Array, ones: Array) -> None:
    """Fill in the largest logit of each row, the exponentials of all distances from it, and their sum."""
    np.maximum.reduce(logits, axis=1, out=top)
    np.subtract(logits, top[:, None], out=p)
    np.exp(p, out=p)
    np.dot(p, ones, out=total)


def layer_norm(rows: Rows) -> Kernel:
    X, weight, bias, others = rows
    x_hat, out, g, product = np.empty((4, *X.shape), np.float32)
    inverse, mean = np.empty((2, len(X), 1), np.float32)
    share = np.full(X.shape[1], 1 / X.shape[1], np.float32)  # times which a sum is a mean
    epsilon = np.float32(EPSILON)

    def run() -> tuple[float, Array]:
        np.dot(X, share, out=mean[:, 0])
        np.subtract(X, mean, out=x_hat)
        np.multiply(x_hat, x_hat, out=product)
        np.dot(product, share, out=inverse[:, 0])
        np.add(inverse, epsilon, out=inverse)
        np.sqrt(inverse, out=inverse)
        np.divide(ONE, inverse, out=inverse)
        np.multiply(x_hat, inverse, out=x_hat)
        np.multiply(x_hat, weight, out=out)
        np.add(out, bias, out=out)
        loss = np.vdot(out, others)

        np.multiply(others, weight, out=g)
        np.multiply(g, x_hat, out=product)
        np.dot(product, share, out=mean[:, 0])
        np.multiply(x_hat, mean, out=product)
        np.dot(g, share, out=mean[:, 0])
        np.subtract(g, mean, out=g)
        np.subtract(g, product, out=g)
        np.multiply(g, inverse, out=g)
        return loss, g

    return run


def chain(count: int) -> Kernel:
    factor, summand = np.float32(FACTOR), np.float32(SUMMAND)
    x, g = np.empty((2, 1), np.float32)

    def run() -> tuple[Array, Array]:
        x[:], g[:] = START, 1
        for _ in range(count // 2):
            np.multiply(x, factor, out=x)
            np.add(x, summand, out=x)
        for _ in range(count // 2):
            np.multiply(g, factor, out=g)
        return x[0], g[0]

    return run
