"""The chain rule, path by path: what every path from the output to a value adds to its gradient, and that it adds up.

Paths are counted before they are listed, since their number may grow exponentially with the length of a tape. Nothing
here calls itself: a path may be 100,000 operations long.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from tinygrad_sm.debug.recording import Recording
from tinygrad_sm.debug.stepping.pullback import pull_back
from tinygrad_sm.debug.text import WIDTH, number, shape, values, wrapped
from tinygrad_sm.engine.tape import Edge, Node

MOST_PATHS = 200  # that are listed
MOST_RULES = 200_000  # that are called for it
CEILING = 10**18  # counts go no further: exact ones of a long tape would have thousands of digits
SHOWN = 4  # operations at each end of a long path

# The way so far from the output on, a node, and the position of the operand that the way leaves it by.
Path: TypeAlias = "tuple[Path | None, Node, int]"


def paths(recording: Recording, target: Edge) -> str:
    """Every path to a value with its contribution, or by the last operation where they are too many; and the proof."""
    counts = count_paths(recording, target)
    count, work = counts.get(target, 0), sum(counts.values())
    name, gradient = recording.names.gradient(target), recording.cotangents.get(target)
    if gradient is None or count == 0 or target == recording.edge:
        return f" no path: {name} is {'where backward starts' if gradient is not None else 'zero everywhere'}"
    if count <= MOST_PATHS and work <= MOST_RULES:
        many = f"{count} path{'s' * (count > 1)}"
        parts = [(_names(recording, target, path), value) for path, value in walk(recording, target, counts)]
    else:
        many = f"{_count(count)} paths, too many to list; by their last step"
        parts = _by_last_step(recording, target, counts)
    lines = wrapped(f"{name} {shape(gradient)} is the sum over {many}:", " ")
    total = np.zeros(gradient.shape)
    for i, (text, value) in enumerate(parts, start=1):
        lines += _shown(f" {i:>3}  ", text, value)
        with np.errstate(all="ignore"):  # of infinities and NaN, which are shown
            total = total + value
    return "\n".join([*lines, *_proof(name, gradient, total)])


def _by_last_step(recording: Recording, target: Edge, counts: dict[Edge, int]) -> list[tuple[str, Any]]:
    """All paths put together that reach a value from the same operation."""
    parts = []
    for step, each in recording.contributions_to(target):
        through = sum(counts.get((step.node, i), 0) for i in range(len(step.node.values)))
        parts.append((f"from [{step.number}] {step.op.name}, {_count(through)} paths", each.value))
    return parts


def _count(count: int) -> str:
    return f"{count:,}" if count < CEILING else "more than 10**18"


def count_paths(recording: Recording, target: Edge) -> dict[Edge, int]:
    """How many paths lead from the output to every value on the way to the target, the target included."""
    leads = {target[0]}
    for node in recording.nodes:  # oldest first
        if any(edge and edge[0] in leads and (edge[0] is not target[0] or edge == target) for edge in node.parents):
            leads.add(node)
    root = recording.edge
    counts: dict[Edge, int] = {root: 1} if root[0] in leads else {}
    for node in reversed(recording.nodes):
        through = min(CEILING, sum(counts.get((node, i), 0) for i in range(len(node.values))))
        for edge in node.parents if through else ():
            if edge and edge[0] in leads and (edge[0] is not target[0] or edge == target):
                counts[edge] = min(CEILING, counts.get(edge, 0) + through)
    return counts


def walk(recording: Recording, target: Edge, counts: dict[Edge, int]) -> Iterator[tuple[Path | None, Any]]:
    """Every path from the output to the target with what it alone contributes to the gradient."""
    root = recording.edge
    waiting: list[tuple[Edge, Any, Path | None]] = [(root, recording.cotangents[root], None)]
    while waiting:
        edge, g, path = waiting.pop()
        if edge == target:
            yield path, g
            continue
        node = edge[0]
        cotangents = [g if i == edge[1] else np.zeros_like(value) for i, value in enumerate(node.values)]
        for position, parent in enumerate(node.parents):
            if parent in counts:
                waiting.append((parent, pull_back(node, position, cotangents), (path, node, position)))


def _names(recording: Recording, target: Edge, path: Path | None) -> str:
    """The operations on a path in the order in which they ran, the middle of a long one left out."""
    nodes = []
    while path:
        path, node, _ = path
        nodes.append(node)
    texts = [f"[{recording.names.number[node]}] {node.name}" for node in nodes]
    if len(texts) > 2 * SHOWN + 1:
        texts[SHOWN:-SHOWN] = [f"... {len(texts) - 2 * SHOWN:,} more ..."]
    return " -> ".join([recording.names.of(*target), *texts])


def _shown(label: str, text: str, value: Any) -> list[str]:
    """A line for one part of the sum, or two."""
    room = WIDTH - len(label) - len(text) - 2
    if room >= 16 or room >= len(values(value, WIDTH)):
        return [f"{label}{text}  {values(value, room)}"]
    indent = " " * len(label)
    return [*wrapped(text, indent, label), f"{indent}  {values(value, WIDTH - len(indent) - 2)}"]


def _proof(name: str, gradient: Any, total: Any) -> list[str]:
    """How far the sum of all parts is from the gradient that was recorded."""
    with np.errstate(all="ignore"):
        same = (gradient == total) | (np.isnan(gradient) & np.isnan(total))
        distance = np.where(same, 0.0, np.abs(gradient - total)).max(initial=0.0)
    return wrapped(f"they add up to {name}; largest difference {number(distance)}", " ")
