"""The player: one HTML file that plays a tape forwards and back, with the code, the graph and the numbers side by side.

It needs no network: styles, script, graph and data stand in the file. `data.py` works out what it shows;
`page.html`, `page.css` and `page.js` beside this file are how.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_sm.debug.pages.data import page_data
from tinygrad_sm.debug.pictures.drawing import svg_of
from tinygrad_sm.debug.recording import Recording, refuse_stale
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.errors import ArgumentError, DTypeError, GradientError
from tinygrad_sm.files import PathLike, write_text

MEGABYTE = 1_000_000
LARGEST = 5 * MEGABYTE  # a browser opens more, but nobody waits for it
MOST_STEPS = 2_000
# A notebook centres its tables, or sets them to the right.
TABLE_STYLE = (
    "<style>.tg-steps :is(td, th, caption) { text-align: left; vertical-align: top; padding: 2px 8px }</style>"
)
FOLDER = Path(__file__).parent


class Page:
    """A page as it was written: its HTML and the path of the file. In a notebook it shows itself."""

    def __init__(self, text: str, path: PathLike, data: dict[str, Any], svg: str) -> None:
        self.html = text
        self.path = Path(path)
        self._data = data
        self._svg = svg

    def __repr__(self) -> str:
        return f"<Page {str(self.path)!r} {len(self._data['steps'])} steps, {len(self.html.encode()) / 1000:.0f} kB>"

    def _repr_html_(self) -> str:
        """The steps as a table and the graph, which need no script, and then the page itself in a frame."""
        title, text = _escape(self._data["title"]), _escape(self.html)
        frame = f'<iframe title="{title}" srcdoc="{text}" width="100%" height="800" style="border: 0"></iframe>'
        table = f'<div class="tg-steps">{TABLE_STYLE}{steps_table(self._data)}</div>'
        return "\n".join([table, f'<div style="overflow: auto">{self._svg}</div>', frame])


def player(loss: Tensor | Recording, path: PathLike, *, cotangent: Any = None, title: str | None = None) -> Page:
    """Write a page on which one plays, steps and rewinds through the forward and the backward pass of a tensor.

    Args: loss: the tensor, or a Recording of it. path: of the HTML file, which needs no network and nothing beside it.
    cotangent: as for `backward`. title: of the page.

    Returns the Page, which a notebook shows. Raises GradientError for a constant, StaleValueError where a recorded
    value was overwritten, ArgumentError for too much for a page, FileError for a path that cannot be written.

    >>> x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> player((x * x).sum(), "square.html")
    <Page 'square.html' 4 steps, ... kB>
    """
    recording = _recording(loss, cotangent)
    _check_text(path, title)
    name = recording.steps[len(recording.forward) - 1].name
    with np.errstate(all="ignore"):  # what overflowed was said when it ran
        data = page_data(recording, f"{name}, forward and back" if title is None else title)
        svg = svg_of(recording)
    text = _assembled(data, svg)
    write_text(path, text)
    return Page(text, path, data, svg)


def _check_text(path: Any, title: Any) -> None:
    if not isinstance(path, (str, os.PathLike)):
        raise DTypeError(f"debug.player: path is {type(path).__name__}", remedy="pass the name of the file to write")
    if title is not None and not isinstance(title, str):
        raise DTypeError(f"debug.player: title is {type(title).__name__}", remedy="pass a string")


def _recording(loss: Any, cotangent: Any) -> Recording:
    """The recording to show; an error where there is none, or where it is too long or too old to be shown."""
    if isinstance(loss, Recording) and cotangent is not None:
        raise ArgumentError(
            "debug.player: a recording has its cotangent already", remedy="pass the cotangent to Recording"
        )
    recording = loss if isinstance(loss, Recording) else Recording(loss, cotangent, caller="debug.player")
    refuse_stale(recording.nodes, "debug.player")
    if not recording.forward:
        raise GradientError(
            "debug.player: this tensor is a leaf, which no operation made", remedy="pass what you computed from it"
        )
    if not recording.backward:
        raise GradientError("debug.player: this recording left the backward pass out", remedy="pass the tensor itself")
    if len(recording.steps) > MOST_STEPS:
        raise ArgumentError(
            f"debug.player: {len(recording.steps)} steps are too many for a page, which holds {MOST_STEPS}",
            remedy="record fewer time steps, layers or terms of a sum, or walk through them with debug.step",
        )
    return recording


def _assembled(data: dict[str, Any], svg: str) -> str:
    """The page in one piece; ArgumentError where it would be too large."""
    island = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    style, script, template = (_read(name) for name in ("page.css", "page.js", "page.html"))
    parts = {
        "title": _escape(data["title"]),
        "overview": _escape(data["overview"]),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "steps": steps_table(data),
        "graph": svg,
        "data": island,
        "style": style,
        "script": script,
    }
    text = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match.group(1)], template)
    text = text.encode(errors="replace").decode()  # half of a surrogate pair cannot be written
    size = len(text.encode())
    if size > LARGEST:
        raise _too_large(size, data, svg)
    return text


def _too_large(size: int, data: dict[str, Any], svg: str) -> ArgumentError:
    """The error that says what takes the room, and what to do."""
    sizes = {key: len(json.dumps(data[key])) for key in ("steps", "values", "derived", "files", "arrays")}
    words = {"steps": "the steps", "values": "the values", "derived": "the derived source", "files": "the code"}
    sizes = {words.get(key, "the tensors"): size for key, size in sizes.items()} | {"the graph": len(svg)}
    largest = max(sizes, key=lambda name: sizes[name])
    return ArgumentError(
        f"debug.player: the page would have {size / MEGABYTE:.1f} MB, of which {largest} take "
        f"{sizes[largest] / MEGABYTE:.1f} MB; at most {LARGEST / MEGABYTE:.0f} MB is opened without a wait",
        remedy="take a smaller batch, a slice of the input or a part of the model, or walk with debug.step",
    )


def steps_table(data: dict[str, Any]) -> str:
    """The steps as a table in plain HTML, one row a step."""
    rows = [
        f"<tr><th scope=row>{i + 1}</th><td>{step['phase']}</td><td>{_escape(step['op'])}</td>"
        f"<td><code>{'<br>'.join(map(_escape, _statements(step)))}</code></td>"
        f"<td>{_escape(step['place'])}</td></tr>"
        for i, step in enumerate(data["steps"])
    ]
    heads = "".join(f"<th scope=col>{name}</th>" for name in ("step", "pass", "operation", "formula", "line"))
    caption = f"{_escape(data['title'])}: {_escape(data['overview'])}"
    return "\n".join(["<table>", f"<caption>{caption}</caption>", f"<tr>{heads}</tr>", *rows, "</table>"])


def _statements(step: dict[str, Any]) -> list[str]:
    return [line for formula in step["formulas"] for line in formula["symbols"].split("\n")]


def _escape(text: str) -> str:
    return html.escape(text, quote=True)


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
