"""The user's code on a page: the lines around every place that a tape knows, and the columns of each expression.

Read `data.py` next, which asks for them.
"""

from __future__ import annotations

import linecache
from collections.abc import Iterable
from typing import Any

from tinygrad_sm.location import Location, characters

CONTEXT = 3  # lines above and below
LONGEST = 300  # characters of a line

Mark = tuple[int, int, int]  # line, first and last column in characters


def shown_code(locations: Iterable[Location]) -> list[dict[str, Any]]:
    """The files that locations lie in, in the order in which they come, with the lines worth showing.

    Each is a dict of `file` as Python knows it, `name` to show, and `parts`, runs of neighbouring lines as
    `[number, text]`; no parts without a source.
    """
    wanted: dict[str, set[int]] = {}
    names = {}
    for location in locations:
        line, end, _, _ = location.span
        names[location.filename] = str(location).rpartition(":")[0]
        wanted.setdefault(location.filename, set()).update(range(line - CONTEXT, (end or line) + CONTEXT + 1))
    return [{"file": file, "name": names[file], "parts": _parts(file, lines)} for file, lines in wanted.items()]


def marks(location: Location) -> list[Mark]:
    """The columns of an expression on each of its lines; its whole first line where Python knows no columns."""
    line, end_line, start, end = location.span
    lines = linecache.getlines(location.filename)
    if not 0 < line <= len(lines):
        return []
    if start is None or end is None or end_line is None:
        return [_mark(lines, line, None, None)]
    return [
        _mark(lines, number, start if number == line else None, end if number == end_line else None)
        for number in range(line, min(end_line, len(lines)) + 1)
    ]


def _mark(lines: list[str], number: int, start: int | None, end: int | None) -> Mark:
    """Columns from bytes, which Python counts in, to characters; from the indentation, or to the end, where unknown."""
    text = lines[number - 1].rstrip()
    encoded = text.encode()
    first = len(text) - len(text.lstrip()) if start is None else characters(encoded[:start])
    last = len(text) if end is None else characters(encoded[:end])
    return number, first, last


def _parts(filename: str, wanted: set[int]) -> list[list[tuple[int, str]]]:
    lines = linecache.getlines(filename)
    parts: list[list[tuple[int, str]]] = []
    for number in sorted(wanted):
        if not 0 < number <= len(lines):
            continue
        if not parts or parts[-1][-1][0] != number - 1:
            parts.append([])
        parts[-1].append((number, lines[number - 1].rstrip()[:LONGEST]))
    return parts
