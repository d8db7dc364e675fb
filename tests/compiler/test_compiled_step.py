"""Compiled training steps: to the last bit what the eager loop computes, whatever changes from call to call."""

import functools
import linecache
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, nn, optim
from tinygrad_sm.compiler import compile_step
from tinygrad_sm.errors import TargetError
from tinygrad_sm.nn.activations import ACTIVATIONS

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((24, 3)).astype(np.float32), RNG.integers(0, 4, 24)
BATCHES = [(RNG.standard_normal((24, 3)).astype(np.float32), RNG.integers(0, 4, 24)) for _ in range(7)]


class Normalised(optim.Optimizer):
    """Steps of unit length: its update needs a whole parameter, and a number out of it."""

    def __init__(self, params):
        super().__init__(params, lr=0.01)

    def update(self, data, g, state):
        data -= self.lr * g / max(float(np.linalg.norm(g)), 1e-3)


OPTIMIZERS = {
    "sgd": lambda params: optim.SGD(params, lr=0.1),
    "decay": lambda params: optim.SGD(params, lr=0.1, weight_decay=0.01),
    "momentum": lambda params: optim.SGD(params, lr=0.1, momentum=0.9),
    "nesterov": lambda params: optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda params: optim.Adam(params, lr=0.01),
    "adam with decay": lambda params: optim.Adam(params, lr=0.01, weight_decay=0.01),
    "adamw": lambda params: optim.AdamW(params, lr=0.01),
    "nadam": lambda params: optim.NAdam(params, lr=0.01, weight_decay=0.01),
    "rmsprop": lambda params: optim.RMSprop(params, lr=0.01, centered=True, momentum=0.5, eps=1e-3),
    "adagrad": lambda params: optim.Adagrad(params, lr=0.01, lr_decay=0.01),
    "adadelta": lambda params: optim.Adadelta(params, weight_decay=0.01),
    "groups": lambda params: optim.SGD(in_groups(params, {"lr": 0.01}, {"weight_decay": 0.0}), 0.1, 0.9, False, 0.01),
    "groups of adamw": lambda params: optim.AdamW(in_groups(params, {"betas": (0.5, 0.9)}, {"lr": 0.002}), lr=0.01),
    "of one's own": Normalised,
    "of one's own in groups": lambda params: Normalised(in_groups(params, {}, {"lr": 0.003})),
}


def in_groups(params, first, second):
    """Weights and biases, with what each of the two sets for itself."""
    params = list(params)
    return [{"params": params[::2], **first}, {"params": params[1::2], **second}]


def network(activation="relu", dropout=0.0, seed=1):
    return nn.MLP([3, 8, 8, 4], activation, dropout=dropout, generator=np.random.default_rng(seed))


def pair(make=OPTIMIZERS["sgd"], loss=F.cross_entropy, **options):
    """A compiled step and an eager one, each with a network of its own that starts alike."""
    model, twin = network(**options), network(**options)
    optimizer, other = make(model.parameters()), make(twin.parameters())
    compiled = compile_step(lambda x, y: loss(model(x), y), optimizer)

    def eager(x, y):
        other.zero_grad()
        value = loss(twin(Tensor(x)), y)
        value.backward()
        other.step()
        return value.item()

    return compiled, eager, (model, optimizer), (twin, other)


def assert_same_state(one, two):
    (model, optimizer), (twin, other) = one, two
    for state, expected in ((model.state_dict(), twin.state_dict()), (optimizer.state_dict(), other.state_dict())):
        assert state.keys() == expected.keys()
        for name, value in state.items():
            np.testing.assert_array_equal(value, expected[name], err_msg=name)


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_thousand_steps_are_those_of_the_eager_loop(make):
    compiled, eager, one, two = pair(make, dropout=0.25)
    for i in range(1000):
        x, y = BATCHES[i % len(BATCHES)]
        one[1].lr = two[1].lr = 0.1 / (10 + i)  # a schedule
        assert compiled(x, y) == eager(x, y)
    assert_same_state(one, two)
    assert compiled.report().startswith("1 program,")


@pytest.mark.parametrize("kind", ["momentum", "groups", "adamw"])
def test_a_momentum_that_is_cycled_becomes_an_argument(kind):
    compiled, eager, one, two = pair(OPTIMIZERS[kind])
    schedules = [optim.OneCycleLR(optimizer, 0.05, total_steps=60) for _, optimizer in (one, two)]
    for i in range(60):
        x, y = BATCHES[i % len(BATCHES)]
        assert compiled(x, y) == eager(x, y)
        for schedule in schedules:
            schedule.step()
    assert_same_state(one, two)
    assert compiled.report().startswith("2 programs,")


def test_settings_of_one_group_are_followed():
    compiled, eager, one, two = pair(OPTIMIZERS["groups"])
    for name, value in (("lr", 0.05), ("lr", np.float32(0.05)), ("nesterov", True), ("weight_decay", 0.1)):
        for x, y in BATCHES[:3]:
            assert compiled(x, y) == eager(x, y)
        for _, optimizer in (one, two):
            optimizer.param_groups[1][name] = value
    for x, y in BATCHES:
        assert compiled(x, y) == eager(x, y)
    assert_same_state(one, two)


def test_lbfgs_is_refused_by_name():
    with pytest.raises(tg.errors.CaptureError, match="LBFGS") as caught:
        compile_step(lambda x: x.sum(), optim.LBFGS(network().parameters()))
    assert "uncompiled" in caught.value.remedy


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_activation_in_either_precision(activation, dtype):
    compiled, eager, one, two = pair(activation=activation)
    for model in (one[0], two[0]):
        for p in model.parameters():
            p.data = p.data.astype(dtype)
    for model, optimizer in (one, two):
        optimizer.__init__(model.parameters(), lr=0.1)
    for x, y in BATCHES:
        assert compiled(x.astype(dtype), y) == eager(x.astype(dtype), y)
    assert_same_state(one, two)


LOSSES = {
    "label smoothing": lambda scores, y: F.cross_entropy(scores, y, label_smoothing=0.1),
    "class weights": lambda scores, y: F.cross_entropy(scores, y, weight=np.array([1, 2, 3, 4], np.float32)),
    "ignored labels": lambda scores, y: F.cross_entropy(scores, y, ignore_index=2),
    "sum": lambda scores, y: F.cross_entropy(scores, y, reduction="sum") / 24,
    "nll": lambda scores, y: F.nll_loss(F.log_softmax(scores, 1), y),
    "logsumexp": lambda scores, y: (tg.logsumexp(scores, axis=1) - scores[np.arange(24), y]).mean(),
    "softmax": lambda scores, y: -tg.log(F.softmax(scores, 1)[np.arange(24), y]).mean(),
    "squares": lambda scores, y: F.mse_loss(scores, scores.detach() * 0.5),
    "binary": lambda scores, y: F.binary_cross_entropy_with_logits(scores, (scores > 0).astype(np.float32)),
    "penalty": lambda scores, y: F.cross_entropy(scores, y) + 0.1 * tg.abs(scores).mean(),
    "gathered": lambda scores, y: -tg.take_along_axis(F.log_softmax(scores, 1), y.reshape(-1, 1), axis=1).mean(),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_losses(loss):
    compiled, eager, one, two = pair(loss=loss)
    for x, y in BATCHES:
        assert compiled(x, y) == eager(x, y)
    assert_same_state(one, two)


@pytest.mark.parametrize(
    "limits", [{"clip_norm": 0.05}, {"clip_norm": 1e6}, {"clip_value": 0.01}, {"clip_norm": 0.3, "clip_value": 0.02}]
)
@pytest.mark.parametrize("make", [OPTIMIZERS["momentum"], OPTIMIZERS["adam"], Normalised])
def test_clipping(make, limits):
    model, twin = network(), network()
    optimizer, other = make(model.parameters()), make(twin.parameters())
    step = compile_step(lambda x, y: F.cross_entropy(model(x), y), optimizer, **limits)
    for x, y in BATCHES * 3:
        loss = F.cross_entropy(twin(Tensor(x)), y)
        other.zero_grad()
        loss.backward()
        if "clip_norm" in limits:
            optim.clip_grad_norm(twin.parameters(), limits["clip_norm"])
        if "clip_value" in limits:
            optim.clip_grad_value(twin.parameters(), limits["clip_value"])
        other.step()
        assert step(x, y) == loss.item()
    assert_same_state((model, optimizer), (twin, other))


def test_gradients_that_cannot_be_clipped_are_refused_and_nothing_is_moved():
    w = nn.Parameter(np.ones(3))
    for limits in ({"clip_norm": 1.0}, {"clip_value": 1.0}):
        step = compile_step(lambda x: (w * x).sum(), optim.SGD([w], lr=0.1), **limits)
        step(np.zeros(3))
        step(np.zeros(3))
        with pytest.raises(tg.errors.NonFiniteError, match="is nan at"):
            step(np.full(3, np.nan))
        np.testing.assert_array_equal(w.data, 1)
    for wrong in ({"clip_norm": 0.0}, {"clip_value": -1.0}, {"clip_norm": "1"}):
        with pytest.raises(tg.errors.TinygradError, match="clip_"):
            compile_step(lambda x: x.sum(), optim.SGD([w], lr=0.1), **wrong)


def test_values_that_come_with_the_first_call_are_in_no_program():
    compiled, eager, one, two = pair()
    small, labels = X * 0.01, np.zeros(24, int)
    for x, y in ((small, labels), (X * 100, Y), (-X, (Y + 1) % 4)):
        assert compiled(x, y) == eager(x, y)
    assert_same_state(one, two)


def test_changes_are_noticed():
    compiled, eager, one, two = pair(OPTIMIZERS["momentum"], dropout=0.5)

    def both(change):
        for model, optimizer in (one, two):
            change(model, optimizer)
        for x, y in BATCHES[:3]:
            assert compiled(x, y) == eager(x, y)
        assert_same_state(one, two)

    both(lambda model, optimizer: None)
    both(lambda model, optimizer: model.eval())
    both(lambda model, optimizer: model.train())
    both(lambda model, optimizer: setattr(optimizer, "momentum", 0.5))
    both(lambda model, optimizer: setattr(optimizer, "weight_decay", 0.1))
    both(lambda model, optimizer: setattr(model[2], "p", 0.9))
    both(lambda model, optimizer: setattr(model[0].weight, "data", np.ones((3, 8), np.float32)))
    both(lambda model, optimizer: model.load_state_dict(network(dropout=0.5, seed=5).state_dict()))
    both(lambda model, optimizer: optimizer.load_state_dict(optimizer.state_dict()))
    both(lambda model, optimizer: np.copyto(model[0].weight.data, 0.25))
    assert 6 <= len(compiled._order) <= 7  # train, eval, two settings, another p, another array; perhaps a state


def test_other_shapes_types_and_layouts_have_programs_of_their_own():
    compiled, eager, one, two = pair()
    for x, y in (
        (X, Y),
        (X[:7], Y[:7]),
        (X.astype(np.float64), Y),
        (np.asfortranarray(X), Y),
        (X[::2], Y[::2].astype(np.int32)),
        (X[::-1], Y[::-1]),
        (X, Y.astype(np.uint8)),
    ):
        for _ in range(2):
            assert compiled(x, y) == eager(x, y)
    assert_same_state(one, two)
    assert compiled.report().startswith("7 programs")


def test_programs_are_forgotten_where_there_are_too_many():
    compiled, eager, one, two = pair()
    for n in [*range(2, 24), *range(2, 5)]:
        assert compiled(X[:n], Y[:n]) == eager(X[:n], Y[:n])
    assert len(compiled._order) == 16 == sum(map(len, compiled._made.values()))
    assert_same_state(one, two)


def test_tensors_and_arrays_are_taken_alike():
    compiled, eager, one, two = pair()
    for x, y in ((Tensor(X), Y), (X, Tensor(Y)), (Tensor(X), Tensor(Y)), (X, Y)) * 2:
        assert compiled(x, y) == eager(X, Y)
    assert_same_state(one, two)


def test_one_array_as_two_arguments():
    w = nn.Parameter(np.ones(3, np.float32))
    step = compile_step(lambda x, y: ((w * x - y) ** 2).mean(), optim.SGD([w], lr=0.0))
    assert step(X, X) == 0
    assert step(X, X + 1) == pytest.approx(1)


def test_bad_labels_are_refused_as_ever_with_the_users_line():
    compiled, _, (model, _), _ = pair()
    compiled(X, Y)
    compiled(X, Y)
    before = model.state_dict()
    for wrong in (4, -1):
        labels = Y.copy()
        labels[3] = wrong
        with pytest.raises(TargetError, match=f"target holds class {wrong} at position 3") as caught:
            compiled(X, labels)
        assert "loss(model(x), y)" in caught.value.location.source_line
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_infinite_logits_are_worked_on_as_the_eager_step_does():
    bias = np.array([0, 0, -np.inf, 0], np.float32)
    masked = [np.where(np.arange(24)[:, None] % 3 == 0, bias, np.float32(0)), np.tile(bias, (24, 1))]
    w = [nn.Parameter(np.full((3, 4), 0.1, np.float32)) for _ in range(2)]
    optimizers = [optim.SGD([p], lr=0.1) for p in w]
    step = compile_step(lambda x, y, m: F.cross_entropy(x @ w[0] + m, y), optimizers[0])
    labels = np.where(Y == 2, 0, Y)
    for mask in (np.zeros((24, 4), np.float32), *masked, np.full((24, 4), -np.inf, np.float32)):
        got = step(X, labels, mask)
        optimizers[1].zero_grad()
        loss = F.cross_entropy(Tensor(X) @ w[1] + mask, labels)
        loss.backward()
        optimizers[1].step()
        np.testing.assert_array_equal(got, loss.item())
        np.testing.assert_array_equal(w[0].data, w[1].data)


def test_zero_times_an_infinite_slope_is_zero_here_too():
    w = [nn.Parameter(np.array([1.0, 4.0])) for _ in range(2)]
    optimizers = [optim.SGD([p], lr=0.1) for p in w]
    step = compile_step(lambda x: (np.sqrt(w[0] * x) * x).sum(), optimizers[0])
    for x in (np.array([1.0, 2.0]), np.array([0.0, 1.0]), np.array([3.0, 0.0])):
        got = step(x)
        optimizers[1].zero_grad()
        loss = (np.sqrt(w[1] * x) * x).sum()
        loss.backward()
        optimizers[1].step()
        assert got == loss.item()
        np.testing.assert_array_equal(w[0].data, w[1].data)


def test_what_else_the_function_returns():
    model = network()

    def function(x, y):
        scores = model(x)
        return F.cross_entropy(scores, y), scores, (scores.argmax(axis=1) == y).mean(), len(x), None

    step = compile_step(function, optim.SGD(model.parameters(), lr=0.0))
    results = [step(X, Y) for _ in range(3)]
    scores = model(Tensor(X)).data
    for loss, got, share, count, nothing in results:
        np.testing.assert_array_equal(got, scores)
        assert share == (scores.argmax(axis=1) == Y).mean()
        assert (count, nothing) == (24, None)
        assert type(loss) is np.float32
    results[1][1][:] = 0  # an array of its own
    np.testing.assert_array_equal(results[2][1], scores)
    np.testing.assert_array_equal(step(X, Y)[1], scores)


def test_numbers_and_words_among_the_arguments():
    model = network()
    step = compile_step(
        lambda x, y, scale, how: F.cross_entropy(model(x) * scale, y, reduction=how), optim.SGD(model.parameters(), 0.0)
    )
    for scale, how in ((1.0, "mean"), (2.0, "mean"), (1.0, "sum"), (2.0, "mean")):
        expected = F.cross_entropy(model(Tensor(X)) * scale, Y, reduction=how).item()
        assert step(X, Y, scale, how) == expected


def test_a_function_of_no_arguments_follows_its_arrays():
    inputs, w = X.copy(), nn.Parameter(np.ones(3, np.float32))
    step = compile_step(lambda: (w * inputs).sum(), optim.SGD([w], lr=0.0))
    step()
    inputs[:] = 2
    assert step() == 2 * inputs.size


def test_variables_of_a_loop_are_not_those_of_its_first_round():
    w = nn.Parameter(np.ones(3, np.float32))
    step = compile_step(lambda: (w * x).sum() * factor, optim.SGD([w], lr=0.0))
    expected, got, factor = [], [], 2.0
    with warnings.catch_warnings(record=True, action="always") as caught:
        for x, _ in BATCHES[:4]:
            for _ in range(2):
                got.append(step())
                expected.append((w * x).sum().item() * factor)
        factor = 3.0
        step()
    assert got == expected
    assert [str(each.message).partition(" its variable ")[2] for each in caught] == [
        "x changed: pass what changes as an argument",
        "factor changed: pass what changes as an argument",
    ]
    factor = float("3")
    assert step() == (w * x).sum().item() * 3
    assert len(step._order) == 5


FACTOR = 1.0


def scaled(x):
    return x * FACTOR


class Scaling:
    def __init__(self):
        self.factor = 1.0
        self.unread = object()

    def __call__(self, x):
        return (W * x).sum() * self.factor

    def method(self, x):
        return (W * x).sum() * self.factor


W = nn.Parameter(np.ones(3))


def test_variables_of_what_the_function_calls_are_looked_at(monkeypatch):
    scaling, outer = Scaling(), {"factor": 1.0}

    def helper(x):
        return x * factor

    def change(value):
        nonlocal factor
        factor = scaling.factor = value
        scaling.unread = object()
        monkeypatch.setitem(globals(), "FACTOR", value)

    factor = outer["factor"]
    functions = [
        lambda x: scaled((W * x).sum()),
        lambda x: helper((W * x).sum()),
        scaling,
        scaling.method,
        functools.partial(lambda a, x: (W * x).sum() * a * factor, 1.0),
    ]
    for function in functions:
        change(1.0)
        step = compile_step(function, optim.SGD([W], lr=0.0))
        x = np.ones(3)
        assert step(x) == step(x) == 3
        change(2.0)
        with pytest.warns(UserWarning, match=r"its variable (factor|FACTOR) changed"):
            assert step(x) == 6
        scaling.unread = object()
        assert step(x) == 6


def test_a_frozen_tensor_that_gets_other_values_is_followed():
    model, factor = network(), Tensor(np.ones(4, np.float32))
    step = compile_step(lambda x, y: F.cross_entropy(model(x) * factor, y), optim.SGD(model.parameters(), lr=0.0))
    plain = step(X, Y)
    factor.data = np.full(4, 2, np.float32)
    doubled = step(X, Y)
    factor.data[...] = 1
    assert step(X, Y) == step(X, Y) == plain != doubled


def test_a_parameter_frozen_on_the_way_is_named():
    model = network()
    step = compile_step(lambda x, y: F.cross_entropy(model(x), y), optim.SGD(model.parameters(), lr=0.1))
    step(X, Y)
    frozen = next(model.parameters())
    frozen.requires_grad = False
    with pytest.raises(tg.errors.GradientError, match=r"frozen is parameter .*weight"):
        step(X, Y)
    frozen.requires_grad = True
    step(X, Y)


def test_gradients_of_gradients_inside_a_step():
    w = [nn.Parameter(np.array([0.5, -1.0, 2.0])) for _ in range(2)]
    optimizers = [optim.SGD([p], lr=0.1) for p in w]

    def loss_of(weights, x):
        leaf = weights * 1.0
        out = (np.tanh(x * leaf) ** 2).sum()
        slope = tg.gradients(out, leaf, create_graph=True)
        return out + (slope * slope).sum()

    step = compile_step(lambda x: loss_of(w[0], x), optimizers[0])
    for i in range(4):
        x = np.array([1.0, 2.0, 3.0]) + i
        got = step(x)
        optimizers[1].zero_grad()
        loss = loss_of(w[1], x)
        loss.backward()
        optimizers[1].step()
        assert got == pytest.approx(loss.item(), rel=1e-12)
    np.testing.assert_allclose(w[0].data, w[1].data, rtol=1e-12)


def test_eager_steps_in_between_go_on_from_the_same_state():
    compiled, eager, one, two = pair(OPTIMIZERS["adam"], dropout=0.1)
    for i, (x, y) in enumerate(BATCHES * 2):
        if i % 3 == 2:
            one[1].zero_grad()
            loss = F.cross_entropy(one[0](Tensor(x)), y)
            loss.backward()
            one[1].step()
            assert loss.item() == eager(x, y)
        else:
            assert compiled(x, y) == eager(x, y)
    assert_same_state(one, two)


def test_a_tape_from_before_a_compiled_step_is_stale():
    compiled, _, (model, _), _ = pair()
    compiled(X, Y)
    loss = F.cross_entropy(model(Tensor(X)), Y)
    compiled(X, Y)
    with pytest.raises(tg.errors.StaleValueError):
        loss.backward()


def test_gradients_are_not_left_behind():
    compiled, _, (model, _), _ = pair()
    for _ in range(3):
        compiled(X, Y)
        assert all(p.grad is None for p in model.parameters())


def test_the_source_is_code_that_a_debugger_can_show():
    compiled, _, _, _ = pair()
    compiled(X, Y)
    assert compiled.source.startswith("def step(x, y, lr):\n")
    assert "np.dot(x, weight_0, out=linear)" in compiled.source
    assert "# linear, " in compiled.source
    assert "loss(model(x), y)" in compiled.source
    code = compiled._latest.run.__code__
    assert linecache.getline(code.co_filename, 1) == "def step(x, y, lr):\n"
    linecache.checkcache()
    assert linecache.getline(code.co_filename, 1) == "def step(x, y, lr):\n"


def test_a_debugger_steps_from_the_call_into_the_program(tmp_path):
    script = tmp_path / "lesson.py"
    script.write_text(
        "import pdb\nimport numpy as np\nimport tinygrad_sm as tg\nfrom tinygrad_sm import nn, optim\n"
        "w = nn.Parameter(np.ones(3))\nx = np.full(3, 2.0)\n"
        "step = tg.compile_step(lambda x: ((w * x) ** 2).sum(), optim.SGD([w], lr=0.125))\nstep(x)\n"
        "pdb.Pdb(skip=['tinygrad_sm.*'], nosigint=True).set_trace()\nstep(x)\n"
    )
    commands = ["step", "next", "next", "list", "next", "p multiply", "continue"]
    result = subprocess.run(
        [sys.executable, str(script)], input="\n".join(commands), capture_output=True, text=True, check=True
    )
    assert "-> np.multiply(w, x, out=multiply)" in result.stdout
    assert "# multiply, " in result.stdout
    assert "array([0., 0., 0.])" in result.stdout  # w is 1 - 0.125 * 8


def test_report_says_what_runs_as_a_call():
    model = network()
    step = compile_step(lambda x, y: F.cross_entropy(model(x), y), Normalised(model.parameters()))
    step(X, Y)
    assert "runs as a call: Normalised (update)" in step.report()


def test_threads_take_turns():
    compiled, eager, one, two = pair()
    compiled(X, Y)
    threads = [threading.Thread(target=lambda: [compiled(X, Y) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(201):
        eager(X, Y)
    assert_same_state(one, two)


def test_warnings_as_errors_are_the_functions_own():
    w = nn.Parameter(np.array([1.0, 2.0]))
    step = compile_step(lambda x: np.log(w * x).sum(), optim.SGD([w], lr=0.0))
    assert step(np.ones(2)) == step(np.ones(2)) == pytest.approx(np.log(2))
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        assert step(np.zeros(2)) == -np.inf
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        step(np.zeros(2))


def test_a_step_that_runs_as_written_draws_the_numbers_of_the_eager_loop():
    compiled, eager, one, two = pair(dropout=0.5)
    for i in range(12):
        x = X * np.float32(np.inf if i % 3 == 2 else 1)
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(compiled(x, Y), eager(x, Y))
        for model in (one[0], two[0]):
            model.load_state_dict(network(dropout=0.5).state_dict())
    assert_same_state(one, two)


def test_random_numbers_are_those_of_the_eager_loop():
    tg.seed(3)
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 4))
    step = compile_step(lambda x, y: F.cross_entropy(model(x), y), optim.SGD(model.parameters(), lr=0.0))
    tg.seed(4)
    got = [step(X, Y) for _ in range(4)]
    tg.seed(4)
    assert got == [F.cross_entropy(model(Tensor(X)), Y).item() for _ in range(4)]
    assert len(set(got)) == 4
