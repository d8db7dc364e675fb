"""Functions written down while they run: forwards, rules and updates turned into instructions.

`Traced` stands for an array. What NumPy is asked to do with it is done on the values at hand and, meanwhile, written
into a program. Nothing is known here of any operation: one that is registered tomorrow is traced as well. Whatever
cannot be traced runs as a call.
"""

from __future__ import annotations

import functools
import operator
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np

from tinygrad_sm.compiler.program import Array, Instruction, Origin, Program, Value, replaced
from tinygrad_sm.engine.primitive import PRIMITIVES, Primitive
from tinygrad_sm.location import INSIDE, PACKAGE
from tinygrad_sm.numpy_calls import PLAIN, flat
from tinygrad_sm.operand import Operand
from tinygrad_sm.ops.reduction import normalised


class UntraceableError(Exception):
    """What is asked of a traced array cannot be written down: the operation runs as a call instead."""


def assigned(array: Array, index: Any, value: Any) -> Array:
    """A copy of an array with elements assigned to."""
    result = array.copy(order="K")
    result[index] = value
    return result


def element(array: Array, index: Any) -> Any:
    """What stands at an index, chosen by integers or masks."""
    return array[index]


def viewed(array: Array, index: Any) -> Array:
    """What stands at an index of integers and slices: the same memory."""
    seen: Array = array[index]
    return seen


def converted(array: Array, dtype: Any) -> Array:
    """The array in another type."""
    return array.astype(dtype)


def copied(array: Array) -> Array:
    """A copy, in C order."""
    return array.copy()


def gathered(arrays: Sequence[Array]) -> Array:
    """All arrays one after another in a flat one."""
    return np.concatenate([np.ravel(array) for array in arrays])


# What NumPy's functions do by reducing with a ufunc.
REDUCTIONS: dict[Any, np.ufunc] = {
    np.sum: np.add,
    np.prod: np.multiply,
    np.max: np.maximum,
    np.amax: np.maximum,
    np.min: np.minimum,
    np.amin: np.minimum,
    np.all: np.logical_and,
    np.any: np.logical_or,
}
BY_ELEMENT = (np.where,)


class Memory:
    """What several traced arrays share, and how often it was written to."""

    __slots__ = ("version",)

    def __init__(self) -> None:
        self.version = 0


class Trace:
    """A program in the making.

    `whole` asks operations for their simplest form, without row blocks and threads of their own.
    """

    def __init__(self, *, whole: bool = False) -> None:
        self.program = Program([])
        self.whole = whole
        self.origin = Origin()
        self.examples: dict[Value, Any] = {}  # what each value is in this run
        self.calls: list[tuple[Origin, str]] = []  # what could not be traced, and why

    def given(self, kind: str, array: Array, name: str) -> Traced:
        """A traced array that is not computed: an input or memory."""
        value = Value(kind, array.shape, array.dtype, array.strides, name, array if kind == "memory" else None)
        if kind == "input":
            self.program.inputs.append(value)
        return Traced(self, value, array)

    def number(self, value: Any, name: str) -> TracedNumber:
        """A traced number that may change from call to call."""
        known = Value("number", (), np.dtype(type(value)), (), name)
        self.program.numbers.append(known)
        return TracedNumber(self, known, value)

    def emit(
        self, kind: str, function: Callable[..., Any], args: Sequence[Any], options: dict[str, Any], result: Any
    ) -> Any:
        """Write an instruction down; returns what stands for its result, or for each of them in a tuple."""
        results = result if isinstance(result, tuple) else (result,)
        arrays = [np.asarray(each) for each in results]
        if any(array.dtype.kind not in "fiub" for array in arrays):
            raise UntraceableError(f"{function.__name__} of {arrays[0].dtype}")
        outs = tuple(Value("result", array.shape, array.dtype, array.strides) for array in arrays)
        names = replaced(tuple(args), _value_of), {key: replaced(item, _value_of) for key, item in options.items()}
        self.program.instructions.append(Instruction(kind, function, *names, outs, self.origin))
        self.examples.update(zip(outs, arrays, strict=True))
        traced = tuple(Traced(self, out, array) for out, array in zip(outs, arrays, strict=True))
        return traced if isinstance(result, tuple) else traced[0]

    def reduced(self, ufunc: np.ufunc, array: Any, axis: Any = 0, **options: Any) -> Any:
        """A reduction of a traced array; `axis` is None or a tuple in what is written."""
        if any(isinstance(each, (Traced, TracedNumber)) for each in options.values()):
            raise UntraceableError(f"{ufunc.__name__}.reduce with a traced option")
        options = {key: each for key, each in options.items() if each is not None and each is not np._NoValue}
        result = ufunc.reduce(array.example, axis=axis, **options)
        axes = None if axis is None else normalised(axis, array.ndim)
        return self.emit("reduce", ufunc, (array,), {"axis": axes, **options}, result)

    def guarded(self, condition: Any) -> bool:
        """The truth value of a traced array or number here; the program applies only where it is the same."""
        expected = bool(condition.example)
        self._guard(bool, condition, expected)
        return expected

    def guard_against_nan(self, array: Traced) -> None:
        """Let the program apply only where an array holds no NaN: the sum of its squares is none."""
        square: Any = np.vdot(array, array)
        self._guard(np.isnan, square, False)

    def _guard(self, function: Callable[..., Any], condition: Any, expected: bool) -> None:
        args, options = (condition.read(),), {"expected": expected}
        self.program.instructions.append(Instruction("guard", function, args, options, (), self.origin))

    def attempt(
        self, function: Callable[..., Any], args: Sequence[Any], options: dict[str, Any], origin: Origin
    ) -> Any:
        """Trace a function and return what it returned; raises UntraceableError where it does not let itself."""
        before, start = self.origin, len(self.program.instructions)
        self.origin = origin
        try:
            with np.errstate(all="ignore"), _local_names_kept():  # what it warned of, it has warned of
                result = function(*args, **options)
            replaced(result if isinstance(result, (tuple, list)) else (result,), _value_of)
        except Exception as error:  # whatever a stand-in fails at
            del self.program.instructions[start:]
            raise UntraceableError(f"{type(error).__name__}: {error}") from error
        finally:
            self.origin = before
        for part in flat([result]):
            if isinstance(part, Traced):
                part.rename("")  # a result is called after the operation
        return result

    def call(
        self, function: Callable[..., Any], args: Sequence[Any], options: dict[str, Any], origin: Origin, why: str
    ) -> Any:
        """Write a function down as one call."""
        self.calls.append((origin, why))
        examples, named = replaced(tuple(args), example_of), replaced(options, example_of)
        if "residual" in named:
            named["residual"] = named["residual"].copy()  # which a rule may write to
        with np.errstate(all="ignore"):
            result = function(*examples, **named)
        if any(np.may_share_memory(each, other) for each in flat([result]) for other in arrays_in(examples)):
            function, result = _with_copy(function), replaced(result, np.copy)
        before, self.origin = self.origin, origin
        try:
            return self.emit("call", function, args, options, result)
        finally:
            self.origin = before

    def operation(self, op: Primitive, args: Sequence[Any], options: dict[str, Any], origin: Origin) -> Any:
        """The output of an operation and its residual, if it keeps one: its forward traced, or a call of it."""
        args = [list(args)] if op.variadic else args
        try:
            found = self.attempt(op.forward, args, options, origin)
        except UntraceableError as error:
            if op.residual and self._keeps_array(op, args, options):
                return self.call(op.forward, args, options, origin, str(error))
            return self.call(_output(op), args, options, origin, str(error)), None
        return found if op.residual else (found, None)

    def _keeps_array(self, op: Primitive, args: Sequence[Any], options: dict[str, Any]) -> bool:
        """Whether the residual of an operation is an array in this run."""
        with np.errstate(all="ignore"):
            out, residual = op.forward(*replaced(tuple(args), example_of), **replaced(options, example_of))
        return isinstance(residual, np.ndarray) and not isinstance(out, tuple)


def arrays_in(items: Any) -> list[Array]:
    """The arrays among items, in tuples and lists too."""
    return [each for each in flat([items]) if isinstance(each, np.ndarray)]


@functools.cache
def _with_copy(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that hands on an argument of its own, made to return new arrays."""

    @functools.wraps(function)
    def copying(*args: Any, **options: Any) -> Any:
        return replaced(function(*args, **options), np.copy)

    return copying


@functools.cache
def _output(op: Primitive) -> Callable[..., Any]:
    """The forward of an operation without its residual."""
    if not op.residual:
        return op.forward

    @functools.wraps(op.forward)
    def output(*args: Any, **options: Any) -> Any:
        return op.forward(*args, **options)[0]

    return output


OPERATIONS = f"{PACKAGE}.ops", f"{PACKAGE}.optim"  # where formulas stand, and their variables have names


@contextmanager
def _local_names_kept() -> Iterator[None]:
    """Call values after the local variables of the operations that compute them, for who reads the code."""
    before = sys.getprofile()
    sys.setprofile(_name_locals)
    try:
        yield
    finally:
        sys.setprofile(before)


def _name_locals(frame: FrameType, event: str, argument: Any) -> None:
    module = str(frame.f_globals.get("__name__"))
    if event != "return" or (module.split(".")[0] in INSIDE and not module.startswith(OPERATIONS)):
        return
    variables = frame.f_code.co_varnames
    for name in variables[frame.f_code.co_argcount + frame.f_code.co_kwonlyargcount :]:
        value = frame.f_locals.get(name)
        if isinstance(value, Traced):
            value.rename(name)


def _value_of(item: Any) -> Any:
    """The value that a traced array stands for; anything else as it is."""
    if isinstance(item, (Traced, TracedNumber)):
        return item.read()
    if isinstance(item, Operand):
        raise UntraceableError("a Tensor among traced arrays")
    return item


def example_of(item: Any) -> Any:
    """What stands for a value in this run; anything else as it is."""
    return item.example if isinstance(item, (Traced, TracedNumber)) else item


def _trace_of(items: Any) -> Trace:
    """The trace that one of the items, in lists and tuples too, belongs to."""
    return next(item.tracer for item in flat(items) if isinstance(item, (Traced, TracedNumber)))


class Traced(Operand):
    """Stands for an array while a function is traced: `example` is what the array is in this run."""

    __slots__ = ("tracer", "value", "earlier", "example", "memory", "version")

    requires_grad = False

    def __init__(self, trace: Trace, value: Value, example: Array, memory: Memory | None = None) -> None:
        self.tracer, self.value, self.example = trace, value, example
        self.memory = memory or Memory()
        self.version = self.memory.version
        self.earlier: tuple[Value, ...] = ()  # what it stood for before it was written to

    def rename(self, name: str) -> None:
        """Name what was computed for it, unless it has another name or there is none."""
        for value in (self.value, *self.earlier):
            if value.kind == "result" and (not name or not value.name):
                value.name = name

    def read(self) -> Value:
        """The value, unless the memory was overwritten through another view of it."""
        if self.version != self.memory.version:
            raise UntraceableError("a view of an array that was overwritten")
        return self.value

    @property
    def data(self) -> Any:
        """The traced array itself: it is its own values."""
        return self

    shape = property(lambda self: self.example.shape)
    dtype = property(lambda self: self.example.dtype)
    ndim = property(lambda self: self.example.ndim)
    size = property(lambda self: self.example.size)
    itemsize = property(lambda self: self.example.itemsize)
    nbytes = property(lambda self: self.example.nbytes)
    whole = property(lambda self: self.tracer.whole)

    # What NumPy and the operators ask.

    @staticmethod
    def record(op: Primitive, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """An operation within a forward or rule: traced in its turn, and a call by itself where it cannot be."""
        trace = _trace_of((*args, *kwargs.values()))
        origin = trace.origin
        options = dict(kwargs)
        operands = [*args[0]] if op.variadic else args
        if op.variadic and len(args) > 1:
            options = dict(zip(op.parameters[1:], args[1:], strict=False)) | options
        return trace.operation(op, operands, options, origin)[0]

    def apply(self, op: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """An operator or method: the operation of that name."""
        return self.record(PRIMITIVES[op], args, kwargs)

    def update(self, op: str, other: Any) -> Any:
        """An augmented assignment: the traced array stands for the new values from now on."""
        return self.assign(self.apply(op, (self, other), {}))

    def assign(self, new: Traced) -> Traced:
        """Stand for other values, which are written to the same memory."""
        if new.shape != self.shape:
            raise UntraceableError(f"{new.shape} assigned to {self.shape}")
        new = new if new.dtype == self.dtype else new.astype(self.dtype)
        self.earlier = (*self.earlier, self.value)
        self.value, self.example = new.read(), new.example
        self.memory.version += 1
        self.version = self.memory.version
        return self

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", (None,))[0]
        examples = replaced(inputs, example_of)
        if method == "__call__" and not kwargs:
            result = self.tracer.emit("ufunc", ufunc, inputs, {}, ufunc(*examples))
        elif method == "reduce":
            result = self.tracer.reduced(ufunc, inputs[0], **kwargs)
        else:
            raise UntraceableError(f"{ufunc.__name__}.{method} with {', '.join(kwargs)}")
        return result if out is None else out.assign(result)

    def __array_function__(self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        if func in REDUCTIONS:
            return self._reduction(REDUCTIONS[func], *args, **kwargs)
        examples, options = replaced(args, example_of), replaced(kwargs, example_of)
        if func in PLAIN:
            return func(*examples, **options)  # shapes and types alone
        if "out" in kwargs:
            raise UntraceableError(f"{func.__name__} with out=")
        result = func(*examples, **options)
        if func in BY_ELEMENT and len(args) == 3:
            return self.tracer.emit("ufunc", func, args, kwargs, result)
        return self.seen_as(func, args, kwargs, result)

    def _reduction(self, ufunc: np.ufunc, a: Any, axis: Any = None, **kwargs: Any) -> Any:
        return ufunc.reduce(a, axis=axis, **{k: v for k, v in kwargs.items() if v is not np._NoValue})

    def seen_as(self, func: Callable[..., Any], args: Any, kwargs: dict[str, Any], result: Any) -> Any:
        """The result of a function of NumPy's: a view if it shares its memory with the first argument, or a call."""
        base = args[0] if args and isinstance(args[0], Traced) else None
        if isinstance(result, list):
            raise UntraceableError(f"{func.__name__} returns a list")
        shared = isinstance(result, np.ndarray) and base is not None and np.may_share_memory(result, base.example)
        if not shared or base is None:
            return self.tracer.emit("call", func, args, kwargs, result)
        view = self.tracer.emit("view", func, args, kwargs, result)
        view.memory, view.version = base.memory, base.version
        return view

    # Methods that NumPy's arrays have and whose operations would come back here.

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        """The array in another type."""
        if not copy and np.dtype(dtype) == self.dtype:
            return self
        return self.tracer.emit("ufunc", converted, (self, np.dtype(dtype)), {}, self.example.astype(dtype))

    def copy(self) -> Any:
        """A copy, in C order."""
        return self.tracer.emit("call", copied, (self,), {}, self.example.copy())

    def __getitem__(self, index: Any) -> Any:
        example = self.example[replaced(index, example_of)]
        if isinstance(example, np.ndarray) and np.may_share_memory(example, self.example):
            return self.seen_as(viewed, (self, index), {}, example)
        return self.tracer.emit("call", element, (self, index), {}, example)

    def __setitem__(self, index: Any, value: Any) -> None:
        example = assigned(self.example, replaced(index, example_of), example_of(value))
        self.assign(self.tracer.emit("put", assigned, (self, index, value), {}, example))

    def __ne__(self, other: Any) -> Any:
        if other is self:
            return False  # asks whether there is a NaN: a program looks for it once, in the gradients
        return super().__ne__(other)

    __hash__ = Operand.__hash__

    # Values become known here.

    def __bool__(self) -> bool:
        return self.tracer.guarded(self)

    def __len__(self) -> int:
        return len(self.example)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def item(self) -> Any:
        """Not known beforehand."""
        raise UntraceableError("a number is taken out of an array")

    def __float__(self) -> float:
        return self.item()  # type: ignore[no-any-return]

    __int__ = __index__ = __float__  # type: ignore[assignment]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise UntraceableError("an array is taken for what it holds")

    def __repr__(self) -> str:
        return f"<traced {self.value}>"


class TracedNumber:
    """Stands for a Python number that may change from call to call, such as a learning rate: weak, as such are."""

    __slots__ = ("tracer", "value", "example")

    def __init__(self, trace: Trace, value: Value, example: Any) -> None:
        self.tracer, self.value, self.example = trace, value, example

    def read(self) -> Value:
        """The value."""
        return self.value

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """An array and a number: the array's affair."""
        return Traced.__array_ufunc__(self, ufunc, method, *inputs, **kwargs)  # type: ignore[arg-type]

    def __bool__(self) -> bool:
        return self.tracer.guarded(self)

    def __repr__(self) -> str:
        return f"<traced {self.value} = {self.example}>"


_ARITHMETIC: dict[str, tuple[Callable[..., Any], np.ufunc]] = {
    "add": (operator.add, np.add),
    "sub": (operator.sub, np.subtract),
    "mul": (operator.mul, np.multiply),
    "truediv": (operator.truediv, np.divide),
    "pow": (operator.pow, np.power),
    "neg": (operator.neg, np.negative),
}


def _number_operator(name: str, swapped: bool = False) -> Callable[..., Any]:
    function, ufunc = _ARITHMETIC[name]

    def operate(self: TracedNumber, *other: Any) -> Any:
        args = (*other, self) if swapped else (self, *other)
        trace, examples = self.tracer, replaced(args, example_of)
        if any(isinstance(each, (Traced, np.ndarray)) for each in args):
            return trace.emit("ufunc", ufunc, args, {}, ufunc(*examples))
        result = function(*examples)
        value = Value("number", (), np.dtype(type(result)), ())
        names = replaced(args, _value_of)
        trace.program.instructions.append(Instruction("number", function, names, {}, (value,), trace.origin))
        return TracedNumber(trace, value, result)

    return operate


for _name in _ARITHMETIC:
    setattr(TracedNumber, f"__{_name}__", _number_operator(_name))
    if _name != "neg":
        setattr(TracedNumber, f"__r{_name}__", _number_operator(_name, swapped=True))
