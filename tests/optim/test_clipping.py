"""Clipping: against the definition of the norms, and everything that cannot be clipped."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_sm import Tensor, errors, nn, optim


def with_gradients(*grads, dtype=np.float64):
    params = []
    for g in grads:
        p = Tensor(np.zeros(np.shape(g)), dtype=dtype, requires_grad=True)
        p.grad = np.asarray(g, dtype)
        params.append(p)
    return params


def by_definition(values, ord):
    """(sum |g|**ord)**(1/ord) in Python's numbers."""
    sizes = [abs(float(value)) for value in values]
    return max(sizes) if ord == math.inf else math.fsum(size**ord for size in sizes) ** (1 / ord)


GRADS = [[3.0, -4.0], [[12.0]], 0.5]


@pytest.mark.parametrize("ord", [1, 2, 3, 0.5, np.inf])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_the_norm_of_all_elements_is_brought_down_to_the_limit(ord, dtype):
    params = with_gradients(*GRADS, dtype=dtype)
    expected = by_definition([3, 4, 12, 0.5], ord)
    assert optim.clip_grad_norm(params, 1.0, ord) == pytest.approx(expected, rel=1e-12)
    for p, g in zip(params, GRADS, strict=True):
        assert p.grad.dtype == dtype
        assert p.grad.shape == np.shape(g)
        np.testing.assert_allclose(p.grad, np.array(g) / expected, rtol=4 * float(np.finfo(dtype).eps))
    flat = np.concatenate([p.grad.ravel() for p in params])
    assert by_definition(flat, ord) == pytest.approx(1, rel=4 * float(np.finfo(dtype).eps))


def test_gradients_within_the_limit_are_left_alone():
    params = with_gradients(*GRADS)
    before = [p.grad for p in params]
    norm = optim.clip_grad_norm(params, 100.0)
    assert norm == optim.clip_grad_norm(params, norm) == optim.clip_grad_norm(params, np.inf)
    assert all(p.grad is g for p, g in zip(params, before, strict=True))


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=5), st.floats(1e-3, 1e3))
def test_any_numbers_are_clipped_without_overflow(values, limit):
    (p,) = with_gradients(values)
    norm = optim.clip_grad_norm([p], limit)
    assert norm == pytest.approx(math.hypot(*values), rel=1e-9, abs=1e-300)
    assert math.hypot(*p.grad) <= limit * (1 + 1e-9)


@pytest.mark.parametrize(("dtype", "value"), [(np.float16, 6e4), (np.float32, 3e38), (np.float64, 1e308)])
@pytest.mark.parametrize("ord", [2, 3, 1])
def test_large_numbers_do_not_overflow(dtype, value, ord):
    params = with_gradients([value, 0.0], [[value / 2]], dtype=dtype)
    norm = optim.clip_grad_norm(params, 1.0, ord)
    assert norm == pytest.approx(float(dtype(value)) * (1 + 0.5**ord) ** (1 / ord), rel=1e-3)
    assert by_definition([*params[0].grad, *params[1].grad[0]], ord) == pytest.approx(1, rel=1e-3)


def test_tiny_numbers_do_not_vanish():
    params = with_gradients([3e-200, 4e-200])
    assert optim.clip_grad_norm(params, 1.0) == pytest.approx(5e-200)
    assert optim.clip_grad_norm(params, 1e-200) == pytest.approx(5e-200)
    np.testing.assert_allclose(params[0].grad, [0.6e-200, 0.8e-200])


def test_zero_and_empty_gradients():
    params = with_gradients(np.zeros(3), np.zeros((0, 2)))
    assert optim.clip_grad_norm(params, 1.0) == 0
    assert optim.clip_grad_norm(params, 1.0, np.inf) == 0
    optim.clip_grad_value(params, 1.0)
    assert [p.grad.shape for p in params] == [(3,), (0, 2)]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_each_element_is_held_between_the_bounds(dtype):
    params = with_gradients([3.0, -4.0, 0.25], [[np.inf]], dtype=dtype)
    optim.clip_grad_value(params, 0.5)
    assert [p.grad.tolist() for p in params] == [[0.5, -0.5, 0.25], [[0.5]]]
    assert {p.grad.dtype for p in params} == {np.dtype(dtype)}


def test_bounds_that_a_type_cannot_hold():
    (p,) = with_gradients([1.0, np.inf], dtype=np.float16)
    optim.clip_grad_value([p], np.inf)
    assert p.grad.tolist() == [1, np.inf]
    optim.clip_grad_value([p], np.float64(1e300))
    assert p.grad.tolist() == [1, 65504]


CLIPS = [
    pytest.param(lambda params, limit=0.5: optim.clip_grad_norm(params, limit), id="norm"),
    pytest.param(lambda params, limit=0.5: optim.clip_grad_value(params, limit), id="value"),
]
both = pytest.mark.parametrize("clip", CLIPS)


@both
def test_the_old_arrays_are_left_as_they_were(clip):
    params = with_gradients(*GRADS)
    held = [p.grad for p in params]
    copies = [g.copy() for g in held]
    clip(params)
    for g, copy, p in zip(held, copies, params, strict=True):
        np.testing.assert_array_equal(g, copy)
        assert not np.shares_memory(g, p.grad)


@both
def test_one_tensor_a_generator_and_parameters_without_gradient_are_accepted(clip):
    (p,) = with_gradients([3.0])
    clip(p)
    assert p.grad.tolist() == [0.5]
    model = nn.Linear(2, 1)
    model.weight.grad = np.full((2, 1), 3, np.float32)
    clip(model.parameters())
    assert model.bias.grad is None
    assert np.abs(model.weight.grad).max() <= 0.5


@both
def test_a_parameter_given_twice_is_clipped_once(clip):
    (p,) = with_gradients([2.0, 2.0])
    (q,) = with_gradients([2.0, 2.0])
    assert clip([p, p]) == clip([q])
    np.testing.assert_array_equal(p.grad, q.grad)


@both
@pytest.mark.parametrize("limit", [0, -1.0, float("nan"), -np.inf])
def test_a_limit_that_is_not_above_zero_is_refused(clip, limit):
    params = with_gradients([3.0])
    with pytest.raises(errors.ArgumentError, match=r"clip_grad_\w+: \w+=") as caught:
        clip(params, limit)
    assert "above 0" in caught.value.remedy
    assert params[0].grad.tolist() == [3.0]


@both
@pytest.mark.parametrize("limit", ["1", None, np.ones(2), Tensor(1.0)])
def test_a_limit_that_is_no_number_is_refused(clip, limit):
    with pytest.raises(errors.DTypeError, match="clip_grad_"):
        clip(with_gradients([3.0]), limit)


@pytest.mark.parametrize("ord", [0, -2, float("nan"), -np.inf, "fro", None])
def test_an_order_without_a_norm_is_refused(ord):
    with pytest.raises(errors.ArgumentError, match="ord="):
        optim.clip_grad_norm(with_gradients([3.0]), 1.0, ord)


@both
def test_without_gradients_there_is_nothing_to_clip(clip):
    for params in ([], [Tensor([1.0], requires_grad=True)]):
        with pytest.raises(errors.GradientError, match=f"none of {len(params)} parameters") as caught:
            clip(params)
        assert "between loss.backward() and optimizer.step()" in caught.value.remedy


@both
@pytest.mark.parametrize("params", [None, 3.0, nn.Linear(1, 1), [np.zeros(2)], ["w"]])
def test_what_is_no_parameter_is_refused(clip, params):
    with pytest.raises((errors.DTypeError, errors.ArgumentError), match="clip_grad_") as caught:
        clip(params)
    assert "model.parameters()" in caught.value.remedy


@both
def test_a_gradient_that_is_no_array_is_refused(clip):
    (p,) = with_gradients([3.0])
    p.grad = [3.0]
    with pytest.raises(errors.DTypeError, match="grad of a parameter"):
        clip([p])


@both
def test_nan_is_refused_with_its_place_and_nothing_is_changed(clip):
    first, second = with_gradients([3.0], [[1.0, np.nan]])
    second.name = "weight"
    with pytest.raises(errors.NonFiniteError, match=r"'weight', \(1, 2\) float64, is nan at \(0, 1\)") as caught:
        clip([first, second])
    assert caught.value.location.expression.startswith("optim.clip_grad_")
    assert "debug.numerics" in caught.value.remedy
    assert first.grad.tolist() == [3.0]


def test_infinity_has_no_norm():
    params = with_gradients([1.0], [np.inf], dtype=np.float32)
    with pytest.raises(errors.NonFiniteError, match=r"parameter 1 of those with a gradient.*inf at"):
        optim.clip_grad_norm(params, 1.0)
    params = with_gradients([1e308] * 4)
    with pytest.raises(errors.NonFiniteError, match="overflows"):
        optim.clip_grad_norm(params, 1.0, 1)


@both
def test_clipping_hides_nothing_from_the_optimiser(clip):
    w = Tensor([3.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)
    (w * w).sum().backward()
    clip([w])
    optimizer.step()  # and does not warn
    assert w.data.tolist() == [3.0 - 0.1 * 0.5]
    w.grad = w.grad * 4
    w._used_grad = w.grad  # as after a step
    clip([w])
    with pytest.raises(UserWarning, match="zero_grad"):
        optimizer.step()
