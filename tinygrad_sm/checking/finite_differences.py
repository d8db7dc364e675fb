"""Finite differences against the tape: how a derivative is known to be right, and why it is probably wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_sm.checking.causes import likely_cause
from tinygrad_sm.engine.primitive import Primitive
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.engine.transforms import gradients
from tinygrad_sm.errors import ArgumentError, GradcheckError
from tinygrad_sm.operand import plain


def gradcheck(
    f: Callable[..., Any],
    inputs: Any,
    order: int = 1,
    *,
    eps: float = 1e-6,
    atol: float = 1e-6,
    rtol: float = 1e-4,
    seed: int = 0,
) -> bool:
    """Compare the derivatives of f with central differences, (f(x + eps) - f(x - eps)) / (2 eps), in float64.

    Args: f: takes tensors, returns one or a tuple. inputs: an array or a sequence of arguments, of which the floating
    arrays are checked, element by element, under a random cotangent. order: 2 checks the derivative of the derivative
    too. Returns True. Raises GradcheckError with the argument, the worst element, both values and the likely cause;
    ArgumentError where no argument is a floating array.

    >>> gradcheck(lambda x: x.exp(), np.array([0.0, 1.0]), order=2)
    True
    """
    values = [plain(x) for x in inputs] if isinstance(inputs, (list, tuple)) else [np.asarray(plain(inputs))]
    values = [x.astype(float) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x for x in values]
    checked = [i for i, x in enumerate(values) if isinstance(x, np.ndarray) and x.dtype.kind == "f" and _has_rule(f, i)]
    if not checked:
        raise ArgumentError("gradcheck: no argument is a floating array", remedy="pass np.array(2.0) rather than 2")
    outputs = _outputs(f, values)
    rng = np.random.default_rng(seed)
    cotangents = [rng.uniform(0.5, 1.5, np.shape(out)) * rng.choice([-1, 1], np.shape(out)) for out in outputs]

    def scalar(*operands: Any) -> float:
        return sum(float(np.vdot(c, plain(out))) for c, out in zip(cotangents, _outputs(f, operands), strict=True))

    opposite = derivative(f, values, checked, [-c for c in cotangents])
    for i, got, negative in zip(checked, derivative(f, values, checked, cotangents), opposite, strict=True):
        expected = _central_differences(scalar, values, i, eps)
        for slope in (got.data, -negative.data):  # both, for a rule may be right for one sign alone
            if not np.allclose(slope, expected, rtol, atol):
                unused = np.array_equal(got.data, negative.data) and got.data.any()
                cause = "the incoming cotangent was not used" if unused else likely_cause(slope, expected)
                worst = _worst(slope, expected, atol, rtol)
                if _has_kink(scalar, values, i, worst, eps):
                    cause = "the function has a kink or a jump there, where no slope is right: choose other values"
                raise GradcheckError(_difference(f, i, slope, expected, atol, rtol, worst), remedy=cause)
    if order > 1:

        def first_order(*operands: Any) -> Any:
            n = len(values)
            recorded = any(isinstance(x, Tensor) and x.requires_grad for x in operands)  # not by finite differences
            return tuple(derivative(f, operands[:n], checked, operands[n:], create_graph=recorded))

        first_order.__name__ = f"derivative of {_name(f)}"
        first_order.parameters = _parameters(f)  # type: ignore[attr-defined]
        gradcheck(first_order, [*values, *cotangents], order - 1, eps=eps, atol=atol, rtol=rtol, seed=seed + 1)
    return True


def derivative(
    f: Callable[..., Any], values: Sequence[Any], checked: Sequence[int], cotangents: Any, create_graph: bool = False
) -> list[Tensor]:
    """The gradients of sum(cotangent * f) with respect to the checked arguments."""
    operands = [
        x if isinstance(x, Tensor) and x.requires_grad else Tensor(x, requires_grad=True) if i in checked else x
        for i, x in enumerate(values)
    ]
    weighted = [(out * c).sum() for out, c in zip(_outputs(f, operands), cotangents, strict=True)]
    total = sum(weighted[1:], weighted[0])
    inputs = [operands[i] for i in checked]
    if not (isinstance(total, Tensor) and total.requires_grad):
        return [Tensor(np.zeros(x.shape)) for x in inputs]
    return gradients(total, inputs, create_graph)  # type: ignore[no-any-return]


def _has_rule(f: Callable[..., Any], i: int) -> bool:
    return not isinstance(f, Primitive) or f.parameters[i] in f.rules


def _outputs(f: Callable[..., Any], operands: Sequence[Any]) -> tuple[Any, ...]:
    out = f(*[Tensor(x) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x for x in operands])
    return tuple(out) if isinstance(out, (tuple, list)) else (out,)


def _central_differences(scalar: Callable[..., float], values: Sequence[Any], i: int, eps: float) -> Any:
    """The derivative of a scalar function with respect to every element of one argument."""
    slope = np.empty_like(values[i])
    for position in np.ndindex(values[i].shape):
        right, left = (scalar(*_moved(values, i, position, step)) for step in (eps, -eps))
        slope[position] = (right - left) / (2 * eps)
    return slope


def _moved(values: Sequence[Any], i: int, position: tuple[int, ...], step: float) -> list[Any]:
    """The arguments with one element of one of them a step further."""
    array = values[i].copy()
    array[position] += step
    return [*values[:i], array, *values[i + 1 :]]


def _has_kink(
    scalar: Callable[..., float], values: Sequence[Any], i: int, position: tuple[int, ...], eps: float
) -> bool:
    """Whether the slopes to the left and to the right of an element differ, or grow as the step shrinks."""
    here = scalar(*values)
    slopes = [(scalar(*_moved(values, i, position, step)) - here) / step for step in (-eps, eps, 10 * eps)]
    return max(slopes) - min(slopes) > 1e-3 + 1e-2 * max(map(abs, slopes))


def _worst(got: Any, expected: Any, atol: float, rtol: float) -> tuple[int, ...]:
    """The position of the element that is wrong by most."""
    wrong = ~np.isclose(got, expected, rtol, atol)
    distance = np.where(wrong, np.nan_to_num(np.abs(got - expected), nan=np.inf), -1)
    return tuple(int(i) for i in np.unravel_index(np.argmax(distance), distance.shape))


def _difference(
    f: Callable[..., Any], i: int, got: Any, expected: Any, atol: float, rtol: float, worst: tuple[int, ...]
) -> str:
    """Which elements of the gradient for an argument are wrong, and by how much the worst of them."""
    wrong = ~np.isclose(got, expected, rtol, atol)
    names = _parameters(f)
    argument = f"argument {i} ({names[i]})" if i < len(names) else f"argument {i}"
    return (
        f"{_name(f)}: the gradient for {argument} {got.shape} is wrong in {wrong.sum()} of {wrong.size} elements, most "
        f"at {worst}: got {got[worst]:.6g}, finite differences give {expected[worst]:.6g}"
    )


def _parameters(f: Callable[..., Any]) -> Sequence[str]:
    """The names of the arguments, where f is an operation or a sample of one."""
    return getattr(f, "parameters", ())


def _name(f: Callable[..., Any]) -> str:
    return getattr(f, "__name__", type(f).__name__)
