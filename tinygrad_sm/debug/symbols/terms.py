"""Terms: what an expression amounts to here, together with the code that computes it. Read `opening.py` next."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_sm.debug.symbols import numpy_code
from tinygrad_sm.debug.symbols.numpy_code import Code
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.numpy_calls import flat
from tinygrad_sm.operand import plain


class Term(NamedTuple):
    """What an expression amounts to: its value here, and the code that computes it in the script."""

    value: Any
    code: Code
    fixed: bool = False  # follows from shapes, types and options alone; a number then is a literal in the code
    items: tuple[Term, ...] | None = None  # of a tuple or list put together from terms


def fixed(value: Any) -> Term:
    """A term that is known beforehand; NumPy's scalars become Python's, so that they promote no array."""
    value = value.item() if isinstance(value, np.generic) else value
    return Term(value, numpy_code.constant(value), True)


def variable(value: Any, name: str) -> Term:
    """A term that is a variable of the script."""
    return Term(value, ast.Name(name))


def is_literal(term: Term) -> bool:
    """Whether a term is written as a number or the like, and so needs no name."""
    return term.fixed and not holds_arrays(term.value)


def holds_arrays(value: Any) -> bool:
    """Whether a value is an array, or a tuple or list that holds one."""
    return any(isinstance(item, np.ndarray) for item in flat([value]))


def is_recorded(value: Any) -> bool:
    """Whether a value is a tensor that carries a gradient."""
    return isinstance(value, Tensor) and value.requires_grad


def result_of(function: Any, args: Sequence[Term], options: Mapping[str, Term]) -> Any:
    """What a function returns for the values of terms."""
    return function(*[term.value for term in args], **{key: term.value for key, term in options.items()})


def codes_of(options: Mapping[str, Term]) -> dict[str, Code]:
    """The code of every option."""
    return {key: term.code for key, term in options.items()}


def items_of(term: Term) -> list[Term]:
    """The items of a tuple or list."""
    if term.items is not None:
        return list(term.items)
    parts = [Term(item, numpy_code.subscript(term.code, fixed(i)), term.fixed) for i, item in enumerate(term.value)]
    return [fixed(part.value) if is_literal(part) else part for part in parts]


def gathered(terms: Sequence[Term], kind: type) -> Term:
    """A tuple or list of terms."""
    value = kind([term.value for term in terms])
    if all(is_literal(term) for term in terms):
        return fixed(value)
    known = all(term.fixed for term in terms)
    return Term(value, numpy_code.sequence([term.code for term in terms], kind), known, tuple(terms))


def same(value: Any, other: Any) -> bool:
    """Whether two arrays, or several outputs of each, are the same in shape, type and every element."""
    if isinstance(value, (tuple, list)) and isinstance(other, (tuple, list)):
        return len(value) == len(other) and all(map(same, value, other))
    a, b = np.asarray(plain(value)), np.asarray(plain(other))
    return a.shape == b.shape and a.dtype == b.dtype and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))


def close(value: Any, other: Any, *, finite: bool = True) -> bool:
    """Whether two results, or several outputs of each, are equal to rounding, and finite if that is asked for."""
    if isinstance(value, tuple) and isinstance(other, tuple):
        return len(value) == len(other) and all(close(*pair, finite=finite) for pair in zip(value, other, strict=True))
    a, b = np.asarray(plain(value)), np.asarray(plain(other))
    everywhere = np.isfinite(a) & np.isfinite(b) if a.shape == b.shape else np.False_
    if a.shape != b.shape or (finite and not everywhere.all()):
        return False
    rounding = 1000 * np.finfo(b.dtype if b.dtype.kind == "f" else float).eps
    scale = float(np.abs(b[everywhere]).max(initial=0.0))
    return bool(np.allclose(a, b, rtol=rounding, atol=rounding * scale, equal_nan=True))


def number_of(term: Term) -> Any:
    """The number that a term is whatever the values are: a literal, or 0 for a product with 0; else None."""
    if term.fixed:
        return term.value
    return 0 if _has_factor_0(term.code) else None


def _has_factor_0(code: Code) -> bool:
    if isinstance(code, ast.BinOp) and isinstance(code.op, ast.Mult):
        return _has_factor_0(code.left) or _has_factor_0(code.right)
    return isinstance(code, ast.Constant) and code.value == 0


def changes_nothing(symbol: ast.operator, number: Any, on_the_left: bool) -> bool:
    """Whether a number is neutral in a sum or product: 1 * x, x / 1, x ** 1, x + 0."""
    if not isinstance(number, (int, float)):
        return False
    neutral = (
        {ast.Mult: 1, ast.Add: 0} if on_the_left else {ast.Mult: 1, ast.Div: 1, ast.Pow: 1, ast.Add: 0, ast.Sub: 0}
    )
    return neutral.get(type(symbol)) == number


def known_choice(function: Term, args: Sequence[Term], value: Any) -> Term | None:
    """What `np.where` chooses where the condition is known beforehand."""
    if function.value is np.where and len(args) == 3 and is_literal(args[0]):
        chosen = args[1] if args[0].value else args[2]
        return chosen if same(chosen.value, value) else None
    return None
