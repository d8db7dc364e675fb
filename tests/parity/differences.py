"""Where this library answers otherwise than PyTorch on purpose, and why; `make parity` prints the list.

A difference names PyTorch's functions, what differs and the reason. `when` tells from the arguments of a call whether it
is one of those; a difference in any other call is a mistake.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

GRADIENTS = ("gradient", "second derivative")
EVERYTHING = ("value", *GRADIENTS)


@dataclass
class Difference:
    """A deliberate difference in some calls of some functions."""

    names: tuple[str, ...]
    reason: str
    when: Callable[..., bool]
    what: tuple[str, ...] = GRADIENTS

    def is_about(self, call: Any) -> bool:
        """Whether the call is one in which the answers may differ."""
        return call.name in self.names and bool(self.when(**call.arguments))


DIFFERENCES: list[Difference] = []
