"""Indexing and moving values about, against NumPy: what is taken, and where the cotangent goes back to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as shapes

import tinygrad_sm as tg
from tinygrad_sm import Tensor

LETTERS = np.arange(24.0).reshape(2, 3, 4)


def check_moves(f, shape):
    """Values that are only moved: label each with its position, and add up cotangents where the labels went."""
    labels = np.arange(float(np.prod(shape))).reshape(shape)
    x = Tensor(labels, requires_grad=True)
    out = f(x)
    expected = f(labels)
    assert out.shape == np.shape(expected)
    np.testing.assert_array_equal(out.data, expected)
    cotangent = np.arange(1.0, out.size + 1).reshape(out.shape)
    out.backward(cotangent)
    sums = np.bincount(out.data.ravel().astype(int), weights=cotangent.ravel(), minlength=labels.size)
    np.testing.assert_array_equal(x.grad, sums.reshape(shape))


INDICES = {
    "integer": 1,
    "negative": -1,
    "numpy integer": np.int64(1),
    "0-d array": np.array(1),
    "slice": slice(None, None, 2),
    "negative step": slice(None, None, -1),
    "empty slice": slice(5, 5),
    "ellipsis": ...,
    "newaxis": None,
    "tuple": (1, 2, 3),
    "mixed": (slice(None), 0, None, slice(1, None, 2)),
    "ellipsis in between": (0, ..., 1),
    "nothing": (),
    "list": [1, 0, 1],
    "list in a tuple": (slice(None), [2, 2]),
    "array": np.array([[0, 1], [1, 1]]),
    "two arrays": (np.array([0, 1, 1]), np.array([2, 0, 0])),
    "two arrays apart": (np.array([0, 1, 1]), slice(None), np.array([2, 0, 0])),
    "broadcast arrays": (np.array([[0], [1]]), np.array([0, 2, 2])),
    "array and integer": (0, np.array([1, 1, 2])),
    "negative repeats": np.array([1, -1, 0]),
    "mask": np.array([True, False]),
    "full mask": LETTERS % 3 == 0,
    "mask in a tuple": (slice(None), np.array([True, False, True])),
    "mask and array": (np.array([True, True]), np.array([0, 0])),
    "empty list": [],
    "all false": np.zeros((2, 3), bool),
    "scalar true": True,
    "scalar false": False,
    "unsigned": np.array([1, 1], dtype=np.uint8),
}


@pytest.mark.parametrize("name", INDICES)
def test_getitem_is_that_of_numpy_and_scatters_back(name):
    check_moves(lambda x: x[INDICES[name]], LETTERS.shape)


@given(index=shapes.basic_indices((2, 3, 4), allow_newaxis=True))
def test_any_basic_index(index):
    check_moves(lambda x: x[index], (2, 3, 4))


@given(index=shapes.integer_array_indices((2, 3, 4), result_shape=shapes.array_shapes(max_dims=2, max_side=3)))
def test_any_integer_array_index(index):
    check_moves(lambda x: x[index], (2, 3, 4))


@given(mask=shapes.arrays(bool, st.sampled_from([(2,), (2, 3), (2, 3, 4)])))
def test_any_mask(mask):
    check_moves(lambda x: x[mask], (2, 3, 4))


@pytest.mark.parametrize("index", [Tensor([1, 0, 1]), Tensor([0.5, -1.0, 2.0]) > 0, (slice(None), Tensor([0, 0]))])
def test_index_may_be_made_of_tensors(index):
    x = Tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
    as_array = (slice(None), np.array([0, 0])) if isinstance(index, tuple) else index.data
    np.testing.assert_array_equal(x[index].data, x.data[as_array])
    x[index].sum().backward()
    assert x.grad.sum() == x.data[as_array].size


def test_index_of_a_chain_reaches_through():
    x = Tensor(np.arange(12.0).reshape(3, 4), requires_grad=True)
    x[1:][:, ::2][[0, 0], [1, 1]].sum().backward()
    assert x.grad.tolist() == [[0, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0]]


MOVES = {
    "reshape": (lambda x: np.reshape(x, (4, 6)), (2, 3, 4)),
    "reshape with -1": (lambda x: x.reshape(-1, 3), (2, 3, 4)),
    "flatten": (lambda x: x.reshape(-1), (2, 3, 4)),
    "reshape to 0-d": (lambda x: x.reshape(()), (1, 1)),
    "transpose": (lambda x: np.transpose(x), (2, 3, 4)),
    "T": (lambda x: x.T, (2, 3)),
    "transpose by axes": (lambda x: x.transpose(1, 2, 0), (2, 3, 4)),
    "transpose by a tuple": (lambda x: x.transpose((-1, 0, 1)), (2, 3, 4)),
    "swapaxes": (lambda x: np.swapaxes(x, 0, -1), (2, 3, 4)),
    "squeeze": (lambda x: np.squeeze(x), (1, 3, 1)),
    "squeeze one": (lambda x: np.squeeze(x, -1), (1, 3, 1)),
    "expand_dims": (lambda x: np.expand_dims(x, (0, -1)), (2, 3)),
    "broadcast_to": (lambda x: np.broadcast_to(x, (5, 2, 3)), (2, 1)),
    "broadcast 0-d": (lambda x: np.broadcast_to(x, (2, 2)), ()),
    "concatenate": (lambda x: np.concatenate([x, x[:1], x], axis=0), (2, 3)),
    "concatenate the last": (lambda x: np.concatenate([x, x[:, :1]], axis=-1), (2, 3)),
    "stack": (lambda x: np.stack([x, 0 * x + x, x], axis=1), (2, 3)),
    "stack the last": (lambda x: np.stack([x, x], axis=-1), (2, 3)),
    "take_along_axis": (lambda x: np.take_along_axis(x, np.array([[2, 2], [0, 1]]), axis=1), (2, 3)),
    "take along the first": (lambda x: np.take_along_axis(x, np.array([[1, 0, 1], [1, 1, 0]]), axis=0), (2, 3)),
    "take along broadcast": (lambda x: np.take_along_axis(x, np.array([[1, 1, 0]]), axis=1), (2, 3)),
}


@pytest.mark.parametrize("name", MOVES)
def test_moving_values_is_numpys_and_moves_the_cotangent_back(name):
    check_moves(*MOVES[name])


@given(shape=shapes.array_shapes(max_dims=4, max_side=3), data=st.data())
def test_any_transposition(shape, data):
    axes = tuple(data.draw(st.permutations(range(len(shape)))))
    check_moves(lambda x: x.transpose(axes), shape)


@given(data=st.data(), axis=st.integers(-3, 2), count=st.integers(1, 4))
def test_concatenate_gives_every_operand_its_part(data, axis, count):
    lengths = data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    shape = [2, 3, 2]
    leaves = []
    for length in lengths:
        shape[axis] = length
        leaves.append(Tensor(np.ones(shape), requires_grad=True))
    out = np.concatenate(leaves, axis=axis)
    cotangent = np.random.default_rng(0).standard_normal(out.shape)
    out.backward(cotangent)
    parts = np.split(cotangent, np.cumsum(lengths)[:-1], axis=axis)
    for leaf, part in zip(leaves, parts, strict=True):
        np.testing.assert_array_equal(leaf.grad, part)


def test_joining_tensors_with_arrays_and_lists():
    x = Tensor([1.0, 2.0], requires_grad=True)
    np.concatenate([[5.0], x, np.array([6.0, 7.0]), x * 2]).backward([1.0, 10.0, 20.0, 0.0, 0.0, 30.0, 40.0])
    assert x.grad.tolist() == [70, 100]
    x.grad = None
    y = np.stack([[3.0, 4.0], x])
    assert y.data.tolist() == [[3, 4], [1, 2]]
    y.backward(np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert x.grad.tolist() == [3, 4]


def test_scatter_add_is_the_adjoint_of_indexing():
    rng = np.random.default_rng(0)
    index = (np.array([0, 2, 2]), slice(None, None, -1))
    x, y = rng.standard_normal((3, 2)), rng.standard_normal((3, 2))
    np.testing.assert_allclose(np.vdot(x[index], y), np.vdot(x, tg.scatter_add(y, index, x.shape)))


def test_second_derivative_through_indexing():
    x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x[[0, 0, 2]]
    slope = tg.gradients((y * y * y).sum(), x, create_graph=True)
    assert slope.data.tolist() == [6, 0, 27]
    assert tg.gradients(slope.sum(), x).data.tolist() == [12, 0, 18]
