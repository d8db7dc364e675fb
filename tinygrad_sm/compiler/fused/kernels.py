"""The compiled functions: nests, matrix products between them, and guards that end a call early."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_sm.compiler.fused.elements import cast, literal
from tinygrad_sm.compiler.fused.layout import broadcast_strides, native_strides
from tinygrad_sm.compiler.fused.loops import NestWriter
from tinygrad_sm.compiler.fused.nests import SUM, Group, Nest
from tinygrad_sm.compiler.fused.pieces import Matrix, Piece, order
from tinygrad_sm.compiler.fused.plan import Plan, Segment
from tinygrad_sm.compiler.fused.source import (
    FUNCTIONS,
    INDENT,
    LETTERS,
    WIDTH,
    Function,
    combined,
    nested,
    position,
    starting,
)
from tinygrad_sm.compiler.program import Instruction, Value
from tinygrad_sm.compiler.wording import described

HEADER = f'''\
"""Made by tinygrad_sm."""
import math

import numpy as np
from numba import njit

from tinygrad_sm.compiler.fused.products import product
from tinygrad_sm.compiler.fused.scalar_math import {", ".join(FUNCTIONS)}

bool, float32, float64 = np.bool_, np.float32, np.float64
int32, int64, uint64 = np.int32, np.int64, np.uint64
inf, nan = np.inf, np.nan
u = np.uint64  # indices that cannot count from the end: otherwise loops over rows are not vectorised
FAST = {{"contract", "reassoc", "nsz", "arcp"}}  # NaN and infinity keep their meaning
compiled = njit(fastmath=FAST, error_model="numpy", nogil=True, cache=True)
'''


@dataclass
class Kernel:
    """The source of a compiled function, and what it is called with.

    `first` are the parameters that are its own. `examples` are arguments: numbers, names of arrays, or values like
    which there are arrays. `deviates` says whether it returns whether the call is none for the program.
    """

    name: str
    first: list[str]
    examples: list[Any]
    parameters: list[str]
    lines: list[str]
    deviates: bool

    def source(self, comments: bool) -> str:
        """The function, with or without comments."""
        kept = [line if comments else line.split("  # ")[0] for line in self.lines]
        kept = [line for line in kept if comments or not line.lstrip().startswith("#")]
        body = "".join(f"{INDENT}{line}\n" for line in kept)
        return f"\n\n@compiled\ndef {self.name}({', '.join(self.parameters)}):\n{body}"

    def call(self, first: Sequence[str] = ()) -> str:
        """The call of the function."""
        return f"{self.name}({', '.join([*first, *self.parameters[len(self.first) :]])})"


def kernel_of(plan: Plan, segment: Segment) -> Kernel | None:
    """The function of groups that run one after another; None if there is nothing to do."""
    function = Function(plan.names, plan.storage)
    if segment.after:
        function.lines += _completed(plan, function, segment.after)
    comment: list[str] = []
    deviates = checks = False
    for group in segment.groups:
        if comment != (comment := comment_on(group)):
            function.lines += [f"# {line}" for line in comment]
        function.checks = False
        if isinstance(group, Nest):
            function.lines += NestWriter(function, plan.grouping, plan.phases[group], plan.buffers).lines()
        else:
            function.lines += _single(plan, function, group.instruction)
        function.lines += ["if bad:", f"{INDENT}return True"] if function.checks else []
        checks |= function.checks
        deviates |= function.checks or (not isinstance(group, Nest) and group.instruction.kind == "guard")
    if all(line.startswith("#") for line in function.lines):
        return None
    function.lines = [*["bad = False"] * checks, *function.lines, *["return False"] * deviates]
    return _finished(plan, plan.names.fresh("kernel"), function, [], deviates)


def rows_of(plan: Plan, group: Group) -> Kernel:
    """The function of a block of a nest or product that is shared by several threads."""
    function = Function(plan.names, plan.storage)
    if not isinstance(group, Nest):
        matrices, out = plan.product(group.instruction), group.instruction.out
        assert matrices is not None
        lines = product_lines(function, matrices, out, plan.shared(group)[0])
        function.lines = [*[f"# {line}" for line in comment_on(group)], *lines]
        return _finished(plan, plan.names.fresh("part"), function, ["lo", "hi", "block"], False)
    nest = group
    lines = NestWriter(function, plan.grouping, plan.phases[nest], plan.buffers, plan.partial).lines()
    comment = [f"# {line}" for line in comment_on(nest)]
    checks = function.checks
    function.lines = [*comment, *["bad = False"] * checks, *lines, *["return bad"] * checks]
    keeps = any(value in plan.buffers for value in nest.levels)
    first = ["lo", "hi", "block", *["slot"] * keeps]
    return _finished(plan, plan.names.fresh("rows"), function, first, checks)


def _finished(plan: Plan, name: str, function: Function, first: list[str], deviates: bool) -> Kernel:
    arrays, numbers, routines = list(function.arrays), list(function.numbers), list(function.routines)
    values = [plan.storage.value(each) for each in arrays]
    flat = [_flattened(name, value) for name, value in zip(arrays, values, strict=True) if value and value.ndim > 1]
    lines = [*flat, *function.declared(), *function.lines]
    examples: list[Any] = [0] * len(first)
    examples += [value or each for value, each in zip(values, arrays, strict=True)]
    examples += [*[np.zeros((), each.dtype).item() for each in numbers], *[0] * len(routines)]
    parameters = [*first, *arrays, *map(plan.names, numbers), *routines]
    return Kernel(name, first, examples, parameters, lines, deviates)


def _flattened(name: str, value: Value) -> str:
    turned = ".T" if value.ndim == 2 and order(value.shape, native_strides(value)) == "F" else ""
    return f"{name} = {name}{turned}.reshape({value.size})"


def comment_on(group: Group) -> list[str]:
    """Which of the user's operations a group computes."""
    instructions = [s.instruction for s in group.statements] if isinstance(group, Nest) else [group.instruction]
    return list(dict.fromkeys(described(each.origin, WIDTH) for each in instructions))


def _completed(plan: Plan, function: Function, nest: Nest) -> list[str]:
    """The lines that add up what the blocks of a nest have summed."""
    lines = []
    _, _, blocks = plan.blocks(nest)
    for instruction, _ in nest.statements:
        out = instruction.out
        if nest.levels[out] == SUM and out in plan.stored:
            target = function.of(out, [(1, "j")])
            part = function.element(plan.partial[out], "", [(out.size, "i"), (1, "j")], plan.partial[out].offset)
            lines += [f"for j in range({out.size}):", f"{INDENT}{target} = {starting(instruction, out.dtype)}"]
            lines += [f"for i in range({blocks}):", f"{INDENT}for j in range({out.size}):"]
            lines.append(f"{INDENT * 2}{target} = {combined(instruction, target, part)}")
    return lines


# What is no nest.


def _single(plan: Plan, function: Function, instruction: Instruction) -> list[str]:
    """The lines of a guard, of what is put together from pieces, or of a product."""
    if instruction.kind == "guard":
        return _guard(plan, function, instruction)
    pieces = plan.pieces[instruction]
    if pieces:
        return [line for each in pieces for line in _copied(plan, function, instruction.out, each)]
    return _product(plan, function, instruction)


def _guard(plan: Plan, function: Function, instruction: Instruction) -> list[str]:
    value, expected = instruction.args[0], instruction.options["expected"]
    text = _number(plan, function, value)
    if instruction.function is np.isnan:
        return [f"if {text} != {text}:", f"{INDENT}return True"]
    condition = cast(text, value.dtype, np.dtype(bool))
    return [f"if {'not ' if expected else ''}{condition}:", f"{INDENT}return True"]


def _number(plan: Plan, function: Function, value: Value) -> str:
    if value.kind == "number":
        return function.number(value)
    access = plan.layout(value)
    return function.scalars.get(access.base) or function.of(access.base, [], access.offset)


def _copied(plan: Plan, function: Function, out: Value, piece: Piece) -> list[str]:
    """The lines that copy an array to its part of another, unless it was computed there."""
    heads = [f"for {letter} in range({n}):" for letter, n in zip(LETTERS, _long(piece.shape), strict=False)]
    target = _numbered(piece.strides, piece.shape)
    lines = []
    for each in piece.dynamic:
        access = plan.layout(each.places)
        k, checked = function.index(
            function.of(access.base, _numbered(each.strides, piece.shape), access.offset), each.extent
        )
        lines += checked
        target.append((each.step, k))
    to = function.of(out, target, piece.offset)
    if not isinstance(piece.item, Value):
        return nested(heads, [*lines, f"{to} = {literal(piece.item, out.dtype)}"])
    access, there = plan.layout(piece.item), plan.storage.places[out]
    name, start = plan.storage.places[access.base]
    source = _numbered(broadcast_strides(piece.item.shape, access.strides, piece.shape), piece.shape)
    if (name, start + access.offset, source) == (there.name, there.offset + piece.offset, target):
        return []
    element = function.of(access.base, source, access.offset)
    return nested(heads, [*lines, f"{to} = {to} + {element}" if piece.adds else f"{to} = {element}"])


def _long(shape: Sequence[int]) -> list[int]:
    """The lengths of the axes that have several elements."""
    return [n for n in shape if n > 1]


def _product(plan: Plan, function: Function, instruction: Instruction) -> list[str]:
    """A matrix product, or a loop over many of them."""
    matrices = plan.product(instruction)
    assert matrices is not None
    batch = _long(instruction.out.shape[: len(matrices[0].batch)])
    heads = [f"for {letter} in range({n}):" for letter, n in zip(LETTERS, batch, strict=False)]
    return nested(heads, product_lines(function, matrices, instruction.out))


def product_lines(function: Function, matrices: Sequence[Matrix], out: Value, part: str = "") -> list[str]:
    """The call that multiplies two matrices; `part` says that only "rows" or "columns" lo to hi are computed."""
    x, y, into = matrices
    (n, k), m = x.shape, y.shape[1]
    sizes = ["hi - lo" if part == "rows" else n, k, "hi - lo" if part == "columns" else m]
    along = {"rows": (x.rows * (not x.turned) or 1, 0, into.rows), "columns": (0, y.rows * y.turned or 1, 1)}
    steps = along.get(part, (0, 0, 0))
    lines = [f"product({function.routine(out.dtype)}, ({', '.join(map(str, sizes))}),"]
    for matrix, step in zip(matrices, steps, strict=True):
        base = matrix.access.base
        terms = _numbered(matrix.batch, out.shape)
        first = position(function.start(base), [*terms, (step, "lo")], matrix.access.offset)
        where = [first, str(matrix.rows), *[str(matrix.turned)] * (matrix is not into)]
        lines.append(f"{INDENT}{function.array(base)}, ({', '.join(where)}),")
    return [*lines, ")"]


def _numbered(steps: Sequence[int], shape: Sequence[int]) -> list[tuple[int, str]]:
    """The steps of loops over those axes of a shape that have several elements."""
    letters = iter(LETTERS)
    return [(step, next(letters)) for step, n in zip(steps, shape, strict=False) if n > 1]
