"""What goes on inside of a model while it trains: the outputs of its layers, their gradients, and the updates.

While a watch is open, `Module.__call__` and the sweep of `backward` are replaced by versions that take notes; they read
and change nothing. Read `health.py` for what is concluded from the notes.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from tinygrad_sm.debug.monitoring.curves import draw_watched
from tinygrad_sm.debug.monitoring.health import Row, report
from tinygrad_sm.debug.monitoring.moments import Moments, moments_of, pooled
from tinygrad_sm.engine.tape import Edge, Node, Sweep
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.errors import ArgumentError, DTypeError
from tinygrad_sm.files import PathLike
from tinygrad_sm.nn.module import Module, Parameter
from tinygrad_sm.numpy_calls import flat
from tinygrad_sm.operand import plain
from tinygrad_sm.replaced import Replaced


def watch(model: Module, *, every: int = 1) -> Watch:
    """Take notes of every layer of a model while it trains, until `close()` or the end of a `with` block.

    Args: model: its modules without modules of their own are the layers. every: measure one in so many steps; a step is
    a `backward` that reaches the model. The loop, or a Trainer, needs no change. Returns the Watch: `print` it for a
    table with warnings, `plot` it, read `history`. Raises DTypeError for what is no Module, ArgumentError.

    >>> from tinygrad_sm.nn import Linear
    >>> layer = Linear(3, 2, generator=np.random.default_rng(0))
    >>> with watch(layer) as watched:
    ...     for _ in range(5):
    ...         layer(np.ones((4, 3), np.float32)).sum().backward()
    >>> watched
    <Watch of Linear: 5 steps, closed>
    >>> watched.history["Linear"][-1]["gradient_mean"]
    1.0
    """
    if not isinstance(model, Module):
        raise DTypeError(f"watch: takes a Module, not {type(model).__name__}", remedy="pass the model itself")
    if not isinstance(every, int) or every < 1:
        raise ArgumentError(f"watch: every={every!r}", remedy="pass a whole number of at least 1")
    return Watch(model, every)


@dataclass(eq=False)
class _Call:
    """One output of a layer in one forward pass."""

    layer: str
    output: Moments | None  # None in a step that is not measured
    silent: Any = None  # which units, those along all axes but the first, gave zero for every example
    gradient: Moments | None = None


@dataclass
class _Update:
    """The value of a parameter before the optimiser's step, and the row that waits for what the step did to it."""

    row: Row
    before: Any


@dataclass(eq=False)
class _Notes:
    """What a watch remembers between the calls of the engine, all of it short-lived."""

    calls: weakref.WeakKeyDictionary[Node, dict[int, list[_Call]]] = field(default_factory=weakref.WeakKeyDictionary)
    reached: weakref.WeakKeyDictionary[Sweep, dict[_Call, None]] = field(default_factory=weakref.WeakKeyDictionary)
    updates: dict[str, _Update] = field(default_factory=dict)
    silent_for: dict[str, Any] = field(default_factory=dict)  # by layer: for how many batches each unit has given zero


class Watch:
    """The notes of one model: `history` has a list of rows, one a step, for each layer and each parameter by its name.

    A layer's row holds `step`, `mean`, `std` and `zeros` of its output, `dead` (the share of units that gave zero for
    every example of the last ten batches), `gradient_mean`, `gradient_std` and `gradient_zeros` of the loss by that
    output. A parameter's holds `step`, `mean`, `std`, `gradient_mean`, `gradient_std`, and `update`, the standard
    deviation of what the optimiser added divided by that of the value, once that has happened.
    """

    def __init__(self, model: Module, every: int) -> None:
        self.model = model
        self.every = every
        self.steps = 0
        self._layers = {module: name for name, module in _layers(model)}
        self._parameters = dict(model.named_parameters())
        self.history: dict[str, list[Row]] = {name: [] for name in (*self._layers.values(), *self._parameters)}
        self._notes = _Notes()
        self._finalizer = _open(self)

    @property
    def closed(self) -> bool:
        """Whether no more notes are taken."""
        return not self._finalizer.alive

    @property
    def layers(self) -> dict[str, list[Row]]:
        """The history of the layers alone, in the order in which the model has them."""
        return {name: self.history[name] for name in self._layers.values()}

    @property
    def parameters(self) -> dict[str, list[Row]]:
        """The history of the parameters alone."""
        return {name: self.history[name] for name in self._parameters}

    def close(self) -> None:
        """Stop taking notes; what was noted stays. The engine is then as it was, and closing again does nothing."""
        if not self.closed:
            self._measure_updates()
            self._notes = _Notes()
            self._finalizer()

    def plot(self, path: PathLike) -> None:
        """Draw the history into an image; the name ends in its format: .png, .svg or .pdf.

        Raises MissingExtraError without matplotlib, ArgumentError for an unknown ending or no steps, FileError.
        """
        draw_watched(self.layers, self._matrices(), path)

    def _matrices(self) -> dict[str, list[Row]]:
        """The history of parameters with two axes or more: what a bias starts from says little."""
        return {name: self.history[name] for name, value in self._parameters.items() if value.ndim > 1}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __str__(self) -> str:
        every = f", one in {self.every} measured" if self.every > 1 else ""
        title = f"{type(self.model).__name__}: {self.steps} steps{every}; `first` is the std in the first of them"
        return report(title, self.layers, self.parameters, self._matrices())

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"<Watch of {type(self.model).__name__}: {self.steps} steps, {state}>"

    def _called(self, module: Module, out: Any) -> None:
        """Note the output of a layer; updates are looked for once a forward pass, since they compare every weight."""
        if module is self.model:
            self._measure_updates()
        layer = self._layers.get(module)
        if layer is None:
            return
        measured = self.steps % self.every == 0
        for tensor in flat([out]):
            if isinstance(tensor, Tensor) and tensor._edge and not tensor.is_leaf and tensor.size:
                node, index = tensor._edge
                call = _Call(layer, moments_of(tensor.data), _silent(tensor.data)) if measured else _Call(layer, None)
                self._notes.calls.setdefault(node, {}).setdefault(index, []).append(call)

    def _passed(self, sweep: Sweep) -> None:
        """Note the gradient of the output that a sweep has come to; not of one that will be differentiated itself."""
        if sweep.wrap is not None:
            return
        for index, calls in self._notes.calls.get(sweep.node, {}).items():
            reached = self._notes.reached.setdefault(sweep, {})
            for call in calls:
                if call not in reached:
                    reached[call] = None
                    g = sweep.g[index] if isinstance(sweep.g, tuple) else sweep.g
                    call.gradient = moments_of(plain(g)) if call.output else None

    def _finished(self, sweep: Sweep) -> None:
        """Write the rows of a step whose sweep is complete."""
        reached = self._notes.reached.pop(sweep, {})  # in the order in which the sweep came by
        if not reached:
            return
        self._measure_updates()
        self.steps += 1
        by_layer: dict[str, list[_Call]] = {}
        for call in reached:
            if call.output:
                by_layer.setdefault(call.layer, []).append(call)
        for layer, calls in by_layer.items():
            self.history[layer].append({"step": self.steps, **self._row(layer, calls)})
        for name, parameter in self._parameters.items() if by_layer else ():
            g = sweep.cotangents.get(parameter._edge) if parameter._edge else None
            if g is not None:
                self._note_parameter(name, parameter, plain(g))

    def _row(self, layer: str, calls: list[_Call]) -> Row:
        """The numbers of one layer in one step, which may have called it several times."""
        output = pooled([call.output for call in calls if call.output])
        gradient = pooled([call.gradient for call in calls if call.gradient])
        row = {"mean": output.mean, "std": output.std, "zeros": output.zeros, "dead": self._dead(layer, calls)}
        return row | {f"gradient_{name}": getattr(gradient, name) for name in ("mean", "std", "zeros")}

    def _dead(self, layer: str, calls: list[_Call]) -> float:
        """The share of units of a layer that have given nothing but zero for the last `PATIENCE` steps."""
        same_shape = [call.silent for call in calls if call.silent.shape == calls[0].silent.shape]
        silent = np.logical_and.reduce(same_shape)
        before = self._notes.silent_for.get(layer, np.zeros_like(silent, int))
        counts = np.where(silent, (before if before.shape == silent.shape else 0) + 1, 0)
        self._notes.silent_for[layer] = counts
        return float(np.mean(counts >= PATIENCE)) if counts.size else 0.0

    def _note_parameter(self, name: str, parameter: Parameter, g: Any) -> None:
        value, gradient = moments_of(parameter.data), moments_of(g)
        row: Row = {"step": self.steps, "mean": value.mean, "std": value.std}
        row |= {"gradient_mean": gradient.mean, "gradient_std": gradient.std}
        self.history[name].append(row)
        self._notes.updates[name] = _Update(row, parameter.data.copy())

    def _measure_updates(self) -> None:
        """Complete the rows of parameters that have changed since."""
        for name, update in list(self._notes.updates.items()):
            now = self._parameters[name].data
            if now.shape == update.before.shape and not np.array_equal(now, update.before, equal_nan=True):
                del self._notes.updates[name]
                with np.errstate(all="ignore"):
                    change = moments_of(now.astype(float) - update.before).std
                    if update.row["std"]:
                        update.row["update"] = change / update.row["std"]


PATIENCE = 10  # batches after which a unit that has given nothing but zero counts as dead


def _silent(array: Any) -> Any:
    """Which units gave zero for every example; the first axis of an array of two or more counts the examples."""
    return np.all(array == 0, axis=0) if array.ndim > 1 else np.asarray(array == 0)


def _layers(model: Module) -> Iterator[tuple[str, Module]]:
    """The modules that have no modules of their own, each with its path and class, such as `0.Linear`."""
    for path, module in model.named_modules():
        if not any(True for _ in module.children()):
            yield ".".join(filter(None, (path, type(module).__name__))), module


_watches: tuple[weakref.ref[Watch], ...] = ()  # weak, so that one which is forgotten closes by itself
_lock = threading.RLock()
_plain_call, _plain_add, _plain_exit = Module.__call__, Sweep.add, Sweep.__exit__


def _watching() -> Iterator[Watch]:
    """Every open watch."""
    return (watched for watched in (each() for each in _watches) if watched is not None)


def _noted_call(self: Module, *args: Any, **kwargs: Any) -> Any:
    """`Module.__call__`, and a note of the output."""
    out = _plain_call(self, *args, **kwargs)
    for watched in _watching():
        watched._called(self, out)
    return out


def _noted_add(self: Sweep, edge: Edge, primal: Any, contribution: Any) -> None:
    """`Sweep.add`, and a note of the cotangent that was handed to the rule."""
    _plain_add(self, edge, primal, contribution)
    for watched in _watching():
        watched._passed(self)


def _noted_exit(self: Sweep, kind: object, error: BaseException | None, traceback: object) -> None:
    """`Sweep.__exit__`, and the rows of the step."""
    _plain_exit(self, kind, error, traceback)
    for watched in _watching() if kind is None else ():
        watched._finished(self)


_REPLACED = Replaced((Module, "__call__", _noted_call), (Sweep, "add", _noted_add), (Sweep, "__exit__", _noted_exit))


def _open(watched: Watch) -> weakref.finalize[Any, Any]:
    """Put the versions that take notes in place; what is returned closes when it is called or the watch is gone."""
    global _watches
    reference = weakref.ref(watched)
    with _lock:
        _watches = (*_watches, reference)
    _REPLACED.acquire()
    return weakref.finalize(watched, _close, reference)


def _close(reference: weakref.ref[Watch]) -> None:
    """Let the engine's own versions come back when nobody takes notes any more."""
    global _watches
    with _lock:
        _watches = tuple(each for each in _watches if each is not reference)
    _REPLACED.release()
