"""Gradients kept from growing: scaled down together, or each element held between bounds.

Both are called between `backward` and `step`, and replace `grad` by new arrays: the old ones may be held by others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tinygrad_sm.display import describe
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.errors import ArgumentError, DTypeError, GradientError, NonFiniteError
from tinygrad_sm.optim.storage import Array


def clip_grad_norm(params: Iterable[Tensor] | Tensor, max_norm: float, ord: float = 2) -> float:
    """Scale all gradients by max_norm / max(norm, max_norm), norm being that of all their elements together.

    Args: params: tensors; those without a gradient do not count. ord: of the norm (sum |g|**ord)**(1/ord), above 0;
    np.inf for the largest |g|. Returns the norm before clipping. Raises ArgumentError for a limit or order that is not
    above 0, GradientError if there are no gradients, NonFiniteError for NaN or infinity among them. Norms are summed in
    float64, and scaled where that would overflow.
    Source: R. Pascanu et al., On the difficulty of training recurrent neural networks, ICML 2013.

    >>> w = Tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w / 2).sum().backward()
    >>> clip_grad_norm([w], 1.0), w.grad
    (5.0, array([0.6, 0.8]))
    """
    check_limit("clip_grad_norm", "max_norm", max_norm)
    if not isinstance(ord, (int, float, np.number)) or not ord > 0:
        raise ArgumentError(f"clip_grad_norm: ord={ord!r}", remedy="pass 2, or np.inf for the largest element")
    trained = _with_gradients("clip_grad_norm", params)
    norm = total_norm([g for _, g in trained], ord)
    if not np.isfinite(norm):
        _refuse("clip_grad_norm", trained, np.isfinite)
    if norm > max_norm:
        for p, g in trained:
            _replace(p, _scaled(g, max_norm / norm))
    return norm


def clip_grad_value(params: Iterable[Tensor] | Tensor, limit: float) -> None:
    """Move every element of the gradients into [-limit, limit].

    Args: params: tensors; those without a gradient do not count. Raises ArgumentError for a limit that is not above 0,
    GradientError if there are no gradients, NonFiniteError for NaN among them. It changes the direction of the step,
    which `clip_grad_norm` keeps.

    >>> w = Tensor([3.0, -0.5], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> clip_grad_value([w], 2.0)
    >>> w.grad
    array([ 2., -1.])
    """
    check_limit("clip_grad_value", "limit", limit)
    trained = _with_gradients("clip_grad_value", params)
    clipped = [_between(g, limit) for _, g in trained]
    if any(np.isnan(g).any() for g in clipped):
        _refuse("clip_grad_value", trained, lambda g: ~np.isnan(g))
    for (p, _), g in zip(trained, clipped, strict=True):
        _replace(p, g)


def _with_gradients(caller: str, params: Iterable[Tensor] | Tensor) -> list[tuple[Tensor, Array]]:
    """The parameters that have a gradient, each once, with it."""
    remedy = "pass model.parameters()"
    if not isinstance(params, Iterable):
        raise DTypeError(f"{caller}: the parameters are {describe(params)}", remedy=remedy)
    found = {id(p): p for p in ([params] if isinstance(params, Tensor) else params)}.values()
    for p in found:
        if not isinstance(p, Tensor):
            raise ArgumentError(f"{caller}: one of the parameters is {describe(p)}", remedy=remedy)
    trained = [(p, p.grad) for p in found if p.grad is not None]
    if not trained:
        remedy = "call it between loss.backward() and optimizer.step()"
        raise GradientError(f"{caller}: none of {len(found)} parameters has a gradient", remedy=remedy)
    for p, g in trained:
        if not isinstance(g, np.ndarray) or g.dtype.kind != "f":
            remedy = f"assign an array of shape {p.shape}, such as t.data, or None"
            raise DTypeError(f"{caller}: grad of a parameter {p.shape} is {describe(g)}", remedy=remedy)
    return trained


def total_norm(arrays: Sequence[Array], ord: float = 2) -> float:
    """The norm of the elements of all arrays together: that of the arrays' norms."""
    return _norm(np.array([_norm(array, ord) for array in arrays]), ord)


def check_limit(caller: str, name: str, limit: Any) -> None:
    """Refuse a limit that is no number above 0."""
    if not isinstance(limit, (int, float, np.number)):
        raise DTypeError(f"{caller}: {name} is {describe(limit)}", remedy="pass a number, such as 1.0")
    if not limit > 0:
        raise ArgumentError(f"{caller}: {name}={limit}", remedy="pass a number above 0, such as 1.0")


def largest_finite(limit: float, dtype: Any) -> float:
    """A limit as it holds for elements of a type: infinity, or a number that the type has."""
    return limit if limit == np.inf else min(limit, float(np.finfo(dtype).max))


def _norm(values: Any, ord: float) -> float:
    """The norm of all elements of an array."""
    flat = values.reshape(-1).astype(np.float64)
    if not flat.size:
        return 0.0
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        norm = float(np.linalg.norm(flat, ord))
        if not (1e-150 < norm < np.inf):  # the powers left the range of float64, or the values are no numbers
            largest = float(np.abs(flat).max())
            if 0 < largest < np.inf:
                norm = largest * float(np.linalg.norm(flat / largest, ord))
    return norm


def _scaled(g: Array, factor: float) -> Array:
    """The product in the precision of the gradient, if the factor can be told from 0 in that."""
    precise = g.dtype if factor >= np.finfo(g.dtype).smallest_normal else np.float64
    return np.asarray(np.multiply(g, factor, dtype=precise).astype(g.dtype))


def _between(g: Array, limit: float) -> Array:
    bound = largest_finite(limit, g.dtype)
    return np.asarray(np.clip(g, -bound, bound, dtype=g.dtype))


def _refuse(caller: str, trained: Sequence[tuple[Tensor, Array]], good: Any) -> None:
    """Raise, and say where the numbers are that cannot be clipped."""
    for i, (p, g) in enumerate(trained):
        bad = np.argwhere(~good(g))
        if len(bad):
            index = tuple(bad[0].tolist())
            which = repr(p.name) if p.name else f"{i} of those with a gradient"
            what = f"{caller}: the gradient of parameter {which}, {describe(g)}, is {g[index]} at {index}"
            remedy = "take a smaller learning rate; `with debug.numerics():` stops where it begins"
            raise NonFiniteError(what, remedy=remedy)
    raise NonFiniteError(f"{caller}: the norm overflows", remedy="take a smaller learning rate")


def _replace(p: Tensor, g: Array) -> None:
    """Give a parameter another gradient, used by a step if the old one was."""
    used = p._used_grad is p.grad
    p.grad = g
    p._used_grad = g if used else None
