"""Schedules: learning rates that change while training goes on, by one call of `step` after each epoch or each step.

`Schedule` does the bookkeeping; each class below it is one formula. `ReduceLROnPlateau` and `SequentialLR` stand at the
end: one looks at the loss, the other puts schedules one after another.
"""

from __future__ import annotations

import bisect
import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_sm.display import describe
from tinygrad_sm.errors import ArgumentError, DTypeError, StateError
from tinygrad_sm.optim.optimizer import Optimizer

SETTINGS = (bool, int, float, str, tuple, type(None))


class Schedule:
    """Base of the schedules: after `count` steps a rate is floor + (base - floor) shape(count).

    base is the rate that the group of parameters had when the schedule was made. A rate that somebody else sets in
    between counts as one that the schedule has led to, and base becomes what fits it: two schedules multiply.
    per_step has `Trainer` call `step` after each batch instead of each epoch. A subclass writes `shape`, and sets what
    that needs before it calls this constructor, which sets the first rates.

    >>> from tinygrad_sm import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> class Harmonic(Schedule):
    ...     def shape(self, count):
    ...         return 1 / (1 + count)
    >>> Harmonic(optimizer).step()
    >>> optimizer.lr
    0.5
    """

    floor = 0.0
    moves: tuple[str, ...] = ("lr",)  # the settings that it changes

    def __init__(self, optimizer: Optimizer, *, per_step: bool = False) -> None:
        if not isinstance(optimizer, Optimizer):
            what = f"{type(self).__name__}: optimizer={describe(optimizer)}"
            raise DTypeError(what, remedy="pass optim.SGD(model.parameters(), lr=0.1), say")
        self.optimizer = optimizer
        self.per_step = per_step
        self.count = 0
        self.base_lrs = [float(rate) for rate in optimizer.group_rates()]
        self.start()

    def shape(self, count: int) -> float:
        """The part of the base rate that is left after so many steps."""
        raise TypeError(f"{type(self).__name__} has no shape(self, count): write one")

    def start(self, base_lrs: Sequence[float] | None = None) -> None:
        """Begin, or begin anew, from these rates."""
        self.count = 0
        if base_lrs is not None:
            self.base_lrs = list(base_lrs)
        self._set_rates()

    def step(self, loss: Any = None) -> None:
        """Set the rates for what follows; only schedules that watch the loss look at it."""
        self._follow()
        self.count += 1
        self._set_rates()

    def _follow(self) -> None:
        """Take account of rates that were set since."""
        self._take_in_groups()
        shape = self.shape(self.count)
        for group, (rate, last) in enumerate(zip(self.optimizer.group_rates(), self.last_lrs, strict=True)):
            if rate != last and shape:
                self.base_lrs[group] = self.floor + (rate - self.floor) / shape

    def _take_in_groups(self) -> None:
        """Take account of groups that were added since: their rates count as those that it has led to."""
        for rate in self.optimizer.group_rates()[len(self.last_lrs) :]:
            shape = self.shape(self.count)
            base = self.floor + (rate - self.floor) / shape if shape else rate
            if rate in self.last_lrs:  # without rounding, so that equal groups remain equal
                base = self.base_lrs[self.last_lrs.index(rate)]
            self.base_lrs.append(base)
            self.last_lrs.append(rate)

    def _set_rates(self) -> None:
        shape = self.shape(self.count)
        self.last_lrs = [self.floor + (base - self.floor) * shape for base in self.base_lrs]
        self.optimizer.set_group_rates(self.last_lrs)

    def get_last_lr(self) -> list[float]:
        """The rates that were set last, one for each group."""
        self._take_in_groups()
        return list(self.last_lrs)

    def settings(self) -> dict[str, Any]:
        """What the schedule was made with, in the form in which JSON gives it back."""
        moving = {"optimizer", "schedules", *self._kept()}
        found = {name: value for name, value in vars(self).items() if name not in moving and name[0] != "_"}
        return {name: _as_lists(value) for name, value in found.items() if isinstance(value, SETTINGS)}

    def state_dict(self) -> dict[str, Any]:
        """How far it is, as numbers and lists that JSON keeps exactly; the rates themselves are the optimiser's."""
        self._take_in_groups()
        kept = {name: getattr(self, name) for name in self._kept()}
        return {"schedule": type(self).__name__} | {
            name: list(value) if isinstance(value, list) else value for name, value in kept.items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned. Raises StateError if it is that of another schedule."""
        self.check_state(state)
        for name in self._kept():
            value = state[name]
            setattr(self, name, list(value) if isinstance(value, list) else value)

    def check_state(self, state: Any) -> None:
        """Raise StateError unless a state is one of such a schedule, for as many groups of parameters."""
        own, name = self.state_dict(), type(self).__name__
        if not isinstance(state, Mapping) or state.keys() != own.keys() or state["schedule"] != name:
            given = state.get("schedule", ", ".join(state)) if isinstance(state, Mapping) else type(state).__name__
            raise StateError(
                f"{name}: takes the state of {name}, not {given}", remedy="pass what state_dict() returned"
            )
        for key, value in own.items():
            if isinstance(value, list) and (not isinstance(state[key], list) or len(state[key]) != len(value)):
                what = f"{name}: {key} is {state[key]}, for {len(value)} groups of parameters"
                raise StateError(what, remedy="give the optimiser the same groups")

    def _kept(self) -> tuple[str, ...]:
        """The names of what a state holds."""
        return "count", "base_lrs", "last_lrs"

    def __repr__(self) -> str:
        settings = "".join(f"{name}={value}, " for name, value in self.settings().items() if name != "per_step")
        return f"{type(self).__name__}({settings}count={self.count})"


class StepLR(Schedule):
    """A fall every step_size steps: lr = base gamma**(count // step_size).

    Raises ArgumentError for a step_size below 1 or a negative gamma.
    Source: PyTorch, torch.optim.lr_scheduler.StepLR.

    >>> from tinygrad_sm import Tensor, optim
    >>> optimizer = optim.SGD([Tensor([1.0], requires_grad=True)], lr=0.5)
    >>> schedule = StepLR(optimizer, step_size=2, gamma=0.5)
    >>> rates = []
    >>> for _ in range(4):
    ...     schedule.step()
    ...     rates.append(optimizer.lr)
    >>> rates
    [0.5, 0.25, 0.25, 0.125]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, *, per_step: bool = False) -> None:
        self.step_size = _count("StepLR", "step_size", step_size)
        self.gamma = _factor("StepLR", "gamma", gamma)
        super().__init__(optimizer, per_step=per_step)

    def shape(self, count: int) -> float:
        return self.gamma ** (count // self.step_size)


class MultiStepLR(Schedule):
    """A fall at each milestone: lr = base gamma**(number of milestones up to count).

    Args: milestones: counts of steps, of at least 1; one that stands there twice counts twice. Raises ArgumentError.
    Source: PyTorch, torch.optim.lr_scheduler.MultiStepLR.

    >>> from tinygrad_sm import Tensor, optim
    >>> optimizer = optim.SGD([Tensor([1.0], requires_grad=True)], lr=0.5)
    >>> schedule = MultiStepLR(optimizer, milestones=[1, 3], gamma=0.5)
    >>> [schedule.shape(count) for count in range(5)]
    [1.0, 0.5, 0.5, 0.25, 0.25]
    """

    def __init__(
        self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1, *, per_step: bool = False
    ) -> None:
        self.milestones = tuple(sorted(_count("MultiStepLR", "a milestone", each) for each in milestones))
        self.gamma = _factor("MultiStepLR", "gamma", gamma)
        super().__init__(optimizer, per_step=per_step)

    def shape(self, count: int) -> float:
        passed = bisect.bisect_right(self.milestones, count)
        return float(self.gamma**passed)


class ExponentialLR(Schedule):
    """A fall by the same factor in every step: lr = base gamma**count.

    Raises ArgumentError for a negative gamma.
    Source: PyTorch, torch.optim.lr_scheduler.ExponentialLR.

    >>> from tinygrad_sm import Tensor, optim
    >>> optimizer = optim.SGD([Tensor([1.0], requires_grad=True)], lr=0.5)
    >>> ExponentialLR(optimizer, gamma=0.5).step()
    >>> optimizer.lr
    0.25
    """

    def __init__(self, optimizer: Optimizer, gamma: float, *, per_step: bool = False) -> None:
        self.gamma = _factor("ExponentialLR", "gamma", gamma)
        super().__init__(optimizer, per_step=per_step)

    def shape(self, count: int) -> float:
        return self.gamma**count


class CosineAnnealingLR(Schedule):
    """Half a wave down to eta_min: lr = eta_min + (base - eta_min) (1 + cos(pi count / T_max)) / 2.

    After T_max steps it rises again in the same way, as PyTorch's does, which forgets a rate that was set before.
    Raises ArgumentError for a T_max below 1 or a negative eta_min.
    Source: I. Loshchilov and F. Hutter, SGDR: stochastic gradient descent with warm restarts, ICLR 2017.

    >>> from tinygrad_sm import Tensor, optim
    >>> optimizer = optim.SGD([Tensor([1.0], requires_grad=True)], lr=0.5)
    >>> schedule = CosineAnnealingLR(optimizer, T_max=4)
    >>> [round(schedule.shape(count), 3) for count in range(5)]
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, *, per_step: bool = False) -> None:
        self.T_max = _count("CosineAnnealingLR", "T_max", T_max)
        self.eta_min = self.floor = _factor("CosineAnnealingLR", "eta_min", eta_min)
        super().__init__(optimizer, per_step=per_step)

    def shape(self, count: int) -> float:
        return (1 + math.cos(math.pi * count / self.T_max)) / 2


class LinearWarmup(Schedule):
    """A rise along a line: lr = base (start_factor + (1 - start_factor) min(count / total_iters, 1)).

    `SequentialLR` has another schedule follow it. Raises ArgumentError for total_iters below 1, and for a start_factor
    outside (0, 1].
    Source: PyTorch, torch.optim.lr_scheduler.LinearLR; P. Goyal et al., arXiv 1706.02677.

    >>> from tinygrad_sm import Tensor, optim
    >>> optimizer = optim.SGD([Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = LinearWarmup(optimizer, total_iters=3, start_factor=0.25)
    >>> [schedule.shape(count) for count in range(5)]
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, start_factor: float = 1 / 3, *, per_step: bool = False
    ) -> None:
        self.total_iters = _count("LinearWarmup", "total_iters", total_iters)
        self.start_factor = _factor("LinearWarmup", "start_factor", start_factor)
        if not 0 < start_factor <= 1:
            raise ArgumentError(f"LinearWarmup: start_factor={start_factor}", remedy="pass a number above 0 up to 1")
        super().__init__(optimizer, per_step=per_step)

    def shape(self, count: int) -> float:
        return self.start_factor + (1 - self.start_factor) * min(count / self.total_iters, 1)


class OneCycleLR(Schedule):
    """Up to max_lr and down to almost nothing in total_steps steps, which are batches: per_step is True here.

    The rate goes from max_lr / div_factor to max_lr in pct_start of the steps, then to 1 / final_div_factor of its
    beginning, with three_phase by way of the beginning, along half a wave or, anneal_strategy="linear", a line. With
    cycle_momentum the momentum (of Adam, beta1) falls to base_momentum and rises to max_momentum meanwhile. Other
    rates are overwritten. Raises ArgumentError, also for more steps; PyTorch's last one turns back, ours stays.
    Source: L. Smith and N. Topin, Super-convergence, arXiv 1708.07120.

    >>> from tinygrad_sm import Tensor, optim
    >>> optimizer = optim.Adam([Tensor([1.0], requires_grad=True)])
    >>> schedule = OneCycleLR(optimizer, max_lr=1.0, total_steps=10, anneal_strategy="linear")
    >>> [round(schedule.shape(count), 2) for count in range(10)], optimizer.betas
    ([0.04, 0.52, 1.0, 0.86, 0.71, 0.57, 0.43, 0.29, 0.14, 0.0], (0.95, 0.999))
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        *,
        per_step: bool = True,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                remedy = "pass total_steps=, or epochs= and steps_per_epoch="
                raise ArgumentError("OneCycleLR: the number of steps is missing", remedy=remedy)
            total_steps = _count("OneCycleLR", "epochs", epochs) * _count(
                "OneCycleLR", "steps_per_epoch", steps_per_epoch
            )
        if anneal_strategy not in ("cos", "linear"):
            raise ArgumentError(f"OneCycleLR: anneal_strategy={anneal_strategy!r}", remedy='pass "cos" or "linear"')
        if not (0 <= pct_start <= 1 and div_factor > 0 and final_div_factor > 0):
            given = f"pct_start={pct_start}, div_factor={div_factor}, final_div_factor={final_div_factor}"
            raise ArgumentError(f"OneCycleLR: {given}", remedy="pct_start is a share of 1, the others are above 0")
        if not 0 <= base_momentum <= max_momentum < 1:
            given = f"base_momentum={base_momentum}, max_momentum={max_momentum}"
            raise ArgumentError(f"OneCycleLR: {given}", remedy="pass 0 <= base_momentum <= max_momentum < 1")
        self.total_steps = _count("OneCycleLR", "total_steps", total_steps)
        _for_groups("OneCycleLR", "max_lr", max_lr, optimizer)
        self.max_lr = _one_or_each(max_lr)
        self.anneal_strategy = anneal_strategy
        self.cycle_momentum = cycle_momentum
        self.moves = ("lr", "momentum", "betas") if cycle_momentum else ("lr",)
        first, last = 1 / div_factor, 1 / div_factor / final_div_factor
        top = pct_start * self.total_steps - 1
        middle = [(2 * top, first, max_momentum)] if three_phase else []
        # Where the lines begin and end: the step, the part of max_lr, the momentum.
        self.corners = (
            (0.0, first, max_momentum),
            (top, 1.0, base_momentum),
            *middle,
            (self.total_steps - 1.0, last, max_momentum),
        )
        if cycle_momentum:
            self._check_momentum(optimizer)
        super().__init__(optimizer, per_step=per_step)

    def shape(self, count: int) -> float:
        return self._between(count, 1)

    def start(self, base_lrs: Sequence[float] | None = None) -> None:
        super().start(_for_groups("OneCycleLR", "max_lr", self.max_lr, self.optimizer))

    def step(self, loss: Any = None) -> None:
        if self.count >= self.total_steps:
            remedy = "pass the number of batches in all epochs as total_steps"
            raise ArgumentError(f"OneCycleLR: step {self.count + 1} of {self.total_steps}", remedy=remedy)
        self._take_in_groups()
        super().step()

    def _take_in_groups(self) -> None:
        rates = self.optimizer.group_rates()
        if len(rates) > len(self.base_lrs):
            if self.cycle_momentum:
                self._check_momentum(self.optimizer)
            self.base_lrs = list(_for_groups("OneCycleLR", "max_lr", self.max_lr, self.optimizer))
            self.last_lrs += rates[len(self.last_lrs) :]

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._set_momentum()

    def _follow(self) -> None:
        """Rates that were set since are overwritten."""

    def _set_rates(self) -> None:
        super()._set_rates()
        self._set_momentum()

    def _set_momentum(self) -> None:
        """Momentum is no part of the optimiser's state: it follows from the count."""
        for group in self.optimizer.param_groups if self.cycle_momentum else ():
            momentum = self._between(self.count, 2)
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum

    def _between(self, count: int, column: int) -> float:
        """The value on the line to the first corner that is not passed."""
        end = next((i for i, corner in enumerate(self.corners) if i and count <= corner[0]), len(self.corners) - 1)
        begins, ends = self.corners[end - 1][0], self.corners[end][0]
        share = min((count - begins) / (ends - begins), 1.0) if ends > begins else 1.0
        before, after = self.corners[end - 1][column], self.corners[end][column]
        if self.anneal_strategy == "linear":
            return before + (after - before) * share
        return after + (before - after) * (1 + math.cos(math.pi * share)) / 2

    def _check_momentum(self, optimizer: Any) -> None:
        for group in getattr(optimizer, "param_groups", ()):
            if not (group.get("betas") or group.get("momentum")):
                remedy = "give the optimiser momentum=0.9, or pass cycle_momentum=False"
                raise ArgumentError(f"OneCycleLR: {optimizer} has no momentum to cycle", remedy=remedy)


class ReduceLROnPlateau(Schedule):
    """A fall at a standstill: lr = max(factor lr, min_lr) after more than `patience` steps without a better loss.

    Better is below best (1 - threshold), or best - threshold with threshold_mode="abs"; with mode="max" it is above
    best (1 + threshold). NaN never is. For `cooldown` steps after a fall nothing is counted; falls of up to eps are
    left out. `step(loss)` wants the loss; `Trainer` passes that of validation if there is one. Raises ArgumentError.
    Source: PyTorch, torch.optim.lr_scheduler.ReduceLROnPlateau.

    >>> from tinygrad_sm import Tensor, optim
    >>> optimizer = optim.SGD([Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (3.0, 2.0, 2.5, 2.25):
    ...     schedule.step(loss)
    >>> optimizer.lr
    0.5
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
        *,
        per_step: bool = False,
    ) -> None:
        name = "ReduceLROnPlateau"
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            remedy = 'mode is "min" or "max", threshold_mode "rel" or "abs"'
            raise ArgumentError(f"{name}: mode={mode!r}, threshold_mode={threshold_mode!r}", remedy=remedy)
        if not 0 <= factor < 1:
            raise ArgumentError(f"{name}: factor={factor}", remedy="pass a number from 0 up to, but not including, 1")
        self.mode = mode
        self.factor = factor
        self.patience = _count(name, "patience", patience, 0)
        self.threshold = _factor(name, "threshold", threshold)
        self.threshold_mode = threshold_mode
        self.cooldown = _count(name, "cooldown", cooldown, 0)
        _for_groups(name, "min_lr", min_lr, optimizer)
        self.min_lr = _one_or_each(min_lr)
        self.eps = eps
        super().__init__(optimizer, per_step=per_step)

    def start(self, base_lrs: Sequence[float] | None = None) -> None:
        self.best: float | None = None
        self.bad_steps = 0
        self.resting = 0
        super().start(base_lrs)

    def shape(self, count: int) -> float:
        return 1.0

    def step(self, loss: Any = None) -> None:
        if loss is None:
            raise ArgumentError("ReduceLROnPlateau: step() without the loss", remedy="call step(loss)")
        loss = float(loss)
        limits = _for_groups("ReduceLROnPlateau", "min_lr", self.min_lr, self.optimizer)
        self._follow()
        self.count += 1
        if self.is_better(loss):
            self.best, self.bad_steps = loss, 0
        else:
            self.bad_steps += 1
        if self.resting:
            self.resting, self.bad_steps = self.resting - 1, 0
        if self.bad_steps > self.patience:
            lower = [max(self.factor * base, least) for base, least in zip(self.base_lrs, limits, strict=True)]
            pairs = zip(self.base_lrs, lower, strict=True)
            self.base_lrs = [new if base - new > self.eps else base for base, new in pairs]
            self.resting, self.bad_steps = self.cooldown, 0
        self._set_rates()

    def is_better(self, loss: float) -> bool:
        """Whether a loss, or what is watched, is better than the best so far by the threshold."""
        sign = 1 if self.mode == "max" else -1
        if self.best is None:
            return loss * sign > -math.inf
        margin = sign * self.threshold
        bound = self.best * (1 + margin) if self.threshold_mode == "rel" else self.best + margin
        return loss * sign > bound * sign

    def _kept(self) -> tuple[str, ...]:
        return (*super()._kept(), "best", "bad_steps", "resting")


class SequentialLR(Schedule):
    """Schedules one after another: at each milestone, a count of steps, the next one begins from the base rates.

    Args: schedules: made for the same optimiser, in this order; milestones: increasing, one fewer. Base rates are those
    of the first schedule; `OneCycleLR` has its own. Raises ArgumentError.
    Source: PyTorch, torch.optim.lr_scheduler.SequentialLR.

    >>> from tinygrad_sm import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> parts = [LinearWarmup(optimizer, 2, 0.5), ExponentialLR(optimizer, 0.5)]
    >>> schedule = SequentialLR(optimizer, parts, milestones=[2])
    >>> [schedule.step() or optimizer.lr for _ in range(4)]
    [0.75, 1.0, 0.5, 0.25]
    """

    def __init__(self, optimizer: Optimizer, schedules: Sequence[Schedule], milestones: Sequence[int]) -> None:
        self.schedules = list(schedules)
        self.milestones = tuple(_count("SequentialLR", "a milestone", each) for each in milestones)
        for i, schedule in enumerate(self.schedules):
            if not isinstance(schedule, Schedule) or schedule.optimizer is not optimizer:
                remedy = "make all schedules for this optimiser"
                raise ArgumentError(f"SequentialLR: number {i} is {describe(schedule)}, of another one", remedy=remedy)
        if not self.schedules or len(self.milestones) != len(self.schedules) - 1:
            what = f"SequentialLR: {len(self.schedules)} schedules and milestones {list(self.milestones)}"
            raise ArgumentError(what, remedy="pass a milestone for each schedule but the first")
        if any(after <= before for before, after in zip(self.milestones, self.milestones[1:], strict=False)):
            raise ArgumentError(f"SequentialLR: milestones {list(self.milestones)}", remedy="let them increase")
        if len({schedule.per_step for schedule in self.schedules}) > 1:
            remedy = "pass per_step=True to all of them, or to none"
            raise ArgumentError("SequentialLR: some schedules step with batches, others with epochs", remedy=remedy)
        self.moves = tuple(dict.fromkeys(name for schedule in self.schedules for name in schedule.moves))
        super().__init__(optimizer, per_step=self.schedules[0].per_step)

    def start(self, base_lrs: Sequence[float] | None = None) -> None:
        self.count = self.active = 0
        self._take_in_groups()
        self._begin(0, self.schedules[0].base_lrs if base_lrs is None else base_lrs)

    def _take_in_groups(self) -> None:
        for schedule in self.schedules:
            schedule._take_in_groups()
        self._look()

    def _begin(self, number: int, base_lrs: Sequence[float]) -> None:
        self.active = number
        self.schedules[number].start(base_lrs)
        self._look()

    def _look(self) -> None:
        self.base_lrs = list(self.schedules[self.active].base_lrs)
        self.last_lrs = list(self.schedules[self.active].last_lrs)

    def step(self, loss: Any = None) -> None:
        self.count += 1
        active = self.schedules[self.active]
        if bisect.bisect_right(self.milestones, self.count) > self.active:
            active._follow()
            self._begin(self.active + 1, active.base_lrs)
        else:
            active.step(loss)
            self._look()

    def settings(self) -> dict[str, Any]:
        parts = [[type(schedule).__name__, schedule.settings()] for schedule in self.schedules]
        return super().settings() | {"schedules": parts}

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"schedules": [schedule.state_dict() for schedule in self.schedules]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        others = [i for i in range(len(self.schedules)) if i != self.active]
        for i in (*others, self.active):
            self.schedules[i].load_state_dict(state["schedules"][i])

    def check_state(self, state: Any) -> None:
        super().check_state(state)
        for schedule, each in zip(self.schedules, state["schedules"], strict=True):
            schedule.check_state(each)

    def _kept(self) -> tuple[str, ...]:
        return (*super()._kept(), "active")


def _count(owner: str, name: str, value: Any, least: int = 1) -> int:
    try:
        count = operator.index(value)
    except TypeError:
        remedy = "pass a whole number"
        raise DTypeError(f"{owner}: {name} is {describe(value)}", remedy=remedy) from None
    if count < least:
        raise ArgumentError(f"{owner}: {name} is {count}", remedy=f"pass a whole number of at least {least}")
    return count


def _factor(owner: str, name: str, value: Any) -> float:
    if not isinstance(value, (int, float, np.number)):
        raise DTypeError(f"{owner}: {name} is {describe(value)}", remedy="pass a number")
    if not 0 <= value < math.inf:
        raise ArgumentError(f"{owner}: {name}={value}", remedy="pass a number of at least 0")
    return float(value)


def _as_lists(value: Any) -> Any:
    return [_as_lists(each) for each in value] if isinstance(value, tuple) else value


def _one_or_each(value: Any) -> float | tuple[float, ...]:
    """A setting that `_for_groups` found right, as it was given: one number is that of groups added later too."""
    return tuple(value) if isinstance(value, (list, tuple)) else float(value)


def _for_groups(owner: str, name: str, value: Any, optimizer: Any) -> tuple[float, ...]:
    """One number for each group of parameters."""
    groups = len(optimizer.param_groups) if isinstance(optimizer, Optimizer) else 1
    values = tuple(value) if isinstance(value, (list, tuple)) else (value,) * groups
    if len(values) != groups:
        remedy = "pass one for each, or one number for all, those that are added later too"
        raise ArgumentError(f"{owner}: {len(values)} values of {name} for {groups} groups", remedy=remedy)
    return tuple(_factor(owner, name, each) for each in values)
