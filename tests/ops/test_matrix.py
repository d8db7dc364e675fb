"""Functions of matrices against closed forms: singular ones, stacks of them, high orders, and what is refused."""

import itertools

import numpy as np
import pytest

import tinygrad_sm as tg
from tinygrad_sm import Tensor
from tinygrad_sm.errors import (
    ArgumentError,
    BoundsError,
    DTypeError,
    MatrixError,
    ShapeError,
    UnsupportedError,
)

INF = np.inf


def value_and_gradient(f, array, cotangent=1.0):
    x = Tensor(array, requires_grad=True, dtype=float)
    out = f(x)
    out.backward(np.broadcast_to(cotangent, out.shape))
    return out.data, x.grad


def derivatives(f, x, order):
    """A function of a number and its derivatives."""
    variable = Tensor(x, requires_grad=True)
    found = [f(variable)]
    for _ in range(order):
        found.append(tg.gradients(found[-1], variable, create_graph=True))
    return [each.item() for each in found]


def regular(seed, *shape):
    return np.random.default_rng(seed).uniform(-1, 1, shape) + 2 * np.eye(shape[-1])


# Inverse and linear equations ---------------------------------------------------------------------------------------


def test_inverse_of_a_matrix_of_two_by_two():
    (a, b), (c, d) = matrix = np.array([[2.0, 1.0], [3.0, 5.0]])
    out, slope = value_and_gradient(tg.linalg.inv, matrix, [[1.0, 0.0], [0.0, 0.0]])
    determinant = a * d - b * c
    np.testing.assert_allclose(out, np.array([[d, -b], [-c, a]]) / determinant, rtol=1e-14)
    expected = np.array([[-d * d, c * d], [b * d, -b * c]]) / determinant**2  # of d / (ad - bc)
    np.testing.assert_allclose(slope, expected, rtol=1e-13)


def test_inverse_to_the_third_order_is_that_of_a_number():
    got = derivatives(lambda x: tg.linalg.inv(tg.reshape(x, (1, 1))).sum(), 2.0, 3)
    np.testing.assert_allclose(got, [1 / 2, -1 / 4, 2 / 8, -6 / 16], rtol=1e-14)


SOLVES = [
    ((2, 2), (2,)),
    ((2, 2), (2, 3)),
    ((3, 2, 2), (2,)),
    ((3, 2, 2), (2, 1)),
    ((3, 2, 2), (3, 2, 2)),
    ((2, 2), (3, 2, 1)),
    ((1, 2, 2), (3, 2, 1)),
    ((4, 1, 2, 2), (3, 2, 2)),
    ((1, 1), (1,)),
    ((2, 2), (2, 0)),
    ((0, 2, 2), (2,)),
    ((0, 0), (0,)),
]


@pytest.mark.parametrize(("left", "right"), SOLVES, ids=str)
def test_solve_is_a_product_with_the_inverse(left, right):
    rng = np.random.default_rng(0)
    leaves = [Tensor(regular(0, *left), requires_grad=True), Tensor(rng.standard_normal(right), requires_grad=True)]
    others = [Tensor(leaf.data, requires_grad=True) for leaf in leaves]
    out, expected = np.linalg.solve(*leaves), tg.linalg.inv(others[0]) @ others[1]
    assert out.shape == np.linalg.solve(leaves[0].data, leaves[1].data).shape
    np.testing.assert_allclose(out.data, expected.data, rtol=1e-12, atol=1e-14)
    cotangent = rng.standard_normal(out.shape)
    out.backward(cotangent)
    expected.backward(cotangent)
    for leaf, other in zip(leaves, others, strict=True):
        np.testing.assert_allclose(leaf.grad, other.grad, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(("left", "right"), SOLVES[:8], ids=str)
def test_second_derivatives_of_solve(left, right):
    assert tg.gradcheck(tg.linalg.solve, [regular(0, *left), np.random.default_rng(0).standard_normal(right)], order=2)


@pytest.mark.parametrize("f", [np.linalg.inv, tg.linalg.inv, lambda x: np.linalg.solve(x, np.ones(2))])
def test_singular_matrix_is_named(f):
    x = Tensor(np.stack([np.eye(2), np.ones((2, 2)), np.eye(2)]), requires_grad=True)
    with pytest.raises(MatrixError, match=r"(inv|solve): matrix 1 of \(3, 2, 2\) is singular") as caught:
        f(x)
    assert isinstance(caught.value, np.linalg.LinAlgError)
    assert isinstance(caught.value, ArgumentError)
    assert "np.eye(n)" in caught.value.remedy
    assert caught.value.location.filename == __file__
    with pytest.raises(MatrixError, match=r"(inv|solve): the matrix \(2, 2\) is singular"):
        f(x[1])


def test_matrices_that_are_not_square_or_fit_no_right_hand_side():
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    for f in (tg.linalg.inv, tg.linalg.det, tg.linalg.cholesky, tg.cofactors, lambda x: tg.linalg.solve(x, np.ones(2))):
        with pytest.raises(ShapeError, match=r"x \(2, 3\) is no square matrix"):
            f(x)
        with pytest.raises(ShapeError, match=r"x \(3,\) is no square matrix"):
            f(x[0])
    with pytest.raises(ShapeError, match=r"solve: a \(2, 2\) float64, b \(3,\) float64") as caught:
        tg.linalg.solve(Tensor(np.eye(2), requires_grad=True), np.ones(3))
    assert "b (n,) or (..., n, k)" in caught.value.remedy
    with pytest.raises(DTypeError, match="float16 is unsupported"):
        tg.linalg.inv(Tensor(np.eye(2, dtype=np.float16), requires_grad=True))


# Determinant --------------------------------------------------------------------------------------------------------


def minors(x):
    """The matrix of cofactors by its definition."""
    n = len(x)
    out = np.zeros((n, n))
    for i, j in itertools.product(range(n), range(n)):
        out[i, j] = (-1) ** (i + j) * np.linalg.det(np.delete(np.delete(x, i, 0), j, 1))
    return out


def of_rank(n, rank):
    rng = np.random.default_rng(n)
    return rng.standard_normal((n, rank)) @ rng.standard_normal((rank, n))


@pytest.mark.parametrize(("n", "rank"), [(n, rank) for n in range(5) for rank in range(n + 1)])
def test_derivative_of_the_determinant_is_the_cofactors_whatever_the_rank(n, rank):
    x = of_rank(n, rank)
    out, slope = value_and_gradient(np.linalg.det, x, 2.0)
    np.testing.assert_allclose(out, np.linalg.det(x), rtol=0, atol=0)
    np.testing.assert_allclose(slope, 2 * minors(x), rtol=1e-10, atol=1e-13)


def test_derivative_of_the_determinant_of_a_singular_matrix():
    out, slope = value_and_gradient(tg.linalg.det, [[1.0, 2.0], [2.0, 4.0]])
    assert out == 0
    np.testing.assert_allclose(slope, [[4, -2], [-2, 1]], rtol=1e-14)
    _, slope = value_and_gradient(tg.linalg.det, np.diag([2.0, 3.0, 0.0]))
    np.testing.assert_allclose(slope, np.diag([0, 0, 6.0]), atol=1e-14)
    _, slope = value_and_gradient(tg.linalg.det, np.zeros((3, 3)))
    assert not slope.any()


def test_second_derivative_of_the_determinant_of_zeros():
    x = Tensor(np.zeros((2, 2)), requires_grad=True)
    slope = tg.gradients(tg.linalg.det(x), x, create_graph=True)
    rows = [tg.gradients(slope[i], x).data.tolist() for i in np.ndindex(2, 2)]
    assert rows == [[[0, 0], [0, 1]], [[0, 0], [-1, 0]], [[0, -1], [0, 0]], [[1, 0], [0, 0]]]


def test_third_derivative_of_the_determinant_is_the_sign_of_the_permutation():
    x = Tensor(np.zeros((3, 3)), requires_grad=True)
    for columns in itertools.permutations(range(3)):
        slope = tg.linalg.det(x)
        for row, column in enumerate(columns):
            slope = tg.gradients(slope, x, create_graph=True)[row, column]
        assert slope.item() == pytest.approx(np.linalg.det(np.eye(3)[list(columns)]))


@pytest.mark.parametrize(("n", "rank"), [(2, 1), (3, 0), (3, 1), (3, 2), (4, 2), (4, 3)])
def test_second_derivatives_of_the_determinant_whatever_the_rank(n, rank):
    assert tg.gradcheck(tg.linalg.det, of_rank(n, rank), order=2)


def test_determinants_of_a_stack_one_of_them_singular_and_one_not_finite():
    x = np.stack([np.eye(2), np.ones((2, 2)), [[np.nan, 0.0], [0.0, 1.0]]])
    with np.errstate(invalid="ignore"):
        out, slope = value_and_gradient(tg.linalg.det, x)
    assert out.tolist()[:2] == [1, 0]
    np.testing.assert_allclose(slope[:2], [np.eye(2), [[1, -1], [-1, 1]]], atol=1e-15)
    assert np.isnan(out[2])
    assert np.isnan(slope[2]).all()


def test_cofactors_do_not_lose_digits_beside_small_singular_values():
    x = np.diag([1.0, 1e-9, 1e-12])
    np.testing.assert_allclose(np.diag(value_and_gradient(tg.linalg.det, x)[1]), [1e-21, 1e-12, 1e-9], rtol=1e-12)


def test_logarithm_of_the_determinant_to_the_third_order_is_that_of_a_number():
    got = derivatives(lambda x: tg.linalg.slogdet(tg.reshape(x, (1, 1)))[1].sum(), -2.0, 3)
    np.testing.assert_allclose(got, [np.log(2), -1 / 2, -1 / 4, -2 / 8], rtol=1e-14)


def test_logarithm_of_the_determinant_where_the_determinant_overflows():
    x = Tensor(np.diag([-1e200, 1e200]), requires_grad=True)
    sign, logabsdet = np.linalg.slogdet(x)
    assert sign.tape() == logabsdet.tape()
    assert (sign.item(), logabsdet.item()) == (-1, 400 * np.log(10))
    logabsdet.backward()
    np.testing.assert_allclose(x.grad, np.diag([-1e-200, 1e-200]), rtol=1e-14)
    x.grad = None
    sign.backward()
    assert not x.grad.any()


def test_logarithm_of_the_determinant_of_singular_matrices_in_a_stack():
    x = Tensor(np.stack([np.diag([2.0, 4.0]), np.ones((2, 2)), np.zeros((2, 2))]), requires_grad=True)
    sign, logabsdet = tg.linalg.slogdet(x)
    assert sign.data.tolist() == [1, 0, 0]
    assert logabsdet.data.tolist() == [np.log(8), -INF, -INF]
    tg.where([True, False, False], logabsdet, 0.0).sum().backward()
    np.testing.assert_allclose(x.grad, [np.diag([0.5, 0.25]), np.zeros((2, 2)), np.zeros((2, 2))], rtol=1e-15)
    x.grad = None
    logabsdet.backward([0.0, 1.0, 0.0])
    assert np.isnan(x.grad).tolist() == [[[False] * 2] * 2, [[True] * 2] * 2, [[False] * 2] * 2]


@pytest.mark.parametrize("n", [50, 51])
def test_cofactors_do_not_overflow_where_the_determinant_does_not(n):
    x = Tensor(np.diag(10 ** np.linspace(4, -4, n)).astype(np.float32), requires_grad=True)
    out = tg.linalg.det(x)
    assert out.item() == pytest.approx(1, rel=1e-4)
    out.backward()
    np.testing.assert_allclose(np.diag(x.grad), 10 ** np.linspace(-4, 4, n), rtol=1e-4)


# Cholesky -----------------------------------------------------------------------------------------------------------


def test_cholesky_factor_to_the_third_order_is_the_root_of_a_number():
    got = derivatives(lambda x: tg.linalg.cholesky(tg.reshape(x, (1, 1))).sum(), 4.0, 3)
    np.testing.assert_allclose(got, [2, 1 / 4, -1 / 32, 3 / 256], rtol=1e-14)


def test_cholesky_factor_of_a_matrix_of_two_by_two():
    (a, b), (_, d) = matrix = np.array([[4.0, 2.0], [2.0, 10.0]])
    root = np.sqrt(d - b * b / a)
    slopes = {  # of each element of the factor by a, d and the two places of b
        (0, 0): [[1 / 4, 0], [0, 0]],
        (1, 0): [[-b / (2 * a**1.5), 0.25], [0.25, 0]],
        (1, 1): [[b * b / a**2 / (2 * root), -b / a / (2 * root)], [-b / a / (2 * root), 1 / (2 * root)]],
        (0, 1): [[0, 0], [0, 0]],
    }
    for place, slope in slopes.items():
        cotangent = np.zeros((2, 2))
        cotangent[place] = 1
        out, got = value_and_gradient(np.linalg.cholesky, matrix, cotangent)
        np.testing.assert_allclose(got, slope, rtol=1e-14)
    np.testing.assert_allclose(out, [[2, 0], [1, 3]], rtol=1e-15)


def test_cholesky_takes_the_symmetric_part():
    x = np.array([[4.0, 3.0], [1.0, 10.0]])
    np.testing.assert_allclose(tg.linalg.cholesky(x), np.linalg.cholesky((x + x.T) / 2), rtol=1e-15)


def test_matrix_that_is_not_positive_definite_is_named():
    x = Tensor(np.stack([np.eye(2), np.eye(2), -np.eye(2)])[None], requires_grad=True)
    with pytest.raises(
        MatrixError, match=r"cholesky: matrix 0, 2 of \(1, 3, 2, 2\) is not positive definite"
    ) as caught:
        np.linalg.cholesky(x)
    assert isinstance(caught.value, np.linalg.LinAlgError)
    assert "symmetric" in caught.value.remedy
    with pytest.raises(UnsupportedError, match=r"np\.linalg\.cholesky: tensors do not take upper="):
        np.linalg.cholesky(x, upper=True)


# Norms --------------------------------------------------------------------------------------------------------------

ORDERS = [None, 2, 1, 3, 2.5, 0.5, -1, -2.5, INF, -INF, "fro"]
AXES = [None, 0, -1, (1,), (0, 1), (1, 0), (-1, 0)]


@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 3, 2)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_norms_of_every_order_along_every_axis(shape, keepdims):
    x, count = np.random.default_rng(0).standard_normal(shape), 0
    for ord, axis in itertools.product(ORDERS, AXES):
        matrix = len(axis or shape) == 2 if not isinstance(axis, int) else False
        try:
            expected = np.linalg.norm(x, ord, axis, keepdims)
        except (ValueError, TypeError):
            with pytest.raises((ShapeError, BoundsError, DTypeError)):
                tg.linalg.norm(Tensor(x, requires_grad=True), ord, axis, keepdims)
            continue
        if matrix and ord == 2:
            continue
        out = np.linalg.norm(Tensor(x, requires_grad=True), ord=ord, axis=axis, keepdims=keepdims)
        np.testing.assert_array_equal(out.data, expected)
        assert tg.gradcheck(lambda t, ord=ord, axis=axis: tg.linalg.norm(t, ord, axis, keepdims), x, order=2)
        count += 1
    assert count == {1: 30, 2: 54, 3: 49}[len(shape)]


@pytest.mark.parametrize(
    ("x", "ord", "value", "gradient"),
    [
        ([3.0, -4.0], None, 5, [0.6, -0.8]),
        ([0.0, 0.0], None, 0, [0, 0]),
        ([0.0, 0.0], 1, 0, [0, 0]),
        ([0.0, 0.0], 3, 0, [0, 0]),
        ([0.0, 0.0], 0.5, 0, [0, 0]),
        ([0.0, -0.0], INF, 0, [0, 0]),
        ([0.0, 0.0], -INF, 0, [0, 0]),
        ([[0.0, 0.0], [0.0, 0.0]], "fro", 0, [[0, 0], [0, 0]]),
        ([[0.0, 0.0], [0.0, 0.0]], 1, 0, [[0, 0], [0, 0]]),
        ([], None, 0, []),
        (-3.0, None, 3, -1),
        ([-2.0, 0.0, 5.0], 1, 7, [-1, 0, 1]),
        ([-2.0, 0.0, 5.0], 0, 2, [0, 0, 0]),
        ([0.0, -2.0], 1.5, 2, [0, -1]),
        ([0.0, -2.0], 0.5, 2, [0, -1]),
        ([2.0, -2.0, 1.0], INF, 2, [0.5, -0.5, 0]),  # ties
        ([2.0, -1.0, 1.0], -INF, 1, [0, -0.5, 0.5]),
        ([1.0, 0.0, 0.0], -INF, 0, [0, 0, 0]),
        ([[1.0, -2.0], [3.0, 2.0]], 1, 4, [[0.5, -0.5], [0.5, 0.5]]),
        ([[1.0, -2.0], [3.0, 2.0]], INF, 5, [[0, 0], [1, 1]]),
        ([[1.0, -2.0], [3.0, 2.0]], -INF, 3, [[1, -1], [0, 0]]),
        ([3e150, 4e150], 2, 5e150, [0.6, 0.8]),
        ([3e-150, 4e-150], 2, 5e-150, [0.6, 0.8]),
        ([1e200, 1.0], INF, 1e200, [1, 0]),
        ([1e100, 1e100], 3, 1e100 * 2 ** (1 / 3), [2 ** (-2 / 3)] * 2),
        ([1e-100, 1e-100], 3, 1e-100 * 2 ** (1 / 3), [2 ** (-2 / 3)] * 2),
    ],
)
def test_norm_where_it_is_hard(x, ord, value, gradient):
    out, slope = value_and_gradient(lambda t: tg.linalg.norm(t, ord), x)
    np.testing.assert_allclose(out, value, rtol=1e-13)
    np.testing.assert_allclose(slope, gradient, rtol=1e-13)


def test_norm_of_negative_order_with_a_zero():
    with np.errstate(divide="ignore"):
        out, slope = value_and_gradient(lambda t: tg.linalg.norm(t, -1), [0.0, 2.0])
    assert (out.tolist(), slope.tolist()) == (0, [0, 0])


def test_second_derivative_of_the_norm_of_zeros_is_zero_and_other_rows_are_unharmed():
    x = Tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    slope = tg.gradients(tg.linalg.norm(x, axis=1).sum(), x, create_graph=True)
    np.testing.assert_allclose(slope.data, [[0, 0], [0.6, 0.8]], rtol=1e-15)
    second = tg.gradients((slope * np.array([1.0, 0.0])).sum(), x)
    np.testing.assert_allclose(second.data, [[0, 0], [0.64 / 5, -0.48 / 5]], rtol=1e-13)


def test_norms_by_singular_values_are_refused_by_name():
    x = Tensor(np.eye(2), requires_grad=True)
    for ord in ("nuc", 2, -2):
        with pytest.raises(UnsupportedError, match=f"norm: ord={ord!r} of a matrix has no derivative here") as caught:
            np.linalg.norm(x, ord)
        assert "t.data" in caught.value.remedy
