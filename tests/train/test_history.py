"""The history keeps its rows, prints them, and writes them so that they can be read again."""

import csv
import sys

import pytest

from tinygrad_sm.errors import ArgumentError, FileError, MissingExtraError
from tinygrad_sm.train import History

ROWS = [
    {
        "epoch": 1,
        "train_loss": 0.9,
        "train_accuracy": 0.5,
        "validation_loss": 0.8,
        "validation_accuracy": 0.6,
        "lr": 0.1,
    },
    {
        "epoch": 2,
        "train_loss": 0.7,
        "train_accuracy": 0.7,
        "validation_loss": 0.4,
        "validation_accuracy": 0.9,
        "lr": 0.1,
    },
    {"epoch": 3, "train_loss": 0.1 + 0.2, "train_accuracy": 1.0, "validation_loss": 0.4, "validation_accuracy": 0.8},
]
REGRESSION = [{"epoch": i, "train_loss": 1 / i, "lr": 1e-5, "seconds": 0.5} for i in range(1, 31)]


def test_it_is_a_sequence_of_rows():
    history = History(ROWS[:2])
    history.append(ROWS[2])
    assert len(history) == 3
    assert list(history) == ROWS
    assert history[-1]["epoch"] == 3
    assert isinstance(history[1:], History)
    assert history[1:].rows == ROWS[1:]
    assert History().rows == []


def test_rows_are_its_own():
    row = dict(ROWS[0])
    history = History([row])
    row["train_loss"] = 7.0
    assert history[0]["train_loss"] == 0.9


def test_columns_are_what_was_measured():
    history = History(ROWS)
    assert history.columns == ["epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "lr"]
    assert history.column("validation_loss") == [0.8, 0.4, 0.4]
    assert history.column("lr") == [0.1, 0.1]
    assert history.column("seconds") == []


def test_the_best_epoch_is_the_first_with_the_lowest_loss_in_validation():
    assert History(ROWS).best_epoch == 2
    assert History(REGRESSION).best_epoch == 30
    assert History().best_epoch == 0


def test_the_table_shows_every_epoch_of_a_short_history():
    lines = repr(History(ROWS)).splitlines()
    assert lines[0].split() == History(ROWS).columns
    assert lines[2].split() == ["2", "0.7000", "0.7000", "0.4000", "0.9000", "0.1"]
    assert len({len(line) for line in lines}) == 1
    assert repr(History()) == "<History: no epochs yet>"


def test_the_table_of_a_long_history_leaves_out_its_middle():
    lines = repr(History(REGRESSION)).splitlines()
    assert [line.split()[0] for line in lines[9:14]] == ["9", "10", "...", "21", "22"]
    assert lines[11] == "... 10 more ..."
    assert len(lines) == 22
    assert lines[-1].split() == ["30", "0.0333", "1e-05", "0.50"]


def test_the_file_holds_every_digit(tmp_path):
    History(ROWS).to_csv(tmp_path / "history.csv")
    with (tmp_path / "history.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [{name: float(value) for name, value in row.items() if value} for row in read] == ROWS
    assert (tmp_path / "history.csv").read_bytes().count(b"\r") == 0


def test_a_history_without_epochs_is_a_header(tmp_path):
    History().to_csv(tmp_path / "h.csv")
    assert (tmp_path / "h.csv").read_text().startswith("epoch,train_loss")


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot be written"):
        History(ROWS).to_csv(tmp_path / "file" / "h.csv")


def test_without_matplotlib_plot_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match="matplotlib is not installed") as error:
        History(ROWS).plot(tmp_path / "curves.png")
    assert "pip install" in error.value.remedy


def drawn(history, tmp_path, monkeypatch):
    """The axes of the figure that plot draws."""
    from matplotlib.figure import Figure

    figures = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: figures.append(self) or save(self, *a, **k))
    history.plot(tmp_path / "curves.png")
    return figures[0].axes


@pytest.mark.extra
def test_the_curves_show_what_was_measured(tmp_path, monkeypatch):
    loss, accuracy = drawn(History(ROWS), tmp_path, monkeypatch)
    lines = {line.get_label(): line.get_xydata().tolist() for line in loss.lines}
    assert lines["train"] == [[1, 0.9], [2, 0.7], [3, 0.1 + 0.2]]
    assert lines["validation"] == [[1, 0.8], [2, 0.4], [3, 0.4]]
    assert lines["lowest validation loss (epoch 2)"] == [[2, 0.4]]
    lines = {line.get_label(): line.get_ydata().tolist() for line in accuracy.lines}
    assert lines["train"] == [50, 70, 100]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.extra
def test_regression_has_one_panel(tmp_path, monkeypatch):
    (loss,) = drawn(History(REGRESSION), tmp_path, monkeypatch)
    assert [line.get_label() for line in loss.lines] == ["train"]


@pytest.mark.extra
def test_a_single_epoch_can_be_seen(tmp_path, monkeypatch):
    loss, _ = drawn(History(ROWS[:1]), tmp_path, monkeypatch)
    assert all(line.get_marker() == "o" for line in loss.lines)


@pytest.mark.extra
@pytest.mark.parametrize(("name", "begins"), [("c.svg", b"<?xml"), ("c.pdf", b"%PDF"), ("c.PNG", b"\x89PNG")])
def test_the_ending_decides_the_format(name, begins, tmp_path):
    History(ROWS).plot(tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(begins)


@pytest.mark.extra
def test_what_cannot_be_drawn(tmp_path):
    with pytest.raises(ArgumentError, match="known format"):
        History(ROWS).plot(tmp_path / "curves.docx")
    with pytest.raises(ArgumentError, match="known format"):
        History(ROWS).plot(tmp_path / "curves")
    with pytest.raises(ArgumentError, match="no epochs"):
        History().plot(tmp_path / "curves.png")
    assert list(tmp_path.iterdir()) == []
