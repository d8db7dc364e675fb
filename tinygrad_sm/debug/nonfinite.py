"""Stop at the operation that first makes NaN or infinity, on the way forward or on the way back.

While a context is open, `Primitive.run` and the sweep of `backward` are replaced by versions that look at every result;
afterwards the engine is as it was. A result counts, not a floating-point flag: rules divide by zero where the cotangent
is zero, and fused operations take the logarithm of 0 in rows that they mask. The flags say what happened and in which
expression of a rule. Read `diagnosis.py` for what is said about it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from types import FrameType
from typing import Any, Self

import numpy as np

from tinygrad_sm.debug.diagnosis import DIVERGED, Event, Operand, first, number, remedy, remedy_of_rule, wrapped
from tinygrad_sm.debug.naming import argument_name, expression_at
from tinygrad_sm.display import argument
from tinygrad_sm.engine import tensor, transforms
from tinygrad_sm.engine.primitive import Primitive, Rule
from tinygrad_sm.engine.tape import Edge, Node, Sweep
from tinygrad_sm.errors import NonFiniteError
from tinygrad_sm.location import RUNNING, Location, Where, caller
from tinygrad_sm.operand import plain
from tinygrad_sm.replaced import Replaced


@dataclass(frozen=True)
class _Watch:
    """What an open context looks at."""

    backward: bool


OWN = "{}'s "  # before the operation's own name for an operand
DEPTH = 50  # frames between what was flagged and the rule

WATCHING: ContextVar[_Watch | None] = ContextVar("watching", default=None)


@contextmanager
def numerics(*, backward: bool = True) -> Iterator[None]:
    """Stop at the operation that first produces NaN or infinity, as a `with` block or a decorator.

    Args: backward: watch derivative rules too. Raises NonFiniteError with the first such element, its operands, the
    user's expression, in backward the rule's expression too, and what to do. Infinity that is handed in, as in a mask,
    may be handed on; NaN may not. It holds for this thread alone, and `nan_ok` lets a part of the block be.

    >>> with numerics():
    ...     np.log(tensor.Tensor([1.0, 0.0]))
    Traceback (most recent call last):
    tinygrad_sm.errors.NonFiniteError: log makes -inf at [1]
      log's x[1] = 0
    ...
    """
    token = WATCHING.set(_Watch(backward))
    _REPLACED.acquire()
    try:
        yield
    finally:
        _REPLACED.release()
        WATCHING.reset(token)


@contextmanager
def nan_ok() -> Iterator[None]:
    """Let NaN and infinity be inside of `numerics`, as a `with` block or a decorator.

    >>> with numerics(), nan_ok():
    ...     np.log(tensor.Tensor([1.0, 0.0]))
    Tensor((2,) float64, [ 0., -inf])
    """
    token = WATCHING.set(None)
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        WATCHING.reset(token)


class _Flags:
    """What the processor flagged last, and in which expression: NumPy calls it in the middle of an operation."""

    kind = ""
    frames: tuple[Where, ...] = ()

    def __call__(self, kind: str, flag: int) -> None:
        self.kind = kind
        self.frames = tuple(_frames(sys._getframe(1)))

    def listening(self) -> np.errstate:
        """The context in which NumPy tells rather than warns."""
        return np.errstate(all="call", under="ignore", call=self)

    def place_in(self, rule: Rule) -> str:
        """The expression of a rule that was flagged, underlined; its last statement if none was."""
        code = getattr(rule, "__code__", None)
        if code is None:
            return f"  in {rule!r}"
        end = (code, len(code.co_code) - 2)  # the instruction that returns
        return Location(*next((where for where in self.frames if where[0] is code), end)).show()


def _frames(frame: FrameType | None) -> Iterator[Where]:
    """The places that a stack stands at, innermost first, as far as an operation and its rule may reach."""
    for _ in range(DEPTH):
        if frame is None:
            return
        yield frame.f_code, frame.f_lasti
        frame = frame.f_back


_plain_run = Primitive.run


def _run(self: Primitive, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """`Primitive.run`, and a look at the result; what the operation computes on its way is its own affair."""
    if WATCHING.get() is None:
        return _plain_run(self, args, kwargs)
    flags = _Flags()
    token = WATCHING.set(None)
    try:
        with flags.listening():
            result = _plain_run(self, args, kwargs)
    finally:
        WATCHING.reset(token)
    out = result[0] if self.residual else result
    for each in out if isinstance(out, tuple) else (out,):
        each = np.asarray(each)
        if each.dtype.kind == "f" and not np.isfinite(each).all():
            _examine(self, args, kwargs, each, flags.kind)
    return result


def _examine(op: Primitive, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any, flagged: str) -> None:
    """Raise if the operation produced what is not finite, rather than handed on infinity that it was given."""
    module, where = RUNNING.get()
    node = Node(op, tuple(args[0] if op.variadic else args), {}, (), out, where=where or caller(), module=module)
    operands = _operands(op, args, kwargs, node)
    nan = np.isnan(out)
    if nan.any():
        for operand in operands:
            bad = first(np.isnan(operand.value))
            if bad is not None:
                raise _handed_in(op, operand, bad)
    infinite = [np.isinf(operand.value) for operand in operands]
    if op.elementwise:
        given = np.zeros(out.shape, bool)
        for mask in infinite:
            given = given | mask
    else:
        given = np.full(out.shape, any(mask.any() for mask in infinite))
    index = first(nan | (np.isinf(out) & ~given))
    if index is not None:
        event = Event(op.name, out, index, operands, op.elementwise, flagged)
        lines = [f"{op.name} makes {number(event.value)}{event.place}"]
        raise NonFiniteError("\n".join([*lines, *event.operand_lines()]), remedy=remedy(event))


def _handed_in(op: Primitive, operand: Operand, index: tuple[int, ...]) -> NonFiniteError:
    """The error for an operation that reads NaN which nothing that was watched has made."""
    count = int(np.isnan(operand.value).sum())
    more = f" and {count - 1} more of {np.size(operand.value)} elements" if count > 1 else ""
    place = f"\n  at {list(index)}{more}" if index else ""
    name = operand.name.removeprefix(OWN.format(op.name))
    what = f"{op.name} reads NaN: {name} {np.shape(operand.value)} holds it already{place}"
    advice = (
        "your data or a parameter is not finite, or it was computed outside of numerics(): look with "
        "np.isnan(...).any(); where NaN is meant, say so with `with debug.nan_ok():`"
    )
    return NonFiniteError(what, remedy=wrapped(advice))


def _operands(op: Primitive, args: Sequence[Any], kwargs: Mapping[str, Any], node: Node) -> list[Operand]:
    """The numbers that an operation computes with, under the names that the user's expression has for them."""
    positional = args[0] if op.variadic else args
    named = [(_name(node, i), value) for i, value in enumerate(positional)]
    rest = [*zip(op.parameters[1:], args[1:], strict=False)] if op.variadic else []
    return [Operand(name, value) for name, value in [*named, *rest, *kwargs.items()] if _is_number(value)]


def _name(node: Node, position: int) -> str:
    """The user's name for an operand, or the operation's own, said to be that: the user may have an `x` as well.

    Inside of a layer the user's line names what the whole model was given, and the operation's name has to do.
    """
    assert node.op is not None  # a leaf has no operands
    found = expression_at(node.location) if node.location else None
    callee = getattr(found[0], "func", None) if found else None
    called = getattr(callee, "attr", None) or getattr(callee, "id", None)
    inside = node.module and called not in (None, node.op.name)
    theirs = None if inside else argument_name(node, position)
    return theirs or OWN.format(node.op.name) + argument(node.op, position)


def _is_number(value: Any) -> bool:
    """Whether a value is one or many numbers; a truth value is an option or a mask."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.dtype.kind in "fiu"
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class _WatchedSweep(Sweep):
    """A sweep that looks at every contribution, after the sweep made 0 of zero times infinity."""

    def __enter__(self) -> Self:
        self._watch = WATCHING.get()
        if self._watch and self._watch.backward and np.isnan(plain(self.g)).any():
            raise NonFiniteError("backward: the cotangent that it was given holds NaN", remedy="pass finite numbers")
        self._token = WATCHING.set(None)  # what an operation inside of a rule makes is the rule's affair
        self._flags = _Flags()
        self._listening = self._flags.listening() if self._watch else nullcontext()
        self._listening.__enter__()
        return super().__enter__()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            super().__exit__(kind, None if isinstance(error, NonFiniteError) else error, traceback)
        finally:
            self._listening.__exit__(None, None, None)
            WATCHING.reset(self._token)

    def add(self, edge: Edge, primal: Any, contribution: Any) -> None:
        """Refuse a contribution that is not finite although the cotangent is, and a sum that is not."""
        super().add(edge, primal, contribution)
        if self._watch and self._watch.backward:
            arrived, total = np.asarray(plain(contribution)), np.asarray(plain(self.cotangents[edge]))
            if not np.isfinite(arrived).all():
                self._examine(arrived)
            elif not np.isfinite(total).all():
                raise self._overflowed(edge, total)
        self._flags.kind, self._flags.frames = "", ()

    def _examine(self, contribution: Any) -> None:
        """Raise if the rule produced what is not finite, rather than handed on a cotangent that was not."""
        node, op = self.node, self.node.op
        assert op is not None  # leaves have no rules
        cotangents = self.g if isinstance(self.g, tuple) else (self.g,)
        arrays = [np.asarray(plain(g)) for g in cotangents]
        index = first(~np.isfinite(contribution))
        if index is None or not all(np.isfinite(g).all() for g in arrays):
            return
        operands = [Operand("g" if len(arrays) == 1 else f"g[{i}]", g) for i, g in enumerate(arrays)]
        operands += _operands(op, *_call(node), node)
        operands += [Operand("out", value) for value in node.values]
        alone = op.elementwise and arrays[0].shape == contribution.shape
        event = Event(op.name, contribution, index, operands, alone, self._flags.kind)
        name = _name(node, self.position).removeprefix(OWN.format(op.name))
        what = f"backward: the rule of {op.name} for {name} makes {number(event.value)}{event.place}"
        lines = [what, *event.operand_lines(), self._flags.place_in(op.rule(self.position))]
        raise NonFiniteError("\n".join(lines), remedy=remedy_of_rule(event), where=node.where, module=node.module)

    def _overflowed(self, edge: Edge, total: Any) -> NonFiniteError:
        """The error for contributions that are finite one by one."""
        bad = first(~np.isfinite(total))
        place = f" at {list(bad)}" if bad else ""
        what = f"backward: contributions to {edge[0].name} {total.shape} add up to {number(total[bad])}{place}"
        return NonFiniteError(what, remedy=DIVERGED, where=self.node.where, module=self.node.module)


def _call(node: Node) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """The arguments of a node as its operation's forward got them."""
    assert node.op is not None
    return ((node.args,) if node.op.variadic else node.args), node.kwargs


# What is replaced while a context is open. Other threads pass through it and find nothing to watch.
_REPLACED = Replaced((Primitive, "run", _run), (tensor, "Sweep", _WatchedSweep), (transforms, "Sweep", _WatchedSweep))
