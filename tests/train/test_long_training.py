"""What only shows after many steps."""

import gc
import sys

import numpy as np

import tinygrad_sm.nn.functional as F
from tinygrad_sm import data, nn, optim


def test_ten_thousand_steps_do_not_grow_memory():
    points = data.make_moons(64, rng=0)
    model = nn.MLP([2, 8, 8, 2], dropout=0.1, generator=np.random.default_rng(0))
    optimizer = optim.Adam(model.parameters(), lr=0.01)

    def train(steps):
        for _ in range(steps):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(points.inputs), points.targets)
            loss.backward()
            optimizer.step()
        return loss.item()

    first = train(100)
    gc.collect()
    before = sys.getallocatedblocks()
    gc.disable()  # so that a cycle of references would show
    try:
        last = train(10_000)
        grown = sys.getallocatedblocks() - before
    finally:
        gc.enable()
    assert last < first
    assert grown < 500
