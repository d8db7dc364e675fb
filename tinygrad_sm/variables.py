"""Which leaves of a tape are variables of a derivative that has been taken already.

A derivative that can itself be differentiated leads back to the variables it was taken by. They are nobody's any more:
a surrounding derivative that meets them has met no tensor of the user's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from weakref import WeakSet

_PAST: WeakSet[Any] = WeakSet()  # the nodes of such variables, while a tape holds them


def involves_others(nodes: Iterable[Any], own: Iterable[Any]) -> bool:
    """Whether there is a leaf among the nodes of a tape besides those of the own edges and of variables of the past.

    The own ones are variables of the past from now on.
    """
    mine = {node for node, _ in own}
    found = any(node.op is None and node not in mine and node not in _PAST for node in nodes)
    _PAST.update(mine)
    return found
