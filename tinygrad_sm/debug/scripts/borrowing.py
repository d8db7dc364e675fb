"""What a derived script does not write itself: imports, and functions of the user's that no module holds."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_sm.debug.literals import literal
from tinygrad_sm.debug.symbols.numpy_code import Code, call, subscript_number
from tinygrad_sm.engine.primitive import Primitive
from tinygrad_sm.errors import ArgumentError


class Borrowed:
    """Collects imports and pasted functions while a script is written, each under a name that is free in it."""

    def __init__(self, fresh: Callable[[str], str]) -> None:
        self._fresh = fresh
        self._names: dict[Any, str] = {np: "np"}  # of functions and modules, in the script
        self._modules: dict[str, str] = {"np": "numpy"}
        self._imports: dict[str, set[str]] = {}  # what is imported from each module
        self._constants: dict[int, tuple[str, Any]] = {}  # by id, with the value, so that no other takes the id
        self._pasted: list[str] = []

    def operation(self, op: Primitive, args: Sequence[Code], options: Mapping[str, Code]) -> Code:
        """A call of an operation."""
        if _importable(op):
            return call(self.function(op), args, options, op)
        code = call(self.function(op.forward), args, options, op)
        return subscript_number(code, 0) if op.residual else code

    def forward(self, op: Primitive, args: Sequence[Code], options: Mapping[str, Code]) -> Code:
        """A call of an operation's forward, which returns what it keeps for its rule beside the output."""
        function = ast.Attribute(self.function(op), "forward") if _importable(op) else self.function(op.forward)
        return call(function, args, options, op)

    def function(self, function: Any) -> Code:
        """The name of a function in the script."""
        return ast.Name(self._named(function.__name__, function))

    def imported(self, name: str, value: Any) -> str:
        """What the script calls a module, or a function that a module of the user's calls by this name."""
        return self._module(name, value) if inspect.ismodule(value) else self._named(name, value)

    def _module(self, name: str, module: Any) -> str:
        if module not in self._names:
            self._names[module] = self._fresh(name)
            self._modules[self._names[module]] = module.__name__
        return self._names[module]

    def _named(self, name: str, function: Any) -> str:
        if function not in self._names:
            self._names[function] = known_as = self._fresh(name)
            if _importable(function):
                own = function.__name__
                alias = "" if known_as == own else f" as {known_as}"
                self._imports.setdefault(function.__module__, set()).add(f"{own}{alias}")
            else:
                self._paste(function.forward if isinstance(function, Primitive) else function, known_as)
        return self._names[function]

    def lines(self, written: Sequence[str], *, quiet: bool) -> Iterator[str]:
        """The head of the script that is written; `quiet` keeps NumPy from warning of infinities, which it may meet.

        A module that was met only on the way to a number, such as `math`, is not imported.
        """
        names = set(re.findall(r"[^\W\d]\w*(?=\.)", "\n".join([*written, *self._pasted]))) | {"np"}
        yield from sorted(
            f"import {module}" + (f" as {alias}" if alias != module else "")
            for alias, module in self._modules.items()
            if alias in names
        )
        if self._imports:
            yield ""
            yield from (
                f"from {module} import {', '.join(sorted(self._imports[module]))}" for module in sorted(self._imports)
            )
        if quiet:
            yield ""
            yield 'np.seterr(all="ignore")  # infinite and undefined numbers occur, as they did when this was recorded'
        for code in self._pasted:
            yield from ("", "", *code.splitlines())

    def _paste(self, function: Any, name: str) -> None:
        """The source of a function, with what it uses of its module, all under the names of the script."""
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
        except (OSError, TypeError, SyntaxError) as error:
            remedy = "define it in a file, at the top level of a module"
            raise ArgumentError(f"debug.source: {name} has no source", remedy=remedy) from error
        if not isinstance(tree, ast.FunctionDef) or function.__closure__:
            remedy = "define it at the top level of a module, without variables of an enclosing function"
            raise ArgumentError(f"debug.source: {function.__name__} cannot stand alone", remedy=remedy)
        tree.name, tree.decorator_list = name, []
        names = {each.id: each for each in ast.walk(tree) if isinstance(each, ast.Name)}
        seen = {used: function.__globals__[used] for used in sorted(names) if used in function.__globals__}
        brought = {used: self._brought(used, value) for used, value in seen.items() if used not in _own(function)}
        for each in ast.walk(tree):
            if isinstance(each, ast.Name):
                each.id = brought.get(each.id, each.id)
        self._pasted.append(ast.unparse(tree))

    def _brought(self, name: str, value: Any) -> str:
        """What the script calls something that a pasted function knows under a name of its module."""
        if inspect.ismodule(value):
            return self._module(name, value)
        if callable(value):
            return self._named(name, value)
        if isinstance(value, (int, float, str, tuple, list, np.ndarray, np.generic, type(None))):
            if id(value) not in self._constants:
                self._constants[id(value)] = self._fresh(name), value
                self._pasted.append(f"{self._constants[id(value)][0]} = {literal(value)}")
            return self._constants[id(value)][0]
        return name


def _own(function: Any) -> set[str]:
    """The names of a function's own variables and arguments."""
    return {*function.__code__.co_varnames, *function.__code__.co_cellvars}


def _importable(function: Any) -> bool:
    """Whether a fresh Python finds the function in its module: not in a script, a notebook or a doctest."""
    module = getattr(function, "__module__", None)
    if module in (None, "__main__") or module not in sys.modules:
        return False
    found = getattr(sys.modules[module], function.__name__, None) is function
    return found and importlib.util.find_spec(module) is not None
