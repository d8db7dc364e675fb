"""A recording: one tape with its backward pass carried out and kept, so that a reader can go to and fro in it.

Every reader for people starts from here. It takes the gradients as `backward` would, touches no `.grad`, and leaves the
tape as it found it. Read `naming.py` for the names in it and `symbols/formulas.py` for the rules in symbols.
"""

from __future__ import annotations

import copy
import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_sm.debug.naming import Names, variables_of_caller
from tinygrad_sm.debug.symbols.formulas import forward_formula, rule_formula
from tinygrad_sm.display import argument, describe, node_shapes
from tinygrad_sm.effects import first_overwritten
from tinygrad_sm.engine.primitive import Primitive, Rule
from tinygrad_sm.engine.tape import Edge, Node, Sweep, reachable
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.errors import DTypeError, GradientError, StaleValueError
from tinygrad_sm.location import Location
from tinygrad_sm.numpy_calls import flat


@dataclass(frozen=True, eq=False, slots=True)
class Contribution:
    """What one rule sent back to one operand of an operation."""

    position: int  # of the operand among the arguments
    argument: str  # what the operation calls the operand
    rule: Rule
    raw: Any  # what the rule returned
    value: Any  # the same in the shape and type of the operand: summed over what broadcasting had stretched
    edge: Edge  # whom it reaches
    ordinal: int  # it is contribution 1, 2, ... to that value
    count: int  # of so many
    total: Any  # what has come together there so far, this one included

    def __repr__(self) -> str:
        return f"<Contribution {self.value.shape} to {self.argument}, {self.ordinal} of {self.count}>"


@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """One stop of a recording: an operation on its way forward, or the same operation on the way back."""

    recording: Recording
    index: int  # among all steps of the recording
    phase: str  # "forward" or "backward"
    node: Node
    cotangent: Any = None  # g, the derivative of the loss with respect to the output, a tuple of several; None forwards
    contributions: tuple[Contribution, ...] = ()

    @property
    def number(self) -> int:
        """Number of the node on the tape."""
        return self.recording.names.number[self.node]

    @property
    def op(self) -> Primitive:
        """The operation."""
        assert self.node.op is not None  # leaves are no steps
        return self.node.op

    @property
    def location(self) -> Location | None:
        """The user's line and expression that recorded it."""
        return self.node.location

    @property
    def name(self) -> str:
        """What the user calls the output."""
        return self.recording.names.of(self.node)

    @property
    def formula(self) -> str:
        """What happens here in symbols: `h = x @ W` forwards, `g_x = g @ W.T ; g_W = x.T @ g` backwards."""
        if self.phase == "forward":
            return self.recording.forward_formula(self.node)
        return " ; ".join(self.recording.rule_formula(self.node, each.position) for each in self.contributions)

    def __repr__(self) -> str:
        place = f" {self.location}" if self.location else ""
        return f"<Step {node_shapes(self.node)} {self.phase} {self.op.name}{place}>"


class Recording:
    """The steps of one tape, forwards and back, with every cotangent and every contribution to it.

    Args: output: the tensor that the tape led to. cotangent: as for `backward`. caller: the function of the user's that
    asked, for messages. gradients: False leaves the backward pass out, and then any shape will do. Raises DTypeError
    for what is no tensor, GradientError for a constant and, without a cotangent, for anything but a scalar,
    StaleValueError where a recorded value was overwritten since.

    >>> x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> recording = Recording((x * x).sum())
    >>> [step.op.name for step in recording.backward], recording.gradient_of(x)
    (['sum', 'multiply'], array([2., 4.]))
    """

    def __init__(self, output: Tensor, cotangent: Any = None, *, caller: str = "debug", gradients: bool = True) -> None:
        edge = checked(output, caller)
        self.output = output
        self.edge = edge
        self.nodes = reachable(edge[0])
        refuse_stale(self.nodes, caller)
        self.names = Names(self.nodes, variables_of_caller())
        self._formulas: dict[Edge, str] = {}  # of rules, by node and position
        made = [node for node in self.nodes if node.op]
        self.forward = [Step(self, i, "forward", node) for i, node in enumerate(made)]
        self.cotangents: dict[Edge, Any] = {}
        self.backward: list[Step] = []
        if gradients:
            self.seed = output._seed(cotangent)[1]
            sweep = _Listening(edge, self.seed)
            self.cotangents = {edge: self.seed, **_swept(sweep, self.nodes)}
            self.backward = self._backward_steps(sweep.heard, len(made))
        self.steps: list[Step] = [*self.forward, *self.backward]

    def _backward_steps(self, heard: list[_Heard], start: int) -> list[Step]:
        """The contributions put together by the node that sent them, in the order in which the sweep came by."""
        counts = Counter(each.edge for each in heard)
        ordinals: Counter[Edge] = Counter()
        by_node: dict[Node, list[Contribution]] = {}
        for each in heard:
            ordinals[each.edge] += 1
            tally = ordinals[each.edge], counts[each.edge]
            by_node.setdefault(each.node, []).append(each.contribution(*tally))
        return [
            Step(self, start + i, "backward", node, self.cotangent_of(node), tuple(contributions))
            for i, (node, contributions) in enumerate(by_node.items())
        ]

    def cotangent_of(self, node: Node) -> Any:
        """The cotangent of a node's output, zeros where nothing arrived; a tuple if it has several outputs."""
        found = [self.cotangents.get((node, i), np.zeros_like(value)) for i, value in enumerate(node.values)]
        return tuple(found) if isinstance(node.out, tuple) else found[0]

    def gradient_of(self, tensor: Tensor) -> Any:
        """The derivative of the output with respect to a tensor of the tape, zeros where it has no influence."""
        edge = tensor._edge
        if edge is None or edge[0] not in self.names.number:
            raise GradientError(
                f"{tensor!r} is not on this tape", remedy="ask for a tensor that the loss was made from"
            )
        return self.cotangents.get(edge, np.zeros_like(tensor.data))

    def leaf_gradients(self) -> dict[Edge, Any]:
        """The derivative of the output with respect to every leaf, oldest first."""
        leaves = [(node, 0) for node in self.nodes if node.op is None]
        return {edge: self.cotangents.get(edge, np.zeros_like(edge[0].out)) for edge in leaves}

    def contributions_to(self, edge: Edge) -> list[tuple[Step, Contribution]]:
        """Everything that reached a value on the way back, in order, with the step that sent it."""
        return [(step, each) for step in self.backward for each in step.contributions if each.edge == edge]

    def edges_named(self) -> dict[str, Edge]:
        """The values of the tape by their names."""
        return {self.names.of(node, i): (node, i) for node in self.nodes for i in range(len(node.values))}

    @functools.cached_property
    def readers(self) -> dict[Edge, list[tuple[Node, int]]]:
        """Which nodes read a value, and at which position: where it went on the way forward."""
        found: dict[Edge, list[tuple[Node, int]]] = {}
        for node in self.nodes:
            for position, edge in enumerate(node.parents):
                if edge:
                    found.setdefault(edge, []).append((node, position))
        return found

    def forward_formula(self, node: Node) -> str:
        """What a node computed, in the user's names: `h = x @ W`."""
        return forward_formula(node, self.names)

    def rule_formula(self, node: Node, position: int) -> str:
        """The rule for one operand in the user's names, on one line: `g_W = x.T @ g`."""
        if (node, position) not in self._formulas:
            self._formulas[node, position] = rule_formula(node, position, self.names)
        return self._formulas[node, position]

    def __repr__(self) -> str:
        return f"<Recording {self.output.shape} {len(self.forward)} steps forward, {len(self.backward)} back>"


@dataclass(frozen=True, eq=False, slots=True)
class _Heard:
    """A contribution before it is known how many there are."""

    node: Node
    position: int
    rule: Rule
    raw: Any
    value: Any
    edge: Edge
    total: Any

    def contribution(self, ordinal: int, count: int) -> Contribution:
        op = self.node.op
        assert op is not None
        name = argument(op, self.position)
        return Contribution(self.position, name, self.rule, self.raw, self.value, self.edge, ordinal, count, self.total)


class _Listening(Sweep):
    """A sweep that keeps every cotangent and every contribution."""

    def __init__(self, root: Edge, seed: Any) -> None:
        super().__init__(root, seed, keep=True)
        self.heard: list[_Heard] = []
        self.rule: Any = None
        self.raw: Any = None

    def _own(self, contribution: Any) -> Any:
        # Arrays of the tape may be overwritten later, cotangents are not. A copy in another layout than that which
        # `backward` computes with could differ in the last bit of what is summed from it.
        tape = flat([self.node.out, self.node.args])
        shared = any(isinstance(each, np.ndarray) and np.may_share_memory(contribution, each) for each in tape)
        return contribution.copy(order="K") if shared else contribution

    def add(self, edge: Edge, primal: Any, contribution: Any) -> None:
        before = self.cotangents.get(edge)
        super().add(edge, primal, contribution)
        total = self.cotangents[edge]
        value = total if before is None else np.asarray(contribution).astype(primal.dtype)
        self.heard.append(_Heard(self.node, self.position, self.rule, self.raw, value, edge, total))


def _swept(sweep: _Listening, nodes: Sequence[Node]) -> dict[Edge, Any]:
    """All cotangents after the sweep, which gets copies of the residuals: a rule may overwrite them."""
    residuals = [node.residual for node in nodes]
    for node in nodes:
        node.residual = copy.deepcopy(node.residual)
    try:
        with sweep:
            for rule, arguments, options in sweep:
                sweep.rule = rule
                sweep.contribution = sweep.raw = rule(*arguments, **options)
    finally:
        for node, residual in zip(nodes, residuals, strict=True):
            node.residual = residual
    return sweep.cotangents


def checked(output: Any, caller: str) -> Edge:
    """The edge of a tensor that carries a gradient; an error that names the function of ours that was called if not."""
    if not isinstance(output, Tensor):
        what = describe(output) if hasattr(output, "shape") else type(output).__name__
        raise DTypeError(f"{caller}: takes a tensor, not {what}", remedy="pass the loss itself, not its data or value")
    if output._edge is None:
        remedy = "give a leaf it is computed from requires_grad=True, and compute it outside no_grad()"
        raise GradientError(f"{caller}: this tensor {describe(output)} carries no gradient, so no tape", remedy=remedy)
    return output._edge


def refuse_stale(nodes: Sequence[Node], caller: str) -> None:
    """Raise if a value that a node computed with was overwritten since, as an optimiser's step does.

    What the node itself wrote to, such as running statistics, nothing that it computed depends on.
    """
    for node in nodes:
        if node.op is None:
            continue
        names = node.op.parameters[:1] * len(node.args) if node.op.variadic else node.op.parameters
        values = [*zip(names, node.args, strict=False), ("out", node.out)]
        own = {effect.argument for effect in node.effects if effect.kind == "update"}
        name = first_overwritten(values, {*names, "out"} - own, since=node.order)
        if name:
            what = f"{caller}: the tape is stale: {name} of {node.op.name} was overwritten after it was recorded"
            remedy = "call it before optimizer.step(), or compute the loss again"
            raise StaleValueError(what, remedy=remedy, where=node.where, module=node.module)
