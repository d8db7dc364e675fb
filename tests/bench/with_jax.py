"""JAX, with jax.jit around the whole step: parameters go in, new ones come out, and their memory is reused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from workloads import EPSILON, FACTOR, LEARNING_RATE, START, SUMMAND, Kernel, Pictures, Problem, Rows, Scores, Step

WINDOW = (1, 1, 2, 2)  # of the pooling


def mean_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    wanted = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    return (jax.nn.logsumexp(logits, axis=1) - wanted).mean()


def training(problem: Problem) -> Step:
    X, labels = jnp.asarray(problem.X), jnp.asarray(problem.labels)
    layers = [(jnp.array(W), jnp.array(b)) for W, b in problem.layers]

    def loss_of(layers: Any, X: jax.Array, labels: jax.Array) -> jax.Array:
        h = X
        for W, b in layers[:-1]:
            h = jax.nn.relu(h @ W + b)
        W, b = layers[-1]
        return mean_cross_entropy(h @ W + b, labels)

    return descent(loss_of, layers, X, labels)


def convolution(pictures: Pictures) -> Step:
    X, labels = jnp.asarray(pictures.X), jnp.asarray(pictures.labels)

    def loss_of(params: Any, X: jax.Array, labels: jax.Array) -> jax.Array:
        kernel, bias, W, b = params
        z = jax.lax.conv_general_dilated(X, kernel, (1, 1), "VALID") + bias[:, None, None]
        pooled = jax.lax.reduce_window(jax.nn.relu(z), -jnp.inf, jax.lax.max, WINDOW, WINDOW, "VALID")
        return mean_cross_entropy(pooled.reshape(len(X), -1) @ W + b, labels)

    return descent(loss_of, [jnp.array(values) for values in pictures[2:]], X, labels)


def descent(loss_of: Callable[..., jax.Array], params: Any, X: jax.Array, labels: jax.Array) -> Step:
    """A step of a loss, given the parameters and the batch."""

    def descend(params: Any, X: jax.Array, labels: jax.Array) -> tuple[Any, jax.Array]:
        loss, slopes = jax.value_and_grad(loss_of)(params, X, labels)
        return jax.tree.map(lambda p, g: p - LEARNING_RATE * g, params, slopes), loss

    compiled = jax.jit(descend, donate_argnums=0)

    def step() -> float:
        nonlocal params
        params, loss = compiled(params, X, labels)
        return float(loss)

    return step


def kernel(function: Callable[[jax.Array], jax.Array], x: jax.Array) -> Kernel:
    """A scalar function with its gradient."""
    compiled = jax.jit(jax.value_and_grad(function))
    return lambda: jax.block_until_ready(compiled(x))


def cross_entropy(scores: Scores) -> Kernel:
    labels = jnp.asarray(scores.labels)
    return kernel(lambda z: mean_cross_entropy(z, labels), jnp.asarray(scores.logits))


def logsumexp(scores: Scores) -> Kernel:
    return kernel(lambda z: jax.nn.logsumexp(z, axis=1).sum(), jnp.asarray(scores.logits))


def layer_norm(rows: Rows) -> Kernel:
    X, weight, bias, others = map(jnp.asarray, rows)

    def total(x: jax.Array) -> jax.Array:
        centred = x - x.mean(axis=1, keepdims=True)
        x_hat = centred / jnp.sqrt((centred * centred).mean(axis=1, keepdims=True) + EPSILON)
        return ((x_hat * weight + bias) * others).sum()

    return kernel(total, X)


def chain(count: int) -> Kernel:
    def links(x: jax.Array) -> jax.Array:
        for _ in range(count // 2):
            x = x * FACTOR + SUMMAND
        return x

    return kernel(links, jnp.float32(START))
