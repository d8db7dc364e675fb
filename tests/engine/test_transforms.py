"""Gradients as values (`gradients`) and as functions (`grad`, `value_and_grad`), nested as deep as one likes."""

import math

import numpy as np
import pytest

import tinygrad_sm as tg
from tinygrad_sm import Tensor
from tinygrad_sm.errors import ArgumentError, DTypeError, GradientError, ShapeError, TinygradError


def leaf(*values):
    return Tensor(list(values), dtype=float, requires_grad=True)


# gradients --------------------------------------------------------------------------------------------------------


def test_gradients_of_one_or_several_inputs():
    x, w = leaf(1, 2), leaf(3, 4)
    y = (x * w).sum()
    slope = tg.gradients(y, x)
    assert isinstance(slope, Tensor)
    assert slope.data.tolist() == [3, 4]
    assert not slope.requires_grad
    several = tg.gradients(y, [x, w])
    assert [g.data.tolist() for g in several] == [[3, 4], [1, 2]]
    assert type(tg.gradients(y, (x,))) is list
    assert tg.gradients(y, []) == []


def test_no_grad_attribute_is_touched():
    x = leaf(1, 2)
    h = x * x
    y = h.sum()
    tg.gradients(y, [x, h])
    tg.gradients(y, x, create_graph=True)
    assert (x.grad, h.grad, y.grad) == (None, None, None)


def test_gradients_with_respect_to_interior_tensors():
    x = leaf(1, 2)
    h = x * x
    k = h + x
    y = (k * h).sum()
    assert tg.gradients(y, h).data.tolist() == [1 + 2, 4 + 6]  # k + h
    assert tg.gradients(y, k).data.tolist() == [1, 4]
    assert tg.gradients(y, y).data == 1
    both = tg.gradients(y, [h, x])
    assert both[0].data.tolist() == [3, 10]
    assert both[1].data.tolist() == [7, 44]  # 4 x**3 + 3 x**2


def test_second_derivative_with_respect_to_interior_tensors():
    x = leaf(1, 2)
    h = x * x
    y = (h * h * h).sum()
    slope = tg.gradients(y, h, create_graph=True)
    assert slope.data.tolist() == [3, 48]
    assert tg.gradients(slope.sum(), h).data.tolist() == [6, 24]
    assert tg.gradients(slope.sum(), x).data.tolist() == [12, 96]


def test_input_without_influence_gets_zeros_of_its_shape():
    x, other = leaf(1, 2), Tensor(np.ones((3, 2)), dtype=np.float32, requires_grad=True)
    y = (x * 2).sum()
    for create_graph in (False, True):
        slope, zeros = tg.gradients(y, [x, other], create_graph)
        assert slope.data.tolist() == [2, 2]
        assert (zeros.shape, zeros.dtype, zeros.data.any()) == ((3, 2), np.float32, np.False_)
    assert not tg.gradients(y, other).data.any()
    later = x * 3  # younger than y
    assert not tg.gradients(y, later).data.any()


def test_constant_input_is_refused():
    x = leaf(1, 2)
    for inputs in (Tensor([1.0]), [x, Tensor([1.0])], [x.detach()]):
        with pytest.raises(GradientError, match="carries no gradient") as caught:
            tg.gradients((x * x).sum(), inputs)
        assert "requires_grad=True" in caught.value.remedy


@pytest.mark.parametrize("output", [np.ones(1), 1.0, None, [leaf(1)]])
def test_output_that_is_no_tensor_is_refused(output):
    with pytest.raises(TinygradError, match="gradients"):
        tg.gradients(output, leaf(1))


@pytest.mark.parametrize("inputs", [np.ones(2), 1.0, [np.ones(2)], [None]])
def test_inputs_that_are_no_tensors_are_refused(inputs):
    x = leaf(1, 2)
    with pytest.raises(TinygradError, match="gradients"):
        tg.gradients((x * x).sum(), inputs)


def test_constant_output_and_non_scalar_are_refused():
    x = leaf(1, 2)
    with pytest.raises(GradientError, match="carries no gradient"):
        tg.gradients(Tensor(1.0), x)
    with pytest.raises(GradientError, match="scalar"):
        tg.gradients(x * x, x)
    with pytest.raises(ShapeError, match="cotangent"):
        tg.gradients(x * x, x, cotangent=np.ones(3))


def test_cotangent_array_and_cotangent_tensor():
    x, v = leaf(1, 2), leaf(10, 100)
    assert tg.gradients(x * x, x, cotangent=[1.0, 2.0]).data.tolist() == [2, 8]
    slope = tg.gradients(x * x, x, create_graph=True, cotangent=v)
    assert slope.data.tolist() == [20, 400]
    assert tg.gradients(slope.sum(), v).data.tolist() == [2, 4]
    assert tg.gradients(x * x, x, cotangent=v).data.tolist() == [20, 400]


def test_same_input_twice_gives_two_arrays():
    x = leaf(1, 2)
    first, second = tg.gradients((x * x).sum(), [x, x])
    assert first.data.tolist() == second.data.tolist() == [2, 4]
    assert not np.shares_memory(first.data, second.data)


def test_results_share_memory_with_nothing():
    x, w = leaf(1, 2), leaf(3, 4)
    h = x + w
    y = h.sum()
    results = tg.gradients(y, [x, w, h, y])
    arrays = [g.data for g in results] + [x.data, w.data, h.data, y.data]
    for i, one in enumerate(arrays):
        assert not any(np.shares_memory(one, other) for other in arrays[:i])


def test_create_graph_to_any_order():
    x = Tensor(2.0, requires_grad=True)
    derivative = x**5
    for expected in (80, 160, 240, 240, 120, 0):
        derivative = tg.gradients(derivative, x, create_graph=True)
        assert derivative.item() == expected
        if expected == 0:
            break


def test_derivative_that_is_constant_carries_no_graph():
    x = leaf(1, 2)
    slope = tg.gradients((3 * x).sum(), x, create_graph=True)
    assert slope.data.tolist() == [3, 3]
    assert not slope.requires_grad


def test_backward_through_a_derivative():
    """The gradient penalty of the textbooks."""
    x, w = leaf(1, 2), leaf(3, -4)
    slope = tg.gradients((w * x * x).sum(), x, create_graph=True)
    penalty = (slope * slope).sum()
    penalty.backward()
    assert w.grad.tolist() == [2 * 6 * 2, 2 * -16 * 4]
    assert x.grad.tolist() == [2 * 6 * 6, 2 * -16 * -8]


def test_derivatives_are_recorded_at_the_line_that_asked_for_them():
    x = leaf(1, 2)
    slope = tg.gradients((x * x * x).sum(), x, create_graph=True)
    newest = slope.tape()[-1]
    assert newest.location.filename == __file__
    assert newest.location.expression.startswith("tg.gradients(")


def test_gradients_twice_and_after_backward_are_equal():
    x = leaf(0.3, 0.7)
    y = (tg.softmax(x) * tg.exp(x)).sum()
    first = tg.gradients(y, x).data
    y.backward()
    second = tg.gradients(y, x).data
    recorded = tg.gradients(y, x, create_graph=True).data
    assert (first == second).all()
    assert (first == x.grad).all()
    np.testing.assert_allclose(recorded, first, rtol=1e-14)


def test_gradients_goes_only_where_an_input_is_reached():
    calls = []

    @tg.primitive(method=False)
    def watched(x):
        return x * 1.0

    @watched.vjp("x")
    def watched_vjp_x(g, out, x):
        calls.append(g)
        return g

    x, other = leaf(1), leaf(2)
    y = (x * watched(other)).sum()
    tg.gradients(y, x)
    assert calls == []
    tg.gradients(y, other)
    assert len(calls) == 1


# grad and value_and_grad ------------------------------------------------------------------------------------------


def test_grad_of_a_function_of_numbers_gives_arrays():
    slope = tg.grad(lambda x: x**3)(2.0)
    assert slope == 12
    assert not isinstance(slope, Tensor)
    assert tg.grad(lambda x: x**3)(2) == 12  # a whole number for a real one
    assert tg.grad(lambda x: x * x)(np.float32(3)).dtype == np.float32


def test_grad_of_a_function_of_arrays():
    w = np.array([1.0, 2.0], np.float32)
    slope = tg.grad(lambda w: (w * w).sum())(w)
    assert type(slope) is np.ndarray
    assert slope.dtype == np.float32
    assert slope.tolist() == [2, 4]
    assert w.tolist() == [1, 2]


def test_grad_of_a_function_of_tensors_gives_tensors():
    x = Tensor([1.0, 2.0])
    slope = tg.grad(lambda x: (x * x).sum())(x)
    assert isinstance(slope, Tensor)
    assert not slope.requires_grad
    assert not x.requires_grad


def test_value_and_grad_with_several_arguments():
    def f(x, w, scale=1.0):
        return scale * (x * x * w).sum()

    value, slope = tg.value_and_grad(f)(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    assert value == 19
    assert slope.tolist() == [6, 16]
    value, slope = tg.value_and_grad(f, argnum=1)(np.array([1.0, 2.0]), np.array([3.0, 4.0]), scale=10.0)
    assert value == 190
    assert slope.tolist() == [10, 40]
    value, slopes = tg.value_and_grad(f, argnum=(0, 1))(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    assert type(slopes) is tuple
    assert [s.tolist() for s in slopes] == [[6, 16], [1, 4]]
    value, slopes = tg.value_and_grad(f, argnum=[1, 0])(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    assert [s.tolist() for s in slopes] == [[1, 4], [6, 16]]
    (only,) = tg.grad(f, argnum=(1,))(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    assert only.tolist() == [1, 4]


def test_other_arguments_may_be_anything():
    def f(x, mode, table, *, flip):
        return (x * table[mode]).sum() * (-1 if flip else 1)

    slope = tg.grad(f)(np.ones(2), "b", {"a": 1.0, "b": 2.0}, flip=True)
    assert slope.tolist() == [-2, -2]


def test_argument_without_influence_gets_zeros():
    assert tg.grad(lambda x, y: Tensor(x) * 2.0, argnum=1)(1.0, 5.0) == 0
    slope = tg.grad(lambda x: Tensor(1.0))(np.ones((2, 2)))
    assert slope.tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("transform", [tg.grad, tg.value_and_grad, tg.jacobian, tg.hessian])
def test_positions_are_whole_numbers_of_python_or_numpy(transform):
    x, y = np.array([1.0, 2.0]), np.array([3.0, 4.0])

    def f(x, y):
        return (x * x * y).sum()

    for given, plain in ((np.int64(1), 1), ((np.int32(1), 0), (1, 0)), (np.array([0, 1]), (0, 1)), (range(2), (0, 1))):
        assert str(transform(f, given)(x, y)) == str(transform(f, plain)(x, y))
    for wrong in (1.0, True, -1, 2, None, "x", np.array(0), (0, 1.0), (True,), (0, -1)):
        with pytest.raises(GradientError, match="no positional argument") as caught:
            transform(f, wrong)(x, y)
        assert "argnum counts from 0" in caught.value.remedy
    for wrong, message in (((), "no argument to differentiate by"), ((0, np.int64(0)), "names an argument twice")):
        with pytest.raises(ArgumentError, match=message):
            transform(f, wrong)(x, y)


def test_names_and_docstrings_are_kept():
    def loss(x):
        """How far."""
        return x * x

    assert tg.grad(loss).__name__ == "loss"
    assert tg.value_and_grad(loss).__doc__ == "How far."


@pytest.mark.parametrize(
    ("f", "args", "argnum", "kind"),
    [
        (lambda x: x * x, (np.ones(2),), 0, TinygradError),
        (lambda x: 3.0, (1.0,), 0, TinygradError),
        (lambda x: None, (1.0,), 0, TinygradError),
        (lambda x: x.data.sum(), (np.ones(2),), 0, TinygradError),
        (lambda x: x * x, (1.0,), 1, GradientError),
        (lambda x: x * x, (1.0,), (0, 3), GradientError),
        (lambda x: x * x, (np.array(1),), 0, DTypeError),
        (lambda x: x.sum(), (np.array([True]),), 0, DTypeError),
        (lambda x: x, ("text",), 0, TinygradError),
    ],
)
def test_misuse_is_an_error_of_ours(f, args, argnum, kind):
    with pytest.raises(kind) as caught:
        tg.value_and_grad(f, argnum)(*args)
    assert caught.value.location.filename == __file__


def test_grad_of_grad():
    cube = tg.grad(tg.grad(lambda x: x**3))
    assert cube(2.0) == 12
    assert tg.grad(tg.grad(tg.grad(tg.exp)))(0.5) == pytest.approx(math.exp(0.5))
    assert tg.grad(tg.grad(lambda x: x * 1.0))(2.0) == 0


def test_mixed_second_derivative():
    def f(x, y):
        return x**2 * y**3

    assert tg.grad(tg.grad(f, 0), 1)(3.0, 2.0) == 2 * 3 * 3 * 4
    assert tg.grad(tg.grad(f, 1), 0)(3.0, 2.0) == 2 * 3 * 3 * 4


def test_nested_grad_does_not_confuse_its_variables():
    """d/dx [x * d/dy (x + y)] at x = 1 is 1, for the inner slope is 1 whatever x is."""
    assert tg.grad(lambda x: x * tg.grad(lambda y: x + y)(1.0))(1.0) == 1


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda x: x * tg.grad(lambda y: x * y)(1.0), 4),  # x * x
        (lambda x: tg.grad(lambda y: x * y * y)(3.0), 6),  # 2 x y
        (lambda x: tg.grad(lambda y: y**2)(x) + x, 3),  # 2 x + x
        (lambda x: x * tg.grad(lambda y: tg.grad(lambda z: x * y * z * z)(1.0))(1.0), 8),  # x * 2 x
        (lambda x: tg.value_and_grad(lambda y: x * x * y)(3.0)[1] * 1.0, 4),  # x**2
        (lambda x: tg.value_and_grad(lambda y: x * x * y)(3.0)[0] * 1.0, 12),  # 3 x**2
        (lambda x: tg.grad(lambda y, z: y * z * x, argnum=1)(3.0, 5.0) + 0 * x, 3),  # y x
    ],
)
def test_inner_derivative_that_depends_on_the_outer_variable(f, expected):
    slope = tg.grad(f)(2.0)
    assert slope == expected
    assert isinstance(slope, np.ndarray)  # inner variables are nobody's, and need no tensor


def test_inner_derivative_that_depends_on_a_leaf():
    w = Tensor(2.0, requires_grad=True)
    slope = tg.grad(lambda y: w * w * y)(Tensor(1.0))
    assert slope.item() == 4
    (slope * 3.0).backward()
    assert w.grad == 12


def test_grad_with_respect_to_a_tensor_that_carries_a_gradient():
    x = leaf(1, 2)
    h = x * x
    value, slope = tg.value_and_grad(lambda t: (t**3).sum())(h)
    assert slope.data.tolist() == [3, 48]
    slope.sum().backward()
    assert x.grad.tolist() == [12, 96]  # d/dx 3 x**4
    assert value.requires_grad


def test_grad_leaves_no_gradient_behind():
    w = leaf(1, 2)
    tg.grad(lambda x: (x * w).sum())(np.ones(2))
    tg.grad(lambda t: (t * t).sum())(w)
    assert w.grad is None


def test_grad_inside_no_grad_still_differentiates():
    """An outer `no_grad` is about the outer tape; the function's own derivative was asked for."""
    with tg.no_grad():
        assert tg.grad(lambda x: x * x)(3.0) == 6
        value, slope = tg.value_and_grad(lambda x: x * x)(3.0)
    assert (value, slope) == (9, 6)


def test_no_grad_inside_the_function_makes_constants():
    def f(x):
        with tg.no_grad():
            scale = x * x
        return x * scale

    assert tg.grad(f)(3.0) == 9


def test_function_that_uses_numpy_alone():
    def f(x):
        return np.sum(np.exp(x) * np.array([1.0, 2.0]))

    np.testing.assert_allclose(tg.grad(f)(np.array([0.0, 1.0])), [1, 2 * np.e])
    assert f(np.array([0.0, 0.0])) == 3


def test_newton_method_by_nested_grad():
    f = lambda x: x**4 - 3 * x**2 + x  # noqa: E731
    slope, curvature = tg.grad(f), tg.grad(tg.grad(f))
    x = 2.0
    for _ in range(20):
        x = float(x - slope(x) / curvature(x))
    assert abs(4 * x**3 - 6 * x + 1) < 1e-9
