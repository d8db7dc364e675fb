"""Calls of NumPy's that fuzzing found: empty and 0-d arrays, booleans, second names of arguments, what is no number."""

import numpy as np
import pytest

import tinygrad_sm as tg
from tinygrad_sm import Tensor
from tinygrad_sm.errors import ArgumentError, DTypeError, GradientError, TinygradError


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
@pytest.mark.parametrize("repeats", [0, 2])
def test_repeated_elements_of_an_empty_array_have_an_empty_gradient(shape, repeats):
    for axis in (None, 0, -1):
        x = Tensor(np.ones(shape), requires_grad=True)
        out = np.repeat(x, repeats, axis)
        assert out.shape == np.repeat(x.data, repeats, axis).shape
        out.sum().backward()
        np.testing.assert_array_equal(x.grad, np.full(shape, repeats))


def test_elements_repeated_no_times_have_the_gradient_zero():
    x = Tensor([1.0, 2.0], requires_grad=True)
    np.repeat(x, 0).sum().backward()
    np.testing.assert_array_equal(x.grad, [0, 0])


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric", "wrap"])
def test_padding_of_a_number_leaves_it_as_it_is(mode):
    x = Tensor(3.0, requires_grad=True)
    out = np.pad(x, 2, mode)
    assert (out.shape, float(out)) == ((), 3.0)
    (out * 5).backward()
    assert isinstance(x.grad, np.ndarray)
    assert (x.grad.shape, float(x.grad)) == ((), 5.0)


@pytest.mark.parametrize("width", [1.5, True, "1", None, {0: 1}])
def test_padding_by_what_is_no_whole_number_is_refused(width):
    x = Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(DTypeError, match="pad: pad_width") as caught:
        np.pad(x, width)
    assert caught.value.location.filename == __file__


def test_clip_takes_the_second_names_of_its_bounds():
    for call in (lambda x: np.clip(x, min=-1.0, max=1.0), lambda x: x.clip(-1.0, max=1.0)):
        x = Tensor([-2.0, -1.0, 0.5, 3.0], requires_grad=True)
        out = call(x)
        np.testing.assert_array_equal(out.data, [-1, -1, 0.5, 1])
        out.sum().backward()
        np.testing.assert_array_equal(x.grad, [0, 1, 1, 0])
    with pytest.raises(ArgumentError, match="clip: a bound is given twice"):
        tg.clip(x, 0.0, min=0.0)


def test_angle_of_a_point_with_a_boolean_coordinate():
    x = Tensor([2.0], requires_grad=True)
    np.arctan2(x, np.array([True])).backward()
    np.testing.assert_allclose(x.grad, [1 / 5])
    y = Tensor([2.0], requires_grad=True)
    np.arctan2(True, y).backward()
    np.testing.assert_allclose(y.grad, [-1 / 5])


@pytest.mark.parametrize(
    ("f", "name"),
    [
        (lambda x: tg.take_along_axis("abc", np.array([0]), 0), "take_along_axis"),
        (lambda x: np.take_along_axis(x, "abc", 0), "take_along_axis"),
        (lambda x: x * 1j, "multiply"),
        (lambda x: np.where([True, False], x, "abc"), "where"),
        (lambda x: np.dot(x.data, Tensor([1.0, 2.0])) + tg.kron(x, 10**30), "kron"),
        (lambda x: np.logical_and(x.detach(), None), "logical_and"),
    ],
)
def test_what_is_no_real_number_is_refused_by_the_name_of_the_operation(f, name):
    with pytest.raises(TinygradError, match=f"^{name}: ") as caught:
        f(Tensor([1.0, 2.0], requires_grad=True))
    assert caught.value.location.filename == __file__


@pytest.mark.parametrize(
    ("f", "name"),
    [
        (lambda x: np.argsort(x).sum(), "argsort"),
        (lambda x: (np.argmax(x) == 0).astype(float).mean(), "equal"),
        (lambda x: np.stack([np.floor(x), x.detach()]).sum(), "floor"),
    ],
)
def test_a_loss_of_positions_or_rounded_values_names_what_has_no_derivative(f, name):
    with pytest.raises(GradientError, match=f"backward: {name} has no derivative"):
        f(Tensor([1.0, 2.0], requires_grad=True)).backward()


def test_a_loss_outside_the_tape_does_not_blame_its_masks():
    x = Tensor([1.0, 2.0], requires_grad=True)
    with tg.no_grad():
        loss = (x * (x > 1)).sum()
    with pytest.raises(GradientError, match="carries no gradient") as caught:
        loss.backward()
    assert "no_grad" in caught.value.remedy
