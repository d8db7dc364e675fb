"""What a derived script does not write itself: imports, and functions of the user's that no module holds."""

from __future__ import annotations

import ast
import importlib.util
import inspect
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
        self._names: dict[Any, str] = {}
        self._imports: dict[str, set[str]] = {}  # what is imported from each module
        self._pasted: list[str] = []
        self.modules: dict[str, str] = {}  # modules to be imported, by the name that the script uses

    def operation(self, op: Primitive, args: Sequence[Code], options: Mapping[str, Code]) -> Code:
        """A call of an operation."""
        if _importable(op):
            return call(self.function(op), args, options)
        code = call(self.function(op.forward), args, options)
        return subscript_number(code, 0) if op.residual else code

    def function(self, function: Any) -> Code:
        """The name of a function in the script."""
        if function not in self._names:
            self._names[function] = name = self._fresh(function.__name__)
            if _importable(function):
                alias = "" if name == function.__name__ else f" as {name}"
                self._imports.setdefault(function.__module__, set()).add(f"{function.__name__}{alias}")
            else:
                self._paste(function, name)
        return ast.Name(self._names[function])

    def lines(self, *, quiet: bool) -> Iterator[str]:
        """The head of the script; `quiet` keeps NumPy from warning of infinities, which it is meant to meet."""
        modules = {alias: module for alias, module in self.modules.items() if module != "numpy"}
        own = [f"import {module}" + (f" as {alias}" if alias != module else "") for alias, module in modules.items()]
        yield from sorted([*own, "import numpy as np"])
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
        """The source of a function, with what it uses of its module."""
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
        except (OSError, TypeError, SyntaxError) as error:
            remedy = "define it in a file, at the top level of a module"
            raise ArgumentError(f"debug.source: {function.__name__} has no source", remedy=remedy) from error
        if not isinstance(tree, ast.FunctionDef) or function.__closure__:
            remedy = "define it at the top level of a module, without variables of an enclosing function"
            raise ArgumentError(f"debug.source: {function.__name__} cannot stand alone", remedy=remedy)
        tree.name, tree.decorator_list = name, []
        for used in sorted({each.id for each in ast.walk(tree) if isinstance(each, ast.Name)}):
            if used in function.__globals__ and used not in function.__code__.co_varnames:
                self._bring(used, function.__globals__[used])
        self._pasted.append(ast.unparse(tree))

    def _bring(self, name: str, value: Any) -> None:
        """Something that a pasted function uses under a name of its module."""
        if inspect.ismodule(value):
            self.modules[name] = value.__name__
        elif callable(value):
            if _importable(value):
                alias = "" if name == value.__name__ else f" as {name}"
                self._imports.setdefault(value.__module__, set()).add(f"{value.__name__}{alias}")
            elif value not in self._names:
                self._names[value] = name
                self._paste(value.forward if isinstance(value, Primitive) else value, name)
        elif isinstance(value, (int, float, str, tuple, list, np.ndarray, np.generic, type(None))):
            self._pasted.append(f"{name} = {literal(value)}")


def _importable(function: Any) -> bool:
    """Whether a fresh Python finds the function in its module: not in a script, a notebook or a doctest."""
    module = getattr(function, "__module__", None)
    if module in (None, "__main__") or module not in sys.modules:
        return False
    found = getattr(sys.modules[module], function.__name__, None) is function
    return found and importlib.util.find_spec(module) is not None
