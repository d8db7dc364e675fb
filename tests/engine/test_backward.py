"""`backward`: where gradients arrive, how they add up, whom they share memory with, and what is refused."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_sm as tg
from tinygrad_sm import Tensor
from tinygrad_sm.errors import GradientError, ShapeError


def leaf(*values):
    return Tensor(list(values), dtype=float, requires_grad=True)


def test_gradient_of_a_scalar():
    x = leaf(1, 2, 3)
    (x * x).sum().backward()
    assert x.grad.tolist() == [2, 4, 6]


def test_backward_adds_to_what_is_there():
    x = leaf(1, 2)
    (2 * x).sum().backward()
    (3 * x).sum().backward()
    assert x.grad.tolist() == [5, 5]
    x.grad = None
    x.sum().backward()
    assert x.grad.tolist() == [1, 1]


def test_second_backward_doubles_exactly():
    x = leaf(0.1, 0.7, -3.3)
    y = tg.softmax(tg.exp(x) / 3) @ tg.tanh(x)
    y.backward()
    once = x.grad.copy()
    y.backward()
    assert (x.grad == once + once).all()
    y.backward()
    assert (x.grad == once + once + once).all()


def test_gradient_reaches_every_leaf_and_only_leaves():
    x, w, b, c = leaf(1), leaf(2), leaf(3), Tensor([4.0])
    h = x * w
    y = h + b * c
    y.backward()
    assert [x.grad.item(), w.grad.item(), b.grad.item()] == [2, 1, 4]
    assert c.grad is None
    assert h.grad is None
    assert y.grad is None


def test_leaf_without_influence_has_no_gradient():
    x, unused = leaf(1), leaf(2)
    x.sum().backward()
    assert unused.grad is None


def test_retain_grads_fills_the_tensors_in_between():
    x = leaf(1, 2)
    h = x * x
    k = h + 1
    loss = (k * h).sum()
    loss.backward(retain_grads=True)
    assert loss.grad == 1
    assert k.grad.tolist() == [1, 4]
    assert h.grad.tolist() == [3, 9]  # k + h, by both ways
    assert x.grad.tolist() == [6, 36]
    loss.backward(retain_grads=True)
    assert h.grad.tolist() == [6, 18]
    loss.backward()
    assert h.grad.tolist() == [6, 18]
    assert x.grad.tolist() == [18, 108]


def test_backward_from_a_leaf():
    x = Tensor(3.0, requires_grad=True)
    x.backward()
    x.backward(2.0)
    assert x.grad == 3


def test_backward_starts_from_one_element_of_any_shape():
    x = leaf(2)
    (x * x).reshape(1, 1).backward()
    assert x.grad.tolist() == [4]


def test_backward_from_a_non_scalar_is_refused_with_advice():
    y = leaf(1, 2) * 2
    with pytest.raises(GradientError, match=r"backward: starts from a scalar, not from shape \(2,\)") as caught:
        y.backward()
    assert ".sum()" in caught.value.remedy
    assert ".mean()" in caught.value.remedy
    assert caught.value.location.expression == "y.backward()"
    with pytest.raises(GradientError):
        (leaf(1)[[]]).backward()


@pytest.mark.parametrize("y", [Tensor([1.0]), Tensor(2), leaf(1).detach()])
def test_backward_of_a_constant_is_refused_with_advice(y):
    with pytest.raises(GradientError, match="carries no gradient") as caught:
        y.backward()
    assert "requires_grad=True" in caught.value.remedy


@pytest.mark.parametrize("name", ["argsort", "argmax", "argmin", "greater", "round", "any"])
@pytest.mark.parametrize("ask", [lambda y, x: y.backward(), lambda y, x: tg.gradients(y, x)])
def test_backward_of_what_has_no_derivative_names_it(name, ask):
    x = leaf(1, 3, 2)
    y = x > 2 if name == "greater" else getattr(x, name)()
    with pytest.raises(GradientError, match=f"backward: {name} has no derivative") as caught:
        ask(y, x)
    assert "values" in caught.value.remedy


def test_backward_of_what_was_computed_without_recording_is_refused():
    x = leaf(1)
    with tg.no_grad():
        y = x * 2
    with pytest.raises(GradientError, match="carries no gradient") as caught:
        y.backward()
    assert "no_grad" in caught.value.remedy


@pytest.mark.parametrize(
    "cotangent", [[1.0, 10.0], np.array([1, 10]), np.array([1, 10], np.float32), Tensor([1.0, 10.0]), (True, 10)]
)
def test_cotangent_of_any_array_kind(cotangent):
    x = leaf(1, 2)
    (x * x).backward(cotangent)
    assert x.grad.tolist() == [2, 40]
    assert x.grad.dtype == np.float64


@pytest.mark.parametrize("cotangent", [1.0, [1.0], [1.0, 2.0, 3.0], np.ones((1, 2)), np.ones((2, 1)), []])
def test_cotangent_of_another_shape_is_refused(cotangent):
    y = leaf(1, 2) * 2
    with pytest.raises(ShapeError, match=r"backward: cotangent \(.*\) for a tensor of shape \(2,\)"):
        y.backward(cotangent)


@pytest.mark.parametrize("cotangent", ["text", [1j, 2j], ["a", "b"], [object(), object()], [[1.0], [1.0, 2.0]]])
def test_cotangent_that_is_no_array_of_real_numbers_is_refused(cotangent):
    y = leaf(1, 2) * 2
    with pytest.raises(tg.errors.TinygradError):
        y.backward(cotangent)


def test_cotangent_is_not_kept():
    x = leaf(1, 2)
    cotangent = np.ones(2)
    (x + 0).backward(cotangent)
    x.grad[...] = 7
    assert cotangent.tolist() == [1, 1]
    y = leaf(1, 2)
    y.backward(cotangent, retain_grads=True)
    y.grad[...] = 7
    assert cotangent.tolist() == [1, 1]


def test_gradient_has_the_type_of_its_leaf():
    x = Tensor([1.0, 2.0], dtype=np.float32, requires_grad=True)
    y = Tensor([1.0, 2.0], requires_grad=True)
    z = x * y
    assert z.dtype == np.float64
    z.sum().backward()
    assert (x.grad.dtype, y.grad.dtype) == (np.float32, np.float64)
    half = Tensor([1.0], dtype=np.float16, requires_grad=True)
    (half * x).sum().backward()
    assert half.grad.dtype == np.float16


def test_python_numbers_do_not_widen_float32():
    x = Tensor(2.0, dtype=np.float32, requires_grad=True)
    y = 1 - (2.0 * x + 1) ** 2 / 3.0
    assert y.dtype == np.float32
    y.backward()
    assert (x.grad.dtype, x.grad.shape, type(x.grad)) == (np.float32, (), np.ndarray)


def test_integers_label_and_index_but_do_not_learn():
    with pytest.raises(tg.errors.DTypeError, match="int64 cannot require a gradient") as caught:
        Tensor([1, 2], requires_grad=True)
    assert "1.0" in caught.value.remedy
    assert "dtype=float" in caught.value.remedy
    x = Tensor([1, 2])
    with pytest.raises(tg.errors.DTypeError):
        x.requires_grad = True
    with pytest.raises(tg.errors.DTypeError):
        Tensor([True], requires_grad=True)


def test_cast_to_integers_ends_the_gradient_and_one_to_float_carries_it():
    x = leaf(1.5, 2.5)
    assert not x.astype(int).requires_grad
    (x.astype(np.float32) * 2).sum().backward()
    assert x.grad.tolist() == [2, 2]
    assert x.grad.dtype == np.float64


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x * 1j,
        lambda x: x + np.array([1j, 2.0]),
        lambda x: 1j - x,
        lambda x: tg.where(np.array([True, False]), x, 1j),
        lambda x: np.concatenate([x, [1j]]),
        lambda x: x * np.array([2.0, 3.0], dtype=object),
        lambda x: Tensor([1.0, 2.0]) * 1j,
    ],
)
def test_result_that_is_no_real_number_is_refused_rather_than_losing_its_gradient(f):
    with pytest.raises(tg.errors.DTypeError, match="real numbers"):
        f(leaf(1, 2))


def test_detached_values_are_constants():
    x = leaf(3)
    (x * x.detach()).backward()
    assert x.grad.tolist() == [3]
    assert np.shares_memory(x.detach().data, x.data)


def test_setting_requires_grad_on_leaves_only():
    x = Tensor([1.0])
    assert x.is_leaf
    assert not x.requires_grad
    x.requires_grad = True
    y = x * 2
    assert not y.is_leaf
    with pytest.raises(GradientError, match="only a leaf"):
        y.requires_grad = False
    y.requires_grad = True
    y.backward()
    assert x.grad.tolist() == [2]
    x.requires_grad = False
    assert not (x * 2).requires_grad


def test_leaf_keeps_its_own_copy_and_a_constant_does_not():
    array = np.ones(2)
    x, c = Tensor(array, requires_grad=True), Tensor(array)
    array[0] = 5
    assert x.data.tolist() == [1, 1]
    assert c.data.tolist() == [5, 1]


def test_old_gradient_array_is_not_written_to():
    x = leaf(1)
    x.sum().backward()
    held = x.grad
    x.sum().backward()
    assert held.tolist() == [1]
    assert x.grad.tolist() == [2]


def test_no_warning_of_infinite_slopes_in_backward():
    with np.errstate(divide="ignore"):
        y = tg.log(leaf(0, 1)).sum()
    y.backward()


def test_errstate_of_the_user_is_respected_in_backward():
    with np.errstate(divide="ignore"):
        y = tg.log(leaf(0, 1)).sum()
    with np.errstate(divide="raise"), pytest.raises(tg.errors.RuleError, match="divide by zero"):
        y.backward()
    assert np.geterr()["divide"] == "warn"


# Who shares memory with whom --------------------------------------------------------------------------------------

GRAPHS = {
    "sum": lambda x, y: (x + y).sum(),
    "difference": lambda x, y: (x - y).sum(),
    "itself": lambda x, y: x.sum() + y.sum(),
    "positive": lambda x, y: (+x + +y).sum(),
    "reshape": lambda x, y: (x.reshape(3, 2) + y.T).sum(),
    "transpose": lambda x, y: (x.T + y.T).sum(),
    "views": lambda x, y: (x[:1] + y[1:]).sum(),
    "whole index": lambda x, y: (x[...] + y[:]).sum(),
    "join": lambda x, y: np.concatenate([x, y, x]).sum(),
    "stack": lambda x, y: np.stack([x, y]).sum(),
    "where": lambda x, y: tg.where(np.ones((2, 3), bool), x, y).sum(),
    "squeeze": lambda x, y: np.squeeze(np.expand_dims(x, 0) + np.expand_dims(y, 0)).sum(),
    "broadcast": lambda x, y: (np.broadcast_to(x, (4, 2, 3)) + y).sum(),
    "cast": lambda x, y: (x.astype(float) + y.astype(float)).sum(),
    "maximum": lambda x, y: tg.maximum(x, y).sum(),
    "product": lambda x, y: (x * y).sum(),
    "dropout": lambda x, y: (tg.dropout(x, np.ones((2, 3), bool), 0.0) + y).sum(),
    "swapaxes": lambda x, y: np.swapaxes(x + y, 0, 1).sum(),
    "clip": lambda x, y: (np.clip(x, -9.0, 9.0) + y).sum(),
    "a constant": lambda x, y: (x * Tensor(np.ones((2, 3))) + y * np.ones((2, 3))).sum(),
    "chain": lambda x, y: (((x + y) + 0.0) - 0.0).reshape(6).sum(),
    "linear": lambda x, y: tg.linear(x, y.T, np.zeros(2)).sum(),
}


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("retain", [False, True])
def test_editing_one_gradient_in_place_changes_no_other_array(name, retain):
    x, y = (Tensor(np.full((2, 3), value), requires_grad=True) for value in (1.0, 2.0))
    loss = GRAPHS[name](x, y)
    loss.backward(retain_grads=retain)
    loss.backward(np.asarray(2.0).reshape(loss.shape), retain_grads=retain)
    grads = [x.grad, y.grad, *([loss.grad] if retain else [])]
    for i, grad in enumerate(grads):
        for other in (*grads[:i], x.data, y.data, loss.data):
            assert not np.shares_memory(grad, other)


def test_retained_gradients_share_no_memory_either():
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    chain = [x, +x]
    chain.append(chain[-1] + 0)
    chain.append(chain[-1].reshape(3, 2))
    chain.append(chain[-1].T)
    chain.append(np.broadcast_to(chain[-1], (2, 2, 3)))
    chain.append(chain[-1] + chain[-1])
    chain.append(chain[-1].sum())
    chain[-1].backward(retain_grads=True)
    for one, other in itertools.combinations(chain, 2):
        assert not np.shares_memory(one.grad, other.grad)
        assert not np.shares_memory(one.grad, other.data)
    for tensor in chain:
        tensor.grad[...] = -1
    assert [tensor.grad.mean() for tensor in chain] == [-1] * len(chain)


MOVES = {
    "negate": lambda a, b: -a,
    "add": lambda a, b: a + b,
    "multiply": lambda a, b: a * b,
    "subtract": lambda a, b: b - a,
    "transpose": lambda a, b: a.T,
    "reverse": lambda a, b: a[::-1],
    "repeat": lambda a, b: a[[0, 0]],
    "mean": lambda a, b: a + b.mean(axis=0),
    "spread": lambda a, b: np.broadcast_to(b.sum(), (2, 2)) + a,
    "matmul": lambda a, b: a @ b,
    "rows": lambda a, b: np.stack([a[0], b[1]]),
    "same": lambda a, b: +a,
}


def run(moves, pool):
    """The tensors or arrays of a random program."""
    pool = list(pool)
    for name, i, j in moves:
        pool.append(MOVES[name](pool[i % len(pool)], pool[j % len(pool)]))
    return pool


def total(pool):
    return sum((value * (k + 1)).sum() for k, value in enumerate(pool))


def slope_at_zero(f, step=1e-4):
    """The derivative of a smooth function of one number, to the fourth order in the step."""
    return (8 * (f(step) - f(-step)) - (f(2 * step) - f(-2 * step))) / (12 * step)


PROGRAMS = st.lists(st.tuples(st.sampled_from(sorted(MOVES)), st.integers(0, 9), st.integers(0, 9)), max_size=8)


@given(moves=PROGRAMS, seed=st.integers(0, 3))
def test_random_graphs_are_right_and_share_nothing(moves, seed):
    rng = np.random.default_rng(seed)
    values, directions = rng.integers(-2, 3, (2, 2, 2, 2)).astype(float)
    leaves = [Tensor(value, requires_grad=True) for value in values]
    tensors = run(moves, leaves)
    total(tensors).backward(retain_grads=True)

    expected = slope_at_zero(lambda t: total(run(moves, values + t * directions)))
    got = sum(np.vdot(x.grad, d) for x, d in zip(leaves, directions, strict=True))
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6 * (1 + abs(total(run(moves, values)))))

    grads = [tensor.grad for tensor in tensors]
    for i, grad in enumerate(grads):
        assert not any(np.shares_memory(grad, other) for other in grads[:i])
        assert not any(np.shares_memory(grad, tensor.data) for tensor in tensors)


@given(moves=PROGRAMS, seed=st.integers(0, 3))
def test_random_graphs_are_right_to_second_order(moves, seed):
    rng = np.random.default_rng(seed)
    values, directions, weights = rng.integers(-2, 3, (3, 2, 2, 2)).astype(float)

    def weighted_gradient(t):
        leaves = [Tensor(value, requires_grad=True) for value in values + t * directions]
        total(run(moves, leaves)).backward()
        return sum(np.vdot(x.grad, w) for x, w in zip(leaves, weights, strict=True))

    leaves = [Tensor(value, requires_grad=True) for value in values]
    slopes = tg.gradients(total(run(moves, leaves)), leaves, create_graph=True)
    weighted = sum((slope * w).sum() for slope, w in zip(slopes, weights, strict=True))
    np.testing.assert_allclose(weighted.item(), weighted_gradient(0.0), rtol=1e-12)
    second = [s.data for s in tg.gradients(weighted, leaves)] if weighted.requires_grad else np.zeros_like(values)
    got = sum(np.vdot(s, d) for s, d in zip(second, directions, strict=True))
    expected = slope_at_zero(weighted_gradient)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6 * (1 + abs(weighted_gradient(0.0))))
