"""What a function reads besides its arguments: variables of its module and of the functions around it.

A program has the arrays and numbers in it that these were when it was made. They are looked at before each call, so
that `x` and `y` of a loop over batches are not those of the first batch for ever.
"""

from __future__ import annotations

import inspect
import operator
import types
from collections.abc import Callable, Iterator
from typing import Any

from tinygrad_sm.compiler.validity import Conditions

SIMPLE = (bool, int, float, str, bytes, type(None))
CODE = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType, type)


class Surroundings:
    """The variables of a function that hold data: what they are called, and what they were to begin with."""

    def __init__(self, function: Callable[..., Any]) -> None:
        plain = inspect.unwrap(function)
        plain = getattr(plain, "__func__", plain)
        code = getattr(plain, "__code__", None)
        self.namespace: dict[str, Any] = getattr(plain, "__globals__", {})
        names = dict.fromkeys(_names(code)) if code else {}
        self.names = [name for name in names if name in self.namespace and _is_data(self.namespace[name])]
        cells = zip(code.co_freevars, plain.__closure__ or (), strict=False) if code else ()
        self.cells = {name: cell for name, cell in cells if _is_filled(cell) and _is_data(cell.cell_contents)}
        self.values = self._now()

    def _now(self) -> list[Any]:
        found = [self.namespace.get(name) for name in self.names]
        return found + [cell.cell_contents for cell in self.cells.values()] if self.cells else found

    def expect(self, conditions: Conditions) -> None:
        """Make it a condition that every variable holds what it held."""
        for name, value in zip((*self.names, *self.cells), self.values, strict=True):
            if name in self.cells:
                conditions.same(f"{conditions.name(self.cells[name])}.cell_contents", value)
            else:
                conditions.same(f"{conditions.name(self.namespace)}.get({name!r})", value)

    def called(self) -> dict[int, str]:
        """What the function calls the things around it, by their ids."""
        return {id(value): name for name, value in zip((*self.names, *self.cells), self.values, strict=True)}

    def changed(self) -> str:
        """The name of a variable that holds something else now; empty if none does."""
        current = self._now()
        if all(map(operator.is_, current, self.values)):  # nearly always, and in a fraction of a microsecond
            return ""
        for name, now, then in zip((*self.names, *self.cells), current, self.values, strict=True):
            if now is not then and not (type(now) is type(then) and isinstance(now, SIMPLE) and now == then):
                return str(name)
        return ""


def _names(code: types.CodeType) -> Iterator[str]:
    """The names that code and the functions in it look up in their module."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018  # raises where the variable has no value yet
    except ValueError:
        return False
    return True


def _is_data(value: Any) -> bool:
    return not isinstance(value, CODE)
