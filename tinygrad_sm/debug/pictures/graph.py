"""What is drawn of a recording: boxes for leaves, constants and operations, and arrows from values to their readers.

Nothing here knows of positions or of SVG. Read `boxes.py` for what the boxes say, `layout.py` for where they go,
`svg.py` and `graph_text.py` for what is made of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from tinygrad_sm.debug.pictures.boxes import Box, Writer
from tinygrad_sm.debug.pictures.folding import MOST, Folding, Group, Source, folded, incoming
from tinygrad_sm.debug.recording import Recording
from tinygrad_sm.debug.text import number
from tinygrad_sm.engine.tape import Node


@dataclass(frozen=True, eq=False, slots=True)
class Arrow:
    """An arrow from one box to another, by their index."""

    source: int
    target: int
    label: str  # the argument that it is, where there are several
    from_nodes: tuple[int, ...]
    to_nodes: tuple[int, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Graph:
    """Boxes in such an order that every arrow leads to a later one, the arrows, and what stands over the picture."""

    title: str
    notes: tuple[str, ...]
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def graph_of(recording: Recording, fold: bool | None = None, gradients: bool = True) -> Graph:
    """The graph of a recording; `fold` puts operations together as in `draw`, `gradients` tells of the gradients."""
    operations = [node for node in recording.nodes if node.op]
    folding = folded(operations, fold)
    writer = Writer(recording, gradients)
    order = _order(folding) or [(recording.nodes[0],)]
    constants = {id(each.value): each.value for node in operations for each in incoming(node) if each.edge is None}
    boxes = [
        writer.group(part, folding) if isinstance(part, Group) else writer.sources(part, constants) for part in order
    ]
    arrows = _arrows(order, writer.number)
    notes = (*_folding_notes(len(operations), len(boxes), folding, fold), *_gradient_notes(recording, gradients))
    return Graph(_title(recording), notes, tuple(boxes), arrows)


Part: TypeAlias = "Group | tuple[Source, ...]"  # what a box stands for


def _order(folding: Folding) -> list[Part]:
    """What the boxes stand for: each group after the leaves and constants that it is the first to read."""
    waiting = {source: sources for sources in folding.outside for source in sources}
    parts: list[Part] = []
    for group in folding.groups:
        for node in group.nodes:
            for each in incoming(node):
                sources = waiting.get(each.source) if each.source is not None else None
                if sources and each.source is not None:
                    parts.append(sources)
                    waiting.update(dict.fromkeys(sources, ()))
        parts.append(group)
    return parts


def _arrows(parts: Sequence[Part], numbers: dict[Node, int]) -> tuple[Arrow, ...]:
    """The arrows between the boxes: for each argument of an operation one, between groups one in all."""
    index: dict[Source, int] = {}
    for i, part in enumerate(parts):
        index.update(dict.fromkeys(part.nodes if isinstance(part, Group) else part, i))
    found: dict[Any, list[tuple[str, tuple[int, ...], int]]] = {}
    for node in (node for part in parts if isinstance(part, Group) for node in part.nodes):
        arguments = list(incoming(node))
        for place, each in enumerate(arguments):
            source = each.edge[0] if each.edge else id(each.value)
            start, end = index.get(source), index[node]
            if start is None or start == end:
                continue
            part = parts[end]
            alone = isinstance(part, Group) and len(part.nodes) == 1 and not _crowd(parts[start])
            key = (start, end, place if alone else -1)
            label = each.argument if alone and len(arguments) > 1 else ""
            numbered = (numbers[source],) if isinstance(source, Node) else ()
            found.setdefault(key, []).append((label, numbered, numbers[node]))
    return tuple(_arrow(start, end, told) for (start, end, _), told in found.items())


def _crowd(part: Part) -> bool:
    return len(part.nodes if isinstance(part, Group) else part) > 1


def _arrow(start: int, end: int, told: list[tuple[str, tuple[int, ...], int]]) -> Arrow:
    """One arrow for all that leads from one box to another."""
    from_nodes = dict.fromkeys(number for _, numbered, _ in told for number in numbered)
    to_nodes = dict.fromkeys(number for _, _, number in told)
    return Arrow(start, end, told[0][0], tuple(from_nodes), tuple(to_nodes))


def _title(recording: Recording) -> str:
    """The output by its name, with its value where that is one number."""
    value = recording.output.data
    said = number(value.item()) if value.size == 1 else f"array of shape {value.shape}"
    return f"{recording.names.of(*recording.edge)} = {said}"


def _folding_notes(operations: int, boxes: int, folding: Folding, fold: bool | None) -> Iterator[str]:
    """What is not shown one by one, and how to see it."""
    if len(folding.groups) == operations and not any(len(sources) > 1 for sources in folding.outside):
        if folding.inside:
            yield "parameters are drawn within their layers; draw(..., fold=False) draws each"
        return
    if fold is False and len(folding.groups) < operations:
        yield f"{operations:,} operations are too many: a picture has at most {MOST} boxes"
        yield "shortened in the middle; fold=True puts layers and the passes of loops together"
    elif fold is False:
        yield f"leaves with the same reader share a box: a picture has at most {MOST}"
    else:
        yield f"{operations:,} operations in {boxes} boxes; draw(..., fold=False) draws up to {MOST}"


def _gradient_notes(recording: Recording, gradients: bool) -> Iterator[str]:
    """Why there are no gradients, where they were wanted."""
    if gradients and not recording.cotangents and recording.output.size != 1:
        yield f"no gradients: they start from one number, not from shape {recording.output.shape}"
