"""Training steps as programs: `tg.compile_step`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from tinygrad_sm.compiler.arguments import arrays_of, as_tensors, names_of
from tinygrad_sm.compiler.capture import captured_twice, refuse_within_capture
from tinygrad_sm.compiler.compiled import Compiled, as_numpy
from tinygrad_sm.compiler.program import DEVIATES, Array
from tinygrad_sm.compiler.surroundings import Surroundings
from tinygrad_sm.display import describe
from tinygrad_sm.effects import note_overwrite
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.errors import ArgumentError, CaptureError, DTypeError, GradientError
from tinygrad_sm.optim import LBFGS, Optimizer, clip_grad_norm, clip_grad_value
from tinygrad_sm.optim.clipping import check_limit


class CompiledStep(Compiled):
    """A training step as one call: `step(x, y)` computes the loss, goes back, updates, and returns the loss."""

    what = "a compiled step"

    def __init__(
        self,
        loss_fn: Callable[..., Any],
        optimizer: Optimizer,
        backend: str,
        clip_norm: float | None,
        clip_value: float | None,
    ) -> None:
        super().__init__(loss_fn, backend)
        if not isinstance(optimizer, Optimizer):
            remedy = "pass optim.SGD(model.parameters(), lr=0.1), say"
            raise DTypeError(f"compile_step: optimizer={describe(optimizer)}", remedy=remedy)
        if isinstance(optimizer, LBFGS):
            raise CaptureError(
                "compile_step: LBFGS goes on or stops as the loss says, which no straight line of code does",
                remedy="call optimizer.step(closure) uncompiled, or take Adam",
            )
        if type(optimizer).step is not Optimizer.step:
            raise ArgumentError(
                f"compile_step: {type(optimizer).__name__} has a step() of its own, which a program would pass by",
                remedy="override update, or set optimizer.lr from outside; or leave this step uncompiled",
            )
        for name, limit in (("clip_norm", clip_norm), ("clip_value", clip_value)):
            if limit is not None:
                check_limit("compile_step", name, limit)
        self.optimizer = optimizer
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self._moving: dict[str, None] = {}  # settings that were seen to change, such as a momentum that is cycled

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if named:
            self._refuse_named(named)
        made = self._find(arguments)
        if made is None:
            return self._first(arguments)
        arrays = arguments if made.only_arrays else arrays_of(arguments)
        result = self._run(made, (*arrays, *self.optimizer.group_numbers(made.moving)))
        if result is DEVIATES:
            return self._eagerly(self.function(*as_tensors(arguments)))
        note_overwrite(*made.written)
        return result

    def _first(self, arguments: Sequence[Any]) -> Any:
        """Make a program, and take the step as it is written."""
        began = time.perf_counter()
        optimizer = self.optimizer
        groups, surroundings = _groups(optimizer), Surroundings(self.function)
        self._moving.update(dict.fromkeys(self._latest.moved_settings() if self._latest else ()))
        captured, constants = captured_twice(self.function, as_tensors(arguments))
        self._names = names_of(self.function, arguments)
        loss = _loss_of(captured.result)
        _check_parameters(optimizer, loss)
        lowering = self._lowering(surroundings, captured, constants)
        slopes = lowering.backward(loss, optimizer.params)
        lowering.watch_for_nan(slopes)
        flat = [lowering.gather([slopes[i] for i in group], data.shape) for group, data, _ in groups]
        if self.clip_norm is not None:
            flat = lowering.clipped_by_norm(flat, slopes, self.clip_norm)
        if self.clip_value is not None:
            flat = lowering.clipped_by_value(flat, self.clip_value)
        lowering.let_move(optimizer, [*self._moving])
        for (group, data, state), each in zip(groups, flat, strict=True):
            lowering.update(optimizer, optimizer.group_of(group[0]), data, each, state)
        lowering.finish(captured.result)
        made = self._keep(surroundings, arguments, lowering, captured, optimizer)
        made.seconds = time.perf_counter() - began
        return self._eagerly(captured.result)

    def _eagerly(self, result: Any) -> Any:
        """Go back from a result of the function, update, and return what a program returns."""
        self.optimizer.zero_grad()
        _loss_of(result).backward()
        if self.clip_norm is not None:
            clip_grad_norm(self.optimizer.params, self.clip_norm)
        if self.clip_value is not None:
            clip_grad_value(self.optimizer.params, self.clip_value)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return as_numpy(result)


def _groups(optimizer: Optimizer) -> list[tuple[Sequence[int], Array, dict[str, Array]]]:
    """The parameters that are updated together: their numbers, their values in one array, and the state beside it."""
    storages = optimizer.flatten()
    together = [(storage.indices, storage.data, storage.state) for storage in storages]
    covered = {i for storage in storages for i in storage.indices}
    apart = [([i], p._data, optimizer.state[i]) for i, p in enumerate(optimizer.params) if i not in covered]
    return [*together, *apart]


def _loss_of(result: Any) -> Tensor:
    """The loss among what the function returned."""
    loss = result[0] if isinstance(result, (tuple, list)) and result else result
    if not isinstance(loss, Tensor) or loss.shape:
        remedy = "return a scalar tensor such as F.cross_entropy(scores, labels), or (loss, others...)"
        raise CaptureError(f"compile_step: the function returned {describe(loss)}, not a scalar", remedy=remedy)
    if not loss.requires_grad:
        raise CaptureError("compile_step: the loss depends on no parameter", remedy="compute it from the parameters")
    return loss


def _check_parameters(optimizer: Optimizer, loss: Tensor) -> None:
    """Refuse parameters that the loss does not depend on."""
    used = {id(node) for node in loss.tape() if node.op is None}
    for i, p in enumerate(optimizer.params):
        if p._edge is None or id(p._edge[0]) not in used:
            problem = "the loss does not depend on parameter" if p.requires_grad else "frozen is parameter"
            raise GradientError(
                f"compile_step: {problem} {p.name or i} {p.shape}",
                remedy="give the optimiser the parameters that the loss uses and that are not frozen, and no others",
            )


def compile_step(
    loss_fn: Callable[..., Any],
    optimizer: Optimizer,
    *,
    backend: str = "numpy",
    clip_norm: float | None = None,
    clip_value: float | None = None,
) -> CompiledStep:
    """A training step, forward, backward and update, as one straight line of code, made at the first call.

    Args: loss_fn: from the arguments of a call (arrays or tensors) to a scalar tensor, or to (loss, others...);
    backend: "numpy", readable and bit for bit what the eager step computes, or "numba", fused loops, which needs the
    extra `fast` and computes the same up to rounding and the sign of zero (1 / 0 may be -inf); clip_norm, clip_value:
    bounds on the gradients, as `optim.clip_grad_norm` and `clip_grad_value` have them. Returns a function of arguments
    by position that returns the loss as a number, and others as arrays. `.source` is its code, `.report()` what is in
    it. Raises CaptureError where Python depends on values, GradientError for a parameter that is not used.

    >>> import numpy as np
    >>> from tinygrad_sm import nn, optim
    >>> w = nn.Parameter([1.0, 2.0])
    >>> step = compile_step(lambda x: ((w - x) ** 2).sum(), optim.SGD([w], lr=0.25))
    >>> [float(step(np.zeros(2))) for _ in range(3)]
    [5.0, 1.25, 0.3125]
    """
    refuse_within_capture("compile_step called")
    return CompiledStep(loss_fn, optimizer, backend, clip_norm, clip_value)
