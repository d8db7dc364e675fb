"""Groups of parameters: each moves by its own settings, and whoever knows of no groups sees one optimiser."""

import copy
import pickle

import numpy as np
import pytest

import tinygrad_sm as tg
from tinygrad_sm import Tensor, errors, optim


def leaf(*values):
    return Tensor(list(values), requires_grad=True)


def one_step(optimizer):
    """A step with gradients of 1."""
    for p in optimizer.params:
        p.grad = np.ones(p.shape)
    optimizer.step()
    return [p.data.tolist() for p in optimizer.params]


def test_a_group_moves_by_its_own_settings_and_by_those_of_the_optimiser():
    a, b, c = leaf(0.0, 0.0), leaf(0.0), leaf(10.0)
    groups = [{"params": [a, b], "lr": 0.5}, {"params": c, "weight_decay": 0.1}]
    optimizer = optim.SGD(groups, lr=1.0)
    assert one_step(optimizer) == [[-0.5, -0.5], [-0.5], [8.0]]
    optimizer.lr = 2.0  # of every group without one of its own
    assert one_step(optimizer) == [[-1.0, -1.0], [-1.0], [pytest.approx(8 - 2 * (1 + 0.8))]]
    first, second = optimizer.param_groups
    first["lr"] = 0.25
    second["lr"] *= 0.0
    assert one_step(optimizer)[:2] == [[-1.25, -1.25], [-1.25]]
    assert c.data.tolist() == [pytest.approx(4.4)]
    del first["lr"]
    assert first["lr"] == optimizer.lr == 2.0
    assert [list(map(id, group["params"])) for group in (first, second)] == [[id(a), id(b)], [id(c)]]
    assert repr(optimizer) == "SGD(lr=2.0, 2 groups)"
    assert "weight_decay" in groups[1]  # the dicts that were given are left alone
    assert optimizer.momentum == 0.0 == second["momentum"]


def test_without_groups_there_is_one_that_is_the_optimiser_itself():
    optimizer = optim.Adam([leaf(1.0)], lr=0.5)
    (group,) = optimizer.param_groups
    group["lr"] *= 0.5
    group["betas"] = (0.5, 0.5)
    assert (optimizer.lr, optimizer.betas) == (0.25, (0.5, 0.5))
    assert {**group, "params": 1} == {"params": 1, "lr": 0.25, "betas": (0.5, 0.5), "eps": 1e-8, "weight_decay": 0.0}
    assert "0.lr" not in optimizer.state_dict()
    assert not [name for name in optimizer.state_dict() if name.startswith("groups")]


def test_a_single_group_may_have_settings_too():
    optimizer = optim.SGD([{"params": leaf(0.0, 0.0), "lr": 0.5, "weight_decay": 0.5}], lr=0.1)
    assert one_step(optimizer) == [[-0.5, -0.5]]
    optimizer.lr = 1.0
    assert one_step(optimizer) == [[-1.25, -1.25]]


def test_an_optimiser_of_ones_own_needs_to_know_nothing_of_groups():
    class Shrinking(optim.Optimizer):
        def __init__(self, params, lr, power=1.0):
            super().__init__(params, lr)
            self.power = power  # after the groups are known

        def start(self, data):
            return {"seen": np.zeros_like(data)}

        def update(self, data, g, state):
            state["seen"] += g
            data -= self.lr * state["seen"] ** self.power
            self.lr *= 0.5

    a, b, c = leaf(0.0), leaf(0.0), leaf(0.0)
    optimizer = Shrinking([{"params": a, "power": 2.0, "lr": 1.0}, {"params": [b, c]}], lr=8.0)
    one_step(optimizer)
    assert one_step(optimizer) == [[-1 - 0.5 * 4], [-8 - 2 * 2], [-4 - 1 * 2]]
    assert optimizer.group_rates() == [0.25, 0.5]
    assert (optimizer.lr, optimizer.power) == (0.5, 1.0)


def test_a_failing_update_leaves_the_optimisers_own_settings():
    class Failing(optim.Optimizer):
        def update(self, data, g, state):
            raise ArithmeticError

    optimizer = Failing([{"params": leaf(0.0), "lr": 3.0}, {"params": leaf(0.0)}], 1.0)
    with pytest.raises(ArithmeticError):
        one_step(optimizer)
    assert (optimizer.lr, optimizer.group_rates()) == (1.0, [3.0, 1.0])


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([{"params": []}], "group 0 has no parameters"),
        ([{"params": leaf(1.0)}, {"lr": 0.1}], "group 1 has no parameters"),
        ([{"params": leaf(1.0)}, leaf(1.0)], "parameters beside groups"),
        ([{"params": leaf(1.0), "rate": 0.1}], "group 0 sets 'rate'"),
        ([{"params": leaf(1.0), "lr": -0.1}], "negative learning rate"),
        ([{"params": leaf(1.0)}, {"params": leaf(1.0), "momentum": 1.5}], "momentum=1.5"),
        ([{"params": leaf(1.0)}, {"params": leaf(1.0), "nesterov": True}], "nesterov=True needs momentum"),
        ([{"params": [leaf(1.0), 3]}], "parameter 1"),
        ([{"params": 3}], "parameter 0 is 3"),
        ([{"params": leaf(1.0)}, None], "beside groups"),
    ],
)
def test_groups_without_sense_are_refused_and_named(groups, message):
    with pytest.raises(errors.ArgumentError, match=message) as caught:
        optim.SGD(groups, lr=0.1)
    assert caught.value.remedy
    with pytest.raises(errors.ArgumentError, match="no parameters"):
        optim.SGD([], lr=0.1)


@pytest.mark.parametrize("lr", ["0.1", None, [0.1]])
def test_a_rate_that_is_no_number_is_refused(lr):
    for groups in ([leaf(1.0)], [{"params": leaf(1.0)}, {"params": leaf(2.0)}]):
        with pytest.raises(errors.DTypeError, match="SGD: lr is"):
            optim.SGD(groups, lr=lr)
    with pytest.raises(errors.DTypeError, match="SGD: lr is"):
        optim.SGD([{"params": leaf(1.0)}, {"params": leaf(2.0), "lr": lr}], lr=0.1)


def test_a_parameter_in_two_groups_is_refused():
    w = leaf(1.0)
    with pytest.raises(errors.ArgumentError, match="twice"):
        optim.SGD([{"params": [w]}, {"params": [leaf(2.0), w], "lr": 1.0}], lr=0.1)


def test_writing_to_a_group_what_it_does_not_have_is_refused():
    optimizer = optim.SGD([{"params": leaf(1.0)}, {"params": leaf(2.0)}], lr=0.1)
    group = optimizer.param_groups[1]
    with pytest.raises(errors.ArgumentError, match="'betas'") as caught:
        group["betas"] = (0.9, 0.9)
    assert "momentum" in caught.value.remedy
    with pytest.raises(errors.ArgumentError, match="cannot be replaced"):
        group["params"] = []
    with pytest.raises(KeyError):
        group["betas"]


def in_groups():
    groups = [{"params": [leaf(1.0, 2.0), leaf(3.0)], "lr": 0.5}, {"params": [leaf(4.0)], "betas": (0.5, 0.5)}]
    return optim.Adam(groups, lr=0.25)


def test_a_state_has_the_rates_of_all_groups():
    optimizer = in_groups()
    one_step(optimizer)
    optimizer.param_groups[0]["lr"] = 0.125
    optimizer.param_groups[1]["lr"] = 0.0625  # which had none of its own
    state = optimizer.state_dict()
    assert [state[name] for name in ("lr", "groups.0.lr", "groups.1.lr")] == [0.25, 0.125, 0.0625]
    other = in_groups()
    other.load_state_dict(state)
    assert other.group_rates() == [0.125, 0.0625]
    assert other.lr == 0.25
    for p, q in zip(other.params, optimizer.params, strict=True):
        p.data = q.data.copy()
    assert one_step(other) == one_step(optimizer)
    plain = optim.Adam(in_groups().params)
    for one, foreign in ((plain, state), (other, plain.state_dict())):
        with pytest.raises(errors.StateError, match=r"groups\.0\.lr"):
            one.load_state_dict(foreign)


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_a_copy_has_groups_of_its_own(clone):
    optimizer = in_groups()
    one_step(optimizer)
    other = clone(optimizer)
    other.param_groups[0]["lr"] = 0.0
    assert optimizer.group_rates() == [0.5, 0.25]
    assert other.group_rates() == [0.0, 0.25]
    assert other.param_groups[1]["betas"] == (0.5, 0.5)
    for p in other.params:
        p.grad = np.ones(p.shape)
    before = [p.data.copy() for p in other.params]
    other.step()
    assert [np.array_equal(p.data, old) for p, old in zip(other.params, before, strict=True)] == [True, True, False]


def gradient_of(optimizer, seed):
    rng = np.random.default_rng(seed)
    for p in optimizer.params:
        p.grad = rng.normal(size=p.shape)


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam, optim.RMSprop])
def test_a_group_that_is_added_moves_as_by_an_optimiser_of_its_own(make):
    a, b, twin = leaf(1.0, 2.0), leaf(3.0), leaf(3.0)
    optimizer, other = make([a], lr=0.1), make([twin], lr=0.05, weight_decay=0.1)
    one_step(optimizer)
    optimizer.add_param_group({"params": b, "lr": 0.05, "weight_decay": 0.1})
    for seed in range(3):
        gradient_of(optimizer, seed)
        twin.grad = b.grad.copy()
        optimizer.step()
        other.step()
        np.testing.assert_array_equal(b.data, twin.data)
    resumed = make([leaf(*a.data.tolist())], lr=0.7)
    resumed.add_param_group({"params": leaf(*b.data.tolist()), "weight_decay": 0.1})
    resumed.load_state_dict(optimizer.state_dict())
    for each in (optimizer, resumed):
        gradient_of(each, 9)
        each.step()
    assert [p.data.tolist() for p in resumed.params] == [p.data.tolist() for p in optimizer.params]


@pytest.mark.parametrize(
    ("group", "error", "message"),
    [
        (None, errors.DTypeError, "None, not a group"),
        ({}, errors.ArgumentError, "group 1 has no parameters"),
        ({"params": leaf(1.0), "rate": 1}, errors.ArgumentError, "group 1 sets 'rate'"),
        ({"params": leaf(1.0), "lr": -1.0}, errors.ArgumentError, "negative learning rate"),
        ({"params": [leaf(1.0), 3]}, errors.ArgumentError, "parameter 2 is 3"),
        ({"params": Tensor([1.0])}, errors.GradientError, "parameter 1 is not a leaf"),
    ],
)
def test_a_group_that_is_refused_changes_nothing(group, error, message):
    w = leaf(1.0)
    optimizer = optim.SGD([w], lr=0.1)
    with pytest.raises(error, match=message) as caught:
        optimizer.add_param_group(group)
    assert caught.value.remedy
    with pytest.raises(errors.ArgumentError, match="twice"):
        optimizer.add_param_group({"params": [w]})
    assert len(optimizer.param_groups) == 1
    assert one_step(optimizer) == [[0.9]]
    with pytest.raises(errors.ArgumentError, match="no groups"):
        optim.LBFGS([w]).add_param_group({"params": leaf(1.0)})


@pytest.mark.parametrize(
    "make",
    [
        lambda o: optim.StepLR(o, 2),
        lambda o: optim.CosineAnnealingLR(o, 9, 0.01),
        lambda o: optim.OneCycleLR(o, 0.5, 9),
        lambda o: optim.ReduceLROnPlateau(o, factor=0.5, patience=0, min_lr=0.001),
        lambda o: optim.SequentialLR(o, [optim.LinearWarmup(o, 2, per_step=True), optim.OneCycleLR(o, 0.3, 9)], [3]),
    ],
)
def test_a_schedule_takes_in_a_group_that_is_added(make):
    def made():
        optimizer = optim.SGD([leaf(1.0)], lr=0.1, momentum=0.9)
        return optimizer, make(optimizer)

    optimizer, schedule = made()
    for _ in range(2):
        schedule.step(1.0)
    optimizer.add_param_group({"params": leaf(2.0)})
    assert len(schedule.get_last_lr()) == 2
    rates = []
    for _ in range(4):
        schedule.step(1.0)
        rates.append(optimizer.group_rates())
    assert all(first == second for first, second in rates)
    assert len({first for first, _ in rates}) > 1
    resumed, again = made()
    resumed.add_param_group({"params": leaf(2.0)})
    resumed.load_state_dict(optimizer.state_dict())
    again.load_state_dict(schedule.state_dict())
    for each in (schedule, again):
        each.step(1.0)
    assert resumed.group_rates() == optimizer.group_rates()


def test_a_schedule_with_one_value_for_each_group_refuses_another():
    for make in (
        lambda o: optim.OneCycleLR(o, [0.5], 9),
        lambda o: optim.ReduceLROnPlateau(o, min_lr=[0.1]),
    ):
        optimizer = optim.SGD([leaf(1.0)], lr=0.1, momentum=0.9)
        schedule = make(optimizer)
        optimizer.add_param_group({"params": leaf(2.0)})
        with pytest.raises(errors.ArgumentError, match=r"1 values of m.._lr for 2 groups") as caught:
            schedule.step(1.0)
        assert "one number for all" in caught.value.remedy


def test_a_compiled_step_trains_a_group_that_is_added():
    a, b, twins = leaf(1.0), leaf(2.0), (leaf(1.0), leaf(2.0))

    def loss_of(p, q):
        return lambda x: ((p * q - x) ** 2).sum()

    optimizer, eager = optim.SGD([a], lr=0.1), optim.SGD([twins[0]], lr=0.1)
    step, loss = tg.compile_step(loss_of(a, b), optimizer), loss_of(*twins)
    for i in range(6):
        if i == 3:
            optimizer.add_param_group({"params": b, "lr": 0.02})
            eager.add_param_group({"params": twins[1], "lr": 0.02})
        step(np.array([5.0]))
        for p in twins:
            p.grad = None
        loss(np.array([5.0])).backward()
        eager.step()
        assert [a.data.tolist(), b.data.tolist()] == [p.data.tolist() for p in twins]


def test_a_momentum_that_a_group_turns_on_later_starts_from_zero():
    a, b = leaf(0.0), leaf(0.0)
    optimizer = optim.SGD([{"params": a}, {"params": b, "momentum": 0.0}], lr=1.0)
    one_step(optimizer)
    first, second = optimizer.param_groups
    first["momentum"] = 0.5
    assert [one_step(optimizer) for _ in range(2)] == [[[-2.0], [-2.0]], [[-3.5], [-3.0]]]
    optimizer.momentum = 0.5
    one_step(optimizer)
    assert list(optimizer.state_dict())[3:] == ["0.velocity"]
    del second["momentum"]
    assert [one_step(optimizer)[1] for _ in range(2)] == [[-5.0], [-6.5]]
