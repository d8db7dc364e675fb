"""Max pooling as compiled loops, window by window, in the place of NumPy's passes over all images.

It takes a third of the time of `ops/pooling.py`, and a quarter off the step of a small convolutional network. Loops are
compiled anew in each process, in half a second. Like `machine.py` this file cannot be imported without Numba.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from tinygrad_sm.ops import pooling
from tinygrad_sm.ops.windows import Pair, extent
from tinygrad_sm.threads import run_blocks

Array = Any


def max_pool2d(
    x: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1
) -> tuple[Array, Array]:
    """The forward of the operation of that name: the same values and positions."""
    windows, kernel, strides, pads, far = pooling.pooling_geometry(x, kernel_size, stride, padding, dilation)
    if pads != ((0, 0), (0, 0)) or x.dtype.char not in "fd":
        return pooling.max_pool2d.forward(x, kernel_size, stride, padding, dilation)  # type: ignore[no-any-return]
    images = np.ascontiguousarray(x).reshape(-1, *x.shape[-2:])
    out = np.empty((len(images), *windows), x.dtype)
    positions = np.empty(out.shape, pooling.position_type(kernel))
    maxima = _maxima(kernel, strides, far, pooling.position_type(kernel))

    def of_block(lo: int, hi: int) -> None:
        maxima(images[lo:hi], out[lo:hi], positions[lo:hi])

    run_blocks(of_block, len(images), pooling.images_per_block(images))
    shape = (*x.shape[:-2], *windows)
    return out.reshape(shape), positions.reshape(shape)


def scatter_windows(
    slope: Array,
    positions: Array,
    size: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
) -> Array:
    """The forward of the operation of that name."""
    kernel, strides, pads, far = pooling.pooling_options(kernel_size, stride, padding, dilation)
    overlap = any(step < reach for step, reach in zip(strides, extent(kernel, far), strict=True))
    if overlap or pads != ((0, 0), (0, 0)) or slope.dtype.char not in "fd":
        return pooling.scatter_windows.forward(slope, positions, size, kernel_size, stride, padding, dilation)
    slopes = np.ascontiguousarray(slope).reshape(-1, *slope.shape[-2:])
    places = np.ascontiguousarray(positions).reshape(slopes.shape)
    out = np.zeros((len(slopes), *size), slope.dtype)
    scattered = _scattered(kernel, strides, far)

    def of_block(lo: int, hi: int) -> None:
        scattered(slopes[lo:hi], places[lo:hi], out[lo:hi])

    run_blocks(of_block, len(out), pooling.images_per_block(out))
    return out.reshape(*slope.shape[:-2], *size)


@functools.cache
def _maxima(kernel: Pair, stride: Pair, dilation: Pair, kind: Any) -> Callable[..., None]:
    """The loop for windows of one kind: with known lengths it takes a third of the time."""
    (rows, columns), (down, right), (far_down, far_right) = kernel, stride, dilation

    @numba.njit(nogil=True)
    def maxima(images, out, positions):  # type: ignore[no-untyped-def]
        for n in range(images.shape[0]):
            for i in range(out.shape[1]):
                for j in range(out.shape[2]):
                    best, place = images[n, i * down, j * right], kind(0)
                    for a in range(rows):
                        for b in range(columns):
                            value = images[n, i * down + a * far_down, j * right + b * far_right]
                            better = (not value <= best) & (best == best)  # NaN counts as the largest, the first one
                            best = value if better else best  # a choice, not a branch that a processor would guess
                            place = kind(a * columns + b) if better else place
                    out[n, i, j] = best
                    positions[n, i, j] = place

    return maxima  # type: ignore[no-any-return]


@functools.cache
def _scattered(kernel: Pair, stride: Pair, dilation: Pair) -> Callable[..., None]:
    """The loop for windows that do not overlap, each of which is written as a whole."""
    (rows, columns), (down, right), (far_down, far_right) = kernel, stride, dilation

    @numba.njit(nogil=True)
    def scattered(slopes, places, out):  # type: ignore[no-untyped-def]
        for n in range(slopes.shape[0]):
            for i in range(slopes.shape[1]):
                for j in range(slopes.shape[2]):
                    slope, place = slopes[n, i, j], places[n, i, j]
                    for a in range(rows):
                        for b in range(columns):
                            here = slope if place == a * columns + b else 0
                            out[n, i * down + a * far_down, j * right + b * far_right] = here

    return scattered  # type: ignore[no-any-return]


FASTER: dict[Callable[..., Any], Callable[..., Any]] = {
    pooling.max_pool2d.forward: max_pool2d,
    pooling.scatter_windows.forward: scatter_windows,
}
