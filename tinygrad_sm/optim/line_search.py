"""How far to go along a direction: a point where the loss has fallen enough and the slope is flat enough."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tinygrad_sm.optim.storage import Array

FALL = 1e-4  # the part of the fall that the first slope promises
FLATTER = 0.9  # the part of the first slope that may be left
LOOKS = 25
MARGIN = 0.1  # of an interval, in which a point is too near to its end


class Point(NamedTuple):
    """A point on the line: how far it is in units of the direction, and loss, gradient and slope there."""

    rate: float
    loss: float
    gradient: Array
    slope: float

    def is_finite(self) -> bool:
        """Whether loss and gradient are numbers."""
        return math.isfinite(self.loss) and bool(np.isfinite(self.gradient).all())


def strong_wolfe(
    look: Callable[[float], Point], start: Point, rate: float, length: float, tolerance: float
) -> tuple[Point, int]:
    """A point whose loss is below start.loss + 1e-4 rate slope and whose own slope is at most 0.9 of that at start.

    Args: look: gives the point at a rate; start: the point at rate 0, of negative slope; rate: where to look first;
    length: the largest element of the direction; tolerance: a difference of places that is not worth another look.
    Returns the point, the best one so far if 25 looks are not enough, and how often it looked. Where the loss is no
    number, it looks half as far.
    Source: J. Nocedal and S. Wright, Numerical optimization, 2006, algorithms 3.5 and 3.6.

    >>> def look(t):
    ...     return Point(t, (t - 3) ** 2, np.array([2 * (t - 3)]), 2 * (t - 3))
    >>> strong_wolfe(look, look(0.0), 8.0, 1.0, 1e-9)[0].rate
    3.0
    """
    search = _Search(look, start)
    before, new = start, search.look(rate, start)
    low = high = new
    turns = 0
    while turns < LOOKS:
        low, high = before, new
        if search.is_too_high(new) or (turns > 1 and new.loss >= before.loss):
            break
        if search.is_flat(new):
            return new, search.looks
        if new.slope >= 0:
            break
        nearest, farthest = new.rate + 0.01 * (new.rate - before.rate), 10 * new.rate
        t = lowest_of_cubic(before, new, nearest, farthest)
        before, new = new, search.look(t, new)
        turns += 1
    else:
        low, high = start, new

    low, high = (low, high) if low.loss <= high.loss else (high, low)
    crept = False  # whether the last point was near to an end of the interval
    while turns < LOOKS and abs(high.rate - low.rate) * length >= tolerance:
        left, right = sorted((low.rate, high.rate))
        t = lowest_of_cubic(low, high, left, right)
        margin = MARGIN * (right - left)
        near = min(right - t, t - left) < margin
        if near and (crept or not left < t < right):
            t = right - margin if right - t < t - left else left + margin
            near = False
        crept = near
        new = search.look(t, low)
        turns += 1
        if search.is_too_high(new) or new.loss >= low.loss:
            low, high = (low, new) if low.loss <= new.loss else (new, low)
        elif search.is_flat(new):
            return new, search.looks
        else:
            high = low if new.slope * (high.rate - low.rate) >= 0 else high
            low = new
    return low, search.looks


class _Search:
    """The conditions of one search, and its looks."""

    def __init__(self, look: Callable[[float], Point], start: Point) -> None:
        self.at = look
        self.start = start
        self.looks = 0

    def look(self, rate: float, near: Point) -> Point:
        """The point at a rate, or halfway back to a nearer one, again and again, until the loss is a number."""
        for _ in range(LOOKS):
            self.looks += 1
            point = self.at(rate)
            if point.is_finite():
                return point
            rate = (rate + near.rate) / 2
        return near

    def is_too_high(self, point: Point) -> bool:
        """Whether the loss has not fallen enough."""
        return point.loss > self.start.loss + FALL * point.rate * self.start.slope

    def is_flat(self, point: Point) -> bool:
        """Whether little of the slope is left."""
        return abs(point.slope) <= -FLATTER * self.start.slope


def lowest_of_cubic(one: Point, two: Point, least: float, most: float) -> float:
    """Where the cubic through two points with their slopes is lowest, within bounds; their middle if it has no minimum.

    >>> nothing = np.zeros(0)
    >>> lowest_of_cubic(Point(0.0, 1.0, nothing, -2.0), Point(2.0, 1.0, nothing, 2.0), 0.0, 2.0)
    1.0
    """
    left, right = (one, two) if one.rate <= two.rate else (two, one)
    width = right.rate - left.rate
    if width:
        mean = left.slope + right.slope - 3 * (right.loss - left.loss) / width
        square = mean**2 - left.slope * right.slope
        if square >= 0:
            root = math.sqrt(square)
            steepness = right.slope - left.slope + 2 * root
            if steepness:
                t = right.rate - width * ((right.slope + root - mean) / steepness)
                return min(max(t, least), most)
    return (least + most) / 2
