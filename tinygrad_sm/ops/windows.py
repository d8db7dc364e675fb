"""Windows that slide over images: what convolution and pooling share, for the last two axes.

Window o of an axis begins at o * stride - padding, and its element k lies k * dilation further. Padding is never
materialised: `shifts` names, for each element of a window, the windows in which it lies on the image, and where.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from tinygrad_sm.errors import ArgumentError, ShapeError

Pair: TypeAlias = tuple[int, int]
Padding: TypeAlias = tuple[Pair, Pair]  # before and after, of each axis; less than nothing cuts off
Shift: TypeAlias = "tuple[tuple[Any, ...], tuple[Any, ...]]"


def only(value: Any, name: str) -> Any:
    """The number in a sequence of one, as PyTorch takes it where there is one axis."""
    if np.size(value) != 1:
        raise ArgumentError(f"{name}={value!r}", remedy="give one number: there is one axis")
    return value[0] if np.ndim(value) else value


def pair(value: Any, name: str, least: int = 1) -> Pair:
    """An option given as a number for both axes, or as one for each."""
    values = tuple(value) if np.ndim(value) == 1 else (value, value)
    whole = all(isinstance(each, (int, np.integer)) and not isinstance(each, bool) for each in values)
    if len(values) != 2 or not whole or min(values) < least:
        raise ArgumentError(
            f"{name}={value!r}", remedy=f"give a whole number of at least {least}, or a pair of them (rows, columns)"
        )
    return int(values[0]), int(values[1])


def paddings(padding: Any, kernel: Pair, stride: Any = 1, dilation: Any = 1) -> Padding:
    """Padding before and after each axis, of a number, a pair, "valid", "same" or a pair of pairs.

    "same" makes as many windows as the image has elements; an odd one out goes after, as in PyTorch.
    """
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ArgumentError(f"padding={padding!r}", remedy='give a number, a pair, "same" or "valid"')
        if padding == "same" and pair(stride, "stride") != (1, 1):
            remedy = "give padding as a number, such as kernel_size // 2"
            raise ArgumentError(f'padding="same" with stride={stride!r}', remedy=remedy)
        reach = [
            d * (k - 1) if padding == "same" else 0 for k, d in zip(kernel, pair(dilation, "dilation"), strict=True)
        ]
        return (reach[0] // 2, reach[0] - reach[0] // 2), (reach[1] // 2, reach[1] - reach[1] // 2)
    if np.ndim(padding) == 2:
        (top, bottom), (left, right) = padding
        return (top, bottom), (left, right)
    rows, columns = pair(padding, "padding", least=0)
    return (rows, rows), (columns, columns)


def counts(size: Pair, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Pair:
    """How many windows there are along each axis."""
    reach = extent(kernel, dilation)
    room = [n + sum(p) for n, p in zip(size, padding, strict=True)]
    if reach[0] > room[0] or reach[1] > room[1]:
        larger = f"a kernel of {kernel[0]} x {kernel[1]}"
        larger += f" that reaches over {reach[0]} x {reach[1]}" if dilation != (1, 1) else ""
        padded = f" padded to {room[0]} x {room[1]}" if tuple(room) != tuple(size) else ""
        raise ShapeError(
            f"{larger} does not fit into an image of {size[0]} x {size[1]}{padded}",
            remedy="take a smaller kernel, more padding or a larger image",
        )
    rows, columns = [(n - r) // s + 1 for n, r, s in zip(room, reach, stride, strict=True)]
    return rows, columns


def extent(kernel: Pair, dilation: Pair) -> Pair:
    """How far a window reaches along each axis."""
    return dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1


def fitted(size: Any, windows: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Padding:
    """The padding with which the last window ends where the padded image does: what no window sees is cut off.

    With it each of a convolution, its transpose and its derivative has one size only.
    """
    stride, dilation = pair(stride, "stride"), pair(dilation, "dilation")
    (top, _), (left, _) = paddings(padding, kernel, stride, dilation)
    reach = extent(kernel, dilation)
    bottom, right = [
        (o - 1) * s + r - n - before
        for o, s, r, n, before in zip(windows, stride, reach, size, (top, left), strict=True)
    ]
    return (top, bottom), (left, right)


def shifts(size: Pair, windows: Pair, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Iterator[Shift]:
    """For each element of a window, in memory order: an index of the windows, and one of the image.

    Windows in which the element lies in the padding are left out.
    """
    axes = [
        [_shift(n, o, k * d - before, s) for k in range(length)]
        for n, o, length, s, (before, _), d in zip(size, windows, kernel, stride, padding, dilation, strict=True)
    ]
    for (rows, image_rows), (columns, image_columns) in itertools.product(*axes):
        yield (..., rows, columns), (..., image_rows, image_columns)


def _shift(size: int, windows: int, start: int, stride: int) -> tuple[slice, slice]:
    """The windows o for which start + o * stride is an index of the axis, and these indices."""
    first = max(0, -(start // stride))
    last = max(first, min(windows, (size - 1 - start) // stride + 1))
    begin = start + first * stride
    return slice(first, last), slice(begin, begin + max(0, (last - first - 1) * stride + (last > first)), stride)


def inside(size: int, windows: int, kernel: int, stride: int, before: int, dilation: int = 1) -> Any:
    """Which elements of which windows of an axis lie on the image: booleans (windows, kernel)."""
    places = np.arange(windows)[:, None] * stride - before + np.arange(kernel) * dilation
    return (places >= 0) & (places < size)


def selection(axis: int, size: Any, windows: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """For one of both axes the pixels in windows as a matrix of booleans for each element, (kernel, windows, size).

    What stands at element k of the windows is a product with matrix k: the formula that spells everything out.
    """
    before = paddings(padding, kernel, stride, dilation)[axis][0]
    steps, length = pair(stride, "stride")[axis], kernel[axis]
    begins = np.arange(windows[axis])[:, None] * steps - before
    return np.arange(length)[:, None, None] * pair(dilation, "dilation")[axis] + begins == np.arange(size[axis])


def check_image(x: Any, channels: bool = True) -> None:
    """Refuse what is no batch of images, nor one image."""
    if x.ndim not in (3, 4):
        remedy = "reshape it to (N, C, H, W), or (C, H, W) for a single image"
        raise ShapeError(f"expects images (N, C, H, W) or (C, H, W), not {x.shape}", remedy=remedy)
