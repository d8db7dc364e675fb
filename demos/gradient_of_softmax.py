"""Why the gradient of softmax with cross-entropy is p - y, checked three ways.

For scores z the softmax gives p_i = exp(z_i) / sum_j exp(z_j), and the loss for the right class c is

    L = -log p_c = log sum_j exp(z_j) - z_c

By hand: the derivative of the first term with respect to z_i is exp(z_i) / sum_j exp(z_j) = p_i, that of the second is
1 where i is c and 0 elsewhere, which is the one-hot vector y. So dL/dz = p - y: what was said minus what was right.
By the tape: record the formula in its smallest steps and let `backward()` apply the chain rule to each of them.
By finite differences: nudge each score up and down and see how the loss changes. All three have to agree.
"""

import numpy as np

import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, gradients

scores = np.array([2.0, -1.0, 0.5, 3.0])
right = 0


def loss_of(z):
    return np.log(np.exp(z).sum()) - z[right]


p = np.exp(scores) / np.exp(scores).sum()
y = np.eye(len(scores))[right]
by_hand = p - y

z = Tensor(scores, requires_grad=True, name="z")
loss = loss_of(z)
loss.backward()
by_tape = z.grad

eps = 1e-6
nudges = eps * np.eye(len(scores))
by_differences = np.array([(loss_of(scores + e) - loss_of(scores - e)) / (2 * eps) for e in nudges])

print(f"scores z = {scores}, right class {right}, loss {loss.item():.6f}\n")
print("class         p   y     p - y  by the tape  by differences")
for i, row in enumerate(zip(p, y, by_hand, by_tape, by_differences, strict=True)):
    print("{:5} {:9.6f} {:3.0f} {:9.6f} {:12.6f} {:15.6f}".format(i, *row))
print(f"largest distance from p - y: tape {np.abs(by_tape - by_hand).max():.1e}, ", end="")
print(f"differences {np.abs(by_differences - by_hand).max():.1e}")

(fused,) = gradients(F.cross_entropy(z, np.array(right)), [z])
print(f"F.cross_entropy, which does it in one step: {np.abs(fused.data - by_hand).max():.1e}\n")
print("The tape, each line one step of the chain rule:")
print(loss.tape())

assert np.allclose(by_tape, by_hand)
assert np.allclose(by_differences, by_hand, atol=1e-8)
