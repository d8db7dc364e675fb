"""Attention: several heads of it, the block that transformers are made of, and where in a sequence something stands.

Source: A. Vaswani et al., Attention is all you need, NIPS 2017.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_sm.errors import ArgumentError, ShapeError
from tinygrad_sm.nn import functional as F
from tinygrad_sm.nn.activations import GELU
from tinygrad_sm.nn.layers import Dropout, Linear, Sequential
from tinygrad_sm.nn.module import Module
from tinygrad_sm.nn.normalisation import LayerNorm
from tinygrad_sm.nn.sizes import check_sizes
from tinygrad_sm.operand import as_floating


class MultiHeadAttention(Module):
    """Attention in several heads, each in a share of the features: out = concat(heads) @ W_o + b_o.

    Args: embed_dim: features E, num_heads: divides E; dropout: probability of dropping a weight; bias=False leaves the
    biases out. Called with query (..., L, E), key (..., S, E), the query by default (self-attention), value, the key by
    default; attn_mask broadcasts to (..., num_heads, L, S), so write mask[:, None] of one (N, L, S), which is taken for
    one mask per head if N is num_heads: booleans are true to attend (PyTorch's MultiheadAttention wants the opposite),
    floats are added. Returns (..., L, E).
    Raises ArgumentError unless num_heads divides embed_dim. See `F.scaled_dot_product_attention`.

    >>> MultiHeadAttention(8, 2)(np.ones((5, 3, 8), np.float32), is_causal=True).shape
    (5, 3, 8)
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        dtype: Any = np.float32,
        generator: np.random.Generator | None = None,
    ) -> None:
        check_sizes("MultiHeadAttention", embed_dim=embed_dim, num_heads=num_heads)
        if embed_dim % num_heads:
            problem = f"MultiHeadAttention: {num_heads} heads of {embed_dim} features"
            raise ArgumentError(problem, remedy="embed_dim must be a multiple of num_heads")
        F.dropout(np.empty(0), dropout, generator=generator)  # refuses wrong arguments now
        self.embed_dim, self.num_heads, self.dropout, self.generator = embed_dim, num_heads, dropout, generator
        self.q_proj = Linear(embed_dim, embed_dim, bias, dtype=dtype, generator=generator)
        self.k_proj = Linear(embed_dim, embed_dim, bias, dtype=dtype, generator=generator)
        self.v_proj = Linear(embed_dim, embed_dim, bias, dtype=dtype, generator=generator)
        self.out_proj = Linear(embed_dim, embed_dim, bias, dtype=dtype, generator=generator)

    def forward(
        self, query: Any, key: Any = None, value: Any = None, attn_mask: Any = None, is_causal: bool = False
    ) -> Any:
        key = query if key is None else key
        value = key if value is None else value
        for name, each in (("query", query), ("key", key), ("value", value)):
            if len(np.shape(each)) < 2 or np.shape(each)[-1] != self.embed_dim:
                problem = f"MultiHeadAttention: {name} {np.shape(each)} for embed_dim={self.embed_dim}"
                raise ShapeError(problem, remedy=f"give it shape (..., length, {self.embed_dim})")
        heads = F.scaled_dot_product_attention(
            self._split(self.q_proj(query)),
            self._split(self.k_proj(key)),
            self._split(self.v_proj(value)),
            attn_mask,
            self.dropout if self.training else 0.0,
            is_causal,
            generator=self.generator,
        )
        joined = np.swapaxes(heads, -2, -3)
        return self.out_proj(joined.reshape((*joined.shape[:-2], self.embed_dim)))

    def _split(self, x: Any) -> Any:
        """Features (..., L, E) as those of the heads: (..., num_heads, L, E / num_heads)."""
        split = x.reshape((*x.shape[:-1], self.num_heads, self.embed_dim // self.num_heads))
        return np.swapaxes(split, -2, -3)

    def extra_repr(self) -> str:
        dropout = f", dropout={self.dropout}" if self.dropout else ""
        return f"{self.embed_dim}, {self.num_heads}{dropout}"


class TransformerBlock(Module):
    """Attention and a network at each position, each added to what it is given: the pre-norm block of transformers.

    x = x + attention(norm1(x)); out = x + mlp(norm2(x)), the network having one hidden layer.

    Args: embed_dim, num_heads, dropout as for `MultiHeadAttention`; hidden: width of the network, 4 embed_dim by
    default. Maps (..., L, embed_dim) to the same shape; attn_mask and is_causal as there.
    Source: R. Xiong et al., On layer normalization in the transformer architecture, ICML 2020.

    >>> TransformerBlock(8, 2)(np.ones((5, 3, 8), np.float32)).shape
    (5, 3, 8)
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        hidden: int | None = None,
        dropout: float = 0.0,
        *,
        dtype: Any = np.float32,
        generator: np.random.Generator | None = None,
    ) -> None:
        check_sizes("TransformerBlock", embed_dim=embed_dim)
        hidden = 4 * embed_dim if hidden is None else hidden
        check_sizes("TransformerBlock", hidden=hidden)
        self.norm1 = LayerNorm(embed_dim, dtype=dtype)
        self.attention = MultiHeadAttention(embed_dim, num_heads, dropout, dtype=dtype, generator=generator)
        self.norm2 = LayerNorm(embed_dim, dtype=dtype)
        self.mlp = Sequential(
            Linear(embed_dim, hidden, dtype=dtype, generator=generator),
            GELU(),
            Linear(hidden, embed_dim, dtype=dtype, generator=generator),
        )
        self.dropout = Dropout(dropout, generator=generator)

    def forward(self, x: Any, attn_mask: Any = None, is_causal: bool = False) -> Any:
        attended = self.attention(self.norm1(x), attn_mask=attn_mask, is_causal=is_causal)
        x = x + self.dropout(attended)
        return x + self.dropout(self.mlp(self.norm2(x)))


class PositionalEncoding(Module):
    """Adds where in the sequence something stands: sines and cosines of the position in many wavelengths.

    out_p,2i = x_p,2i + sin(p / 10000**(2i / E)), out_p,2i+1 the same with the cosine.

    Args: embed_dim: features E; max_length: of the sequences. Maps (..., L, E) to the same shape. Raises ShapeError for
    a longer sequence.

    >>> PositionalEncoding(2)(np.zeros((2, 2))).round(4)
    array([[0.    , 1.    ],
           [0.8415, 0.5403]])
    """

    def __init__(self, embed_dim: int, max_length: int = 1000) -> None:
        check_sizes("PositionalEncoding", embed_dim=embed_dim, max_length=max_length)
        positions = np.arange(max_length)[:, None]
        angles = positions / 10000 ** (np.arange(0, embed_dim, 2) / embed_dim)
        self.table = np.empty((max_length, embed_dim))
        self.table[:, 0::2] = np.sin(angles)
        self.table[:, 1::2] = np.cos(angles[:, : embed_dim // 2])

    def forward(self, x: Any) -> Any:
        x = as_floating(x)
        length, embed_dim = self.table.shape
        if x.ndim < 2 or x.shape[-1] != embed_dim or x.shape[-2] > length:
            problem = f"PositionalEncoding: x {x.shape} for up to {length} positions of {embed_dim} features"
            raise ShapeError(problem, remedy="give it shape (..., length, embed_dim), or a larger max_length")
        return x + self.table[: x.shape[-2]].astype(x.dtype)

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.table.shape[::-1]))
