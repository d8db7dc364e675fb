"""Derivatives as linear maps and matrices: values in closed form, nesting, singular points, and what is refused."""

import gc

import numpy as np
import pytest

import tinygrad_sm as tg
from tinygrad_sm import Tensor, hessian, hvp, jacobian, jvp, vjp
from tinygrad_sm.engine.tape import Node
from tinygrad_sm.errors import ArgumentError, DTypeError, GradientError, RuleError, ShapeError, TinygradError
from tinygrad_sm.variables import _PAST

A = np.array([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]])
X = np.array([0.3, -0.7, 1.1])
V = np.array([1.0, -2.0, 0.5])


def leaf(values):
    return Tensor(values, dtype=float, requires_grad=True)


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def slope_of(f, x, v, step=1e-6):
    return (f(x + step * v) - f(x - step * v)) / (2 * step)


# vjp and jvp ------------------------------------------------------------------------------------------------------


def test_vjp_and_jvp_of_a_linear_map_are_products_with_its_matrix():
    value, pullback = vjp(lambda x: A @ x, X)
    np.testing.assert_allclose(value, A @ X)
    for g in (np.array([1.0, 0.0]), np.array([-2.0, 3.0])):  # again and again
        (pulled,) = pullback(g)
        np.testing.assert_allclose(pulled, g @ A, rtol=1e-14)
    value, slope = jvp(lambda x: A @ x, X, V)
    np.testing.assert_allclose(value, A @ X)
    np.testing.assert_allclose(slope, A @ V, rtol=1e-14)


def test_several_arguments_and_several_outputs():
    def f(x, y):
        return x * y, (x * x).sum(), y.exp().reshape(3, 1)

    y = np.array([0.1, 0.2, -0.4])
    values, pullback = vjp(f, X, y)
    assert [value.shape for value in values] == [(3,), (), (3, 1)]
    a, b, c = np.array([1.0, 2.0, 3.0]), 10.0, np.array([[1.0], [0.0], [-1.0]])
    by_x, by_y = pullback((a, b, c))
    np.testing.assert_allclose(by_x, a * y + b * 2 * X, rtol=1e-14)
    np.testing.assert_allclose(by_y, a * X + c[:, 0] * np.exp(y), rtol=1e-14)
    values, slopes = jvp(f, (X, y), (V, a))
    np.testing.assert_allclose(values[1], X @ X)
    np.testing.assert_allclose(slopes[0], V * y + X * a, rtol=1e-14)
    np.testing.assert_allclose(slopes[1], 2 * X @ V, rtol=1e-14)
    np.testing.assert_allclose(slopes[2], (np.exp(y) * a)[:, None], rtol=1e-14)


def test_form_of_the_results_is_that_of_what_was_given():
    alone, in_a_tuple = jvp(np.exp, X, V)[1], jvp(np.exp, (X,), (V,))[1]
    np.testing.assert_array_equal(alone, in_a_tuple)
    assert type(hvp(lambda x: (x**3).sum(), X, V)) is np.ndarray
    (product,) = hvp(lambda x: (x**3).sum(), (X,), (V,))
    np.testing.assert_allclose(product, 6 * X * V, rtol=1e-14)
    assert type(jvp(lambda x: (x,), X, V)[1]) is tuple
    assert type(jacobian(lambda x: [x * 1.0])(X)) is tuple
    assert type(jacobian(lambda x: x * 1.0, (0,))(X)) is tuple


def test_arrays_give_arrays_and_tensors_tensors():
    for primal, tangent, kind in ((X, V, np.ndarray), (Tensor(X), V, Tensor), (X, Tensor(V), Tensor)):
        value, slope = jvp(np.sin, primal, tangent)
        assert type(value) is type(slope) is kind
        np.testing.assert_allclose(getattr(slope, "data", None) if kind is Tensor else slope, np.cos(X) * V)
        assert type(hvp(lambda x: (x**3).sum(), primal, tangent)) is kind
    for primal, kind in ((X, np.ndarray), (Tensor(X), Tensor)):
        value, pullback = vjp(np.sin, primal)
        assert type(value) is type(pullback(V)[0]) is kind
        assert type(pullback(Tensor(V))[0]) is Tensor
        assert type(jacobian(np.sin)(primal)) is type(hessian(np.sum)(primal)) is kind
    results = [*vjp(np.sin, Tensor(X))[1](V), jvp(np.sin, Tensor(X), V)[0], jacobian(np.sin)(Tensor(X))]
    assert not any(result.requires_grad for result in results)


def test_numbers_will_do():
    assert jvp(lambda x, y: x**y, (2, 3), (1, 0))[1] == pytest.approx(12)
    assert jacobian(lambda x: x**3)(2.0) == 12
    assert hessian(lambda x: x**3)(2) == 12
    assert hvp(lambda x: x**3, 2.0, 10.0) == 120
    assert vjp(lambda x: x**3, 2.0)[1](10)[0] == 120


def test_jvp_of_softmax_whose_cotangents_cancel_each_other():
    p = softmax(X)
    np.testing.assert_allclose(jvp(tg.softmax, X, V)[1], p * (V - p @ V), rtol=1e-12)


# jacobian, hessian, hvp -------------------------------------------------------------------------------------------


def test_jacobian_has_the_shape_of_the_output_and_then_of_the_argument():
    B = np.arange(8.0).reshape(4, 2)
    got = jacobian(lambda x: B @ x)(np.ones((2, 3)))
    assert got.shape == (4, 3, 2, 3)
    np.testing.assert_allclose(got, np.einsum("ij,kl->ikjl", B, np.eye(3)))
    p = softmax(X)
    np.testing.assert_allclose(jacobian(tg.softmax)(X), np.diag(p) - np.outer(p, p), rtol=1e-12)


def test_jacobian_by_several_arguments_of_several_outputs():
    def f(x, scale, y):
        return scale * x * y, x.sum() + 0 * y.sum()

    y = np.array([3.0, 4.0, 5.0])
    for positions in ((0, 2), [0, 2]):
        (xx, xy), (sx, sy) = jacobian(f, positions)(X, 2.0, y)
        np.testing.assert_allclose(xx, np.diag(2 * y))
        np.testing.assert_allclose(xy, np.diag(2 * X))
        np.testing.assert_allclose(sx, np.ones(3))
        np.testing.assert_allclose(sy, np.zeros(3))
    by_y, zeros = jacobian(f, 2)(X, 2.0, y)
    np.testing.assert_allclose(by_y, np.diag(2 * X))
    assert not zeros.any()


def test_many_outputs_of_few_inputs_are_done_by_columns_with_the_same_result():
    rng = np.random.default_rng(0)
    t, a, b = rng.standard_normal(50), np.array([0.5, -0.2]), np.array(0.3, np.float32)

    def model(a, b):
        return np.exp(a[0] * t) * b, a[1] * t**2 * b

    for narrowed in (lambda f: f, lambda f: lambda a, b: tuple(out[:1] for out in f(a, b))):  # 2 and then 100 elements
        (by_a, by_b), (second_by_a, second_by_b) = jacobian(narrowed(model), (0, 1))(a, b)
        x = t[: len(by_b)]
        np.testing.assert_allclose(by_a, np.stack([np.exp(a[0] * x) * b * x, 0 * x], 1), rtol=1e-6)
        np.testing.assert_allclose(by_b, np.exp(a[0] * x), rtol=1e-6)
        np.testing.assert_allclose(second_by_a, np.stack([0 * x, x * x * b], 1), rtol=1e-6)
        np.testing.assert_allclose(second_by_b, a[1] * x * x, rtol=1e-6)
        assert [each.dtype for each in (by_a, by_b, second_by_a, second_by_b)] == [np.float64, np.float32] * 2

    np.testing.assert_array_equal(jacobian(lambda x: np.sqrt(x) * np.ones(3))(0.0), [np.inf] * 3)
    tall = jacobian(lambda x: np.where(t[:, None] > 0, np.sqrt(x), 0.0))(np.array([0.0, 4.0]))
    np.testing.assert_array_equal(tall[:, 0, 0], np.where(t > 0, np.inf, 0))
    np.testing.assert_array_equal(tall[:, 1, 1], np.where(t > 0, 0.25, 0))
    assert not tall[:, 0, 1].any()
    w = leaf([2.0])
    tg.gradients(jacobian(lambda x: np.exp(x * t) * w)(0.0).sum(), w)
    np.testing.assert_allclose(tg.grad(lambda x: (jacobian(lambda y: y**3 * t)(x) ** 2).sum())(2.0), 36 * 8 * t @ t)


def test_hessian_in_closed_form():
    np.testing.assert_allclose(hessian(lambda x: tg.logsumexp(x))(X), np.diag(softmax(X)) - np.outer(*[softmax(X)] * 2))
    S = A.T @ A
    np.testing.assert_allclose(hessian(lambda x: (A @ x) @ (A @ x))(X), 2 * S, rtol=1e-14)
    x, y = np.array([1.0, 2.0]), np.array([3.0, 4.0, 5.0])
    (xx, xy), (yx, yy) = hessian(lambda x, y: x.sum() * (y * y).sum() + (x**3).sum(), (0, 1))(x, y)
    np.testing.assert_allclose(xx, np.diag(6 * x))
    np.testing.assert_allclose(xy, np.tile(2 * y, (2, 1)))
    np.testing.assert_allclose(yx, xy.T)
    np.testing.assert_allclose(yy, 2 * x.sum() * np.eye(3))
    np.testing.assert_allclose(hessian(lambda x, y: (x * y).sum() ** 2, 1)(y, y), 2 * np.outer(y, y))


def test_hvp_is_the_hessian_times_the_tangents():
    def f(x, y):
        return (np.sin(x) * y[:, None]).sum() ** 2

    rng = np.random.default_rng(0)
    x, y, v, w = (rng.standard_normal(shape) for shape in ((2, 3), 2, (2, 3), 2))
    (xx, xy), (yx, yy) = hessian(f, (0, 1))(x, y)
    by_x, by_y = hvp(f, (x, y), (v, w))
    np.testing.assert_allclose(by_x, np.tensordot(xx, v, 2) + xy @ w, rtol=1e-12)
    np.testing.assert_allclose(by_y, np.tensordot(yx, v, 2) + yy @ w, rtol=1e-12)
    directional = jvp(tg.grad(f, (0, 1)), (x, y), (v, w))[1]
    np.testing.assert_allclose(directional[0], by_x, rtol=1e-12)
    np.testing.assert_allclose(directional[1], by_y, rtol=1e-12)


def test_third_derivatives():
    third = jacobian(hessian(lambda x: (x**4).sum()))(X)
    expected = np.zeros((3, 3, 3))
    expected[range(3), range(3), range(3)] = 24 * X
    np.testing.assert_allclose(third, expected, rtol=1e-13)
    np.testing.assert_allclose(jacobian(jacobian(lambda x: x**3))(X), np.apply_along_axis(np.diag, 0, np.diag(6 * X)))


# Nested, and in the middle of things ------------------------------------------------------------------------------


def test_transforms_nest_in_each_other():
    def f(x):
        return (np.sin(x) * x).sum()

    second = 2 * np.cos(X) - X * np.sin(X)
    third = -3 * np.sin(X) - X * np.cos(X)
    np.testing.assert_allclose(jacobian(tg.grad(f))(X), np.diag(second), rtol=1e-13)
    np.testing.assert_allclose(tg.grad(lambda x: hvp(f, x, V).sum())(X), third * V, rtol=1e-13)
    np.testing.assert_allclose(tg.grad(lambda v: (hvp(f, X, v) * V).sum())(V), second * V, rtol=1e-13)
    np.testing.assert_allclose(jvp(lambda x: hvp(f, x, V), X, V)[1], third * V * V, rtol=1e-13)
    np.testing.assert_allclose(jvp(lambda x: jvp(f, x, V)[1], X, V)[1], (second * V * V).sum(), rtol=1e-13)
    np.testing.assert_allclose(jacobian(lambda x: vjp(np.sin, x)[1](V)[0])(X), np.diag(-np.sin(X) * V), rtol=1e-13)
    np.testing.assert_allclose(jacobian(vjp(np.sin, X)[1])(V)[0], np.diag(np.cos(X)), rtol=1e-13)
    np.testing.assert_allclose(tg.grad(lambda x: hessian(f)(x).sum())(X), third, rtol=1e-13)


def test_inner_variables_are_not_taken_for_outer_ones():
    """d/dx [x * d/dy (x + y)] is 1, whichever transform is inside."""
    for inner in (
        lambda x: jacobian(lambda y: x + y)(1.0),
        lambda x: jvp(lambda y: x + y, 1.0, 1.0)[1],
        lambda x: vjp(lambda y: x + y, 1.0)[1](1.0)[0],
        lambda x: hessian(lambda y: x + y * y / 2)(1.0),
    ):
        assert tg.grad(lambda x, inner=inner: x * inner(x))(1.0) == 1
        assert jvp(lambda x, inner=inner: x * inner(x), 1.0, 1.0)[1] == 1


def test_results_can_be_differentiated_by_what_the_function_closes_over():
    w = leaf([1.0, 2.0, 3.0])

    def f(x):
        return (w * x**3).sum()

    for result, expected in (
        (hessian(f)(X), 6 * X),
        (hvp(f, X, V), 6 * X * V),
        (jacobian(f)(Tensor(X)), 3 * X * X),
        (vjp(f, X)[1](2.0)[0], 6 * X * X),
        (vjp(f, X)[0], X**3),
        (jvp(f, X, V)[1], 3 * X * X * V),
    ):
        assert isinstance(result, Tensor)
        np.testing.assert_allclose(tg.gradients(result.sum(), w).data, expected, rtol=1e-13)
    assert w.grad is None


def test_results_can_be_differentiated_by_the_primals_tangents_and_cotangents():
    x, v = leaf(X), leaf(V)
    value, slope = jvp(np.sin, x, v)
    by_x, by_v = tg.gradients(slope.sum(), [x, v])
    np.testing.assert_allclose(by_x.data, -np.sin(X) * V)
    np.testing.assert_allclose(by_v.data, np.cos(X))
    np.testing.assert_allclose(tg.gradients(value.sum(), x).data, np.cos(X))
    (pulled,) = vjp(np.sin, X)[1](v)
    np.testing.assert_allclose(tg.gradients(pulled.sum(), v).data, np.cos(X))
    matrix = jacobian(np.sin)(x * 2.0)
    matrix.sum().backward()
    np.testing.assert_allclose(x.grad, -np.sin(2 * X) * 2)


def test_under_no_grad_they_still_differentiate_and_record_nothing():
    w = leaf(V)
    with tg.no_grad():
        results = [
            jacobian(lambda x: w * x**2)(X),
            hvp(lambda x: (w * x**3).sum(), X, V),
            jvp(lambda x: w * x, X, V)[1],
            *vjp(lambda x: w * x, X)[1](np.ones(3)),
        ]
    for result, expected in zip(results, (np.diag(2 * V * X), 6 * V * X * V, V * V, V), strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-13)
        assert not getattr(result, "requires_grad", False)
    later = vjp(lambda x: w * x, X)[1]
    with tg.no_grad():
        assert not getattr(later(np.ones(3))[0], "requires_grad", False)
    assert later(np.ones(3))[0].requires_grad


def test_gradients_of_leaves_stay_untouched_and_nothing_is_shared():
    x = leaf(X)
    array = X.copy()
    value, pullback = vjp(np.exp, array)
    array += 1
    value += 100  # the caller's own
    np.testing.assert_allclose(pullback(np.ones(3))[0], np.exp(X))
    jacobian(lambda t: t * t)(x), hvp(lambda t: (t**3).sum(), x, V), jvp(np.exp, x, V)
    assert x.grad is None
    first, second = pullback(np.ones(3))[0], pullback(np.ones(3))[0]
    first += 1
    np.testing.assert_allclose(second, np.exp(X))


def test_tapes_are_freed_with_the_results():
    def nodes():
        return sum(isinstance(each, Node) for each in gc.get_objects())

    gc.disable()
    try:
        before, past = nodes(), len(_PAST)
        f = lambda x: (np.sin(x) * x).sum()  # noqa: E731
        value, pullback = vjp(f, X)
        pullback(1.0), jvp(f, X, V), jacobian(np.sin)(X), jacobian(lambda x: x.sum() * X)(2.0), hessian(f)(X)
        tg.grad(lambda x: hvp(f, x, V).sum())(X)
        assert nodes() > before  # the pullback's
        del value, pullback
        assert (nodes(), len(_PAST)) == (before, past)
    finally:
        gc.enable()


# Hard shapes, types and points ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 0), (1, 1), (2, 1, 3)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_shapes_and_types(shape, dtype):
    rng = np.random.default_rng(0)
    x, v = (rng.uniform(0.5, 1.5, shape).astype(dtype) for _ in range(2))
    tolerance = {"rtol": 1e-2 if dtype == np.float16 else 1e-5}
    matrix = jacobian(lambda t: t * t)(x)
    np.testing.assert_allclose(matrix, np.diag(2 * x.ravel()).reshape(shape * 2), **tolerance)
    value, slope = jvp(lambda t: t * t, x, v)
    np.testing.assert_allclose(slope, 2 * x * v, **tolerance)
    (pulled,) = vjp(lambda t: t * t, x)[1](v)
    product = hvp(lambda t: (t**3).sum(), x, v)
    np.testing.assert_allclose(product, 6 * x * v, **tolerance)
    second = hessian(lambda t: (t**3).sum())(x)
    assert second.shape == shape * 2
    assert {each.dtype for each in (matrix, value, slope, pulled, product, second)} == {np.dtype(dtype)}
    assert all(isinstance(each, np.ndarray) for each in (matrix, value, slope, pulled, product, second))


def test_function_that_does_not_depend_on_its_argument():
    constant = Tensor([1.0, 2.0])
    assert not jacobian(lambda x: constant)(X).any()
    assert jacobian(lambda x: constant)(X).shape == (2, 3)
    assert jvp(lambda x: constant, X, V)[1].tolist() == [0, 0]
    assert vjp(lambda x: constant, X)[1](np.ones(2))[0].tolist() == [0, 0, 0]
    assert not hessian(lambda x: (A @ x).sum())(X).any()
    assert hvp(lambda x: (A @ x).sum(), X, V).tolist() == [0, 0, 0]
    (_, xy), (yx, _) = jacobian(lambda x, y: (x * 1.0, y * 2.0), (0, 1))(X, X)
    assert not xy.any()
    assert not yx.any()


def test_mixed_types_keep_their_own():
    x, y = np.ones(2, np.float32), np.ones(3)
    (xx, xy), (yx, yy) = jacobian(lambda x, y: (x * x, y * y), (0, 1))(x, y)
    assert [each.dtype for each in (xx, xy, yx, yy)] == [np.float32, np.float64] * 2
    values, slopes = jvp(lambda x, y: (x * x, y * y), (x, y), (x, y))
    assert [each.dtype for each in (*values, *slopes)] == [np.float32, np.float64] * 2


def test_infinite_slopes_and_kinks():
    np.testing.assert_array_equal(jacobian(np.sqrt)(np.array([0.0, 4.0])), [[np.inf, 0], [0, 0.25]])
    np.testing.assert_array_equal(jvp(np.sqrt, np.array([0.0, 4.0]), np.array([1.0, 1.0]))[1], [np.inf, 0.25])
    np.testing.assert_array_equal(jvp(np.sqrt, np.array([0.0, 4.0]), np.array([0.0, 1.0]))[1], [0, 0.25])
    np.testing.assert_array_equal(jvp(np.abs, np.array([0.0, -2.0]), np.array([3.0, 3.0]))[1], [0, -3])
    dead = lambda x: np.where(x > 0, np.sqrt(x), 0.0)  # noqa: E731
    np.testing.assert_array_equal(jvp(dead, np.array([0.0, 4.0]), np.array([1.0, 1.0]))[1], [0, 0.25])
    # The cotangents of the two outputs would cancel each other, were they equal.
    np.testing.assert_array_equal(jvp(lambda x: (np.sqrt(x), -np.sqrt(x)), 0.0, 1.0)[1], [np.inf, -np.inf])
    shared = lambda x: (lambda s: (s * 1.0, -s))(np.sqrt(x))  # noqa: E731
    np.testing.assert_array_equal(jvp(shared, 0.0, 1.0)[1], [np.inf, -np.inf])


def test_operation_with_several_outputs():
    @tg.primitive(method=False)
    def sum_and_product(x, y):
        return x + y, x * y

    @sum_and_product.vjp("x")
    def sum_and_product_vjp_x(g, out, x, y):
        return g[0] + g[1] * y

    @sum_and_product.vjp("y")
    def sum_and_product_vjp_y(g, out, x, y):
        return g[0] + g[1] * x

    (sx, sy), (px, py) = jacobian(sum_and_product, (0, 1))(X, V)
    for got, expected in ((sx, np.ones(3)), (sy, np.ones(3)), (px, V), (py, X)):
        np.testing.assert_array_equal(got, np.diag(expected))
    slopes = jvp(sum_and_product, (X, V), (V, X))[1]
    np.testing.assert_allclose(slopes, [V + X, V * V + X * X])
    np.testing.assert_allclose(hvp(lambda x, y: sum_and_product(x, y)[1].sum(), (X, V), (V, X)), [X, V])
    del tg.engine.primitive.PRIMITIVES["sum_and_product"]


def test_rule_that_cannot_be_differentiated_does_for_jacobians_and_is_named_elsewhere():
    @tg.primitive(method=False)
    def gather(x, index):
        return x[index]

    @gather.vjp("x")
    def gather_vjp_x(g, out, x, index):
        total = np.zeros_like(x)
        np.add.at(total, index, g)
        return total

    index = np.array([0, 0, 2, 1, 1])  # more outputs than arguments
    np.testing.assert_array_equal(jacobian(gather)(X, index), np.eye(3)[index])
    for call in (
        lambda: jvp(lambda x: gather(x, index), X, V),
        lambda: hessian(lambda x: (gather(x, index) ** 2).sum())(X),
    ):
        with pytest.raises(
            RuleError, match=r"gather, derivative for x: .*np\.add\.at is not an operation that tensors"
        ):
            call()
    del tg.engine.primitive.PRIMITIVES["gather"]


# What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: vjp(np.exp, np.arange(3)), DTypeError, "int64 cannot require a gradient"),
        (lambda: jacobian(np.exp)(np.arange(3)), DTypeError, "int64"),
        (lambda: jvp(np.exp, np.arange(3), V), DTypeError, "int64"),
        (lambda: jacobian(lambda x: x.argmax())(X), DTypeError, r"jacobian: the function returned \(\) int64"),
        (lambda: vjp(lambda x: 3.0, X), DTypeError, "vjp: the function returned float"),
        (lambda: jvp(lambda x: (x, None), X, V), DTypeError, "jvp: the function returned NoneType"),
        (lambda: jacobian(lambda x: ())(X), ArgumentError, "empty tuple"),
        (lambda: jacobian(np.exp, 1)(X), GradientError, "no positional argument 1 among the 1 given"),
        (lambda: jacobian(np.exp, -1)(X), GradientError, "no positional argument -1"),
        (lambda: jacobian(np.exp, "x")(X), GradientError, "no positional argument 'x'"),
        (lambda: jacobian(np.exp, 0.0)(X), GradientError, r"no positional argument 0\.0"),
        (lambda: jacobian(np.exp, ())(X), ArgumentError, "no argument to differentiate by"),
        (lambda: vjp(lambda: 1.0), ArgumentError, "no argument to differentiate by"),
        (lambda: hessian(np.exp)(X), GradientError, r"hessian: starts from a scalar, not from shape \(3,\)"),
        (lambda: hessian(lambda x: (x.sum(), x.sum()))(X), GradientError, "not from a tuple"),
        (lambda: hessian(np.sum, 2)(X), GradientError, "no positional argument 2"),
        (lambda: hvp(np.exp, X, V), GradientError, "hvp: starts from a scalar"),
        (lambda: hvp(np.sum, X, V[:2]), ShapeError, r"hvp: tangent 0: shape \(2,\), expected \(3,\)"),
        (lambda: hvp(np.sum, (X,), (V, V)), ArgumentError, "hvp: tangents: 2 given, 1 wanted"),
        (lambda: jvp(np.exp, X, V[None]), ShapeError, r"jvp: tangent 0: shape \(1, 3\), expected \(3,\)"),
        (lambda: jvp(np.add, (X, X), (V,)), ArgumentError, "jvp: tangents: 1 given, 2 wanted"),
        (lambda: jvp(np.exp, X, "east"), DTypeError, "real numbers"),
        (lambda: vjp(np.exp, X)[1](1.0), ShapeError, r"vjp: cotangent 0: shape \(\), expected \(3,\)"),
        (lambda: vjp(lambda x: (x, x), X)[1](V), ArgumentError, "vjp: cotangents: 1 given, 2 wanted"),
    ],
)
def test_misuse_is_an_error_of_ours_at_the_users_line(call, kind, message):
    with pytest.raises(kind, match=message) as caught:
        call()
    assert isinstance(caught.value, TinygradError)
    assert caught.value.location.filename == __file__


@pytest.mark.parametrize("transform", [tg.grad, jacobian])
def test_what_to_do_about_a_result_that_is_no_tensor(transform):
    def f(x, y):
        return y.sum()  # of an array, which it stays

    with pytest.raises(DTypeError, match="returned float64, not a") as caught:
        transform(f)(X, V)
    assert "tg.Tensor(value)" in caught.value.remedy
    np.testing.assert_array_equal(jacobian(lambda x, y: (x, Tensor(y)))(X, V)[1], np.zeros((3, 3)))


def test_an_error_in_the_function_leaves_recording_as_it_was():
    def fails(x):
        raise ZeroDivisionError

    with tg.no_grad():
        for transform in (lambda: jacobian(fails)(X), lambda: vjp(fails, X), lambda: jvp(fails, X, V)):
            with pytest.raises(ZeroDivisionError):
                transform()
        assert not (leaf(X) * 2.0).requires_grad


def test_names_and_docstrings_are_kept_and_a_compiled_function_is_not_mistaken():
    def loss(x):
        """How far."""
        return (x * x).sum()

    for transform in (jacobian, hessian):
        assert transform(loss).__name__ == "loss"
        assert transform(loss).__doc__ == "How far."
    both = tg.value_and_grad(loss)
    assert not hasattr(jacobian(both), "argnum")
    value_by_x, slope_by_x = jacobian(both)(X)
    np.testing.assert_allclose(value_by_x, 2 * X)
    np.testing.assert_allclose(slope_by_x, 2 * np.eye(3))


def test_finite_differences_agree_through_a_small_network():
    rng = np.random.default_rng(0)
    W, b, x = rng.standard_normal((3, 4)), rng.standard_normal(4), rng.standard_normal((2, 3))

    def f(W, b):
        return tg.log_softmax(np.tanh(x @ W + b), axis=1)

    vW, vb = rng.standard_normal(W.shape), rng.standard_normal(b.shape)
    slope = jvp(f, (W, b), (vW, vb))[1]
    np.testing.assert_allclose(slope, slope_of(lambda t: f(W + t * vW, b + t * vb), 0.0, 1.0), rtol=1e-7, atol=1e-8)
    by_W, by_b = jacobian(f, (0, 1))(W, b)
    np.testing.assert_allclose(slope, np.tensordot(by_W, vW, 2) + by_b @ vb, rtol=1e-12)
