"""Joining and splitting: several arrays made one, and one made several.

The derivative of joining hands every array its part of the cotangent; that of splitting joins the parts.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.errors import ArgumentError, ShapeError, UnsupportedError
from tinygrad_sm.operand import as_array
from tinygrad_sm.ops.samples import Sample, normal

Sections = int | Sequence[int]


def part_of(g: Array, shapes: Sequence[tuple[int, ...]], position: int, axis: int) -> Array:
    """The part of a joined array that came from the array at a position."""
    start = sum(shape[axis] for shape in shapes[:position])
    stop = start + shapes[position][axis]
    return g[(slice(None),) * (axis % g.ndim) + (slice(start, stop),)]


@primitive(
    variadic=True,
    method=False,
    numpy=[np.concatenate],
    samples=[Sample([normal(2, 3), normal(1, 3)]), Sample([normal(2, 1), normal(2, 2), normal(2, 1)], axis=-1)],
    hint="the shapes must be equal except along the axis",
)
def concatenate(arrays: Sequence[Array], axis: int = 0) -> Array:
    """Arrays joined along an axis that they have.

    >>> concatenate([np.array([1.0]), np.array([2.0, 3.0])])
    array([1., 2., 3.])
    """
    if axis is None:
        raise UnsupportedError("axis=None", remedy="reshape the arrays to (-1,) and join them along axis 0")
    return np.concatenate(arrays, axis=axis)


@concatenate.vjp("arrays")
def concatenate_vjp_arrays(g: Array, out: Array, position: int, arrays: Sequence[Array], axis: int = 0) -> Array:
    return part_of(g, [np.shape(array) for array in arrays], position, axis)


@primitive(
    variadic=True,
    method=False,
    numpy=[np.stack],
    samples=[Sample([normal(3), normal(3)]), Sample([normal(2, 3), normal(2, 3)], axis=-1)],
    hint="all arrays must have the same shape",
)
def stack(arrays: Sequence[Array], axis: int = 0) -> Array:
    """Arrays of one shape joined along a new axis.

    >>> stack([np.array([1.0, 2.0]), np.array([3.0, 4.0])], axis=1)
    array([[1., 3.],
           [2., 4.]])
    """
    return np.stack(arrays, axis=axis)


@stack.vjp("arrays")
def stack_vjp_arrays(g: Array, out: Array, position: int, arrays: Sequence[Array], axis: int = 0) -> Array:
    return g[(slice(None),) * (axis % g.ndim) + (position,)]


@primitive(
    variadic=True,
    method=False,
    numpy=[np.hstack],
    samples=[Sample([normal(2), normal(3)]), Sample([normal(2, 1), normal(2, 2)])],
    hint="the shapes must be equal except along axis 1, or along axis 0 where there is no other",
)
def hstack(arrays: Sequence[Array]) -> Array:
    """Arrays joined side by side: along axis 1, those of one axis along it.

    >>> hstack([np.array([1.0]), np.array([2.0, 3.0])])
    array([1., 2., 3.])
    """
    return np.hstack(arrays)


@hstack.vjp("arrays")
def hstack_vjp_arrays(g: Array, out: Array, position: int, arrays: Sequence[Array]) -> Array:
    shapes = with_axes([np.shape(array) for array in arrays], 1)
    return part_of(g, shapes, position, 0 if g.ndim == 1 else 1).reshape(np.shape(arrays[position]))


@primitive(
    variadic=True,
    method=False,
    numpy=[np.vstack],
    samples=[Sample([normal(2), normal(3, 2)])],
    hint="the shapes must be equal except along axis 0",
)
def vstack(arrays: Sequence[Array]) -> Array:
    """Arrays joined below each other: along axis 0, those of one axis as rows.

    >>> vstack([np.array([1.0, 2.0]), np.array([3.0, 4.0])])
    array([[1., 2.],
           [3., 4.]])
    """
    return np.vstack(arrays)


@vstack.vjp("arrays")
def vstack_vjp_arrays(g: Array, out: Array, position: int, arrays: Sequence[Array]) -> Array:
    shapes = with_axes([np.shape(array) for array in arrays], 2)
    return part_of(g, shapes, position, 0).reshape(np.shape(arrays[position]))


@primitive(
    variadic=True,
    method=False,
    numpy=[np.column_stack],
    samples=[Sample([normal(2), normal(2, 3)])],
    hint="the shapes must be equal except along axis 1",
)
def column_stack(arrays: Sequence[Array]) -> Array:
    """Arrays joined along axis 1, those of one axis as columns.

    >>> column_stack([np.array([1.0, 2.0]), np.array([3.0, 4.0])])
    array([[1., 3.],
           [2., 4.]])
    """
    return np.column_stack(arrays)


@column_stack.vjp("arrays")
def column_stack_vjp_arrays(g: Array, out: Array, position: int, arrays: Sequence[Array]) -> Array:
    shapes = as_columns([np.shape(array) for array in arrays])
    return part_of(g, shapes, position, 1).reshape(np.shape(arrays[position]))


def with_axes(shapes: Sequence[tuple[int, ...]], count: int) -> list[tuple[int, ...]]:
    """Shapes with axes of length 1 in front, so that each has so many at least."""
    return [(1,) * (count - len(shape)) + shape for shape in shapes]


def as_columns(shapes: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Shapes of one axis, or none, as those of columns."""
    return [shape if len(shape) > 1 else ((*shape, 1)[0], 1) for shape in shapes]


@primitive(
    method=False,
    numpy=[np.split],
    samples=[Sample(normal(4), 2), Sample(normal(2, 5), (1, 3), axis=-1)],
)
def split(x: Array, indices_or_sections: Sections, axis: int = 0) -> tuple[Array, ...]:
    """Parts of an array along an axis, as a tuple: so many of equal length, or cut at positions that rise.

    >>> split(np.arange(5.0), [2, 3])
    (array([0., 1.]), array([2.]), array([3., 4.]))
    """
    x = as_array(x)
    count = length_along(x, axis)
    if np.ndim(indices_or_sections) == 0 and count % whole_number(indices_or_sections):
        what = f"{count} elements along axis {axis} do not divide into {indices_or_sections} equal parts"
        raise ShapeError(what, remedy="use tg.array_split for parts of almost equal length")
    return parts_along(x, indices_or_sections, axis)


@split.vjp("x")
def split_vjp_x(
    g: tuple[Array, ...], out: tuple[Array, ...], x: Array, indices_or_sections: Sections, axis: int = 0
) -> Array:
    return np.concatenate(g, axis=axis)


@primitive(method=False, numpy=[np.array_split], samples=[Sample(normal(5, 2), 3)])
def array_split(x: Array, indices_or_sections: Sections, axis: int = 0) -> tuple[Array, ...]:
    """Parts of an array along an axis, as a tuple: so many, the first ones longer by one where they must be.

    >>> array_split(np.arange(3.0), 2)
    (array([0., 1.]), array([2.]))
    """
    return parts_along(as_array(x), indices_or_sections, axis)


@array_split.vjp("x")
def array_split_vjp_x(
    g: tuple[Array, ...], out: tuple[Array, ...], x: Array, indices_or_sections: Sections, axis: int = 0
) -> Array:
    return np.concatenate(g, axis=axis)


@primitive(method=False, numpy=[np.hsplit], samples=[Sample(normal(2, 4), 2)])
def hsplit(x: Array, indices_or_sections: Sections) -> tuple[Array, ...]:
    """Parts of an array side by side, as a tuple: along axis 1, or along its only axis; see `split`.

    >>> hsplit(np.array([[1.0, 2.0], [3.0, 4.0]]), 2)[1]
    array([[2.],
           [4.]])
    """
    return split.forward(x, indices_or_sections, 0 if np.ndim(x) == 1 else 1)  # type: ignore[no-any-return]


@hsplit.vjp("x")
def hsplit_vjp_x(g: tuple[Array, ...], out: tuple[Array, ...], x: Array, indices_or_sections: Sections) -> Array:
    return np.concatenate(g, axis=0 if x.ndim == 1 else 1)


@primitive(method=False, numpy=[np.vsplit], samples=[Sample(normal(4, 2), 2)])
def vsplit(x: Array, indices_or_sections: Sections) -> tuple[Array, ...]:
    """Parts of an array below each other, along axis 0, as a tuple; see `split`.

    >>> vsplit(np.array([[1.0, 2.0], [3.0, 4.0]]), 2)[1]
    array([[3., 4.]])
    """
    if np.ndim(x) < 2:
        raise ShapeError(f"it takes two axes, not shape {np.shape(x)}", remedy="use tg.split")
    return split.forward(x, indices_or_sections)  # type: ignore[no-any-return]


@vsplit.vjp("x")
def vsplit_vjp_x(g: tuple[Array, ...], out: tuple[Array, ...], x: Array, indices_or_sections: Sections) -> Array:
    return np.concatenate(g, axis=0)


def length_along(x: Array, axis: int) -> int:
    """The length of an axis; NumPy's error if there is none."""
    if not -x.ndim <= axis < x.ndim:
        raise np.exceptions.AxisError(axis, x.ndim)
    return int(x.shape[axis])


def whole_number(sections: Any) -> int:
    """A number of parts."""
    if int(sections) != sections or sections < 1:
        raise ArgumentError(f"{sections} parts", remedy="ask for 1 or more, or give positions in a list")
    return int(sections)


def parts_along(x: Array, sections: Sections, axis: int) -> tuple[Array, ...]:
    """Views of the parts of an array."""
    count = length_along(x, axis)
    if np.ndim(sections) == 0:
        length, longer = divmod(count, whole_number(sections))
        lengths = [length + 1] * longer + [length] * (whole_number(sections) - longer)
        cuts = [0, *np.cumsum(lengths).tolist()]
    else:
        cuts = [0, *(slice(int(i)).indices(count)[1] for i in sections), count]  # type: ignore[union-attr]
    if cuts != sorted(cuts):
        raise ArgumentError(f"positions {sections} do not rise", remedy="sort them: elements in two parts are refused")
    before = (slice(None),) * (axis % x.ndim)
    return tuple(x[(*before, slice(*ends))] for ends in itertools.pairwise(cuts))
