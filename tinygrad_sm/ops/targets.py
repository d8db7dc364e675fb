"""What losses share: predictions and targets checked against each other, and the losses of samples combined.

`reduction` is "mean" (over the samples that count), "sum", or "none" for one loss per sample. Class labels are
integers with the shape of the logits less the class axis, which is the second one (the only one of 1-d logits).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_sm.engine.primitive import Array
from tinygrad_sm.errors import ArgumentError, ShapeError, TargetError
from tinygrad_sm.operand import as_array, as_floating


def class_axis(ndim: int) -> int:
    """The axis along which the classes of logits stand."""
    if ndim == 0:
        raise ShapeError("logits of shape () have no axis of classes", remedy="give them shape (N, C) or (C,)")
    return 1 if ndim > 1 else 0


def as_type_of(like: Array, values: Any) -> Array:
    """Values in the floating type of another array, so that float32 logits give a float32 loss."""
    return as_array(as_floating(values), like.dtype if like.dtype.kind == "f" else float)


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
    raise ArgumentError(f"reduction={reduction!r}", remedy='pass "mean", "sum" or "none"; kl_div takes "batchmean" too')


def spread(g: Array, reduction: str, count: float, axis: int | None = None) -> Array:
    """The adjoint of `reduce`: the cotangent of every sample's loss, with a class axis, if any, to broadcast along."""
    if reduction == "none":
        return g if axis is None else np.expand_dims(g, axis)
    return g / (count or 1) if reduction == "mean" else g


def checked_labels(shape: tuple[int, ...], target: Any, ignore_index: int | None = None) -> Array:
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
        if labels.shape == shape[:-1]:
            remedy = f"classes stand on axis {axis}: pass logits.reshape(-1, {shape[-1]}) and target.reshape(-1)"
            raise TargetError(problem, remedy=remedy)
        raise TargetError(problem, remedy=f"class labels have shape {expected}, probabilities {shape}")
    if labels.dtype.kind not in "iu":
        raise TargetError(problem, remedy="class labels are integers: target.astype(int)")
    if not all_within(labels, classes):
        wrong = (labels < 0) | (labels >= classes)
        wrong = wrong if ignore_index is None else wrong & (labels != ignore_index)
        if wrong.any():
            message = (
                f"target holds class {first_of(labels, wrong)}, but logits {shape} have classes 0 to {classes - 1}"
            )
            skip = "" if ignore_index is None else ", or set ignore_index to skip that label"
            raise TargetError(message, remedy=f"relabel the classes from 0{skip}")
    return labels


def first_of(values: Array, wrong: Array) -> str:
    """The first of the wrong values, and where it stands."""
    place = tuple(np.argwhere(wrong)[0].tolist())
    where = f" at position {place if len(place) > 1 else place[0]}" if place else ""
    return f"{values[wrong][0]}{where}"


def wanted(
    logits: Array, target: Any, weight: Array | None = None, ignore_index: int = -100, label_smoothing: float = 0.0
) -> tuple[Array, Any]:
    """What the loss multiplies -log p with, an array like the logits, and the count that a mean divides by."""
    axis = class_axis(logits.ndim)
    classes = logits.shape[axis]
    along = tuple(-1 if i == axis else 1 for i in range(logits.ndim))
    check_options(classes, weight, label_smoothing)
    smooth = label_smoothing / (classes or 1)
    per_class: Any = 1.0 if weight is None else as_type_of(logits, weight).reshape(along)
    if is_floating(target) and np.shape(target) == logits.shape:
        q = np.multiply(1 - label_smoothing, target) + smooth
        return per_class * q, logits.size / (classes or 1)
    labels = checked_labels(logits.shape, target, ignore_index)
    counts = np.expand_dims(labels != ignore_index, axis).astype(logits.dtype)
    one_hot = np.expand_dims(labels, axis) == np.arange(classes).reshape(along)
    picked = per_class * one_hot.astype(logits.dtype) * counts
    q = (1 - label_smoothing) * picked + smooth * per_class * counts
    return q, picked.sum()


def check_options(classes: int, weight: Any, label_smoothing: float = 0.0) -> None:
    """Refuse weights of another number of classes, and smoothing beyond a share."""
    if weight is not None and np.shape(weight) != (classes,):
        what = f"weight per class {np.shape(weight)} for {classes} classes"  # focal_loss calls it alpha
        raise ShapeError(what, remedy=f"give it shape ({classes},)")
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
