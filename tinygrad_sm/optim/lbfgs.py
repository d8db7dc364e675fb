"""L-BFGS: Newton's direction from the last few steps, for losses without noise.

`LBFGS.step` is the iteration, `_Memory.direction` the two loops of the paper; `line_search.py` finds how far to go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinygrad_sm.display import describe
from tinygrad_sm.effects import note_overwrite
from tinygrad_sm.errors import ArgumentError, DTypeError, GradientError, NonFiniteError
from tinygrad_sm.optim.line_search import Point, strong_wolfe
from tinygrad_sm.optim.optimizer import Optimizer, Params
from tinygrad_sm.optim.storage import Array
from tinygrad_sm.state import fitted

CURVED = 1e-10  # the least product of a step and the change of the gradient along it from which curvature is learnt


class LBFGS(Optimizer):
    """Limited-memory BFGS: p = p + t d with d = -H g, H from the last history_size steps and changes of g.

    t is lr (in the first iteration at most lr / |g|_1), or found from there by line_search_fn="strong_wolfe".
    Source: D. Liu and J. Nocedal, On the limited memory BFGS method for large scale optimization, 1989.

    >>> from tinygrad_sm import nn
    >>> w = nn.Parameter([-1.0, 2.0])
    >>> def closure():
    ...     w.grad = None
    ...     loss = ((w - 3) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> LBFGS([w], line_search_fn="strong_wolfe").step(closure).item(), w.data
    (17.0, array([3., 3.]))
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        self.max_iter = max_iter
        self.check_numbers("max_iter")
        self.max_eval = max_iter * 5 // 4 if max_eval is None else max_eval
        self.tolerance_grad = tolerance_grad
        self.tolerance_change = tolerance_change
        self.history_size = history_size
        self.line_search_fn = line_search_fn
        super().__init__(params, lr)
        if len(self.param_groups) > 1:
            raise _no_groups()
        self._memory = _Memory()

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Raise ArgumentError: its direction is one for all parameters."""
        raise _no_groups()

    def check_settings(self) -> None:
        super().check_settings()
        self.check_numbers("max_iter", "max_eval", "history_size", "tolerance_grad", "tolerance_change")
        for name, least in (("max_iter", 1), ("max_eval", 1), ("history_size", 1), ("tolerance_grad", 0)):
            if not getattr(self, name) >= least:
                remedy = f"pass at least {least}"
                raise ArgumentError(f"LBFGS: {name}={getattr(self, name)}", remedy=remedy)
        if not self.tolerance_change >= 0:
            raise ArgumentError(f"LBFGS: tolerance_change={self.tolerance_change}", remedy="pass at least 0")
        if self.line_search_fn not in (None, "strong_wolfe"):
            remedy = 'pass "strong_wolfe" or None'
            raise ArgumentError(f"LBFGS: line_search_fn={self.line_search_fn!r}", remedy=remedy)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Up to max_iter iterations; returns the loss before them, as the closure returned it.

        Args: closure: clears the gradients, computes the loss, of the same data each time, goes back and returns it.
        It stops early after max_eval losses (5 for 4 iterations), where no |g| exceeds tolerance_grad, or where place
        or loss change by less than tolerance_change. Raises ArgumentError without a closure, DTypeError for one
        that returns None, and NonFiniteError where the loss is NaN or infinite: the parameters are back at the last
        point where it was a number.
        """
        if not callable(closure):
            remedy = "pass a function that clears the gradients, computes the loss, goes back and returns it"
            raise ArgumentError(f"LBFGS: step() needs a closure, got {describe(closure)}", remedy=remedy)
        memory = self._memory
        first = closure()
        if first is None:
            what = f"{self}: the closure returned None"
            raise DTypeError(what, remedy="let it return the loss, after going back from it")
        now = Point(0.0, float(first), self._gradient(), 0.0)
        if not now.is_finite():
            remedy = "look at the data and the first values; `with debug.numerics():` stops where it begins"
            raise NonFiniteError(f"{self}: the loss is {now.loss} at the beginning of a step", remedy=remedy)
        evaluations = 1
        for _ in range(self.max_iter):
            if np.abs(now.gradient).max(initial=0) <= self.tolerance_grad:
                break
            memory.learn(now.gradient, self.history_size)
            rate = self.lr if memory.iterations > 1 else min(1.0, 1 / float(np.abs(now.gradient).sum())) * self.lr
            direction = memory.step
            now = Point(0.0, now.loss, now.gradient, float(now.gradient @ direction))
            if now.slope > -self.tolerance_change:
                memory.rate = 0.0
                break
            place = self._place()
            found, calls = self._advance(closure, place, now, direction, rate)
            memory.rate = found.rate
            evaluations += calls
            moved = float(np.abs(direction).max()) * found.rate
            settled = moved <= self.tolerance_change or abs(found.loss - now.loss) < self.tolerance_change
            now = found
            if settled or evaluations >= self.max_eval:
                break
        return first

    def _advance(
        self, closure: Callable[[], Any], place: Array, now: Point, direction: Array, rate: float
    ) -> tuple[Point, int]:
        """Go along a direction; returns the point that was reached and how many losses it took."""

        def look(t: float) -> Point:
            self._go(place + t * direction)
            loss = float(closure())
            g = self._gradient()
            return Point(t, loss, g, float(g @ direction))

        try:
            if self.line_search_fn:
                found, calls = strong_wolfe(look, now, rate, float(np.abs(direction).max()), self.tolerance_change)
            else:
                found, calls = look(rate), 1
        except BaseException:  # an error of the closure, or Ctrl-C
            self._go(place)
            raise
        if not found.is_finite():
            self._go(place)
            self._memory = _Memory()
            remedy = f'take a smaller lr than {self.lr}, or pass line_search_fn="strong_wolfe"'
            raise NonFiniteError(f"{self}: the loss became {found.loss}; the step was taken back", remedy=remedy)
        self._go(place + found.rate * direction)
        return found, calls

    def _place(self) -> Array:
        return np.concatenate([p._data.reshape(-1) for p in self.params])

    def _go(self, place: Array) -> None:
        """Move the parameters to a point."""
        start = 0
        for p in self.params:
            p._data[...] = place[start : start + p.size].reshape(p.shape)
            start += p.size
        note_overwrite(*[p._data for p in self.params])

    def _gradient(self) -> Array:
        """The gradients, one after another; zeros for a parameter that the loss does not depend on."""
        trained = [p for p in self.params if p.grad is not None]
        if not trained:
            remedy = "call loss.backward() in it"
            raise GradientError(f"{self}: the closure left no gradients", remedy=remedy)
        self._check(trained, True)
        for p in trained:
            p._used_grad = p.grad
        found = [np.zeros(p.size, p.dtype) if p.grad is None else p.grad.reshape(-1) for p in self.params]
        return np.concatenate(found)

    def state_dict(self) -> dict[str, Any]:
        """The learning rate, and what is remembered of the steps before, as a flat dict."""
        return {"lr": self.lr, **self._memory.state(self._place())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned. Raises StateError if it is not the state of such an optimiser."""
        own = self.state_dict()
        self._check_names(state, own)
        pairs = len(np.atleast_1d(state["inverses"]))
        remedy = "give the optimiser parameters of the same shapes in the same order"
        values = {}
        for name, value in own.items():
            like = np.asarray(value)
            like = np.zeros((pairs, *like.shape[1:]), like.dtype) if name in MANY else like
            values[name] = fitted(state[name], like, f"{self}: {name}", remedy)
        self.lr = values["lr"].item()
        self._memory = _Memory.of(values)

    def __getstate__(self) -> dict[str, Any]:
        memory = _Memory.of({name: np.array(value) for name, value in self._memory.state(self._place()).items()})
        return {**super().__getstate__(), "_memory": memory}


def _no_groups() -> ArgumentError:
    remedy = "pass all of model.parameters() when it is made: its direction is one for all of them"
    return ArgumentError("LBFGS: takes no groups of parameters", remedy=remedy)


MANY = "steps", "changes", "inverses"  # of which there is one for each pair


class _Memory:
    """The last steps s and changes of the gradient y along them, and the step that is being made."""

    def __init__(self) -> None:
        self.iterations = 0
        self.pairs: list[tuple[Array, Array, float]] = []  # s, y and 1 / (y s), oldest first
        self.scale = 1.0  # of the inverse curvature to begin with
        self.step: Array = np.zeros(0)
        self.rate = 0.0
        self.gradient: Array = np.zeros(0)

    def learn(self, g: Array, size: int) -> None:
        """Take in the gradient at the point that was reached, and find the next direction."""
        self.iterations += 1
        if self.iterations > 1:
            y, s = g - self.gradient, self.step * self.rate
            ys = float(y @ s)
            if ys > CURVED:
                self.pairs = [*self.pairs, (s, y, 1 / ys)][-size:]
                self.scale = ys / float(y @ y)
        self.gradient = g
        self.step = self.direction(g)

    def direction(self, g: Array) -> Array:
        """-H g, without ever forming H."""
        q = -g
        weights = []
        for s, y, inverse in reversed(self.pairs):
            weights.append(float(s @ q) * inverse)
            q = q - weights[-1] * y
        d = q * self.scale
        for (s, y, inverse), weight in zip(self.pairs, reversed(weights), strict=True):
            d = d + s * (weight - float(y @ d) * inverse)
        return d

    def state(self, like: Array) -> dict[str, Any]:
        """All of it as arrays; those of no step yet are zeros."""
        begun = self.iterations > 0
        none = np.zeros((0, like.size), like.dtype)
        return {
            "iterations": np.array(self.iterations),
            "rate": np.array(self.rate),
            "scale": np.array(self.scale),
            "step": self.step.copy() if begun else np.zeros_like(like),
            "gradient": self.gradient.copy() if begun else np.zeros_like(like),
            "steps": np.stack([s for s, _, _ in self.pairs]) if self.pairs else none,
            "changes": np.stack([y for _, y, _ in self.pairs]) if self.pairs else none,
            "inverses": np.array([inverse for _, _, inverse in self.pairs], np.float64),
        }

    @classmethod
    def of(cls, state: Mapping[str, Array]) -> _Memory:
        """What a state is the state of."""
        memory = cls()
        memory.iterations = int(state["iterations"])
        memory.rate, memory.scale = float(state["rate"]), float(state["scale"])
        memory.step, memory.gradient = state["step"], state["gradient"]
        rows = zip(state["steps"], state["changes"], state["inverses"].tolist(), strict=True)
        memory.pairs = [(s.copy(), y.copy(), inverse) for s, y, inverse in rows]
        return memory
