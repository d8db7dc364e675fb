"""How far training is: a bar where somebody is watching, one line for each epoch where not.

tqdm draws the bar if it is installed and the output is a terminal. Read `trainer.py` for who calls this.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Self

BAR = "{desc} |{bar}| {remaining} left{postfix}"  # fits into 80 columns


class Progress:
    """Shows loss and accuracy while `epochs` epochs of `steps` steps each run, of which `done` are over already.

    A context manager: the bar is closed, and the line ended, however the block ends. Switched off, it shows nothing.
    """

    def __init__(self, epochs: int, steps: int, *, done: int = 0, enabled: bool = True) -> None:
        self.epochs = epochs
        self.epoch = done
        self.enabled = enabled
        self.checked = ""  # what the last validation said, for the bar
        self.bar = _bar(epochs * steps, done * steps) if enabled and sys.stdout.isatty() else None

    def step(self, measured: Mapping[str, float]) -> None:
        """One step was taken; `measured` holds the means over the epoch so far."""
        if self.bar is not None:
            self.bar.set_description_str(f"epoch {self.epoch + 1}/{self.epochs}", refresh=False)
            self.bar.set_postfix_str(_spelled(measured) + self.checked, refresh=False)
            self.bar.update()

    def end_epoch(self, row: Mapping[str, float]) -> None:
        """One epoch is over; `row` is its row in the history."""
        self.epoch += 1
        train = {name.removeprefix("train_"): value for name, value in row.items() if name.startswith("train_")}
        validated = {name: value for name, value in row.items() if name.startswith("validation_")}
        self.checked = f" (validation {_last(validated)})" if validated else ""
        if self.bar is not None:
            self.bar.set_postfix_str(_spelled(train) + self.checked)
        elif self.enabled:
            width = len(str(self.epochs))
            rest = f" | {_spelled(validated)}" if validated else ""
            print(f"epoch {self.epoch:{width}}/{self.epochs}  {_spelled(train)}{rest}", flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bar is not None:
            self.bar.close()


def _bar(total: int, initial: int) -> Any:
    """A progress bar, or None where tqdm is not installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=total, initial=initial, file=sys.stdout, bar_format=BAR, dynamic_ncols=True)


def _spelled(measured: Mapping[str, float]) -> str:
    """`loss 0.1234, accuracy 97.5%`, and the same for validation."""
    loss, *share = measured.items()
    words = f"{loss[0].replace('_', ' ')} {loss[1]:.4f}"
    return words + "".join(f", accuracy {value:6.1%}" for _, value in share)


def _last(measured: Mapping[str, float]) -> str:
    """The accuracy, or the loss where there is none."""
    name, value = list(measured.items())[-1]
    return f"{value:.1%}" if name.endswith("accuracy") else f"{value:.4f}"
