"""Optimisers: rules that move parameters against their gradients; schedules, which move their learning rates."""

from __future__ import annotations

from tinygrad_sm.optim.adagrad import Adadelta, Adagrad
from tinygrad_sm.optim.adam import Adam, AdamW, NAdam
from tinygrad_sm.optim.clipping import clip_grad_norm, clip_grad_value
from tinygrad_sm.optim.lbfgs import LBFGS
from tinygrad_sm.optim.optimizer import Optimizer
from tinygrad_sm.optim.rmsprop import RMSprop
from tinygrad_sm.optim.schedules import (
    CosineAnnealingLR,
    ExponentialLR,
    LinearWarmup,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    Schedule,
    SequentialLR,
    StepLR,
)
from tinygrad_sm.optim.sgd import SGD

__all__ = [
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "CosineAnnealingLR",
    "ExponentialLR",
    "LinearWarmup",
    "MultiStepLR",
    "NAdam",
    "OneCycleLR",
    "Optimizer",
    "RMSprop",
    "ReduceLROnPlateau",
    "Schedule",
    "SequentialLR",
    "StepLR",
    "clip_grad_norm",
    "clip_grad_value",
]
