"""Corners that were wrong once."""

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, nn, optim
from tinygrad_sm.errors import ArgumentError, DTypeError, GradientError, ShapeError, StaleValueError, UnsupportedError


def leaf(*values, **kwargs):
    return Tensor(np.array(values, float), requires_grad=True, **kwargs)


def test_one_nan_does_not_cost_the_other_elements_their_second_derivative():
    x = leaf(0, 4)
    y = ((x.sqrt() - Tensor([0.0, 2.0])) ** 2).sum()
    slope = tg.gradients(y, x, create_graph=True)
    assert tg.gradients(slope.sum(), x).data.tolist() == [0, 0.125]


def test_second_backward_doubles_the_float32_gradient_of_cross_entropy_exactly():
    rng = np.random.default_rng(0)
    for _ in range(20):
        logits = Tensor(rng.standard_normal((7, 3)).astype(np.float32), requires_grad=True)
        loss = F.cross_entropy(logits, rng.integers(3, size=7))
        loss.backward()
        once = logits.grad
        loss.backward()
        assert np.array_equal(logits.grad, 2 * once)


def test_operands_may_come_from_an_iterator():
    parts = [leaf(1), leaf(2), leaf(3)]
    tg.stack(part for part in parts).sum().backward()
    assert [part.grad.tolist() for part in parts] == [[1], [1], [1]]


def test_surplus_arguments_are_refused():
    with pytest.raises(UnsupportedError, match="stack"):
        tg.stack([leaf(1), leaf(2)], 0, "junk")
    with pytest.raises(UnsupportedError, match="exp"):
        tg.exp(x=leaf(1), foo=1)


def test_gradient_is_not_lost_in_a_list_that_is_added_in_place_or_in_a_fill_value():
    constant = Tensor([1.0])
    with pytest.raises(GradientError):
        constant += [leaf(2)[0]]
    with pytest.raises(GradientError, match="full_like"):
        np.full_like(leaf(1), leaf(2)[0])
    assert np.full_like(leaf(1), 3.0).tolist() == [3]


def test_overwritten_index_is_noticed_inside_a_tuple():
    x, i = leaf(1, 2, 3).reshape(3, 1), Tensor(np.array([0]))
    y = x[i, 0].sum()
    i[0] = 1
    with pytest.raises(StaleValueError, match="index"):
        y.backward()


def test_std_of_narrow_integers_is_numpys():
    for values in ([1, 3], [250, 5]):
        assert tg.std(np.array(values, np.uint8)) == np.std(values)


@pytest.mark.parametrize("factor", ["weight", "pos_weight"])
def test_binary_cross_entropy_refuses_factors_that_would_change_the_shape(factor):
    x = leaf(1, 2, 3)
    with pytest.raises(ShapeError, match=factor):
        F.binary_cross_entropy_with_logits(x, [1.0, 0.0, 1.0], **{factor: np.ones((3, 1))})
    F.binary_cross_entropy_with_logits(x, [1.0, 0.0, 1.0], **{factor: [1.0, 2.0, 1.0]}).backward()
    assert x.grad.shape == (3,)


def test_a_list_goes_through_a_layer_and_back():
    layer = nn.Linear(2, 1)
    layer([[1.0, 2.0]]).sum().backward()
    assert layer.weight.grad.tolist() == [[1], [2]]


def test_error_out_of_numpys_own_code_shows_the_users_line():
    with pytest.raises(GradientError) as caught:
        np.full(3, leaf(1)[0])
    assert caught.value.location.expression == "np.full(3, leaf(1)[0])"


def test_number_that_does_not_fit_the_type_and_logits_without_classes():
    with pytest.raises(DTypeError, match="add"):
        Tensor(np.array([1], np.uint8)) + 300
    with pytest.raises(ShapeError, match="axis of classes"):
        F.cross_entropy(Tensor(1.0), 0)


def test_a_constant_that_becomes_a_leaf_is_trained_on_its_own_memory():
    values = np.ones(2)
    x = Tensor(values)
    x.requires_grad = True
    (x * x).sum().backward()
    optim.SGD([x], lr=0.1).step()
    assert values.tolist() == [1, 1]
    assert x.data.tolist() == [0.8, 0.8]


def test_slope_of_a_power_of_zero_with_a_negative_exponent_is_zero():
    y = leaf(-1)
    with np.errstate(divide="ignore"):
        (np.zeros(1) ** y).sum().backward()
    assert y.grad.tolist() == [0]


def test_numpy_scalars_as_options_keep_float32():
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    assert F.leaky_relu(x, np.float64(0.1)).dtype == np.float32
    assert F.dropout(x, np.float64(0.5)).dtype == np.float32
    with pytest.raises(ArgumentError):
        F.dropout(x, 1.0)
