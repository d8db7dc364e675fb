"""Numbers, shapes and arrays in a line of a terminal, 80 columns wide. Read `stepping/screen.py` for their use."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

WIDTH = 80
FEW = 12  # elements of an array that are shown as they are, if there is room
NOT_YET = "-"  # what stands for a value that is not computed yet


def number(value: Any) -> str:
    """A number with about four digits: 3, 0.1344, 1.25e-06.

    >>> number(3.0), number(0.13441), number(0.00000125), number(float("nan"))
    ('3', '0.1344', '1.25e-06', 'nan')
    """
    x = float(value)
    if x == round(x, 0) and abs(x) < 1e6:
        return f"{x:.0f}"
    return f"{x:.4f}".rstrip("0") if 1e-3 <= abs(x) < 1e5 else f"{x:.4g}"


def shape(array: Any) -> str:
    """The shape of an array without spaces: `(4,2)`."""
    return str(array.shape).replace(" ", "")


def element(index: tuple[int, ...]) -> str:
    """An index as it is written: `[0,1]`, nothing for that of a 0-d array."""
    return f"[{','.join(map(str, index))}]" if index else ""


def values(array: Any, width: int) -> str:
    """The values of an array on one line that is not wider: fewer of them, and of their digits, in less room.

    >>> values(np.array([[0.5, 1 / 3], [2.0, 1.0]]), 20), values(np.array([1 / 3, 2 / 3]), 12)
    ('[[0.5 0.3333] [2 1]]', '[0.33 0.67]')
    >>> values(np.arange(60.0), 30), values(np.arange(60.0), 14)
    ('[0 1 2 ... 57 58 59]', 'min 0 max 59')
    """
    if array.ndim == 0:
        return number(array)
    for digits, edge in ((4, 3), (3, 3), (3, 2), (2, 2)):
        short: Any = {"float_kind": f"{{:.{digits}g}}".format}
        text = np.array2string(array, formatter=short, threshold=FEW, edgeitems=edge, max_line_width=10**6)
        text = " ".join(text.split())
        if len(text) <= width:
            return text
    if array.size <= FEW:
        return f"{text[: max(width - 4, 0)].rpartition(' ')[0]} ..."  # no number is cut in two
    return cut(f"min {array.min():.2g} max {array.max():.2g}", width)


def cut(text: str, width: int = WIDTH) -> str:
    """A text that is not wider, with dots where its end is missing."""
    return text if len(text) <= width else text[: max(width - 4, 0)].rstrip() + " ..."


def wrapped(text: str, indent: str, label: str | None = None) -> list[str]:
    """A text in lines of 80 columns, the first behind a label, the others behind an indentation and two spaces more."""
    start = indent if label is None else label
    wrapper = textwrap.TextWrapper(WIDTH, initial_indent=start, subsequent_indent=indent + "  ", break_on_hyphens=False)
    return wrapper.wrap(text)
