"""What a function of the user's does: every operation that it applied, in order, and a refusal where it read a value.

A function is run twice, the second time on other data. What was the same both times may stand in a program; what was
made of the data by other means than recorded operations was not, and is refused with its line.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tinygrad_sm import jacobians
from tinygrad_sm.compiler.program import Array
from tinygrad_sm.display import argument, describe
from tinygrad_sm.effects import Effect
from tinygrad_sm.engine import tensor, transforms
from tinygrad_sm.engine.primitive import Primitive
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.engine.transforms import variable
from tinygrad_sm.errors import CaptureError, TinygradError
from tinygrad_sm.location import PACKAGE, RUNNING, Where, caller
from tinygrad_sm.nn.module import Module, observers
from tinygrad_sm.numpy_calls import flat
from tinygrad_sm.operand import Operand
from tinygrad_sm.replaced import Replaced

INPUT = "pass it to the compiled function as an argument, or compute it with operations on tensors"
DERIVATIVE = "compile tg.value_and_grad of a function of one number, or leave this function uncompiled"


class Call(NamedTuple):
    """One application of an operation: what its forward got, and the arrays that it gave."""

    op: Primitive
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    effects: tuple[Effect, ...]
    outs: tuple[Array, ...]
    where: Where | None


@dataclass
class Capture:
    """The calls of one run, and the tensors that came into it from outside."""

    inputs: list[Any]
    calls: list[Call] = field(default_factory=list)
    sources: dict[int, Tensor] = field(default_factory=dict)  # by the id of their array
    modules: list[Module] = field(default_factory=list)  # that were called
    made: set[int] = field(default_factory=set)  # ids of the inputs' arrays and of all that was computed
    variables: list[Array] = field(default_factory=list)  # copies that derivatives inside the function are taken by
    result: Any = None

    def note(self, op: Primitive, args: Any, kwargs: Any, effects: tuple[Effect, ...], result: Any) -> None:
        """Remember a call."""
        bound, options = op.bind(args, kwargs) if op.variadic or kwargs else (args, kwargs)
        for each in bound:
            if isinstance(each, Tensor) and id(each._data) not in self.made:
                self.sources.setdefault(id(each._data), each)  # the user's own: a derivative wraps its array anew
        values = tuple(each._data if isinstance(each, Tensor) else each for each in bound)
        outs = tuple(each._data for each in (result if isinstance(result, tuple) else (result,)))
        self.made.update(map(id, outs))
        self.calls.append(Call(op, values, options, effects, outs, RUNNING.get()[1] or caller()))

    def depends(self, value: Tensor) -> bool:
        """Whether the values of a tensor may be others in the next call."""
        return value.requires_grad or id(value._data) in self.made


WRITES = {"__setitem__", "update", "backward"}  # refused whoever calls them: the operators are in this package
IN_PLACE = {"__setitem__", "data assigned"}  # refused for constants too: a program would not repeat it

CAPTURING: ContextVar[Capture | None] = ContextVar("capturing", default=None)


def refuse_within_capture(what: str) -> None:
    """Raise if a function is being captured in this thread."""
    if CAPTURING.get() is not None:
        raise CaptureError(f"{what} inside a function that is being compiled", remedy="compile the outer function only")


def capture(function: Callable[..., Any], arguments: Sequence[Any]) -> Capture:
    """Run a function and note what it does. Raises CaptureError where its Python depends on values."""
    found = Capture([each for each in arguments if isinstance(each, Tensor)])
    found.made.update(id(each._data) for each in found.inputs)
    with _noting(found):
        found.result = function(*arguments)
    return found


@contextmanager
def _noting(found: Capture) -> Iterator[None]:
    token = CAPTURING.set(found)
    _REPLACED.acquire()
    observers.append(found.modules.append)
    try:
        yield
    finally:
        observers.remove(found.modules.append)
        _REPLACED.release()
        CAPTURING.reset(token)


_record = tensor.record


def _noted(op: Primitive, args: Any, kwargs: dict[str, Any], effects: tuple[Effect, ...] = ()) -> Any:
    """What stands in for `record` meanwhile."""
    result = _record(op, args, kwargs, effects)
    found = CAPTURING.get()
    if found is not None:
        found.note(op, args, kwargs, effects, result)
    return result


def _noted_variable(value: Any) -> Tensor:
    """What stands in for `variable` meanwhile."""
    result = variable(value)
    found = CAPTURING.get()
    if found is not None:
        found.variables.append(result._data)
    return result


def _refusing(name: str, original: Callable[..., Any], what: str, remedy: str) -> Callable[..., Any]:
    """A method of Tensor that refuses to hand out values to a function that is being captured."""

    def refusing(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        found = CAPTURING.get()
        refused = found is not None and (name in IN_PLACE or found.depends(self))
        if refused and (name in WRITES or _asked_by_user()):
            raise CaptureError(f"{what} in a function that is being compiled: {describe(self)}", remedy=remedy)
        return original(self, *args, **kwargs)

    refusing.__name__ = name
    return refusing


def _asked_by_user() -> bool:
    """Whether the method was called from outside this package, or by NumPy."""
    module = sys._getframe(2).f_globals.get("__name__", "")
    return str(module).partition(".")[0] != PACKAGE


def _replacements() -> Iterator[tuple[Any, str, Any]]:
    yield tensor, "record", _noted
    yield Tensor, "record", staticmethod(_noted)
    for module in (transforms, jacobians):
        yield module, "variable", _noted_variable
    branch = "choose by element with tg.where, or leave this step uncompiled"
    outside = "return the tensor from the function and read it there"
    for name, what, remedy in (
        ("__bool__", "a truth test of a value that changes", branch),
        ("item", "a number read", outside),
        ("__float__", "a number read", outside),
        ("__int__", "a number read", outside),
        ("__index__", "a number read", outside),
        ("__format__", "a number read", outside),
        ("__array__", "values read as an array", "use the operations of tinygrad_sm, which are recorded"),
        ("numpy", "values read as an array", "use the operations of tinygrad_sm, which are recorded"),
        ("__setitem__", "values updated in place", "build new values: tg.where, x = x + 1 instead of x += 1"),
        ("update", "values updated in place", "build new values: x = x + 1 instead of x += 1"),
        ("backward", "backward() called", "return the loss: the compiled step goes back itself"),
    ):
        yield Tensor, name, _refusing(name, getattr(Tensor, name), what, remedy)
    data = Tensor.data
    assert isinstance(data, property) and data.fget and data.fset
    reading = _refusing("data", data.fget, ".data read", outside)
    writing = _refusing("data assigned", data.fset, ".data assigned", "assign it outside the function")
    yield Tensor, "data", property(reading, writing, doc=data.__doc__)


_REPLACED = Replaced(*_replacements())


# Two runs.


def probes(arguments: Sequence[Any]) -> list[Any]:
    """The arguments with other values of the same kind: samples in another order, or changed where all are alike."""
    return [_tensor_like(each, _other(each._data)) if isinstance(each, Tensor) else each for each in arguments]


def _tensor_like(given: Tensor, array: Array) -> Tensor:
    """A tensor of other values, a leaf where the given one is a leaf that is differentiated by."""
    return Tensor(array, requires_grad=True) if given.requires_grad else tensor.from_edge(array, None)


def _other(array: Array) -> Array:
    rolled = np.roll(array, 1, axis=0) if array.ndim else array
    if not np.array_equal(rolled, array, equal_nan=array.dtype.kind == "f"):
        return np.asarray(rolled)
    if array.dtype.kind == "f":
        return np.asarray(array * np.asarray(1.0078125, array.dtype))  # 1 + 2**-7, exact in every type
    if array.dtype.kind == "b":
        return np.asarray(~array)
    return np.where(array > 0, array - 1, array + 1).astype(array.dtype)


def captured_twice(function: Callable[..., Any], arguments: Sequence[Any]) -> tuple[Capture, set[int]]:
    """Capture a function on its arguments, and again on others; returns the first capture and its fixed constants.

    Random generators and buffers are put back to where the first run left them. The constants are ids of arrays that
    were made anew, and alike, in both runs. Raises CaptureError for what differed.
    """
    first = capture(function, arguments)
    generators = generators_of(first)
    states = [dict(each.bit_generator.state) for each in generators]
    buffers = [(array, array.copy()) for call in first.calls for array, _ in updated(call)]
    try:
        second = _second_run(function, arguments)
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.bit_generator.state = state
        for array, values in buffers:
            np.copyto(array, values)
    return first, _compared(first, second)


def _second_run(function: Callable[..., Any], arguments: Sequence[Any]) -> Capture:
    try:
        return capture(function, probes(arguments))
    except CaptureError:
        raise
    except TinygradError:  # other values, such as labels, may not be allowed: the same ones show less, but something
        copies = [_tensor_like(a, a._data.copy()) if isinstance(a, Tensor) else a for a in arguments]
        return capture(function, copies)


def generators_of(captured: Capture) -> list[np.random.Generator]:
    """The random generators that a run drew from."""
    draws = [effect.repeat for call in captured.calls for effect in call.effects if isinstance(effect.repeat, partial)]
    found = [each for draw in draws for each in flat(draw.args) if isinstance(each, np.random.Generator)]
    return list({id(each): each for each in found}.values())


def updated(call: Call) -> Iterator[tuple[Array, Effect]]:
    """The arrays that a call wrote to besides its output, with what it did to them."""
    effects = {effect.argument: effect for effect in call.effects if effect.kind == "update"}
    for name, value in zip(_names(call), call.args, strict=True):
        if name in effects:
            yield value, effects[name]


def drawn(call: Call) -> dict[str, Effect]:
    """The arguments of a call that were drawn at random, by name."""
    return {effect.argument: effect for effect in call.effects if effect.kind == "draw"}


def _compared(first: Capture, second: Capture) -> set[int]:
    """The ids of arrays that may stand in a program as constants; CaptureError for what was not alike in both runs."""
    origins = _origins(first), _origins(second)
    constants: set[int] = set()
    variables = set(map(id, first.variables))
    for a, b in zip(first.calls, second.calls, strict=False):
        if a.op is not b.op or len(a.args) != len(b.args) or a.kwargs.keys() != b.kwargs.keys():
            raise CaptureError(
                f"{a.op.name}: with other data {b.op.name} was called in its place", remedy=INPUT, where=a.where
            )
        random = drawn(a)
        items = [*zip(_names(a), a.args, b.args, strict=True), *((k, v, b.kwargs[k]) for k, v in a.kwargs.items())]
        for name, value, other in items:
            if name not in random:
                constants |= _same(a, name, value, other, origins, variables)
    if len(first.calls) != len(second.calls):
        calls = max(first.calls, second.calls, key=len)
        extra = calls[min(len(first.calls), len(second.calls))]
        raise CaptureError(f"{extra.op.name}: not called with other data", remedy=INPUT, where=extra.where)
    return constants


def _names(call: Call) -> list[str]:
    return [argument(call.op, i) for i in range(len(call.args))]


def _origins(found: Capture) -> dict[int, tuple[str, int, int]]:
    """Where arrays come from: which input, or which output of which call."""
    origins = {id(each._data): ("input", i, 0) for i, each in enumerate(found.inputs)}
    for i, call in enumerate(found.calls):
        for j, out in enumerate(call.outs):
            origins.setdefault(id(out), ("output", i, j))
    return origins


def _same(call: Call, name: str, value: Any, other: Any, origins: Any, variables: set[int]) -> set[int]:
    """The constants within an argument, after a check that both runs had the same."""
    parts, others = [*flat([_opened(value)])], [*flat([_opened(other)])]
    constants = set()
    if len(parts) == len(others):
        for part, twin in zip(parts, others, strict=True):
            mine, theirs = origins[0].get(id(part)), origins[1].get(id(twin))
            if mine != theirs or not (mine or part is twin or _alike(part, twin)):
                break
            if isinstance(part, np.ndarray) and mine is None and part is not twin:
                constants.add(id(part))
        else:
            return constants
    what = describe(value) if isinstance(value, (np.ndarray, Operand)) else repr(value)
    if id(value) in variables:
        problem = f"{call.op.name}: a derivative by {name} {what} is taken inside the function that is being compiled"
        raise CaptureError(problem, remedy=DERIVATIVE, where=call.where)
    problem = f"{call.op.name}: {name} {what} was made outside of recorded operations and changes from call to call"
    raise CaptureError(problem, remedy=INPUT, where=call.where)


def _opened(value: Any) -> Any:
    """A slice as the tuple of its ends."""
    if isinstance(value, (tuple, list)):
        return tuple(map(_opened, value))
    return (value.start, value.stop, value.step) if isinstance(value, slice) else value


def _alike(value: Any, other: Any) -> bool:
    if isinstance(value, np.ndarray) or isinstance(other, np.ndarray):
        a, b = np.asarray(value), np.asarray(other)
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return type(value) is type(other) and (value == other or value != value)  # NaN is alike, too
