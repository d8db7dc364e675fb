"""Maxout: a linear layer with several outputs for each unit, of which the largest counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_sm.nn import functional as F
from tinygrad_sm.nn import init
from tinygrad_sm.nn.layers import Linear
from tinygrad_sm.nn.module import Module
from tinygrad_sm.nn.sizes import check_sizes


class Maxout(Module):
    """Largest of several affine maps of the last axis: out_j = max_k (x @ weight + bias)_(j pieces + k).

    Args: in_features, out_features; pieces: how many maps each output chooses from; the others as for `Linear`, which
    is its `linear`, with out_features * pieces outputs. Maps (..., in_features) to (..., out_features). Raises
    ArgumentError for sizes below 1.
    Source: I. Goodfellow et al., Maxout networks, ICML 2013.

    >>> Maxout(3, 2, pieces=4)(np.ones((5, 3), np.float32)).shape
    (5, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        pieces: int = 2,
        bias: bool = True,
        *,
        initial: init.Initialiser | None = None,
        dtype: Any = np.float32,
        generator: np.random.Generator | None = None,
    ) -> None:
        check_sizes("Maxout", in_features=in_features, out_features=out_features, pieces=pieces)
        self.pieces = pieces
        self.linear = Linear(
            in_features, out_features * pieces, bias, initial=initial, dtype=dtype, generator=generator
        )

    def forward(self, x: Any) -> Any:
        return F.maxout(self.linear(x), self.pieces)

    def extra_repr(self) -> str:
        in_features, outputs = self.linear.weight.shape
        return f"{in_features}, {outputs // self.pieces}, pieces={self.pieces}"
