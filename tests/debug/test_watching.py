"""`watch`: what goes on inside of a model while it trains."""

import copy
import gc
import re
import threading
import weakref

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, data, debug, nn, optim, train
from tinygrad_sm.debug.monitoring.health import warnings_of
from tinygrad_sm.debug.nonfinite import numerics
from tinygrad_sm.engine.tape import Sweep
from tinygrad_sm.errors import ArgumentError, DTypeError, FileError, MissingExtraError, NonFiniteError

PLAIN = nn.Module.__call__, Sweep.add, Sweep.__exit__
X = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)
Y = np.arange(32) % 3


@pytest.fixture(autouse=True)
def engine_is_left_as_it_was():
    yield
    gc.collect()
    assert (nn.Module.__call__, Sweep.add, Sweep.__exit__) == PLAIN


def mlp(sizes=(4, 8, 3), activation="relu"):
    return nn.MLP(list(sizes), activation=activation, generator=np.random.default_rng(1))


def fit(model, steps=12, lr=0.1, kind=optim.SGD):
    optimizer = kind(model.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(X), Y).backward()
        optimizer.step()


def test_outputs_gradients_and_updates_are_those_of_the_model():
    model = mlp()
    with debug.watch(model) as watched:
        before = model[0].weight.data.copy()
        h = model[0](X)
        loss = F.cross_entropy(model[2](model[1](h)), Y)
        (g,) = tg.gradients(loss, [h])
    with debug.watch(model) as watched:
        fit(model, steps=1)
    row = watched.history["0.Linear"][0]
    expected = X.astype(float) @ before
    np.testing.assert_allclose([row["mean"], row["std"]], [expected.mean(), expected.std()], rtol=1e-5)
    np.testing.assert_allclose([row["gradient_mean"], row["gradient_std"]], [g.data.mean(), g.data.std()], rtol=1e-5)
    relu = watched.history["1.ReLU"][0]
    np.testing.assert_allclose(relu["zeros"], np.mean(expected <= 0), atol=1e-3)
    weight = watched.history["0.weight"][0]
    change = -0.1 * model[0].weight.grad
    np.testing.assert_allclose(weight["std"], before.std(), rtol=1e-5)
    np.testing.assert_allclose(weight["gradient_std"], model[0].weight.grad.std(), rtol=1e-5)
    np.testing.assert_allclose(weight["update"], change.std() / before.std(), rtol=1e-3)


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_results_are_the_same_to_the_last_bit(kind):
    plain, noted = mlp(), mlp()
    fit(plain, kind=kind)
    with debug.watch(noted):
        fit(noted, kind=kind)
    for name, value in plain.state_dict().items():
        np.testing.assert_array_equal(value, noted.state_dict()[name])


def test_notes_are_the_same_in_every_run():
    histories = []
    for _ in range(2):
        model = mlp()
        with debug.watch(model) as watched:
            fit(model)
        histories.append(watched.history)
    assert histories[0] == histories[1]


def test_one_row_a_step_and_one_in_every_n():
    model = mlp()
    with debug.watch(model) as watched, debug.watch(model, every=5) as sparse:
        fit(model, steps=12)
    assert [row["step"] for row in watched.history["1.ReLU"]] == list(range(1, 13))
    assert [row["step"] for row in sparse.history["1.ReLU"]] == [1, 6, 11]
    assert watched.steps == sparse.steps == 12
    assert sparse.history["1.ReLU"] == [{**watched.history["1.ReLU"][i], "dead": 0.0} for i in (0, 5, 10)]
    assert sparse.history["0.weight"] == [watched.history["0.weight"][i] for i in (0, 5, 10)]
    assert all("update" in row for row in watched.history["0.weight"])


def test_closing_stops_the_notes_and_may_be_repeated():
    model = mlp()
    watched = debug.watch(model)
    fit(model, steps=2)
    watched.close()
    watched.close()
    fit(model, steps=2)
    assert watched.steps == 2
    assert watched.closed
    assert (nn.Module.__call__, Sweep.add, Sweep.__exit__) == PLAIN


def test_a_watch_that_is_forgotten_closes_by_itself():
    model = mlp()
    watched = debug.watch(model)
    gone = weakref.ref(watched)
    fit(model, steps=2)
    del watched
    gc.collect()
    assert gone() is None
    assert nn.Module.__call__ is PLAIN[0]


def test_watches_may_close_in_any_order():
    model = mlp()
    first, second = debug.watch(model), debug.watch(model)
    fit(model, steps=1)
    first.close()
    fit(model, steps=1)
    second.close()
    assert (first.steps, second.steps) == (1, 2)


def test_no_array_is_kept_alive():
    model = mlp()
    with debug.watch(model):
        hidden = model[0](X)
        gone = weakref.ref(hidden._edge[0])
        del hidden
        assert gone() is None


def test_the_trainer_works_unchanged():
    def run(watching):
        model = mlp()
        trainer = train.Trainer(
            model,
            optim.Adam(model.parameters(), lr=0.01),
            batch_size=8,
            generator=np.random.default_rng(3),
            progress=False,
        )
        watched = debug.watch(model) if watching else None
        trainer.fit((X, Y), (X, Y), epochs=2)
        if watched:
            watched.close()
        return model.state_dict(), watched

    plain, _ = run(False)
    noted, watched = run(True)
    for name, value in plain.items():
        np.testing.assert_array_equal(value, noted[name])
    assert watched.steps == 8


def test_evaluation_and_other_models_are_not_noted():
    model, other = mlp(), mlp()
    with debug.watch(model) as watched:
        fit(other, steps=2)
        with tg.no_grad():
            model(X)
        model(X)
    assert watched.steps == 0
    assert watched.history["0.Linear"] == []


def test_a_shared_module_is_one_layer_and_its_calls_are_taken_together():
    shared = nn.Linear(4, 4, generator=np.random.default_rng(0))
    model = nn.Sequential(shared, nn.Tanh(), shared)
    with debug.watch(model) as watched:
        first = shared(X)
        second = shared(np.tanh(first))
        second.sum().backward()
    both = np.concatenate([first.data, second.data])
    assert list(watched.layers) == ["0.Linear", "1.Tanh"]
    (row,) = watched.history["0.Linear"]
    np.testing.assert_allclose([row["mean"], row["std"]], [both.mean(), both.std()], rtol=1e-5)


def test_a_layer_that_hands_its_input_on_is_noted_too():
    model = nn.Sequential(nn.Linear(4, 3, generator=np.random.default_rng(0)), nn.Dropout(0.5)).eval()
    with debug.watch(model) as watched:
        fit(model, steps=1)
    assert {name: len(rows) for name, rows in watched.layers.items()} == {"0.Linear": 1, "1.Dropout": 1}
    assert watched.history["0.Linear"] == watched.history["1.Dropout"]


def test_a_model_of_the_users_own_with_lists_and_several_outputs():
    class Two(nn.Module):
        def __init__(self):
            self.scale = nn.Parameter([2.0])

        def forward(self, x):
            return x * self.scale, [x + self.scale]

    class Model(nn.Module):
        def __init__(self):
            self.parts = [nn.Linear(4, 3, generator=np.random.default_rng(0)), Two()]

        def forward(self, x):
            a, (b,) = self.parts[1](self.parts[0](x))
            return a + b

    model = Model()
    with debug.watch(model) as watched:
        fit(model, steps=2)
    assert {name: len(rows) for name, rows in watched.layers.items()} == {"parts.0.Linear": 2, "parts.1.Two": 2}
    assert list(watched.parameters) == ["parts.0.weight", "parts.0.bias", "parts.1.scale"]


def test_a_manual_update_is_measured():
    layer = nn.Linear(3, 2, generator=np.random.default_rng(0))
    with debug.watch(layer) as watched:
        for _ in range(3):
            layer.zero_grad()
            (layer(np.ones((2, 3), np.float32)) ** 2).sum().backward()
            with tg.no_grad():
                layer.weight -= 0.01 * layer.weight.grad
    assert all(row["update"] > 0 for row in watched.history["weight"])
    assert all("update" not in row for row in watched.history["bias"])


def test_accumulated_gradients_count_the_update_once():
    model = mlp()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with debug.watch(model) as watched:
        for _ in range(3):
            optimizer.zero_grad()
            for half in (slice(16), slice(16, 32)):
                F.cross_entropy(model(X[half]), Y[half]).backward()
            optimizer.step()
    assert ["update" in row for row in watched.history["0.weight"]] == [False, True] * 3


def test_weights_that_do_not_change_are_not_compared_at_every_layer(monkeypatch):
    model = nn.MLP([2, 3, 3, 3, 3, 3, 2], generator=np.random.default_rng(0))
    compared, equal = [], np.array_equal
    with debug.watch(model):
        for _ in range(4):
            monkeypatch.setattr(np, "array_equal", lambda *args, **kwargs: compared.append(1) or equal(*args, **kwargs))
            model(np.ones((2, 2), np.float32)).sum().backward()
            monkeypatch.undo()
    assert 0 < len(compared) <= 2 * 4 * len(list(model.parameters()))


def test_a_layer_that_is_called_many_times_in_a_step_is_one_row():
    layer = nn.Linear(2, 2, generator=np.random.default_rng(0))
    model = nn.Sequential(layer)
    with debug.watch(model) as watched:
        x = np.ones((3, 2), np.float32)
        for _ in range(500):
            x = model(x)
        x.sum().backward()
    assert len(watched.history["0.Linear"]) == 1
    assert watched.history["0.weight"][0]["step"] == 1


def test_an_exception_ends_the_block_and_restores_the_engine():
    model = mlp()
    with pytest.raises(KeyError), debug.watch(model) as watched:
        raise KeyError
    assert watched.closed

    class Failing(nn.Module):
        def forward(self, x):
            raise ValueError("here")

    with debug.watch(nn.Sequential(Failing())), pytest.raises(ValueError, match="here"):
        nn.Sequential(Failing())(X)


def test_a_backward_that_fails_is_no_step():
    model = mlp()
    with debug.watch(model) as watched:
        loss = F.cross_entropy(model(X), Y)
        with tg.no_grad():
            model[2].weight -= 0.1
        with pytest.raises(tg.errors.StaleValueError):
            loss.backward()
        assert watched.steps == 0
        fit(model, steps=1)
    assert watched.steps == 1


def test_vanishing_gradient():
    model = mlp([4, *[16] * 10, 3], "sigmoid")
    with debug.watch(model) as watched:
        fit(model)
    assert "! vanishing gradient: at 0.Linear" in str(watched)
    assert "small updates" in str(watched)


def test_dead_units():
    model = mlp()
    model[0].bias.data[:6] = -100
    with debug.watch(model) as watched:
        fit(model, steps=9)
        assert "dead units" not in str(watched)
        fit(model, steps=1)
    assert watched.history["1.ReLU"][-1]["dead"] == 0.75
    assert "! dead units: 75% of 1.ReLU" in str(watched)
    assert watched.history["1.ReLU"][-1]["zeros"] >= 0.75


def test_exploding_training():
    model = mlp([4, 16, 16, 3])
    with np.errstate(all="ignore"), debug.watch(model) as watched:
        fit(model, lr=30.0)
    said = str(watched)
    assert "! exploding: the output of" in said
    assert "large updates" in said
    assert "lower" in said


def test_exploding_gradient_along_the_depth():
    model = mlp([4, *[16] * 8, 3], "tanh")
    for layer in model:
        if isinstance(layer, nn.Linear):
            layer.weight.data *= 4
    linear = nn.Sequential(*[layer for layer in model if isinstance(layer, nn.Linear)])
    with debug.watch(linear) as watched:
        fit(linear, steps=1, lr=0.0)
    assert "! exploding gradient: at 0.Linear" in str(watched)


def test_not_finite():
    model = mlp()
    with np.errstate(all="ignore"), debug.watch(model) as watched:
        fit(model, steps=2)
        model[0].weight.data[0, 0] = np.nan
        fit(model, steps=2)
    said = str(watched)
    assert "! not finite: 0.Linear holds NaN or infinity since step 3" in said
    assert said.count("! ") == 1


def test_a_healthy_training_has_no_warnings():
    model = mlp()
    with debug.watch(model) as watched:
        fit(model)
    assert str(watched).endswith("Nothing conspicuous.")
    assert warnings_of(watched.layers, watched.parameters) == [] or "updates" in str(
        warnings_of(watched.layers, watched.parameters)
    )


@pytest.mark.parametrize("steps", [0, 1, 12])
def test_the_table_fits_80_columns_and_has_a_row_for_everything(steps):
    model = nn.Sequential(mlp(), mlp([3, 5, 3]))
    with debug.watch(model, every=3) as watched:
        fit(model, steps=steps)
    lines = str(watched).splitlines()
    assert all(len(line) <= 80 for line in lines)
    for name in watched.history:
        assert sum(line.startswith(f"{name} ") for line in lines) == 1
    dashes = next(line for line in lines if line.startswith("0.0.Linear")).split().count("-")
    assert dashes == (7 if steps == 0 else 0)
    assert repr(watched) == f"<Watch of Sequential: {steps} steps, closed>"


def test_before_the_first_step_the_table_says_so():
    watched = debug.watch(mlp())
    assert "no backward() has reached the model" in str(watched)
    watched.close()


def test_numerics_and_watch_do_not_disturb_each_other():
    model = mlp()
    watched = debug.watch(model)
    with numerics():
        fit(model, steps=1)
    fit(model, steps=1)
    with numerics():
        watched.close()
        with pytest.raises(NonFiniteError):
            np.log(Tensor(0.0, requires_grad=True))
        fit(model, steps=1)
    assert watched.steps == 2


def test_training_in_another_thread_is_noted():
    model = mlp()
    with debug.watch(model) as watched:
        thread = threading.Thread(target=fit, args=(model, 3))
        thread.start()
        thread.join()
    assert watched.steps == 3


def test_a_second_derivative_is_no_step_of_its_own():
    layer = nn.Linear(3, 1, generator=np.random.default_rng(0))
    x = Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    with debug.watch(layer) as watched:
        slope = tg.gradients((layer(x) ** 2).sum(), x, create_graph=True)
        (slope**2).sum().backward()
    assert watched.steps == 1


def test_a_copy_of_a_watched_model_is_a_model_of_its_own():
    model = mlp()
    with debug.watch(model) as watched:
        twin = copy.deepcopy(model)
        fit(twin, steps=2)
    assert watched.steps == 0


def test_empty_batches_and_outputs_without_axes():
    class Total(nn.Module):
        def __init__(self):
            self.w = nn.Parameter(np.ones((4, 1), np.float32))

        def forward(self, x):
            return (x @ self.w).sum()

    model = Total()
    with debug.watch(model) as watched:
        model(X).backward()
        model(X[:0]).backward()
    assert len(watched.history["Total"]) == 2
    assert len(str(watched).splitlines()) > 5
    layer = nn.Linear(4, 2, generator=np.random.default_rng(0))
    with debug.watch(layer) as watched:
        layer(X[:0]).sum().backward()
    assert watched.steps == 0


@pytest.mark.parametrize("subject", [None, 3, lambda x: x, nn.Linear])
def test_only_modules_are_watched(subject):
    with pytest.raises(DTypeError, match="watch: takes a Module"):
        debug.watch(subject)


@pytest.mark.parametrize("every", [0, -1, 1.5, "2", None])
def test_every_is_a_count(every):
    with pytest.raises(ArgumentError, match="watch: every="):
        debug.watch(mlp(), every=every)


def test_plotting_needs_matplotlib(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with debug.watch(mlp()) as watched:
        fit(watched.model, steps=1)
    with pytest.raises(MissingExtraError, match=r"tinygrad-sm\[plot\]"):
        watched.plot(tmp_path / "x.png")


@pytest.mark.extra
@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_plot(tmp_path, ending):
    model = mlp([4, *[8] * 14, 3])
    with debug.watch(model) as watched:
        fit(model)
    watched.plot(tmp_path / f"watched.{ending}")
    written = (tmp_path / f"watched.{ending}").read_bytes()
    assert len(written) > 5000
    if ending == "svg":
        text = written.decode()
        assert "Update / weight (std)" in text
        labels = set(re.findall(r"<!-- (\d+\.(?:Linear|ReLU)) -->", text))
        assert len(labels) == 10
        assert {"0.Linear", "28.Linear"} < labels


@pytest.mark.extra
def test_plot_of_what_is_not_finite_and_of_nothing(tmp_path):
    model = mlp()
    with np.errstate(all="ignore"), debug.watch(model) as watched:
        fit(model, steps=8, lr=1e8)
    watched.plot(tmp_path / "watched.png")
    with pytest.raises(ArgumentError, match="known format"):
        watched.plot(tmp_path / "watched.txt")
    with pytest.raises(FileError):
        watched.plot(tmp_path / "watched.png" / "x.png")
    with debug.watch(model) as nothing, pytest.raises(ArgumentError, match="no steps to draw"):
        nothing.plot(tmp_path / "nothing.png")
    with debug.watch(mlp()) as still:
        fit(still.model, steps=1, lr=0.0)
    still.plot(tmp_path / "still.png")


def test_data_of_the_package_trains_under_watch():
    examples = data.load_digits()
    model = nn.MLP([64, 16, 10], generator=np.random.default_rng(0))
    with debug.watch(model) as watched:
        F.cross_entropy(model(examples.inputs[:50]), examples.targets[:50]).backward()
    assert watched.steps == 1


def test_modules_have_paths():
    model = nn.Sequential(mlp(), nn.Tanh())
    paths = [path for path, _ in model.named_modules()]
    assert paths == ["", "0", "0.0", "0.1", "0.2", "1"]
    assert [module for _, module in model.named_modules()] == list(model.modules())
