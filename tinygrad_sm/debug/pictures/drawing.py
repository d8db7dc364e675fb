"""The graph of a tape as a picture: as SVG, as text, and as DOT for Graphviz.

Read `graph.py` for what is drawn, `folding.py` for what is put together in a large graph.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

from tinygrad_sm.debug.pictures.graph import Graph, graph_of
from tinygrad_sm.debug.pictures.graph_text import dot, text
from tinygrad_sm.debug.pictures.svg import svg
from tinygrad_sm.debug.recording import Recording, checked
from tinygrad_sm.errors import ArgumentError
from tinygrad_sm.files import PathLike, write_text

FORMATS = {".svg": "svg", ".txt": "text", ".dot": "dot", ".gv": "dot"}


class Drawing:
    """A graph that is drawn when somebody asks: `svg`, `text` and `dot` are strings; printed it is the text.

    In a notebook it shows itself as a picture.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    @functools.cached_property
    def svg(self) -> str:
        """The picture as the text of an SVG file."""
        return svg(self._graph)

    @functools.cached_property
    def text(self) -> str:
        """The graph in lines of at most 80 columns."""
        return text(self._graph)

    @functools.cached_property
    def dot(self) -> str:
        """The graph in the language of Graphviz."""
        return dot(self._graph)

    def save(self, path: PathLike, format: str | None = None) -> None:
        """Write it to a file, in the format that the ending of its name asks for if none is given."""
        content: str = getattr(self, _format(path, format))
        write_text(path, content.rstrip() + "\n")

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return f'<div style="overflow: auto; max-height: 90vh">{self.svg}</div>'

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<Drawing {len(self._graph.boxes)} boxes, {len(self._graph.arrows)} arrows: {self._graph.title}>"


def draw(
    loss: Any,
    path: PathLike | None = None,
    *,
    format: str | None = None,
    gradients: bool = True,
    fold: bool | None = None,
) -> Drawing:
    """Draw the graph that a tensor was computed by, with values, gradients, shapes, your names and your lines.

    Args: loss: a tensor or a Recording. path: a file to write, ending in .svg, .txt, .dot or .gv. format: "svg", "text"
    or "dot" for a file of another name. gradients: draw those of the loss too. fold: put together what a layer or a
    pass of a loop does; None does so where it would be more than 40 boxes, False never. Returns a Drawing, which a
    notebook shows. Raises GradientError for a constant, ArgumentError for an unknown ending, FileError.

    >>> import tinygrad_sm as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> draw((x * x).sum())
    <Drawing 3 boxes, 3 arrows: sum_2 = 5>
    """
    if path is not None or format is not None:
        _format(path or "", format)
    drawing = Drawing(graph_of(_recording(loss, gradients), fold, gradients))
    if path is not None:
        drawing.save(path, format)
    return drawing


def svg_of(recording: Recording, fold: bool | None = None) -> str:
    """The picture of a recording, to be embedded in a page; `svg.py` says what the page finds in it."""
    return svg(graph_of(recording, fold))


def _recording(loss: Any, gradients: bool) -> Recording:
    """The recording to draw: without a backward pass where none is wanted, and where none can start."""
    if isinstance(loss, Recording):
        return loss
    checked(loss, "draw")
    return Recording(loss, caller="draw", gradients=gradients and loss.size == 1)


def _format(path: PathLike, format: str | None) -> str:
    """The attribute of a drawing that a file is written from."""
    if not isinstance(path, (str, os.PathLike)):
        raise ArgumentError(f"draw: path is {path!r}", remedy="pass the name of a file, such as graph.svg")
    if format is not None and format not in FORMATS.values():
        raise ArgumentError(f"draw: unknown format {format!r}", remedy='pass "svg", "text" or "dot"')
    ending = Path(path).suffix.lower()
    if format is None and ending not in FORMATS:
        remedy = f"end it in one of {', '.join(FORMATS)}"
        raise ArgumentError(f"draw: {path} does not end in a known format", remedy=remedy)
    return format or FORMATS[ending]
