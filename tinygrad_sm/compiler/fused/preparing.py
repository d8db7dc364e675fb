"""Programs brought into the form that loops are made from.

Constants become numbers or values, and what NumPy computes by several loops becomes several instructions.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_sm.compiler.planning import laid_out
from tinygrad_sm.compiler.program import Instruction, Program, Value, replaced
from tinygrad_sm.compiler.tracing import converted
from tinygrad_sm.ops.reduction import count_reduced, normalised
from tinygrad_sm.optim.clipping import total_norm


def prepare(program: Program) -> None:
    """Rewrite a program in place; what it computes stays the same, but for the order of sums."""
    instructions: list[Instruction] = []
    positive: dict[Value, Value] = {}  # for values x the value max(x, 0), as far as it is known
    constants: dict[int, Value] = {}
    for instruction in program.instructions:
        _look_at_result(instruction, positive)
        if _is_constant(instruction):
            _compute(instruction)
            continue
        _name_constants(instruction, constants)
        instructions += _rewritten(instruction)
    program.instructions = instructions


def _look_at_result(instruction: Instruction, positive: dict[Value, Value]) -> None:
    """Ask max(x, 0) > 0 in the place of x > 0, which spares keeping x."""
    if instruction.function not in (np.maximum, np.greater) or len(instruction.args) != 2:
        return
    x, zero = instruction.args
    if not isinstance(x, Value) or type(zero) not in (int, float) or zero != 0:
        return
    if instruction.function is np.maximum:
        positive[x] = instruction.out
    elif x in positive:
        instruction.args = positive[x], zero


def _is_constant(instruction: Instruction) -> bool:
    """Whether an instruction gives the same in every call."""
    pure = instruction.kind in ("ufunc", "reduce", "view") and len(instruction.outs) == 1
    return pure and all(value.kind == "constant" for value in instruction.inputs)


def _compute(instruction: Instruction) -> None:
    """Turn the result of an instruction into a constant."""
    out, function = instruction.out, instruction.function
    given, options = replaced((instruction.args, instruction.options), _array_of)
    call: Any = getattr(function, "reduce") if instruction.kind == "reduce" else function  # noqa: B009
    with np.errstate(all="ignore"):
        found = call(*given, **options)
    out.kind, out.array = "constant", np.asarray(found)


def _array_of(item: Any) -> Any:
    return item.array if isinstance(item, Value) else item


def _name_constants(instruction: Instruction, known: dict[int, Value]) -> None:
    """Arrays among the arguments become numbers where all their elements are alike, and values otherwise."""

    def value_of(item: Any) -> Any:
        if isinstance(item, Value) and item.kind == "constant":
            item = item.array
        if not isinstance(item, np.ndarray) or item.dtype.kind not in "fiub":
            return item
        by_element = instruction.kind == "ufunc" and instruction.function is not np.matmul
        if item.size and (item.ndim == 0 or by_element):
            first = item.flat[0]
            if item.ndim == 0 or np.array_equal(item, np.full_like(item, first), equal_nan=item.dtype.kind == "f"):
                return first
        if id(item) not in known:  # which keeps the array, and so its id
            known[id(item)] = Value("constant", item.shape, item.dtype, item.strides, "constant", item)
        return known[id(item)]

    instruction.args = replaced(instruction.args, value_of)


def _rewritten(instruction: Instruction) -> list[Instruction]:
    """The instructions in the place of one."""
    function, args = instruction.function, instruction.args
    if function is np.vdot or (function is np.matmul and all(np.ndim(arg) == 1 for arg in args)):
        return _product_and_sum(instruction)
    if function is np.matmul and _is_ones(args[0]) and np.ndim(args[1]) == 2 and args[0].dtype == args[1].dtype:
        return [_like(instruction, "reduce", np.add, (args[1],), {"axis": (0,), "keepdims": False})]
    if instruction.kind == "reduce" and not _reduces(instruction):
        return _without_axes(instruction)
    if function is total_norm and instruction.kind == "call":
        return _norm(instruction) or [instruction]
    if function in _OPENED and instruction.kind == "call":
        return _opened(instruction) or [instruction]
    return [instruction]


class _Maker:
    """Makes instructions of the same origin as another, one after another; the last one gives what that gave."""

    def __init__(self, instruction: Instruction) -> None:
        self.given = instruction
        self.made: list[Instruction] = []

    def __call__(self, kind: str, function: Any, *args: Any, **options: Any) -> Value:
        examples = [_example(arg) for arg in args]
        call = function.reduce if kind == "reduce" else function
        with np.errstate(all="ignore"):
            found = call(*examples, **options)
        value = Value("result", found.shape, found.dtype, found.strides)
        self.made.append(Instruction(kind, function, args, options, (value,), self.given.origin))
        return value

    def finish(self) -> list[Instruction]:
        """The instructions, rewritten in their turn; none if they do not give what is wanted."""
        last, wanted = self.made[-1].out, self.given.out
        if (last.shape, last.dtype) != (wanted.shape, wanted.dtype):
            return []
        self.made[-1].outs = self.given.outs
        return [each for made in self.made for each in _rewritten(made)]


def _example(item: Any) -> Any:
    """Some array laid out like a value."""
    if not isinstance(item, Value) or item.kind == "number":
        return 1.0 if isinstance(item, Value) else item
    example = laid_out(np.empty(item.nbytes, np.uint8), item)
    example.fill(1)
    return example


def _opened(instruction: Instruction) -> list[Instruction]:
    """A function of NumPy's as the instructions that it consists of; none if it does something else."""
    open_it, names = _OPENED[instruction.function]
    try:
        bound = inspect.signature(instruction.function).bind(*instruction.args, **instruction.options).arguments
    except TypeError:
        return []
    options = {key: item for key, item in bound.items() if item is not None and item is not np._NoValue}
    array = options.get("a")
    if not options.keys() <= set(names) or not isinstance(array, Value) or array.dtype.kind != "f" or not array.size:
        return []
    maker = _Maker(instruction)
    open_it(maker, **options)
    return maker.finish()


def _norm(instruction: Instruction) -> list[Instruction]:
    """The norm of all elements of some arrays; where it overflows it is infinite, which the program guards against."""
    (arrays, *others), options = instruction.args, instruction.options
    if (
        others
        or options
        or not arrays
        or not all(isinstance(a, Value) and a.size and a.dtype.kind == "f" for a in arrays)
    ):
        return []
    maker = _Maker(instruction)
    totals = []
    for array in arrays:
        exact = maker("ufunc", converted, array, np.dtype(np.float64))
        totals.append(maker("reduce", np.add, maker("ufunc", np.multiply, exact, exact), axis=None))
    total = totals[0]
    for each in totals[1:]:
        total = maker("ufunc", np.add, total, each)
    maker("ufunc", np.sqrt, total)
    return maker.finish()


def _mean(maker: _Maker, a: Value, axis: Any = None, keepdims: bool = False) -> Value:
    axes = _axes(a, axis)
    total = maker("reduce", np.add, a, axis=axes, keepdims=keepdims)
    return maker("ufunc", np.divide, total, count_reduced(a.shape, axes))


def _var(maker: _Maker, a: Value, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Value:
    axes = _axes(a, axis)
    centred = maker("ufunc", np.subtract, a, _mean(maker, a, axes, keepdims=True))
    square = maker("ufunc", np.multiply, centred, centred)
    total = maker("reduce", np.add, square, axis=axes, keepdims=keepdims)
    return maker("ufunc", np.divide, total, max(count_reduced(a.shape, axes) - ddof, 0))


def _std(maker: _Maker, a: Value, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Value:
    return maker("ufunc", np.sqrt, _var(maker, a, axis, ddof, keepdims))


def _clip(maker: _Maker, a: Value, a_min: Any = None, a_max: Any = None) -> Value:
    low = a if a_min is None else maker("ufunc", np.maximum, a, a_min)
    return low if a_max is None else maker("ufunc", np.minimum, low, a_max)


def _axes(a: Value, axis: Any) -> tuple[int, ...] | None:
    return None if axis is None else normalised(axis, a.ndim)


_OPENED: dict[Any, tuple[Callable[..., Value], tuple[str, ...]]] = {
    np.mean: (_mean, ("a", "axis", "keepdims")),
    np.var: (_var, ("a", "axis", "ddof", "keepdims")),
    np.std: (_std, ("a", "axis", "ddof", "keepdims")),
    np.clip: (_clip, ("a", "a_min", "a_max")),
}


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
