"""Schedules: closed forms, what is refused, states, and what they make of rates that somebody else sets."""

import copy
import json
import math
import pickle

import numpy as np
import pytest

from tinygrad_sm import Tensor, errors, optim


def sgd(lr=1.0, **options):
    return optim.SGD([Tensor([1.0], requires_grad=True)], lr, **options)


def rates(optimizer, schedule, steps, losses=None):
    found = [optimizer.lr]
    for i in range(steps):
        schedule.step(losses[i] if losses else None)
        found.append(optimizer.lr)
    return found


WARM = [0.25, 0.4375, 0.625, 0.8125, 1.0]
FORMULAS = [
    (lambda o: optim.StepLR(o, 3, 0.5), lambda t: 0.5 ** (t // 3)),
    (lambda o: optim.MultiStepLR(o, [5, 2], 0.5), lambda t: 1.0 if t < 2 else 0.5 if t < 5 else 0.25),
    (lambda o: optim.ExponentialLR(o, 0.75), lambda t: 0.75**t),
    (lambda o: optim.CosineAnnealingLR(o, 8, 0.2), lambda t: 0.2 + 0.4 * (1 + math.cos(math.pi * t / 8))),
    (lambda o: optim.LinearWarmup(o, 4, 0.25), lambda t: WARM[min(t, 4)]),
    (
        lambda o: optim.SequentialLR(o, [optim.LinearWarmup(o, 4, 0.25), optim.ExponentialLR(o, 0.5)], [4]),
        lambda t: WARM[t] if t < 4 else 0.5 ** (t - 4),
    ),
]


@pytest.mark.parametrize(("make", "formula"), FORMULAS)
@pytest.mark.parametrize("lr", [1.0, np.float32(0.5), 0])
def test_rates_are_those_of_the_formula(make, formula, lr):
    optimizer = sgd(lr)
    found = rates(optimizer, make(optimizer), 12)
    floor = 0.2 if math.isclose(formula(8), 0.2) else 0.0
    expected = [floor + (float(lr) - floor) * (formula(t) - floor) / (1 - floor) for t in range(13)]
    np.testing.assert_allclose(found, expected, rtol=1e-15, atol=1e-16)
    assert all(type(rate) is float for rate in found[1:])


def test_a_rate_that_somebody_sets_is_where_the_schedule_goes_on():
    optimizer = sgd(1.0)
    schedule = optim.CosineAnnealingLR(optimizer, 2)
    schedule.step()
    assert optimizer.lr == pytest.approx(0.5)
    optimizer.lr = 2.0
    schedule.step()
    assert optimizer.lr == pytest.approx(0.0, abs=1e-15)
    optimizer.lr = 3.0  # at the bottom, from which no rate is led to
    for _ in range(2):
        schedule.step()
    assert optimizer.lr == pytest.approx(4.0)


def test_a_warm_up_before_a_plateau_hands_on_a_rate_that_was_set():
    optimizer = sgd(1.0)
    parts = [optim.LinearWarmup(optimizer, 2, 0.5), optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)]
    schedule = optim.SequentialLR(optimizer, parts, [2])
    assert optimizer.lr == 0.5
    optimizer.lr = 1.0
    found = [schedule.step(loss) or optimizer.lr for loss in (3.0, 3.0, 2.0, 2.0, 1.0, math.nan)]
    assert found == [1.5, 2.0, 2.0, 1.0, 1.0, 0.5]


def test_the_best_loss_of_a_plateau_may_be_a_tensor_an_infinity_or_none_at_all():
    optimizer = sgd(1.0)
    schedule = optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    losses = [math.nan, math.inf, Tensor(2.0), np.float32(1.5), math.nan, 5.0, -math.inf]
    assert rates(optimizer, schedule, 7, losses) == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]
    with pytest.raises(errors.ArgumentError, match="without the loss"):
        schedule.step()


def test_one_cycle_moves_momentum_and_ends():
    optimizer = optim.Adam([Tensor([1.0], requires_grad=True)], betas=(0.5, 0.75))
    schedule = optim.OneCycleLR(optimizer, 1.0, 5, pct_start=0.4, anneal_strategy="linear", div_factor=2.0)
    momenta = [optimizer.betas]
    found = [optimizer.lr]
    for _ in range(5):
        optimizer.lr = 7.0  # overwritten
        schedule.step()
        found.append(optimizer.lr)
        momenta.append(optimizer.betas)
    np.testing.assert_allclose(found[:2], [0.5, 1.0])
    np.testing.assert_allclose(found[2:], [2 / 3, 1 / 3, 5e-5, 5e-5], atol=1e-4)
    np.testing.assert_allclose([m for m, _ in momenta], [0.95, 0.85, 0.85 + 0.1 / 3, 0.95 - 0.1 / 3, 0.95, 0.95])
    with pytest.raises(errors.ArgumentError, match="step 6 of 5"):
        schedule.step()
    assert optimizer.lr == found[-1]
    for total in (1, 2, 3):
        for share in (0.0, 0.3, 0.5, 1.0):
            for three in (False, True):
                every = rates(
                    one := sgd(1.0), optim.OneCycleLR(one, 1.0, total, None, None, share, "cos", False), total
                )
                assert all(0 <= rate <= 1 for rate in every), three


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda o: optim.StepLR(o, 0), "step_size is 0"),
        (lambda o: optim.StepLR(o, 2, -0.1), "gamma=-0.1"),
        (lambda o: optim.ExponentialLR(o, math.nan), "gamma=nan"),
        (lambda o: optim.MultiStepLR(o, [3, 0]), "a milestone is 0"),
        (lambda o: optim.CosineAnnealingLR(o, 0), "T_max is 0"),
        (lambda o: optim.CosineAnnealingLR(o, 3, -1.0), "eta_min=-1.0"),
        (lambda o: optim.LinearWarmup(o, 0), "total_iters is 0"),
        (lambda o: optim.LinearWarmup(o, 3, 0.0), "start_factor=0.0"),
        (lambda o: optim.OneCycleLR(o, 0.1), "number of steps is missing"),
        (lambda o: optim.OneCycleLR(o, 0.1, 0, cycle_momentum=False), "total_steps is 0"),
        (lambda o: optim.OneCycleLR(o, 0.1, epochs=0, steps_per_epoch=3), "epochs is 0"),
        (lambda o: optim.OneCycleLR(o, 0.1, 10), "no momentum to cycle"),
        (lambda o: optim.OneCycleLR(o, [0.1, 0.2], 10, cycle_momentum=False), "2 values of max_lr for 1 groups"),
        (lambda o: optim.OneCycleLR(o, 0.1, 10, anneal_strategy="sin"), "'sin'"),
        (lambda o: optim.OneCycleLR(o, 0.1, 10, pct_start=2), "pct_start=2"),
        (lambda o: optim.ReduceLROnPlateau(o, "lowest"), "mode='lowest'"),
        (lambda o: optim.ReduceLROnPlateau(o, factor=1.0), "factor=1.0"),
        (lambda o: optim.ReduceLROnPlateau(o, patience=-1), "patience is -1"),
        (lambda o: optim.SequentialLR(o, [], []), "0 schedules"),
        (lambda o: optim.SequentialLR(o, [optim.StepLR(o, 2)], [3]), "1 schedules and milestones"),
        (lambda o: optim.SequentialLR(o, [optim.StepLR(o, 2)] * 3, [3, 3]), r"milestones \[3, 3\]"),
        (lambda o: optim.SequentialLR(o, [optim.StepLR(sgd(), 2)], []), "of another one"),
        (
            lambda o: optim.SequentialLR(o, [optim.StepLR(o, 2), optim.StepLR(o, 2, per_step=True)], [3]),
            "some schedules step with batches",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_and_named(make, named):
    optimizer = sgd(0.5)
    with pytest.raises(errors.ArgumentError, match=named) as caught:
        make(optimizer)
    assert caught.value.remedy
    assert "make(optimizer)" in str(caught.value) or "lambda" in str(caught.value)
    assert optimizer.lr == 0.5


def test_what_is_no_optimiser_or_no_number_is_refused():
    for make in (optim.StepLR, optim.CosineAnnealingLR, optim.LinearWarmup):
        with pytest.raises(errors.DTypeError, match=f"{make.__name__}: optimizer="):
            make(None, 3)
    with pytest.raises(errors.DTypeError, match="OneCycleLR: optimizer="):
        optim.OneCycleLR(None, 0.1, 3)
    with pytest.raises(errors.DTypeError, match=r"step_size is 2\.5"):
        optim.StepLR(sgd(), 2.5)
    with pytest.raises(errors.DTypeError, match="gamma is '0"):
        optim.ExponentialLR(sgd(), "0.5")


def test_a_schedule_of_ones_own():
    class Lambda(optim.Schedule):
        def __init__(self, optimizer, factor):
            self.factor = factor
            super().__init__(optimizer)

        def shape(self, count):
            return self.factor(count)

    optimizer = sgd(2.0)
    schedule = Lambda(optimizer, lambda count: 1 / (1 + count))
    assert rates(optimizer, schedule, 3) == [2.0, 1.0, pytest.approx(2 / 3), 0.5]
    assert schedule.settings() == {"per_step": False}
    with pytest.raises(TypeError, match=r"Schedule has no shape\(self, count\)"):
        optim.Schedule(optimizer)


EVERY = [
    *[make for make, _ in FORMULAS],
    lambda o: optim.OneCycleLR(o, 0.5, 20),
    lambda o: optim.ReduceLROnPlateau(o, patience=1, factor=0.5, cooldown=1),
    lambda o: optim.SequentialLR(o, [optim.LinearWarmup(o, 3), optim.ReduceLROnPlateau(o, patience=0)], [3]),
]
LOSSES = [3.0, 2.0, 2.5, 2.25, 1.0, 2.0, 2.0, 2.0, 0.5, 0.75, 0.75, 0.75, 0.75, 0.25, 0.5]


@pytest.mark.parametrize("make", EVERY)
@pytest.mark.parametrize("stop", [0, 3, 7])
def test_a_schedule_goes_on_from_a_saved_state_and_so_does_a_copy(make, stop):
    def fresh():
        w, b = Tensor([1.0], requires_grad=True), Tensor([1.0], requires_grad=True)
        optimizer = optim.SGD([{"params": w}, {"params": b, "lr": 0.3}], 0.7, momentum=0.9)
        return optimizer, make(optimizer)

    def follow(optimizer, schedule, losses):
        found = []
        for loss in losses:
            schedule.step(loss)
            found.append([optimizer.group_rates(), [group["momentum"] for group in optimizer.param_groups]])
        return found

    optimizer, schedule = fresh()
    follow(optimizer, schedule, LOSSES[:stop])
    optimizer.param_groups[1]["lr"] *= 0.5
    text = json.dumps([optimizer.state_dict()["groups.1.lr"], schedule.state_dict()])
    state = optimizer.state_dict()
    copies = [copy.deepcopy((optimizer, schedule)), pickle.loads(pickle.dumps((optimizer, schedule)))]
    other, resumed = fresh()
    resumed.load_state_dict(json.loads(text)[1])
    other.load_state_dict(state)
    expected = follow(optimizer, schedule, LOSSES[stop:])
    assert json.dumps([state["groups.1.lr"], resumed.state_dict()]) == text  # nothing of it moves along
    for pair in [(other, resumed), *copies]:
        assert follow(*pair, LOSSES[stop:]) == expected
        assert pair[1].state_dict() == schedule.state_dict()


def test_the_state_of_another_schedule_is_refused():
    optimizer = sgd(1.0)
    schedule = optim.SequentialLR(optimizer, [optim.StepLR(optimizer, 2), optim.ExponentialLR(optimizer, 0.5)], [2])
    before = schedule.state_dict()
    two = optim.SGD([{"params": Tensor([1.0], requires_grad=True)} for _ in range(2)], 0.1)
    foreign = [
        None,
        {},
        optim.StepLR(sgd(), 2).state_dict(),
        optimizer.state_dict(),
        {**before, "base_lrs": [1.0, 2.0]},
        {**before, "schedules": before["schedules"][::-1]},
        {**before, "schedules": before["schedules"][:1]},
        optim.SequentialLR(two, [optim.StepLR(two, 2), optim.ExponentialLR(two, 0.5)], [2]).state_dict(),
    ]
    for state in foreign:
        with pytest.raises(errors.StateError, match="LR: ") as caught:
            schedule.load_state_dict(state)
        assert caught.value.remedy
        assert schedule.state_dict() == before


def test_the_repr_tells_what_it_was_made_with():
    assert repr(optim.StepLR(sgd(), 3)) == "StepLR(step_size=3, gamma=0.1, count=0)"
