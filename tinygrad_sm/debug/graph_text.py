"""A graph as plain text, for a terminal, and in the language DOT, for Graphviz. Read `graph.py` for what is drawn."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from tinygrad_sm.debug.graph import Box, Graph
from tinygrad_sm.debug.text import WIDTH, cut, wrapped

INDENT = 4
LABEL = 7
SHAPES = {
    "leaf": 'style="rounded,filled" fillcolor="#e8f5ea"',
    "constant": 'style="rounded,dashed"',
    "op": 'style="filled" fillcolor="#e6f0fb"',
    "module": 'style="filled,bold" fillcolor="#f3ecfd"',
}


def text(graph: Graph) -> str:
    """The boxes from the top down, in lines of at most 80 columns: what each says, what it reads and who reads it."""
    reads: list[list[int]] = [[] for _ in graph.boxes]
    read_by: list[list[int]] = [[] for _ in graph.boxes]
    for arrow in graph.arrows:
        reads[arrow.target].append(arrow.source)
        read_by[arrow.source].append(arrow.target)
    lines = [*wrapped(graph.title, ""), *(line for note in graph.notes for line in wrapped(note, ""))]
    for i, box in enumerate(graph.boxes):
        lines += ["", _headline(box), *_rows(box)]
        lines += _row("from", _names(graph, reads[i])) + _row("to", _names(graph, read_by[i]))
    return "\n".join(lines) + "\n"


def _headline(box: Box) -> str:
    """The number, the name and the operation, and at the right margin the user's line."""
    numbers = (
        f"[{box.nodes[0]}] " if len(box.nodes) == 1 else f"[{box.nodes[0]}..{box.nodes[-1]}] " if box.nodes else ""
    )
    return cut(" ".join(f"{numbers}{box.name}  {box.what}".splitlines()))


def _rows(box: Box) -> Iterator[str]:
    for label, said in box.rows:
        yield from _row(label, said)
    if box.place:
        yield from _row(*box.place.split(" ", 1)) if False else _row("at", f"{box.place}  {box.code}".strip())


def _row(label: str, said: str) -> list[str]:
    """A label and what it says, in several lines if need be; nothing for nothing."""
    start = " " * INDENT + label.ljust(LABEL)
    return textwrap.wrap(said, WIDTH, initial_indent=start, subsequent_indent=" " * (INDENT + LABEL), max_lines=3)


def _names(graph: Graph, boxes: Iterable[int]) -> str:
    found = [graph.boxes[i].name for i in boxes]
    return ", ".join(found[:20]) + f" and {len(found) - 20:,} more" * (len(found) > 20)


def dot(graph: Graph) -> str:
    """The graph in the language of Graphviz: `dot -Tpng graph.dot -o graph.png` draws it."""
    lines = [
        "digraph {",
        f"  label={_quoted(chr(10).join([graph.title, *graph.notes]))} labelloc=t",
        '  node [shape=box fontname="monospace" fontsize=10]',
        '  edge [fontname="monospace" fontsize=9 arrowhead=vee]',
    ]
    for i, box in enumerate(graph.boxes):
        lines.append(f"  box{i} [{SHAPES[box.kind]} label={_quoted(_label(box), left=True)}]")
    for arrow in graph.arrows:
        label = f" [headlabel={_quoted(arrow.label)}]" if arrow.label else ""
        lines.append(f"  box{arrow.source} -> box{arrow.target}{label}")
    return "\n".join([*lines, "}", ""])


def _label(box: Box) -> str:
    rows = [f"{label:<6}{said}" for label, said in box.rows]
    place = [cut(f"{box.place}  {box.code}".strip(), 40)] if box.place else []
    return "\n".join([f"{box.name}  {box.what}", *rows, *place])


def _quoted(text: str, left: bool = False) -> str:
    r"""A string of DOT, in which a backslash begins an escape and quotes end it; lines end with `\l` if flush left."""
    lines = text.replace("\\", "\\\\").replace('"', '\\"').split("\n")
    return '"' + "".join(f"{line}\\l" for line in lines) + '"' if left else '"' + "\\n".join(lines) + '"'


def _printable(lines: Sequence[str]) -> list[str]:
    return ["".join(c if c.isprintable() else " " for c in line) for line in lines]
