"""Toy sets in the plane, to watch a network bend its boundary.

Examples of the classes take turns, so that every prefix is balanced. Read `digits.py` next.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinygrad_sm.data.checks import as_count, as_generator, as_real
from tinygrad_sm.data.dataset import Dataset
from tinygrad_sm.errors import ArgumentError

Floats = NDArray[np.float64]


def make_moons(n: int, *, noise: float = 0.1, rng: np.random.Generator | int = 0) -> Dataset:
    """Two half circles that reach into each other, one class each.

    With t evenly spaced over [0, pi], class 0 lies at (cos t, sin t) and class 1 at (1 - cos t, 1/2 - sin t); both
    coordinates get Gaussian noise with standard deviation `noise`. `n` counts both classes together, `rng` is a
    generator or a seed. Gives inputs float32 (n, 2), targets int64 (n,). Raises ArgumentError for n < 2 or noise < 0.

    >>> make_moons(4, noise=0.0).inputs.round(3) + 0.0
    array([[ 1. ,  0. ],
           [ 0. ,  0.5],
           [-1. ,  0. ],
           [ 2. ,  0.5]], dtype=float32)
    """
    label, position = _take_turns("make_moons", n, classes=2)
    t = np.pi * position
    x = np.where(label == 0, np.cos(t), 1 - np.cos(t))
    y = np.where(label == 0, np.sin(t), 0.5 - np.sin(t))
    return _dataset("make_moons", x, y, label, noise, rng)


def make_spirals(n: int, *, classes: int = 3, noise: float = 0.03, rng: np.random.Generator | int = 0) -> Dataset:
    """Spiral arms around the origin, one class each, every one turned against the last.

    With r evenly spaced over [0.1, 1], class k of K lies at r (cos a, sin a), where a = 2 pi k / K + 4 r; both
    coordinates get Gaussian noise with standard deviation `noise`. `n` counts all classes together, `rng` is a
    generator or a seed. Gives inputs float32 (n, 2), targets int64 (n,). Raises ArgumentError for n < classes,
    classes < 2 or noise < 0.

    >>> make_spirals(300)
    <Dataset: 300 examples of shape (2,), 3 classes>
    """
    arms = as_count("make_spirals", "classes", classes, at_least=2)
    label, position = _take_turns("make_spirals", n, classes=arms)
    r = 0.1 + 0.9 * position
    angle = 2 * np.pi * label / arms + 4 * r
    return _dataset("make_spirals", r * np.cos(angle), r * np.sin(angle), label, noise, rng)


def _take_turns(op: str, n: int, *, classes: int) -> tuple[NDArray[np.int64], Floats]:
    """Labels 0, 1, ..., 0, 1, ... and the position of each example along its class's curve, from 0 to 1."""
    index = np.arange(as_count(op, "n", n, at_least=classes))
    label, turn = index % classes, index // classes
    return label, turn / max(turn[-1], 1)


def _dataset(
    op: str, x: Floats, y: Floats, label: NDArray[np.int64], noise: float, rng: np.random.Generator | int
) -> Dataset:
    """The points (x, y) with noise added."""
    spread = as_real(op, "noise", noise)
    if spread < 0:
        raise ArgumentError(f"{op}: noise is a standard deviation, got {noise}", remedy="pass noise=0.0 or more")
    points = np.stack([x, y], axis=1)
    points += as_generator(op, rng).normal(0.0, spread, size=points.shape)
    return Dataset(points, label, feature_names=("x", "y"), description=op.removeprefix("make_"))
