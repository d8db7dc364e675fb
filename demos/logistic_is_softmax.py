"""Logistic regression is softmax regression with two classes, step for step and not only in the end.

Softmax over two scores s0 and s1 gives the second class exp(s1) / (exp(s0) + exp(s1)) = sigmoid(s1 - s0): only the
difference counts. So two columns of weights hold one column too many. The gradients of the two columns are opposite,
their difference moves twice as fast as each, and softmax regression with half the learning rate takes the very same
steps as logistic regression. Both read whether a digit is a 3 or an 8.
"""

import numpy as np

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, data, train

STEPS, LR = 200, 0.5

digits = data.load_digits()
chosen = np.isin(digits.targets, (3, 8))
x, y = digits.inputs[chosen].astype(float), (digits.targets[chosen] == 8).astype(int)

w = Tensor(np.zeros(64), requires_grad=True, name="w")
W = Tensor(np.zeros((64, 2)), requires_grad=True, name="W")
curves = {"logistic": [], "softmax": []}
distances = []
for step in range(STEPS + 1):
    logistic = F.binary_cross_entropy_with_logits(x @ w, y.astype(float))
    softmax = F.cross_entropy(x @ W, y)
    logistic.backward()
    softmax.backward()
    curves["logistic"].append(logistic.item())
    curves["softmax"].append(softmax.item())
    distances.append(np.abs(W.data[:, 1] - W.data[:, 0] - w.data).max())
    if step == 0:
        print("The first gradients, at three pixels:")
        print(f"  logistic            {w.grad[26:29].round(4)}")
        print(f"  softmax, column 0   {W.grad[26:29, 0].round(4)}")
        print(f"  softmax, column 1   {W.grad[26:29, 1].round(4)}\n")
    with tg.no_grad():
        w -= LR * w.grad
        W -= LR / 2 * W.grad
    w.grad = W.grad = None

print("step    logistic     softmax   largest |W[:, 1] - W[:, 0] - w|")
for step in (0, 1, 10, 50, STEPS):
    print(f"{step:4} {curves['logistic'][step]:11.8f} {curves['softmax'][step]:11.8f} {distances[step]:20.1e}")

p = tg.sigmoid(x @ w.detach()).data
q = tg.softmax(x @ W.detach()).data[:, 1]
print(f"\n{len(y)} digits, of which {np.mean((p > 0.5) == y):.1%} are told right by both;")
print(f"the probabilities that they give differ by at most {np.abs(p - q).max():.1e}.")
print(train.chart({"Loss: one curve on top of the other": curves}, "logistic_is_softmax.png"))

assert np.allclose(p, q, rtol=1e-9)
assert np.allclose(curves["logistic"], curves["softmax"], rtol=1e-9)
