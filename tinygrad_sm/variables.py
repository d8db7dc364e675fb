"""Which arguments a derivative is taken by, and which leaves of a tape are variables of an earlier one.

A derivative that can itself be differentiated leads back to the variables it was taken by. They are nobody's any more:
a surrounding derivative that meets them has met no tensor of the user's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from weakref import WeakSet

import numpy as np

from tinygrad_sm.errors import ArgumentError, GradientError

# What to do where a function that is to be differentiated returned no tensor.
TENSORS = "compute it from the tensors that the function is given; tg.Tensor(value) is a constant that has no slope"

_PAST: WeakSet[Any] = WeakSet()  # the nodes of such variables, while a tape holds them


def positions_of(transform: str, argnum: Any, count: int) -> tuple[list[int], bool]:
    """The positions of the arguments to differentiate by, and whether one was asked for rather than a sequence."""
    single = not np.iterable(argnum)
    asked = [argnum] if single else list(argnum)
    if not asked:
        raise ArgumentError(f"{transform}: no argument to differentiate by", remedy="name one: argnum=0")
    if not all(isinstance(i, (int, np.integer)) and type(i) is not bool and 0 <= i < count for i in asked):
        problem = f"{transform}: no positional argument {argnum!r} among the {count} given"
        raise GradientError(problem, remedy="argnum counts from 0: the first is argnum=0, the first two argnum=(0, 1)")
    if len(set(asked)) < len(asked):
        raise ArgumentError(f"{transform}: argnum={argnum} names an argument twice", remedy="name each one once")
    return [int(i) for i in asked], single


def involves_others(nodes: Iterable[Any], own: Iterable[Any]) -> bool:
    """Whether there is a leaf among the nodes of a tape besides those of the own edges and of variables of the past.

    The own ones are variables of the past from now on.
    """
    mine = {node for node, _ in own}
    found = any(node.op is None and node not in mine and node not in _PAST for node in nodes)
    _PAST.update(mine)
    return found
