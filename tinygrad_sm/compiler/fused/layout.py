"""Where the elements of values lie: at which place of which flat array, and how far apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_sm.compiler.program import Array, Program, Value, values_in


class Access(NamedTuple):
    """Where the elements of a value lie: in the memory of another value, its base; counted in elements."""

    base: Value
    offset: int
    strides: tuple[int, ...]


class Layout:
    """Where the elements of all values of a program lie.

    Views lie in what they are views of. Everything else is a base of its own, dense, with its axes in the order in
    which NumPy had laid them out; but memory lies where it lies.
    """

    def __init__(self, program: Program) -> None:
        self._known: dict[Value, Access] = {}
        self.opaque: set[Value] = set()  # views that are none of how their base is laid out here
        for instruction in program.instructions:
            base = instruction.args[0] if instruction.args else None
            if instruction.kind == "view" and isinstance(base, Value):
                self._see(instruction.out, instruction.function, instruction.args, instruction.options)

    def __call__(self, value: Value) -> Access:
        """The place of a value."""
        if value not in self._known:
            self._known[value] = Access(value, 0, native_strides(value))
        return self._known[value]

    def _see(self, out: Value, function: Any, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        """Find a view's place by making one of an array that is laid out the same way."""
        if any(values_in((*args[1:], options))) or not out.size:
            self.opaque.add(out)
            return
        base, offset, strides = self(args[0])
        size = args[0].dtype.itemsize
        span = [(n - 1) * step for n, step in zip(args[0].shape, strides, strict=True)]
        lowest, highest = sum(min(step, 0) for step in span), sum(max(step, 0) for step in span)
        memory = np.empty(highest - lowest + 1, args[0].dtype)  # never touched
        model = np.lib.stride_tricks.as_strided(
            memory[-lowest:], args[0].shape, [step * size for step in strides], writeable=False
        )
        view = function(model, *args[1:], **options)
        if not np.may_share_memory(view, memory):
            self.opaque.add(out)
            return
        moved = (address(view) - address(model)) // size
        self._known[out] = Access(base, offset + moved, tuple(step // size for step in view.strides))


def address(array: Array) -> int:
    """Where the first element of an array lies."""
    return int(array.__array_interface__["data"][0])


def native_strides(value: Value) -> tuple[int, ...]:
    """The steps between the elements of a base."""
    if value.kind == "memory" and owner(value) is not None:
        return tuple(step // value.dtype.itemsize for step in value.strides)
    return dense_strides(value.shape, value.strides)


def dense_strides(shape: tuple[int, ...], like: tuple[int, ...]) -> tuple[int, ...]:
    """The steps of a dense array whose axes are in the order of others' steps."""
    strides, step = [0] * len(shape), 1
    for i in sorted(range(len(shape)), key=lambda i: (abs(like[i]), -i)):
        strides[i] = step
        step *= shape[i]
    return tuple(strides)


def c_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The steps of a dense array in the order of C."""
    return dense_strides(shape, (0,) * len(shape))


def broadcast_strides(shape: Sequence[int], strides: Sequence[int], to: Sequence[int]) -> tuple[int, ...]:
    """Strides over a shape that an array is broadcast to."""
    missing = len(to) - len(shape)
    return (0,) * missing + tuple(0 if n == 1 else step for n, step in zip(shape, strides, strict=True))


def is_dense(value: Value) -> bool:
    """Whether the elements of an array lie side by side."""
    size = value.dtype.itemsize
    dense = dense_strides(value.shape, value.strides)
    return all(n == 1 or s == d * size for n, s, d in zip(value.shape, value.strides, dense, strict=True))


def owner(memory: Value) -> Array | None:
    """The flat array in which the elements of a memory lie; None where they lie in no such array."""
    array = memory.array
    assert array is not None
    found = array
    while isinstance(found.base, np.ndarray) and found.base.dtype == array.dtype and _is_flat(found.base):
        found = found.base
    if not _is_flat(found):
        return None
    return found.reshape(-1) if found.flags.c_contiguous else found.T.reshape(-1)


def _is_flat(array: Array) -> bool:
    return array.flags.c_contiguous or array.flags.f_contiguous
