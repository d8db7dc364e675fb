"""The data of a page: a recording as plain dicts and lists, every sentence and layout in it worked out.

Read `page.py` next, which puts it into a page, and `page.js`, which shows it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_sm.debug.pages.arrays import Arrays, nested, summary
from tinygrad_sm.debug.pages.code import marks, shown_code
from tinygrad_sm.debug.recording import Contribution, Recording, Step
from tinygrad_sm.debug.scripts.derivation import derived_lines
from tinygrad_sm.display import node_shapes
from tinygrad_sm.engine.tape import Edge
from tinygrad_sm.numpy_calls import flat

LONGEST = 400  # characters of a formula or of a line of the derived source; a constant may have thousands
MOST = 24  # operands and contributions of one step; a concatenation may have hundreds
NAME = re.compile(r"(?<![\w.])[^\W\d]\w*(?!\w|=[^= ]|\()")  # a variable in a formula, not an option or a function

Dict = dict[str, Any]


def page_data(recording: Recording, title: str) -> Dict:
    """Everything that a page shows of a recording, ready for JSON. Steps are numbered from 0."""
    arrays = Arrays()
    locations = [step.location for step in recording.steps if step.location]
    files = shown_code(locations)
    file_numbers = {each.pop("file"): i for i, each in enumerate(files)}
    return {
        "title": title,
        "overview": overview(recording),
        "steps": [_step(step, arrays, file_numbers) for step in recording.steps],
        "values": _values(recording),
        "files": files,
        "derived": [(_cut(line), index) for line, index in derived_lines(recording)],
        "arrays": arrays.described(),
    }


def overview(recording: Recording) -> str:
    """The recording in one line: the output and the number of steps."""
    value = recording.output.data
    what = f"= {summary(value)}" if value.size == 1 else f"{value.shape}"
    counts = f"{len(recording.forward)} steps forward, {len(recording.backward)} back"
    return f"{recording.names.of(*recording.edge)} {what}, {value.dtype}; {counts}"


def sentence(step: Step) -> str:
    """A step in one sentence, as a screen reader announces it."""
    recording, names = step.recording, step.recording.names
    place = f", {step.location}" if step.location else ""
    if step.phase == "forward":
        what = f"{step.op.name} makes {step.name} {node_shapes(step.node)} from {_listed(list(_inputs(step)))}"
    else:
        sent = [
            names.of(*each.edge) + (f" ({_ordinal(each)})" if each.count > 1 else "") for each in step.contributions
        ]
        what = f"{step.op.name} takes the gradient of {step.name} and passes it on to {_listed(sent)}"
    return _cut(f"Step {step.index + 1} of {len(recording.steps)}, {step.phase}: {what}{place}.")


def with_numbers(formula: str, values: dict[str, Any]) -> str:
    """A formula with the value in the place of each name, or its shape where that has more than four elements.

    >>> with_numbers("h = x @ W + b", {"h": np.ones(2), "W": np.ones((3, 2)), "b": np.zeros(2)})
    '[1, 1] = x @ (3, 2) + [0, 0]'
    """

    def number(match: re.Match[str]) -> str:
        value = values.get(match.group())
        if value is None:
            return match.group()
        return nested(value.tolist()) if value.size <= 4 else str(value.shape)

    return NAME.sub(number, formula)


def _step(step: Step, arrays: Arrays, files: dict[str, int]) -> Dict:
    location = step.location
    tensors = [tensor for group in _tensors(step) for tensor in group[:MOST]]
    return {
        "phase": step.phase,
        "node": step.number,
        "op": step.op.name,
        "module": step.node.module,
        "place": str(location) if location else "",
        "file": files[location.filename] if location else None,
        "marks": marks(location) if location else [],
        "sentence": sentence(step),
        "formulas": _formulas(step),
        "tensors": [{**tensor, "array": arrays.number(tensor["array"])} for tensor in tensors],
        "leftOut": max(0, len(step.node.args) - MOST),
    }


def _formulas(step: Step) -> list[Dict]:
    """What the step computes: in symbols, with numbers, and where it goes."""
    values = _values_in_sight(step)
    recording = step.recording
    if step.phase == "forward":
        formulas = [(recording.forward_formula(step.node), "")]
    else:
        formulas = [
            (recording.rule_formula(step.node, each.position), _destination(recording, each))
            for each in step.contributions[:MOST]
        ]
    return [
        {"symbols": _lines(text), "numbers": _lines(with_numbers(text, values)), "reaches": reaches}
        for text, reaches in formulas
    ]


def _values_in_sight(step: Step) -> dict[str, Any]:
    """The arrays that the formulas of a step may name."""
    names = step.recording.names
    values = {**_inputs(step), **_outputs(step)}
    if step.phase == "backward":
        values |= _arriving(step)
        values |= {names.gradient(each.edge): each.value for each in step.contributions}
        if not isinstance(step.cotangent, tuple):
            values["g"] = step.cotangent
    return values


def _tensors(step: Step) -> list[list[Dict]]:
    """The arrays that a step is about: what goes in and comes out, or what arrives, is sent and was kept for it."""
    if step.phase == "forward":
        return [_group("in", _inputs(step)), _group("out", _outputs(step))]
    sent = [tensor for each in step.contributions for tensor in _contribution(step.recording, each)]
    kept = {**_outputs(step), **_inputs(step)}
    note = "" if isinstance(step.cotangent, tuple) else "g in the formulas"
    return [_group("arrives", _arriving(step), note), sent, _group("kept from the forward pass", kept)]


def _group(role: str, named: dict[str, Any], note: str = "") -> list[Dict]:
    return [{"role": role, "name": name, "array": np.asarray(array), "note": note} for name, array in named.items()]


def _inputs(step: Step) -> dict[str, Any]:
    """The operands of a step and the arrays among its constants and options, by name."""
    node, names = step.node, step.recording.names
    found = {}
    for position, value in enumerate(node.args):
        if isinstance(value, np.ndarray):
            found[names.argument(node, position)] = value
    for value in flat([*node.args, *node.kwargs.values()]):
        name = names.constant(value)
        if name:
            found[name] = value
    return found


def _outputs(step: Step) -> dict[str, Any]:
    return {step.recording.names.of(step.node, i): value for i, value in enumerate(step.node.values)}


def _arriving(step: Step) -> dict[str, Any]:
    cotangents = step.cotangent if isinstance(step.cotangent, tuple) else (step.cotangent,)
    return {step.recording.names.gradient((step.node, i)): g for i, g in enumerate(cotangents)}


def _contribution(recording: Recording, each: Contribution) -> list[Dict]:
    """One contribution; before it what the rule returned, if that was still to be summed; after it the sum so far."""
    name = recording.names.gradient(each.edge)
    raw = np.asarray(each.raw)
    tensors = []
    if raw.shape != each.value.shape:
        tensors += _group("sent", {name: raw}, "before it is summed over what broadcasting had stretched")
    tensors += _group("sent", {name: each.value}, _destination(recording, each))
    if each.ordinal > 1:
        tensors += _group("sent", {name: each.total}, f"the sum of {each.ordinal} of {each.count} contributions")
    return tensors


def _destination(recording: Recording, each: Contribution) -> str:
    """Whom a contribution reaches, and which one of how many it is."""
    name = recording.names.of(*each.edge)
    whom = f"to {name if each.edge[0].op else f'{name}.grad'}"
    return f"{whom}, {_ordinal(each)}" if each.count > 1 else whom


def _values(recording: Recording) -> list[Dict]:
    """Every value of the tape: what it is, when it is made, and what its gradient is after each contribution to it."""
    names = recording.names
    made = {step.node: step.index for step in recording.forward}
    arrivals = _arrivals(recording)
    return [
        {
            "name": name,
            "node": names.number[node],
            "shape": str(node.values[output].shape),
            "summary": _cut(summary(node.values[output])),
            "made": made.get(node),
            "gradients": arrivals.get((node, output), []),
        }
        for name, (node, output) in recording.edges_named().items()
    ]


def _arrivals(recording: Recording) -> dict[Edge, list[Dict]]:
    """The gradient of each value as it comes together: the step after which it is so, and how much of it is there."""
    seed = {"step": len(recording.forward), "summary": _cut(summary(recording.seed)), "part": ""}
    arrivals = {recording.edge: [seed]}
    for step in recording.backward:
        for each in step.contributions:
            part = f"{each.ordinal} of {each.count}" if each.ordinal < each.count else ""
            arrival = {"step": step.index, "summary": _cut(summary(each.total)), "part": part}
            arrivals.setdefault(each.edge, []).append(arrival)
    return arrivals


def _ordinal(each: Contribution) -> str:
    return f"contribution {each.ordinal} of {each.count}"


def _listed(words: Sequence[str]) -> str:
    """Words with commas and an `and`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]])) or "constants"


def _lines(formula: str) -> str:
    """A formula with each of its statements on a line of its own."""
    return "\n".join(map(_cut, formula.split(" ; ")))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
