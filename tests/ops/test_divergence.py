"""The Kullback-Leibler divergence and the focal loss, where probabilities are 0, 1 or nearly so."""

import math

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor

INF = np.inf
S = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75], [-2.0, 3.0, 0.0], [1.0, 1.0, -1.0]])
Y = np.array([2, 0, 1, 1])
P = np.array([[0.2, 0.3, 0.5], [0.25, 0.5, 0.25]])
Q = np.array([[0.5, 0.5, 0.0], [0.25, 0.25, 0.5]])


def divergence():
    return [[q * math.log(q / p) if q else 0 for p, q in zip(*row, strict=True)] for row in zip(P, Q, strict=True)]


def test_divergence_by_hand():
    x, t = Tensor(np.log(P), requires_grad=True), Tensor(Q, requires_grad=True)
    losses = F.kl_div(x, t, reduction="none")
    np.testing.assert_allclose(losses.data, divergence(), rtol=1e-14)
    losses.sum().backward()
    np.testing.assert_array_equal(x.grad, -Q)
    slope = np.log(np.where(Q > 0, Q, 1) / P) + 1
    np.testing.assert_allclose(t.grad, np.where(Q > 0, slope, 0), rtol=1e-14)  # 0 where the target is
    total = np.sum(divergence())
    assert F.kl_div(x, Q).item() == pytest.approx(total / 6)
    assert F.kl_div(x, Q, reduction="batchmean").item() == pytest.approx(total / 2)
    assert F.kl_div(x, Q, reduction="sum").item() == pytest.approx(total)
    assert F.kl_div(np.log(0.5), 1.0, reduction="batchmean") == pytest.approx(math.log(2))  # a single number


def test_divergence_from_logarithms_is_the_same():
    with np.errstate(divide="ignore"):
        log_q = np.log(Q)
    x, t = Tensor(np.log(P), requires_grad=True), Tensor(log_q, requires_grad=True)
    losses = F.kl_div(x, t, log_target=True, reduction="none")
    np.testing.assert_allclose(losses.data, divergence(), rtol=1e-14, atol=1e-16)
    losses.sum().backward()
    np.testing.assert_allclose(x.grad, -Q, rtol=1e-15)
    expected = [
        [q * (math.log(q / p) + 1) if q else 0 for p, q in zip(*r, strict=True)] for r in zip(P, Q, strict=True)
    ]
    np.testing.assert_allclose(t.grad, expected, rtol=1e-14)


@pytest.mark.parametrize("log_target", [False, True])
def test_where_neither_has_a_probability_there_is_no_loss_and_no_gradient(log_target):
    target = [-INF, 0.0, -INF, 0.0] if log_target else [0.0, 1.0, 0.0, 1.0]
    x = Tensor([-INF, -1.0, -2.0, -INF], requires_grad=True)
    t = Tensor(target, requires_grad=True)
    losses = F.kl_div(x, t, reduction="none", log_target=log_target)
    assert losses.data.tolist() == [0, 1, 0, INF]
    slope, other = tg.gradients(losses, [x, t], create_graph=True, cotangent=np.ones(4))
    assert slope.data.tolist() == [0, -1, 0, -1]
    assert other.data.tolist() == [0, 2, 0, INF]
    second = tg.gradients(slope.sum() + other[:3].sum(), [x, t])
    assert not any(np.isnan(each.data).any() for each in second)


def test_divergence_from_the_prediction_itself_is_zero_and_its_slope_is_that_of_cross_entropy():
    log_p = F.log_softmax(S)
    assert abs(F.kl_div(log_p, np.exp(log_p), reduction="sum")) < 1e-14
    assert F.kl_div(log_p, log_p, log_target=True) == 0
    q = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.1, 0.8, 0.1], [0.0, 0.5, 0.5]])
    both = []
    for loss in (lambda s: F.kl_div(F.log_softmax(s), q, reduction="batchmean"), lambda s: F.cross_entropy(s, q)):
        both.append(tg.grad(loss)(S))
    np.testing.assert_allclose(*both, rtol=1e-12, atol=1e-16)


def test_softmax_handed_to_it_is_noticed():
    assert set(F.kl_div.misuse) == {"softmax"}
    assert set(F.focal_loss.misuse) == {"softmax", "sigmoid"}


# The focal loss.


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("alpha", [None, np.array([0.5, 2.0, 1.25])])
def test_without_focus_it_is_the_cross_entropy(reduction, alpha):
    labels = np.array([2, -100, 1, 1])
    runs = []
    for loss, options in ((F.focal_loss, {"gamma": 0.0, "alpha": alpha}), (F.cross_entropy, {"weight": alpha})):
        s = Tensor(S, requires_grad=True)
        out = loss(s, labels, reduction=reduction, **options)
        slope = tg.gradients(out, s, create_graph=True, cotangent=np.ones(out.shape))
        runs.append([out.data, slope.data, tg.gradients((slope * slope).sum(), s).data])
    for ours, expected in zip(*runs, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_loss_against_its_formula(gamma):
    p = np.exp(S) / np.exp(S).sum(axis=1, keepdims=True)
    right = p[np.arange(4), Y]
    expected = -((1 - right) ** gamma) * np.log(right)
    np.testing.assert_allclose(F.focal_loss(S, Y, gamma, reduction="none"), expected, rtol=1e-13)
    slope = tg.grad(lambda s: F.focal_loss(s, Y, gamma, reduction="sum"))(S)
    # The derivative in p, -(1 - p)**gamma / p + gamma (1 - p)**(gamma - 1) log p, times that of the softmax.
    in_p = -((1 - right) ** gamma) / right + gamma * (1 - right) ** (gamma - 1) * np.log(right)
    jacobian = right[:, None] * (np.eye(3)[Y] - p)
    np.testing.assert_allclose(slope, in_p[:, None] * jacobian, rtol=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 3.5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_certain_predictions(gamma, dtype):
    s = Tensor(np.array([[1e4, -1e4], [-1e4, 1e4], [1000, 0], [0, 1000], [30, 0]], dtype), requires_grad=True)
    losses = F.focal_loss(s, np.zeros(5, int), gamma, reduction="none")
    slope = tg.gradients(losses, s, create_graph=True, cotangent=np.ones(5))
    second = tg.gradients(slope[:, 0].sum(), s).data
    rest = math.exp(-30)
    np.testing.assert_allclose(losses.data[:4], [0, 2e4, 0, 1000], rtol=1e-6)
    np.testing.assert_allclose(slope.data[:4], [[0, 0], [-1, 1], [0, 0], [-1, 1]], atol=1e-6)
    if dtype == np.float64:
        tolerance = 1e-2  # 1e-13 is 1e-3 more or less where numbers near 1 are told apart to 1e-16
        np.testing.assert_allclose(losses.data[4], rest ** (1 + gamma), rtol=tolerance)
        np.testing.assert_allclose(slope.data[4, 1], (1 + gamma) * rest ** (1 + gamma), rtol=tolerance)
    assert np.isfinite(second).all()
    assert losses.dtype == slope.dtype == dtype


def test_masked_classes_and_a_fully_masked_row():
    s = Tensor([[0.0, -INF, 0.0], [-INF, 0.0, 0.0], [-INF, -INF, -INF]], requires_grad=True)
    losses = F.focal_loss(s, np.zeros(3, int), reduction="none")
    np.testing.assert_allclose(losses.data, [0.25 * math.log(2), INF, INF], rtol=1e-14)
    losses.backward(np.ones(3))
    np.testing.assert_allclose(s.grad[1:], [[-1, 0.5, 0.5], [0, 0, 0]])
    assert np.isfinite(s.grad).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_focal_loss_is_flat_to_second_order_where_the_right_class_is_certain(dtype):
    # 1 - p rounds to 0, and the power 0.5 of it is infinitely steep there, while p of the others is not yet 0.
    s = Tensor(np.array([[40.0, 0.0, 1.0]], dtype), requires_grad=True)
    (slope,) = tg.gradients(F.focal_loss(s, np.array([0]), 0.5), [s], create_graph=True)
    for each in (slope, *[tg.gradients(slope[0, i], [s])[0] for i in range(3)]):
        np.testing.assert_allclose(each.data, 0, atol=1e-15)


def test_focal_loss_ignores_and_refuses():
    assert F.focal_loss(S, np.full(4, -100)) == 0
    assert F.focal_loss(S, Y, ignore_index=1) == pytest.approx(F.focal_loss(S[:2], Y[:2]))
    for gamma in (-1.0, math.nan):
        with pytest.raises(tg.errors.ArgumentError, match=f"focal_loss: gamma={gamma}"):
            F.focal_loss(S, Y, gamma)
    with pytest.raises(tg.errors.ShapeError, match="3 classes"):
        F.focal_loss(S, Y, alpha=np.ones(2))
