"""Pooling: one number for each window of an image, channels first, under PyTorch's names.

Maxima are taken from positions in windows, which are constants, so that the derivative scatters to these positions and
its derivative gathers from them. An average is linear, and its derivative its transpose.

Source: D. Scherer et al., Evaluation of pooling operations in convolutional architectures for object recognition, 2010.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.errors import ArgumentError, ShapeError
from tinygrad_sm.operand import as_array, plain
from tinygrad_sm.ops.samples import Sample, distinct, integers, normal
from tinygrad_sm.ops.windows import (
    Padding,
    Pair,
    check_image,
    counts,
    extent,
    inside,
    paddings,
    pair,
    selection,
    shifts,
)
from tinygrad_sm.threads import run_blocks

BLOCK = 1 << 19  # bytes of images at a time


@primitive(
    method=False,
    residual=True,
    samples=[
        Sample(distinct(2, 2, 4, 5), 2),
        Sample(distinct(1, 5, 4), (3, 2), 1, 1, (1, 2)),
    ],
)
def max_pool2d(x: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1) -> Any:
    """Largest value of every window: out[n, c, i, j] = max_ab x[n, c, i stride + a, j stride + b].

    Args: x (N, C, H, W) or (C, H, W); the others a number or a pair (rows, columns), stride the kernel's size by
    default, padding, with -inf, at most half of it. Returns (N, C, H', W') with
    H' = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1. NaN counts as the largest. The gradient goes to one
    value of each window, of equal ones to the first in memory. Raises ShapeError for a kernel that does not fit.

    >>> max_pool2d(np.array([[[1.0, 5.0, 2.0, 2.0], [3.0, 4.0, 0.0, 1.0]]]), 2)
    array([[[5., 2.]]])
    """
    x = as_array(x)
    return _maxima(x, *pooling_geometry(x, kernel_size, stride, padding, dilation))


@max_pool2d.vjp("x")
def max_pool2d_vjp_x(
    g: Array,
    out: Array,
    x: Array,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    residual: Array | None = None,
) -> Array:
    positions = argmax_windows(x, kernel_size, stride, padding, dilation) if residual is None else residual
    return scatter_windows(g, positions, x.shape[-2:], kernel_size, stride, padding, dilation)


@primitive(
    method=False,
    differentiable=False,
    samples=[Sample(distinct(2, 2, 4, 5), 2), Sample(distinct(1, 5, 4), (3, 2), 1, 1, (1, 2))],
)
def argmax_windows(x: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1) -> Array:
    """Where in each window of `max_pool2d` the maximum stands, counted in memory order; carries no gradient.

    >>> argmax_windows(np.array([[[1.0, 5.0, 2.0, 2.0], [3.0, 4.0, 0.0, 1.0]]]), 2).tolist()
    [[[1, 0]]]
    """
    x = as_array(x)
    return _maxima(x, *pooling_geometry(x, kernel_size, stride, padding, dilation))[1]


@argmax_windows.textbook
def argmax_windows_textbook(
    x: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1
) -> Array:
    pixels, outside = _pixels(x, *pooling_geometry(x, kernel_size, stride, padding, dilation))
    return np.argmax(pixels + outside, axis=-1)


@max_pool2d.textbook
def max_pool2d_textbook(x: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1) -> Array:
    pixels, outside = _pixels(x, *pooling_geometry(x, kernel_size, stride, padding, dilation))
    winner = np.argmax(plain(pixels) + outside, axis=-1)
    chosen = np.expand_dims(winner, -1) == np.arange(pixels.shape[-1])
    return np.sum(np.where(chosen, pixels, 0), axis=-1)


def _pixels(
    x: Array, windows: Pair, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair
) -> tuple[Array, Array]:
    """The pixels of each window (..., H', W', kh kw), 0 in the padding, and what makes these smaller than any other."""
    rows = selection(0, x.shape[-2:], windows, kernel, stride, padding, dilation).astype(x.dtype)
    columns = selection(1, x.shape[-2:], windows, kernel, stride, padding, dilation).astype(x.dtype)
    by_column = np.einsum("...hw,bjw->...hbj", x, columns)
    by_pixel = np.einsum("...hbj,aih->...ijab", by_column, rows)
    return by_pixel.reshape(*x.shape[:-2], *windows, -1), _padded_with_infinity(rows, columns)


def _padded_with_infinity(rows: Array, columns: Array) -> Array:
    """-inf for the pixels of a window that lie in the padding, and 0 for the others (H', W', kh kw)."""
    covered = np.einsum("ai,bj->ijab", rows.sum(axis=-1), columns.sum(axis=-1))
    return np.where(covered > 0, covered - covered, -np.inf).reshape(*covered.shape[:2], -1)


@primitive(
    method=False,
    samples=[
        Sample(normal(2, 2, 2), integers(4, 2, 2, 2), (5, 4), 2),
        Sample(normal(1, 1, 3, 2), np.array([[[[2, 3], [0, 1], [1, 0]]]]), (2, 3), 2, 1, (1, 0)),
    ],
)
def scatter_windows(
    slope: Array,
    positions: Array,
    size: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
) -> Array:
    """Derivative of `max_pool2d`: every value added to that pixel of its window that is named, 0 elsewhere.

    Args: slope (..., H', W'), the cotangent of the maxima; positions of its shape, integers that count the pixels of a
    window in memory order; size (H, W) of the image; the others as for `max_pool2d`. Returns (..., H, W).

    >>> scatter_windows(np.array([[[7.0, 8.0]]]), np.array([[[1, 2]]]), (2, 4), 2)
    array([[[0., 7., 0., 0.],
            [0., 0., 8., 0.]]])
    """
    slope, positions = as_array(slope), as_array(positions)
    kernel, strides, pads, dilations = pooling_options(kernel_size, stride, padding, dilation)
    geometry = (size, slope.shape[-2:], kernel, strides, pads, dilations)
    overlap = any(s < n for s, n in zip(strides, extent(kernel, dilations), strict=True))
    # A product with the mask takes a tenth of the time of np.where, but 0 times infinity is NaN.
    finite = np.isfinite(np.vdot(slope, slope))
    tiled = not overlap and pads == ((0, 0), (0, 0)) and kernel[0] * slope.shape[-2] == size[0]
    tiled = tiled and kernel[1] * slope.shape[-1] == size[1]
    out = (np.empty if tiled else np.zeros)((*slope.shape[:-2], *size), slope.dtype)

    def scatter(lo: int, hi: int) -> None:
        values, places, part = slope[lo:hi], positions[lo:hi], out[lo:hi]
        for i, (at, of) in _numbered(*geometry):
            chosen = places[at] == i
            if not overlap and finite:
                np.multiply(values[at], chosen, out=part[of])
            else:
                share = values[at] * chosen if finite else np.where(chosen, values[at], 0)
                part[of] = part[of] + share if overlap else share

    run_blocks(scatter, len(out), images_per_block(out))
    return out


@scatter_windows.vjp("slope")
def scatter_windows_vjp_slope(
    g: Array,
    out: Array,
    slope: Array,
    positions: Array,
    size: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
) -> Array:
    return gather_windows(g, positions, kernel_size, stride, padding, dilation)


@scatter_windows.textbook
def scatter_windows_textbook(
    slope: Array,
    positions: Array,
    size: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
) -> Array:
    kernel, strides, pads, dilations = pooling_options(kernel_size, stride, padding, dilation)
    rows = selection(0, size, slope.shape[-2:], kernel, strides, pads, dilations).astype(slope.dtype)
    columns = selection(1, size, slope.shape[-2:], kernel, strides, pads, dilations).astype(slope.dtype)
    pixels = np.einsum("...ij,ab...ij->...abij", slope, _chosen(positions, kernel, slope.dtype))
    by_column = np.einsum("...abij,aih->...hbj", pixels, rows)
    return np.einsum("...hbj,bjw->...hw", by_column, columns)


@primitive(
    method=False,
    samples=[
        Sample(normal(2, 5, 4), integers(4, 2, 2, 2), 2),
        Sample(normal(1, 1, 2, 3), np.array([[[[2, 3], [0, 1], [1, 0]]]]), 2, 1, (1, 0)),
    ],
)
def gather_windows(
    x: Array, positions: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1
) -> Array:
    """The named pixel of every window: the transpose of `scatter_windows`.

    Args: x (..., H, W); positions (..., H', W'), integers that count the pixels of a window in memory order; the
    others as for `max_pool2d`. Returns (..., H', W').

    >>> gather_windows(np.array([[[1.0, 5.0, 2.0, 2.0]]]), np.array([[[1, 0]]]), (1, 2))
    array([[[5., 2.]]])
    """
    x, positions = as_array(x), as_array(positions)
    kernel, strides, pads, dilations = pooling_options(kernel_size, stride, padding, dilation)
    out = np.zeros(positions.shape, x.dtype)
    for i, (at, of) in _numbered(x.shape[-2:], positions.shape[-2:], kernel, strides, pads, dilations):
        out[at] = np.where(positions[at] == i, x[of], out[at])
    return out


@gather_windows.vjp("x")
def gather_windows_vjp_x(
    g: Array,
    out: Array,
    x: Array,
    positions: Array,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
) -> Array:
    return scatter_windows(g, positions, x.shape[-2:], kernel_size, stride, padding, dilation)


@gather_windows.textbook
def gather_windows_textbook(
    x: Array, positions: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1
) -> Array:
    kernel, strides, pads, dilations = pooling_options(kernel_size, stride, padding, dilation)
    rows = selection(0, x.shape[-2:], positions.shape[-2:], kernel, strides, pads, dilations).astype(x.dtype)
    columns = selection(1, x.shape[-2:], positions.shape[-2:], kernel, strides, pads, dilations).astype(x.dtype)
    by_column = np.einsum("...hw,bjw->...hbj", x, columns)
    pixels = np.einsum("...hbj,aih->...abij", by_column, rows)
    return np.einsum("...abij,ab...ij->...ij", pixels, _chosen(positions, kernel, x.dtype))


def _chosen(positions: Array, kernel: Pair, dtype: Any) -> Array:
    """For every element of a window whether it is the one at the position, as zeros and ones (kh, kw, ..., H', W')."""
    places = np.arange(kernel[0] * kernel[1]).reshape(*kernel, *[1] * positions.ndim)
    return (places == positions).astype(dtype)


@primitive(
    method=False,
    samples=[
        Sample(normal(2, 2, 4, 5), 2),
        Sample(normal(1, 5, 4), (3, 2), 2, 1, count_include_pad=False),
    ],
)
def avg_pool2d(
    x: Array,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    *,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """Average of every window: out[n, c, i, j] = sum_ab x[n, c, i stride + a, j stride + b] / (kh kw).

    Args: x (N, C, H, W) or (C, H, W); the others as for `max_pool2d`, padding with 0. A sum is divided by the number of
    pixels, without the padded ones if not count_include_pad, or by divisor_override. Returns (N, C, H', W') with
    H' = (H + 2 padding - kh) // stride + 1.

    >>> avg_pool2d(np.array([[[1.0, 5.0, 2.0, 2.0], [3.0, 3.0, 0.0, 0.0]]]), 2)
    array([[[3., 1.]]])
    """
    x = as_array(x)
    windows, kernel, strides, pads, dilations = pooling_geometry(x, kernel_size, stride, padding)
    dtype = x.dtype if x.dtype.kind == "f" else np.dtype(float)
    out = np.zeros((*x.shape[:-2], *windows), dtype)
    for at, of in shifts(x.shape[-2:], windows, kernel, strides, pads, dilations):
        out[at] += x[of]
    return out / _divisor(x.shape[-2:], windows, kernel, strides, pads, count_include_pad, divisor_override, dtype)


@avg_pool2d.vjp("x")
def avg_pool2d_vjp_x(
    g: Array,
    out: Array,
    x: Array,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    *,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    size = x.shape[-2:]
    return avg_unpool2d(
        g, size, kernel_size, stride, padding, count_include_pad=count_include_pad, divisor_override=divisor_override
    )


@avg_pool2d.textbook
def avg_pool2d_textbook(
    x: Array,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    *,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    windows, kernel, strides, pads, dilations = pooling_geometry(x, kernel_size, stride, padding)
    rows = selection(0, x.shape[-2:], windows, kernel, strides, pads, dilations).astype(x.dtype)
    columns = selection(1, x.shape[-2:], windows, kernel, strides, pads, dilations).astype(x.dtype)
    sums = rows.sum(axis=0) @ x @ columns.sum(axis=0).T
    return sums / _divisor(x.shape[-2:], windows, kernel, strides, pads, count_include_pad, divisor_override, x.dtype)


@primitive(
    method=False,
    samples=[
        Sample(normal(2, 2, 2), (4, 5), 2),
        Sample(normal(1, 2, 3), (4, 5), (3, 2), 2, 1, count_include_pad=False),
    ],
)
def avg_unpool2d(
    slope: Array,
    size: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    *,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """Derivative of `avg_pool2d`, its transpose: every value shared evenly among the pixels of its window.

    Args: slope (..., H', W'), the cotangent of the averages; size (H, W) of the image; the others as for `avg_pool2d`.
    Returns (..., H, W).

    >>> avg_unpool2d(np.array([[[4.0, 8.0]]]), (2, 4), 2)
    array([[[1., 1., 2., 2.],
            [1., 1., 2., 2.]]])
    """
    slope = as_array(slope)
    kernel, strides, pads, dilations = pooling_options(kernel_size, stride, padding)
    windows = slope.shape[-2:]
    share = slope / _divisor(size, windows, kernel, strides, pads, count_include_pad, divisor_override, slope.dtype)
    out = np.zeros((*slope.shape[:-2], *size), slope.dtype)
    for at, of in shifts(size, windows, kernel, strides, pads, dilations):
        out[of] += share[at]
    return out


@avg_unpool2d.vjp("slope")
def avg_unpool2d_vjp_slope(
    g: Array,
    out: Array,
    slope: Array,
    size: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    *,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    return avg_pool2d(
        g, kernel_size, stride, padding, count_include_pad=count_include_pad, divisor_override=divisor_override
    )


@avg_unpool2d.textbook
def avg_unpool2d_textbook(
    slope: Array,
    size: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    *,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    kernel, strides, pads, dilations = pooling_options(kernel_size, stride, padding)
    windows = slope.shape[-2:]
    rows = selection(0, size, windows, kernel, strides, pads, dilations).astype(slope.dtype)
    columns = selection(1, size, windows, kernel, strides, pads, dilations).astype(slope.dtype)
    divisor = _divisor(size, windows, kernel, strides, pads, count_include_pad, divisor_override, slope.dtype)
    return rows.sum(axis=0).T @ (slope / divisor) @ columns.sum(axis=0)


@primitive(method=False, samples=[Sample(normal(2, 2, 5, 4), (3, 2)), Sample(normal(1, 2, 3), (None, 5))])
def adaptive_avg_pool2d(x: Array, output_size: Any) -> Array:
    """Averages over as many windows as are asked for: window i of n covers floor(i H / n) to ceil((i + 1) H / n).

    Args: x (N, C, H, W) or (C, H, W); output_size a number or a pair (rows, columns), None for the image's own.
    Returns (N, C, *output_size).

    >>> adaptive_avg_pool2d(np.array([[[1.0, 5.0, 2.0], [3.0, 3.0, 4.0]]]), 1)
    array([[[3.]]])
    """
    x = as_array(x)
    check_image(x)
    if 0 in x.shape[-2:]:
        raise ShapeError(f"an image of {x.shape[-2]} x {x.shape[-1]} has no average", remedy="give it pixels")
    dtype = x.dtype if x.dtype.kind == "f" else np.dtype(float)
    rows, columns = adaptive_size(output_size, x.shape[-2:])
    by_row = np.empty((*x.shape[:-2], rows, x.shape[-1]), dtype)
    for i, window in enumerate(_bins(x.shape[-2], rows)):
        by_row[..., i, :] = np.mean(x[..., window, :], axis=-2)
    out = np.empty((*by_row.shape[:-1], columns), dtype)
    for j, window in enumerate(_bins(x.shape[-1], columns)):
        out[..., j] = np.mean(by_row[..., window], axis=-1)
    return out


@adaptive_avg_pool2d.vjp("x")
def adaptive_avg_pool2d_vjp_x(g: Array, out: Array, x: Array, output_size: Any) -> Array:
    return adaptive_avg_unpool2d(g, x.shape[-2:])


@adaptive_avg_pool2d.textbook
def adaptive_avg_pool2d_textbook(x: Array, output_size: Any) -> Array:
    rows, columns = adaptive_size(output_size, x.shape[-2:])
    return _averages(x.shape[-2], rows, x.dtype) @ x @ _averages(x.shape[-1], columns, x.dtype).T


@primitive(method=False, samples=[Sample(normal(2, 2, 3, 2), (5, 4)), Sample(normal(1, 2, 5), (2, 3))])
def adaptive_avg_unpool2d(slope: Array, size: Any) -> Array:
    """Derivative of `adaptive_avg_pool2d`, its transpose: every value shared evenly among the pixels of its window.

    Args: slope (..., H', W'), the cotangent of the averages; size (H, W) of the image. Returns (..., H, W).

    >>> adaptive_avg_unpool2d(np.array([[[6.0]]]), (2, 3))
    array([[[1., 1., 1.],
            [1., 1., 1.]]])
    """
    slope = as_array(slope)
    by_row = np.zeros((*slope.shape[:-1], size[1]), slope.dtype)
    for j, window in enumerate(_bins(size[1], slope.shape[-1])):
        by_row[..., window] += slope[..., j : j + 1] / (window.stop - window.start)
    out = np.zeros((*slope.shape[:-2], *size), slope.dtype)
    for i, window in enumerate(_bins(size[0], slope.shape[-2])):
        out[..., window, :] += by_row[..., i : i + 1, :] / (window.stop - window.start)
    return out


@adaptive_avg_unpool2d.vjp("slope")
def adaptive_avg_unpool2d_vjp_slope(g: Array, out: Array, slope: Array, size: Any) -> Array:
    return adaptive_avg_pool2d(g, slope.shape[-2:])


@adaptive_avg_unpool2d.textbook
def adaptive_avg_unpool2d_textbook(slope: Array, size: Any) -> Array:
    rows, columns = slope.shape[-2:]
    return _averages(size[0], rows, slope.dtype).T @ slope @ _averages(size[1], columns, slope.dtype)


def _averages(size: int, count: int, dtype: Any) -> Array:
    """The matrix whose products with an axis are the averages of its windows."""
    matrix = np.zeros((count, size), dtype)
    for row, window in zip(matrix, _bins(size, count), strict=True):
        row[window] = 1 / (window.stop - window.start)
    return matrix


def pooling_options(kernel_size: Any, stride: Any, padding: Any, dilation: Any = 1) -> tuple[Pair, Pair, Padding, Pair]:
    """Kernel, stride, padding and dilation as pairs."""
    kernel, dilations = pair(kernel_size, "kernel_size"), pair(dilation, "dilation")
    if isinstance(padding, str):
        raise ArgumentError(f"padding={padding!r}", remedy="give a number, or a pair (rows, columns)")
    found = paddings(padding, kernel)
    if any(2 * before > reach for (before, _), reach in zip(found, extent(kernel, dilations), strict=True)):
        remedy = "pad by half of the kernel at most, or there are windows without a pixel"
        raise ArgumentError(f"padding={padding!r} for kernel_size={kernel_size!r}", remedy=remedy)
    return kernel, kernel if stride is None else pair(stride, "stride"), found, dilations


def pooling_geometry(
    x: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any = 1
) -> tuple[Pair, Pair, Pair, Padding, Pair]:
    """How many windows there are, and what `pooling_options` gives."""
    check_image(x)
    kernel, strides, pads, dilations = options = pooling_options(kernel_size, stride, padding, dilation)
    return counts(x.shape[-2:], kernel, strides, pads, dilations), *options


def _numbered(size: Any, windows: Any, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Any:
    """The shifts with the position in the window that each of them is about."""
    return enumerate(shifts(size, windows, kernel, stride, padding, dilation))


def images_per_block(images: Array) -> int:
    """How many images to work on at a time, so that they stay in the cache."""
    return max(1, int(BLOCK * len(images) // max(1, images.nbytes)))


def _maxima(
    x: Array, windows: Pair, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair
) -> tuple[Array, Array]:
    """The largest value of every window, and its position there.

    Pixels are compared a position of the windows at a time: a larger one has the larger position, so that a maximum
    chooses it, in a tenth of the time of np.where.
    """
    geometry = (x.shape[-2:], windows, kernel, stride, padding, dilation)
    out = np.empty((*x.shape[:-2], *windows), x.dtype)
    positions = np.empty(out.shape, position_type(kernel))
    lowest, first = _before_the_first(x.dtype), _first_pixels(*geometry)

    def compare(lo: int, hi: int) -> None:
        images, largest, places = x[lo:hi], out[lo:hi], positions[lo:hi]
        largest[...], places[...] = lowest, first
        for i, (at, of) in _numbered(*geometry):
            candidate, best, place = np.ascontiguousarray(images[of]), largest[at], places[at]
            better = np.less(candidate <= best, best == best)  # or NaN, where there was none
            np.maximum(place, better * positions.dtype.type(i), out=place)
            np.maximum(best, candidate, out=best)

    run_blocks(compare, len(x), images_per_block(x))
    return out, positions


def position_type(kernel: Pair) -> Any:
    """The smallest type that holds the positions in a window."""
    return np.uint8 if kernel[0] * kernel[1] <= 256 else np.int32


def _before_the_first(dtype: Any) -> Any:
    """What every value is at least."""
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min if dtype.kind in "iu" else False


def _first_pixels(size: Pair, windows: Pair, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    """The first pixel of each window that is not in the padding, which wins if all of them are -inf."""
    rows, columns = [
        np.argmax(inside(n, o, k, s, before, d), axis=1)
        for n, o, k, s, (before, _), d in zip(size, windows, kernel, stride, padding, dilation, strict=True)
    ]
    return rows[:, None] * kernel[1] + columns


def _divisor(
    size: Any,
    windows: Any,
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    count_include_pad: bool,
    divisor_override: Any,
    dtype: Any,
) -> Any:
    """What the sum of a window is divided by."""
    if divisor_override is not None:
        check_divisor(divisor_override)
        return int(divisor_override)
    if count_include_pad or padding == ((0, 0), (0, 0)):
        return kernel[0] * kernel[1]
    rows, columns = [
        inside(n, o, k, s, before).sum(axis=1)
        for n, o, k, s, (before, _) in zip(size, windows, kernel, stride, padding, strict=True)
    ]
    return (rows[:, None] * columns).astype(dtype)


def check_divisor(divisor_override: Any) -> None:
    """Refuse what no sum can be divided by."""
    whole = isinstance(divisor_override, (int, np.integer)) and not isinstance(divisor_override, bool)
    if divisor_override is not None and not (whole and divisor_override):
        raise ArgumentError(f"divisor_override={divisor_override!r}", remedy="give a whole number other than 0")


def adaptive_size(output_size: Any, size: Any) -> Pair:
    """The number of windows along each axis, the image's own for None."""
    wanted = tuple(output_size) if np.ndim(output_size) == 1 else (output_size, output_size)
    if len(wanted) == 2:
        wanted = tuple([n if each is None else each for each, n in zip(wanted, size, strict=True)])
    return pair(wanted, "output_size")


def _bins(size: int, count: int) -> list[slice]:
    """What each of so many windows covers of an axis."""
    return [slice(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
