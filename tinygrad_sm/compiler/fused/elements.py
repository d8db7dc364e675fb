"""What instructions do to the numbers in arrays, as expressions of Python that Numba compiles."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_sm.compiler.program import Instruction, Value
from tinygrad_sm.compiler.tracing import converted, copied

DType = np.dtype[Any]

# The types that loops compute with, and those that they also read; by their names in the source.
NAMES: dict[DType, str] = {np.dtype(name): name for name in ("float32", "float64", "int32", "int64", "uint64", "bool")}
READ = NAMES | {np.dtype(name): name for name in ("int8", "int16", "uint8", "uint16", "uint32")}

_COMPARED = {
    np.equal: "{0} == {1}",
    np.not_equal: "{0} != {1}",
    np.less: "{0} < {1}",
    np.less_equal: "{0} <= {1}",
    np.greater: "{0} > {1}",
    np.greater_equal: "{0} >= {1}",
}
_NUMBERS = _COMPARED | {
    np.add: "{0} + {1}",
    np.subtract: "{0} - {1}",
    np.multiply: "{0} * {1}",
    np.negative: "-{0}",
    np.positive: "{0}",
    np.square: "{0} * {0}",
    np.absolute: "abs({0})",
    np.logical_not: "{0} == 0",
    np.logical_and: "({0} != 0) & ({1} != 0)",
    np.logical_or: "({0} != 0) | ({1} != 0)",
    np.logical_xor: "({0} != 0) ^ ({1} != 0)",
}
_INTEGERS = _NUMBERS | {np.maximum: "max({0}, {1})", np.minimum: "min({0}, {1})"}
_FLOATS = _NUMBERS | {
    np.divide: "{0} / {1}",
    np.maximum: "maximum({0}, {1})",
    np.minimum: "minimum({0}, {1})",
    np.reciprocal: "{type}(1) / {0}",
    np.sqrt: "math.sqrt({0})",
    np.floor: "np.floor({0})",
    np.ceil: "np.ceil({0})",
    np.trunc: "np.trunc({0})",
    np.rint: "np.rint({0})",
    np.sign: "{0} if {0} != {0} else {type}({0} > 0) - {type}({0} < 0)",
    np.isnan: "{0} != {0}",
    np.isinf: "abs({0}) == inf",
    np.isfinite: "abs({0}) < inf",
    np.isposinf: "{0} == inf",
    np.isneginf: "{0} == -inf",
    np.copysign: "math.copysign({0}, {1})",
    np.exp: "exp_{bits}({0})",
    np.expm1: "expm1_{bits}({0})",
    np.log: "log_{bits}({0})",
    np.log1p: "log1p_{bits}({0})",
    np.tanh: "tanh_{bits}({0})",
    np.power: "{0} ** {1}",
    np.float_power: "{0} ** {1}",
    np.arctan2: "math.atan2({0}, {1})",
    np.hypot: "math.hypot({0}, {1})",
}
_FLOATS |= {
    getattr(np, theirs): f"math.{name}({{0}})"
    for theirs, name in (
        *((name, name) for name in ("sin", "cos", "tan", "sinh", "cosh", "log2", "log10")),
        *((f"arc{name}", f"a{name}") for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")),
    )
}
_BOOLEANS = _COMPARED | {
    np.add: "{0} | {1}",
    np.multiply: "{0} & {1}",
    np.maximum: "{0} | {1}",
    np.minimum: "{0} & {1}",
    np.logical_and: "{0} & {1}",
    np.logical_or: "{0} | {1}",
    np.logical_xor: "{0} ^ {1}",
    np.logical_not: "not {0}",
    np.bitwise_and: "{0} & {1}",
    np.bitwise_or: "{0} | {1}",
    np.bitwise_xor: "{0} ^ {1}",
    np.invert: "not {0}",
}
_TABLES: dict[str, dict[Any, str]] = {"f": _FLOATS, "i": _INTEGERS, "u": _INTEGERS, "b": _BOOLEANS}
_CALLS = (np.isposinf, np.isneginf)  # no ufuncs, but by element
_SAME = (converted, copied, np.ascontiguousarray)  # the same numbers
_EXPENSIVE = re.compile(r"_(32|64)\(|math\.(?!sqrt|copysign)|\*\*")

# What reductions start from.
STARTS: dict[Any, Callable[[DType], str]] = {
    np.add: lambda dtype: "0",
    np.multiply: lambda dtype: "1",
    np.maximum: lambda dtype: "-inf" if dtype.kind == "f" else str(np.iinfo(dtype).min),
    np.minimum: lambda dtype: "inf" if dtype.kind == "f" else str(np.iinfo(dtype).max),
    np.logical_and: lambda dtype: "True",
    np.logical_or: lambda dtype: "False",
}


def is_reduction(instruction: Instruction) -> bool:
    """Whether there is a loop for a reduction."""
    if instruction.kind != "reduce" or not instruction.options.keys() <= {"axis", "keepdims"}:
        return False
    function, (array, *_), out = instruction.function, instruction.args, instruction.out
    if function not in STARTS or array.dtype not in NAMES or out.dtype not in NAMES or not array.size:
        return False
    return function in (np.logical_and, np.logical_or) or out.dtype.kind in "fiu"


def is_by_element(instruction: Instruction) -> bool:
    """Whether there is an expression for an instruction, each element of whose result is computed by itself."""
    return _template(instruction) is not None


def is_cheap(instruction: Instruction) -> bool:
    """Whether computing an element takes about as long as fetching it from memory."""
    template = _template(instruction)
    return template is not None and not _EXPENSIVE.search(template)


def operands(instruction: Instruction) -> Sequence[Any]:
    """The arguments of an instruction that its elements are computed from."""
    return instruction.args[:1] if instruction.function in _SAME else instruction.args


def loop_types(instruction: Instruction) -> Sequence[DType] | None:
    """The types that NumPy converts these arguments to before it computes; None where it does something else."""
    function, out = instruction.function, instruction.out
    if function is np.where:
        return np.dtype(bool), out.dtype, out.dtype
    if function in _SAME:
        return (out.dtype,)
    if function in _CALLS:
        return (instruction.inputs[0].dtype,)
    given = [_type_of(arg) for arg in instruction.args]
    known = all(each is not None for each in given)  # `in` would compare, and float64 "is equal" to None
    if not isinstance(function, np.ufunc) or instruction.kind != "ufunc" or not known:
        return None
    try:
        return function.resolve_dtypes((*given, *[None] * function.nout))[: function.nin]
    except TypeError:
        return None


def _type_of(item: Any) -> Any:
    """The type of an argument as NumPy's promotion sees it: Python's numbers are weak."""
    if isinstance(item, Value) and item.kind == "number":
        return float if item.dtype.kind == "f" else int
    if isinstance(item, (Value, np.generic)):
        return item.dtype
    if isinstance(item, bool):
        return np.dtype(bool)
    return type(item) if isinstance(item, (int, float)) else None


def _template(instruction: Instruction) -> str | None:
    """The expression of an instruction by element, with {0}, {1}, ... in the place of the arguments."""
    if len(instruction.outs) != 1 or not instruction.inputs:
        return None
    out, types = instruction.out, loop_types(instruction)
    if types is None or out.dtype not in NAMES or not out.size or any(each not in NAMES for each in types):
        return None
    if any(value.dtype not in READ for value in instruction.inputs):
        return None
    function = instruction.function
    if function in _SAME:
        return "{0}"
    if function is np.where:
        return "{1} if {0} else {2}"
    template = _TABLES[types[0].kind].get(function)
    names = {"bits": 8 * types[0].itemsize, "type": NAMES[types[0]]}
    return template and re.sub(r"\{([a-z]+)\}", lambda found: str(names[found[1]]), template)


def cast(text: str, dtype: DType, wanted: DType) -> str:
    """An expression of one type in another."""
    if dtype == wanted:
        return text
    return f"({text} != 0)" if wanted.kind == "b" else f"{NAMES[wanted]}({text})"


def literal(item: Any, wanted: DType) -> str:
    """A constant as it is written in a type."""
    if wanted.kind == "b":
        return str(bool(item))
    return f"{NAMES[wanted]}({float(item) if wanted.kind == 'f' else int(item)!r})"


def expression(instruction: Instruction, args: Sequence[str]) -> str:
    """The expression of an instruction by element, of the expressions of its arguments in its `loop_types`."""
    template, types = _template(instruction), loop_types(instruction)
    assert template is not None and types is not None
    if types[0].kind == "f" and instruction.function in (np.maximum, np.minimum):
        order = ">" if instruction.function is np.maximum else "<"
        for i, item in enumerate(instruction.args):
            if isinstance(item, (int, float)) and item == item:
                template = f"{{{i}}} if {{{i}}} {order} {{{1 - i}}} else {{{1 - i}}}"  # one instruction: NaN goes on
    text = template.format(*args)
    return f"{NAMES[instruction.out.dtype]}({text})" if instruction.out.dtype.kind in "iu" else text
