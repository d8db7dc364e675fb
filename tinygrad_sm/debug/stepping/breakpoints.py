"""What a stepper can be told to stop at: an operation, a line, a shape, NaN, infinity, the size of a gradient."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_sm.debug.recording import Recording, Step
from tinygrad_sm.debug.stepping.lookup import gradient_named, nearest
from tinygrad_sm.errors import ArgumentError

KINDS = "an operation, nan, inf, shape (4,2), L12 (a line), g_W, or |g|>10 (also max, min, mean, std, norm)"

COMPARISONS = {">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}
CONDITION = re.compile(r"(\|g\||\w+)\s*(>=|<=|>|<)\s*(\S+)")

MEASURES: dict[str, Callable[[Any], Any]] = {
    "|g|": lambda g: np.abs(g).max(initial=0.0),  # the largest magnitude
    "max": lambda g: g.max(initial=-np.inf),
    "min": lambda g: g.min(initial=np.inf),
    "mean": lambda g: g.mean() if g.size else 0.0,
    "std": lambda g: g.std() if g.size else 0.0,
    "norm": lambda g: np.sqrt(np.vdot(g, g)),
}


@dataclass(frozen=True)
class Breakpoint:
    """A condition on steps, as it was typed."""

    text: str
    holds: Callable[[Step], bool]


def breakpoint_of(text: str, recording: Recording) -> Breakpoint:
    """The breakpoint that a text describes; ArgumentError with the nearest that makes sense on this tape."""
    text = " ".join(text.split())
    word, _, rest = text.partition(" ")
    if text in ("nan", "inf"):
        return Breakpoint(text, _any_element(np.isnan if text == "nan" else np.isinf))
    if word == "shape":
        wanted = _shape(rest)
        return Breakpoint(text, lambda step: any(array.shape == wanted for array in arrays_of(step)))
    if re.fullmatch(r"[Ll]\d+", text):
        line = int(text[1:])
        return Breakpoint(text, lambda step: step.location is not None and step.location.line == line)
    condition = CONDITION.fullmatch(text)
    if condition:
        return Breakpoint(text, _measure(*condition.groups()))
    return Breakpoint(text, _named(text, recording))


def arrays_of(step: Step) -> list[Any]:
    """What a step computes: values forwards; backwards the cotangent that comes in and what goes out."""
    if step.phase == "forward":
        return list(step.node.values)
    arrived = step.cotangent if isinstance(step.cotangent, tuple) else (step.cotangent,)
    return [*arrived, *(each.value for each in step.contributions)]


def _any_element(test: Callable[[Any], Any]) -> Callable[[Step], bool]:
    return lambda step: any(array.dtype.kind == "f" and test(array).any() for array in arrays_of(step))


def _shape(text: str) -> tuple[int, ...]:
    """The shape that a text spells: `(4,2)`, `4,2`, `4 2`, `(4)` or `()`."""
    sizes = text[1:-1] if text[:1] + text[-1:] in ("()", "[]") else text
    if not text or re.search(r"[^\d\s,]", sizes):
        raise ArgumentError(f"{text!r} is not a shape", remedy="write break shape (4,2)")
    return tuple(int(size) for size in sizes.replace(",", " ").split())


def _measure(name: str, sign: str, text: str) -> Callable[[Step], bool]:
    """Whether a measure of the cotangent or of a contribution is larger or smaller than a number."""
    if name not in MEASURES:
        raise ArgumentError(f"{name!r} is not a measure of g", remedy=f"one of {', '.join(MEASURES)}")
    try:
        bound = float(text)
    except ValueError:
        raise ArgumentError(f"{text!r} is not a number", remedy=f"write {name}{sign}10") from None
    measure, compare = MEASURES[name], COMPARISONS[sign]

    def holds(step: Step) -> bool:
        with np.errstate(all="ignore"):
            return step.phase == "backward" and any(compare(measure(g), bound) for g in arrays_of(step))

    return holds


def _named(text: str, recording: Recording) -> Callable[[Step], bool]:
    """Whether a step is that operation, or sends something to that gradient."""
    ops = {step.op.name for step in recording.forward}
    if text in ops:
        return lambda step: step.op.name == text
    edge = gradient_named(text, recording)
    if edge is not None:
        return lambda step: any(each.edge == edge for each in step.contributions)
    known = [*ops, *map(recording.names.gradient, recording.edges_named().values())]
    raise ArgumentError(f"no {text!r} on this tape{nearest(text, known)}", remedy=f"break takes {KINDS}")
