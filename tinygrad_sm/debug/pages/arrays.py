"""The arrays of a page: each is told once, a large one in part, with the statistics of the whole.

Read `data.py` next, which asks for them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

ROWS, COLUMNS = 24, 60  # of one array, as long as there are not too many of them
BUDGET = 40_000  # numbers on a page: at eleven bytes each they leave room for the rest of a megabyte
DIGITS = 6  # significant ones: more than anybody reads in a table


class Arrays:
    """The arrays that a page shows, numbered as they come; the same array comes once."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._arrays: list[Any] = []  # kept, so that no two have the same id

    def number(self, array: Any) -> int:
        """The number of an array."""
        if id(array) not in self._numbers:
            self._numbers[id(array)] = len(self._arrays)
            self._arrays.append(array)
        return self._numbers[id(array)]

    def described(self) -> list[dict[str, Any]]:
        """Every array as the page gets it; the more there are, the smaller the part of each that is shown."""
        arrays = [np.asarray(array) for array in self._arrays]
        rows, columns = ROWS, COLUMNS
        while rows > 3 and sum(_shown_size(array.shape, rows, columns) for array in arrays) > BUDGET:
            rows, columns = rows // 2, columns // 2
        return [describe_array(array, rows, columns) for array in arrays]


def describe_array(array: Any, rows: int = ROWS, columns: int = COLUMNS) -> dict[str, Any]:
    """Shape, type, statistics and values of an array: a table of rows, from which rows and columns may be left out.

    All axes but the last become rows. `part` says what is shown of a large array, and is empty for a small one.

    >>> described = describe_array(np.arange(784.0), columns=60)
    >>> described["part"], described["columns"][:3], described["values"][0][:3]
    ('56 of 784 columns: [::14]', ['0', '14', '28'], [0.0, 14.0, 28.0])
    """
    height, width = _table_shape(array.shape)
    down, across = _stride(height, rows), _stride(width, columns)
    shown = array.reshape(height, width)[::down, ::across]
    return {
        "shape": _shape_text(array.shape),
        "dtype": str(array.dtype),
        "part": _part(array.shape, down, across),
        "rows": [_row_label(array.shape, i) for i in range(0, height, down)],
        "columns": [str(i) for i in range(0, width, across)],
        "values": [[plain(value) for value in row] for row in shown.tolist()],
        "statistics": statistics(array),
    }


def statistics(array: Any) -> dict[str, Any]:
    """Minimum, maximum, mean, standard deviation, norm and counts of a whole array; empty for what is no number.

    Where there are NaNs or infinities, the first five are those of the finite values.

    >>> found = statistics(np.array([3.0, 0.0, -4.0, np.nan]))
    >>> found["norm"], found["zeros"], found["NaN"]
    (5.0, 1, 1)
    """
    if array.dtype.kind not in "fiub":
        return {}
    finite = array[np.isfinite(array)].astype(np.float64)
    counts = {
        "size": array.size,
        "zeros": int(np.count_nonzero(array == 0)),
        "NaN": int(np.count_nonzero(np.isnan(array))),
        "infinite": int(np.count_nonzero(np.isinf(array))),
    }
    if not finite.size:
        return counts
    with np.errstate(over="ignore", invalid="ignore"):  # the square of 1e200 is infinite, and is shown so
        numbers = {
            "min": finite.min(),
            "max": finite.max(),
            "mean": finite.mean(),
            "std": finite.std(),
            "norm": np.linalg.norm(finite),
        }
    return {**{name: plain(float(value)) for name, value in numbers.items()}, **counts}


def summary(array: Any) -> str:
    """An array in a few words: its values where they are few, the range of them where they are many.

    >>> summary(np.array([1.0, -0.25])), summary(np.arange(100)), summary(np.ones(9))
    ('[1, -0.25]', '0 … 99', 'all 1')
    """
    if array.size <= 4 or array.dtype.kind not in "fiub":
        return nested(array.tolist())
    finite = array[np.isfinite(array)]
    if finite.size < array.size:
        return f"{array.size - finite.size} of {array.size} not finite"
    least, most = short(finite.min()), short(finite.max())
    return f"all {least}" if finite.min() == finite.max() else f"{least} … {most}"


def nested(values: Any) -> str:
    """Nested lists of numbers as short text."""
    if isinstance(values, list):
        return f"[{', '.join(map(nested, values))}]"
    return short(values)


def short(value: Any) -> str:
    """A number with four digits, as the page writes it."""
    return f"{value:.4g}" if isinstance(value, (float, np.floating)) else str(value)


def plain(value: Any) -> Any:
    """A number as JSON can hold it: for what is not finite, which JSON has no word for, text that JavaScript reads."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value if abs(value) <= 2**53 else str(value)
    if not isinstance(value, float):
        return str(value)
    if math.isfinite(value):
        return float(f"{value:.{DIGITS}g}")
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _table_shape(shape: Sequence[int]) -> tuple[int, int]:
    width = shape[-1] if shape else 1
    return math.prod(shape[:-1]), width


def _stride(length: int, limit: int) -> int:
    return max(1, -(-length // limit))


def _shown_size(shape: Sequence[int], rows: int, columns: int) -> int:
    height, width = _table_shape(shape)
    return min(height, rows) * min(width, columns)


def _shape_text(shape: Sequence[int]) -> str:
    return str(tuple(shape))


def _part(shape: Sequence[int], down: int, across: int) -> str:
    """What is shown of an array, as counts and, where there are no more than two axes, as the slice in NumPy."""
    if down == across == 1:
        return ""
    height, width = _table_shape(shape)
    counts = [f"{-(-height // down)} of {height} rows"] if down > 1 else []
    counts += [f"{-(-width // across)} of {width} columns"] if across > 1 else []
    slices = [f"::{step}" if step > 1 else ":" for step in ((down, across) if len(shape) == 2 else (across,))]
    return ", ".join(counts) + (f": [{', '.join(slices)}]" if len(shape) <= 2 else "")


def _row_label(shape: Sequence[int], row: int) -> str:
    """The index of a row along all axes but the last; empty where there is one row only."""
    if len(shape) < 2:
        return ""
    return ", ".join(str(int(i)) for i in np.unravel_index(row, shape[:-1]))
