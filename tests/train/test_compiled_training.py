"""Training with compiled steps: the same weights, history and checkpoints, to the last bit."""

import numpy as np
import pytest

import tinygrad_sm.nn.functional as F
from tinygrad_sm import data, nn, optim, train
from tinygrad_sm.__main__ import main
from tinygrad_sm.errors import ArgumentError, CaptureError

MOONS, OTHERS = data.make_moons(90, rng=1), data.make_moons(40, rng=2)


def trainer(compile, seed=3, loss=F.cross_entropy, **options):
    generator = np.random.default_rng(seed)
    model = nn.MLP([2, 8, 2], dropout=0.2, generator=generator)
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    return train.Trainer(model, optimizer, loss, generator=generator, progress=False, compile=compile, **options)


def assert_same(one, two):
    for name, value in one.model.state_dict().items():
        np.testing.assert_array_equal(value, two.model.state_dict()[name])
    for row, other in zip(one.history.rows, two.history.rows, strict=True):
        assert {**row, "seconds": 0} == {**other, "seconds": 0}


@pytest.mark.parametrize("compile", [True, "numpy"])
def test_a_fit_is_the_same(compile):
    one, two = trainer(compile), trainer(False)
    for each in (one, two):
        each.fit(MOONS, OTHERS, epochs=5)
    assert_same(one, two)
    assert one.compiled.report().startswith("2 programs")  # whole batches, and the last one of 26


def test_a_regression_is_the_same():
    x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    examples = np.concatenate([x, x**2], axis=1), np.concatenate([np.sin(x), np.cos(x)], axis=1)
    one, two = trainer(True, loss=F.mse_loss), trainer(False, loss=F.mse_loss)
    for each in (one, two):
        each.fit(examples, epochs=4)
    assert_same(one, two)


def test_a_run_is_resumed_with_or_without(tmp_path):
    whole = trainer(False)
    whole.fit(MOONS, epochs=4)
    parts = [(True, 2), (False, 3), (True, 4)]
    for compile, epochs in parts:
        last = trainer(compile, seed=3 if epochs == 2 else 9, checkpoint=tmp_path / "run.npz")
        last.fit(MOONS, epochs=epochs, resume=epochs > 2)
    assert_same(last, whole)


@pytest.mark.extra
@pytest.mark.slow
def test_numba_resumes_to_the_last_bit_with_a_schedule_and_running_statistics(tmp_path):
    """A program is made anew when a run goes on, and its first step rounds as the steps of a run that went through."""

    def made(file):
        generator = np.random.default_rng(3)
        layers = (
            nn.Linear(2, 8, generator=generator),
            nn.BatchNorm1d(8),
            nn.ReLU(),
            nn.Linear(8, 2, generator=generator),
        )
        model = nn.Sequential(*layers)
        optimizer = optim.NAdam(model.parameters(), lr=0.01)
        options = {"schedule": optim.OneCycleLR(optimizer, 0.05, 12), "compile": "numba"}  # it moves a momentum as well
        return train.Trainer(model, optimizer, generator=generator, progress=False, checkpoint=file, **options)

    whole = made(tmp_path / "whole.npz")
    whole.fit(MOONS, OTHERS, epochs=4)
    made(tmp_path / "run.npz").fit(MOONS, OTHERS, epochs=2)
    last = made(tmp_path / "run.npz")
    last.fit(MOONS, OTHERS, epochs=4, resume=True)
    assert_same(last, whole)


def test_a_loss_that_makes_one_hot_rows_outside_is_refused():
    def loss(output, targets):
        return F.mse_loss(output, np.eye(2, dtype=np.float32)[targets])

    with pytest.raises(CaptureError, match="values read as an array"):
        trainer(True, loss=loss).fit(MOONS, epochs=1)


def test_an_unknown_backend_is_refused():
    with pytest.raises(ArgumentError, match="backend='cuda'"):
        trainer("cuda")


def test_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = ["a,b,kind", *(f"{a:.6f},{b:.6f},{'xy'[y]}" for (a, b), y in zip(MOONS.inputs, MOONS.targets, strict=True))]
    (tmp_path / "moons.csv").write_text("\n".join(rows))
    options = ["train", "--data", "moons.csv", "--hidden", "8", "--epochs", "3", "--quiet"]
    for output, more in (("plain", []), ("compiled", ["--compile"]), ("named", ["--compile", "numpy"])):
        assert main([*options, "--output", output, *more]) == 0
    printed = capsys.readouterr().out.split("test accuracy")
    assert printed[1] == printed[2] == printed[3]
    weights = [train.load_model(tmp_path / folder / "model.npz").model.state_dict() for folder in ("plain", "compiled")]
    for name, value in weights[0].items():
        np.testing.assert_array_equal(value, weights[1][name])
    assert main(["train", "--output", "compiled", "--epochs", "4", "--quiet", "--resume"]) == 0
    with pytest.raises(SystemExit):
        main([*options, "--compile", "cuda"])
