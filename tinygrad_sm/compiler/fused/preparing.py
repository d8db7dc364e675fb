"""Programs brought into the form that loops are made from: constants are values, sums are reductions."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_sm.compiler.program import Instruction, Program, Value, replaced
from tinygrad_sm.compiler.tracing import converted


def prepare(program: Program) -> None:
    """Rewrite a program in place; what it computes stays the same, but for the order of sums."""
    instructions: list[Instruction] = []
    positive: dict[Value, Value] = {}  # for values x the value max(x, 0), as far as it is known
    constants: dict[int, Value] = {}
    for instruction in program.instructions:
        _look_at_result(instruction, positive)
        _name_constants(instruction, constants)
        instructions += _rewritten(instruction)
    program.instructions = instructions


def _look_at_result(instruction: Instruction, positive: dict[Value, Value]) -> None:
    """x > 0 is max(x, 0) > 0, which spares keeping x."""
    if instruction.function not in (np.maximum, np.greater) or len(instruction.args) != 2:
        return
    x, zero = instruction.args
    if not isinstance(x, Value) or type(zero) not in (int, float) or zero != 0:
        return
    if instruction.function is np.maximum:
        positive[x] = instruction.out
    elif x in positive:
        instruction.args = positive[x], zero


def _name_constants(instruction: Instruction, known: dict[int, Value]) -> None:
    """Arrays among the arguments become numbers where all their elements are alike, and values otherwise."""

    def value_of(item: Any) -> Any:
        if not isinstance(item, np.ndarray) or item.dtype.kind not in "fiub":
            return item
        if item.size and (item.ndim == 0 or instruction.kind == "ufunc" and instruction.function is not np.matmul):
            first = item.flat[0]
            if item.ndim == 0 or np.array_equal(item, np.full_like(item, first), equal_nan=item.dtype.kind == "f"):
                return first
        if id(item) not in known:
            known[id(item)] = Value("constant", item.shape, item.dtype, item.strides, "constant", item)
        return known[id(item)]

    instruction.args = replaced(instruction.args, value_of)


def _rewritten(instruction: Instruction) -> list[Instruction]:
    """The instructions in the place of one."""
    function, args = instruction.function, instruction.args
    if function is np.vdot or (function is np.matmul and all(np.ndim(arg) == 1 for arg in args)):
        return _product_and_sum(instruction)
    if function is np.matmul and _is_ones(args[0]) and isinstance(args[1], Value) and args[1].ndim == 2:
        if args[0].dtype == args[1].dtype:
            return [_like(instruction, "reduce", np.add, (args[1],), {"axis": (0,), "keepdims": False})]
    if instruction.kind == "reduce" and not _reduces(instruction):
        return _without_axes(instruction)
    return [instruction]


def _like(instruction: Instruction, kind: str, function: Any, args: Any, options: dict[str, Any]) -> Instruction:
    return Instruction(kind, function, args, options, instruction.outs, instruction.origin)


def _is_ones(item: Any) -> bool:
    array = item.array if isinstance(item, Value) and item.kind == "constant" else None
    return array is not None and array.ndim == 1 and bool((array == 1).all())


def _product_and_sum(instruction: Instruction) -> list[Instruction]:
    x, y = instruction.args
    if not all(isinstance(each, Value) for each in (x, y)) or x.shape != y.shape or x.dtype != y.dtype:
        return [instruction]
    if x.dtype.kind != "f" or instruction.out.dtype != x.dtype:
        return [instruction]
    product = Value("result", x.shape, x.dtype, x.strides, "product")
    times = Instruction("ufunc", np.multiply, (x, y), {}, (product,), instruction.origin)
    return [times, _like(instruction, "reduce", np.add, (product,), {"axis": None})]


def _reduces(instruction: Instruction) -> bool:
    """Whether a reduction has an axis of more than one element."""
    (array, *_), axes = instruction.args, instruction.options.get("axis", (0,))
    return any(n != 1 and (axes is None or i in axes) for i, n in enumerate(array.shape))


def _without_axes(instruction: Instruction) -> list[Instruction]:
    """A reduction of single elements: these, in another shape and type."""
    array, out = instruction.args[0], instruction.out
    if not instruction.options.keys() <= {"axis", "keepdims"} or not array.size:
        return [instruction]
    steps = [step for n, step in zip(array.shape, array.strides, strict=True) if n > 1]
    found = iter(steps)
    strides = tuple(next(found) if n > 1 else array.dtype.itemsize for n in out.shape)
    seen = Value("result", out.shape, array.dtype, strides, array.name)
    reshape = Instruction("view", np.reshape, (array, out.shape), {}, (seen,), instruction.origin)
    return [reshape, _like(instruction, "ufunc", converted, (seen, out.dtype), {})]
