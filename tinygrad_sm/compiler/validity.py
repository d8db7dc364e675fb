"""Whether a program still holds, asked before each call: code is written for the question, since it is asked so often.

A loop over the tensors and settings takes 3 microseconds, a tenth of a small step; a function that names them all 0.7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


class Conditions:
    """Comparisons of expressions with values, which become one function; in expressions `name(value)` is a value."""

    def __init__(self) -> None:
        self.namespace: dict[str, Any] = {"__name__": __name__}
        self.lines: list[str] = []

    def name(self, value: Any) -> str:
        """A name for a value."""
        name = f"v{len(self.namespace)}"
        self.namespace[name] = value
        return name

    def same(self, expression: str, value: Any) -> None:
        """The expression is this very object."""
        self.lines.append(f"{expression} is {self.name(value)}")

    def equal(self, expression: str, value: Any) -> None:
        """The expression equals a value."""
        self.lines.append(f"{expression} == {self.name(value)}")

    def alike(self, expression: str, value: Any) -> None:
        """The expression is a value such as a number or a word: this object, or one of its type that equals it."""
        name, kind = self.name(value), self.name(type(value))
        self.lines.append(f"({expression} is {name} or (type({expression}) is {kind} and {expression} == {name}))")

    def array_like(self, argument: str, array: Any) -> None:
        """An argument is an array of the same shape, type and layout as another."""
        self.same(f"type({argument})", np.ndarray)
        self.equal(f"{argument}.shape", array.shape)
        self.equal(f"{argument}.strides", array.strides)
        self.same(f"{argument}.dtype", array.dtype)

    def function(self, arguments: Sequence[str]) -> Callable[..., bool]:
        """The function that says whether all of them are met."""
        body = " and ".join(self.lines) or "True"
        exec(f"def holds({', '.join(arguments)}):\n    return {body}\n", self.namespace)
        found: Callable[..., bool] = self.namespace["holds"]
        return found
