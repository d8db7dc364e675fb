"""What a function reads besides its arguments: variables of its module, of the functions around it and that it calls.

A program has the arrays and numbers in it that these were when it was made. They are looked at before each call, so
that `x` and `y` of a loop over batches are not those of the first batch for ever. What a function reads from attributes
of other objects than its own `self`, or out of lists and dicts, is not looked at.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tinygrad_sm.compiler.validity import Conditions
from tinygrad_sm.location import INSIDE
from tinygrad_sm.nn.module import Module

SIMPLE = (bool, int, float, str, bytes, type(None))
CODE = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType, type, functools.partial)


class Variable(NamedTuple):
    """One variable: what it is called, and the dict or the cell of a closure that it stands in."""

    name: str
    place: dict[str, Any] | types.CellType

    def value(self) -> Any:
        """What it holds now."""
        return self.place.get(self.name) if isinstance(self.place, dict) else self.place.cell_contents


class Surroundings:
    """The variables of a function that hold data, and what they were to begin with."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.variables = [each for each in _variables(function, set()) if not isinstance(each.value(), CODE)]
        self.values = self._now()

    def _now(self) -> list[Any]:
        return [each.value() for each in self.variables]

    def expect(self, conditions: Conditions) -> None:
        """Make it a condition that every variable holds what it held."""
        for (name, place), value in zip(self.variables, self.values, strict=True):
            where = f".get({name!r})" if isinstance(place, dict) else ".cell_contents"
            if isinstance(value, SIMPLE):
                conditions.alike(conditions.name(place) + where, value)
            else:
                conditions.same(conditions.name(place) + where, value)

    def called(self) -> dict[int, str]:
        """What the function calls the things around it, by their ids."""
        return {id(value): each.name for each, value in zip(self.variables, self.values, strict=True)}

    def changed(self) -> str:
        """The name of a variable that holds something else now; empty if none does."""
        for each, now, then in zip(self.variables, self._now(), self.values, strict=True):
            if now is not then and not (type(now) is type(then) and isinstance(now, SIMPLE) and now == then):
                return each.name
        return ""


def _variables(function: Any, seen: set[int]) -> Iterator[Variable]:
    """The variables of a function, and of the user's functions that it reaches through them."""
    if id(function) in seen or isinstance(function, Module):
        return
    seen.add(id(function))
    if isinstance(function, functools.partial):
        for part in (function.func, *function.args, *function.keywords.values()):
            yield from _variables(part, seen)
        return
    inner = len(seen) > 1  # a function that the first one reaches
    plain = inspect.unwrap(function)
    owner = getattr(plain, "__self__", None)
    if not hasattr(plain, "__code__"):  # an object that is called
        plain, owner = type(plain).__call__, plain
    plain = getattr(plain, "__func__", plain)
    code = getattr(plain, "__code__", None)
    if code is None or (inner and str(plain.__module__).partition(".")[0] in INSIDE):
        return
    names = dict.fromkeys(_names(code))
    found = [Variable(name, plain.__globals__) for name in names if name in plain.__globals__]
    found += [Variable(name, vars(owner)) for name in names if name in getattr(owner, "__dict__", {})]
    cells = zip(code.co_freevars, plain.__closure__ or (), strict=False)
    found += [Variable(name, cell) for name, cell in cells if _is_filled(cell)]
    yield from found
    for each in (*found, Variable("__defaults__", {"__defaults__": plain.__defaults__})):
        value = each.value()
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, (types.FunctionType, types.MethodType, functools.partial)):
                yield from _variables(part, seen)


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
