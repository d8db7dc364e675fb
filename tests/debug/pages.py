"""What the tests of the page share: small recordings to show, and what a page holds, read from its HTML alone."""

import json
from html.parser import HTMLParser

import numpy as np

import tinygrad_sm as tg
from tinygrad_sm import nn
from tinygrad_sm.engine.primitive import PRIMITIVES


class Tags(HTMLParser):
    """Every tag with its attributes, and the text of the scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.raw = {}
        self._open = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        kind = dict(attrs).get("type", tag)
        self._open = kind if tag in ("script", "style") else None

    def handle_data(self, text):
        if self._open:
            self.raw[self._open] = self.raw.get(self._open, "") + text

    def handle_endtag(self, tag):
        self._open = None


def refuse(name):
    raise AssertionError(f"{name} is no JSON")


def data_of(page):
    """The data island, read by a strict reader of JSON."""
    return json.loads(Tags(page.html).raw["application/json"], parse_constant=refuse)


def small():
    """X @ W + b and a cross-entropy: the tensors by name, and the loss."""
    rng = np.random.default_rng(0)
    x = tg.Tensor(rng.normal(size=(4, 3)), name="x", requires_grad=True)
    W = tg.Tensor(rng.normal(size=(3, 2)), name="W", requires_grad=True)
    b = tg.Tensor(np.zeros(2), name="b", requires_grad=True)
    loss = nn.functional.cross_entropy(x @ W + b, np.array([0, 1, 1, 0]))
    return {"x": x, "W": W, "b": b}, loss


def mlp():
    """The loss of a 784-128-10 network on 64 pictures."""
    rng = np.random.default_rng(0)
    tg.seed(0)
    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    pictures = rng.random((64, 784)).astype(np.float32)
    return nn.functional.cross_entropy(model(pictures), rng.integers(10, size=64))


def op_samples():
    """Every differentiable operation of the registry with its first sample: (name, output, its cotangent)."""
    for name, op in sorted(PRIMITIVES.items()):
        if not op.differentiable or not op.rules or not op.samples:
            continue
        args, kwargs = op.samples[0].make(np.random.default_rng(0))
        out = op(*[_tracked(op, i, value) for i, value in enumerate(args)], **kwargs)
        outs = out if isinstance(out, tuple) else (out,)
        yield name, outs[0], np.ones(outs[0].shape, outs[0].dtype)


def _tracked(op, position, value):
    """An argument as a leaf, where the operation has a rule for it and it is of floating point."""
    if isinstance(value, list):
        return [_tracked(op, position, each) for each in value]
    floating = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    if not floating or op.parameters[position] not in op.rules:
        return value
    return tg.Tensor(value, requires_grad=True)
