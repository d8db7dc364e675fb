"""Calls of NumPy's that fuzzing found: empty and 0-d arrays, booleans, second names of arguments, what is no number."""

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor
from tinygrad_sm.errors import ArgumentError, BoundsError, DTypeError, GradientError, ShapeError, TinygradError


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


@pytest.mark.parametrize("values", [np.array([1j, 2.0]), np.array([None, 1.0]), np.array(["1", "2"])])
@pytest.mark.parametrize(
    "f",
    [
        F.mse_loss,
        F.l1_loss,
        F.huber_loss,
        F.smooth_l1_loss,
        F.kl_div,
        F.binary_cross_entropy_with_logits,
        lambda x, values: F.binary_cross_entropy_with_logits(x, x.data, pos_weight=values),
        lambda x, values: F.cross_entropy(x, 1, weight=values),
        lambda x, values: F.focal_loss(x, 1, alpha=values),
        lambda x, values: x + tg.std(values),
        lambda x, values: x + tg.softmax(values),
        lambda x, values: x + tg.logsumexp(values),
    ],
)
def test_what_is_no_real_number_is_not_cast_to_one(f, values):
    with pytest.raises(DTypeError, match=f"wants real numbers, not {values.dtype}"):
        f(Tensor([1.0, 2.0], requires_grad=True), values)


def test_large_targets_that_are_no_real_numbers_are_refused_too():
    x = Tensor(np.zeros((600, 600)), requires_grad=True)
    for loss in (F.mse_loss, F.binary_cross_entropy_with_logits):
        with pytest.raises(DTypeError, match=f"{loss.name}: wants real numbers, not complex128"):
            loss(x, x.data + 1j)


@pytest.mark.parametrize("ddof", [2, 3, 5])
def test_derivative_of_a_variance_without_degrees_of_freedom_is_as_infinite_as_its_value(ddof):
    x = Tensor([1.0, 3.0], requires_grad=True)
    with np.errstate(divide="ignore"), pytest.warns(RuntimeWarning, match="Degrees of freedom"):
        out = np.var(x, ddof=ddof)
    assert float(out) == np.inf
    out.backward()
    np.testing.assert_array_equal(x.grad, [-np.inf, np.inf])


@pytest.mark.parametrize("axis", [0, -1, None])
def test_product_up_to_each_of_one_number(axis):
    x = Tensor(3.0, requires_grad=True)
    out = np.cumprod(x, axis)
    np.testing.assert_array_equal(out.data, [3.0])
    out.backward([2.0])
    assert (x.grad.shape, float(x.grad)) == ((), 2.0)


def test_median_and_quantile_take_a_list_of_axes():
    for call in (lambda x: np.median(x, axis=[0, 1]), lambda x: np.quantile(x, 0.5, axis=[0, 1])):
        x = Tensor([[1.0, 5.0], [2.0, 9.0]], requires_grad=True)
        out = call(x)
        assert float(out) == 3.5
        out.backward()
        np.testing.assert_array_equal(x.grad, [[0, 0.5], [0.5, 0]])
    with pytest.raises(DTypeError, match="'str' object cannot be interpreted as an integer"):
        np.median(x, axis="1")


def test_xlogy_takes_lists():
    x = Tensor([0.0, 2.0], requires_grad=True)
    tg.xlogy(x, [1.0, 4.0]).backward([1.0, 1.0])
    np.testing.assert_allclose(x.grad, np.log([1, 4]))
    y = Tensor([1.0, 4.0], requires_grad=True)
    tg.xlogy([0.0, 2.0], y).backward([1.0, 1.0])
    np.testing.assert_allclose(y.grad, [0, 0.5])
    assert tg.xlogy(2, Tensor(np.float32([3]))).dtype == np.float32


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss, F.focal_loss])
def test_loss_of_no_samples_in_no_classes_is_zero(loss):
    x = Tensor(np.ones((0, 0)), requires_grad=True)
    out = loss(x, np.zeros(0, int))
    out.backward()
    assert (float(out), x.grad.shape) == (0, (0, 0))


@pytest.mark.parametrize("f", [np.max, np.min, np.ptp, np.std, np.argmax, np.argmin, np.median])
def test_what_chooses_from_nothing_says_what_to_do(f):
    with pytest.raises(ShapeError, match=r"x \(2, 0\)") as caught:
        f(Tensor(np.ones((2, 0))), axis=1)
    assert "leave out empty arrays" in caught.value.remedy


def test_types_and_positions_among_the_arguments_are_written_out():
    x = Tensor([1.0, 2.0])
    with pytest.raises(DTypeError, match=r"axis 0, keepdims <class 'numpy\.float32'>: "):
        x.sum(0, np.float32)
    with pytest.raises(BoundsError, match=r"axis np.int64\(3\): "):
        x.sum(np.int64(3))
