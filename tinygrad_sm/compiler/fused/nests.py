"""Which instructions share a loop.

A nest is a loop over the elements of arrays of one shape. Reductions along its last axes split it: for each row, the
elements are gone through once up to the reduction, and again with what came out of it. So a softmax, a loss and its
gradient become one nest, in which a row stays in the fastest cache.

What is cheap to compute waits until somebody reads it, and goes into the reader's nest. What is expensive, and what
reduces, joins the nest that its arguments come from, or else the last one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tinygrad_sm.compiler.fused.elements import READ, is_by_element, is_cheap, is_reduction, operands
from tinygrad_sm.compiler.fused.indexing import Chosen, chosen_by
from tinygrad_sm.compiler.fused.layout import Access, Layout, broadcast_strides
from tinygrad_sm.compiler.program import Instruction, Program, Value, values_in
from tinygrad_sm.compiler.tracing import assigned, element

FULL, ROW, SUM = "full", "row", "sum"  # an element for each point of a nest; for each row; complete after the nest only
DEPTH = 24  # of expressions that wait for a reader


class Statement(NamedTuple):
    """An instruction in a nest, for each element or for each row."""

    instruction: Instruction
    level: str


@dataclass(eq=False)
class Nest:
    """A loop: `extents` without axes of one element, the outermost first; `order` says which axis of arrays each is.

    The first `split` axes are the rows.
    """

    extents: tuple[int, ...]
    order: tuple[int, ...]
    split: int | None = None
    levels: dict[Value, str] = field(default_factory=dict)  # of what it computes
    statements: list[Statement] = field(default_factory=list)

    def axes(self, level: str, split: int | None = None) -> list[int]:
        """For each axis of an array of that level, in order, the loop that runs over it."""
        last = len(self.order) if level == FULL else (self.split if split is None else split)
        return sorted(range(last or 0), key=lambda k: self.order[k])

    def steps(self, level: str, shape: Sequence[int], strides: Sequence[int], split: int | None = None) -> Any:
        """Strides over a shape as strides over the loops; None if the shape is not the nest's at that level."""
        if level == ROW and (self.split if split is None else split) is None:
            return None
        loops = self.axes(level, split)
        stripped = [(n, step) for n, step in zip(shape, strides, strict=True) if n > 1]
        if [n for n, _ in stripped] != [self.extents[k] for k in loops]:
            return None
        steps = [0] * len(self.extents)
        for k, (_, step) in zip(loops, stripped, strict=True):
            steps[k] = step
        return tuple(steps)


@dataclass(eq=False)
class Single:
    """An instruction by itself."""

    instruction: Instruction


Group = Nest | Single


class Grouping:
    """The groups of a program, in the order in which they run."""

    def __init__(self, program: Program, layout: Layout) -> None:
        self.layout = layout
        self.groups: list[Group] = []
        self.group_of: dict[Value, Group] = {}
        self.waiting: dict[Value, Instruction] = {}
        self._depths: dict[Value, int] = {}
        self._chosen: dict[Instruction, Chosen | None] = {}
        self._readers: dict[Any, int] = {}  # by memory, the last group that reads it
        for instruction in program.instructions:
            self._take(instruction)
        for value in values_in((program.results,)):
            self._settle(value)
        self._update(program)

    def chosen(self, instruction: Instruction) -> Chosen | None:
        """Which elements an instruction picks or replaces, if it does so by integers along the first axes."""
        if instruction not in self._chosen:
            self._chosen[instruction] = _chosen(instruction, self.layout)
        return self._chosen[instruction]

    def shape(self, instruction: Instruction) -> tuple[int, ...]:
        """The shape that the loops of an instruction go over."""
        if instruction.kind == "reduce":
            return instruction.args[0].shape  # type: ignore[no-any-return]
        found = self.chosen(instruction)
        return found.shape if found else instruction.out.shape

    def accesses(self, instruction: Instruction) -> Iterator[tuple[Access, tuple[int, ...]]]:
        """What an instruction reads by element, and with which strides over its shape."""
        shape = self.shape(instruction)
        found = self.chosen(instruction)
        for item in operands(instruction) if not found else instruction.args[2:]:
            if isinstance(item, Value) and item.kind != "number":
                access = self.layout(item)
                yield access, broadcast_strides(item.shape, access.strides, shape)
        for each in found.dynamic if found else ():
            yield self.layout(each.places), each.strides

    def position(self, group: Group) -> int:
        """The place of a group in the order."""
        return next(i for i, each in enumerate(self.groups) if each is group)

    # One instruction after the other.

    def _take(self, instruction: Instruction) -> None:
        if instruction.kind == "view" and instruction.out not in self.layout.opaque:
            return
        if self._waits(instruction):
            self.waiting[instruction.out] = instruction
            bases = [self.layout(value).base for value in instruction.inputs]
            self._depths[instruction.out] = 1 + max([self._depths.get(base, 0) for base in bases], default=0)
            if self._depths[instruction.out] >= DEPTH:
                self._settle(instruction.out)
        elif is_by_element(instruction) or is_reduction(instruction) or self.chosen(instruction):
            self._place(instruction)
        else:
            for value in instruction.inputs:
                self._settle(value)
            self._append(Single(instruction))

    def _waits(self, instruction: Instruction) -> bool:
        return is_cheap(instruction) or (instruction.function is element and self.chosen(instruction) is not None)

    def _append(self, single: Single) -> None:
        self.groups.append(single)
        for out in single.instruction.outs:
            self.group_of[out] = single

    def _settle(self, value: Value, before: Group | None = None) -> None:
        """See to it that a value is computed by one of the groups."""
        base = self.layout(value).base
        if base in self.waiting:
            self._place(self.waiting[base], before)

    def _place(self, instruction: Instruction, before: Group | None = None, after: int = -1) -> None:
        """Put an instruction into a nest, before some group, after another."""
        stop = self.position(before) if before else len(self.groups)
        first = self._ready(instruction)
        for i in sorted({first, stop - 1} - {-1}):
            nest = self.groups[i]
            if isinstance(nest, Nest) and i >= first and after < i < stop and self._join(nest, instruction):
                return
        nest = self._fresh(instruction)
        self.groups.insert(stop, nest)
        if not self._join(nest, instruction):
            for access, _ in self.accesses(instruction):
                self._settle(access.base, nest)
            if self.chosen(instruction):
                self._settle(self.chosen(instruction).base, nest)  # type: ignore[union-attr]
            joined = self._join(nest, instruction)
            assert joined, instruction

    def _ready(self, instruction: Instruction) -> int:
        """The last group that an instruction, or what waits for it to be read, needs; -1 for none."""
        read = {base for each in self._cone(instruction) for base in self._bases(each)}
        return max([self.position(self.group_of[base]) for base in read if base in self.group_of], default=-1)

    def _bases(self, instruction: Instruction) -> list[Value]:
        return [self.layout(value).base for value in instruction.inputs]

    def _cone(self, instruction: Instruction) -> list[Instruction]:
        """An instruction and all those that wait for it to be read, directly or through others."""
        cone = {instruction: None}
        todo = [instruction]
        while todo:
            for base in self._bases(todo.pop()):
                waiting = self.waiting.get(base)
                if waiting and waiting not in cone:
                    cone[waiting] = None
                    todo.append(waiting)
        return list(cone)

    def _fresh(self, instruction: Instruction) -> Nest:
        """A nest for an instruction: the axis along which its largest operand lies densest is the innermost."""
        put = instruction.function is assigned
        shape = instruction.out.shape if put else self.shape(instruction)
        steps = [0] * len(shape)
        if instruction.out.shape == shape:
            steps = list(self.layout(instruction.out).strides)
        for _, strides in self.accesses(instruction) if not any(steps) else ():
            steps = [max(abs(a), abs(b)) for a, b in zip(steps, strides, strict=True)]
        kept = [(i, n) for i, n in enumerate(shape) if n > 1]
        order = sorted(range(len(kept)), key=lambda k: -steps[kept[k][0]])
        return Nest(tuple(kept[k][1] for k in order), tuple(order))

    def _join(self, nest: Nest, instruction: Instruction) -> bool:
        """Add an instruction, and what waits for it, to a nest, if all of it fits there."""
        attempt = _Attempt(self, nest)
        if not attempt.add(instruction):
            return False
        for each in attempt.outside:
            if each.out in self.waiting:
                self._place(each, nest)
        nest.split = attempt.split
        for statement in attempt.statements:
            out = statement.instruction.out
            if out in self.group_of:  # needed outside of the nest, too
                continue
            nest.statements.append(statement)
            nest.levels[out] = attempt.levels[out]
            self.group_of[out] = nest
            self.waiting.pop(out, None)
        return True

    # What outlives the call is written last.

    def _update(self, program: Program) -> None:
        """Place what is stored after all guards, and after all groups that read what it replaces."""
        guards = [i for i, group in enumerate(self.groups) if isinstance(group, Single) and _may_stop(group)]
        for _, value in program.stores:
            base = self.layout(value).base
            if base in self.waiting:
                self._place(self.waiting[base], after=max(guards, default=-1))


def _may_stop(single: Single) -> bool:
    return single.instruction.kind not in ("ufunc", "gather")


class _Attempt:
    """Whether an instruction fits a nest: the nest as it would be with it, while this is being found out."""

    def __init__(self, grouping: Grouping, nest: Nest) -> None:
        self.grouping, self.nest = grouping, nest
        self.layout = grouping.layout
        self.at = grouping.position(nest)
        self.split = nest.split
        self.levels = dict(nest.levels)
        self.statements: list[Statement] = []
        self.outside: list[Instruction] = []

    def add(self, instruction: Instruction) -> bool:
        """Add an instruction to the statements, by element or by row."""
        return self._visit(instruction, FULL) or (self._reads_row(instruction) and self._visit(instruction, ROW))

    def _reads_row(self, instruction: Instruction) -> bool:
        """Whether an instruction, itself or through what waits for it, reads what the nest has for each row."""
        for each in self.grouping._cone(instruction):
            found = self.grouping.chosen(each)
            if each.function is assigned or (found and found.base in self.levels):
                return True
            if any(self.levels.get(base) == ROW for base in self.grouping._bases(each)):
                return True
        return False

    def _visit(self, instruction: Instruction, level: str) -> bool:
        """Add an instruction at a level; on failure everything is as before."""
        saved = self.split, dict(self.levels), list(self.statements), list(self.outside)
        if self._fits(instruction, level):
            self.statements.append(Statement(instruction, level))
            return True
        self.split, self.levels, self.statements, self.outside = saved
        return False

    def _fits(self, instruction: Instruction, level: str) -> bool:
        out, shape = instruction.out, self.grouping.shape(instruction)
        found = self.grouping.chosen(instruction)
        if found and (instruction.function is assigned or self._is_here(found.base)):
            if level == FULL or not self._fits_row(instruction, found):
                return False
        elif self._steps(level, shape, (0,) * len(shape)) is None:
            return False
        for access, strides in self.grouping.accesses(instruction):
            if not self._reads(access, level, self._steps(level, shape, strides)):
                return False
        if found and not self._is_here(found.base) and not self._is_before(found.base):
            return False
        if instruction.kind == "reduce":
            return self._reduces(instruction, level)
        self.levels[out] = FULL if instruction.function is assigned else level
        return True

    def _steps(self, level: str, shape: Sequence[int], strides: Sequence[int]) -> Any:
        return self.nest.steps(level, shape, strides, self.split)

    def _is_here(self, base: Value) -> bool:
        """Whether a value is computed in this nest, or could be."""
        return base in self.levels or base in self.grouping.waiting

    def _is_before(self, base: Value) -> bool:
        group = self.grouping.group_of.get(base)
        return group is None or self.grouping.position(group) < self.at

    def _reads(self, access: Access, level: str, steps: tuple[int, ...]) -> bool:
        """Whether a value can be read with such steps: from memory, or as it is computed at the same point."""
        base = access.base
        if base in self.levels:
            return self._alike(access, self.levels[base], level, steps)
        waiting = self.grouping.waiting.get(base)
        if waiting is None:
            return self._is_before(base)
        if base not in [each.out for each in self.outside]:
            for its_level in (FULL, ROW) if level == FULL else (ROW,):
                if self._alike(access, its_level, level, steps) and self._visit(waiting, its_level):
                    return True
        if self.grouping._ready(waiting) < self.at and not self._depends(waiting):
            self.outside.append(waiting)
            return True
        return False

    def _depends(self, waiting: Instruction) -> bool:
        """Whether something that waits has just been added to this nest, and is needed outside of it."""
        cone = self.grouping._cone(waiting)
        return any(each.out in self.levels for each in cone) or any(
            base in self.levels for each in cone for base in self.grouping._bases(each)
        )

    def _alike(self, access: Access, its_level: str, level: str, steps: tuple[int, ...]) -> bool:
        """Whether the element that is read is the one that is computed at the same point of the loops."""
        if its_level == SUM or (its_level == FULL and level == ROW) or access.offset:
            return False
        native = self.layout(access.base)
        return bool(self._steps(its_level, access.base.shape, native.strides) == steps)

    def _reduces(self, instruction: Instruction, level: str) -> bool:
        """Settle the level of a reduction's result, and where it splits the nest."""
        (array,), axes = instruction.args, instruction.options.get("axis", (0,))
        marks = [axes is None or i in axes for i in range(array.ndim)]
        reduced = self._steps(level, array.shape, marks)
        last = len(reduced) if level == FULL else self.split or 0
        inner = last
        while inner > 0 and reduced[inner - 1]:
            inner -= 1
        trailing_only = not any(reduced[:inner])
        self.levels[instruction.out] = SUM
        if level == ROW or inner == 0 or inner == last:
            return True
        if self.split is None:
            self.split = inner
        if trailing_only:
            self.levels[instruction.out] = ROW
        return self.split == inner

    def _fits_row(self, instruction: Instruction, found: Chosen) -> bool:
        """Whether one element of each row is chosen, and the row is complete by then."""
        if not self.nest.extents or len(found.dynamic) != 1:
            return False
        last = len(self.nest.extents) - 1
        self.split = last if self.split is None else self.split
        base = found.base
        native = self._steps(FULL, base.shape, self.layout(base).strides)
        steps = self._steps(ROW, found.shape, found.strides)
        if self.split != last or native is None or steps is None or found.offset:
            return False
        if steps != (*native[:last], 0) or found.dynamic[0].step != native[last]:
            return False
        if base in self.levels:
            return self.levels[base] == FULL
        waiting = self.grouping.waiting.get(base)
        return self._visit(waiting, FULL) if waiting else self._is_before(base)


def _chosen(instruction: Instruction, layout: Layout) -> Chosen | None:
    """See `Grouping.chosen`."""
    if instruction.function not in (element, assigned) or not isinstance(instruction.args[0], Value):
        return None
    array, index = instruction.args[:2]
    if array.dtype not in READ or any(value.dtype not in READ for value in instruction.inputs):
        return None
    found = chosen_by(index, array.shape, layout(array), layout)
    if found is None or instruction.function is element:
        return found
    return found if _is_one_of_each_row(array, layout(array), found) else None


def _is_one_of_each_row(array: Value, access: Access, found: Chosen) -> bool:
    """Whether one element in each row of a matrix is chosen, the row by its number."""
    whole = access.base is array and array.ndim == 2 and min(array.shape) > 1 and access.strides[1] == 1
    return whole and (found.shape, found.strides, len(found.dynamic)) == (array.shape[:1], access.strides[:1], 1)
