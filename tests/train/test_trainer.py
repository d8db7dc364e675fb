"""The loop computes what the same loop written by hand computes, and what surrounds it does what it says."""

import numpy as np
import pytest

import tinygrad_sm.nn.functional as F
from tinygrad_sm import data, nn, optim
from tinygrad_sm.engine.tape import no_grad
from tinygrad_sm.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_sm.randomness import default_generator, seed
from tinygrad_sm.train import Trainer

MOONS = data.make_moons(100, noise=0.2, rng=0)
OTHER_MOONS = data.make_moons(60, noise=0.2, rng=1)


def network(*, dropout=0.0, rng=0):
    return nn.MLP([2, 8, 2], dropout=dropout, generator=np.random.default_rng(rng))


def trainer_of(model, **options):
    options = {"generator": np.random.default_rng(5), "progress": False, "batch_size": 16} | options
    return Trainer(model, optim.SGD(model.parameters(), lr=0.1, momentum=0.9), **options)


def accuracy_by_hand(model, examples):
    hidden = np.maximum(examples.inputs @ model[0].weight.data + model[0].bias.data, 0)
    scores = hidden @ model[2].weight.data + model[2].bias.data
    shifted = scores - scores.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(examples))
    return -log_p[rows, examples.targets].mean(), (scores.argmax(axis=1) == examples.targets).mean()


def test_fit_is_the_loop_that_one_would_write_by_hand():
    model = network()
    history = trainer_of(model).fit(MOONS, epochs=3)

    ours = network()
    optimizer = optim.SGD(ours.parameters(), lr=0.1, momentum=0.9)
    rng = np.random.default_rng(5)
    losses, right = [], []
    for _ in range(3):
        order = rng.permutation(100)
        total = correct = 0.0
        for start in range(0, 100, 16):
            chosen = order[start : start + 16]
            optimizer.zero_grad()
            output = ours(MOONS.inputs[chosen])
            loss = F.cross_entropy(output, MOONS.targets[chosen])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(chosen)
            correct += np.sum(output.data.argmax(axis=1) == MOONS.targets[chosen])
        losses.append(total / 100)
        right.append(correct / 100)

    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, ours.state_dict()[name])
    np.testing.assert_allclose(history.column("train_loss"), losses, rtol=1e-6)
    np.testing.assert_allclose(history.column("train_accuracy"), right)


def test_two_runs_are_the_same_to_the_last_bit():
    runs = []
    for _ in range(2):
        model = network(dropout=0.3)
        history = trainer_of(model).fit(MOONS, OTHER_MOONS, epochs=4)
        rows = [{name: value for name, value in row.items() if name != "seconds"} for row in history]
        runs.append((model.state_dict(), rows))
    assert runs[0][1] == runs[1][1]
    for name, value in runs[0][0].items():
        np.testing.assert_array_equal(value, runs[1][0][name])


def test_without_a_generator_the_seed_of_the_library_decides():
    results = []
    for n in (3, 3, 4):
        seed(n)
        model = network()
        trainer = trainer_of(model, generator=None)
        assert trainer.generator is default_generator()
        trainer.fit(MOONS, epochs=2)
        results.append(model[0].weight.data)
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_evaluate_measures_what_a_reader_would_compute():
    model = network()
    trainer = trainer_of(model)
    trainer.fit(MOONS, epochs=5)
    measured = trainer.evaluate(OTHER_MOONS)
    loss, accuracy = accuracy_by_hand(model, OTHER_MOONS)
    assert measured["loss"] == pytest.approx(loss, rel=1e-5)
    assert measured["accuracy"] == pytest.approx(accuracy)


def test_evaluation_weights_every_example_alike_however_many_there_are():
    many = data.make_moons(2500, noise=0.2, rng=3)  # more than go through the network at once
    model = network()
    loss, accuracy = accuracy_by_hand(model, many)
    measured = trainer_of(model).evaluate(many)
    assert (measured["loss"], measured["accuracy"]) == (pytest.approx(loss, rel=1e-5), pytest.approx(accuracy))


def test_the_history_holds_validation_measured_at_the_end_of_each_epoch():
    model = network(dropout=0.4)
    history = trainer_of(model).fit(MOONS, OTHER_MOONS, epochs=3)
    loss, accuracy = accuracy_by_hand_without_dropout(model)
    assert history[-1]["validation_loss"] == pytest.approx(loss, rel=1e-5)
    assert history[-1]["validation_accuracy"] == pytest.approx(accuracy)
    assert history.column("epoch") == [1, 2, 3]
    assert history.column("lr") == [0.1, 0.1, 0.1]
    assert all(value >= 0 for value in history.column("seconds"))


def accuracy_by_hand_without_dropout(model):
    plain = nn.Sequential(model[0], model[1], model[3])
    return accuracy_by_hand(plain, OTHER_MOONS)


def test_evaluation_leaves_dropout_and_the_generator_alone():
    model = network(dropout=0.5)
    trainer = trainer_of(model)
    model.train()
    model[2].eval()  # a layer that somebody froze
    states = model[2].generator.bit_generator.state, trainer.generator.bit_generator.state
    first, second = trainer.evaluate(MOONS), trainer.evaluate(MOONS)
    trainer.predict(MOONS.inputs)
    assert first == second
    assert [module.training for module in (model, model[0], model[2])] == [True, True, False]
    assert states == (model[2].generator.bit_generator.state, trainer.generator.bit_generator.state)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_fit_switches_dropout_on_again():
    modes = []

    def loss(output, targets):
        modes.append(model[2].training)
        return F.cross_entropy(output, targets)

    model = network(dropout=0.5)
    trainer = trainer_of(model, loss=loss, batch_size=100)
    model.eval()
    trainer.fit(MOONS, OTHER_MOONS, epochs=2)
    trainer.fit(MOONS, epochs=1)
    assert modes == [True, False, True, False, True]


def test_the_model_is_ready_to_be_used_after_fit():
    model = network(dropout=0.5)
    trainer_of(model).fit(MOONS, epochs=1)
    assert not any(module.training for module in model.modules())


def test_predictions_are_classes_and_probabilities():
    model = network()
    trainer = trainer_of(model)
    trainer.fit(MOONS, epochs=20)
    with no_grad():
        scores = model(OTHER_MOONS.inputs).data
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(trainer.predict_proba(OTHER_MOONS.inputs), p, rtol=1e-5)
    np.testing.assert_array_equal(trainer.predict(OTHER_MOONS.inputs), p.argmax(axis=1))
    assert (trainer.predict(OTHER_MOONS.inputs) == OTHER_MOONS.targets).mean() > 0.8


def test_pairs_of_arrays_serve_as_data_sets():
    models = [network(), network()]
    trainer_of(models[0]).fit(MOONS, OTHER_MOONS, epochs=2)
    pair = (MOONS.inputs, MOONS.targets), (OTHER_MOONS.inputs, OTHER_MOONS.targets)
    trainer_of(models[1]).fit(*pair, epochs=2)
    np.testing.assert_array_equal(models[0][0].weight.data, models[1][0].weight.data)


class Tagger(nn.Module):
    """Scores of the class of every element of a sequence, the classes last: (N, T) to (N, T, C)."""

    def __init__(self, classes):
        self.table = nn.Embedding(5, classes, generator=np.random.default_rng(0))

    def forward(self, x):
        return self.table(x)


@pytest.mark.parametrize(("classes", "length", "counted"), [(5, 3, True), (5, 5, False)])
def test_accuracy_of_sequences_whose_classes_stand_last(classes, length, counted):
    """As many elements as classes leave open which axis is which: no accuracy rather than a wrong one."""

    def loss(scores, targets):
        return F.cross_entropy(scores.reshape((-1, classes)), targets.reshape(-1))

    x = np.random.default_rng(1).integers(5, size=(40, length))
    model = Tagger(classes)
    trainer = Trainer(model, optim.Adam(model.parameters(), lr=0.1), loss, progress=False)
    best = model.table.weight.data.argmax(axis=1)
    before = trainer.evaluate((x, x))
    assert before.get("accuracy") == (np.mean(best[x] == x) if counted else None)
    trainer.fit((x, x), epochs=20)
    assert trainer.evaluate((x, x)).get("accuracy") == (1 if counted else None)


def test_regression_has_no_accuracy_and_predicts_numbers():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3)).astype(np.float32)
    y = (x @ [[1.0], [-2.0], [0.5]] + 3.0).astype(np.float32)
    model = nn.Linear(3, 1, generator=rng)
    trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.1), F.mse_loss, generator=rng, progress=False)
    history = trainer.fit((x, y), (x, y), epochs=30)
    assert set(history.columns) == {"epoch", "train_loss", "validation_loss", "lr", "seconds"}
    assert set(trainer.evaluate((x, y))) == {"loss"}
    np.testing.assert_allclose(trainer.predict(x), y, atol=1e-3)
    np.testing.assert_allclose(model.weight.data.ravel(), [1.0, -2.0, 0.5], atol=1e-3)


def falling_then_rising(losses):
    """A loss that takes its value in validation from a list, whatever the model says."""
    values = iter(losses)

    def loss(output, targets):
        measured = F.cross_entropy(output, targets)
        return measured if measured.requires_grad else next(values)

    return loss


def test_early_stopping_waits_for_patience_and_goes_back_to_the_best_weights():
    model = network()
    snapshots = []
    losses = [0.9, 0.5, 0.6, 0.4, 0.45, 0.41, 0.39]
    trainer = trainer_of(model, loss=falling_then_rising(losses), patience=2)
    optimizer_step = trainer.optimizer.step

    def step():
        optimizer_step()
        snapshots.append(model.state_dict())

    trainer.optimizer.step = step
    history = trainer.fit(MOONS, OTHER_MOONS, epochs=50)
    assert history.column("validation_loss") == losses[:6]  # 0.45 and 0.41 are the two in succession
    assert trainer.stopped_early
    assert history.best_epoch == 4
    best = snapshots[4 * 7 - 1]  # seven steps an epoch
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, best[name])
    assert not np.array_equal(snapshots[-1]["0.weight"], best["0.weight"])


def test_the_best_weights_come_back_even_when_patience_was_not_exhausted():
    model = network()
    trainer = trainer_of(model, loss=falling_then_rising([0.5, 0.3, 0.4]), patience=5)
    second = []
    trainer.fit(MOONS, OTHER_MOONS, epochs=3)
    again = network()
    trainer_of(again).fit(MOONS, epochs=2)
    second = again.state_dict()
    assert not trainer.stopped_early
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, second[name])


def test_an_equal_loss_is_no_improvement():
    trainer = trainer_of(network(), loss=falling_then_rising([0.5] * 10), patience=3)
    assert len(trainer.fit(MOONS, OTHER_MOONS, epochs=10)) == 4


def test_fitting_again_starts_a_new_history_from_the_weights_there_are():
    model = network()
    trainer = trainer_of(model)
    trainer.fit(MOONS, epochs=2)
    weights = model.state_dict()
    trainer.optimizer.lr = 0.0
    history = trainer.fit(MOONS, epochs=3)
    assert history.column("epoch") == [1, 2, 3]
    np.testing.assert_array_equal(model[0].weight.data, weights["0.weight"])


def test_a_loss_that_becomes_infinite_is_an_error_that_says_what_to_do():
    model = network()
    trainer = Trainer(model, optim.SGD(model.parameters(), lr=1e30), progress=False)
    with np.errstate(all="ignore"), pytest.raises(ArgumentError, match=r"training loss became (nan|inf) in epoch") as e:
        trainer.fit(MOONS, epochs=5)
    assert "learning rate" in e.value.remedy
    assert all(np.isfinite(row["train_loss"]) for row in trainer.history)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"batch_size": 0}, ArgumentError, "batch_size must be at least 1, got 0"),
        ({"batch_size": 2.5}, DTypeError, "batch_size must be an integer, got 2.5"),
        ({"patience": 0}, ArgumentError, "patience must be at least 1"),
    ],
)
def test_options_that_make_no_sense(options, error, words):
    with pytest.raises(error, match=words):
        trainer_of(network(), **options)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((MOONS,), {"epochs": 0}, ArgumentError, "epochs must be at least 1"),
        ((MOONS.inputs,), {"epochs": 1}, ArgumentError, "a ndarray is not a data set"),
        (((MOONS.inputs, MOONS.targets[:5]),), {"epochs": 1}, ShapeError, r"\(100, 2\) and targets \(5,\)"),
        (((MOONS.inputs[:0], MOONS.targets[:0]),), {"epochs": 1}, ShapeError, "at least one"),
        ((MOONS,), {"epochs": 1, "resume": True}, ArgumentError, "no checkpoint to resume from"),
    ],
)
def test_data_that_cannot_be_fitted(arguments, options, error, words):
    with pytest.raises(error, match=words):
        trainer_of(network()).fit(*arguments, **options)


def test_patience_without_validation_is_refused():
    with pytest.raises(ArgumentError, match="patience watches the validation loss"):
        trainer_of(network(), patience=3).fit(MOONS, epochs=1)


def test_one_output_has_no_classes_to_choose_from():
    model = nn.Linear(2, 1)
    trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.1), progress=False)
    for method in (trainer.predict, trainer.predict_proba):
        with pytest.raises(ShapeError, match=r"\(100, 1\), not scores"):
            method(MOONS.inputs)
