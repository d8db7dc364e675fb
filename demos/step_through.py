"""Backprop, seen: step through the backward pass of a tiny classifier, forwards and back in time.

At the prompt `n` goes to the next rule and `b` back, `why g_W[0,1]` prints the sum that made one number, `paths W`
every way that leads to W, `check` asks finite differences, `help` tells the rest. Without a keyboard it plays a few.

    python demos/step_through.py
    python -m tinygrad_sm step demos/training_loop.py     # the same for a script that knows nothing of it
"""

import sys

import numpy as np

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, debug

x = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5], [2.0, 1.0]])
labels = np.array([0, 1, 1, 0])
W = Tensor([[0.5, -1.0], [0.25, 2.0]], requires_grad=True)
b = Tensor([0.1, -0.2], requires_grad=True)
h = tg.tanh(x @ W)
loss = F.cross_entropy(h + h * b, labels)

commands = None if sys.stdin.isatty() else ["n", "why g_b[0]", "n", "n", "n", "why g_W[0,1]", "check", "paths b", "q"]
debug.step(loss, commands=commands)

print("\nThe same as a script in NumPy, to read or to run (debug.source):\n")
print("\n".join(line.text for line in debug.source(loss).lines if line.text[:2] == "g_"))
