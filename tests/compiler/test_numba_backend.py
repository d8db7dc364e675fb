"""The backend `numba`: which loops it makes of a program, what a call writes to, and what it hands out.

Its functions are run by Python here; `test_numba_machine.py` compiles them.
"""

import builtins
import importlib

import numpy as np
import pytest
from interpreting import interpret

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import nn, optim
from tinygrad_sm.compiler import compile, compile_step, numba_code
from tinygrad_sm.compiler.fused import plan
from tinygrad_sm.compiler.program import DEVIATES, Instruction, Program, Value
from tinygrad_sm.compiler.tracing import element
from tinygrad_sm.errors import MissingExtraError, TargetError

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch):
    interpret(monkeypatch)


def normal(*shape, dtype=np.float32):
    return RNG.standard_normal(shape).astype(dtype)


def lines_of(compiled, *words):
    return [line for line in compiled.report().splitlines() if any(word in line for word in words)]


def compiled_on(function, *arrays):
    compiled = compile(function, backend="numba")
    compiled(*arrays)
    return compiled


def assert_like_eager(function, *arrays, tolerance=1e-5):
    compiled = compiled_on(function, *arrays)
    expected, got = function(*arrays), compiled(*arrays)
    expected, got = (x if isinstance(x, tuple) else (x,) for x in (expected, got))
    for g, e in zip(got, expected, strict=True):
        e = e.data if isinstance(e, tg.Tensor) else np.asarray(e)
        assert (g.shape, g.dtype) == (e.shape, e.dtype)
        np.testing.assert_allclose(g, e, rtol=tolerance, atol=tolerance)
    return compiled


# Loops.


def test_a_loss_over_rows_and_its_gradient_are_one_loop():
    both = tg.value_and_grad(lambda z: tg.logsumexp(z, axis=1).sum())
    z = normal(6, 200)
    compiled = compiled_on(both, z)
    assert lines_of(compiled, "call") == []
    assert len(lines_of(compiled, "loop over 6 x 200")) == 1
    for got, expected in zip(compiled(z), both(z), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_a_bias_and_an_activation_share_a_loop_and_their_gradients_another():
    w, b, x = normal(3, 4), normal(4), normal(5, 3)
    both = tg.value_and_grad(lambda w, b: tg.relu(F.linear(tg.Tensor(x), w, b)).sum(), (0, 1))
    compiled = compiled_on(both, w, b)
    assert lines_of(compiled, "NumPy call") == []
    assert len(lines_of(compiled, "loop over 5 x 4")) == 1
    value, gradients = both(w, b)
    got, got_gradients = compiled(w, b)
    for g, e in zip([got, *got_gradients], [value, *gradients], strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-5)


def training_step(model, optimizer, **options):
    return compile_step(lambda x, y: F.cross_entropy(model(x), y), optimizer, backend="numba", **options)


def network(*sizes, dropout=0.0):
    return nn.MLP(list(sizes), generator=np.random.default_rng(0), dropout=dropout)


def test_a_training_step_is_one_compiled_function_without_calls():
    model = network(3, 8, 4)
    step = training_step(model, optim.Adam(model.parameters(), lr=0.01))
    x, y = normal(6, 3), RNG.integers(0, 4, 6)
    step(x, y)
    assert lines_of(step, "NumPy call") == []
    assert step.source.count("@compiled") == 1
    assert "def step(x, y, lr):" in step.source


def test_source_and_report_name_the_users_lines():
    compiled = compiled_on(lambda x: tg.tanh(x), normal(3))
    assert "tanh, " in compiled.source
    assert "test_numba_backend.py" in compiled.source


# Shapes, layouts and types.

LAYOUTS = {
    "in the order of Fortran": lambda: np.asfortranarray(normal(4, 6)),
    "with gaps": lambda: normal(8, 12)[::2, ::2],
    "backwards": lambda: normal(4, 6)[::-1, ::-1],
    "transposed": lambda: normal(2, 3, 4).transpose(2, 0, 1),
    "broadcast": lambda: np.broadcast_to(normal(6), (4, 6)),
    "one element": lambda: normal(1, 1),
    "no axes": lambda: np.asarray(normal()),
    "nothing": lambda: normal(0, 3),
    "one row": lambda: normal(1, 7),
    "one column": lambda: normal(7, 1),
    "a prime number": lambda: normal(37),
}


@pytest.mark.parametrize("make", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts(make):
    x = make()
    assert_like_eager(lambda x: (tg.exp(-tg.abs(x)) * 2 + x, tg.sum(x * x), x.T * x.T), x)


@pytest.mark.parametrize("axis", [None, 0, 1, 2, (0, 1), (0, 2), (1, 2), (0, 1, 2), -1, ()])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions_along_any_axes(axis, keepdims):
    x = normal(3, 4, 5, dtype=np.float64)

    def function(x):
        total = tg.sum(x, axis=axis, keepdims=keepdims)
        largest = tg.max(x, axis=axis, keepdims=keepdims) if axis != () else total
        return total * 2, largest, tg.mean(x * x, axis=axis, keepdims=keepdims), tg.std(x, axis=axis)

    assert_like_eager(function, x, tolerance=1e-12)


@pytest.mark.parametrize("shapes", [((3, 1), (4,)), ((2, 3, 4), (3, 1)), ((1, 1), (5, 2)), ((), (3,)), ((6,), (6, 6))])
def test_broadcasting(shapes):
    x, y = (normal(*shape) for shape in shapes)
    assert_like_eager(lambda x, y: (x * y + x, tg.maximum(x, y)), np.asarray(x), np.asarray(y))


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.int32, np.uint8, np.int64, bool])
def test_types(dtype):
    x = np.asarray([3, 0, 1, 1], dtype)
    assert_like_eager(lambda x: (x + x, tg.maximum(x, x[::-1]), x > 0, tg.sum(x), x * 2.5), x, tolerance=1e-2)


def test_infinities_and_nan_keep_their_meaning():
    x = np.array([[np.inf, -np.inf, np.nan, 0.0, -1.0, 1e30, 2.0]], np.float32).T
    with np.errstate(all="ignore"):
        expected = [np.maximum(x, 0), np.maximum(x, x[::-1]), np.exp(x), np.where(x > 0, x, 0), x.max(), x - x]
        both = compiled_on(
            lambda x: (tg.relu(x), tg.maximum(x, x[::-1]), tg.exp(x), tg.where(x > 0, x, 0.0), tg.max(x), x - x), x
        )
        for got, wanted in zip(both(x), expected, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_sums_of_many_small_numbers_are_exact_enough():
    x = np.full((1, 300_000), 0.1, np.float32)
    compiled = compiled_on(lambda x: (tg.sum(x), tg.sum(x, axis=1), tg.sum(x.T)), x)
    for total in compiled(x):
        np.testing.assert_allclose(total, 30_000, rtol=1e-6)


# What a call writes to.


def program_of(inputs, stores, results, *instructions):
    return Program(inputs, [], list(instructions), results, stores)


def value(kind, array, name):
    return Value(kind, array.shape, array.dtype, array.strides, name, array if kind == "memory" else None)


def ufunc(function, *args):
    example = function(*[np.ones(a.shape, a.dtype) if isinstance(a, Value) else a for a in args])
    return Instruction("ufunc", function, args, {}, (value("result", np.asarray(example), ""),))


def test_nothing_is_written_where_a_guard_fails():
    memory = normal(5)
    before = memory.copy()
    x, m = value("input", memory, "x"), value("memory", memory, "m")
    added = ufunc(np.add, m, x)
    less = ufunc(np.less, x, 2.0)
    all_less = Instruction(
        "reduce", np.logical_and, (less.out,), {"axis": None}, (value("result", np.array(True), ""),)
    )
    guard = Instruction("guard", bool, (all_less.out,), {"expected": True}, ())
    run = numba_code.build(program_of([x], [(m, added.out)], added.out, added, less, all_less, guard)).run
    assert run(np.full(5, 3, np.float32)) is DEVIATES
    np.testing.assert_array_equal(memory, before)
    result = run(np.ones(5, np.float32))
    np.testing.assert_array_equal(result, before + 1)
    np.testing.assert_array_equal(memory, before + 1)


def test_memories_that_take_over_from_each_other_change_places():
    one, two = np.arange(3.0), np.arange(3.0) + 10
    a, b, x = value("memory", one, "a"), value("memory", two, "b"), value("input", one, "x")
    doubled = ufunc(np.multiply, a, x)
    run = numba_code.build(program_of([x], [(a, b), (b, doubled.out)], doubled.out, doubled)).run
    run(np.full(3, 2.0))
    np.testing.assert_array_equal(one, [10, 11, 12])
    np.testing.assert_array_equal(two, [0, 2, 4])


def test_what_reads_an_old_value_reads_it_before_it_is_replaced():
    memory = np.arange(4.0)
    m, x = value("memory", memory, "m"), value("input", memory, "x")
    replaced, old = ufunc(np.multiply, x, 3.0), ufunc(np.add, m, x)
    run = numba_code.build(program_of([x], [(m, replaced.out)], (old.out,), replaced, old)).run
    (found,) = run(np.ones(4))
    np.testing.assert_array_equal(found, np.arange(4.0) + 1)
    np.testing.assert_array_equal(memory, np.full(4, 3.0))


def test_labels_out_of_range_are_the_users_error_and_change_nothing():
    model = network(3, 4)
    step = training_step(model, optim.SGD(model.parameters(), lr=0.1))
    x, y = normal(6, 3), RNG.integers(0, 4, 6)
    step(x, y)
    before = [p.data.copy() for p in model.parameters()]
    for label in (4, -1, 10**12):
        with pytest.raises(TargetError):
            step(x, np.where(np.arange(6) == 2, label, y))
    for p, data in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.data, data)


def test_indices_are_checked_though_nothing_guards_them():
    table, places = normal(5, 2), np.array([0, 4, -1])
    x, i = value("input", table, "table"), value("input", places, "places")
    taken = Instruction("call", element, (x, i), {}, (value("result", table[places], "taken"),))
    run = numba_code.build(program_of([x, i], [], taken.out, taken)).run
    np.testing.assert_array_equal(run(table, places), table[places])
    for wrong in (5, -6, 2**40):
        assert run(table, np.array([0, wrong, 1])) is DEVIATES


# What a call hands out.


def test_large_results_are_arrays_that_no_later_call_writes_to_while_somebody_holds_them():
    x = normal(100, 100)
    compiled = compiled_on(lambda x: x * 2, x)
    first = compiled(x)
    part = compiled(x + 1)[3:5]
    third = compiled(x + 2)
    np.testing.assert_array_equal(first, x * 2)
    np.testing.assert_array_equal(part, ((x + 1) * 2)[3:5])
    np.testing.assert_array_equal(third, (x + 2) * 2)
    assert len({id(first), id(part.base), id(third)}) == 3


def test_large_results_that_nobody_holds_are_used_again():
    x = normal(100, 100)
    compiled = compiled_on(lambda x: x * 2, x)
    places = {compiled(x).ctypes.data for _ in range(5)}
    assert len(places) == 1


def test_small_results_are_copies():
    compiled = compiled_on(lambda x: x * 2, normal(3))
    first = compiled(np.ones(3, np.float32))
    compiled(np.zeros(3, np.float32))
    np.testing.assert_array_equal(first, 2)


def test_what_has_no_loop_runs_as_a_call_and_is_reported():
    compiled = assert_like_eager(lambda x: tg.prod(tg.exp(x), axis=0) + 1, normal(3, 4))
    assert lines_of(compiled, "NumPy call") == []
    both = tg.value_and_grad(lambda x: tg.prod(tg.exp(x)))
    compiled = compiled_on(both, normal(3, 4))
    assert any("cumprod" in line for line in lines_of(compiled, "NumPy call"))


# Threads.


@pytest.fixture
def many_threads(monkeypatch):
    for name, limit in (("PARALLEL", 16), ("PARALLEL_EXPENSIVE", 16), ("BLOCK", 32), ("PRODUCT", 64)):
        monkeypatch.setattr(plan, name, limit)
    before = tg.get_num_threads()
    yield tg.set_num_threads
    tg.set_num_threads(before)


def test_results_do_not_depend_on_the_number_of_threads(many_threads):
    logits, labels = normal(64, 37), RNG.integers(0, 37, 64)
    both = tg.value_and_grad(lambda z, y: F.cross_entropy(z, y))
    compiled = compiled_on(both, logits, labels)
    assert any("on several threads" in line for line in lines_of(compiled, "loop"))
    found = []
    for threads in (1, 2, 3):
        many_threads(threads)
        found += [compiled(logits, labels) for _ in range(3)]
    for value, gradient in found:
        assert value == found[0][0]
        np.testing.assert_array_equal(gradient, found[0][1])
    np.testing.assert_allclose(found[0][0], both(logits, labels)[0], rtol=1e-6)
    np.testing.assert_allclose(found[0][1], both(logits, labels)[1], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("turn", ["", "x", "y", "xy"])
def test_products_are_shared_among_threads(many_threads, turn):
    x, y = (normal(*(shape[::-1] if name in turn else shape)) for name, shape in (("x", (80, 6)), ("y", (6, 70))))
    compiled = assert_like_eager(lambda x, y: (x.T if "x" in turn else x) @ (y.T if "y" in turn else y), x, y)
    assert lines_of(compiled, "BLAS call, on several threads")
    assert lines_of(compiled, "NumPy call") == []


def test_a_bad_index_in_one_block_is_noticed(many_threads):
    table = normal(5, 16)
    compiled = compiled_on(lambda t, i: tg.exp(t[i]), table, RNG.integers(0, 5, 64))
    with pytest.raises(IndexError):
        compiled(table, np.where(np.arange(64) == 50, 5, 0))


# Without the extra.


def test_without_numba_it_is_said_what_to_install(monkeypatch):
    monkeypatch.undo()
    original = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == "numba":
            raise ModuleNotFoundError("No module named 'numba'")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(importlib.sys.modules, "tinygrad_sm.compiler.fused.machine", raising=False)
    with pytest.raises(MissingExtraError, match=r"tinygrad-sm\[fast\]"):
        compile(lambda x: x + 1, backend="numba")(np.ones(3))
