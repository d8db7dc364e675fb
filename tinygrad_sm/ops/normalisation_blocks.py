"""Large arrays normalised in blocks of rows, each of which stays in the cache from its first read to its last write.

A row is what is normalised together: a sample, a group of channels, or a channel over the batch. A layout says how an
array is seen as rows: (rows, parts, length) to reshape it to, and whether the first two are then to be exchanged.
Factors have a shape that broadcasts to that, with as many rows or with one. All that is kept for the derivative is two
numbers for each row: how far the mean is from the first value, and one over the standard deviation.

For (4096, 1024) in 32 bits this takes a quarter of the time of whole arrays.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from tinygrad_sm.engine.primitive import Array
from tinygrad_sm.threads import one_call, run_rows, splits

Layout = tuple[int, int, int, bool]


class RowStatistics(tuple[Any, ...]):
    """For each row the mean less the first value, and one over the standard deviation."""


class Scratch(threading.local):
    """Memory that each thread works in, block after block: new memory for each block would take a tenth more time."""

    def __init__(self) -> None:
        self.arrays: dict[int, Array] = {}

    def array(self, rows: Array, count: int, number: int = 0) -> Array:
        """An array in C order like so many of the rows, the same for the same number."""
        if number not in self.arrays or len(self.arrays[number]) < count:
            self.arrays[number] = np.empty((count, *rows.shape[1:]), rows.dtype)
        return self.arrays[number][:count]


def in_blocks(x: Array) -> bool:
    """Whether an array is large, and of a type in which dot products are exact enough."""
    return splits(x) and x.dtype.itemsize >= 4


@one_call
def standardised_in_blocks(
    x: Array, layout: Layout, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """The array normalised, times weight plus bias, and the statistics of its rows."""
    result = np.empty(x.shape, np.result_type(*[each for each in (x, weight, bias) if each is not None]))
    rows, out, scratch = as_rows(x, layout), as_rows(result, layout), Scratch()
    means, inverses = np.empty((2, len(rows), 1, 1), x.dtype)

    def kernel(lo: int, hi: int) -> None:
        d = scratch.array(out, hi - lo) if layout[-1] else out[lo:hi]
        np.subtract(rows[lo:hi], rows[lo:hi, :1, :1], out=d)
        means[lo:hi] = centre(d)
        inverses[lo:hi] = inverse_deviation(d, eps)
        d *= inverses[lo:hi]
        if weight is not None:
            d *= rows_of(weight, lo, hi)
        if bias is not None:
            d += rows_of(bias, lo, hi)
        put(out[lo:hi], d)

    run_rows(kernel, rows)
    return result, means, inverses


@one_call
def slope_in_blocks(g: Array, x: Array, layout: Layout, weight: Array | None, means: Array, inverses: Array) -> Array:
    """The cotangent of x, from that of the result and the statistics."""
    result = np.empty(x.shape, np.result_type(g, x))
    rows, g_rows, out, scratch = as_rows(x, layout), as_rows(g, layout), as_rows(result, layout), Scratch()

    def kernel(lo: int, hi: int) -> None:
        slope, inverse = scratch.array(out, hi - lo, 1) if layout[-1] else out[lo:hi], inverses[lo:hi]
        np.multiply(g_rows[lo:hi], 1 if weight is None else rows_of(weight, lo, hi), out=slope)
        d = np.subtract(rows[lo:hi], rows[lo:hi, :1, :1], out=scratch.array(rows, hi - lo))
        d -= means[lo:hi]
        d *= dots(slope, d) * (inverse * inverse / d[0].size)
        centre(slope)
        slope -= d
        slope *= inverse
        put(out[lo:hi], slope)

    run_rows(kernel, rows)
    return result


@one_call
def weight_slope_in_blocks(g: Array, x: Array, layout: Layout, eps: float) -> Array:
    """The sum of g x_hat over the rows, (parts, length)."""
    rows, g_rows = as_rows(x, layout), as_rows(g, layout)
    scratch = Scratch()
    found = {}  # by the first row of the block, as threads finish in any order

    def kernel(lo: int, hi: int) -> None:
        d = standardised_rows(rows[lo:hi], eps, scratch)
        d *= g_rows[lo:hi]
        found[lo] = np.add.reduce(d, axis=0)

    run_rows(kernel, rows)
    return np.add.reduce([found[lo] for lo in sorted(found)], axis=0)


@one_call
def part_slopes_in_blocks(g: Array, x: Array, layout: Layout, eps: float) -> Array:
    """The sum of g x_hat over each part of each row, (rows, parts)."""
    rows, g_rows = as_rows(x, layout), as_rows(g, layout)
    result, scratch = np.empty(rows.shape[:2], np.result_type(g, x)), Scratch()

    def kernel(lo: int, hi: int) -> None:
        result[lo:hi] = np.vecdot(g_rows[lo:hi], standardised_rows(rows[lo:hi], eps, scratch))

    run_rows(kernel, rows)
    return result


def as_rows(x: Array, layout: Layout) -> Array:
    """An array in the three axes of a layout."""
    *shape, swapped = layout
    return x.reshape(shape).swapaxes(0, 1) if swapped else x.reshape(shape)


def put(out: Array, block: Array) -> None:
    """Put a block where it belongs, unless it was worked on there."""
    if not np.may_share_memory(out, block):
        out[...] = block


def rows_of(factor: Array, lo: int, hi: int) -> Array:
    """The part of a factor that belongs to rows."""
    return factor if len(factor) == 1 else factor[lo:hi]


def dots(x: Array, y: Array) -> Array:
    """The sum over each row of products."""
    return np.vecdot(x.reshape(len(x), -1), y.reshape(len(y), -1))[:, None, None]


def centre(d: Array) -> Array:
    """Subtract from each row its mean, in place; returns the means."""
    mean = dots(d, np.full((1, d[0].size), 1 / d[0].size, d.dtype))
    d -= mean
    return mean


def inverse_deviation(d: Array, eps: float) -> Array:
    """One over the standard deviation of rows that are centred."""
    return 1 / np.sqrt(dots(d, d) / d[0].size + eps)


def standardised_rows(rows: Array, eps: float, scratch: Scratch) -> Array:
    """Rows less their mean, in units of their standard deviation."""
    d = np.subtract(rows, rows[:, :1, :1], out=scratch.array(rows, len(rows)))
    centre(d)
    d *= inverse_deviation(d, eps)
    return d


@one_call
def moments_in_blocks(x: Array, layout: Layout) -> tuple[Array, Array]:
    """Mean and variance of each row."""
    rows = as_rows(x, layout)
    means, variances = np.empty((2, len(rows)), x.dtype)
    scratch = Scratch()

    def kernel(lo: int, hi: int) -> None:
        d = np.subtract(rows[lo:hi], rows[lo:hi, :1, :1], out=scratch.array(rows, hi - lo))
        means[lo:hi] = (rows[lo:hi, :1, :1] + centre(d)).reshape(-1)
        variances[lo:hi] = (dots(d, d) / d[0].size).reshape(-1)

    run_rows(kernel, rows)
    return means, variances
