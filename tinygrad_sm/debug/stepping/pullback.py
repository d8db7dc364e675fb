"""One operation's derivative by itself: what it sends back to one operand for any cotangent, not for the recorded one.

A rule is linear in the cotangent, so it is known by its factors. Read `sums.py` and `paths.py` next, which ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_sm.engine.tape import RECORDING, Edge, Node, Sweep
from tinygrad_sm.engine.tensor import Tensor, from_edge
from tinygrad_sm.engine.transforms import gradients
from tinygrad_sm.errors import ArgumentError

MOST_UNITS = 10_000  # elements of an output for which a rule is called once each


def pull_back(node: Node, position: int, cotangents: Sequence[Any], *, recorded: bool = False) -> Any:
    """What the rule for one operand makes of cotangents, one for each output: summed to the operand's shape.

    With recorded=True the cotangents are tensors, and so is the result. The node is swept alone, as a copy, so that
    the engine does here what it does in `backward`.
    """
    parents: list[Edge | None] = [
        (Node(None, (), {}, (), value, where=node.where), 0) if edge else None
        for value, edge in zip(node.args, node.parents, strict=True)
    ]
    alone = Node(node.op, node.args, node.kwargs, tuple(parents), node.out, where=node.where)
    target = parents[position]
    assert target is not None  # only operands that carry a gradient are asked for
    sweep = Sweep((alone, 0), cotangents[0], targets=[target], wrap=from_edge if recorded else None)
    sweep.cotangents.update({(alone, i): g for i, g in enumerate(cotangents)})
    with sweep:
        for rule, arguments, options in sweep:
            sweep.contribution = rule(*arguments, **options)
    return sweep.cotangents[target]


def factors_by_derivative(node: Node, position: int, index: tuple[int, ...], cotangents: Sequence[Any]) -> list[Any]:
    """The factor of every element of every cotangent in one element of a contribution: its derivative by the cotangent.

    Raises an error of ours where the rule does not run on tensors.
    """
    leaves = [Tensor(g, requires_grad=True) for g in cotangents]
    token = RECORDING.set(True)  # whatever the user's code has switched off
    try:
        element = pull_back(node, position, leaves, recorded=True)[index]
        if not (isinstance(element, Tensor) and element.requires_grad):
            return [np.zeros(leaf.shape) for leaf in leaves]
        return [each.data for each in gradients(element, leaves)]
    finally:
        RECORDING.reset(token)


def factors_by_units(node: Node, position: int, index: tuple[int, ...], cotangents: Sequence[Any]) -> list[Any]:
    """The same from the answers to unit cotangents, one call for each element. ArgumentError where they are many."""
    size = sum(g.size for g in cotangents)
    if size > MOST_UNITS:
        what = f"the rule does not run on tensors, and its cotangent has {size} elements, too many to try one by one"
        raise ArgumentError(what, remedy="record a smaller example")
    found = [np.zeros(g.shape) for g in cotangents]
    for i, factors in enumerate(found):
        for place in np.ndindex(factors.shape):
            units = [np.zeros_like(g) for g in cotangents]
            units[i][place] = 1
            factors[place] = pull_back(node, position, units)[index]
    return found
