"""A trained network and all it takes to use it, in one `.npz` file with a JSON header and no pickle.

Read `archive.py` for how it is written, `command.py` for who does.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tinygrad_sm.errors import ArgumentError, FileError, ShapeError, TinygradError
from tinygrad_sm.files import PathLike
from tinygrad_sm.nn import MLP, Dropout, Linear
from tinygrad_sm.nn import functional as F
from tinygrad_sm.nn.activations import ACTIVATIONS
from tinygrad_sm.train.archive import read_archive, write_archive
from tinygrad_sm.train.inference import Array, check_scores, run_model

# Said in every file, because other libraries store the transpose.
WEIGHTS = "the weight of a linear layer is (in_features, out_features): output = x @ weight + bias"
DAMAGED = "train again to write a new one"


@dataclasses.dataclass(frozen=True, eq=False)
class Scaling:
    """How raw numbers become those that a network sees: (x - mean) / std, column by column.

    >>> scaling = Scaling.measured(np.array([[1.0, 5.0], [3.0, 5.0]]))
    >>> scaling.apply(np.array([[1.0, 5.0], [3.0, 5.0]])).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """

    mean: Array
    std: Array

    @classmethod
    def measured(cls, values: Array) -> Self:
        """The scaling that gives these columns (N, D) mean 0 and standard deviation 1; a constant becomes 0."""
        std = values.std(axis=0, dtype=np.float64)
        return cls(
            values.mean(axis=0, dtype=np.float64).astype(np.float32), np.where(std > 0, std, 1).astype(np.float32)
        )

    @classmethod
    def divisor(cls, number: float) -> Self:
        """The scaling that divides everything by one number."""
        return cls(np.zeros(1, np.float32), np.full(1, number, np.float32))

    def apply(self, values: Array) -> Array:
        """The values (N, D) as the network sees them, float32."""
        return ((values - self.mean) / self.std).astype(np.float32)

    def undo(self, values: Array) -> Array:
        """The numbers that the network's stand for."""
        return values * self.std + self.mean


@dataclasses.dataclass(frozen=True, eq=False)
class SavedModel:
    """A network with what it was trained on: names of classes and features, the shape of an example, scalings.

    `predict` takes raw numbers, as they stand in the data, and scales them. `targets` undoes the scaling of the numbers
    that a regression predicts. `notes` hold whatever was worth noting about the training.
    """

    model: MLP
    class_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    inputs: Scaling | None = None
    targets: Scaling | None = None
    notes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """What the columns of a table for this model are called: the features, or names made up for pictures."""
        return self.feature_names or feature_names(self.shape or (config_of(self.model)["sizes"][0],))

    def outputs(self, inputs: npt.ArrayLike) -> Array:
        """What the network gives for raw inputs (N, D): logits (N, C), or numbers (N, K) where there are no classes."""
        x = np.asarray(inputs)
        features = config_of(self.model)["sizes"][0]
        if x.ndim != 2 or x.shape[1] != features:
            raise ShapeError(
                f"predict: inputs {x.shape}, needed (N, {features})", remedy="pass one row for each example"
            )
        output = run_model(self.model, self.inputs.apply(x) if self.inputs else x)
        return self.targets.undo(output) if self.targets else output

    def predict(self, inputs: npt.ArrayLike) -> Array:
        """The most likely class of each raw example, integers (N,), or numbers (N, K) where there are no classes."""
        output = self.outputs(inputs)
        return output.argmax(axis=1) if self.class_names else output

    def predict_proba(self, inputs: npt.ArrayLike) -> Array:
        """The probability of each class, (N, C)."""
        return np.asarray(F.softmax(check_scores("predict_proba", self.outputs(inputs)), 1))


def save_model(
    path: PathLike,
    model: MLP,
    *,
    class_names: Sequence[str] = (),
    feature_names: Sequence[str] = (),
    shape: Sequence[int] = (),
    inputs: Scaling | None = None,
    targets: Scaling | None = None,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Write an MLP and what belongs to it to an `.npz` file, in the place of an old one.

    Args: see `SavedModel`. inputs says how raw features are scaled, such as Scaling.divisor(16) for a model trained on
    `load_digits()`, because those who use the file hand over raw pixels. Raises ArgumentError for a model that is not
    an MLP, FileError where it cannot be written.

    >>> save_model("model.npz", MLP([4, 8, 3]), class_names=("setosa", "versicolor", "virginica"))
    >>> saved = load_model("model.npz")
    >>> saved.predict(np.ones((5, 4))).shape, saved.class_names[0]
    ((5,), 'setosa')
    """
    header = {
        "model": {"type": "MLP", **config_of(model)},
        "linear_weights": WEIGHTS,
        "class_names": list(class_names),
        "feature_names": list(feature_names),
        "shape": list(shape),
        "notes": dict(notes or {}),
    }
    arrays = {f"model/{name}": value for name, value in model.state_dict().items()}
    for name, scaling in (("inputs", inputs), ("targets", targets)):
        if scaling is not None:
            arrays |= {f"{name}/mean": scaling.mean, f"{name}/std": scaling.std}
    write_archive(path, "model", header, arrays)


def load_model(path: PathLike) -> SavedModel:
    """Read what `save_model` wrote. Raises FileError for a file that is missing, damaged or of another kind."""
    header, arrays = read_archive(path, "model")
    try:
        kind = header["model"].pop("type")
        if kind != "MLP":
            raise FileError(f"{path}: holds a {kind}, not an MLP", remedy="install a newer tinygrad_sm")
        # A generator of its own, so that loading a file draws nothing from the default one.
        model = MLP(**header["model"], generator=np.random.default_rng(0))
        model.load_state_dict(_group(arrays, "model/"))
        model.eval()
        inputs, targets = _group(arrays, "inputs/"), _group(arrays, "targets/")
        return SavedModel(
            model,
            class_names=tuple(header["class_names"]),
            feature_names=tuple(header["feature_names"]),
            shape=tuple(header["shape"]),
            inputs=Scaling(**inputs) if inputs else None,
            targets=Scaling(**targets) if targets else None,
            notes=dict(header["notes"]),
        )
    except FileError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = error.message if isinstance(error, TinygradError) else "the header is incomplete"
        raise FileError(f"{path}: {reason}", remedy=DAMAGED) from None


def config_of(model: MLP) -> dict[str, Any]:
    """The arguments that make an MLP of the same layers: sizes, activation, dropout.

    >>> config_of(MLP([4, 8, 3], "tanh", dropout=0.1))
    {'sizes': [4, 8, 3], 'activation': 'tanh', 'dropout': 0.1}
    """
    if type(model) is not MLP:
        remedy = "np.savez(path, **model.state_dict()) keeps the values of any model"
        raise ArgumentError(f"save_model: a {type(model).__name__} is not an MLP", remedy=remedy)
    layers = list(model.children())
    linear = [layer.weight.shape for layer in layers if isinstance(layer, Linear)]
    activation = [name for name, kind in ACTIVATIONS.items() if any(type(layer) is kind for layer in layers)]
    dropout = [layer.p for layer in layers if isinstance(layer, Dropout)]
    sizes = [linear[0][0], *(out_features for _, out_features in linear)]
    return {"sizes": sizes, "activation": (activation or ["relu"])[0], "dropout": (dropout or [0.0])[0]}


def feature_names(shape: Sequence[int]) -> tuple[str, ...]:
    """Names for the columns of a table of pictures, row by row.

    >>> feature_names((2, 2))
    ('pixel_0_0', 'pixel_0_1', 'pixel_1_0', 'pixel_1_1')
    """
    if len(shape) != 2:
        return tuple(f"feature_{i}" for i in range(math.prod(shape)))
    return tuple(f"pixel_{row}_{column}" for row in range(shape[0]) for column in range(shape[1]))


def _group(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """The arrays whose names begin with the prefix, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
