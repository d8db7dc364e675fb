"""Where computed values are kept: in flat workspaces, one for each type, where those that live in turn share room.

Gradients that are gathered stand in the gathered array in the first place, and what is stored in a memory is written
there where nobody reads the old values any more. Large results get arrays of their own, which the caller keeps.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_sm.compiler.fused.layout import address, c_strides, is_dense, native_strides, owner
from tinygrad_sm.compiler.program import Array, Value

ALIGNMENT = 64  # bytes of a cache line
LARGE = 1 << 14  # bytes of a result that is written to an array of its own


class Place(NamedTuple):
    """The array in which the elements of a base stand, by its name in the source, and where the first of them is."""

    name: str
    offset: int


class Storage:
    """The places of all bases, and the arrays behind their names.

    `arrays` are made beforehand, `results` anew for each call, and inputs come with it.
    """

    def __init__(self) -> None:
        self.places: dict[Value, Place] = {}
        self.arrays: dict[str, Array] = {}
        self.results: dict[str, Value] = {}
        self.inputs: dict[str, Value] = {}
        self.copied_in: list[Value] = []  # inputs and memories that are no flat arrays
        self._sizes: dict[str, int] = {}  # of workspaces
        self._owners: dict[tuple[int, int], str] = {}
        self._live: dict[str, list[tuple[int, int, int, int]]] = {}  # (first, last, start, stop) of what they hold

    def add_input(self, value: Value, name: str) -> None:
        """Give an argument of the call its place."""
        if value.ndim and value.size and is_contiguous(value):
            self.places[value] = Place(name, 0)
            self.inputs[name] = value
        else:
            self.copied_in.append(value)

    def add_memory(self, value: Value, name: str) -> bool:
        """Give what outlives the call its place: its own. False where it is not flat, and copied for each call."""
        flat = owner(value) if value.size else None
        if flat is None:
            self.copied_in.append(value)
            return False
        assert value.array is not None
        known = self._owners.setdefault((address(flat), flat.size), name)
        self.arrays.setdefault(known, flat)
        self.places[value] = Place(known, (address(value.array) - address(flat)) // flat.itemsize)
        return True

    def add_result(self, value: Value, name: str) -> None:
        """Give a value an array of its own in each call."""
        self.places[value] = Place(name, 0)
        self.results[name] = value

    def add_part(self, value: Value, whole: Value, offset: int) -> None:
        """Let a value stand in a part of another one."""
        name, start = self.places[whole]
        self.places[value] = Place(name, start + offset)

    def add(self, value: Value, first: int, last: int) -> None:
        """Give a value a place in a workspace, for the time from one group to another."""
        self.places[value] = self.room(value.dtype, value.size, first, last)

    def room(self, dtype: np.dtype[Any], size: int, first: int, last: int) -> Place:
        """The first gap in a workspace that is free for that time."""
        name, step = f"{dtype.name}s", max(1, ALIGNMENT // dtype.itemsize)
        size = -(-max(size, 1) // step) * step
        start = 0
        live = self._live.setdefault(name, [])
        for begin, end, low, high in sorted(live, key=lambda each: each[2]):
            if begin <= last and first <= end and low < start + size and start < high:
                start = high
        live.append((first, last, start, start + size))
        self._sizes[name] = max(self._sizes.get(name, 0), start + size)
        return Place(name, start)

    def allocate(self) -> None:
        """Make the workspaces, when all places are settled, and fill in the constants."""
        for name, size in self._sizes.items():
            dtype = np.dtype(name[:-1])
            spare = np.zeros(size * dtype.itemsize + ALIGNMENT, np.uint8)
            start = -address(spare) % ALIGNMENT
            self.arrays[name] = spare[start : start + size * dtype.itemsize].view(dtype)
        for value in self.places:
            if value.kind == "constant":
                assert value.array is not None
                np.copyto(self.array(value), value.array)

    @property
    def nbytes(self) -> int:
        """The size of all workspaces."""
        return sum(self.arrays[name].nbytes for name in self._sizes)

    def array(self, value: Value) -> Array:
        """The array of a base that has its place beforehand."""
        name, offset = self.places[value]
        return self.seen(self.arrays[name], offset, value.shape, native_strides(value))

    def seen(self, flat: Array, offset: int, shape: Sequence[int], strides: Sequence[int]) -> Array:
        """A part of a flat array in a shape."""
        steps = [step * flat.itemsize for step in strides]
        array: Array = np.lib.stride_tricks.as_strided(flat[offset:], shape, steps)
        return array

    def value(self, name: str) -> Value | None:
        """The input or result that an array holds; None if it is made beforehand."""
        return self.inputs.get(name) or self.results.get(name)

    def is_lent(self, name: str) -> bool:
        """Whether an array comes with a call or is made for it."""
        return name in self.inputs or name in self.results

    def is_workspace(self, name: str) -> bool:
        """Whether a name is that of a workspace."""
        return name in self._sizes


def is_contiguous(value: Value) -> bool:
    """Whether an array's elements lie side by side, in the order of C, or of Fortran if it is a matrix."""
    if not is_dense(value):
        return False
    steps = zip(value.shape, native_strides(value), c_strides(value.shape), strict=True)
    return value.ndim < 3 or all(n == 1 or step == expected for n, step, expected in steps)


class Lent:
    """Arrays of one kind that a caller gets, and that are used again when the caller has let go of them.

    Fresh memory from the system costs as much as a pass over it.
    """

    def __init__(self, value: Value) -> None:
        self.shape, self.dtype = value.shape, value.dtype
        self.order = "F" if value.ndim == 2 and native_strides(value)[0] == 1 < value.shape[1] else "C"
        self.arrays: list[Array] = []

    def take(self) -> Array:
        """An array that nobody else holds."""
        for i in range(len(self.arrays)):
            if sys.getrefcount(self.arrays[i]) == _UNHELD:
                return self.arrays[i]
        array: Array = np.empty(self.shape, self.dtype, self.order)  # type: ignore[call-overload]
        self.arrays = [*self.arrays[-1:], array]
        return array


_probe = [np.empty(0)]
_UNHELD = sys.getrefcount(_probe[0])  # of an array in a list
