"""Embedding: a trained vector for each of a number of integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_sm.errors import ArgumentError
from tinygrad_sm.nn import functional as F
from tinygrad_sm.nn.module import Module, Parameter
from tinygrad_sm.nn.sizes import check_sizes, is_whole
from tinygrad_sm.randomness import generator_or_default


class Embedding(Module):
    """Table of vectors, looked up by number: maps integers of any shape to (*shape, embedding_dim); see `F.embedding`.

    Args: num_embeddings: rows of `weight`, drawn from the standard normal distribution; embedding_dim: their length;
    padding_idx: a row that starts as zeros and gets no gradient, for what fills up short sequences. Raises
    ArgumentError for sizes below 1 and a padding_idx that is no whole number, BoundsError for one that is no row.

    >>> Embedding(10, 3, padding_idx=0)(np.array([[1, 2, 0, 0]])).shape
    (1, 4, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        dtype: Any = np.float32,
        generator: np.random.Generator | None = None,
    ) -> None:
        check_sizes("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if padding_idx is not None and not is_whole(padding_idx):
            what = f"Embedding: padding_idx={padding_idx!r}"
            raise ArgumentError(what, remedy=f"pass the number of a row, from 0 to {num_embeddings - 1}, or None")
        values = generator_or_default(generator).standard_normal((num_embeddings, embedding_dim)).astype(dtype)
        F.embedding(np.empty(0, int), values, padding_idx)  # refuses a padding_idx that is no row
        if padding_idx is not None:
            values[padding_idx] = 0
        self.padding_idx = padding_idx
        self.weight = Parameter(values)

    def forward(self, indices: Any) -> Any:
        return F.embedding(indices, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        rows, length = self.weight.shape
        return f"{rows}, {length}" + ("" if self.padding_idx is None else f", padding_idx={self.padding_idx}")
