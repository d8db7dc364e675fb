"""Which operations share a box in the picture of a graph that is too large to be drawn one by one.

Only operations that ran one after the other are put together, so that no arrow between boxes can lead in a circle.
First come the layers of the model, by the paths of its modules; then what repeats itself, as the passes of a loop do.
Read `graph.py` next, which draws boxes around the groups.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tinygrad_sm.display import argument
from tinygrad_sm.engine.tape import Edge, Node
from tinygrad_sm.numpy_calls import flat

FEW = 40  # boxes that are still seen at a glance: a larger graph is folded to as many
MOST = 400  # boxes that a picture has at the most
COARSE = 6  # with fewer boxes than these a fold hides more than it shows
CROWD = 12  # leaves or constants that the same operation reads: as many are still drawn one by one
LONGEST = 500  # operations in one pass of a loop

Source: TypeAlias = "Node | int"  # a leaf, or the id of a constant
Readers: TypeAlias = dict[Source, list[int]]  # the groups that read it, by their numbers


@dataclass(frozen=True, eq=False, slots=True)
class Group:
    """Operations that ran one after the other, and what they are called together."""

    nodes: tuple[Node, ...]
    name: str = ""  # empty for an operation that stands for itself


@dataclass(frozen=True, eq=False, slots=True)
class Folding:
    """The operations in groups, oldest first, and the leaves and constants that are drawn outside of them."""

    groups: list[Group]
    outside: list[tuple[Source, ...]]  # several to a box where very many have the same readers
    inside: dict[Source, int]  # the others, with the number of the group that they are drawn within


@dataclass(frozen=True, eq=False, slots=True)
class Incoming:
    """An array that an operation was given: by which argument, and from where."""

    argument: str
    value: Any
    edge: Edge | None  # None for a constant

    @property
    def source(self) -> Source | None:
        """The leaf or the constant that it is; None for what another operation computed."""
        if self.edge is None:
            return id(self.value)
        return self.edge[0] if self.edge[0].op is None else None


def incoming(node: Node) -> Iterator[Incoming]:
    """The arrays that an operation was given, in the order of its arguments; numbers and axes are none."""
    for position, (value, edge) in enumerate(zip(node.args, node.parents, strict=True)):
        for array in [value] if edge else flat([value]):
            if edge or isinstance(array, np.ndarray):
                yield Incoming(argument(node.op, position), array, edge)
    for option, value in node.kwargs.items():
        for array in flat([value]):
            if isinstance(array, np.ndarray):
                yield Incoming(option, array, None)


def folded(operations: Sequence[Node], fold: bool | None) -> Folding:
    """The operations in groups: if `fold` is true or, if it is None, where a box for each of them would be too many."""
    alone = [Group((node,)) for node in operations]
    whole = _folding(alone, crowd=len(operations) * MOST)
    boxes = len(whole.groups) + len(whole.outside)
    if boxes <= (MOST if fold is False else FEW) and not fold:
        return whole
    if fold is False:
        return _folding(_shortened(alone))
    groups = _by_module(operations)
    if not any(group.name for group in groups) and count(groups) <= FEW:
        return _folding(_repeats_folded(groups) or groups)
    return _folding(_reduced(groups))


def _folding(groups: list[Group], crowd: int = CROWD) -> Folding:
    """The groups with everything that they read; constants are drawn outside where there is room for them."""
    readers = _readers(groups)
    inside = _inside(groups, readers)
    outside = _outside(readers, inside, crowd)
    constants = [source for source in inside if isinstance(source, int)]
    if len(groups) + len(outside) + len(constants) <= FEW:
        inside = {source: number for source, number in inside.items() if source not in constants}
        outside = _outside(readers, inside, crowd)
    return Folding(groups, outside, inside)


def count(groups: Sequence[Group]) -> int:
    """How many boxes a picture of the groups has, with those for leaves and constants."""
    readers = _readers(groups)
    return len(groups) + len(_outside(readers, _inside(groups, readers), CROWD))


def _readers(groups: Sequence[Group]) -> Readers:
    """Which groups read each leaf and each constant, by their number."""
    found: Readers = {}
    for number, group in enumerate(groups):
        for node in group.nodes:
            for each in incoming(node):
                if each.source is not None and number not in found.setdefault(each.source, [])[-1:]:
                    found[each.source].append(number)
    return found


def _inside(groups: Sequence[Group], readers: Readers) -> dict[Source, int]:
    """The leaves and constants that only one group reads, and a named one: its parameters."""
    return {source: numbers[0] for source, numbers in readers.items() if len(numbers) == 1 and groups[numbers[0]].name}


def _outside(readers: Readers, inside: Collection[Source], crowd: int) -> list[tuple[Source, ...]]:
    """The other leaves and constants, each alone, or together if the same groups read a crowd of them."""
    together: dict[Any, list[Source]] = {}
    for source, numbers in readers.items():
        if source not in inside:
            together.setdefault((tuple(numbers), isinstance(source, int)), []).append(source)
    found: list[tuple[Source, ...]] = []
    for sources in together.values():
        found += [tuple(sources)] if len(sources) > crowd else [(source,) for source in sources]
    return found


def _shortened(alone: list[Group]) -> list[Group]:
    """All operations, or the first and the last of too many, the others in one group between them."""
    boxes = count(alone)
    groups, shown = alone, MOST * len(alone) // max(boxes, 1)
    while boxes > MOST and shown > 1:
        half = shown // 2
        between = alone[half : len(alone) - half]
        groups = [*alone[:half], _merged(between, f"{len(between):,} operations"), *alone[len(alone) - half :]]
        boxes, shown = count(groups), shown * 9 // 10
    return groups


def _by_module(operations: Sequence[Node]) -> list[Group]:
    """The groups of the longest module paths that leave few boxes; of paths longer by one where that leaves too few."""
    deepest = max((len(_path(node)) for node in operations), default=0)
    finer: list[Group] = []
    for depth in range(deepest, 0, -1):
        groups = _runs(operations, depth)
        boxes = count(groups)
        if boxes < COARSE and finer:
            return finer
        if boxes <= FEW:
            return groups
        finer = groups
    return finer or [Group((node,)) for node in operations]


def _path(node: Node) -> tuple[str, ...]:
    """The path of the module that ran an operation, without the name of its class."""
    return tuple(node.module.split(".")[:-1])


def _runs(operations: Sequence[Node], depth: int) -> list[Group]:
    """The operations by the first parts of their module's path; those of no module each alone."""
    found: list[Group] = []
    for path, run in itertools.groupby(operations, key=lambda node: _path(node)[:depth]):
        nodes = list(run)
        if path:
            found += _calls(nodes, "layer " * path[0].isdigit() + ".".join(path))
        else:
            found += [Group((node,)) for node in nodes]
    return found


def _calls(nodes: list[Node], name: str) -> list[Group]:
    """One group, or one for each call where a module ran the very same operations several times in a row."""
    if len({node.module for node in nodes}) == 1:
        _, period, length = _repetition(_marks([Group((node,)) for node in nodes], _place))
        if length == len(nodes) and length % period == 0:
            starts = range(0, length, period)
            return [
                Group(tuple(nodes[start : start + period]), f"{name}, call {i}") for i, start in enumerate(starts, 1)
            ]
    return [Group(tuple(nodes), name)]


def _reduced(groups: list[Group]) -> list[Group]:
    """The groups, with what repeats itself put together until they are few; in equal parts where nothing does."""
    while count(groups) > FEW:
        smaller = _repeats_folded(groups)
        if not smaller:
            return _equal_parts(groups)
        groups = smaller
    return groups


def _equal_parts(groups: list[Group]) -> list[Group]:
    """The groups in as many parts of the same length as there is room for."""
    size = -(-len(groups) // (FEW // 2))
    return [_merged(groups[i : i + size]) for i in range(0, len(groups), size)]


def _repeats_folded(groups: list[Group]) -> list[Group]:
    """The groups with the longest repetition folded, so many passes to a group that few are left; [] if there is none.

    A pass of a loop runs the same lines again; where that finds nothing, the same operations written out again will do.
    """
    for mark in (_place, _operation):
        start, period, length = _repetition(_marks(groups, mark))
        shift = _first_of_pass(groups[start : start + period])
        start, passes = start + shift, (length - shift) // period
        if passes < 2:
            continue
        folded = _passes_folded(groups, start, period, passes, passes)
        room = max(FEW + 1 - count(folded), 1)
        several = max(-(-passes // room), 1 if period > 1 else 2)
        while several < passes:
            fewer = _passes_folded(groups, start, period, passes, several)
            if count(fewer) <= FEW:
                return fewer
            several = max(several + 1, several * 5 // 4)
        if len(folded) < len(groups):
            return folded
    return []


def _passes_folded(groups: list[Group], start: int, period: int, passes: int, several: int) -> list[Group]:
    """The groups with `several` passes at a time as one, of the passes that begin at `start`."""
    folded = groups[:start]
    for first in range(0, passes, several):
        last = min(first + several, passes)
        part = groups[start + first * period : start + last * period]
        name = f"pass {last}" if last == first + 1 else f"passes {first + 1:,} to {last:,}"
        folded.append(_merged(part, f"{name} of {passes:,}"))
    return folded + groups[start + passes * period :]


def _merged(groups: Sequence[Group], name: str = "") -> Group:
    """One group of several: called by the first and the last that has a name, or else by the name given."""
    names = [group.name for group in groups if group.name]
    if len(names) > 1 and " of " not in names[0]:
        name = f"{names[0].partition(' to ')[0]} to {names[-1].rpartition(' to ')[2]}"
    nodes = tuple(node for group in groups for node in group.nodes)
    return Group(nodes, name or (names[0] if names else f"{len(nodes):,} operations"))


def _place(node: Node) -> Any:
    """What an operation has in common with its like in the next pass of a loop: the place in the code, the layer."""
    return node.op, node.module.rpartition(".")[2], node.where and (id(node.where[0]), node.where[1])


def _operation(node: Node) -> Any:
    """What an operation has in common with its like on another line."""
    return node.op, node.module.rpartition(".")[2]


def _marks(groups: Sequence[Group], mark: Callable[[Node], Any]) -> np.ndarray[Any, Any]:
    """A number for each group, the same for groups whose operations have the same marks."""
    known: dict[Any, int] = {}
    return np.array([known.setdefault(tuple(map(mark, group.nodes)), len(known)) for group in groups], dtype=int)


def _repetition(marks: np.ndarray[Any, Any]) -> tuple[int, int, int]:
    """Where the longest repetition starts, how long a pass of it is, and how long the whole: 0 if there is none.

    Of two with as many whole passes' length, the one with the shorter pass.
    """
    best, covered = (0, 1, 0), 0
    for period in range(1, min(len(marks) // 2, LONGEST) + 1):
        different = np.flatnonzero(marks[:-period] != marks[period:])
        bounds = np.concatenate([[-1], different, [len(marks) - period]])
        lengths = np.diff(bounds) - 1
        longest = int(lengths.argmax())
        length = int(lengths[longest]) + period
        whole = length // period * period
        if whole > max(covered, period):
            best, covered = (int(bounds[longest]) + 1, period, length), whole
    return best


def _first_of_pass(groups: Sequence[Group]) -> int:
    """Which of the groups of a pass the loop begins with: the one that stands first in the code."""
    offsets = [node.where[1] if node.where else 0 for node in (group.nodes[0] for group in groups)]
    return offsets.index(min(offsets))
