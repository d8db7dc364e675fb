"""Normalisation: deviations from a mean in units of their standard deviation, over a batch, a layer or groups.

All three are out = x_hat * weight + bias with x_hat = (x - mean) / sqrt(var + eps), where mean and variance (over N,
not N - 1) are those of the values that are normalised together, and x_hat has the derivative
dx = (g - mean(g) - x_hat mean(g x_hat)) / sqrt(var + eps) over the same values. These sum over other elements, so a
zero cotangent times an infinite or undefined value is NaN here, for all that is normalised together.

Deviations are taken from the first value before they are from the mean: constant values give exactly 0, and a large
mean cancels before anything is rounded or squared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.errors import ArgumentError, ShapeError
from tinygrad_sm.numpy_calls import unbroadcast
from tinygrad_sm.operand import as_array, as_floating
from tinygrad_sm.ops.normalisation_blocks import (
    Layout,
    RowStatistics,
    in_blocks,
    moments_in_blocks,
    part_slopes_in_blocks,
    slope_in_blocks,
    standardised_in_blocks,
    weight_slope_in_blocks,
)
from tinygrad_sm.ops.samples import Sample, normal, uniform

Axes = tuple[int, ...]


def standardised(x: Array, axes: Axes, eps: float) -> tuple[Array, Array]:
    """The deviations from the mean over axes in units of their standard deviation, and one over the latter."""
    centred = deviations(x, axes)
    variance = np.mean(centred * centred, axis=axes, keepdims=True)
    inverse = 1 / np.sqrt(variance + eps)
    return centred * inverse, inverse


def deviations(x: Array, axes: Axes) -> Array:
    """The deviations from the mean over axes: exactly 0 where all values are the same."""
    shifted = x - first_of(x, axes)
    return shifted - np.mean(shifted, axis=axes, keepdims=True)


def first_of(x: Array, axes: Axes) -> Array:
    """The first value along axes, which are kept."""
    reduced = [axis % x.ndim for axis in axes]
    return x[tuple(slice(0, 1) if i in reduced else slice(None) for i in range(x.ndim))]


def standardised_slope(slope: Array, x_hat: Array, inverse: Array, axes: Axes) -> Array:
    """The cotangent of x, from that of x_hat."""
    mean_slope = np.mean(slope, axis=axes, keepdims=True)
    mean_product = np.mean(slope * x_hat, axis=axes, keepdims=True)
    return inverse * (slope - mean_slope - x_hat * mean_product)


def affine(x_hat: Array, weight: Array | None, bias: Array | None) -> Array:
    """x_hat * weight + bias, of which either may be missing."""
    scaled = x_hat if weight is None else x_hat * weight
    return scaled if bias is None else scaled + bias


def check_eps(eps: float) -> None:
    """Refuse what would divide by the 0 of constant values."""
    try:
        positive = eps > 0
    except TypeError:
        positive = False
    if not positive:
        raise ArgumentError(f"eps={eps!r}", remedy="pass a small positive number, such as 1e-5")


def check_shapes(x: Array, shape: tuple[int, ...], **arrays: Any) -> None:
    """Refuse parameters of another shape, which might broadcast."""
    for name, array in arrays.items():
        if array is not None and np.shape(array) != shape:
            problem = f"{name} {np.shape(array)} does not fit x {x.shape}"
            raise ShapeError(problem, remedy=f"give it the shape {shape}, or x another")


# Over a layer.


@primitive(
    method=False,
    residual=True,
    samples=[
        Sample(normal(4, 3), (3,), normal(3), normal(3)),
        Sample(normal(2, 2, 3), (2, 3), normal(2, 3)),
        Sample(normal(3), 3),
    ],
)
def layer_norm(
    x: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
) -> tuple[Array, Any]:
    """Each sample normalised over its last axes: out = (x - mean) / sqrt(var + eps) * weight + bias.

    Args: x (..., *normalized_shape); weight and bias of shape normalized_shape, or None. Returns the shape of x. Equal
    values give the bias exactly. Raises ShapeError for shapes that do not fit.
    Source: J. L. Ba, J. R. Kiros and G. E. Hinton, Layer normalization, 2016.

    >>> layer_norm(np.array([[1.0, 3.0], [5.0, 5.0]]), 2).round(4)
    array([[-1.,  1.],
           [ 0.,  0.]])
    """
    check_eps(eps)
    x = as_floating(x)
    check_layer(x, normalized_shape, weight, bias)
    if in_blocks(x):
        layout = layer_layout(x.shape, normalized_shape)
        weight, bias = of_layer(weight), of_layer(bias)
        out, *statistics = standardised_in_blocks(x, layout, weight, bias, eps)
        return out, RowStatistics(statistics)
    x_hat, inverse = standardised(x, layer_axes(normalized_shape), eps)
    return affine(x_hat, weight, bias), (x_hat, inverse)


def layer_layout(shape: tuple[int, ...], normalized_shape: int | Sequence[int]) -> Layout:
    """A row for each sample."""
    length = math.prod(layer_shape(normalized_shape))
    return math.prod(shape) // length, 1, length, False


def of_layer(values: Array | None) -> Any:
    """Parameters as a factor of each row."""
    return None if values is None else as_array(values).reshape((1, 1, -1))


def check_layer(x: Array, normalized_shape: int | Sequence[int], weight: Any, bias: Any) -> None:
    """Refuse an array that does not end in the shape to normalise over, and parameters of another shape."""
    shape = layer_shape(normalized_shape)
    if not shape or x.shape[-len(shape) :] != shape or 0 in shape:
        remedy = f"normalized_shape is that of the last axes, such as {x.shape[-1:]}; it holds at least one element"
        raise ShapeError(f"x {x.shape} does not end in normalized_shape {shape}", remedy=remedy)
    check_shapes(x, shape, weight=weight, bias=bias)


def layer_shape(normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    """The shape to normalise over as a tuple."""
    return (normalized_shape,) if isinstance(normalized_shape, (int, np.integer)) else tuple(normalized_shape)


def layer_axes(normalized_shape: int | Sequence[int]) -> Axes:
    """The last axes, as many as the shape has."""
    return tuple(range(-len(layer_shape(normalized_shape)), 0))


@layer_norm.vjp("x")
def layer_norm_vjp_x(
    g: Array,
    out: Array,
    x: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    residual: Any = None,
) -> Array:
    if isinstance(residual, RowStatistics):
        return slope_in_blocks(g, x, layer_layout(x.shape, normalized_shape), of_layer(weight), *residual)
    axes = layer_axes(normalized_shape)
    x_hat, inverse = standardised(x, axes, eps) if residual is None else residual
    slope = g if weight is None else g * weight
    return standardised_slope(slope, x_hat, inverse, axes)


@layer_norm.vjp("weight")
def layer_norm_vjp_weight(
    g: Array,
    out: Array,
    x: Array,
    normalized_shape: int | Sequence[int],
    weight: Array,
    bias: Array | None = None,
    eps: float = 1e-5,
    residual: Any = None,
) -> Array:
    return layer_weight_slope(g, x, normalized_shape, eps, residual).reshape(weight.shape)


def layer_weight_slope(g: Array, x: Array, normalized_shape: int | Sequence[int], eps: float, residual: Any) -> Array:
    """The sum of g x_hat over the samples."""
    if in_blocks(x):
        return weight_slope_in_blocks(g, x, layer_layout(x.shape, normalized_shape), eps)
    x_hat, _ = standardised(x, layer_axes(normalized_shape), eps) if residual is None else residual
    return unbroadcast(g * x_hat, layer_shape(normalized_shape))


@layer_norm.vjp("bias")
def layer_norm_vjp_bias(
    g: Array,
    out: Array,
    x: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None,
    bias: Array,
    eps: float = 1e-5,
    residual: Any = None,
) -> Array:
    return unbroadcast(g, bias.shape)


@layer_norm.textbook
def layer_norm_textbook(
    x: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
) -> Array:
    axes = layer_axes(normalized_shape)
    mean = np.mean(x, axis=axes, keepdims=True)
    centred = x - mean
    variance = np.mean(centred * centred, axis=axes, keepdims=True)
    deviation = np.sqrt(variance + eps)
    x_hat = centred / deviation
    scaled = x_hat if weight is None else x_hat * weight
    return scaled if bias is None else scaled + bias


# Over groups of channels.


@primitive(
    method=False,
    residual=True,
    samples=[Sample(normal(2, 4, 3), 2, normal(4), normal(4)), Sample(normal(2, 3, 2, 1), 1)],
)
def group_norm(
    x: Array, num_groups: int, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> tuple[Array, Any]:
    """Each sample normalised over groups of channels: out = (x - mean) / sqrt(var + eps) * weight + bias.

    Args: x (N, C, ...), its channels in num_groups groups of C / num_groups; weight and bias (C,), or None. Returns the
    shape of x. Equal values give the bias exactly. Raises ShapeError unless num_groups divides C.
    Source: Y. Wu and K. He, Group normalization, ECCV 2018.

    >>> group_norm(np.array([[1.0, 3.0, 5.0, 5.0]]), 2).round(4)
    array([[-1.,  1.,  0.,  0.]])
    """
    check_eps(eps)
    x = as_floating(x)
    check_groups(x.shape, num_groups)
    check_shapes(x, x.shape[1:2], weight=weight, bias=bias)
    if in_blocks(x):
        weight, bias = of_groups(weight, x.shape, num_groups), of_groups(bias, x.shape, num_groups)
        out, *statistics = standardised_in_blocks(x, group_layout(x.shape, num_groups), weight, bias, eps)
        return out, RowStatistics(statistics)
    x_hat, inverse = standardised(x.reshape(grouped(x.shape, num_groups)), (-1,), eps)
    out = affine(x_hat.reshape(x.shape), along_channels(weight, x.ndim), along_channels(bias, x.ndim))
    return out, (x_hat, inverse)


def check_groups(shape: tuple[int, ...], num_groups: int) -> None:
    """Refuse groups that cannot be made of the channels."""
    if len(shape) < 2 or 0 in shape[1:]:
        raise ShapeError(f"x {shape} has no channels", remedy="give it shape (N, C, ...)")
    if not isinstance(num_groups, (int, np.integer)) or num_groups < 1 or shape[1] % num_groups:
        problem = f"num_groups={num_groups} does not divide the {shape[1]} channels of x {shape}"
        raise ShapeError(problem, remedy="pass a divisor of the number of channels")


def grouped(shape: tuple[int, ...], num_groups: int) -> tuple[int, ...]:
    """The shape (N, num_groups, all that is normalised together)."""
    return shape[0], num_groups, math.prod(shape[1:]) // num_groups


def group_layout(shape: tuple[int, ...], num_groups: int) -> Layout:
    """A row for each group of each sample, a part for each channel."""
    return shape[0] * num_groups, shape[1] // num_groups, math.prod(shape[2:]), False


def of_groups(values: Array | None, shape: tuple[int, ...], num_groups: int) -> Any:
    """Parameters (C,) as a factor of each row."""
    if values is None:
        return None
    for_samples = np.broadcast_to(as_array(values), shape[:2])
    return for_samples.reshape((shape[0] * num_groups, shape[1] // num_groups, 1))


def along_channels(values: Array | None, ndim: int) -> Any:
    """Values (C,) in a shape that broadcasts against (N, C, ...)."""
    return None if values is None else as_array(values).reshape((-1,) + (1,) * (ndim - 2))


@group_norm.vjp("x")
def group_norm_vjp_x(
    g: Array,
    out: Array,
    x: Array,
    num_groups: int,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    residual: Any = None,
) -> Array:
    if isinstance(residual, RowStatistics):
        factor = of_groups(weight, x.shape, num_groups)
        return slope_in_blocks(g, x, group_layout(x.shape, num_groups), factor, *residual)
    rows = grouped(x.shape, num_groups)
    x_hat, inverse = standardised(x.reshape(rows), (-1,), eps) if residual is None else residual
    slope = g if weight is None else g * along_channels(weight, x.ndim)
    return standardised_slope(slope.reshape(rows), x_hat, inverse, (-1,)).reshape(x.shape)


@group_norm.vjp("weight")
def group_norm_vjp_weight(
    g: Array,
    out: Array,
    x: Array,
    num_groups: int,
    weight: Array,
    bias: Array | None = None,
    eps: float = 1e-5,
    residual: Any = None,
) -> Array:
    return group_weight_slope(g, x, num_groups, eps, residual)


def group_weight_slope(g: Array, x: Array, num_groups: int, eps: float, residual: Any) -> Array:
    """The sum of g x_hat for each channel."""
    if in_blocks(x):
        by_sample = part_slopes_in_blocks(g, x, group_layout(x.shape, num_groups), eps)
        return np.sum(by_sample.reshape(x.shape[:2]), axis=0)
    x_hat, _ = standardised(x.reshape(grouped(x.shape, num_groups)), (-1,), eps) if residual is None else residual
    return np.sum(g * x_hat.reshape(x.shape), axis=batch_axes(x.ndim))


@group_norm.vjp("bias")
def group_norm_vjp_bias(
    g: Array,
    out: Array,
    x: Array,
    num_groups: int,
    weight: Array | None,
    bias: Array,
    eps: float = 1e-5,
    residual: Any = None,
) -> Array:
    return np.sum(g, axis=batch_axes(x.ndim))


@group_norm.textbook
def group_norm_textbook(
    x: Array, num_groups: int, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> Array:
    rows = x.reshape(grouped(x.shape, num_groups))
    mean = np.mean(rows, axis=-1, keepdims=True)
    centred = rows - mean
    variance = np.mean(centred * centred, axis=-1, keepdims=True)
    deviation = np.sqrt(variance + eps)
    x_hat = (centred / deviation).reshape(x.shape)
    scaled = x_hat if weight is None else x_hat * along_channels(weight, x.ndim)
    return scaled if bias is None else scaled + along_channels(bias, x.ndim)


# Over a batch.


def batch_axes(ndim: int) -> Axes:
    """All axes of (N, C, ...) but that of the channels."""
    return (0, *range(2, ndim))


@primitive(
    method=False,
    residual=True,
    samples=[
        Sample(normal(4, 3), normal(3), uniform(0.5, 2, 3), normal(3), normal(3)),
        Sample(normal(2, 2, 3), None, None, normal(2)),
        Sample(normal(2, 2, 2, 1)),
    ],
)
def batch_norm(
    x: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    num_batches_tracked: Array | None = None,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
) -> tuple[Array, Any]:
    """Each channel normalised over the batch, as while training: out = (x - mean) / sqrt(var + eps) * weight + bias.

    Args: x (N, C, ...); weight and bias (C,), or None. What is returned depends on none of the others, which
    `nn.functional.batch_norm` updates, and uses in evaluation. Equal values give the bias exactly. Raises ShapeError
    for a single value per channel, which would be 0 whatever it is.
    Source: S. Ioffe and C. Szegedy, Batch normalization, ICML 2015.

    >>> batch_norm(np.array([[1.0, 5.0], [3.0, 5.0]])).round(4)
    array([[-1.,  0.],
           [ 1.,  0.]])
    """
    check_eps(eps)
    x = as_floating(x)
    check_channels(x, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    if values_per_channel(x.shape) < 2:
        remedy = "pass drop_last=True to Trainer or data.batches, another batch size, or switch the model to eval()"
        raise ShapeError(f"x {x.shape} has no two values per channel to tell a variance from", remedy=remedy)
    if in_blocks(x):
        weight, bias = of_channels(weight), of_channels(bias)
        out, *statistics = standardised_in_blocks(x, channel_layout(x.shape), weight, bias, eps)
        return out, RowStatistics(statistics)
    x_hat, inverse = standardised(x, batch_axes(x.ndim), eps)
    out = affine(x_hat, along_channels(weight, x.ndim), along_channels(bias, x.ndim))
    return out, (x_hat, inverse)


def check_channels(x: Array, **arrays: Any) -> None:
    """Refuse what has no channels, and parameters that are not one value for each."""
    if x.ndim < 2:
        raise ShapeError(f"x {x.shape} has no channels", remedy="give it shape (N, C) or (N, C, ...)")
    check_shapes(x, x.shape[1:2], **arrays)


def channel_layout(shape: tuple[int, ...]) -> Layout:
    """A row for each channel, a part for each sample."""
    return shape[0], shape[1], math.prod(shape[2:]), True


def of_channels(values: Array | None) -> Any:
    """Parameters (C,) as a factor of each row."""
    return None if values is None else as_array(values).reshape((-1, 1, 1))


def values_per_channel(shape: tuple[int, ...]) -> int:
    """How many values are normalised together."""
    return math.prod(shape[i] for i in batch_axes(len(shape)))


@batch_norm.vjp("x")
def batch_norm_vjp_x(
    g: Array,
    out: Array,
    x: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    num_batches_tracked: Array | None = None,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
    residual: Any = None,
) -> Array:
    if isinstance(residual, RowStatistics):
        return slope_in_blocks(g, x, channel_layout(x.shape), of_channels(weight), *residual)
    axes = batch_axes(x.ndim)
    x_hat, inverse = standardised(x, axes, eps) if residual is None else residual
    slope = g if weight is None else g * along_channels(weight, x.ndim)
    return standardised_slope(slope, x_hat, inverse, axes)


@batch_norm.vjp("weight")
def batch_norm_vjp_weight(
    g: Array,
    out: Array,
    x: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array,
    bias: Array | None = None,
    num_batches_tracked: Array | None = None,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
    residual: Any = None,
) -> Array:
    return channel_weight_slope(g, x, eps, residual)


def channel_weight_slope(g: Array, x: Array, eps: float, residual: Any) -> Array:
    """The sum of g x_hat for each channel."""
    if in_blocks(x):
        return np.sum(part_slopes_in_blocks(g, x, channel_layout(x.shape), eps), axis=1)
    x_hat, _ = standardised(x, batch_axes(x.ndim), eps) if residual is None else residual
    return np.sum(g * x_hat, axis=batch_axes(x.ndim))


@batch_norm.vjp("bias")
def batch_norm_vjp_bias(
    g: Array,
    out: Array,
    x: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None,
    bias: Array,
    num_batches_tracked: Array | None = None,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
    residual: Any = None,
) -> Array:
    return np.sum(g, axis=batch_axes(x.ndim))


@batch_norm.textbook
def batch_norm_textbook(
    x: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    num_batches_tracked: Array | None = None,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
) -> Array:
    axes = batch_axes(x.ndim)
    mean = np.mean(x, axis=axes, keepdims=True)
    centred = x - mean
    variance = np.mean(centred * centred, axis=axes, keepdims=True)
    deviation = np.sqrt(variance + eps)
    x_hat = centred / deviation
    scaled = x_hat if weight is None else x_hat * along_channels(weight, x.ndim)
    return scaled if bias is None else scaled + along_channels(bias, x.ndim)


# What `batch_norm` makes of the running statistics, called as it is.


def new_running_mean(
    x: Array,
    running_mean: Array,
    running_var: Array | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    num_batches_tracked: Array | None = None,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
) -> Array:
    """The running mean moved towards that of the batch."""
    return moved(running_mean, moments(x)[0], num_batches_tracked, momentum)


def new_running_var(
    x: Array,
    running_mean: Array | None,
    running_var: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    num_batches_tracked: Array | None = None,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
) -> Array:
    """The running variance moved towards that of the batch, which is unbiased: divided by N - 1."""
    return moved(running_var, moments(x)[1], num_batches_tracked, momentum)


def new_num_batches_tracked(
    x: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None,
    bias: Array | None,
    num_batches_tracked: Array,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
) -> Array:
    """One batch more."""
    return num_batches_tracked + 1


def moved(running: Array, batch: Array, batches: Any, momentum: float | None) -> Array:
    """A running statistic after another batch: moved by a share, or the plain average of all batches."""
    change = batch - running
    return running + (change / (batches + 1) if momentum is None else momentum * change)


def moments(x: Array) -> tuple[Array, Array]:
    """The mean and the unbiased variance of each channel."""
    count = values_per_channel(x.shape)
    if in_blocks(x):
        mean, variance = moments_in_blocks(x, channel_layout(x.shape))
        return mean, variance * (count / (count - 1))
    axes = batch_axes(x.ndim)
    first = first_of(x, axes)
    shifted = x - first
    shift = np.mean(shifted, axis=axes, keepdims=True)
    centred = shifted - shift
    return (first + shift).reshape(-1), np.sum(centred * centred, axis=axes) / (count - 1)


def new_statistics(
    x: Array, mean: Array | None, var: Array | None, batches: Array | None, momentum: float | None
) -> list[Array | None]:
    """What the functions above make of all three, with one look at the batch; None for what is not there."""
    batch = moments(x) if mean is not None or var is not None else (None, None)
    statistics = [
        None if old is None else moved(old, new, batches, momentum) for old, new in zip((mean, var), batch, strict=True)
    ]
    return [*statistics, None if batches is None else batches + 1]
