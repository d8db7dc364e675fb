"""L-BFGS and its line search: against the dense formula, on valleys and cliffs, and interrupted."""

import copy
import pickle

import numpy as np
import pytest

import tinygrad_sm as tg
from tinygrad_sm import Tensor, errors, optim
from tinygrad_sm.optim.lbfgs import _Memory
from tinygrad_sm.optim.line_search import Point, strong_wolfe

SEARCH = {"line_search_fn": "strong_wolfe"}


class Problem:
    """A loss of some tensors, as a closure that counts its calls."""

    def __init__(self, loss, *starts, dtype=np.float64, **options):
        self.params = [Tensor(start, dtype=dtype, requires_grad=True) for start in starts]
        self.loss = loss
        self.calls = 0
        self.optimizer = optim.LBFGS(self.params, **options)

    def __call__(self):
        self.calls += 1
        self.optimizer.zero_grad()
        loss = self.loss(*self.params)
        loss.backward()
        return loss

    def steps(self, count):
        return [self.optimizer.step(self).item() for _ in range(count)]

    def place(self):
        return np.concatenate([p.data.ravel() for p in self.params])


def rosenbrock(w):
    return (100 * (w[1:] - w[:-1] ** 2) ** 2 + (1 - w[:-1]) ** 2).sum()


@pytest.mark.parametrize(("n", "steps"), [(2, 4), (30, 20)])
def test_it_finds_the_end_of_rosenbrocks_valley(n, steps):
    problem = Problem(rosenbrock, np.tile([-1.2, 1.0], n // 2), tolerance_change=0.0, **SEARCH)
    losses = problem.steps(steps)
    np.testing.assert_allclose(problem.place(), 1, atol=1e-6)
    assert losses == sorted(losses, reverse=True)
    settled = problem.calls
    problem.steps(3)
    assert problem.calls <= settled + 3 * 26  # it looks, and stays
    np.testing.assert_allclose(problem.place(), 1, atol=1e-6)


def test_without_a_search_it_finds_the_bottom_of_a_bowl():
    rng = np.random.default_rng(0)
    half, target = rng.normal(size=(12, 12)), rng.normal(size=12)
    matrix = half @ half.T + np.eye(12)
    problem = Problem(lambda w: (w @ matrix @ w) / 2 - (w * target).sum(), np.zeros(12), max_iter=100, max_eval=1000)
    problem.steps(1)
    np.testing.assert_allclose(problem.place(), np.linalg.solve(matrix, target), rtol=1e-5, atol=1e-6)


def test_the_direction_is_that_of_the_dense_formula():
    rng = np.random.default_rng(1)
    memory, place = _Memory(), rng.normal(size=5)
    half = rng.normal(size=(5, 5))
    matrix = half @ half.T + np.eye(5)
    for _ in range(8):
        memory.learn(matrix @ place, 3)
        memory.rate = 0.01
        place = place + 0.01 * memory.step
    assert 0 < len(memory.pairs) <= 3
    inverse = memory.scale * np.eye(5)
    for s, y, rho in memory.pairs:
        assert rho == pytest.approx(1 / (s @ y))
        left = np.eye(5) - np.outer(s, y) / (s @ y)
        inverse = left @ inverse @ left.T + np.outer(s, s) / (s @ y)
    g = rng.normal(size=5)
    np.testing.assert_allclose(memory.direction(g), -inverse @ g, rtol=1e-10)


LINES = {
    "quadratic": (lambda t: (t - 2) ** 2, lambda t: 2 * (t - 2)),
    "flat": (lambda t: -t / (t * t + 2), lambda t: (t * t - 2) / (t * t + 2) ** 2),
    "power": (lambda t: (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4, lambda t: 5 * (t + 0.004) ** 4 - 8 * (t + 0.004) ** 3),
    "waves": (lambda t: np.cos(3 * t) - t / 9 + t * t / 50, lambda t: -3 * np.sin(3 * t) - 1 / 9 + t / 25),
}


@pytest.mark.parametrize("rate", [1e-3, 0.1, 1.0, 7.0, 1e3])
@pytest.mark.parametrize("name", LINES)
def test_a_search_ends_where_wolfes_conditions_hold(name, rate):
    value, slope = LINES[name]

    def look(t):
        return Point(t, float(value(t)), np.array([slope(t)]), float(slope(t)))

    start = look(0.05)
    start = Point(0.0, start.loss, start.gradient, start.slope)
    found, looks = strong_wolfe(lambda t: look(t + 0.05)._replace(rate=t), start, rate, 1.0, 1e-12)
    assert start.slope < 0
    assert looks <= 26
    assert found.loss <= start.loss + 1e-4 * found.rate * start.slope
    assert abs(found.slope) <= 0.9 * abs(start.slope)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("options", [{}, SEARCH])
def test_it_never_stays_where_the_loss_is_no_number(options):
    """X - log(x) is lowest at 1, and NaN below 0; from 8 the second step is far too long."""
    problem = Problem(lambda w: (w - tg.log(w)).sum() + (tg.sqrt(12 - w) * 0).sum(), [8.0, 0.01], lr=100.0, **options)
    places, told = [], []
    for _ in range(30):
        try:
            problem.optimizer.step(problem)
        except errors.NonFiniteError as error:
            told.append(str(error))
            problem.optimizer.lr *= 0.5
        assert np.isfinite(problem.loss(*problem.params).item())
        places.append(problem.place())
    np.testing.assert_allclose(places[-1], 1.0, rtol=1e-4)
    assert bool(told) != bool(options)
    assert all("the step was taken back" in each and "strong_wolfe" in each for each in told)


def test_a_loss_that_is_no_number_to_begin_with_is_refused():
    problem = Problem(lambda w: (w * np.nan).sum(), [1.0])
    with pytest.raises(errors.NonFiniteError, match="nan at the beginning"):
        problem.optimizer.step(problem)
    assert problem.place().tolist() == [1.0]


@pytest.mark.parametrize("options", [{}, SEARCH])
def test_an_interrupted_step_goes_back_to_the_last_point(options):
    problem = Problem(rosenbrock, [-1.2, 1.0], lr=0.001, **options)

    def closure():
        if problem.calls == 6:
            raise KeyboardInterrupt
        places.append(problem.place())
        losses.append(problem().item())
        return losses[-1]

    places, losses = [], []
    with pytest.raises(KeyboardInterrupt):
        problem.optimizer.step(closure)
    assert any(np.array_equal(problem.place(), place) for place in places)
    assert problem.loss(*problem.params).item() <= losses[0]


def test_how_often_it_looks_and_what_it_returns():
    problem = Problem(rosenbrock, [-1.2, 1.0], lr=1e-3, max_iter=5)
    loss = problem.optimizer.step(problem)
    assert problem.calls == 6
    assert loss.item() == pytest.approx(rosenbrock(np.array([-1.2, 1.0])))
    limited = Problem(rosenbrock, [-1.2, 1.0], lr=1e-3, max_iter=50, max_eval=3)
    limited.optimizer.step(limited)
    assert limited.calls == 3
    there = Problem(rosenbrock, [1.0, 1.0])
    there.steps(2)
    assert there.calls == 2


def test_shapes_types_and_parameters_without_a_gradient():
    problem = Problem(
        lambda a, b, c, d: (a - 2) ** 2 + ((b - 3) ** 2).sum() + (c**2).sum(),
        0.0,
        np.ones((2, 3)),
        np.zeros((0, 2)),
        [5.0],
        dtype=np.float32,
        **SEARCH,
    )
    data = [p.data for p in problem.params]
    problem.steps(5)
    assert all(p.data is array and p.dtype == np.float32 for p, array in zip(problem.params, data, strict=True))
    np.testing.assert_allclose(problem.place(), [2, *[3] * 6, 5], rtol=1e-5)
    mixed = [Tensor([1.0], dtype=dtype, requires_grad=True) for dtype in (np.float32, np.float64)]
    optimizer = optim.LBFGS(mixed)

    def closure():
        optimizer.zero_grad()
        loss = sum(((w - 3) ** 2).sum() for w in mixed)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert [w.dtype for w in mixed] == [np.float32, np.float64]
    np.testing.assert_allclose([w.item() for w in mixed], 3, rtol=1e-6)


def test_closures_that_do_not_do_their_part():
    w = Tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.LBFGS([w])
    for closure in (None, 3.0):
        with pytest.raises(errors.ArgumentError, match="needs a closure") as caught:
            optimizer.step(closure)
        assert "clears the gradients" in caught.value.remedy
    with pytest.raises(errors.DTypeError, match="the closure returned None") as caught:
        optimizer.step(lambda: (w * w).sum().backward())
    assert "return the loss" in caught.value.remedy
    w.grad = None
    with pytest.raises(errors.GradientError, match="left no gradients"):
        optimizer.step(lambda: (w * w).sum())

    def never_zeroed():
        loss = (w * w).sum()
        loss.backward()
        return loss

    with pytest.raises(UserWarning, match="zero_grad"):  # warnings are errors here
        optimizer.step(never_zeroed)
    with pytest.raises(errors.ArgumentError, match="no groups"):
        optim.LBFGS([{"params": [w]}, {"params": [Tensor([1.0], requires_grad=True)]}])


@pytest.mark.parametrize("options", [{"lr": 0.002}, {**SEARCH, "max_iter": 3, "history_size": 2}])
@pytest.mark.parametrize("steps", [0, 1, 4])
def test_it_goes_on_from_a_saved_state_and_so_does_a_copy(options, steps, tmp_path):
    problem = Problem(rosenbrock, [-1.2, 1.0, 0.5], **options)
    problem.steps(steps)
    np.savez(tmp_path / "state.npz", **problem.optimizer.state_dict())
    twins = [copy.deepcopy(problem), pickle.loads(pickle.dumps(problem))]
    resumed = Problem(rosenbrock, problem.params[0].data.copy(), **{**options, "lr": 7.0})
    with np.load(tmp_path / "state.npz") as state:
        resumed.optimizer.load_state_dict(state)
    losses = problem.steps(4)
    for twin in (resumed, *twins):
        assert twin.steps(4) == losses
        np.testing.assert_array_equal(twin.place(), problem.place())


def test_a_foreign_state_is_refused():
    problem, other = Problem(rosenbrock, [-1.2, 1.0], **SEARCH), Problem(rosenbrock, [-1.2, 1.0, 0.5], **SEARCH)
    problem.steps(2)
    other.steps(2)
    own = problem.optimizer.state_dict()
    foreign = [None, {}, optim.Adam(problem.params).state_dict(), other.optimizer.state_dict()]
    foreign.append({**own, "steps": own["steps"][1:]})
    for state in foreign:
        with pytest.raises(errors.StateError, match="LBFGS") as caught:
            problem.optimizer.load_state_dict(state)
        assert caught.value.remedy
    for name, value in problem.optimizer.state_dict().items():
        np.testing.assert_array_equal(value, own[name])


def test_other_optimisers_take_a_closure_too():
    w = Tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    assert [optimizer.step(closure).item() for _ in range(3)] == [1.0, 0.25, 0.0625]
    closure()
    assert optimizer.step() is None
