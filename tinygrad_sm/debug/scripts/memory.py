"""How arrays lie in memory: NumPy adds up in that order, so that the last bit of a sum depends on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def laid_out(values: Any, strides: Sequence[int]) -> Any:
    """The same values, with steps of so many bytes along each axis: a copy of an array of a user's, gaps and all.

    >>> laid_out(np.array([[1.0, 2.0], [3.0, 4.0]]), (8, 16)).T.flags.c_contiguous
    True
    """
    ways = [step * (n - 1) for step, n in zip(strides, values.shape, strict=True)] if values.size else []
    start = -sum(way for way in ways if way < 0)
    memory = np.zeros(sum(map(abs, ways)) + values.itemsize, np.uint8)
    array: Any = np.ndarray(values.shape, values.dtype, memory, start, strides)
    array[...] = values
    return array
