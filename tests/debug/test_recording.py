"""A recording holds what backward computes, and leaves the tape as it found it."""

import gc
import weakref

import numpy as np
import pytest
from calls import CALLS, NAMES, Call, derivatives, variables

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, nn, optim
from tinygrad_sm.debug.recording import Recording
from tinygrad_sm.errors import DTypeError, GradientError, RuleError, StaleValueError


def small_loss():
    X, labels = np.array([[1.0, 2.0], [3.0, -1.0]]), np.array([0, 1])
    W = Tensor([[0.5, -1.0], [0.25, 2.0]], requires_grad=True, name="W")
    b = Tensor([0.1, -0.2], requires_grad=True, name="b")
    return F.cross_entropy(X @ W + b, labels), W, b


def test_steps_go_forward_and_back():
    loss, _, _ = small_loss()
    recording = Recording(loss)
    assert [step.op.name for step in recording.forward] == ["matmul", "add", "cross_entropy"]
    assert [step.op.name for step in recording.backward] == ["cross_entropy", "add", "matmul"]
    assert [step.index for step in recording.steps] == list(range(6))
    assert [step.phase for step in recording.steps] == ["forward"] * 3 + ["backward"] * 3
    assert all(step.cotangent is None and step.contributions == () for step in recording.forward)
    assert repr(recording.steps[-1]).startswith("<Step (2, 2) backward matmul ")
    assert [step.formula for step in recording.forward[:2]] == ["matmul_2 = X @ W", "add_3 = matmul_2 + b"]
    assert recording.backward[-1].formula == "g_W = X.T @ g"
    assert recording.backward[1].formula == "g_matmul_2 = g ; g_b = g.sum(axis=0)"


@pytest.mark.parametrize(("op", "number"), CALLS, ids=NAMES)
def test_gradients_are_those_of_backward(op, number):
    call = Call(op, number)
    cotangent = call.cotangent()
    leaves = variables(call.arrays)
    recording = Recording(call(*leaves), cotangent)
    for leaf, expected in zip(leaves, derivatives(call, call.arrays, cotangent), strict=True):
        np.testing.assert_array_equal(recording.gradient_of(leaf), expected)
        assert leaf.grad is None
    for step in recording.backward:
        for each in step.contributions:
            assert each.value.shape == step.node.args[each.position].shape


def test_contributions_add_up_to_the_cotangent():
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    recording = Recording((x * x + tg.exp(x) * x).sum())
    found = recording.contributions_to(x._edge)
    assert [each.ordinal for _, each in found] == [1, 2, 3, 4]
    assert {each.count for _, each in found} == {4}
    np.testing.assert_allclose(sum(each.value for _, each in found), recording.gradient_of(x))
    np.testing.assert_array_equal(found[-1][1].total, recording.gradient_of(x))
    np.testing.assert_allclose(recording.gradient_of(x), 2 * x.data + np.exp(x.data) * (1 + x.data))


def test_the_tape_is_left_as_it_was():
    loss, W, b = small_loss()
    other, V, c = small_loss()
    Recording(loss)
    Recording(loss)
    loss.backward()
    other.backward()
    np.testing.assert_array_equal(W.grad, V.grad)
    np.testing.assert_array_equal(b.grad, c.grad)


def test_a_recording_after_backward_is_the_same():
    loss, W, _ = small_loss()
    before = Recording(loss).gradient_of(W)
    loss.backward()
    np.testing.assert_array_equal(Recording(loss).gradient_of(W), before)


def test_it_keeps_nothing_alive_after_the_function_that_asked():
    def ask():
        loss, _, _ = small_loss()
        recording = Recording(loss)
        assert recording.backward[0].formula
        assert recording.readers
        return weakref.ref(recording), weakref.ref(loss.tape()[-1])

    references = ask()
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_a_long_chain_needs_no_recursion():
    x = Tensor(1.0, requires_grad=True)
    y = x
    for _ in range(5_000):
        y = y * 1.0
    assert len(Recording(y).backward) == 5_000


@pytest.mark.parametrize("value", [np.ones(2), 3.0, None, "loss", [1.0]])
def test_what_is_no_tensor_is_refused(value):
    with pytest.raises(DTypeError, match=r"debug\.x: takes a tensor, not "):
        Recording(value, caller="debug.x")


def test_a_constant_has_no_tape():
    with pytest.raises(GradientError, match=r"debug\.x: .*carries no gradient, so no tape"):
        Recording(Tensor(1.0), caller="debug.x")
    with tg.no_grad():
        unrecorded = Tensor(1.0, requires_grad=True) * 2
    with pytest.raises(GradientError):
        Recording(unrecorded)


def test_without_a_scalar_a_cotangent_is_needed_or_no_gradients():
    y = Tensor([1.0, 2.0], requires_grad=True) * 3
    with pytest.raises(GradientError, match="starts from a scalar"):
        Recording(y)
    assert Recording(y, [1.0, 0.5]).backward[0].cotangent.tolist() == [1.0, 0.5]
    assert Recording(y, gradients=False).backward == []


@pytest.mark.parametrize("learn", [True, False])
def test_a_tape_that_an_optimiser_has_changed_is_stale(learn):
    model = nn.MLP([2, 3, 2])
    loss = F.cross_entropy(model(np.ones((4, 2), np.float32)), np.array([0, 1, 0, 1]))
    loss.backward()
    if not learn:
        Recording(loss)
        return
    optim.SGD(model.parameters(), lr=0.1).step()
    with pytest.raises(StaleValueError, match=r"the tape is stale: .* of linear was overwritten") as caught:
        Recording(loss)
    assert "compute the loss again" in caught.value.remedy
    assert caught.value.location.source_line.strip().startswith("loss = F.cross_entropy(model(")


def test_a_rule_that_fails_is_named():
    @tg.primitive(method=False)
    def wrong_shape(x):
        return x * 1

    @wrong_shape.vjp("x")
    def wrong_shape_vjp_x(g, out, x):
        return g[:1]

    try:
        y = wrong_shape(Tensor([1.0, 2.0], requires_grad=True))
        with pytest.raises(RuleError, match="wrong_shape, derivative for x"):
            Recording(y, [1.0, 1.0])
    finally:
        del tg.engine.primitive.PRIMITIVES["wrong_shape"]


def test_a_gradient_of_a_tensor_from_elsewhere_is_refused():
    loss, _, _ = small_loss()
    with pytest.raises(GradientError, match="is not on this tape"):
        Recording(loss).gradient_of(Tensor(1.0, requires_grad=True))


def test_gradients_are_those_of_backward_to_the_last_bit_where_memory_lies_otherwise():
    """The loss keeps its softmax class by class, and a transposed cotangent stays transposed."""
    rng = np.random.default_rng(0)
    model = nn.MLP([100, 64, 10], generator=rng)
    x, labels = rng.normal(size=(64, 100)).astype(np.float32), rng.integers(10, size=64)
    w = Tensor(rng.normal(size=(64, 10)).astype(np.float32), requires_grad=True)
    loss = F.cross_entropy(model(x) + (w.T @ w).sum(axis=0) + w.T.transpose(), labels)
    recording = Recording(loss)
    loss.backward()
    for leaf in [*model.parameters(), w]:
        np.testing.assert_array_equal(recording.gradient_of(leaf), leaf.grad)


def test_what_was_recorded_stays_when_an_optimiser_goes_on():
    @tg.primitive(method=False)
    def scaled_by(x, y):
        return x * 1

    @scaled_by.vjp("x")
    def scaled_by_vjp_x(g, out, x, y):
        return y  # the very array of the tape

    try:
        x, y = Tensor([1.0, 2.0], requires_grad=True), Tensor([3.0, 4.0])
        recording = Recording(scaled_by(x, y), [1.0, 1.0])
        y[...] = 0.0
        assert recording.gradient_of(x).tolist() == [3.0, 4.0]
    finally:
        del tg.engine.primitive.PRIMITIVES["scaled_by"]


def test_the_formula_of_an_operation_with_several_outputs_tells_them_apart():
    @tg.primitive(method=False)
    def ends(x):
        return x[:1], x[-1:]

    @ends.vjp("x")
    def ends_vjp_x(g, out, x):
        return np.concatenate(g) * np.sign(g[1])

    try:
        x = Tensor([1.0, 2.0], requires_grad=True)
        first, last = ends(x)
        (_, back) = [step for step in Recording((first * last).sum()).steps if step.op is ends]
        assert back.formula == "g_x = np.concatenate((g[0], g[1])) * np.sign(g[1])"
    finally:
        del tg.engine.primitive.PRIMITIVES["ends"]
