"""When arrays were overwritten through this library, and which values a derivative rule reads.

Together they let the tape refuse to go back over values that are no longer there, and only then.
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import textwrap
import weakref
from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np

tick = itertools.count(1).__next__  # the order of events: nodes recorded and arrays overwritten

_times: dict[int, tuple[int, weakref.ref[Any]]] = {}  # by the id of the array that owns the memory
_latest = 0


def note_overwrite(array: np.ndarray[Any, Any]) -> None:
    """Say that an array is overwritten now."""
    global _latest
    owner = _owner(array)
    key = id(owner)
    alive = _times[key][1] if key in _times else weakref.ref(owner, lambda _: _times.pop(key, None))
    _latest = tick()
    _times[key] = _latest, alive


def anything_since(order: int) -> bool:
    """Whether any array was overwritten after an event."""
    return _latest > order


def first_overwritten(values: Iterable[tuple[str, Any]], names: Collection[str], since: int) -> str:
    """Which of the named arrays was overwritten after an event, itself or through a view; empty if none was."""
    for name, value in values:
        if name in names and isinstance(value, np.ndarray) and _times.get(id(_owner(value)), (0, None))[0] > since:
            return f"{name} {value.shape}"
    return ""


def _owner(array: Any) -> Any:
    return array.base if isinstance(array.base, np.ndarray) else array


@functools.cache
def values_read(rule: Callable[..., Any]) -> frozenset[str]:
    """The names whose values the source of a function reads, as against their shape or dtype alone.

    >>> sorted(values_read(_owner) & {"array", "base"})
    ['array']
    """
    try:
        nodes = list(ast.walk(ast.parse(textwrap.dedent(inspect.getsource(rule)))))
    except (OSError, TypeError, SyntaxError):
        return frozenset(inspect.signature(rule).parameters)  # without its source, suppose that it reads them all
    metadata = ("shape", "ndim", "dtype", "size")
    aside = {id(n.value) for n in nodes if isinstance(n, ast.Attribute) and n.attr in metadata}
    return frozenset(n.id for n in nodes if isinstance(n, ast.Name) and id(n) not in aside)
