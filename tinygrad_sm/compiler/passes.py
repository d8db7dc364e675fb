"""Programs made shorter: what is computed twice is computed once, what nobody reads is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_sm.compiler.program import Instruction, Program, Value, replaced
from tinygrad_sm.compiler.tracing import assigned, converted, copied, element

ONCE = {"ufunc", "reduce", "view", "put", "gather", "call", "number"}  # the kinds that give the same result again
KEPT = {"guard", "effect", "draw"}  # the kinds that stay whether or not their result is read
LARGE = 4096  # elements of a constant from which on it is compared by identity


def simplified(program: Program) -> None:
    """Leave out what changes nothing, what was computed already, and what is not read; in place."""
    _merge(program)
    _drop_unread(program)


def _renaming(known: dict[Value, Any]) -> Callable[[Any], Any]:
    return lambda item: known.get(item, item) if isinstance(item, Value) else item


def _merge(program: Program) -> None:
    """Common subexpressions become one, and views or copies that change nothing the value itself."""
    seen: dict[Any, Instruction] = {}
    known: dict[Value, Any] = {}
    rename = _renaming(known)
    kept = []
    for instruction in program.instructions:
        instruction.args = replaced(instruction.args, rename)
        instruction.options = replaced(instruction.options, rename)
        same = _unchanged(instruction)
        if same is not None:
            known[instruction.out] = same
            continue
        if instruction.kind in ONCE:
            key = instruction.kind, instruction.function, _key(instruction.args), _key(instruction.options)
            earlier = seen.setdefault(key, instruction)
            if earlier is not instruction:
                known.update(zip(instruction.outs, earlier.outs, strict=True))
                continue
        kept.append(instruction)
    program.instructions = kept
    program.results = replaced(program.results, rename)
    program.stores = [(memory, rename(value)) for memory, value in program.stores]


def _unchanged(instruction: Instruction) -> Value | None:
    """The argument that an instruction hands on as it is, if it does."""
    if instruction.kind != "view" and instruction.function not in (copied, converted):
        return None
    base, out = instruction.args[0], instruction.out
    alike = isinstance(base, Value) and (base.shape, base.dtype, base.strides) == (out.shape, out.dtype, out.strides)
    return base if alike else None


def _key(item: Any) -> Any:
    """What two equal arguments have in common, and no others."""
    if isinstance(item, (tuple, list)):
        return type(item), *map(_key, item)  # an index [0, 1] chooses rows, (0, 1) an element
    if isinstance(item, dict):
        return tuple((key, _key(part)) for key, part in item.items())
    if isinstance(item, slice):
        return "slice", _key((item.start, item.stop, item.step))
    if isinstance(item, np.ndarray):
        return (item.dtype, item.shape, item.tobytes()) if item.size <= LARGE else id(item)
    return item if isinstance(item, Value) else (type(item), repr(item))


def _drop_unread(program: Program) -> None:
    """Keep what a result, a store, a guard or an effect depends on."""
    wanted = set(program.kept())
    kept = []
    for instruction in reversed(program.instructions):
        if instruction.kind in KEPT or wanted.intersection(instruction.outs):
            wanted.update(instruction.inputs)
            kept.append(instruction)
    program.instructions = kept[::-1]


def in_memory_order(array: Any) -> Any:
    """A matrix as a flat array, in the order in which its elements lie in memory."""
    return (array if array.flags.c_contiguous else array.T).reshape(-1)


def from_memory_order(flat: Any, shape: tuple[int, int], transposed: bool) -> Any:
    """The matrix of which a flat array holds the elements in memory order."""
    return flat.reshape(shape[::-1]).T if transposed else flat.reshape(shape)


def flatten_indices(program: Program) -> None:
    """Elements chosen by a row and a column each are chosen by one number: NumPy takes a third of the time.

    It is what `logits[np.arange(n), labels]` becomes; the numbers are computed once for all that use them. Only columns
    that a guard found inside the matrix let themselves be counted so: NumPy takes negative ones from the end.
    """
    instructions: list[Instruction] = []
    limits = _limits(program)
    for instruction in program.instructions:
        if instruction.function not in (element, assigned) or not _chooses_pairs(instruction, limits):
            instructions.append(instruction)
            continue
        matrix, (rows, columns), *rest = instruction.args
        transposed = matrix.strides[1] > matrix.strides[0]
        step_row, step_column = (1, matrix.shape[0]) if transposed else (matrix.shape[1], 1)
        made = _Maker(instructions, instruction)
        flat = made("view", in_memory_order, (matrix,), (matrix.size,), matrix.dtype)
        if step_column > 1:
            factor = np.asarray(step_column, np.int64)  # which is no Python number, so that small types do not overflow
            columns = made("ufunc", np.multiply, (columns, factor), columns.shape, factor.dtype)
        places = made("ufunc", np.add, (columns, rows.astype(np.int64) * step_row), columns.shape, np.dtype(np.int64))
        if instruction.function is element:
            instructions.append(Instruction("call", taken, (flat, places), {}, instruction.outs, instruction.origin))
            continue
        put = made("put", assigned, (flat, places, *rest), flat.shape, flat.dtype)
        args = (put, matrix.shape, transposed)
        instructions.append(Instruction("view", from_memory_order, args, {}, instruction.outs, instruction.origin))
    program.instructions = instructions
    _merge(program)


def reinterpreted(array: Any, dtype: Any) -> Any:
    """The bits of integers as those of other integers of the same size."""
    return array.view(dtype)


def view_integers(program: Program) -> None:
    """Integers converted to others of the same size, such as labels to numbers without a sign, need no copy."""
    for instruction in program.instructions:
        if instruction.function is converted and isinstance(instruction.args[0], Value):
            types = instruction.args[0].dtype, instruction.out.dtype
            if all(dtype.kind in "iu" for dtype in types) and types[0].itemsize == types[1].itemsize:
                instruction.kind, instruction.function = "view", reinterpreted


class _Maker:
    """Appends instructions of the same origin as another one."""

    def __init__(self, instructions: list[Instruction], like: Instruction) -> None:
        self.instructions, self.origin = instructions, like.origin

    def __call__(self, kind: str, function: Any, args: Any, shape: tuple[int, ...], dtype: Any) -> Value:
        strides = np.empty(shape, dtype).strides
        value = Value("result", shape, dtype, strides)
        self.instructions.append(Instruction(kind, function, args, {}, (value,), self.origin))
        return value


def taken(flat: Any, places: Any) -> Any:
    """The elements at places that are known to be inside."""
    return flat.take(places)


def _limits(program: Program) -> dict[Value, int]:
    """The integers that a guard found to be at least 0 and below a number: it compares their maximum without sign."""
    unsigned: dict[Value, Value] = {}
    largest: dict[Value, Value] = {}
    below: dict[Value, tuple[Value, int]] = {}
    limits: dict[Value, int] = {}
    for each in program.instructions:
        first, *rest = each.args or (None,)
        if each.function is converted and each.out.dtype == np.uint64 and first.dtype.kind in "iu":
            unsigned[each.out] = first
        elif each.kind == "reduce" and each.function is np.maximum and each.out.size == 1:
            largest[each.out] = unsigned.get(first, first)
        elif each.function is np.less and first in largest and type(rest[0]) is int:
            below[each.out] = largest[first], rest[0]
        elif each.kind == "guard" and each.options["expected"] and first in below:
            labels, count = below[first]
            limits[labels] = count
    return limits


def _chooses_pairs(instruction: Instruction, limits: dict[Value, int]) -> bool:
    """Whether the index is a constant row number and an integer column, inside, for every row of a matrix."""
    matrix, index = instruction.args[:2]
    if not (isinstance(matrix, Value) and matrix.ndim == 2 and isinstance(index, tuple) and len(index) == 2):
        return False
    (n, m), size = matrix.shape, matrix.dtype.itemsize
    rows, columns = index
    fits = isinstance(rows, np.ndarray) and isinstance(columns, Value) and rows.shape == columns.shape == (n,)
    if not (fits and matrix.strides in ((m * size, size), (size, n * size)) and _is_small_integer(rows, columns)):
        return False
    return bool(np.all(rows >= 0)) and limits.get(columns, m + 1) <= m


def _is_small_integer(*indices: Any) -> bool:
    return all(index.dtype.kind in "iu" and np.can_cast(index.dtype, np.int64) for index in indices)


# What makes NaN of NaN, wherever it stands among the operands.
HANDING_NAN_ON = {
    np.add,
    np.subtract,
    np.multiply,
    np.divide,
    np.negative,
    np.matmul,
    np.maximum,
    np.minimum,
    converted,
}


def where_nan_arrives(program: Program, made: Sequence[Value], gradients: Sequence[Value]) -> list[Value]:
    """The fewest and smallest gradients that one of is NaN if any element of the values made is."""
    reached = {gradient: 1 << i for i, gradient in enumerate(gradients)}  # which of them, as bits, from each value
    for instruction in reversed(program.instructions):
        if instruction.kind == "view" and instruction.inputs[:1]:
            whole = instruction.out.size == instruction.inputs[0].size
        else:
            whole = instruction.kind in ("ufunc", "reduce") and instruction.function in HANDING_NAN_ON
        found = reached.get(instruction.out, 0) if whole else 0
        if found:
            for value in instruction.inputs:
                reached[value] = reached.get(value, 0) | found
    chosen: list[Value] = []
    watched = 0
    for value in made:
        found = reached.get(value, 0)
        if not found or not found & watched:
            candidates = [each for i, each in enumerate(gradients) if found >> i & 1]
            new = [min(candidates, key=_size)] if candidates else list(gradients)
            chosen += new
            watched |= sum(1 << gradients.index(each) for each in dict.fromkeys(new))
    return list(dict.fromkeys(chosen))


def _size(value: Value) -> int:
    return value.size
