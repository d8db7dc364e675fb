"""Order, scans, shapes and positions where they are hard: ties, zeros, infinities, repeats, empties, odd arguments.

Values are NumPy's; gradients are written out, or those of a naive loop.
"""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as shapes

import tinygrad_sm as tg
from tinygrad_sm import Tensor
from tinygrad_sm.errors import ArgumentError, BoundsError, DTypeError, GradientError, ShapeError, UnsupportedError

INF, NAN = np.inf, np.nan


def leaf(values, dtype=float):
    return Tensor(np.array(values, dtype), requires_grad=True)


def gradient(f, values, cotangent=None):
    """The gradient of f at the values, for a cotangent of ones unless another is given."""
    x = leaf(values)
    out = f(x)
    out.backward(np.ones(out.shape) if cotangent is None else np.array(cotangent, float))
    return x.grad.tolist()


def slope_of_slopes(f, values):
    """The derivative of the sum of squares of the gradient of f."""
    x = leaf(values)
    g = tg.gradients(f(x).sum(), x, create_graph=True)
    return tg.gradients((g * g).sum(), x).data


# Scans.


@pytest.mark.parametrize(
    ("values", "out", "slopes"),
    [
        ([2, 3, 4], [2, 6, 24], [1 + 3 + 12, 2 + 8, 6]),
        ([2, 0, 4], [2, 0, 0], [1, 2 + 8, 0]),
        ([0, 3, 4], [0, 0, 0], [1 + 3 + 12, 0, 0]),
        ([2, 0, 0, 5], [2, 0, 0, 0], [1, 2, 0, 0]),
        ([0, 0], [0, 0], [1, 0]),
        ([], [], []),
        ([7], [7], [1]),
    ],
)
def test_cumprod_is_exact_with_zeros(values, out, slopes):
    assert np.cumprod(leaf(values)).data.tolist() == out
    assert gradient(np.cumprod, values) == slopes
    rows = np.array([values, values, values[::-1]], float)  # beside each other, which takes another path
    assert gradient(lambda x: np.cumprod(x, axis=1), rows)[:2] == [slopes, slopes]


@pytest.mark.parametrize("values", [[2.0, 3.0, 4.0], [2.0, 0.0, 4.0, 1.5], [0.0, 0.0, 3.0]])
def test_second_derivative_of_cumprod_with_zeros(values):
    step = 1e-6

    def squares(x):
        slopes = np.zeros(len(x))
        for i in range(len(x)):
            slopes[i] = sum(np.prod(np.delete(x[: j + 1], i)) for j in range(i, len(x)))
        return (slopes**2).sum()

    x = np.array(values)
    expected = [(squares(x + step * e) - squares(x - step * e)) / (2 * step) for e in np.eye(len(x))]
    np.testing.assert_allclose(slope_of_slopes(np.cumprod, values), expected, rtol=1e-6, atol=1e-7)


def test_cumprod_does_not_overflow_where_the_products_do_not():
    x = np.array([1e-200, 1e200, 1e100, 1e-300])
    g = gradient(np.cumprod, x)
    expected = [
        1 + x[1] * (1 + x[2] * (1 + x[3])),
        x[0] * (1 + x[2] * (1 + x[3])),
        x[0] * x[1] * (1 + x[3]),
        x[0] * x[1] * x[2],
    ]
    np.testing.assert_allclose(g, expected, rtol=1e-12)


def test_cumsum_sums_from_the_other_end():
    assert gradient(np.cumsum, [[1, 2], [3, 4]], [1, 10, 100, 1000]) == [[1111, 1110], [1100, 1000]]
    assert gradient(lambda x: x.cumsum(axis=0), [[1, 2], [3, 4]], [[1, 10], [100, 1000]]) == [[101, 1010], [100, 1000]]
    assert np.cumsum(Tensor([True, True])).data.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("values", "out", "slopes"),
    [
        ([-INF, -INF], [-INF, -INF], [0, 0]),
        ([-INF, 0, 0], [-INF, 0, np.log(2)], [0, 1.5, 0.5]),
        ([0, INF, 5, INF], [0, INF, INF, INF], [1, 1 + 1 + 1 / 2, 0, 1 / 2]),
        ([INF, -INF], [INF, INF], [2, 0]),
        ([1000, 1000], [1000, 1000 + np.log(2)], [1.5, 0.5]),
        ([-1e4, 1e4], [-1e4, 1e4], [1, 1]),
        ([1e4, -1e4], [1e4, 1e4], [2, 0]),
        ([], [], []),
    ],
)
def test_logcumsumexp_at_infinities_and_far_apart(values, out, slopes):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(tg.logcumsumexp(leaf(values)).data, out, rtol=1e-15)
        np.testing.assert_allclose(gradient(tg.logcumsumexp, values), slopes, rtol=1e-12, atol=1e-300)
        assert np.isfinite(slope_of_slopes(tg.logcumsumexp, values)).all()


def test_logcumsumexp_ends_in_logsumexp_and_leaves_other_rows_unharmed():
    x = np.random.default_rng(0).normal(size=(3, 4)) * 5
    x[1] = -INF
    last = np.zeros((3, 4))
    last[:, -1] = 1
    whole = leaf(x)
    tg.logsumexp(whole, axis=1).sum().backward()
    np.testing.assert_allclose(gradient(tg.logcumsumexp, x, last), whole.grad, rtol=1e-12)


@given(n=st.integers(1, 3), shape=shapes.array_shapes(min_dims=1, max_dims=3, max_side=4), data=st.data())
def test_diff_is_the_matrix_of_differences(n, shape, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = leaf(np.arange(np.prod(shape)).reshape(shape) ** 2)
    out = np.diff(x, n, axis)
    np.testing.assert_array_equal(out.data, np.diff(x.data, n, axis))
    cotangent = np.random.default_rng(0).normal(size=out.shape)
    out.backward(cotangent)
    matrix = np.diff(np.eye(shape[axis]), n, 0)
    np.testing.assert_allclose(np.moveaxis(x.grad, axis, -1), np.moveaxis(cotangent, axis, -1) @ matrix, atol=1e-12)


# Order.


def test_sort_sends_each_cotangent_to_where_its_value_stood():
    assert gradient(np.sort, [3, 1, 2], [1, 10, 100]) == [100, 1, 10]
    assert gradient(np.sort, [2, 1, 2, 1], [1, 10, 100, 1000]) == [100, 1, 1000, 10]  # equal ones keep their order
    assert gradient(lambda x: np.sort(x, axis=0), [[2, 1], [1, 2]], [[1, 2], [3, 4]]) == [[3, 2], [1, 4]]
    assert gradient(lambda x: np.sort(x, axis=None), [[4, 3], [2, 1]], [1, 2, 3, 4]) == [[4, 3], [2, 1]]
    assert gradient(np.sort, [NAN, 1, INF, -INF], [1, 2, 3, 4]) == [4, 2, 3, 1]
    assert gradient(np.sort, np.zeros((2, 0))) == [[], []]
    assert gradient(lambda x: np.sort(x, kind="heapsort"), [2, 1, 2, 1], [1, 10, 100, 1000]) == [100, 1, 1000, 10]
    assert np.argsort(leaf([1, 1, 0, 0]), stable=True).data.tolist() == [2, 3, 0, 1]
    with pytest.raises(BoundsError, match="sort"):
        np.sort(leaf(1))


@pytest.mark.parametrize(
    ("values", "out", "slopes"),
    [
        ([3, 1, 2], 2, [0, 0, 1]),
        ([4, 1, 2, 3], 2.5, [0, 0, 0.5, 0.5]),
        ([1, 2, 2, 2, 5], 2, [0, 1 / 3, 1 / 3, 1 / 3, 0]),  # shared evenly among the equal ones
        ([2, 2, 1, 3], 2, [0.5, 0.5, 0, 0]),
        ([1, 1, 1, 3], 1, [1 / 3, 1 / 3, 1 / 3, 0]),
        ([1, 1, 1, 3, 3, 3], 2, [1 / 6, 1 / 6, 1 / 6, 1 / 6, 1 / 6, 1 / 6]),
        (7, 7, 1),
        ([0.0, -0.0, 0.0], 0, [1 / 3, 1 / 3, 1 / 3]),
    ],
)
def test_median_and_its_ties(values, out, slopes):
    assert np.median(leaf(values)).item() == out
    np.testing.assert_allclose(gradient(np.median, values), slopes, rtol=1e-15)
    np.testing.assert_allclose(gradient(lambda x: np.quantile(x, 0.5), values), slopes, rtol=1e-15)


def test_median_between_infinities():
    assert np.median(leaf([-INF, 0, INF])).item() == 0
    assert gradient(np.median, [-INF, 0, INF]) == [0, 1, 0]


@pytest.mark.parametrize(("q", "name"), [(1, "max"), (0, "min")])
def test_the_outermost_quantiles_are_the_extrema_ties_included(q, name):
    values = [[3.0, 3.0, 1.0], [1.0, 1.0, 1.0], [0.0, 3.0, 3.0]]
    assert gradient(lambda x: np.quantile(x, q, axis=1), values) == gradient(
        lambda x: getattr(np, name)(x, axis=1), values
    )


METHODS = "linear lower higher nearest midpoint hazen weibull median_unbiased normal_unbiased inverted_cdf"
METHODS += " averaged_inverted_cdf closest_observation interpolated_inverted_cdf"


@pytest.mark.parametrize("method", METHODS.split())
@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_quantiles_of_every_method(method, n):
    rng = np.random.default_rng(n)
    values, q = rng.permutation(n) + rng.uniform(0, 0.5, n), [0.0, 0.21, 0.5, 0.63, 1.0]
    x = leaf(values)
    out = np.quantile(x, q, method=method)
    np.testing.assert_array_equal(out.data, np.quantile(values, q, method=method))
    cotangent = rng.normal(size=5)
    out.backward(cotangent)
    step = 1e-5
    moved = [np.quantile(values + step * e, q, method=method) - out.data for e in np.eye(n)]
    np.testing.assert_allclose(x.grad, np.array(moved) @ cotangent / step, atol=1e-8)


@pytest.mark.parametrize(
    ("axis", "keepdims"), [(None, False), ((0, -1), True), (1, True), ((2, 0), False), (-1, False)]
)
@pytest.mark.parametrize("q", [0.3, [0.1, 0.9], [[0.2], [0.5], [1.0]], np.array(0.5)])
def test_quantiles_along_axes_have_numpys_shapes_and_move_with_everything(axis, keepdims, q):
    values = np.random.default_rng(0).normal(size=(2, 3, 4))
    x = leaf(values)
    out = np.quantile(x, q, axis=axis, keepdims=keepdims)
    np.testing.assert_allclose(out.data, np.quantile(values, q, axis=axis, keepdims=keepdims), rtol=1e-12)
    out.sum().backward()
    assert x.grad.sum() == pytest.approx(out.size)  # a quantile of shifted values is shifted as far
    assert (x.grad * values).sum() == pytest.approx(out.data.sum())  # and of scaled values scaled as much


def test_quantiles_refuse_what_they_cannot_answer():
    x = leaf([1, 2, 3])
    for f, name in [(np.median, "median"), (lambda x: np.quantile(x, 0.5, axis=0), "quantile")]:
        with pytest.raises(ShapeError, match=rf"{name}: .*no elements"):
            f(leaf(np.zeros((0, 2))))
    with pytest.raises(ShapeError, match=r"\[0, 1\]"):
        np.quantile(x, 1.5)
    with pytest.raises(GradientError, match="quantile has no derivative for q"):
        tg.quantile(x, leaf(0.5))
    with pytest.raises(UnsupportedError, match="weights"):
        np.quantile(x, 0.5, weights=np.ones(3), method="inverted_cdf")
    assert np.median(leaf([1, NAN])).data != np.median(leaf([1, NAN])).data


# Indexing.


def test_take_in_its_modes():
    assert gradient(lambda x: np.take(x, [0, 2, 2]), [1, 2, 3], [1, 10, 100]) == [1, 0, 110]
    assert gradient(lambda x: x.take([[0, -1]], axis=1), [[1, 2, 3]], [[[1, 10]]]) == [[1, 0, 10]]
    assert gradient(lambda x: np.take(x, [3, -4], mode="wrap"), [1, 2, 3], [1, 10]) == [1, 0, 10]
    assert gradient(lambda x: np.take(x, [7, -4], mode="clip"), [1, 2, 3], [1, 10]) == [10, 0, 1]
    assert gradient(lambda x: np.take(x, 1, axis=0), [[1, 2], [3, 4]]) == [[0, 0], [1, 1]]
    assert gradient(lambda x: np.take(x, Tensor([1, 1])), [1, 2]) == [0, 2]
    assert gradient(lambda x: np.take(x, np.zeros(0, int)), [1, 2]) == [0, 0]
    assert gradient(lambda x: np.take(x, []), [1, 2]) == [0, 0]
    assert gradient(lambda x: np.take(x, [0, 0], axis=0), 5, [1, 10]) == 11  # a number, which has an axis for NumPy
    assert gradient(lambda x: np.repeat(x, 2, axis=0), 5, [1, 10]) == 11
    with pytest.raises(BoundsError, match="take"):
        np.take(leaf([1, 2]), 2)
    for indices in (1.5, [0.0], [True, False]):  # which NumPy takes for integers
        with pytest.raises(DTypeError, match="take: indices of"):
            np.take(leaf([1, 2]), indices)


def test_index_update_is_assignment_with_a_gradient_for_both():
    x, value = leaf([1, 2, 3, 4]), leaf([5, 6])
    out = tg.index_update(x, slice(1, 3), value)
    assert out.data.tolist() == [1, 5, 6, 4]
    assert x.data.tolist() == [1, 2, 3, 4]
    out.backward([1, 10, 100, 1000])
    assert (x.grad.tolist(), value.grad.tolist()) == ([1, 0, 0, 1000], [10, 100])


def test_index_update_where_the_index_repeats_the_last_value_stands():
    x, value = leaf([0, 0, 0]), leaf([1, 2, 3, 4])
    out = tg.index_update(x, [2, 0, 2, -1], value)
    assert out.data.tolist() == [2, 0, 4]
    out.backward([1, 10, 100])
    assert (x.grad.tolist(), value.grad.tolist()) == ([0, 10, 0], [0, 1, 0, 100])


def test_index_update_broadcasts_its_value():
    x, value = leaf(np.zeros((2, 3))), leaf(7)
    out = tg.index_update(x, np.array([[True, False, True], [False, False, True]]), value)
    assert out.data.tolist() == [[7, 0, 7], [0, 0, 7]]
    out.backward(np.arange(6.0).reshape(2, 3))
    assert (x.grad.tolist(), value.grad.item()) == ([[0, 1, 0], [3, 4, 0]], 0 + 2 + 5)
    column = leaf([[1], [2]])
    tg.index_update(leaf(np.zeros((2, 3))), (slice(None), [0, 1, 1]), column).backward(np.ones((2, 3)))
    assert column.grad.tolist() == [[2], [2]]


def test_an_infinity_that_is_overwritten_leaves_no_trace():
    x = leaf([0, 1])
    with np.errstate(divide="ignore"):
        inverse = 1 / x
    (tg.index_update(inverse, 0, 5.0) * Tensor([INF, 1])).sum().backward()
    assert x.grad.tolist() == [0, -1]


def test_index_add_adds_at_every_repeat():
    x, value = leaf([1, 2]), leaf([10, 20, 30])
    out = tg.index_add(x, [0, 0, 1], value)
    assert out.data.tolist() == [31, 32]
    out.backward([1, 10])
    assert (x.grad.tolist(), value.grad.tolist()) == ([1, 10], [1, 1, 10])
    assert gradient(lambda v: tg.index_add(np.zeros(2), [0, 0, 1], v), 3, [1, 10]) == 12


def test_scatter_add_takes_values_that_broadcast():
    assert gradient(lambda v: tg.scatter_add(v, np.array([0, 2, 2]), (3,)), 3, [1, 10, 100]) == 201


@pytest.mark.parametrize("op", [tg.index_update, tg.index_add])
def test_writing_functions_refuse_what_does_not_fit(op):
    with pytest.raises(DTypeError, match=rf"{op.name}: a value of float64 in an array of int64"):
        op(np.arange(3), 0, leaf(1.5))
    with pytest.raises(ShapeError, match=op.name):
        op(leaf([1, 2, 3]), slice(0, 2), leaf([1, 2, 3]))
    with pytest.raises(BoundsError, match=op.name):
        op(leaf([1, 2, 3]), 3, 1.0)
    assert op(leaf([1, 2], np.float32), 0, 0.5).dtype == np.float32
    assert op(np.float32([1, 2]), 0, leaf([0.5])[0]).dtype == np.float32


# Joining and splitting.


def test_split_is_one_node_with_a_zero_cotangent_for_what_is_not_used():
    x = leaf([1, 2, 3, 4, 5])
    a, b, c = np.split(x, [2, 3])
    assert {t._edge[0] for t in (a, b, c)} == {a._edge[0]}
    (10 * b).sum().backward()
    assert x.grad.tolist() == [0, 0, 10, 0, 0]
    x.grad = None
    (a * c).sum().backward()
    assert x.grad.tolist() == [4, 5, 0, 1, 2]


def test_the_readers_know_an_output_that_is_not_used():
    def loss(x):
        a, _, c = np.split(x, [2, 3])
        return (a * a * c).sum()

    values = np.array([1.0, 2, 3, 4, 5])
    x = leaf(values)
    expected = [8, 20, 0, 1, 4]
    for level in ("calls", "inline"):
        assert tg.debug.source(loss(x), level).gradients()["x"].tolist() == expected
    compiled = tg.compile(tg.value_and_grad(loss))
    for _ in range(2):
        assert [result.tolist() for result in compiled(values)] == [24, expected]
    assert "nothing came back" in tg.debug.draw(loss(x)).text


@pytest.mark.parametrize(
    ("sections", "axis"),
    [
        (1, 0),
        (2, 0),
        (4, 0),
        (3, -1),
        ([], 0),
        ([1], 1),
        ([0, 2, 2], 0),
        ([-1], 0),
        ([1, 99], 0),
        (np.array([1, 3]), 0),
    ],
)
def test_splits_are_numpys(sections, axis):
    values = np.arange(12.0).reshape(4, 3)
    for function in (np.split, np.array_split):
        x = leaf(values)
        parts, expected = function(x, sections, axis=axis), function(values, sections, axis=axis)
        assert [part.data.tolist() for part in parts] == [part.tolist() for part in expected]
        sum((part * part).sum() for part in parts).backward()
        assert x.grad.tolist() == (2 * values).tolist()


def test_what_cannot_be_split_is_refused():
    x = leaf([1, 2, 3, 4, 5])
    with pytest.raises(ShapeError, match="split: 5 elements along axis 0 do not divide into 2") as caught:
        np.split(x, 2)
    assert "array_split" in caught.value.remedy
    assert [len(part) for part in np.array_split(x, 3)] == [2, 2, 1]
    with pytest.raises(ArgumentError, match="do not rise"):
        np.split(x, [3, 1])
    with pytest.raises(ArgumentError, match="0 parts"):
        np.split(x, 0)
    with pytest.raises(BoundsError, match="split"):
        np.split(x, 5, axis=1)
    with pytest.raises(ShapeError, match="vsplit"):
        np.vsplit(x, 5)


STACKS = {
    "hstack of numbers": (np.hstack, [(), (2,)]),
    "hstack of rows": (np.hstack, [(2,), (3,)]),
    "hstack of cubes": (np.hstack, [(2, 1, 2), (2, 3, 2)]),
    "vstack of numbers": (np.vstack, [(), ()]),
    "vstack of rows and matrices": (np.vstack, [(3,), (2, 3), (1, 3)]),
    "column_stack of numbers": (np.column_stack, [(), ()]),
    "column_stack of columns and matrices": (np.column_stack, [(2,), (2, 3), (2,)]),
}


@pytest.mark.parametrize("name", STACKS)
def test_stacks_hand_everyone_its_part(name):
    function, sizes = STACKS[name]
    arrays, begin = [], 0
    for shape in sizes:
        size = int(np.prod(shape))
        arrays.append(np.arange(begin, begin + size, dtype=float).reshape(shape))
        begin += size
    leaves = [leaf(array) for array in arrays]
    out = function(leaves)
    np.testing.assert_array_equal(out.data, function(arrays))
    out.backward(out.data + 1)
    for x in leaves:
        np.testing.assert_array_equal(x.grad, x.data + 1)


# Arrangement, diagonals and shapes: values that are only moved.

MOVES = {
    "flip": (lambda x: np.flip(x), (2, 3)),
    "flip by axes": (lambda x: np.flip(x, (0, -1)), (2, 3, 2)),
    "flip of a number": (lambda x: np.flip(x), ()),
    "flipud": (lambda x: np.flipud(x), (3,)),
    "fliplr": (lambda x: np.fliplr(x), (2, 3)),
    "roll": (lambda x: np.roll(x, -2), (2, 3)),
    "roll by axes": (lambda x: np.roll(x, (1, -1), (0, 0)), (3, 2)),
    "one roll along two axes": (lambda x: np.roll(x, 1, (0, 1)), (3, 2)),
    "roll by an array": (lambda x: np.roll(x, np.array([1, 2]), (0, 1)), (3, 2)),
    "tile": (lambda x: np.tile(x, (2, 1, 3)), (2, 3)),
    "tile none": (lambda x: np.tile(x, 0), (2,)),
    "tile of a number": (lambda x: np.tile(x, 3), ()),
    "tile with few counts": (lambda x: np.tile(x, 2), (2, 1, 2)),
    "repeat": (lambda x: np.repeat(x, 2), (2, 3)),
    "repeat along": (lambda x: x.repeat(3, axis=-1), (2, 3)),
    "repeat none": (lambda x: np.repeat(x, 0, axis=0), (2, 3)),
    "repeat each": (lambda x: np.repeat(x, [0, 2, 1], axis=1), (2, 3)),
    "repeat in a list of one": (lambda x: np.repeat(x, [2], axis=1), (2, 3)),
    "repeat flattened": (lambda x: np.repeat(x, [1, 0, 2, 0]), (2, 2)),
    "repeat of a number": (lambda x: np.repeat(x, 3), ()),
    "pad edge": (lambda x: np.pad(x, 2, "edge"), (2, 3)),
    "pad reflect over and over": (lambda x: np.pad(x, ((0, 0), (7, 3)), "reflect"), (2, 3)),
    "pad reflect of one": (lambda x: np.pad(x, 2, "reflect"), (1,)),
    "pad symmetric": (lambda x: np.pad(x, (3, 4), mode="symmetric"), (2, 3)),
    "pad wrap": (lambda x: np.pad(x, ((5, 1), (0, 0)), "wrap"), (2, 3)),
    "pad by nothing": (lambda x: np.pad(x, 0), (2, 3)),
    "tril of nothing": (lambda x: np.diag(np.tril(x)), (0, 0)),
    "diag": (lambda x: np.diag(x, -1), (3, 2)),
    "diag beyond": (lambda x: np.diag(x, 7), (3, 2)),
    "diagonal": (lambda x: x.diagonal(1, -1, 0), (3, 2, 4)),
    "ravel": (lambda x: x.ravel(), (2, 3)),
    "ravel of a number": (lambda x: np.ravel(x), ()),
    "flatten": (lambda x: x.flatten(), (2, 3)),
    "moveaxis": (lambda x: np.moveaxis(x, [0, -1], [1, 0]), (2, 3, 4)),
    "atleast_1d": (lambda x: np.atleast_1d(x), ()),
    "atleast_2d": (lambda x: np.atleast_2d(x), (3,)),
    "atleast_3d": (lambda x: np.atleast_3d(x), (3,)),
    "hsplit": (lambda x: np.hsplit(x, 2)[1], (4,)),
    "hsplit of a matrix": (lambda x: np.hsplit(x, [1])[1], (2, 3)),
    "vsplit": (lambda x: np.vsplit(x, 2)[0], (2, 3)),
}


@pytest.mark.parametrize("name", MOVES)
def test_moving_values_is_numpys_and_moves_the_cotangent_back(name):
    f, shape = MOVES[name]
    labels = np.arange(float(np.prod(shape))).reshape(shape)
    x = leaf(labels)
    out = f(x)
    np.testing.assert_array_equal(out.data, f(labels))
    cotangent = np.arange(1.0, out.size + 1).reshape(out.shape)
    out.backward(cotangent)
    sums = np.bincount(out.data.ravel().astype(int), weights=cotangent.ravel(), minlength=labels.size)
    np.testing.assert_array_equal(x.grad, sums.reshape(shape))


def test_padding_with_constants_gives_them_no_gradient():
    x = leaf([[1, 2]])
    out = np.pad(x, ((1, 0), (0, 2)), constant_values=((3, 4), (5, 6)))
    assert out.data.tolist() == [[3, 3, 6, 6], [1, 2, 6, 6]]
    out.backward([[1, 2, 3, 4], [5, 6, 7, 8]])
    assert x.grad.tolist() == [[5, 6]]
    with pytest.raises(GradientError, match="pad has no derivative for constant_values"):
        tg.pad(x, 1, constant_values=leaf(3))


@pytest.mark.parametrize("mode", ["linear_ramp", "mean", "maximum", "minimum", "median", "empty", "nonsense"])
def test_other_paddings_are_refused_by_name(mode):
    with pytest.raises(UnsupportedError, match=f"pad: mode='{mode}'") as caught:
        np.pad(leaf([1, 2]), 1, mode)
    assert "reflect" in caught.value.remedy


def test_triangles_forget_what_stood_beyond():
    x = [[1, NAN], [INF, 2]]
    assert np.tril(leaf([[1, NAN], [3, 2]])).data.tolist() == [[1, 0], [3, 2]]
    assert gradient(np.triu, x, [[1, 2], [3, 4]]) == [[1, 2], [0, 4]]
    assert gradient(lambda x: np.tril(x, -1), [1, 2, 3]) == [2, 1, 0]  # a vector is every row of a matrix


def test_a_number_has_no_triangle():
    with pytest.raises(ShapeError, match=r"tril: x \(\) has no triangle"):
        np.tril(leaf(1))


def test_trace_and_diagonal_of_many_matrices():
    x = np.arange(12.0).reshape(2, 3, 2)
    assert np.trace(leaf(x), axis1=1, axis2=2).data.tolist() == np.trace(x, axis1=1, axis2=2).tolist()
    assert gradient(lambda t: t.trace(axis1=1, axis2=2), x, [1, 10]) == [
        [[1, 0], [0, 1], [0, 0]],
        [[10, 0], [0, 10], [0, 0]],
    ]
    assert gradient(lambda t: t.trace(5), np.ones((2, 2))) == [[0, 0], [0, 0]]


def test_ptp_at_ties():
    assert gradient(np.ptp, [1, 3, 3, 2]) == [-1, 0.5, 0.5, 0]
    assert gradient(np.ptp, [2, 2]) == [0, 0]


def test_flatten_leaves_the_batch_as_in_pytorch():
    assert leaf(np.zeros((2, 3, 4))).flatten(1).shape == (2, 12)
    assert leaf(np.zeros((2, 3, 4))).flatten(0, -2).shape == (6, 4)
    assert leaf(np.zeros((2, 0))).flatten().shape == (0,)
    assert leaf(1).flatten().shape == (1,)
    with pytest.raises(ArgumentError, match="axis 2 comes after axis 0"):
        leaf(np.zeros((2, 3, 4))).flatten(2, 0)
    with pytest.raises(BoundsError, match="flatten"):
        leaf(np.zeros((2, 3))).flatten(2)


REFUSED = {
    "order": lambda x: x.ravel(order="F"),
    "order=": lambda x: np.ravel(x, "F"),
    "dtype": lambda x: np.cumsum(x, dtype=float),
    "out": lambda x: np.cumsum(x, 0, None, np.zeros((2, 2))),
    "out=": lambda x: np.take(x, 0, out=np.zeros(())),
    "order in sort": lambda x: np.sort(x, order="f"),
    "prepend": lambda x: np.diff(x, prepend=0.0),
    "reflect_type": lambda x: np.pad(x, 1, "reflect", reflect_type="odd"),
    "overwrite_input": lambda x: np.median(x, overwrite_input=True),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_numpy_takes_besides_is_refused_by_name(name):
    with pytest.raises(UnsupportedError, match=name.split()[0].rstrip("=")):
        REFUSED[name](leaf([[1, 2], [3, 4]]))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.longdouble])
def test_other_precisions_are_kept(dtype):
    x = leaf([[3, 1], [2, 4]], dtype)
    results = [np.cumprod(x), tg.logcumsumexp(x), np.median(x), np.quantile(x, [0.1, 0.7], axis=0), np.sort(x)]
    results += [np.repeat(x, [1, 2], axis=0), np.pad(x, 1, "edge"), np.trace(x), tg.index_add(x, [0, 0], x[0])]
    assert {out.dtype for out in results} == {np.dtype(dtype)}
    sum(out.sum() for out in results).backward()
    assert x.grad.dtype == dtype


@pytest.mark.parametrize(
    ("name", "ours"), [("gather", "take_along_axis"), ("sort", "tg.sort"), ("chunk", "array_split")]
)
def test_what_others_call_so_is_found_here(name, ours):
    with pytest.raises(AttributeError, match=ours):
        getattr(leaf(1), name)
