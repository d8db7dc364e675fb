"""What is put together from other arrays, and matrices as the BLAS takes them: no nests, but compiled all the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_sm.compiler.fused.elements import NAMES, READ
from tinygrad_sm.compiler.fused.indexing import Dynamic, chosen_by
from tinygrad_sm.compiler.fused.layout import Access, Layout, address, broadcast_strides, c_strides, native_strides
from tinygrad_sm.compiler.program import Instruction, Value, values_in
from tinygrad_sm.compiler.tracing import assigned
from tinygrad_sm.ops.indexing import scatter_add


class Piece(NamedTuple):
    """An array, or a number, that is copied to a part of another array, or added there.

    `offset` is where that part begins, `strides` are its steps, `dynamic` is looked up.
    """

    item: Any
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dynamic: tuple[Dynamic, ...] = ()
    adds: bool = False


def is_computable(out: Value) -> bool:
    """Whether loops can write a value."""
    return out.dtype in NAMES and out.size > 0


def is_joined(instruction: Instruction) -> bool:
    """Whether a result consists of its arguments, next to each other."""
    return instruction.kind == "gather" or instruction.function in (np.concatenate, np.stack)


def pieces_of(instruction: Instruction, layout: Layout) -> list[Piece]:
    """The arrays that a result is put together from, where each of them is a value of its type; or none."""
    if len(instruction.outs) != 1 or not is_computable(instruction.out):
        return []
    found = _pieces(instruction, layout)
    alike = all(each.item == 0 if not isinstance(each.item, Value) else _fits(each.item, instruction) for each in found)
    return [each for each in found if 0 not in each.shape] if alike else []


def _fits(item: Value, instruction: Instruction) -> bool:
    return item.kind != "number" and item.dtype == instruction.out.dtype


def _pieces(instruction: Instruction, layout: Layout) -> list[Piece]:
    out, args = instruction.out, instruction.args
    strides = native_strides(out)
    if instruction.kind == "gather":
        return [Piece(item, i, item.shape, c_strides(item.shape)) for item, i in _in_turn(args[0], "size")]
    if instruction.function is assigned:
        array, index, value = args
        return _with_parts(array, index, value, out, layout, adds=False)
    if instruction.function is scatter_add.forward:
        return _with_parts(0, args[1], args[0], out, layout, adds=True)
    if not is_joined(instruction) or not instruction.options.keys() <= {"axis"}:
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


def _with_parts(array: Any, index: Any, value: Any, out: Value, layout: Layout, adds: bool) -> list[Piece]:
    """An array, and a value that is assigned or added to a part of it."""
    strides = native_strides(out)
    whole = Piece(array, 0, out.shape, strides)
    found = chosen_by(index, out.shape, Access(out, 0, strides), layout)
    if found:
        readable = all(each.places.dtype in READ for each in found.dynamic)
        return [whole, Piece(value, found.offset, found.shape, found.strides, found.dynamic, adds)] if readable else []
    parts = index if isinstance(index, tuple) else (index,)
    basic = (int, slice, type(None), type(...))
    if any(isinstance(part, bool) or not isinstance(part, basic) for part in parts) or any(values_in(parts)):
        return []
    model = np.lib.stride_tricks.as_strided(np.empty(out.size, np.int8), out.shape, strides)
    part = model[(*parts, ...)] if ... not in parts else model[index]  # which is an array even if it is one element
    return [whole, Piece(value, address(part) - address(model), part.shape, part.strides)]


class Matrix(NamedTuple):
    """A matrix as the BLAS takes it: where it lies, how far apart its rows are, or its columns if it lies turned.

    `batch` are the steps to others, if there are many.
    """

    access: Access
    shape: tuple[int, int]
    rows: int
    turned: bool
    batch: tuple[int, ...]


def product_of(instruction: Instruction, layout: Layout) -> tuple[Matrix, Matrix, Matrix] | None:
    """The factors of a product, or of many of them, and their product, if the BLAS can take them as they lie."""
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
    column, row = y.ndim == 1, x.ndim == 1
    batch = out.shape[: out.ndim - 2 + column + row]
    found = matrix_of(x, layout, batch, row), matrix_of(y, layout, batch, False, column)
    into = matrix_of(out, layout, batch, row, column)
    if not found[0] or not found[1] or not into or into.turned:
        return None
    return found[0], found[1], into


def matrix_of(value: Value, layout: Layout, batch: tuple[int, ...], row: bool, column: bool = False) -> Matrix | None:
    """A value as a matrix, or many of them; a vector as a row or column."""
    access = layout(value)
    shape, strides = value.shape, access.strides
    if row:
        shape, strides = (1, *shape), (0, *strides)
    if column:
        shape, strides = (*shape, 1), (*strides, 0)
    many = broadcast_strides(shape[:-2], strides[:-2], batch)
    (n, m), (down, along) = shape[-2:], strides[-2:]
    if (along == 1 or m == 1) and (down >= m or n == 1):
        return Matrix(access, (n, m), down if n > 1 else m, False, many)
    if (down == 1 or n == 1) and (along >= n or m == 1):
        return Matrix(access, (n, m), along if m > 1 else n, True, many)
    return None


def order(shape: Sequence[int], strides: Sequence[int]) -> str:
    """C if a matrix lies flat row by row, F if column by column, nothing otherwise."""
    (n, m), (row, column) = shape, strides
    if (column == 1 or m == 1) and (row == m or n == 1):
        return "C"
    return "F" if (row == 1 or n == 1) and (column == n or m == 1) else ""
