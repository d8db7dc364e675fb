"""The training loop, to be read and stepped through: `Trainer.fit` below is all of it.

`demos/training_loop.py` is the same loop without this class. Read `history.py` and `checkpoint.py` next.
"""

from __future__ import annotations

import importlib
import math
import operator
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tinygrad_sm.data import batches
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.errors import ArgumentError, DTypeError
from tinygrad_sm.files import PathLike
from tinygrad_sm.nn import Module
from tinygrad_sm.nn import functional as F
from tinygrad_sm.operand import plain
from tinygrad_sm.optim import LBFGS, Optimizer, Schedule
from tinygrad_sm.randomness import default_generator, generator_or_default
from tinygrad_sm.train.archive import Arrays
from tinygrad_sm.train.checkpoint import Checkpoint, Keeper, load_checkpoint
from tinygrad_sm.train.history import History
from tinygrad_sm.train.inference import Array, Examples, Tally, as_arrays, check_scores, fingerprint, measure, run_model
from tinygrad_sm.train.progress import Progress

Pair: TypeAlias = tuple[Array, Array]  # inputs and targets

REGRESSION = (F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss)


class Trainer:
    """Trains a model: `fit`, then `evaluate` and `predict`.

    Args: loss: takes (output, targets), gives a scalar mean; schedule: moves the learning rate after each epoch, or
    each batch if it says per_step; generator: shuffles, the library's default one if None; patience: stop after so many
    epochs without a lower validation loss, and go back to the best weights; checkpoint: a file to resume from; notes:
    JSON to keep in it; progress=False: print nothing; compile: True or a backend of `tg.compile_step`, for several
    times the speed on a small model; drop_last: train without a last batch that is not full, of which batch norm may
    refuse one of 1 (evaluation takes every example). Raises ArgumentError, DTypeError.

    >>> from tinygrad_sm import data, nn, optim
    >>> model = nn.MLP([2, 16, 2], generator=np.random.default_rng(0))
    >>> trainer = Trainer(model, optim.Adam(model.parameters(), lr=0.01), progress=False)
    >>> history = trainer.fit(data.make_moons(200), epochs=30)
    >>> trainer.evaluate(data.make_moons(200, rng=1))["accuracy"] > 0.9
    True
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss: Callable[[Any, Any], Any] = F.cross_entropy,
        *,
        schedule: Schedule | None = None,
        batch_size: int = 32,
        generator: np.random.Generator | None = None,
        patience: int | None = None,
        checkpoint: PathLike | None = None,
        notes: Mapping[str, Any] | None = None,
        progress: bool = True,
        compile: bool | str = False,
        drop_last: bool = False,
    ) -> None:
        if not isinstance(model, Module):
            remedy = "pass a Module that was made, such as nn.MLP([64, 32, 10])"
            raise DTypeError(f"Trainer: model={model!r}", remedy=remedy)
        if not callable(loss) or not isinstance(optimizer, Optimizer):
            wrong = f"loss={loss!r}" if not callable(loss) else f"optimizer={optimizer!r}"
            remedy = "pass F.cross_entropy, and optim.SGD(model.parameters(), lr=0.1), say"
            raise DTypeError(f"Trainer: {wrong}", remedy=remedy)
        if isinstance(optimizer, LBFGS):
            remedy = "call optimizer.step(closure) in a loop of your own, as in the docstring of LBFGS"
            raise ArgumentError("Trainer: LBFGS computes the loss of a batch several times", remedy=remedy)
        if schedule is not None and getattr(schedule, "optimizer", None) is not optimizer:
            remedy = "make it for this optimiser, as optim.StepLR(optimizer, 10)"
            raise ArgumentError(f"Trainer: schedule={schedule!r} is none of {optimizer}", remedy=remedy)
        self.model = model
        self.optimizer = optimizer
        self.schedule = schedule
        self.loss = loss
        self.batch_size = _count("batch_size", batch_size)
        self.drop_last = drop_last
        self.generator = generator_or_default(generator)
        self.patience = None if patience is None else _count("patience", patience)
        self.checkpoint = checkpoint
        self.notes = dict(notes or {})
        self.progress = progress
        self.compile = "numpy" if compile is True else compile
        self.compiled = None
        if self.compile:
            compiler = importlib.import_module("tinygrad_sm.compiler")  # which nobody else waits for
            self.compiled = compiler.compile_step(self._loss, optimizer, backend=self.compile)
        self.history = History()
        self._run: dict[str, Any] = {}  # what has to be the same when the run is resumed
        self.best: Arrays = {}  # the weights after the epoch with the lowest validation loss
        self.classifies = loss not in REGRESSION  # whether `predict` gives classes; the targets of a fit decide

    def fit(self, train: Examples, validation: Examples | None = None, *, epochs: int, resume: bool = False) -> History:
        """Train for `epochs` epochs, or until validation stops improving; leaves the model in eval mode.

        Args: train, validation: a Dataset or a pair (inputs, targets); resume: go on from the checkpoint until there
        are `epochs` epochs in all, to the very weights of a run that was never interrupted. Returns the history. Raises
        ArgumentError if the loss becomes infinite or NaN, FileError or StateError for a checkpoint that is not of this
        run. Ctrl-C leaves a checkpoint.
        """
        _count("epochs", epochs)
        inputs, targets = as_arrays("fit", train)
        checked = None if validation is None else as_arrays("fit", validation)
        self._start((inputs, targets), checked, resume)
        steps = len(inputs) // self.batch_size if self.drop_last else math.ceil(len(inputs) / self.batch_size)
        options: dict[str, Any] = {"batch_size": self.batch_size, "drop_last": self.drop_last, "rng": self.generator}

        with (
            Keeper(self.checkpoint) as keeper,
            Progress(epochs, steps, done=len(self.history), enabled=self.progress) as progress,
        ):
            keeper.keep(self._checkpoint)
            while len(self.history) < epochs and not self.stopped_early:
                began = time.perf_counter()
                self.model.train()
                tally = Tally()
                for x, y in batches(inputs, targets, **options):
                    if self.compiled:  # all of the following in one
                        loss, output = self._compiled_step(x, y)
                    else:
                        self.optimizer.zero_grad()
                        output = self.model(Tensor(x))
                        loss = self.loss(output, y)
                        loss.backward()
                        self.optimizer.step()
                    if self.schedule and self.schedule.per_step:
                        self.schedule.step(loss.item())
                    tally.add(loss.item(), plain(output), y)
                    progress.step(tally.means())

                row = {"epoch": len(self.history) + 1, **tally.means("train_")}
                if checked is not None:
                    validated = measure(self.model, self.loss, *checked)
                    row |= {f"validation_{name}": value for name, value in validated.items()}
                row |= {"lr": self.optimizer.group_rates()[0], "seconds": round(time.perf_counter() - began, 4)}
                self._end_epoch(row)
                if self.schedule and not self.schedule.per_step:
                    self.schedule.step(row.get("validation_loss", row["train_loss"]))
                keeper.keep(self._checkpoint)
                progress.end_epoch(row)

        if self.best:
            self.model.load_state_dict(self.best)
        self.model.eval()
        return self.history

    def _loss(self, x: Any, y: Any) -> tuple[Any, Any]:
        """What a step is compiled from: the loss, and the output that the accuracy is counted from."""
        output = self.model(x)
        return self.loss(output, y), output

    def _compiled_step(self, x: Any, y: Any) -> Any:
        """A step by a program, so that a run that is resumed, and has to make it anew, rounds as one that is not."""
        assert self.compiled is not None
        if self.compile == "numba" and not self.compiled.has_program(x, y):
            before = self._checkpoint()
            self.compiled(x, y)  # makes the program, and takes the step without it, which rounds in another way
            self._restore(before)
        return self.compiled(x, y)

    def evaluate(self, examples: Examples) -> dict[str, float]:
        """The mean `loss` and, where the targets are classes, the `accuracy` (a share of 1) on a data set."""
        return measure(self.model, self.loss, *as_arrays("evaluate", examples))

    def predict(self, inputs: npt.ArrayLike) -> Array:
        """The most likely class of each example, integers (N,); after fitting to float targets, the numbers (N, K)."""
        output = run_model(self.model, inputs)
        return check_scores("predict", output).argmax(axis=1) if self.classifies else output

    def predict_proba(self, inputs: npt.ArrayLike) -> Array:
        """The probability of each class, softmax of the model's output, (N, C)."""
        scores = check_scores("predict_proba", run_model(self.model, inputs))
        return np.asarray(F.softmax(scores, 1))

    @property
    def stopped_early(self) -> bool:
        """Whether the last `patience` epochs have brought no lower validation loss."""
        return self.patience is not None and len(self.history) - self.history.best_epoch >= self.patience

    def _start(self, training: Pair, checked: Pair | None, resume: bool) -> None:
        """Begin with an empty history, or with the state in the checkpoint."""
        if self.patience is not None and checked is None:
            raise ArgumentError("fit: patience watches the validation loss", remedy="pass a validation set as well")
        if self.drop_last and len(training[0]) < self.batch_size:
            what = f"fit: drop_last leaves nothing of {len(training[0])} examples with batch_size={self.batch_size}"
            raise ArgumentError(what, remedy="take a smaller batch_size, or drop_last=False")
        self.classifies = training[1].dtype.kind in "biu" and training[1].ndim == 1
        self.history, self.best = History(), {}
        if self.checkpoint is None:
            if resume:
                raise ArgumentError("fit: there is no checkpoint to resume from", remedy="pass checkpoint= to Trainer")
            return
        data = {"training data": fingerprint(*training), "validation data": fingerprint(*checked) if checked else None}
        self._run = self._describe() | data
        if resume:
            saved = load_checkpoint(self.checkpoint)
            saved.check_run(self._run, self.checkpoint)
            self._restore(saved)

    def _end_epoch(self, row: Mapping[str, float]) -> None:
        """Write the epoch into the history, and keep the weights if they are the best so far."""
        for name, part in (("train_loss", "training"), ("validation_loss", "validation")):
            if not math.isfinite(row.get(name, 0)):
                raise ArgumentError(
                    f"fit: the {part} loss became {row[name]} in epoch {row['epoch']}",
                    remedy=f"take a smaller learning rate than {row['lr']}, or smaller inputs",
                )
        self.history.append(row)
        if self.patience is not None and self.history.best_epoch == len(self.history):
            self.best = self.model.state_dict()

    def _describe(self) -> dict[str, Any]:
        """What has to be the same when a run goes on; a learning rate may be changed by a schedule and does not."""
        schedule = self.schedule
        moved = schedule.moves if schedule else ()
        run: dict[str, Any] = {
            "batch size": self.batch_size,
            "patience": self.patience,
            "optimiser": [type(self.optimizer).__name__, _settings(self.optimizer, moved)],
            "schedule": [type(schedule).__name__, schedule.settings()] if schedule else None,
            "parameters": [[name, list(p.shape), str(p.dtype)] for name, p in self.model.named_parameters()],
            "generators": [type(generator.bit_generator).__name__ for generator in self._generators()],
        }
        if self.compile == "numba":  # which rounds in its own way; numpy's rounding is that of no backend
            run["backend"] = self.compile
        if self.drop_last:
            run["drop_last"] = True
        return run

    def _generators(self) -> list[np.random.Generator]:
        """Every generator that training draws from: for shuffling, those in the modules, and the default one."""
        owned = [value for module in self.model.modules() for value in vars(module).values()]
        found = [self.generator, default_generator(), *owned]
        return list({id(each): each for each in found if isinstance(each, np.random.Generator)}.values())

    def _checkpoint(self) -> Checkpoint:
        """The state of the run as it stands between two epochs."""
        return Checkpoint(
            run=self._run,
            notes=self.notes,
            history=list(self.history.rows),
            generators=[dict(generator.bit_generator.state) for generator in self._generators()],
            model=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            schedule=self.schedule.state_dict() if self.schedule else {},
            best=self.best,
        )

    def _restore(self, saved: Checkpoint) -> None:
        """Take over the state of an interrupted run."""
        self.model.load_state_dict(saved.model)
        self.optimizer.load_state_dict(saved.optimizer)
        if self.schedule:
            self.schedule.load_state_dict(saved.schedule)
        for generator, state in zip(self._generators(), saved.generators, strict=True):
            generator.bit_generator.state = state
        self.history, self.best = History(saved.history), saved.best


def _count(name: str, value: object) -> int:
    """`value` as an integer of at least 1."""
    try:
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise DTypeError(f"Trainer: {name} must be an integer, got {value!r}", remedy=f"pass {name}=10, say") from None
    if count < 1:
        raise ArgumentError(f"Trainer: {name} must be at least 1, got {count}", remedy=f"pass {name}=1 or more")
    return count


def _settings(optimizer: Optimizer, moved: Sequence[str]) -> dict[str, Any]:
    """The numbers that were chosen when the optimiser was made, in the form in which JSON gives them back."""
    moved = ("lr", "steps", *moved)
    chosen = {name: value for name, value in vars(optimizer).items() if name not in moved and name[0] != "_"}
    return _numbers_of(chosen) | _groups_of(optimizer, moved)


def _numbers_of(chosen: Mapping[str, Any]) -> dict[str, Any]:
    numbers = {name: value for name, value in chosen.items() if isinstance(value, (bool, int, float, str))}
    return numbers | {name: list(value) for name, value in chosen.items() if isinstance(value, tuple)}


def _groups_of(optimizer: Optimizer, moved: Sequence[str]) -> dict[str, Any]:
    """What groups of parameters set for themselves, and how many parameters are in them, where there are several."""
    groups = optimizer.param_groups
    if len(groups) == 1:
        return {}
    own = [{name: value for name, value in each.items() if name not in moved} for each in optimizer.own_settings()]
    return {"groups": [[len(group["params"]), _numbers_of(each)] for group, each in zip(groups, own, strict=True)]}
