"""Modules and layers: parameters with names, and the functions that use them."""

from __future__ import annotations

from typing import NoReturn

from tinygrad_sm.nn import functional, init
from tinygrad_sm.nn.activations import ELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Softplus, Tanh
from tinygrad_sm.nn.layers import MLP, Dropout, Flatten, Linear, Sequential
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

_FUNCTIONS = {
    "CrossEntropyLoss": "cross_entropy",
    "MSELoss": "mse_loss",
    "NLLLoss": "nll_loss",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
}


def __getattr__(name: str) -> NoReturn:
    """Say what a loss of PyTorch's is called here."""
    advice = f"; losses are functions: nn.functional.{_FUNCTIONS[name]}" if name in _FUNCTIONS else ""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{advice}")
