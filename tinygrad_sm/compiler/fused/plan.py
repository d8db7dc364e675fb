"""Which groups make up which compiled functions, and where the values that they hand on are kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from tinygrad_sm.compiler.fused.axes import Axes
from tinygrad_sm.compiler.fused.elements import NAMES, is_cheap
from tinygrad_sm.compiler.fused.layout import Layout, native_strides
from tinygrad_sm.compiler.fused.nests import FULL, SUM, Group, Grouping, Nest, Single
from tinygrad_sm.compiler.fused.phases import Phases
from tinygrad_sm.compiler.fused.pieces import Matrix, Piece, is_joined, pieces_of, product_of
from tinygrad_sm.compiler.fused.source import Names
from tinygrad_sm.compiler.fused.storage import LARGE, Place, Storage, is_contiguous
from tinygrad_sm.compiler.program import Instruction, Program, Value, values_in

# Elements from which on threads share a nest: with fewer, waking another one takes longer than its part of the work.
PARALLEL, PARALLEL_EXPENSIVE = 1 << 20, 1 << 17
BLOCK = 1 << 17  # elements of a block
ROWS = 8  # of the outermost loop, at least
# Multiplications from which on a product is shared, and from which on the BLAS would share it.
PRODUCT, BLAS_SHARES = 1 << 25, 1 << 18
LONGEST = 200  # instructions of a compiled function: twice as many take Numba three times as long


@dataclass(eq=False)
class Segment:
    """Groups that run one after another in one compiled function, or one that runs by itself.

    `kind` is "kernel", "rows" for a nest on several threads, or "call".
    """

    kind: str
    groups: list[Group] = field(default_factory=list)
    after: Nest | None = None  # the nest on several threads whose sums it completes


class Plan:
    """What runs where, and where values are kept.

    Args: program: in the form that `preparing.py` gives it. `stored` are the values that are kept from one group to
    another, `direct` those that are written to a memory in the first place, `variables` those that only calls make and
    read, `buffers` the places of rows that a nest keeps, `partial` those of the sums of blocks.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.numbers = {each.out: each for each in program.instructions if each.kind == "number"}
        program.instructions = [each for each in program.instructions if each.kind != "number"]
        self.layout = Layout(program)
        self.grouping = Grouping(program, self.layout)
        self.names, self.storage = Names(), Storage()
        for value in (*program.inputs, *program.numbers):
            self.names(value)
        for instruction in program.instructions:
            self.names.add(instruction)
        self.pieces = {each: pieces_of(each, self.layout) for each in program.instructions}
        draws = [g for g in self.grouping.groups if isinstance(g, Single) and g.instruction.kind == "draw"]
        self.groups: list[Group] = [*draws, *[g for g in self.grouping.groups if g not in draws]]
        self.at = {group: i for i, group in enumerate(self.groups)}
        self.segments = [*self._segments()]
        self.segment_of = {group: i for i, segment in enumerate(self.segments) for group in segment.groups}
        self.results = [self.layout(value).base for value in values_in((program.results,))]
        self.stored: set[Value] = set()
        self.last: dict[Value, int] = {}  # the last group that reads a value
        self._use()
        self.variables = self._variables()
        self._place_what_is_given()
        self.direct = {value: memory for memory, value in program.stores if self._is_direct(memory, value)}
        self.phases = {g: Phases(g, self.grouping, self.stored) for g in self.groups if isinstance(g, Nest)}
        self.buffers: dict[Value, Place] = {}
        self.partial: dict[Value, Place] = {}
        self._parts = dict(self._find_parts())
        for group in self.groups:
            self._place_outs(group)

    # Functions.

    def _segments(self) -> Iterator[Segment]:
        kernel = Segment("kernel")
        for group in self.groups:
            kind = self.kind(group)
            if kind == "kernel":
                if sum(map(_length, kernel.groups)) >= LONGEST:
                    yield kernel
                    kernel = Segment("kernel")
                kernel.groups.append(group)
                continue
            if kernel.groups or kernel.after:
                yield kernel
            yield Segment(kind, [group])
            kernel = Segment("kernel")
            if isinstance(group, Nest) and SUM in group.levels.values():
                kernel.after = group
        if kernel.groups or kernel.after:
            yield kernel

    def kind(self, group: Group) -> str:
        """The kind of segment that a group belongs in."""
        if isinstance(group, Nest):
            return "rows" if self.is_parallel(group) else "kernel"
        instruction = group.instruction
        if self.shared(group)[1] > 1:
            return "rows"
        if instruction.kind == "guard":
            value = instruction.args[0]
            compiled = isinstance(value, Value) and value.size == 1 and value.dtype in NAMES
        else:
            compiled = bool(self.pieces[instruction] or self.product(instruction))
        return "kernel" if compiled else "call"

    def product(self, instruction: Instruction) -> tuple[Matrix, Matrix, Matrix] | None:
        """The factors of a product that the BLAS computes, and the product."""
        return product_of(instruction, self.layout) if instruction.function is np.matmul else None

    def shared(self, group: Single) -> tuple[str, int]:
        """Along what a product is shared by several threads, "rows" or "columns", and in how many blocks."""
        matrices = self.product(group.instruction)
        if not matrices or matrices[0].batch or multiplications(matrices) < PRODUCT:
            return "", 1
        n, m = matrices[2].shape
        return "rows" if n >= m else "columns", 4 if max(n, m) >= 512 else 2 if max(n, m) >= 64 else 1

    def needs_calm(self) -> bool:
        """Whether there is a product that the BLAS would share among threads of its own."""
        products = [self.product(group.instruction) for group in self.groups if isinstance(group, Single)]
        return any(each is not None and multiplications(each) > BLAS_SHARES for each in products)

    def is_parallel(self, nest: Nest) -> bool:
        """Whether a nest is shared by several threads."""
        size = int(np.prod(nest.extents))
        cheap = all(is_cheap(s.instruction) or s.instruction.kind == "reduce" for s in nest.statements)
        return size >= (PARALLEL if cheap else PARALLEL_EXPENSIVE) and nest.extents[0] >= ROWS

    def blocks(self, group: Group) -> tuple[int, int, int]:
        """The length of what is shared by several threads, that of a block, and the number of blocks."""
        if isinstance(group, Nest):
            extent = Axes(group, self.grouping).extent(0)
            rows = max(1, BLOCK * extent // int(np.prod(group.extents)))
        else:
            along, parts = self.shared(group)
            extent = group.instruction.out.shape[0 if along == "rows" else -1]
            rows = -(-extent // (16 * parts)) * 16  # of whole vectors
        return extent, rows, -(-extent // rows)

    # What is read where.

    def _use(self) -> None:
        """Find out which values have to be kept, and until when."""
        for i, group in enumerate(self.groups):
            for base in self.reads(group):
                self.last[base] = i
                maker = self.grouping.group_of.get(base)
                if maker is not None and maker is not group and not self._is_local(base, maker, group):
                    self.stored.add(base)
            if isinstance(group, Single):
                self.stored.update(group.instruction.outs)
        for base in self._kept():
            self.stored.add(base)
            self.last[base] = len(self.groups)

    def _kept(self) -> list[Value]:
        return [self.layout(value).base for value in self.program.kept()]

    def reads(self, group: Group) -> Iterator[Value]:
        """The bases that a group reads."""
        if isinstance(group, Single):
            yield from (self.layout(value).base for value in group.instruction.inputs if value.kind != "number")
            return
        for instruction, _ in group.statements:
            found = self.grouping.chosen(instruction)
            yield from [found.base] if found else []
            yield from (access.base for access, _ in self.grouping.accesses(instruction))

    def _is_local(self, base: Value, maker: Group, reader: Group) -> bool:
        """Whether a number is a variable of the function in which it is made and read."""
        if not isinstance(maker, Nest) or base.size > 1 or self.segment_of[maker] != self.segment_of[reader]:
            return False
        if isinstance(reader, Single):
            return reader.instruction.kind == "guard"
        chosen = [self.grouping.chosen(each.instruction) for each in reader.statements]
        return all(found is None or found.base is not base for found in chosen)

    def _variables(self) -> set[Value]:
        """What calls make and only calls read."""
        elsewhere = {base for group in self.groups if self.kind(group) != "call" for base in self.reads(group)}
        calls = [group.instruction for group in self.groups if isinstance(group, Single) and self.kind(group) == "call"]
        return {out for call in calls for out in call.outs} - elsewhere - set(self._kept())

    # Where values are.

    def _place_what_is_given(self) -> None:
        """Place inputs, memories and constants."""
        end = len(self.groups)
        for value in self.program.inputs:
            self.storage.add_input(value, self.names(value))
        read = [v for each in self.program.instructions for v in each.inputs]
        stores = [memory for memory, _ in self.program.stores]
        bases = dict.fromkeys(self.layout(value).base for value in (*read, *self.program.kept(), *stores))
        for base in sorted(bases, key=lambda base: -base.size):  # a whole storage lends its name to its parts
            if base.kind == "memory":
                self.storage.add_memory(base, self.names(base))
            elif base.kind == "constant":
                self.storage.add(base, -1, end)
        for value in self.storage.copied_in:
            self.storage.add(value, -1, end)

    def _is_direct(self, memory: Value, value: Value) -> bool:
        """Whether a value can be written to the memory in which it is stored, where it is computed."""
        nest = self.grouping.group_of.get(value)
        alone = [each for _, each in self.program.stores].count(value) == 1 and value not in self.results
        if not isinstance(nest, Nest) or nest.split is not None or not alone or memory not in self.storage.places:
            return False
        alike = (value.shape, value.dtype, native_strides(value)) == (
            memory.shape,
            memory.dtype,
            native_strides(memory),
        )
        return alike and self.at[nest] > self._last_stop() and self._is_unread(memory, nest)

    def _last_stop(self) -> int:
        """The last group after which a call may turn out not to be one for the program, or raise."""
        stops = [-1]
        for i, group in enumerate(self.groups):
            if isinstance(group, Nest):
                found = [self.grouping.chosen(each.instruction) for each in group.statements]
                stops += [i] if any(each and each.dynamic for each in found) else []
            elif group.instruction.kind in ("guard", "put", "call") or self.kind(group) == "call":
                stops.append(i)
        return stops[-1]

    def _is_unread(self, memory: Value, nest: Nest) -> bool:
        """Whether nothing reads a memory after a nest, and that one only the element that it replaces."""
        later = [base for group in self.groups[self.at[nest] + 1 :] for base in self.reads(group)]
        if any(_overlap(base, memory) for base in (*later, *self._kept())):
            return False
        own = nest.steps(FULL, memory.shape, native_strides(memory))
        for instruction, level in nest.statements:
            for access, strides in self.grouping.accesses(instruction):
                same = access.base is memory and not access.offset
                steps = nest.steps(level, self.grouping.shape(instruction), strides)
                if _overlap(access.base, memory) and not (same and steps == own):
                    return False
        return True

    def _find_parts(self) -> Iterator[tuple[Value, tuple[Value, int]]]:
        """The values that can be computed in their part of another one, and where that begins."""
        seen: set[Value] = set()
        for group in self.groups:
            if isinstance(group, Nest) or not is_joined(group.instruction):
                continue
            out = group.instruction.outs[0] if group.instruction.outs else None
            for item, offset, shape, strides, *_ in self.pieces[group.instruction]:
                steps = zip(shape, native_strides(item), strides, strict=True)
                fits = all(n == 1 or own == there for n, own, there in steps)
                if out and fits and item in self.grouping.group_of and item not in seen and item not in self.direct:
                    seen.add(item)
                    self.last[out] = max(self.last.get(out, 0), self.last[item])
                    yield item, (out, offset)

    def _place_outs(self, group: Group) -> None:
        """Give what a group makes its places."""
        for value in group.levels if isinstance(group, Nest) else group.instruction.outs:
            if value in self.direct:
                self.storage.places[value] = self.storage.places[self.direct[value]]
            elif value in self._parts:
                whole, offset = self._parts[value]
                self._place(whole, self.at[group])
                self.storage.add_part(value, whole, offset)
            elif value in self.stored - self.variables:
                self._place(value, self.at[group])
        if isinstance(group, Nest):
            self._place_rows(group)

    def _place(self, value: Value, i: int) -> None:
        """Give a value a place of its own: a large result an array of its own, too."""
        if value in self.storage.places:
            return
        if value.nbytes >= LARGE and self.results.count(value) == 1 and is_contiguous(value):
            self.storage.add_result(value, self.names.fresh(f"{self.names(value)}_out"))
        else:
            self.storage.add(value, i, self.last.get(value, i))

    def _place_rows(self, nest: Nest) -> None:
        """Give the rows that a nest keeps their places, and the sums of its blocks."""
        i, phases, parallel = self.at[nest], self.phases[nest], self.is_parallel(nest)
        blocks = self.blocks(nest)[2] if parallel else 1
        size = int(np.prod(nest.extents[nest.split or 0 :]))
        for value, level in nest.levels.items():
            if value in phases.kept and value not in phases.shares:
                self.buffers[value] = self.storage.room(value.dtype, size * blocks, i, i)
            if level == SUM and parallel:
                self.partial[value] = self.storage.room(value.dtype, value.size * blocks, i, i + 1)


def multiplications(matrices: tuple[Matrix, Matrix, Matrix]) -> int:
    """How many numbers are multiplied for a product."""
    return int(np.prod(matrices[0].shape)) * matrices[1].shape[1]


def _length(group: Group) -> int:
    return len(group.statements) if isinstance(group, Nest) else 1


def _overlap(base: Value, memory: Value) -> bool:
    """Whether two memories may share elements."""
    if base.kind != "memory" or base.array is None or memory.array is None:
        return False
    return base is memory or np.may_share_memory(base.array, memory.array)


__all__ = ["Piece", "Plan", "Segment"]
