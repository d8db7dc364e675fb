"""Recurrent cells by their equations, number by number, and along sequences."""

import math

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import errors, nn, optim

CELLS = {"RNNCell": nn.RNNCell, "GRUCell": nn.GRUCell, "LSTMCell": nn.LSTMCell}
LAYERS = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}
every_cell = pytest.mark.parametrize("kind", CELLS.values(), ids=CELLS)
every_layer = pytest.mark.parametrize("kind", LAYERS.values(), ids=LAYERS)
D, H = 3, 4


def rng(seed=0):
    return np.random.default_rng(seed)


def normal(*shape, seed=0):
    return rng(seed).standard_normal(shape)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def step_by_hand(cell, x, h, c):
    """One example, one hidden unit after another, from the published equations; the hidden and the cell state."""
    w, u = cell.weight_ih.data, cell.weight_hh.data
    b, d = (cell.bias_ih.data, cell.bias_hh.data) if cell.bias_ih is not None else np.zeros((2, w.shape[1]))
    new_h, new_c = np.zeros(H), np.zeros(H)
    for k in range(H):
        of_x = [sum(x[i] * w[i, g * H + k] for i in range(D)) + b[g * H + k] for g in range(w.shape[1] // H)]
        of_h = [sum(h[j] * u[j, g * H + k] for j in range(H)) + d[g * H + k] for g in range(w.shape[1] // H)]
        if isinstance(cell, nn.RNNCell):
            new_h[k] = math.tanh(of_x[0] + of_h[0])
        elif isinstance(cell, nn.GRUCell):
            r, z = (sigmoid(of_x[g] + of_h[g]) for g in range(2))
            new_h[k] = (1 - z) * math.tanh(of_x[2] + r * of_h[2]) + z * h[k]
        else:
            i, f, g, o = (of_x[j] + of_h[j] for j in range(4))
            new_c[k] = sigmoid(f) * c[k] + sigmoid(i) * math.tanh(g)
            new_h[k] = sigmoid(o) * math.tanh(new_c[k])
    return new_h, new_c


@every_cell
@pytest.mark.parametrize("bias", [True, False])
def test_one_step_is_what_the_equations_say(kind, bias):
    cell = kind(D, H, bias, dtype=np.float64, generator=rng())
    x, h, c = normal(2, D), normal(2, H, seed=1), normal(2, H, seed=2)
    out = cell(x, (h, c)) if kind is nn.LSTMCell else (cell(x, h),)
    for n in range(2):
        for got, expected in zip(out, step_by_hand(cell, x[n], h[n], c[n]), strict=False):
            np.testing.assert_allclose(got.data[n], expected, rtol=1e-12)
    assert len(list(cell.parameters())) == (4 if bias else 2)


@every_cell
def test_the_state_is_zero_unless_it_is_given(kind):
    cell = kind(D, H, generator=rng())
    x, zeros = normal(2, D).astype(np.float32), np.zeros((2, H), np.float32)
    out, given = cell(x), cell(x, (zeros, zeros) if kind is nn.LSTMCell else zeros)
    for one, other in zip(out, given, strict=True):
        np.testing.assert_array_equal(one.data, other.data)
    alone = cell(x[0])
    single = alone[0] if isinstance(alone, tuple) else alone
    assert single.shape == (H,)
    assert single.dtype == np.float32


@every_cell
def test_derivatives_to_second_order_through_two_steps(kind):
    cell = kind(D, H, dtype=np.float64, generator=rng())

    def two(x, h, weight):
        cell.weight_hh = weight
        state = cell(x, cell(x, (h, h) if kind is nn.LSTMCell else h))
        return state[0] * state[1] if isinstance(state, tuple) else state

    assert tg.gradcheck(two, [normal(2, D), normal(2, H, seed=1), cell.weight_hh.data.copy()], order=2)


@every_layer
def test_a_sequence_is_one_step_after_another(kind):
    layer = kind(D, H, batch_first=True, generator=rng())
    x = normal(2, 5, D).astype(np.float32)
    out, last = layer(x)
    state = None
    for t in range(5):
        state = layer.cell(x[:, t], state)
        hidden = state[0] if isinstance(state, tuple) else state
        np.testing.assert_array_equal(out.data[:, t], hidden.data)
    for one, other in zip(last, state, strict=True):
        np.testing.assert_array_equal(one.data, other.data)
    rest, _ = layer(x[:, 3:], layer(x[:, :3])[1])  # the state goes on
    np.testing.assert_array_equal(rest.data, out.data[:, 3:])
    steps_first = kind(D, H)
    steps_first.load_state_dict(layer.state_dict())
    np.testing.assert_allclose(steps_first(x.swapaxes(0, 1))[0].data, out.data.swapaxes(0, 1), rtol=1e-6)


def test_the_rectifier_instead_of_tanh():
    cell = nn.RNNCell(D, H, nonlinearity="relu", generator=rng())
    x = normal(5, D).astype(np.float32)
    total = x @ cell.weight_ih.data + cell.bias_ih.data + cell.bias_hh.data
    np.testing.assert_allclose(cell(x).data, np.maximum(total, 0), rtol=1e-5, atol=1e-6)


def test_the_rectifier_along_a_sequence():
    layer, x = nn.RNN(D, H, nonlinearity="relu", generator=rng()), normal(5, 2, D)
    cell, h = nn.RNNCell(D, H, nonlinearity="relu", generator=rng()), None
    for each in x:
        h = cell(each, h)
    np.testing.assert_array_equal(layer(x)[1].data, h.data)
    assert h.data.min() == 0


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: nn.RNNCell(0, 2), "RNNCell: input_size=0"),
        (lambda: nn.RNN(3, 4, 2), "RNN: num_layers=2"),
        (lambda: nn.LSTM(3, 4, bidirectional=True), "LSTM: num_layers=1, bidirectional=True"),
        (lambda: nn.RNNCell(2, 2, nonlinearity="sin"), "nonlinearity='sin'"),
        (lambda: nn.GRUCell(3, 2)(np.ones((4, 2))), r"x \(4, 2\) does not fit input_size=3"),
        (lambda: nn.GRUCell(3, 2)(np.ones((4, 3)), np.ones((5, 2))), r"state \(5, 2\) for x \(4, 3\)"),
        (lambda: nn.LSTMCell(3, 2)(np.ones((4, 3)), np.ones((4, 2))), "no pair"),
        (lambda: nn.LSTM(3, 2)(np.ones((4, 3))), "no batch of sequences"),
        (lambda: nn.RNN(3, 2)(np.ones((0, 4, 3))), "no batch of sequences"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_remedy(call, said):
    with pytest.raises(errors.TinygradError, match=said) as caught:
        call()
    assert caught.value.remedy


BACKENDS = ["numpy", pytest.param("numba", marks=[pytest.mark.slow, pytest.mark.extra])]


@pytest.mark.parametrize("backend", BACKENDS)
@every_layer
def test_compiled_steps_are_the_eager_ones(kind, backend):
    models = [nn.Sequential(), nn.Sequential()]
    for model in models:
        model.rnn, model.head = kind(D, H, batch_first=True, generator=rng()), nn.Linear(H, 2, generator=rng(1))
    eager, compiled = models
    optimizers = [optim.SGD(model.parameters(), lr=0.5) for model in models]

    def loss_of(model, x, y):
        return F.cross_entropy(model.head(model.rnn(x)[0][:, -1]), y)

    step = tg.compile_step(lambda x, y: loss_of(compiled, x, y), optimizers[1], backend=backend)
    for seed in range(4):
        x, y = normal(6, 3, D, seed=seed).astype(np.float32), rng(seed).integers(2, size=6)
        optimizers[0].zero_grad()
        loss = loss_of(eager, x, y)
        loss.backward()
        optimizers[0].step()
        np.testing.assert_allclose(float(step(x, y)), loss.item(), rtol=1e-5)
    for name, value in eager.state_dict().items():
        np.testing.assert_allclose(compiled.state_dict()[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
