"""The tape: one node per operation that ran, in the order in which they ran, and the sweep of cotangents back over it.

Nodes refer to older nodes only, never to tensors, so a tape is freed the moment its last tensor goes. The loop that
calls the rules stands in `Tensor.backward` (`tensor.py`), where a debugger finds it; what it walks over stands here.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np

from tinygrad_sm.engine.primitive import Primitive, Rule, unbroadcast
from tinygrad_sm.errors import RuleError, StaleValueError, describe, from_rule
from tinygrad_sm.location import Location, Where, caller
from tinygrad_sm.overwrites import anything_since, first_overwritten, tick, values_read

RECORDING: ContextVar[bool] = ContextVar("recording", default=True)
MODULE: ContextVar[str] = ContextVar("module", default="")  # path of the nn.Module that is running, such as "1.Linear"

Edge: TypeAlias = "tuple[Node, int]"  # which output of which node: the key of a cotangent
Targets: TypeAlias = Collection[Edge] | None
Wrap: TypeAlias = Callable[[Any, Edge], Any]


@contextmanager
def no_grad() -> Iterator[None]:
    """Compute without recording, as a `with` block or a decorator; leaves may be updated in place inside."""
    token = RECORDING.set(False)
    try:
        yield
    finally:
        RECORDING.reset(token)


class Effect(NamedTuple):
    """What a call did besides computing its output, which a reader that runs the tape again has to repeat."""

    kind: str  # "draw": the argument was drawn at random; "update": the argument was written to
    argument: str
    repeat: Callable[..., Any]


@dataclass(slots=True, weakref_slot=True, eq=False, repr=False)
class Node:
    """One recorded application of an operation, or a leaf: arrays, and where they came from."""

    op: Primitive | None  # None for a leaf
    args: tuple[Any, ...]  # positional arguments as the forward got them: arrays and constants
    kwargs: dict[str, Any]
    parents: tuple[Edge | None, ...]  # for each positional argument the edge it came by, None for a constant
    out: Any  # the output array, a tuple of them where there are several
    residual: Any = None  # what the forward kept for the first backward over arrays
    effects: tuple[Effect, ...] = ()
    outputs: tuple[weakref.ref[Any], ...] = ()  # the tensors that hold the outputs, while they live
    order: int = field(default_factory=tick)  # position in time: inputs are older than outputs
    where: Where | None = field(default_factory=caller)  # the user's code object and instruction
    module: str = field(default_factory=MODULE.get)

    @property
    def location(self) -> Location | None:
        """Where in the user's code the node was made."""
        return Location(*self.where) if self.where else None

    @property
    def name(self) -> str:
        """Name of the operation, or that of the leaf if its tensor has one and is still alive."""
        tensor = self.outputs[0]() if self.outputs else None
        return self.op.name if self.op else getattr(tensor, "name", None) or "leaf"

    @property
    def values(self) -> tuple[Any, ...]:
        """The outputs as a tuple, however many there are."""
        return self.out if isinstance(self.out, tuple) else (self.out,)

    def rule(self, position: int) -> Rule:
        """The rule for a positional argument; recording refuses a gradient for one that has none."""
        rule = self.op.rule(position) if self.op else None
        assert rule is not None
        return rule

    def argument(self, position: int) -> str:
        """Name of a positional argument, `arrays[1]` for an operand of a variadic operation."""
        assert self.op is not None
        return f"{self.op.parameters[0]}[{position}]" if self.op.variadic else self.op.parameters[position]

    def __repr__(self) -> str:
        shapes = ", ".join(str(value.shape) for value in self.values)
        return f"<Node {shapes} {self.name}{f' {self.location}' if self.where else ''}>"


class Tape(tuple[Node, ...]):
    """The nodes that a tensor was computed from, oldest first, leaves included; its repr is one line a node."""

    def __repr__(self) -> str:
        index = {node: i for i, node in enumerate(self)}
        rows = []
        for i, node in enumerate(self):
            edges = zip(node.args, node.parents, strict=True)
            inputs = [f"[{index[e[0]]}] {a.shape}" if e else describe(a) for a, e in edges]
            call = f"{node.name}({', '.join(inputs)}) ->" if node.op else node.name
            place = f"{node.location}  {node.location.expression}" if node.location else ""
            rows.append((f"[{i}] {call} {', '.join(str(value.shape) for value in node.values)}", place))
        if len(rows) > 100:  # a debugger may ask at any moment for the repr of a long tape
            rows[50:-50] = [(f"... {len(rows) - 100} more ...", "")]
        width = max(len(call) for call, _ in rows)
        return "\n".join(f"{call:<{width}}  {place}".rstrip() for call, place in rows)


def reachable(node: Node) -> list[Node]:
    """The node and all that it was computed from, oldest first: creation order is a topological order."""
    seen = {node}
    stack = [node]
    while stack:
        for edge in stack.pop().parents:
            if edge is not None and edge[0] not in seen:
                seen.add(edge[0])
                stack.append(edge[0])
    return sorted(seen, key=operator.attrgetter("order"))


class Sweep:
    """Cotangents on their way from one output back to the leaves, paused at every rule.

    Iterating yields each rule with its arguments; the caller calls it and hands the contribution to `add`. `targets`
    limits it to what leads there, `keep` keeps the cotangents of interior nodes, and `wrap` makes tensors of recorded
    values, to differentiate the derivative in its turn. As a context manager it says which of the user's operations an
    error arose in, and keeps NumPy from warning of infinite slopes: times a zero cotangent they are zero here.
    """

    def __init__(
        self, root: Edge, seed: Any, *, targets: Targets = None, keep: bool = False, wrap: Wrap | None = None
    ) -> None:
        self.nodes = reachable(root[0])
        self.wanted = set(self.nodes) if targets is None else _leading_to(targets, self.nodes)
        self.cotangents: dict[Edge, Any] = {root: seed}
        self.keep = keep or targets is not None
        self.wrap = wrap
        self.node, self.position, self.g = root[0], 0, seed

    def __iter__(self) -> Iterator[tuple[Rule, tuple[Any, ...], dict[str, Any]]]:
        for node in reversed(self.nodes):
            if node.op is None or node not in self.wanted:
                continue
            self.node = node
            self.g = self._cotangent()
            for position, edge in enumerate(node.parents):
                if edge is not None and edge[0] in self.wanted:
                    self.position = position
                    if anything_since(node.order):
                        _refuse_stale(node, position)
                    yield self._call()

    def _cotangent(self) -> Any:
        """The cotangent of the current node, a tuple with zeros for untouched outputs where it has several."""
        take = self.cotangents.get if self.keep else self.cotangents.pop
        if not isinstance(self.node.out, tuple):
            return take((self.node, 0), None)
        several = [take((self.node, i), None) for i in range(len(self.node.out))]
        return tuple(np.zeros_like(o) if g is None else g for g, o in zip(several, self.node.out, strict=True))

    def _call(self) -> tuple[Rule, tuple[Any, ...], dict[str, Any]]:
        """The current rule and what to call it with."""
        node = self.node
        args, out, kwargs = node.args, node.out, node.kwargs
        if self.wrap:
            args = tuple([self.wrap(a, e) if e else a for a, e in zip(args, node.parents, strict=True)])
            outs = tuple([self.wrap(value, (node, i)) for i, value in enumerate(node.values)])
            out = outs if isinstance(out, tuple) else outs[0]
        elif node.residual is not None:  # handed over once: the rule may overwrite it
            kwargs = {**kwargs, "residual": node.residual}
            node.residual = None
        variadic = node.op is not None and node.op.variadic
        arguments = (self.g, out, self.position, args) if variadic else (self.g, out, *args)
        return node.rule(self.position), arguments, kwargs

    def add(self, contribution: Any) -> None:
        """Take what the current rule returned, and add it to what has reached that argument already."""
        node, g, primal, edge = self.node, self.g, self.node.args[self.position], self.node.parents[self.position]
        assert node.op is not None and edge is not None
        if self.wrap is None:
            contribution = np.asarray(contribution)  # NumPy makes scalars of 0-d results
        if node.op.elementwise:
            values = contribution if self.wrap is None else contribution.data
            square = np.vdot(values, values)
            if square != square:  # NaN somewhere: keep it from the elements on which nothing depends
                contribution = np.where(g == 0, 0, contribution)
            contribution = unbroadcast(contribution, primal.shape)
        if contribution.shape != primal.shape:
            raise RuleError(f"the rule returned shape {contribution.shape}, expected {primal.shape}")
        if contribution.dtype != primal.dtype:
            contribution = contribution.astype(primal.dtype)
        earlier = self.cotangents.get(edge)
        if earlier is not None:
            contribution = earlier + contribution  # out of place: either array may be shared
        elif self.wrap is None and (edge[0].op is None or self.keep):
            shared = any(contribution is other for other in (g, *node.values, *node.args))
            contribution = contribution.copy() if shared or contribution.base is not None else contribution
        self.cotangents[edge] = np.asarray(contribution) if self.wrap is None else contribution

    def __enter__(self) -> Self:
        quiet: dict[str, Any] = {kind: "ignore" for kind, mode in np.geterr().items() if mode == "warn"}
        self._errstate = np.errstate(**quiet)
        self._errstate.__enter__()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._errstate.__exit__(None, None, None)
        if self.node.op and isinstance(error, Exception) and not isinstance(error, StaleValueError):
            argument, arrays = self.node.argument(self.position), (self.g, *self.node.args)
            raise from_rule(error, self.node.op.name, argument, arrays, self.node.where) from error


def _leading_to(targets: Collection[Edge], nodes: Sequence[Node]) -> set[Node]:
    """The targets, and those of the nodes (oldest first) that were computed from one."""
    wanted = {node for node, _ in targets}
    for node in nodes:
        if any(edge is not None and edge[0] in wanted for edge in node.parents):
            wanted.add(node)
    return wanted


def _refuse_stale(node: Node, position: int) -> None:
    """Raise if the rule for an argument reads a value that was overwritten after the node was recorded."""
    assert node.op is not None
    names = node.op.parameters[:1] * len(node.args) if node.op.variadic else node.op.parameters
    values = [*zip(names, node.args, strict=False), *(("out", value) for value in node.values)]
    name = first_overwritten(values, values_read(node.rule(position)), since=node.order)
    if name:
        what = f"{name} was overwritten after this, and the gradient for {node.argument(position)} needs its old values"
        remedy = "call backward() before the update, or compute the loss again after it"
        raise StaleValueError(f"{node.op.name}: {what}", remedy=remedy, where=node.where)
