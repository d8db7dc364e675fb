"""Nests as source: loops over numbers, in which every array is flat and every length a constant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_sm.compiler.fused.axes import Axes, Steps
from tinygrad_sm.compiler.fused.elements import cast, expression, literal, loop_types, operands
from tinygrad_sm.compiler.fused.indexing import Chosen, Dynamic
from tinygrad_sm.compiler.fused.layout import Access, broadcast_strides
from tinygrad_sm.compiler.fused.nests import FULL, ROW, SUM, Grouping, Statement
from tinygrad_sm.compiler.fused.phases import Phases
from tinygrad_sm.compiler.fused.source import INDENT, Function, combined, nested, starting
from tinygrad_sm.compiler.fused.storage import Place
from tinygrad_sm.compiler.program import Instruction, Value
from tinygrad_sm.compiler.tracing import assigned

# How many float32 numbers make a sum that is computed in float64, because errors add up: along the rows vectors hold 32
# sums, over all elements perhaps none, and over what there is of each row none.
LONG = {"": 1 << 16, FULL: 1 << 12, ROW: 1 << 6}


class NestWriter:
    """The source of one nest.

    Args: buffers: where rows are kept; partial: in a nest on several threads, where the sums of each block go. The
    outermost loop of such a nest goes from lo to hi.
    """

    def __init__(
        self,
        function: Function,
        grouping: Grouping,
        phases: Phases,
        buffers: dict[Value, Place],
        partial: dict[Value, Place] | None = None,
    ) -> None:
        self.function, self.grouping, self.phases = function, grouping, phases
        self.nest, self.layout = phases.nest, grouping.layout
        self.names, self.storage = function.names, function.storage
        self.buffers, self.partial = buffers, partial
        self.axes = Axes(self.nest, grouping)
        self.phase = 0
        self.once: list[str] = []  # lines before the loops
        self.at_row: list[str] = []  # lines in the row, before or after a passage
        self.inner: list[str] = []  # lines in the innermost loop
        self.last: list[str] = []  # and those at its end, where everything has been read
        self.in_row: dict[Any, str] = {}  # what is known in a row: names by value, or by the element that was read
        self.here: dict[Any, str] = {}  # what is known in the innermost loop

    def lines(self) -> list[str]:
        """The lines of the nest."""
        rows = [line for phase in range(-1, self.phases.count) for line in self._passage(phase)]
        finished = self._finished()
        return [*self.once, *nested(self.axes.heads(True, self.partial is not None), rows), *finished]

    def _passage(self, phase: int) -> list[str]:
        """One way through the row, and what is known after it."""
        self.phase, self.at_row, self.inner, self.last, self.here = phase, [], [], [], {}
        after: list[str] = []
        statements = [s for s in self.nest.statements if self.phases.phase[s.instruction.out] == phase]
        for statement in statements:
            if statement.level == FULL:
                after += self._full(statement)
            elif statement.instruction.function is assigned:
                self._copy_row(statement.instruction)
        heads = self.axes.heads(False, self.partial is not None)
        self.at_row += [*nested(heads, [*self.inner, *self.last]), *after]
        for statement in statements:
            if statement.level == ROW:
                self._row(statement)
        return self.at_row

    def _full(self, statement: Statement) -> list[str]:
        """Write a statement by element; returns what follows after the passage."""
        instruction, out = statement.instruction, statement.instruction.out
        if instruction.kind == "reduce":
            return self._reduction(statement)
        if self._is_kept(out):
            self._store(out, self._value(out))
        elif out in self.phases.overwritten:
            self._store(self.phases.overwritten[out], self._value(out))
        if not self.nest.extents:
            self.function.scalars[out] = self._value(out)
        return []

    def _is_kept(self, base: Value) -> bool:
        return base in self.phases.stored or base in self.phases.kept

    def _copy_row(self, instruction: Instruction) -> None:
        """Copy a row in which an element is going to be assigned to, unless it is computed there."""
        found = self.grouping.chosen(instruction)
        if found and self.phases.overwritten.get(found.base) is not instruction.out:
            self._store(instruction.out, self._read(instruction.args[0], FULL, instruction.out.shape))

    def _store(self, base: Value, text: str) -> None:
        self.last.append(f"{self._address(base)} = {text}")

    # Where values are.

    def _address(self, base: Value) -> str:
        """Where an element of a value that this nest computes is kept."""
        base = self.phases.place(base)
        if base in self.buffers:
            return self.function.element(self.buffers[base], self._buffer(base), self.axes.in_row())
        return self.function.of(base, self.axes.terms(self.axes.of(base)))

    def _address_in_row(self, base: Value, index: str) -> str:
        """Where one element of the present row is kept."""
        base = self.phases.place(base)
        if base in self.buffers:
            return self.function.element(self.buffers[base], self._buffer(base), [(1, index)])
        steps = self.axes.of(base)
        return self.function.of(base, [*self.axes.terms(steps, rows=True), (steps[-1], index)])

    def _buffer(self, base: Value) -> str:
        """The name of the place where a row is kept; several threads have one each."""
        slot = f" + slot * {self.axes.row_size}" if self.partial is not None else ""
        return self._declared(f"row_{self.names(base)}", f"{self.buffers[base].offset}{slot}")

    def _declared(self, name: str, text: str) -> str:
        """A variable before the loops."""
        if name not in self.in_row:
            self.in_row[name] = self.names.fresh(name)
            self.once.append(f"{self.in_row[name]} = {text}")
        return self.in_row[name]

    # What values are.

    def _value(self, base: Value) -> str:
        """A value by element that this nest computes, in the present passage: computed, or fetched if it was before."""
        if base not in self.here:
            statement = self.phases.made[base]
            earlier = self.phases.phase[base] < self.phase
            if statement.instruction.function is assigned or (earlier and self._is_kept(base)):
                self._fetch(base, self._address(base))
            elif earlier and base in self.phases.overwritten:
                self._fetch(base, self._address(self.phases.overwritten[base]))
            else:
                self.inner.append(f"{self.names(base)} = {self._computed(statement)}")
                self.here[base] = self.names(base)
        return self.here[base]

    def _fetch(self, base: Value, text: str) -> None:
        letters = "".join(letter for _, letter in self.axes.terms(self.axes.of(base)))
        self.here[base] = self.names.fresh(f"{self.names(base)}_{letters}")
        self.inner.append(f"{self.here[base]} = {text}")

    def _computed(self, statement: Statement) -> str:
        """The expression of a statement, or the element that it picks."""
        instruction, level = statement
        found = self.grouping.chosen(instruction)
        if found:
            return self._picked(level, found)
        types = loop_types(instruction)
        assert types is not None
        shape = self.grouping.shape(instruction)
        given = zip(operands(instruction), types, strict=True)
        return expression(instruction, [self._converted(item, level, shape, dtype) for item, dtype in given])

    def _converted(self, item: Any, level: str, shape: Sequence[int], dtype: np.dtype[Any]) -> str:
        """An argument in the type that an instruction computes in."""
        if isinstance(item, Value):
            return cast(self._read(item, level, shape), item.dtype, dtype)
        return literal(item, dtype)

    def _read(self, item: Value, level: str, shape: Sequence[int]) -> str:
        """The element of a value that an instruction of some shape reads."""
        if item.kind == "number":
            return self.function.number(item)
        access = self.layout(item)
        return self._element(access, level, shape, broadcast_strides(item.shape, access.strides, shape))

    def _element(self, access: Access, level: str, shape: Sequence[int], strides: Sequence[int]) -> str:
        base = access.base
        if base in self.phases.made:
            return self.in_row[base] if self.nest.levels[base] == ROW else self._value(base)
        if base in self.function.scalars:
            return self.function.scalars[base]
        return self._fetched(access, self.nest.steps(level, shape, strides))

    def _fetched(self, access: Access, steps: Steps) -> str:
        """A variable for an element that stood in memory before, in the outermost loop that it depends on."""
        text = self.function.of(access.base, self.axes.terms(steps), access.offset)
        scope, lines = self.in_row, self.once
        if self.axes.depends(steps, rows=False):
            scope, lines = self.here, self.inner
        elif self.axes.depends(steps, rows=True):
            lines = self.at_row
        if text not in scope:
            letters = "".join(letter for step, letter in self.axes.terms(steps) if step)
            scope[text] = self.names.fresh(f"{self.names(access.base)}_{letters or 0}")
            lines.append(f"{scope[text]} = {text}")
        return scope[text]

    def _picked(self, level: str, found: Chosen) -> str:
        """The element that is chosen by integers."""
        chosen = [(each.step, self._index(each, level, found.shape)) for each in found.dynamic]
        if found.base in self.phases.made:
            return self._address_in_row(self.phases.overwritten.get(found.base, found.base), chosen[0][1])
        steps = self.nest.steps(level, found.shape, found.strides)
        return self.function.of(found.base, [*self.axes.terms(steps), *chosen], found.offset)

    def _index(self, dynamic: Dynamic, level: str, shape: Sequence[int]) -> str:
        """A variable for an index, counted from the start and within bounds; others are noted."""
        text = self._element(self.layout(dynamic.places), level, shape, dynamic.strides)
        scope, lines = (self.here, self.inner) if level == FULL else (self.in_row, self.at_row)
        key = "index", text, dynamic.extent
        if key not in scope:
            scope[key], checked = self.function.index(text, dynamic.extent)
            lines += checked
        return scope[key]

    # Rows.

    def _row(self, statement: Statement) -> None:
        """Write a statement by row."""
        instruction, out = statement.instruction, statement.instruction.out
        shape = self.grouping.shape(instruction)
        if instruction.kind == "reduce":
            element = self._converted(instruction.args[0], ROW, shape, self._computes_in(instruction))
            self._add(statement, element, self.at_row)
        elif instruction.function is assigned:
            found = self.grouping.chosen(instruction)
            assert found is not None
            index = self._index(found.dynamic[0], ROW, shape)
            value = self._converted(instruction.args[2], ROW, shape, out.dtype)
            self.at_row.append(f"{self._address_in_row(out, index)} = {value}")
        else:
            self.at_row.append(f"{self.names(out)} = {self._computed(statement)}")
            self.in_row[out] = self.names(out)
            self.at_row += self._stored_row(out)

    def _stored_row(self, out: Value) -> list[str]:
        return [f"{self._address(out)} = {self.in_row[out]}"] if out in self.phases.stored else []

    # Reductions.

    def _reduction(self, statement: Statement) -> list[str]:
        """Add an element to a reduction; returns what follows after the passage."""
        instruction, out = statement.instruction, statement.instruction.out
        array, wide = instruction.args[0], self._computes_in(instruction)
        element = self._converted(array, FULL, array.shape, wide)
        by_row = self.nest.levels[out] == ROW
        steps = self.axes.of(out) if by_row else self.axes.of_sum(statement)
        if not by_row and (not any(steps) or not self.axes.split or self.axes.depends(steps, rows=False)):
            self._add(statement, element, self.inner)
            return []
        name = self.names(out) if by_row else self.names.fresh(f"part_{self.names(out)}")
        self.at_row.append(f"{name} = {starting(instruction, wide)}")
        self.inner.append(f"{name} = {combined(instruction, name, element)}")
        after: list[str] = []
        if not by_row:
            self._add(statement, cast(name, wide, out.dtype), after)
            return after
        self.in_row[out] = name
        narrowed = [f"{name} = {cast(name, wide, out.dtype)}"] if wide != out.dtype else []
        return [*narrowed, *self._stored_row(out)]

    def _add(self, statement: Statement, element: str, lines: list[str]) -> None:
        """Add a number to a reduction that is complete only after the nest."""
        instruction, out = statement.instruction, statement.instruction.out
        steps = self.axes.of_sum(statement)
        if not any(steps):
            name = self.names(out)
            self.once.append(f"{name} = {starting(instruction, self._computes_in(instruction))}")
            lines.append(f"{name} = {combined(instruction, name, element)}")
            return
        if self.partial is None:
            place, start = self.storage.places[out], self.function.start(out)
        else:
            place = self.partial[out]
            start = self._declared(f"part_{self.names(out)}", f"{place.offset} + block * {out.size}")
        target = self.function.element(place, start, self.axes.terms(steps))
        each = self.function.element(place, start, [(1, "i")])
        self.once += [f"for i in range({out.size}):", f"{INDENT}{each} = {starting(instruction, out.dtype)}"]
        lines.append(f"{target} = {combined(instruction, target, element)}")

    def _computes_in(self, instruction: Instruction) -> np.dtype[Any]:
        """The type in which a reduction is computed: long sums of float32 in float64."""
        array, out = instruction.args[0], instruction.out
        level = self.phases.made[out].level if self.nest.levels[out] == SUM else ""
        long = array.size // out.size >= LONG[level] and not (level and out.size > 1)
        widened = long and instruction.function is np.add and out.dtype == np.float32
        return np.dtype(np.float64) if widened else out.dtype

    def _finished(self) -> list[str]:
        """What follows after the loops: reductions to one number are complete."""
        lines = []
        for statement in self.nest.statements:
            instruction, out = statement.instruction, statement.instruction.out
            if self.nest.levels[out] != SUM or any(self.axes.of_sum(statement)):
                continue
            name, wide = self.names(out), self._computes_in(instruction)
            if self.partial is not None:
                place = self.partial[out]
                lines.append(f"{self.function.element(place, '', [(1, 'block')], place.offset)} = {name}")
                continue
            lines += [f"{name} = {cast(name, wide, out.dtype)}"] if wide != out.dtype else []
            self.function.scalars[out] = name
            lines += [f"{self.function.of(out, [])} = {name}"] if out in self.phases.stored else []
        return lines
