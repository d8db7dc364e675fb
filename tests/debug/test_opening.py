"""Functions opened into NumPy: what the code computes is what the function computes, and it is written short."""

import ast

import numpy as np
import pytest
from calls import CALLS, NAMES, Call

from tinygrad_sm import softmax
from tinygrad_sm.debug.symbols.numpy_code import summed, text, tidy
from tinygrad_sm.debug.symbols.opening import Opener, UnopenableError
from tinygrad_sm.debug.symbols.terms import close, fixed, gathered, variable
from tinygrad_sm.numpy_calls import unbroadcast

SIZE = 3


def fresh_names():
    taken = {"x", "y", "g", "np"}

    def fresh(base):
        name = next(name for name in (base, *(f"{base}_{i}" for i in range(2, 99))) if name not in taken)
        taken.add(name)
        return name

    return fresh


def opened(function, *args, deep=True, **options):
    """The code of a call with arrays called x and y and numbers, and what the call returns."""
    names = iter("xy")
    terms = [variable(arg, next(names)) if isinstance(arg, np.ndarray) else fixed(arg) for arg in args]
    opener = Opener(fresh_names(), deep=deep)
    term = opener.open(function, terms, {key: fixed(value) for key, value in options.items()})
    code = tidy(opener.statements, term.code, opener.shared)
    return "; ".join([*map(text, opener.statements), text(code)]), term.value


def branch_on_shape(x, axis=0):
    if x.ndim > 1:
        return x.sum(axis=axis)
    return x * SIZE


def helper_twice(x):
    return double(x + 1) * double(x)


def double(z):
    return z + z


def unused_and_shared(x):
    _ = x.sum()
    count = x.shape[0]
    mean = x / count
    return mean - mean.max()


def tuples(x):
    first, *rest = x.shape
    return x.reshape((*rest, first))


def comprehension(x, axes=(0, 1)):
    kept = tuple(i for i in range(x.ndim) if i not in axes)
    return np.transpose(x, (*axes, *kept))


def neutral(x):
    return (1 * x + 0) ** 1 / 1 - 0


def in_place(x):
    out = np.zeros(x.shape)
    out[0] = x[0]
    np.add.at(out, [1, 1], x[1])
    out += 1
    return out


def calls_an_operation(x):
    return softmax(x, axis=0) * 2


def loops(x):
    for _ in range(2):
        x = x * 2
    return x


def fails(x):
    try:
        return x
    finally:
        pass


def two(x):
    return x, x * 2


def takes_two(x):
    a, b = two(x)
    return a * b


def ones_times(x):
    return np.ones(x.shape[0]) @ x


def known_condition(x, y=2):
    return np.where(np.equal(y, 0), 0, y * x ** np.subtract(y, 1))


MATRIX = np.array([[1.0, 2.0], [3.0, 5.0]])


@pytest.mark.parametrize(
    ("function", "x", "code"),
    [
        (branch_on_shape, MATRIX, "x.sum(axis=0)"),
        (branch_on_shape, MATRIX[0], "x * 3"),
        (helper_twice, MATRIX, "z = x + 1; (z + z) * (x + x)"),
        (unused_and_shared, MATRIX, "mean = x / 2; mean - mean.max()"),
        (comprehension, MATRIX, "x"),
        (neutral, MATRIX, "x"),
        (
            in_place,
            MATRIX,
            "out = np.zeros((2, 2)); out[0] = x[0]; np.add.at(out, [1, 1], x[1]); out_2 = out + 1; out_2",
        ),
        (takes_two, MATRIX, "b = x * 2; x * b"),
        (ones_times, MATRIX, "x.sum(axis=0)"),
        (known_condition, MATRIX, "2 * x"),
    ],
)
def test_code_is_short_and_right(function, x, code):
    got, value = opened(function, x.copy())
    assert got == code
    *statements, result = got.split("; ")
    names = {"np": np, "x": x.copy()}
    exec("\n".join(statements), names)
    np.testing.assert_allclose(eval(result, names), function(x.copy()))
    np.testing.assert_allclose(value, function(x.copy()))


def test_operations_are_opened_or_kept():
    assert opened(calls_an_operation, MATRIX, deep=False)[0] == "softmax(x, axis=0) * 2"
    deep, value = opened(calls_an_operation, MATRIX)
    assert "np.exp(" in deep
    assert "softmax" not in deep
    np.testing.assert_allclose(value, 2 * softmax(MATRIX, axis=0))


@pytest.mark.parametrize("function", [loops, fails, tuples, lambda x: x, len, np.exp])
def test_what_is_no_straight_line_is_not_opened(function):
    with pytest.raises(UnopenableError):
        opened(function, MATRIX)


@pytest.mark.parametrize(("op", "number"), CALLS, ids=NAMES)
def test_every_forward_and_rule_opens(op, number):
    """The code of each, evaluated, gives what the function gives."""
    call = Call(op, number)
    names = {"np": np}

    def term(value, name):
        if isinstance(value, list):
            return gathered([term(item, f"{name}_{i}") for i, item in enumerate(value)], list)
        if isinstance(value, np.ndarray):
            names[name] = value
            return variable(value, name)
        return fixed(value)

    args = [term(value, name) for value, name in zip(call.args, op.parameters, strict=False)]
    options = {key: term(value, key) for key, value in call.kwargs.items()}
    out = op(*call.args, **call.kwargs)
    rng = np.random.default_rng(0)
    if isinstance(out, tuple):
        names |= {"g": tuple(rng.normal(size=each.shape) for each in out), "out": out}
    else:
        names |= {"g": rng.normal(size=np.shape(out)), "out": np.asarray(out)}
    head = [variable(names["g"], "g"), variable(names["out"], "out")]
    with np.errstate(all="ignore"):
        assert_code_gives(out, lambda opener: opener.operation(op, args, options), names)
        for name, rule in op.rules.items():
            if op.parameters.index(name) < len(args):
                first = [0] if op.variadic else []
                expected = rule(names["g"], names["out"], *first, *call.args, **call.kwargs)
                terms = [*head, *map(fixed, first), *args]
                assert_code_gives(expected, lambda o, r=rule, t=terms: o.open(r, t, options), names)


def assert_code_gives(expected, run, names):
    def fresh(base):
        made.append(f"made_{len(made)}_{base}")
        return made[-1]

    made = []
    opener = Opener(fresh)
    term = run(opener)
    code = tidy(opener.statements, term.code, opener.shared)
    scope = dict(names)
    exec("\n".join(map(text, opener.statements)), scope)
    got = eval(text(code), scope)
    outputs = zip(got, expected, strict=True) if isinstance(expected, tuple) else [(got, expected)]
    for found, wanted in outputs:
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)
    used = {
        node.id
        for node in ast.walk(ast.parse("\n".join([*map(text, opener.statements), text(code)])))
        if isinstance(node, ast.Name)
    }
    assert used <= {*names, *made, "float", "bool", "int", "slice"}


@pytest.mark.parametrize(
    ("shape", "wanted", "code"),
    [
        ((4, 2), (4, 2), "g"),
        ((4, 2), (2,), "g.sum(axis=0)"),
        ((4, 2), (4, 1), "g.sum(axis=1, keepdims=True)"),
        ((4, 2), (), "g.sum(axis=(0, 1))"),
        ((3, 4, 2), (4, 1), "g.sum(axis=(0, 2), keepdims=True).reshape((4, 1))"),
        ((3, 1, 2), (1, 2), "g.sum(axis=0)"),
        ((3, 1, 2), (1, 1), "g.sum(axis=(0, 2), keepdims=True).reshape((1, 1))"),
    ],
)
def test_the_sum_that_undoes_broadcasting(shape, wanted, code):
    g = np.random.default_rng(0).normal(size=shape)
    assert text(summed(ast.Name("g"), shape, wanted)) == code
    np.testing.assert_array_equal(eval(code), unbroadcast(g, wanted))


def test_close_is_strict_on_shapes_and_infinities():
    a = np.array([1.0, 2.0])
    assert close(a, a * (1 + 1e-15))
    assert not close(a, a * (1 + 1e-9))
    assert not close(a, a[None])
    assert not close(np.array([np.inf, 1.0]), np.array([np.inf, 1.0]))
    assert close(np.array([np.inf, np.nan]), np.array([np.inf, np.nan]), finite=False)
    assert not close(np.array([np.inf, 1.0]), np.array([1.0, 1.0]), finite=False)
