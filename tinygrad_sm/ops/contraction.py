"""Products that multiply two or more arrays and sum over axes they share: einsum, tensordot and NumPy's other names.

They sum over other elements, so here a zero cotangent times an infinite operand is NaN, as in NumPy. The derivative of
a contraction is one too: the cotangent takes the place of the operand.

Source: NumPy's manual for the calls; S. Laue, M. Mitterreiter and J. Giesen, A simple and efficient tensor calculus,
AAAI, 2020, for the derivative of einsum.
"""

from __future__ import annotations

import functools
import inspect
import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.errors import ArgumentError, ShapeError, UnsupportedError
from tinygrad_sm.numpy_calls import unbroadcast
from tinygrad_sm.operand import as_array
from tinygrad_sm.ops.linalg import matmul_vjp_x, matmul_vjp_y
from tinygrad_sm.ops.reduction import normalised
from tinygrad_sm.ops.samples import Sample, normal
from tinygrad_sm.ops.shape import inverse_permutation

Shapes = tuple[tuple[int, ...], ...]


@primitive(
    variadic=True,
    method=False,
    numpy=[np.einsum],
    samples=[
        Sample([normal(2, 3), normal(3, 4)], "ij,jk->ik"),
        Sample([normal(3, 3), normal(1, 2)], "ii,...j"),
        Sample([normal(2, 3), normal(4, 2, 1), normal(3)], "a...,ba...,...->b...", optimize=False),
    ],
)
def einsum(operands: Sequence[Array], subscripts: str, optimize: Any = True) -> Array:
    """Einstein's sum: the product of the operands, their axes named by letters, summed over what the result lacks.

    Called as in NumPy, einsum("ij,jk->ik", x, y): a letter names an axis, one that occurs twice in an operand takes the
    diagonal, `...` stands for any others, and axes of length 1 are stretched. Without `->` the letters that occur once
    remain, in the order of the alphabet. NumPy chooses an order and uses matrix products, in a tenth of the time of
    plain loops; optimize=False has the loops. Raises ShapeError where one letter names two lengths.

    >>> x = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> einsum("ij,j->i", x, np.array([1.0, 10.0])), float(einsum("ii", x))
    (array([21., 43.]), 5.0)
    """
    if not isinstance(subscripts, str):
        raise UnsupportedError("axes given as lists", remedy="write the subscripts as a string, such as 'ij,jk->ik'")
    arrays = [as_array(x) for x in operands]
    try:
        # NumPy's loops refuse a result that lacks the axes of `...`; its matrix products would sum them silently.
        out = np.einsum(subscripts, *arrays, optimize=optimize if keeps_ellipsis(subscripts) else False)
    except ValueError:
        _check_letters(subscripts)
        _check_lengths(subscripts, [x.shape for x in arrays])
        raise
    return out if len(arrays) > 1 else out.copy()  # rather than a view, which NumPy makes of diagonals


einsum.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # as it is called
    [
        inspect.Parameter("subscripts", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation="str"),
        inspect.Parameter("operands", inspect.Parameter.VAR_POSITIONAL, annotation="Array"),
        inspect.Parameter("optimize", inspect.Parameter.KEYWORD_ONLY, default=True, annotation="Any"),
    ]
)


@einsum.vjp("operands")
def einsum_vjp_operands(
    g: Array, out: Array, position: int, operands: Sequence[Array], subscripts: str, optimize: Any = True
) -> Array:
    term, transposed, missing = transposed_subscripts(subscripts, position, tuple([np.shape(x) for x in operands]))
    others = [*operands[:position], *operands[position + 1 :]]
    summed = np.einsum(transposed, g, *others, optimize=optimize)
    return on_diagonal(stretched(summed, missing, np.shape(operands[position])), term)


def keeps_ellipsis(subscripts: str) -> bool:
    """Whether a result that is written has `...` where an operand does."""
    inputs, arrow, output = subscripts.partition("->")
    return not arrow or "..." in output or "..." not in inputs


def explicit_terms(subscripts: str, ndims: Sequence[int]) -> tuple[list[str], str]:
    """The letters of each operand and of the result, with letters for `...` and for a result that is not written.

    >>> explicit_terms("...ij,jk", [3, 2])
    (['aij', 'jk'], 'aik')
    """
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = inputs.split(",")
    widths = [ndim - len(term.replace("...", "")) for term, ndim in zip(terms, ndims, strict=True)]
    widest = max((width for term, width in zip(terms, widths, strict=True) if "..." in term), default=0)
    spare = "".join(letter for letter in string.ascii_letters if letter not in subscripts)[:widest]
    if not arrow:
        letters = inputs.replace("...", "").replace(",", "")
        output = "..." + "".join(sorted(letter for letter in letters if letters.count(letter) == 1))
    filled = [term.replace("...", spare[widest - width :]) for term, width in zip(terms, widths, strict=True)]
    return filled, output.replace("...", spare)


@functools.lru_cache(maxsize=256)
def transposed_subscripts(subscripts: str, position: int, shapes: Shapes) -> tuple[str, str, tuple[int, ...]]:
    """What the rule for one operand sums: its letters, the subscripts, and its axes that the sum leaves out.

    Left out are letters of no other operand and axes of length 1, along which the derivative is constant or summed, and
    an axis whose letter another axis of the operand bears: the derivative is on their diagonal.
    """
    terms, output = explicit_terms(subscripts, [len(shape) for shape in shapes])
    term, others = terms[position], [*terms[:position], *terms[position + 1 :]]
    elsewhere = output + "".join(others)
    missing = tuple(
        axis
        for axis, letter in enumerate(term)
        if letter in term[:axis] or letter not in elsewhere or shapes[position][axis] == 1
    )
    kept = "".join(letter for axis, letter in enumerate(term) if axis not in missing)
    return term, f"{','.join([output, *others])}->{kept}", missing


def stretched(x: Array, missing: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    """An array with the axes that it lacks, in a shape."""
    return x if np.shape(x) == shape else np.broadcast_to(np.expand_dims(x, missing), shape)


def on_diagonal(x: Array, term: str) -> Array:
    """An array with zeros where axes of the same letter have different indices."""
    if len(set(term)) == len(term):
        return x
    masks = [np.reshape(np.eye(n, dtype=bool), shape) for n, shape in repeated_axes(term, x.shape)]
    mask = masks[0] if len(masks) == 1 else np.all(np.broadcast_arrays(*masks), axis=0)
    return np.where(mask, x, 0)


def repeated_axes(term: str, shape: tuple[int, ...]) -> list[tuple[int, tuple[int, ...]]]:
    """For every axis whose letter an earlier one bears: its length, and the shape of a mask along these two axes.

    >>> repeated_axes("iji", (3, 2, 3))
    [(3, (3, 1, 3))]
    """
    pairs = [(term.index(letter), axis) for axis, letter in enumerate(term) if letter in term[:axis]]
    return [(shape[pair[1]], tuple(n if axis in pair else 1 for axis, n in enumerate(shape))) for pair in pairs]


def _check_letters(subscripts: str) -> None:
    """Say which part of the subscripts makes no sense, where that is what is wrong."""
    inputs, _, output = subscripts.replace("...", "").replace(" ", "").partition("->")
    for letter in inputs.replace(",", "") + output:
        if letter not in string.ascii_letters:
            raise ArgumentError(f"{letter!r} in the subscripts {subscripts!r}", remedy="name the axes by letters")
    for letter in output:
        if letter not in inputs or output.count(letter) > 1:
            what = "more than once" if letter in inputs else "in no operand"
            remedy = "the result has axes of the operands, each of them once"
            raise ArgumentError(f"{letter!r} of the result occurs {what} in {subscripts!r}", remedy=remedy)


def _check_lengths(subscripts: str, shapes: Sequence[tuple[int, ...]]) -> None:
    """Say which operand and which letter of the subscripts do not fit, where that is what is wrong."""
    terms = subscripts.replace(" ", "").partition("->")[0].split(",")
    if len(terms) != len(shapes):
        remedy = "separate the letters of the operands by commas"
        what = f"operands named by {subscripts!r}: {len(terms)}, given: {len(shapes)}"
        raise ArgumentError(what, remedy=remedy)
    for i, (term, shape) in enumerate(zip(terms, shapes, strict=True)):
        letters = term.replace("...", "")
        if len(letters) > len(shape) or (len(letters) < len(shape) and "..." not in term):
            what = f"operand {i} of shape {shape} has {len(shape)} axes, and {term!r} names {len(letters)}"
            raise ShapeError(what, remedy="name every axis by a letter, or the others by '...'")
    found: dict[str, tuple[int, int]] = {}
    for i, (term, shape) in enumerate(zip(explicit_terms(subscripts, [*map(len, shapes)])[0], shapes, strict=True)):
        for letter, length in zip(term, shape, strict=True):
            earlier, other = found.setdefault(letter, (length, i))
            if length != earlier and (1 not in (length, earlier) or other == i):
                axis = letter if letter in subscripts else "..."
                what = (
                    f"{axis!r} has length {earlier} in operand {other} {shapes[other]}, {length} in operand {i} {shape}"
                )
                raise ShapeError(what, remedy="axes of one letter must be equally long, or 1 in one of the operands")
            found[letter] = (max(length, earlier), i if length > earlier else other)
    if not keeps_ellipsis(subscripts):
        remedy = "write '...' in the result too, or sum these axes with .sum"
        raise ShapeError(f"the result of {subscripts!r} lacks the axes of '...'", remedy=remedy)


@primitive(
    method=False,
    numpy=[np.tensordot],
    hint="the axes of x and y that are summed together must be equally long",
    samples=[
        Sample(normal(2, 3, 4), normal(4, 3, 2), axes=((1, -1), (1, 0))),
        Sample(normal(2, 3), normal(2), axes=0),
        Sample(normal(2, 3), normal(2, 3)),
    ],
)
def tensordot(x: Array, y: Array, axes: Any = 2) -> Array:
    """Sum over pairs of axes: out = sum_k x[..k..] y[..k..], the other axes of x first, then those of y.

    axes: how many, the last of x with the first of y, or two sequences of the axes that belong together.

    >>> tensordot(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 10.0]), axes=1)
    array([21., 43.])
    """
    return np.tensordot(x, y, axes)


@tensordot.vjp("x")
def tensordot_vjp_x(g: Array, out: Array, x: Array, y: Array, axes: Any = 2) -> Array:
    of_x, of_y = paired_axes(axes, np.ndim(x), np.ndim(y))
    product = np.tensordot(g, y, (every(1, np.ndim(x) - len(of_x), np.ndim(g)), other_axes(of_y, np.ndim(y))))
    order = other_axes(of_x, np.ndim(x)) + partners(of_x, of_y)
    return np.transpose(product, inverse_permutation(order))


@tensordot.vjp("y")
def tensordot_vjp_y(g: Array, out: Array, x: Array, y: Array, axes: Any = 2) -> Array:
    of_x, of_y = paired_axes(axes, np.ndim(x), np.ndim(y))
    product = np.tensordot(x, g, (other_axes(of_x, np.ndim(x)), every(1, 0, np.ndim(x) - len(of_x))))
    order = partners(of_y, of_x) + other_axes(of_y, np.ndim(y))
    return np.transpose(product, inverse_permutation(order))


def paired_axes(axes: Any, ndim_x: int, ndim_y: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes of x and of y that tensordot sums, in pairs, counted from the first.

    >>> paired_axes(2, 3, 2), paired_axes((-1, 0), 3, 2)
    (((1, 2), (0, 1)), ((2,), (0,)))
    """
    if np.ndim(axes) == 0:
        axes = range(ndim_x - axes, ndim_x), range(axes)
    of_x, of_y = (tuple(each) if np.ndim(each) else (each,) for each in axes)
    return normalised(of_x, ndim_x), normalised(of_y, ndim_y)


def other_axes(axes: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    """All axes but these."""
    return tuple(axis for axis in range(ndim) if axis not in axes)


def every(step: int, first: int, end: int) -> tuple[int, ...]:
    """Axes at equal distances."""
    return tuple(range(first, end, step))


def partners(axes: tuple[int, ...], others: tuple[int, ...]) -> tuple[int, ...]:
    """The axes that are paired with the others, in the order in which an array has those."""
    return tuple(axes[others.index(axis)] for axis in sorted(others))


@primitive(
    numpy=[np.dot],
    hint="the last axis of x must be as long as the second last of y (its only one, if y is 1-d)",
    samples=[
        Sample(normal(2, 3), normal(3, 2)),
        Sample(normal(3), normal(2, 3, 2)),
        Sample(normal(), normal(2)),
    ],
)
def dot(x: Array, y: Array) -> Array:
    """Sum over the last axis of x and the second last of y, or its only one; a product if one of them is 0-d.

    Of two matrices it is their product, of two vectors a number. Of stacks of matrices it is every product of one of x
    with one of y: `matmul` pairs them instead.

    >>> float(dot(np.array([1.0, 2.0]), np.array([3.0, 4.0])))
    11.0
    """
    if min(np.ndim(x), np.ndim(y)) > 0 and max(np.ndim(x), np.ndim(y)) > 2:  # where NumPy's dot does without BLAS
        return np.tensordot(x, y, (-1, -min(np.ndim(y), 2)))
    return np.dot(x, y)


@dot.vjp("x")
def dot_vjp_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    if np.ndim(x) == 0 or np.ndim(y) == 0:
        return unbroadcast(g * y, np.shape(x))
    if np.ndim(x) < 3 and np.ndim(y) < 3:  # in a tenth of the time
        return matmul_vjp_x(g, out, x, y)
    return tensordot_vjp_x(g, out, x, y, (-1, -min(np.ndim(y), 2)))


@dot.vjp("y")
def dot_vjp_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    if np.ndim(x) == 0 or np.ndim(y) == 0:
        return unbroadcast(g * x, np.shape(y))
    if np.ndim(x) < 3 and np.ndim(y) < 3:  # in a tenth of the time
        return matmul_vjp_y(g, out, x, y)
    return tensordot_vjp_y(g, out, x, y, (-1, -min(np.ndim(y), 2)))


@primitive(
    method=False,
    numpy=[np.inner],
    hint="the last axes of x and y must be equally long",
    samples=[Sample(normal(2, 3), normal(4, 3)), Sample(normal(3), normal(3)), Sample(normal(2), normal())],
)
def inner(x: Array, y: Array) -> Array:
    """Sum over the last axes: out[..i.., ..j..] = sum_k x[..i.., k] y[..j.., k]; a product if one of them is 0-d.

    >>> inner(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 10.0]))
    array([21., 43.])
    """
    return np.inner(x, y)


@inner.vjp("x")
def inner_vjp_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    if np.ndim(x) == 0 or np.ndim(y) == 0:
        return unbroadcast(g * y, np.shape(x))
    return tensordot_vjp_x(g, out, x, y, (-1, -1))


@inner.vjp("y")
def inner_vjp_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    if np.ndim(x) == 0 or np.ndim(y) == 0:
        return unbroadcast(g * x, np.shape(y))
    return tensordot_vjp_y(g, out, x, y, (-1, -1))


@primitive(method=False, numpy=[np.outer], samples=[Sample(normal(2), normal(3)), Sample(normal(2, 2), normal())])
def outer(x: Array, y: Array) -> Array:
    """Every product of an element of x and one of y: out_ij = x_i y_j; both are made 1-d first.

    >>> outer(np.array([1.0, 2.0]), np.array([1.0, 10.0]))
    array([[ 1., 10.],
           [ 2., 20.]])
    """
    return np.outer(x, y)


@outer.vjp("x")
def outer_vjp_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    return np.reshape(g @ np.reshape(y, -1), np.shape(x))


@outer.vjp("y")
def outer_vjp_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    return np.reshape(np.reshape(x, -1) @ g, np.shape(y))


@primitive(
    method=False,
    numpy=[np.vdot],
    hint="x and y must have equally many elements",
    samples=[Sample(normal(3), normal(3)), Sample(normal(2, 3), normal(3, 2))],
)
def vdot(x: Array, y: Array) -> Array:
    """Sum of the products of all elements: out = sum_i x_i y_i; both are made 1-d first.

    >>> float(vdot(np.array([[1.0, 2.0]]), np.array([3.0, 4.0])))
    11.0
    """
    return np.vdot(x, y)


@vdot.vjp("x")
def vdot_vjp_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    return g * np.reshape(y, np.shape(x))


@vdot.vjp("y")
def vdot_vjp_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    return g * np.reshape(x, np.shape(y))


@primitive(
    method=False,
    numpy=[np.kron],
    samples=[Sample(normal(2, 1), normal(1, 3)), Sample(normal(2), normal(2, 2)), Sample(normal(2, 2), normal())],
)
def kron(x: Array, y: Array) -> Array:
    """Kronecker product: blocks of y, each multiplied by an element of x; the one with fewer axes gets more in front.

    >>> kron(np.array([1.0, 10.0]), np.array([1.0, 2.0]))
    array([ 1.,  2., 10., 20.])
    """
    return np.kron(x, y)


@kron.vjp("x")
def kron_vjp_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    shape_x, shape_y = equal_ndim(np.shape(x), np.shape(y))
    blocks = np.reshape(g, alternating(shape_x, shape_y))
    product = np.tensordot(blocks, np.reshape(y, shape_y), (every(2, 1, 2 * g.ndim), every(1, 0, g.ndim)))
    return np.reshape(product, np.shape(x))


@kron.vjp("y")
def kron_vjp_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    shape_x, shape_y = equal_ndim(np.shape(x), np.shape(y))
    blocks = np.reshape(g, alternating(shape_x, shape_y))
    product = np.tensordot(np.reshape(x, shape_x), blocks, (every(1, 0, g.ndim), every(2, 0, 2 * g.ndim)))
    return np.reshape(product, np.shape(y))


def equal_ndim(shape_x: tuple[int, ...], shape_y: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes with lengths of 1 before the shorter one."""
    ndim = max(len(shape_x), len(shape_y))
    return (1,) * (ndim - len(shape_x)) + shape_x, (1,) * (ndim - len(shape_y)) + shape_y


def alternating(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    """The items of two tuples in turn."""
    return tuple(n for pair in zip(first, second, strict=True) for n in pair)
