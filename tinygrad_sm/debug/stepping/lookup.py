"""What people type for a gradient and for an element of it: `g_W[0,1]`, `dW[0,1]`, `W.grad[0,1]`, `W[0,1]`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from tinygrad_sm.debug.naming import identifier
from tinygrad_sm.debug.recording import Recording
from tinygrad_sm.debug.text import element, shape
from tinygrad_sm.engine.tape import Edge
from tinygrad_sm.errors import ArgumentError, BoundsError

ELEMENT = re.compile(r"([^\[\]]+?)\s*((?:\[[^\[\]]*\]\s*)*)")  # a name, and indices in brackets


def gradient_named(text: str, recording: Recording) -> Edge | None:
    """The value whose gradient is called that: `g_W`, `dW` or `W.grad`; None where there is none."""
    edges = recording.edges_named()
    by_name = {f"d{name}": edge for name, edge in edges.items()}
    by_name |= {recording.names.gradient(edge): edge for edge in edges.values()}
    if text in by_name:
        return by_name[text]
    return edges.get(identifier(text.removesuffix(".grad"))) if text.endswith(".grad") else None


def value_or_gradient(text: str, recording: Recording) -> Edge:
    """The same, or the value itself by its name; ArgumentError with the nearest name where there is none."""
    edges = recording.edges_named()
    found = gradient_named(text, recording) or edges.get(text) or edges.get(identifier(text))
    if found is None:
        names = [recording.names.gradient(edge) for edge in edges.values()]
        what = f"{text!r} is no gradient of this tape{nearest(text, [*names, *edges])}"
        raise ArgumentError(what, remedy=f"there are {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}")
    return found


def element_of_gradient(text: str, recording: Recording) -> tuple[Edge, tuple[int, ...]]:
    """The value and the index in `g_W[0,1]`; ArgumentError or BoundsError where that is no single element."""
    match = ELEMENT.fullmatch(text.strip())
    if not match:
        raise ArgumentError(f"{text!r} is not an element of a gradient", remedy="write why g_W[0,1]")
    edge = value_or_gradient(match[1], recording)
    array, name = edge[0].values[edge[1]], recording.names.gradient(edge)
    parts = [part for part in re.split(r"[\[\],\s]+", match[2]) if part]
    try:
        given = [int(part) for part in parts]
    except ValueError:
        raise ArgumentError(f"{match[2]!r} is not an index of whole numbers", remedy="write why g_W[0,1]") from None
    example = f"why {name}{element((0,) * array.ndim)}"
    if len(given) != array.ndim:
        raise ArgumentError(f"which element? {name} has shape {shape(array)}", remedy=f"write {example}")
    index = tuple(k + n if k < 0 else k for k, n in zip(given, array.shape, strict=True))
    if not all(0 <= k < n for k, n in zip(index, array.shape, strict=True)):
        raise BoundsError(f"{name} has shape {shape(array)}, and no element {element(tuple(given))}")
    return edge, index


def nearest(text: str, known: Iterable[str]) -> str:
    """`; did you mean matmul?`, empty where nothing is near.

    >>> nearest("matmull", ["add", "matmul"])
    '; did you mean matmul?'
    """
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(text.lower(), by_lower, n=1, cutoff=0.5)
    return f"; did you mean {by_lower[close[0]]}?" if close else ""
