"""Where boxes and arrows go: a layered layout, each box below everything that it was computed from.

The method of Sugiyama, Tagawa and Toda (1981): boxes on layers by their longest path, an order within each layer with
few crossings by barycentres, and positions near one's neighbours. Knows nothing of tensors. Read `svg.py` next.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

Point: TypeAlias = tuple[float, float]

GAP = 26.0  # between boxes side by side
FALL = 38.0  # between one layer and the next
LANE = 14.0  # the width that an arrow takes where it passes between boxes
SWEEPS = 8  # down and up again; more change nothing in graphs of a few hundred boxes
HEAVY, LIGHT = 20.0, 1.0  # how firmly a box stands where its neighbours want it: operations firmer than leaves


@dataclass(frozen=True, eq=False, slots=True)
class Layout:
    """Upper left corners of the boxes, the points that each arrow goes through, and the size of the whole."""

    corners: list[Point]
    routes: list[list[Point]]  # from the source's lower edge to the target's upper edge, straight down every second leg
    width: float
    height: float


def layered(sizes: Sequence[Point], arrows: Sequence[tuple[int, int]]) -> Layout:
    """Places for boxes of given widths and heights. Every arrow must lead from a box to one with a higher index.

    >>> layout = layered([(60, 20), (60, 20), (60, 20)], [(0, 2), (1, 2)])
    >>> layout.corners, layout.height
    ([(0.0, 0.0), (86.0, 0.0), (43.0, 58.0)], 78.0)
    """
    layers = _layers(len(sizes), arrows)
    grid = _Grid(sizes, arrows, layers)
    grid.order()
    grid.align()
    return grid.layout()


def _layers(count: int, arrows: Sequence[tuple[int, int]]) -> list[int]:
    """The layer of each box: below all that it reads.

    One that reads nothing, or nothing but such, stands just above its first reader, so that arrows are short.
    """
    reads: list[list[int]] = [[] for _ in range(count)]
    read_by: list[list[int]] = [[] for _ in range(count)]
    for source, target in arrows:
        reads[target].append(source)
        read_by[source].append(target)
    layers = [0] * count
    for box in range(count):
        if reads[box]:
            layers[box] = 1 + max(layers[source] for source in reads[box])
    for box in reversed(range(count)):
        if read_by[box] and not any(reads[source] for source in reads[box]):
            layers[box] = min(layers[target] for target in read_by[box]) - 1
    return layers


class _Grid:
    """Layers of boxes and of bends, which stand where an arrow passes a layer on its way further down.

    Arrows that leave the same box share their bends: a value that is read in many places has one line with branches.
    """

    def __init__(self, sizes: Sequence[Point], arrows: Sequence[tuple[int, int]], layers: list[int]) -> None:
        self.sizes = [(float(width), float(height)) for width, height in sizes]
        self.layer_of = list(layers)
        self.boxes = len(sizes)
        self.ways: list[list[int]] = []  # of each arrow: the source, the bends, the target
        self.links: set[tuple[int, int]] = set()  # between neighbouring layers
        bends: dict[tuple[int, int], int] = {}
        for source, target in arrows:
            way = [source]
            for layer in range(layers[source] + 1, layers[target]):
                way.append(self._bend(bends, source, layer))
            way.append(target)
            self.ways.append(way)
            self.links.update(itertools.pairwise(way))
        self.above, self.below = self._neighbours()
        self.rows: list[list[int]] = [[] for _ in range(max(self.layer_of, default=-1) + 1)]
        for vertex, layer in enumerate(self.layer_of):
            self.rows[layer].append(vertex)
        self.x = [0.0] * len(self.sizes)  # of the middle of each box and bend

    def _bend(self, bends: dict[tuple[int, int], int], source: int, layer: int) -> int:
        """The bend of a source's line in a layer, made if it is new."""
        if (source, layer) not in bends:
            bends[source, layer] = len(self.sizes)
            self.sizes.append((LANE, 0.0))
            self.layer_of.append(layer)
        return bends[source, layer]

    def _neighbours(self) -> tuple[list[list[int]], list[list[int]]]:
        above: list[list[int]] = [[] for _ in self.sizes]
        below: list[list[int]] = [[] for _ in self.sizes]
        for upper, lower in sorted(self.links):
            above[lower].append(upper)
            below[upper].append(lower)
        return above, below

    def order(self) -> None:
        """Sort each layer by where its neighbours stand, down and up in turn; keep the order with fewest crossings."""
        best, fewest = [list(row) for row in self.rows], self._crossings()
        for sweep in range(SWEEPS):
            if not fewest:
                break
            downwards = sweep % 2 == 0
            neighbours = self.above if downwards else self.below
            for row in self.rows if downwards else reversed(self.rows):
                self._sort(row, neighbours)
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest = [list(row) for row in self.rows], crossings
        self.rows = best
        for _ in range(SWEEPS):
            exchanged = [self._exchange(layer) for layer in range(len(self.rows))]
            if not any(exchanged):
                break

    def _exchange(self, layer: int) -> bool:
        """Exchange neighbours in a layer where that saves crossings or, costing none, brings boxes into their order."""
        row, exchanged = self.rows[layer], False
        place = {vertex: i for row in self.rows[max(layer - 1, 0) : layer + 2] for i, vertex in enumerate(row)}
        for i in range(len(row) - 1):
            left, right = row[i : i + 2]
            saved = sum(
                _crossings(sorted(place[each] for each in ends[left]), sorted(place[each] for each in ends[right]))
                - _crossings(sorted(place[each] for each in ends[right]), sorted(place[each] for each in ends[left]))
                for ends in (self.above, self.below)
            )
            if saved > 0 or (saved == 0 and right < left < self.boxes):
                row[i : i + 2], exchanged = [right, left], True
        return exchanged

    def _sort(self, row: list[int], neighbours: list[list[int]]) -> None:
        """Sort a layer by the mean place of each one's neighbours, as shares of their layers' lengths."""
        share = self._shares()
        key = {
            vertex: _mean([share[each] for each in neighbours[vertex]]) if neighbours[vertex] else share[vertex]
            for vertex in row
        }
        row.sort(key=key.__getitem__)

    def _shares(self) -> dict[int, float]:
        return {vertex: (i + 0.5) / len(row) for row in self.rows for i, vertex in enumerate(row)}

    def _crossings(self) -> int:
        """How often arrows cross each other between the layers."""
        place = {vertex: i for row in self.rows for i, vertex in enumerate(row)}
        total = 0
        for row in self.rows:
            seen: list[int] = []
            for vertex in row:
                ends = sorted(place[each] for each in self.below[vertex])
                total += sum(len(seen) - bisect.bisect_right(seen, end) for end in ends)
                for end in ends:
                    bisect.insort(seen, end)
        return total

    def align(self) -> None:
        """Move everything under and over its neighbours as far as the others in its layer let it."""
        for row in self.rows:
            self._place(row, [0.0] * len(row))
        for sweep in range(SWEEPS):
            downwards = sweep % 2 == 0
            for row in self.rows if downwards else reversed(self.rows):
                self._place(row, [self._wish(vertex, downwards) for vertex in row])
        for row in self.rows:  # leaves last, which stand where their readers ended up
            self._place(
                row,
                [self._wish(vertex, True) if self.above[vertex] else self._readers_middle(vertex) for vertex in row],
            )

    def _wish(self, vertex: int, downwards: bool) -> float:
        """Where a box or bend wants to stand: in the middle of its neighbours on the side that the sweep comes from.

        Operations heed operations and bends heed bends, so that chains of either fall straight; others only failing
        these.
        """
        neighbours = self.above[vertex] if downwards else self.below[vertex]
        alike = [each for each in neighbours if self._is_firm(each) and (each < self.boxes) == (vertex < self.boxes)]
        heeded = alike or neighbours
        return _mean([self.x[each] for each in heeded]) if heeded else self.x[vertex]

    def _readers_middle(self, vertex: int) -> float:
        return _mean([self.x[each] for each in self.below[vertex]]) if self.below[vertex] else self.x[vertex]

    def _is_firm(self, vertex: int) -> bool:
        return vertex >= self.boxes or bool(self.above[vertex])

    def _place(self, row: list[int], wishes: list[float]) -> None:
        """Give each the nearest place to its wish that keeps the order and the distances: least squares.

        With the distances taken off, places must only ascend. Where wishes do not, neighbours that are in each other's
        way share their weighted mean (the algorithm of pooled adjacent violators).
        """
        offsets, offset = [], 0.0
        for i, vertex in enumerate(row):
            if i:
                offset += (self.sizes[row[i - 1]][0] + self.sizes[vertex][0]) / 2 + GAP
            offsets.append(offset)
        pools: list[tuple[float, float, int]] = []  # mean, weight, how many
        for vertex, wish, offset in zip(row, wishes, offsets, strict=True):
            pool = wish - offset, HEAVY if self._is_firm(vertex) else LIGHT, 1
            while pools and pools[-1][0] > pool[0]:
                mean, weight, many = pools.pop()
                both = weight + pool[1]
                pool = (mean * weight + pool[0] * pool[1]) / both, both, many + pool[2]
            pools.append(pool)
        places = [mean for mean, _, many in pools for _ in range(many)]
        for vertex, place, offset in zip(row, places, offsets, strict=True):
            self.x[vertex] = place + offset

    def layout(self) -> Layout:
        """Corners and routes, moved so that the picture begins at 0."""
        if not self.boxes:
            return Layout([], [], 0.0, 0.0)
        left = min(x - width / 2 for x, (width, _) in zip(self.x, self.sizes, strict=True))
        right = max(x + width / 2 for x, (width, _) in zip(self.x, self.sizes, strict=True))
        self.x = [round(x - left, 1) for x in self.x]
        tops, bottom = [], 0.0
        for row in self.rows:
            tops.append(bottom)
            bottom += max((self.sizes[vertex][1] for vertex in row), default=0.0) + FALL
        bottoms = [*(top - FALL for top in tops[1:]), bottom - FALL]
        corners = [(self.x[box] - self.sizes[box][0] / 2, self._top(box, tops, bottoms)) for box in range(self.boxes)]
        routes = self._routes(corners, tops, bottoms)
        return Layout(corners, routes, right - left, bottoms[-1])

    def _top(self, box: int, tops: list[float], bottoms: list[float]) -> float:
        """The upper edge of a box that stands in the middle of its layer."""
        layer = self.layer_of[box]
        return (tops[layer] + bottoms[layer] - self.sizes[box][1]) / 2

    def _routes(self, corners: list[Point], tops: list[float], bottoms: list[float]) -> list[list[Point]]:
        """The points of each arrow: it may turn in the gaps between layers, and goes straight down along them."""
        ports = self._ports(corners)
        routes = []
        for i, (source, *bends, target) in enumerate(self.ways):
            points = [(self.x[source], corners[source][1] + self.sizes[source][1])]
            points.append((self.x[source], bottoms[self.layer_of[source]]))
            for bend in bends:
                points += [(self.x[bend], tops[self.layer_of[bend]]), (self.x[bend], bottoms[self.layer_of[bend]])]
            points += [(ports[i], tops[self.layer_of[target]]), (ports[i], corners[target][1])]
            routes.append(points)
        return routes

    def _ports(self, corners: list[Point]) -> list[float]:
        """Where each arrow enters its target: side by side, in the order in which they come."""
        entering: dict[int, list[int]] = {}
        for i, way in enumerate(self.ways):
            entering.setdefault(way[-1], []).append(i)
        ports = [0.0] * len(self.ways)
        for target, arrows in entering.items():
            arrows.sort(key=lambda i: self.x[self.ways[i][-2]])
            width = self.sizes[target][0] / len(arrows)
            for place, i in enumerate(arrows):
                ports[i] = round(corners[target][0] + (place + 0.5) * width, 1)
        return ports


def _crossings(left: Sequence[int], right: Sequence[int]) -> int:
    """How often the arrows of two neighbours cross, by the places of their other ends in ascending order."""
    return sum(bisect.bisect_left(right, end) for end in left)


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)
