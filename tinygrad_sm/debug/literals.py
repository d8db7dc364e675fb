"""Values as Python code that makes them again, bit for bit."""

from __future__ import annotations

import math
import re
import sys
from typing import Any

import numpy as np

WIDTH = 100  # of a line


def literal(value: Any) -> str:
    """Code for a value: a number, a text, an index, an axis, a dtype, an array.

    >>> literal((slice(1, None), ..., np.float32)), literal([-np.inf, True])
    ('(slice(1, None), ..., np.float32)', '[-np.inf, True]')
    """
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))}{',' * (len(value) == 1)})"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, slice):
        parts = [literal(part) for part in (value.start, value.stop, value.step)]
        return f"slice({', '.join(parts if value.step is not None else parts[:2])})"
    if isinstance(value, np.ndarray):
        return " ".join(array_literal(value).split())
    if isinstance(value, np.longdouble):
        return _longdouble(value)
    if isinstance(value, np.generic):
        return f"np.{value.dtype.name}({literal(value.item())})"
    return _plain_literal(value)


def _plain_literal(value: Any) -> str:
    if value is Ellipsis:
        return "..."
    if isinstance(value, np.dtype):
        return _type_name(value)
    if isinstance(value, type):
        return f"np.{value.__name__}" if issubclass(value, np.generic) else value.__name__
    if isinstance(value, float) and not math.isfinite(value):
        return _spelled_out(repr(value))
    return repr(value)


def array_literal(value: Any) -> str:
    """Code that makes an array again, a row a line; the type is left out where NumPy would take it anyway.

    >>> print(array_literal(np.array([[1.0, 2.5], [np.nan, 0.1]])))
    np.array([[1. , 2.5],
              [np.nan, 0.1]])
    """
    if value.size == 0:
        return f"np.zeros({literal(value.shape)}, dtype={_type_name(value.dtype)})"
    with np.printoptions(legacy=False, nanstr="nan", infstr="inf"):  # the user may have chosen others
        text = np.array2string(
            value,
            separator=", ",
            floatmode="unique",
            threshold=sys.maxsize,
            max_line_width=WIDTH,
            prefix="np.array(",
            formatter={"float_kind": _longdouble} if value.dtype.type is np.longdouble else None,
        )
    text = text if value.dtype.type is np.longdouble else _spelled_out(text)
    usual = value.dtype in (np.dtype(float), np.dtype(np.int64), np.dtype(bool))
    return f"np.array({text}{'' if usual else f', dtype={_type_name(value.dtype)}'})"


def _longdouble(value: Any) -> str:
    """The number as text, which a literal of Python's would round to a float."""
    return f"np.longdouble('{np.format_float_scientific(value)}')"


def _type_name(dtype: np.dtype[Any]) -> str:
    if not dtype.isnative:
        return f"np.dtype({dtype.str!r})"
    return "bool" if dtype.kind == "b" else f"np.{dtype.name}"


def _spelled_out(text: str) -> str:
    return re.sub(r"\b(nan|inf)\b", r"np.\1", text)


def index_literal(value: Any) -> str:
    """An index as it stands between brackets.

    >>> index_literal((slice(None), 0, ..., slice(1, None, 2), None))
    ':, 0, ..., 1::2, None'
    """
    if isinstance(value, tuple):
        return ", ".join(map(index_literal, value)) or "()"
    if isinstance(value, slice):
        start, stop, step = ("" if part is None else literal(part) for part in (value.start, value.stop, value.step))
        return f"{start}:{stop}" + (f":{step}" if step else "")
    return literal(value)
