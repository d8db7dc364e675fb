"""Softmax regression: the smallest model that reads handwritten digits, one matrix of weights and nothing hidden.

Every digit gets ten scores, x @ W + b; softmax turns them into probabilities, and cross-entropy asks for the right one
to be 1. Its gradient has no tricks in it, so plain gradient descent on all examples at once is enough. What the model
has learned can be looked at: column k of W is a picture of where ink speaks for the digit k (#) and against it (-).
"""

import numpy as np

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, data

train, test = data.load_digits().split(0.2, rng=0)
W = Tensor(np.zeros((64, 10), dtype=np.float32), requires_grad=True, name="W")
b = Tensor(np.zeros(10, dtype=np.float32), requires_grad=True, name="b")


def accuracy(part):
    with tg.no_grad():
        scores = part.inputs @ W + b
    return np.mean(scores.data.argmax(axis=1) == part.targets)


print(f"{len(train)} digits to learn from, {len(test)} to be tested on; guessing has loss ln 10 = {np.log(10):.4f}")
print(" step    loss  on the training part  on the test part")
for step in range(301):
    loss = F.cross_entropy(train.inputs @ W + b, train.targets)
    if step % 50 == 0:
        print(f"{step:5}  {loss:.4f}  {accuracy(train):20.1%}  {accuracy(test):16.1%}")
    loss.backward()
    with tg.no_grad():
        W -= 1.0 * W.grad
        b -= 1.0 * b.grad
    W.grad = b.grad = None

print("\nWhat speaks for (#) and against (-) a digit, and beside it its average (o):")
weights = np.array([".", "#", "-"])[np.sign(np.round(W.data.T / 1.2)).astype(int)].reshape(10, 8, 8)
for digits in ((0, 1, 2), (3, 4, 7)):
    print("\n" + "".join(f"{digit:^22}" for digit in digits).rstrip())
    average = [train.inputs[train.targets == digit].mean(axis=0).reshape(8, 8) for digit in digits]
    for row in range(8):
        learned = ["".join(weights[digit, row]) for digit in digits]
        seen = ["".join(np.where(mean[row] > 0.5, "o", ".")) for mean in average]
        print("    ".join(f"{ours}  {theirs}" for ours, theirs in zip(learned, seen, strict=True)))
