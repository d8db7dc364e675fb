"""What happened in every epoch, as rows that print, save and draw themselves.

Read `curves.py` next for the picture, `trainer.py` for who writes the rows.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias, overload

from tinygrad_sm.files import PathLike, replacing
from tinygrad_sm.train.curves import draw_curves

Row: TypeAlias = dict[str, float]

COLUMNS = ("epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "lr", "seconds")
SHOWN = 20  # rows that a repr shows of a long history


class History(Sequence[Row]):
    """One row for each epoch, a dict with those of `COLUMNS` that were measured; a sequence, oldest first.

    `train_loss` and `train_accuracy` are means over the epoch, taken while the weights were changing and dropout was
    on; those of validation are measured at its end. `lr` is the learning rate at its end (of the first group of
    parameters, before a schedule that moves by epochs moves it), `seconds` how long the epoch took.

    >>> history = History([{"epoch": 1, "train_loss": 0.7}, {"epoch": 2, "train_loss": 0.5}])
    >>> history
    epoch  train_loss
        1      0.7000
        2      0.5000
    >>> history[-1]["train_loss"], history.column("train_loss")
    (0.5, [0.7, 0.5])
    """

    def __init__(self, rows: Iterable[Mapping[str, float]] = ()) -> None:
        self.rows: list[Row] = [dict(row) for row in rows]

    def append(self, row: Mapping[str, float]) -> None:
        """Add the row of one more epoch."""
        self.rows.append(dict(row))

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> History: ...
    def __getitem__(self, index: int | slice) -> Row | History:
        return History(self.rows[index]) if isinstance(index, slice) else self.rows[index]

    @property
    def columns(self) -> list[str]:
        """The names of what was measured, in the order of the table."""
        return [name for name in COLUMNS if any(name in row for row in self.rows)]

    def column(self, name: str) -> list[float]:
        """One value for each epoch that has it."""
        return [row[name] for row in self.rows if name in row]

    @property
    def best_epoch(self) -> int:
        """The first epoch with the lowest validation loss, or training loss without validation; 0 before any."""
        losses = self.column("validation_loss") or self.column("train_loss")
        return 1 + losses.index(min(losses)) if losses else 0

    def to_csv(self, path: PathLike) -> None:
        """Write the table to a file, one line for each epoch, in the place of an old one. Raises FileError."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns or COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        with replacing(path) as file:
            file.write(text.getvalue().encode())

    def plot(self, path: PathLike) -> None:
        """Draw loss and accuracy over the epochs into an image; the name ends in its format: .png, .svg or .pdf.

        Raises MissingExtraError without matplotlib, ArgumentError for an unknown ending or no epochs, FileError.
        """
        draw_curves(self.rows, self.best_epoch, path)

    def __repr__(self) -> str:
        if not self.rows:
            return "<History: no epochs yet>"
        widths = {name: max(len(name), 6) for name in self.columns}
        lines = ["  ".join(f"{name:>{width}}" for name, width in widths.items())]
        for row in self.rows:
            lines.append("  ".join(f"{_shown(name, row.get(name)):>{width}}" for name, width in widths.items()))
        if len(self.rows) > SHOWN:
            lines[1 + SHOWN // 2 : -SHOWN // 2] = [f"... {len(self.rows) - SHOWN} more ..."]
        return "\n".join(lines)


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name == "epoch":
        return str(value)
    return f"{value:.2f}" if name == "seconds" else f"{value:.4g}" if name == "lr" else f"{value:.4f}"
