"""Forwards and rules in symbols: one line of NumPy in the user's names, taken from the operation's own block.

What a rule does for these shapes and options is worked out by `opening.py`; nothing is known here of any operation.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from tinygrad_sm.debug.naming import Names
from tinygrad_sm.debug.symbols.numpy_code import call, constant, subscript_number, summed, text, tidy
from tinygrad_sm.debug.symbols.opening import Opener, UnopenableError
from tinygrad_sm.debug.symbols.terms import Term, codes_of, fixed, gathered, variable
from tinygrad_sm.engine.tape import Node

LONGEST = 3  # statements of an opened rule that are still a formula; beyond, the helpers of the rule keep their names


class Naming(Protocol):
    """What tells the names of values: `naming.Names` for a tape, and `expansion.StepNames` for its small steps."""

    def of(self, node: Node, output: int = 0) -> str:
        """The name of an output of a node."""
        ...

    def constant(self, value: Any) -> str | None:
        """The name of a value that carries no gradient; None for one that is written as a literal."""
        ...


def forward_formula(node: Node, names: Names) -> str:
    """What a node computed: `h = X @ W`, `loss = cross_entropy(scores, labels)`."""
    assert node.op is not None  # a leaf was not computed
    args, options = argument_terms(node, names), option_terms(node, names)
    args = [gathered(args, list)] if node.op.variadic else args
    with np.errstate(all="ignore"):  # what the operation warned of, it has warned of
        term = Opener(str).spelled(node.op, args, options)
    if term is None:
        codes = [each.code for each in args]
        term = Term(None, call(ast.Name(node.op.name), codes, codes_of(options), node.op))
    return f"{outputs_named(node, names)} = {text(term.code)}"


def rule_formula(node: Node, position: int, names: Names) -> str:
    """The rule for one operand, the cotangent of the output being `g`: `g_W = X.T @ g`."""
    edge = node.parents[position]
    name = names.gradient(edge) if edge else f"g_{names.argument(node, position)}"
    try:
        statements, term = _opened(node, position, names, open_helpers=True)
        if len(statements) > LONGEST:
            shorter = _opened(node, position, names, open_helpers=False)
            statements, term = min((statements, term), shorter, key=lambda opened: len(opened[0]))
    except UnopenableError:
        return f"{name} = {rule_call(node, position, names)}"
    parts = [text(each) for each in statements]
    return " ; ".join([*parts, f"{name} = {text(term)}"])


def _opened(node: Node, position: int, names: Names, open_helpers: bool) -> tuple[list[ast.stmt], ast.expr]:
    """The statements and the result of a rule; the values of g do not matter, only its shape."""
    assert node.op is not None
    cotangents = [variable(np.ones_like(value), "g") for value in node.values]
    if len(cotangents) > 1:
        cotangents = [each._replace(code=subscript_number(each.code, i)) for i, each in enumerate(cotangents)]
    before = names.given_out()  # a formula's own variables are for itself
    opener = Opener(names.fresh, deep=False, open_helpers=open_helpers)
    try:
        with np.errstate(all="ignore"):
            term = opener.open(
                node.op.rule(position),
                rule_terms(node, position, names, gathered_if_several(cotangents)),
                option_terms(node, names),
            )
    finally:
        names.take_back(before)
    code = tidy(opener.statements, term.code, opener.shared)
    if node.op.elementwise:
        code = summed(code, np.shape(term.value), node.args[position].shape)
    return opener.statements, code


def rule_call(node: Node, position: int, names: Names) -> str:
    """The rule for one operand as a call of it."""
    assert node.op is not None
    terms = rule_terms(node, position, names, variable(None, "g"))
    rule, options = node.op.rule(position), codes_of(option_terms(node, names))
    code = call(ast.Name(rule.__name__), [term.code for term in terms], options, rule)
    return text(code)


def rule_terms(node: Node, position: int, names: Naming, g: Term, operands: Term | None = None) -> list[Term]:
    """The arguments of a rule: the cotangent, the output, the position for a variadic operation, the operands.

    `operands` are those of a variadic operation, if they are a term already.
    """
    assert node.op is not None
    outs = [variable(value, names.of(node, i)) for i, value in enumerate(node.values)]
    head = [g, gathered_if_several(outs)]
    if node.op.variadic:
        return [*head, fixed(position), operands or gathered(argument_terms(node, names), tuple)]
    return [*head, *argument_terms(node, names)]


def argument_terms(node: Node, names: Naming) -> list[Term]:
    """The arguments of a node's forward, under their names."""
    edges = zip(node.args, node.parents, strict=True)
    return [variable(value, names.of(*edge)) if edge else constant_term(value, names) for value, edge in edges]


def option_terms(node: Node, names: Naming) -> dict[str, Term]:
    """The options of a node."""
    return {key: constant_term(value, names) for key, value in node.kwargs.items()}


def constant_term(value: Any, names: Naming) -> Term:
    """A constant: an array by its name, what holds arrays item by item, anything else as a literal."""
    name = names.constant(value)
    if name:
        return variable(value, name)
    if isinstance(value, (tuple, list)):
        return gathered([constant_term(item, names) for item in value], type(value))
    if isinstance(value, np.generic):
        return Term(value, constant(value), True)  # which keeps its type: np.float64(2) promotes, 2.0 does not
    return fixed(value)


def gathered_if_several(terms: Sequence[Term]) -> Term:
    """The term itself, or a tuple of terms where an operation has several outputs."""
    return terms[0] if len(terms) == 1 else gathered(terms, tuple)


def outputs_named(node: Node, names: Naming) -> str:
    """The target of the assignment: `h`, or `a, b` where an operation has several outputs."""
    return ", ".join(names.of(node, i) for i in range(len(node.values)))
