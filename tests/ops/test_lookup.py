"""Embedding and one_hot: repeated, missing and impossible indices."""

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, nn, optim

W = np.arange(12.0).reshape(4, 3)


def test_repeated_rows_sum_their_gradients():
    weight = Tensor(W, requires_grad=True)
    out = F.embedding(np.array([[1, 3], [1, 1]]), weight)
    assert out.data.tolist() == W[[[1, 3], [1, 1]]].tolist()
    out.backward([[[1, 0, 0], [0, 1, 0]], [[10, 0, 0], [0, 0, 100]]])
    assert weight.grad.tolist() == [[0, 0, 0], [11, 0, 100], [0, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("padding_idx", [2, -2])
def test_the_padding_row_gets_no_gradient(padding_idx):
    weight = Tensor(W, requires_grad=True)
    out = F.embedding(np.array([2, 0, 2]), weight, padding_idx)
    assert out.data.tolist() == W[[2, 0, 2]].tolist()
    out.backward(np.full((3, 3), np.inf))
    assert weight.grad.tolist() == [[np.inf] * 3, [0] * 3, [0] * 3, [0] * 3]


def test_second_derivative_goes_through_the_lookup():
    weight = Tensor(W, requires_grad=True)
    out = (F.embedding(np.array([1, 1, 2]), weight) ** 3).sum()
    slope = tg.gradients(out, weight, create_graph=True)
    np.testing.assert_allclose(slope.data, 3 * W**2 * [[0], [2], [1], [0]])
    np.testing.assert_allclose(tg.gradients(slope.sum(), weight).data, 6 * W * [[0], [2], [1], [0]])


@pytest.mark.parametrize(
    "indices", [np.array(2), np.empty((0, 2), int), np.array([3], np.uint8), Tensor(np.array([1, 0])), [0, 1]]
)
def test_indices_of_any_shape_and_kind(indices):
    plain = np.asarray(indices)
    weight = Tensor(W.astype(np.float32), requires_grad=True)
    out = F.embedding(indices, weight)
    assert out.shape == (*plain.shape, 3)
    assert out.dtype == np.float32
    out.sum().backward()
    assert weight.grad.dtype == np.float32
    assert weight.grad.sum() == 3 * plain.size


@pytest.mark.parametrize(
    ("indices", "match"),
    [
        (np.array([0, 4]), r"embedding: indices \(2,\) holds 4 at position 1, but weight \(4, 3\) has 4 rows"),
        (np.array([[0, 1], [-1, 0]]), r"holds -1 at position \(1, 0\)"),
        (np.array(7), "holds 7, but"),
        (np.array([2**63], np.uint64), "holds 9223372036854775808 at position 0"),
    ],
)
def test_an_index_outside_of_the_table_is_named(indices, match):
    with pytest.raises(tg.errors.BoundsError, match=match) as caught:
        F.embedding(indices, Tensor(W, requires_grad=True))
    assert caught.value.remedy == "indices go from 0 to 3"
    assert isinstance(caught.value, IndexError)


def test_what_is_no_table_or_no_index_is_refused():
    with pytest.raises(tg.errors.DTypeError, match=r"indices .* float64 are no integers"):
        F.embedding(np.array([0.0]), W)
    with pytest.raises(tg.errors.DTypeError, match="bool"):
        F.embedding(np.array([True]), W)
    with pytest.raises(tg.errors.ShapeError, match=r"weight \(3,\) is no table"):
        F.embedding(np.array([0]), W[0])
    with pytest.raises(tg.errors.BoundsError, match="padding_idx=4 for 4 rows"):
        F.embedding(np.array([0]), W, padding_idx=4)
    with pytest.raises(tg.errors.BoundsError):
        F.embedding(np.array([0]), np.empty((0, 3)))
    assert F.embedding(np.empty(0, int), np.empty((0, 3))).shape == (0, 3)


def test_one_hot_rows():
    assert F.one_hot(np.array([[0, 2]]), 3).tolist() == [[[1, 0, 0], [0, 0, 1]]]
    assert F.one_hot(1, 2).tolist() == [0, 1]
    assert F.one_hot(np.empty(0, int), 4).shape == (0, 4)
    assert F.one_hot(np.array([1], np.uint8), 2).dtype == np.int64
    hot = F.one_hot(Tensor(np.array([1])), 3)
    assert isinstance(hot, Tensor)
    assert not hot.requires_grad
    logits = np.array([[0.5, -1.0, 2.0]])
    assert F.cross_entropy(logits, hot.astype(float)) == F.cross_entropy(logits, np.array([1]))


def test_one_hot_refuses_what_is_no_class():
    with pytest.raises(tg.errors.BoundsError, match=r"one_hot: labels \(2,\) holds 3 at position 1, but .* 3 classes"):
        F.one_hot(np.array([0, 3]), 3)
    with pytest.raises(tg.errors.BoundsError, match="holds -1"):
        F.one_hot(np.array([-1]), 3)
    with pytest.raises(tg.errors.DTypeError, match="float64"):
        F.one_hot(np.array([1.0]), 3)
    for count in (0, -1, 2.0, True):
        with pytest.raises(tg.errors.ArgumentError, match="num_classes="):
            F.one_hot(np.array([0]), count)


def test_an_embedding_layer_trains_the_rows_it_saw_and_leaves_the_padding():
    layer = nn.Embedding(5, 2, padding_idx=0, generator=np.random.default_rng(0))
    before = layer.weight.data.copy()
    assert before[0].tolist() == [0, 0]
    assert repr(layer) == "Embedding(5, 2, padding_idx=0)"
    optimizer = optim.SGD(layer.parameters(), lr=0.1)
    layer(np.array([[1, 3, 0], [1, 0, 0]])).sum().backward()
    optimizer.step()
    moved = before - layer.weight.data
    np.testing.assert_allclose(moved, 0.1 * np.array([[0, 0], [2, 2], [0, 0], [1, 1], [0, 0]]), atol=1e-7)
    many = nn.Embedding(1000, 20, generator=np.random.default_rng(1)).weight.data
    assert abs(many.mean()) < 0.03
    assert abs(many.std() - 1) < 0.03
    for sizes in ((0, 2), (2, 0), (2.0, 2), (True, 2)):
        with pytest.raises(tg.errors.ArgumentError, match="Embedding"):
            nn.Embedding(*sizes)
    with pytest.raises(tg.errors.BoundsError, match="padding_idx=5"):
        nn.Embedding(5, 2, padding_idx=5)
