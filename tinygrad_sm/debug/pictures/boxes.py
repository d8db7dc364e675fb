"""What is written in the boxes of a graph: names, shapes, values, gradients, lines. Read `graph.py` next."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tinygrad_sm.debug.literals import literal
from tinygrad_sm.debug.pictures.folding import Folding, Group, Source, incoming
from tinygrad_sm.debug.pictures.letters import printable
from tinygrad_sm.debug.recording import Recording
from tinygrad_sm.debug.text import NOT_YET, number, shape, values
from tinygrad_sm.engine.tape import Edge, Node
from tinygrad_sm.location import Location
from tinygrad_sm.numpy_calls import flat

FEW_VALUES = 6  # as many numbers stand in a box themselves, more than these by their mean and spread
FORMULAS = 2_000  # nodes on a tape; beyond, working out each formula takes longer than one would wait
ROOM = 30  # characters in a row

Row: TypeAlias = tuple[str, str]  # a label and what it says


@dataclass(frozen=True, eq=False, slots=True)
class Box:
    """A box: its kind, the numbers of the nodes that it stands for, and its text."""

    kind: str  # "leaf", "constant", "op" or "module"
    nodes: tuple[int, ...]  # none for a constant, which is no node of the tape
    name: str
    what: str  # the operation, or what kind of thing it is
    rows: tuple[Row, ...]
    place: str = ""  # where in the user's code it was made
    code: str = ""  # the user's expression there
    formula: str = ""  # what it computes and its derivatives, where there is room for them


class Writer:
    """What is written in the boxes of one recording."""

    def __init__(self, recording: Recording, gradients: bool) -> None:
        self.recording = recording
        self.gradients = gradients
        self.names = recording.names
        self.number = recording.names.number
        self.added = {each.edge: each.count for step in recording.backward for each in step.contributions}
        places = [node.location for node in recording.nodes]
        self.files = {place.filename for place in places if place}

    def sources(self, sources: tuple[Source, ...], constants: dict[int, Any]) -> Box:
        """The box of a leaf or a constant, or of a crowd of them."""
        arrays = [source.out if isinstance(source, Node) else constants[source] for source in sources]
        nodes = [source for source in sources if isinstance(source, Node)]
        kind = "leaf" if nodes else "constant"
        numbers = tuple(self.number[node] for node in nodes)
        if len(arrays) > 1:
            plural = "leaves" if nodes else "constants"
            rows = (("holds", _sizes(arrays)), *self._norm(nodes, ""))
            return Box(kind, numbers, f"{len(arrays):,} {plural}", plural, rows)
        if not nodes:
            return Box(kind, (), self.names.constant(arrays[0]) or "constant", "constant", _value_rows(arrays[0]))
        node = nodes[0]
        rows = (*_value_rows(node.out), *self._gradient((node, 0)))
        return Box(kind, numbers, self.names.of(node), "leaf", rows, *self._place(node.location))

    def group(self, group: Group, folding: Folding) -> Box:
        """The box of an operation, or of several with what is drawn within it."""
        index = folding.groups.index(group) if group.name else -1
        within = [source for source, at in folding.inside.items() if at == index] if group.name else []
        if len(group.nodes) == 1 and not within:
            return self._operation(group.nodes[0])
        return self._module(group, within)

    def _operation(self, node: Node) -> Box:
        """The box of one operation."""
        assert node.op is not None
        outputs = [(node, i) for i in range(len(node.values))]
        rows: list[Row] = []
        for edge in outputs[:3]:
            label = f"{self.names.of(*edge)} " if len(outputs) > 1 else ""
            shape, value = _value_rows(edge[0].values[edge[1]])
            rows += [(shape[0], label + shape[1]), value, *self._gradient(edge)]
        if len(outputs) > 3:
            rows.append(("", f"... {len(outputs) - 3} more outputs"))
        names = ", ".join(self.names.of(*edge) for edge in outputs[:3])
        place = self._place(node.location)
        return Box("op", (self.number[node],), names, self._call(node), tuple(rows), *place, self._formula(node))

    def _module(self, group: Group, within: Sequence[Source]) -> Box:
        """The box of a layer, of the passes of a loop, or of anything else that was folded."""
        leaves = [source for source in within if isinstance(source, Node)]
        arrays = [leaf.out for leaf in leaves]
        count = len(group.nodes)
        rows: list[Row] = [("holds", f"{count:,} operation{'s' * (count != 1)}")]
        if leaves:
            rows.append(("", f"{len(leaves):,} {'leaves' if len(leaves) > 1 else 'leaf'}, {_sizes(arrays)}"))
        leaving = self._leaving(group)
        shapes = _shapes(self._entering(group)), _shapes([edge[0].values[edge[1]] for edge in leaving])
        rows.append(("shape", " -> ".join(shapes)))
        rows += [*self._norm_of(leaving, "at the output"), *self._norm(leaves, "in its leaves")]
        numbers = tuple(sorted(self.number[node] for node in (*leaves, *group.nodes)))
        kinds = dict.fromkeys(node.module.rpartition(".")[2] or node.name for node in group.nodes)
        what = ", ".join(itertools.islice(kinds, 4))
        return Box("module", numbers, group.name, what, tuple(rows), *self._places(group.nodes))

    def _call(self, node: Node) -> str:
        """The operation with those of its arguments that are no arrays."""
        op = node.op
        assert op is not None
        options = list(node.kwargs.items())
        if not op.variadic:
            options = [*zip(op.parameters, node.args, strict=False), *options]
        plain = [
            (name, value) for name, value in options if not any(isinstance(each, np.ndarray) for each in flat([value]))
        ]
        return " ".join([op.name, *(f"{name}={literal(value)}" for name, value in plain if value is not None)])

    def _formula(self, node: Node) -> str:
        """What a node computes and what its rules do, in the user's names."""
        if len(node.args) > FEW_VALUES or len(self.recording.nodes) > FORMULAS:
            return ""
        positions = [i for i, edge in enumerate(node.parents) if edge] if self.gradients else []
        rules = [self.recording.rule_formula(node, position) for position in positions]
        return "\n".join([self.recording.forward_formula(node), *rules])

    def _gradient(self, edge: Edge) -> Iterator[Row]:
        """The gradient of a value, and of how many contributions it is the sum."""
        if not self.gradients:
            return
        if not self.recording.cotangents:
            yield "grad", NOT_YET
            return
        value = self.recording.cotangents.get(edge)
        text = "0, nothing came back" if value is None else _gradient_text(value)
        count = self.added.get(edge, 1)
        yield "grad", text
        if count > 1:
            yield "", f"the sum of {count:,} contributions"

    def _norm(self, leaves: Sequence[Node], of_what: str) -> Iterator[Row]:
        return self._norm_of([(leaf, 0) for leaf in leaves], of_what)

    def _norm_of(self, edges: Sequence[Edge], of_what: str) -> Iterator[Row]:
        """The norm of several gradients taken together."""
        if self.gradients and edges:
            found = [self.recording.cotangents[edge] for edge in edges if edge in self.recording.cotangents]
            text = f"norm {number(_norm(found))}" if found else NOT_YET
            yield "grad", f"{text} {of_what}".rstrip()

    def _entering(self, group: Group) -> list[Any]:
        """The arrays that came to a group from other operations; its constants if none did, or else its leaves."""
        own = set(group.nodes)
        given = [each for node in group.nodes for each in incoming(node) if not (each.edge and each.edge[0] in own)]
        computed = [each for each in given if each.source is None]
        constants = [each for each in given if each.edge is None]
        return list({id(each.value): each.value for each in computed or constants or given}.values())

    def _leaving(self, group: Group) -> list[Edge]:
        """The values of a group that something outside of it reads, and the output of the whole."""
        own = set(group.nodes)
        edges = [(node, i) for node in group.nodes for i in range(len(node.values))]
        readers = self.recording.readers
        root = self.recording.edge
        return [edge for edge in edges if edge == root or any(reader not in own for reader, _ in readers.get(edge, ()))]

    def _place(self, location: Location | None) -> tuple[str, str]:
        """The line, with the name of the file where there are several, and the expression."""
        if not location:
            return "", ""
        return f"{self._file(location)}line {location.line}", printable(location.expression)

    def _places(self, nodes: Iterable[Node]) -> tuple[str, str]:
        """The lines of one file that several operations stand on, with the expression if it is one line."""
        found = {(each.filename, each.line): each for each in (node.location for node in nodes) if each}
        if len(found) == 1:
            return self._place(next(iter(found.values())))
        if len({filename for filename, _ in found}) != 1:
            return "", ""
        lines = sorted(line for _, line in found)
        return f"{self._file(next(iter(found.values())))}lines {lines[0]} to {lines[-1]}", ""

    def _file(self, location: Location) -> str:
        return "" if len(self.files) == 1 else f"{printable(os.path.basename(str(location)).rpartition(':')[0])} "


def _value_rows(value: Any) -> tuple[Row, Row]:
    """The shape and type of an array, and its values or what they are like."""
    return ("shape", f"{value.shape} {value.dtype}"), ("value", _value_text(value))


def _value_text(value: Any) -> str:
    """The values themselves if they are few, their mean and spread if they are many."""
    found = _few_or_strange(value)
    if found:
        return found
    if (value == value.flat[0]).all():
        return f"all {number(value.flat[0])}"
    if value.dtype.kind == "b":
        return f"{np.count_nonzero(value):,} of {value.size:,} true"
    if value.dtype.kind in "iu":
        return f"from {value.min()} to {value.max()}"
    with np.errstate(all="ignore"):
        wide = value.astype(float)
        return f"mean {number(wide.mean())} std {number(wide.std())}"


def _gradient_text(value: Any) -> str:
    """The values themselves if they are few, their norm and the largest if they are many."""
    largest = np.abs(value).max(initial=0)
    return _few_or_strange(value) or f"norm {number(_norm([value]))} max {number(largest)}"


def _few_or_strange(value: Any) -> str:
    """What is to be said of an empty array, of one with few values, and of one with NaN or infinities."""
    if not value.size:
        return "empty"
    text = values(value, ROOM) if value.size <= FEW_VALUES else "..."
    if not text.endswith("..."):
        return text
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        return f"{np.isnan(value).sum():,} NaN, {np.isinf(value).sum():,} inf of {value.size:,}"
    return ""


def _norm(arrays: Sequence[Any]) -> float:
    """The Euclidean norm of all numbers together, scaled so that no square overflows."""
    largest = max((float(np.abs(array).max(initial=0)) for array in arrays), default=0.0)
    if not largest or not np.isfinite(largest):
        return largest
    return float(largest * np.sqrt(sum(float(np.square(array / largest, dtype=float).sum()) for array in arrays)))


def _sizes(arrays: Sequence[Any]) -> str:
    """How many numbers there are in arrays."""
    count = sum(array.size for array in arrays)
    return f"{count:,} number{'s' * (count != 1)}"


def _shapes(arrays: Sequence[Any]) -> str:
    """The shapes of arrays, the first of many."""
    found = [shape(array) for array in arrays]
    return ", ".join(found[:2]) + ", ..." * (len(found) > 2) or NOT_YET
