"""What made a tensor, in words and symbols, all of it from the tape and from the operation's own block.

Read `symbols/formulas.py` for the formulas in the user's names.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from tinygrad_sm.debug.literals import literal
from tinygrad_sm.debug.naming import Names, variables_of_caller
from tinygrad_sm.debug.symbols.formulas import forward_formula, rule_formula
from tinygrad_sm.debug.text import WIDTH
from tinygrad_sm.display import argument, describe
from tinygrad_sm.engine.primitive import PRIMITIVES, Primitive
from tinygrad_sm.engine.tape import Edge, Node, reachable
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.errors import ArgumentError, DTypeError
from tinygrad_sm.location import Location, in_module
from tinygrad_sm.numpy_calls import NUMPY

LABEL = 12  # columns for what stands before each fact
CODE = {"formula", "derivative", "textbook"}

Fact = tuple[str, str]  # a label, and what is said under it


@dataclass(frozen=True, repr=False)
class Explanation:
    """What a tensor or an operation is; shown at a prompt or printed, it is the text."""

    title: str
    place: str = ""  # the user's line with the expression underlined
    facts: tuple[Fact, ...] = ()

    def __str__(self) -> str:
        rows = [row for label, text in self.facts if text for row in _rows(label, text)]
        return "\n".join([*textwrap.wrap(self.title, WIDTH), *([self.place] if self.place else []), *rows])

    __repr__ = __str__


def explain(subject: Any) -> Explanation:
    """What made a tensor, or what an operation does: meaning, formula, derivatives, operands and source.

    Args: subject: a tensor, an operation such as `tg.softmax`, its name, or the NumPy function that it answers to.
    Returns an Explanation, which a prompt shows and `print` prints. Raises ArgumentError for an unknown name, and
    DTypeError for anything else.

    >>> explain("square")
    square(x)
      meaning     Square: out = x * x.
      kind        element by element
      derivative  g_x = g * (2 * x)
      source      M. Abramowitz and I. Stegun, Handbook of Mathematical Functions,
                  1964, chapters 3 and 4.
      defined     ...elementwise.py:...
    """
    if isinstance(subject, Tensor):
        return _of_tensor(subject)
    if isinstance(subject, str):
        subject = _operation(subject)
    if isinstance(subject, Hashable):
        subject = NUMPY.get(subject, subject)
    if not isinstance(subject, Primitive):
        what = describe(subject) if hasattr(subject, "shape") else repr(subject)
        remedy = "pass the Tensor itself, an operation such as tg.softmax, or its name"
        raise DTypeError(f"explain: takes a tensor or an operation, not {what}", remedy=remedy)
    return _of_operation(subject)


def _operation(name: str) -> Primitive:
    """The operation of that name."""
    if name in PRIMITIVES:
        return PRIMITIVES[name]
    close = difflib.get_close_matches(name, PRIMITIVES, n=3)
    remedy = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(sorted(PRIMITIVES))}"
    raise ArgumentError(f"explain: there is no operation {name!r}", remedy=remedy)


def _of_tensor(tensor: Tensor) -> Explanation:
    variables = variables_of_caller()
    edge = tensor._edge
    if edge is None:
        name = tensor.name or variables.get(id(tensor)) or "this tensor"
        why = (("why", "no operand carried a gradient, or it was made inside no_grad(): no tape leads to it"),)
        return Explanation(f"{name} {describe(tensor)} is a constant", facts=why)
    names = Names(reachable(edge[0]), variables)
    node, output = edge
    title = f"{names.of(node, output)} {describe(tensor)} is {_origin(edge)}{in_module(node.module)}"
    place = node.location.show() if node.location else ""
    facts = [] if node.op is None else [*_meaning(node.op), *_symbols(node, names), *_operands(node, names)]
    return Explanation(title, place, (*facts, ("gradient", _gradient(tensor)), *(_sources(node.op) if node.op else ())))


def _origin(edge: Edge) -> str:
    """How a value came about."""
    node, output = edge
    if node.op is None:
        return "a leaf: you made it, and backward() adds to its grad"
    which = f"output {output + 1} of {len(node.values)} of " if len(node.values) > 1 else ""
    return f"made by {which}{node.op.name}"


def _gradient(tensor: Tensor) -> str:
    """The state of `grad`; a dash where there is none."""
    if tensor.grad is not None:
        values = f", between {tensor.grad.min():.4g} and {tensor.grad.max():.4g}" if tensor.grad.size else ""
        return f"{describe(tensor.grad)}{values}"
    return "-" if tensor.is_leaf else "-  (backward(retain_grads=True) keeps it)"


def _symbols(node: Node, names: Names) -> Iterator[Fact]:
    """What was computed and its derivative for each operand, in the user's names."""
    yield "formula", forward_formula(node, names)
    rules = [rule_formula(node, i, names).replace(" ; ", "\n") for i, edge in enumerate(node.parents) if edge]
    yield "derivative", "\n".join(rules)


def _operands(node: Node, names: Names) -> Iterator[Fact]:
    """What the operation was given: its own name for it, the user's, the shape, and where that came from."""
    assert node.op is not None  # a leaf has no operands
    for i, (value, edge) in enumerate(zip(node.args, node.parents, strict=True)):
        origin = f", {_origin(edge).partition(':')[0]}" if edge else ", a constant" if hasattr(value, "shape") else ""
        shape = f" {describe(value)}" if hasattr(value, "shape") else ""
        yield argument(node.op, i), f"{names.argument(node, i)}{shape}{origin}"
    for option, value in node.kwargs.items():
        yield option, f"{names.constant(value)} {describe(value)}" if hasattr(value, "shape") else literal(value)


def _of_operation(op: Primitive) -> Explanation:
    called = inspect.signature(op).parameters
    listed = op.variadic and op.parameters[0] == next(iter(called))
    head = "a list of arrays first, then options" if listed else "element by element" if op.elementwise else ""
    plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in called.values()]
    title = f"{op.name}{inspect.Signature(plain)}"
    code = getattr(op.forward, "__code__", None)
    defined = (("defined", str(Location(code, 0)).partition(":")[0] + f":{code.co_firstlineno}"),) if code else ()
    rules = [("derivative", "\n".join(_body(rule, f"g_{name}"))) for name, rule in op.rules.items()]
    derivative = rules or [("derivative", "it carries no gradient")]
    textbook = (("textbook", "\n".join(_body(op.unfused, "out"))),) if op.unfused else ()
    return Explanation(title, facts=(*_meaning(op), ("kind", head), *derivative, *textbook, *_sources(op), *defined))


def _meaning(op: Primitive) -> Iterator[Fact]:
    """The docstring of the operation without its example and its sources."""
    text = inspect.getdoc(op.forward) or ""
    paragraphs = [p for p in text.split("\n\n") if not p.lstrip().startswith((">>>", "Source"))]
    yield "meaning", "\n".join(" ".join(p.split()) for p in paragraphs)


def _sources(op: Primitive) -> Iterator[Fact]:
    """What the docstring of the operation cites, or else that of its module."""
    module = sys.modules.get(op.__module__)
    for text in (inspect.getdoc(op.forward), inspect.getdoc(module) if module else ""):
        found = re.findall(r"^Source[^:\n]*:\s*(.+?)(?:\n\n|\Z)", text or "", re.MULTILINE | re.DOTALL)
        if found:
            yield "source", " ".join(found[0].split())
            return


def _body(function: Callable[..., Any], target: str) -> list[str]:
    """The statements of a function, with what it returns given a name; its name alone where there is no source."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return [f"{target} = {getattr(function, '__name__', repr(function))}(...)"]
    definition = _WithoutResidual().visit(tree).body[0]
    if not isinstance(definition, ast.FunctionDef):
        return [ast.unparse(definition)]
    codes = [ast.unparse(each) for each in definition.body if not _is_docstring(each)]
    return [line for code in codes for line in _assigned(code, target).splitlines()]


class _WithoutResidual(ast.NodeTransformer):
    """Takes out of a rule what it does for speed where its forward kept a residual."""

    def visit_If(self, node: ast.If) -> Any:
        kept = "residual" in ast.unparse(node.test)
        return None if kept and not node.orelse else self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        return node.body if ast.unparse(node.test) == "residual is None" else self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> Any:
        return ast.Constant(None) if node.id == "residual" else node


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _assigned(code: str, target: str) -> str:
    """The code of a statement, `g_x = g * y` for `return g * y`."""
    return re.sub(r"^(\s*)return ", rf"\g<1>{target} = ", code, flags=re.MULTILINE)


def _rows(label: str, text: str) -> Iterator[str]:
    """A fact in rows of the width of the screen, the label beside the first; code goes on further to the right."""
    hanging = "    " if label in CODE else ""
    for line in text.splitlines():
        code = line.lstrip()
        indent = " " * (len(line) - len(code))
        space = WIDTH - 2 - LABEL - len(indent)
        wrapped = textwrap.wrap(code, space, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False)
        for row in wrapped or [""]:
            yield f"  {label:<{LABEL - 1}} {indent}{row}".rstrip()
            label = ""
