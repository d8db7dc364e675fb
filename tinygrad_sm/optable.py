"""The line of an operation in a table of operations, made from its block alone: the README's table is made of these."""

from __future__ import annotations

import inspect
from typing import Any

from tinygrad_sm.engine.primitive import Primitive
from tinygrad_sm.errors import ArgumentError

HEAD = "| operation | what it computes | answers to | method | gradient for |\n|-|-|-|-|-|"


def describe_primitive(op: Any) -> str:
    """The line of an operation in the table of operations, in Markdown, below `HEAD` of this module.

    It tells the call, the first line of the docstring, which NumPy functions it answers to, whether it is a method, and
    the arguments that it can be differentiated by, to any order. Raises ArgumentError for what is no operation.

    >>> from tinygrad_sm import subtract
    >>> print(describe_primitive(subtract))
    | `subtract(x, y)` | Difference of two arrays: out = x - y, broadcast | `np.subtract` | | x, y |
    """
    if not isinstance(op, Primitive):
        what = f"describe_primitive: {type(op).__name__} is no operation"
        raise ArgumentError(what, remedy="decorate its forward with @tg.primitive()")
    sentence = (op.__doc__ or "").strip().partition("\n")[0].rstrip(".")
    answers = ", ".join(f"`{_numpy_name(function)}`" for function in op.numpy)
    gradient = ", ".join(op.rules) or "none"
    cells = (f"`{_call(op)}`", sentence.replace("|", "\\|"), answers, "yes" if op.method else "", gradient)
    return "".join(f"| {cell} " if cell else "| " for cell in cells) + "|"


def _call(op: Primitive) -> str:
    """The operation as it is called, without annotations."""
    parts = []
    for name, parameter in inspect.signature(op).parameters.items():
        star = "*" if parameter.kind is inspect.Parameter.VAR_POSITIONAL else ""
        default = "" if parameter.default is inspect.Parameter.empty else f"={parameter.default!r}"
        parts.append(f"{star}{name}{default}")
    return f"{op.name}({', '.join(parts)})"


def _numpy_name(function: Any) -> str:
    """`np.exp`, or `np.linalg.inv` for what NumPy keeps there."""
    home = (getattr(function, "__module__", None) or "numpy").removeprefix("numpy").removesuffix("._core")
    return f"np{home}.{function.__name__}"
