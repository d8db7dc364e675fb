"""What the command line says: what is about to be trained, and how good the result is.

Read `command.py` next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinygrad_sm.data import Dataset
from tinygrad_sm.nn import MLP
from tinygrad_sm.train.metrics import confusion_matrix, confusion_table
from tinygrad_sm.train.model_file import SavedModel, config_of
from tinygrad_sm.train.sources import Parts

WIDEST_TABLE = 26  # classes


def describe_run(parts: Parts, model: MLP, settings: Mapping[str, Any]) -> str:
    """What is about to be trained on what, in a few lines."""
    source, classes = parts.source, len(parts.train.class_names)
    shape = parts.train.shape
    features = " x ".join(map(str, shape)) if len(shape) > 1 else f"{shape[0]} features"
    kind = f"{classes} classes" if classes else "a number to predict"
    sizes = {"train": parts.train, "validate": parts.validation, "test": parts.test}
    counts = ", ".join(f"{len(part)} to {what}" for what, part in sizes.items() if part is not None)
    layers = "-".join(map(str, config_of(model)["sizes"]))
    weights = sum(parameter.size for parameter in model.parameters())
    scheduled = f", schedule {settings['schedule']}" if settings.get("schedule") else ""
    lines = [
        f"{source.name} ({features}, {kind}): {counts}",
        *([source.remark] if source.remark else []),
        f"network: {layers}, {settings['activation']}, dropout {settings['dropout']}, {weights:,} parameters; "
        f"{settings['optimizer']} with lr {settings['lr']}{scheduled}",
    ]
    smoothing = settings["label_smoothing"]
    if classes and smoothing:
        shares = np.array([1 - smoothing + smoothing / classes, *[smoothing / classes] * (classes - 1)])
        least = -np.sum(shares * np.log(shares))  # the entropy of the targets
        lines.append(f"loss: cross-entropy with label smoothing {smoothing}, which is never below {least:.2f}")
    return "\n".join(lines)


def report(name: str, saved: SavedModel, examples: Dataset) -> str:
    """Accuracy and confusion matrix on raw examples; for a regression the error."""
    if not saved.class_names:
        error = saved.predict(examples.inputs) - examples.targets
        rms = float(np.sqrt(np.mean(np.square(error, dtype=np.float64))))
        spread = float(examples.targets.std(dtype=np.float64))
        explained = f", R2 {1 - (rms / spread) ** 2:.4f}" if spread else ""
        return f"{name} root mean squared error {rms:.4g} on {len(examples)} examples{explained}"
    matrix = confusion_matrix(saved.predict(examples.inputs), examples.targets, len(saved.class_names))
    right, total = int(matrix.trace()), int(matrix.sum())
    lines = [f"{name} accuracy {right / total:.2%} ({right} of {total})"]
    if len(matrix) <= WIDEST_TABLE:
        lines += ["", confusion_table(matrix, saved.class_names)]
    return "\n".join(lines)
