"""The training loop by hand: five lines that every framework hides, on three spirals that no straight line can part.

The network never sees a formula for the spirals, only 300 noisy points. Each pass over them goes through five steps:
forget the old gradients, predict, measure the error, send it back through the network, move the weights a little.
Set a breakpoint on `loss.backward()` and step into it: what happens there is ordinary Python.
"""

import numpy as np

import tinygrad_sm.nn.functional as F
from tinygrad_sm import data, nn, no_grad, optim

rng = np.random.default_rng(0)
points = data.make_spirals(300, noise=0.03, rng=rng)
model = nn.MLP([2, 32, 32, 3], activation="tanh", generator=rng)
optimizer = optim.Adam(model.parameters(), lr=0.01)

print("epoch    loss  accuracy")
for epoch in range(1, 101):
    losses, right = [], 0
    for x, y in data.batches(points, batch_size=30, rng=rng):
        optimizer.zero_grad()
        scores = model(x)
        loss = F.cross_entropy(scores, y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        right += np.sum(scores.data.argmax(axis=1) == y)
    if epoch in (1, 2, 5, 10, 20, 50, 100):
        print(f"{epoch:5}  {np.mean(losses):6.4f}  {right / len(points):8.1%}")

unseen = data.make_spirals(300, noise=0.03, rng=rng)
with no_grad():
    accuracy = np.mean(model(unseen.inputs).data.argmax(axis=1) == unseen.targets)
print(f"accuracy on 300 points it has not seen: {accuracy:.1%}\n")

print("What the network makes of the plane, and the points it learned from (0, 1, 2):")
columns, rows = np.linspace(-1.2, 1.2, 61), np.linspace(1.2, -1.2, 27)
plane = np.array([(column, row) for row in rows for column in columns], dtype=np.float32)
with no_grad():
    regions = model(plane).data.argmax(axis=1).reshape(len(rows), len(columns))
picture = np.array([" ", ".", ":"])[regions]
for (column, row), label in zip(points.inputs, points.targets, strict=True):
    picture[np.abs(rows - row).argmin(), np.abs(columns - column).argmin()] = label
print("\n".join("".join(line) for line in picture))
