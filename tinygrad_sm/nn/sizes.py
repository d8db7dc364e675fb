"""The checks of what a layer is made with, so that the first step does not find it out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_sm.errors import ArgumentError, TinygradError


def check_sizes(layer: str, **sizes: Any) -> None:
    """Refuse sizes, or lists of them, that are no whole numbers of at least 1."""
    for name, given in sizes.items():
        each = given if isinstance(given, (tuple, list)) else [given]
        if not each or not all(is_whole(size) and size > 0 for size in each):
            raise ArgumentError(f"{layer}: {name}={given!r}", remedy="sizes must be whole numbers of at least 1")


def is_whole(value: Any) -> bool:
    """Whether it is a whole number, which booleans are not meant as."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def checked(layer: Any, check: Callable[..., Any], *args: Any) -> Any:
    """What the check that an operation has of its options returns; its errors begin with the layer's name."""
    try:
        return check(*args)
    except TinygradError as error:
        raise error.inside(type(layer).__name__) from None
    except (TypeError, ValueError) as error:  # of NumPy, for what is no array
        what = f"{type(layer).__name__}: {', '.join(map(repr, args))}: {error}"
        raise ArgumentError(what, remedy="give each option as a number, or as a pair of them") from None
