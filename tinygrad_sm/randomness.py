"""The generator that everything random falls back on: one object, seeded the same at every start."""

from __future__ import annotations

import numpy as np

from tinygrad_sm.errors import ArgumentError

_default = np.random.default_rng(0)


def default_generator() -> np.random.Generator:
    """The generator used wherever none is handed in; the same object for the whole life of the process."""
    return _default


def generator_or_default(generator: np.random.Generator | None) -> np.random.Generator:
    """What a `generator=` argument stands for: itself, or the default one for None.

    Raises ArgumentError for anything else: a seed would start again at every use, and NumPy's global state is not ours.
    """
    if generator is None:
        return _default
    if not isinstance(generator, np.random.Generator):
        what = getattr(generator, "__name__", repr(generator))
        raise ArgumentError(f"generator={what} is not a Generator", remedy="pass np.random.default_rng(0), say")
    return generator


def seed(n: int) -> None:
    """Start the default generator again from a seed.

    >>> seed(1)
    >>> first = default_generator().random()
    >>> seed(1)
    >>> bool(default_generator().random() == first)
    True
    """
    _default.bit_generator.state = np.random.default_rng(n).bit_generator.state
