"""The operations under the names that PyTorch users know, with `axis` for `dim`; usually imported as F."""

from __future__ import annotations

import functools
import math
from functools import partial
from typing import Any

import numpy as np

from tinygrad_sm.display import describe
from tinygrad_sm.effects import Effect, note_overwrite
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_sm.operand import as_array, as_floating, plain
from tinygrad_sm.ops import (
    adaptive_avg_pool2d,
    avg_pool2d,
    binary_cross_entropy_with_logits,
    conv1d,
    conv2d,
    conv_transpose2d,
    cross_entropy,
    elu,
    embedding,
    focal_loss,
    gelu,
    glu,
    group_norm,
    hardsigmoid,
    hardswish,
    hardtanh,
    hinge_loss,
    huber_loss,
    kl_div,
    l1_loss,
    layer_norm,
    leaky_relu,
    linear,
    log_sigmoid,
    log_softmax,
    logsumexp,
    logsumexp_hinge_loss,
    max_pool2d,
    maxout,
    mish,
    mse_loss,
    nll_loss,
    one_hot,
    prelu,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    smooth_l1_loss,
    softmax,
    softplus,
    softplus_hinge_loss,
    softshrink,
    softsign,
    tanh,
    tanhshrink,
    threshold,
    zero_one_loss,
)
from tinygrad_sm.ops.activation import dropout as dropout_with_mask
from tinygrad_sm.ops.normalisation import (
    along_channels,
    check_channels,
    check_eps,
    new_num_batches_tracked,
    new_running_mean,
    new_running_var,
    new_statistics,
)
from tinygrad_sm.ops.normalisation import batch_norm as batch_norm_in_training
from tinygrad_sm.ops.windows import only
from tinygrad_sm.randomness import generator_or_default

__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "conv1d",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "dropout",
    "elu",
    "embedding",
    "focal_loss",
    "gelu",
    "glu",
    "group_norm",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hinge_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "logsumexp_hinge_loss",
    "max_pool1d",
    "max_pool2d",
    "maxout",
    "mish",
    "mse_loss",
    "nll_loss",
    "one_hot",
    "prelu",
    "relu",
    "relu6",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "softmax",
    "softplus",
    "softplus_hinge_loss",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "zero_one_loss",
]


def dropout(x: Any, p: float = 0.5, training: bool = True, *, generator: np.random.Generator | None = None) -> Any:
    """Zero each value with probability p and divide the others by 1 - p; the identity unless training.

    Args: x of any shape; generator draws the mask, the library's default one if None. Returns the shape of x. Raises
    ArgumentError unless 0 <= p < 1.

    >>> dropout(np.ones(4), 0.5, generator=np.random.default_rng(1)).tolist()
    [0.0, 2.0, 2.0, 2.0]
    """
    try:
        probable = bool(0 <= p < 1)
    except (TypeError, ValueError):
        probable = False
    if not probable:
        raise ArgumentError(f"dropout: p={p!r}", remedy="pass a probability from 0 up to, but not including, 1")
    p = float(p)  # a NumPy scalar would promote float32
    if not training or p == 0:
        return x
    draw = partial(_keep, generator_or_default(generator), np.shape(x), p)
    if isinstance(x, Tensor):
        return Tensor.record(dropout_with_mask, (x, draw()), {"p": p}, (Effect("draw", "mask", draw),))
    return dropout_with_mask(x, draw(), p)


def _keep(generator: np.random.Generator, shape: tuple[int, ...], p: float) -> Any:
    """A mask that is true with probability 1 - p."""
    return generator.random(shape, dtype=np.float32) >= p


# What training makes of them, for who repeats it.
RUNNING_STATISTICS = {
    "running_mean": new_running_mean,
    "running_var": new_running_var,
    "num_batches_tracked": new_num_batches_tracked,
}


def batch_norm(
    x: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
    *,
    num_batches_tracked: Any = None,
) -> Any:
    """Each channel normalised by its mean and variance: out = (x - mean) / sqrt(var + eps) * weight + bias.

    Args: x (N, C, ...), the others (C,) or None. In training mean and variance are those of the batch, and the running
    ones move towards them by the share momentum, in place; None takes the average of all batches, counted in
    num_batches_tracked. In evaluation they are the running ones. Returns the shape of x. Raises ShapeError for a single
    value per channel in training. Source: S. Ioffe and C. Szegedy, Batch normalization, ICML 2015.

    >>> batch_norm(np.array([[1.0], [3.0]]), training=True).round(4).tolist()
    [[-1.0], [1.0]]
    """
    if not training:
        return _batch_norm_by(x, running_mean, running_var, weight, bias, eps)
    if momentum is None and num_batches_tracked is None:
        remedy = "pass num_batches_tracked, which counts the batches"
        raise ArgumentError("batch_norm: momentum=None", remedy=remedy)
    check_momentum("batch_norm", momentum)
    args = (x, running_mean, running_var, weight, bias, num_batches_tracked)
    options: dict[str, Any] = {"momentum": None if momentum is None else float(momentum), "eps": float(eps)}
    buffers = {"running_mean": running_mean, "running_var": running_var, "num_batches_tracked": num_batches_tracked}
    arrays: dict[str, Any] = {name: plain(buffer) for name, buffer in buffers.items()}
    given = [name for name, buffer in buffers.items() if buffer is not None]
    for name in given:
        _check_buffer(name, arrays[name])
    if any(isinstance(each, Tensor) for each in args):
        effects = tuple([Effect("update", name, RUNNING_STATISTICS[name]) for name in given])
        out = Tensor.record(batch_norm_in_training, args, options, effects)
    else:
        out = batch_norm_in_training(*args, **options)
    mean, var, batches = arrays.values()
    renewed = new_statistics(as_floating(plain(x)), mean, var, batches, options["momentum"])
    for name, value in zip(arrays, renewed, strict=True):
        if value is not None:
            np.copyto(arrays[name], value, casting="same_kind")
            note_overwrite(arrays[name])
    return out


def check_momentum(owner: str, momentum: float | None) -> None:
    """Refuse what is neither a share nor None."""
    if momentum is not None and (not isinstance(momentum, (int, float, np.number)) or not 0 <= momentum <= 1):
        remedy = "pass the share of the newest batch, from 0 to 1, or None for the average of all"
        raise ArgumentError(f"{owner}: momentum={momentum!r}", remedy=remedy)


def _check_buffer(name: str, array: Any) -> None:
    """Refuse what cannot be written to."""
    kinds = "iu" if name == "num_batches_tracked" else "f"
    if not isinstance(array, np.ndarray) or array.dtype.kind not in kinds or not array.flags.writeable:
        remedy = "pass an nn.Buffer or an array, floating for the statistics; it is updated in place"
        raise DTypeError(f"batch_norm: {name} {describe(array)} cannot be updated", remedy=remedy)


def _batch_norm_by(x: Any, mean: Any, var: Any, weight: Any, bias: Any, eps: float) -> Any:
    """The normalisation of evaluation, by statistics that are given."""
    if mean is None or var is None:
        remedy = "pass both, or training=True to take those of the batch"
        raise ArgumentError("batch_norm: evaluation without running_mean and running_var", remedy=remedy)
    x = as_floating(x)
    try:
        check_eps(eps)
        check_channels(x, running_mean=mean, running_var=var, weight=weight, bias=bias)
    except (ArgumentError, ShapeError) as error:
        raise error.inside("batch_norm") from None
    mean, var, weight, bias = [along_channels(each, x.ndim) for each in (mean, var, weight, bias)]
    deviation = np.sqrt(var + float(eps))
    scale = 1 / deviation if weight is None else weight / deviation
    scaled = (x - mean) * scale
    return scaled if bias is None else scaled + bias


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    *,
    generator: np.random.Generator | None = None,
) -> Any:
    """Averages of values, weighted by how well keys fit queries: out = softmax(query key^T scale + mask) value.

    Args: query (..., L, E), key (..., S, E), value (..., S, V); attn_mask broadcasts to (..., L, S): booleans, true to
    attend, or floats to add; is_causal attends to no later position; scale is 1 / sqrt(E) by default; dropout_p drops
    weights. Returns (..., L, V); 0 where nothing may be attended to. Raises ShapeError for a mask that does not fit.
    Source: A. Vaswani et al., Attention is all you need, NIPS 2017.

    >>> scaled_dot_product_attention(np.zeros((1, 4)), np.ones((2, 4)), np.array([[1.0], [3.0]]))
    array([[2.]])
    """
    query, key, value = as_floating(query), as_floating(key), as_floating(value)
    _check_attention(query.shape, key.shape, value.shape)
    scale = 1 / math.sqrt(query.shape[-1] or 1) if scale is None else float(scale)
    scores = (query * scale) @ np.swapaxes(key, -1, -2)
    if is_causal:
        if attn_mask is not None:
            remedy = "combine them: attn_mask & np.tri(L, S, dtype=bool)"
            raise ArgumentError("scaled_dot_product_attention: attn_mask and is_causal", remedy=remedy)
        attn_mask = _causal(*scores.shape[-2:])
    if attn_mask is not None:
        scores = _masked(scores, attn_mask)
    weights = dropout(softmax(scores, -1), dropout_p, generator=generator)
    return weights @ value


def _check_attention(query: tuple[int, ...], key: tuple[int, ...], value: tuple[int, ...]) -> None:
    """Refuse shapes that do not fit each other."""
    fits = min(len(query), len(key), len(value)) >= 2 and query[-1] == key[-1] and key[-2] == value[-2]
    try:
        np.broadcast_shapes(query[:-2], key[:-2], value[:-2])
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"scaled_dot_product_attention: query {query}, key {key} and value {value} do not fit each other",
            remedy="give them shapes (..., L, E), (..., S, E) and (..., S, V), whose first axes broadcast",
        )


@functools.lru_cache(maxsize=16)
def _causal(queries: int, keys: int) -> Any:
    """A mask that is true where a key comes no later than the query."""
    mask = np.tri(queries, keys, dtype=bool)
    mask.flags.writeable = False  # it is handed out more than once
    return mask


def _masked(scores: Any, mask: Any) -> Any:
    """Scores that are -inf where a mask is false, or with a floating mask added to them."""
    kind, shape = np.asarray(plain(mask)).dtype.kind, np.shape(mask)
    if kind not in "bf":
        remedy = "write mask.astype(bool) if 1 means to attend"
        raise DTypeError("scaled_dot_product_attention: attn_mask holds neither booleans nor floats", remedy=remedy)
    try:
        fits = np.broadcast_shapes(shape, scores.shape) == scores.shape
    except ValueError:
        fits = False
    if not fits:
        problem = f"attn_mask {shape} does not broadcast to the scores {scores.shape}"
        raise ShapeError(f"scaled_dot_product_attention: {problem}", remedy="its last axes are (queries, keys)")
    return np.where(mask, scores, -np.inf) if kind == "b" else scores + as_array(mask, scores.dtype)


def max_pool1d(x: Any, kernel_size: int, stride: int | None = None, padding: int = 0, dilation: int = 1) -> Any:
    """Largest value of every window along one axis, (N, C, L) to (N, C, L'): `max_pool2d` of images with one row.

    >>> max_pool1d(np.array([[[1.0, 5.0, 2.0, 2.0]]]), 2)
    array([[[5., 2.]]])
    """
    rows = np.expand_dims(as_array(x), -2)
    size, step, pads = _of_one_row(kernel_size, stride, padding)
    return np.squeeze(max_pool2d(rows, size, step, pads, (1, only(dilation, "dilation"))), -2)


def avg_pool1d(
    x: Any, kernel_size: int, stride: int | None = None, padding: int = 0, *, count_include_pad: bool = True
) -> Any:
    """Average of every window along one axis, (N, C, L) to (N, C, L'): `avg_pool2d` of images with one row.

    >>> avg_pool1d(np.array([[[1.0, 5.0, 2.0, 2.0]]]), 2)
    array([[[3., 2.]]])
    """
    rows = np.expand_dims(as_array(x), -2)
    size, step, pads = _of_one_row(kernel_size, stride, padding)
    return np.squeeze(avg_pool2d(rows, size, step, pads, count_include_pad=count_include_pad), -2)


def _of_one_row(kernel_size: Any, stride: Any, padding: Any) -> tuple[Any, Any, Any]:
    """The options of a pool along one axis, as those of images with a single row."""
    size = 1, only(kernel_size, "kernel_size")
    return size, size if stride is None else (1, only(stride, "stride")), (0, only(padding, "padding"))
