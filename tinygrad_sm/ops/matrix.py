"""Functions of square matrices and norms, stacked along leading axes as in NumPy.

They combine all elements of a matrix, so here a zero cotangent times an infinite value is NaN, as in NumPy.

Source: M. Giles, An extended collection of matrix derivative results for forward and reverse mode algorithmic
differentiation, Oxford, 2008.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.errors import MatrixError, ShapeError, UnsupportedError
from tinygrad_sm.numpy_calls import unbroadcast
from tinygrad_sm.operand import as_array
from tinygrad_sm.ops.indexing import scatter_add
from tinygrad_sm.ops.reduction import Axis, normalised, prod_of_others, restore_axes
from tinygrad_sm.ops.samples import Recipe, Sample, distinct, normal


def regular(*shape: int) -> Recipe:
    """Matrices that are far from singular."""
    return Recipe(lambda rng: rng.uniform(-1, 1, shape) + 2 * np.eye(shape[-1]))


def definite(*shape: int) -> Recipe:
    """Symmetric matrices that are positive definite."""
    return Recipe(lambda rng: _squared(rng.uniform(-1, 1, shape)) + np.eye(shape[-1]))


def _squared(x: Array) -> Array:
    return x @ np.swapaxes(x, -1, -2)


def square_matrices(x: Any) -> Array:
    """The argument as an array of square matrices; ShapeError if it is none."""
    x = as_array(x)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"x {x.shape} is no square matrix", remedy="the last two axes must be equally long")
    return x


def refused(function: Any, x: Array, what: str, remedy: str) -> MatrixError:
    """The error for the first of some matrices that a function of NumPy's refuses."""
    for place in np.ndindex(x.shape[:-2]):
        try:
            function(x[place])
        except np.linalg.LinAlgError:
            which = f"matrix {', '.join(map(str, place))} of {x.shape}" if place else f"the matrix {x.shape}"
            return MatrixError(f"{which} is {what}", remedy=remedy)
    return MatrixError(f"{x.shape}: a matrix is {what}", remedy=remedy)


SINGULAR = "its rows depend on each other: add a small multiple of np.eye(n), or use np.linalg.lstsq on the data"


@primitive(method=False, numpy=[np.linalg.inv], samples=[Sample(regular(3, 3)), Sample(regular(2, 1, 2, 2))])
def inv(x: Array) -> Array:
    """Inverse of square matrices: out @ x = 1.

    Args: x (..., n, n). Raises MatrixError, which is a LinAlgError too, for a singular matrix, and says which it is.
    To compute inv(x) @ y, `solve` is faster and more exact.

    >>> inv(np.array([[2.0, 0.0], [0.0, 4.0]]))
    array([[0.5 , 0.  ],
           [0.  , 0.25]])
    """
    x = square_matrices(x)
    try:
        return np.linalg.inv(x)
    except np.linalg.LinAlgError as error:
        raise refused(np.linalg.inv, x, "singular", SINGULAR) from error


@inv.vjp("x")
def inv_vjp_x(g: Array, out: Array, x: Array) -> Array:
    transposed = np.swapaxes(out, -1, -2)
    return -(transposed @ g @ transposed)


@primitive(
    method=False,
    numpy=[np.linalg.solve],
    hint="a (..., n, n) and b (n,) or (..., n, k), the leading axes broadcast",
    samples=[
        Sample(regular(3, 3), normal(3)),
        Sample(regular(2, 2, 2), normal(2)),
        Sample(regular(2, 2), normal(3, 2, 2)),
    ],
)
def solve(a: Array, b: Array) -> Array:
    """Solution of linear equations: a @ out = b.

    Args: a (..., n, n), b (n,) or (..., n, k): as in NumPy 2, a vector only if it is 1-d. Returns (..., n) or
    (..., n, k). Raises MatrixError, which is a LinAlgError too, for a singular matrix, and says which it is.

    >>> solve(np.array([[2.0, 0.0], [0.0, 4.0]]), np.array([2.0, 2.0]))
    array([1. , 0.5])
    """
    a, b = square_matrices(a), as_array(b)
    try:
        return np.linalg.solve(a, columns(b, b))[..., 0] if b.ndim == 1 else np.linalg.solve(a, b)
    except np.linalg.LinAlgError as error:
        raise refused(np.linalg.inv, a, "singular", SINGULAR) from error


@solve.vjp("a")
def solve_vjp_a(g: Array, out: Array, a: Array, b: Array) -> Array:
    of_b = solve(np.swapaxes(a, -1, -2), columns(g, b))
    return unbroadcast(-of_b @ np.swapaxes(columns(out, b), -1, -2), np.shape(a))


@solve.vjp("b")
def solve_vjp_b(g: Array, out: Array, a: Array, b: Array) -> Array:
    of_b = solve(np.swapaxes(a, -1, -2), columns(g, b))
    return unbroadcast(of_b if np.ndim(b) > 1 else np.squeeze(of_b, -1), np.shape(b))


def columns(x: Array, b: Array) -> Array:
    """Matrices for what are vectors where b is one."""
    return np.expand_dims(x, -1) if np.ndim(b) == 1 else x


@primitive(
    method=False, numpy=[np.linalg.det], samples=[Sample(normal(3, 3)), Sample(normal(2, 2, 2)), Sample(normal(1, 1))]
)
def det(x: Array) -> Array:
    """Determinant of square matrices; the derivative, the matrix of cofactors, is exact for singular ones too.

    Args: x (..., n, n). Returns (...). Large matrices overflow: `slogdet` does not.

    >>> float(det(np.array([[2.0, 0.0], [0.0, 4.0]])).round(12))
    8.0
    """
    return np.linalg.det(square_matrices(x))


@det.vjp("x")
def det_vjp_x(g: Array, out: Array, x: Array) -> Array:
    return np.expand_dims(g, (-2, -1)) * cofactors(x)


@primitive(method=False, samples=[Sample(normal(3, 3)), Sample(normal(2, 2, 2)), Sample(normal(1, 1))])
def cofactors(x: Array) -> Array:
    """Matrix of cofactors: out_ij is (-1)**(i + j) times the determinant of x without row i and column j.

    Args: x (..., n, n), singular or not. It is det(x) times the transpose of the inverse, here from the singular values
    s of x = u s v: those of the result are the products of all but one of s, so nothing is divided by.

    Source: G. W. Stewart, On the adjugate matrix, Linear Algebra and its Applications 283, 1998.

    >>> cofactors(np.array([[1.0, 2.0], [2.0, 4.0]])).round(12)
    array([[ 4., -2.],
           [-2.,  1.]])
    """
    x = square_matrices(x)
    finite = np.isfinite(x).all(axis=(-2, -1), keepdims=True)
    u, s, v = np.linalg.svd(np.where(finite, x, 0))
    sign = np.linalg.det(u) * np.linalg.det(v)
    pairs = largest_beside_smallest(s.shape[-1])
    others = prod_of_others(s[..., pairs], -1)[..., np.argsort(pairs)]
    out = (u * np.expand_dims(np.expand_dims(sign, -1) * others, -2)) @ v
    return np.where(finite, out, np.nan).astype(out.dtype)


def largest_beside_smallest(n: int) -> Array:
    """The order 0, n - 1, 1, n - 2, ...: products of sorted numbers in it do not overflow on the way."""
    return np.argsort(np.minimum(np.arange(n), np.arange(n)[::-1]), kind="stable")


@cofactors.vjp("x")
def cofactors_vjp_x(g: Array, out: Array, x: Array) -> Array:
    # It takes n**4 numbers, but only the derivative of a derivative comes here.
    n = x.shape[-1]
    kept = np.arange(n - 1) + np.less_equal(np.arange(n)[:, None], np.arange(n - 1))  # row i leaves i out
    minors = x[..., kept[:, None, :, None], kept[None, :, None, :]]
    signs = (-1.0) ** np.add.outer(np.arange(n), np.arange(n))
    slopes = np.expand_dims(g * signs.astype(x.dtype), (-2, -1)) * cofactors(minors)
    return scatter_add(slopes, (..., kept[:, None, :, None], kept[None, :, None, :]), x.shape)


@primitive(
    method=False,
    numpy=[np.linalg.slogdet],
    samples=[Sample(regular(3, 3)), Sample(regular(2, 2, 2))],
)
def slogdet(x: Array) -> tuple[Array, Array]:
    """Sign and logarithm of the absolute value of the determinant: det(x) = sign * exp(logabsdet), without overflow.

    Args: x (..., n, n). Returns (sign, logabsdet), each of shape (...). The sign has no gradient. A singular matrix
    gives 0 and -inf, and the gradient NaN, or 0 where the cotangent is 0.

    >>> sign, logabsdet = slogdet(np.array([[2.0, 1.0], [0.0, -4.0]]))
    >>> float(sign), float(np.exp(logabsdet).round(12))
    (-1.0, 8.0)
    """
    sign, logabsdet = np.linalg.slogdet(square_matrices(x))
    return sign, logabsdet


@slogdet.vjp("x")
def slogdet_vjp_x(g: tuple[Array, Array], out: tuple[Array, Array], x: Array) -> Array:
    singular = np.expand_dims(np.equal(out[0], 0), (-2, -1))
    slope = np.swapaxes(inv(np.where(singular, np.eye(x.shape[-1], dtype=x.dtype), x)), -1, -2)
    g_log = np.expand_dims(g[1], (-2, -1))
    return np.where(singular, np.where(np.equal(g_log, 0), 0, np.nan), g_log * slope)


@primitive(method=False, numpy=[np.linalg.cholesky], samples=[Sample(definite(3, 3)), Sample(definite(2, 2, 2))])
def cholesky(x: Array) -> Array:
    """Cholesky factor of positive definite matrices: the lower triangular out for which x = out @ out.T.

    Args: x (..., n, n), symmetric: it is (x + x.T) / 2 that is factored, so the derivative is symmetric too. Raises
    MatrixError, which is a LinAlgError too, for a matrix that is not positive definite, and says which it is.

    Source: I. Murray, Differentiation of the Cholesky decomposition, arXiv:1602.07527, 2016.

    >>> cholesky(np.array([[4.0, 2.0], [2.0, 10.0]]))
    array([[2., 0.],
           [1., 3.]])
    """
    x = square_matrices(x)
    x = (x + np.swapaxes(x, -1, -2)) / 2
    try:
        return np.linalg.cholesky(x)
    except np.linalg.LinAlgError as error:
        remedy = "add a small multiple of np.eye(n), and see that it is symmetric"
        raise refused(np.linalg.cholesky, x, "not positive definite", remedy) from error


@cholesky.vjp("x")
def cholesky_vjp_x(g: Array, out: Array, x: Array) -> Array:
    transposed = np.swapaxes(out, -1, -2)
    middle = lower(transposed @ lower(g, 1), 0.5)
    left = solve(transposed, middle)
    slope = solve(transposed, np.swapaxes(left, -1, -2))
    return (slope + np.swapaxes(slope, -1, -2)) / 2


def lower(x: Array, on_diagonal: float) -> Array:
    """The lower triangle of matrices, the diagonal multiplied by a number."""
    n = x.shape[-1]
    return np.where(np.tri(n, k=-1, dtype=bool), x, np.where(np.eye(n, dtype=bool), on_diagonal * x, 0))


Order = Any  # a number, a string or None


@primitive(
    method=False,
    numpy=[np.linalg.norm],
    samples=[
        Sample(normal(2, 3)),
        Sample(distinct(2, 3), 3.5, axis=-1, keepdims=True),
        Sample(normal(2, 3, 2), -np.inf, axis=1),
        Sample(normal(2, 3, 2), 1, axis=(2, 0)),
    ],
)
def norm(x: Array, ord: Order = None, axis: Axis = None, keepdims: bool = False) -> Array:
    """Length of vectors or matrices: sqrt(sum x**2), or of another order; the derivative of a zero norm is 0.

    Vectors (axis an integer, or x 1-d) take (sum |x|**ord)**(1/ord), the largest and the smallest |x| for ord inf and
    -inf, and the number of non-zeros for 0, whose derivative is 0. Matrices (two axes, or x 2-d) take "fro", and the
    largest (smallest) sum of |x| over columns for 1 (-1), over rows for inf (-inf). Ties share the gradient evenly.

    >>> float(norm(np.array([3.0, -4.0]))), float(norm(np.array([3.0, -4.0]), 1))
    (5.0, 7.0)
    """
    x = as_array(x)
    if ord in ("nuc", 2, -2) and x.ndim >= len(norm_axes(x.ndim, axis)) == 2:
        remedy = "take ord='fro', 1 or np.inf, or call np.linalg.norm on t.data if no gradient is needed"
        raise UnsupportedError(f"ord={ord!r} of a matrix has no derivative here", remedy=remedy)
    return np.linalg.norm(x, ord, axis, keepdims)


@norm.vjp("x")
def norm_vjp_x(g: Array, out: Array, x: Array, ord: Order = None, axis: Axis = None, keepdims: bool = False) -> Array:
    axes = norm_axes(np.ndim(x), axis)
    longest = restore_axes(out, np.shape(x), axes, keepdims)
    return restore_axes(g, np.shape(x), axes, keepdims) * norm_slope(longest, x, ord, axes)


def norm_slope(out: Array, x: Array, ord: Any, axes: tuple[int, ...]) -> Array:
    """The derivative of a norm by each element; `out` has the axes that it was taken over, with length 1."""
    zero = np.equal(out, 0)
    if ord in (None, "fro", "f", 2):
        return np.where(zero, 0, x / np.where(zero, 1, out))
    if ord == 0:
        return np.zeros_like(x)
    if len(axes) == 2:
        sums = np.abs(x).sum(axis=axes[0] if ord in (1, -1) else axes[1], keepdims=True)
        return np.sign(x) * share_of_ties(sums, out, axes)
    if ord in (np.inf, -np.inf):
        return np.sign(x) * share_of_ties(np.abs(x), out, axes)
    slope = (np.abs(x) / np.where(zero, 1, out)) ** (ord - 1)
    return np.where(zero | np.equal(x, 0), 0, np.sign(x) * slope)


def share_of_ties(x: Array, extremum: Array, axes: tuple[int, ...]) -> Array:
    """1 / n for the n elements along axes that are the extremum, 0 for the others."""
    tied = np.equal(x, extremum)
    return tied.astype(x.dtype) / tied.sum(axis=axes, keepdims=True)


def norm_axes(ndim: int, axis: Axis) -> tuple[int, ...]:
    """The axes over which a norm is taken."""
    return tuple(range(ndim)) if axis is None else normalised(axis, ndim)
