"""Checks of arguments that several data functions share; each names the argument and what to pass instead.

Read `dataset.py` next.
"""

from __future__ import annotations

import difflib
import math
import numbers
import operator
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_sm.errors import ArgumentError, DTypeError, ShapeError, TargetError


def as_count(op: str, name: str, value: object, *, at_least: int) -> int:
    """`value` as a Python integer that is no smaller than `at_least`; a float is refused, even a whole one."""
    try:
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise DTypeError(
            f"{op}: {name} must be an integer, got {value!r}", remedy=f"pass a whole number, such as {name}={at_least}"
        ) from None
    if count < at_least:
        raise ArgumentError(
            f"{op}: {name} must be at least {at_least}, got {count}", remedy=f"pass {name}={at_least} or more"
        )
    return count


def as_real(op: str, name: str, value: object) -> float:
    """`value` as a finite Python float."""
    if not isinstance(value, numbers.Real):
        raise DTypeError(f"{op}: {name} must be a number, got {value!r}", remedy=f"pass a float, such as {name}=0.1")
    if not math.isfinite(value):
        raise ArgumentError(f"{op}: {name} must be finite, got {value!r}", remedy=f"pass a float, such as {name}=0.1")
    return float(value)


def as_generator(op: str, rng: object) -> np.random.Generator:
    """The generator itself, or a new one where `rng` is an integer seed."""
    if isinstance(rng, np.random.Generator):
        return rng
    try:
        seed = operator.index(rng)  # type: ignore[arg-type]
    except TypeError:
        raise DTypeError(
            f"{op}: rng must be a numpy.random.Generator or an integer seed, got {rng!r}",
            remedy="pass rng=0 or rng=np.random.default_rng(0)",
        ) from None
    if seed < 0:
        raise ArgumentError(f"{op}: a seed cannot be negative, got {seed}", remedy="pass rng=0 or more")
    return np.random.default_rng(seed)


def as_array(op: str, name: str, values: object) -> NDArray[Any]:
    """`values` as an array with at least one axis, the one that counts the examples."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise ShapeError(
            f"{op}: the rows of {name} differ in length", remedy="give every row the same length"
        ) from None
    if array.ndim == 0:
        raise ShapeError(f"{op}: {name} is a single value, not a row per example", remedy="pass an array or a list")
    return array


def check_labels_flat(op: str, labels: NDArray[Any]) -> None:
    """Refuse class labels that are a column or one-hot rather than one number per example."""
    if labels.ndim != 1:
        raise TargetError(
            f"{op}: class labels must have shape ({len(labels)},), got {labels.shape}",
            remedy="targets.reshape(-1) for one column, targets.argmax(axis=1) for one-hot, floats for regression",
        )


def as_path(op: str, path: object) -> Path:
    """`path` as a `pathlib.Path`."""
    if not isinstance(path, (str, os.PathLike)):
        raise DTypeError(
            f"{op}: a path must be a string or a pathlib.Path, got {path!r}", remedy="pass the file's name"
        )
    return Path(path)


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """A remedy for an unknown name: the nearest candidates, or all of them where none is near.

    >>> did_you_mean("pirce", ["rooms", "price"])
    "did you mean 'price'?"
    """
    known = list(candidates)
    nearest = difflib.get_close_matches(name, known, n=3)
    if nearest:
        return f"did you mean {' or '.join(map(repr, nearest))}?"
    return f"choose from {', '.join(map(repr, known))}"
