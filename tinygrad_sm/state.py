"""Values from a state_dict, made to fit the arrays that they are to be written to."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_sm.errors import StateError
from tinygrad_sm.operand import plain


def fitted(value: Any, like: npt.NDArray[Any], what: str, remedy: str) -> npt.NDArray[Any]:
    """A copy of a value in the dtype of an array; StateError if it has another shape or holds no such numbers."""
    try:
        array: npt.NDArray[Any] = np.asarray(plain(value)).astype(like.dtype, casting="same_kind")
    except (ValueError, TypeError) as error:
        raise StateError(f"{what}: {error}", remedy="pass an array of numbers, as state_dict() returns them") from error
    if array.shape != like.shape:
        raise StateError(f"{what} has another shape: {array.shape} given, {like.shape} needed", remedy=remedy)
    return array
