"""Mean, spread and zeros of arrays, also of several taken together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Moments:
    """What is kept of an array: so many elements, their mean and standard deviation, the share of zeros.

    >>> moments_of(np.array([0.0, 2.0]))
    Moments(count=2, mean=1.0, std=1.0, zeros=0.5)
    """

    count: int
    mean: float
    std: float
    zeros: float


def moments_of(array: Any) -> Moments:
    """The moments of an array that has elements."""
    with np.errstate(all="ignore"):  # what is not finite shows in the numbers
        mean, std = float(np.mean(array, dtype=float)), float(np.std(array, dtype=float))
    return Moments(array.size, mean, std, 1 - int(np.count_nonzero(array)) / array.size)


def pooled(parts: Sequence[Moments]) -> Moments:
    """The moments of several arrays as if they were one.

    >>> pooled([moments_of(np.array([1.0, 1.0])), moments_of(np.array([3.0, 3.0]))])
    Moments(count=4, mean=2.0, std=1.0, zeros=0.0)
    """
    if len(parts) == 1:
        return parts[0]
    count = sum(part.count for part in parts)
    mean = sum(part.count * part.mean for part in parts) / count
    spread = [math.hypot(part.std, part.mean - mean) for part in parts]  # whose squares may be out of range
    shares = [math.sqrt(part.count / count) for part in parts]
    std = math.hypot(*(share * each for share, each in zip(shares, spread, strict=True)))
    return Moments(count, mean, std, sum(part.count * part.zeros for part in parts) / count)
