"""Initial values: drawn so that the variance of signals and gradients stays the same from layer to layer.

Shapes are (in_features, out_features) for weights of linear layers and (out_channels, in_channels, ...) for kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tinygrad_sm.display import describe
from tinygrad_sm.errors import ArgumentError, ShapeError
from tinygrad_sm.nn.sizes import is_whole
from tinygrad_sm.randomness import generator_or_default

Initialiser: TypeAlias = Callable[..., npt.NDArray[Any]]

GAINS = {
    "linear": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "leaky_relu": math.sqrt(2 / (1 + 0.01**2)),
    "elu": math.sqrt(2),
    "softplus": math.sqrt(2),
}


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many inputs an output of the weights has, and how many outputs an input. Raises ShapeError if there are none.

    >>> fans((64, 32)), fans((8, 3, 5, 5))
    ((64, 32), (75, 200))
    """
    if not isinstance(shape, (tuple, list, np.ndarray)) or not all(
        is_whole(length) and length >= 0 for length in shape
    ):
        remedy = "pass a shape and keep what is returned: layer.weight.data[...] = init(layer.weight.shape)"
        raise ShapeError(f"{describe(shape)} is no shape of weights", remedy=remedy)
    if len(shape) < 2:
        raise ShapeError(f"weights of shape {shape} have no fans", remedy="initialise biases with zeros")
    if len(shape) == 2:
        return shape[0], shape[1]
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def gain(activation: str) -> float:
    """The factor on the standard deviation of weights that makes up for what an activation takes: sqrt 2 for the ReLU.

    Source: K. He et al., Delving deep into rectifiers, ICCV 2015; 5/3 for tanh is the value that PyTorch documents.
    """
    if activation not in GAINS:
        raise ArgumentError(f"gain: unknown activation {activation!r}", remedy=f"one of {', '.join(GAINS)}")
    return GAINS[activation]


def xavier_uniform(
    shape: tuple[int, ...], gain: float = 1.0, generator: np.random.Generator | None = None, dtype: Any = np.float32
) -> npt.NDArray[Any]:
    """Uniform between -a and a, a = gain sqrt(6 / (fan_in + fan_out)).

    Source: X. Glorot and Y. Bengio, Understanding the difficulty of training deep feedforward networks, AISTATS 2010.
    """
    bound = gain * math.sqrt(6 / max(sum(fans(shape)), 1))
    return generator_or_default(generator).uniform(-bound, bound, shape).astype(dtype)


def xavier_normal(
    shape: tuple[int, ...], gain: float = 1.0, generator: np.random.Generator | None = None, dtype: Any = np.float32
) -> npt.NDArray[Any]:
    """Normal with standard deviation gain sqrt(2 / (fan_in + fan_out)); source as for `xavier_uniform`."""
    deviation = gain * math.sqrt(2 / max(sum(fans(shape)), 1))
    return generator_or_default(generator).normal(0.0, deviation, shape).astype(dtype)


def kaiming_uniform(
    shape: tuple[int, ...],
    gain: float = math.sqrt(2),
    generator: np.random.Generator | None = None,
    dtype: Any = np.float32,
) -> npt.NDArray[Any]:
    """Uniform between -a and a, a = gain sqrt(3 / fan_in).

    Source: K. He et al., Delving deep into rectifiers, ICCV 2015.
    """
    bound = gain * math.sqrt(3 / max(fans(shape)[0], 1))
    return generator_or_default(generator).uniform(-bound, bound, shape).astype(dtype)


def kaiming_normal(
    shape: tuple[int, ...],
    gain: float = math.sqrt(2),
    generator: np.random.Generator | None = None,
    dtype: Any = np.float32,
) -> npt.NDArray[Any]:
    """Normal with standard deviation gain / sqrt(fan_in); source as for `kaiming_uniform`."""
    deviation = gain / math.sqrt(max(fans(shape)[0], 1))
    return generator_or_default(generator).normal(0.0, deviation, shape).astype(dtype)
