"""What is put together from other arrays, and matrices as the BLAS takes them: no nests, but compiled all the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_sm.compiler.fused.elements import NAMES
from tinygrad_sm.compiler.fused.layout import Access, Layout, address, c_strides, native_strides
from tinygrad_sm.compiler.program import Instruction, Value, values_in
from tinygrad_sm.compiler.tracing import assigned


class Piece(NamedTuple):
    """An array that is copied to a part of another one: where that begins, and its steps."""

    item: Any
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def is_computable(out: Value) -> bool:
    """Whether loops can write a value."""
    return out.dtype in NAMES and out.size > 0


def pieces_of(instruction: Instruction) -> list[Piece]:
    """The arrays that a result is put together from, where each of them is a value of its type; or none."""
    if len(instruction.outs) != 1 or not is_computable(instruction.out):
        return []
    found = _pieces(instruction)
    alike = all(isinstance(each.item, Value) and each.item.dtype == instruction.out.dtype for each in found)
    return [each for each in found if 0 not in each.shape] if alike else []


def _pieces(instruction: Instruction) -> list[Piece]:
    out, args = instruction.out, instruction.args
    strides = native_strides(out)
    if instruction.kind == "gather":
        return [Piece(item, i, item.shape, c_strides(item.shape)) for item, i in _in_turn(args[0], "size")]
    if instruction.function is assigned:
        return _assigned_pieces(instruction, strides)
    if instruction.function not in (np.concatenate, np.stack) or not instruction.options.keys() <= {"axis"}:
        return []
    items, axis = args[0], instruction.options.get("axis", args[1] if len(args) > 1 else 0)
    if len(args) > 2 or not isinstance(axis, int) or not all(isinstance(item, Value) for item in items):
        return []
    axis %= out.ndim
    if instruction.function is np.stack:
        others = (*strides[:axis], *strides[axis + 1 :])
        return [Piece(item, i * strides[axis], item.shape, others) for i, item in enumerate(items)]
    return [Piece(item, i * strides[axis], item.shape, strides) for item, i in _in_turn(items, axis)]


def _in_turn(items: Sequence[Value], length: Any) -> list[tuple[Value, int]]:
    """Values and where each begins, one after the other along an axis, or in all their size."""
    begins, found = 0, []
    for item in items:
        found.append((item, begins))
        begins += item.size if length == "size" else item.shape[length]
    return found


def _assigned_pieces(instruction: Instruction, strides: tuple[int, ...]) -> list[Piece]:
    """An array and what is assigned to a part of it, if that is chosen by slices."""
    array, index, value = instruction.args
    parts = index if isinstance(index, tuple) else (index,)
    basic = (int, slice, type(None), type(...))
    if any(isinstance(part, bool) or not isinstance(part, basic) for part in parts) or any(values_in(parts)):
        return []
    model = np.lib.stride_tricks.as_strided(np.empty(array.size, np.int8), array.shape, strides)
    part = model[(*parts, ...)] if ... not in parts else model[index]  # which is an array even if it is one element
    whole = Piece(array, 0, array.shape, strides)
    return [whole, Piece(value, address(part) - address(model), part.shape, part.strides)]


def product_of(instruction: Instruction, layout: Layout) -> tuple[Access, Access] | None:
    """The matrices or vectors of a product, or many of them, that the BLAS can take as they lie; None if it cannot."""
    x, y = instruction.args
    out = instruction.out
    if not isinstance(x, Value) or not isinstance(y, Value) or not is_computable(out) or out.dtype.kind != "f":
        return None
    if (
        {x.dtype, y.dtype} != {out.dtype}
        or not x.size
        or not x.ndim
        or not y.ndim
        or min(x.ndim, y.ndim) == 1 < out.ndim
    ):
        return None
    accesses = layout(x), layout(y)
    fits = [order(v.shape[-2:], access.strides[-2:]) for v, access in zip((x, y), accesses, strict=True)]
    return accesses if all(fits) and order(out.shape[-2:], native_strides(out)[-2:]) == "C" else None


def order(shape: Sequence[int], strides: Sequence[int]) -> str:
    """C if a matrix lies flat row by row, F if column by column, nothing otherwise."""
    if len(shape) == 1:
        return "C" if strides[0] == 1 or shape[0] == 1 else ""
    (n, m), (row, column) = shape, strides
    if (column == 1 or m == 1) and (row == m or n == 1):
        return "C"
    return "F" if (row == 1 or n == 1) and (column == n or m == 1) else ""
