"""Convolutions: products of a kernel with every window of an image, channels first, under PyTorch's names.

A convolution is linear in the image and in the kernel. Its derivatives are two more operations, the transposed
convolution and the derivative by the kernel, and theirs are these three again: so there are derivatives of any order.
All three sum over other elements, so here a zero cotangent times an infinite operand is NaN. Windows are copied to the
columns of a matrix, and the rest is a matrix product; images go through in blocks whose columns stay in the cache.

Source: V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep learning, 2016; columns: K. Chellapilla et
al., High performance convolutional neural networks for document processing, 2006.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.errors import ArgumentError, ShapeError
from tinygrad_sm.operand import as_array
from tinygrad_sm.ops.samples import Sample, normal
from tinygrad_sm.ops.windows import (
    Padding,
    Pair,
    check_image,
    counts,
    extent,
    fitted,
    only,
    paddings,
    pair,
    selection,
    shifts,
)

BLOCK = 1 << 20  # bytes of columns at a time


@primitive(
    method=False,
    samples=[
        Sample(normal(2, 2, 4, 5), normal(3, 2, 2, 3), normal(3)),
        Sample(normal(4, 5, 4), normal(2, 2, 2, 2), None, 2, (1, 0), 2, 2),
        Sample(normal(1, 2, 3, 3), normal(4, 1, 2, 3), padding="same", groups=2),
    ],
)
def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    """Cross-correlation: out[n, o, i, j] = bias[o] + sum_cab weight[o, c, a, b] x[n, c, i + a, j + b].

    Args: x (N, C, H, W) or (C, H, W), weight (O, C / groups, kh, kw), bias (O,) or None; stride, padding and dilation a
    number or a pair (rows, columns); padding "same" or "valid" too. Returns (N, O, H', W') with
    H' = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1. Raises ShapeError for what does not fit, ArgumentError
    for bad options. An infinite or NaN pixel reaches every window that it lies in, and its gradients.

    >>> conv2d(np.arange(9.0).reshape(1, 3, 3), np.ones((1, 1, 2, 2)))
    array([[[ 8., 12.],
            [20., 24.]]])
    """
    x, weight = as_array(x), as_array(weight)
    check_image(x)
    _check_weight(weight, x.shape, groups)
    steps = pair(stride, "stride"), paddings(padding, weight.shape[-2:], stride, dilation), pair(dilation, "dilation")
    kernel, (rows, columns) = weight.shape[-2:], counts(x.shape[-2:], weight.shape[-2:], *steps)
    images = x.reshape(-1, *x.shape[-3:])
    matrix = weight.reshape(groups, len(weight) // groups, -1)
    out = np.empty((len(images), *matrix.shape[:2], rows * columns), np.result_type(x, weight))
    for block in _blocks(len(images), matrix.shape[0] * matrix.shape[2] * rows * columns * out.itemsize):
        np.matmul(matrix, _columns(images[block], groups, kernel, (rows, columns), *steps), out=out[block])
    return _with_bias(out.reshape(*x.shape[:-3], len(weight), rows, columns), bias)


@conv2d.vjp("x")
def conv2d_vjp_x(
    g: Array,
    out: Array,
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    exact = fitted(x.shape[-2:], g.shape[-2:], weight.shape[-2:], stride, padding, dilation)
    return conv_transpose2d(g, weight, None, stride, exact, 0, groups, dilation)


@conv2d.vjp("weight")
def conv2d_vjp_weight(
    g: Array,
    out: Array,
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    exact = fitted(x.shape[-2:], g.shape[-2:], weight.shape[-2:], stride, padding, dilation)
    return conv2d_weight(x, g, weight.shape[-2:], stride, exact, dilation, groups)


@conv2d.vjp("bias")
def conv2d_vjp_bias(
    g: Array,
    out: Array,
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    by_image = np.sum(g, axis=(-2, -1)).reshape(-1, weight.shape[0])
    return np.sum(by_image, axis=0)


@conv2d.textbook
def conv2d_textbook(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    kernel, size, pads = weight.shape[-2:], x.shape[-2:], paddings(padding, weight.shape[-2:], stride, dilation)
    windows = counts(size, kernel, pair(stride, "stride"), pads, pair(dilation, "dilation"))
    rows = selection(0, size, windows, kernel, stride, pads, dilation).astype(x.dtype)
    columns = selection(1, size, windows, kernel, stride, pads, dilation).astype(x.dtype)
    images = x.reshape(-1, groups, x.shape[-3] // groups, *size)
    by_column = np.einsum("ngchw,bjw->ngchbj", images, columns)
    pixels = np.einsum("ngchbj,aih->ngcabij", by_column, rows)
    weights = weight.reshape(groups, -1, *weight.shape[1:])
    product = np.einsum("ngcabij,gocab->ngoij", pixels, weights)
    out = product.reshape(*x.shape[:-3], weight.shape[0], *windows)
    return out if bias is None else out + bias.reshape(-1, 1, 1)


@primitive(
    method=False,
    samples=[
        Sample(normal(2, 2, 2, 3), normal(2, 3, 2, 2), normal(3)),
        Sample(normal(4, 2, 3), normal(4, 1, 2, 3), None, (2, 1), 1, (1, 0), 2, (1, 2)),
    ],
)
def conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Array:
    """Transpose of `conv2d`: every pixel x[n, c, i, j] adds weight[c] times itself to a window of the result.

    Args: x (N, C, H, W) or (C, H, W), weight (C, O / groups, kh, kw), bias (O,) or None; the others as for `conv2d`.
    Returns (N, O, H', W') with H' = (H - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1. Raises
    ShapeError for what does not fit, ArgumentError for bad options.

    >>> conv_transpose2d(np.array([[[1.0, 2.0]]]), np.ones((1, 1, 1, 2)), stride=2)
    array([[[1., 1., 2., 2.]]])
    """
    x, weight = as_array(x), as_array(weight)
    check_image(x)
    _check_transposed(weight, x.shape, groups)
    windows, kernel, stride, dilation = (
        x.shape[-2:],
        weight.shape[-2:],
        pair(stride, "stride"),
        pair(dilation, "dilation"),
    )
    before = paddings(padding, kernel, stride, dilation)
    size = _transposed_size(windows, kernel, stride, before, dilation, beyond(output_padding, stride, dilation))
    images = x.reshape(-1, groups, x.shape[-3] // groups, windows[0] * windows[1])
    matrix = weight.reshape(groups, len(weight) // groups, -1).swapaxes(-1, -2)
    channels = groups * weight.shape[1]
    out = np.zeros((len(images), channels, *size), np.result_type(x, weight))
    for block in _blocks(len(images), matrix.shape[0] * matrix.shape[1] * images.shape[-1] * out.itemsize):
        columns = np.matmul(matrix, images[block]).reshape(-1, channels, kernel[0] * kernel[1], *windows)
        part = out[block]
        for i, (at, of) in enumerate(shifts(size, windows, kernel, stride, before, dilation)):
            part[of] += columns[:, :, i][at]
    return _with_bias(out.reshape(*x.shape[:-3], channels, *size), bias)


@conv_transpose2d.vjp("x")
def conv_transpose2d_vjp_x(
    g: Array,
    out: Array,
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Array:
    exact = fitted(g.shape[-2:], x.shape[-2:], weight.shape[-2:], stride, padding, dilation)
    return conv2d(g, weight, None, stride, exact, dilation, groups)


@conv_transpose2d.vjp("weight")
def conv_transpose2d_vjp_weight(
    g: Array,
    out: Array,
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Array:
    exact = fitted(g.shape[-2:], x.shape[-2:], weight.shape[-2:], stride, padding, dilation)
    return conv2d_weight(g, x, weight.shape[-2:], stride, exact, dilation, groups)


@conv_transpose2d.vjp("bias")
def conv_transpose2d_vjp_bias(
    g: Array,
    out: Array,
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Array:
    by_image = np.sum(g, axis=(-2, -1)).reshape(-1, g.shape[-3])
    return np.sum(by_image, axis=0)


@conv_transpose2d.textbook
def conv_transpose2d_textbook(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Array:
    kernel, windows, steps, far = weight.shape[-2:], x.shape[-2:], pair(stride, "stride"), pair(dilation, "dilation")
    pads = paddings(padding, kernel)
    size = _transposed_size(windows, kernel, steps, pads, far, beyond(output_padding, steps, far))
    rows = selection(0, size, windows, kernel, steps, pads, far).astype(x.dtype)
    columns = selection(1, size, windows, kernel, steps, pads, far).astype(x.dtype)
    images = x.reshape(-1, groups, x.shape[-3] // groups, *windows)
    weights = weight.reshape(groups, -1, *weight.shape[1:])
    pixels = np.einsum("ngoij,gocab->ngcabij", images, weights)
    by_column = np.einsum("ngcabij,aih->ngchbj", pixels, rows)
    product = np.einsum("ngchbj,bjw->ngchw", by_column, columns)
    out = product.reshape(*x.shape[:-3], groups * weight.shape[1], *size)
    return out if bias is None else out + bias.reshape(-1, 1, 1)


@primitive(
    method=False,
    samples=[
        Sample(normal(2, 2, 3, 3), normal(2, 3, 2, 1), (2, 3)),
        Sample(normal(4, 3, 5), normal(2, 2, 3), (2, 2), 2, 1, 2, 2),
    ],
)
def conv2d_weight(
    x: Array,
    slope: Array,
    kernel_size: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    """Derivative of `conv2d` by its weight: out[o, c, a, b] = sum_nij slope[n, o, i, j] x[n, c, i + a, j + b].

    Args: x (N, C, H, W) or (C, H, W); slope (N, O, H', W') or (O, H', W'), the cotangent of the convolution;
    kernel_size (kh, kw) of the weight; the others as for `conv2d`. Returns (O, C / groups, kh, kw). Raises ShapeError
    if slope is not like what `conv2d` returns.

    >>> conv2d_weight(np.arange(4.0).reshape(1, 2, 2), np.ones((1, 2, 2)), (1, 1))
    array([[[[6.]]]])
    """
    x, slope = as_array(x), as_array(slope)
    check_image(x)
    kernel = pair(kernel_size, "kernel_size")
    steps = pair(stride, "stride"), paddings(padding, kernel, stride, dilation), pair(dilation, "dilation")
    windows = counts(x.shape[-2:], kernel, *steps)
    channels, outputs = x.shape[-3], slope.shape[-3] if slope.ndim > 2 else 0
    if slope.shape != (*x.shape[:-3], outputs, *windows) or outputs % groups or channels % groups:
        remedy = f"pass the cotangent of conv2d, {(*x.shape[:-3], 'O', *windows)}, and its options"
        raise ShapeError(f"slope {slope.shape} is like no convolution of x {x.shape}", remedy=remedy)
    images = x.reshape(-1, *x.shape[-3:])
    rows = slope.reshape(len(images), groups, outputs // groups, windows[0] * windows[1])
    width = channels // groups * kernel[0] * kernel[1]
    out = np.zeros((groups, outputs // groups, width), np.result_type(x, slope))
    for block in _blocks(len(images), groups * width * rows.shape[-1] * out.itemsize):
        columns = _columns(images[block], groups, kernel, windows, *steps)
        out += np.matmul(rows[block], columns.swapaxes(-1, -2)).sum(axis=0)
    return out.reshape(outputs, channels // groups, *kernel)


@conv2d_weight.vjp("x")
def conv2d_weight_vjp_x(
    g: Array,
    out: Array,
    x: Array,
    slope: Array,
    kernel_size: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    exact = fitted(x.shape[-2:], slope.shape[-2:], g.shape[-2:], stride, padding, dilation)
    return conv_transpose2d(slope, g, None, stride, exact, 0, groups, dilation)


@conv2d_weight.vjp("slope")
def conv2d_weight_vjp_slope(
    g: Array,
    out: Array,
    x: Array,
    slope: Array,
    kernel_size: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    exact = fitted(x.shape[-2:], slope.shape[-2:], g.shape[-2:], stride, padding, dilation)
    return conv2d(x, g, None, stride, exact, dilation, groups)


@conv2d_weight.textbook
def conv2d_weight_textbook(
    x: Array,
    slope: Array,
    kernel_size: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    kernel, size, windows = pair(kernel_size, "kernel_size"), x.shape[-2:], slope.shape[-2:]
    rows = selection(0, size, windows, kernel, stride, padding, dilation).astype(x.dtype)
    columns = selection(1, size, windows, kernel, stride, padding, dilation).astype(x.dtype)
    images = x.reshape(-1, groups, x.shape[-3] // groups, *size)
    slopes = slope.reshape(-1, groups, slope.shape[-3] // groups, *windows)
    by_column = np.einsum("ngchw,bjw->ngchbj", images, columns)
    pixels = np.einsum("ngchbj,aih->ngcabij", by_column, rows)
    out = np.einsum("ngcabij,ngoij->gocab", pixels, slopes)
    return out.reshape(slope.shape[-3], x.shape[-3] // groups, *kernel)


@primitive(
    method=False,
    samples=[
        Sample(normal(2, 2, 5), normal(3, 2, 2), normal(3), stride=2),
        Sample(normal(2, 5), normal(2, 1, 2), None, 1, "same", 2, 2),
    ],
)
def conv1d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    """Cross-correlation along one axis: out[n, o, i] = bias[o] + sum_ca weight[o, c, a] x[n, c, i + a].

    Args: x (N, C, L) or (C, L), weight (O, C / groups, k), bias (O,) or None; the others as for `conv2d`. Returns
    (N, O, L') with L' = (L + 2 padding - dilation (k - 1) - 1) // stride + 1.

    >>> conv1d(np.array([[1.0, 2.0, 4.0]]), np.array([[[-1.0, 1.0]]]))
    array([[1., 2.]])
    """
    x, weight = as_array(x), as_array(weight)
    _check_groups(groups)
    if x.ndim not in (2, 3) or weight.ndim != 3:
        remedy = f"give x the shape (N, C, L) or (C, L), and weight (O, C / {groups}, k)"
        raise ShapeError(f"x {x.shape} and weight {weight.shape} with groups={groups}", remedy=remedy)
    fitting = f"(O, {x.shape[-2]} / groups, k)"
    _check_channels(x.shape, -2, weight, groups, weight.shape[1] * groups, fitting)
    steps = _one_row(stride, padding, dilation, weight.shape[-1])
    out = conv2d.forward(np.expand_dims(x, -2), np.expand_dims(weight, -2), bias, *steps, groups)
    return np.squeeze(out, -2)


@conv1d.vjp("x")
def conv1d_vjp_x(
    g: Array,
    out: Array,
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    steps = _one_row(stride, padding, dilation, weight.shape[-1])
    slope = np.expand_dims(g, -2)
    slope_x = conv2d_vjp_x(slope, out, np.expand_dims(x, -2), np.expand_dims(weight, -2), bias, *steps, groups)
    return np.squeeze(slope_x, -2)


@conv1d.vjp("weight")
def conv1d_vjp_weight(
    g: Array,
    out: Array,
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    steps = _one_row(stride, padding, dilation, weight.shape[-1])
    slope = np.expand_dims(g, -2)
    slope_w = conv2d_vjp_weight(slope, out, np.expand_dims(x, -2), np.expand_dims(weight, -2), bias, *steps, groups)
    return np.squeeze(slope_w, -2)


@conv1d.vjp("bias")
def conv1d_vjp_bias(
    g: Array,
    out: Array,
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    by_image = np.sum(g, axis=-1).reshape(-1, weight.shape[0])
    return np.sum(by_image, axis=0)


@conv1d.textbook
def conv1d_textbook(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    steps = _one_row(stride, padding, dilation, weight.shape[-1])
    out = conv2d_textbook(np.expand_dims(x, -2), np.expand_dims(weight, -2), bias, *steps, groups)
    return np.squeeze(out, -2)


def _one_row(stride: Any, padding: Any, dilation: Any, length: int) -> tuple[Pair, Padding, Pair]:
    """The options of a convolution along one axis, as those of images with a single row."""
    strides = (1, only(stride, "stride"))
    pads = padding if isinstance(padding, str) else (0, only(padding, "padding"))
    dilations = (1, only(dilation, "dilation"))
    return strides, paddings(pads, (1, length), strides, dilations), dilations


def _columns(
    images: Array, groups: int, kernel: Pair, windows: Pair, stride: Pair, padding: Padding, dilation: Pair
) -> Array:
    """Every window as a column, by image and group: (N, groups, C / groups * kh * kw, windows)."""
    shape = (*images.shape[:2], kernel[0] * kernel[1], *windows)
    size = images.shape[-2:]
    pixels = [*shifts(size, windows, kernel, stride, padding, dilation)]
    if len(pixels) == 1 and size == windows and pixels[0][1][-1] == slice(0, size[1], 1):
        columns = images  # a kernel of one pixel
    else:
        covered = all(length <= n for length, n in zip(extent(kernel, dilation), size, strict=True))
        whole = covered and not any(before > 0 or after > 0 for before, after in padding)
        columns = (np.empty if whole else np.zeros)(shape, images.dtype)
        for i, (at, of) in enumerate(pixels):
            columns[:, :, i][at] = images[of]
    count = windows[0] * windows[1]
    return columns.reshape(len(images), groups, images.shape[1] // groups * shape[2], count)


def _blocks(images: int, size: int) -> Iterator[slice]:
    """Images in blocks of about `BLOCK` bytes, given the bytes that each takes."""
    block = max(1, BLOCK // max(1, size))
    for start in range(0, images, block):
        yield slice(start, start + block)


def _with_bias(out: Array, bias: Array | None) -> Array:
    """The bias added to each channel, in place where the types allow it."""
    if bias is None:
        return out
    bias = as_array(bias)
    if bias.shape != out.shape[-3:-2]:
        what = f"bias {bias.shape} for {out.shape[-3]} channels"
        raise ShapeError(what, remedy=f"give bias the shape {out.shape[-3:-2]}")
    bias = bias.reshape(-1, 1, 1)
    if np.result_type(out, bias) != out.dtype:
        return out + bias
    out += bias
    return out


def _check_groups(groups: Any) -> None:
    if not isinstance(groups, (int, np.integer)) or isinstance(groups, bool) or groups < 1:
        raise ArgumentError(f"groups={groups!r}", remedy="give a whole number of at least 1")


def _check_weight(weight: Any, images: tuple[int, ...], groups: int) -> None:
    """Refuse a weight that does not fit images of a shape."""
    _check_groups(groups)
    channels = images[-3]
    if weight.ndim != 4 or 0 in weight.shape[-2:]:
        remedy = f"give weight the shape (O, {channels} / groups, kh, kw)"
        raise ShapeError(f"weight {weight.shape} for x {images} in groups={groups}", remedy=remedy)
    _check_channels(images, -3, weight, groups, weight.shape[1] * groups, f"(O, {channels} / groups, kh, kw)")
    if len(weight) % groups:
        what = f"groups={groups} does not divide the {len(weight)} channels that weight {weight.shape} makes"
        raise ShapeError(what, remedy="take a divisor of both numbers of channels")


def _check_transposed(weight: Any, images: tuple[int, ...], groups: int) -> None:
    """Refuse a weight that does not fit images of a shape in a transposed convolution."""
    _check_groups(groups)
    channels = images[-3]
    if weight.ndim != 4 or 0 in weight.shape[-2:]:
        remedy = f"give weight the shape ({channels}, O / groups, kh, kw)"
        raise ShapeError(f"weight {weight.shape} for x {images}", remedy=remedy)
    _check_channels(images, -3, weight, groups, len(weight), f"({channels}, O / groups, kh, kw)")
    if channels % groups:
        raise ShapeError(f"groups={groups} does not divide the channels of x {images}", remedy="take a divisor")


def _check_channels(shape: tuple[int, ...], axis: int, weight: Any, groups: int, wanted: int, fitting: str) -> None:
    """Refuse another number of channels than the weight is for; `fitting` is the shape of one for these."""
    channels = shape[axis]
    if channels != wanted:
        what = f"x {shape} has {channels} channels; weight {weight.shape} in groups={groups} is for {wanted}"
        last = f" (np.moveaxis(x, -1, {axis}) if they come last)" if shape[-1] == wanted else ""
        divisor = ", groups a divisor of both" if channels % groups else ""
        remedy = f"make the layer with in_channels={channels}, its weight {fitting}{divisor}, or give x {wanted}{last}"
        raise ShapeError(what, remedy=remedy)


def _transposed_size(windows: Pair, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair, beyond: Pair) -> Pair:
    """The image of which so many windows are."""
    reach = extent(kernel, dilation)
    rows, columns = [
        (o - 1) * s + r - sum(p) + more
        for o, s, r, p, more in zip(windows, stride, reach, padding, beyond, strict=True)
    ]
    if rows < 1 or columns < 1:
        what = f"nothing is left of {windows[0]} x {windows[1]} pixels: the result would be {rows} x {columns}"
        raise ShapeError(what, remedy="take less padding")
    return rows, columns


def beyond(output_padding: Any, stride: Pair, dilation: Pair) -> Pair:
    """The rows and columns added at the end, fewer than the stride or the dilation."""
    rows, columns = pair(output_padding, "output_padding", least=0)
    if rows >= max(stride[0], dilation[0]) or columns >= max(stride[1], dilation[1]):
        remedy = "keep it below the stride or the dilation"
        raise ArgumentError(
            f"output_padding={output_padding!r} with stride={stride}, dilation={dilation}", remedy=remedy
        )
    return rows, columns
