"""From the margin loss to softmax with cross-entropy, by making two maxima smooth.

What is wanted: the score of the right class y above all others. The margin loss says that, and is zero when it is so:

    max(0, max_{c != y} s_c - s_y)

Its slope is 0 or 1 and reaches only the best wrong class. LogSumExp, T log sum_c exp(s_c / T), is a smooth maximum of
scores, at most T log n above it; softplus, T log(1 + exp(z / T)), is a smooth max(0, z). Put both in, take T = 1, and

    softplus(logsumexp_{c != y} s_c - s_y) = log(1 + sum_{c != y} exp(s_c - s_y)) = -log softmax(s)_y

is the cross-entropy, whose slope p - y reaches every class. With T towards 0 it is the margin loss again.
"""

import numpy as np

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import train

OTHERS = np.array([1.0, 0.5, -2.0])  # the scores of the wrong classes; that of the right one goes from -4 to 6
RIGHT = np.linspace(-4, 6, 101)


def margin(s):
    return tg.maximum(0, np.max(OTHERS) - s)


def log_sum_exp(s, T=1.0):
    return tg.maximum(0, T * tg.logsumexp(OTHERS / T) - s)


def soft_plus(s, T=1.0):
    return T * F.softplus((T * tg.logsumexp(OTHERS / T) - s) / T)


def cross_entropy(s):
    scores = tg.concatenate([s[:, None], np.broadcast_to(OTHERS, (len(s), 3))], axis=1)
    return F.cross_entropy(scores, np.zeros(len(s), int), reduction="none")


losses, slopes = {}, {}
print("loss and slope, if y scores:       -2               1.2                4")
for loss in (margin, log_sum_exp, soft_plus, cross_entropy):
    losses[loss.__name__], slopes[loss.__name__] = loss(RIGHT), tg.grad(lambda s, loss=loss: loss(s).sum())(RIGHT)
    values, tangents = losses[loss.__name__], slopes[loss.__name__]
    print(f"  {loss.__name__:22}" + "".join(f"{values[i]:10.4f} {tangents[i] + 0.0:7.3f}" for i in (20, 52, 80)))
assert np.allclose(losses["soft_plus"], losses["cross_entropy"], rtol=1e-12)

print("\nsoftmax(s / T) of the scores 2, 1, 0.5, -2, from the hard maximum to all alike;")
print("on the right, how far the smooth loss is above the margin loss at most")
for T in (0.01, 0.1, 0.5, 1.0, 2.0, 10.0, 1000.0):
    shares = "".join(f"{p:8.3f}" for p in tg.softmax(np.array([2.0, *OTHERS]) / T))
    distance = np.abs(soft_plus(RIGHT, T) - losses["margin"]).max()
    print(f"  T = {T:7} {shares} {distance:16.3f}")
print(train.chart({"Loss": losses, "Slope": slopes}, "smooth_maximum.png", x=RIGHT, x_label="Score of the right class"))
