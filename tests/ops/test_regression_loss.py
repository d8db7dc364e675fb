"""Losses of regression at their kinks and joins, for large errors and for shapes that must not broadcast."""

import math

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor

INF = np.inf


def all_of_it(loss, errors, dtype=float, **options):
    """The losses of errors, their slopes in the prediction and in the target, and their curvature."""
    x, t = (Tensor(np.array(v, dtype), requires_grad=True) for v in (errors, np.zeros(len(errors))))
    losses = loss(x, t, reduction="none", **options)
    slope, opposite = tg.gradients(losses, [x, t], create_graph=True, cotangent=np.ones(len(errors)))
    curvature = tg.gradients(slope.sum(), x).data if slope.requires_grad else np.zeros(len(errors))
    assert losses.dtype == slope.dtype == dtype
    return [v.tolist() for v in (losses.data, slope.data, opposite.data, curvature)]


E = [-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0]
SIGNS = [-1, -1, -1, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("loss", "options", "losses", "slopes", "curvatures"),
    [
        (F.l1_loss, {}, [3, 1, 0.5, 0, 0.5, 1, 3], SIGNS, [0] * 7),
        (F.smooth_l1_loss, {"beta": 0}, [3, 1, 0.5, 0, 0.5, 1, 3], SIGNS, [0] * 7),
        (F.huber_loss, {}, [2.5, 0.5, 0.125, 0, 0.125, 0.5, 2.5], [-1, -1, -0.5, 0, 0.5, 1, 1], [0, 1, 1, 1, 1, 1, 0]),
        (
            F.huber_loss,
            {"delta": 0.5},
            [1.375, 0.375, 0.125, 0, 0.125, 0.375, 1.375],
            [-0.5, -0.5, -0.5, 0, 0.5, 0.5, 0.5],
            [0, 0, 1, 1, 1, 0, 0],
        ),
        (
            F.smooth_l1_loss,
            {"beta": 0.5},
            [2.75, 0.75, 0.25, 0, 0.25, 0.75, 2.75],
            [-1, -1, -1, 0, 1, 1, 1],
            [0, 0, 2, 2, 2, 0, 0],
        ),
    ],
)
def test_by_hand(loss, options, losses, slopes, curvatures):
    got = all_of_it(loss, E, **options)
    assert got == [losses, slopes, [-s for s in slopes], curvatures]


@pytest.mark.parametrize("loss", [F.l1_loss, F.huber_loss, F.smooth_l1_loss])
def test_large_and_infinite_errors(loss):
    off = 0 if loss is F.l1_loss else 0.5
    for dtype, errors in ((np.float32, [-1e30, -1e4, 1e4, 1e30]), (float, [-INF, -1e300, 1e300, INF])):
        losses, slopes, opposite, curvatures = all_of_it(loss, errors, dtype)
        np.testing.assert_allclose(losses, np.abs(errors) - off, rtol=1e-6)
        assert slopes == [-1, -1, 1, 1]
        assert opposite == [1, 1, -1, -1]
        assert curvatures == [0, 0, 0, 0]


def test_huber_over_delta_is_smooth_l1_and_its_ends_are_the_squared_and_the_absolute_error():
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((2, 20))
    np.testing.assert_allclose(F.huber_loss(x, t, delta=0.3) / 0.3, F.smooth_l1_loss(x, t, beta=0.3), rtol=1e-14)
    np.testing.assert_allclose(F.huber_loss(x, t, delta=100.0), F.mse_loss(x, t) / 2, rtol=1e-14)
    np.testing.assert_allclose(F.smooth_l1_loss(x, t, beta=1e-12), F.l1_loss(x, t), rtol=1e-10)
    np.testing.assert_allclose(F.smooth_l1_loss(x, t, beta=5e-324), F.l1_loss(x, t), rtol=1e-14)


@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss, F.huber_loss, F.smooth_l1_loss, F.kl_div])
def test_shapes_reductions_and_nothing_at_all(loss):
    x, t = np.random.default_rng(1).uniform(0.1, 1, (2, 3, 4))
    each = loss(x, t, reduction="none")
    assert each.shape == (3, 4)
    assert loss(x, t, reduction="sum") == pytest.approx(each.sum(), rel=1e-13)
    assert loss(x, t) == pytest.approx(each.mean(), rel=1e-13)
    assert loss(np.float64(0.3), np.float64(0.7)) == loss(np.array([0.3]), np.array([0.7]))
    assert loss(x.astype(np.float32), t).dtype == np.float32
    empty = Tensor(np.empty((0, 4)), requires_grad=True)
    nothing = loss(empty, np.empty((0, 4)))
    nothing.backward()
    assert nothing.item() == 0
    assert empty.grad.shape == (0, 4)
    for target in (t[:, :1], t[0], t[..., None]):
        with pytest.raises(tg.errors.ShapeError, match="must not broadcast") as caught:
            loss(Tensor(x, requires_grad=True), target)
        assert caught.value.message.startswith(f"{loss.name}: ")
    with pytest.raises(tg.errors.ArgumentError, match="reduction='median'"):
        loss(x, t, reduction="median")


@pytest.mark.parametrize("width", [-1.0, math.nan, 0.0])
def test_widths_that_are_none_are_refused(width):
    with pytest.raises(tg.errors.ArgumentError, match=f"huber_loss: delta={width}"):
        F.huber_loss(np.ones(2), np.ones(2), delta=width)
    if width != 0:
        with pytest.raises(tg.errors.ArgumentError, match=f"smooth_l1_loss: beta={width}"):
            F.smooth_l1_loss(np.ones(2), np.ones(2), beta=width)
