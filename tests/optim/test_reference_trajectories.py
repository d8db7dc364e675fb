"""Where the optimisers and schedules go: against arrays that PyTorch gave (by `reference/make_trajectories.py`)."""

import json
import pathlib

import numpy as np
import pytest

from tinygrad_sm import Tensor, optim

REFERENCE = json.loads(pathlib.Path(__file__).with_name("reference").joinpath("trajectories.json").read_text())
STEPS = 12


def loss_of(p, q):
    return (1 - p[0]) ** 2 + 5 * (p[1] - p[0] ** 2) ** 2 + (q**4).sum() / 4


def start(dtype=np.float64):
    p = Tensor([-0.5, 1.0], dtype=dtype, requires_grad=True)
    return p, Tensor([[1.5], [-0.25]], dtype=dtype, requires_grad=True)


def walk(p, q, optimizer, steps=STEPS, every=4):
    """The values of both parameters after each fourth step."""
    places = []
    for _ in range(steps):

        def closure():
            optimizer.zero_grad()
            loss = loss_of(p, q)
            loss.backward()
            return loss

        optimizer.step(closure)
        places.append([*p.data.tolist(), *q.data.ravel().tolist()])
    return places[every - 1 :: every]


def with_tuples(options):
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}


def label(case):
    return "-".join([case.get("name", ""), *(name for name in case["options"] if name != "lr")])


@pytest.mark.parametrize("case", REFERENCE["optimizers"], ids=label)
def test_optimisers_go_where_pytorchs_go(case):
    make, options = getattr(optim, case["name"]), with_tuples(case["options"])
    p, q = start()
    np.testing.assert_allclose(walk(p, q, make([p, q], **options)), case["places"], rtol=1e-11, atol=1e-13)
    p, q = start(np.float32)
    optimizer = make([p, q], **options)
    np.testing.assert_allclose(walk(p, q, optimizer), case["places"], rtol=2e-4, atol=2e-5)
    arrays = [a for a in optimizer.state_dict().values() if isinstance(a, np.ndarray) and a.ndim]
    assert {p.dtype, q.dtype, *(a.dtype for a in arrays)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("case", REFERENCE["grouped"], ids=label)
def test_groups_go_where_pytorchs_go(case):
    first, second, shared = map(with_tuples, (case["first"], case["second"], case["options"]))
    p, q = start()
    optimizer = getattr(optim, case["name"])([{"params": [p], **first}, {"params": q, **second}], **shared)
    np.testing.assert_allclose(walk(p, q, optimizer), case["places"], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("case", REFERENCE["lbfgs"], ids=label)
def test_lbfgs_goes_where_pytorchs_goes(case):
    p, q = start()
    places = walk(p, q, optim.LBFGS([p, q], **case["options"]))
    np.testing.assert_allclose(places[:2], case["places"][:2], rtol=1e-9, atol=1e-10)
    # Rounding grows: a start that is 1e-16 off ends 5e-7 away after the 48 iterations of the second case.
    np.testing.assert_allclose(places[2], case["places"][2], rtol=1e-5, atol=1e-6)


def two_groups():
    p, q = start()
    return optim.SGD([{"params": [p]}, {"params": [q], "lr": 0.02}], lr=0.1, momentum=0.9)


def rates_after(optimizer, schedule, steps, set_at=None, losses=None):
    """The rates before and after each step; both are halved from outside before one of them."""
    found = [[group["lr"] for group in optimizer.param_groups]]
    for i in range(steps):
        if i == set_at:
            for group in optimizer.param_groups:
                group["lr"] *= 0.5
        schedule.step(losses[i] if losses else None)
        found.append([group["lr"] for group in optimizer.param_groups])
    assert schedule.get_last_lr() == found[-1]
    return found


@pytest.mark.parametrize("case", REFERENCE["schedules"], ids=label)
def test_schedules_go_where_pytorchs_go(case):
    make = optim.LinearWarmup if case["name"] == "LinearLR" else getattr(optim, case["name"])
    optimizer = two_groups()
    schedule = make(optimizer, **case["options"])
    momenta = [optimizer.param_groups[0]["momentum"]]
    found = []
    for i, rates in enumerate(case["rates"]):
        found.append(optimizer.group_rates())
        if i + 1 < len(case["rates"]):
            if i == case["set"]:
                for group in optimizer.param_groups:
                    group["lr"] *= 0.5
            schedule.step()
            momenta.append(optimizer.param_groups[0]["momentum"])
        np.testing.assert_allclose(found[-1], rates, rtol=1e-12, atol=1e-15)
    if "momenta" in case:
        np.testing.assert_allclose(momenta, case["momenta"], rtol=1e-12)


@pytest.mark.parametrize("case", REFERENCE["plateaus"], ids=label)
def test_a_plateau_is_noticed_where_pytorch_notices_it(case):
    optimizer = two_groups()
    schedule = optim.ReduceLROnPlateau(optimizer, **case["options"])
    losses = REFERENCE["losses"]
    found = rates_after(optimizer, schedule, len(losses), losses=losses)
    np.testing.assert_allclose(found, case["rates"], rtol=1e-12)


def test_schedules_in_sequence_and_two_at_once_go_where_pytorchs_go():
    optimizer = two_groups()
    parts = [
        optim.LinearWarmup(optimizer, 4, 0.2),
        optim.CosineAnnealingLR(optimizer, 12),
        optim.StepLR(optimizer, 2),
    ]
    schedule = optim.SequentialLR(optimizer, parts, milestones=[4, 16])
    steps = len(REFERENCE["sequential"]) - 1
    found = rates_after(optimizer, schedule, steps)
    np.testing.assert_allclose(found, REFERENCE["sequential"], rtol=1e-12, atol=1e-15)

    optimizer = two_groups()
    both = [optim.ExponentialLR(optimizer, 0.95), optim.MultiStepLR(optimizer, [5, 9])]
    found = [optimizer.group_rates()]
    for _ in range(steps):
        for each in both:
            each.step()
        found.append(optimizer.group_rates())
    np.testing.assert_allclose(found, REFERENCE["two schedules"], rtol=1e-12)
