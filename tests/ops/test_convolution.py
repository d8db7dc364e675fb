"""Convolutions against naive loops over every output, and what does not fit."""

import itertools
import re

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F

rng = np.random.default_rng(0)


def naive_conv2d(x, weight, bias, stride, padding, dilation, groups):
    """The sum over channels and kernel, one output after another; padding is (top, bottom, left, right)."""
    top, bottom, left, right = padding
    padded = np.zeros((x.shape[0], x.shape[1], x.shape[2] + top + bottom, x.shape[3] + left + right))
    padded[:, :, top : top + x.shape[2], left : left + x.shape[3]] = x
    outputs, share, kh, kw = weight.shape
    rows = (padded.shape[2] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    columns = (padded.shape[3] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    out = np.zeros((len(x), outputs, rows, columns))
    for n, o, i, j in np.ndindex(out.shape):
        first = o // (outputs // groups) * share
        for c, a, b in np.ndindex(share, kh, kw):
            pixel = padded[n, first + c, i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1]]
            out[n, o, i, j] += weight[o, c, a, b] * pixel
    return out if bias is None else out + bias[:, None, None]


def naive_conv_transpose2d(x, weight, bias, stride, padding, beyond, dilation, groups):
    """Every pixel added to its window of a large image, whose borders are then cut off."""
    n, channels, rows, columns = x.shape
    _, share, kh, kw = weight.shape
    reach = [(kh - 1) * dilation[0] + 1, (kw - 1) * dilation[1] + 1]
    size = [(m - 1) * s + r + more for m, s, r, more in zip((rows, columns), stride, reach, beyond, strict=True)]
    large = np.zeros((n, groups * share, *size))
    for m, c, i, j in np.ndindex(x.shape):
        first = c // (channels // groups) * share
        for o, a, b in np.ndindex(share, kh, kw):
            large[m, first + o, i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1]] += (
                x[m, c, i, j] * weight[c, o, a, b]
            )
    out = large[:, :, padding[0] : size[0] - padding[0], padding[1] : size[1] - padding[1]]
    return out if bias is None else out + bias[:, None, None]


CASES = [
    *itertools.product([(1, 1), (2, 3)], [(0, 0), (2, 1)], [(1, 1), (2, 1)], [(4, 6, 1), (4, 6, 2)]),
    ((1, 1), (1, 1), (1, 1), (4, 8, 4)),  # depthwise
    ((3, 2), (0, 0), (1, 1), (4, 2, 2)),  # a stride larger than the kernel leaves pixels out
]


@pytest.mark.parametrize(("stride", "padding", "dilation", "channels"), CASES)
def test_convolution_equals_naive_loops(stride, padding, dilation, channels):
    inputs, outputs, groups = channels
    x, bias = rng.standard_normal((2, inputs, 7, 6)), rng.standard_normal(outputs)
    weight = rng.standard_normal((outputs, inputs // groups, 2, 3))
    expected = naive_conv2d(x, weight, bias, stride, np.repeat(padding, 2), dilation, groups)
    got = tg.conv2d(x, weight, bias, stride, padding, dilation, groups)
    np.testing.assert_allclose(got, expected, atol=1e-12)
    np.testing.assert_allclose(
        tg.conv2d(x[1], weight, bias, stride, padding, dilation, groups), expected[1], atol=1e-12
    )


@pytest.mark.parametrize(("stride", "padding", "dilation", "channels"), CASES)
def test_transposed_convolution_equals_naive_loops(stride, padding, dilation, channels):
    inputs, outputs, groups = channels
    beyond = (stride[0] - 1, stride[1] - 1)
    x, bias = rng.standard_normal((2, inputs, 4, 3)), rng.standard_normal(outputs)
    weight = rng.standard_normal((inputs, outputs // groups, 2, 3))
    expected = naive_conv_transpose2d(x, weight, bias, stride, padding, beyond, dilation, groups)
    got = tg.conv_transpose2d(x, weight, bias, stride, padding, beyond, groups, dilation)
    np.testing.assert_allclose(got, expected, atol=1e-12)
    alone = tg.conv_transpose2d(x[0], weight, bias, stride, padding, beyond, groups, dilation)
    np.testing.assert_allclose(alone, expected[0], atol=1e-12)


@pytest.mark.parametrize(("stride", "padding", "dilation", "channels"), CASES)
def test_convolution_its_transpose_and_its_weight_s_slope_are_one_trilinear_form(stride, padding, dilation, channels):
    inputs, outputs, groups = channels
    x, weight = rng.standard_normal((2, inputs, 7, 6)), rng.standard_normal((outputs, inputs // groups, 2, 3))
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    leaves = [tg.Tensor(each, requires_grad=True) for each in (x, weight)]
    out = tg.conv2d(*leaves, **options)
    g = rng.standard_normal(out.shape)
    total = np.vdot(g, out.data)
    by_x, by_weight = tg.gradients(out, leaves, cotangent=g)
    assert np.vdot(by_x.data, x) == pytest.approx(total, rel=1e-10)
    assert np.vdot(by_weight.data, weight) == pytest.approx(total, rel=1e-10)
    np.testing.assert_allclose(tg.conv2d_weight(x, g, (2, 3), **options), by_weight.data, atol=1e-12)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize("dilation", [1, 2])
def test_same_padding_keeps_the_size_and_puts_the_odd_one_after(kernel, dilation):
    x, weight = rng.standard_normal((1, 1, 6, 5)), rng.standard_normal((1, 1, kernel, kernel))
    reach = dilation * (kernel - 1)
    before, after = reach // 2, reach - reach // 2
    expected = naive_conv2d(x, weight, None, (1, 1), (before, after) * 2, (dilation, dilation), 1)
    got = tg.conv2d(x, weight, padding="same", dilation=dilation)
    assert got.shape == x.shape
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_convolution_along_one_axis():
    x, weight, bias = rng.standard_normal((2, 4, 9)), rng.standard_normal((6, 2, 3)), rng.standard_normal(6)
    expected = naive_conv2d(x[:, :, None], weight[:, :, None], bias, (1, 2), (0, 0, 2, 2), (1, 2), 2)[:, :, 0]
    np.testing.assert_allclose(tg.conv1d(x, weight, bias, 2, 2, 2, 2), expected, atol=1e-12)
    np.testing.assert_allclose(tg.conv1d(x[0], weight, bias, (2,), (2,), (2,), 2), expected[0], atol=1e-12)
    assert tg.conv1d(x, weight, padding="same", groups=2).shape == (2, 6, 9)
    assert tg.conv1d(x, weight, padding="valid", groups=2).shape == (2, 6, 7)


def test_many_images_go_through_in_blocks(monkeypatch):
    x, weight = rng.standard_normal((9, 2, 5, 5)), rng.standard_normal((3, 2, 3, 3))
    g = rng.standard_normal((9, 3, 3, 3))
    whole = [tg.conv2d(x, weight), tg.conv_transpose2d(g, weight), tg.conv2d_weight(x, g, 3)]
    monkeypatch.setattr("tinygrad_sm.ops.convolution.BLOCK", 4 * 2 * 9 * 9 * 8)
    blocks = [tg.conv2d(x, weight), tg.conv_transpose2d(g, weight), tg.conv2d_weight(x, g, 3)]
    for got, expected in zip(blocks, whole, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-12)


def test_an_infinite_pixel_reaches_the_windows_it_lies_in_and_no_other():
    x = np.zeros((1, 1, 1, 4))
    x[..., 0] = np.inf
    weight = tg.Tensor(np.ones((1, 1, 1, 2)), requires_grad=True)
    out = tg.conv2d(x, weight)
    assert out.data.tolist() == [[[[np.inf, 0.0, 0.0]]]]
    out.backward(np.array([[[[0.0, 1.0, 1.0]]]]))
    # The sum over the image holds 0 times infinity: exempt from the rule that zero times anything is zero.
    np.testing.assert_array_equal(weight.grad, [[[[np.nan, 0.0]]]])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_types_are_kept(dtype):
    leaves = [
        tg.Tensor(np.ones(shape), requires_grad=True, dtype=dtype) for shape in ((1, 2, 4, 4), (2, 2, 3, 3), (2,))
    ]
    out = F.conv2d(*leaves, padding=1)
    out.sum().backward()
    assert {out.dtype, *(leaf.grad.dtype for leaf in leaves)} == {np.dtype(dtype)}
    assert out.data[0, 0, 1, 1] == 19


def test_a_batch_of_none_and_arrays_in_any_layout():
    weight = tg.Tensor(np.ones((2, 3, 2, 2)), requires_grad=True)
    out = tg.conv2d(np.ones((0, 3, 4, 4)), weight)
    out.sum().backward()
    assert out.shape == (0, 2, 3, 3)
    assert not weight.grad.any()
    x, g = rng.standard_normal((2, 3, 4, 4)), rng.standard_normal((2, 2, 3, 3))
    turned = np.ascontiguousarray(x.transpose(3, 2, 1, 0)).transpose(3, 2, 1, 0)
    np.testing.assert_array_equal(tg.conv2d(turned, weight.data), tg.conv2d(x, weight.data))
    np.testing.assert_array_equal(
        tg.conv_transpose2d(g[:, ::-1], weight.data), tg.conv_transpose2d(g[:, ::-1].copy(), weight.data)
    )


IMAGES, WEIGHT = np.ones((2, 4, 5, 6)), np.ones((6, 2, 3, 3))


@pytest.mark.parametrize(
    ("call", "message", "remedy"),
    [
        (
            lambda: tg.conv2d(IMAGES, np.ones((6, 3, 3, 3))),
            r"x \(2, 4, 5, 6\) has 4 channels; weight \(6, 3, 3, 3\) in groups=1 is for 3",
            r"in_channels=4, its weight \(O, 4 / groups, kh, kw\), or give x 3$",
        ),
        (
            lambda: tg.conv2d(IMAGES, WEIGHT, groups=3),
            "4 channels; .* in groups=3 is for 6",
            "groups a divisor of both",
        ),
        (lambda: tg.conv2d(IMAGES, np.ones((5, 2, 3, 3)), groups=2), "groups=2 does not divide the 5", "divisor"),
        (
            lambda: tg.conv2d(np.moveaxis(IMAGES, 1, -1), np.ones((6, 4, 3, 3))),
            r"x \(2, 5, 6, 4\) has 5 channels",
            r"or give x 4 \(np.moveaxis\(x, -1, -3\) if they come last\)",
        ),
        (lambda: tg.conv2d(IMAGES, WEIGHT, groups=0), "groups=0", "at least 1"),
        (
            lambda: tg.conv2d(IMAGES, np.ones((6, 4, 3, 7))),
            "3 x 7 does not fit into an image of 5 x 6",
            "smaller kernel",
        ),
        (
            lambda: tg.conv2d(IMAGES, np.ones((6, 4, 3, 3)), padding=(0, 1), dilation=3),
            "reaches over 7 x 7.*padded to 5 x 8",
            "more padding",
        ),
        (lambda: tg.conv2d(IMAGES, WEIGHT, stride=0, groups=2), "stride=0", "at least 1"),
        (lambda: tg.conv2d(IMAGES, WEIGHT, stride=1.5, groups=2), "stride=1.5", "whole number"),
        (lambda: tg.conv2d(IMAGES, WEIGHT, padding=-1, groups=2), "padding=-1", "at least 0"),
        (lambda: tg.conv2d(IMAGES, WEIGHT, padding="full", groups=2), "padding='full'", '"same" or "valid"'),
        (lambda: tg.conv2d(IMAGES, WEIGHT, None, 2, "same", 1, 2), 'padding="same" with stride=2', "kernel_size // 2"),
        (lambda: tg.conv2d(IMAGES, WEIGHT, dilation=(1, 2, 3), groups=2), r"dilation=\(1, 2, 3\)", "pair"),
        (lambda: tg.conv2d(np.ones((5, 6)), WEIGHT), r"not \(5, 6\)", r"\(N, C, H, W\)"),
        (lambda: tg.conv2d(IMAGES, np.ones((6, 2)), groups=2), r"weight \(6, 2\)", r"\(O, 4 / groups, kh, kw\)"),
        (lambda: tg.conv2d(IMAGES, WEIGHT, np.ones(5), groups=2), r"bias \(5,\) for 6 channels", r"\(6,\)"),
        (
            lambda: tg.conv_transpose2d(IMAGES, np.ones((3, 2, 2, 2))),
            r"x \(2, 4, 5, 6\) has 4 channels; weight \(3, 2, 2, 2\) in groups=1 is for 3",
            r"in_channels=4, its weight \(4, O / groups",
        ),
        (lambda: tg.conv_transpose2d(IMAGES, np.ones((4, 2, 2, 2)), groups=3), "groups=3 does not divide", "divisor"),
        (
            lambda: tg.conv_transpose2d(IMAGES, np.ones((4, 2, 2, 2)), output_padding=1),
            "output_padding=1",
            "below the stride",
        ),
        (lambda: tg.conv_transpose2d(IMAGES, np.ones((4, 2, 2, 2)), padding=3), "0 x 1", "less padding"),
        (lambda: tg.conv2d_weight(IMAGES, np.ones((2, 3, 3, 3)), 3), r"slope \(2, 3, 3, 3\)", "cotangent"),
        (lambda: tg.conv1d(IMAGES, WEIGHT), r"x \(2, 4, 5, 6\) and weight \(6, 2, 3, 3\)", r"\(N, C, L\)"),
        (
            lambda: tg.conv1d(IMAGES[0], np.ones((2, 5, 3))[:, :4]),
            r"x \(4, 5, 6\) has 5 channels; weight \(2, 4, 3\) in groups=1 is for 4",
            r"in_channels=5, its weight \(O, 5 / groups, k\)",
        ),
        (lambda: tg.conv1d(IMAGES[0], np.ones((2, 5, 3)), stride=(1, 2)), r"stride=\(1, 2\)", "one axis"),
        (lambda: tg.conv1d(IMAGES[0], np.ones((2, 5, 3)), padding=1.5), r"padding=.*1\.5", "whole number"),
    ],
)
def test_what_does_not_fit_is_named_with_a_remedy(call, message, remedy):
    with pytest.raises(tg.errors.TinygradError, match=message) as caught:
        call()
    assert str(caught.value).startswith("conv")
    assert re.search(remedy, caught.value.remedy)
