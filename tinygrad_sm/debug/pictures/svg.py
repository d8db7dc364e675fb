"""A graph as an SVG picture that needs nothing else: no script, no font, no file beside it.

A page that embeds the picture finds each box as `<g class="tg-box tg-op" data-nodes="4">`, each arrow as
`<path class="tg-arrow" data-from="4" data-to="6">`, and may set the colours `--tg-ink`, `--tg-paper`, `--tg-line`,
`--tg-leaf`, `--tg-op`, `--tg-grad` and `--tg-accent`. Read `graph.py` for what is drawn and `layout.py` for where.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from tinygrad_sm.debug.pictures.boxes import Box
from tinygrad_sm.debug.pictures.graph import Arrow, Graph
from tinygrad_sm.debug.pictures.layout import Point, layered
from tinygrad_sm.debug.pictures.letters import cells, fitted

LETTER = 7.4  # the width of a letter, in the widest of the fonts
LINE = 17.0  # from one line of text to the next
PAD = 10.0
INDENT = 6  # letters before what a row says, for its label
LONGEST = 38  # letters in a line
LEAST = 100.0  # no box is narrower than this
MARGIN = 20.0
KINDS = {"leaf": "leaf", "constant": "constant", "op": "operation", "module": "several operations"}

# The colours by name, for light and for dark.
COLOURS = {
    "ink": ("#1f2328", "#e6edf3"),
    "paper": ("#ffffff", "#0d1117"),
    "line": ("#6e7781", "#8b949e"),
    "quiet": ("#59636e", "#9198a1"),
    "leaf": ("#1a7f37", "#3fb950"),
    "op": ("#0969da", "#58a6ff"),
    "grad": ("#bc4c00", "#f0883e"),
    "accent": ("#8250df", "#bc8cff"),
}
RULES = """
.tg-graph { font: 12px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace }
.tg-graph text { fill: var(--tg-ink_); white-space: pre }
.tg-graph .tg-back, .tg-graph .tg-frame { fill: var(--tg-paper_) }
.tg-graph .tg-frame { stroke: var(--tg-colour); stroke-width: 1.5 }
.tg-graph .tg-tint { fill: var(--tg-colour); opacity: .1 }
.tg-graph .tg-arrow { fill: none; stroke: var(--tg-line_); stroke-width: 1.3; stroke-linejoin: round }
.tg-graph .tg-title { font-weight: bold }
.tg-graph .tg-name { font-weight: bold }
.tg-graph .tg-quiet { fill: var(--tg-quiet_) }
.tg-graph .tg-grad { fill: var(--tg-grad_) }
.tg-graph .tg-label { font-style: italic }
.tg-graph .tg-end { text-anchor: end }
.tg-graph .tg-middle { text-anchor: middle }
.tg-graph .tg-leaf { --tg-colour: var(--tg-leaf_) }
.tg-graph .tg-op { --tg-colour: var(--tg-op_) }
.tg-graph .tg-constant { --tg-colour: var(--tg-line_) }
.tg-graph .tg-module { --tg-colour: var(--tg-accent_) }
.tg-graph .tg-constant .tg-frame { stroke-dasharray: 4 3 }
.tg-graph .tg-module .tg-frame { stroke-width: 2.5 }
"""


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text at a place within its box, by the middle or the end of it if its style says so."""

    x: float
    y: float
    text: str
    style: str = ""

    def svg(self, left: float = 0.0, top: float = 0.0) -> str:
        """The element, in a box whose corner is given."""
        style = f' class="{self.style}"' if self.style else ""
        return f'<text x="{left + self.x:.1f}" y="{top + self.y:.1f}"{style}>{escaped(self.text)}</text>'


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of a box and the text within it; the labels of its arrows come on top, where they enter."""

    width: float
    height: float
    texts: tuple[Text, ...]


def svg(graph: Graph) -> str:
    """The picture of a graph, as the text of an SVG file."""
    labels: list[list[str]] = [[] for _ in graph.boxes]
    for arrow in graph.arrows:
        labels[arrow.target].append(arrow.label)
    plans = [_plan(box, above) for box, above in zip(graph.boxes, labels, strict=True)]
    pairs = [(arrow.source, arrow.target) for arrow in graph.arrows]
    layout = layered([(plan.width, plan.height) for plan in plans], pairs)
    heading = [graph.title, *graph.notes]
    inner = max(layout.width, *(cells(line) * LETTER for line in heading), 52 * LETTER)
    left, top = MARGIN + (inner - layout.width) / 2, MARGIN + LINE * (len(heading) + 1) + 2 * PAD
    arrows = list(zip(graph.arrows, [_moved(route, left, top) for route in layout.routes], strict=True))
    body = [
        *(
            Text(MARGIN, MARGIN + LINE * (i + 0.7), line, "tg-quiet" if i else "tg-name").svg()
            for i, line in enumerate(heading)
        ),
        *_key(graph, MARGIN + LINE * len(heading)),
        *(_arrow(arrow, route) for arrow, route in arrows),
        *(_box(*each) for each in zip(graph.boxes, plans, _moved(layout.corners, left, top), strict=True)),
        *(_label(arrow, route) for arrow, route in arrows if arrow.label),
    ]
    return _document(graph, inner + 2 * MARGIN, top + layout.height + MARGIN, body)


def _document(graph: Graph, width: float, height: float, body: Iterable[str]) -> str:
    """The file around what is drawn."""
    size = f'width="{width:.0f}" height="{height:.0f}"'
    listed = ", ".join(f"{box.name} ({box.what})" for box in graph.boxes)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="tg-graph" role="img" {size} '
            f'viewBox="0 0 {width:.0f} {height:.0f}">',
            f"<title>{escaped(graph.title)}</title>",
            f"<desc>{escaped(f'From the top down, each below what it was computed from: {listed}')}</desc>",
            f"<style>{_style()}</style>",
            f'<rect class="tg-back" {size}/>',
            *body,
            "</svg>\n",
        ]
    )


def _style() -> str:
    """The rules, with the colours of the surrounding page where it sets them, or else ours for light and for dark."""
    light, dark = (
        "; ".join(f"--tg-{name}_: var(--tg-{name}, {colours[theme]})" for name, colours in COLOURS.items())
        for theme in (0, 1)
    )
    return f"\n.tg-graph {{ {light} }}\n@media (prefers-color-scheme: dark) {{ .tg-graph {{ {dark} }} }}{RULES}"


def _plan(box: Box, labels: Sequence[str]) -> Plan:
    """Lines of text one below the other, and a box that holds them."""
    y = PAD + LINE * 0.7 + (LINE * 0.8 if any(labels) else 0)
    name = fitted(box.name, LONGEST - 4)
    what = fitted(box.what, max(LONGEST - cells(name) - 2, 12))
    widths = [cells(name) * 1.05 + cells(what) + 2, len(labels) * (max(map(cells, labels), default=0) + 1)]
    texts = [Text(PAD, y, name, "tg-name")]
    for label, said in box.rows:
        y += LINE
        style, said = "tg-grad" if label == "grad" else "", fitted(said, LONGEST - INDENT)
        texts += [Text(PAD, y, label, "tg-quiet"), Text(PAD + INDENT * LETTER, y, said, style)]
        widths.append(INDENT + cells(said))
    if box.place:
        y += LINE
        room = max(*widths, len(box.place), LONGEST if box.kind == "op" else 0)  # the code of a leaf can be long
        texts.append(Text(PAD, y, fitted(f"{box.place}  {box.code}".strip(), int(room)), "tg-quiet"))
        widths.append(cells(texts[-1].text))
    width = max(max(widths) * LETTER + 2 * PAD, LEAST)
    texts.insert(1, Text(width - PAD, texts[0].y, what, "tg-quiet tg-end"))
    return Plan(width, y + PAD, tuple(text for text in texts if text.text))


def _box(box: Box, plan: Plan, corner: Point) -> str:
    """A box with its text; the whole of what was cut short shows where the mouse rests."""
    x, y = corner
    rect = f'x="{x:.1f}" y="{y:.1f}" width="{plan.width:.1f}" height="{plan.height:.1f}" rx="{_radius(box)}"'
    hint = "\n".join(filter(None, [f"{box.name}  {box.what}", box.formula, f"{box.place}  {box.code}".strip()]))
    nodes = " ".join(map(str, box.nodes))
    return "\n".join(
        [
            f'<g class="tg-box tg-{box.kind}" data-nodes="{nodes}">',
            f"<title>{escaped(hint)}</title>",
            f'<rect class="tg-frame" {rect}/>',
            f'<rect class="tg-tint" {rect}/>',
            *(text.svg(x, y) for text in plan.texts),
            "</g>",
        ]
    )


def _radius(box: Box) -> int:
    """Leaves and constants have round ends, operations corners."""
    return 14 if box.kind in ("leaf", "constant") else 4


def _arrow(arrow: Arrow, route: Sequence[Point]) -> str:
    """A line that turns between the layers and falls straight along them, with a head."""
    (x, y), *others = route
    path = [f"M{x:.1f} {y:.1f}"]
    for i, (next_x, next_y) in enumerate(others):
        middle = (y + next_y) / 2
        turns = i % 2 and next_x != x
        path.append(f"C{x:.1f} {middle:.1f} {next_x:.1f} {middle:.1f} " if turns else "L")
        path[-1] += f"{next_x:.1f} {next_y:.1f}"
        x, y = next_x, next_y
    path.append(f"M{x - 4:.1f} {y - 7:.1f}L{x:.1f} {y - 1:.1f}L{x + 4:.1f} {y - 7:.1f}")
    ends = [" ".join(map(str, nodes)) for nodes in (arrow.from_nodes, arrow.to_nodes)]
    return f'<path class="tg-arrow" data-from="{ends[0]}" data-to="{ends[1]}" d="{"".join(path)}"/>'


def _label(arrow: Arrow, route: Sequence[Point]) -> str:
    """The argument that an arrow is, just inside of the box that it enters."""
    x, y = route[-1]
    return Text(x, y + LINE * 0.8, arrow.label, "tg-quiet tg-label tg-middle").svg()


def _key(graph: Graph, y: float) -> Iterator[str]:
    """What the kinds of boxes in the picture are."""
    x = MARGIN
    for kind, meaning in KINDS.items():
        if any(box.kind == kind for box in graph.boxes):
            rect = f'x="{x:.1f}" y="{y + 4:.1f}" width="16" height="11" rx="{4 if kind in ("leaf", "constant") else 2}"'
            yield f'<g class="tg-{kind}"><rect class="tg-frame" {rect}/><rect class="tg-tint" {rect}/></g>'
            yield Text(x + 22, y + LINE * 0.85, meaning, "tg-quiet").svg()
            x += 22 + (cells(meaning) + 3) * LETTER


def _moved(points: Sequence[Point], x: float, y: float) -> list[Point]:
    return [(left + x, top + y) for left, top in points]


def escaped(text: str) -> str:
    """A text as XML takes it; characters that it does not allow become spaces."""
    return escape("".join(c if c.isprintable() or c == "\n" else " " for c in text))
