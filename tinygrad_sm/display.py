"""How values, nodes and tapes are written in one line: in messages, at the prompt and in a debugger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def describe(value: Any) -> str:
    """Shape and dtype of an array, the repr of anything else: how arguments appear in messages."""
    if hasattr(value, "shape") and hasattr(value, "dtype") and not isinstance(value, (type, np.integer)):
        return f"{value.shape} {value.dtype}"
    if isinstance(value, (list, tuple)) and any(hasattr(item, "shape") for item in value):
        return "[" + ", ".join(describe(item) for item in value) + "]"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def argument(op: Any, position: int) -> str:
    """Name of the operation's argument at a position, `arrays[1]` for an operand of a variadic one."""
    return f"{op.parameters[0]}[{position}]" if op.variadic else str(op.parameters[position])


def brief(array: Any) -> str:
    """The values of an array on one line, the middle of a long one left out."""
    with np.errstate(all="ignore"):  # a repr raises in no situation in which a debugger may ask for it
        text = np.array2string(array, precision=4, threshold=20, edgeitems=2, separator=", ")
    return " ".join(text.split())


def node_shapes(node: Any) -> str:
    """Shapes of the outputs of a node."""
    return ", ".join(str(value.shape) for value in node.values)


def listing(nodes: Sequence[Any]) -> str:
    """A tape, one line a node: index, operation, inputs, shapes, and the user's line and expression."""
    index = {id(node): i for i, node in enumerate(nodes)}
    rows = []
    for i, node in enumerate(nodes):
        edges = zip(node.args, node.parents, strict=True)
        inputs = [f"[{index[id(edge[0])]}] {value.shape}" if edge else describe(value) for value, edge in edges]
        call = f"{node.name}({', '.join(inputs)}) ->" if node.op else node.name
        place = f"{node.location}  {node.location.expression}" if node.location else ""
        rows.append((f"[{i}] {call} {node_shapes(node)}", place))
    if len(rows) > 100:  # a debugger may ask at any moment for the repr of a long tape
        rows[50:-50] = [(f"... {len(rows) - 100} more ...", "")]
    width = max((len(call) for call, _ in rows), default=0)
    return "\n".join(f"{call:<{width}}  {place}".rstrip() for call, place in rows)
