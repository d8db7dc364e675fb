"""Functions opened into NumPy: a rule or a forward run on one set of arguments and, meanwhile, written down.

A rule branches on shapes, types and options only, so for one recorded call it is a straight line. `Opener` walks over
its source with the recorded values in hand: what is known from shapes and options alone becomes a number, calls of this
package's own functions are opened in their turn, and what is left is NumPy on the user's variables. No operation is
known here by name: one that is registered tomorrow opens as well. Read `terms.py` for what it computes
with, and `numpy_code.py` for how code is spelled.
"""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import operator
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_sm.debug.symbols import numpy_code
from tinygrad_sm.debug.symbols.numpy_code import Code
from tinygrad_sm.debug.symbols.terms import (
    Term,
    changes_nothing,
    close,
    codes_of,
    fixed,
    gathered,
    holds_arrays,
    is_literal,
    is_recorded,
    items_of,
    known_choice,
    number_of,
    result_of,
    same,
)
from tinygrad_sm.engine.primitive import Primitive
from tinygrad_sm.operand import plain


class UnopenableError(Exception):
    """The source uses a part of Python that is not opened, or cannot be found: the call stands as it is instead."""


# What tells nothing of the values of an array: its result is known beforehand whatever the array holds.
METADATA = {"shape", "ndim", "dtype", "size"}
METADATA_CALLS = (len, isinstance, np.shape, np.ndim, np.size, np.result_type, np.broadcast_shapes, type)
# What takes tuples and lists apart and puts them together.
TAKES_APART = (tuple, list, all, any, sum, enumerate, zip, range, reversed)
ARITHMETIC: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.MatMult: operator.matmul,
    ast.Mod: operator.mod,
    ast.FloorDiv: operator.floordiv,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
    ast.Not: operator.not_,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}


class Scope(NamedTuple):
    """The names that a function being opened sees."""

    local: dict[str, Term]
    outer: Mapping[str, Any]


class Opener(ast.NodeVisitor):
    """Opens one function after another into `statements`, in which every new name comes from `fresh`.

    Args: fresh: makes an unused name like the one it gets. deep: open operations too, not only functions. open_helpers:
    open functions of several statements too. imported: what a module or a function of one is called in the script, by
    its name in the source. Operations on tensors get a statement each, named in `edges`.
    """

    def __init__(
        self,
        fresh: Callable[[str], str],
        *,
        deep: bool = True,
        open_helpers: bool = True,
        imported: Callable[[str, Any], str] = lambda name, value: name,
    ) -> None:
        self.fresh = fresh
        self.imported = imported
        self.deep = deep
        self.open_helpers = open_helpers
        self.statements: list[ast.stmt] = []
        self.edges: dict[Any, str] = {}
        self.constants: dict[int, tuple[Code, Any]] = {}  # by id: what operations on tensors took as constants
        self.shared: set[str] = set()  # names that stand for an argument, not for a variable of the function's own
        self._scope = Scope({}, {})

    def open(self, function: Callable[..., Any], args: Sequence[Term], options: Mapping[str, Term]) -> Term:
        """Open a call: its statements are added, and the term for its result is returned."""
        body, outer = source_of(function)
        signature = inspect.signature(function)
        bound = signature.bind(*args, **options).arguments
        defaults = {
            name: fixed(parameter.default)
            for name, parameter in signature.parameters.items()
            if name not in bound and parameter.default is not inspect.Parameter.empty
        }
        local = {name: self._shared(term, name, body) for name, term in {**defaults, **bound}.items()}
        before, self._scope = self._scope, Scope(local, outer)
        try:
            return self._run(body) or fixed(None)
        finally:
            self._scope = before

    def assign(self, name: str, term: Term) -> Term:
        """Give a term a name of its own, unless it is one already or a number."""
        if isinstance(term.code, ast.Name) or term.items is not None or is_literal(term):
            return term
        return self._emit(self.fresh(name), term)

    def _emit(self, name: str, term: Term) -> Term:
        self.statements.append(numpy_code.assignment(name, term.code))
        if is_recorded(term.value):
            self.edges[term.value._edge] = name
        return Term(term.value, ast.Name(name), term.fixed)

    def _shared(self, term: Any, name: str, body: Sequence[ast.stmt]) -> Any:
        """An argument that the function reads twice is computed once."""
        if not isinstance(term, Term) or is_literal(term) or numpy_code.is_simple(term.code):
            return term
        uses = sum(isinstance(each, ast.Name) and each.id == name for part in body for each in ast.walk(part))
        named = self.assign(name, term) if uses > 1 else term
        self.shared |= {named.code.id} if isinstance(named.code, ast.Name) else set()
        return named

    # Statements.

    def _run(self, body: Sequence[ast.stmt]) -> Term | None:
        """Carry out statements up to the first return, whose term is the result."""
        for statement in body:
            if isinstance(statement, ast.Return):
                return self.visit(statement.value) if statement.value else fixed(None)
            if isinstance(statement, ast.If | ast.With):
                returned = self._run(self._taken(statement))
                if returned:
                    return returned
            else:
                self.visit(statement)
        return None

    def _taken(self, statement: ast.If | ast.With) -> list[ast.stmt]:
        """The branch that this call takes; the body of a `with`, which in a rule or forward is about warnings."""
        if isinstance(statement, ast.With):
            return statement.body
        return statement.body if self.visit(statement.test).value else statement.orelse

    def visit_Expr(self, node: ast.Expr) -> None:
        """A call for what it does: one of NumPy's is written down, one of ours only checks its arguments."""
        if isinstance(node.value, ast.Call):
            function = self.visit(node.value.func)
            args, options = self._arguments(node.value)
            result = result_of(function.value, args, options)
            if not _is_ours(function.value):
                codes = [term.code for term in args]
                code = numpy_code.call(self._named(function), codes, codes_of(options), function.value)
                self.statements.append(ast.Expr(code))
            elif result is not None:
                raise UnopenableError(ast.unparse(node))

    def visit_Assign(self, node: ast.Assign) -> None:
        """An assignment to names, or to elements of an array that the function made."""
        term = self.visit(node.value)
        for target in node.targets:
            self._bind(target, term)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """An assignment with an annotation."""
        if node.value:
            self._bind(node.target, self.visit(node.value))

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """`x += y` as `x = x + y`: on the arrays of a rule or forward it is the same."""
        load = ast.parse(ast.unparse(node.target), mode="eval").body
        self._bind(node.target, self.visit(ast.BinOp(load, node.op, node.value)))

    def _bind(self, target: ast.expr, term: Term) -> None:
        if isinstance(target, ast.Name):
            self._scope.local[target.id] = self.assign(target.id, term)
        elif isinstance(target, ast.Tuple):
            for part, item in zip(target.elts, self._parts(target, term), strict=True):
                self._bind(part, item)
        elif isinstance(target, ast.Subscript):
            base, index = self.visit(target.value), self.visit(target.slice)
            base.value[index.value] = term.value
            self.statements.append(numpy_code.assignment(numpy_code.subscript(base.code, index), term.code))
        else:
            raise UnopenableError(ast.unparse(target))

    def _parts(self, target: ast.Tuple, term: Term) -> list[Term]:
        """The items of a term that a tuple of targets takes apart: in one statement if it is the result of a call."""
        if term.items is not None or is_literal(term) or not all(isinstance(e, ast.Name) for e in target.elts):
            return items_of(self.assign("parts", term))
        names = [self.fresh(ast.unparse(each)) for each in target.elts]
        left = ast.Tuple([ast.Name(name) for name in names])
        self.statements.append(numpy_code.assignment(left, term.code))
        return [Term(value, ast.Name(name), term.fixed) for value, name in zip(term.value, names, strict=True)]

    # Expressions.

    def generic_visit(self, node: ast.AST) -> Any:
        """Anything that is not spelled out here is not opened."""
        raise UnopenableError(f"{type(node).__name__}: {ast.unparse(node)}")

    def visit_Constant(self, node: ast.Constant) -> Term:
        """A literal."""
        return fixed(node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> Term:
        """A message, which nobody gets to see."""
        return fixed(ast.unparse(node))

    def visit_Name(self, node: ast.Name) -> Term:
        """A local variable, or what the module or Python calls so."""
        if node.id in self._scope.local:
            return self._scope.local[node.id]
        if node.id in self._scope.outer:
            return self._global(self._scope.outer[node.id], node)
        if hasattr(builtins, node.id):
            return Term(getattr(builtins, node.id), node, True)
        raise UnopenableError(f"unknown name {node.id}")

    def _global(self, value: Any, node: ast.Name) -> Term:
        """What a function sees in its module: modules, functions and classes by name, anything else by its value."""
        if value is np:
            return Term(value, ast.Name("np"), True)
        if inspect.ismodule(value):
            return Term(value, ast.Name(self.imported(node.id, value)), True)
        if not callable(value):
            return Term(value, numpy_code.constant(value), True)
        if numpy_code.is_in_numpy(value):
            return Term(value, ast.Attribute(ast.Name("np"), value.__name__), True)
        return Term(value, node, True)

    def visit_Attribute(self, node: ast.Attribute) -> Term:
        """Metadata is known; anything else is an attribute in the script too."""
        base = self._operand(self.visit(node.value))
        value = getattr(base.value, node.attr)
        if node.attr in METADATA:
            return fixed(value)
        return self._made(value, ast.Attribute(base.code, node.attr), base.fixed)

    def visit_Subscript(self, node: ast.Subscript) -> Term:
        """An element: of a tuple of terms the term itself, of an array code."""
        base, index = self._operand(self.visit(node.value)), self.visit(node.slice)
        if base.items is not None and index.fixed:
            part = base.items[index.value]
            return gathered(part, tuple) if isinstance(index.value, slice) else part
        value = base.value[index.value]
        return self._made(value, numpy_code.subscript(base.code, index), base.fixed and index.fixed)

    def visit_Slice(self, node: ast.Slice) -> Term:
        """A slice with known ends."""
        parts = [self.visit(part).value if part else None for part in (node.lower, node.upper, node.step)]
        return fixed(slice(*parts))

    def visit_Tuple(self, node: ast.Tuple) -> Term:
        """A tuple of terms."""
        return gathered(list(self._unpacked(node.elts)), tuple)

    def visit_List(self, node: ast.List) -> Term:
        """A list of terms."""
        return gathered(list(self._unpacked(node.elts)), list)

    def visit_BinOp(self, node: ast.BinOp) -> Term:
        """Arithmetic."""
        left, right = self._operand(self.visit(node.left)), self._operand(self.visit(node.right))
        return self._arithmetic(node.op, left, right)

    def _arithmetic(self, symbol: ast.operator, left: Term, right: Term) -> Term:
        left, right = self._settled([left, right])
        value = ARITHMETIC[type(symbol)](left.value, right.value)
        for kept, other in ((left, right), (right, left)):
            if changes_nothing(symbol, number_of(other), kept is right) and same(value, kept.value):
                return kept
        if isinstance(symbol, ast.MatMult) and numpy_code.row_of_ones(left.code) and right.value.ndim == 2:
            axis = ast.keyword("axis", ast.Constant(0))
            return self._made(value, ast.Call(ast.Attribute(right.code, "sum"), [], [axis]))
        return self._made(value, ast.BinOp(left.code, symbol, right.code), left.fixed and right.fixed)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Term:
        """A sign, or a negation."""
        operand = self._operand(self.visit(node.operand))
        value = ARITHMETIC[type(node.op)](operand.value)
        return self._made(value, ast.UnaryOp(node.op, operand.code), operand.fixed or value is True or value is False)

    def visit_Compare(self, node: ast.Compare) -> Term:
        """A comparison, by element or of what is known; a chain of them only of what is known."""
        terms = [self._operand(self.visit(each)) for each in (node.left, *node.comparators)]
        if len(terms) == 2:
            value = ARITHMETIC[type(node.ops[0])](terms[0].value, terms[1].value)
            code = ast.Compare(terms[0].code, node.ops, [terms[1].code])
            return self._made(value, code, isinstance(value, bool))
        pairs = zip(node.ops, terms, terms[1:], strict=False)
        return fixed(all(ARITHMETIC[type(op)](a.value, b.value) for op, a, b in pairs))

    def visit_BoolOp(self, node: ast.BoolOp) -> Term:
        """`and` and `or`: the operand that decides."""
        term = fixed(None)
        for each in node.values:
            term = self.visit(each)
            if bool(term.value) == isinstance(node.op, ast.Or):
                break
        return term

    def visit_IfExp(self, node: ast.IfExp) -> Term:
        """The branch that this call takes."""
        return self.visit(node.body if self.visit(node.test).value else node.orelse)  # type: ignore[no-any-return]

    def visit_GeneratorExp(self, node: ast.GeneratorExp | ast.ListComp) -> Term:
        """A comprehension, item by item."""
        if len(node.generators) > 1:
            raise UnopenableError(ast.unparse(node))
        loop, outside, found = node.generators[0], dict(self._scope.local), []
        for item in items_of(self.visit(loop.iter)):
            self._bind(loop.target, item)
            if all(self.visit(test).value for test in loop.ifs):
                found.append(self.visit(node.elt))
        self._scope.local.clear()
        self._scope.local.update(outside)
        return gathered(found, list)

    def visit_ListComp(self, node: ast.ListComp) -> Term:
        """A comprehension, item by item."""
        return self.visit_GeneratorExp(node)

    def visit_Call(self, node: ast.Call) -> Term:
        """A call: opened if it is one of ours, else code."""
        function = self.visit(node.func)
        args, options = self._arguments(node)
        return self.call(function, args, options)

    def call(self, function: Term, args: Sequence[Term], options: Mapping[str, Term]) -> Term:
        """A call of a function at hand with terms: opened if it is one of ours, else code."""
        target = function.value
        if target is plain:
            return Term(plain(args[0].value), args[0].code)
        if isinstance(target, Primitive):
            return self.operation(target, args, options) if self.deep else self._as_code(function, args, options)
        if target is sum and not is_literal(args[0]):
            add = functools.partial(self._arithmetic, ast.Add())
            return functools.reduce(
                add, items_of(args[0]), args[1] if len(args) > 1 else options.get("start", fixed(0))
            )
        if _is_metadata_call(target) or target in TAKES_APART:
            return _from_items(target, args, options)
        if _is_ours(target) and all(is_literal(term) for term in (*args, *options.values())):
            return self._known(target, args, options)
        if _is_ours(target):
            before = len(self.statements)
            term = self.open(target, args, options)
            if self.open_helpers or len(self.statements) == before:
                return term
            del self.statements[before:]
            args = _without_defaults(target, args)
        return self._as_code(function, args, options)

    def _known(self, target: Any, args: Sequence[Term], options: Mapping[str, Term]) -> Term:
        """A call whose result follows from metadata: a literal, or for an array the code that makes it."""
        found = _from_items(target, args, options)
        if self.open_helpers and holds_arrays(found.value):
            before = len(self.statements)
            try:
                return self.open(target, args, options)
            except UnopenableError:
                del self.statements[before:]
        return found

    def operation(self, op: Primitive, args: Sequence[Term], options: Mapping[str, Term]) -> Term:
        """An operation: NumPy's function of the same result, its textbook formula or its forward opened."""
        args = self._settled(args)
        if any(is_recorded(term.value) for term in args):
            code = self.operation(op, [Term(plain(term.value), *term[1:]) for term in args], options).code
            return Term(result_of(op, args, options), code)
        return self.spelled(op, args, options) or self._textbook(op, args, options) or self._forward(op, args, options)

    def _forward(self, op: Primitive, args: Sequence[Term], options: Mapping[str, Term]) -> Term:
        found = self.open(op.forward, args, options)
        return items_of(found)[0] if op.residual else found

    def _textbook(self, op: Primitive, args: Sequence[Term], options: Mapping[str, Term]) -> Term | None:
        """The unfused formula opened; None where there is none, or where it overflows and the fused one does not."""
        if op.unfused is None:
            return None
        trial = Opener(self.fresh, deep=self.deep, imported=self.imported)
        try:
            with np.errstate(over="raise", divide="raise", invalid="raise"):
                term = trial.open(op.unfused, args, options)
        except FloatingPointError:
            return None
        if not close(term.value, result_of(op, args, options)):
            return None
        self.statements += trial.statements
        self.shared |= trial.shared
        return term

    def spelled(self, op: Primitive, args: Sequence[Term], options: Mapping[str, Term]) -> Term | None:
        """An operation as NumPy itself spells it, as an operator or a function; None where NumPy does not."""
        for function in op.numpy:
            symbol = numpy_code.OPERATORS.get(function)
            if symbol is not None and not options:
                return self._symbol(symbol, args)
            if function is np.einsum:
                args, options = _spread(args, options)
            try:
                with np.errstate(all="ignore"):
                    theirs = result_of(function, args, options)
            except (TypeError, ValueError, IndexError):
                continue
            if same(theirs, result_of(op, args, options)):
                name = ast.parse(f"np.{numpy_code.name_in_numpy(function)}", mode="eval").body
                return self._as_code(Term(function, name, True), args, options)
        return None

    def _symbol(self, symbol: Any, args: Sequence[Term]) -> Term:
        if isinstance(symbol, ast.cmpop):
            value = ARITHMETIC[type(symbol)](args[0].value, args[1].value)
            known = all(term.fixed for term in args)
            return self._made(value, ast.Compare(args[0].code, [symbol], [args[1].code]), known)
        if isinstance(symbol, ast.unaryop):
            return self._made(ARITHMETIC[type(symbol)](args[0].value), ast.UnaryOp(symbol, args[0].code), args[0].fixed)
        return self._arithmetic(symbol, args[0], args[1])

    def _as_code(self, function: Term, args: Sequence[Term], options: Mapping[str, Term]) -> Term:
        """A call that stands in the script, in its shortest spelling."""
        symbol = numpy_code.OPERATORS.get(function.value) if not options else None
        if symbol is not None:
            return self._symbol(symbol, args)
        args = self._settled(args)
        value = result_of(function.value, args, options)
        known = function.fixed and all(term.fixed for term in (*args, *options.values()))
        name = function.code if known and not holds_arrays(value) else self._named(function)
        code = numpy_code.call(name, [term.code for term in args], codes_of(options), function.value)
        chosen = known_choice(function, args, value)
        if chosen:
            return chosen
        if not is_recorded(value):
            code = numpy_code.shortened(code, _owner(function.value), args, value)
        return self._made(value, code, known)

    # Helpers.

    def _arguments(self, node: ast.Call) -> tuple[list[Term], dict[str, Term]]:
        args = [self._operand(term) for term in self._unpacked(node.args)]
        return args, {str(each.arg): self._operand(self.visit(each.value)) for each in node.keywords}

    def _unpacked(self, nodes: Sequence[ast.expr]) -> Iterator[Term]:
        for node in nodes:
            yield from items_of(self.visit(node.value)) if isinstance(node, ast.Starred) else (self.visit(node),)

    def _operand(self, term: Term) -> Term:
        """A term to compute with: an operation on tensors has had a statement of its own by then."""
        recorded = is_recorded(term.value) and not isinstance(term.code, ast.Name)
        return self._emit(self.fresh(term.value._edge[0].op.name), term) if recorded else term

    def _named(self, function: Term) -> Code:
        """A function as the script calls it, which has to import it if the module of the source did."""
        name = function.code.id if isinstance(function.code, ast.Name) else None
        if name is None or getattr(builtins, name, None) is function.value:
            return function.code
        return ast.Name(self.imported(name, function.value))

    def _settled(self, args: Sequence[Term]) -> list[Term]:
        """The operands of an operation on tensors: what is constant among them gets a name, for the way back."""
        if not any(is_recorded(term.value) for term in args):
            return list(args)
        named = [term if is_recorded(term.value) else self.assign("constant", term) for term in args]
        for term in named:
            value = None if is_recorded(term.value) else plain(term.value)  # a mask made from tensors is one itself
            if isinstance(value, np.ndarray | float) and isinstance(term.code, ast.Name):
                self.constants[id(value)] = term.code, value
        return named

    def _made(self, value: Any, code: Code, known: bool = False) -> Term:
        """The term of what was computed; where it followed from what is known, and is no array, a literal."""
        literal = known and isinstance(value, (int, float, str, tuple, list, slice, type(None), np.generic, np.dtype))
        if literal and not holds_arrays(value):
            return fixed(value)
        return Term(value, code, known)


def _spread(args: Sequence[Term], options: Mapping[str, Term]) -> tuple[list[Term], dict[str, Term]]:
    """The arguments of einsum as NumPy has them: the subscripts, then every operand by itself, and our default."""
    given = dict(zip(("operands", "subscripts", "optimize"), args, strict=False)) | dict(options)
    named = {"optimize": fixed(True)} | given
    if named["operands"].items is None:
        return [*args], {**options}
    return [named.pop("subscripts"), *items_of(named.pop("operands"))], named


def _is_ours(function: Any) -> bool:
    """Whether a function is one of this package or of the user's, which can be opened, rather than one of NumPy's."""
    module = getattr(function, "__module__", None) or ""
    plain = inspect.isfunction(_uncached(function))
    return isinstance(function, Primitive) or (plain and module.partition(".")[0] != "numpy")


def _uncached(function: Any) -> Any:
    """The function behind one that keeps its results, as functools.cache makes it."""
    return function.__wrapped__ if isinstance(function, functools._lru_cache_wrapper) else function


def _is_metadata_call(function: Any) -> bool:
    return any(function is each for each in METADATA_CALLS)


def _without_defaults(function: Any, args: Sequence[Term]) -> Sequence[Term]:
    """Positional arguments less those at the end that the function takes for granted."""
    defaults = [parameter.default for parameter in inspect.signature(function).parameters.values()]
    spoken = list(args)
    while spoken and spoken[-1].fixed and spoken[-1].value == defaults[len(spoken) - 1]:
        spoken.pop()
    return spoken


def _owner(function: Any) -> Any:
    """The array whose method a function is; None for any other function."""
    owner = getattr(function, "__self__", None)
    return owner if isinstance(owner, np.ndarray) else None


def _from_items(function: Any, args: Sequence[Term], options: Mapping[str, Term]) -> Term:
    """A function of Python's own that takes tuples apart and puts them together."""
    if function in (tuple, list) and args:
        return gathered(list(items_of(args[0])), function)
    if function is enumerate:
        return gathered([gathered([fixed(i), item], tuple) for i, item in enumerate(items_of(args[0]))], list)
    if function is zip:
        rows = zip(*[list(items_of(term)) for term in args], strict=False)
        return gathered([gathered(list(row), tuple) for row in rows], list)
    return fixed(result_of(function, args, options))


@functools.cache
def source_of(function: Callable[..., Any]) -> tuple[list[ast.stmt], Mapping[str, Any]]:
    """The statements of a function, without its docstring, and the names that it sees in its module.

    Raises UnopenableError where the source cannot be found or is not a plain function.
    """
    function = _uncached(function)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError) as error:
        raise UnopenableError(f"{function!r} has no source") from error
    if not isinstance(tree, ast.FunctionDef) or function.__closure__:
        raise UnopenableError(f"{function!r} is no plain function")
    body = tree.body[1:] if ast.get_docstring(tree) else tree.body
    return body, function.__globals__
