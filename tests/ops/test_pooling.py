"""Pooling against naive loops, and where it is hard: ties, infinities, NaN, windows that overlap or are padded."""

import itertools
import re

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F

rng = np.random.default_rng(0)


def windows(size, kernel, stride, padding, dilation):
    """For every window the indices of its pixels that lie on an axis."""
    count = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    places = [[i * stride - padding + k * dilation for k in range(kernel)] for i in range(count)]
    return [[place for place in window if 0 <= place < size] for window in places]


GEOMETRIES = [
    ((2, 2), (2, 2), (0, 0), (1, 1)),
    ((3, 2), (1, 1), (1, 0), (1, 1)),  # overlapping
    ((2, 3), (2, 1), (1, 1), (2, 1)),
    ((2, 2), (3, 4), (0, 1), (1, 1)),  # pixels between the windows
    ((7, 6), (1, 1), (0, 0), (1, 1)),  # all of the image
]
UNDILATED = [each for each in GEOMETRIES if each[3] == (1, 1)]


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), GEOMETRIES)
def test_maxima_and_their_gradient_equal_naive_loops(kernel, stride, padding, dilation):
    values = rng.integers(0, 4, (2, 3, 7, 6)).astype(float)  # with many ties
    rows, columns = [windows(*each) for each in zip((7, 6), kernel, stride, padding, dilation, strict=True)]
    x = tg.Tensor(values, requires_grad=True)
    out = tg.max_pool2d(x, kernel, stride, padding, dilation)
    g = rng.standard_normal(out.shape)
    out.backward(g)
    expected, gradient = np.zeros((2, 3, len(rows), len(columns))), np.zeros(values.shape)
    for n, c, i, j in np.ndindex(expected.shape):
        pixels = list(itertools.product(rows[i], columns[j]))
        first = max(pixels, key=lambda place: values[n, c, *place])  # of equal ones the first
        expected[n, c, i, j] = values[n, c, *first]
        gradient[n, c, *first] += g[n, c, i, j]
    np.testing.assert_array_equal(out.data, expected)
    np.testing.assert_allclose(x.grad, gradient, atol=1e-12)
    np.testing.assert_array_equal(tg.max_pool2d(values[1], kernel, stride, padding, dilation), expected[1])


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"), [each for each in GEOMETRIES if each[3] == (1, 1)]
)
def test_averages_equal_naive_loops(kernel, stride, padding, dilation, include):
    values = rng.standard_normal((2, 3, 7, 6))
    rows, columns = [windows(*each) for each in zip((7, 6), kernel, stride, padding, dilation, strict=True)]
    expected = np.zeros((2, 3, len(rows), len(columns)))
    for n, c, i, j in np.ndindex(expected.shape):
        pixels = [values[n, c, *place] for place in itertools.product(rows[i], columns[j])]
        expected[n, c, i, j] = sum(pixels) / (kernel[0] * kernel[1] if include else len(pixels))
    got = tg.avg_pool2d(values, kernel, stride, padding, count_include_pad=include)
    np.testing.assert_allclose(got, expected, atol=1e-12)
    divided = tg.avg_pool2d(values, kernel, stride, padding, divisor_override=5)
    whole = tg.avg_pool2d(values, kernel, stride, padding)
    np.testing.assert_allclose(divided * 5, whole * (kernel[0] * kernel[1]), atol=1e-12)


@pytest.mark.parametrize("wanted", [1, 2, (3, None), (7, 6), (10, 4)])
def test_adaptive_averages_equal_naive_loops(wanted):
    values = rng.standard_normal((2, 3, 7, 6))
    rows, columns = (wanted, wanted) if isinstance(wanted, int) else (wanted[0], wanted[1] or 6)
    got = tg.adaptive_avg_pool2d(values, wanted)
    assert got.shape == (2, 3, rows, columns)
    for i, j in np.ndindex(rows, columns):
        top, bottom = int(np.floor(i * 7 / rows)), int(np.ceil((i + 1) * 7 / rows))
        left, right = int(np.floor(j * 6 / columns)), int(np.ceil((j + 1) * 6 / columns))
        expected = values[:, :, top:bottom, left:right].mean(axis=(2, 3))
        np.testing.assert_allclose(got[:, :, i, j], expected, atol=1e-12)


def test_of_equal_values_the_first_in_memory_gets_the_gradient_alone():
    x = tg.Tensor(np.full((1, 1, 2, 4), 3.0), requires_grad=True)
    out = tg.max_pool2d(x, 2)
    out.backward(np.array([[[[5.0, 7.0]]]]))
    assert out.data.tolist() == [[[[3.0, 3.0]]]]
    assert x.grad.tolist() == [[[[5.0, 0.0, 7.0, 0.0], [0.0, 0.0, 0.0, 0.0]]]]


def test_where_windows_overlap_a_winner_of_two_gets_both():
    x = tg.Tensor([[[1.0, 5.0, 2.0]]], requires_grad=True)
    tg.max_pool2d(x, (1, 2), 1).backward(np.array([[[3.0, 4.0]]]))
    assert x.grad.tolist() == [[[0.0, 7.0, 0.0]]]


def test_padding_never_wins_not_even_over_minus_infinity():
    x = tg.Tensor(np.full((1, 2, 2), -np.inf), requires_grad=True)
    out = tg.max_pool2d(x, 2, 2, 1)
    out.backward(np.array([[[1.0, 2.0], [3.0, 4.0]]]))
    assert (out.data == -np.inf).all()
    assert x.grad.tolist() == [[[1.0, 2.0], [3.0, 4.0]]]


def test_nan_is_the_largest_and_the_first_of_several_gets_the_gradient():
    x = tg.Tensor([[[1.0, np.nan, np.inf, np.nan], [0.0, 1.0, 2.0, 3.0]]], requires_grad=True)
    out = tg.max_pool2d(x, (1, 4))
    out.backward(np.array([[[2.0], [5.0]]]))
    np.testing.assert_array_equal(out.data, [[[np.nan], [3.0]]])
    assert x.grad.tolist() == [[[0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 5.0]]]


@pytest.mark.parametrize("stride", [2, 1])
def test_an_infinite_cotangent_stays_where_it_belongs(stride):
    x = tg.Tensor([[[1.0, 5.0, 9.0, 2.0]]], requires_grad=True)
    out = tg.max_pool2d(x, (1, 2), stride)
    out.backward(np.array([[[np.inf, *[1.0] * (out.size - 1)]]]))
    assert x.grad.tolist() == [[[0.0, np.inf, 1.0 if stride == 2 else 2.0, 0.0]]]


def test_the_gradient_is_the_same_twice_and_differentiable():
    x = tg.Tensor(rng.standard_normal((1, 2, 4, 4)), requires_grad=True)
    out = (tg.max_pool2d(x, 2) ** 2).sum()
    out.backward()
    once = x.grad
    out.backward()  # the positions are found again
    np.testing.assert_array_equal(x.grad, 2 * once)
    slope = tg.gradients((tg.max_pool2d(x, 2) ** 2).sum(), x, create_graph=True)
    (curvature,) = tg.gradients(slope.sum(), [x])
    np.testing.assert_array_equal(curvature.data, np.where(once != 0, 2.0, 0.0))


def test_many_images_go_through_in_blocks_on_threads(monkeypatch):
    values = rng.standard_normal((9, 2, 6, 6))
    g = rng.standard_normal((9, 2, 3, 3))

    def both():
        x = tg.Tensor(values, requires_grad=True)
        out = tg.max_pool2d(x, 2)
        out.backward(g)
        return out.data, x.grad

    whole = both()
    monkeypatch.setattr("tinygrad_sm.ops.pooling.BLOCK", 2 * 2 * 6 * 6 * 8)
    for got, expected in zip(both(), whole, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_window_of_more_than_256_pixels():
    x = tg.Tensor(np.arange(400.0).reshape(1, 20, 20), requires_grad=True)
    tg.max_pool2d(x, 20).backward(np.ones((1, 1, 1)))
    assert x.grad.argmax() == 399
    assert x.grad.sum() == 1


def test_integers_and_empty_batches():
    assert tg.max_pool2d(np.arange(-8, 8).reshape(1, 4, 4), 2, padding=1).tolist()[0][0] == [-8, -6, -5]
    assert tg.avg_pool2d(np.arange(4).reshape(1, 2, 2), 2).tolist() == [[[1.5]]]
    assert tg.max_pool2d(np.ones((0, 3, 4, 4)), 2).shape == (0, 3, 2, 2)
    x = tg.Tensor(np.ones((0, 3, 4, 4)), requires_grad=True)
    (tg.max_pool2d(x, 2).sum() + tg.avg_pool2d(x, 2).sum() + tg.adaptive_avg_pool2d(x, 2).sum()).backward()
    assert x.grad.shape == x.shape


def test_pooling_along_one_axis():
    x = tg.Tensor([[[1.0, 5.0, 2.0, 4.0]]], requires_grad=True)
    assert F.max_pool1d(x, 2, 1).data.tolist() == [[[5.0, 5.0, 4.0]]]
    assert F.max_pool1d(x, 2, dilation=2, stride=1).data.tolist() == [[[2.0, 5.0]]]
    assert F.avg_pool1d(x, 2, padding=1).data.tolist() == [[[0.5, 3.5, 2.0]]]
    assert F.avg_pool1d(x, 2, padding=1, count_include_pad=False).data.tolist() == [[[1.0, 3.5, 4.0]]]
    F.max_pool1d(x, 2).sum().backward()
    assert x.grad.tolist() == [[[0.0, 1.0, 0.0, 1.0]]]


@pytest.mark.parametrize("pool", [F.max_pool1d, F.avg_pool1d])
def test_pooling_along_one_axis_takes_tuples_of_one(pool):
    x = np.arange(6.0).reshape(1, 1, 6)
    np.testing.assert_array_equal(pool(x, (2,), [1], padding=(1,)), pool(x, 2, 1, padding=1))
    with pytest.raises(tg.errors.ArgumentError, match="give one number"):
        pool(x, (2, 2))


@pytest.mark.parametrize(
    ("call", "message", "remedy"),
    [
        (lambda x: tg.max_pool2d(x, 5), "5 x 5 does not fit into an image of 4 x 4", "smaller kernel"),
        (lambda x: tg.avg_pool2d(x, 2, 0), "stride=0", "at least 1"),
        (lambda x: tg.max_pool2d(x, 2, padding=-1), "padding=-1", "at least 0"),
        (lambda x: tg.max_pool2d(x, 2, padding=2), "padding=2 for kernel_size=2", "half of the kernel"),
        (lambda x: tg.max_pool2d(x, 2, padding="same"), "padding='same'", "number"),
        (lambda x: tg.max_pool2d(x, (2, 2, 2)), r"kernel_size=\(2, 2, 2\)", "pair"),
        (lambda x: tg.avg_pool2d(x[0, 0], 2), r"not \(4, 4\)", r"\(C, H, W\)"),
        (lambda x: tg.avg_pool2d(x, 2, divisor_override=0), "divisor_override=0", "other than 0"),
        (lambda x: tg.adaptive_avg_pool2d(x, 0), "output_size", "at least 1"),
        (lambda x: tg.adaptive_avg_pool2d(x[:, :, :0], 1), "0 x 4 has no average", "pixels"),
    ],
)
def test_what_does_not_fit_is_named_with_a_remedy(call, message, remedy):
    with pytest.raises(tg.errors.TinygradError, match=message) as caught:
        call(np.ones((2, 3, 4, 4)))
    assert "pool2d" in str(caught.value).split(":")[0]
    assert re.search(remedy, caught.value.remedy)
