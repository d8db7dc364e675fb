"""Modules and layers: parameters with names, and the functions that use them."""

from __future__ import annotations

from typing import NoReturn

from tinygrad_sm.nn import functional, init
from tinygrad_sm.nn.activations import ELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Softplus, Tanh
from tinygrad_sm.nn.attention import MultiHeadAttention, PositionalEncoding, TransformerBlock
from tinygrad_sm.nn.layers import MLP, Dropout, Flatten, Linear, Sequential
from tinygrad_sm.nn.module import Buffer, Module, Parameter
from tinygrad_sm.nn.normalisation import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm
from tinygrad_sm.nn.recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "Buffer",
    "Dropout",
    "ELU",
    "Flatten",
    "GRU",
    "GRUCell",
    "GroupNorm",
    "LSTM",
    "LSTMCell",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MLP",
    "Module",
    "MultiHeadAttention",
    "Parameter",
    "PositionalEncoding",
    "RNN",
    "RNNCell",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "TransformerBlock",
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
