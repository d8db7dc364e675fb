"""Nests as source: loops over numbers, in which every array is flat and every length a constant."""

from __future__ import annotations

import itertools
import keyword
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_sm.compiler.fused.elements import NAMES, STARTS, cast, expression, literal, loop_types, operands
from tinygrad_sm.compiler.fused.layout import Access
from tinygrad_sm.compiler.fused.nests import FULL, ROW, SUM, Chosen, Grouping, Nest, Statement, broadcast_strides
from tinygrad_sm.compiler.fused.phases import Phases
from tinygrad_sm.compiler.fused.storage import Place, Storage
from tinygrad_sm.compiler.program import Instruction, Value
from tinygrad_sm.compiler.tracing import assigned

LETTERS = "ijklmnopq"
# How many float32 numbers make a sum that is computed in float64, because errors add up: along the rows vectors hold 32
# sums, over all elements perhaps none, and over what there is of each row none.
LONG = {"": 1 << 16, FULL: 1 << 12, ROW: 1 << 6}
INDENT = "    "
# The names that the source uses otherwise, of which these are functions of `scalar_math.py`.
FUNCTIONS = ("maximum", "minimum", *[f"{name}_{bits}" for name in ("exp", "expm1", "log", "log1p", "tanh") for bits in (32, 64)])
BUILT_IN = ("np", "math", "u", "inf", "nan", "max", "min", "abs", "range", "compiled", "FAST")
RESERVED = {"lo", "hi", "block", "slot", "slots", "bad", *BUILT_IN, *FUNCTIONS, *LETTERS, *NAMES.values()}


class Names:
    """Names for values, as the user would have chosen them, and no name twice."""

    def __init__(self) -> None:
        self.taken = set(RESERVED)
        self.known: dict[Value, str] = {}

    def __call__(self, value: Value) -> str:
        """The name of a value."""
        if value not in self.known:
            self.known[value] = self.fresh(value.name or "v")
        return self.known[value]

    def add(self, instruction: Instruction) -> None:
        """Name what an instruction makes after the operation that it belongs to."""
        phase, op, _ = instruction.origin
        base = {"forward": op, "backward": f"g_{op}"}.get(phase, instruction.name)
        for out in instruction.outs:
            self.known[out] = self.fresh(out.name or base)

    def fresh(self, name: str) -> str:
        """An unused name like the given one."""
        words = re.findall(r"[A-Za-z_]\w*|\d+", name)
        words.sort(key=str.isdigit)  # `0.weight` becomes weight_0
        base = "_".join(words) or "v"
        base += "_" * keyword.iskeyword(base)
        numbers = itertools.count(2)
        found = base
        while found in self.taken:
            found = f"{base}_{next(numbers)}"
        self.taken.add(found)
        return found


class Function:
    """What the source of one compiled function needs besides its lines."""

    def __init__(self, names: Names, storage: Storage) -> None:
        self.names, self.storage = names, storage
        self.arrays: dict[str, None] = {}  # arguments, in the order in which they were first read
        self.numbers: dict[Value, None] = {}
        self.starts: dict[Value, str] = {}  # where bases begin
        self.scalars: dict[Value, str] = {}  # numbers that are variables of the function
        self.lines: list[str] = []
        self.checks = False  # whether indices are checked

    def number(self, value: Value) -> str:
        """The name of a number of the program."""
        self.numbers[value] = None
        return self.names(value)

    def element(self, place: Place, name: str, terms: Sequence[tuple[int, str]], offset: int = 0) -> str:
        """The element of a flat array at a place, so many steps in each loop further."""
        self.arrays[place.name] = None
        return f"{place.name}[u({position(name, terms, offset)})]"

    def start(self, base: Value) -> str:
        """The name of the place at which a base begins in the array that it shares with others."""
        place = self.storage.places[base]
        if not place.offset and not self.storage.is_workspace(place.name):
            return ""
        if base not in self.starts:
            self.starts[base] = self.names.fresh(f"at_{self.names(base)}")
        return self.starts[base]

    def declared(self) -> Iterator[str]:
        """The lines that say where bases begin."""
        for base, name in self.starts.items():
            place = self.storage.places[base]
            yield f"{name} = {place.offset}  # {base.shape} in {place.name}"


class NestWriter:
    """The source of one nest.

    `parallel` splits the outermost loop: it runs from lo to hi, and sums go to the block's part of `partial`.
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
        self.nest: Nest = phases.nest
        self.names, self.storage, self.layout = function.names, function.storage, grouping.layout
        self.buffers, self.partial = buffers, partial
        self.split = self.nest.split or 0
        self.loops = self._collapsed()
        self.row_names: dict[Any, str] = {}  # what is known in each row, by value or by the element read
        self.once: list[str] = []  # lines before the loops
        self.at_row: list[str] = []  # lines in the row, before or after a passage
        self.inner: list[str] = []  # lines in the innermost loop
        self.here: dict[Any, str] = {}  # what is known there
        self.phase = 0

    # Loops.

    def _collapsed(self) -> list[list[int]]:
        """The loops that remain when two axes that lie one after another in all arrays become one."""
        steps = [each for statement in self.nest.statements for each in self._all_steps(statement)]
        loops: list[list[int]] = []
        for k, extent in enumerate(self.nest.extents):
            joins = k and k != self.split and all(s[k - 1] == s[k] * extent for s in steps)
            if joins:
                loops[-1].append(k)
            else:
                loops.append([k])
        return loops

    def _all_steps(self, statement: Statement) -> Iterator[tuple[int, ...]]:
        """The steps of all that a statement reads and writes."""
        instruction, level = statement
        shape = self.grouping.shape(instruction)
        found = self.grouping.chosen(instruction)
        for _, strides in self.grouping.accesses(instruction):
            yield self.nest.steps(level, shape, strides)
        if found:
            yield self.nest.steps(level, shape, found.strides)
        if instruction.kind == "reduce" and self.nest.levels[instruction.out] == SUM:
            yield self._sum_steps(statement)
        else:
            out = instruction.out
            yield self._native(out)

    def _native(self, base: Value) -> tuple[int, ...]:
        """The steps of what is computed here, as it is laid out."""
        steps: tuple[int, ...] = self.nest.steps(self.nest.levels[base], base.shape, self.layout(base).strides)
        return steps

    def _sum_steps(self, statement: Statement) -> tuple[int, ...]:
        """The steps of a reduction's result: none along the axes that it reduces."""
        (array,), axes = statement.instruction.args, statement.instruction.options.get("axis", (0,))
        kept = [i for i in range(array.ndim) if axes is not None and i not in axes]
        out = statement.instruction.out
        own = list(self.layout(out).strides)
        if len(own) == array.ndim:
            own = [own[i] for i in kept]
        strides = [0] * array.ndim
        for i, step in zip(kept, own, strict=True):
            strides[i] = step if array.shape[i] > 1 else 0
        steps: tuple[int, ...] = self.nest.steps(statement.level, array.shape, strides)
        return steps

    def _terms(self, steps: Sequence[int]) -> list[tuple[int, str]]:
        return [(steps[axes[-1]], LETTERS[i]) for i, axes in enumerate(self.loops)]

    def _extent(self, axes: list[int]) -> int:
        return int(np.prod([self.nest.extents[k] for k in axes]))

    def _headers(self, rows: bool) -> list[str]:
        """The heads of the loops over rows, or of those within a row."""
        heads = []
        for i, axes in enumerate(self.loops):
            if (axes[0] < self.split) == rows:
                bounds = "lo, hi" if i == 0 and self.partial is not None else str(self._extent(axes))
                heads.append(f"for {LETTERS[i]} in range({bounds}):")
        return heads

    @property
    def extent(self) -> int:
        """The length of the outermost loop."""
        return self._extent(self.loops[0]) if self.loops else 1

    def inner_size(self) -> int:
        """The number of elements in a row."""
        return int(np.prod(self.nest.extents[self.split :]))

    # The nest as a whole.

    def lines(self) -> list[str]:
        """The lines of the nest."""
        body: list[str] = []
        for phase in range(-1, self.phases.count):
            body += self._passage(phase)
        finished = self._finished()
        heads = self._headers(rows=True)
        return [*self.once, *nested(heads, body), *finished]

    def _passage(self, phase: int) -> list[str]:
        """One way through the row, and what is known after it."""
        self.phase, self.inner, self.here, self.at_row = phase, [], {}, []
        after: list[str] = []
        statements = [s for s in self.nest.statements if self.phases.phase[s.instruction.out] == phase]
        for statement in statements:
            if statement.level == FULL:
                after += self._full(statement)
        self._store_copies(statements)
        lines = [*self.at_row, *nested(self._headers(rows=False), self.inner), *after]
        self.at_row = lines
        for statement in statements:
            if statement.level == ROW:
                self._row(statement)
        return self.at_row

    def _full(self, statement: Statement) -> list[str]:
        """Write a statement by element; returns what follows after the passage."""
        instruction, out = statement.instruction, statement.instruction.out
        if instruction.kind == "reduce":
            return self._reduction(statement)
        kept = out in self.phases.stored or out in self.phases.kept
        if kept or out in self.phases.overwritten:
            self._store(out, self._value(out))
        if not self.nest.extents:
            self.function.scalars[out] = self._value(out)
        return []

    def _store_copies(self, statements: Sequence[Statement]) -> None:
        """Copy the rows in which elements are going to be assigned to, unless they are computed there."""
        for instruction, _ in statements:
            if instruction.function is assigned:
                base = self.grouping.chosen(instruction).base  # type: ignore[union-attr]
                if self.phases.overwritten.get(base) is not instruction.out:
                    self._store(instruction.out, self._read(instruction.args[0], FULL, instruction.out.shape))

    def _store(self, out: Value, text: str) -> None:
        target = self.phases.overwritten.get(out, out)
        if out in self.phases.stored or out in self.phases.kept:
            target = out
        self.inner.append(f"{self._address(target)} = {text}")

    def _address(self, base: Value) -> str:
        """Where a value by element of this nest is kept."""
        base = self.phases.place(base)
        if base in self.buffers:
            terms, step = [], 1
            for i in reversed(range(len(self.loops))):
                if self.loops[i][0] >= self.split:
                    terms.append((step, LETTERS[i]))
                    step *= self._extent(self.loops[i])
            return self.function.element(self.buffers[base], self._buffer_name(base), terms[::-1])
        return self.function.element(self.storage.places[base], self.function.start(base), self._terms(self._native(base)))

    def _buffer_name(self, base: Value) -> str:
        name = f"row_{self.names(base)}"
        if name not in self.row_names:
            self.row_names[name] = self.names.fresh(name)
            size = f" + slot * {self.inner_size()}" if self.partial is not None else ""
            self.once.append(f"{self.row_names[name]} = {self.buffers[base].offset}{size}")
        return self.row_names[name]

    # Values.

    def _value(self, base: Value) -> str:
        """A value by element that this nest computes, in the present passage."""
        if base in self.here:
            return self.here[base]
        statement = self.phases.made[base]
        instruction = statement.instruction
        fetched = self.phases.phase[base] < self.phase and (base in self.phases.stored or base in self.phases.kept)
        if fetched or instruction.function is assigned:
            self.here[base] = self._named(f"{self.names(base)}_{self._letters()}", self._address(base))
        elif self.phases.phase[base] < self.phase and base in self.phases.overwritten:
            target = self.phases.overwritten[base]
            self.here[base] = self._named(f"{self.names(base)}_{self._letters()}", self._address(target))
        else:
            text = self._computed(statement)
            self.here[base] = self.names(base)
            self.inner.append(f"{self.here[base]} = {text}")
        return self.here[base]

    def _letters(self) -> str:
        return "".join(LETTERS[i] for i in range(len(self.loops))) or "0"

    def _named(self, name: str, text: str) -> str:
        """A variable of the innermost loop."""
        found = self.names.fresh(name)
        self.inner.append(f"{found} = {text}")
        return found

    def _computed(self, statement: Statement) -> str:
        """The expression of a statement, or the element that it picks."""
        instruction, level = statement
        found = self.grouping.chosen(instruction)
        if found:
            return self._picked(instruction, level, found)
        shape = self.grouping.shape(instruction)
        types = loop_types(instruction)
        assert types is not None
        args = []
        for item, dtype in zip(operands(instruction), types, strict=True):
            if not isinstance(item, Value):
                args.append(literal(item, dtype))
            else:
                args.append(cast(self._read(item, level, shape), item.dtype, dtype))
        return expression(instruction, args)

    def _read(self, item: Value, level: str, shape: Sequence[int]) -> str:
        """The element of a value that an instruction of some shape reads."""
        if item.kind == "number":
            return self.function.number(item)
        access = self.layout(item)
        return self._element(access, level, shape, broadcast_strides(item.shape, access.strides, shape))

    def _element(self, access: Access, level: str, shape: Sequence[int], strides: Sequence[int]) -> str:
        base = access.base
        if base in self.phases.made:
            return self.row_names[base] if self.nest.levels[base] == ROW else self._value(base)
        if base in self.function.scalars:
            return self.function.scalars[base]
        steps = self.nest.steps(level, shape, strides)
        place = self.storage.places[base]
        text = self.function.element(place, self.function.start(base), self._terms(steps), access.offset)
        return self._fetched(base, text, steps, level)

    def _fetched(self, base: Value, text: str, steps: Sequence[int], level: str) -> str:
        """A variable for an element that is read, in the outermost loop that it depends on."""
        inner = any(steps[axes[-1]] for axes in self.loops if axes[0] >= self.split)
        rows = any(steps[axes[-1]] for axes in self.loops if axes[0] < self.split)
        scope, lines = (self.here, self.inner) if inner else (self.row_names, self.at_row if rows else self.once)
        if text not in scope:
            letters = "".join(LETTERS[i] for i, axes in enumerate(self.loops) if steps[axes[-1]])
            scope[text] = self.names.fresh(f"{self.names(base)}_{letters or 0}")
            lines.append(f"{scope[text]} = {text}")
        return scope[text]

    def _picked(self, instruction: Instruction, level: str, found: Chosen) -> str:
        """The element that is chosen by integers."""
        in_row = found.base in self.phases.made
        terms: list[tuple[int, str]] = []
        for each in found.dynamic:
            terms.append((each.step, self._index(each, level, found.shape)))
        if in_row:
            base = self.phases.overwritten.get(found.base, found.base)
            return self._in_row(base, terms[0][1])
        steps = self.nest.steps(level, found.shape, found.strides)
        place, start = self.storage.places[found.base], self.function.start(found.base)
        return self.function.element(place, start, [*self._terms(steps), *terms], found.offset)

    def _in_row(self, base: Value, index: str) -> str:
        """An element of the present row of what is kept."""
        base = self.phases.place(base)
        if base in self.buffers:
            return self.function.element(self.buffers[base], self._buffer_name(base), [(1, index)])
        native = self._native(base)
        terms = [(step, loop) for (step, loop), axes in zip(self._terms(native), self.loops, strict=True)
                 if axes[0] < self.split]
        terms.append((native[-1], index))
        return self.function.element(self.storage.places[base], self.function.start(base), terms)

    def _index(self, dynamic: Any, level: str, shape: Sequence[int]) -> str:
        """A variable for an index, counted from the start and within bounds; others are noted."""
        access = self.layout(dynamic.index)
        text = self._element(access, level, shape, dynamic.strides)
        scope, lines = (self.here, self.inner) if level == FULL else (self.row_names, self.at_row)
        key = "index", text, dynamic.extent
        if key not in scope:
            self.function.checks = True
            k, n = self.names.fresh("k"), dynamic.extent
            lines += [f"{k} = int64({text})", f"{k} = {k} + {n} if {k} < 0 else {k}"]
            lines += [f"bad = bad | ({k} < 0) | ({k} >= {n})", f"{k} = {k} if ({k} >= 0) & ({k} < {n}) else 0"]
            scope[key] = k
        return scope[key]

    # Rows.

    def _row(self, statement: Statement) -> None:
        """Write a statement by row."""
        instruction, out = statement.instruction, statement.instruction.out
        self.inner, self.here = self.at_row, self.row_names
        if instruction.kind == "reduce":
            self._sum_of_rows(statement)
            return
        if instruction.function is assigned:
            found = self.grouping.chosen(instruction)
            assert found is not None
            index = self._index(found.dynamic[0], ROW, found.shape)
            item = instruction.args[2]
            value = literal(item, out.dtype) if not isinstance(item, Value) else \
                cast(self._read(item, ROW, found.shape), item.dtype, out.dtype)
            self.at_row.append(f"{self._in_row(out, index)} = {value}")
            return
        self.row_names[out] = self.names(out)
        self.at_row.append(f"{self.names(out)} = {self._computed(statement)}")
        self._store_row(out)

    def _store_row(self, out: Value) -> None:
        if out in self.phases.stored:
            self.at_row.append(f"{self._address(out)} = {self.row_names[out]}")

    # Reductions.

    def _reduction(self, statement: Statement) -> list[str]:
        """Add an element to a reduction; returns what follows after the passage."""
        instruction, out = statement.instruction, statement.instruction.out
        array = instruction.args[0]
        wide = self._accumulates_in(instruction)
        element = cast(self._read(array, FULL, array.shape), array.dtype, wide)
        if self.nest.levels[out] == ROW:
            name = self.names(out)
            self.at_row.append(f"{name} = {starting(instruction, wide)}")
            self.inner.append(f"{name} = {combined(instruction, name, element)}")
            self.row_names[out] = name
            lines = [f"{name} = {cast(name, wide, out.dtype)}"] if wide != out.dtype else []
            before, self.at_row = self.at_row, lines
            self._store_row(out)
            lines, self.at_row = self.at_row, before
            return lines
        steps = self._sum_steps(statement)
        inner = any(axes[0] >= self.split for axes in self.loops)
        along = any(steps[axes[-1]] for axes in self.loops if axes[0] >= self.split)
        if not any(steps):
            self._add_to(statement, steps, element, self.inner)
            return []
        if along or not inner or not self.split:
            self._add_to(statement, steps, element, self.inner)
            return []
        part = self.names.fresh(f"part_{self.names(out)}")
        self.at_row.append(f"{part} = {starting(instruction, wide)}")
        self.inner.append(f"{part} = {combined(instruction, part, element)}")
        after: list[str] = []
        self._add_to(statement, steps, cast(part, wide, out.dtype), after)
        return after

    def _sum_of_rows(self, statement: Statement) -> None:
        (array,) = statement.instruction.args
        wide = self._accumulates_in(statement.instruction)
        element = cast(self._read(array, ROW, array.shape), array.dtype, wide)
        self._add_to(statement, self._sum_steps(statement), element, self.at_row)

    def _add_to(self, statement: Statement, steps: Sequence[int], element: str, lines: list[str]) -> None:
        """Add a number to a reduction that is complete only after the nest."""
        instruction, out = statement.instruction, statement.instruction.out
        if not any(steps):
            name = self.names(out)
            self.once.append(f"{name} = {starting(instruction, self._accumulates_in(instruction))}")
            lines.append(f"{name} = {combined(instruction, name, element)}")
            return
        place, start = self._sum_place(out)
        target = self.function.element(place, start, self._terms(steps))
        for_all = self.function.element(place, start, [(1, "i")])
        self.once += [f"for i in range({out.size}):", f"{INDENT}{for_all} = {starting(instruction, out.dtype)}"]
        lines.append(f"{target} = {combined(instruction, target, element)}")

    def _sum_place(self, out: Value) -> tuple[Place, str]:
        if self.partial is None:
            return self.storage.places[out], self.function.start(out)
        name = f"part_{self.names(out)}"
        if name not in self.row_names:
            self.row_names[name] = self.names.fresh(name)
            self.once.append(f"{self.row_names[name]} = {self.partial[out].offset} + block * {out.size}")
        return self.partial[out], self.row_names[name]

    def _accumulates_in(self, instruction: Instruction) -> np.dtype[Any]:
        """The type in which a reduction is computed: long sums of float32 in float64."""
        array, out = instruction.args[0], instruction.out
        level = self.phases.made[out].level if self.nest.levels[out] == SUM else ""
        long = array.size // out.size >= LONG[level] and not (level and out.size > 1)
        return np.dtype(np.float64) if long and out.dtype == np.float32 and instruction.function is np.add else out.dtype

    def _finished(self) -> list[str]:
        """What follows after the loops: reductions to one number are complete."""
        lines = []
        for statement in self.nest.statements:
            instruction, out = statement.instruction, statement.instruction.out
            if self.nest.levels[out] != SUM or any(self._sum_steps(statement)):
                continue
            name, wide = self.names(out), self._accumulates_in(instruction)
            if self.partial is not None:
                target = self.function.element(self.partial[out], "", [(1, "block")], self.partial[out].offset)
                lines.append(f"{target} = {name}")
                continue
            if wide != out.dtype:
                lines.append(f"{name} = {cast(name, wide, out.dtype)}")
            self.function.scalars[out] = name
            if out in self.phases.stored:
                target = self.function.element(self.storage.places[out], self.function.start(out), [])
                lines.append(f"{target} = {name}")
        return lines


def position(name: str, terms: Sequence[tuple[int, str]], offset: int = 0) -> str:
    """A position in a flat array: the name of a place, so many steps in each loop further."""
    parts = [name] if name else []
    parts += [f"{step} * {loop}" if step != 1 else loop for step, loop in terms if step]
    parts += [str(offset)] if offset or not parts else []
    return " + ".join(parts).replace("+ -", "- ")


def starting(instruction: Instruction, dtype: np.dtype[Any]) -> str:
    """What a reduction starts from."""
    start = STARTS[instruction.function](dtype)
    return start if dtype.kind == "b" else f"{NAMES[dtype]}({start})"


def combined(instruction: Instruction, total: str, element: str) -> str:
    """How a reduction goes on."""
    function = instruction.function
    if function in (np.add, np.multiply):
        return f"{total} {'+' if function is np.add else '*'} {element}"
    if function in (np.logical_and, np.logical_or):
        return f"{total} {'&' if function is np.logical_and else '|'} {element}"
    name = function.__name__ if instruction.out.dtype.kind == "f" else function.__name__[:3]
    return f"{name}({total}, {element})"


def nested(heads: Sequence[str], lines: Sequence[str]) -> list[str]:
    """Lines within loops."""
    if not lines:
        return []
    nested = [INDENT * i + head for i, head in enumerate(heads)]
    return nested + [INDENT * len(heads) + line for line in lines]
