"""The tape: one node per operation that ran, in the order in which they ran, and the sweep of cotangents back over it.

Nodes refer to older nodes only, so a tape is freed with its last tensor. `Tensor.backward` calls the rules.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

import numpy as np

from tinygrad_sm.display import argument, listing, node_shapes
from tinygrad_sm.effects import Effect, first_overwritten, latest_overwrite, tick, values_read
from tinygrad_sm.engine.primitive import Primitive, Rule
from tinygrad_sm.errors import RuleError, StaleValueError, from_rule
from tinygrad_sm.location import Location, Where, caller
from tinygrad_sm.numpy_calls import unbroadcast, without_warnings

RECORDING: ContextVar[bool] = ContextVar("recording", default=True)

Edge: TypeAlias = "tuple[Node, int]"  # which output of which node: the key of a cotangent


@contextmanager
def no_grad() -> Iterator[None]:
    """Compute without recording, as a `with` block or a decorator; leaves may be updated in place inside."""
    token = RECORDING.set(False)
    try:
        yield
    finally:
        RECORDING.reset(token)


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
    module: str = ""  # path of the nn.Module that was running

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

    def __repr__(self) -> str:
        if not hasattr(self, "module"):  # the last field: a debugger may ask while it is being made
            return "<Node in the making>"
        return f"<Node {node_shapes(self)} {self.name}{f' {self.location}' if self.where else ''}>"


class Tape(tuple[Node, ...]):
    """The nodes that a tensor was computed from, oldest first, leaves included; printed it is one line a node."""

    def __repr__(self) -> str:
        return f"<Tape {node_shapes(self[-1])} of {len(self)} nodes>" if self else "<Tape empty>"

    def __str__(self) -> str:
        return listing(self)


def reachable(root: Node, leaves: bool = True) -> list[Node]:
    """The node and all that it was computed from, oldest first: creation order is a topological order."""
    nodes = [root]
    seen = {root}
    for node in nodes:  # which grows meanwhile
        for edge in node.parents:
            if edge and (leaves or edge[0].op) and edge[0] not in seen:
                seen.add(edge[0])
                nodes.append(edge[0])
    nodes.sort(key=operator.attrgetter("order"))
    return nodes


class Sweep:
    """Cotangents on their way from one output back to the leaves, paused at every rule.

    Iterating yields each rule with its arguments; the caller calls it and assigns the result to `contribution`.
    `targets` limits the way to what leads there, `keep` keeps cotangents of interior nodes, and `wrap` makes tensors
    of recorded values, to differentiate the derivative in its turn. As a context manager it says which of the user's
    operations an error arose in, and keeps NumPy from warning of infinite slopes: times a zero cotangent they are 0.
    """

    def __init__(
        self, root: Edge, seed: Any, *, targets: Collection[Edge] | None = None, keep: bool = False, wrap: Any = None
    ) -> None:
        self.nodes = reachable(root[0], leaves=False)
        self.wanted = None if targets is None else _leading_to(targets, self.nodes)
        self.cotangents: dict[Edge, Any] = {root: seed}
        self.keep, self.wrap = keep or targets is not None, wrap
        self.node, self.position = root[0], 0
        self.g, self.contribution = seed, None
        self.arguments: tuple[Any, ...] = ()

    def __iter__(self) -> Iterator[tuple[Rule, tuple[Any, ...], dict[str, Any]]]:
        wanted, wrap, latest = self.wanted, self.wrap, latest_overwrite()
        take = self.cotangents.get if self.keep else self.cotangents.pop
        for node in reversed(self.nodes):
            op, out, args, kwargs = node.op, node.out, node.args, node.kwargs
            if op is None or (wanted is not None and node not in wanted):
                continue
            self.node = node
            if isinstance(out, tuple):
                self.g = tuple([take((node, i), np.zeros_like(value)) for i, value in enumerate(out)])
            else:
                self.g = take((node, 0), None)
            self.arguments = arguments = (self.g, out, *args) if wrap is None else (self.g, *self._wrapped(node))
            if node.residual is not None and wrap is None:  # handed over once: its rule may overwrite it
                kwargs, node.residual = {**kwargs, "residual": node.residual}, None
            for position, edge in enumerate(node.parents):
                if edge is None or (wanted is not None and edge[0] not in wanted):
                    continue
                self.position = position
                if node.order < latest:
                    _refuse_stale(node, position)
                if op.variadic:
                    arguments = (self.g, self.arguments[1], position, self.arguments[2:])
                yield op.rule(position), arguments, kwargs
                kwargs = node.kwargs
                if op.elementwise:
                    self._finish_elementwise(op, arguments[1:], args[position].shape)
                self.add(edge, args[position], self.contribution)

    def _wrapped(self, node: Node) -> tuple[Any, ...]:
        """The output and the arguments of a node as tensors on the tape."""
        args = [self.wrap(a, e) if e else a for a, e in zip(node.args, node.parents, strict=True)]
        outs = tuple([self.wrap(value, (node, i)) for i, value in enumerate(node.values)])
        return outs if isinstance(node.out, tuple) else outs[0], *args

    def _finish_elementwise(self, op: Primitive, inputs: tuple[Any, ...], shape: tuple[int, ...]) -> None:
        """Sum what the rule of an elementwise operation returned to the operand's shape; 0 times anything is 0."""
        contribution: Any = self.contribution
        values: Any = getattr(contribution, "data", None) if self.wrap else contribution
        square = np.vdot(values, values)
        if square != square:  # NaN somewhere: keep it from elements that do not depend on each other
            slope = op.rule(self.position)(np.ones(self.g.shape, self.g.dtype), *inputs, **self.node.kwargs)
            contribution = np.where(np.isnan(contribution) & ((self.g == 0) | (slope == 0)), 0, contribution)
        self.contribution = unbroadcast(contribution, shape)

    def add(self, edge: Edge, primal: Any, contribution: Any) -> None:
        """Check what a rule returned, and add it to what has reached that argument already."""
        arrays = self.wrap is None
        if arrays:
            contribution = np.asarray(contribution)  # NumPy makes scalars of 0-d results
        if contribution.shape != primal.shape or contribution.dtype != primal.dtype:
            contribution = self._cast(contribution, primal)
        if edge in self.cotangents:
            contribution = self.cotangents[edge] + contribution  # out of place: either array may be shared
            contribution = np.asarray(contribution) if arrays else contribution
        elif arrays and (edge[0].op is None or self.keep):
            contribution = self._own(contribution)
        self.cotangents[edge] = contribution

    def _cast(self, contribution: Any, primal: Any) -> Any:
        """A contribution in the type of the argument; RuleError if it has another shape or is no number."""
        if contribution.shape != primal.shape or contribution.dtype.kind not in "fiub":
            what = f"shape {contribution.shape}" if contribution.dtype.kind in "fiub" else f"{self.contribution!r}"
            raise RuleError(f"the rule returned {what}, expected {primal.shape}")
        return contribution.astype(primal.dtype)

    def _own(self, contribution: Any) -> Any:
        """A contribution that shares its memory with nothing: a copy where it is a view or was given to the rule."""
        shared = contribution.base is not None or isinstance(self.g, tuple)
        return contribution.copy() if shared or any(each is contribution for each in self.arguments) else contribution

    def __enter__(self) -> Self:
        self._quiet = without_warnings("divide", "invalid")
        self._quiet.__enter__()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._quiet.__exit__(None, None, None)
        node = self.node
        if node.op and isinstance(error, Exception) and not isinstance(error, StaleValueError):
            raise from_rule(error, node.op, self.position, (self.g, *node.args), node.where, node.module) from error


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
    name = first_overwritten(values, values_read(node.op.rule(position)), since=node.order)
    if name:
        wanted = argument(node.op, position)
        what = f"{name} was overwritten after this was recorded, and the gradient for {wanted} needs its old values"
        remedy = "call backward() before the update, or compute the loss again after it"
        raise StaleValueError(f"{node.op.name}: {what}", remedy=remedy, where=node.where, module=node.module)
