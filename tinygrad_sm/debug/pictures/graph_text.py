"""A graph as plain text, for a terminal, and in the language DOT, for Graphviz. Read `graph.py` for what is drawn."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from tinygrad_sm.debug.pictures.boxes import Box
from tinygrad_sm.debug.pictures.graph import Graph
from tinygrad_sm.debug.pictures.letters import cells, fitted
from tinygrad_sm.debug.text import WIDTH, wrapped

INDENT, LABEL = 4, 7
FEW_NAMES = 12
WIDEST = 60  # letters in a line of a box for Graphviz
FILLER = "\0"  # no name and no expression holds it
STYLES = {
    "leaf": 'style="rounded,filled" fillcolor="#e8f5ea" color="#1a7f37"',
    "constant": 'style="rounded,dashed"',
    "op": 'style=filled fillcolor="#e6f0fb" color="#0969da"',
    "module": 'style="filled,bold" fillcolor="#f3ecfd" color="#8250df"',
}


def text(graph: Graph) -> str:
    """The boxes from the top down, in lines of at most 80 columns: what each is, what it reads and who reads it."""
    reads: list[list[str]] = [[] for _ in graph.boxes]
    read_by: list[list[str]] = [[] for _ in graph.boxes]
    for arrow in graph.arrows:
        reads[arrow.target].append(graph.boxes[arrow.source].name)
        read_by[arrow.source].append(graph.boxes[arrow.target].name)
    lines = [line for part in (graph.title, *graph.notes) for line in wrapped(part, "")]
    for box, read, by in zip(graph.boxes, reads, read_by, strict=True):
        number = f"[{box.nodes[0]}] " if len(box.nodes) == 1 else ""
        lines += ["", fitted(f"{number}{box.name}  {box.what}", WIDTH)]
        lines += _rows(box)
        lines += _row("reads", _listed(read)) if not box.formula else []
        lines += _row("to", _listed(by))
    return "\n".join(lines)


def _rows(box: Box) -> Iterator[str]:
    """What is said of a box, a label before each line."""
    for label, said in box.rows:
        yield from _row(label, said)
    formula, *rules = box.formula.split("\n")
    yield from _row("is", formula)
    for rule in rules:
        yield from _row("back", rule)
    if box.place:
        yield from _row("at", f"{box.place}  {box.code}")


def _row(label: str, said: str) -> list[str]:
    """A label and what it says, in up to three lines; none for nothing."""
    start, indent = " " * INDENT + label.ljust(LABEL), " " * (INDENT + LABEL)
    filled = "".join(c + FILLER * (cells(c) - 1) for c in said)  # a letter of two columns counts twice
    wrapper = textwrap.TextWrapper(
        WIDTH - (filled != said),  # a line may end between a letter and its filler
        initial_indent=start,
        subsequent_indent=indent,
        max_lines=3,
        placeholder=" ...",
        break_on_hyphens=False,
    )
    return [line.replace(FILLER, "") for line in wrapper.wrap(filled)]


def _listed(names: Iterable[str]) -> str:
    """Names, the first of many, each once."""
    found = list(dict.fromkeys(names))
    more = f" and {len(found) - FEW_NAMES:,} more" if len(found) > FEW_NAMES else ""
    return ", ".join(found[:FEW_NAMES]) + more


def dot(graph: Graph) -> str:
    """The graph in the language of Graphviz: `dot -Tpng graph.dot -o graph.png` draws it."""
    title = "\\n".join(map(_escaped, (graph.title, *graph.notes)))
    lines = [
        "digraph {",
        f'  graph [label="{title}" labelloc=t fontname=monospace fontsize=12]',
        "  node [shape=box fontname=monospace fontsize=10]",
        "  edge [fontname=monospace fontsize=9 arrowhead=vee arrowsize=0.7]",
    ]
    lines += [f'  box{i} [label="{_label(box)}" {STYLES[box.kind]}]' for i, box in enumerate(graph.boxes)]
    for arrow in graph.arrows:
        label = f' [label="{_escaped(arrow.label)}"]' if arrow.label else ""
        lines.append(f"  box{arrow.source} -> box{arrow.target}{label}")
    return "\n".join([*lines, "}", ""])


def _label(box: Box) -> str:
    """The text of a box; lines that end in a backslash and an l are flush left."""
    lines = [fitted(f"{box.name}  {box.what}", WIDEST), *(f"{label:<6}{said}" for label, said in box.rows)]
    if box.place:
        lines.append(fitted(f"{box.place}  {box.code}", 40))
    return "".join(f"{_escaped(line.rstrip())}\\l" for line in lines)


def _escaped(text: str) -> str:
    """A text within quotes, where a backslash begins an escape and quotes would end it."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
