"""Finite differences of one operation at the very place where it stands on a tape, against what its rules returned.

In float64, element by element, and by a seeded sample of the elements of a large operand. `checking/causes.py` guesses
what is wrong where they disagree.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_sm.checking.causes import likely_cause
from tinygrad_sm.debug.recording import Contribution, Step
from tinygrad_sm.debug.text import element, number, shape, wrapped
from tinygrad_sm.engine.tape import Node

MOST = 100  # elements of an operand that are all moved
SAMPLE = 25  # that are drawn from more
SEED = 0
STEP = 1e-6  # times the size of the element


def check(step: Step) -> tuple[str, bool]:
    """A report on every operand of a backward step, and whether all of them agree."""
    lines, agree = [], True
    with np.errstate(all="ignore"):  # NaN and infinity are told apart here, not warned of
        for contribution in step.contributions:
            report, right = _check_operand(step, contribution)
            lines += report
            agree = agree and right
    return "\n".join(lines), agree


def _check_operand(step: Step, contribution: Contribution) -> tuple[list[str], bool]:
    value = contribution.value
    places, scale = _places(value), _scale(step.cotangent)
    slopes = [_slopes(step, contribution.position, place) for place in places]
    got = np.array([float(value[place]) for place in places])
    expected = np.array([(left + right) / 2 for left, right in slopes])
    kinks = np.array([_is_kink(*pair, g, scale) for pair, g in zip(slopes, got, strict=True)], dtype=bool)
    known = np.isfinite(expected) & np.isfinite(got) & ~kinks
    wrong = known & ~_near(got, expected, value.dtype, scale)
    name = step.recording.names.gradient(contribution.edge)
    head = f"{name} {shape(value)}, {_extent(value, places)}: "
    if wrong.any():
        worst = int(np.argmax(np.where(wrong, np.abs(got - expected), -1)))
        head += f"DIFFERS in {wrong.sum()}"
        place = f"most at {element(places[worst])}: " if places[worst] else ""
        text = f"{place}the rule says {number(got[worst])}, finite differences {number(expected[worst])}"
        cause = _cause(got, expected, value.shape)
        tail = wrapped(text, "   ") + (wrapped(f"-> {cause}", "   ") if cause else [])
    else:
        distance = np.abs(got - expected)[known].max(initial=0.0)
        head += f"agrees to {distance:.1g}" if known.any() else "nothing to compare"
        tail = []
    return wrapped(head, " ") + tail + _excuses(kinks, known), not wrong.any()


def _extent(value: Any, places: list[tuple[int, ...]]) -> str:
    if len(places) == value.size:
        return f"{value.size} element{'s' * (value.size != 1)}"
    return f"{len(places)} of {value.size:,} elements (seed {SEED})"


def _excuses(kinks: Any, known: Any) -> list[str]:
    """What was not compared, and why."""
    lines = []
    if kinks.any():
        lines += wrapped(f"{kinks.sum()} at a kink, where the rule takes a slope between the two sides", "   ")
    rest = int((~known & ~kinks).sum())
    return lines + (wrapped(f"{rest} not finite, or at the edge of the domain: not compared", "   ") if rest else [])


def _cause(got: Any, expected: Any, whole: tuple[int, ...]) -> str:
    """The likely cause, in the shape of the operand where all of its elements are there."""
    if got.size == math.prod(whole):
        got, expected = got.reshape(whole), expected.reshape(whole)
    return likely_cause(got, expected)


def _places(value: Any) -> list[tuple[int, ...]]:
    """The elements to move: all, or a sample that is the same every time."""
    chosen = np.arange(value.size)
    if value.size > MOST:
        chosen = np.sort(np.random.default_rng(SEED).choice(value.size, SAMPLE, replace=False))
    return [tuple(int(k) for k in np.unravel_index(i, value.shape)) for i in chosen]


def _slopes(step: Step, position: int, place: tuple[int, ...]) -> tuple[float, float]:
    """The slope of sum(g * out) to the left and to the right of one element of an operand."""
    node = step.node
    operand = np.array(node.args[position], dtype=float)
    eps = STEP * max(1.0, abs(float(operand[place])))
    cotangents = step.cotangent if isinstance(step.cotangent, tuple) else (step.cotangent,)

    def outputs(distance: float) -> tuple[Any, ...]:
        moved = operand.copy()
        moved[place] += distance
        return _run(node, position, moved)

    left, here, right = outputs(-eps), outputs(0.0), outputs(eps)
    return _slope(cotangents, left, here) / eps, _slope(cotangents, here, right) / eps


def _slope(cotangents: tuple[Any, ...], before: tuple[Any, ...], after: tuple[Any, ...]) -> float:
    """sum(g * (after - before)), where what does not change or does not count is zero even if it is infinite."""
    total = 0.0
    for g, a, b in zip(cotangents, before, after, strict=True):
        total += float(np.where((a == b) | (g == 0), 0.0, g * (np.asarray(b) - a)).sum())
    return total


def _run(node: Node, position: int, operand: Any) -> tuple[Any, ...]:
    """The forward of a node in float64, with another array for one operand."""
    args = [
        each.astype(float) if isinstance(each, np.ndarray) and each.dtype.kind == "f" else each for each in node.args
    ]
    args[position] = operand
    op = node.op
    assert op is not None  # leaves are no steps
    out = op.run((args,) if op.variadic else args, node.kwargs)
    out = out[0] if op.residual else out
    return out if isinstance(out, tuple) else (out,)


def _scale(cotangent: Any) -> float:
    """The size of the cotangent, to which every slope is proportional."""
    arrays = cotangent if isinstance(cotangent, tuple) else (cotangent,)
    sizes = np.concatenate([np.abs(np.ravel(g)).astype(float) for g in arrays])
    return float(sizes[np.isfinite(sizes)].max(initial=0.0)) or 1.0


def _is_kink(left: float, right: float, got: float, scale: float) -> bool:
    """Whether the slopes of the two sides differ, and the rule took one of them or something in between."""
    low, high = sorted((left, right))
    slack = 1e-3 * max(abs(low), abs(high)) + 1e-4 * scale
    return high - low > slack and low - slack <= got <= high + slack


def _near(got: Any, expected: Any, kind: Any, scale: float) -> Any:
    """Equal to the rounding of finite differences and of the recorded type."""
    rtol = max(1e-4, 100 * float(np.finfo(kind).eps))
    size = np.abs(expected[np.isfinite(expected)]).max(initial=0.0)
    return np.abs(got - expected) <= rtol * np.maximum(np.abs(expected), 0.1 * size) + 1e-7 * scale
