"""The operations under PyTorch's names, and the drawing of masks."""

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, errors, no_grad

COMPOSED = {"dropout", "batch_norm", "scaled_dot_product_attention", "avg_pool1d", "max_pool1d"}
OPS = [name for name in F.__all__ if name not in COMPOSED]


@pytest.mark.parametrize("name", OPS)
def test_a_function_is_the_operation_of_that_name(name):
    assert getattr(F, name) is getattr(tg, name)


def test_the_list_of_names_is_complete_and_sorted():
    assert F.__all__ == sorted(F.__all__)
    assert {"relu", "cross_entropy", "mse_loss", "linear", "dropout", "softmax"} <= set(F.__all__)
    assert F is tg.nn.functional


def test_dropout_of_arrays_numbers_and_lists_gives_arrays():
    for x in (np.ones((2, 3)), [1.0, 2.0], 3.0):
        out = F.dropout(x, 0.5, generator=np.random.default_rng(0))
        assert not isinstance(out, Tensor)
        assert np.shape(out) == np.shape(x)


def test_dropout_of_a_tensor_without_gradient_is_a_tensor_without_gradient():
    out = F.dropout(Tensor(np.ones(100)), 0.5)
    assert isinstance(out, Tensor)
    assert not out.requires_grad
    assert set(out.data.tolist()) == {0.0, 2.0}


def test_dropout_under_no_grad_still_drops():
    x = Tensor(np.ones(100), requires_grad=True)
    with no_grad():
        out = F.dropout(x, 0.5)
    assert not out.requires_grad
    assert set(out.data.tolist()) == {0.0, 2.0}


def test_dropout_keeps_what_is_infinite_out_of_what_it_drops():
    x = np.full(100, np.inf)
    out = F.dropout(x, 0.5, generator=np.random.default_rng(0))
    assert set(out.tolist()) == {0.0, np.inf}  # not inf times zero, which is NaN


def test_dropout_once_more_is_another_draw():
    x = Tensor(np.ones(100), requires_grad=True)
    generator = np.random.default_rng(0)
    first, second = F.dropout(x, 0.5, generator=generator), F.dropout(x, 0.5, generator=generator)
    assert not np.array_equal(first.data, second.data)


@pytest.mark.parametrize("generator", [0, 42, np.random, np.random.RandomState(0), "0"])
def test_a_seed_or_a_global_state_is_no_generator(generator):
    with pytest.raises(errors.ArgumentError, match="generator=") as caught:
        F.dropout(np.ones(3), 0.5, generator=generator)
    assert "default_rng" in caught.value.remedy


def test_second_derivatives_pass_through_dropout():
    generator = np.random.default_rng(0)
    mask = generator.random(4, dtype=np.float32) >= 0.5  # what the seed 0 draws first

    def f(x):
        return F.dropout(x**3, 0.5, generator=np.random.default_rng(0))

    x = np.array([1.0, 2.0, -1.0, 0.5])
    assert 0 < mask.sum() < 4
    t = Tensor(x, requires_grad=True)
    slope = tg.gradients(f(t).sum(), t, create_graph=True)
    np.testing.assert_allclose(slope.data, np.where(mask, 6 * x**2, 0))
    np.testing.assert_allclose(tg.gradients(slope.sum(), t).data, np.where(mask, 12 * x, 0))
    assert tg.gradcheck(f, x, order=2)
