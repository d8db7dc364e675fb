"""What compiled functions once got wrong without a word: each case with the eager function or NumPy as its judge."""

import numpy as np
import pytest

import tinygrad_sm as tg
from tinygrad_sm import Tensor, nn, optim
from tinygrad_sm.compiler import compile, compile_step
from tinygrad_sm.errors import ArgumentError, CaptureError, GradientError

RNG = np.random.default_rng(0)
X, Z = RNG.standard_normal((2, 3, 4))
ROWS = np.arange(3)


def assert_follows(function, *calls):
    """The compiled function returns for every call what the function itself does."""
    compiled = compile(function)
    for arrays in (*calls, *calls):
        np.testing.assert_array_equal(compiled(*arrays), function(*map(Tensor, arrays)).data)


def test_a_row_chosen_by_a_number_of_numpys_is_a_view():
    def function(x):
        row = (x * 2)[np.int64(1)]
        return row + ((x + 5) * 3 - 1).sum()

    assert_follows(function, (X,), (Z,))


def test_a_tuple_and_a_list_choose_different_elements():
    assert_follows(lambda x: x[(0, 1)] * x[[0, 1]], (X,), (Z,))


def test_columns_counted_from_the_end():
    def function(x, columns):
        return x[ROWS, columns] * 1

    assert_follows(function, (X, np.array([0, 1, 2])), (Z, np.array([-1, 1, -4])))
    assert_follows(function, (np.asfortranarray(X), np.array([0, 1, 2])), (np.asfortranarray(Z), np.array([-1, 1, -4])))


@pytest.mark.parametrize("columns", [[0, 4, 0], [0, 0, -5], [7, 0, 0]])
def test_columns_outside_are_refused(columns):
    compiled = compile(lambda x, columns: x[ROWS, columns] * 1)
    compiled(X, np.array([0, 1, 2]))
    with pytest.raises(IndexError):
        compiled(X, np.array(columns))


def test_a_gradient_that_is_constant_is_an_array_of_its_own():
    both = compile(tg.value_and_grad(lambda x: x.sum()))
    for _ in range(3):
        _, gradient = both(X)
        np.testing.assert_array_equal(gradient, np.ones_like(X))
        gradient *= 0


def test_equal_results_are_arrays_of_their_own():
    compiled = compile(lambda x: (x * 2, x * 2, [x + 1, x + 1]))
    for _ in range(3):
        a, b, (c, d) = compiled(X)
        assert not np.shares_memory(a, b)
        assert not np.shares_memory(c, d)


def test_lists_are_returned_as_tuples_and_dicts_not_at_all():
    compiled = compile(lambda x: [x * 2, x.sum()])
    assert {type(compiled(X)) for _ in range(3)} == {tuple}
    with pytest.raises(CaptureError, match="dict"):
        compile(lambda x: {"double": x * 2})(X)


def test_numbers_that_are_equal_but_for_the_sign_of_zero():
    compiled = compile(lambda x, k: x * k)
    for k in (0.0, -0.0, 0.0, -0.0):
        np.testing.assert_array_equal(np.signbit(compiled(X, k)), np.signbit(X * k))


def test_an_array_called_like_the_program():
    step = nn.Parameter(X.copy())
    compiled = compile_step(lambda slice: ((step - slice) ** 2).sum(), optim.SGD([step], lr=0.25))
    for _ in range(3):
        compiled(np.zeros_like(X))
    np.testing.assert_array_equal(step.data, X / 8)


class Decaying(optim.Optimizer):
    """Writes to the gradient, which another parameter has as well."""

    def update(self, data, g, state):
        g *= 0.5
        g += 0.1 * data
        data -= self.lr * g


class Clipping(optim.Optimizer):
    """The same, as a call."""

    def update(self, data, g, state):
        g *= 0.5 if float(np.linalg.norm(g)) > 0 else 1.0
        data -= self.lr * g


class Flat(optim.Optimizer):
    """Writes through a view."""

    def update(self, data, g, state):
        flat = data.reshape(-1)
        flat -= self.lr * g.reshape(-1)


class Alternating(optim.Optimizer):
    """Swaps its two arrays."""

    def start(self, data):
        return {"a": np.zeros_like(data), "b": np.ones_like(data)}

    def update(self, data, g, state):
        state["a"], state["b"] = state["b"], state["a"]
        data -= self.lr * g + 0.1 * state["a"]
        state["b"] += 1


class Counting(optim.Optimizer):
    """Counts its updates."""

    count = 0

    def update(self, data, g, state):
        self.count += 1
        data -= self.lr * g / self.count


class Noisy(optim.Optimizer):
    """Langevin dynamics."""

    def __init__(self, params, lr):
        self.generator = np.random.default_rng(0)
        super().__init__(params, lr)

    def update(self, data, g, state):
        data -= self.lr * (g + self.generator.standard_normal(g.shape))


class Resilient(optim.Optimizer):
    """An array that is called like the program."""

    def start(self, data):
        return {"old": np.zeros_like(data), "step": np.full_like(data, 0.1)}

    def update(self, data, g, state):
        agree = g * state["old"]
        state["step"] *= np.where(agree > 0, 1.2, np.where(agree < 0, 0.5, 1.0))
        data -= np.sign(g) * state["step"]
        state["old"][:] = g


def pairs(make, loss, count=2):
    """Parameters and an optimiser for a compiled step and for eager steps that do the same."""
    params, twins = ([nn.Parameter(X.copy() + i) for i in range(count)] for _ in range(2))
    optimizer, other = make(params), make(twins)
    compiled = compile_step(lambda x: loss(params, x), optimizer)

    def eager(x):
        other.zero_grad()
        value = loss(twins, Tensor(x))
        value.backward()
        other.step()
        return value.item()

    return compiled, eager, params, twins, optimizer, other


def sum_of_both(params, x):
    return ((params[0] + params[1] - x) ** 2).sum()


@pytest.mark.parametrize("kind", [Decaying, Clipping, Flat, Alternating, Counting, Noisy, Resilient])
def test_odd_updates(kind):
    compiled, eager, params, twins, optimizer, other = pairs(lambda params: kind(params, lr=0.05), sum_of_both)
    for i in range(6):
        x = Z + i
        assert compiled(x) == eager(x)
        for p, q in zip(params, twins, strict=True):
            np.testing.assert_array_equal(p.data, q.data)
    for name, value in other.state_dict().items():
        np.testing.assert_array_equal(optimizer.state_dict()[name], value)


def test_a_step_of_ones_own_is_refused():
    class Warming(optim.SGD):
        def step(self):
            self.lr *= 2
            super().step()

    with pytest.raises(ArgumentError, match="Warming has a step"):
        compile_step(lambda x: x, Warming([nn.Parameter(X)], lr=0.1))


def test_the_precision_of_the_learning_rate():
    def make(params):
        for p in params:
            p.data = p.data.astype(np.float32)
        return optim.SGD(params, lr=0.1)

    compiled, eager, params, twins, optimizer, other = pairs(make, sum_of_both)
    for lr in (0.1, 0.1, np.float64(0.1), np.float64(0.07), 0.1, np.float32(0.1)):
        optimizer.lr = other.lr = lr
        assert compiled(Z.astype(np.float32)) == eager(Z.astype(np.float32))
        np.testing.assert_array_equal(params[0].data, twins[0].data)


def test_a_parameter_that_is_frozen_later_is_not_moved():
    compiled, _, params, *_ = pairs(lambda params: optim.SGD(params, lr=0.1), sum_of_both)
    compiled(Z)
    compiled(Z)
    params[1].requires_grad = False
    before = params[1].data.copy()
    with pytest.raises(GradientError, match="frozen is parameter 1"):
        compiled(Z)
    np.testing.assert_array_equal(params[1].data, before)
    params[1].requires_grad = True
    compiled(Z)
    assert (params[1].data != before).any()


def test_one_gradient_in_two_gathered_arrays():
    def loss(q, x):
        return ((q[0] + q[1] * x + q[2] + q[3] * x + q[4] * x * 2 - x) ** 2).sum()

    compiled, eager, params, twins, optimizer, other = pairs(lambda params: optim.Adam(params, lr=0.1), loss, 5)
    for each, q in ((optimizer, params), (other, twins)):  # two parameters are a step ahead of the others
        ((q[0] * q[1]) ** 2).sum().backward()
        each.step()
        each.zero_grad()
    for i in range(4):
        assert compiled(Z + i) == eager(Z + i)
        for p, q in zip(params, twins, strict=True):
            np.testing.assert_array_equal(p.data, q.data)


def test_a_part_of_a_broadcast_array_is_not_written_over():
    assert_follows(lambda x: tg.sign(tg.broadcast_to(tg.exp(x), (2, 3, 4))[0]) * 2, (X,), (Z,))


def test_a_product_with_a_gradient_of_ones_rounds_as_ever():
    both = tg.value_and_grad(lambda x: (tg.tanh(x).sum(axis=1) @ x).sum())
    compiled = compile(both)
    for seed in range(20):
        x = np.random.default_rng(seed).standard_normal((5, 7))
        np.testing.assert_array_equal(compiled(x)[1], both(x)[1])


def test_a_product_of_arrays_with_gaps_rounds_as_ever():
    compiled = compile(lambda x, y: x @ y.T * 1)
    for seed in range(20):
        x, y = np.random.default_rng(seed).standard_normal((2, 6, 8))
        for a, b in ((x[0, ::2], y[::2, ::2]), (x[::2, ::2], y[:, :4]), (x[:, :4], y[:, ::-2])):
            np.testing.assert_array_equal(compiled(a, b), a @ b.T)


def test_a_singular_matrix_is_named_with_its_line():
    compiled = tg.compile(lambda x: tg.linalg.inv(x) + 1)
    compiled(np.eye(2))
    compiled(np.eye(2) * 2)
    with pytest.raises(tg.errors.MatrixError, match="inv: ") as caught:
        compiled(np.ones((2, 2)))
    assert "tg.linalg.inv(x)" in str(caught.value)


class Counting(nn.Module):
    """A layer that counts its calls, in ways that a program would not repeat."""

    def __init__(self, count):
        self.seen, self.count = tg.Tensor(np.zeros(1)), count

    def forward(self, x):
        self.count(self.seen)
        return x * 2


def add_one(seen):
    seen += 1


def assign_element(seen):
    seen[0] = seen.data[0] + 1


def assign_data(seen):
    seen.data = seen.data + 1


@pytest.mark.parametrize("count", [add_one, assign_element, assign_data])
def test_counting_in_a_constant_is_refused(count):
    model = Counting(count)
    with pytest.raises(tg.errors.CaptureError, match=r"updated in place|data assigned"):
        tg.compile(model)(np.ones(2))
    np.testing.assert_array_equal(model.seen.data, [0.0])


def test_adding_up_from_a_constant_is_no_update():
    def function(x):
        total = tg.Tensor(0.0)
        total += (x**2).sum()
        return total

    compiled = tg.compile(tg.value_and_grad(function))
    for x in (np.ones(2), np.full(2, 3.0)):
        np.testing.assert_array_equal(compiled(x)[1], 2 * x)


def test_what_to_write_for_a_compiled_grad():
    with pytest.raises(tg.errors.CaptureError, match=r"value_and_grad\(f\), and take the second"):
        tg.compile(tg.grad(lambda x: (x**2).sum()))
