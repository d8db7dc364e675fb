"""Margin losses: the right class shall score higher than any other; smoothed, they turn into the cross-entropy.

With s the scores, y the right class and m the margin, three steps lead from the hinge to the softmax:

    hinge_loss              max(0, m + max_{c != y} s_c - s_y)
    logsumexp_hinge_loss    max(0, m + T log sum_{c != y} e**(s_c / T) - s_y)             the inner maximum is smooth
    softplus_hinge_loss     T softplus((m + T log sum_{c != y} e**(s_c / T) - s_y) / T)   and the outer one too

The last one with m = 0 and T = 1 is `cross_entropy`; as the temperature T falls to 0, both tend to the first. Where the
outer maximum has its kink the derivative is the left one, 0.

Source: K. Crammer and Y. Singer, On the algorithmic implementation of multiclass kernel-based vector machines, JMLR 2,
2001.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.errors import ArgumentError
from tinygrad_sm.operand import as_array
from tinygrad_sm.ops.activation import sigmoid, softplus
from tinygrad_sm.ops.samples import Sample, distinct, integers, normal
from tinygrad_sm.ops.softmax_family import logsumexp, softmax
from tinygrad_sm.ops.targets import checked_labels, class_axis, reduce, spread

_LABELS = integers(3, 4)


def is_right(logits: Array, target: Any) -> Array:
    """Where the right class of each sample stands, as booleans with the shape of the logits."""
    axis = class_axis(logits.ndim)
    labels = np.expand_dims(checked_labels(logits.shape, target), axis)
    return labels == np.arange(logits.shape[axis]).reshape(tuple(-1 if i == axis else 1 for i in range(logits.ndim)))


def score_of(logits: Array, right: Array) -> Array:
    """The score of the right class, with the class axis kept."""
    return np.sum(np.where(right, logits, 0), axis=class_axis(logits.ndim), keepdims=True)


def smooth_rival(logits: Array, right: Array, temperature: float) -> tuple[Array, Array]:
    """The smooth maximum of the wrong classes' scores, T logsumexp(s / T), after these scores divided by T."""
    scaled = np.where(right, -np.inf, logits) / temperature
    return scaled, temperature * logsumexp(scaled, class_axis(logits.ndim), True)


def gap(rival: Array, own: Array, margin: float) -> Array:
    """How far a rival score comes up to the right one; infinite where the right class is masked (-inf)."""
    return np.where(own == -np.inf, np.inf, margin + rival - np.where(own == -np.inf, 0, own))


def masked(rival: Array, own: Array) -> Array:
    """Where the scores of all classes are -inf: such a row has an infinite loss and no gradient."""
    return np.equal(rival, -np.inf) & np.equal(own, -np.inf)


def check_margin(margin: float, temperature: float = 1.0) -> None:
    """Refuse a margin that is infinite or no number, and a temperature that is not above 0."""
    if not math.isfinite(margin):
        raise ArgumentError(f"margin={margin}", remedy="pass a finite number, such as 1")
    if not 0 < temperature < math.inf:
        raise ArgumentError(f"temperature={temperature}", remedy="pass a number above 0; its limit at 0 is hinge_loss")


@primitive(
    method=False,
    samples=[Sample(normal(4, 3), _LABELS), Sample(distinct(2, 3, 2), integers(3, 2, 2), 0.33, reduction="none")],
)
def hinge_loss(logits: Array, target: Array, margin: float = 1.0, reduction: str = "mean") -> Array:
    """How much the best wrong class lacks of a margin below the right one: loss = max(0, m + max_{c != y} s_c - s_y).

    Args: logits s (N, C, ...); target: integer labels y (N, ...); margin m. Returns a scalar, or (N, ...) with
    reduction="none". Wrong classes that tie for the best share the gradient evenly. Raises TargetError for labels that
    are out of range, of another shape or floating.
    Source: K. Crammer and Y. Singer, JMLR 2, 2001. PyTorch's multi_margin_loss sums over all wrong classes instead.

    >>> hinge_loss(np.array([[2.0, 0.5, -1.0], [0.0, 3.0, 0.0]]), np.array([0, 0]), reduction="none")
    array([0., 4.])
    """
    check_margin(margin)
    margin = float(margin)  # a NumPy scalar would promote float32
    logits = as_array(logits)
    axis = class_axis(logits.ndim)
    right = is_right(logits, target)
    best = np.max(np.where(right, -np.inf, logits), axis=axis, keepdims=True)
    lacking = gap(best, score_of(logits, right), margin)
    return reduce(np.squeeze(np.maximum(lacking, 0), axis), reduction, lacking.size)


@hinge_loss.vjp("logits")
def hinge_loss_vjp_logits(
    g: Array, out: Array, logits: Array, target: Array, margin: float = 1.0, reduction: str = "mean"
) -> Array:
    axis = class_axis(logits.ndim)
    right = is_right(logits, target)
    best = np.max(np.where(right, -np.inf, logits), axis=axis, keepdims=True)
    own = score_of(logits, right)
    lacking = gap(best, own, margin)
    tied = np.equal(logits, best) & ~right
    share = spread(g, reduction, lacking.size, axis) * ((lacking > 0) & ~masked(best, own))
    return np.where(tied, share / np.sum(tied, axis=axis, keepdims=True), 0) - np.where(right, share, 0)


@hinge_loss.textbook
def hinge_loss_textbook(logits: Array, target: Array, margin: float = 1.0, reduction: str = "mean") -> Array:
    axis = class_axis(logits.ndim)
    right = is_right(logits, target)
    own_scores, wrong_scores = np.where(right, logits, 0), np.where(right, -np.inf, logits)
    own, best = np.sum(own_scores, axis=axis), np.max(wrong_scores, axis=axis)
    lacking = margin + best - own
    return reduce(np.maximum(lacking, 0), reduction, lacking.size)


@primitive(
    method=False,
    samples=[Sample(normal(4, 3), _LABELS), Sample(normal(2, 3, 2), integers(3, 2, 2), 0.3, 0.5, reduction="none")],
)
def logsumexp_hinge_loss(
    logits: Array, target: Array, margin: float = 1.0, temperature: float = 1.0, reduction: str = "mean"
) -> Array:
    """The hinge with a smooth maximum over wrong classes: loss = max(0, m + T log sum_{c != y} e**(s_c / T) - s_y).

    Args as for `hinge_loss`; temperature T above 0. Every wrong class gets a gradient, in proportion to e**(s_c / T).

    >>> float(logsumexp_hinge_loss(np.array([[0.0, 2.0, 2.0]]), np.array([0])).round(4))
    3.6931
    """
    check_margin(margin, temperature)
    margin, temperature = float(margin), float(temperature)
    logits = as_array(logits)
    axis = class_axis(logits.ndim)
    right = is_right(logits, target)
    _, rival = smooth_rival(logits, right, temperature)
    lacking = gap(rival, score_of(logits, right), margin)
    return reduce(np.squeeze(np.maximum(lacking, 0), axis), reduction, lacking.size)


@logsumexp_hinge_loss.vjp("logits")
def logsumexp_hinge_loss_vjp_logits(
    g: Array,
    out: Array,
    logits: Array,
    target: Array,
    margin: float = 1.0,
    temperature: float = 1.0,
    reduction: str = "mean",
) -> Array:
    axis = class_axis(logits.ndim)
    right = is_right(logits, target)
    scaled, rival = smooth_rival(logits, right, temperature)
    own = score_of(logits, right)
    lacking = gap(rival, own, margin)
    share = spread(g, reduction, lacking.size, axis) * ((lacking > 0) & ~masked(rival, own))
    return share * (softmax(scaled, axis) - right)


@logsumexp_hinge_loss.textbook
def logsumexp_hinge_loss_textbook(
    logits: Array, target: Array, margin: float = 1.0, temperature: float = 1.0, reduction: str = "mean"
) -> Array:
    axis = class_axis(logits.ndim)
    right = is_right(logits, target)
    e = np.exp(logits / temperature)
    wrong = np.where(right, 0, e)
    rival = temperature * np.log(np.sum(wrong, axis=axis))
    own_scores = np.where(right, logits, 0)
    lacking = margin + rival - np.sum(own_scores, axis=axis)
    return reduce(np.maximum(lacking, 0), reduction, lacking.size)


@primitive(
    method=False,
    samples=[Sample(normal(4, 3), _LABELS), Sample(normal(2, 3, 2), integers(3, 2, 2), 0.3, 0.5, reduction="none")],
)
def softplus_hinge_loss(
    logits: Array, target: Array, margin: float = 0.0, temperature: float = 1.0, reduction: str = "mean"
) -> Array:
    """The hinge with both maxima smooth: loss = T softplus((m + T log sum_{c != y} e**(s_c / T) - s_y) / T).

    Args as for `hinge_loss`; temperature T above 0. It is the cross-entropy of softmax(s / T), times T, with m taken
    off the score of the right class; with the defaults m = 0 and T = 1 it is `cross_entropy` itself.

    >>> float(softplus_hinge_loss(np.array([[0.0, 0.0], [9.0, 0.0]]), np.array([0, 0])).round(4))
    0.3466
    """
    check_margin(margin, temperature)
    margin, temperature = float(margin), float(temperature)
    logits = as_array(logits)
    axis = class_axis(logits.ndim)
    right = is_right(logits, target)
    _, rival = smooth_rival(logits, right, temperature)
    lacking = gap(rival, score_of(logits, right), margin)
    losses = temperature * softplus(lacking / temperature)
    return reduce(np.squeeze(losses, axis), reduction, lacking.size)


@softplus_hinge_loss.vjp("logits")
def softplus_hinge_loss_vjp_logits(
    g: Array,
    out: Array,
    logits: Array,
    target: Array,
    margin: float = 0.0,
    temperature: float = 1.0,
    reduction: str = "mean",
) -> Array:
    axis = class_axis(logits.ndim)
    right = is_right(logits, target)
    scaled, rival = smooth_rival(logits, right, temperature)
    own = score_of(logits, right)
    lacking = gap(rival, own, margin)
    share = spread(g, reduction, lacking.size, axis) * (sigmoid(lacking / temperature) * ~masked(rival, own))
    return share * (softmax(scaled, axis) - right)


@softplus_hinge_loss.textbook
def softplus_hinge_loss_textbook(
    logits: Array, target: Array, margin: float = 0.0, temperature: float = 1.0, reduction: str = "mean"
) -> Array:
    axis = class_axis(logits.ndim)
    right = is_right(logits, target)
    e = np.exp((logits - np.where(right, margin, 0)) / temperature)
    p_right = np.sum(np.where(right, e, 0), axis=axis) / np.sum(e, axis=axis)
    return reduce(-temperature * np.log(p_right), reduction, p_right.size)


@primitive(differentiable=False, method=False, samples=[Sample(normal(4, 3), _LABELS)])
def zero_one_loss(logits: Array, target: Array, reduction: str = "mean") -> Array:
    """Share of samples whose best class is not the right one, 1 less the accuracy; a metric, without a gradient.

    Args as for `hinge_loss`; the first of several best classes is the prediction.

    >>> float(zero_one_loss(np.array([[2.0, 0.5], [3.0, 0.0]]), np.array([0, 1])))
    0.5
    """
    logits = as_array(logits)
    labels = checked_labels(logits.shape, target)
    mistakes = np.argmax(logits, axis=class_axis(logits.ndim)) != labels
    return reduce(mistakes.astype(logits.dtype if logits.dtype.kind == "f" else float), reduction, labels.size)
