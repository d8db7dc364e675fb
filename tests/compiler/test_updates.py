"""Calls that write to an argument, such as batch normalisation to its running statistics: programs repeat it."""

import numpy as np
import pytest

import tinygrad_sm as tg
from tinygrad_sm import nn, optim
from tinygrad_sm.effects import Effect, note_overwrite
from tinygrad_sm.engine.primitive import PRIMITIVES, Primitive
from tinygrad_sm.operand import plain

RNG = np.random.default_rng(0)
BATCHES = [RNG.standard_normal((8, 3)) + i for i in range(6)]
BACKENDS = [pytest.param("numpy"), pytest.param("numba", marks=[pytest.mark.slow, pytest.mark.extra])]


def centre(x, running, momentum=0.25):
    return x - np.mean(x, axis=0)


def centre_vjp_x(g, out, x, running, momentum=0.25):
    return g - np.mean(g, axis=0)


def moved_mean(x, running, momentum=0.25):
    return running + momentum * (np.mean(x, axis=0) - running)


def moved_untraceably(x, running, momentum=0.25):
    return running + momentum * (np.array([float(column.mean()) for column in x.T]) - running)


CENTRE = Primitive(centre, differentiable=True)
CENTRE.rules["x"] = centre_vjp_x


def centred(x, running, moved=moved_mean):
    """What a layer would do: record the call, then write to the buffer."""
    out = tg.Tensor.record(CENTRE, (x, running), {}, (Effect("update", "running", moved),))
    values = moved(*plain((x, running)))
    np.copyto(running.data, values, casting="same_kind")
    note_overwrite(running.data)
    return out


def losses_of(step, batches=BATCHES):
    return [float(step(batch)) for batch in batches]


def trained(loss_fn, weight, backend):
    """Losses of steps, taken eagerly or compiled."""
    optimizer = optim.SGD([weight], lr=0.1)
    if backend:
        return losses_of(tg.compile_step(loss_fn, optimizer, backend=backend))

    def eager(batch):
        optimizer.zero_grad()
        loss = loss_fn(tg.Tensor(batch))
        loss.backward()
        optimizer.step()
        return loss.item()

    return losses_of(eager)


def once(x, w, running):
    return ((centred(x @ w, running) - 1) ** 2).mean()


def twice(x, w, running):
    return (centred(x @ w, running) * centred(2 * x, running)).mean()


def read_afterwards(x, w, running):
    h = centred(x @ w, running)
    return ((h + running) ** 2).mean()


def untraceable(x, w, running):
    return ((centred(x @ w, running, moved_untraceably) - 1) ** 2).mean()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("function", [once, twice, read_afterwards, untraceable])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_compiled_step_updates_as_the_eager_one(function, backend, dtype):
    results = []
    for how in (None, backend):
        weight = nn.Parameter(np.eye(3) + 0.1 * np.arange(3))
        running = tg.Tensor(np.zeros(3, dtype))
        losses = trained(lambda x, w=weight, r=running: function(x, w, r), weight, how)
        results.append((losses, weight.data, running.data))
    assert results[0][2].any()
    exact = {"rtol": 0} if backend == "numpy" else {"rtol": 1e-5 if dtype == np.float32 else 1e-12}
    for eager, compiled in zip(*results, strict=True):
        np.testing.assert_allclose(compiled, eager, **exact)


def test_one_momentum_written_out():
    running = tg.Tensor(np.zeros(1))
    compiled = tg.compile(lambda x: centred(x, running))
    for value, expected in ((4.0, 1.0), (4.0, 1.75), (0.0, 1.3125)):
        np.testing.assert_array_equal(compiled(np.array([[value], [value]])), [[0.0], [0.0]])
        np.testing.assert_array_equal(running.data, [expected])


def test_a_call_that_leaves_its_program_updates_once():
    weight, running = nn.Parameter([1.0]), tg.Tensor(np.zeros(1))
    # sqrt has an infinite slope at 0, so that the program is left for the eager run, which keeps 0 times infinity 0
    step = tg.compile_step(
        lambda x: (tg.sqrt(x * weight) * x).sum() + centred(x, running).sum(), optim.SGD([weight], lr=0.0)
    )
    for value, expected in ((4.0, 1.0), (4.0, 1.75), (0.0, 1.3125)):
        step(np.array([value]))
        np.testing.assert_array_equal(running.data, [expected])


def test_a_value_read_before_the_update_is_noticed_when_it_is_stale():
    x, running = tg.Tensor([[1.0], [3.0]], requires_grad=True), tg.Tensor(np.zeros(1), requires_grad=True)
    loss = (x * running).sum()
    compiled = tg.compile(lambda x: centred(x, running.detach()))
    compiled(np.ones((2, 1)))
    compiled(np.ones((2, 1)))
    with pytest.raises(tg.errors.StaleValueError):
        loss.backward()


def test_an_update_to_another_shape_is_refused():
    running = tg.Tensor(np.zeros(3))

    def moved(x, running, momentum=0.25):
        return np.mean(x)

    def function(x):
        return tg.Tensor.record(CENTRE, (x, running), {}, (Effect("update", "running", moved),))

    with pytest.raises(tg.errors.CaptureError, match=r"centre: running \(3,\) would become \(\)"):
        tg.compile(function)(BATCHES[0])


def test_the_primitive_of_this_file_is_not_registered():
    assert "centre" not in PRIMITIVES
