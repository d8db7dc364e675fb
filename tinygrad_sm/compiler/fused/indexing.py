"""Elements that are chosen by integers, along the first axes of an array."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinygrad_sm.compiler.fused.layout import Access, Layout, broadcast_strides
from tinygrad_sm.compiler.program import Value


class Dynamic(NamedTuple):
    """An axis along which elements are chosen by integers."""

    places: Value  # the integers
    strides: tuple[int, ...]  # of these, over the shape of the result
    step: int  # between the elements that it chooses from, and how many these are
    extent: int


class Chosen(NamedTuple):
    """Which elements of an array an instruction chooses: a place and steps over its shape, and what is looked up."""

    base: Value
    shape: tuple[int, ...]
    offset: int
    strides: tuple[int, ...]
    dynamic: tuple[Dynamic, ...]


def chosen_by(index: Any, shape: tuple[int, ...], access: Access, layout: Layout) -> Chosen | None:
    """What an index of integers chooses from an array of some shape; None if it is not made of those alone.

    Where a constant counts 0, 1, 2, ... along an axis, nothing has to be looked up.
    """
    parts = list(index) if isinstance(index, tuple) else [index]
    while parts and (parts[-1] is ... or (isinstance(parts[-1], slice) and parts[-1] == slice(None))):
        parts.pop()
    values = [part for part in parts if isinstance(part, Value)]
    if not values or len(parts) > len(shape) or not all(map(_is_index, parts)):
        return None
    around = np.broadcast_shapes(*[value.shape for value in values])
    rest = shape[len(parts) :]
    offset, strides, dynamic = access.offset, [0] * len(around), []
    for part, step, extent in zip(parts, access.strides, shape, strict=False):
        axis = _counted(part, around) if isinstance(part, Value) else None
        if axis is not None and around[axis] <= extent:
            strides[axis] += step
        elif isinstance(part, Value):
            own = broadcast_strides(part.shape, layout(part).strides, around)
            dynamic.append(Dynamic(part, (*own, *[0] * len(rest)), step, extent))
        elif -extent <= part < extent:
            offset += part % extent * step
        else:
            return None
    if 0 in (*around, *shape):
        return None
    return Chosen(access.base, (*around, *rest), offset, (*strides, *access.strides[len(parts) :]), tuple(dynamic))


def _is_index(part: Any) -> bool:
    if isinstance(part, Value):
        return part.kind != "number" and part.dtype.kind in "iu"
    return isinstance(part, (int, np.integer)) and not isinstance(part, bool)


def _counted(part: Value, around: tuple[int, ...]) -> int | None:
    """The axis along which a constant index counts 0, 1, 2, ..., if it does nothing else."""
    long = [i for i, n in enumerate(part.shape) if n > 1]
    if part.kind != "constant" or part.array is None or len(long) != 1:
        return None
    axis = long[0] + len(around) - part.ndim
    return axis if np.array_equal(part.array.ravel(), np.arange(around[axis])) else None
