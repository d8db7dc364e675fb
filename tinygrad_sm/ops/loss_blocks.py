"""Losses of large arrays, in blocks of rows: the losses and their slopes in one pass over each block.

The formulas are those of `loss.py` and `regression_loss.py`, which call these where an array is large.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_sm.engine.primitive import Array
from tinygrad_sm.operand import as_array
from tinygrad_sm.ops.softmax_family import all_finite, empty_like, log_softmax, put, shifted_exp, softmax
from tinygrad_sm.ops.targets import (
    as_type_of,
    check_options,
    checked_labels,
    class_axis,
    is_floating,
    label_weights,
    safe,
    wanted,
)
from tinygrad_sm.threads import one_call, run_rows


def losses_of(logits: Array, q: Array) -> Array:
    """The loss of every sample, -sum_c q_c log p_c, also where classes are masked."""
    axis = class_axis(logits.ndim)
    with np.errstate(invalid="ignore"):  # 0 * -inf where a masked class is not wanted
        terms = np.where(q == 0, 0, as_type_of(logits, q) * log_softmax(logits, axis))
    return -np.sum(terms, axis=axis)


def losses_in_blocks(
    logits: Array, target: Any, weight: Array | None, ignore_index: int, label_smoothing: float
) -> tuple[Array, Array, Any]:
    """The loss of every sample, its slope in the logits, and the count that a mean divides by."""
    check_options(logits.shape[1], weight, label_smoothing)
    per_class = None if weight is None else as_type_of(logits, weight)
    if is_floating(target) and np.shape(target) == logits.shape:
        losses, slope = probability_losses_in_blocks(logits, as_array(target), per_class, label_smoothing)
        return losses, slope, logits.size / logits.shape[1]
    labels = checked_labels(logits.shape, target, ignore_index)
    losses, slope = label_losses_in_blocks(logits, labels, per_class, ignore_index, label_smoothing)
    return losses, slope, label_weights(logits, labels, weight, ignore_index)[1]


@one_call
def label_losses_in_blocks(
    logits: Array, labels: Array, weight: Array | None, ignore_index: int, smoothing: float
) -> tuple[Array, Array]:
    """The loss of every sample, by its label, and its slope."""
    flat = labels.reshape(-1)

    def rows(x: Array, out: Array, lo: int, hi: int) -> tuple[Array, Array]:
        return label_losses(x, flat[lo:hi], weight, ignore_index, smoothing, out)

    return over_rows(rows, logits)


@one_call
def probability_losses_in_blocks(
    logits: Array, target: Array, weight: Array | None, smoothing: float
) -> tuple[Array, Array]:
    """The loss of every sample, by its probabilities, and its slope."""
    flat = class_last(target)

    def rows(x: Array, out: Array, lo: int, hi: int) -> tuple[Array, Array]:
        q = as_type_of(out, flat[lo:hi])
        if smoothing:
            q = np.multiply(1 - smoothing, q) + smoothing / x.shape[1]
        return probability_losses(x, q if weight is None else weight * q, out)

    return over_rows(rows, logits)


def over_rows(rows: Callable[..., tuple[Array, Array]], logits: Array) -> tuple[Array, Array]:
    """What rows(x, out, lo, hi) gives for all samples as rows: losses, and slopes, which may stand in `out`."""
    x = class_last(logits)
    losses, slope = empty_like(x[:, 0]), empty_like(x)

    def kernel(lo: int, hi: int) -> None:
        out = slope[lo:hi]
        losses[lo:hi], found = rows(x[lo:hi], out, lo, hi)
        put(out, found)

    run_rows(kernel, x)
    shape = logits.shape[:1] + logits.shape[2:]
    return losses.reshape(shape), slope if logits.ndim == 2 else np.moveaxis(slope.reshape(*shape, -1), -1, 1)


def class_last(array: Array) -> Array:
    """Samples as rows, whatever the number of axes."""
    return array if array.ndim == 2 else np.moveaxis(array, 1, -1).reshape(-1, array.shape[1])


def label_losses(
    x: Array, labels: Array, weight: Array | None, ignore_index: int, smoothing: float, out: Array
) -> tuple[Array, Array]:
    """The losses of rows with labels, and their slopes, which may stand in `out`."""
    classes, ignored = safe(labels, ignore_index), labels == ignore_index
    factor = 1 if weight is None else weight[classes]
    if smoothing:
        share = np.full(x.shape[1], smoothing / x.shape[1], out.dtype) * (1 if weight is None else weight)
        found = smoothed_losses(x, classes, (1 - smoothing) * factor, share, out)
    else:
        found = picking_losses(x, classes, factor, out)
    if found is None:
        return any_losses(x, wanted(x, labels, weight, ignore_index, smoothing)[0])
    losses, slope = found
    if ignored.any():
        losses[ignored] = slope[ignored] = 0
    return losses, slope


def picking_losses(x: Array, labels: Array, factor: Any, out: Array) -> tuple[Array, Array] | None:
    """The losses factor * -log p_label, and their slopes, which may stand in `out`; None where infinities meet."""
    rows = np.arange(len(labels))
    p, total, top, finite = shifted_exp(x, 1, out)
    if not finite:
        return None
    losses = np.log(total)[:, 0] + (top[:, 0] - x[rows, labels])
    p /= total
    if not isinstance(factor, int):
        if not all_finite(losses):
            return None
        losses *= factor
        p *= factor[:, None]
    p[rows, labels] -= factor
    return losses, p


def smoothed_losses(x: Array, labels: Array, factor: Any, share: Array, out: Array) -> tuple[Array, Array] | None:
    """The same with q = share for all classes, and factor more for the label."""
    shifted = less_top(x, out)
    if shifted is None:
        return None
    rows = np.arange(len(labels))
    with np.errstate(invalid="ignore"):
        wanted = factor * shifted[rows, labels] + np.einsum("ij,j->i", shifted, share)
    if not all_finite(wanted):
        return None
    sum_q = factor + share.sum()
    log_total, slope = scaled_exp(shifted, sum_q)
    slope -= share
    slope[rows, labels] -= factor
    return sum_q * log_total - wanted, slope


def probability_losses(x: Array, q: Array, out: Array) -> tuple[Array, Array]:
    """The losses of rows with probabilities, and their slopes, which may stand in `out`."""
    shifted = less_top(x, out)
    if shifted is not None:
        wanted = np.einsum("ij,ij->i", q, shifted)
        if all_finite(wanted):  # no infinite logit is wanted, nor met by a q of 0
            sum_q = np.einsum("ij->i", q)
            log_total, slope = scaled_exp(shifted, sum_q)
            slope -= q
            return sum_q * log_total - wanted, slope
    return any_losses(x, q)


def less_top(x: Array, out: Array) -> Array | None:
    """Rows less their maxima, in `out`; None unless all maxima are finite."""
    top = np.maximum.reduce(x, axis=1, keepdims=True)
    return np.subtract(x, top, out=out) if all_finite(top) else None


def scaled_exp(x: Array, factor: Any) -> tuple[Array, Array]:
    """The logsumexp of rows, and their softmax times a factor in place of them."""
    np.exp(x, out=x)
    total = np.einsum("ij->i", x)  # a third of the time of np.sum, which rounds less
    x *= (factor / total)[:, None]
    return np.log(total), x


def any_losses(x: Array, q: Array) -> tuple[Array, Array]:
    """Losses and slopes by the formulas that hold for masked rows and infinities, too."""
    p = softmax(x, 1)
    counted = np.where(np.sum(p, axis=1, keepdims=True) > 0, q, 0)  # a fully masked row has no gradient
    return losses_of(x, q), p * np.sum(counted, axis=1, keepdims=True) - counted


def picked_losses(log_probs: Array, labels: Array, factor: Any, ignore_index: int) -> Array:
    """The losses of samples by their labels alone; what does not count may be infinite."""
    axis = class_axis(log_probs.ndim)
    places = np.expand_dims(safe(labels, ignore_index), axis)
    losses = -np.take_along_axis(log_probs, places, axis).reshape(labels.shape)
    return losses if isinstance(factor, int) else np.where(factor == 0, 0, losses) * factor


@one_call
def scattered(values: Array, log_probs: Array, target: Any, ignore_index: int) -> Array:
    """A number for every sample at the place of its label, and zero everywhere else."""
    labels, axis = np.asarray(target), class_axis(log_probs.ndim)
    result = np.zeros(log_probs.shape, log_probs.dtype)
    places = np.expand_dims(safe(labels, ignore_index), axis)
    np.put_along_axis(result, places, np.expand_dims(np.broadcast_to(values, labels.shape), axis), axis)
    return result


@one_call
def squared_errors_in_blocks(prediction: Array, target: Any, reduction: str) -> tuple[Array, Array]:
    """The losses, or those of whole rows, and the errors."""
    target, error = as_array(target), empty_like(prediction)
    losses, axes = room_for_losses(error, reduction)

    def kernel(lo: int, hi: int) -> None:
        each = np.subtract(prediction[lo:hi], as_type_of(error, target[lo:hi]), out=error[lo:hi])
        losses[lo:hi] = np.add.reduce(each * each, axis=axes)

    run_rows(kernel, prediction)
    return losses, error


def room_for_losses(like: Array, reduction: str) -> tuple[Array, tuple[int, ...]]:
    """An array for the losses of elements, and the axes to sum them over: those of a row unless each is wanted."""
    axes = () if reduction == "none" else tuple(range(1, like.ndim))
    return np.empty(like.shape[:1] if axes else like.shape, like.dtype), axes


@one_call
def binary_losses_in_blocks(
    x: Array, target: Any, weight: Array | None, pos_weight: Array | None, reduction: str
) -> tuple[Array, Array]:
    """The losses, or those of whole rows, and the slope of each without its weight."""
    target, slope = as_array(target), empty_like(x)
    factors = [None if each is None else np.broadcast_to(each, x.shape) for each in (weight, pos_weight)]
    losses, axes = room_for_losses(slope, reduction)

    def kernel(lo: int, hi: int) -> None:
        t = as_type_of(slope, target[lo:hi])
        row_weight, positive = [None if each is None else as_type_of(slope, each[lo:hi]) for each in factors]
        each = binary_losses(x[lo:hi], t, positive, slope[lo:hi])
        losses[lo:hi] = np.add.reduce(each if row_weight is None else each * row_weight, axis=axes)

    run_rows(kernel, x)
    return losses, slope


def binary_losses(x: Array, t: Array, positive: Array | None, slope: Array) -> Array:
    """The losses of one block; `slope` is filled."""
    tail = np.abs(x, out=slope)
    np.exp(np.negative(tail, out=tail), out=tail)
    losses = np.log1p(tail)
    losses -= np.minimum(x, 0)  # which makes it softplus(-x)
    above = np.maximum(tail, np.greater_equal(x, 0))  # an eighth of the time of a choice by np.where
    tail += 1
    np.divide(above, tail, out=slope)  # the sigmoid
    if positive is not None:
        losses *= 1 + (positive - 1) * t
        slope *= 1 + (positive - 1) * t
    slope -= t if positive is None else positive * t
    losses += (1 - t) * x
    return losses
