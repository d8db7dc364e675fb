"""Why classifiers are trained with cross-entropy and not with the squared error: the saturated sigmoid.

A sigmoid neuron that says 0.98 where 0 is right is badly wrong, and should learn fast. The squared error (a - y)**2 / 2
has the slope (a - y) a (1 - a) at its input, in which a (1 - a) all but vanishes when the neuron is sure of itself.
Cross-entropy has the slope a - y: the worse the error, the faster it learns. First one neuron, then five epochs of
handwritten digits: the shipped ones, or those of MNIST if the folder of its files is given on the command line.
"""

import sys

import numpy as np

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import data, nn, optim, train

EPOCHS, LR = 5, 0.15

digits = data.load_mnist(sys.argv[1], part="test") if sys.argv[1:] else data.load_digits()
training, test = digits.split(0.2, rng=0)

LOSSES = {
    "squared error": lambda z, y: ((tg.sigmoid(z) - y) ** 2).sum(axis=-1).mean() / 2,
    "cross-entropy": lambda z, y: F.binary_cross_entropy_with_logits(z, y, reduction="none").sum(axis=-1).mean(),
}

print("One neuron, a = sigmoid(w x + b), with x = 1, that has to learn to say 0:")
panels = {}
for w, b in ((0.6, 0.9), (2.0, 2.0)):
    panel = panels[f"What the neuron says, from {tg.sigmoid(np.array(w + b)):.2f}"] = {}
    for name, loss_of in LOSSES.items():
        neuron, said = np.array([w, b]), []
        slope_of = tg.grad(lambda neuron, loss_of=loss_of: loss_of(neuron.sum(keepdims=True), np.zeros(1)))
        print(f"  {name}: slope {slope_of(neuron)[0]:.3f}", end="")
        for _ in range(301):
            said.append(tg.sigmoid(neuron.sum()))
            neuron = neuron - LR * slope_of(neuron)
        panel[name] = said
        print(f", says {said[0]:.2f}; after 50 steps {said[50]:.2f}, after 300 {said[-1]:.2f}")

print(f"\n{len(training)} digits, {EPOCHS} epochs, 30 sigmoids between, and a sigmoid for each class:")
losses, right = {}, {}
for name, loss_of in LOSSES.items():
    rng = np.random.default_rng(0)
    model = nn.MLP([training.inputs.shape[1], 30, 10], activation="sigmoid", generator=rng)
    optimizer = optim.SGD(model.parameters(), lr=LR)
    losses[name], right[name] = [], []
    for epoch in range(EPOCHS + 1):
        for x, y in data.batches(training, batch_size=10, rng=rng) if epoch else ():
            optimizer.zero_grad()
            loss_of(model(x), np.eye(10, dtype=np.float32)[y]).backward()
            optimizer.step()
        scores = model(test.inputs).detach()
        losses[name].append(loss_of(scores, np.eye(10)[test.targets]).item())
        right[name].append(100 * np.mean(scores.argmax(axis=1).data == test.targets))
    shares = ", ".join(f"{share:.1f}" for share in right[name])
    print(f"  {name}: loss {losses[name][0]:.3f} -> {losses[name][-1]:.3f}, right {shares} %")
panels["Loss on unseen digits, its start = 1"] = {name: np.divide(each, each[0]) for name, each in losses.items()}
print(train.chart({**panels, "Right on unseen digits (%)": right}, "ce_vs_mse.png", x_label="Step above, epoch below"))
