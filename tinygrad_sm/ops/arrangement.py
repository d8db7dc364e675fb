"""Arrangement: what turns, shifts, repeats and pads.

The derivative of each moves the cotangent back to where the values came from, and adds up where one value went to
several places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.errors import DTypeError, UnsupportedError
from tinygrad_sm.operand import as_array
from tinygrad_sm.ops.indexing import scatter_add
from tinygrad_sm.ops.samples import Sample, normal

Axis = int | tuple[int, ...] | None
Counts = int | Sequence[int]


@primitive(
    method=False, numpy=[np.flip], samples=[Sample(normal(2, 3)), Sample(normal(2, 3), 1), Sample(normal(2, 3), (0, 1))]
)
def flip(x: Array, axis: Axis = None) -> Array:
    """The order of elements reversed along axes, all of them if none is named.

    >>> flip(np.array([1.0, 2.0, 3.0]))
    array([3., 2., 1.])
    """
    return np.flip(x, axis)


@flip.vjp("x")
def flip_vjp_x(g: Array, out: Array, x: Array, axis: Axis = None) -> Array:
    return np.flip(g, axis)


@primitive(method=False, numpy=[np.flipud], samples=[Sample(normal(2, 3))])
def flipud(x: Array) -> Array:
    """Rows in reverse order: flipped along axis 0.

    >>> flipud(np.array([[1.0], [2.0]]))
    array([[2.],
           [1.]])
    """
    return np.flipud(x)


@flipud.vjp("x")
def flipud_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return np.flipud(g)


@primitive(method=False, numpy=[np.fliplr], samples=[Sample(normal(2, 3))])
def fliplr(x: Array) -> Array:
    """Columns in reverse order: flipped along axis 1.

    >>> fliplr(np.array([[1.0, 2.0]]))
    array([[2., 1.]])
    """
    return np.fliplr(x)


@fliplr.vjp("x")
def fliplr_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return np.fliplr(g)


@primitive(
    method=False,
    numpy=[np.roll],
    samples=[Sample(normal(2, 3), 2), Sample(normal(2, 3), -1, axis=1), Sample(normal(2, 3), (1, 2), axis=(0, 1))],
)
def roll(x: Array, shift: Counts, axis: Axis = None) -> Array:
    """Elements shifted along axes, those beyond the end put first; the flattened array if no axis is named.

    >>> roll(np.array([1.0, 2.0, 3.0]), 1)
    array([3., 1., 2.])
    """
    return np.roll(x, shift, axis)


@roll.vjp("x")
def roll_vjp_x(g: Array, out: Array, x: Array, shift: Counts, axis: Axis = None) -> Array:
    return np.roll(g, opposite(shift), axis)


def opposite(shift: Counts) -> Counts:
    """The shift that undoes a shift."""
    return tuple(-n for n in shift) if isinstance(shift, Sequence) else -shift


@primitive(
    method=False,
    numpy=[np.tile],
    samples=[Sample(normal(3), 2), Sample(normal(2, 3), (2, 1, 3)), Sample(normal(2, 1, 2), (3, 1))],
)
def tile(x: Array, reps: Counts) -> Array:
    """The whole array repeated along each axis, as often as reps says for the last axes.

    >>> tile(np.array([1.0, 2.0]), 2)
    array([1., 2., 1., 2.])
    """
    return np.tile(x, reps)


@tile.vjp("x")
def tile_vjp_x(g: Array, out: Array, x: Array, reps: Counts) -> Array:
    return g.reshape(tiled_shape(x.shape, reps)).sum(axis=tuple(range(0, 2 * g.ndim, 2))).reshape(x.shape)


def tiled_shape(shape: tuple[int, ...], reps: Counts) -> tuple[int, ...]:
    """For each axis of a tiled array the number of copies and the length of one."""
    counts = (int(reps),) if np.ndim(reps) == 0 else tuple(int(n) for n in reps)  # type: ignore[arg-type, union-attr]
    ndim = max(len(counts), len(shape))
    counts, lengths = (1,) * (ndim - len(counts)) + counts, (1,) * (ndim - len(shape)) + shape
    return tuple(n for pair in zip(counts, lengths, strict=True) for n in pair)


@primitive(
    hint="repeats is one number, or one for each element along the axis",
    numpy=[np.repeat],
    samples=[
        Sample(normal(2, 3), 2),
        Sample(normal(2, 3), 2, axis=1),
        Sample(normal(3, 2), np.array([2, 0, 1]), axis=0),
    ],
)
def repeat(x: Array, repeats: Any, axis: int | None = None) -> Array:
    """Each element repeated along an axis, all alike or so often as repeats says for each; flattened without an axis.

    >>> repeat(np.array([1.0, 2.0]), [2, 1])
    array([1., 1., 2.])
    """
    return np.repeat(x, repeats, axis=axis)


@repeat.vjp("x")
def repeat_vjp_x(g: Array, out: Array, x: Array, repeats: Any, axis: int | None = None) -> Array:
    shape = (x.size,) if axis is None else x.shape or (1,)
    place = (axis or 0) % len(shape)
    if np.ndim(repeats) == 0:
        return g.reshape((*shape[: place + 1], int(repeats), *shape[place + 1 :])).sum(axis=place + 1).reshape(x.shape)
    sources = np.repeat(np.arange(shape[place]), repeats)
    return scatter_add(g, (slice(None),) * place + (sources,), shape).reshape(x.shape)


PADDINGS = ("constant", "edge", "reflect", "symmetric", "wrap")


@primitive(
    method=False,
    hint="pad_width is a number, (before, after), or such a pair for each axis; none of them negative",
    numpy=[np.pad],
    samples=[
        Sample(normal(2, 3), 1, constant_values=2.0),
        Sample(normal(2, 3), ((0, 0), (1, 2)), "edge"),
        Sample(normal(2, 3), ((1, 0), (3, 1)), "reflect"),
        Sample(normal(2, 3), 2, "symmetric"),
        Sample(normal(2, 3), (0, 4), "wrap"),
    ],
)
def pad(x: Array, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> Array:
    """Elements added before and after along each axis: pad_width is a number, (before, after), or a pair for each axis.

    mode is one of constant, edge, reflect, symmetric and wrap; the others of NumPy's are refused. The gradient of an
    element is the sum over its copies.

    >>> pad(np.array([1.0, 2.0, 3.0]), (0, 2), "reflect")
    array([1., 2., 3., 2., 1.])
    """
    if mode not in PADDINGS:
        raise UnsupportedError(f"mode={mode!r}", remedy=f"choose one of {', '.join(PADDINGS)}")
    widths = pad_widths(pad_width, np.ndim(x)) or 0
    if mode == "constant":
        return np.pad(x, widths, constant_values=constant_values)
    return np.pad(x, widths, mode)  # type: ignore[call-overload]  # one of the modes above


@pad.vjp("x")
def pad_vjp_x(
    g: Array, out: Array, x: Array, pad_width: Any, mode: str = "constant", constant_values: Any = 0
) -> Array:
    if mode == "constant":
        return g[inner(pad_width, x.shape)]
    return scatter_add(g, sources_of_padding(pad_width, mode, x.shape), x.shape)


def pad_widths(pad_width: Any, ndim: int) -> list[tuple[int, int]]:
    """How many elements are added before and after along each axis."""
    widths = as_array(pad_width)
    if widths.dtype.kind not in "iu":
        raise DTypeError(f"pad_width {pad_width!r} is no whole number", remedy="give one, or (before, after) per axis")
    pairs = np.broadcast_to(widths, (ndim, 2))
    return [(int(before), int(after)) for before, after in pairs]


def inner(pad_width: Any, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Where the array itself stands within the padded one."""
    widths = pad_widths(pad_width, len(shape))
    return tuple(slice(before, before + n) for (before, _), n in zip(widths, shape, strict=True))


def sources_of_padding(pad_width: Any, mode: Any, shape: tuple[int, ...]) -> tuple[Array, ...]:
    """The index for which x[index] is the padded array."""
    widths = pad_widths(pad_width, len(shape))
    return np.ix_(*(np.pad(np.arange(n), width, mode) for n, width in zip(shape, widths, strict=True)))
