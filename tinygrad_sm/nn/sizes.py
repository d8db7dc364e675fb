"""What can be a number of features, channels, heads or groups: the check that all layers share."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_sm.errors import ArgumentError


def check_sizes(layer: str, **sizes: Any) -> None:
    """Refuse sizes, or lists of them, that are no whole numbers of at least 1."""
    for name, given in sizes.items():
        each = given if isinstance(given, (tuple, list)) else [given]
        if not each or not all(_is_size(size) for size in each):
            raise ArgumentError(f"{layer}: {name}={given!r}", remedy="sizes must be whole numbers of at least 1")


def _is_size(size: Any) -> bool:
    return isinstance(size, (int, np.integer)) and not isinstance(size, bool) and bool(size > 0)
