"""`source`: the forward and the backward pass of a tape as a straight-line NumPy script in the user's names.

Two levels. "inline" is nothing but NumPy: rules are opened, fused operations are taken apart into their textbook
steps. "calls" calls this package's operations and rules, to step into them, and is equal to `backward` bit for bit.
Read `symbols/opening.py` for how a rule becomes NumPy, `expansion.py` for the small steps, `written.py` for the file.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_sm.debug.recording import Contribution, Recording, Step
from tinygrad_sm.debug.scripts.borrowing import Borrowed
from tinygrad_sm.debug.scripts.expansion import Expansion, StepNames, expanded
from tinygrad_sm.debug.scripts.written import Line, Source, data_lines
from tinygrad_sm.debug.symbols.formulas import (
    Naming,
    argument_terms,
    gathered_if_several,
    option_terms,
    outputs_named,
    rule_terms,
)
from tinygrad_sm.debug.symbols.numpy_code import assignment, call, named_result, sequence, summed, text, tidy
from tinygrad_sm.debug.symbols.opening import Opener, UnopenableError
from tinygrad_sm.debug.symbols.terms import Term, close, variable
from tinygrad_sm.debug.text import cut
from tinygrad_sm.engine.tape import Edge, Node
from tinygrad_sm.errors import ArgumentError
from tinygrad_sm.files import PathLike

LEVELS = ("inline", "calls")
LONGEST = 90  # characters of a line of the user's in a comment


def source(loss: Any, level: str = "inline", path: PathLike | None = None, *, cotangent: Any = None) -> Source:
    """The whole forward and backward pass as a NumPy script that reads like a derivation and runs alone.

    Args: loss: a tensor, or a Recording; level: "inline" for nothing but NumPy, "calls" to step into the rules; path:
    where to write it, at once; cotangent: as for `backward`. Returns a Source: print it, `save()` it, `run()` it for
    the gradients by name. Raises ArgumentError for another level, and what a Recording raises.

    >>> from tinygrad_sm.engine.tensor import Tensor
    >>> x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> source((x * x).sum()).gradients()
    {'x': array([2., 4.])}
    """
    if level not in LEVELS:
        raise ArgumentError(f"debug.source: level={level!r}", remedy=f"pass one of {', '.join(map(repr, LEVELS))}")
    recording = loss if isinstance(loss, Recording) else Recording(loss, cotangent, caller="debug.source")
    derived = _calls(recording) if level == "calls" else _inline(recording)
    if path is not None:
        derived.save(path)
    return derived


def derived_lines(recording: Recording) -> list[tuple[str, int | None]]:
    """Every line of the inline script, with the index of the step of the recording that it belongs to."""
    return [(line.text, line.step) for line in _inline(recording).lines]


def _calls(recording: Recording) -> Source:
    """The script that calls operations and rules."""
    before = recording.names.given_out()
    borrowed = Borrowed(recording.names.fresh)
    forward = list(_forward_calls(recording, borrowed))
    backward = list(_Backward(recording, recording, recording.names, {}, borrowed, opened=False).lines())
    recording.names.take_back(before)  # so that a recording gives the same script each time
    return _assembled(recording, "calls", forward, backward, borrowed)


def _inline(recording: Recording) -> Source:
    """The script in NumPy alone: by the textbook if that is as exact, else with the fused operations as they are."""
    derived, before = None, recording.names.given_out()
    for textbook in (True, False):
        recording.names.take_back(before)
        borrowed = Borrowed(recording.names.fresh)
        expansion = expanded(recording, borrowed, textbook=textbook)
        steps = Recording(expansion.output, recording.seed)
        names = StepNames(expansion, recording)
        forward = list(_forward_inline(recording, expansion))
        backward = list(_Backward(recording, steps, names, expansion.origin, borrowed, opened=True).lines())
        derived = _assembled(recording, "inline", forward, backward, borrowed)
        if _agrees(derived, recording):
            break
    recording.names.take_back(before)
    assert derived is not None
    return derived


def _agrees(derived: Source, recording: Recording) -> bool:
    """Whether the script gives the recorded gradients to rounding."""
    expected = {recording.names.of(*edge): g for edge, g in recording.leaf_gradients().items()}
    return all(close(g, expected[name], finite=False) for name, g in derived.gradients().items())


def _forward_calls(recording: Recording, borrowed: Borrowed) -> Iterator[Line]:
    """The forward pass, an operation a line."""
    places = _Places()
    for step in recording.forward:
        yield from places.comment(step.node, step.index)
        args = [term.code for term in argument_terms(step.node, recording.names)]
        args = [sequence(args, list)] if step.op.variadic else args
        options = {key: term.code for key, term in option_terms(step.node, recording.names).items()}
        code = borrowed.operation(step.op, args, options)
        yield Line(text(assignment(outputs_named(step.node, recording.names), code)), step.index)


def _forward_inline(recording: Recording, expansion: Expansion) -> Iterator[Line]:
    """The forward pass in small steps."""
    places = _Places()
    for step in recording.forward:
        yield from places.comment(step.node, step.index)
        for statement in expansion.statements[step.node]:
            yield Line(text(statement), step.index)


class _Backward:
    """Writes the backward pass over `steps`, which is the recording itself or its expansion into small steps."""

    def __init__(
        self,
        recording: Recording,
        steps: Recording,
        names: Naming,
        origin: Mapping[Node, Node],
        borrowed: Borrowed,
        *,
        opened: bool,
    ) -> None:
        self.steps = steps
        self.names = names
        self.origin = origin
        self.borrowed = borrowed
        self.opened = opened
        self.fresh = recording.names.fresh
        self.index = {step.node: step.index for step in recording.backward}

    def lines(self) -> Iterator[Line]:
        """Every line of the backward pass."""
        places = _Places("back through ")
        for step in self.steps.backward:
            recorded = self.origin.get(step.node, step.node)
            index = self.index[recorded]
            yield from places.comment(recorded, index)
            yield from (Line(code, index) for code in self._missing(step))
            for each in step.contributions:
                yield from (Line(code, index) for code in self._contribution(step, each))

    def _gradient(self, edge: Edge) -> str:
        return f"g_{self.names.of(*edge)}"

    def _missing(self, step: Step) -> Iterator[str]:
        """Zeros for those of several outputs that nothing was computed from."""
        for i in range(len(step.node.values)):
            if (step.node, i) not in self.steps.cotangents:
                yield f"{self._gradient((step.node, i))} = np.zeros_like({self.names.of(step.node, i)})"

    def _contribution(self, step: Step, each: Contribution) -> Iterator[str]:
        """One rule: what it returns, the sum that undoes broadcasting, and the sum with what was there before."""
        name = self._gradient(each.edge)
        own = name if each.ordinal == 1 else self.fresh(f"{name}_from_{self.names.of(step.node)}")
        primal = step.node.args[each.position]
        yield from map(text, self._rule(step, each, own, self._cotangent(step)))
        if step.op.elementwise and np.isnan(each.raw).any():
            yield from self._zero_times_anything(step, each, own)
        if np.shape(each.raw) != primal.shape:
            undone = text(assignment(own, summed(ast.Name(own), np.shape(each.raw), primal.shape)))
            yield f"{undone}  # undoes broadcasting: {np.shape(each.raw)} -> {primal.shape}"
        if np.asarray(each.raw).dtype != primal.dtype:
            yield f"{own} = {own}.astype(np.{primal.dtype})"
        if each.ordinal > 1:
            yield f"{name} = {name} + {own}  # contribution {each.ordinal} of {each.count}"

    def _cotangent(self, step: Step) -> Term:
        values = step.cotangent if isinstance(step.cotangent, tuple) else (step.cotangent,)
        return gathered_if_several([variable(g, self._gradient((step.node, i))) for i, g in enumerate(values)])

    def _rule(self, step: Step, each: Contribution, own: str, g: Term) -> Sequence[ast.stmt]:
        """The statements of a rule, the last of which assigns to the name that is asked for."""
        terms = rule_terms(step.node, each.position, self.names, g)
        options = option_terms(step.node, self.names)
        if self.opened:
            try:
                return self._opened_rule(each, own, terms, options)
            except UnopenableError:
                pass  # a rule of the user's that is not straight-line NumPy: called
        codes = {key: term.code for key, term in options.items()}
        return [assignment(own, call(self.borrowed.function(each.rule), [term.code for term in terms], codes))]

    def _opened_rule(
        self, each: Contribution, own: str, terms: Sequence[Term], options: Mapping[str, Term]
    ) -> Sequence[ast.stmt]:
        opener = Opener(self.fresh)
        with np.errstate(all="ignore"):
            term = opener.open(each.rule, terms, options)
        code = tidy(opener.statements, term.code, opener.shared)
        self.borrowed.modules.update(opener.imports)
        return named_result(opener.statements, code, own)

    def _zero_times_anything(self, step: Step, each: Contribution, own: str) -> Iterator[str]:
        """The law of elementwise operations: a zero cotangent or slope makes 0 of an infinite or undefined factor."""
        g, ones, slope = step.cotangent, self.fresh("ones"), self.fresh("slope")
        yield f"{ones} = np.ones({g.shape}, dtype=np.{g.dtype})"
        yield from map(text, self._rule(step, each, slope, variable(np.ones(g.shape, g.dtype), ones)))
        zero = f"({self._gradient((step.node, 0))} == 0) | ({slope} == 0)"
        yield f"{own} = np.where(np.isnan({own}) & ({zero}), 0, {own})  # zero times anything is zero"


class _Places:
    """The comments that say which line of the user's the following statements belong to."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._last = ""

    def comment(self, node: Node, index: int) -> Iterator[Line]:
        """A comment line, unless the line before belonged to the same place."""
        place = node.location
        module = f"  [{node.module}]" if node.module else ""
        line = f"{place}  {cut(place.source_line.strip(), LONGEST)}" if place else ""
        said = f"# {self._prefix}{line or node.name}{module}"
        if said != self._last:
            yield Line("", None)
            yield Line(said, index)
        self._last = said


def _assembled(
    recording: Recording, level: str, forward: Sequence[Line], backward: Sequence[Line], borrowed: Borrowed
) -> Source:
    """The whole script: what it is, what it borrows, its data, forward, backward, and the gradients by name."""
    names = recording.names
    output = names.of(*recording.edge)
    leaves = {names.of(*edge): edge for edge in recording.leaf_gradients()}
    arrays = {name: edge[0].out for name, edge in leaves.items()}
    data = {**arrays, **dict(names.constants()), f"g_{output}": recording.seed}
    start = data.pop(f"g_{output}")
    manner = "in NumPy alone" if level == "inline" else "in calls of operations and rules"
    lines = [
        Line(f'"""`{output}` and its gradients, {manner}: written by tinygrad_sm.debug.source."""'),
        Line(""),
        *map(Line, borrowed.lines(quiet=_makes_infinities(recording))),
        *_heading("The data"),
        Line(""),
        *data_lines(data),
        *_heading("Forward"),
        *forward,
        *_heading("Backward"),
        Line(""),
        *data_lines({f"g_{output}": start}),
        *backward,
        *_heading("The gradients"),
        Line(""),
        Line("gradients = {" + ", ".join(f'"{name}": g_{name}' for name in leaves) + "}"),
        Line('if __name__ == "__main__":'),
        Line(f'    print("{output}:", {output})'),
        Line("    for name, g in gradients.items():"),
        Line('        print(f"gradient of {name}, shape {np.shape(g)}:", g, sep="\\n")'),
    ]
    return Source(level, lines, {**data, f"g_{output}": start})


def _heading(title: str) -> list[Line]:
    return [Line(""), Line(""), Line(f"# {title} {'-' * (70 - len(title))}")]


def _makes_infinities(recording: Recording) -> bool:
    """Whether infinite or undefined numbers occur, of which NumPy would warn when the script runs."""
    values = [*(value for node in recording.nodes for value in node.values)]
    values += [each.raw for step in recording.backward for each in step.contributions]
    return not all(np.isfinite(value).all() for value in values)
