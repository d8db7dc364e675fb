"""The tape: what is recorded, in which order, how it reads, and that long and entangled ones cost linear time."""

import gc
import inspect
import re
import sys

import numpy as np
import pytest

import tinygrad_sm as tg
from tinygrad_sm import Tensor
from tinygrad_sm.engine.tape import Node


def line():
    """The number of the caller's line."""
    return inspect.currentframe().f_back.f_lineno


def rows(tape):
    """The lines of a printed tape with runs of blanks taken for one."""
    return [re.sub(" +", " ", row) for row in str(tape).splitlines()]


def test_printed_it_is_one_line_a_node_with_index_op_inputs_shapes_and_the_users_line():
    x = Tensor(np.ones((4, 3)), requires_grad=True, name="x")
    w = Tensor(np.ones((3, 2), np.float32), requires_grad=True)
    start = line()
    h = tg.exp(x @ w)
    loss = (h + 1.0).sum(axis=0).mean()
    here = re.escape("test_tape.py")
    expected = [
        rf"\[0\] x \(4, 3\) \S*{here}:{start - 2} Tensor\(np.ones\(\(4, 3\)\), requires_grad=True, name=\"x\"\)",
        rf"\[1\] leaf \(3, 2\) \S*{here}:{start - 1} Tensor\(np.ones\(\(3, 2\), np.float32\), requires_grad=True\)",
        rf"\[2\] matmul\(\[0\] \(4, 3\), \[1\] \(3, 2\)\) -> \(4, 2\) \S*{here}:{start + 1} x @ w",
        rf"\[3\] exp\(\[2\] \(4, 2\)\) -> \(4, 2\) \S*{here}:{start + 1} tg.exp\(x @ w\)",
        rf"\[4\] add\(\[3\] \(4, 2\), 1.0\) -> \(4, 2\) \S*{here}:{start + 2} h \+ 1.0",
        rf"\[5\] sum\(\[4\] \(4, 2\)\) -> \(2,\) \S*{here}:{start + 2} \(h \+ 1.0\).sum\(axis=0\)",
        rf"\[6\] mean\(\[5\] \(2,\)\) -> \(\) \S*{here}:{start + 2} \(h \+ 1.0\).sum\(axis=0\).mean\(\)",
    ]
    got = rows(loss.tape())
    assert len(got) == len(expected)
    for row, pattern in zip(got, expected, strict=True):
        assert re.fullmatch(pattern, row), row


def test_columns_of_a_printed_tape_are_aligned():
    x = Tensor([1.0, 2.0], requires_grad=True)
    text = str((tg.exp(x) * 2).sum().tape())
    assert len({row.index("test_tape.py") for row in text.splitlines()}) == 1


def test_constants_are_described_and_take_no_line():
    x = Tensor([1.0, 2.0], requires_grad=True)
    tape = (x * np.array([1, 2]) * Tensor([3.0, 4.0])).sum().tape()
    assert [node.name for node in tape] == ["leaf", "multiply", "multiply", "sum"]
    assert "multiply([0] (2,), (2,) int64)" in str(tape)
    assert "multiply([1] (2,), (2,) float64)" in str(tape)


def test_tape_is_a_sequence_oldest_first():
    x = Tensor(2.0, requires_grad=True)
    unrelated = x * 5
    tape = (tg.log(x) + x).tape()
    assert len(tape) == 3
    assert [node.name for node in tape] == ["leaf", "log", "add"]
    assert tape[0].op is None
    assert tape[-1].op is tg.add
    assert [node.order for node in tape] == sorted(node.order for node in tape)
    assert unrelated.tape()[-1] not in tape


def test_every_node_stands_once_however_often_it_is_used():
    x = Tensor(2.0, requires_grad=True)
    y = x * x
    assert len((y * y + y - x).tape()) == 5


def test_nodes_hold_values_shapes_and_edges():
    x = Tensor([1.0, 2.0], requires_grad=True)
    y = np.clip(x, 0.0, 1.5)
    leaf, clip = y.tape()
    assert clip.out.tolist() == [1, 1.5]
    assert clip.args[0] is x.data
    assert clip.parents[0] == (leaf, 0)
    assert clip.parents[1:] == (None,) * len(clip.parents[1:])
    assert clip.location.expression == "np.clip(x, 0.0, 1.5)"
    assert repr(clip).startswith("<Node (2,) clip ")
    assert "\n" not in repr(clip)


def test_constant_has_an_empty_tape_and_a_leaf_has_one_node():
    assert len(Tensor(1.0).tape()) == 0
    assert str(Tensor(1.0).tape()) == ""
    assert len(Tensor(1.0, requires_grad=True).tape()) == 1
    assert len((Tensor(1.0) + 1).tape()) == 0


def test_name_of_a_leaf_may_be_given_later_and_goes_with_its_tensor():
    x = Tensor(1.0, requires_grad=True)
    y = x + 1
    x.name = "late"
    assert y.tape()[0].name == "late"
    del x
    assert y.tape()[0].name == "leaf"


def test_a_long_tape_printed_is_shortened_in_the_middle():
    x = Tensor(1.0, requires_grad=True)
    for _ in range(300):
        x = x + 1
    text = str(x.tape()).splitlines()
    assert len(text) == 101
    assert text[50] == "... 201 more ..."
    assert text[0].startswith("[0] leaf")
    assert text[-1].startswith("[300] add([299] ()")


def test_node_of_a_variadic_op_lists_every_operand():
    x, y = Tensor([1.0], requires_grad=True), Tensor([2.0, 3.0], requires_grad=True)
    tape = np.concatenate([x, np.zeros(4), y]).tape()
    assert rows(tape)[-1].startswith("[2] concatenate([0] (1,), (4,) float64, [1] (2,)) -> (7,)")


def counting():
    """An addition that counts how often its rules are called."""
    calls = []

    @tg.primitive(method=False)
    def counted_add(x, y):
        return x + y

    @counted_add.vjp("x")
    def counted_add_vjp_x(g, out, x, y):
        calls.append("x")
        return g

    @counted_add.vjp("y")
    def counted_add_vjp_y(g, out, x, y):
        calls.append("y")
        return g

    return counted_add, calls


@pytest.fixture
def shallow_stack():
    """A recursion limit that leaves room for a few calls only."""
    depth, frame = 0, sys._getframe()
    while frame:
        depth, frame = depth + 1, frame.f_back
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + 60)
    yield
    sys.setrecursionlimit(limit)


def test_diamond_of_depth_60_calls_each_rule_once(shallow_stack):
    add, calls = counting()
    x = y = Tensor(1.0, requires_grad=True)
    for _ in range(60):
        y = add(y, y)
    y.backward()
    assert x.grad == 2.0**60
    assert len(calls) == 120


def test_diamond_differentiates_twice_in_linear_time(shallow_stack):
    x = y = Tensor(1.0, requires_grad=True)
    for _ in range(30):
        y = y + y
    slope = tg.gradients(y * x, x, create_graph=True)
    assert slope.item() == 2.0**31
    assert tg.gradients(slope, x).item() == 2.0**31


def test_chain_of_100_000_operations_needs_no_recursion(shallow_stack):
    add, calls = counting()
    x = y = Tensor(1.0, requires_grad=True)
    n = 100_000
    for _ in range(n):
        y = add(y, 0.5)
    assert y.item() == 1 + n / 2
    y.backward()
    assert x.grad == 1
    assert len(calls) == n
    assert len(y.tape()) == n + 1
    assert len(str(y.tape()).splitlines()) == 101
    del y  # freeing the chain must not recurse either


def calls_of_backward(y):
    """How many Python functions backward calls."""
    count = 0

    def count_calls(frame, event, arg):
        nonlocal count
        count += event == "call"

    gc.disable()  # which calls functions of its own whenever it likes
    sys.setprofile(count_calls)
    try:
        y.backward()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


def graph(n):
    x = y = z = Tensor(1.0, requires_grad=True)
    for _ in range(n):
        y, z = y + z, y * 1.0 + x
    return (y + z) * 0.0


def test_work_of_backward_grows_linearly():
    first, second, third = (calls_of_backward(graph(n)) for n in (20, 40, 60))
    assert second - first == third - second > 0


def halves():
    """Objects as a debugger may meet them: made, but not filled yet."""
    tensor = Tensor.__new__(Tensor)
    tensor._data = np.ones(2)
    parameter, node = tg.nn.Parameter.__new__(tg.nn.Parameter), Node.__new__(Node)
    node.op = tg.exp
    return tensor, parameter, node


def test_reprs_are_one_line_with_the_shape_first():
    x = Tensor(np.ones((2, 3)), requires_grad=True, name="x")
    y = tg.exp(x)
    assert repr(x).startswith("Tensor((2, 3) float64, ")
    assert repr(y.tape()[-1]).startswith("<Node (2, 3) exp ")
    assert repr(y.tape()) == "<Tape (2, 3) of 2 nodes>"
    assert repr(Tensor(1.0).tape()) == "<Tape empty>"
    assert all("\n" not in repr(value) for value in (x, y.tape()[-1], y.tape()))


def test_reprs_are_safe_at_any_moment():
    assert [repr(half) for half in halves()] == [
        "<Tensor in the making>",
        "<Parameter in the making>",
        "<Node in the making>",
    ]
    strange = Tensor([np.nan, np.inf, 1e300, 5e-324], requires_grad=True, name="strange")
    empty = Tensor(np.zeros((0, 3)), requires_grad=True)
    with np.errstate(all="raise"):
        assert "nan" in repr(strange)
        assert repr(empty * 2).startswith("Tensor((0, 3) ")
        assert "\n" not in repr((strange * 2).tape())


def test_reprs_record_nothing():
    x = Tensor([1.0, 2.0], requires_grad=True)
    y = tg.exp(x)
    before = [(node, node.order) for node in y.tape()]
    assert all(map(repr, (y, y.tape(), y.tape()[-1])))
    assert str(y.tape())
    assert [(node, node.order) for node in y.tape()] == before
    assert y.tape()[-1].order + 1 == tg.exp(x).tape()[-1].order


def test_a_tensor_shows_debuggers_what_is_public():
    names = dir(Tensor([1.0], requires_grad=True))
    assert {"data", "grad", "shape", "backward", "tape", "exp", "T"} <= set(names)
    assert not [name for name in names if name.startswith("_")]
