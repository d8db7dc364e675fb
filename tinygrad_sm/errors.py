"""Every exception that this package raises on purpose.

    TinygradError                     catch this to catch them all
    |-- ShapeError (ValueError)           shapes that do not fit each other
    |-- BoundsError (IndexError)          an index or axis outside an array; also a ValueError
    |-- DTypeError (TypeError)            a type that the operation cannot take
    |-- ArgumentError (ValueError)        an argument whose value makes no sense
    |   |-- TargetError                   class labels that are out of range, of the wrong shape or type
    |   `-- MatrixError                   a matrix that is singular or not positive definite; also NumPy's LinAlgError
    |-- UnsupportedError (TypeError)      a NumPy function or option that tensors do not answer to
    |-- GradientError (RuntimeError)      a gradient that does not exist or cannot be had this way
    |   |-- InPlaceError                  a write that would falsify the tape
    |   |-- StaleValueError               a value changed after it was recorded
    |   `-- RuleError                     a derivative rule that failed or returned the wrong shape
    |-- CaptureError (RuntimeError)       a function that cannot be compiled as it stands
    |-- NonFiniteError (FloatingPointError) NaN or infinity where debug.numerics() watches for it
    |-- GradcheckError (AssertionError)   a derivative that disagrees with finite differences
    |-- StateError (ValueError)           a state_dict that does not fit the module or optimiser
    |-- FileError (OSError)               a file that is missing, truncated or not ours
    `-- MissingExtraError (ImportError)   an optional dependency that is not installed

Each one also derives from the built-in exception that Python programmers would expect, says which operation
failed, where in the user's code and in which layer of a model, and what to do about it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from inspect import Signature
from typing import Any, Self

import numpy as np

from tinygrad_sm.display import argument, describe
from tinygrad_sm.location import RUNNING, Location, Where, caller

INNER = re.compile(r"gufunc signature .*\(size (\d+) is different from (\d+)\)")  # what NumPy says of matrices


class TinygradError(Exception):
    """Base of all errors of this package: a message, then the user's own line and expression, then a remedy.

    `where` is the place to show, and `module` the path of the layer there; without them, the user's line and the layer
    that are running now.

    >>> error = ShapeError("add: x (3,) and y (4,) do not broadcast", remedy="reshape one of them")
    >>> print(error.message, "->", error.remedy)
    add: x (3,) and y (4,) do not broadcast -> reshape one of them
    """

    def __init__(self, message: str, *, remedy: str = "", where: Where | None = None, module: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.module = module if where else RUNNING.get()[0]
        where = where or caller()
        self.location = Location(*where) if where else None
        self._place = ""  # what the location said, in an error that came from another process

    def inside(self, op: str) -> Self:
        """The same error, told which operation it arose in."""
        if not self.message.startswith(f"{op}:"):
            self.message = f"{op}: {self.message}"
        return self

    def __str__(self) -> str:
        remedy = f"  -> {self.remedy}" if self.remedy else ""
        return "\n".join(filter(None, (self.message, self._shown_place(), remedy)))

    def _shown_place(self) -> str:
        return self.location.show(self.module) if self.location else self._place

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.remedy, self._shown_place())


def _rebuild(kind: type[TinygradError], message: str, remedy: str, place: str) -> TinygradError:
    """The error that a pickle describes: code objects do not travel, so the place comes as text."""
    error = kind(message, remedy=remedy)
    error.location, error.module, error._place = None, "", place
    return error


class ShapeError(TinygradError, ValueError):
    """Shapes that do not fit each other or the operation."""


class BoundsError(TinygradError, IndexError, ValueError):
    """An index or an axis outside an array."""


class DTypeError(TinygradError, TypeError):
    """A type that the operation cannot take."""


class ArgumentError(TinygradError, ValueError):
    """An argument whose value makes no sense."""


class TargetError(ArgumentError):
    """Class labels that are out of range, of the wrong shape or of the wrong type."""


class MatrixError(ArgumentError, np.linalg.LinAlgError):
    """A matrix that is singular, or not positive definite, where it must not be."""


class UnsupportedError(TinygradError, TypeError):
    """A NumPy function or option that tensors do not answer to."""


class GradientError(TinygradError, RuntimeError):
    """A gradient that does not exist or cannot be had this way."""


class InPlaceError(GradientError):
    """A write that would falsify the tape."""


class StaleValueError(GradientError):
    """A value that was changed after it was recorded and before backward needed it."""


class RuleError(GradientError):
    """A derivative rule that failed or returned the wrong shape."""


class CaptureError(TinygradError, RuntimeError):
    """A function that cannot be compiled as it stands: a program made of it would be wrong for other data."""


class NonFiniteError(TinygradError, FloatingPointError):
    """NaN or infinity where `debug.numerics` watches for it."""


class GradcheckError(TinygradError, AssertionError):
    """A derivative that disagrees with finite differences."""


class StateError(TinygradError, ValueError):
    """A state_dict that does not fit the module or optimiser it is loaded into."""


class FileError(TinygradError, OSError):
    """A file that is missing, truncated or not one of ours."""


class MissingExtraError(TinygradError, ImportError):
    """An optional dependency that is not installed."""


def from_numpy(
    error: Exception,
    op: str,
    signature: Signature,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    hint: str,
) -> TinygradError:
    """The error of ours that says what NumPy's did, with the op, every argument's shape, the user's line and advice."""
    try:
        bound = signature.bind(*args, **kwargs).arguments
    except TypeError as mismatch:
        return UnsupportedError(f"{op}: {mismatch}", remedy=f"call it as {op}({', '.join(signature.parameters)})")
    kinds = ((IndexError, BoundsError), ((TypeError, OverflowError), DTypeError), (Exception, ShapeError))
    kind = next(ours for theirs, ours in kinds if isinstance(error, theirs))
    described = ", ".join(f"{name} {describe(value)}" for name, value in bound.items())
    said = str(error).removeprefix(f"{op}: ")
    if sizes := INNER.search(said):
        said = f"lengths {sizes[2]} and {sizes[1]} are to be summed over together, and differ"
    if kind is BoundsError:
        hint = hint or "count from 0 at the start, or from -1 at the end"
    elif kind is DTypeError:
        hint = ""
    elif "zero-size" in said or "empty sequence" in said:
        hint = hint or "there is nothing to choose from: leave out empty arrays"
    elif "broadcast" in said:
        hint = (
            hint or "axes are matched from the last one and must be equal or 1; insert one with x[:, None] or reshape"
        )
    return kind(f"{op}: {described}: {said}", remedy=hint)


def from_rule(
    error: Exception, op: Any, position: int, arrays: Sequence[Any], where: Where | None, module: str
) -> RuleError:
    """The error of ours for a derivative rule that failed, with the user's line that recorded the operation."""
    shapes = ", ".join(describe(value) for value in arrays)
    message = error.message if isinstance(error, TinygradError) else f"{type(error).__name__}: {error}"
    what = f"{op.name}, derivative for {argument(op, position)}: g, inputs {shapes}: {message}"
    remedy = (
        "a rule returns a new array of its argument's shape: sum over what was broadcast, or declare elementwise=True"
    )
    return RuleError(what, remedy=remedy if "the rule returned" in message else "", where=where, module=module)


def no_gradient(asked: str, tensor: Any) -> GradientError:
    """The error for the gradient of a tensor that has none, which names what made it if that has no derivative."""
    maker = getattr(tensor, "_maker", None)
    if maker:
        remedy = "build the loss from values: positions, comparisons and rounded values change in jumps"
        return GradientError(f"{asked}: {maker.name} has no derivative", remedy=remedy)
    remedy = "give a leaf it is computed from requires_grad=True, and compute it outside no_grad()"
    return GradientError(f"{asked}: this tensor {describe(tensor)} carries no gradient", remedy=remedy)


def warn(message: str) -> None:
    """Warn with the user's own line, whatever the depth of the call."""
    where = caller()
    place = Location(*where) if where else None
    warnings.warn_explicit(message, UserWarning, place.filename if place else "tinygrad_sm", place.line if place else 1)
