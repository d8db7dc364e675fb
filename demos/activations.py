"""What ten layers do to a gradient on its way back, by the activation between them.

Every layer multiplies it by its weights and by the slope of its activation. That of a sigmoid is at most 1/4, so ten of
them leave next to nothing for the first layer: it vanishes. That of tanh is 1 at the centre and less elsewhere. A ReLU
has slope 1 where it is on, and 0 where it is off: half of its outputs are exact zeros (sparse), and a unit that is off
for every example learns nothing any more (dead). ELU and maxout, the larger of two linear maps, have no such units.
"""

import numpy as np

import tinygrad_sm.nn.functional as F
from tinygrad_sm import data, nn, optim, train

DEPTH, WIDTH = 10, 64
ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU, "maxout": None}
digits = data.load_digits()
x, y = (digits.inputs - digits.inputs.mean(axis=0))[:500], digits.targets[:500]


def layer(name, rng):
    start = nn.init.kaiming_normal if name == "relu" else nn.init.xavier_normal
    if name == "maxout":
        return nn.Maxout(WIDTH, WIDTH, 2, initial=start, generator=rng)
    return nn.Sequential(nn.Linear(WIDTH, WIDTH, initial=start, generator=rng), ACTIVATIONS[name]())


def forward_and_back(layers, last):
    outputs = [x]
    for each in layers:
        outputs.append(each(outputs[-1]))
    loss = F.cross_entropy(last(outputs[-1]), y)
    loss.backward(retain_grads=True)
    return outputs[1:], loss.item()


sizes = {}
print("size of the gradient at layer         zeros in   loss after    dead  after one")
print("                10        1    10 to 1 outputs     50 steps  of 640  huge step")
for name in ACTIVATIONS:
    rng = np.random.default_rng(0)
    layers, last = [layer(name, rng) for _ in range(DEPTH)], nn.Linear(WIDTH, 10, generator=rng)
    outputs, _ = forward_and_back(layers, last)
    sizes[name] = [np.sqrt(np.mean(each.grad**2)) for each in outputs]
    zeros = np.mean([each.data == 0 for each in outputs])
    optimizer = optim.SGD([p for each in (*layers, last) for p in each.parameters()], lr=0.2)
    losses, dead = [], []
    for optimizer.lr in [0.2] * 50 + [3.0, 0.0]:
        optimizer.zero_grad()
        outputs, loss = forward_and_back(layers, last)
        losses.append(loss)
        dead.append(sum((each.data == 0).all(axis=0).sum() for each in outputs))
        optimizer.step()
    first, tenth = sizes[name][0], sizes[name][-1]
    print(f"{name:8} {tenth:9.1e} {first:8.1e} {first / tenth:10.2g} {zeros:7.0%} ", end="")
    print(f"{losses[50]:12.3f} {dead[50]:8} {dead[51]:11}")
print(train.chart({"Size of the gradient": sizes}, "activations.png", x=range(1, DEPTH + 1), x_label="Layer", log=True))
