"""Modules and layers: parameters with names, and the functions that use them."""

from __future__ import annotations

from typing import NoReturn

from tinygrad_sm.nn import functional, init
from tinygrad_sm.nn.activations import (
    ELU,
    GELU,
    GLU,
    SELU,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softshrink,
    Softsign,
    Tanh,
    Tanhshrink,
    Threshold,
)
from tinygrad_sm.nn.attention import MultiHeadAttention, PositionalEncoding, TransformerBlock
from tinygrad_sm.nn.convolution import AdaptiveAvgPool2d, AvgPool2d, Conv1d, Conv2d, ConvTranspose2d, MaxPool2d
from tinygrad_sm.nn.embedding import Embedding
from tinygrad_sm.nn.layers import MLP, Dropout, Flatten, Linear, Sequential
from tinygrad_sm.nn.maxout import Maxout
from tinygrad_sm.nn.module import Buffer, Module, Parameter
from tinygrad_sm.nn.normalisation import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm
from tinygrad_sm.nn.recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell

__all__ = [
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Buffer",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "Dropout",
    "ELU",
    "Embedding",
    "Flatten",
    "GELU",
    "GLU",
    "GRU",
    "GRUCell",
    "GroupNorm",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LSTM",
    "LSTMCell",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSigmoid",
    "LogSoftmax",
    "MLP",
    "MaxPool2d",
    "Maxout",
    "Mish",
    "Module",
    "MultiHeadAttention",
    "PReLU",
    "Parameter",
    "PositionalEncoding",
    "RNN",
    "RNNCell",
    "ReLU",
    "ReLU6",
    "SELU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
    "TransformerBlock",
    "functional",
    "init",
]

_FUNCTIONS = {
    "CrossEntropyLoss": "cross_entropy",
    "MSELoss": "mse_loss",
    "NLLLoss": "nll_loss",
    "L1Loss": "l1_loss",
    "SmoothL1Loss": "smooth_l1_loss",
    "HuberLoss": "huber_loss",
    "KLDivLoss": "kl_div",
    "MultiMarginLoss": "hinge_loss",
    "BCELoss": "binary_cross_entropy_with_logits",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
}


def __getattr__(name: str) -> NoReturn:
    """Say what stands here for a class of PyTorch's."""
    advice = f"; losses are functions: nn.functional.{_FUNCTIONS[name]}" if name in _FUNCTIONS else ""
    if name in ("ModuleList", "ModuleDict", "ParameterList", "ParameterDict"):
        advice = "; a plain list or dict as an attribute of a Module will do"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{advice}")
