"""Sample inputs that an operation carries with it, from which its tests are made.

A sample holds recipes rather than arrays, so that importing the package draws nothing and a test may ask for the
same sample in float32 or with another seed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


class Recipe:
    """A way to draw one array: called with a Generator and a dtype, it returns the array."""

    def __init__(self, draw: Callable[[np.random.Generator], Any], floating: bool = True) -> None:
        self.draw = draw
        self.floating = floating

    def __call__(self, rng: np.random.Generator, dtype: Any) -> Any:
        """Draw the array; only floating recipes take the dtype."""
        values = np.asarray(self.draw(rng))
        return values.astype(dtype) if self.floating else values


class Sample:
    """One call of an operation: positional and keyword arguments, in which recipes stand for arrays.

    >>> args, kwargs = Sample(normal(2, 3), axis=0).make(np.random.default_rng(0))
    >>> args[0].shape, kwargs
    ((2, 3), {'axis': 0})
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args = args
        self.kwargs = kwargs

    def make(self, rng: np.random.Generator, dtype: Any = np.float64) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with every recipe carried out, in order."""

        def bake(value: Any) -> Any:
            if isinstance(value, list):
                return [bake(item) for item in value]
            return value(rng, dtype) if isinstance(value, Recipe) else value

        return tuple(bake(arg) for arg in self.args), {key: bake(value) for key, value in self.kwargs.items()}


def normal(*shape: int) -> Recipe:
    """Standard normal values."""
    return Recipe(lambda rng: rng.standard_normal(shape))


def uniform(low: float, high: float, *shape: int) -> Recipe:
    """Values between low and high."""
    return Recipe(lambda rng: rng.uniform(low, high, shape))


def distinct(*shape: int) -> Recipe:
    """Values at least 0.1 apart and 0.05 from zero, for functions with ties or kinks."""
    count = int(np.prod(shape))
    return Recipe(lambda rng: 0.1 * (rng.permutation(count).reshape(shape) - count // 2) + 0.05)


def integers(high: int, *shape: int) -> Recipe:
    """Integers from 0 to high - 1."""
    return Recipe(lambda rng: rng.integers(high, size=shape), floating=False)


def booleans(*shape: int) -> Recipe:
    """Booleans, both values equally likely."""
    return Recipe(lambda rng: rng.random(shape) < 0.5, floating=False)


UNARY = [Sample(normal(2, 3)), Sample(normal()), Sample(normal(0, 3))]
BINARY = [
    Sample(normal(2, 3), normal(2, 3)),
    Sample(normal(2, 3), normal(3)),
    Sample(normal(2, 1), normal(1, 3)),
    Sample(normal(), normal(2, 2)),
    Sample(normal(3), 2.5),
]
