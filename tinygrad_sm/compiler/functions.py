"""Functions of arrays, and their values with gradients, as programs: `tg.compile`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_sm.compiler.arguments import arrays_of, as_tensors, names_of
from tinygrad_sm.compiler.capture import captured_twice, refuse_within_capture
from tinygrad_sm.compiler.compiled import Compiled, as_numpy, mapped
from tinygrad_sm.compiler.program import DEVIATES
from tinygrad_sm.compiler.surroundings import Surroundings
from tinygrad_sm.display import describe
from tinygrad_sm.effects import note_overwrite
from tinygrad_sm.engine.tensor import Tensor, from_edge
from tinygrad_sm.engine.transforms import grad, gradients, value_and_grad
from tinygrad_sm.errors import CaptureError, DTypeError, GradientError
from tinygrad_sm.variables import TENSORS, positions_of

# What `value_and_grad` returns is known by its code.
_DIFFERENTIATED = value_and_grad(abs).__code__
_GRADIENT = grad(abs).__code__


class CompiledFunction(Compiled):
    """A function, or the value and gradients of one, as programs."""

    def __init__(self, function: Callable[..., Any], backend: str) -> None:
        super().__init__(function, backend)
        self.inner, self.argnum = function, ()
        self.differentiated = getattr(function, "__code__", None) is _DIFFERENTIATED
        if self.differentiated:
            self.inner, self.argnum = function.__wrapped__, function.argnum  # type: ignore[attr-defined]

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if named:
            self._refuse_named(named)
        given = self._numbers_as_arrays(arguments)
        made = self._find(given)
        if made is None:
            results = self._first(given)
        else:
            results = self._run(made, given if made.only_arrays else arrays_of(given))
            if results is DEVIATES:
                return self.function(*arguments)
            note_overwrite(*made.written)
        tensors = any(isinstance(each, Tensor) for each in arguments)
        return mapped(results, _as_tensor if tensors else _as_array)

    def _positions(self, count: int) -> list[int]:
        """The arguments to differentiate by."""
        return positions_of("grad", self.argnum, count)[0] if self.differentiated else []

    def _numbers_as_arrays(self, arguments: Sequence[Any]) -> list[Any]:
        """The arguments with arrays for the numbers that are differentiated by."""
        given = list(arguments)
        for i in self._positions(len(given)):
            if isinstance(given[i], (int, float)):
                given[i] = np.asarray(given[i], dtype=float)
        return given

    def _first(self, arguments: Sequence[Any]) -> Any:
        """Make a program, and return the results of the run that it was made from."""
        began = time.perf_counter()
        tensors, surroundings = as_tensors(arguments), Surroundings(self.inner)
        self._refuse_recorded(arguments)
        leaves = []
        for i in self._positions(len(arguments)):
            tensors[i] = Tensor(tensors[i], requires_grad=True)
            leaves.append(tensors[i])
        captured, constants = captured_twice(self.inner, tensors)
        self._names = names_of(self.inner, arguments)
        lowering = self._lowering(surroundings, captured, constants)
        results = captured.result
        if self.differentiated:
            found = _slopes(results, leaves)
            slopes = lowering.backward(results, leaves)
            lowering.watch_for_nan(slopes)
            _, single = positions_of("grad", self.argnum, len(arguments))
            results = results, found[0] if single else tuple(found)
            for each, slope in zip(found, slopes, strict=True):
                lowering.arrays[id(each._data)] = slope
        lowering.finish(results)
        made = self._keep(surroundings, arguments, lowering, captured)
        made.seconds = time.perf_counter() - began
        return as_numpy(results)

    def _refuse_recorded(self, arguments: Sequence[Any]) -> None:
        """Refuse tensors whose gradient would end here."""
        for i, each in enumerate(arguments):
            if isinstance(each, Tensor) and each.requires_grad and i not in self._positions(len(arguments)):
                remedy = "compile value_and_grad(f) instead, or pass x.detach()"
                raise GradientError(f"compile: argument {i} {describe(each)} carries a gradient", remedy=remedy)


def _slopes(output: Any, leaves: Sequence[Tensor]) -> Any:
    """The gradients of what a function returned, zeros where it depends on nothing."""
    if not isinstance(output, Tensor):
        raise DTypeError(f"grad: the function returned {type(output).__name__}, not a Tensor", remedy=TENSORS)
    if output.requires_grad:
        return gradients(output, leaves)
    return [Tensor(np.zeros(leaf.shape, leaf.dtype)) for leaf in leaves]


def _as_tensor(result: Any) -> Any:
    return from_edge(result, None) if isinstance(result, (np.ndarray, np.generic)) else result


def _as_array(result: Any) -> Any:
    return np.asarray(result) if isinstance(result, np.generic) else result


def compile(f: Callable[..., Any], *, backend: str = "numpy") -> CompiledFunction:
    """A function of arrays, or the `value_and_grad` of one, as straight lines of code; see `compile_step`.

    Given arrays it returns arrays, given tensors it returns tensors, which carry no gradient.

    >>> from tinygrad_sm import value_and_grad
    >>> both = compile(value_and_grad(lambda x: (x * x).sum()))
    >>> both(np.array([1.0, 2.0]))
    (array(5.), array([2., 4.]))
    """
    refuse_within_capture("compile called")
    if getattr(f, "__code__", None) is _GRADIENT:
        raise CaptureError("compile: of tg.grad(f)", remedy="compile tg.value_and_grad(f), and take the second result")
    return CompiledFunction(f, backend)
