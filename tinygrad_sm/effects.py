"""What happens besides computing: arrays that are overwritten, and random draws.

The tape keeps track of it, so as to refuse to go back over values that are no longer there.
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import sys
import textwrap
import weakref
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.array_utils import byte_bounds


class Effect(NamedTuple):
    """What a call did besides computing its output, which a reader that runs the tape again has to repeat.

    `kind` is "draw" where the argument was drawn at random, and `repeat()` draws another; or "update" where it was
    written to afterwards, and `repeat`, called as the forward was, says what it became.
    """

    kind: str
    argument: str
    repeat: Callable[..., Any]


tick = itertools.count(1).__next__  # the order of events: nodes recorded and arrays overwritten

Span = tuple[int, int]  # of addresses
_ALL = (0, sys.maxsize)
_SPANS = 1000  # to keep apart in one array; with more of them, all of it counts as overwritten

_times: dict[int, dict[Span, int]] = {}  # when, by the id of the array that owns the memory and the part of it
_alive: dict[int, weakref.ref[Any]] = {}  # so that an id is forgotten with its array
_latest = 0


def note_overwrite(*arrays: np.ndarray[Any, Any]) -> None:
    """Say that arrays are overwritten now."""
    global _latest
    _latest = tick()
    for array in arrays:
        owner = _owner(array)
        key = id(owner)
        if key not in _alive:
            _alive[key] = weakref.ref(owner, functools.partial(_forget, key))
        times = _times.setdefault(key, {})
        if array is owner or len(times) >= _SPANS:
            _times[key] = {_ALL: _latest}
        else:
            times[byte_bounds(array)] = _latest


def _forget(key: int, _: weakref.ref[Any]) -> None:
    _alive.pop(key, None)
    _times.pop(key, None)


def latest_overwrite() -> int:
    """The time of the last overwriting of any array, 0 before the first."""
    return _latest


def first_overwritten(values: Iterable[tuple[str, Any]], names: Collection[str], since: int) -> str:
    """Which of the named arrays was overwritten after an event, itself or through a view; empty if none was."""
    for name, value in values:
        for part in value if isinstance(value, tuple) else (value,):
            if name in names and isinstance(part, np.ndarray) and _overwritten(part, since):
                return f"{name} {part.shape}"
    return ""


def _overwritten(array: Any, since: int) -> bool:
    times = _times.get(id(_owner(array)), {})
    low, high = byte_bounds(array) if times else _ALL
    # A list, since another thread may be writing.
    return any(time > since and start < high and low < stop for (start, stop), time in list(times.items()))


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
