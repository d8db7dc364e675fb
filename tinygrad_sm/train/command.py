"""The verbs of the command line: train, evaluate and predict. `__main__.py` parses their options.

Everything they do can be done in a few lines with `Trainer`, `save_model` and `load_model`; read those first.
"""

from __future__ import annotations

import csv
import functools
import io
import math
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_sm.data import load_columns
from tinygrad_sm.data.table import last_column
from tinygrad_sm.errors import ArgumentError, FileError, MissingExtraError
from tinygrad_sm.files import replacing
from tinygrad_sm.nn import MLP, Module
from tinygrad_sm.nn import functional as F
from tinygrad_sm.optim import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    CosineAnnealingLR,
    NAdam,
    OneCycleLR,
    Optimizer,
    ReduceLROnPlateau,
    RMSprop,
    Schedule,
    StepLR,
)
from tinygrad_sm.train.checkpoint import load_checkpoint
from tinygrad_sm.train.history import History
from tinygrad_sm.train.inference import fingerprint
from tinygrad_sm.train.model_file import load_model, save_model
from tinygrad_sm.train.reports import describe_run, report
from tinygrad_sm.train.sources import DIGITS, Parts, divide, read_source
from tinygrad_sm.train.trainer import Trainer

DEFAULTS: dict[str, Any] = {
    "data": DIGITS,
    "target": None,
    "hidden": [256],
    "activation": "relu",
    "dropout": 0.2,
    "label_smoothing": 0.1,
    "optimizer": "adamw",
    "lr": None,
    "momentum": None,
    "weight_decay": None,
    "schedule": None,
    "batch_size": 32,
    "epochs": 50,
    "seed": 0,
    "validation": 0.1,
    "patience": None,
    "compile": None,
}
# What an optimiser takes where nothing is said.
USUAL: dict[str, dict[str, float | None]] = {
    "sgd": {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.0},
    "adam": {"lr": 0.003, "momentum": None, "weight_decay": 0.0},
    "adamw": {"lr": 0.003, "momentum": None, "weight_decay": 0.01},
    "nadam": {"lr": 0.003, "momentum": None, "weight_decay": 0.0},
    "rmsprop": {"lr": 0.001, "momentum": 0.0, "weight_decay": 0.0},
    "adagrad": {"lr": 0.05, "momentum": None, "weight_decay": 0.0},
    "adadelta": {"lr": 1.0, "momentum": None, "weight_decay": 0.0},
}
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": SGD,
    "adam": Adam,
    "adamw": AdamW,
    "nadam": NAdam,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
    "adadelta": Adadelta,
}
SCHEDULES = ("step", "cosine", "onecycle", "plateau")
TO_THE_END = ("step", "cosine", "onecycle")  # which are made for a number of epochs


def train(given: Mapping[str, Any], *, output: str | None, resume: bool, quiet: bool) -> int:
    """Train as the options say, write everything to the output folder, and report the test accuracy."""
    folder = Path(output or Path("runs", _stem(given.get("data", DIGITS))))
    if folder.exists() and not folder.is_dir():
        raise FileError(f"{folder}: is a file", remedy="pass the name of a folder to --output")
    settings = settle(given, folder / "checkpoint.npz" if resume else None)
    say = _silent if quiet else print
    parts = divide(read_source(settings["data"], settings["target"]), settings)
    model, trainer = build(parts, settings, folder / "checkpoint.npz", progress=not quiet)
    say(describe_run(parts, model, settings))
    try:
        with np.errstate(all="ignore"):  # a loss that overflows is reported by `fit`
            checked = None if parts.validation is None else parts.scaled(parts.validation)
            history = trainer.fit(parts.scaled(parts.train), checked, epochs=settings["epochs"], resume=resume)
        written = write_results(folder, model, history, parts, settings)
    except KeyboardInterrupt:
        print(f"interrupted after {len(trainer.history)} of {settings['epochs']} epochs; go on with", file=sys.stderr)
        print(f"  python -m tinygrad_sm train --output {shlex.quote(str(folder))} --resume", file=sys.stderr)
        return 130
    if trainer.stopped_early:
        best = f"the weights are those of epoch {history.best_epoch}"
        say(f"stopped after epoch {len(history)}: no lower validation loss for {trainer.patience} epochs; {best}")
    seconds = sum(history.column("seconds"))
    say(f"trained for {len(history)} epochs in {seconds:.1f} s\n")
    print(report("test", load_model(folder / "model.npz"), parts.test))
    say("\n".join(["\nwrote", *written]))
    return 0


def evaluate(model: str, *, data: str | None, target: str | None) -> int:
    """Report how good a saved model is on the examples that were held back, or on other data."""
    saved = load_model(model)
    settings = saved.notes.get("settings", {})
    trained_on = settings.get("data", "other data")
    if data is None and trained_on != DIGITS:
        raise ArgumentError(f"{model} was trained on {trained_on}", remedy="pass that file or another to --data")
    source = read_source(data or DIGITS, target or settings.get("target"), saved)
    features = source.examples.inputs.shape[1]
    if features != len(saved.columns):
        raise ArgumentError(
            f"{model} takes {len(saved.columns)} features, {source.name} has {features}", remedy="pass other data"
        )
    if source.examples.is_classification != bool(saved.class_names):
        kinds = ("numbers", "classes")
        raise ArgumentError(
            f"{model} was saved to predict {kinds[bool(saved.class_names)]}, and the targets of {source.name} are "
            f"{kinds[source.examples.is_classification]}",
            remedy="pass other data, or give save_model the class_names",
        )
    name, examples = "test", source.test
    if examples is None:
        name, examples = "overall", source.examples
        if fingerprint(examples.inputs, examples.targets) == saved.notes.get("data"):
            name, examples = "test", source.split(settings["seed"])[1]
    print(report(name, saved, examples))
    return 0


def predict(model: str, file: str, *, output: str | None) -> int:
    """Write what a saved model predicts for each row of a CSV file, to a file or to the terminal."""
    saved = load_model(model)
    inputs = load_columns(file, saved.columns)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    if saved.class_names:
        probabilities = saved.predict_proba(inputs)
        writer.writerow(["prediction", "probability"])
        for row in probabilities:
            writer.writerow([saved.class_names[row.argmax()], f"{row.max():.4f}"])
    else:
        numbers = saved.predict(inputs)
        several = numbers.shape[1] > 1
        writer.writerow([f"prediction_{i}" if several else "prediction" for i in range(numbers.shape[1])])
        writer.writerows([[f"{number:.7g}" for number in row] for row in numbers])
    if output is None:
        print(text.getvalue(), end="")
        return 0
    with replacing(output) as opened:
        opened.write(text.getvalue().encode())
    print(f"wrote {output}: {len(inputs)} predictions")
    return 0


def settle(given: Mapping[str, Any], checkpoint: Path | None) -> dict[str, Any]:
    """The options that were given, and for the others the defaults or, when resuming, those of the interrupted run."""
    given = dict(given)
    if given.get("data", DIGITS) != DIGITS:
        given["data"] = os.path.abspath(given["data"])  # so that a run can be resumed from another folder
    if checkpoint is not None:
        if not checkpoint.exists():
            remedy = "leave out --resume, or pass --output with the folder of the interrupted run"
            raise FileError(f"{checkpoint.parent}: there is no checkpoint to resume from", remedy=remedy)
        stored = load_checkpoint(checkpoint).notes.get("settings")
        if not isinstance(stored, dict):
            raise FileError(f"{checkpoint}: was not written by this command", remedy="start afresh, without --resume")
        _check_resumed(given, stored)
        return stored | given
    settings = DEFAULTS | given
    if settings["target"] is None and Path(settings["data"]).is_file():  # said once, for every later use of the model
        settings["target"] = last_column(settings["data"])
    usual = USUAL[settings["optimizer"]]
    if settings["momentum"] is not None and usual["momentum"] is None:
        raise ArgumentError(f"--momentum is not an option of {settings['optimizer']}", remedy="pass --optimizer sgd")
    if settings["patience"] is not None and not settings["validation"]:
        raise ArgumentError("--patience watches the validation loss", remedy="pass --validation 0.1")
    return settings | {name: value for name, value in usual.items() if settings[name] is None}


def _check_resumed(given: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """Refuse options that the interrupted run did not have."""
    for name, value in given.items():
        if name != "epochs" and value != stored.get(name):
            raise ArgumentError(
                f"--{name.replace('_', '-')} {value} is not what the interrupted run had: {stored.get(name)}",
                remedy="leave the option out, or start afresh without --resume",
            )
    epochs = given.get("epochs", stored["epochs"])
    if stored.get("schedule") in TO_THE_END and epochs != stored["epochs"]:
        problem = f"--epochs {epochs} is not what --schedule {stored['schedule']} was made for: {stored['epochs']}"
        raise ArgumentError(problem, remedy="leave the option out, or start afresh without --resume")


def build(parts: Parts, settings: Mapping[str, Any], checkpoint: Path, *, progress: bool) -> tuple[MLP, Trainer]:
    """The network and its trainer; one generator draws the first weights, shuffles and drops."""
    generator = np.random.default_rng(settings["seed"])
    classes = len(parts.train.class_names)
    sizes = [parts.train.inputs.shape[1], *settings["hidden"], classes or parts.train.targets.shape[1]]
    model = MLP(sizes, settings["activation"], dropout=settings["dropout"], generator=generator)
    loss: Callable[[Any, Any], Any] = F.mse_loss
    if classes:
        loss = functools.partial(F.cross_entropy, label_smoothing=settings["label_smoothing"])
    optimizer = _optimizer(model, settings)
    trainer = Trainer(
        model,
        optimizer,
        loss,
        schedule=_schedule(optimizer, settings, math.ceil(len(parts.train.inputs) / settings["batch_size"])),
        batch_size=settings["batch_size"],
        generator=generator,
        patience=settings["patience"],
        checkpoint=checkpoint,
        notes={"settings": dict(settings)},
        progress=progress,
        compile=settings["compile"] or False,
    )
    return model, trainer


def _optimizer(model: Module, settings: Mapping[str, Any]) -> Optimizer:
    momentum = {} if settings["momentum"] is None else {"momentum": settings["momentum"]}
    make = OPTIMIZERS[settings["optimizer"]]
    return make(model.parameters(), settings["lr"], weight_decay=settings["weight_decay"], **momentum)


def _schedule(optimizer: Optimizer, settings: Mapping[str, Any], steps: int) -> Schedule | None:
    """How the learning rate goes over the epochs, each of so many steps."""
    kind, epochs = settings.get("schedule"), settings["epochs"]
    if kind == "step":
        return StepLR(optimizer, -(-epochs // 3))
    if kind == "cosine":
        return CosineAnnealingLR(optimizer, epochs)
    if kind == "onecycle":
        cycled = bool(settings["momentum"]) or "betas" in optimizer.param_groups[0]
        return OneCycleLR(optimizer, settings["lr"], epochs=epochs, steps_per_epoch=steps, cycle_momentum=cycled)
    return ReduceLROnPlateau(optimizer, patience=5) if kind == "plateau" else None


def write_results(folder: Path, model: MLP, history: History, parts: Parts, settings: Mapping[str, Any]) -> list[str]:
    """Write the model, the history and, where matplotlib is installed, the curves; one line for each file."""
    examples = parts.source.examples
    data = settings["data"] if settings["data"] == DIGITS else Path(settings["data"]).name
    save_model(
        folder / "model.npz",
        model,
        class_names=parts.train.class_names,
        feature_names=parts.train.feature_names,
        shape=parts.train.shape,
        inputs=parts.inputs,
        targets=parts.targets,
        notes={"settings": {**settings, "data": data}, "data": fingerprint(examples.inputs, examples.targets)},
    )
    history.to_csv(folder / "history.csv")
    files = {"model.npz": "the network", "history.csv": "how every epoch went"}
    left_out = []
    try:
        history.plot(folder / "curves.png")
        files["curves.png"] = "the same as a picture"
    except MissingExtraError as error:
        left_out.append(f"curves were left out: {error.message.removeprefix('plot: ')}; {error.remedy}")
    files["checkpoint.npz"] = "to train on from here: --resume --epochs N"
    width = max(len(str(folder / name)) for name in files)
    return [*(f"  {folder / name!s:<{width}}  {what}" for name, what in files.items()), *left_out]


def _stem(data: str) -> str:
    """A folder's name for the results of training on these data."""
    return DIGITS if data == DIGITS else Path(os.path.abspath(data)).stem


def _silent(*lines: object) -> None:
    """Say nothing."""
