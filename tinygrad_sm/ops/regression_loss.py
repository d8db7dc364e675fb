"""Losses of regression: how far numbers are from the numbers they should be, element by element.

Source: C. Bishop, Pattern Recognition and Machine Learning, 2006, section 3.1; P. Huber, Robust estimation of a
location parameter, Annals of Mathematical Statistics 35, 1964.
"""

from __future__ import annotations

import numpy as np

from tinygrad_sm.engine.primitive import Array, primitive
from tinygrad_sm.errors import ArgumentError
from tinygrad_sm.operand import as_array
from tinygrad_sm.ops.loss_blocks import squared_errors_in_blocks
from tinygrad_sm.ops.samples import Sample, normal
from tinygrad_sm.ops.targets import as_type_of, reduce, same_shape, spread
from tinygrad_sm.threads import splits


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
    samples=[Sample(normal(2, 3), normal(2, 3)), Sample(normal(4), normal(4), reduction="none")],
)
def l1_loss(prediction: Array, target: Array, reduction: str = "mean") -> Array:
    """Absolute error: loss_i = |prediction_i - target_i|, by default averaged over all elements; its slope at 0 is 0.

    Raises ShapeError unless both have the same shape.

    >>> float(l1_loss(np.array([1.0, 2.0]), np.array([1.0, 4.0])))
    1.0
    """
    same_shape(prediction, target)
    prediction = as_array(prediction)
    return reduce(np.abs(prediction - as_type_of(prediction, target)), reduction, prediction.size)


@l1_loss.vjp("prediction")
def l1_loss_vjp_prediction(g: Array, out: Array, prediction: Array, target: Array, reduction: str = "mean") -> Array:
    return spread(g, reduction, prediction.size) * np.sign(prediction - target)


@l1_loss.vjp("target")
def l1_loss_vjp_target(g: Array, out: Array, prediction: Array, target: Array, reduction: str = "mean") -> Array:
    return spread(g, reduction, target.size) * np.sign(target - prediction)


def check_width(**width: float) -> None:
    """Refuse a width that is negative or no number; zero too where the name says delta."""
    for name, value in width.items():
        if not (value > 0 or (name == "beta" and value == 0)):
            least = "a number above 0" if name == "delta" else "0 or a number above"
            raise ArgumentError(
                f"{name}={value}", remedy=f"pass {least}: where the loss turns from squared to absolute"
            )


@primitive(
    method=False,
    samples=[
        Sample(normal(3, 4), normal(3, 4), delta=0.4),
        Sample(normal(3), normal(3), reduction="none"),
        Sample(normal(3), normal(3), reduction="sum", delta=0.1),
    ],
)
def huber_loss(prediction: Array, target: Array, reduction: str = "mean", delta: float = 1.0) -> Array:
    """Squared error near the target, absolute error beyond: e**2 / 2 for |e| <= delta, else delta (|e| - delta / 2).

    e is prediction - target. With c, e clipped to [-delta, delta], that is c (e - c / 2), whose slope is c; the second
    derivative is 1 up to and including |e| = delta. Raises ShapeError unless both have the same shape.

    >>> huber_loss(np.array([0.5, -3.0]), np.array([0.0, 0.0]), reduction="none")
    array([0.125, 2.5  ])
    """
    same_shape(prediction, target)
    check_width(delta=delta)
    delta = float(delta)  # a NumPy scalar would promote float32
    prediction = as_array(prediction)
    error = prediction - as_type_of(prediction, target)
    clipped = np.clip(error, -delta, delta)
    return reduce(clipped * (error - clipped / 2), reduction, prediction.size)


@huber_loss.vjp("prediction")
def huber_loss_vjp_prediction(
    g: Array, out: Array, prediction: Array, target: Array, reduction: str = "mean", delta: float = 1.0
) -> Array:
    return spread(g, reduction, prediction.size) * np.clip(prediction - target, -delta, delta)


@huber_loss.vjp("target")
def huber_loss_vjp_target(
    g: Array, out: Array, prediction: Array, target: Array, reduction: str = "mean", delta: float = 1.0
) -> Array:
    return spread(g, reduction, target.size) * np.clip(target - prediction, -delta, delta)


@huber_loss.textbook
def huber_loss_textbook(prediction: Array, target: Array, reduction: str = "mean", delta: float = 1.0) -> Array:
    error = prediction - target
    distance = np.abs(error)
    losses = np.where(distance <= delta, error**2 / 2, delta * (distance - delta / 2))
    return reduce(losses, reduction, prediction.size)


@primitive(
    method=False,
    samples=[
        Sample(normal(3, 4), normal(3, 4), beta=0.4),
        Sample(normal(2, 3), normal(2, 3), reduction="sum", beta=0.0),
    ],
)
def smooth_l1_loss(prediction: Array, target: Array, reduction: str = "mean", beta: float = 1.0) -> Array:
    """Absolute error with a smooth bottom: e**2 / (2 beta) for |e| <= beta, else |e| - beta / 2; Huber's over beta.

    e is prediction - target; beta=0 is the absolute error. The second derivative is 1 / beta up to and including
    |e| = beta. Raises ShapeError unless both have the same shape.
    Source: R. Girshick, Fast R-CNN, ICCV 2015.

    >>> smooth_l1_loss(np.array([0.5, -3.0]), np.array([0.0, 0.0]), reduction="none")
    array([0.125, 2.5  ])
    """
    same_shape(prediction, target)
    check_width(beta=beta)
    beta = float(beta)
    prediction = as_array(prediction)
    error = prediction - as_type_of(prediction, target)
    slope = smooth_sign(error, beta)
    return reduce(slope * (error - slope * (beta / 2)), reduction, prediction.size)


def smooth_sign(error: Array, beta: float) -> Array:
    """The sign of errors, growing linearly where they are below beta: the slope of `smooth_l1_loss`."""
    return np.clip(error, -beta, beta) / beta if beta else np.sign(error)


@smooth_l1_loss.vjp("prediction")
def smooth_l1_loss_vjp_prediction(
    g: Array, out: Array, prediction: Array, target: Array, reduction: str = "mean", beta: float = 1.0
) -> Array:
    return spread(g, reduction, prediction.size) * smooth_sign(prediction - target, beta)


@smooth_l1_loss.vjp("target")
def smooth_l1_loss_vjp_target(
    g: Array, out: Array, prediction: Array, target: Array, reduction: str = "mean", beta: float = 1.0
) -> Array:
    return spread(g, reduction, target.size) * smooth_sign(target - prediction, beta)


@smooth_l1_loss.textbook
def smooth_l1_loss_textbook(prediction: Array, target: Array, reduction: str = "mean", beta: float = 1.0) -> Array:
    error = prediction - target
    distance = np.abs(error)
    losses = np.where(distance < beta, error**2 / (2 * (beta or 1)), distance - beta / 2)
    return reduce(losses, reduction, prediction.size)
