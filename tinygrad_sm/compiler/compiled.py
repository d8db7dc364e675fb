"""A function and the programs that were made of it: what `steps.py` and `functions.py` share.

A program holds for arguments of one kind (shapes, types, memory layout), for the modules in one mode and for the arrays
that the parameters had. Where one of these changes, the function is captured anew; where a guard fails, that call runs
as it is written.
"""

from __future__ import annotations

import functools
import importlib
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, cast

import numpy as np

from tinygrad_sm.compiler import numpy_code
from tinygrad_sm.compiler.arguments import kind_of
from tinygrad_sm.compiler.capture import CAPTURING, Capture, generators_of, refuse_within_capture
from tinygrad_sm.compiler.lowering import Lowering
from tinygrad_sm.compiler.numpy_code import Executable
from tinygrad_sm.compiler.passes import simplified
from tinygrad_sm.compiler.program import DEVIATES
from tinygrad_sm.compiler.surroundings import Surroundings
from tinygrad_sm.compiler.validity import Conditions
from tinygrad_sm.display import describe
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.errors import ArgumentError, CaptureError, DTypeError, TinygradError, warn
from tinygrad_sm.nn import module
from tinygrad_sm.nn.module import Module, changes
from tinygrad_sm.optim import Optimizer

LIMIT = 16  # programs that a function keeps; the one that was made first goes first
BACKENDS = ("numpy", "numba")


class Made:
    """A program that runs, and what has to be as it was when it was made."""

    def __init__(
        self,
        surroundings: Surroundings,
        lowering: Lowering,
        captured: Capture,
        executable: Executable,
        optimizer: Optimizer | None,
    ) -> None:
        self.executable = executable
        self.run = executable.run
        self.calls = lowering.trace.calls
        self.written = [memory.array for memory, _ in lowering.program.stores if memory.array is not None]
        self.generators = generators_of(captured)
        self.modules = list({id(below): below for each in captured.modules for below in each.modules()}.values())
        self.attributes = _attributes(self.modules)
        self.changes = changes()
        self.optimizer = optimizer
        self.moving = [*lowering.settings[0]][1:] if optimizer else []
        self.numbers_set = _numbers_set(optimizer) if optimizer else []
        self.arrays_kept = _arrays_kept(optimizer)
        self.surroundings = surroundings
        self.seconds = 0.0
        self.count = 0  # of arguments
        self.only_arrays = False  # whether the arguments are handed on as they are
        self.fits: Callable[..., bool] = _never
        self._conditions = Conditions()
        self._expect(captured.sources.values(), lowering.moved)
        self._unchanged = self._conditions.function([])

    def _expect(self, sources: Iterable[Tensor], moved: Collection[str]) -> None:
        """Make conditions of what the program was made for, but for the arguments."""
        conditions, optimizer = self._conditions, self.optimizer
        for tensor in sources:
            name = conditions.name(tensor)
            conditions.same(f"{name}._data", tensor._data)
            if tensor._edge:  # None once it is frozen
                conditions.same(f"{name}._edge", tensor._edge)
        if optimizer:
            self._expect_settings(optimizer, moved)
            for kept in optimizer.state:
                for key, array in kept.items():
                    conditions.same(f"{conditions.name(kept)}.get({key!r})", array)
        conditions.lines.append(f"{conditions.name(module)}._changes == {conditions.name(self)}.changes")
        self.surroundings.expect(conditions)

    def _expect_settings(self, optimizer: Optimizer, moved: Collection[str]) -> None:
        """Make a condition of each setting, and of the type alone of those that are given with each call."""
        conditions, name = self._conditions, self._conditions.name(optimizer)
        conditions.equal(f"len({name}.params)", len(optimizer.params))  # more with add_param_group
        for own in optimizer.own_settings():
            owned = f"{conditions.name(own)}.get" if own or len(optimizer.own_settings()) > 1 else ""
            for setting in ("lr", *(each for each, _ in optimizer.settings() if each not in moved)):
                expression = f"{owned}({setting!r}, {name}.{setting})" if owned else f"{name}.{setting}"
                value = own.get(setting, getattr(optimizer, setting))
                if setting != "lr" and setting not in self.moving:
                    conditions.equal(expression, value)
                elif isinstance(value, tuple):
                    conditions.equal(f"[*map(type, {expression})]", [*map(type, value)])
                else:
                    conditions.same(f"type({expression})", type(value))  # NumPy's numbers have a precision

    def moved_settings(self) -> list[str]:
        """The names of numbers that the optimiser was set to, and is no more."""
        if self.optimizer is None:
            return []
        pairs = zip(_numbers_set(self.optimizer), self.numbers_set, strict=False)
        return [name for now, then in pairs for name in now if now[name] != then.get(name)]

    def serve(self, arguments: Sequence[Any]) -> None:
        """Be ready for arguments like these: if all of them are arrays, one short function asks for everything."""
        self.count = len(arguments)
        self.only_arrays = all(type(each) is np.ndarray for each in arguments)
        if self.only_arrays:
            names = [f"x{i}" for i in range(len(arguments))]
            self._conditions.same(f"{self._conditions.name(CAPTURING)}.get()", None)
            for name, each in zip(names, arguments, strict=True):
                self._conditions.array_like(name, each)
            self.fits = self._conditions.function(names)

    def holds(self) -> bool:
        """Whether everything but the arguments is as it was; what else changed of modules is of no account."""
        if self.attributes != _attributes(self.modules) or self.arrays_kept != _arrays_kept(self.optimizer):
            return False
        self.changes = changes()
        return self._unchanged()


def _never(*arguments: Any) -> bool:
    return False


def _arrays_kept(optimizer: Optimizer | None) -> list[int]:
    """How many arrays an optimiser keeps of each parameter."""
    return [len(kept) for kept in optimizer.state] if optimizer else []


def _numbers_set(optimizer: Optimizer) -> list[dict[str, Any]]:
    """The numbers, and tuples of them, that each group of an optimiser is set to, but for the learning rate."""
    names = [name for name, value in optimizer.settings() if _is_number(value)]
    return [{name: own.get(name, getattr(optimizer, name)) for name in names} for own in optimizer.own_settings()]


def _is_number(value: Any) -> bool:
    if isinstance(value, tuple):
        return bool(value) and all(map(_is_number, value))
    return isinstance(value, (float, np.floating))


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

    what = "a compiled function"

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

    def _refuse_named(self, named: Collection[str]) -> None:
        """Refuse arguments by name: programs are found by the kinds of what stands in each place."""
        given = ", ".join(f"{name}=" for name in named)
        remedy = "pass it in its place, or close over what stays the same"
        raise ArgumentError(f"{self.what} takes its arguments by position, not {given}", remedy=remedy)

    def has_program(self, *arguments: Any) -> bool:
        """Whether a call with such arguments runs a program that is made already; the first one runs the function."""
        return self._find(arguments) is not None

    def _used(self) -> Made:
        if self._latest is None:
            raise CaptureError("nothing is compiled yet", remedy="call the function once")
        return self._latest

    def _lowering(self, surroundings: Surroundings, captured: Capture, constants: set[int]) -> Lowering:
        """The forward of a captured run as the beginning of a program."""
        lowering = Lowering(captured, constants, surroundings.called(), whole=self.backend != "numpy")
        for value, name in zip(lowering.program.inputs, self._names, strict=False):
            value.name = name
        return lowering

    def _find(self, arguments: Sequence[Any]) -> Made | None:
        """The program for arguments, if there is one that holds: most often the one that was used last."""
        made = self._latest
        if made is not None and len(arguments) == made.count and made.fits(*arguments):
            return made
        refuse_within_capture(f"{self.what} called")
        for made in self._made.get(kind_of(arguments), ()):
            if made.holds():
                self._latest = made
                return made
        return None

    def _run(self, made: Made, arguments: Sequence[Any]) -> Any:
        """What a program returns; an error is the function's own to raise, at the user's own line."""
        states = [each.bit_generator.state for each in made.generators] if made.generators else ()
        with self._lock:  # its buffers serve one call at a time
            try:
                result = made.run(*arguments)
            except (TinygradError, FloatingPointError, RuntimeWarning, np.linalg.LinAlgError) as error:
                if made.executable.has_written(error):
                    raise
                result = DEVIATES
        if result is DEVIATES:  # the function itself draws anew
            for generator, state in zip(made.generators, states, strict=True):
                generator.bit_generator.state = state
        return result

    def _keep(
        self,
        surroundings: Surroundings,
        arguments: Sequence[Any],
        lowering: Lowering,
        captured: Capture,
        optimizer: Optimizer | None = None,
    ) -> Made:
        """Make a program of what is written down and remember it, in the place of the oldest one if there are many."""
        self._warn_of_changes()
        made = Made(surroundings, lowering, captured, _build(lowering, self.backend), optimizer)
        made.serve(arguments)
        kind = kind_of(arguments)
        self._made.setdefault(kind, []).append(made)
        self._order.append((kind, made))
        self._latest = made
        if len(self._order) > LIMIT:
            kind, oldest = self._order.pop(0)
            self._made[kind].remove(oldest)
        return made

    def _warn_of_changes(self) -> None:
        """Say where a variable is not what it had been: a program for each value of it costs time."""
        changed = self._latest.surroundings.changed() if self._latest else ""
        if changed and changed not in self._warned:
            self._warned.add(changed)
            name = getattr(self.function, "__name__", "the function")
            warn(f"{name} is compiled again because its variable {changed} changed: pass what changes as an argument")

    def __repr__(self) -> str:
        return f"<compiled {getattr(self.function, '__qualname__', self.function)!s}, {len(self._order)} programs>"


def mapped(results: Any, change: Callable[[Any], Any]) -> Any:
    """Results, in tuples and lists too, with each changed; in tuples, as a program returns them."""
    if isinstance(results, (tuple, list)):
        return tuple([mapped(each, change) for each in results])
    return change(results)


def as_numpy(result: Any) -> Any:
    """What a program returns for a result of the function: arrays for tensors, numbers for scalars."""
    return mapped(result, lambda each: each._data[()] if isinstance(each, Tensor) else each)
