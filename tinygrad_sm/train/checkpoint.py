"""Everything a run needs to go on as if it had never stopped, in one file.

Read `trainer.py` for who takes and restores it, `archive.py` for how it is written.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from tinygrad_sm.display import describe
from tinygrad_sm.errors import FileError, StateError
from tinygrad_sm.files import PathLike
from tinygrad_sm.train.archive import Arrays, read_archive, write_archive

SECONDS_BETWEEN_WRITES = 1.0


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The state of a run between two epochs: what `Trainer.fit` with `resume=True` starts from.

    `run` describes what has to be the same when it goes on: batch size, patience, optimiser, sizes, data. `notes` are
    the caller's. `generators` holds the state of every random generator, `best` the weights of the best epoch.
    """

    run: dict[str, Any]
    notes: dict[str, Any]
    history: list[dict[str, float]]
    generators: list[dict[str, Any]]
    model: Arrays
    optimizer: dict[str, Any]
    best: Arrays
    schedule: dict[str, Any] = dataclasses.field(default_factory=dict)

    def check_run(self, run: Mapping[str, Any], path: PathLike) -> None:
        """Raise StateError unless a run with this description is the one that was interrupted."""
        for name in dict.fromkeys([*run, *self.run]):
            saved, value = self.run.get(name), run.get(name)
            if saved != value:
                raise StateError(
                    f"{path}: the interrupted run had {name} {describe(saved)}, this one has {describe(value)}",
                    remedy="resume with the same settings and data, or start afresh without resuming",
                )


def save_checkpoint(path: PathLike, checkpoint: Checkpoint) -> None:
    """Write a checkpoint in the place of the old one, or leave that whole. Raises FileError."""
    # Arrays go into the archive and everything else, exact as JSON, into the header.
    numbers = {name: value for name, value in checkpoint.optimizer.items() if not isinstance(value, np.ndarray)}
    arrays = {name: value for name, value in checkpoint.optimizer.items() if isinstance(value, np.ndarray)}
    header = {
        "run": checkpoint.run,
        "notes": checkpoint.notes,
        "epoch": len(checkpoint.history),
        "history": checkpoint.history,
        "generators": checkpoint.generators,
        "optimizer": numbers,
        "schedule": checkpoint.schedule,
    }
    groups = {"model": checkpoint.model, "optimizer": arrays, "best": checkpoint.best}
    named = {f"{group}/{name}": array for group, members in groups.items() for name, array in members.items()}
    write_archive(path, "checkpoint", header, named)


def load_checkpoint(path: PathLike) -> Checkpoint:
    """Read what `save_checkpoint` wrote. Raises FileError for a file that is missing, damaged or of another kind."""
    header, named = read_archive(path, "checkpoint")
    groups: dict[str, Arrays] = {"model": {}, "optimizer": {}, "best": {}}
    try:
        for full_name, array in named.items():
            group, _, name = full_name.partition("/")
            groups[group][name] = array
        return Checkpoint(
            run=dict(header["run"]),
            notes=dict(header["notes"]),
            history=[dict(row) for row in header["history"]],
            generators=[dict(state) for state in header["generators"]],
            model=groups["model"],
            optimizer={**header["optimizer"], **groups["optimizer"]},
            best=groups["best"],
            schedule=dict(header.get("schedule", {})),
        )
    except (KeyError, TypeError, ValueError):
        raise FileError(f"{path}: the header is incomplete", remedy="start afresh, without resuming") from None


class Keeper:
    """Keeps the newest checkpoint, and writes it once a second and when the block ends, however that ends.

    Without a path it keeps nothing. Epochs may take milliseconds, and waiting for the disk after each would double
    that; an interrupted run still loses nothing, because the newest checkpoint is written on the way out.
    """

    def __init__(self, path: PathLike | None) -> None:
        self.path = None if path is None else Path(path)
        self.newest: Checkpoint | None = None
        self.due = 0.0

    def keep(self, take: Callable[[], Checkpoint]) -> None:
        """Take a newer checkpoint, by calling `take`."""
        if self.path is not None:
            self.newest = take()
        if time.monotonic() >= self.due:
            self.write()

    def write(self) -> None:
        """Write the newest checkpoint, unless that has happened."""
        if self.path is not None and self.newest is not None:
            save_checkpoint(self.path, self.newest)
            self.newest = None
            self.due = time.monotonic() + SECONDS_BETWEEN_WRITES

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.write()
