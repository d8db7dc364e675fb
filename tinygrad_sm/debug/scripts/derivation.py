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

from tinygrad_sm.debug.literals import literal
from tinygrad_sm.debug.recording import Contribution, Recording, Step
from tinygrad_sm.debug.scripts.borrowing import Borrowed
from tinygrad_sm.debug.scripts.expansion import Expansion, StepNames, expanded
from tinygrad_sm.debug.scripts.memory import laid_out
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
from tinygrad_sm.debug.symbols.terms import Term, close, codes_of, gathered, variable
from tinygrad_sm.debug.text import cut
from tinygrad_sm.engine.tape import Edge, Node
from tinygrad_sm.errors import ArgumentError
from tinygrad_sm.files import PathLike

LEVELS = ("inline", "calls")
LONGEST = 90  # characters of a line of the user's in a comment
FEW = 4  # operands that are named in every call of a rule


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
    if recording is loss and (cotangent is not None or not recording.cotangents):
        raise ArgumentError(
            "debug.source: a Recording has its own cotangent, and one without gradients has none",
            remedy="pass the tensor itself",
        )
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
    residuals = {
        step.node: recording.names.fresh(f"{step.name}_residual") for step in recording.forward if step.op.residual
    }
    forward = list(_forward_calls(recording, borrowed, residuals))
    backward = _Backward(recording, recording, recording.names, {}, borrowed, residuals=residuals).lines()
    derived = _assembled(recording, "calls", forward, list(backward), borrowed)
    recording.names.take_back(before)  # so that a recording gives the same script each time
    return derived


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
        backward = _Backward(recording, steps, names, expansion.origin, borrowed).lines()
        derived = _assembled(recording, "inline", forward, list(backward), borrowed)
        if _agrees(derived, recording):
            break
    recording.names.take_back(before)
    assert derived is not None
    return derived


def _agrees(derived: Source, recording: Recording) -> bool:
    """Whether the script gives the recorded gradients to rounding."""
    expected = {recording.names.of(*edge): g for edge, g in recording.leaf_gradients().items()}
    return all(close(g, expected[name], finite=False) for name, g in derived.gradients().items())


def _forward_calls(recording: Recording, borrowed: Borrowed, residuals: Mapping[Node, str]) -> Iterator[Line]:
    """The forward pass, an operation a line; what an operation keeps for its rule gets a name too."""
    places = _Places()
    for step in recording.forward:
        yield from places.comment(step.node, step.index)
        args = [term.code for term in argument_terms(step.node, recording.names)]
        args = [sequence(args, list)] if step.op.variadic else args
        options, outputs = codes_of(option_terms(step.node, recording.names)), outputs_named(step.node, recording.names)
        if step.node in residuals:
            code = borrowed.forward(step.op, args, options)
            outputs = f"({outputs})" if len(step.node.values) > 1 else outputs
            yield Line(text(assignment(f"{outputs}, {residuals[step.node]}", code)), step.index)
        else:
            yield Line(text(assignment(outputs, borrowed.operation(step.op, args, options))), step.index)


def _forward_inline(recording: Recording, expansion: Expansion) -> Iterator[Line]:
    """The forward pass in small steps."""
    places = _Places()
    for step in recording.forward:
        yield from places.comment(step.node, step.index)
        for statement in expansion.statements[step.node]:
            yield Line(text(statement), step.index)


class _Backward:
    """Writes the backward pass over `steps`, which is the recording itself or its expansion into small steps.

    Rules are called, with the `residuals` that forwards kept for them, or opened if `residuals` is None.
    """

    def __init__(
        self,
        recording: Recording,
        steps: Recording,
        names: Naming,
        origin: Mapping[Node, Node],
        borrowed: Borrowed,
        *,
        residuals: Mapping[Node, str] | None = None,
    ) -> None:
        self.steps = steps
        self.names = names
        self.origin = origin
        self.borrowed = borrowed
        self.residuals = residuals
        self.operands: Term | None = None  # of the variadic operation at hand, where they are too many to repeat
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
            yield from (Line(code, index) for code in self._many_operands(step))
            for each in step.contributions:
                yield from (Line(code, index) for code in self._contribution(step, each))

    def _gradient(self, edge: Edge) -> str:
        return f"g_{self.names.of(*edge)}"

    def _missing(self, step: Step) -> Iterator[str]:
        """Zeros for those of several outputs that nothing was computed from."""
        for i in range(len(step.node.values)):
            if (step.node, i) not in self.steps.cotangents:
                yield f"{self._gradient((step.node, i))} = np.zeros_like({self.names.of(step.node, i)})"

    def _many_operands(self, step: Step) -> Iterator[str]:
        """A name for the operands of a variadic operation, which every call of its rule takes all of."""
        self.operands = None
        if step.op.variadic and len(step.node.args) > FEW:
            self.operands = gathered(argument_terms(step.node, self.names), tuple)
            if self.residuals is not None:
                name = self.fresh(f"{self.names.of(step.node)}_operands")
                yield text(assignment(name, self.operands.code))
                self.operands = variable(self.operands.value, name)

    def _contribution(self, step: Step, each: Contribution) -> Iterator[str]:
        """One rule: what it returns, the sum that undoes broadcasting, and the sum with what was there before."""
        name = self._gradient(each.edge)
        own = name if each.ordinal == 1 else self.fresh(f"{name}_from_{self.names.of(step.node)}")
        primal = step.node.args[each.position]
        first = each is step.contributions[0]  # what the forward kept is handed over once
        residual = self.residuals.get(step.node) if self.residuals and first else None
        yield from map(text, self._rule(step, each, own, self._cotangent(step), residual))
        if step.op.elementwise and np.isnan(each.raw).any():
            yield from self._zero_times_anything(step, each, own)
        if np.shape(each.raw) != primal.shape:
            undone = text(assignment(own, summed(ast.Name(own), np.shape(each.raw), primal.shape)))
            yield f"{undone}  # undoes broadcasting: {np.shape(each.raw)} -> {primal.shape}"
        if np.asarray(each.raw).dtype != primal.dtype:
            yield f"{own} = {own}.astype({literal(primal.dtype)})"
        if each.ordinal > 1:
            yield f"{name} = {name} + {own}  # contribution {each.ordinal} of {each.count}"

    def _cotangent(self, step: Step) -> Term:
        values = step.cotangent if isinstance(step.cotangent, tuple) else (step.cotangent,)
        return gathered_if_several([variable(g, self._gradient((step.node, i))) for i, g in enumerate(values)])

    def _rule(
        self, step: Step, each: Contribution, own: str, g: Term, residual: str | None = None
    ) -> Sequence[ast.stmt]:
        """The statements of a rule, the last of which assigns to the name that is asked for."""
        terms = rule_terms(step.node, each.position, self.names, g, self.operands)
        options = option_terms(step.node, self.names)
        if self.residuals is None:
            try:
                return self._opened_rule(each, own, terms, options)
            except UnopenableError:
                pass  # a rule of the user's that is not straight-line NumPy: called
        codes = codes_of(options)
        if residual:
            codes["residual"] = ast.Name(residual)
        function = self.borrowed.function(each.rule)
        return [assignment(own, call(function, [term.code for term in terms], codes, each.rule))]

    def _opened_rule(
        self, each: Contribution, own: str, terms: Sequence[Term], options: Mapping[str, Term]
    ) -> Sequence[ast.stmt]:
        opener = Opener(self.fresh, imported=self.borrowed.imported)
        with np.errstate(all="ignore"):
            term = opener.open(each.rule, terms, options)
        code = tidy(opener.statements, term.code, opener.shared)
        return named_result(opener.statements, code, own)

    def _zero_times_anything(self, step: Step, each: Contribution, own: str) -> Iterator[str]:
        """The law of elementwise operations: a zero cotangent or slope makes 0 of an infinite or undefined factor."""
        g, ones, slope = step.cotangent, self.fresh("ones"), self.fresh("slope")
        yield f"{ones} = np.ones({g.shape}, dtype={literal(g.dtype)})"
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
        line = f"{place}  {cut(place.source_line.strip(), LONGEST)}".rstrip() if place else ""
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
    data = {**{name: edge[0].out for name, edge in leaves.items()}, **dict(names.constants())}
    start = {f"g_{output}": recording.seed}
    unusual = level == "calls" and any(not value.flags.c_contiguous for value in [*data.values(), recording.seed])
    layout = text(borrowed.function(laid_out)) if unusual else ""
    manner = "in NumPy alone" if level == "inline" else "in calls of operations and rules"
    lines = [
        Line(f'"""`{output}` and its gradients, {manner}: written by tinygrad_sm.debug.source."""'),
        Line(""),
        *map(Line, borrowed.lines([line.text for line in (*forward, *backward)], quiet=_makes_infinities(recording))),
        *_heading("The data"),
        Line(""),
        *data_lines(data),
        *_heading("Forward"),
        *forward,
        *_heading("Backward"),
        Line(""),
        *data_lines(start),
        *backward,
        *_heading("The gradients"),
        Line(""),
        *_dictionary("gradients", [f'"{name}": g_{name}' for name in leaves]),
        Line('if __name__ == "__main__":'),
        Line(f'    print("{output}:", {output})'),
        Line("    for name, g in gradients.items():"),
        Line('        print(f"gradient of {name}, shape {np.shape(g)}:", g, sep="\\n")'),
    ]
    return Source(level, lines, {**data, **start}, layout)


def _heading(title: str) -> list[Line]:
    return [Line(""), Line(""), Line(f"# {title} {'-' * (70 - len(title))}")]


def _dictionary(name: str, entries: Sequence[str]) -> list[Line]:
    """A dictionary on one line, or an entry a line where they are too many for that."""
    short = f"{name} = {{{', '.join(entries)}}}"
    if len(short) <= LONGEST:
        return [Line(short)]
    return [Line(f"{name} = {{"), *(Line(f"    {entry},") for entry in entries), Line("}")]


def _makes_infinities(recording: Recording) -> bool:
    """Whether infinite or undefined numbers occur, of which NumPy would warn when the script runs."""
    values = [*(value for node in recording.nodes for value in node.values)]
    values += [each.raw for step in recording.backward for each in step.contributions]
    return not all(np.isfinite(value).all() for value in values)
