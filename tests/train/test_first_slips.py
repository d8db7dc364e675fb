"""What a newcomer gets wrong first, and what the library says to it."""

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import data, nn, optim
from tinygrad_sm.__main__ import main
from tinygrad_sm.errors import ArgumentError, DTypeError
from tinygrad_sm.train import Trainer, save_model


def parts():
    model = nn.MLP([2, 4, 2])
    return model, optim.SGD(model.parameters(), lr=0.1)


def test_trainer_refuses_names_for_functions_and_seeds_for_generators():
    model, optimizer = parts()
    with pytest.raises(DTypeError, match="loss='mse'"):
        Trainer(model, optimizer, loss="mse")
    for wrong in (nn.MLP, lambda x: x, [model]):
        with pytest.raises(DTypeError, match="Trainer: model="):
            Trainer(wrong, optimizer)
    with pytest.raises(DTypeError, match="optimizer='adam'"):
        Trainer(model, "adam")
    with pytest.raises(ArgumentError, match="generator=0"):
        Trainer(model, optimizer, generator=0)


def test_optimiser_refuses_a_module():
    with pytest.raises(DTypeError, match="Linear"):
        optim.SGD(nn.Linear(2, 1), lr=0.1)


def test_names_of_pytorch_are_answered_with_ours():
    with pytest.raises(AttributeError, match=r"nn\.functional\.cross_entropy"):
        _ = nn.CrossEntropyLoss
    with pytest.raises(AttributeError, match="a plain list or dict as an attribute"):
        _ = nn.ModuleList
    with pytest.raises(AttributeError, match="write reshape"):
        tg.Tensor([1.0]).view(1, 1)
    with pytest.raises(AttributeError, match=r"no attribute 'nonsense'$"):
        _ = tg.Tensor([1.0]).nonsense


def test_one_logit_gets_no_accuracy_from_argmax():
    model = nn.MLP([2, 8, 1], generator=np.random.default_rng(0))
    loss = lambda z, y: F.binary_cross_entropy_with_logits(z.reshape(-1), y.astype(np.float32))  # noqa: E731
    trainer = Trainer(model, optim.Adam(model.parameters(), lr=0.05), loss, progress=False)
    history = trainer.fit(data.make_moons(64, rng=0), epochs=2)
    assert "train_accuracy" not in history[-1]


def test_evaluate_remembers_the_column_that_was_the_last(tmp_path, capsys):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 2)).round(3)
    lines = [f"{a},{b},{2 * a - b:.3f}" for a, b in rows]
    (tmp_path / "train.csv").write_text("a,b,price\n" + "\n".join(lines) + "\n")
    wider = [f"{line},{i}" for i, line in enumerate(lines)]
    (tmp_path / "wider.csv").write_text("a,b,price,row\n" + "\n".join(wider) + "\n")
    run = tmp_path / "run"
    assert main(["train", "--data", str(tmp_path / "train.csv"), "--output", str(run), "--epochs", "2", "--quiet"]) == 0
    capsys.readouterr()
    printed = []
    for name in ("train.csv", "wider.csv"):
        assert main(["evaluate", str(run / "model.npz"), "--data", str(tmp_path / name)]) == 0
        printed.append(capsys.readouterr().out)
    assert "root mean squared error" in printed[0]
    assert printed[0] == printed[1]


def test_evaluate_of_a_model_without_class_names_is_one_line(tmp_path, capsys):
    save_model(tmp_path / "plain.npz", nn.MLP([64, 4, 10]))
    assert main(["evaluate", str(tmp_path / "plain.npz"), "--data", "digits"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
