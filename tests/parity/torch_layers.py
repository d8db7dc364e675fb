"""Layers of PyTorch as functions of their input and weights, with samples: its table of operations has none."""

import torch
from torch.func import functional_call


def samples():
    """(name, function, args, kwargs) for each sample."""
    torch.manual_seed(0)
    for name, gates, options in (
        ("RNNCell", 1, {}),
        ("RNNCell", 1, {"nonlinearity": "relu"}),
        ("GRUCell", 3, {}),
        ("LSTMCell", 4, {}),
    ):
        pair = name == "LSTMCell"
        yield f"nn.{name}", cell(name), (drawn(2, 3), states(pair, 2, 2), *weights(gates, 3, 2)), options
        yield f"nn.{name}", cell(name), (drawn(3), states(pair, 2), *weights(gates, 3, 2)), options
    for name, gates in (("RNN", 1), ("GRU", 3), ("LSTM", 4)):
        for options in ({}, {"batch_first": True}):
            x = drawn(2, 4, 3) if options else drawn(4, 2, 3)
            yield f"nn.{name}", sequence(name), (x, states(name == "LSTM", 2, 2), *weights(gates, 3, 2)), options
    for name, shape in (("BatchNorm1d", (4, 3)), ("BatchNorm1d", (4, 3, 2)), ("BatchNorm2d", (2, 3, 2, 2))):
        for options in ({}, {"momentum": 0.4, "eps": 0.1}, {"momentum": None}, {"training": False}):
            statistics = torch.randn(3, dtype=torch.float64), torch.rand(3, dtype=torch.float64) + 0.5
            yield f"nn.{name}", batch_norm(name), (drawn(*shape), drawn(3), drawn(3), *statistics), options
    for options in ({}, {"attn_mask": torch.ones(3, 4, dtype=torch.bool).triu(1)}):
        x, memory = drawn(2, 3, 4), drawn(2, 4, 4)
        matrices = drawn(12, 4), drawn(12), drawn(4, 4), drawn(4)
        yield "nn.MultiheadAttention", multi_head_attention, (x, memory, memory, *matrices, 2), options
    for options in ({}, {"is_causal": True}):
        attention = drawn(12, 4), drawn(12), drawn(4, 4), drawn(4)
        network = (drawn(3, 4), drawn(3)), (drawn(4, 3), drawn(4)), (drawn(4), drawn(4)), (drawn(4), drawn(4))
        yield "nn.TransformerEncoderLayer", transformer_block, (drawn(2, 3, 4), attention, *network, 2), options


def drawn(*shape):
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def states(pair, *shape):
    return (drawn(*shape), drawn(*shape)) if pair else drawn(*shape)


def weights(gates, inputs, hidden):
    return drawn(gates * hidden, inputs), drawn(gates * hidden, hidden), drawn(gates * hidden), drawn(gates * hidden)


def cell(name):
    def function(input, state, weight_ih, weight_hh, bias_ih, bias_hh, **options):
        module = getattr(torch.nn, name)(input.shape[-1], weight_hh.shape[1], dtype=torch.float64, **options)
        named = {"weight_ih": weight_ih, "weight_hh": weight_hh, "bias_ih": bias_ih, "bias_hh": bias_hh}
        return functional_call(module, named, (input, state))

    return function


def sequence(name):
    def function(input, state, *matrices, **options):
        module = getattr(torch.nn, name)(input.shape[-1], matrices[1].shape[1], dtype=torch.float64, **options)
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        layers = tuple(each[None] for each in state) if isinstance(state, tuple) else state[None]
        out, last = functional_call(module, dict(zip(names, matrices, strict=True)), (input, layers))
        return out, tuple(each[0] for each in last) if isinstance(last, tuple) else last[0]

    return function


def batch_norm(name):
    def function(input, weight, bias, running_mean, running_var, momentum=0.1, eps=1e-5, training=True):
        module = getattr(torch.nn, name)(len(weight), eps, momentum, dtype=torch.float64).train(training)
        named = {"weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var}
        return functional_call(module, named, (input,)), running_mean, running_var

    return function


def multi_head_attention(query, key, value, in_proj_weight, in_proj_bias, out_weight, out_bias, heads, attn_mask=None):
    module = torch.nn.MultiheadAttention(query.shape[-1], heads, batch_first=True, dtype=torch.float64)
    names = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
    named = dict(zip(names, (in_proj_weight, in_proj_bias, out_weight, out_bias), strict=True))
    out, _ = functional_call(module, named, (query, key, value), {"attn_mask": attn_mask, "need_weights": False})
    return out


def transformer_block(input, attention, hidden, out, norm1, norm2, heads, is_causal=False):
    settings = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": True}
    layer = torch.nn.TransformerEncoderLayer(input.shape[-1], heads, len(hidden[1]), **settings, dtype=torch.float64)
    names = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
    named = {f"self_attn.{name}": value for name, value in zip(names, attention, strict=True)}
    for name, (weight, bias) in {"linear1": hidden, "linear2": out, "norm1": norm1, "norm2": norm2}.items():
        named |= {f"{name}.weight": weight, f"{name}.bias": bias}
    mask = torch.ones(input.shape[1], input.shape[1], dtype=torch.bool).triu(1) if is_causal else None
    return functional_call(layer, named, (input, mask))
