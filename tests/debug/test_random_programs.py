"""Random programs: whatever is computed, the readers agree with `backward` on its gradients."""

import numpy as np
import pytest

import tinygrad_sm as tg
from tinygrad_sm import Tensor, debug
from tinygrad_sm.debug.recording import Recording
from tinygrad_sm.errors import TinygradError

SHAPES = [(3, 4), (4,), (4, 3), (1, 4), ()]
LARGEST = 500  # elements of a value: products of products grow
ONE = [
    *(tg.exp, tg.tanh, tg.sin, tg.sigmoid, tg.relu, tg.softplus, tg.square, tg.abs, tg.softmax, tg.log_softmax),
    *(tg.logsumexp, tg.var, tg.prod, tg.elu, tg.leaky_relu, tg.mean, tg.max),
    *(lambda x: -x, lambda x: x.T, lambda x: x[::-1], lambda x: x[None], lambda x: x.reshape(-1)),
    *(lambda x: x - x.mean(axis=0), lambda x: x.prod(axis=-1), lambda x: 1 / (x * x + 1), lambda x: x[[0, 0, 1]]),
    *(lambda x: tg.sqrt(tg.abs(x)), lambda x: tg.clip(x, -1, 1), lambda x: x.max(axis=0, keepdims=True)),
]
TWO = [
    *(tg.add, tg.multiply, tg.subtract, tg.maximum, tg.matmul, lambda x, y: x / (y * y + 1)),
    *(lambda x, y: tg.where(x.data > 0, x, y), lambda x, y: tg.concatenate([x, y]), lambda x, y: tg.stack([x, y])),
]


def random_loss(seed):
    """A loss of a random program, and the leaves that it starts from."""
    rng = np.random.default_rng(seed)
    dtype = rng.choice([np.float32, np.float64])
    values = [Tensor(rng.normal(size=shape).astype(dtype), requires_grad=True) for shape in SHAPES]
    for _ in range(rng.integers(3, 14)):
        operations = (ONE, TWO)[rng.integers(2)]
        operands = [values[rng.integers(len(values))] for _ in range(1 if operations is ONE else 2)]
        try:
            made = operations[rng.integers(len(operations))](*operands)
        except TinygradError:  # shapes that do not fit
            continue
        if made.size <= LARGEST and np.isfinite(made.data).all():
            values.append(made)
    return sum((value.sum() for value in values[len(SHAPES) :]), values[-1].mean()), values[: len(SHAPES)]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # values overflow, and are left out then
@pytest.mark.parametrize("seed", range(60))
def test_readers_agree_with_backward(seed):
    loss, leaves = random_loss(seed)
    recording = Recording(loss)
    by_calls, inline = debug.source(loss, "calls").gradients(), debug.source(loss).gradients()
    loss.backward()
    for leaf in leaves:
        if leaf._edge not in recording.leaf_gradients():
            continue
        name = recording.names.of(*leaf._edge)
        scale = 1 + np.abs(leaf.grad).max()
        rounding = 1e-4 if leaf.dtype == np.float32 else 1e-9
        np.testing.assert_array_equal(recording.gradient_of(leaf), leaf.grad)
        np.testing.assert_array_equal(by_calls[name], leaf.grad)
        np.testing.assert_allclose(inline[name], leaf.grad, rtol=20 * rounding, atol=rounding * scale)
