"""The cross-entropy family: losses that are the negative logarithm of a probability.

Logits have the classes along their second axis (the only one of 1-d logits), and class labels are integers with the
shape of the rest; `targets.py` holds what is checked, `loss_blocks.py` does the same for large arrays.

Source: C. Bishop, Pattern Recognition and Machine Learning, 2006, section 4.3; label smoothing: C. Szegedy et al.,
Rethinking the Inception architecture for computer vision, CVPR 2016.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.errors import ArgumentError
from tinygrad_sm.operand import as_array, plain
from tinygrad_sm.ops.activation import sigmoid, softplus
from tinygrad_sm.ops.loss_blocks import (
    binary_losses_in_blocks,
    losses_in_blocks,
    losses_of,
    picked_losses,
    scattered,
)
from tinygrad_sm.ops.samples import Recipe, Sample, integers, normal, uniform
from tinygrad_sm.ops.softmax_family import log_softmax, shifted_exp, softmax
from tinygrad_sm.ops.targets import (
    as_type_of,
    check_factors,
    checked_labels,
    class_axis,
    label_weights,
    plain_labels,
    reduce,
    same_shape,
    spread,
    wanted,
)
from tinygrad_sm.threads import splits

_LOGITS = normal(4, 3)
_LABELS = integers(3, 4)
_PROBABILITIES = Recipe(lambda rng: rng.dirichlet(np.ones(3), size=4))


@primitive(
    method=False,
    residual=True,
    misuse={
        "softmax": "cross_entropy applies log_softmax itself, and was given the output of a softmax: pass the logits",
        "sigmoid": "cross_entropy expects logits, and was given the output of a sigmoid: leave the sigmoid out",
    },
    samples=[
        Sample(_LOGITS, _LABELS),
        Sample(_LOGITS, _LABELS, reduction="none"),
        Sample(_LOGITS, _LABELS, reduction="sum", label_smoothing=0.1),
        Sample(_LOGITS, np.array([0, -100, 2, 1]), np.array([1.0, 2.0, 0.5])),
        Sample(_LOGITS, _LABELS, np.array([1.0, 2.0, 0.5]), label_smoothing=0.2),
        Sample(_LOGITS, _PROBABILITIES),
        Sample(_LOGITS, _PROBABILITIES, np.array([1.0, 2.0, 0.5]), label_smoothing=0.1, reduction="none"),
        Sample(normal(3), np.array(1)),
        Sample(normal(2, 3, 2), integers(3, 2, 2), reduction="none"),
    ],
)
def cross_entropy(
    logits: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    """Cross-entropy between softmax(logits) and class labels or probabilities: loss_n = -sum_c q_nc log p_nc.

    Args: logits (N, C, ...); target integer labels (N, ...) or floating probabilities like the logits; weight (C,) per
    class; labels equal to ignore_index do not count. Returns a scalar, or (N, ...) with reduction="none". The gradient
    is (p - q) / N. Raises TargetError for labels that are out of range, of another shape or floating.

    >>> float(cross_entropy(np.array([[0.0, 0.0], [9.0, 0.0]]), np.array([0, 0])).round(4))
    0.3466
    """
    logits = as_array(logits)
    if logits.ndim > 1 and splits(logits):
        losses, slope, count = losses_in_blocks(logits, target, weight, ignore_index, label_smoothing)
        return reduce(losses, reduction, count), (slope, count)
    labels = plain_labels(logits, target, weight, ignore_index, label_smoothing)
    if labels is not None:
        p, total, top, finite = shifted_exp(logits, 1)
        if finite:
            rows = np.arange(len(labels))
            losses = np.log(total)[:, 0] + (top[:, 0] - logits[rows, labels])
            p /= total
            p[rows, labels] -= 1
            return reduce(losses, reduction, labels.size), (p, labels.size)
    q, count = wanted(logits, target, weight, ignore_index, label_smoothing)
    return reduce(losses_of(logits, q), reduction, count), None


@cross_entropy.vjp("logits")
def cross_entropy_vjp_logits(
    g: Array,
    out: Array,
    logits: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    residual: Any = None,
) -> Array:
    axis = class_axis(logits.ndim)
    if residual is not None:
        residual, count = residual  # p - q, ours to overwrite, and what a mean divides by
        residual *= spread(g, reduction, count, axis)
        return residual
    q, count = wanted(logits, target, weight, ignore_index, label_smoothing)
    p = softmax(logits, axis)
    q = np.where(np.sum(p, axis=axis, keepdims=True) > 0, q, 0)  # a fully masked row has no gradient
    return spread(g, reduction, count, axis) * (p * np.sum(q, axis=axis, keepdims=True) - q)


@cross_entropy.vjp("target")
def cross_entropy_vjp_target(
    g: Array,
    out: Array,
    logits: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    residual: Array | None = None,
) -> Array:
    axis = class_axis(logits.ndim)
    q_slope, count = wanted(logits, np.ones(logits.shape, logits.dtype), weight, ignore_index)
    return -spread(g, reduction, count, axis) * (1 - label_smoothing) * q_slope * log_softmax(logits, axis)


@cross_entropy.textbook
def cross_entropy_textbook(
    logits: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Array:
    axis = class_axis(logits.ndim)
    q, count = wanted(logits, target, weight, ignore_index, label_smoothing)
    top = np.max(plain(logits), axis=axis, keepdims=True)  # which cancels, and so is a constant
    shifted = logits - top
    e = np.exp(shifted)
    e_sum = np.sum(e, axis=axis, keepdims=True)
    log_sum = np.log(e_sum)
    log_p = shifted - log_sum
    wanted_log_p = q * log_p
    by_sample = np.sum(wanted_log_p, axis=axis)
    return reduce(-by_sample, reduction, count)


@primitive(
    method=False,
    residual=True,
    misuse={"softmax": "nll_loss expects log-probabilities, and was given the output of a softmax: use log_softmax"},
    samples=[
        Sample(_LOGITS, _LABELS),
        Sample(_LOGITS, np.array([0, -100, 2, 1]), np.array([1.0, 2.0, 0.5])),
        Sample(normal(2, 3, 2), integers(3, 2, 2), reduction="none"),
    ],
)
def nll_loss(
    log_probs: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    """Negative log-likelihood of class labels: loss_n = -w_y log_probs_ny.

    Args: log_probs (N, C, ...) from `log_softmax`; the others as for `cross_entropy`.

    >>> float(nll_loss(np.log(np.array([[0.5, 0.5]])), np.array([1])).round(4))
    0.6931
    """
    log_probs = as_array(log_probs)
    labels = checked_labels(log_probs.shape, target, ignore_index)
    if splits(log_probs):
        factor, count = label_weights(log_probs, labels, weight, ignore_index)
        return reduce(picked_losses(log_probs, labels, factor, ignore_index), reduction, count), (factor, count)
    q, count = wanted(log_probs, labels, weight, ignore_index)
    with np.errstate(invalid="ignore"):
        terms = np.where(q == 0, 0, as_type_of(log_probs, q) * log_probs)
    return reduce(-np.sum(terms, axis=class_axis(log_probs.ndim)), reduction, count), None


@nll_loss.vjp("log_probs")
def nll_loss_vjp_log_probs(
    g: Array,
    out: Array,
    log_probs: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    residual: Any = None,
) -> Array:
    if residual is not None:  # what the samples count, where they are many
        factor, count = residual
        return scattered(-spread(g, reduction, count) * factor, log_probs, target, ignore_index)
    q, count = wanted(log_probs, target, weight, ignore_index)
    return -spread(g, reduction, count, class_axis(log_probs.ndim)) * q


@primitive(
    method=False,
    residual=True,
    misuse={
        "sigmoid": "binary_cross_entropy_with_logits applies the sigmoid itself, and was given one: pass the logits"
    },
    samples=[
        Sample(normal(2, 3), uniform(0, 1, 2, 3)),
        Sample(normal(4), integers(2, 4), reduction="none"),
        Sample(normal(4), uniform(0, 1, 4), np.array([1.0, 0.5, 2.0, 0.0]), 3.0, reduction="sum"),
    ],
)
def binary_cross_entropy_with_logits(
    logits: Array,
    target: Array,
    weight: Array | None = None,
    pos_weight: Array | None = None,
    reduction: str = "mean",
) -> tuple[Array, Array | None]:
    """Cross-entropy of a two-class problem from one logit x per sample: loss = -t log s(x) - (1 - t) log s(-x).

    Args: target t like the logits, from 0 to 1; weight and pos_weight (a factor on the first term) broadcast to them.
    Computed as (1 - t) x + (1 + (pos_weight - 1) t) softplus(-x), which no x overflows. The gradient is s(x) - t.
    Raises ShapeError unless logits and target have the same shape.

    >>> float(binary_cross_entropy_with_logits(np.array([1000.0]), np.array([0.0])))
    1000.0
    """
    same_shape(logits, target)
    check_factors(np.shape(logits), weight=weight, pos_weight=pos_weight)
    x = as_array(logits)
    if splits(x):
        losses, slope = binary_losses_in_blocks(x, target, weight, pos_weight, reduction)
        return reduce(losses, reduction, x.size), slope
    t = as_type_of(x, target)
    positive = 1.0 if pos_weight is None else as_type_of(x, pos_weight)
    losses = (1 - t) * x + (1 + (positive - 1) * t) * softplus(-x)
    return reduce(losses if weight is None else losses * as_type_of(x, weight), reduction, x.size), None


@binary_cross_entropy_with_logits.vjp("logits")
def binary_cross_entropy_with_logits_vjp_logits(
    g: Array,
    out: Array,
    logits: Array,
    target: Array,
    weight: Array | None = None,
    pos_weight: Array | None = None,
    reduction: str = "mean",
    residual: Array | None = None,
) -> Array:
    share = spread(g, reduction, logits.size)
    if residual is not None:  # the slope of every loss without its weight, where they are many, ours to overwrite
        residual *= share
        return residual if weight is None else residual * weight
    positive = 1.0 if pos_weight is None else as_array(pos_weight)
    slope = (1 + np.multiply(positive - 1, target)) * sigmoid(logits) - np.multiply(positive, target)
    return share * slope if weight is None else share * slope * weight


@binary_cross_entropy_with_logits.vjp("target")
def binary_cross_entropy_with_logits_vjp_target(
    g: Array,
    out: Array,
    logits: Array,
    target: Array,
    weight: Array | None = None,
    pos_weight: Array | None = None,
    reduction: str = "mean",
    residual: Array | None = None,
) -> Array:
    share = spread(g, reduction, logits.size)
    positive = 1.0 if pos_weight is None else as_array(pos_weight)
    slope = (positive - 1) * softplus(-logits) - logits
    return share * slope if weight is None else share * slope * weight


@binary_cross_entropy_with_logits.textbook
def binary_cross_entropy_with_logits_textbook(
    logits: Array,
    target: Array,
    weight: Array | None = None,
    pos_weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    e = np.exp(-logits)
    p = 1 / (1 + e)
    positive = 1.0 if pos_weight is None else as_array(pos_weight)
    log_p, log_not_p = np.log(p), np.log(1 - p)
    losses = -positive * target * log_p - (1 - target) * log_not_p
    return reduce(losses if weight is None else losses * weight, reduction, logits.size)


_LOG_PROBABILITIES = Recipe(lambda rng: np.log(rng.dirichlet(np.ones(3), size=4)))


@primitive(
    method=False,
    misuse={"softmax": "kl_div expects log-probabilities, and was given the output of a softmax: use log_softmax"},
    samples=[
        Sample(_LOG_PROBABILITIES, _PROBABILITIES),
        Sample(_LOG_PROBABILITIES, _LOG_PROBABILITIES, reduction="batchmean", log_target=True),
        Sample(normal(4), uniform(0.1, 1, 4), reduction="none"),
    ],
)
def kl_div(log_probs: Array, target: Array, reduction: str = "mean", log_target: bool = False) -> Array:
    """Kullback-Leibler divergence of a target q from predicted probabilities p: loss_i = q_i (log q_i - log p_i).

    Args: log_probs log p, from `log_softmax`; target q of that shape, or log q with log_target=True. "mean" divides by
    the number of elements, "batchmean" by the length of the first axis, which is the divergence. Where q is 0 the loss
    and the gradient are 0, also where p is 0. Raises ShapeError unless both have the same shape.
    Source: S. Kullback and R. Leibler, On information and sufficiency, Annals of Mathematical Statistics 22, 1951.

    >>> float(kl_div(np.log([[0.5, 0.5]]), np.array([[1.0, 0.0]]), reduction="batchmean").round(4))
    0.6931
    """
    same_shape(log_probs, target)
    log_p = as_array(log_probs)
    q, log_q = both_forms(as_type_of(log_p, target), log_target)
    with np.errstate(invalid="ignore"):  # 0 * inf where neither has a probability
        losses = np.where(q == 0, 0, q * (log_q - log_p))
    return reduce(losses, *reduction_and_count(reduction, log_p.shape))


def both_forms(target: Array, log_target: bool) -> tuple[Array, Array]:
    """Probabilities and their logarithms, from one of them; the logarithm of 0 is never used, and 0 here."""
    return (np.exp(target), target) if log_target else (target, np.log(np.where(np.equal(target, 0), 1, target)))


def reduction_and_count(reduction: str, shape: tuple[int, ...]) -> tuple[str, int]:
    """What `reduce` takes: "batchmean" is a mean whose count is the length of the first axis."""
    if reduction == "batchmean":
        return "mean", shape[0] if shape else 1
    return reduction, math.prod(shape)


@kl_div.vjp("log_probs")
def kl_div_vjp_log_probs(
    g: Array, out: Array, log_probs: Array, target: Array, reduction: str = "mean", log_target: bool = False
) -> Array:
    q, _ = both_forms(target, log_target)
    return -spread(g, *reduction_and_count(reduction, log_probs.shape)) * q


@kl_div.vjp("target")
def kl_div_vjp_target(
    g: Array, out: Array, log_probs: Array, target: Array, reduction: str = "mean", log_target: bool = False
) -> Array:
    q, log_q = both_forms(target, log_target)
    slope = np.where(np.equal(q, 0), 0, log_q - log_probs + 1)
    share = spread(g, *reduction_and_count(reduction, target.shape))
    return share * q * slope if log_target else share * slope


@kl_div.textbook
def kl_div_textbook(log_probs: Array, target: Array, reduction: str = "mean", log_target: bool = False) -> Array:
    q = np.exp(target) if log_target else target
    log_q = np.log(q)
    losses = q * (log_q - log_probs)
    return reduce(losses, *reduction_and_count(reduction, log_probs.shape))


@primitive(
    method=False,
    misuse={
        "softmax": "focal_loss applies log_softmax itself, and was given the output of a softmax: pass the logits",
        "sigmoid": "focal_loss expects logits, and was given the output of a sigmoid: leave the sigmoid out",
    },
    samples=[
        Sample(_LOGITS, _LABELS),
        Sample(_LOGITS, np.array([0, -100, 2, 1]), 1.5, np.array([1.0, 2.0, 0.5])),
        Sample(normal(2, 3, 2), integers(3, 2, 2), gamma=0.0, reduction="none"),
    ],
)
def focal_loss(
    logits: Array,
    target: Array,
    gamma: float = 2.0,
    alpha: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Array:
    """Cross-entropy that fades where the right class is likely: loss_n = -alpha_y (1 - p_ny)**gamma log p_ny.

    Args: logits (N, C, ...); target integer labels (N, ...); gamma from 0, where it is `cross_entropy`; alpha (C,) per
    class, by which "mean" divides as `cross_entropy` does by weight. 1 - p is -expm1(log p), exact where p is near 1.
    Raises TargetError for labels that are out of range, of another shape or floating.
    Source: T.-Y. Lin et al., Focal loss for dense object detection, ICCV 2017.

    >>> float(focal_loss(np.array([[0.0, 0.0]]), np.array([1]), gamma=2.0).round(4))
    0.1733
    """
    if not gamma >= 0:
        raise ArgumentError(f"gamma={gamma}", remedy="pass a number from 0, which is cross_entropy")
    logits = as_array(logits)
    axis = class_axis(logits.ndim)
    q, count = wanted(logits, checked_labels(logits.shape, target, ignore_index), alpha, ignore_index)
    weight = np.sum(q, axis=axis)
    log_p = np.sum(np.where(q == 0, 0, log_softmax(logits, axis)), axis=axis)  # of the right class
    return reduce(-weight * np.power(-np.expm1(log_p), float(gamma)) * log_p, reduction, count)


@focal_loss.vjp("logits")
def focal_loss_vjp_logits(
    g: Array,
    out: Array,
    logits: Array,
    target: Array,
    gamma: float = 2.0,
    alpha: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Array:
    axis = class_axis(logits.ndim)
    q, count = wanted(logits, target, alpha, ignore_index)
    p = softmax(logits, axis)
    log_p = np.sum(np.where(q == 0, 0, log_softmax(logits, axis)), axis=axis, keepdims=True)  # of the right class
    slope = _focal_slope(log_p, gamma)
    slope = np.where(np.sum(p, axis=axis, keepdims=True) > 0, slope, 0)  # a fully masked row has no gradient
    weight = spread(g, reduction, count, axis) * np.sum(q, axis=axis, keepdims=True)
    return weight * slope * (np.not_equal(q, 0) - p)


def _focal_slope(log_p: Array, gamma: float) -> Array:
    """The derivative of -(1 - p)**gamma log(p) in log(p)."""
    rest = -np.expm1(log_p)  # 1 - p
    p_log_p = np.exp(log_p) * np.maximum(log_p, -1000)  # 0 where p is
    nonzero = np.where(rest == 0, 1, rest)
    fading = np.where(rest == 0, 0.0**gamma, np.power(nonzero, gamma))  # flat at 0, where a power below 1 is steep
    return fading * (gamma * p_log_p / nonzero - 1)


@focal_loss.textbook
def focal_loss_textbook(
    logits: Array,
    target: Array,
    gamma: float = 2.0,
    alpha: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Array:
    axis = class_axis(logits.ndim)
    q, count = wanted(logits, target, alpha, ignore_index)
    e = np.exp(logits)
    p = e / np.sum(e, axis=axis, keepdims=True)
    losses = q * (1 - p) ** gamma * np.log(p)
    by_sample = np.sum(losses, axis=axis)
    return reduce(-by_sample, reduction, count)
