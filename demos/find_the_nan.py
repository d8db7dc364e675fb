"""Where does the NaN come from? A training loop turns NaN, `debug.numerics()` stops at the line that made it.

Three spellings of the same loss, the mean of -log softmax(scores)[right class], train the same small model on
handwritten digits, with steps so large that the scores grow beyond a hundred. The formulas agree on paper. On a machine
the first two end in NaN, and when the loss shows it, the culprit is long gone: one NaN in a gradient makes every weight
NaN, and from then on everything is. So it has to be caught where it is made; what catches it also says what to do.
"""

import numpy as np

import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, data, debug, errors, no_grad

digits = data.load_digits()
x, y = digits.inputs[:500], digits.targets[:500]
rows = np.arange(len(y))


def textbook(scores):
    e = np.exp(scores)
    p = e / e.sum(axis=1, keepdims=True)
    return -np.log(p[rows, y]).mean()


def shifted(scores):
    e = np.exp(scores - scores.max(axis=1, keepdims=True))  # the largest exponent is 0, so nothing overflows
    p = e / e.sum(axis=1, keepdims=True)
    return -np.log(p[rows, y]).mean()


def fused(scores):
    return F.cross_entropy(scores, y)  # log p = scores - log(sum of exp(scores)): no p that could become 0


def train(loss_of):
    W = Tensor(np.zeros((64, 10), dtype=np.float32), requires_grad=True, name="W")
    losses = []
    for _ in range(61):
        loss = loss_of(x @ W)
        losses.append(loss.item())
        loss.backward()
        with no_grad():
            W -= 100.0 * W.grad
        W.grad = None
    return losses


for loss_of in (textbook, shifted, fused):
    with np.errstate(all="ignore"):  # NumPy would warn of a line, though not of which element and why
        losses = train(loss_of)
    print(f"{loss_of.__name__:>8}, every tenth loss: ", "  ".join(f"{loss:.3f}" for loss in losses[::10]))
    try:
        with debug.numerics():
            train(loss_of)
        print("numerics() has nothing to say: this is the loss to take.")
    except errors.NonFiniteError as error:
        print(f"{error}\n")
