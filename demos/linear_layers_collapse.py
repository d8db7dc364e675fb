"""Linear layers without anything between them are one linear layer, however many there are.

(x @ A) @ B is x @ (A @ B): the product of the matrices is a matrix again. Three layers have many more numbers to learn
and can say nothing that one of them could not, so they cannot part three spirals, which no straight lines part. A ReLU
after each layer, which has no number to learn at all, is what makes depth worth having.
"""

import numpy as np

import tinygrad_sm.nn.functional as F
from tinygrad_sm import data, nn, no_grad, optim, train

rng = np.random.default_rng(0)
points = data.make_spirals(450, rng=rng)


def layers(*sizes, between=None):
    modules = []
    for i in range(len(sizes) - 1):
        modules += [between()] if i and between else []
        modules.append(nn.Linear(sizes[i], sizes[i + 1], generator=np.random.default_rng(i)))
    return nn.Sequential(*modules)


models = {
    "one linear layer": layers(2, 3),
    "three linear layers": layers(2, 64, 64, 3),
    "three, with ReLU between": layers(2, 64, 64, 3, between=nn.ReLU),
}
curves = {}
for name, model in models.items():
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    curves[name] = []
    for _ in range(500):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(points.inputs), points.targets)
        loss.backward()
        optimizer.step()
        curves[name].append(loss.item())
    with no_grad():
        right = np.mean(model(points.inputs).data.argmax(axis=1) == points.targets)
    count = sum(p.size for p in model.parameters())
    print(f"{name:24}  {count:5} numbers, loss {curves[name][-1]:.4f}, {right:6.1%} right")

A, a, B, b, C, c = [p.data.astype(float) for p in models["three linear layers"].parameters()]
W, bias = A @ B @ C, (a @ B + b) @ C + c
scores = models["three linear layers"](points.inputs).data
print(f"\nThe three linear layers as one, x @ W + b, with W = A @ B @ C =\n{W.round(3)} and b = {bias.round(3)}:")
print(f"largest difference of their scores {np.abs(points.inputs @ W + bias - scores).max():.1e}, in float32\n")
assert np.allclose(points.inputs @ W + bias, scores, atol=1e-4)

across, down = np.linspace(-1.1, 1.1, 32), np.linspace(1.1, -1.1, 16)
plane = np.array([(x, y) for y in down for x in across], dtype=np.float32)
with no_grad():
    maps = [model(plane).data.argmax(axis=1).reshape(16, 32) for model in list(models.values())[1:]]
print("The plane, as three linear layers part it, and with ReLU between them:")
for left, right in zip(*maps, strict=True):
    print("".join(".:#"[i] for i in left), "  ", "".join(".:#"[i] for i in right))
print(train.chart({"Loss": curves}, "linear_layers_collapse.png"))
