"""How NumPy code is spelled in what is shown to people: the shortest way in which a person would write it."""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from tinygrad_sm.debug.literals import index_literal, literal

Code: TypeAlias = ast.expr

# NumPy's functions that Python has a symbol for.
OPERATORS: dict[Any, ast.operator | ast.cmpop | ast.unaryop] = {
    np.add: ast.Add(),
    np.subtract: ast.Sub(),
    np.multiply: ast.Mult(),
    np.divide: ast.Div(),
    np.power: ast.Pow(),
    np.matmul: ast.MatMult(),
    np.negative: ast.USub(),
    np.floor_divide: ast.FloorDiv(),
    np.equal: ast.Eq(),
    np.not_equal: ast.NotEq(),
    np.less: ast.Lt(),
    np.less_equal: ast.LtE(),
    np.greater: ast.Gt(),
    np.greater_equal: ast.GtE(),
}
DEFAULTS = {
    "axis": "None",
    "keepdims": "False",
    "ddof": "0",
    "optimize": "False",
}  # of NumPy's functions, not worth writing


def constant(value: Any) -> Code:
    """A literal; a name that no code of ours ever prints for what has none, such as a module."""
    try:
        return ast.parse(literal(value), mode="eval").body
    except SyntaxError:
        return ast.Name(getattr(value, "__name__", "unknown"))


@functools.cache
def name_in_numpy(function: Any) -> str:
    """The shortest name under which NumPy offers a function: `abs` rather than `absolute`, or `linalg.inv`."""
    names = [name for name in (*np.__all__, function.__name__) if getattr(np, name, None) is function]
    return str(min(names, key=len)) if names else f"linalg.{function.__name__}"


def is_in_numpy(value: Any) -> bool:
    """Whether `np` offers a function or type under its own name."""
    name = getattr(value, "__name__", "")
    return name in np.__all__ and getattr(np, name) is value


def assignment(target: str | Code, value: Code) -> ast.stmt:
    """`target = value`, where the target may be several names with commas between them."""
    left = ast.parse(target, mode="eval").body if isinstance(target, str) else target
    return ast.fix_missing_locations(ast.Assign([left], value))


def text(code: ast.AST) -> str:
    """Code as it is written."""
    return ast.unparse(ast.fix_missing_locations(code))


def call(function: Code, args: Sequence[Code], options: Mapping[str, Code], target: Any = None) -> Code:
    """A call without the options that say what NumPy does anyway, and the function called, `target`, does too."""
    spoken = {key: code for key, code in options.items() if not _goes_without_saying(target, key, code)}
    return ast.Call(function, list(args), [ast.keyword(key, _one_axis(key, code)) for key, code in spoken.items()])


def _goes_without_saying(target: Any, key: str, code: Code) -> bool:
    if DEFAULTS.get(key) != ast.unparse(code):
        return False
    try:
        default = inspect.signature(target).parameters[key].default
    except (TypeError, ValueError, KeyError):  # a method of an array, which does not tell
        return True
    return type(default) is type(np._NoValue) or literal(default) == DEFAULTS[key]


def _one_axis(key: str, code: Code) -> Code:
    """`axis=1` for `axis=(1,)`."""
    single = key == "axis" and isinstance(code, ast.Tuple) and len(code.elts) == 1
    return code.elts[0] if single else code  # type: ignore[attr-defined]  # a tuple, then


def sequence(codes: Sequence[Code], kind: type) -> Code:
    """A tuple or list display."""
    return ast.Tuple(list(codes)) if kind is tuple else ast.List(list(codes))


def subscript(base: Code, index: Any) -> Code:
    """`base[index]`, with slices as they are written between brackets."""
    return ast.Subscript(base, _index(index))


def subscript_number(base: Code, i: int) -> Code:
    """`base[i]`."""
    return ast.Subscript(base, ast.Constant(i))


def _index(term: Any) -> Code:
    if term.items is not None:
        return _index(term.items[0]) if len(term.items) == 1 else ast.Tuple([_index(item) for item in term.items])
    if not term.fixed:
        return term.code  # type: ignore[no-any-return]
    return ast.parse(f"x[{index_literal(term.value)}]", mode="eval").body.slice  # type: ignore[attr-defined, no-any-return]


def is_simple(code: Code) -> bool:
    """Whether code is short and costs nothing, so that it may stand twice: a name, a number, a transpose."""
    if isinstance(code, ast.Attribute):
        return code.attr == "T" and is_simple(code.value)
    return isinstance(code, ast.Name | ast.Constant)


def shortened(code: Code, owner: Any, args: Sequence[Any], value: Any) -> Code:
    """A call in the shortest way to write it: the array itself where nothing changes, `.T`, a sum without a reshape.

    `owner` is the array whose method is called; None for a function of NumPy's, whose first argument is the array then.
    """
    if not isinstance(code, ast.Call) or not isinstance(code.func, ast.Attribute):
        return code
    name = code.func.attr
    array, base = (
        (owner, code.func.value) if owner is not None else (args[0].value, args[0].code) if args else (None,) * 2
    )
    if not isinstance(array, np.ndarray) or not isinstance(value, np.ndarray) or base is None:
        return code
    if name in SAME and (array.shape, array.dtype) == (value.shape, value.dtype) and np.array_equal(array, value, True):
        return base
    if name == "asarray":
        return ast.Call(ast.Attribute(base, "astype"), [constant(value.dtype)], [])
    if name in ("swapaxes", "transpose") and array.ndim == 2:
        return ast.Attribute(base, "T")
    if name == "reshape" and isinstance(base, ast.Call):
        return _plain_sum(base, array.shape, value.shape) or code
    if name in ("reshape", "expand_dims") and array.size and array.ndim < value.ndim:
        return _with_new_axes(base, array.shape, value.shape) or code
    if name == "squeeze" and array.shape == (*value.shape, 1):
        return ast.parse(f"{_in_brackets(base)}[..., 0]", mode="eval").body
    return code


def row_of_ones(code: Code) -> bool:
    """Whether code is `np.ones(n, ...)`: a product with it from the left is a sum over rows."""
    return isinstance(code, ast.Call) and ast.unparse(code.func) == "np.ones" and isinstance(code.args[0], ast.Constant)


# What hands an array on as it is where it has the shape and the type that is asked for already.
SAME = {"asarray", "astype", "ascontiguousarray", "reshape", "broadcast_to", "transpose", "squeeze"}


def _with_new_axes(base: Code, shape: tuple[int, ...], wanted: tuple[int, ...]) -> Code | None:
    """`x[:, None]` for a reshape that puts in axes of length 1."""
    old, index = list(shape), []
    for n in wanted:
        index.append(":" if old and old[0] == n else "None")
        del old[: index[-1] == ":"]
    fits = not old and all(n == 1 for n, part in zip(wanted, index, strict=True) if part == "None")
    while index and index[-1] == ":":
        index.pop()
    return ast.parse(f"{_in_brackets(base)}[{', '.join(index)}]", mode="eval").body if fits and index else None


def _in_brackets(code: Code) -> str:
    return text(code) if isinstance(code, ast.Name | ast.Call | ast.Attribute) else f"({text(code)})"


def _plain_sum(code: ast.Call, shape: tuple[int, ...], wanted: tuple[int, ...]) -> Code | None:
    """`x.sum(axis=0)` for `x.sum(axis=(0,), keepdims=True).reshape(...)`, where that is the same."""
    options = {each.arg: each.value for each in code.keywords}
    if not isinstance(code.func, ast.Attribute) or code.func.attr != "sum" or set(options) != {"axis", "keepdims"}:
        return None
    axes = ast.literal_eval(options["axis"])
    axes = axes if isinstance(axes, tuple) else (axes,)
    if tuple(n for i, n in enumerate(shape) if i not in axes) != wanted:
        return None
    axis = constant(axes[0] if len(axes) == 1 else axes)
    return ast.Call(code.func, code.args, [ast.keyword("axis", axis)])


def summed(code: Code, shape: tuple[int, ...], wanted: tuple[int, ...]) -> Code:
    """The sum that undoes broadcasting from one shape to another: `g.sum(axis=0)`; the code itself where they agree."""
    if shape == wanted:
        return code
    added = len(shape) - len(wanted)
    axes = [*range(added), *(added + i for i, n in enumerate(wanted) if n == 1 and shape[added + i] != 1)]
    kept = len(axes) > added  # some axes stay, with length 1
    options = {"axis": constant(axes[0] if len(axes) == 1 else tuple(axes)), "keepdims": constant(kept)}
    result = call(ast.Attribute(code, "sum"), [], options)
    if kept and added:
        return call(ast.Attribute(result, "reshape"), [constant(wanted)], {})
    return result


def tidy(statements: list[ast.stmt], result: Code, inlined: Collection[str], keep: Collection[str] = ()) -> Code:
    """Drop assignments that nothing reads, and write those `inlined` names that are read once where they are read.

    Works on the list in place and returns the result with the same replacements.
    """
    holder = ast.Expr(result)
    for i in range(len(statements) - 1, -1, -1):
        name = assigned_name(statements[i])
        if name is None or name in keep:
            continue
        later = [*statements[i + 1 :], holder]
        uses = [each for part in later for each in ast.walk(part) if isinstance(each, ast.Name) and each.id == name]
        if not uses:
            del statements[i]
        elif len(uses) == 1 and name in inlined:
            replacement = _Replacement(name, statements[i].value)  # type: ignore[attr-defined]
            later = [replacement.visit(part) for part in later]
            statements[i:] = later[:-1]
    return holder.value


def assigned_name(statement: ast.stmt) -> str | None:
    """The name that a statement assigns to, if it assigns to one name."""
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id
    return None


def named_result(statements: Sequence[ast.stmt], code: Code, name: str) -> list[ast.stmt]:
    """Statements that end in an assignment of the result to a name."""
    last = assigned_name(statements[-1]) if statements else None
    made_here = {assigned_name(each) for each in statements}
    if isinstance(code, ast.Name) and code.id in made_here and (last == code.id or "," not in name):
        return [renamed(each, code.id, name) for each in statements]
    return [*statements, assignment(name, code)]


def renamed(statement: ast.stmt, old: str, new: str) -> ast.stmt:
    """A statement in which one name is another."""
    result: ast.stmt = _Replacement(old, ast.Name(new)).visit(statement)
    return result


class _Replacement(ast.NodeTransformer):
    """Code in the place of a name."""

    def __init__(self, name: str, code: Code) -> None:
        self.name, self.code = name, code

    def visit_Name(self, node: ast.Name) -> Code:
        """The code, if this is the name."""
        return self.code if node.id == self.name else node
