"""Backprop by hand: a two-layer network with batch norm and cross-entropy, differentiated line by line, then compared.

The exercise: every value of the forward pass below has a gradient, the derivative of the loss with respect to it. Write
each of them down, last value first, with nothing but the chain rule and NumPy. `compare` says after every line whether
it is the gradient that the tape found, and if not, what is probably wrong: delete a `/ n` or a `.sum(axis=0)` and see.
To see how the tape derives the same, print(debug.source(loss)); to go there step by step, debug.step(loss).
"""

import numpy as np

import tinygrad_sm as tg
from tinygrad_sm import Tensor, data, debug

rng = np.random.default_rng(0)
digits = data.load_digits()
chosen = rng.choice(len(digits), 32, replace=False)
x, labels, n = digits.inputs[chosen].astype(float), digits.targets[chosen], 32
sizes = {"W1": (64, 20), "b1": (20,), "gain": (20,), "shift": (20,), "W2": (20, 10), "b2": (10,)}
parameters = {name: Tensor(rng.normal(0, 0.3, size), requires_grad=True) for name, size in sizes.items()}
W1, b1, gain, shift, W2, b2 = parameters.values()

# Forward, a step a line: linear, batch norm, tanh, linear, cross-entropy.
a = x @ W1 + b1
centred = a - a.mean(axis=0)
variance = (centred**2).mean(axis=0)
scale = (variance + 1e-5) ** -0.5
normed = centred * scale
h = tg.tanh(gain * normed + shift)
logits = h @ W2 + b2
log_p = tg.log_softmax(logits, axis=1)
loss = -log_p[np.arange(n), labels].mean()
loss.backward(retain_grads=True)

# Backward by hand, last value first. `v` is NumPy's view of each value of the forward pass.
v = {name: value.data for name, value in list(globals().items()) if isinstance(value, Tensor)}
one_hot = np.eye(10)[labels]
g_log_p = -one_hot / n
g_logits = g_log_p - np.exp(v["log_p"]) * g_log_p.sum(axis=1, keepdims=True)  # which is (p - one_hot) / n
g_h = g_logits @ v["W2"].T
g_W2 = v["h"].T @ g_logits
g_b2 = g_logits.sum(axis=0)
g_before_tanh = g_h * (1 - v["h"] ** 2)
g_gain = (g_before_tanh * v["normed"]).sum(axis=0)
g_shift = g_before_tanh.sum(axis=0)
g_normed = g_before_tanh * v["gain"]
g_scale = (g_normed * v["centred"]).sum(axis=0)
g_variance = g_scale * -0.5 * (v["variance"] + 1e-5) ** -1.5
g_centred = g_normed * v["scale"] + g_variance * 2 * v["centred"] / n  # two ways lead to it, so two terms
g_a = g_centred - g_centred.mean(axis=0)  # the mean was made of all of them
g_W1 = x.T @ g_a
g_b1 = g_a.sum(axis=0)  # 0 but for rounding: batch norm takes away again what b1 adds

print(f"loss {loss.item():.4f}; a network that guesses has ln 10 = {np.log(10):.4f}\n")
for name in v:
    if f"g_{name}" in globals():
        comparison = debug.compare(globals()[f"g_{name}"], globals()[name], name=name)
        print(comparison)
        assert comparison
