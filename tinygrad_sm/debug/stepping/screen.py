"""What the stepper shows of one step: where it stands, the user's line, the rule, what comes in and what goes out.

Plain text, 80 columns, no colour. `stepper.py` asks for it.
"""

from __future__ import annotations

import inspect
import linecache
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_sm.debug.recording import Contribution, Recording, Step
from tinygrad_sm.debug.text import NOT_YET, WIDTH, cut, shape, values, wrapped
from tinygrad_sm.engine.tape import Edge, Node
from tinygrad_sm.location import Location

MARGIN = "       "
LEAST = 12  # columns for the values of an array; with less room they get a line of their own
FEW = 4  # nodes that are listed by number
NEIGHBOURS = 8  # nodes that are listed on either side
AROUND = 2  # lines of the user's that are shown on either side


def screen(step: Step) -> str:
    """The screen of a step, forwards or back."""
    body = _forward(step) if step.phase == "forward" else _backward(step)
    return "\n".join(line.rstrip() for line in [_header(step), *_source(step.location), *body])


def position(step: Step) -> str:
    """`BACKWARD 4/5`: the place of a step among those of its phase."""
    recording = step.recording
    same = recording.forward if step.phase == "forward" else recording.backward
    return f"{step.phase.upper()} {step.index - same[0].index + 1}/{len(same)}"


def summary(step: Step, width: int = WIDTH) -> str:
    """Number, operation and formula on one line."""
    return cut(f"[{step.number}] {step.op.name}: {step.formula}", width)


def _header(step: Step) -> str:
    head = f"{position(step)}  [{step.number}] {step.op.name}"
    if step.node.module:
        head += f"  in {step.node.module}"
    head = cut(head, WIDTH - 20)
    room = WIDTH - len(head) - 2
    return f"{head}  {_end_of(str(step.location or ''), room):>{room}}"


def _end_of(place: str, room: int) -> str:
    """A file and a line, without the beginning of the path where there is no room for it."""
    return place if len(place) <= room else f"...{place[3 - room :]}"


def _source(location: Location | None) -> list[str]:
    """The user's line with its number and, below, the expression underlined; nothing where there is no source."""
    lines = location.underlined(WIDTH - 11) if location else []
    gutters = [f"{location.line:>8} | " if location else "", "         | "]
    return [gutter + line for gutter, line in zip(gutters, lines, strict=False)]


def _forward(step: Step) -> list[str]:
    recording, node = step.recording, step.node
    names = recording.names
    lines = wrapped(step.formula, MARGIN, "value  ")
    label = "in     "
    for i, (value, edge) in enumerate(zip(node.args, node.parents, strict=True)):
        if isinstance(value, np.ndarray):
            lines += _array(f"{label}{names.argument(node, i)}", value, f"from {_maker(recording, edge)}")
            label = MARGIN
    for i, value in enumerate(node.values):
        label = MARGIN if i else "out    "
        lines += _array(f"{label}{names.of(node, i)}", value, _readers(recording, (node, i), "-> "))
    lines += [f"grad   {names.gradient((node, i))} {NOT_YET}" for i in range(len(node.values))]
    return lines + _next(step)


def _backward(step: Step) -> list[str]:
    recording, node = step.recording, step.node
    lines = []
    label = "rule   "
    for each in step.contributions:
        for statement in recording.rule_formula(node, each.position).split(" ; "):
            lines += wrapped(statement, MARGIN, label)
            label = MARGIN
    label = "in     "
    several = isinstance(step.cotangent, tuple)
    for i, g in enumerate(step.cotangent if several else (step.cotangent,)):
        lines += _array(f"{label}g{f'[{i}]' if several else ''}", g, _source_of(recording, (node, i)))
        label = MARGIN
    label = "out  + "
    for each in step.contributions:
        lines += _sent(recording, each, label)
        label = "     + "
    return lines + _next(step)


def _sent(recording: Recording, sent: Contribution, label: str) -> list[str]:
    """One contribution: its name, the sum over what broadcasting had stretched, its values, and whom it reaches."""
    name = f"{label}{recording.names.gradient(sent.edge)}"
    raw = getattr(sent.raw, "shape", sent.value.shape)
    summed = f"{str(raw).replace(' ', '')} -> " if raw != sent.value.shape else ""
    lines = _array(name, sent.value, f"-> {_receiver(recording, sent.edge)}", summed)
    text = f"{MARGIN}  contribution {sent.ordinal} of {sent.count}"
    if sent.ordinal > 1:
        text += ", the sum so far "
        lines.append(text + values(sent.total, WIDTH - len(text)))
    elif sent.count > 1:
        lines.append(text)
    return lines


def _array(name: str, array: Any, whom: str, before: str = "") -> list[str]:
    """Name, shape and values of an array and whom it comes from or goes to, on one line if there is room."""
    head = f"{name} {before}{shape(array)}"
    room = WIDTH - len(head) - len(whom) - 4
    if room >= LEAST:
        return [f"{head}  {values(array, room)}  {whom}"]
    return [cut(f"{head}  {whom}"), f"{MARGIN}  {values(array, WIDTH - len(MARGIN) - 2)}"]


def _next(step: Step) -> list[str]:
    following = step.recording.steps[step.index + 1 : step.index + 2]
    if not following:
        return ["next   nothing: every gradient has arrived"]
    turn = "back from the loss: " if following[0].phase != step.phase else ""
    return [f"next   {turn}{summary(following[0], WIDTH - 7 - len(turn))}"]


def _maker(recording: Recording, edge: Edge | None) -> str:
    if edge is None:
        return "a constant"
    return f"[{recording.names.number[edge[0]]}] {edge[0].op.name if edge[0].op else 'leaf'}"


def _receiver(recording: Recording, edge: Edge) -> str:
    node = edge[0]
    return _maker(recording, edge) if node.op else f"{recording.names.of(*edge)}.grad"


def _readers(recording: Recording, edge: Edge, arrow: str) -> str:
    nodes = [node for node, _ in recording.readers.get(edge, [])]
    return f"{arrow}{numbers(recording, nodes)}" if nodes else f"{arrow}the output"


def _source_of(recording: Recording, edge: Edge) -> str:
    """Which operations the cotangent of a value came from."""
    nodes = [node for node, _ in recording.readers.get(edge, [])]
    if nodes:
        return f"from {numbers(recording, nodes)}"
    return "where backward starts" if edge == recording.edge else "nothing arrived"


def numbers(recording: Recording, nodes: Sequence[Node]) -> str:
    """Nodes by their numbers, `[3] [4]`; of many the first few."""
    found = sorted({recording.names.number[node] for node in nodes})
    more = f" and {len(found) - FEW} more" if len(found) > FEW + 1 else ""
    return " ".join(f"[{i}]" for i in (found[:FEW] if more else found)) + more


def tape_around(step: Step, arrived: Mapping[Edge, Any]) -> str:
    """The nodes of the tape near a step, the one where it stands marked, with the gradients that have arrived."""
    nodes, here = step.recording.nodes, step.number
    first, last = max(0, here - NEIGHBOURS), min(len(nodes), here + NEIGHBOURS + 1)
    lines = [_listed(step.recording, node, arrived, node is step.node) for node in nodes[first:last]]
    lines[:0] = [f"      {first:,} older"] if first else []
    return "\n".join([*lines, *([f"      {len(nodes) - last:,} newer"] if last < len(nodes) else [])])


def _listed(recording: Recording, node: Node, arrived: Mapping[Edge, Any], marked: bool) -> str:
    names = recording.names
    shapes = " ".join(shape(value) for value in node.values)
    made = node.op.name if node.op else "leaf"
    name = names.of(node)
    name += "" if name.startswith(made) else f" = {made}"
    what = f"{'-> ' if marked else '   '}[{names.number[node]}] {name} {shapes}"
    gradient = f"{names.gradient((node, 0))} "
    gradient += values(arrived[node, 0], 24) if (node, 0) in arrived else NOT_YET
    row = f"{cut(what, 38):<38} {cut(gradient, 26):<26} "
    place = os.path.basename(str(node.location)) if node.location else ""
    return f"{row}{_end_of(place, WIDTH - len(row))}".rstrip()


def sources(step: Step) -> str:
    """The user's code around the line that recorded a step, and the source of its rules, or of its forward."""
    lines = []
    if step.location:
        filename, here = step.location.filename, step.location.line
        for line in range(max(1, here - AROUND), here + AROUND + 1):
            text = linecache.getline(filename, line).rstrip()
            lines += [f"{line:>6}{'>>' if line == here else '  '} {text}"] if text or line == here else []
    functions = [each.rule for each in step.contributions] or [step.op.forward]
    for function in dict.fromkeys(functions):
        lines += ["", *_source_code(function)]
    return "\n".join(lines)


def _source_code(function: Any) -> list[str]:
    try:
        code, first = inspect.getsourcelines(function)
    except (OSError, TypeError):
        return [f"{function.__name__}: its source is not to be found"]
    return [f"{inspect.getsourcefile(function)}:{first}", *(line.rstrip() for line in code)]
