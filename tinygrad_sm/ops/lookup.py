"""Integers as vectors: rows of a table, and rows of the unit matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.errors import ArgumentError, BoundsError, DTypeError, ShapeError
from tinygrad_sm.operand import as_array
from tinygrad_sm.ops.indexing import scatter_add
from tinygrad_sm.ops.samples import Sample, integers, normal
from tinygrad_sm.ops.targets import all_within, first_of


def checked_indices(indices: Any, count: int, name: str, what: str) -> Array:
    """The indices as an integer array, after refusing those outside of 0 to count - 1, negative ones too."""
    indices = as_array(indices)
    if indices.dtype.kind not in "iu":
        remedy = f"write {name}.astype(int)" if indices.size else f"give {name} an integer type"
        raise DTypeError(f"{name} {indices.shape} {indices.dtype} are no integers", remedy=remedy)
    if not all_within(indices, count):
        wrong = (indices < 0) | (indices >= count)
        what = f"{name} {indices.shape} holds {first_of(indices, wrong)}, but {what}"
        raise BoundsError(
            what, remedy=f"{name} go from 0 to {count - 1}" if count else "there is nothing to choose from"
        )
    return indices


@primitive(
    method=False,
    samples=[Sample(integers(5, 2, 3), normal(5, 2)), Sample(np.array([0, 2, 2]), normal(4, 2), padding_idx=-1)],
)
def embedding(indices: Array, weight: Array, padding_idx: int | None = None) -> Array:
    """Rows of a table by their numbers: out[...] = weight[indices[...]]; a row taken repeatedly sums its gradients.

    Args: indices: integers of any shape; weight (V, D); padding_idx: a row that gets no gradient, counted from the end
    if negative. Returns (*indices.shape, D). Raises BoundsError for indices outside of 0 to V - 1.

    >>> embedding(np.array([1, 0, 1]), np.array([[0.0, 1.0], [2.0, 3.0]]))
    array([[2., 3.],
           [0., 1.],
           [2., 3.]])
    """
    weight = as_array(weight)
    if weight.ndim != 2:
        raise ShapeError(f"weight {weight.shape} is no table", remedy="give it shape (rows, length of a row)")
    rows = weight.shape[0]
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise BoundsError(f"padding_idx={padding_idx} for {rows} rows", remedy="pass the number of a row, or None")
    return weight[checked_indices(indices, rows, "indices", f"weight {weight.shape} has {rows} rows")]


@embedding.vjp("weight")
def embedding_vjp_weight(g: Array, out: Array, indices: Array, weight: Array, padding_idx: int | None = None) -> Array:
    rows = as_array(indices)
    if padding_idx is not None:
        g = np.where(np.expand_dims(rows == padding_idx % weight.shape[0], -1), 0, g)
    return scatter_add(g, rows, weight.shape)


@primitive(differentiable=False, method=False, samples=[Sample(integers(3, 2, 2), 3)])
def one_hot(labels: Array, num_classes: int) -> Array:
    """Rows of the unit matrix: 1 at the label and 0 elsewhere, as integers; carries no gradient.

    Args: labels: integers of any shape, from 0 to num_classes - 1. Returns (*labels.shape, num_classes). Raises
    BoundsError for labels outside; for a loss write `one_hot(labels, n).astype(float)`, or pass the labels themselves.

    >>> one_hot(np.array([0, 2]), 3)
    array([[1, 0, 0],
           [0, 0, 1]])
    """
    if isinstance(num_classes, bool) or not isinstance(num_classes, (int, np.integer)) or num_classes < 1:
        raise ArgumentError(f"num_classes={num_classes!r}", remedy="pass a whole number of at least 1")
    checked = checked_indices(labels, int(num_classes), "labels", f"there are {num_classes} classes")
    return (np.expand_dims(checked, -1) == np.arange(num_classes)).astype(np.int64)
