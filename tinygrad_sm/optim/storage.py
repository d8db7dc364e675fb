"""The values of many parameters in one array, so that one update moves them all: a small step is calls, not arithmetic.

Read `optimizer.py` for who makes such storage and when an update goes over it.
"""

from __future__ import annotations

import itertools
import operator
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_sm.engine.tensor import Tensor

Array = npt.NDArray[Any]
State = dict[str, Array]  # what an optimiser keeps of a parameter, or of many side by side

SMALL = 4096  # elements of a parameter that is updated together with others; for larger ones gathering costs more
CACHE_LINE = 64  # bytes
HUGE = 1 << 22  # bytes for which NumPy asks the system for huge pages, which are worth more


def aligned(size: int, dtype: Any) -> Array:
    """Zeros in a flat array that begins with a cache line: adding to 100,000 numbers takes half the time there."""
    if size * np.dtype(dtype).itemsize >= HUGE:
        return np.zeros(size, dtype)
    spare = bytearray(size * np.dtype(dtype).itemsize + CACHE_LINE)  # no array, so that views have the result as base
    start = -np.frombuffer(spare, np.uint8).ctypes.data % CACHE_LINE
    return np.ndarray(size, dtype, buffer=spare, offset=start)


class FlatStorage:
    """Parameters of one dtype side by side in one array, and beside them what an optimiser keeps of each.

    `data`, `grad` and the arrays in `state` are 1-d, parameter number `indices[i]` lies at `slices[i]` in them, and its
    own array and state become views there: whoever writes to one has written to the other. What is no array of the
    parameter's shape, such as a count of steps, is in `state` once, and shared by all.

    Args: params, states: all those of an optimiser, as lists that it goes on using; indices: which of them to take;
    start: makes the state that belongs to an array. The states have equal counts.
    """

    def __init__(
        self, params: Sequence[Tensor], states: Sequence[State], indices: Sequence[int], start: Callable[[Array], State]
    ) -> None:
        self.indices = indices
        self.params = [params[i] for i in indices]
        ends = np.cumsum([0, *(p.size for p in self.params)]).tolist()
        self.slices = [slice(*pair) for pair in itertools.pairwise(ends)]
        self.largest = max(p.size for p in self.params)
        self._all_params, self._all_states = params, states
        joint = side_by_side(self.params)
        self.data = aligned(ends[-1], self.params[0].dtype) if joint is None else joint
        if joint is None:
            for p, view in zip(self.params, self._moved(self.data, [p._data for p in self.params]), strict=True):
                p._data = view
                if p._edge:
                    p._edge[0].out = view
        self.grad = aligned(ends[-1], self.data.dtype)
        views = [weakref.ref(p._data) for p in self.params]  # weak, see `held_elsewhere`
        self._rows = list(zip(indices, views, self._parts(self.grad), strict=True))
        self.state = start(self.data)
        own = self._own_states()
        self.shared = [name for name, array in self.state.items() if array.shape != self.data.shape]
        for name, array in self.state.items():
            if name not in self.shared:
                for state, part in zip(own, self._moved(array, [state[name] for state in own]), strict=True):
                    state[name] = part
        self._kept = self._current_state()
        self.join()

    def _parts(self, array: Array) -> list[Array]:
        """The part of each parameter in a flat array, in the parameter's shape."""
        return [array[part].reshape(p.shape) for part, p in zip(self.slices, self.params, strict=True)]

    def _moved(self, array: Array, values: Sequence[Array]) -> list[Array]:
        """The parts of a flat array after values were copied there."""
        parts = self._parts(array)
        for part, value in zip(parts, values, strict=True):
            part[...] = value
        return parts

    def holds(self) -> bool:
        """Whether the parameters' arrays and states still are the views that were made of them.

        They are not after an assignment such as `p.data = values`, or when another storage took them over.
        """
        params = self._all_params
        return all(params[i]._data is view() for i, view, _ in self._rows) and self._holds_state()

    def _holds_state(self) -> bool:
        current = self._current_state()
        return len(current) == len(self._kept) and all(map(operator.is_, current, self._kept))

    def _current_state(self) -> list[Array]:
        return [array for state in self._own_states() for array in state.values()]

    def gather(self) -> bool:
        """Copy the gradients to `grad`; False where an update of all by one call is not in place.

        All have a gradient that no step has used, of their own shape and dtype, everything is where it was put, the
        counts are equal and the parameters small.
        """
        if self.parted or self.largest > SMALL:
            return False
        params, dtype = self._all_params, self.data.dtype
        for i, view, part in self._rows:
            p = params[i]
            g = p.grad
            if type(g) is not np.ndarray or g.shape != part.shape or g.dtype is not dtype:
                return False
            if g is p._used_grad or p._data is not view():
                return False
            part[...] = g
        return not self._kept or self._holds_state()

    def part(self) -> None:
        """Give every parameter counts of its own, before a step that may not move all of them alike."""
        self._set_counts([{name: state[name].copy() for name in self.shared} for state in self._own_states()], True)

    def join(self) -> None:
        """Let them share their counts again if these are equal."""
        states = self._own_states()
        counts = {name: states[0][name] for name in self.shared}
        if all(np.array_equal(state[name], count) for name, count in counts.items() for state in states):
            for name, count in counts.items():
                self.state[name][...] = count
            self._set_counts([{name: self.state[name] for name in self.shared}] * len(states), False)

    def _set_counts(self, counts: Sequence[State], parted: bool) -> None:
        held = self._holds_state()  # what was lost before stays lost
        for state, own in zip(self._own_states(), counts, strict=True):
            state.update(own)
        self.parted = parted and bool(self.shared)
        if held:
            self._kept = self._current_state()

    def _own_states(self) -> list[State]:
        return [self._all_states[i] for i in self.indices]

    def __repr__(self) -> str:
        return f"<FlatStorage of {len(self.params)} parameters, {self.data.size} {self.data.dtype}>"


def side_by_side(params: Sequence[Tensor]) -> Array | None:
    """The flat array, or part of it, that holds the values one after the other already, as for an earlier optimiser."""
    arrays = [p._data for p in params]
    base = arrays[0].base
    if base is None or base.ndim != 1 or any(a.base is not base or a.dtype != base.dtype for a in arrays):
        return None
    ends = [_address(array) + array.nbytes for array in arrays]
    follow = all(_address(array) == end for array, end in zip(arrays[1:], ends, strict=False))
    if not follow or not all(array.flags.c_contiguous for array in (base, *arrays)):
        return None
    first, last = ((address - _address(base)) // base.itemsize for address in (_address(arrays[0]), ends[-1]))
    return base if last - first == base.size else base[first:last]


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


def held_elsewhere(p: Tensor) -> bool:
    """Whether more than the parameter holds its array, a view of it or a tape: they would not see it change elsewhere.

    It is CPython's count of references that tells.
    """
    return sys.getrefcount(p._data) > _UNSHARED


_EXAMPLE = Tensor(0.0, requires_grad=True)
_UNSHARED = sys.getrefcount(_EXAMPLE._data)
