"""One's own derivation held against the real gradient: how far it is off, where most, and what is probably wrong.

The causes are guessed by `checking/causes.py`. `demos/backprop_by_hand.py` derives a whole network against it.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_sm.checking.causes import likely_cause
from tinygrad_sm.debug.naming import variables_of_caller
from tinygrad_sm.debug.text import WIDTH
from tinygrad_sm.display import describe
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.errors import ArgumentError, DTypeError, GradientError
from tinygrad_sm.operand import plain


@dataclass(frozen=True)
class Comparison:
    """How an array differs from the right one; true where it is close. Printed it is a report of a few lines.

    Relative errors are relative to the larger of the two values. An ulp is the distance from there to the next number
    of the less precise of the two types. The worst element is that with the largest absolute error.
    """

    name: str
    shape_mine: tuple[int, ...]
    shape_right: tuple[int, ...]
    equal: bool = False  # every value is exactly the same
    close: bool = False
    absolute: float | None = None  # the largest errors; None where the shapes differ
    relative: float | None = None
    ulp: float | None = None
    worst: tuple[int, ...] | None = None  # an index; None where there is no element to point at
    values: tuple[float, float] | None = None  # mine and the right one there
    wrong: int = 0  # so many elements are not close
    cause: str = ""  # the likely cause in words; empty where it is close, or where none fits

    def __bool__(self) -> bool:
        return self.close

    @property
    def verdict(self) -> str:
        """`equal`, `close`, `WRONG`, or `WRONG SHAPE`."""
        if self.shape_mine != self.shape_right:
            return "WRONG SHAPE"
        return "equal" if self.equal else "close" if self.close else "WRONG"

    def __str__(self) -> str:
        head = f"{self.name} {self.shape_right}: {self.verdict}"
        if self.equal:
            lines = [f"{head}, to the last bit"]
        elif self.shape_mine != self.shape_right:
            lines = [f"{head}, yours is {self.shape_mine}"]
        elif self.close:
            lines = [f"{head}, {self._errors()}{f' at {list(self.worst)}' if self.worst else ''}"]
        else:
            lines = [f"{head}{self._share()}", self._worst()]
            lines.append(f"  error {self._errors()}")
        lines = [row for line in lines for row in textwrap.wrap(line, WIDTH, subsequent_indent="  ")]
        advice = textwrap.wrap(self.cause, WIDTH, initial_indent="  -> ", subsequent_indent="     ")
        return "\n".join([*lines, *advice])

    def __repr__(self) -> str:
        told = self.cause or (self._errors() if self.absolute else "")
        return f"<Comparison {self.name} {self.shape_right} {self.verdict}{f': {told}' if told else ''}>"

    def _errors(self) -> str:
        return f"{self.absolute:.2g} absolute, {self.relative:.2g} relative, {self.ulp:.3g} ulp"

    def _share(self) -> str:
        size = math.prod(self.shape_right)
        return f", {self.wrong} of {size} elements {'is' if self.wrong == 1 else 'are'} off" if size > 1 else ""

    def _worst(self) -> str:
        mine, right = self.values or (0.0, 0.0)
        place = f"worst at {list(self.worst)}" if self.worst else "the value"
        return f"  {place}: yours {mine:.6g}, right {right:.6g}"


def compare(
    mine: Any,
    tensor: Any,
    *,
    name: str | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    contributions: Sequence[Any] = (),
) -> Comparison:
    """Hold a gradient that you derived against the one that `backward` found, or any two arrays against each other.

    Args: mine: array, number or tensor. tensor: a tensor, whose `grad` is right, or the right array. Close is
    |mine - right| <= rtol (|right| + mean |right|) + atol; rtol is half of the digits of the less precise type, at most
    five. contributions: arrays that add up to the right one. Prints nothing:
    `print(compare(...))` reports, `assert compare(...)` insists. Raises GradientError for a tensor without `grad`.

    >>> W = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True, name="W")
    >>> (W @ np.array([5.0, 6.0])).sum().backward()
    >>> compare(np.array([[5.0, 5.0], [6.0, 6.0]]), W)
    <Comparison W (2, 2) WRONG: it is transposed>
    """
    name = name or getattr(tensor, "name", None) or variables_of_caller().get(id(tensor)) or "gradient"
    _check_tolerances(rtol=rtol, atol=atol)
    ours, right = _numbers(mine, f"your {name}"), _numbers(_right(tensor, name), name)
    parts = [_numbers(part, f"contribution {i}") for i, part in enumerate(contributions, start=1)]
    if ours.shape != right.shape:
        return Comparison(name, ours.shape, right.shape, cause=_cause(ours, right, parts))
    if np.array_equal(ours, right, equal_nan=True):
        return Comparison(name, ours.shape, right.shape, True, True, 0.0, 0.0, 0.0)
    kind = _less_precise(ours, right)
    absolute, relative, ulp = _errors(ours, right, kind)
    off = absolute > _tolerance(right, kind, rtol, atol)
    worst = tuple(int(i) for i in np.unravel_index(absolute.argmax(), absolute.shape))
    return Comparison(
        name,
        ours.shape,
        right.shape,
        close=not off.any(),
        absolute=float(absolute.max()),
        relative=float(relative.max()),
        ulp=float(ulp.max()),
        worst=worst,
        values=(float(ours[worst]), float(right[worst])),
        wrong=int(off.sum()),
        cause=_cause(ours, right, parts) if off.any() else "",
    )


def _right(tensor: Any, name: str) -> Any:
    """What to compare with: the gradient of a tensor, anything else itself."""
    if not isinstance(tensor, Tensor):
        return tensor
    if tensor.grad is not None:
        return tensor.grad
    if not tensor.requires_grad:
        what, remedy = "carries none", "to compare with its values, pass its .data"
    elif tensor.is_leaf:
        what, remedy = "has none yet", "call backward() on the loss first; a leaf that it does not depend on gets none"
    else:
        what, remedy = "is not a leaf and keeps none", "call loss.backward(retain_grads=True)"
    raise GradientError(f"compare: no gradient to compare with: {name} {describe(tensor)} {what}", remedy=remedy)


def _numbers(value: Any, name: str) -> Any:
    """An array of real numbers; DTypeError for anything else."""
    try:
        array = np.asarray(plain(value))
    except ValueError as error:
        raise DTypeError(f"compare: {name}: {error}", remedy="give it numbers in rows of equal length") from error
    if array.dtype.kind not in "biuf":
        raise DTypeError(
            f"compare: {name} is {describe(value)}", remedy="pass real numbers, an array or a tensor of them"
        )
    return array


def _check_tolerances(**given: float | None) -> None:
    """Raise ArgumentError for what is no tolerance: nothing, or everything, would be close."""
    for name, value in given.items():
        if value is not None and not (isinstance(value, (int, float, np.number)) and 0 <= value < math.inf):
            raise ArgumentError(f"compare: {name}={value!r}", remedy="pass a number that is not negative")


def _less_precise(*arrays: Any) -> Any:
    """The floating type with the fewest digits; float64 if there is none."""
    kinds = [array.dtype for array in arrays if array.dtype.kind == "f"]
    return max(kinds, key=lambda kind: float(np.finfo(kind).eps), default=np.dtype(float))


def _errors(ours: Any, right: Any, kind: Any) -> tuple[Any, Any, Any]:
    """Absolute and relative error and that in ulp of every element; infinite where only one of the two is finite."""
    a, b = (array.astype(np.result_type(array, float)) for array in (ours, right))
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(all="ignore"):  # NaN and infinity may be what is compared
        absolute, larger = np.abs(a - b), np.maximum(np.abs(a), np.abs(b))
        found = absolute, absolute / larger, absolute / np.spacing(larger.astype(kind))
    absolute, relative, ulp = (np.where(same, 0.0, np.where(np.isnan(each), np.inf, each)) for each in found)
    return absolute, relative, ulp


def _tolerance(right: Any, kind: Any, rtol: float | None, atol: float | None) -> Any:
    """The absolute error up to which every element is close."""
    eps = float(np.finfo(kind).eps)
    rtol = max(1e-5, eps**0.5) if rtol is None else rtol
    atol = min(1e-8, eps) if atol is None else atol
    size = np.where(np.isfinite(right), np.abs(right), 0).astype(float)
    return rtol * size + rtol * np.sum(size / size.size) + atol


def _cause(ours: Any, right: Any, contributions: Sequence[Any]) -> str:
    """What is probably wrong, in words."""
    for i, part in enumerate(contributions, start=1):
        if len(contributions) > 1 and ours.shape == part.shape and np.allclose(ours, part, atol=0):
            return f"it is contribution {i} of {len(contributions)} alone: the others have to be added"
    return likely_cause(ours, right)
