"""Backend `numpy`: a program as the NumPy code that one would write by hand, every result in a place made beforehand.

The code is there to be read, and to be stepped through in a debugger: each line is one call, under a comment with the
user's own line.
"""

from __future__ import annotations

import itertools
import linecache
import operator
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_sm.compiler.passes import flatten_indices, reinterpreted, taken, view_integers
from tinygrad_sm.compiler.planning import Plan
from tinygrad_sm.compiler.program import DEVIATES, Instruction, Origin, Program, Value
from tinygrad_sm.compiler.tracing import copied, element, viewed
from tinygrad_sm.compiler.wording import base_name, described, unused
from tinygrad_sm.numpy_calls import without_warnings

WIDTH = 116
UPDATE = "# update"  # the comment at which the update begins
# What warns of infinite slopes, which the engine keeps NumPy from while it goes back.
RISKY = {"divide", "power", "float_power", "log", "log2", "log10", "log1p", "sqrt", "cbrt", "reciprocal", "arctanh"}
SYMBOLS = {operator.add: "+", operator.sub: "-", operator.mul: "*", operator.truediv: "/", operator.pow: "**"}
INFIX = {
    np.add: "+",
    np.subtract: "-",
    np.multiply: "*",
    np.divide: "/",
    np.less: "<",
    np.less_equal: "<=",
    np.greater: ">",
    np.greater_equal: ">=",
}
_counter = itertools.count(1)


class Executable:
    """A program that can be called: `run(*inputs, *numbers)`; its source, its buffers, and remarks for the report."""

    def __init__(self, run: Callable[..., Any], source: str, report: list[str], nbytes: int) -> None:
        self.run = run
        self.source = source
        self.report = report
        self.nbytes = nbytes

    def has_written(self, error: BaseException) -> bool:
        """Whether an error arose after the update had begun, so that the call cannot be repeated."""
        trace = error.__traceback__
        while trace and trace.tb_frame.f_code is not self.run.__code__:
            trace = trace.tb_next
        lines = self.source.splitlines()
        return trace is not None and any(line.lstrip().startswith(UPDATE) for line in lines[: trace.tb_lineno])


def build(program: Program, name: str = "step") -> Executable:
    """The function of a program."""
    flatten_indices(program)
    view_integers(program)
    plan = Plan(program)
    writer = _Writer(program, plan)
    source = writer.function(name)
    filename = f"<compiled {name} {next(_counter)}>"
    lines = source.splitlines(keepends=True)
    linecache.cache[filename] = (len(source), None, lines, filename)  # for debuggers and tracebacks
    exec(compile(source, filename, "exec"), writer.namespace)
    return Executable(writer.namespace[name], source, writer.calls, plan.nbytes)


class _Writer:
    """Writes the lines, and fills the namespace that they run in."""

    def __init__(self, program: Program, plan: Plan) -> None:
        self.program, self.plan = program, plan
        self.namespace: dict[str, Any] = {"np": np, "DEVIATES": DEVIATES}
        self.names: dict[Value, str] = {}
        self.taken: set[str] = {"np", "DEVIATES", "without_warnings", "slice"}
        self.constants: dict[int, str] = {}
        self.numbers: dict[tuple[float, Any], str] = {}
        self.calls: list[str] = []
        self.handed_out: set[Any] = set()  # results that are variables of the call

    def function(self, name: str) -> str:
        """The source of the function."""
        self.taken.add(name)
        arguments = [self.named(value, value.name) for value in (*self.program.inputs, *self.program.numbers)]
        for memory, _ in self.program.stores:
            self.named(memory)
        lines, origin = [], Origin()
        for instruction in self.program.instructions:
            self.name_outputs(instruction)
            written = [*self.lines(instruction)]
            told = all(line.startswith("#") for line in written)
            if not told and described(instruction.origin, WIDTH) != described(origin, WIDTH):
                origin = instruction.origin
                lines.append(f"# {described(origin, WIDTH)}")
            lines += written
        for memory, value in self.program.stores:
            if self.plan.place(value) is not memory.array:
                lines.append(f"np.copyto({self.expression(memory)}, {self.expression(value)})")
        lines.append(f"return {self.returned(self.program.results)}")
        if any(map(_is_risky, self.program.instructions)):
            self.namespace["without_warnings"] = without_warnings
            lines = ['with without_warnings("divide", "invalid"):', *(f"    {line}" for line in lines)]
        body = "\n".join(f"    {line}" for line in lines)
        return f"def {name}({', '.join(arguments)}):\n{body}\n"

    def name_outputs(self, instruction: Instruction) -> None:
        """Name what an instruction makes after the operation that it belongs to, and a view after what it shows."""
        for out in instruction.outs:
            base = base_name(instruction)
            if instruction.kind == "view" and isinstance(instruction.args[0], Value):
                shown = self.named(instruction.args[0]).removesuffix("_view")
                transposed = out.ndim > 1 and out.shape == instruction.args[0].shape[::-1]
                base = f"{shown}_T" if transposed else f"{shown}_view"
            self.named(out, out.name or base)

    # Lines.

    def lines(self, instruction: Instruction) -> Iterator[str]:
        """The lines of an instruction; none for what was done beforehand."""
        yield from getattr(self, f"_{instruction.kind}")(instruction)

    def _ufunc(self, instruction: Instruction) -> Iterator[str]:
        out = instruction.out
        args = [self.operand(arg, instruction) for arg in instruction.args]
        if instruction.name == "converted":
            if out in self.plan.places:
                yield f'np.copyto({self.named(out)}, {args[0]}, casting="unsafe")'
            else:
                yield f"{self.named(out)} = {args[0]}.astype({args[1]})"
            return
        function = f"np.{'dot' if self._is_dot(instruction) else instruction.name}"
        if out in self.plan.places:
            yield f"{function}({', '.join(args)}, out={self.named(out)})"
        elif instruction.function in INFIX and _is_scalar(instruction):
            yield f"{self.named(out)} = {args[0]} {INFIX[instruction.function]} {args[1]}"
        else:
            yield f"{self.named(out)} = {function}({', '.join(args)})"

    def _is_dot(self, instruction: Instruction) -> bool:
        """Whether a matrix product is one of BLAS's, which `np.dot` calls 0.3 microseconds sooner than `np.matmul`."""
        place = self.plan.place(instruction.out) if instruction.outs else None
        if instruction.function is not np.matmul or place is None or not place.flags.c_contiguous:
            return False
        shapes = [np.shape(arg) if not isinstance(arg, Value) else arg.shape for arg in instruction.args]
        types = {arg.dtype for arg in (*instruction.args, instruction.out)}
        if not all(map(_is_dense, instruction.args)):  # where the two round differently
            return False
        return len(types) == 1 and len(shapes[1]) == 2 and len(shapes[0]) in (1, 2) and min(map(min, shapes)) > 1

    def _reduce(self, instruction: Instruction) -> Iterator[str]:
        out = instruction.out
        options = {key: option for key, option in instruction.options.items() if (key, option) != ("keepdims", False)}
        axis, ndim = options.get("axis"), instruction.args[0].ndim
        if axis is not None and len(axis) == 1:
            options["axis"] = axis[0]
        if ndim == 1 and options["axis"] in (None, 0):  # which is what reduce does anyway
            del options["axis"]
        given = [self.expression(instruction.args[0]), *(f"{k}={self.expression(v)}" for k, v in options.items())]
        function = f"np.{instruction.name}.reduce"
        if out in self.plan.places:
            yield f"{function}({', '.join(given)}, out={self.named(out)})"
        else:
            yield f"{self.named(out)} = {function}({', '.join(given)})"

    def _view(self, instruction: Instruction) -> Iterator[str]:
        if instruction.out in self.plan.places:
            self.named(instruction.out)
        else:
            yield from self._called(instruction)

    def _put(self, instruction: Instruction) -> Iterator[str]:
        base, index, value = instruction.args
        out = instruction.out
        if out in self.plan.copied_first:
            yield f"np.copyto({self.named(out)}, {self.expression(base)})"
        yield f"{self.named(out)}[{self.index(index)}] = {self.expression(value)}"

    def _gather(self, instruction: Instruction) -> Iterator[str]:
        parts = ", ".join(map(self.expression, instruction.args[0]))
        yield from textwrap.wrap(
            f"{self.named(instruction.out)}: {parts} side by side",
            WIDTH,
            initial_indent="# ",
            subsequent_indent="# ",
        )
        for item, part in self.plan.gathers[instruction.out]:
            yield f"np.copyto({self.constant(part, 'part')}, {self.expression(item)})"

    def _draw(self, instruction: Instruction) -> Iterator[str]:
        yield f"{self.named(instruction.out)} = {self.constant(instruction.function, 'draw')}()"

    def _number(self, instruction: Instruction) -> Iterator[str]:
        args = [self.expression(arg) for arg in instruction.args]
        symbol = SYMBOLS.get(instruction.function)
        expression = f" {symbol} ".join(args) if symbol else f"-{args[0]}"
        yield f"{self.named(instruction.out)} = {expression}"

    def _guard(self, instruction: Instruction) -> Iterator[str]:
        value, expected = self.expression(instruction.args[0]), instruction.options["expected"]
        condition = f"not {value}" if expected else value
        yield f"if {value} != {value}:" if instruction.function is np.isnan else f"if {condition}:"
        yield "    return DEVIATES"

    def _effect(self, instruction: Instruction) -> Iterator[str]:
        self.calls.append(f"{described(instruction.origin, WIDTH)}: runs as a call")
        name = self.constant(instruction.function, instruction.name)
        yield f"{name}({', '.join(map(self.expression, instruction.args))})"

    def _call(self, instruction: Instruction) -> Iterator[str]:
        yield from self._called(instruction)
        for out in instruction.outs if _may_vary(instruction) else ():
            yield f"if np.shape({self.expression(out)}) != {out.shape}:"
            yield "    return DEVIATES"

    def _called(self, instruction: Instruction) -> Iterator[str]:
        """An assignment of what a function returns."""
        targets = ", ".join(self.named(out) for out in instruction.outs)
        args, function = instruction.args, instruction.function
        if function in (element, viewed):
            yield f"{targets} = {self.expression(args[0])}[{self.index(args[1])}]"
        elif function is np.transpose and args[1:] in ((), (None,)):
            yield f"{targets} = {self.expression(args[0])}.T"
        elif function is reinterpreted:
            yield f"{targets} = {self.expression(args[0])}.view({self.expression(args[1])})"
        elif function is copied:
            yield f"{targets} = {self.expression(args[0])}.copy()"
        elif function is taken:
            yield f"{targets} = {self.expression(args[0])}[{self.expression(args[1])}]"
        else:
            given = [*map(self.expression, args)]
            given += [f"{key}={self.expression(value)}" for key, value in instruction.options.items()]
            yield f"{targets} = {self.function_name(function)}({', '.join(given)})"

    # Expressions.

    def function_name(self, function: Any) -> str:
        """How a function is called: NumPy's by their own names."""
        name = function.__name__
        if getattr(np, name, None) is function:
            return f"np.{name}"
        return self.constant(function, name)

    def expression(self, item: Any) -> str:
        """A value by its name, a constant as it is written or by a name."""
        if isinstance(item, Value):
            return self.named(item)
        if isinstance(item, tuple):
            parts = [self.expression(part) for part in item]
            return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
        if isinstance(item, list):
            return f"[{', '.join(self.expression(part) for part in item)}]"
        if isinstance(item, slice):
            return f"slice({', '.join(self.expression(part) for part in (item.start, item.stop, item.step))})"
        if item is None or item is ... or type(item) in (bool, int, str):
            return repr(item)
        if type(item) is float and np.isfinite(item):
            return repr(item)
        if isinstance(item, np.dtype) and getattr(np, item.name, None) is item.type:
            return f"np.{item.name}"
        ones = isinstance(item, np.ndarray) and item.dtype.kind == "f" and item.size and (item == 1).all()
        return self.constant(item, "ones" if ones else "constant")

    def operand(self, item: Any, instruction: Instruction) -> str:
        """An operand of a ufunc: a number beside an array is made one of its type beforehand, which saves 0.25 us."""
        types = {arg.dtype for arg in instruction.args if isinstance(arg, Value)}
        if type(item) not in (int, float) or len(types) != 1 or not instruction.out.shape:
            return self.expression(item)
        (dtype,) = types
        with np.errstate(over="ignore"):
            number = np.asarray(item, dtype) if dtype.kind == "f" else None
        if number is None or not np.isfinite(number) or not isinstance(instruction.function, np.ufunc):
            return self.expression(item)
        key = item, dtype
        if key not in self.numbers:
            name = {0: "zero", 1: "one", 2: "two"}.get(item) or "c" + re.sub(r"\W", "_", repr(item))
            self.numbers[key] = self.constant(number, name)
        return self.numbers[key]

    def index(self, index: Any) -> str:
        """What stands between brackets."""
        if isinstance(index, slice):
            ends = ["" if part is None else self.expression(part) for part in (index.start, index.stop, index.step)]
            return ":".join(ends[:2] + [ends[2]][: bool(ends[2])])
        if isinstance(index, tuple) and index:
            return ", ".join(map(self.index, index)) + ("," if len(index) == 1 else "")
        return self.expression(index)

    def returned(self, results: Any) -> str:
        """What the function returns: copies of what the next call reads or writes to, or what is returned already."""
        if isinstance(results, tuple):
            parts = [self.returned(part) for part in results]
            return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
        name = self.expression(results)
        kept = isinstance(results, np.ndarray) or self.plan.place(results) is not None
        if not kept and not (isinstance(results, Value) and results in self.handed_out):
            self.handed_out.add(results)
            return name
        return f"{name}.copy()" if results.shape else f"{name}[()]"

    def constant(self, item: Any, name: str) -> str:
        """The name of something that stays the same."""
        if id(item) not in self.constants:
            self.constants[id(item)] = fresh = self.fresh(name)
            self.namespace[fresh] = item  # which keeps its id from being given to another
        return self.constants[id(item)]

    def named(self, value: Value, name: str = "") -> str:
        """The name of a value; one that has a place stands in the namespace."""
        if value not in self.names:
            place = self.plan.place(value)
            shared = self.constants.get(id(place)) if place is not None else None
            self.names[value] = shared or self.fresh(name or value.name or "v")
            if place is not None:
                self.constants[id(place)] = self.names[value]
                self.namespace[self.names[value]] = place
        return self.names[value]

    def fresh(self, name: str) -> str:
        """An unused name like the given one."""
        return unused(name, self.taken)


def _is_dense(item: Any) -> bool:
    """Whether a vector or matrix lies in memory without gaps, in the order of rows or of columns."""
    layouts = (np.empty(item.shape, item.dtype, order).strides for order in ("C", "F"))
    return item.strides in layouts


def _is_scalar(instruction: Instruction) -> bool:
    """Whether it combines single numbers, for which an operator takes a fifth of the time of a call."""
    return all(np.ndim(arg) == 0 if not isinstance(arg, Value) else not arg.shape for arg in instruction.args)


def _is_risky(instruction: Instruction) -> bool:
    """Whether NumPy may warn in a rule of what is no fault of the user's."""
    if instruction.origin.phase != "backward":
        return False
    by_constant = instruction.name == "divide" and not isinstance(instruction.args[1], Value)
    return (instruction.name in RISKY and not by_constant) or (
        instruction.kind == "call" and instruction.function not in (taken, np.vdot)
    )


def _may_vary(instruction: Instruction) -> bool:
    """Whether the shape of what a call returns may depend on values, as that of NumPy's `x[mask]` does."""
    return instruction.function not in (copied, taken, np.vdot)
