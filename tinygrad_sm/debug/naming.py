"""What the user calls things: a name for every value on a tape, found in the user's own code.

A value is named by the first of these that knows it: its tensor's `name`, a variable of the function that asked, the
target of the assignment that made it, the expression that it was handed over by, and at last its operation and number.
Read `recording.py` next, which asks.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import itertools
import keyword
import linecache
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_sm.debug.literals import literal
from tinygrad_sm.display import argument
from tinygrad_sm.engine.tape import Edge, Node
from tinygrad_sm.location import Location, user_frame
from tinygrad_sm.numpy_calls import flat
from tinygrad_sm.operand import Operand

RESERVED = {"np", "g", "out", "data", "gradients", "name", "Path", *dir(builtins)}  # of scripts, formulas and Python
FIRST_LINES = 20_000  # of a user's file; parsing a longer one for a few names would take seconds


class Names:
    """A name for every output of every node, and for every constant that a node was given.

    Names are identifiers, and no two values of a tape share one: a second `h` is `h_2`.
    """

    def __init__(self, nodes: Sequence[Node], variables: dict[int, str] | None = None) -> None:
        self.number = {node: i for i, node in enumerate(nodes)}
        self._variables = variables or {}
        self._taken: set[str] = set(RESERVED)
        self._next: dict[str, int] = {}  # where to go on counting: a loop makes 100,000 of the same name
        self._given: list[tuple[str, str, int]] = []  # in order: a name, what it was asked for, and the count before
        self._of: dict[Edge, str] = {}
        self._constants: dict[int, tuple[str, Any]] = {}  # by id, with the array, so that no other takes the id
        last_of_call = _last_of_each_call(nodes)
        for node in nodes:
            for i in range(len(node.values)):
                self._of[node, i] = self._unique(self._base(node, i, node in last_of_call))
        for node in nodes:
            for position, (value, edge) in enumerate(zip(node.args, node.parents, strict=True)):
                if edge is None:
                    self._name_constants(value, self._base_of_constant(node, position))
            for option, value in node.kwargs.items():
                self._name_constants(value, identifier(keyword_name(node, option) or option))

    def of(self, node: Node, output: int = 0) -> str:
        """The name of an output of a node."""
        return self._of[node, output]

    def gradient(self, edge: Edge) -> str:
        """The name of the cotangent of a value: `g_W` for `W`."""
        return f"g_{self._of[edge]}"

    def argument(self, node: Node, position: int) -> str:
        """The name of what stands at a position of a node's arguments; a literal where that is no array."""
        edge = node.parents[position]
        if edge:
            return self._of[edge]
        return self.constant(node.args[position]) or literal(node.args[position])

    def constant(self, value: Any) -> str | None:
        """The name of a value that carries no gradient; None for one that is written as a literal."""
        known = self._constants.get(id(value))
        return known[0] if known else None

    def values(self) -> Iterator[tuple[str, Any]]:
        """Every name with its array."""
        for (node, i), name in self._of.items():
            yield name, node.values[i]
        yield from self._constants.values()

    def constants(self) -> Iterator[tuple[str, Any]]:
        """The name and the array of every constant."""
        yield from self._constants.values()

    def fresh(self, base: str) -> str:
        """A name like this one that nothing has yet, taken from now on."""
        return self._unique(base)

    def given_out(self) -> int:
        """How many names were taken by now, for `take_back`."""
        return len(self._given)

    def take_back(self, given_out: int) -> None:
        """Free the names that were taken since."""
        while len(self._given) > given_out:
            name, base, count = self._given.pop()
            self._taken -= {name, f"g_{name}"}
            self._next[base] = count

    def _unique(self, base: str) -> str:
        name, i = base, self._next.setdefault(base, 2)
        while name in self._taken or f"g_{name}" in self._taken:
            name, i = f"{base}_{i}", i + 1
        self._taken |= {name, f"g_{name}"}
        self._given.append((name, base, self._next[base]))
        self._next[base] = i
        return name

    def _name_constants(self, value: Any, base: str) -> None:
        """Names for an array, or for those within an index or a list."""
        for array in flat([value]):
            if isinstance(array, np.ndarray) and id(array) not in self._constants:
                known = self._variables.get(id(array))
                self._constants[id(array)] = self._unique(identifier(known) if known else base), array

    def _base(self, node: Node, output: int, last_of_call: bool) -> str:
        tensor = node.outputs[output]() if output < len(node.outputs) else None
        given = getattr(tensor, "name", None) or self._variables.get(id(tensor))
        if not given and (last_of_call or not node.module) and node.location:
            given = target(node.location, output, len(node.values))
        if given:
            return identifier(given)
        return f"{node.op.name if node.op else 'leaf'}_{self.number[node]}"

    def _base_of_constant(self, node: Node, position: int) -> str:
        known = argument_name(node, position)
        if known:
            return identifier(known)
        assert node.op is not None  # a leaf has no arguments
        return identifier(argument(node.op, position).partition("[")[0])


def identifier(name: str) -> str:
    """The nearest thing to a name that Python accepts; numbers of layers go to the end.

    >>> identifier("0.weight"), identifier("self.encoder.2.bias"), identifier("größe")
    ('weight_0', 'encoder_2_bias', 'größe')
    """
    name = unicodedata.normalize("NFKC", name)  # as Python reads names: the micro sign is the Greek letter
    parts = ["".join(c if f"_{c}".isidentifier() else "_" for c in part) for part in name.split(".") if part != "self"]
    numbers = []
    while parts and parts[0].isdigit():
        numbers.append(parts.pop(0))
    text = "_".join([*parts, *numbers]).strip("_") or "x"
    text = text if text.isidentifier() else f"x_{text}"
    return f"{text}_" if keyword.iskeyword(text) else text


def variables_of_caller() -> dict[int, str]:
    """The names of arrays and tensors in the function of the user's that is running, by the id of the object.

    A name of the function's own wins over one of its module. No frame is kept; yet up to Python 3.12 the function
    itself keeps what it was asked for until it returns, and with it the tape.
    """
    frame = user_frame()
    found: dict[int, str] = {}
    for variables in (frame.f_globals, frame.f_locals) if frame else ():
        for name, value in list(variables.items()):
            if isinstance(value, (np.ndarray, Operand)) and not name.startswith("_"):
                found[id(value)] = name
                if isinstance(value, Operand) and not value.requires_grad:
                    found.setdefault(id(value.data), name)
    return found


def target(location: Location, output: int = 0, outputs: int = 1) -> str | None:
    """What the expression at a place is assigned to: `h` for `h = x @ W`; None where it is not, or in doubt.

    Of an operation with several outputs, `a, b = split(x)` names each.
    """
    found = expression_at(location)
    if found is None:
        return None
    node, statement = found
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        left, right = statement.targets[0], statement.value
        if right is node and isinstance(left, ast.Tuple) and len(left.elts) == outputs > 1:
            return name_of(left.elts[output])
        if right is node and outputs == 1:
            return name_of(left)
        if isinstance(left, ast.Tuple) and isinstance(right, ast.Tuple) and node in right.elts:
            pairs = dict(zip(right.elts, left.elts, strict=False))
            return name_of(pairs[node]) if node in pairs else None
    if isinstance(statement, ast.AnnAssign) and statement.value is node:
        return name_of(statement.target)
    if isinstance(statement, ast.AugAssign) and node is statement:
        return name_of(statement.target)
    for each in ast.walk(statement):
        if isinstance(each, ast.NamedExpr) and each.value is node:
            return name_of(each.target)
    return None


def argument_name(node: Node, position: int) -> str | None:
    """The name that stands in the user's expression where a node got its argument, None for anything but a name."""
    found = expression_at(node.location) if node.location else None
    assert node.op is not None
    expression = found[0] if found else None
    if isinstance(expression, ast.BinOp):
        return name_of((expression.left, expression.right)[position]) if len(node.args) == 2 else None
    if not isinstance(expression, ast.Call) or any(isinstance(arg, ast.Starred) for arg in expression.args):
        return None
    handed = list(expression.args)
    assert node.op is not None
    if node.op.variadic:
        first = handed[0] if handed else None
        listed = list(first.elts) if isinstance(first, (ast.List, ast.Tuple)) else []
        handed = handed[1:] if isinstance(first, ast.Constant) else listed  # a constant: the subscripts of einsum
    elif not node.module and len(handed) + 1 == len(node.args) and isinstance(expression.func, ast.Attribute):
        handed.insert(0, expression.func.value)  # a method: the tensor itself comes first
    if node.module and position:
        return None  # inside a layer the user's line shows the layer's input alone
    if position < len(handed):
        return name_of(handed[position])
    return keyword_name(node, argument(node.op, position))


def keyword_name(node: Node, option: str) -> str | None:
    """The name that was handed over as an argument by keyword, None for anything but a name."""
    found = expression_at(node.location) if node.location else None
    keywords = found[0].keywords if found and isinstance(found[0], ast.Call) else []
    return next((name_of(each.value) for each in keywords if each.arg == option), None)


def name_of(node: ast.AST) -> str | None:
    """A name or a chain of attributes as it is written; the array for one of its parts; None for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = name_of(node.value)
        return f"{owner}.{node.attr}" if owner else None
    return None


Found = tuple[ast.AST, ast.stmt]


def expression_at(location: Location) -> Found | None:
    """The syntax node of the expression at a place, and its statement; None where the source does not tell."""
    filename = location.filename
    lines = linecache.getlines(filename)
    if filename not in _indexed or _indexed[filename][0] is not lines:
        _indexed[filename] = lines, _index(lines)
    return _indexed[filename][1].get(location.span)


_indexed: dict[str, tuple[list[str], dict[Any, Found]]] = {}  # by file: its lines as they were, and what `_index` found


def _index(lines: list[str]) -> dict[Any, Found]:
    """Every expression of a file by its span, with its statement; empty if it is not Python, as a magic cell is not."""
    found: dict[Any, Found] = {}

    def visit(node: ast.AST, statement: ast.stmt | None) -> None:
        statement = node if isinstance(node, ast.stmt) else statement
        if statement is not None and hasattr(node, "lineno"):
            found[node.lineno, node.end_lineno, node.col_offset, node.end_col_offset] = node, statement  # type: ignore[attr-defined]
        for child in ast.iter_child_nodes(node):
            visit(child, statement)

    with contextlib.suppress(SyntaxError, ValueError, RecursionError):
        visit(ast.parse("".join(lines[:FIRST_LINES])), None)
    return found


def _last_of_each_call(nodes: Sequence[Node]) -> set[Node]:
    """The node that each call of a layer ended with: what the call is assigned to is the name of that one alone."""
    made = [node for node in nodes if node.op]
    ends = made[-1:]
    ends += [node for node, next_one in itertools.pairwise(made) if node.where != next_one.where or not next_one.module]
    return set(ends)
