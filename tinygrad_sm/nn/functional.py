"""The operations under the names that PyTorch users know, with `axis` for `dim`; usually imported as F."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from tinygrad_sm.effects import Effect
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.errors import ArgumentError
from tinygrad_sm.ops import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    elu,
    leaky_relu,
    linear,
    log_softmax,
    logsumexp,
    mse_loss,
    nll_loss,
    relu,
    sigmoid,
    softmax,
    softplus,
    tanh,
)
from tinygrad_sm.ops.activation import dropout as dropout_with_mask
from tinygrad_sm.randomness import generator_or_default

__all__ = [
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "dropout",
    "elu",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsumexp",
    "mse_loss",
    "nll_loss",
    "relu",
    "sigmoid",
    "softmax",
    "softplus",
    "tanh",
]


def dropout(x: Any, p: float = 0.5, training: bool = True, *, generator: np.random.Generator | None = None) -> Any:
    """Zero each value with probability p and divide the others by 1 - p; the identity unless training.

    Args: x of any shape; generator draws the mask, the library's default one if None. Returns the shape of x. Raises
    ArgumentError unless 0 <= p < 1.

    >>> dropout(np.ones(4), 0.5, generator=np.random.default_rng(1)).tolist()
    [0.0, 2.0, 2.0, 2.0]
    """
    if not 0 <= p < 1:
        raise ArgumentError(f"dropout: p={p}", remedy="pass a probability from 0 up to, but not including, 1")
    p = float(p)  # a NumPy scalar would promote float32
    if not training or p == 0:
        return x
    draw = partial(_keep, generator_or_default(generator), np.shape(x), p)
    if isinstance(x, Tensor):
        return Tensor.record(dropout_with_mask, (x, draw()), {"p": p}, (Effect("draw", "mask", draw),))
    return dropout_with_mask(x, draw(), p)


def _keep(generator: np.random.Generator, shape: tuple[int, ...], p: float) -> Any:
    """A mask that is true with probability 1 - p."""
    return generator.random(shape, dtype=np.float32) >= p
