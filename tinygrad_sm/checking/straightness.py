"""Whether a derivative rule is straight-line code, which stepper, derived source and compiler can read line by line."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Collection, Iterator
from typing import Any

CROOKED = (
    ast.For,
    ast.While,
    ast.With,
    ast.Try,
    ast.Lambda,
    ast.Assert,
    ast.Raise,
    ast.Yield,
    ast.Match,
    ast.NamedExpr,
)
METADATA = {"shape", "ndim", "dtype", "size"}  # attributes that do not depend on the values of an array
METADATA_CALLS = {"np.ndim", "np.shape", "np.size", "len", "isinstance"}
OUT_OF_THE_ARRAY = {"item", "tolist", "data", "numpy", "detach"}


def crooked_lines(rule: Callable[..., Any], options: Collection[str]) -> list[str]:
    """What stands in a rule that a straight line has not, as it is written: loops, branches on values, writes.

    options: names of arguments that hold no arrays. Empty where the source of the rule cannot be had.

    >>> def rule(g, out, x, axis):
    ...     if axis is None:
    ...         g = g.reshape(1, -1)
    ...     return g if x.max() > 0 else 0 * g
    >>> crooked_lines(rule, ["axis"])
    ['g if x.max() > 0 else 0 * g']
    """
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(rule))).body[0]
    except (OSError, SyntaxError):
        return []
    known = set(options)
    return [ast.unparse(node).partition("\n")[0] for node in _in_order(body) if _is_crooked(node, known)]


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a syntax tree as they stand in the source."""
    for child in ast.iter_child_nodes(node):
        yield child
        yield from _in_order(child)


def _is_crooked(node: ast.AST, known: set[str]) -> bool:
    """Whether a node leaves the straight line; names that are set to what depends on no values become known."""
    if isinstance(node, ast.Assign) and not _depends_on_values(node.value, known):
        known.update(each.id for target in node.targets for each in ast.walk(target) if isinstance(each, ast.Name))
    if isinstance(node, ast.If | ast.IfExp):
        return _depends_on_values(node.test, known)
    targets = [node.target] if isinstance(node, ast.AugAssign) else getattr(node, "targets", [])
    writes = isinstance(node, ast.AugAssign) or any(not isinstance(t, ast.Name | ast.Tuple) for t in targets)
    if targets and writes:
        return ast.unparse(targets[0]).partition("[")[0] != "residual"
    taken_out = isinstance(node, ast.Attribute) and node.attr in OUT_OF_THE_ARRAY
    return taken_out or isinstance(node, CROOKED)


def _depends_on_values(node: ast.AST, known: set[str]) -> bool:
    """Whether an expression can depend on the values of an array, rather than on its shape or type or an option."""
    if isinstance(node, ast.Attribute) and node.attr in METADATA:
        return False
    if isinstance(node, ast.Call) and ast.unparse(node.func) in METADATA_CALLS:
        return False
    if isinstance(node, ast.Compare) and all(isinstance(op, ast.Is | ast.IsNot) for op in node.ops):
        return False
    if isinstance(node, ast.Name):
        return node.id not in known
    return any(_depends_on_values(child, known) for child in ast.iter_child_nodes(node))
