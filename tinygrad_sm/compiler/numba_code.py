"""Backend `numba`: a program as a few compiled functions, in which fused loops stand around matrix products.

What has no loop runs as a call of NumPy's between them. The parts are in `fused/`.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import itertools
import linecache
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from tinygrad_sm import threads
from tinygrad_sm.compiler.fused import cache
from tinygrad_sm.compiler.fused.elements import NAMES, cast, is_cheap
from tinygrad_sm.compiler.fused.layout import Access, Layout, address, dense_strides, native_strides
from tinygrad_sm.compiler.fused.loops import FUNCTIONS, INDENT, LETTERS, Function, Names, NestWriter, combined, nested, position, starting
from tinygrad_sm.compiler.fused.nests import FULL, SUM, Group, Grouping, Nest, Single, broadcast_strides
from tinygrad_sm.compiler.fused.phases import Phases
from tinygrad_sm.compiler.fused.preparing import prepare
from tinygrad_sm.compiler.fused.storage import LARGE, Lent, Place, Storage, is_contiguous
from tinygrad_sm.compiler.numpy_code import SYMBOLS, UPDATE, Executable
from tinygrad_sm.compiler.program import DEVIATES, Instruction, Origin, Program, Value, values_in
from tinygrad_sm.compiler.tracing import assigned
from tinygrad_sm.errors import MissingExtraError
from tinygrad_sm.location import Location
from tinygrad_sm.numpy_calls import without_warnings

WIDTH = 110
# Elements from which on two threads share a nest: below, waking the other one takes longer than its half of the work.
PARALLEL, PARALLEL_EXPENSIVE = 1 << 20, 1 << 17
BLOCK = 1 << 17  # elements of a block
ROWS = 8  # of the outermost loop, at least
HEADER = f'''\
"""Made by tinygrad_sm."""
import math

import numpy as np
from numba import njit

from tinygrad_sm.compiler.fused.scalar_math import {", ".join(FUNCTIONS)}

bool, float32, float64 = np.bool_, np.float32, np.float64
int32, int64, uint64 = np.int32, np.int64, np.uint64
inf, nan = np.inf, np.nan
u = np.uint64  # indices that cannot count from the end: otherwise loops over rows are not vectorised
FAST = {{"contract", "reassoc", "nsz", "arcp"}}  # NaN and infinity keep their meaning
compiled = njit(fastmath=FAST, error_model="numpy", nogil=True, cache=True)
'''
_counter = itertools.count(1)


def build(program: Program, name: str = "step") -> Executable:
    """The function of a program. Raises MissingExtraError without Numba or SciPy."""
    depends = _versions()
    prepare(program)
    plan = _Plan(program)
    writer = _Writer(plan, name)
    writer.write()
    plan.storage.allocate()
    module = cache.load(writer.module(), depends, writer.finish)
    return writer.executable(module)


def _versions() -> str:
    """What compiled code depends on besides its source."""
    try:
        from tinygrad_sm.compiler.fused import scalar_math  # imports Numba

        versions = [importlib.metadata.version(each) for each in ("numba", "llvmlite", "scipy", "numpy")]
    except (ImportError, importlib.metadata.PackageNotFoundError) as error:
        remedy = 'pip install "tinygrad-sm[fast]"'
        raise MissingExtraError(f'backend="numba" needs Numba and SciPy: {error}', remedy=remedy) from None
    return " ".join([*versions, inspect.getsource(scalar_math)])


@dataclass(eq=False)
class Segment:
    """Groups that run one after another in one compiled function, or one that runs by itself."""

    kind: str  # "kernel", "rows" for a nest on several threads, or "call"
    groups: list[Group] = field(default_factory=list)
    after: Nest | None = None  # the nest on several threads whose sums it completes


class _Plan:
    """Which groups make up which functions, and where their values are kept."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.numbers: dict[Value, Instruction] = {}
        self._pieces: dict[Instruction, list[Piece]] = {}
        instructions = []
        for instruction in program.instructions:
            if instruction.kind == "number":
                self.numbers[instruction.out] = instruction
            else:
                instructions.append(instruction)
        program.instructions = instructions
        self.layout = Layout(program)
        self.grouping = Grouping(program, self.layout)
        self.names = Names()
        self.storage = Storage()
        self.names.taken.update(f"{dtype}s" for dtype in NAMES.values())
        for value in (*program.inputs, *program.numbers):
            self.names(value)
        for instruction in program.instructions:
            self.names.add(instruction)
        draws = [g for g in self.grouping.groups if isinstance(g, Single) and g.instruction.kind == "draw"]
        self.groups: list[Group] = [*draws, *[g for g in self.grouping.groups if g not in draws]]
        self.at = {group: i for i, group in enumerate(self.groups)}
        self.segments = [*self._segments()]
        self.segment_of = {group: i for i, segment in enumerate(self.segments) for group in segment.groups}
        self.variables: set[Value] = set()  # what is a variable of the call: calls made it, and only calls read it
        self.direct: dict[Value, Value] = {}  # values that are stored in a memory where they are computed
        self.stored: set[Value] = set()
        self.last: dict[Value, int] = {}
        self._use()
        self._place_memories()
        self._store_directly()
        self.phases = {g: Phases(g, self.grouping, self.stored) for g in self.groups if isinstance(g, Nest)}
        self.buffers: dict[Value, Place] = {}
        self.partial: dict[Value, Place] = {}
        self._place_values()

    # Functions.

    def _segments(self) -> Iterator[Segment]:
        kernel = Segment("kernel")
        for group in self.groups:
            kind = self._kind(group)
            if kind == "kernel":
                kernel.groups.append(group)
                continue
            if kernel.groups or kernel.after:
                yield kernel
            yield Segment(kind, [group])
            sums = isinstance(group, Nest) and SUM in group.levels.values()
            kernel = Segment("kernel", after=group if sums and isinstance(group, Nest) else None)
        if kernel.groups or kernel.after:
            yield kernel

    def _kind(self, group: Group) -> str:
        if isinstance(group, Nest):
            return "rows" if self.is_parallel(group) else "kernel"
        instruction = group.instruction
        if instruction.function is np.matmul:
            return "kernel" if self.product(instruction) else "call"
        if self.pieces(instruction):
            return "kernel"
        if instruction.kind == "guard":
            value = instruction.args[0]
            small = isinstance(value, Value) and value.size == 1 and value.dtype in NAMES
            return "kernel" if small else "call"
        return "call"

    def is_parallel(self, nest: Nest) -> bool:
        """Whether a nest is shared by several threads."""
        size = int(np.prod(nest.extents))
        cheap = all(is_cheap(s.instruction) or s.instruction.kind == "reduce" for s in nest.statements)
        return size >= (PARALLEL if cheap else PARALLEL_EXPENSIVE) and nest.extents[0] >= ROWS

    def pieces(self, instruction: Instruction) -> list[Piece]:
        """The arrays that a result is put together from, where each of them is a value of its type; or none."""
        if instruction not in self._pieces:
            found = _pieces(instruction)
            fits = all(isinstance(each.item, Value) and each.item.dtype == instruction.out.dtype for each in found)
            self._pieces[instruction] = found if fits and found and _is_computable(instruction.out) else []
        return self._pieces[instruction]

    def product(self, instruction: Instruction) -> tuple[Access, Access] | None:
        """The matrices or vectors of a product that the BLAS can take as they lie; None if it cannot."""
        x, y = instruction.args
        out = instruction.out
        values = isinstance(x, Value) and isinstance(y, Value)
        if not values or not _is_computable(out) or out.dtype.kind != "f":
            return None
        if {x.dtype, y.dtype} != {out.dtype} or not x.ndim or not y.ndim or min(x.ndim, y.ndim) == 1 < out.ndim:
            return None
        accesses = self.layout(x), self.layout(y)
        fits = [_order(v.shape[-2:], access.strides[-2:]) for v, access in zip((x, y), accesses, strict=True)]
        return accesses if x.size and all(fits) and _order(out.shape[-2:], native_strides(out)[-2:]) == "C" else None

    # What is read where.

    def _use(self) -> None:
        """Find out which values have to be kept, and until when."""
        for i, group in enumerate(self.groups):
            for base in self.reads(group):
                self.last[base] = i
                maker = self.grouping.group_of.get(base)
                if maker is not None and maker is not group and not self._is_local(base, maker, group):
                    self.stored.add(base)
        for value in self.program.kept():
            base = self.layout(value).base
            self.stored.add(base)
            self.last[base] = len(self.groups)
        in_kernels = {base for g in self.groups if self._kind(g) != "call" for base in self.reads(g)}
        kept = {self.layout(value).base for value in self.program.kept()}
        for group in self.groups:
            if isinstance(group, Single):
                self.stored.update(group.instruction.outs)
                if self._kind(group) == "call":
                    self.variables.update(set(group.instruction.outs) - in_kernels - kept)

    def reads(self, group: Group) -> Iterator[Value]:
        """The bases that a group reads."""
        if isinstance(group, Single):
            yield from (self.layout(v).base for v in group.instruction.inputs if v.kind != "number")
            return
        for statement in group.statements:
            found = self.grouping.chosen(statement.instruction)
            if found:
                yield found.base
            for access, _ in self.grouping.accesses(statement.instruction):
                yield access.base

    def _is_local(self, base: Value, maker: Group, reader: Group) -> bool:
        """Whether a number is a variable of the function in which it is made and read."""
        if not isinstance(maker, Nest) or base.size > 1 or self.is_parallel(maker):
            return False
        if isinstance(reader, Nest):
            chosen = [self.grouping.chosen(each.instruction) for each in reader.statements]
            fits = all(found is None or found.base is not base for found in chosen)
        else:
            fits = reader.instruction.kind == "guard"
        return fits and self.segment_of[maker] == self.segment_of[reader]

    # Places.

    def _place_memories(self) -> None:
        for value in self.program.inputs:
            self.storage.add_input(value, self.names(value))
        seen: set[Value] = set()
        values = [v for each in self.program.instructions for v in each.inputs]
        for value in (*values, *self.program.kept(), *[memory for memory, _ in self.program.stores]):
            base = self.layout(value).base
            if base.kind == "memory" and base not in seen:
                seen.add(base)
                self.storage.add_memory(base, self.names(base))

    def _store_directly(self) -> None:
        """Find the values that can be written to the memory in which they are stored, where they are computed."""
        stops = [i for i, g in enumerate(self.groups) if isinstance(g, Single) and self._kind(g) != "kernel"]
        stops += [i for i, g in enumerate(self.groups) if isinstance(g, Single) and g.instruction.kind == "guard"]
        results = {self.layout(value).base for value in values_in((self.program.results,))}
        for memory, value in self.program.stores:
            group = self.grouping.group_of.get(value)
            alone = sum(each is value for _, each in self.program.stores) == 1 and value not in results
            if not isinstance(group, Nest) or not alone or group.split is not None:
                continue
            alike = value.shape == memory.shape and value.dtype == memory.dtype
            there = memory in self.storage.places and native_strides(value) == native_strides(memory)
            if alike and there and self.at[group] > max(stops, default=-1) and self._is_unread(memory, group):
                self.direct[value] = memory

    def _is_unread(self, memory: Value, group: Nest) -> bool:
        """Whether no later group reads a memory, and this one only the element that it replaces."""
        for later in self.groups[self.at[group] + 1 :]:
            if any(_overlaps(base, memory) for base in self.reads(later)):
                return False
        for instruction, level in group.statements:
            shape = self.grouping.shape(instruction)
            if self.grouping.chosen(instruction):
                return False
            for access, strides in self.grouping.accesses(instruction):
                if _overlaps(access.base, memory):
                    own = group.steps(FULL, memory.shape, native_strides(memory))
                    if access.base is not memory or group.steps(level, shape, strides) != own or access.offset:
                        return False
        return True

    def _place_values(self) -> None:
        results = [value for value in values_in((self.program.results,))]
        end = len(self.groups)
        parts = self._parts()
        for value in (*[v for each in self.program.instructions for v in each.inputs], *self.program.kept()):
            base = self.layout(value).base
            if base.kind == "constant" and base not in self.storage.places:
                self.storage.add(base, -1, end)
        for value in self.storage.copied_in:
            self.storage.add(value, -1, end)
        for i, group in enumerate(self.groups):
            outs = group.levels if isinstance(group, Nest) else group.instruction.outs
            for value in outs:
                if value not in self.stored or value in self.storage.places or value in self.variables:
                    continue
                if value in self.direct:
                    self.storage.places[value] = self.storage.places[self.direct[value]]
                elif value in parts:
                    self._place_part(value, *parts[value], i)
                elif value.nbytes >= LARGE and results.count(value) == 1 and is_contiguous(value):
                    self.storage.add_result(value, self.names.fresh(f"{self.names(value)}_out"))
                else:
                    self.storage.add(value, i, self.last.get(value, i))
            if isinstance(group, Nest):
                self._place_buffers(i, group)

    def _parts(self) -> dict[Value, tuple[Value, int]]:
        """The values that are computed in their part of a gathered array, and where that begins."""
        parts: dict[Value, tuple[Value, int]] = {}
        for group in self.groups:
            if isinstance(group, Nest) or group.instruction.kind == "put":
                continue
            for item, offset, shape, strides in self.pieces(group.instruction):
                made = item in self.grouping.group_of and item not in parts and item not in self.direct
                steps = zip(shape, native_strides(item), strides, strict=True)
                if made and all(n == 1 or own == there for n, own, there in steps):
                    out = group.instruction.out
                    parts[item] = out, offset
                    self.last[out] = max(self.last.get(out, 0), self.last[item])
        return parts

    def _place_part(self, value: Value, whole: Value, offset: int, i: int) -> None:
        if whole not in self.storage.places:
            if whole.nbytes >= LARGE and [*values_in((self.program.results,))].count(whole) == 1:
                self.storage.add_result(whole, self.names.fresh(f"{self.names(whole)}_out"))
            else:
                self.storage.add(whole, i, self.last.get(whole, len(self.groups)))
        self.storage.add_part(value, whole, offset)

    def _place_buffers(self, i: int, nest: Nest) -> None:
        blocks = self.blocks(nest)[1] if self.is_parallel(nest) else 1
        size = int(np.prod(nest.extents[nest.split or 0 :]))
        for value in nest.levels:
            if value in self.phases[nest].kept and value not in self.phases[nest].shares:
                self.buffers[value] = self.storage.room(value.dtype, size * blocks, i, i)
            if nest.levels[value] == SUM and self.is_parallel(nest):
                self.partial[value] = self.storage.room(value.dtype, value.size * blocks, i, i + 1)

    def blocks(self, nest: Nest) -> tuple[int, int]:
        """The length of a block of the outermost loop, and how many there are."""
        function = Function(self.names, self.storage)
        extent = NestWriter(function, self.grouping, self.phases[nest], {}, {}).extent
        size = int(np.prod(nest.extents))
        rows = max(1, BLOCK * extent // size)
        return rows, -(-extent // rows)


def _is_computable(out: Value) -> bool:
    """Whether loops can write a value."""
    return out.dtype in NAMES and out.size > 0


class Piece(NamedTuple):
    """An array that is copied to a part of another one: where that begins, and its steps."""

    item: Any
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _pieces(instruction: Instruction) -> list[Piece]:
    """See `_Plan.pieces`."""
    if instruction.kind == "gather":
        items = instruction.args[0]
        begins = np.cumsum([0, *[np.size(item) for item in items]])
        return [Piece(v, int(i), np.shape(v), dense_strides(np.shape(v), (0,) * np.ndim(v))) for v, i in zip(items, begins)]
    if instruction.function not in (np.concatenate, np.stack, assigned):
        return []
    out = instruction.out
    strides = native_strides(out)
    if instruction.function is assigned:
        return _assigned_pieces(instruction, strides)
    (items, *rest), axis = instruction.args, instruction.options.get("axis", 0)
    axis = rest[0] if rest else axis
    if len(rest) > 1 or not instruction.options.keys() <= {"axis"} or not isinstance(axis, int):
        return []
    axis %= out.ndim
    if instruction.function is np.stack:
        others = (*strides[:axis], *strides[axis + 1 :])
        return [Piece(item, i * strides[axis], np.shape(item), others) for i, item in enumerate(items)]
    begins = np.cumsum([0, *[item.shape[axis] for item in items]])
    return [Piece(item, int(i) * strides[axis], item.shape, strides) for item, i in zip(items, begins)]


def _assigned_pieces(instruction: Instruction, strides: tuple[int, ...]) -> list[Piece]:
    """An array and what is assigned to a part of it, if that is chosen by slices."""
    array, index, value = instruction.args
    parts = index if isinstance(index, tuple) else (index,)
    basic = all(part is None or part is ... or isinstance(part, (int, slice)) for part in parts)
    if not basic or any(values_in(parts)) or any(isinstance(part, bool) for part in parts):
        return []
    model = np.lib.stride_tricks.as_strided(np.empty(array.size, np.int8), array.shape, strides)
    chosen = model[index]
    if not isinstance(chosen, np.ndarray):
        chosen = model[tuple([*parts, ...])]
    offset = address(chosen) - address(model) if chosen.size else 0
    whole = Piece(array, 0, array.shape, strides)
    return [whole, Piece(value, offset, chosen.shape, chosen.strides)] if chosen.size else [whole]


def _order(shape: Sequence[int], strides: Sequence[int]) -> str:
    """C if a matrix lies flat row by row, F if column by column, nothing otherwise."""
    if len(shape) == 1:
        return "C" if strides[0] == 1 or shape[0] == 1 else ""
    (n, m), (row, column) = shape, strides
    if (column == 1 or m == 1) and (row == m or n == 1):
        return "C"
    return "F" if (row == 1 or n == 1) and (column == n or m == 1) else ""


def _overlaps(base: Value, memory: Value) -> bool:
    """Whether two memories may share elements."""
    if base.array is None or memory.array is None:
        return False
    return base is memory or np.may_share_memory(base.array, memory.array)


class _Writer:
    """Writes the compiled functions, and the Python function that calls them one after another."""

    def __init__(self, plan: _Plan, name: str) -> None:
        self.plan, self.name = plan, name
        self.names, self.storage, self.layout = plan.names, plan.storage, plan.layout
        self.names.taken.update(("DEVIATES", "run_blocks", "without_warnings", name))
        self.namespace: dict[str, Any] = {"np": np, "DEVIATES": DEVIATES, "run_blocks": threads.run_blocks}
        self.namespace["without_warnings"] = without_warnings
        self.functions: list[tuple[str, list[str]]] = []  # heads and lines
        self.arguments: dict[str, list[Any]] = {}  # by the name of a function, examples of what it is called with
        self.lines: list[str] = []  # of the Python function
        self.constants: dict[Any, str] = {}
        self.pending: list[tuple[str, Any]] = []  # arrays that exist only after allocation
        self.report: list[str] = []
        self.views = {each.out: each for each in plan.program.instructions if each.kind == "view"}
        self.updating = False

    def write(self) -> None:
        """Write everything."""
        for value in self.storage.copied_in:
            self.lines.append(f"np.copyto({self.kept(value)}, {self.given(value)})")
        for out, instruction in self.plan.numbers.items():
            args = [self.python(arg) for arg in instruction.args]
            symbol = SYMBOLS.get(instruction.function)
            self.lines.append(f"{self.names(out)} = {f' {symbol} '.join(args) if symbol else f'-{args[0]}'}")
        for name in self.storage.results:
            self.lines.append(f"{name} = {self.constant(Lent(self.storage.results[name]), f'lent_{name}')}.take()")
        for segment in self.plan.segments:
            if segment.kind == "kernel":
                self._kernel(segment)
            elif segment.kind == "rows":
                self._rows(segment)
            else:
                self._call(segment.groups[0].instruction)  # type: ignore[union-attr]
        for memory, value in self.plan.program.stores:
            if value not in self.plan.direct:
                self._begin_update()
                self.lines.append(f"np.copyto({self.python(memory)}, {self.python(value)})")
        self.lines.append(f"return {self.returned(self.plan.program.results)}")

    def _begin_update(self) -> None:
        if not self.updating:
            self.lines.append(UPDATE)
            self.updating = True

    # Compiled functions.

    def _kernel(self, segment: Segment) -> None:
        function = Function(self.names, self.storage)
        if segment.after:
            function.lines += self._combined(function, segment.after)
        origin = None
        may_deviate = False
        for group in segment.groups:
            comment = _comment(group)
            if comment != origin:
                origin = comment
                function.lines += [f"# {line}" for line in comment]
            function.checks = False
            if isinstance(group, Nest):
                writer = NestWriter(function, self.plan.grouping, self.plan.phases[group], self.plan.buffers)
                function.lines += writer.lines()
                may_deviate |= function.checks
                if function.checks:
                    function.lines += ["if bad:", f"{INDENT}return True"]
            else:
                function.lines += self._single(function, group.instruction)
                may_deviate |= group.instruction.kind == "guard"
            self._note(group, "")
        if any("bad" in line for line in function.lines):
            function.lines.insert(0, "bad = False")
        if may_deviate:
            function.lines.append("return False")
        name = self.names.fresh("kernel")
        call = self._finish(name, function, [])
        if any(value in self.plan.direct for g in segment.groups if isinstance(g, Nest) for value in g.levels):
            self._begin_update()
        self.lines += [f"if {call}:", f"{INDENT}return DEVIATES"] if may_deviate else [call]

    def _rows(self, segment: Segment) -> None:
        (nest,) = segment.groups
        assert isinstance(nest, Nest)
        function = Function(self.names, self.storage)
        plan = self.plan
        writer = NestWriter(function, plan.grouping, plan.phases[nest], plan.buffers, plan.partial)
        lines = writer.lines()
        function.lines += [f"# {line}" for line in _comment(nest)]
        checks = function.checks
        function.lines += ["bad = False"] * checks
        function.lines += lines + ["return bad"] * checks
        name = self.names.fresh("rows")
        rows, blocks = plan.blocks(nest)
        slot = any(value in plan.buffers for value in nest.levels)
        call = self._finish(name, function, ["lo", "hi", f"lo // {rows}", "slot"][: 3 + slot])
        part = self.names.fresh(f"block_of_{name}")
        if any(value in plan.direct for value in nest.levels):
            self._begin_update()
        body = [f"bad.append({call})" if checks else call]
        if slot:  # rows that are kept, one set for each block that runs at the same time
            body = ["slot = slots.pop()", *body, "slots.append(slot)"]
            self.lines.append(f"slots = list(range({blocks}))")
        self.lines += ["bad = []"] * checks
        self.lines += [f"def {part}(lo, hi):", *[INDENT + line for line in body]]
        self.lines.append(f"run_blocks({part}, {writer.extent}, {rows})")
        self.lines += ["if any(bad):", f"{INDENT}return DEVIATES"] if checks else []
        self._note(nest, ", on several threads")

    def _finish(self, name: str, function: Function, first: list[str]) -> str:
        """Add a compiled function; returns the call of it."""
        arrays, numbers = list(function.arrays), list(function.numbers)
        parameters = [*["lo", "hi", "block", "slot"][: len(first)], *arrays, *[self.names(each) for each in numbers]]
        flat = []
        for each in arrays:
            value = self.storage.inputs.get(each) or self.storage.results.get(each)
            if value is not None and value.ndim > 1:
                turned = ".T" if _order(value.shape[-2:], native_strides(value)[-2:]) == "F" and value.ndim == 2 else ""
                flat.append(f"{each} = {each}{turned}.reshape({value.size})")
        lines = [*flat, *function.declared(), *function.lines]
        self.functions.append((f"def {name}({', '.join(parameters)}):", lines))
        examples: list[Any] = [0] * len(first)
        examples += [self.storage.inputs.get(each) or self.storage.results.get(each) or each for each in arrays]
        examples += [np.zeros((), each.dtype)[()].item() for each in numbers]
        self.arguments[name] = examples
        return f"{name}({', '.join([*first, *parameters[len(first) :]])})"

    def _combined(self, function: Function, nest: Nest) -> list[str]:
        """The sums of all blocks of a nest."""
        lines = []
        _, blocks = self.plan.blocks(nest)
        for statement in nest.statements:
            instruction, out = statement.instruction, statement.instruction.out
            if nest.levels[out] != SUM or out not in self.plan.stored:
                continue
            place, start, part = self.storage.places[out], function.start(out), self.plan.partial[out]
            target = function.element(place, start, [(1, "j")])
            element_ = function.element(part, "", [(out.size, "i"), (1, "j")], part.offset)
            lines += [f"for j in range({out.size}):", f"{INDENT}{target} = {starting(instruction, out.dtype)}"]
            lines += [f"for i in range({blocks}):", f"{INDENT}for j in range({out.size}):"]
            lines += [f"{INDENT * 2}{target} = {combined(instruction, target, element_)}"]
        return lines

    def _single(self, function: Function, instruction: Instruction) -> list[str]:
        """The lines of what is no nest: a product, a guard or a gathering."""
        if instruction.kind == "guard":
            value, expected = instruction.args[0], instruction.options["expected"]
            text = self._number(function, value)
            if instruction.function is np.isnan:
                return [f"if {text} != {text}:", f"{INDENT}return True"]
            return [
                f"if {'not ' if expected else ''}{cast(text, value.dtype, np.dtype(bool))}:",
                f"{INDENT}return True",
            ]
        pieces = self.plan.pieces(instruction)
        if pieces:
            return [line for each in pieces for line in self._copy(function, instruction.out, each)]
        accesses = self.plan.product(instruction)
        assert accesses is not None
        return self._product(function, accesses, instruction)

    def _product(self, function: Function, accesses: Sequence[Access], instruction: Instruction) -> list[str]:
        """A matrix product, or a loop over many of them."""
        out = instruction.out
        batch = out.shape[:-2]
        lines = ["np.dot("]
        for value, access in (*zip(instruction.args, accesses, strict=True), (out, self.layout(out))):
            steps = broadcast_strides(value.shape[:-2], access.strides[:-2], batch)
            terms = [(step, letter) for step, letter, n in zip(steps, LETTERS, batch, strict=False) if n > 1]
            lines.append(f"{INDENT}{self._matrix(function, access, value.shape[-2:], terms)},")
        heads = [f"for {letter} in range({n}):" for letter, n in zip(LETTERS, batch, strict=False) if n > 1]
        return nested(heads, [*lines, ")"])

    def _number(self, function: Function, value: Value) -> str:
        if value.kind == "number":
            return function.number(value)
        access = self.layout(value)
        if access.base in function.scalars:
            return function.scalars[access.base]
        return function.element(self.storage.places[access.base], function.start(access.base), [], access.offset)

    def _matrix(
        self, function: Function, access: Access, shape: Sequence[int], terms: Sequence[tuple[int, str]] = ()
    ) -> str:
        """A part of a flat array as a matrix or vector; `terms` lead to one of many."""
        place, start = self.storage.places[access.base], function.start(access.base)
        function.arrays[place.name] = None
        first = position(start, terms, access.offset)
        size = int(np.prod(shape))
        last = str(int(first) + size) if first.isdigit() else f"{first} + {size}"
        text = f"{place.name}[{first}:{last}]"
        if len(shape) == 1:
            return text
        if _order(shape, access.strides[-2:]) == "C":
            return f"{text}.reshape(({shape[0]}, {shape[1]}))"
        return f"{text}.reshape(({shape[1]}, {shape[0]})).T"

    def _copy(self, function: Function, out: Value, piece: Piece) -> list[str]:
        """The lines that copy an array to its part of another, unless it was computed there."""
        if 0 in piece.shape:
            return []
        access, there = self.layout(piece.item), self.storage.places[out]
        place = self.storage.places[access.base]
        own = broadcast_strides(piece.item.shape, access.strides, piece.shape)
        apart = any(n > 1 and a != b for n, a, b in zip(piece.shape, own, piece.strides, strict=True))
        if (place.name, place.offset + access.offset) == (there.name, there.offset + piece.offset) and not apart:
            return []
        heads, letters = [], iter(LETTERS)
        steps = [(n, a, b, next(letters)) for n, a, b in zip(piece.shape, own, piece.strides, strict=True) if n > 1]
        heads = [f"for {letter} in range({n}):" for n, _, _, letter in steps]
        source = [(a, letter) for _, a, _, letter in steps]
        target = [(b, letter) for _, _, b, letter in steps]
        to = function.element(there, function.start(out), target, piece.offset)
        return nested(heads, [f"{to} = {function.element(place, function.start(access.base), source, access.offset)}"])

    # The Python function.

    def _call(self, instruction: Instruction) -> None:
        """Write a call of NumPy's."""
        self._note(Single(instruction), "")
        if instruction.kind == "effect":
            self._begin_update()
        self.lines.append(f"# {_described(instruction.origin)}"[:WIDTH])
        function = self._called(instruction)
        if instruction.kind in ("effect", "guard"):
            expected = instruction.options.get("expected")
            check = f"if {function} {'is not' if False else '!='} {expected}:"
            self.lines += [function] if instruction.kind == "effect" else [check, f"{INDENT}return DEVIATES"]
            return
        outs = [self.names(out) for out in instruction.outs]
        self.lines.append(f"{', '.join(outs)} = {function}")
        for name, out in zip(outs, instruction.outs, strict=True):
            if instruction.kind == "call":
                self.lines += [f"if np.shape({name}) != {out.shape}:", f"{INDENT}return DEVIATES"]
            if out not in self.plan.variables:
                self.lines.append(f"np.copyto({self.kept(out)}, {name})")

    def _called(self, instruction: Instruction) -> str:
        args, function = instruction.args, instruction.function
        options = [f"{key}={self.python(item)}" for key, item in instruction.options.items()]
        if instruction.kind == "guard":
            return f"bool({self.python(args[0])})" if function is bool else f"np.isnan({self.python(args[0])})"
        given = ", ".join([*map(self.python, args), *options])
        if instruction.kind == "reduce":
            return f"{self._function(function)}.reduce({given})"
        return f"{self._function(function)}({given})"

    def _function(self, function: Any) -> str:
        name = getattr(function, "__name__", type(function).__name__)
        return f"np.{name}" if getattr(np, name, None) is function else self.constant(function, name)

    def given(self, value: Value) -> str:
        """An input or memory as it came."""
        return self.constant(value.array, self.names(value)) if value.kind == "memory" else self.names(value)

    def kept(self, value: Value) -> str:
        """The array in which a value is kept."""
        base, offset, strides = self.layout(value)
        place = self.storage.places[base]
        if place.name in self.storage.results:
            assert base is value
            return place.name
        key = "kept", place.name, place.offset + offset, value.shape, strides
        if key not in self.constants:
            self.constants[key] = self.names.fresh(f"{self.names(value)}_")
            self.pending.append((self.constants[key], key[1:]))
        return self.constants[key]

    def python(self, item: Any) -> str:
        """An argument as it stands in the Python function."""
        if isinstance(item, Value):
            return self._value(item)
        if isinstance(item, tuple):
            parts = [self.python(part) for part in item]
            return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
        if isinstance(item, list):
            return f"[{', '.join(map(self.python, item))}]"
        if isinstance(item, slice):
            return f"slice({', '.join(map(self.python, (item.start, item.stop, item.step)))})"
        if item is None or item is ... or type(item) in (bool, int, str):
            return repr(item) if item is not ... else "..."
        if type(item) is float and np.isfinite(item):
            return repr(item)
        return self.constant(item, "constant")

    def _value(self, value: Value) -> str:
        if value.kind == "number":
            return self.names(value)
        base = self.layout(value).base
        if base.kind == "memory" and base is value:
            return self.given(value)
        name = self.storage.places[base].name if base in self.storage.places else self.names(base)
        local = base in self.plan.variables or name in self.storage.inputs or name in self.storage.results
        if not local:
            return self.kept(value)
        if base is value:
            return name
        instruction = self.views[value]
        self.lines.append(f"{self.names(value)} = {self._called(instruction)}")
        return self.names(value)

    def constant(self, item: Any, name: str) -> str:
        """The name of something that stays the same."""
        if id(item) not in self.constants:
            self.constants[id(item)] = fresh = self.names.fresh(name)
            self.namespace[fresh] = item  # which keeps its id from being given to another
        return self.constants[id(item)]

    def returned(self, results: Any) -> str:
        """What the function returns: copies of what the next call writes to."""
        if isinstance(results, tuple):
            parts = [self.returned(part) for part in results]
            return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
        name = self.python(results)
        if not isinstance(results, Value) or results.kind == "number":
            return name
        if name in self.storage.results:
            return name
        return f'{name}.copy("K")' if results.shape else f"{name}[()]"

    # The whole.

    def _note(self, group: Group, how: str) -> None:
        """Add a line to the report."""
        if isinstance(group, Nest):
            shape = " x ".join(map(str, group.extents)) or "one number"
            what = ", ".join(dict.fromkeys(s.instruction.name for s in group.statements))
            self.report.append(f"loop over {shape}{how}: {what}"[:WIDTH])
        elif self.plan._kind(group) == "call":
            instruction = group.instruction
            self.report.append(f"NumPy call: {instruction.name} ({_described(instruction.origin)})"[:WIDTH])
        elif group.instruction.function is np.matmul:
            shapes = " @ ".join(str(each.shape) for each in group.instruction.args)
            self.report.append(f"BLAS call: {shapes}")
        elif group.instruction.kind != "guard":
            self.report.append(f"copies: {group.instruction.name}")

    def module(self) -> str:
        """The source of the compiled functions, without comments: it should not change when the user's lines move."""
        return HEADER + "".join(self._text(head, lines, comments=False) for head, lines in self.functions)

    def _text(self, head: str, lines: Sequence[str], comments: bool) -> str:
        kept = [line if comments else line.split("  # ")[0] for line in lines]
        kept = [line for line in kept if comments or not line.lstrip().startswith("#")]
        body = "".join(f"{INDENT}{line}\n" for line in kept or ["pass"])
        return f"\n\n@compiled\n{head}\n{body}"

    def finish(self, module: Any) -> None:
        """Compile the functions of a module."""
        from numba import typeof

        for name, examples in self.arguments.items():
            getattr(module, name).compile(tuple(typeof(self._example(each)) for each in examples))

    def _example(self, item: Any) -> Any:
        if isinstance(item, Value):
            order = "F" if item.ndim == 2 and _order(item.shape, native_strides(item)) == "F" else "C"
            return np.empty(item.shape, item.dtype, order)  # type: ignore[call-overload]
        return self.storage.arrays[item] if isinstance(item, str) else item

    def executable(self, module: Any) -> Executable:
        """The function that can be called."""
        for name, (array, offset, shape, strides) in self.pending:
            self.namespace[name] = self.storage.seen(self.storage.arrays[array], offset, shape, strides)
        self.namespace |= self.storage.arrays
        self.namespace |= {name: getattr(module, name) for name in self.arguments}
        parameters = [self.names(each) for each in (*self.plan.program.inputs, *self.plan.program.numbers)]
        source = f"def {self.name}({', '.join(parameters)}):\n" + "".join(f"{INDENT}{line}\n" for line in self.lines)
        source += "".join(self._text(head, lines, comments=True) for head, lines in self.functions)
        filename = f"<compiled {self.name} {next(_counter)}>"
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
        code = "".join(f"{INDENT}{line}\n" for line in self.lines)
        exec(compile(f"def {self.name}({', '.join(parameters)}):\n{code}", filename, "exec"), self.namespace)
        return Executable(self.namespace[self.name], source, self.report, self.storage.nbytes)


def _comment(group: Group) -> list[str]:
    """Which of the user's operations a group computes."""
    instructions = [s.instruction for s in group.statements] if isinstance(group, Nest) else [group.instruction]
    return list(dict.fromkeys(_described(each.origin) for each in instructions))


def _described(origin: Origin) -> str:
    """Which operation of the user's, or which rule of it."""
    if not origin.where:
        return f"{origin.phase}: {origin.op}"
    place = Location(*origin.where)
    what = f"{origin.op}" if origin.phase == "forward" else f"derivative of {origin.op}"
    return f"{what}, {place}: {place.expression}"[:WIDTH]
