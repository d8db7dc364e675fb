"""A value that is not finite, in words: which element, from which operands, and what to do about it.

What is said follows from the kind of event alone (what the processor flagged, what the operands and the result were),
so it holds for any operation. Read `nonfinite.py` for how events are found.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

POLE, OVERFLOW, INVALID = "divide by zero", "overflow", "invalid value"  # as NumPy calls what the processor flags
LARGE = 1e10  # an operand beyond it has itself grown out of range

DIVERGED = "lower the learning rate, clip the gradients or scale the inputs"
TRACE = "find out where that infinity comes from, or mask with a large finite number"


@dataclass(frozen=True)
class Operand:
    """What an operation, or one of its rules, computed with."""

    name: str
    value: Any  # an array or a number

    def at(self, index: tuple[int, ...]) -> tuple[int, ...]:
        """The index here of the element that broadcasting brings to an index of the result."""
        shape = np.shape(self.value)
        index = index[len(index) - len(shape) :]
        return tuple(0 if n == 1 else i for i, n in zip(index, shape, strict=True))

    def shown(self, index: tuple[int, ...] | None) -> str:
        """The element that counts, or what the values lie between where no single one does."""
        shape = np.shape(self.value)
        if not shape:
            return f"{self.name} = {number(self.value)}"
        if index is not None:
            place = self.at(index)
            return f"{self.name}{list(place)} = {number(self.value[place])}"
        finite = self.value[np.isfinite(self.value)]
        between = f" from {number(finite.min())} to {number(finite.max())}" if finite.size else ""
        bad = first(~np.isfinite(self.value))
        return f"{self.name} {shape}{between}" + ("" if bad is None else f", {number(self.value[bad])} at {list(bad)}")


@dataclass(frozen=True)
class Event:
    """An element that is not finite, in the result of an operation or of a rule."""

    op: str
    result: Any
    index: tuple[int, ...]
    operands: Sequence[Operand]
    elementwise: bool
    flagged: str = ""  # POLE, OVERFLOW, INVALID; empty where nothing was, as in the threads of matrix products

    @property
    def value(self) -> Any:
        """The element."""
        return self.result[self.index]

    @property
    def place(self) -> str:
        """Where the element stands, and how many more are like it."""
        count = int((~np.isfinite(self.result)).sum())
        more = f" and {count - 1} more of {self.result.size} elements" if count > 1 else ""
        return f" at {list(self.index)}{more}" if self.result.ndim else ""

    def operand_lines(self) -> list[str]:
        """One line for each operand."""
        index = self.index if self.elementwise else None
        return [f"  {operand.shown(index)}" for operand in self.operands]

    def involved(self) -> list[tuple[str, float]]:
        """Name and value of what made the element; the extremes of each operand where no single element did."""
        found = []
        for operand in self.operands:
            array = np.asarray(operand.value)
            if self.elementwise or not array.ndim:
                found.append((operand.name, float(array[operand.at(self.index)])))
            elif array.size:
                found += [(operand.name, float(array.min())), (operand.name, float(array.max()))]
        return found


def remedy(event: Event) -> str:
    """What to do about a value that an operation produced from finite operands or from infinity."""
    involved = event.involved()
    infinite = [name for name, value in involved if np.isinf(value)]
    zeros = [name for name, value in involved if value == 0]
    if np.isnan(event.value) and infinite:
        advice = f"{infinite[0]} is infinite there, and inf - inf, inf / inf and 0 * inf have no value: {TRACE}"
    elif _overflowed(event, involved):
        advice = _of_overflow(event, involved)
    elif np.isinf(event.value):
        advice = _of_pole(event, zeros[0] if zeros else "its operand")
    elif event.elementwise and len(involved) > 1 and len(zeros) == len(involved):
        advice = f"{' and '.join(zeros)} are both 0 there: add a small eps to what is divided by"
    else:
        names = " and ".join(f"{name} = {number(value)}" for name, value in involved) if event.elementwise else "these"
        advice = f"{event.op} has no value for {names}: stay inside of its domain, with np.maximum or a mask"
    return wrapped(advice)


def _overflowed(event: Event, involved: Sequence[tuple[str, float]]) -> bool:
    """Whether a result was too large for its type, as against one that does not exist."""
    if event.flagged == OVERFLOW:
        return True
    if event.elementwise:
        return np.isinf(event.value) and event.flagged != POLE
    return (
        event.flagged != POLE and _largest(involved) > LARGE
    )  # inf - inf within a matrix product is flagged as invalid


def _largest(involved: Sequence[tuple[str, float]]) -> float:
    return max((abs(value) for _, value in involved), default=0.0)


def _of_pole(event: Event, name: str) -> str:
    """What to do where a function grows beyond all bounds towards 0."""
    if len(event.operands) == 1 and event.value < 0:  # the logarithm and its like
        fused = "or take an op that never forms the 0, as log_softmax, cross_entropy and logsumexp do"
        return f"{event.op} of 0: add a small eps to {name}, {fused}"
    return f"{name} is 0 there: add a small eps to it, or leave such elements out"


def _of_overflow(event: Event, involved: Sequence[tuple[str, float]]) -> str:
    """What to do where a value is larger than its type can hold."""
    kind = event.result.dtype
    limit = f"beyond {np.finfo(kind).max:.2g}, the largest {kind}"
    wider = "" if kind == np.float64 else ", or compute in float64"
    if _largest(involved) < LARGE:
        return f"{limit}: subtract the largest value first, as softmax and logsumexp do, or scale the operands{wider}"
    return f"{limit}: the values have grown out of range; {DIVERGED}{wider}"


def remedy_of_rule(event: Event) -> str:
    """What to do about a derivative that is not finite although the cotangent is."""
    involved = event.involved()
    infinite = [name for name, value in involved if np.isinf(value)]
    zeros = [name for name, value in involved if value == 0 and name != "g"]
    if infinite:
        return wrapped(f"{infinite[0]} is infinite there: {TRACE}")
    if event.flagged == OVERFLOW or not event.flagged:
        return wrapped(f"the gradient grew beyond {np.finfo(event.result.dtype).max:.2g}: {DIVERGED}")
    if zeros:
        return wrapped(f"the slope of {event.op} is infinite where {zeros[0]} is 0: add a small eps to {zeros[0]}")
    return wrapped(f"{event.op} has no derivative there: stay inside of its domain, with np.maximum or a mask")


def wrapped(advice: str) -> str:
    """Advice in lines of 80 columns, below the arrow that an error puts before it."""
    return "\n     ".join(textwrap.wrap(advice, 75))


def first(wrong: Any) -> tuple[int, ...] | None:
    """The index of the first element that is true, None where none is."""
    if not wrong.any():
        return None
    return tuple(int(i) for i in np.unravel_index(wrong.argmax(), wrong.shape))


def number(value: Any) -> str:
    """A number as briefly as it can be told from its neighbours by eye."""
    return f"{float(value):.6g}"
