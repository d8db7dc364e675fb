"""Losses: how far predictions are from their targets.

`reduction` is "mean" (over the samples that count), "sum", or "none" for one loss per sample. Class labels are
integers with the shape of the logits less the class axis, which is the second one (the only one of 1-d logits).

Source: C. Bishop, Pattern Recognition and Machine Learning, 2006, section 4.3; label smoothing: C. Szegedy et al.,
Rethinking the Inception architecture for computer vision, CVPR 2016.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.errors import ArgumentError, ShapeError, TargetError
from tinygrad_sm.operand import as_array, plain
from tinygrad_sm.ops.activation import sigmoid, softplus
from tinygrad_sm.ops.samples import Recipe, Sample, integers, normal, uniform
from tinygrad_sm.ops.softmax_family import all_finite, empty_like, log_softmax, put, shifted_exp, softmax
from tinygrad_sm.threads import one_call, run_rows, splits


def class_axis(ndim: int) -> int:
    """The axis along which the classes of logits stand."""
    if ndim == 0:
        raise ShapeError("logits of shape () have no axis of classes", remedy="give them shape (N, C) or (C,)")
    return 1 if ndim > 1 else 0


def as_type_of(like: Array, values: Any) -> Array:
    """Values in the floating type of another array, so that float32 logits give a float32 loss."""
    return as_array(values, like.dtype if like.dtype.kind == "f" else float)


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
    labels = as_array(target)
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
) -> tuple[Array, Any]:
    """What the loss multiplies -log p with, an array like the logits, and the count that a mean divides by."""
    axis = class_axis(logits.ndim)
    classes = logits.shape[axis]
    along = tuple(-1 if i == axis else 1 for i in range(logits.ndim))
    check_options(classes, weight, label_smoothing)
    per_class: Any = 1.0 if weight is None else as_type_of(logits, weight).reshape(along)
    if is_floating(target) and np.shape(target) == logits.shape:
        q = np.multiply(1 - label_smoothing, target) + label_smoothing / classes
        return per_class * q, logits.size / classes
    labels = checked_labels(logits.shape, target, ignore_index)
    counts = np.expand_dims(labels != ignore_index, axis).astype(logits.dtype)
    one_hot = np.expand_dims(labels, axis) == np.arange(classes).reshape(along)
    picked = per_class * one_hot.astype(logits.dtype) * counts
    q = (1 - label_smoothing) * picked + (label_smoothing / classes) * per_class * counts
    return q, picked.sum()


def check_options(classes: int, weight: Any, label_smoothing: float = 0.0) -> None:
    """Refuse weights of another number of classes, and smoothing beyond a share."""
    if weight is not None and np.shape(weight) != (classes,):
        raise ShapeError(f"weight {np.shape(weight)} for {classes} classes", remedy=f"give it shape ({classes},)")
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(f"label_smoothing={label_smoothing}", remedy="pass a share between 0 and 1")


def plain_labels(logits: Array, target: Any, weight: Any, ignore_index: int, label_smoothing: float) -> Array | None:
    """The labels where the loss is the common one (2-d logits, every label in range and alike), None otherwise."""
    if weight is not None or label_smoothing or ignore_index >= 0 or np.ndim(logits) != 2:
        return None
    labels = as_array(target)
    fits = labels.dtype.kind in "iu" and labels.shape == np.shape(logits)[:1]
    return labels if fits and all_within(labels, np.shape(logits)[1]) else None


def all_within(labels: Array, classes: int) -> bool:
    """Whether every label is a class: in one reduction, as a negative number without its sign is a large one."""
    return not labels.size or bool(np.maximum.reduce(labels.astype(np.uint64), axis=None) < classes)


def losses_of(logits: Array, q: Array) -> Array:
    """The loss of every sample, -sum_c q_c log p_c, also where classes are masked."""
    axis = class_axis(logits.ndim)
    with np.errstate(invalid="ignore"):  # 0 * -inf where a masked class is not wanted
        terms = np.where(q == 0, 0, as_type_of(logits, q) * log_softmax(logits, axis))
    return -np.sum(terms, axis=axis)


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
    residual=True,
    samples=[
        Sample(normal(2, 3), normal(2, 3)),
        Sample(normal(3), normal(3), reduction="none"),
        Sample(normal(3), normal(3), reduction="sum"),
    ],
)
def mse_loss(prediction: Array, target: Array, reduction: str = "mean") -> tuple[Array, Array | None]:
    """Squared error: loss_i = (prediction_i - target_i)**2, by default averaged over all elements.

    Raises ShapeError unless both have the same shape.

    >>> float(mse_loss(np.array([1.0, 2.0]), np.array([1.0, 4.0])))
    2.0
    """
    same_shape(prediction, target)
    prediction = as_array(prediction)
    if splits(prediction):
        losses, error = squared_errors_in_blocks(prediction, target, reduction)
        return reduce(losses, reduction, prediction.size), error
    return reduce(np.square(prediction - as_type_of(prediction, target)), reduction, prediction.size), None


@mse_loss.vjp("prediction")
def mse_loss_vjp_prediction(
    g: Array, out: Array, prediction: Array, target: Array, reduction: str = "mean", residual: Array | None = None
) -> Array:
    share = spread(g, reduction, prediction.size)
    if residual is not None:  # prediction - target, where they are large, ours to overwrite
        residual *= 2 * share
        return residual
    return 2 * share * (prediction - target)


@mse_loss.vjp("target")
def mse_loss_vjp_target(
    g: Array, out: Array, prediction: Array, target: Array, reduction: str = "mean", residual: Array | None = None
) -> Array:
    share = spread(g, reduction, target.size)
    if residual is not None:
        residual *= -2 * share
        return residual
    return 2 * share * (target - prediction)


@mse_loss.textbook
def mse_loss_textbook(prediction: Array, target: Array, reduction: str = "mean") -> Array:
    error = prediction - target
    return reduce(error**2, reduction, prediction.size)


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


# Large arrays, in blocks of rows.


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


def label_weights(logits: Array, labels: Array, weight: Any, ignore_index: int) -> tuple[Any, Any]:
    """The factor of every sample's loss, the number 1 if it is that of all, and the count that a mean divides by."""
    classes = logits.shape[class_axis(logits.ndim)]
    check_options(classes, weight)
    if weight is None and ignore_index < 0 and all_within(labels, classes):
        return 1, labels.size
    counts = as_type_of(logits, labels != ignore_index)
    factor = counts if weight is None else counts * as_type_of(logits, weight)[safe(labels, ignore_index)]
    return factor, factor.sum()


def safe(labels: Array, ignore_index: int) -> Array:
    """The labels, with a class in place of the one that does not count."""
    return np.where(labels == ignore_index, 0, labels)


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
    return losses_of(x, q), cross_entropy_vjp_logits(np.ones(len(x), q.dtype), None, x, q, reduction="none")


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
