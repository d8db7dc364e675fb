"""What optimisers have in common: what they accept and refuse, what they warn of, and the state that they keep."""

import copy
import pickle
import warnings

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, errors, nn, no_grad, optim

MAKERS = [
    pytest.param(lambda params: optim.SGD(params, lr=0.1), id="SGD"),
    pytest.param(lambda params: optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True), id="SGD-nesterov"),
    pytest.param(lambda params: optim.Adam(params, lr=0.1), id="Adam"),
    pytest.param(lambda params: optim.AdamW(params, lr=0.1), id="AdamW"),
    pytest.param(lambda params: optim.NAdam(params, lr=0.1), id="NAdam"),
    pytest.param(lambda params: optim.RMSprop(params, lr=0.1, centered=True, momentum=0.5), id="RMSprop"),
    pytest.param(lambda params: optim.Adagrad(params, lr=0.1, lr_decay=0.1), id="Adagrad"),
    pytest.param(optim.Adadelta, id="Adadelta"),
]
every_optimizer = pytest.mark.parametrize("make", MAKERS)


def leaf(*values):
    return Tensor(list(values), requires_grad=True)


def square_loss(*leaves):
    losses = [(w * w).sum() for w in leaves]
    return sum(losses[1:], losses[0])


@every_optimizer
def test_a_parameter_without_a_gradient_is_left_alone(make):
    used, unused = leaf(1.0, 2.0), leaf(3.0)
    optimizer = make([used, unused])
    square_loss(used).backward()
    before = unused.data.copy()
    optimizer.step()
    np.testing.assert_array_equal(unused.data, before)
    assert not np.array_equal(used.data, [1.0, 2.0])
    assert unused.grad is None


@every_optimizer
def test_zero_grad_forgets_gradients_and_keeps_the_old_arrays_unchanged(make):
    w = leaf(1.0, 2.0)
    optimizer = make([w])
    square_loss(w).backward()
    kept = w.grad
    optimizer.zero_grad()
    assert w.grad is None
    assert kept.tolist() == [2.0, 4.0]


def test_a_single_tensor_and_a_generator_of_tensors_are_accepted():
    w = leaf(1.0)
    assert list(map(id, optim.SGD(w, lr=0.1).params)) == [id(w)]
    model = nn.Linear(2, 3)
    taken = optim.SGD(model.parameters(), lr=0.1).params
    assert list(map(id, taken)) == list(map(id, (model.weight, model.bias)))


def test_what_is_not_a_parameter_is_refused():
    w = leaf(1.0)
    with pytest.raises(errors.ArgumentError, match="no parameters") as caught:
        optim.SGD([], lr=0.1)
    assert "model.parameters()" in caught.value.remedy
    with pytest.raises(errors.ArgumentError, match="twice"):
        optim.SGD([w, leaf(2.0), w], lr=0.1)
    with pytest.raises(errors.GradientError, match="parameter 1 is not a leaf"):
        optim.SGD([w, w * 2], lr=0.1)
    with pytest.raises(errors.GradientError, match="parameter 0 is not a leaf") as caught:
        optim.Adam([Tensor([1.0])])
    assert "requires_grad" in caught.value.remedy
    with pytest.raises(errors.ArgumentError, match="parameter 0") as caught:
        optim.Adam(nn.Linear(1, 1).named_parameters())
    assert "model.parameters()" in caught.value.remedy
    with pytest.raises(errors.ArgumentError, match="parameter 0 is Linear"):
        optim.Adam(nn.Sequential(nn.Linear(1, 1)))
    with pytest.raises(errors.ArgumentError, match="parameter 0"):
        optim.Adam([np.zeros(3)])


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (optim.SGD, {"lr": -0.1}),
        (optim.SGD, {"lr": float("nan")}),
        (optim.Adam, {"lr": -1e-9}),
        (optim.AdamW, {"lr": -1}),
        (optim.SGD, {"lr": 0.1, "momentum": -0.1}),
        (optim.SGD, {"lr": 0.1, "momentum": 1.0}),
        (optim.SGD, {"lr": 0.1, "weight_decay": -1}),
        (optim.SGD, {"lr": 0.1, "weight_decay": float("nan")}),
        (optim.SGD, {"lr": 0.1, "nesterov": True}),
        (optim.Adam, {"betas": (1.0, 0.9)}),
        (optim.Adam, {"betas": (0.9, -0.1)}),
        (optim.Adam, {"eps": -1e-8}),
        (optim.AdamW, {"weight_decay": -0.01}),
        (optim.NAdam, {"momentum_decay": -0.1}),
        (optim.RMSprop, {"alpha": 1.0}),
        (optim.RMSprop, {"momentum": -0.5}),
        (optim.Adagrad, {"initial_accumulator_value": -1}),
        (optim.Adagrad, {"eps": float("nan")}),
        (optim.Adadelta, {"rho": 1.5}),
        (optim.Adadelta, {"eps": -1e-6}),
        (optim.LBFGS, {"history_size": 0}),
        (optim.LBFGS, {"tolerance_change": -1.0}),
        (optim.LBFGS, {"line_search_fn": "armijo"}),
    ],
)
def test_settings_without_sense_are_refused_and_named(make, options):
    with pytest.raises(errors.ArgumentError) as caught:
        make([leaf(1.0)], **options)
    assert type(caught.value) is errors.ArgumentError
    assert make.__name__ in caught.value.message
    assert caught.value.remedy
    assert "make([leaf(1.0)], **options)" in str(caught.value)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (optim.SGD, {"lr": 0.1, "momentum": None}),
        (optim.SGD, {"lr": 0.1, "weight_decay": "a"}),
        (optim.Adam, {"betas": 0.9}),
        (optim.Adam, {"betas": (0.9,)}),
        (optim.Adam, {"betas": ("a", 0.9)}),
        (optim.AdamW, {"eps": None}),
        (optim.NAdam, {"momentum_decay": "a"}),
        (optim.RMSprop, {"alpha": "a"}),
        (optim.Adagrad, {"lr_decay": "a"}),
        (optim.Adadelta, {"rho": None}),
        (optim.LBFGS, {"max_iter": "a"}),
        (optim.LBFGS, {"max_eval": "a"}),
    ],
)
def test_settings_that_are_no_numbers_are_refused_and_named(make, options):
    with pytest.raises(errors.DTypeError, match=f"{make.__name__}: {list(options)[-1]} is ") as caught:
        make([leaf(1.0)], **options)
    assert "number" in caught.value.remedy


def test_betas_in_a_list_are_the_setting_that_a_compiled_step_follows():
    values = []
    for compiled in (False, True):
        w = nn.Parameter(np.array([1.0, 2.0]))
        optimizer = optim.Adam([w], lr=0.1, betas=[0.9, 0.99])
        step = tg.compile_step(lambda x, w=w: (w * w * x).sum(), optimizer)
        for betas in ([0.9, 0.99], [0.9, 0.99], [0.5, 0.5], [0.5, 0.6]):
            optimizer.betas = betas
            assert optimizer.param_groups[0]["betas"] == tuple(betas)
            if compiled:
                step(np.array([1.0, 3.0]))
            else:
                w.grad = 2 * w.data * np.array([1.0, 3.0])
                optimizer.step()
        values.append(w.data)
    np.testing.assert_allclose(*values, rtol=1e-13)


def test_a_learning_rate_of_zero_moves_nothing():
    w = leaf(1.0)
    optimizer = optim.SGD([w], lr=0)
    square_loss(w).backward()
    optimizer.step()
    assert w.data.tolist() == [1.0]


@pytest.mark.parametrize("wrong", [np.zeros((2, 1)), np.zeros(3), np.float64(1.0), [1.0, 2.0], 1.0, Tensor([1.0, 2.0])])
@every_optimizer
def test_a_gradient_of_another_shape_or_kind_is_refused_before_anything_moves(make, wrong):
    first, second = leaf(5.0), leaf(1.0, 2.0)
    optimizer = make([first, second])
    square_loss(first, second).backward()
    second.grad = wrong
    before = optimizer.state_dict()
    with pytest.raises(errors.ShapeError, match=r"\(2,\)") as caught:
        optimizer.step()  # here
    assert caught.value.location.source_line.strip() == "optimizer.step()  # here"
    assert caught.value.remedy
    assert first.data.tolist() == [5.0]
    assert second.data.tolist() == [1.0, 2.0]
    assert_same_state(optimizer.state_dict(), before)


def test_a_base_optimiser_says_what_to_write():
    class Lazy(optim.Optimizer):
        pass

    w = leaf(1.0)
    square_loss(w).backward()
    with pytest.raises(TypeError, match=r"Lazy has no update\(self, data, g, state\)"):
        Lazy([w], 0.1).step()


def test_an_optimiser_of_ones_own_needs_update_and_start_only():
    class SignDescent(optim.Optimizer):
        def start(self, data):
            return {"count": np.zeros_like(data)}

        def update(self, data, g, state):
            state["count"] += 1
            data -= self.lr * np.sign(g)

    w = leaf(1.0, -2.0)
    optimizer = SignDescent([w], 0.5)
    square_loss(w).backward()
    optimizer.step()
    assert w.data.tolist() == [0.5, -1.5]
    assert sorted(optimizer.state_dict()) == ["0.count", "lr"]
    assert optimizer.state_dict()["0.count"].tolist() == [1.0, 1.0]


# Warnings of what is forgotten around a step.


@every_optimizer
def test_stepping_twice_without_zero_grad_warns_once_and_names_the_line(make):
    w = leaf(1.0)
    optimizer = make([w])
    square_loss(w).backward()
    optimizer.step()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            square_loss(w).backward()
            optimizer.step()  # the line of the user
    assert len(caught) == 1
    assert "zero_grad()" in str(caught[0].message)
    assert caught[0].filename == __file__
    with open(__file__) as file:
        assert file.read().splitlines()[caught[0].lineno - 1].strip() == "optimizer.step()  # the line of the user"


def test_a_step_on_the_same_gradients_warns_before_it_moves():
    w = leaf(1.0)
    optimizer = optim.SGD([w], lr=0.1)
    square_loss(w).backward()
    optimizer.step()
    before = w.data.copy()
    with pytest.raises(UserWarning, match="zero_grad"):  # warnings are errors here
        optimizer.step()
    np.testing.assert_array_equal(w.data, before)


@pytest.mark.parametrize("way", ["optimizer", "model", "none", "in place"])
@every_optimizer
def test_no_way_of_zeroing_is_warned_of(make, way):
    model = nn.Linear(2, 1)
    optimizer = make(model.parameters())

    def to_none():
        for p in model.parameters():
            p.grad = None

    def in_place():
        for p in model.parameters():
            p.grad[...] = 0

    ways = {"optimizer": optimizer.zero_grad, "model": model.zero_grad, "none": to_none, "in place": in_place}
    for _ in range(3):
        model(np.ones((4, 2), np.float32)).sum().backward()
        optimizer.step()
        ways[way]()


@every_optimizer
def test_zeroing_first_is_as_good_as_zeroing_last(make):
    w = leaf(1.0)
    optimizer = make([w])
    for _ in range(3):
        optimizer.zero_grad()
        square_loss(w).backward()
        optimizer.step()


@every_optimizer
def test_gradients_accumulated_over_several_backwards_are_not_warned_of(make):
    w = leaf(1.0)
    optimizer = make([w])
    for _ in range(3):
        for _ in range(4):
            square_loss(w).backward()
        optimizer.step()
        optimizer.zero_grad()


@every_optimizer
def test_a_step_without_backward_warns_once(make):
    w = leaf(1.0)
    optimizer = make([w])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        optimizer.step()
        optimizer.step()
    assert ["loss.backward()" in str(each.message) for each in caught] == [True]
    assert caught[0].filename == __file__
    assert w.data.tolist() == [1.0]


def test_one_warning_does_not_silence_the_other():
    w = leaf(1.0)
    optimizer = optim.SGD([w], lr=0.1)
    with pytest.warns(UserWarning, match="found no gradients"):
        optimizer.step()
    square_loss(w).backward()
    optimizer.step()
    with pytest.warns(UserWarning, match="zero_grad"):
        optimizer.step()


# The state between steps.


def assert_same_state(state, other):
    assert list(state) == list(other)
    for name, value in state.items():
        np.testing.assert_array_equal(value, other[name])
        assert np.asarray(value).dtype == np.asarray(other[name]).dtype


def problem():
    model = nn.MLP([3, 5, 2], "tanh", generator=np.random.default_rng(3))
    rng = np.random.default_rng(4)
    batches = [(rng.normal(size=(8, 3)).astype(np.float32), rng.integers(0, 2, 8)) for _ in range(12)]
    return model, batches


def run(model, optimizer, batches):
    for x, labels in batches:
        optimizer.zero_grad()
        F.cross_entropy(model(x), labels).backward()
        optimizer.step()


@every_optimizer
def test_training_goes_on_bit_for_bit_from_a_saved_state(make):
    model, batches = problem()
    optimizer = make(model.parameters())
    run(model, optimizer, batches[:5])
    saved = model.state_dict(), optimizer.state_dict()
    run(model, optimizer, batches[5:])

    resumed, _ = problem()
    other = make(resumed.parameters())
    other.lr = 123.0
    resumed.load_state_dict(saved[0])
    other.load_state_dict(saved[1])
    run(resumed, other, batches[5:])
    assert other.lr == optimizer.lr
    assert_same_state(resumed.state_dict(), model.state_dict())
    assert_same_state(other.state_dict(), optimizer.state_dict())


LATE = [
    (optim.SGD, {"momentum": 0.9}),
    (optim.SGD, {"momentum": 0.9, "nesterov": True}),
    (optim.RMSprop, {"momentum": 0.9}),
    (optim.RMSprop, {"momentum": 0.9, "centered": True}),
]


@pytest.mark.parametrize("backend", [None, "numpy"])
@pytest.mark.parametrize(("make", "later"), LATE)
def test_what_is_turned_on_after_some_steps_starts_from_zero(make, later, backend):
    a, b = nn.Parameter(np.array([1.0, -2.0])), nn.Parameter(np.array([3.0]))
    optimizer = make([a, b], lr=0.1)

    def loss(x):
        return (a * a * x).sum() + (b * b).sum()

    step = tg.compile_step(loss, optimizer, backend=backend) if backend else None

    def move(turns):
        for _ in range(turns):
            if step:
                step(np.array([0.5, 2.0]))
            else:
                optimizer.zero_grad()
                loss(np.array([0.5, 2.0])).backward()
                optimizer.step()

    move(2)
    values, squares = [a.data.copy(), b.data.copy()], optimizer.state_dict()
    for name, value in later.items():
        setattr(optimizer, name, value)
    move(2)
    copies = [nn.Parameter(value) for value in values]  # the same from the start, but for the state before
    expected = make(copies, lr=0.1, **later)
    expected.load_state_dict({name: squares.get(name, value) for name, value in expected.state_dict().items()})
    for _ in range(2):
        copies[0].grad, copies[1].grad = 2 * copies[0].data * np.array([0.5, 2.0]), 2 * copies[1].data
        expected.step()
    for p, copied in zip((a, b), copies, strict=True):
        np.testing.assert_allclose(p.data, copied.data, rtol=1e-13)
    assert optimizer.state_dict().keys() == expected.state_dict().keys()
    assert list(optimizer.state[0]) == list(expected.state[0])


@every_optimizer
def test_a_state_is_flat_and_made_of_copies(make):
    model, batches = problem()
    optimizer = make(model.parameters())
    run(model, optimizer, batches[:2])
    state = optimizer.state_dict()
    assert all(isinstance(name, str) and isinstance(value, (float, np.ndarray)) for name, value in state.items())
    before = copy.deepcopy(state)
    run(model, optimizer, batches[2:])
    assert_same_state(state, before)
    optimizer.load_state_dict(state)
    run(model, optimizer, batches[:1])
    assert_same_state(state, before)  # nor does the optimiser keep the arrays that it was given


@every_optimizer
def test_a_state_survives_a_file_of_arrays(make, tmp_path):
    model, batches = problem()
    optimizer = make(model.parameters())
    run(model, optimizer, batches)
    np.savez(tmp_path / "state.npz", **optimizer.state_dict())
    other = make(problem()[0].parameters())
    with np.load(tmp_path / "state.npz") as loaded:
        other.load_state_dict(loaded)
    assert_same_state(other.state_dict(), optimizer.state_dict())
    assert isinstance(other.lr, float)


def test_a_foreign_state_is_refused_and_nothing_is_changed():
    model, batches = problem()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    run(model, optimizer, batches)
    before = optimizer.state_dict()
    last = list(before)[-1]
    deeper = nn.MLP([3, 5, 5, 2])
    wider = nn.MLP([3, 6, 2])
    foreign = [
        None,
        "adam.npz",
        {},
        optim.SGD(model.parameters(), lr=0.1).state_dict(),
        optim.SGD(model.parameters(), lr=0.1, momentum=0.9).state_dict(),
        optim.Adam(deeper.parameters()).state_dict(),
        optim.Adam(wider.parameters()).state_dict(),
        {name: value for name, value in before.items() if name != last},
        {**before, "7.mean": np.zeros(2)},
        {**before, "lr": "fast"},
        {**before, "lr": [0.1, 0.2]},
        {**before, last: np.zeros(99)},
        {**before, last: np.array(["a", "b"])},
        {**before, last: before[last] * 1j},
    ]
    for state in foreign:
        with pytest.raises(errors.StateError, match="Adam") as caught:
            optimizer.load_state_dict(state)
        assert caught.value.remedy
        assert_same_state(optimizer.state_dict(), before)


def test_a_state_with_other_names_is_refused_by_the_few_that_differ():
    tensors = [Tensor([1.0], requires_grad=True) for _ in range(9)]
    plain, heavy = optim.SGD(tensors, lr=0.1), optim.SGD(tensors, lr=0.1, momentum=0.9)
    few = r"the state lacks 0\.velocity, 1\.velocity, 2\.velocity and 6 more"
    with pytest.raises(errors.StateError, match=few) as no:
        heavy.load_state_dict(plain.state_dict())
    assert "same settings" in no.value.remedy
    with pytest.raises(errors.StateError, match=r"the state lacks 3\.velocity and has 3\.speed"):
        heavy.load_state_dict({name.replace("3.velocity", "3.speed"): a for name, a in heavy.state_dict().items()})
    with pytest.raises(errors.StateError, match="not a dict"):
        plain.load_state_dict([0.1])


def test_the_state_of_another_precision_is_cast():
    w, v = leaf(1.0, 2.0), Tensor([1.0, 2.0], dtype=np.float32, requires_grad=True)
    optimizer, other = optim.Adam([w]), optim.Adam([v])
    square_loss(w).backward()
    optimizer.step()
    other.load_state_dict(optimizer.state_dict())
    state = other.state_dict()
    assert state["0.mean"].dtype == np.float32
    np.testing.assert_allclose(state["0.mean"], [0.2, 0.4], rtol=1e-6)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
@every_optimizer
def test_a_model_copied_with_its_optimiser_trains_on_apart(make, clone):
    model, batches = problem()
    optimizer = make(list(model.parameters()))
    run(model, optimizer, batches[:3])
    other, its_optimizer = clone((model, optimizer))
    before = model.state_dict()
    run(other, its_optimizer, batches[3:])
    assert_same_state(model.state_dict(), before)
    run(model, optimizer, batches[3:])
    assert_same_state(other.state_dict(), model.state_dict())


# Steps and the tape.


@every_optimizer
def test_a_step_between_forward_and_backward_is_refused_where_the_old_values_are_needed(make):
    w = leaf(2.0)
    optimizer = make([w])
    square_loss(w).backward()
    loss = (w * w).sum()  # the recorded line
    optimizer.step()
    optimizer.zero_grad()
    with pytest.raises(errors.StaleValueError, match="overwritten") as caught:
        loss.backward()
    assert "(w * w).sum()" in str(caught.value)
    assert w.grad is None


@every_optimizer
def test_a_step_between_forward_and_backward_is_fine_where_no_old_value_is_needed(make):
    w = leaf(2.0)
    optimizer = make([w])
    square_loss(w).backward()
    loss = (3 * w).sum()
    optimizer.step()
    optimizer.zero_grad()
    loss.backward()
    assert w.grad.tolist() == [3.0]


def test_a_step_leaves_nothing_on_the_tape_and_keeps_the_array():
    w = leaf(2.0)
    data = w.data
    square_loss(w).backward()
    optim.Adam([w], lr=0.1).step()
    assert w.data is data
    assert w.is_leaf
    assert len(w.tape()) == 1


@every_optimizer
def test_a_step_inside_no_grad_is_the_same_step(make):
    results = []
    for recording in (True, False):
        w = leaf(2.0)
        optimizer = make([w])
        square_loss(w).backward()
        if recording:
            optimizer.step()
        else:
            with no_grad():
                optimizer.step()
        results.append(w.data.tolist())
    assert results[0] == results[1]


def test_the_repr_tells_the_learning_rate():
    assert repr(optim.Adam([leaf(1.0)], lr=0.25)) == "Adam(lr=0.25)"
