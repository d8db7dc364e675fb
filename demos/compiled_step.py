"""One training step, compiled: the tape read for speed, as NumPy code that you could have written yourself.

The same network is trained twice on two moons, by the loop that you know and by a compiled step. The weights are equal
to the last bit. What is saved is the recording, which costs more than the arithmetic where arrays are small. The code
that runs is printed at the end: read it beside the loop, it is all of backpropagation. With numba installed,
`backend="numba"` makes loops of it.
"""

import time

import numpy as np

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import data, nn, optim

points = data.make_moons(200, noise=0.1, rng=0)
models = [nn.MLP([2, 16, 2], generator=np.random.default_rng(1)) for _ in range(2)]
optimizers = [optim.SGD(model.parameters(), lr=0.2, momentum=0.9) for model in models]


def loss_of(x, y, model=models[1]):
    return F.cross_entropy(model(x), y)


compiled_step = tg.compile_step(loss_of, optimizers[1])


def eager_step(x, y):
    optimizers[0].zero_grad()
    loss = F.cross_entropy(models[0](x), y)
    loss.backward()
    optimizers[0].step()
    return loss.item()


rng = np.random.default_rng(2)
seconds = [0.0, 0.0]
for _ in range(100):
    for x, y in data.batches(points, batch_size=50, rng=rng):
        losses = []
        for i, step in enumerate((eager_step, compiled_step)):  # in turn, so that both meet the same machine
            began = time.perf_counter()
            losses.append(step(x, y))
            seconds[i] += time.perf_counter() - began
        assert losses[0] == losses[1]

print(f"loss {losses[0]:.4f} after 400 steps, with and without")
for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True):
    print(f"  {p.name:<9} {p.shape!s:<8} equal to the last bit: {np.array_equal(p.data, q.data)}")
print(f"the compiled step took {seconds[1] / seconds[0]:.0%} of the time, its compilation included\n")
print(compiled_step.source)
