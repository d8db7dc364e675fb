"""Margin losses: by hand and by loops, and the chain hinge -> LogSumExp -> softplus = cross-entropy, step by step."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, nn

INF = np.inf
S = np.array([[2.0, 0.5, -1.0], [0.0, 3.0, 0.0], [1.0, 0.5, 0.25], [-2.0, 1.0, 1.0]])
Y = np.array([0, 0, 2, 0])
FAMILY = [F.hinge_loss, F.logsumexp_hinge_loss, F.softplus_hinge_loss]


def loss_and_slope(loss, scores, labels, **options):
    s = Tensor(np.array(scores), requires_grad=True)
    out = loss(s, np.array(labels), **options)
    out.backward(np.ones(out.shape))
    return out.data, s.grad


def by_loops(scores, labels, margin):
    rows = zip(scores, labels, strict=True)
    return [max(0, margin + max(s for c, s in enumerate(row) if c != y) - row[y]) for row, y in rows]


def test_hinge_by_hand():
    losses, slope = loss_and_slope(F.hinge_loss, S, Y, reduction="none")
    assert losses.tolist() == [0, 4, 1.75, 4]
    assert slope.tolist() == [[0, 0, 0], [-1, 1, 0], [1, 0, -1], [-1, 0.5, 0.5]]  # the tied rivals share
    mean, slope = loss_and_slope(F.hinge_loss, S, Y)
    assert mean == 9.75 / 4
    assert slope[3].tolist() == [-0.25, 0.125, 0.125]
    assert loss_and_slope(F.hinge_loss, S, Y, reduction="sum")[0] == 9.75


@pytest.mark.parametrize("margin", [-0.5, 0.0, 0.25, 1.0, 10.0])
def test_hinge_against_loops(margin):
    rng = np.random.default_rng(3)
    scores, labels = rng.standard_normal((50, 7)), rng.integers(7, size=50)
    losses = F.hinge_loss(scores, labels, margin, "none")
    np.testing.assert_allclose(losses, by_loops(scores, labels, margin), rtol=1e-13)
    images = rng.standard_normal((2, 4, 3, 5))
    targets = rng.integers(4, size=(2, 3, 5))
    rows = F.hinge_loss(np.moveaxis(images, 1, -1).reshape(-1, 4), targets.reshape(-1), margin, "none")
    np.testing.assert_array_equal(F.hinge_loss(images, targets, margin, "none").ravel(), rows)
    assert F.hinge_loss(scores[0], labels[0], margin) == losses[0]


def test_at_the_kink_the_slope_is_zero():
    for margin, scores in ((1.0, [[1.0, 0.0]]), (0.0, [[2.0, 2.0]])):
        loss, slope = loss_and_slope(F.hinge_loss, scores, [0], margin=margin)
        assert loss == 0
        assert slope.tolist() == [[0, 0]]


def test_the_curvature_of_the_hinge_is_zero():
    s = Tensor(S, requires_grad=True)
    slope = tg.gradients(F.hinge_loss(s, Y), s, create_graph=True)
    assert not slope.requires_grad


# The chain.


def test_first_step_the_smooth_maximum_reaches_every_wrong_class():
    T, margin = 0.7, 0.3
    losses, slope = loss_and_slope(F.logsumexp_hinge_loss, S, Y, margin=margin, temperature=T, reduction="none")
    for n, y in enumerate(Y):
        wrong = [c for c in range(3) if c != y]
        total = sum(math.exp(S[n, c] / T) for c in wrong)
        lacking = margin + T * math.log(total) - S[n, y]
        assert losses[n] == pytest.approx(max(0, lacking), rel=1e-14)
        for c in range(3):
            expected = -1 if c == y else math.exp(S[n, c] / T) / total
            assert slope[n, c] == pytest.approx(expected * (lacking > 0), rel=1e-14)


@given(st.integers(0, 1000), st.integers(2, 6), st.floats(0.1, 30))
def test_last_step_softplus_makes_it_the_cross_entropy(seed, classes, size):
    rng = np.random.default_rng(seed)
    scores, labels = size * rng.standard_normal((4, classes)), rng.integers(classes, size=4)
    for reduction in ("mean", "sum", "none"):
        losses, slope = loss_and_slope(F.softplus_hinge_loss, scores, labels, reduction=reduction)
        expected, expected_slope = loss_and_slope(F.cross_entropy, scores, labels, reduction=reduction)
        np.testing.assert_allclose(losses, expected, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(slope, expected_slope, rtol=1e-12, atol=1e-14)


def test_second_derivatives_are_those_of_the_cross_entropy_too():
    softplus, entropy = (tg.hessian(lambda s, f=f: f(s, Y))(S) for f in (F.softplus_hinge_loss, F.cross_entropy))
    np.testing.assert_allclose(softplus, entropy, rtol=1e-12, atol=1e-15)


def test_margin_and_temperature_are_a_cross_entropy_of_other_scores():
    T, margin = 2.5, 0.8
    lowered = S - margin * np.eye(3)[Y]
    expected = T * F.cross_entropy(lowered / T, Y, reduction="none")
    np.testing.assert_allclose(F.softplus_hinge_loss(S, Y, margin, T, "none"), expected, rtol=1e-14)


def test_losses_fall_along_the_chain_and_towards_the_hinge_with_the_temperature():
    hinge = F.hinge_loss(S, Y, 1.0, "none")
    hinge_slope = loss_and_slope(F.hinge_loss, S, Y)[1]
    above = np.full(4, INF)
    for T in (4.0, 1.0, 0.25, 0.05, 0.01, 1e-4):
        inner = F.logsumexp_hinge_loss(S, Y, 1.0, T, "none")
        both = F.softplus_hinge_loss(S, Y, 1.0, T, "none")
        assert (hinge <= inner).all()
        assert (inner <= both).all()
        assert (inner - hinge <= T * math.log(2) + 1e-15).all()
        assert (both - inner <= T * math.log(2) + 1e-15).all()
        assert (both <= above).all()
        above = both
    for loss in FAMILY[1:]:
        value, slope = loss_and_slope(loss, S, Y, margin=1.0, temperature=1e-4)
        np.testing.assert_allclose(value, hinge.mean(), rtol=1e-4)
        np.testing.assert_allclose(slope, hinge_slope, atol=1e-12)  # ties share evenly in both


# Where it is hard.


@pytest.mark.parametrize("loss", FAMILY)
def test_large_scores_in_float32(loss):
    scores = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 1e4], [0, 0, -1e4]], np.float32)
    losses, slope = loss_and_slope(loss, scores, [0, 0, 1], reduction="none", margin=0.0)
    log_2 = np.float32(math.log(2))
    expected = {FAMILY[0]: [0, 2e4, 0], FAMILY[1]: [0, 2e4 + log_2, 0], FAMILY[2]: [0, 2e4 + log_2, log_2]}[loss]
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
    last = [0.5, -0.5, 0] if loss is F.softplus_hinge_loss else [0, 0, 0]
    np.testing.assert_allclose(slope, [[0, 0, 0], [-1, 0.5, 0.5], last], atol=1e-6)
    assert losses.dtype == slope.dtype == np.float32


@pytest.mark.parametrize("loss", FAMILY)
def test_masked_classes(loss):
    scores = [[1.0, -INF, 0.5], [1.0, -INF, -INF], [-INF, 0.0, -1.0]]
    losses, slope = loss_and_slope(loss, scores, [0, 0, 0], reduction="none")
    assert losses[1] == 0  # no rival is left
    assert losses[2] == INF
    assert np.isfinite(losses[0])
    assert np.isfinite(slope).all()
    assert slope[0, 1] == 0
    assert slope[1].tolist() == [0, 0, 0]
    assert slope[2, 0] == -1
    assert slope[2, 1:].sum() == pytest.approx(1)
    loss_of_nothing, slope = loss_and_slope(loss, np.full((1, 3), -INF), [1])
    assert loss_of_nothing == INF
    assert slope.tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("loss", FAMILY)
def test_one_class_no_samples_and_lists(loss):
    value, slope = loss_and_slope(loss, [[3.0], [2.0]], [0, 0])
    assert value == 0
    assert slope.tolist() == [[0], [0]]
    value, slope = loss_and_slope(loss, np.empty((0, 3)), np.empty(0, int))
    assert value == 0
    assert slope.shape == (0, 3)
    assert loss([[3, 4]], [1]) == pytest.approx(float(loss(np.array([[3.0, 4.0]]), np.array([1]))))


@pytest.mark.parametrize("loss", [*FAMILY, F.zero_one_loss, F.focal_loss])
@pytest.mark.parametrize(
    ("target", "match"),
    [
        ([0, 1, 3, 0], "class 3 at position 2"),
        ([0, -1, 1, 0], "class -1 at position 1"),
        ([[0], [1], [2], [0]], r"\(4, 1\)"),
        ([0.0, 1.0, 2.0, 0.0], "float64"),
        ([0, 1], r"target \(2,\)"),
        (np.eye(3)[Y], r"target \(4, 3\)"),
    ],
)
def test_labels_that_do_not_fit_are_refused(loss, target, match):
    with pytest.raises(tg.errors.TargetError, match=match) as caught:
        loss(Tensor(S, requires_grad=True), target)
    assert caught.value.message.startswith(f"{loss.name}: ")
    assert caught.value.remedy


@pytest.mark.parametrize("loss", FAMILY)
def test_options_that_make_no_sense_are_refused(loss):
    with pytest.raises(tg.errors.ArgumentError, match="margin=nan"):
        loss(S, Y, margin=math.nan)
    with pytest.raises(tg.errors.ArgumentError, match="reduction='avg'"):
        loss(S, Y, reduction="avg")
    with pytest.raises(tg.errors.ShapeError, match="axis of classes"):
        loss(np.float64(1), np.array(0))
    if loss is not F.hinge_loss:
        for temperature in (0, -1.0, INF, math.nan):
            with pytest.raises(tg.errors.ArgumentError, match=f"temperature={temperature}") as caught:
                loss(S, Y, temperature=temperature)
        assert "hinge_loss" in caught.value.remedy


def test_a_single_label_out_of_range_is_named_too():
    for loss in (F.hinge_loss, F.cross_entropy):
        with pytest.raises(tg.errors.TargetError, match=r"holds class 3, but logits \(3,\)"):
            loss(S[0], np.array(3))


# The share of mistakes.


def test_zero_one_loss_counts_mistakes():
    assert F.zero_one_loss(S, Y) == 0.75
    assert F.zero_one_loss(S, Y, "sum") == 3
    assert F.zero_one_loss(S, Y, "none").tolist() == [0, 1, 1, 1]
    assert F.zero_one_loss(np.zeros((2, 3), np.float32), np.array([0, 1]), "none").tolist() == [0, 1]  # the first wins
    assert F.zero_one_loss(np.zeros((2, 3), np.float32), np.array([0, 1])).dtype == np.float32
    assert F.zero_one_loss(np.empty((0, 3)), np.empty(0, int)) == 0


def test_zero_one_loss_has_no_gradient_and_says_so():
    loss = F.zero_one_loss(Tensor(S, requires_grad=True), Y)
    assert not loss.requires_grad
    with pytest.raises(tg.errors.GradientError, match="zero_one_loss has no derivative"):
        loss.backward()


def test_a_classifier_learns_by_every_loss_of_the_chain():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 2)), np.repeat([0, 1, 2], 20)
    x += 4 * np.array([[1, 0], [-1, 1], [-1, -1]])[y]
    for loss in (*FAMILY, F.focal_loss):
        layer = nn.Linear(2, 3, generator=np.random.default_rng(1), dtype=float)
        optimizer = tg.optim.SGD(layer.parameters(), lr=0.5)
        for _ in range(50):
            optimizer.zero_grad()
            loss(layer(x), y).backward()
            optimizer.step()
        assert F.zero_one_loss(layer(x), y).item() < 0.05
