"""How wide a text is in letters of equal width, in which Chinese ones take two. Read `svg.py` next, which asks."""

from __future__ import annotations

import unicodedata


def cells(text: str) -> int:
    """How many letters wide a text is: Chinese letters and the like are two, accents that stand on others none.

    >>> cells("größe"), cells("幅")
    (5, 2)
    """
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in text)


def fitted(text: str, width: int) -> str:
    """A text that is no wider than so many letters, with dots where its end is missing.

    >>> fitted("x @ W + b", 7)
    'x @...'
    """
    if cells(text) <= width:
        return text
    end = min(len(text), width)
    while end and cells(text[:end]) > width - 3:
        end -= 1
    return text[:end].rstrip() + "..."


def printable(text: str) -> str:
    """A text in which spaces stand for line breaks and for what cannot be shown."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
