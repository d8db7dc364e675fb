"""Gradients as values and as functions: `gradients` of what was recorded, `grad` and `value_and_grad` of a function."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_sm.engine.tape import RECORDING, Sweep
from tinygrad_sm.engine.tensor import Tensor, from_edge
from tinygrad_sm.errors import DTypeError, GradientError
from tinygrad_sm.variables import TENSORS, involves_others, positions_of


def gradients(output: Tensor, inputs: Any, create_graph: bool = False, *, cotangent: Any = None) -> Any:
    """Derivatives of a recorded tensor with respect to others, leaves or not; no `grad` is touched.

    Args: output: a scalar, or any tensor with a cotangent of its shape. inputs: a tensor, or a sequence of them.
    create_graph: record the derivatives too, so that they can be differentiated. Returns a tensor, or a list, of the
    inputs' shapes; zeros for an input that has no influence. Raises GradientError for one that carries no gradient.

    >>> x = Tensor(3.0, requires_grad=True)
    >>> slope = gradients(x**3, x, create_graph=True)
    >>> slope.item(), gradients(slope, x).item()
    (27.0, 18.0)
    """
    several = hasattr(inputs, "__iter__") and not isinstance(inputs, Tensor)
    tensors = list(inputs) if several else [inputs]
    if not all(isinstance(tensor, Tensor) for tensor in (output, *tensors)):
        raise DTypeError("gradients: the output and the inputs must be tensors", remedy="keep the Tensor, not its data")
    edges = [tensor._edge for tensor in tensors if tensor._edge]
    if len(edges) < len(tensors):
        raise GradientError("gradients: an input carries no gradient", remedy="make it with requires_grad=True")
    edge, seed = output._seed(cotangent)
    if create_graph:
        seed = cotangent if isinstance(cotangent, Tensor) else from_edge(seed, None)
    with Sweep(edge, seed, targets=edges, wrap=from_edge if create_graph else None) as sweep:
        for rule, arguments, options in sweep:
            sweep.contribution = rule(*arguments, **options)
    found = [sweep.cotangents.get(edge, np.zeros(t.shape, t.dtype)) for edge, t in zip(edges, tensors, strict=True)]
    results = [g if isinstance(g, Tensor) else from_edge(g.copy(), None) for g in found]
    return results if several else results[0]


def value_and_grad(f: Callable[..., Any], argnum: int | Sequence[int] = 0) -> Callable[..., tuple[Any, Any]]:
    """The function that returns f and its derivative with respect to the argument of that position, or a tuple of them.

    f takes tensors and returns a scalar. Given arrays or numbers the function returns arrays, given tensors it returns
    tensors, and where f involves another tensor that carries a gradient, results that can be differentiated by it.

    >>> value_and_grad(lambda x: (x * x).sum())(np.array([1.0, 2.0]))
    (array(5.), array([2., 4.]))
    """

    @functools.wraps(f)
    def differentiated(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        positions, single = positions_of("grad", argnum, len(args))
        recording = RECORDING.get()
        token = RECORDING.set(True)  # a surrounding no_grad is about the surrounding tape
        try:
            inputs = {i: variable(args[i]) for i in positions}
            output = f(*[inputs.get(i, arg) for i, arg in enumerate(args)], **kwargs)
            if not isinstance(output, Tensor):
                raise DTypeError(f"grad: the function returned {type(output).__name__}, not a Tensor", remedy=TENSORS)
            nested = involves_others(output.tape(), [x._edge for x in inputs.values()]) and recording
            slopes: list[Any] = [Tensor(np.zeros(x.shape, x.dtype)) for x in inputs.values()]
            if output.requires_grad:
                slopes = gradients(output, inputs.values(), create_graph=nested)
        finally:
            RECORDING.reset(token)
        results = [output, *slopes] if nested else [result.detach() for result in (output, *slopes)]
        if not nested and not any(isinstance(arg, Tensor) for arg in args):
            results = [result.data for result in results]
        return results[0], results[1] if single else tuple(results[1:])

    differentiated.argnum = argnum  # type: ignore[attr-defined]  # for whoever compiles f and its derivative
    return differentiated


def variable(value: Any) -> Tensor:
    """A tensor to differentiate by: a new leaf, or a value of its own where the argument carries a gradient already."""
    if isinstance(value, Tensor) and value.requires_grad:
        return +value  # type: ignore[no-any-return]
    return Tensor(value, requires_grad=True, dtype=float if isinstance(value, int) else None)


def grad(f: Callable[..., Any], argnum: int | Sequence[int] = 0) -> Callable[..., Any]:
    """The derivative of a scalar function, as a function; see `value_and_grad`.

    >>> float(grad(grad(lambda x: x**3))(2.0))
    12.0
    """
    both = value_and_grad(f, argnum)
    return functools.wraps(f)(lambda *args, **kwargs: both(*args, **kwargs)[1])
