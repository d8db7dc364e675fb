"""Layers that normalise: over a batch, which they remember, over a layer, or over groups of channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_sm.errors import ArgumentError, ShapeError
from tinygrad_sm.nn import functional as F
from tinygrad_sm.nn.module import Buffer, Module, Parameter
from tinygrad_sm.nn.sizes import check_sizes, checked
from tinygrad_sm.ops.normalisation import check_eps, layer_shape


class _BatchNorm(Module):
    """What the two batch normalisations share."""

    _dimensions: tuple[int, ...] = ()
    _shapes = ""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: Any = np.float32,
    ) -> None:
        check_sizes(type(self).__name__, num_features=num_features)
        checked(self, check_eps, eps)
        F.check_momentum(type(self).__name__, momentum)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight = Parameter(np.ones(num_features), dtype=dtype) if affine else None
        self.bias = Parameter(np.zeros(num_features), dtype=dtype) if affine else None
        self.running_mean = Buffer(np.zeros(num_features), dtype=dtype) if track_running_stats else None
        self.running_var = Buffer(np.ones(num_features), dtype=dtype) if track_running_stats else None
        averages = track_running_stats and momentum is None
        self.num_batches_tracked = Buffer(0) if averages else None  # which no other momentum asks for

    def forward(self, x: Any) -> Any:
        name, shape = type(self).__name__, np.shape(x)
        if len(shape) not in self._dimensions or shape[1] != self.num_features:
            remedy = f"give it shape {self._shapes} with C={self.num_features}"
            raise ShapeError(f"{name}: x {shape} does not fit num_features={self.num_features}", remedy=remedy)
        tracked = self.running_mean is not None
        return F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not tracked,
            self.momentum if tracked else 0.0,
            self.eps,
            num_batches_tracked=self.num_batches_tracked,
        )

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L), by the batch in training and by what it remembers in evaluation.

    Args: num_features: C; momentum: share of the newest batch in the running statistics, None for the average of all;
    affine=False leaves weight and bias out; track_running_stats=False takes those of the batch in evaluation too.
    Raises ArgumentError for bad settings, ShapeError for another number of channels and, in training, for a single
    value in each; see `F.batch_norm`.

    >>> layer = BatchNorm1d(1)
    >>> layer(np.array([[1.0], [3.0]])).data.round(4).tolist(), layer.running_mean.data
    ([[-1.0], [1.0]], array([0.2], dtype=float32))
    """

    _dimensions = (2, 3)
    _shapes = "(N, C) or (N, C, L)"


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of images (N, C, H, W), each channel over the batch and all positions; see `BatchNorm1d`.

    >>> BatchNorm2d(3)(np.ones((2, 3, 4, 4), np.float32)).shape
    (2, 3, 4, 4)
    """

    _dimensions = (4,)
    _shapes = "(N, C, H, W)"


class LayerNorm(Module):
    """Normalisation of each sample over its last axes; see `F.layer_norm`.

    Args: normalized_shape: their lengths, one number for the last axis alone; elementwise_affine=False leaves weight
    and bias out, bias=False the bias alone. Raises ArgumentError for lengths below 1 and an eps that is not above 0.

    >>> LayerNorm(2)(np.array([[1.0, 3.0]])).data.round(4)
    array([[-1.,  1.]])
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: Any = np.float32,
    ) -> None:
        check_sizes("LayerNorm", normalized_shape=normalized_shape)
        checked(self, check_eps, eps)
        self.normalized_shape = layer_shape(normalized_shape)
        self.eps = eps
        self.weight = Parameter(np.ones(self.normalized_shape), dtype=dtype) if elementwise_affine else None
        has_bias = elementwise_affine and bias
        self.bias = Parameter(np.zeros(self.normalized_shape), dtype=dtype) if has_bias else None

    def forward(self, x: Any) -> Any:
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"


class GroupNorm(Module):
    """Normalisation of each sample (N, C, ...) over groups of its channels; see `F.group_norm`.

    Args: num_groups, which divides num_channels; affine=False leaves weight and bias out. Raises ArgumentError if it
    does not divide them, and for an eps that is not above 0.

    >>> GroupNorm(2, 4)(np.ones((1, 4, 3), np.float32)).shape
    (1, 4, 3)
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, *, dtype: Any = np.float32
    ) -> None:
        check_sizes("GroupNorm", num_groups=num_groups, num_channels=num_channels)
        checked(self, check_eps, eps)
        if num_channels % num_groups:
            remedy = "pass a divisor of the number of channels"
            raise ArgumentError(f"GroupNorm: num_groups={num_groups} of {num_channels} channels", remedy=remedy)
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.weight = Parameter(np.ones(num_channels), dtype=dtype) if affine else None
        self.bias = Parameter(np.zeros(num_channels), dtype=dtype) if affine else None

    def forward(self, x: Any) -> Any:
        shape = np.shape(x)
        if shape[1:2] != (self.num_channels,):
            problem = f"GroupNorm: x {shape} does not have {self.num_channels} channels"
            raise ShapeError(problem, remedy=f"give it shape (N, {self.num_channels}, ...)")
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}"
