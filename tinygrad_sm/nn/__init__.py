"""Modules and layers: parameters with names, and the functions that use them."""

from __future__ import annotations

from tinygrad_sm.nn import functional, init
from tinygrad_sm.nn.layers import (
    ELU,
    MLP,
    Dropout,
    Flatten,
    LeakyReLU,
    Linear,
    LogSoftmax,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    Softplus,
    Tanh,
)
from tinygrad_sm.nn.module import Module, Parameter

__all__ = [
    "ELU",
    "MLP",
    "Dropout",
    "Flatten",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "functional",
    "init",
]
