"""What every operation must come with, and how its rules are written: so that people and programs can read them."""

import ast
import doctest
import inspect
import textwrap

import numpy as np
import pytest
from calls import CONSTANTS, DIFFERENTIABLE, OPS

import tinygrad_sm as tg

every_op = pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
RULES = [rule for op in OPS for rule in op.rules.values()]


@every_op
def test_operation_has_samples(op):
    assert op.samples
    for sample in op.samples:
        args, kwargs = sample.make(np.random.default_rng(0))
        op.signature.bind(*args, **kwargs)


@every_op
def test_operation_says_what_it_does_with_an_example_that_runs(op):
    text = op.__doc__
    assert len(text.splitlines()) < 15
    if "NumPy's `" in text:  # comparisons and rounding, which are NumPy's own and made by one function
        assert not op.differentiable
        return
    examples = doctest.DocTestParser().get_doctest(text, vars(inspect.getmodule(op.forward)).copy(), op.name, None, 0)
    assert examples.examples
    assert doctest.DocTestRunner(verbose=False).run(examples, out=lambda report: None).failed == 0


@every_op
def test_operation_is_a_function_of_the_top_level_or_of_linalg_under_its_name(op):
    home = tg.linalg if op.name in tg.ops.LINALG else tg
    assert getattr(home, op.name) is op
    assert op.name in home.__all__
    assert op.name in repr(op)


@every_op
def test_operation_is_a_method_if_it_says_so(op):
    assert (getattr(tg.Tensor, op.name, None) is not None) == op.method


@every_op
def test_operation_without_derivative_has_no_rules_and_others_have_one(op):
    assert bool(op.rules) == op.differentiable


@pytest.mark.parametrize("op", DIFFERENTIABLE, ids=lambda op: op.name)
def test_every_argument_that_takes_floating_values_has_a_rule_or_is_a_constant_by_intent(op):
    floating = set()
    for sample in op.samples:
        args, kwargs = sample.make(np.random.default_rng(0))
        for name, value in op.signature.bind(*args, **kwargs).arguments.items():
            values = value if isinstance(value, list) else [value]
            if any(isinstance(each, np.ndarray) and each.dtype.kind == "f" for each in values):
                floating.add(name)
    constants = CONSTANTS.get(op.name, set())
    assert floating <= set(op.rules) | constants
    assert not constants & set(op.rules)


@pytest.mark.parametrize(
    ("op", "name"), [(op, name) for op in DIFFERENTIABLE for name in sorted(CONSTANTS.get(op.name, ()))]
)
def test_gradient_for_a_constant_argument_is_refused(op, name):
    sample = next(sample for sample in op.samples if name in op.signature.bind(*sample.args, **sample.kwargs).arguments)
    args, kwargs = sample.make(np.random.default_rng(0))
    arguments = op.signature.bind(*args, **kwargs).arguments
    arguments[name] = tg.Tensor(np.asarray(arguments[name], dtype=float), requires_grad=True)
    with pytest.raises(tg.errors.GradientError, match=f"{op.name} has no derivative for {name}") as caught:
        op(**arguments)
    assert caught.value.remedy == f"pass {name}.detach()"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_is_a_named_function_of_its_module(rule):
    module = inspect.getmodule(rule)
    assert inspect.isfunction(rule)
    assert getattr(module, rule.__name__) is rule  # at top level, and no decorator stands between
    assert rule.__closure__ is None
    op_name, _, argument = rule.__name__.rpartition("_vjp_")
    assert tg.ops.__dict__[op_name].rules[argument] is rule


# What a test in a rule may ask for: it must not depend on the values of an array.
METADATA = {"shape", "ndim", "dtype", "size"}
METADATA_CALLS = {"np.ndim", "np.shape", "np.size", "len", "isinstance"}
OPTIONS = {"mode", "axis", "axes", "keepdims", "reduction", "position", "ddof", "log_target", "approximate"}


def depends_on_values(node):
    """Whether an expression can depend on the values of an array, rather than on its shape or type or an option."""
    if isinstance(node, ast.Attribute) and node.attr in METADATA:
        return False
    if isinstance(node, ast.Call) and ast.unparse(node.func) in METADATA_CALLS:
        return False
    if isinstance(node, ast.Compare) and all(isinstance(op, ast.Is | ast.IsNot) for op in node.ops):
        return False
    if isinstance(node, ast.Name):
        return node.id not in OPTIONS
    return any(depends_on_values(child) for child in ast.iter_child_nodes(node))


FORBIDDEN = (ast.For, ast.While, ast.AsyncFor, ast.With, ast.Try, ast.Lambda, ast.Delete, ast.Global, ast.Nonlocal)
FORBIDDEN += (ast.Import, ast.ImportFrom, ast.Assert, ast.Raise, ast.Yield, ast.Match, ast.NamedExpr, ast.ClassDef)
OUT_OF_THE_ARRAY = {"item", "tolist", "data", "numpy", "detach", "fill", "sort"}


def crooked(node):
    """What a syntax node does that breaks the straight line: loops, and branches on values."""
    if isinstance(node, FORBIDDEN):
        yield type(node).__name__
    if isinstance(node, ast.If | ast.IfExp) and depends_on_values(node.test):
        yield f"branch on {ast.unparse(node.test)}"
    if isinstance(node, ast.BoolOp) and depends_on_values(node):
        yield f"truth of {ast.unparse(node)}"
    if isinstance(node, ast.comprehension) and node.ifs:
        yield "filter"
    if isinstance(node, ast.GeneratorExp | ast.ListComp | ast.SetComp) and depends_on_values(node.elt):
        yield f"loop over {ast.unparse(node.elt)}"


def impure(node):
    """What a syntax node does besides computing a value: writes, and values taken out of their array."""
    if isinstance(node, ast.Attribute) and node.attr in OUT_OF_THE_ARRAY:
        yield f".{node.attr}"
    if isinstance(node, ast.Call) and any(keyword.arg == "out" for keyword in node.keywords):
        yield "out="
    for target in [node.target] if isinstance(node, ast.AugAssign) else getattr(node, "targets", []):
        written = ast.unparse(target).partition("[")[0]
        in_place = isinstance(node, ast.AugAssign) or isinstance(target, ast.Subscript | ast.Attribute)
        if in_place and written != "residual":
            yield f"write to {written}"


def offences(source):
    """What a rule does that a rule must not do."""
    function = ast.parse(textwrap.dedent(source)).body[0]
    for node in ast.walk(function):
        if isinstance(node, ast.FunctionDef) and node is not function:
            yield "inner function"
        yield from crooked(node)
        yield from impure(node)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_is_straight_line_code(rule):
    assert list(offences(inspect.getsource(rule))) == []


@pytest.mark.parametrize(
    ("body", "offence"),
    [
        ("return g * out", None),
        ("if axis is None:\n        return g\n    return g.reshape(x.shape)", None),
        ("return g if x.ndim > 1 and keepdims else -g", None),
        ("residual[0] -= 1\n    return residual", None),
        ("return g[sum(np.shape(a)[axis] for a in x)]", None),
        ("return g if reduction == 'mean' else g / len(x)", None),
        ("if x > 0:\n        return g\n    return -g", "branch on x > 0"),
        ("return g if g.any() else x", "branch on g.any()"),
        ("return g if axis is None or x.max() else x", "truth of axis is None or x.max()"),
        ("return g or x", "truth of g or x"),
        ("for i in x:\n        g = g * i\n    return g", "For"),
        ("return sum(i * g for i in x)", "loop over i * g"),
        ("return (lambda y: y * g)(x)", "Lambda"),
        ("g *= x\n    return g", "write to g"),
        ("g[0] = 1\n    return g", "write to g"),
        ("return g * x.item()", ".item"),
        ("return np.multiply(g, x, out=g)", "out="),
        ("assert x.ndim\n    return g", "Assert"),
    ],
)
def test_the_walk_tells_straight_lines_from_crooked_ones(body, offence):
    found = list(offences(f"def rule(g, out, x, axis=None, keepdims=False, reduction='mean'):\n    {body}\n"))
    assert offence in found if offence else found == []
