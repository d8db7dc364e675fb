"""Learning rates that move while `Trainer` trains: when, what the history says of it, and after an interruption."""

import numpy as np
import pytest

import tinygrad_sm.nn.functional as F
from tinygrad_sm import data, nn, optim
from tinygrad_sm.__main__ import main
from tinygrad_sm.errors import ArgumentError, StateError
from tinygrad_sm.train import Trainer, load_checkpoint

TRAIN, VALIDATION = data.make_moons(50, noise=0.2, rng=0), data.make_moons(40, noise=0.2, rng=1)
EPOCHS, BATCHES = 5, 4
CALLS = EPOCHS * (BATCHES + 1)  # of the loss


def warm(optimizer, per_step):
    parts = [
        optim.LinearWarmup(optimizer, 3, 0.1, per_step=per_step),
        optim.CosineAnnealingLR(optimizer, 17, per_step=per_step),
    ]
    return optim.SequentialLR(optimizer, parts, [3])


SCHEDULES = {
    "step": lambda o: optim.StepLR(o, 2),
    "one cycle": lambda o: optim.OneCycleLR(o, 0.05, epochs=EPOCHS, steps_per_epoch=BATCHES),
    "plateau": lambda o: optim.ReduceLROnPlateau(o, factor=0.5, patience=0, threshold=0.2),
    "warm steps": lambda o: warm(o, True),
    "warm epochs": lambda o: warm(o, False),
}


class Interrupting:
    """Cross-entropy, but the k-th call is interrupted by Ctrl-C."""

    def __init__(self, k):
        self.left = k

    def __call__(self, output, targets):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return F.cross_entropy(output, targets)


def trainer_of(schedule, path=None, loss=F.cross_entropy, **options):
    generator = np.random.default_rng(0)
    model = nn.MLP([2, 6, 2], "tanh", dropout=0.2, generator=generator)
    params = list(model.parameters())
    groups = [{"params": params[::2]}, {"params": params[1::2], "lr": 0.01, "weight_decay": 0.0}]
    optimizer = optim.AdamW(groups, lr=0.03)
    made = SCHEDULES[schedule](optimizer) if schedule else None
    options = {"batch_size": 13, "progress": False} | options
    return Trainer(model, optimizer, loss, schedule=made, generator=generator, checkpoint=path, **options)


def state_of(trainer):
    rows = [{**row, "seconds": 0} for row in trainer.history.rows]
    arrays = {**trainer.model.state_dict(), **trainer.optimizer.state_dict()}
    return {name: np.asarray(value).tolist() for name, value in arrays.items()}, trainer.schedule.state_dict(), rows


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("k", [1, 2, BATCHES + 2, 13, CALLS])
def test_interrupted_anywhere_it_ends_with_the_same_bits(schedule, k, tmp_path):
    whole = trainer_of(schedule, compile=True)
    whole.fit(TRAIN, VALIDATION, epochs=EPOCHS)
    path = tmp_path / "run.npz"
    first = trainer_of(schedule, path, Interrupting(k))
    with pytest.raises(KeyboardInterrupt):
        first.fit(TRAIN, VALIDATION, epochs=EPOCHS)
    resumed = trainer_of(schedule, path)
    resumed.fit(TRAIN, VALIDATION, epochs=EPOCHS, resume=True)
    assert state_of(resumed) == state_of(whole)
    first.fit(TRAIN, VALIDATION, epochs=EPOCHS, resume=True)  # by the trainer that was interrupted
    assert state_of(first) == state_of(whole)


def test_the_history_has_the_rate_that_an_epoch_ran_with():
    trainer = trainer_of("step")
    history = trainer.fit(TRAIN, VALIDATION, epochs=EPOCHS)
    np.testing.assert_allclose(history.column("lr"), [0.03, 0.03, 0.003, 0.003, 0.0003])
    assert trainer.optimizer.group_rates() == pytest.approx([0.0003, 0.0001])
    trainer = trainer_of("one cycle", compile=True)
    history = trainer.fit(TRAIN, epochs=EPOCHS)
    oracle = optim.SGD(list(trainer.model.parameters()), 0.05, momentum=0.9)
    schedule = optim.OneCycleLR(oracle, 0.05, EPOCHS * BATCHES)
    rates = [schedule.step() or oracle.lr for _ in range(EPOCHS * BATCHES)]
    np.testing.assert_allclose(history.column("lr"), rates[BATCHES - 1 :: BATCHES])
    assert trainer.compiled.report().startswith("3 programs")  # two sizes of batches, and the momentum as an argument


def test_a_plateau_watches_the_validation_loss_or_that_of_training():
    class Watching(optim.Schedule):
        def shape(self, count):
            return 1.0

        def step(self, loss=None):
            seen.append(loss)

    for validation in (VALIDATION, None):
        for per_step in (False, True):
            trainer, seen = trainer_of(None), []
            trainer.schedule = Watching(trainer.optimizer, per_step=per_step)
            history = trainer.fit(TRAIN, validation, epochs=2)
            if per_step:
                assert len(seen) == 2 * BATCHES
                sizes = np.array([13, 13, 13, 11])
                assert np.average(seen[:BATCHES], weights=sizes) == pytest.approx(history[0]["train_loss"])
            else:
                assert seen == history.column("validation_loss" if validation else "train_loss")


def test_what_does_not_fit_together_is_refused(tmp_path):
    path = tmp_path / "run.npz"
    trainer_of("step", path).fit(TRAIN, epochs=1)
    assert load_checkpoint(path).schedule["count"] == 1
    for other in (None, "plateau"):
        with pytest.raises(StateError, match="had schedule"):
            trainer_of(other, path).fit(TRAIN, epochs=2, resume=True)
    regrouped = trainer_of("step", path)
    regrouped.optimizer.param_groups[1]["weight_decay"] = 0.5
    with pytest.raises(StateError, match="had optimiser"):
        regrouped.fit(TRAIN, epochs=2, resume=True)
    model = nn.Linear(2, 2)
    mine, other = optim.SGD(model.parameters(), 0.1), optim.SGD(model.parameters(), 0.1)
    for schedule in (optim.StepLR(other, 3), "cosine"):
        with pytest.raises(ArgumentError, match="schedule="):
            Trainer(model, mine, schedule=schedule)
    with pytest.raises(ArgumentError, match="LBFGS") as caught:
        Trainer(model, optim.LBFGS(model.parameters()))
    assert "closure" in caught.value.remedy


@pytest.mark.parametrize(
    "options",
    [
        ["--optimizer", "nadam", "--schedule", "cosine"],
        ["--optimizer", "sgd", "--schedule", "onecycle", "--compile"],
        ["--optimizer", "rmsprop", "--momentum", "0.5", "--schedule", "plateau"],
        ["--optimizer", "adagrad", "--schedule", "onecycle"],
        ["--optimizer", "adadelta", "--schedule", "step"],
    ],
)
def test_the_command_line(options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = ["a,b,kind", *(f"{a:.6f},{b:.6f},{'xy'[y]}" for (a, b), y in zip(TRAIN.inputs, TRAIN.targets, strict=True))]
    (tmp_path / "moons.csv").write_text("\n".join(rows))
    assert main(["train", "--data", "moons.csv", "--hidden", "5", "--epochs", "3", "--output", "here", *options]) == 0
    assert f"schedule {options[options.index('--schedule') + 1]}" in capsys.readouterr().out
    resumed = main(["train", "--output", "here", "--resume", "--epochs", "4"])
    told = capsys.readouterr().err
    assert resumed == (0 if "plateau" in options else 2)
    assert ("was made for: 3" in told) == bool(resumed)
