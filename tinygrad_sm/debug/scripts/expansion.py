"""A tape run again in its smallest steps: every fused operation opened into the textbook formula in plain operations.

What comes out is a tape again, so that the backward pass over it is the engine's own, and beside it the NumPy code of
every step. Where the textbook loses what the fused operation keeps (an overflow, a masked row) the fused one stands.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_sm.debug.recording import Recording
from tinygrad_sm.debug.scripts.borrowing import Borrowed
from tinygrad_sm.debug.symbols.formulas import argument_terms, option_terms, outputs_named
from tinygrad_sm.debug.symbols.numpy_code import named_result, tidy
from tinygrad_sm.debug.symbols.opening import Opener, UnopenableError
from tinygrad_sm.debug.symbols.terms import Term, close, codes_of, gathered
from tinygrad_sm.engine.tape import RECORDING, Edge, Node
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.operand import plain


class StepNames:
    """The names of the values of the small steps."""

    def __init__(self, expansion: Expansion, recording: Recording) -> None:
        self._expansion = expansion
        self._recorded = recording.names

    def of(self, node: Node, output: int = 0) -> str:
        """The name of an output of a step."""
        return self._expansion.names[node, output]

    def constant(self, value: Any) -> str | None:
        """The name of a constant of the recorded tape, or of a textbook formula."""
        known = self._expansion.constants.get(id(value))
        return ast.unparse(known[0]) if known else self._recorded.constant(value)


class Expansion(NamedTuple):
    """The tape in small steps, and how it is written."""

    output: Any  # the tensor that the small steps lead to
    statements: dict[Node, list[ast.stmt]]  # the forward pass in NumPy, by the node of the recorded tape
    origin: dict[Node, Node]  # which node of the recorded tape a node of the small steps belongs to
    names: dict[Edge, str]  # of the values of the small steps
    constants: dict[int, tuple[ast.expr, Any]]  # code of arrays that the small steps use as constants, by id


def expanded(recording: Recording, borrowed: Borrowed, *, textbook: bool = True) -> Expansion:
    """Run the recorded operations again, the fused ones by their textbook formulas unless `textbook` is False.

    An operation of the user's that is not straight-line NumPy is borrowed, and stays a call.
    """
    result = Expansion(None, {}, {}, {}, {})
    tensors: dict[Edge, Any] = {}
    token = RECORDING.set(True)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # what there was to warn of was said when the user's code ran
            for node in recording.nodes:
                if node.op is None:
                    tensors[node, 0] = leaf = Tensor(node.out, requires_grad=True)
                    result.names[leaf._edge] = recording.names.of(node)  # type: ignore[index]  # a leaf has an edge
                else:
                    _expand(node, recording, borrowed, tensors, result, textbook)
    finally:
        RECORDING.reset(token)
    return result._replace(output=tensors[recording.edge])


def _expand(
    node: Node,
    recording: Recording,
    borrowed: Borrowed,
    tensors: dict[Edge, Any],
    result: Expansion,
    textbook: bool,
) -> None:
    """Write one node's forward, and record its small steps on the tensors of the steps before."""
    op = node.op
    assert op is not None
    args = [
        Term(tensors[edge], term.code) if edge else term
        for term, edge in zip(argument_terms(node, recording.names), node.parents, strict=True)
    ]
    options = option_terms(node, recording.names)
    before = recording.names.given_out()
    opener = Opener(recording.names.fresh, imported=borrowed.imported)
    term = _small_steps(node, opener, args, options) if textbook and op.unfused and not op.variadic else None
    if term is None:
        recording.names.take_back(before)
        opener = Opener(recording.names.fresh, imported=borrowed.imported)
        term = _one_step(node, opener, borrowed, args, options)
    outputs = term.value if isinstance(term.value, tuple) else (term.value,)
    code = tidy(opener.statements, term.code, opener.shared, set(opener.edges.values()))
    result.statements[node] = named_result(opener.statements, code, outputs_named(node, recording.names))
    result.constants.update(opener.constants)
    result.names.update(opener.edges)
    for i, tensor in enumerate(outputs):
        tensors[node, i] = tensor
        result.names[tensor._edge] = recording.names.of(node, i)
        for step in _new_steps(tensor, result.origin):
            result.origin[step] = node


def _small_steps(node: Node, opener: Opener, args: Sequence[Term], options: Mapping[str, Term]) -> Term | None:
    """The textbook formula on tensors; None where it does not give what the fused operation gave."""
    assert node.op is not None
    assert node.op.unfused is not None
    try:
        term = opener.open(node.op.unfused, args, options)
    except UnopenableError:
        return None
    steps = [edge[0] for edge in opener.edges]
    finite = all(np.isfinite(value).all() for step in steps for value in step.values)
    return term if finite and isinstance(term.value, Tensor) and close(term.value, node.out) else None


def _one_step(
    node: Node, opener: Opener, borrowed: Borrowed, args: Sequence[Term], options: Mapping[str, Term]
) -> Term:
    """The operation itself, recorded as it was, and its forward in NumPy."""
    op = node.op
    assert op is not None
    values = [term.value for term in args]
    chosen = {key: term.value for key, term in options.items()}
    recorded = op(values, **chosen) if op.variadic else op(*values, **chosen)
    plain_args = [Term(plain(term.value), term.code, term.fixed, term.items) for term in args]
    if op.variadic:
        plain_args = [gathered(plain_args, list)]
    try:
        code = opener.operation(op, plain_args, options).code
    except UnopenableError:
        opener.statements.clear()
        code = borrowed.operation(op, [term.code for term in plain_args], codes_of(options))
    return Term(recorded, code)


def _new_steps(tensor: Any, known: Mapping[Node, Node]) -> list[Node]:
    """The nodes of a tensor's tape that no earlier node of the recorded tape led to, leaves left out."""
    found: list[Node] = []
    waiting = [tensor._edge[0]]
    while waiting:
        step = waiting.pop()
        if step.op is not None and step not in known and step not in found:
            found.append(step)
            waiting += [edge[0] for edge in step.parents if edge]
    return found
