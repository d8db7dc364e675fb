"""What `tg.compile` and `tg.compile_step` return: a function, and the programs that were made of it.

A program holds for arguments of one kind (shapes, types, memory layout), for the modules in one mode and for the arrays
that the parameters had. Where one of these changes, the function is captured anew; where a guard fails, that call runs
as it is written.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import operator
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from tinygrad_sm.compiler import numpy_code
from tinygrad_sm.compiler.capture import Capture, captured_twice, refuse_within_capture
from tinygrad_sm.compiler.lowering import Lowering
from tinygrad_sm.compiler.numpy_code import Executable
from tinygrad_sm.compiler.passes import simplified
from tinygrad_sm.compiler.program import DEVIATES, Array
from tinygrad_sm.compiler.surroundings import Surroundings
from tinygrad_sm.display import describe
from tinygrad_sm.effects import note_overwrite
from tinygrad_sm.engine.tensor import Tensor, from_edge
from tinygrad_sm.engine.transforms import gradients, value_and_grad
from tinygrad_sm.errors import ArgumentError, CaptureError, DTypeError, GradientError, TinygradError, warn
from tinygrad_sm.nn.module import Module, changes
from tinygrad_sm.optim import Optimizer

clip_grad_norm = clip_grad_value = None

LIMIT = 16  # programs that a function keeps; the one that was made first goes first
BACKENDS = ("numpy", "numba")


class Made:
    """A program that runs, and what has to be as it was when it was made."""

    def __init__(
        self,
        function: Callable[..., Any],
        lowering: Lowering,
        captured: Capture,
        executable: Executable,
        began: float,
        optimizer: Optimizer | None = None,
    ) -> None:
        self.executable = executable
        self.run = self.executable.run
        self.calls = lowering.trace.calls
        self.written = [memory.array for memory, _ in lowering.program.stores if memory.array is not None]
        self.tensors = list(captured.sources.values())
        self.arrays = [each._data for each in self.tensors]
        self.modules = list({id(below): below for each in captured.modules for below in each.modules()}.values())
        self.attributes = _attributes(self.modules)
        self.changes = changes()
        self.optimizer = optimizer
        self.state = _state(optimizer)
        # The optimiser's settings are fetched by one call, a fifth of the time that a loop takes.
        names = [name for name, _ in optimizer.settings()] if optimizer else []
        self.settings = operator.attrgetter(*names) if names else type
        self.set_to = self.settings(optimizer)
        self.surroundings = Surroundings(function)
        self.only_arrays = False  # whether the arguments are handed on as they are
        self.seconds = time.perf_counter() - began

    def holds(self) -> bool:
        """Whether tensors still have the arrays, modules the modes, and the optimiser the settings of the program."""
        if not all(map(operator.is_, [each._data for each in self.tensors], self.arrays)):
            return False
        if self.optimizer and (self.settings(self.optimizer) != self.set_to or (self.state and not self._has_state())):
            return False
        if self.changes != changes():
            if self.attributes != _attributes(self.modules):
                return False
            self.changes = changes()
        return not self.surroundings.changed()

    def _has_state(self) -> bool:
        state = _state(self.optimizer)
        return len(state) == len(self.state) and all(map(operator.is_, state, self.state))


def _state(optimizer: Optimizer | None) -> list[Array]:
    """The arrays that an optimiser keeps."""
    return [array for kept in optimizer.state for array in kept.values()] if optimizer else []


def _attributes(modules: Sequence[Module]) -> list[tuple[bool, dict[str, Any]]]:
    """What modules are set to: training or evaluation, and the numbers and words among their attributes."""
    simple = (bool, int, float, str, tuple, type(None))
    return [(m.training, {k: v for k, v in vars(m).items() if isinstance(v, simple) and k[0] != "_"}) for m in modules]


def _build(lowering: Lowering, backend: str) -> Executable:
    """The function of a program that is complete."""
    simplified(lowering.program)
    if backend == "numpy":
        return numpy_code.build(lowering.program)
    fused = importlib.import_module("tinygrad_sm.compiler.numba_code")
    made: Executable = fused.build(lowering.program)
    return made


class Compiled:
    """A function that runs as straight-line programs, made at the first call with arguments of each kind."""

    def __init__(self, function: Callable[..., Any], backend: str) -> None:
        if not callable(function):
            raise DTypeError(f"compile: {describe(function)} is not a function", remedy="pass a function of arrays")
        if backend not in BACKENDS:
            raise ArgumentError(f"compile: backend={backend!r}", remedy='pass "numpy" or "numba"')
        self.function = function
        self.backend = backend
        self._made: dict[Any, list[Made]] = {}  # by the kind of their arguments
        self._warned: set[str] = set()
        self._lock = threading.Lock()
        self._order: list[tuple[Any, Made]] = []
        self._latest: Made | None = None
        self._names: list[str] = []  # of the arrays among the arguments
        functools.update_wrapper(cast(Any, self), function, updated=())

    @property
    def source(self) -> str:
        """The code of the program that was used last."""
        return self._used().executable.source

    def report(self) -> str:
        """What the program that was used last consists of, and what in it runs as a call, with the reason."""
        made = self._used()
        lines = [
            f"{len(self._order)} program{'s' if len(self._order) > 1 else ''}, backend {self.backend}; this one: "
            f"made in {1000 * made.seconds:.0f} ms, {made.executable.nbytes / 1024:.0f} KiB of buffers"
        ]
        lines += [f"runs as a call: {origin.op} ({origin.phase}): {why}" for origin, why in made.calls]
        return "\n".join([*lines, *made.executable.report])

    def _used(self) -> Made:
        if self._latest is None:
            raise CaptureError("nothing is compiled yet", remedy="call the function once")
        return self._latest

    def _lowering(self, captured: Capture, constants: set[int]) -> Lowering:
        """The forward of a captured run as the beginning of a program."""
        lowering = Lowering(captured, constants, whole=self.backend != "numpy")
        for value, name in zip(lowering.program.inputs, self._names, strict=False):
            value.name = name
        return lowering

    def _find(self, kind: Any) -> Made | None:
        """The program for arguments of a kind, if there is one that holds."""
        for made in self._made.get(kind, ()):
            if made.holds():
                self._latest = made
                return made
        return None

    def _run(self, made: Made, *arguments: Any) -> Any:
        """What a program returns; an error is the function's own to raise, at the user's own line."""
        with self._lock:  # its buffers serve one call at a time
            try:
                return made.run(*arguments)
            except (TinygradError, FloatingPointError, RuntimeWarning) as error:
                if made.executable.has_written(error):
                    raise
                return DEVIATES

    def _make(self, function: Callable[..., Any], lowering: Lowering, *more: Any) -> Made:
        """A program ready to run; says where a variable was not what it had been, as programs cost time to make."""
        changed = self._latest.surroundings.changed() if self._latest else ""
        if changed and changed not in self._warned:
            self._warned.add(changed)
            name = getattr(function, "__name__", "the function")
            warn(f"{name} is compiled again because its variable {changed} changed: pass what changes as an argument")
        captured, *rest = more
        return Made(function, lowering, captured, _build(lowering, self.backend), *rest)

    def _keep(self, arguments: Sequence[Any], made: Made) -> None:
        """Remember a program for arguments of a kind, and forget the oldest one if there are too many."""
        kind = kind_of(arguments)
        made.only_arrays = all(type(each) is np.ndarray for each in arguments)
        self._made.setdefault(kind, []).append(made)
        self._order.append((kind, made))
        self._latest = made
        if len(self._order) > LIMIT:
            kind, oldest = self._order.pop(0)
            self._made[kind].remove(oldest)

    def __repr__(self) -> str:
        return f"<compiled {getattr(self.function, '__qualname__', self.function)!s}, {len(self._order)} programs>"


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
    return type(argument), argument


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


def _names(function: Callable[..., Any], arguments: Sequence[Any]) -> list[str]:
    """What a function calls its arguments, as far as these are arrays."""
    called = function.forward if isinstance(function, Module) else function
    try:
        names = list(inspect.signature(called).bind(*arguments).arguments)
    except (TypeError, ValueError):  # a function that does not tell
        return []
    return [name for name, each in zip(names, arguments, strict=False) if array_of(each) is not None]


class CompiledStep(Compiled):
    """A training step as one call: `step(x, y)` computes the loss, goes back, updates, and returns the loss."""

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
        self.optimizer = optimizer
        self.clip_norm = clip_norm
        self.clip_value = clip_value

    def __call__(self, *arguments: Any) -> Any:
        refuse_within_capture("a compiled step called")
        made = self._find(kind_of(arguments))
        if made is None:
            return self._first(arguments)
        arrays = arguments if made.only_arrays else arrays_of(arguments)
        result = self._run(made, *arrays, self.optimizer.lr)
        if result is DEVIATES:
            return self._eagerly(self.function(*as_tensors(arguments)))
        note_overwrite(*made.written)
        return result

    def _first(self, arguments: Sequence[Any]) -> Any:
        """Make a program, and take the step as it is written."""
        began = time.perf_counter()
        optimizer = self.optimizer
        groups = _groups(optimizer)
        captured, constants = captured_twice(self.function, as_tensors(arguments))
        self._names = _names(self.function, arguments)
        loss = _loss_of(captured.result)
        _check_parameters(optimizer, loss)
        lowering = self._lowering(captured, constants)
        slopes = lowering.backward(loss, optimizer.params)
        lowering.watch_for_nan(slopes)
        flat = [lowering.gather([slopes[i] for i in group], data.shape) for group, data, _ in groups]
        flat = lowering.clipped(flat, self.clip_norm, self.clip_value)
        for (_, data, state), each in zip(groups, flat, strict=True):
            lowering.update(optimizer, data, each, state)
        lowering.finish(captured.result)
        self._keep(arguments, self._make(self.function, lowering, captured, began, optimizer))
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
        return _as_numpy(result)


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
            raise GradientError(
                f"compile_step: the loss does not depend on parameter {p.name or i} {p.shape}",
                remedy="give the optimiser the parameters that the loss uses, and no others",
            )


class CompiledFunction(Compiled):
    """A function, or with `positions` its value and gradients, as programs."""

    def __init__(self, function: Callable[..., Any], backend: str) -> None:
        super().__init__(function, backend)
        self.inner, self.argnum = function, None
        if getattr(function, "__code__", None) is _DIFFERENTIATED:
            self.inner, self.argnum = function.__wrapped__, function.argnum  # type: ignore[attr-defined]

    def __call__(self, *arguments: Any) -> Any:
        refuse_within_capture("a compiled function called")
        given = self._numbers_as_arrays(arguments)
        made = self._find(kind_of(given))
        if made is None:
            results = self._first(given)
        else:
            results = self._run(made, *(given if made.only_arrays else arrays_of(given)))
            if results is DEVIATES:
                return self.function(*arguments)
        tensors = any(isinstance(each, Tensor) for each in arguments)
        return _mapped(results, _as_tensor if tensors else _as_array)

    def _positions(self, count: int) -> tuple[int, ...]:
        """The arguments to differentiate by."""
        if self.argnum is None:
            return ()
        positions = (self.argnum,) if isinstance(self.argnum, int) else tuple(self.argnum)
        if any(not 0 <= i < count for i in positions):
            raise GradientError(f"grad: no positional argument {self.argnum} among the {count} given")
        return positions

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
        tensors = as_tensors(arguments)
        self._refuse_recorded(arguments)
        leaves = []
        for i in self._positions(len(arguments)):
            tensors[i] = Tensor(tensors[i], requires_grad=True)
            leaves.append(tensors[i])
        captured, constants = captured_twice(self.inner, tensors)
        self._names = _names(self.inner, arguments)
        lowering = self._lowering(captured, constants)
        results = captured.result
        if self.argnum is not None:
            loss = _loss_of(captured.result)
            slopes = lowering.backward(loss, leaves)
            lowering.watch_for_nan(slopes)
            found = gradients(loss, leaves)
            single = isinstance(self.argnum, int)
            results = captured.result, found[0] if single else tuple(found)
            for each, slope in zip(found, slopes, strict=True):
                lowering.arrays[id(each._data)] = slope
        lowering.finish(results)
        self._keep(arguments, self._make(self.inner, lowering, captured, began))
        return _as_numpy(results)

    def _refuse_recorded(self, arguments: Sequence[Any]) -> None:
        """Refuse tensors whose gradient would end here."""
        for i, each in enumerate(arguments):
            if isinstance(each, Tensor) and each.requires_grad and i not in self._positions(len(arguments)):
                remedy = "compile value_and_grad(f) instead, or pass x.detach()"
                raise GradientError(f"compile: argument {i} {describe(each)} carries a gradient", remedy=remedy)


# What `value_and_grad` returns is known by its code.
_DIFFERENTIATED = value_and_grad(abs).__code__


def _mapped(results: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(results, (tuple, list)):
        return type(results)([_mapped(each, change) for each in results])
    return change(results)


def _as_tensor(result: Any) -> Any:
    return from_edge(result, None) if isinstance(result, (np.ndarray, np.generic)) else result


def _as_array(result: Any) -> Any:
    return np.asarray(result) if isinstance(result, np.generic) else result


def _as_numpy(result: Any) -> Any:
    """What a program returns for a result of the function: arrays for tensors, numbers for scalars."""
    return _mapped(result, lambda each: each._data[()] if isinstance(each, Tensor) else each)


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
    extra `fast`; clip_norm, clip_value: bounds on the gradients, as `optim.clip_grad_norm` and `clip_grad_value` have
    them. Returns a function that returns the loss as a number, and others as arrays. `.source` is its code, `.report()`
    what is in it. Raises CaptureError where Python depends on values, GradientError for a parameter that is not used.

    >>> from tinygrad_sm import nn, optim
    >>> w = nn.Parameter([1.0, 2.0])
    >>> step = compile_step(lambda x: ((w - x) ** 2).sum(), optim.SGD([w], lr=0.25))
    >>> [float(step(np.zeros(2))) for _ in range(3)]
    [5.0, 1.25, 0.3125]
    """
    refuse_within_capture("compile_step called")
    return CompiledStep(loss_fn, optimizer, backend, clip_norm, clip_value)


def compile(f: Callable[..., Any], *, backend: str = "numpy") -> CompiledFunction:
    """A function of arrays, or the `value_and_grad` of one, as straight lines of code; see `compile_step`.

    Given arrays it returns arrays, given tensors it returns tensors, which carry no gradient.

    >>> from tinygrad_sm import value_and_grad
    >>> both = compile(value_and_grad(lambda x: (x * x).sum()))
    >>> both(np.array([1.0, 2.0]))
    (array(5.), array([2., 4.]))
    """
    refuse_within_capture("compile called")
    return CompiledFunction(f, backend)
