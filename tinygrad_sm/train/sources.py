"""What `--data` names: the shipped digits, a CSV file, or a folder with the MNIST files, as raw numbers.

Read `command.py` next for what is done with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tinygrad_sm.data import Dataset, load_csv, load_digits, load_mnist
from tinygrad_sm.data.mnist import PREFIXES
from tinygrad_sm.errors import ArgumentError
from tinygrad_sm.train.inference import Array
from tinygrad_sm.train.model_file import SavedModel, Scaling

DIGITS = "digits"
TEST_FRACTION = 0.2


class Source(NamedTuple):
    """A data set with raw inputs, and the part that its publisher set aside for testing, if any."""

    name: str
    examples: Dataset
    test: Dataset | None = None
    scaling: Scaling | None = None  # None where columns have to be measured
    remark: str = ""

    def split(self, seed: int) -> tuple[Dataset, Dataset]:
        """The part to train on and the part to test on: the published one, or a random fifth of every class."""
        if self.test is not None:
            return self.examples, self.test
        return self.examples.split(TEST_FRACTION, rng=seed)


class Parts(NamedTuple):
    """The data of a run, raw, and the scalings that were measured on the training part."""

    source: Source
    train: Dataset
    validation: Dataset | None
    test: Dataset
    inputs: Scaling
    targets: Scaling | None

    def scaled(self, part: Dataset) -> tuple[Array, Array]:
        """Inputs and targets of a part as the network sees them."""
        return self.inputs.apply(part.inputs), self.targets.apply(part.targets) if self.targets else part.targets


def read_source(data: str, target: str | None = None, saved: SavedModel | None = None) -> Source:
    """The data that a name stands for; `saved` says which columns and classes a trained model knows.

    Raises FileError for what cannot be read, ArgumentError for a target column where there are no columns.
    """
    path = Path(data)
    pictures = data == DIGITS or path.is_dir()
    if pictures and target is not None and saved is None:
        raise ArgumentError(f"--target names a column, and {data} has none", remedy="leave it out")
    if data == DIGITS:
        return Source(DIGITS, load_digits(scale=False), None, Scaling.divisor(16))
    if pictures:
        return _mnist(path)
    if saved is None:
        return Source(path.stem, load_csv(path, target=target))
    classes = saved.class_names
    data_set = load_csv(path, target=target, features=saved.columns, classification=bool(classes), class_names=classes)
    return Source(path.stem, data_set)


def divide(source: Source, settings: Mapping[str, Any]) -> Parts:
    """The parts to train on, to validate with and to test with."""
    training, test = source.split(settings["seed"])
    validation = None
    if settings["validation"]:
        try:
            training, validation = training.split(settings["validation"], rng=settings["seed"])
        except ArgumentError as error:
            raise ArgumentError(
                f"{source.name}: with the test part set aside, {error.message.removeprefix('split: ')}",
                remedy="pass --validation 0, or gather more examples",
            ) from None
    inputs = source.scaling or Scaling.measured(training.inputs)
    targets = None if training.is_classification else Scaling.measured(training.targets)
    if training.is_classification and len(training.class_names) < 2:
        raise ArgumentError(
            f"{source.name}: all examples are of one class", remedy="choose another column with --target"
        )
    return Parts(source, training, validation, test, inputs, targets)


def _mnist(folder: Path) -> Source:
    """The parts of MNIST that are there; one alone has to serve for training and for testing."""
    present = [part for part, prefix in PREFIXES.items() if any(folder.glob(f"{prefix}-*ubyte*"))]
    parts = [load_mnist(folder, part=part, scale=False) for part in present or ["train"]]
    name, scaling = folder.resolve().name, Scaling.divisor(255)
    if len(parts) == 2:
        return Source(name, parts[0], parts[1], scaling)
    remark = f"{folder} holds only the {present[0]} part of MNIST: a random fifth of it is set aside for testing"
    return Source(name, parts[0], None, scaling, remark)
