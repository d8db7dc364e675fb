"""Where the values of a program are kept: buffers that are made once, used again and again, and by several in turn.

A value that is read for the last time leaves its buffer to the next one, best of all to the result of the very
instruction that reads it. Views of buffers are made once, so that a transpose costs nothing later. Gradients that are
gathered in a flat array are written there in the first place, and so is what a parameter or a state becomes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_sm.compiler.program import Array, Instruction, Program, Value, values_in
from tinygrad_sm.optim.storage import aligned

AT_THE_END = 1 << 60


class Plan:
    """Where a program's values are kept.

    `places` holds an array for each value that has one; the others are variables of the call. `copied_first` are the
    results of assignments to elements that have to leave the array as it was, and `gathers` says what a gathered array
    does not get from the start, with the place that it belongs to.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.places: dict[Value, Array] = {}
        self.copied_first: set[Value] = set()
        self.gathers: dict[Value, list[tuple[Any, Array]]] = {}
        self.buffers: list[Array] = []
        self._free: dict[int, list[Array]] = defaultdict(list)
        self._roots: dict[Value, Value] = {}  # what a view is a view of
        self._buffer_of: dict[Value, Array] = {}  # of roots in buffers of their own
        for instruction in program.instructions:
            if instruction.kind == "view" and isinstance(instruction.args[0], Value):
                self._roots[instruction.out] = self._root(instruction.args[0])
        self._returned = {self._root(value) for value in values_in((program.results,))}
        self._last_use = self._last_uses()
        self._pinned = dict(self._pins())
        for i, instruction in enumerate(program.instructions):
            self._place(i, instruction)
            self._release(i, instruction)

    @property
    def nbytes(self) -> int:
        """The size of all buffers."""
        return sum(buffer.nbytes for buffer in self.buffers)

    def place(self, item: Any) -> Array | None:
        """The array that a value is kept in; None where it is a variable of the call."""
        if isinstance(item, Value) and item.kind == "memory":
            return item.array
        return self.places.get(item) if isinstance(item, Value) else None

    def _root(self, value: Value) -> Value:
        return self._roots.get(value, value)

    def _last_uses(self) -> dict[Value, int]:
        """When each root is read for the last time, itself or through a view."""
        last: dict[Value, int] = {}
        for i, instruction in enumerate(self.program.instructions):
            for value in instruction.inputs:
                last[self._root(value)] = i
        for value in self.program.kept():
            last[self._root(value)] = AT_THE_END
        return last

    # Places that are settled beforehand.

    def _pins(self) -> Iterator[tuple[Value, Array]]:
        """Values that are written where they are wanted in the end: in a gathered array, or in what they update."""
        made = {out: (i, each) for i, each in enumerate(self.program.instructions) for out in each.outs}
        pinned: set[Value] = set()  # a gradient can belong to several gathered arrays, but be written to one only
        for instruction in self.program.instructions:
            if instruction.kind == "gather":
                yield from self._gathered(instruction, made, pinned)
        guarded = max((i for i, each in enumerate(self.program.instructions) if each.kind == "guard"), default=-1)
        for memory, value in self.program.stores:
            i, maker = made.get(value, (-1, None))
            alone = sum(each is value for _, each in self.program.stores) == 1
            late = i > guarded and maker and maker.origin.phase == "update"  # until then a call can be left for another
            if late and maker and is_by_element(maker) and alone and self._unread_after(i, memory, maker):
                assert memory.array is not None
                yield value, memory.array

    def _gathered(
        self, instruction: Instruction, made: dict[Value, tuple[int, Instruction]], pinned: set[Value]
    ) -> Iterator[tuple[Value, Array]]:
        """The slices of a gathered array, for the values that can be written to them; the others are copied there."""
        flat = self._new(instruction.out)
        self.places[instruction.out] = flat
        self.gathers[instruction.out] = []
        seen: set[Value] = set()
        start = 0
        for item in instruction.args[0]:
            part = flat[start : start + item.size].reshape(item.shape)
            start += item.size
            maker = made[item][1] if isinstance(item, Value) and item in made else None
            direct = maker is not None and maker.kind in ("ufunc", "reduce") and item not in pinned
            if direct and item.strides == part.strides and item.dtype == part.dtype and has_out(maker):
                seen.add(item)
                pinned.add(item)
                yield item, part
            else:
                self.gathers[instruction.out].append((item, part))
        end = self.program.instructions.index(instruction)
        if all(self._last_use[value] == end for value in seen):
            self._buffer_of[instruction.out] = self.buffers[-1]  # free for others once it was read

    def _unread_after(self, i: int, memory: Value, maker: Instruction) -> bool:
        """Whether no instruction after one reads a memory, and that one only element by element."""
        assert memory.array is not None
        for j, instruction in enumerate(self.program.instructions[i:], i):
            for value in instruction.inputs:
                array = self._root(value).array
                if array is not None and np.may_share_memory(array, memory.array) and (j > i or value is not memory):
                    return False
        return memory.strides == maker.out.strides and memory.dtype == maker.out.dtype

    # One instruction after the other.

    def _place(self, i: int, instruction: Instruction) -> None:
        if instruction.kind == "view":
            self._place_view(instruction)
        elif instruction.kind == "put":
            self._place_put(i, instruction)
        elif instruction.kind in ("ufunc", "reduce") and has_out(instruction):
            out = instruction.out
            if out in self._pinned:
                self.places[out] = self._pinned[out]
            elif out.shape and out not in self._returned and not self._take_over(i, instruction):
                self._give_buffer(out)

    def _place_view(self, instruction: Instruction) -> None:
        base, *rest = instruction.args
        place = self.place(base)
        if place is not None and not any(values_in((*rest, instruction.options))):
            self.places[instruction.out] = instruction.function(place, *rest, **instruction.options)

    def _place_put(self, i: int, instruction: Instruction) -> None:
        base, out = instruction.args[0], instruction.out
        root = self._root(base) if isinstance(base, Value) else None
        others = {self._root(value) for value in values_in(instruction.args[1:])}
        dies = self._last_use.get(root) == i and root not in others and base in self.places if root else False
        if root in self._buffer_of and dies and base.strides == out.strides and self.places[base].flags.writeable:
            self.places[out] = self.places[base]
            self._hand_over(root, out)
        else:
            self.copied_first.add(out)
            self._give_buffer(out)

    def _take_over(self, i: int, instruction: Instruction) -> bool:
        """Write the result over an argument that is read for the last time, element by element."""
        if not is_by_element(instruction):
            return False
        out = instruction.out
        for value in instruction.inputs:
            root = self._root(value)
            dies = self._last_use.get(root) == i and root in self._buffer_of and value in self.places
            alike = (value.shape, value.dtype, value.strides) == (out.shape, out.dtype, out.strides)
            alone = all(each is value for each in instruction.inputs if self._root(each) is root)
            whole = dies and value.nbytes == root.nbytes and self.places[value].flags.writeable  # no broadcast view
            if whole and alike and alone:
                self.places[out] = self.places[value]
                self._hand_over(root, out)
                return True
        return False

    def _hand_over(self, root: Value, out: Value) -> None:
        """Let a result have the buffer of a value that is not read any more."""
        self._buffer_of[out] = self._buffer_of.pop(root)

    def _give_buffer(self, value: Value) -> None:
        free = self._free[value.nbytes]
        buffer = free.pop() if free else self._allocate(value.nbytes)
        self._buffer_of[value] = buffer
        self.places[value] = laid_out(buffer, value)

    def _release(self, i: int, instruction: Instruction) -> None:
        """Free the buffers that were read for the last time, or that nobody reads."""
        for value in (*instruction.inputs, *instruction.outs):
            root = self._root(value)
            if self._last_use.get(root, i) <= i and root in self._buffer_of:
                self._free[root.nbytes].append(self._buffer_of.pop(root))

    def _new(self, value: Value) -> Array:
        return laid_out(self._allocate(value.nbytes), value)

    def _allocate(self, nbytes: int) -> Array:
        buffer = aligned(nbytes, np.uint8)
        self.buffers.append(buffer)
        return buffer


def laid_out(buffer: Array, value: Value) -> Array:
    """A buffer as an array of a value's shape and type, its axes in the order in which NumPy had laid them out."""
    axes = sorted(range(value.ndim), key=lambda i: -abs(value.strides[i]))
    array = buffer[: value.nbytes].view(value.dtype).reshape([value.shape[i] for i in axes])
    return array.transpose(np.argsort(axes)) if axes else array.reshape(())


def is_by_element(instruction: Instruction) -> bool:
    """Whether each element of the result depends on the elements at its place alone."""
    function = instruction.function
    return instruction.kind == "ufunc" and has_out(instruction) and getattr(function, "signature", None) is None


def has_out(instruction: Instruction | None) -> bool:
    """Whether the result can be written to a given place."""
    if instruction is None:
        return False
    return isinstance(instruction.function, np.ufunc) or instruction.name == "converted"
