"""Matrix products of every combination of shapes against explicit loops, and their derivatives against closed forms."""

import itertools
import tracemalloc

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor


def matmul_by_hand(x, y):
    """The product and, for a cotangent of ones times its index, the gradients: all in loops over single numbers."""
    x2 = x[None] if x.ndim == 1 else x
    y2 = y[:, None] if y.ndim == 1 else y
    batch = np.broadcast_shapes(x2.shape[:-2], y2.shape[:-2])
    full_x = np.broadcast_to(x2, batch + x2.shape[-2:])
    full_y = np.broadcast_to(y2, batch + y2.shape[-2:])
    out = np.zeros((*batch, x2.shape[-2], y2.shape[-1]))
    cotangent = np.arange(1.0, out.size + 1).reshape(out.shape)
    grad_x, grad_y = np.zeros(full_x.shape), np.zeros(full_y.shape)
    for b in np.ndindex(batch):
        for i, j, k in itertools.product(range(x2.shape[-2]), range(x2.shape[-1]), range(y2.shape[-1])):
            out[b][i, k] += full_x[b][i, j] * full_y[b][j, k]
            grad_x[b][i, j] += cotangent[b][i, k] * full_y[b][j, k]
            grad_y[b][j, k] += full_x[b][i, j] * cotangent[b][i, k]

    def summed(full, shape):
        positions = np.broadcast_to(np.arange(int(np.prod(shape))).reshape(shape), full.shape)
        return np.bincount(positions.ravel(), weights=full.ravel(), minlength=int(np.prod(shape))).reshape(shape)

    shape = batch + ((x2.shape[-2],) if x.ndim > 1 else ()) + ((y2.shape[-1],) if y.ndim > 1 else ())
    gradients = summed(grad_x, x2.shape).reshape(x.shape), summed(grad_y, y2.shape).reshape(y.shape)
    return out.reshape(shape), cotangent.reshape(shape), gradients


PAIRS = [
    *[((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((1, 1), (1, 1)), ((1, 3), (3, 1))],
    *[((3,), (2, 3, 4)), ((5, 2, 3), (3,)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)), ((5, 2, 3), (5, 3, 4))],
    *[((5, 2, 3), (1, 3, 4)), ((1, 2, 3), (5, 3, 4)), ((2, 1, 2, 3), (4, 3, 1)), ((4, 2, 3), (2, 1, 3, 2))],
    *[((3,), (2, 1, 3, 4)), ((2, 1, 2, 3), (3,)), ((2, 0), (0, 3)), ((0, 3), (3, 2)), ((2, 3), (3, 0))],
]


@pytest.mark.parametrize(("left", "right"), PAIRS, ids=str)
def test_matmul_of_every_combination_of_shapes(left, right):
    rng = np.random.default_rng(0)
    x, y = Tensor(rng.standard_normal(left), requires_grad=True), Tensor(rng.standard_normal(right), requires_grad=True)
    out = x @ y
    expected, cotangent, (grad_x, grad_y) = matmul_by_hand(x.data, y.data)
    assert out.shape == expected.shape
    np.testing.assert_allclose(out.data, expected, rtol=1e-12, atol=1e-14)
    out.backward(cotangent)
    assert (x.grad.shape, y.grad.shape) == (left, right)
    np.testing.assert_allclose(x.grad, grad_x, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(y.grad, grad_y, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("left", "right"), [pair for pair in PAIRS if 0 not in pair[0] + pair[1]], ids=str)
def test_second_derivatives_of_matmul(left, right):
    rng = np.random.default_rng(0)
    assert tg.gradcheck(tg.matmul, [rng.standard_normal(left), rng.standard_normal(right)], order=2)


def test_product_with_a_list():
    x = Tensor([1.0, 2.0], requires_grad=True)
    (x @ [[1.0, 2.0], [3.0, 4.0]]).backward([1.0, 10.0])
    assert x.grad.tolist() == [21, 43]
    x.grad = None
    ([[1.0, 2.0], [3.0, 4.0]] @ x).backward([1.0, 10.0])
    assert x.grad.tolist() == [31, 42]
    x.grad = None
    ([3.0, 4.0] @ x).backward()
    assert x.grad.tolist() == [3, 4]


def test_matmul_of_scalars_is_refused():
    with pytest.raises(tg.errors.ShapeError, match=r"matmul: x \(\) float64, y \(2,\)"):
        Tensor(1.0, requires_grad=True) @ np.ones(2)


@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 4, 3), (0, 3)])
@pytest.mark.parametrize("bias", [False, True])
def test_linear_is_x_times_weight_plus_bias(shape, bias):
    rng = np.random.default_rng(0)
    x, w, b = (Tensor(rng.standard_normal(s), requires_grad=True) for s in (shape, (3, 2), (2,)))
    out = F.linear(x, w, b) if bias else F.linear(x, w)
    np.testing.assert_allclose(out.data, x.data @ w.data + (b.data if bias else 0), rtol=1e-13)
    cotangent = rng.standard_normal(out.shape)
    out.backward(cotangent)
    g, rows = cotangent.reshape(-1, 2), x.data.reshape(-1, 3)
    np.testing.assert_allclose(x.grad, (g @ w.data.T).reshape(shape), rtol=1e-12)
    np.testing.assert_allclose(w.grad, rows.T @ g, rtol=1e-12, atol=1e-14)
    if bias:
        np.testing.assert_allclose(b.grad, g.sum(axis=0), rtol=1e-12, atol=1e-14)
    assert (b.grad is not None) == bias


def test_linear_does_not_write_into_its_operands():
    x, w, b = np.ones((2, 3)), np.ones((3, 2)), np.ones(2)
    F.linear(Tensor(x), w, b)
    assert (x.sum(), w.sum(), b.sum()) == (6, 6, 2)


@pytest.mark.parametrize("bias", [np.ones(3), np.ones((1, 2)), np.array(1.0), np.ones((4, 2))])
def test_linear_refuses_a_bias_that_would_broadcast(bias):
    with pytest.raises(tg.errors.ShapeError, match="linear") as caught:
        F.linear(Tensor(np.ones((4, 3)), requires_grad=True), np.ones((3, 2)), bias)
    assert "bias (out_features,)" in caught.value.remedy


def test_linear_of_mixed_types_is_promoted_as_in_numpy():
    x = Tensor(np.ones((4, 3), np.float32), requires_grad=True)
    w = Tensor(np.ones((3, 2)), requires_grad=True)
    b = Tensor(np.ones(2, np.float32), requires_grad=True)
    out = F.linear(x, w, b)
    assert out.dtype == np.float64
    out.sum().backward()
    assert (x.grad.dtype, w.grad.dtype, b.grad.dtype) == (np.float32, np.float64, np.float32)
    assert F.linear(x, w.data.astype(np.float32), np.ones(2)).dtype == np.float64


@pytest.mark.parametrize(("left", "right"), [((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)), ((2, 3), (2, 1, 3, 2))], ids=str)
def test_second_derivatives_where_many_matrices_meet_a_single_one(left, right):
    rng = np.random.default_rng(0)
    assert tg.gradcheck(tg.matmul, [rng.standard_normal(left), rng.standard_normal(right)], order=2)


@pytest.mark.parametrize(("left", "right"), [((2000, 1, 50), (50, 50)), ((50, 50), (2000, 50, 1))], ids=str)
def test_the_gradient_of_a_single_matrix_does_not_pass_through_one_for_each(left, right):
    leaves = [Tensor(np.ones(shape), requires_grad=True) for shape in (left, right)]
    out = (leaves[0] @ leaves[1]).sum()
    tracemalloc.start()
    out.backward()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10e6  # 2000 matrices of 50 x 50 take 40 megabytes
