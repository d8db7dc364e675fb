"""Losses: how far predictions are from their targets.

`reduction` is "mean" (over the samples that count), "sum", or "none" for one loss per sample. Class labels are
integers with the shape of the logits less the class axis, which is the second one (the only one of 1-d logits).

Source: C. Bishop, Pattern Recognition and Machine Learning, 2006, section 4.3; label smoothing: C. Szegedy et al.,
Rethinking the Inception architecture for computer vision, CVPR 2016.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.errors import ArgumentError, ShapeError, TargetError
from tinygrad_sm.operand import plain
from tinygrad_sm.ops.activation import sigmoid, softplus
from tinygrad_sm.ops.samples import Recipe, Sample, integers, normal, uniform
from tinygrad_sm.ops.softmax_family import log_softmax, shifted_exp, softmax


def class_axis(ndim: int) -> int:
    """The axis along which the classes of logits stand."""
    if ndim == 0:
        raise ShapeError("logits of shape () have no axis of classes", remedy="give them shape (N, C) or (C,)")
    return 1 if ndim > 1 else 0


def as_type_of(like: Array, values: Any) -> Array:
    """Values in the floating type of another array, so that float32 logits give a float32 loss."""
    return np.asarray(values, dtype=like.dtype if like.dtype.kind == "f" else float)


def is_floating(target: Any) -> bool:
    """Whether a target holds probabilities rather than labels."""
    return np.result_type(np.asarray(target) if isinstance(target, (list, tuple)) else target).kind == "f"


def reduce(losses: Array, reduction: str, count: float) -> Array:
    """One loss per sample combined as the reduction says; a mean over nothing is 0."""
    if reduction == "none":
        return losses
    total = losses.sum()
    if reduction == "sum":
        return total
    if reduction == "mean":
        return total / (count or 1)
    raise ArgumentError(f"reduction={reduction!r}", remedy='pass "mean", "sum" or "none"')


def spread(g: Array, reduction: str, count: float, axis: int | None = None) -> Array:
    """The adjoint of `reduce`: the cotangent of every sample's loss, with a class axis, if any, to broadcast along."""
    if reduction == "none":
        return g if axis is None else np.expand_dims(g, axis)
    return g / (count or 1) if reduction == "mean" else g


def checked_labels(shape: tuple[int, ...], target: Any, ignore_index: int) -> Array:
    """The labels as an integer array, after refusing what is silently wrong elsewhere."""
    labels = np.asarray(target)
    axis = class_axis(len(shape))
    expected, classes = shape[:axis] + shape[axis + 1 :], shape[axis]
    problem = f"target {labels.shape} {labels.dtype} does not fit logits {shape}"
    if labels.shape != expected:
        if labels.shape == (*expected, 1):
            raise TargetError(problem, remedy=f"drop the last axis: target[..., 0] has the shape {expected} wanted")
        if labels.shape == shape:
            raise TargetError(problem, remedy="one-hot or probability targets are floating: target.astype(float)")
        raise TargetError(problem, remedy=f"class labels have shape {expected}, probabilities {shape}")
    if labels.dtype.kind not in "iu":
        raise TargetError(problem, remedy="class labels are integers: target.astype(int)")
    if not all_within(labels, classes):
        wrong = (labels != ignore_index) & ((labels < 0) | (labels >= classes))
        if wrong.any():
            place = tuple(int(i[0]) for i in np.nonzero(wrong))
            where = f" at position {place if len(place) > 1 else place[0]}" if place else ""
            message = (
                f"target holds class {labels[wrong][0]}{where}, but logits {shape} have classes 0 to {classes - 1}"
            )
            raise TargetError(message, remedy="relabel the classes from 0, or set ignore_index to skip that label")
    return labels


def wanted(
    logits: Array, target: Any, weight: Array | None = None, ignore_index: int = -100, label_smoothing: float = 0.0
) -> tuple[Array, float]:
    """What the loss multiplies -log p with, an array like the logits, and the count that a mean divides by."""
    axis = class_axis(logits.ndim)
    classes = logits.shape[axis]
    along = tuple(-1 if i == axis else 1 for i in range(logits.ndim))
    if weight is not None and np.shape(weight) != (classes,):
        raise ShapeError(f"weight {np.shape(weight)} for {classes} classes", remedy=f"give it shape ({classes},)")
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(f"label_smoothing={label_smoothing}", remedy="pass a share between 0 and 1")
    per_class: Any = 1.0 if weight is None else as_type_of(logits, weight).reshape(along)
    if is_floating(target) and np.shape(target) == logits.shape:
        q = np.multiply(1 - label_smoothing, target) + label_smoothing / classes
        return per_class * q, logits.size / classes
    labels = checked_labels(logits.shape, target, ignore_index)
    counts = np.expand_dims(labels != ignore_index, axis).astype(logits.dtype)
    one_hot = np.expand_dims(labels, axis) == np.arange(classes).reshape(along)
    picked = per_class * one_hot.astype(logits.dtype) * counts
    q = (1 - label_smoothing) * picked + (label_smoothing / classes) * per_class * counts
    return q, float(picked.sum())


def plain_labels(logits: Array, target: Any, weight: Any, ignore_index: int, label_smoothing: float) -> Array | None:
    """The labels where the loss is the common one (2-d logits, every label in range and alike), None otherwise."""
    if weight is not None or label_smoothing or ignore_index >= 0 or np.ndim(logits) != 2:
        return None
    labels = np.asarray(target)
    fits = labels.dtype.kind in "iu" and labels.shape == np.shape(logits)[:1]
    return labels if fits and all_within(labels, np.shape(logits)[1]) else None


def all_within(labels: Array, classes: int) -> bool:
    """Whether every label is a class; two reductions, because each call costs a training step a microsecond."""
    if not labels.size:
        return True
    largest = np.maximum.reduce(labels, axis=None)
    return bool(largest < classes and np.minimum.reduce(labels, axis=None) >= 0)


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
    labels = plain_labels(logits, target, weight, ignore_index, label_smoothing)
    logits = np.asarray(logits)
    if labels is not None:
        p, total, top, finite = shifted_exp(logits, 1)
        if finite:
            picked = logits[np.arange(len(labels)), labels]
            p /= total
            return reduce(np.log(total)[:, 0] + top[:, 0] - picked, reduction, labels.size), p
    q, count = wanted(logits, target, weight, ignore_index, label_smoothing)
    axis = class_axis(logits.ndim)
    with np.errstate(invalid="ignore"):  # 0 * -inf where a masked class is not wanted
        terms = np.where(q == 0, 0, as_type_of(logits, q) * log_softmax(logits, axis))
    return reduce(-np.sum(terms, axis=axis), reduction, count), None


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
    residual: Array | None = None,
) -> Array:
    axis = class_axis(logits.ndim)
    if residual is not None:  # the softmax of the common case, ours to overwrite
        residual[np.arange(len(residual)), target] -= 1
        residual *= spread(g, reduction, len(residual), axis)
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
) -> Array:
    """Negative log-likelihood of class labels: loss_n = -w_y log_probs_ny.

    Args: log_probs (N, C, ...) from `log_softmax`; the others as for `cross_entropy`.

    >>> float(nll_loss(np.log(np.array([[0.5, 0.5]])), np.array([1])).round(4))
    0.6931
    """
    log_probs = np.asarray(log_probs)
    labels = checked_labels(log_probs.shape, target, ignore_index)
    q, count = wanted(log_probs, labels, weight, ignore_index)
    with np.errstate(invalid="ignore"):
        terms = np.where(q == 0, 0, as_type_of(log_probs, q) * log_probs)
    return reduce(-np.sum(terms, axis=class_axis(log_probs.ndim)), reduction, count)


@nll_loss.vjp("log_probs")
def nll_loss_vjp_log_probs(
    g: Array,
    out: Array,
    log_probs: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Array:
    q, count = wanted(log_probs, target, weight, ignore_index)
    return -spread(g, reduction, count, class_axis(log_probs.ndim)) * q


def check_factors(shape: tuple[int, ...], **factors: Any) -> None:
    """Refuse factors that would broadcast the losses to another shape."""
    for name, factor in factors.items():
        if factor is not None and np.broadcast_shapes(np.shape(factor), shape) != shape:
            remedy = "give it the shape of the logits, or of their last axes"
            raise ShapeError(f"{name} {np.shape(factor)} does not broadcast to logits {shape}", remedy=remedy)


def same_shape(prediction: Array, target: Array) -> None:
    """Refuse shapes that would broadcast, such as (N,) against (N, 1)."""
    if np.shape(prediction) != np.shape(target):
        raise ShapeError(
            f"prediction {np.shape(prediction)} and target {np.shape(target)} differ, and must not broadcast in a loss",
            remedy="reshape one of them, for example prediction[:, 0] or target[:, None]",
        )


@primitive(
    method=False,
    samples=[
        Sample(normal(2, 3), normal(2, 3)),
        Sample(normal(3), normal(3), reduction="none"),
        Sample(normal(3), normal(3), reduction="sum"),
    ],
)
def mse_loss(prediction: Array, target: Array, reduction: str = "mean") -> Array:
    """Squared error: loss_i = (prediction_i - target_i)**2, by default averaged over all elements.

    Raises ShapeError unless both have the same shape.

    >>> float(mse_loss(np.array([1.0, 2.0]), np.array([1.0, 4.0])))
    2.0
    """
    same_shape(prediction, target)
    prediction = np.asarray(prediction)
    return reduce(np.square(prediction - as_type_of(prediction, target)), reduction, prediction.size)


@mse_loss.vjp("prediction")
def mse_loss_vjp_prediction(g: Array, out: Array, prediction: Array, target: Array, reduction: str = "mean") -> Array:
    share = spread(g, reduction, prediction.size)
    return 2 * share * (prediction - target)


@mse_loss.vjp("target")
def mse_loss_vjp_target(g: Array, out: Array, prediction: Array, target: Array, reduction: str = "mean") -> Array:
    share = spread(g, reduction, target.size)
    return 2 * share * (target - prediction)


@mse_loss.textbook
def mse_loss_textbook(prediction: Array, target: Array, reduction: str = "mean") -> Array:
    error = prediction - target
    return reduce(error**2, reduction, prediction.size)


@primitive(
    method=False,
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
) -> Array:
    """Cross-entropy of a two-class problem from one logit x per sample: loss = -t log s(x) - (1 - t) log s(-x).

    Args: target t like the logits, from 0 to 1; weight and pos_weight (a factor on the first term) broadcast to them.
    Computed as (1 - t) x + (1 + (pos_weight - 1) t) softplus(-x), which no x overflows. The gradient is s(x) - t.
    Raises ShapeError unless logits and target have the same shape.

    >>> float(binary_cross_entropy_with_logits(np.array([1000.0]), np.array([0.0])))
    1000.0
    """
    same_shape(logits, target)
    check_factors(np.shape(logits), weight=weight, pos_weight=pos_weight)
    x = np.asarray(logits)
    t = as_type_of(x, target)
    positive = 1.0 if pos_weight is None else as_type_of(x, pos_weight)
    losses = (1 - t) * x + (1 + (positive - 1) * t) * softplus(-x)
    return reduce(losses if weight is None else losses * as_type_of(x, weight), reduction, x.size)


@binary_cross_entropy_with_logits.vjp("logits")
def binary_cross_entropy_with_logits_vjp_logits(
    g: Array,
    out: Array,
    logits: Array,
    target: Array,
    weight: Array | None = None,
    pos_weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    share = spread(g, reduction, logits.size)
    positive = 1.0 if pos_weight is None else np.asarray(pos_weight)
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
) -> Array:
    share = spread(g, reduction, logits.size)
    positive = 1.0 if pos_weight is None else np.asarray(pos_weight)
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
    positive = 1.0 if pos_weight is None else np.asarray(pos_weight)
    log_p, log_not_p = np.log(p), np.log(1 - p)
    losses = -positive * target * log_p - (1 - target) * log_not_p
    return reduce(losses if weight is None else losses * weight, reduction, logits.size)
