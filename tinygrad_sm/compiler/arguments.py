"""The arguments of a compiled function: of what kind they are, and their arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_sm.compiler.program import Array
from tinygrad_sm.engine.tensor import Tensor, from_edge
from tinygrad_sm.errors import DTypeError
from tinygrad_sm.nn.module import Module


def kind_of(arguments: Sequence[Any]) -> tuple[Any, ...]:
    """What two calls have in common that one program can serve."""
    return tuple([(a.shape, a.dtype, a.strides) if type(a) is np.ndarray else _kind_of_one(a) for a in arguments])


def _kind_of_one(argument: Any) -> Any:
    if isinstance(argument, Tensor):
        return "tensor", argument.shape, argument.dtype, argument._data.strides
    if isinstance(argument, (np.ndarray, np.generic)):
        return "array", argument.shape, argument.dtype, np.asarray(argument).strides
    try:
        hash(argument)
    except TypeError:
        remedy = "pass arrays, tensors, or constants such as numbers and strings, one by one"
        raise DTypeError(f"compiled function: an argument is a {type(argument).__name__}", remedy=remedy) from None
    return type(argument), repr(argument) if isinstance(argument, float) else argument  # 0.0 equals -0.0


def array_of(argument: Any) -> Array | None:
    """The array of an argument, None where it is none."""
    if isinstance(argument, Tensor):
        return argument._data
    return np.asarray(argument) if isinstance(argument, (np.ndarray, np.generic)) else None


def arrays_of(arguments: Sequence[Any]) -> list[Array]:
    """The arrays among the arguments."""
    return [array for array in map(array_of, arguments) if array is not None]


def as_tensors(arguments: Sequence[Any]) -> list[Any]:
    """The arguments as a function is given them: arrays as tensors of their own, which no other argument is."""
    arrays = [(argument, array_of(argument)) for argument in arguments]
    return [argument if array is None else from_edge(array.view(), None) for argument, array in arrays]


def names_of(function: Callable[..., Any], arguments: Sequence[Any]) -> list[str]:
    """What a function calls its arguments, as far as these are arrays."""
    called = function.forward if isinstance(function, Module) else function
    try:
        names = list(inspect.signature(called).bind(*arguments).arguments)
    except (TypeError, ValueError):  # a function that does not tell
        return []
    return [name for name, each in zip(names, arguments, strict=False) if array_of(each) is not None]
