"""Parameters side by side in flat arrays: nothing of it can be seen in the numbers, nor from outside."""

import copy
import pickle

import numpy as np
import pytest

import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, errors, nn, no_grad, optim
from tinygrad_sm.optim.storage import SMALL

MAKERS = {
    "SGD": lambda kind, params: kind(optim.SGD)(params, lr=0.1),
    "SGD momentum": lambda kind, params: kind(optim.SGD)(params, lr=0.1, momentum=0.9, weight_decay=0.01),
    "Adam": lambda kind, params: kind(optim.Adam)(params, lr=0.1, weight_decay=0.1),
    "AdamW": lambda kind, params: kind(optim.AdamW)(params, lr=0.1),
    "NAdam": lambda kind, params: kind(optim.NAdam)(params, lr=0.1),
    "RMSprop": lambda kind, params: kind(optim.RMSprop)(params, lr=0.1, centered=True, momentum=0.5),
    "Adagrad": lambda kind, params: kind(optim.Adagrad)(params, lr=0.1, lr_decay=0.1),
    "Adadelta": lambda kind, params: kind(optim.Adadelta)(params, weight_decay=0.1),
}
every_optimizer = pytest.mark.parametrize("name", MAKERS)


def flat(kind):
    return kind


def apart(kind):
    """The same optimiser, one parameter after the other: the oracle."""
    return type(kind.__name__, (kind,), {"elementwise": False})


def leaf(*shape, dtype=np.float32, seed=0):
    return Tensor(np.random.default_rng(seed).normal(size=shape), dtype=dtype, requires_grad=True)


def problem(dtypes=(np.float32,)):
    """Leaves of all kinds of shapes: scalar, empty, small, large."""
    shapes = [(), (3,), (2, 3), (0, 4), (1,), (4, 1, 2), (SMALL + 1,), (5,), (3, 3)]
    return [leaf(*shape, dtype=dtypes[i % len(dtypes)], seed=i) for i, shape in enumerate(shapes)]


def give_gradients(params, rng, share=1.0):
    for p in params:
        g = rng.normal(size=p.shape).astype(p.dtype)
        p.grad = np.asarray(g) if rng.random() <= share else None


def assert_equal(optimizer, other):
    for p, q in zip(optimizer.params, other.params, strict=True):
        assert p.dtype == q.dtype
        np.testing.assert_array_equal(p.data, q.data)
    ours, theirs = optimizer.state_dict(), other.state_dict()
    assert list(ours) == list(theirs)
    for key, value in ours.items():
        np.testing.assert_array_equal(value, theirs[key])


# What may happen between two steps; each is done to the flat optimiser and to its oracle with equal random numbers.


def replace_data(optimizer, rng):
    p = optimizer.params[rng.integers(len(optimizer.params))]
    p.data = p.data * 0.5


def write_in_place(optimizer, rng):
    with no_grad():
        optimizer.params[rng.integers(len(optimizer.params))][...] = 0.25


def write_by_numpy(optimizer, rng):
    optimizer.params[rng.integers(len(optimizer.params))].data[...] += 1


def switch_off_and_on(optimizer, rng):
    p = optimizer.params[rng.integers(len(optimizer.params))]
    p.requires_grad = False
    p.requires_grad = True


def change_rate(optimizer, rng):
    optimizer.lr *= 0.75


def load_the_state_of_before(optimizer, rng):
    optimizer.load_state_dict(optimizer.state_dict())


def load_unequal_counts(optimizer, rng):
    state = optimizer.state_dict()
    for key in state:
        if key.endswith("steps"):
            state[key] = np.array(rng.integers(5))
    optimizer.load_state_dict(state)


def forget_momentum(optimizer, rng):
    i = rng.integers(len(optimizer.params))
    optimizer.state[i] = optimizer.start(optimizer.params[i].data)


def forget_one_array(optimizer, rng):
    kept = optimizer.state[rng.integers(len(optimizer.params))]
    for key in kept:
        kept[key] = np.zeros_like(kept[key])


def step_of_another(optimizer, rng):
    params = [p for p in optimizer.params if p.grad is not None]
    if params:
        for p in params:
            p.grad = p.grad.copy()
        optim.SGD(params[:3], lr=0.01).step()
        for p in params:
            p.grad = p.grad.copy()


def flatten(optimizer, rng):
    optimizer.flatten()


def change_dtype(optimizer, rng):
    p = optimizer.params[rng.integers(len(optimizer.params))]
    p.data = p.data.astype(np.float64 if p.dtype == np.float32 else np.float32)
    if p.grad is not None:
        p.grad = p.grad.astype(p.dtype)


def turn_round_in_memory(optimizer, rng):
    p = optimizer.params[2]
    p.data = np.asfortranarray(p.data)


EVENTS = [
    *(replace_data, write_in_place, write_by_numpy, switch_off_and_on, change_rate, load_the_state_of_before),
    *(load_unequal_counts, forget_momentum, forget_one_array, step_of_another, flatten, change_dtype),
    turn_round_in_memory,
]


@every_optimizer
@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_between_steps_the_numbers_are_those_of_one_after_the_other(name, seed):
    run_alike(MAKERS[name], EVENTS, seed)


def change_settings_of_a_group(optimizer, rng):
    group = optimizer.param_groups[rng.integers(3)]
    group["lr"], group["weight_decay"] = rng.uniform(size=2).tolist()


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_to_groups(seed):
    def make(kind, params):
        settings = [{"betas": (0.5, 0.75)}, {"lr": 0.05}, {"weight_decay": 0.1}]
        groups = [{"params": params[i::3], **own} for i, own in enumerate(settings)]
        return kind(optim.AdamW)(groups, lr=0.1)

    run_alike(make, [*EVENTS, *[change_settings_of_a_group] * 6], seed)


def run_alike(make, events, seed):
    """Steps of an optimiser and of its oracle, with events in between."""
    dtypes = (np.float32,) if seed % 2 else (np.float32, np.float64, np.float16)
    ours = make(flat, problem(dtypes))
    theirs = make(apart, problem(dtypes))
    assert ours._storages
    assert not theirs._storages
    chances = np.random.default_rng(seed)
    for number in range(60):
        event = events[chances.integers(len(events))] if chances.random() < 0.4 else None
        share = chances.choice([1.0, 1.0, 0.7])
        for optimizer in (ours, theirs):
            give_gradients(optimizer.params, np.random.default_rng(number), share)
            if event:
                event(optimizer, np.random.default_rng(number))
            if any(p.grad is not None for p in optimizer.params):
                optimizer.step()
        assert_equal(ours, theirs)


@every_optimizer
def test_a_network_trains_to_the_same_bits(name):
    def trained(how):
        model = nn.MLP([3, 5, 4, 2], "tanh", generator=np.random.default_rng(3))
        optimizer = MAKERS[name](how, model.parameters())
        rng = np.random.default_rng(4)
        for _ in range(20):
            optimizer.zero_grad()
            F.cross_entropy(model(rng.normal(size=(8, 3)).astype(np.float32)), rng.integers(0, 2, 8)).backward()
            optimizer.step()
        return optimizer

    ours = trained(flat)
    assert [len(storage.params) for storage in ours._storages] == [6]
    assert_equal(ours, trained(apart))


def test_many_parameters_lie_in_chunks():
    params = [leaf(50, 40, seed=i) for i in range(10)]
    optimizer = optim.SGD(params, lr=0.1)
    assert sum(len(storage.params) for storage in optimizer._storages) == 10
    assert len(optimizer._storages) == 3
    give_gradients(params, np.random.default_rng(0))
    expected = [p.data - np.float32(0.1) * p.grad for p in params]
    optimizer.step()
    for p, value in zip(params, expected, strict=True):
        np.testing.assert_array_equal(p.data, value)


# Parameters stay ordinary arrays, and whoever holds one keeps it.


def test_a_parameter_in_flat_storage_is_an_array_like_any_other():
    w, v = leaf(2, 3), leaf(4)
    values = w.data.copy()
    optim.Adam([w, v])
    assert w.data.base is v.data.base is not None
    assert (w.shape, w.dtype, w.data.flags.c_contiguous, w.data.flags.writeable) == ((2, 3), np.float32, True, True)
    np.testing.assert_array_equal(w.data, values)
    assert w.tape()[0].out is w.data
    other = copy.deepcopy(w)
    other.data[...] = 7
    np.testing.assert_array_equal(w.data, values)
    w.data[0] = 5
    assert v.data.tolist() == leaf(4).data.tolist()


def test_a_pickled_parameter_takes_along_its_own_values_only():
    w, v = leaf(2), leaf(SMALL)
    optim.SGD([w, v], lr=0.1)
    assert w.data.base is not None
    assert len(pickle.dumps(w)) < 1000
    again = pickle.loads(pickle.dumps(w))
    np.testing.assert_array_equal(again.data, w.data)
    assert again.data.base is None


def test_arrays_that_others_hold_stay_where_they_are():
    held, viewed, detached, taped, free, also = (leaf(3, seed=i) for i in range(6))
    array, view, constant, loss = held.data, viewed.data[1:], detached.detach(), (taped * taped).sum()
    optimizer = optim.SGD([held, viewed, detached, taped, free, also], lr=0.5)
    assert free.data.base is also.data.base is not None
    for p in optimizer.params:
        p.grad = np.ones(3, np.float32)
    before = view.copy()
    optimizer.step()
    assert held.data is array
    np.testing.assert_array_equal(view, before - np.float32(0.5))
    np.testing.assert_array_equal(constant.data, detached.data)
    with pytest.raises(errors.StaleValueError):
        loss.backward()


def test_parameters_that_share_their_memory_go_on_sharing_it():
    w, v, u = leaf(3), leaf(3), leaf(3)
    v.data = w.data
    optimizer = optim.SGD([w, v, u], lr=1.0)
    start = w.data.copy()
    for p in optimizer.params:
        p.grad = np.ones(3, np.float32)
    optimizer.step()
    np.testing.assert_array_equal(w.data, start - 2)
    assert np.shares_memory(w.data, v.data)


def test_an_array_that_was_replaced_is_never_written_to_again():
    w, v = leaf(3), leaf(3)
    optimizer = optim.SGD([w, v], lr=1.0)
    backup, values = w.data, w.data.copy()
    replacement = w.data + 1
    w.data = replacement
    for _ in range(3):
        w.grad = v.grad = None
        give_gradients([w, v], np.random.default_rng(0))
        optimizer.step()
    np.testing.assert_array_equal(backup, values)
    assert w.data is replacement  # which the caller holds
    w.data = backup
    np.testing.assert_array_equal(w.data, values)


def test_a_new_optimiser_goes_on_where_the_old_one_put_the_values():
    model = nn.MLP([2, 4, 2])
    optim.SGD(model.parameters(), lr=0.1)
    loss = model(np.ones((3, 2), np.float32)).sum()  # its tape holds the arrays, as in the cell of a notebook
    addresses = [p.data.__array_interface__["data"][0] for p in model.parameters()]
    adam = optim.Adam(model.parameters())
    assert len(adam._storages) == 1
    assert [p.data.__array_interface__["data"][0] for p in model.parameters()] == addresses
    some = list(model.parameters())[1:3]
    part = optim.SGD(some, lr=1.0)
    assert part._storages
    before = model.state_dict()
    loss.backward()
    part.step()
    after = model.state_dict()
    assert [name for name in before if not np.array_equal(before[name], after[name])] == ["0.bias", "2.weight"]


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
def test_a_copied_optimiser_has_storage_of_its_own(clone):
    params = [leaf(2), leaf(3)]
    optimizer = optim.Adam(params)
    give_gradients(params, np.random.default_rng(0))
    optimizer.step()
    copied, theirs = clone((params, optimizer))
    assert theirs._storages[0].params[0] is copied[0]
    assert not np.shares_memory(theirs._storages[0].data, params[0].data)
    give_gradients(params, np.random.default_rng(1))
    give_gradients(copied, np.random.default_rng(1))
    theirs.step()
    assert optimizer.state_dict()["0.steps"] == 1
    assert theirs.state_dict()["0.steps"] == theirs.state_dict()["1.steps"] == 2
    optimizer.step()
    assert_equal(optimizer, theirs)


# Values that changed between forward and backward: one parameter, not its neighbours in memory.


def test_an_update_by_hand_makes_only_that_parameter_stale():
    w, v, u = leaf(2), leaf(2), leaf(2)
    optim.SGD([w, v, u], lr=0.1)
    losses = {name: (p * p).sum() for name, p in (("w", w), ("v", v), ("u", u))}
    with no_grad():
        v -= 1
    losses["w"].backward()
    losses["u"].backward()
    with pytest.raises(errors.StaleValueError):
        losses["v"].backward()


def test_a_step_makes_all_of_them_stale():
    params = [leaf(2), leaf(2)]
    optimizer = optim.SGD(params, lr=0.1)
    losses = [(p * p).sum() for p in params]
    give_gradients(params, np.random.default_rng(0))
    optimizer.step()
    for loss in losses:
        with pytest.raises(errors.StaleValueError):
            loss.backward()


def test_views_that_do_not_overlap_are_told_apart():
    memory = Tensor(np.arange(6.0))
    w = leaf(3, dtype=float)
    first, last = memory.detach()[:3].detach(), memory.detach()[3:].detach()
    loss, other = (w * first).sum(), (w * last).sum()
    first += 1
    other.backward()
    with pytest.raises(errors.StaleValueError):
        loss.backward()
    again = (w * last).sum()
    memory *= 2
    with pytest.raises(errors.StaleValueError):
        again.backward()


def test_many_parts_written_to_count_as_all_of_it():
    memory, w = Tensor(np.zeros(3000)), leaf(1, dtype=float)
    part = memory.detach()[2999:].detach()
    loss = (w * part).sum()
    for i in range(2500):
        view = memory.detach()[i : i + 1].detach()
        view += 1
    part += 1
    with pytest.raises(errors.StaleValueError):
        loss.backward()


# What a subclass says of its rule.


def test_another_rule_is_not_taken_for_one_by_element():
    class Normalised(optim.SGD):
        def update(self, data, g, state):
            super().update(data, g / np.linalg.norm(g), state)

    class Renamed(optim.Adam):
        pass

    class Sign(optim.Optimizer):
        elementwise = True

        def update(self, data, g, state):
            data -= self.lr * np.sign(g)

    assert not Normalised.elementwise
    assert Renamed.elementwise
    params = [leaf(2), leaf(3)]
    assert not Normalised(params, lr=0.1)._storages
    assert Normalised(params, lr=0.1).flatten() == []
    optimizer = Sign(params, 0.5)
    give_gradients(params, np.random.default_rng(0))
    expected = [p.data - 0.5 * np.sign(p.grad) for p in params]
    optimizer.step()
    for p, value in zip(params, expected, strict=True):
        np.testing.assert_array_equal(p.data, value)


# What a compiler asks for.


@every_optimizer
def test_flatten_puts_all_parameters_side_by_side_and_steps_go_on_from_there(name):
    ours, theirs = MAKERS[name](flat, problem()), MAKERS[name](apart, problem())
    for number in range(6):
        for optimizer in (ours, theirs):
            give_gradients(optimizer.params, np.random.default_rng(number))
        if number % 3:
            ours.step()
        else:
            (storage,) = ours.flatten()
            assert ours.flatten() == [storage]
            assert storage.holds()
            assert storage.params == ours.params
            for p, part in zip(storage.params, storage.slices, strict=True):
                storage.grad[part] = p.grad.ravel()
                assert np.shares_memory(p.data, storage.data) or p.size == 0
            ours.update(storage.data, storage.grad, storage.state)
        theirs.step()
        assert_equal(ours, theirs)


def test_flatten_tells_dtypes_and_counts_apart():
    params = [leaf(2), leaf(3, dtype=np.float64), leaf(4), leaf(5)]
    optimizer = optim.Adam(params)
    give_gradients(params[:3], np.random.default_rng(0))
    optimizer.step()
    assert [storage.indices for storage in optimizer.flatten()] == [[0, 2], [1], [3]]
    assert [storage.state["steps"].item() for storage in optimizer.flatten()] == [1, 1, 0]


def test_storage_that_was_left_does_not_hold():
    def storage_of(params):
        optimizer = optim.Adam(params)
        return optimizer, optimizer.flatten()[0]

    params = [leaf(2), leaf(3)]
    optimizer, storage = storage_of(params)
    params[0].data[...] = 1
    with no_grad():
        params[1][...] = 2
    optimizer.load_state_dict(optimizer.state_dict())
    assert storage.holds()
    params[0].data = np.zeros(2, np.float32)
    assert not storage.holds()
    assert optimizer.flatten()[0].holds()
    assert optimizer.flatten()[0] is not storage
    storage = optimizer.flatten()[0]
    optimizer.state[0] = optimizer.start(params[0].data)
    assert not storage.holds()
    storage = optimizer.flatten()[0]
    optimizer.state[0]["mean"] = np.zeros(2, np.float32)
    assert not storage.holds()
    storage = optimizer.flatten()[0]
    optim.SGD([params[1], params[0]], lr=0.1).flatten()  # in another order
    assert not storage.holds()


def test_settings_tell_of_every_change_but_that_of_the_rate():
    optimizer = optim.Adam([leaf(2), leaf(3)])
    before = optimizer.settings()
    assert dict(before) == {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}
    optimizer.lr = 5.0
    optimizer._move_together()
    optimizer.flatten()
    assert optimizer.settings() == before
    optimizer.weight_decay = 0.1
    assert optimizer.settings() != before
    optimizer = optim.SGD([leaf(2)], lr=0.1, momentum=np.float32(0.9))
    before = optimizer.settings()
    optimizer.momentum = np.float32(0.5)
    assert optimizer.settings() != before


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_corrections_of_adam_are_rounded_once(dtype):
    """As if they were Python numbers: 1 - beta**t in full precision, then in that of the parameter."""
    w = Tensor([1.0, -2.0], dtype=dtype, requires_grad=True)
    optimizer = optim.Adam([w], lr=0.1)
    data, mean, square = w.data.copy(), np.zeros(2, dtype), np.zeros(2, dtype)
    rng = np.random.default_rng(0)
    for t in range(1, 200):
        w.grad = rng.normal(size=2).astype(dtype)
        mean = dtype(0.9) * mean + (1 - 0.9) * w.grad
        square = dtype(0.999) * square + (1 - 0.999) * np.square(w.grad)
        data -= 0.1 * (mean / (1 - 0.9**t)) / (np.sqrt(square / (1 - 0.999**t)) + 1e-8)
        optimizer.step()
        np.testing.assert_array_equal(w.data, data)
