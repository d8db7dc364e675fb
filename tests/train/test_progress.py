"""A bar where somebody is watching and tqdm is installed, one plain line for each epoch otherwise."""

import contextlib
import io
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from tinygrad_sm import data, nn, optim
from tinygrad_sm.train import Trainer

ROOT = Path(__file__).parent.parent.parent
MOONS = data.make_moons(40, rng=0)


class Terminal(io.StringIO):
    """An output that somebody is watching."""

    def isatty(self):
        return True


class FakeBar:
    """What tqdm offers, written down instead of drawn."""

    made = ()

    def __init__(self, **options):
        self.options, self.steps, self.said, self.closed = options, options["initial"], [], False
        FakeBar.made = (*FakeBar.made, self)

    def set_description_str(self, text, refresh=True):
        self.said.append(text)

    def set_postfix_str(self, text, refresh=True):
        self.said.append(text)

    def update(self):
        self.steps += 1

    def close(self):
        self.closed = True


@pytest.fixture
def fake_tqdm(monkeypatch):
    monkeypatch.setattr(FakeBar, "made", ())
    module = types.ModuleType("tqdm")
    module.tqdm = FakeBar
    monkeypatch.setitem(sys.modules, "tqdm", module)


def fit(epochs=3, *, progress=True, loss=None, validation=MOONS):
    model = nn.MLP([2, 4, 2], generator=np.random.default_rng(0))
    trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.1), batch_size=16, progress=progress)
    trainer.loss = loss or trainer.loss
    return trainer.fit(MOONS, validation, epochs=epochs)


LINE = r"epoch +\d+/12  loss \d\.\d{4}, accuracy +\d+\.\d%"
CHECKED = r" \| validation loss \d\.\d{4}, accuracy +\d+\.\d%"


def test_a_file_gets_one_plain_line_for_each_epoch(fake_tqdm, capsys):
    history = fit(12)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12
    assert all(re.fullmatch(LINE + CHECKED, line) for line in lines)
    assert lines[0].startswith("epoch  1/12")
    assert f"loss {history[4]['train_loss']:.4f}, " in lines[4]
    assert f"validation loss {history[4]['validation_loss']:.4f}, " in lines[4]
    assert FakeBar.made == ()


def test_without_validation_nothing_is_said_of_it(capsys):
    fit(12, validation=None)
    assert all(re.fullmatch(LINE, line) for line in capsys.readouterr().out.splitlines())


def test_lines_are_not_kept_back(monkeypatch):
    flushed = []

    class Log(io.StringIO):
        def flush(self):
            flushed.append(self.getvalue().count("\n"))

    monkeypatch.setattr(sys, "stdout", Log())
    fit(3)
    assert {1, 2, 3} <= set(flushed)


def test_a_terminal_gets_a_bar_that_counts_every_step(fake_tqdm, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    fit(4)
    (bar,) = FakeBar.made
    assert bar.options["total"] == bar.steps == 4 * 3
    assert bar.options["file"] is terminal
    assert "epoch 4/4" in bar.said
    assert re.fullmatch(r"loss \d\.\d{4}, accuracy +\d+\.\d% \(validation \d+\.\d%\)", bar.said[-1])
    assert bar.closed
    assert terminal.getvalue() == ""


def test_an_interruption_closes_the_bar(fake_tqdm, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())

    def interrupt(output, targets):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(loss=interrupt)
    assert FakeBar.made[0].closed


def test_without_tqdm_a_terminal_gets_lines(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    fit(3)
    assert terminal.getvalue().count("\n") == 3
    assert "\r" not in terminal.getvalue()


@pytest.mark.parametrize("output", [io.StringIO, Terminal])
def test_switched_off_it_is_silent(output, fake_tqdm, monkeypatch):
    monkeypatch.setattr(sys, "stdout", output())
    fit(progress=False)
    assert sys.stdout.getvalue() == ""
    assert FakeBar.made == ()


def test_a_resumed_run_counts_on(fake_tqdm, monkeypatch, tmp_path, capsys):
    def trainer():
        model = nn.MLP([2, 4, 2], generator=np.random.default_rng(0))
        return Trainer(model, optim.SGD(model.parameters(), lr=0.1), batch_size=16, checkpoint=tmp_path / "c.npz")

    trainer().fit(MOONS, epochs=2)
    capsys.readouterr()
    trainer().fit(MOONS, epochs=3, resume=True)
    assert capsys.readouterr().out.startswith("epoch 3/3")
    monkeypatch.setattr(sys, "stdout", Terminal())
    trainer().fit(MOONS, epochs=5, resume=True)
    (bar,) = FakeBar.made
    assert (bar.options["initial"], bar.options["total"], bar.steps) == (9, 15, 15)


SCRIPT = """
import numpy as np
from tinygrad_sm import data, nn, optim, train
model = nn.MLP([2, 4, 2], generator=np.random.default_rng(0))
moons = data.make_moons(40)
train.Trainer(model, optim.SGD(model.parameters(), lr=0.1), batch_size=16).fit(moons, moons, epochs=100)
print("done")
"""


@pytest.mark.extra
def test_the_real_bar_fits_into_a_terminal_of_80_columns():
    import termios  # which only systems like Unix have

    terminal, inside = os.openpty()
    termios.tcsetwinsize(inside, (24, 80))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-W", "error", "-c", SCRIPT], stdout=inside, env=environment)
    os.close(inside)
    shown = b""
    with contextlib.suppress(OSError), open(terminal, "rb", buffering=0) as output:  # it ends with an error on Linux
        while chunk := output.read(4096):
            shown += chunk
    assert process.wait() == 0
    lines = [line for line in re.split(r"[\r\n]+", shown.decode()) if line.strip()]
    assert lines[-1] == "done"
    assert re.fullmatch(r"epoch 100/100 \|.+\| 00:00 left, loss .*, accuracy .*% \(validation .*%\) *", lines[-2])
    assert max(map(len, lines)) <= 80
