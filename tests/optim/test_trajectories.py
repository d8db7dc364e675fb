"""Where the optimisers go: against their published formulas, and against the numbers that PyTorch gives."""

import math

import numpy as np
import pytest

from tinygrad_sm import Tensor, optim

START_P = [-0.5, 1.0]
START_Q = [[1.5], [-0.25]]

# The values of both parameters after ten steps of `torch.optim` in PyTorch 2.13 with these options, in float64, from
# the start above and on the loss of `train` below: zero_grad, backward and step, ten times. Printed with tolist().
PYTORCH = [
    ("SGD", {"lr": 0.02}, [-0.5256072951445134, 0.4314701164978184], [1.0751992720369707, -0.24692680646246676]),
    (
        "SGD",
        {"lr": 0.02, "momentum": 0.9},
        [0.7943576743455415, 0.04069169965357005],
        [0.11497931164289853, -0.2374771402772313],
    ),
    (
        "SGD",
        {"lr": 0.02, "momentum": 0.9, "nesterov": True},
        [0.5466575382679985, 0.003130459298338501],
        [0.19433401822121776, -0.23588681434732048],
    ),
    (
        "SGD",
        {"lr": 0.02, "weight_decay": 0.1},
        [-0.5124450942539537, 0.4177888352699904],
        [1.0580866357113534, -0.24207936710510264],
    ),
    (
        "SGD",
        {"lr": 0.02, "momentum": 0.5, "nesterov": True, "weight_decay": 0.1},
        [-0.2004789299883257, 0.1462575277267357],
        [0.8396139796601036, -0.23522503841030695],
    ),
    ("Adam", {"lr": 0.1}, [-0.5516942742990272, 0.4015354890167832], [0.6294920913876436, 0.1445581697438137]),
    (
        "Adam",
        {"lr": 0.1, "betas": (0.8, 0.9), "eps": 0.01},
        [-0.4867728588076068, 0.4017548300997302],
        [0.6470234648696135, 0.006611649117966808],
    ),
    (
        "Adam",
        {"lr": 0.1, "weight_decay": 0.1},
        [-0.5436592589196533, 0.3898381953400424],
        [0.6234737154820151, 0.062478744932752656],
    ),
    ("AdamW", {"lr": 0.1}, [-0.5453820185921908, 0.3938484382933795], [0.6209830663276531, 0.14408392024711592]),
    (
        "AdamW",
        {"lr": 0.1, "weight_decay": 0.3, "betas": (0.5, 0.9)},
        [-0.22659622573776958, 0.19597923750994767],
        [0.5809723103476232, 0.013394027735506938],
    ),
]

# The same with `q` in the loss from the seventh step only: Adam counts the steps of every parameter apart.
PYTORCH_LATE = [
    ("Adam", [-0.5516942742990272, 0.4015354890167832], [1.109490238296892, 0.047757819599332424]),
    ("AdamW", [-0.5453820185921908, 0.3938484382933795], [1.1043038879282028, 0.04805127365293283]),
]


def valley(p):
    """Rosenbrock's function, a curved valley: neither quadratic nor separable."""
    return (1 - p[0]) ** 2 + 5 * (p[1] - p[0] ** 2) ** 2


def start(dtype):
    return Tensor(START_P, requires_grad=True, dtype=dtype), Tensor(START_Q, requires_grad=True, dtype=dtype)


def train(name, options, dtype=np.float64, late=0, steps=10):
    """The values of both parameters, after every step."""
    p, q = start(dtype)
    optimizer = getattr(optim, name)([p, q], **options)
    places = []
    for i in range(steps):
        optimizer.zero_grad()
        loss = valley(p) + (q**4).sum() / 4 if i >= late else valley(p)
        loss.backward()
        optimizer.step()
        places.append([*p.data.tolist(), *q.data.ravel().tolist()])
    return places


def slope(place):
    """The gradient of the loss, worked out by hand."""
    a, b, c, d = place
    return [-2 * (1 - a) - 20 * a * (b - a * a), 10 * (b - a * a), c**3, d**3]


def by_formula(name, options, steps=10):
    """The same walk with plain numbers; running averages are written out as the sums that they stand for."""
    place = [*START_P, *(row[0] for row in START_Q)]
    lr, decay = options["lr"], options.get("weight_decay", 0.01 if name == "AdamW" else 0.0)
    past = []  # gradients, oldest first
    places = []
    for t in range(1, steps + 1):
        g = slope(place)
        if name == "AdamW":
            place = [x * (1 - lr * decay) for x in place]
        else:
            g = [gi + decay * x for gi, x in zip(g, place, strict=True)]
        past.append(g)
        rule = sgd_move if name == "SGD" else adam_move
        place = [x - lr * rule([g[i] for g in past], t, options) for i, x in enumerate(place)]
        places.append(place)
    return places


def sgd_move(past, t, options):
    """Sutskever's velocity is the sum of momentum**age times gradient; Nesterov's looks one step ahead."""
    momentum = options.get("momentum", 0.0)
    velocity = math.fsum(momentum ** (t - 1 - age) * g for age, g in enumerate(past))
    return past[-1] + momentum * velocity if options.get("nesterov") else velocity


def adam_move(past, t, options):
    """Kingma and Ba, algorithm 1: weighted means of g and g**2, whose weights are made to add up to one."""
    beta1, beta2 = options.get("betas", (0.9, 0.999))
    weights1 = [beta1 ** (t - 1 - age) for age in range(t)]
    weights2 = [beta2 ** (t - 1 - age) for age in range(t)]
    mean = math.fsum(w * g for w, g in zip(weights1, past, strict=True)) / math.fsum(weights1)
    square = math.fsum(w * g * g for w, g in zip(weights2, past, strict=True)) / math.fsum(weights2)
    return mean / (math.sqrt(square) + options.get("eps", 1e-8))


IDS = ["-".join([name, *(key for key in options if key != "lr")]) for name, options, *_ in PYTORCH]


@pytest.mark.parametrize(("name", "options", "p", "q"), PYTORCH, ids=IDS)
def test_ten_steps_end_where_pytorch_ends(name, options, p, q):
    np.testing.assert_allclose(train(name, options)[-1], [*p, *q], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("name", "options"), [case[:2] for case in PYTORCH], ids=IDS)
def test_every_step_is_that_of_the_published_formula(name, options):
    np.testing.assert_allclose(train(name, options), by_formula(name, options), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("name", "p", "q"), PYTORCH_LATE)
def test_a_parameter_that_joins_late_is_corrected_for_its_own_steps(name, p, q):
    np.testing.assert_allclose(train(name, {"lr": 0.1}, late=6)[-1], [*p, *q], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("scalar", [float, np.float64, np.float32])
@pytest.mark.parametrize(("name", "options"), [case[:2] for case in PYTORCH], ids=IDS)
def test_float32_stays_float32_and_close_to_float64(name, options, scalar):
    p, q = start(np.float32)
    options = {key: scalar(value) if isinstance(value, float) else value for key, value in options.items()}
    optimizer = getattr(optim, name)([p, q], **options)
    for _ in range(10):
        optimizer.zero_grad()
        (valley(p) + (q**4).sum() / 4).backward()
        optimizer.step()
    assert p.dtype == q.dtype == np.float32
    assert {a.dtype for name, a in optimizer.state_dict().items() if name.endswith(("mean", "velocity", "square"))} <= {
        np.dtype(np.float32)
    }
    # Ten steps of float32 lose a few of its 24 bits.
    exact = by_formula(name, options)[-1]
    np.testing.assert_allclose([*p.data, *q.data.ravel()], exact, rtol=2e-5, atol=2e-6)


def test_the_learning_rate_may_change_between_steps():
    w = Tensor([0.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=1.0)
    for lr in (1.0, 0.5, 0.25):
        optimizer.zero_grad()
        optimizer.lr = lr
        w.sum().backward()
        optimizer.step()
    assert w.data.tolist() == [-1.75]


def test_a_scalar_parameter_is_updated_in_place():
    for make in (optim.SGD, optim.Adam, optim.AdamW):
        w = Tensor(1.0, requires_grad=True, dtype=np.float32)
        data = w.data
        (w * w).backward()
        make([w], lr=0.5).step()
        assert w.data is data
        assert w.shape == ()
        assert w.dtype == np.float32
        assert w.item() < 0.51


@pytest.mark.parametrize("make", [lambda w: optim.SGD(w, lr=0.1, momentum=0.9), optim.Adam, optim.AdamW])
def test_the_gradients_are_left_as_they_were(make):
    w = Tensor([1.0, 2.0], requires_grad=True)
    optimizer = make([w])
    for _ in range(2):
        optimizer.zero_grad()
        (w**2).sum().backward()
        g, before = w.grad, w.grad.copy()
        optimizer.step()
        assert w.grad is g
        np.testing.assert_array_equal(g, before)


def test_zero_weight_decay_of_adamw_is_adam():
    assert train("AdamW", {"lr": 0.1, "weight_decay": 0.0}) == train("Adam", {"lr": 0.1})


def test_every_optimiser_finds_the_bottom_of_a_bowl():
    target = np.array([3.0, -1.0])
    optimizers = [
        (optim.SGD, {"lr": 0.1}),
        (optim.SGD, {"lr": 0.05, "momentum": 0.8}),
        (optim.SGD, {"lr": 0.05, "momentum": 0.8, "nesterov": True}),
        (optim.Adam, {"lr": 0.1}),
        (optim.AdamW, {"lr": 0.1, "weight_decay": 0.0}),
    ]
    for make, options in optimizers:
        w = Tensor([0.0, 0.0], requires_grad=True)
        optimizer = make([w], **options)
        for _ in range(400):
            optimizer.zero_grad()
            ((w - target) ** 2).sum().backward()
            optimizer.step()
        np.testing.assert_allclose(w.data, target, atol=1e-3)
