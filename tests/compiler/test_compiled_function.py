"""Compiled functions and their gradients: the same values and types as without, each time in arrays of their own."""

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, nn, optim
from tinygrad_sm.engine.primitive import PRIMITIVES, primitive
from tinygrad_sm.errors import ArgumentError
from tinygrad_sm.ops.samples import Sample, normal

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((4, 3)), RNG.standard_normal((4, 3))


def test_values_of_other_arguments():
    compiled = tg.compile(lambda x, y: np.exp(x) * y + x.sum(axis=1, keepdims=True))
    for x, y in ((A, B), (B, A), (A * 2, B)):
        got = compiled(x, y)
        assert type(got) is np.ndarray
        np.testing.assert_array_equal(got, np.exp(x) * y + x.sum(axis=1, keepdims=True))


def test_results_are_arrays_of_their_own():
    def function(x):
        y = x * 2
        return y, y[1:], y.T, (y.sum(), x), [y + 1]

    compiled = tg.compile(function)
    first = [compiled(A) for _ in range(3)][1]
    values = [first[0].copy(), first[1].copy(), first[2].copy(), first[4][0].copy()]
    compiled(B)
    np.testing.assert_array_equal(first[0], values[0])
    np.testing.assert_array_equal(first[1], values[1])
    np.testing.assert_array_equal(first[2], values[2])
    np.testing.assert_array_equal(first[4][0], values[3])
    assert (type(first[3][0]), first[3][0].shape) == (np.ndarray, ())


def test_tensors_give_tensors_that_carry_no_gradient():
    compiled = tg.compile(lambda x: np.tanh(x))
    for _ in range(2):
        got = compiled(Tensor(A))
        assert isinstance(got, Tensor)
        assert not got.requires_grad
        np.testing.assert_array_equal(got.data, np.tanh(A))


@pytest.mark.parametrize("argnum", [0, 1, (0, 1), (1,), np.int64(1)])
def test_value_and_grad(argnum):
    both = tg.value_and_grad(lambda x, y: (np.tanh(x @ y.T) ** 2).mean(), argnum)
    compiled = tg.compile(both)
    for x, y in ((A, B), (B, A), (A, B)):
        value, slopes = both(x, y)
        got, got_slopes = compiled(x, y)
        assert (type(got), got.shape) == (type(value), value.shape) == (np.ndarray, ())
        assert got == value
        assert isinstance(got_slopes, tuple) == isinstance(slopes, tuple)
        for g, e in zip(got_slopes, slopes, strict=True):
            np.testing.assert_array_equal(g, e)


def test_gradients_are_arrays_of_their_own():
    compiled = tg.compile(tg.value_and_grad(lambda x: (x * x).sum()))
    slopes = [compiled(A)[1], compiled(B)[1], compiled(A + B)[1]]
    np.testing.assert_array_equal(slopes[1], 2 * B)
    slopes[1][:] = 0
    np.testing.assert_array_equal(slopes[2], 2 * (A + B))
    np.testing.assert_array_equal(compiled(B)[1], 2 * B)


def test_arguments_by_name_are_refused_with_what_to_write():
    w = nn.Parameter(np.ones(3))
    step = tg.compile_step(lambda x: ((w - x) ** 2).sum(), optim.SGD([w], lr=0.1))
    for compiled in (step, tg.compile(tg.value_and_grad(lambda x: x.sum())), tg.compile(lambda x: x * 2)):
        for _ in range(2):
            with pytest.raises(ArgumentError, match=r"by position, not x=") as caught:
                compiled(x=np.ones(3))
            assert "in its place" in caught.value.remedy
            compiled(np.ones(3))


def test_numbers_to_differentiate_by():
    compiled = tg.compile(tg.value_and_grad(lambda x: x**3))
    for x in (2.0, 3.0, 1.5):
        value, slope = compiled(x)
        assert (float(value), float(slope)) == (x**3, pytest.approx(3 * x * x))


def test_a_gradient_inside_a_gradient():
    inner = tg.grad(lambda x: (x**4).sum())
    both = tg.value_and_grad(lambda x: (inner(x) ** 2).sum())
    compiled = tg.compile(both)
    for x in (A, B):
        value, slope = compiled(x)
        expected, expected_slope = both(x)
        np.testing.assert_allclose(value, expected, rtol=1e-12)
        np.testing.assert_allclose(slope, expected_slope, rtol=1e-12)


def test_a_gradient_inside_a_gradient_follows_a_tensor_from_outside():
    w = Tensor([2.0, 3.0, 4.0], requires_grad=True)
    inner = tg.grad(lambda x: ((w * x) ** 3).sum())
    both = tg.value_and_grad(lambda x: (inner(x) ** 2).sum())
    compiled = tg.compile(both)
    compiled(A[0])
    for change in (lambda: setattr(w, "data", np.ones(3)), lambda: setattr(w, "requires_grad", False)):
        change()
        for got, expected in zip(compiled(A[0]), both(A[0]), strict=True):
            np.testing.assert_allclose(got, getattr(expected, "_data", expected))


def test_an_argument_without_influence_gets_zeros_of_its_own():
    compiled = tg.compile(tg.value_and_grad(lambda x, y: (x * 2).sum(), (0, 1)))
    for _ in range(2):
        _, (g, none) = compiled(A, B.astype(np.float32))
        np.testing.assert_array_equal(g, np.full(A.shape, 2.0))
        np.testing.assert_array_equal(none, np.zeros(B.shape))
        assert none.dtype == np.float32
        none[...] = 1  # nobody else's


@pytest.mark.parametrize(
    "function", [lambda x: (x.detach() * 2).sum(), lambda x: x.argmax(), lambda x: x.sum(keepdims=True)]
)
def test_what_has_no_slope_or_one_element_is_differentiated_as_ever(function):
    both = tg.value_and_grad(function)
    compiled = tg.compile(both)
    for x in (A, B, A):
        for got, expected in zip(compiled(x), both(x), strict=True):
            np.testing.assert_array_equal(got, expected, strict=True)


@pytest.mark.parametrize("function", [lambda x: 3.0, lambda x: ((x * x).sum(), x), lambda x: x * x])
def test_what_cannot_be_differentiated_is_refused_as_ever(function):
    both = tg.value_and_grad(function)
    errors = []
    for call in (both, tg.compile(both)):
        with pytest.raises(tg.errors.TinygradError) as caught:
            call(A)
        errors.append((type(caught.value), caught.value.message, caught.value.remedy))
    assert errors[0] == errors[1]


def test_a_model_to_predict_with_follows_its_weights():
    model = nn.MLP([3, 5, 2], generator=np.random.default_rng(0)).eval()
    predict = tg.compile(model)
    x = A.astype(np.float32)
    for _ in range(3):
        np.testing.assert_array_equal(predict(x), model(Tensor(x)).data)
        for p in model.parameters():
            p.data[...] *= 1.5
    model.load_state_dict({name: value * 0.5 for name, value in model.state_dict().items()})
    np.testing.assert_array_equal(predict(x), model(Tensor(x)).data)
    assert predict.report().startswith("1 program,")


def test_no_grad_inside_is_no_obstacle():
    def function(x):
        with tg.no_grad():
            scale = x.std()
        return (x / scale).sum()

    compiled = tg.compile(tg.value_and_grad(function))
    for x in (A, B):
        value, slope = tg.value_and_grad(function)(x)
        got, got_slope = compiled(x)
        assert got == value
        np.testing.assert_array_equal(got_slope, slope)


def test_what_a_function_selects_by_values_may_differ_in_shape():
    compiled = tg.compile(lambda x: x[x > 0])
    for x in (A, B, np.abs(A), -np.abs(A)):
        np.testing.assert_array_equal(compiled(x), x[x > 0])


def test_an_operation_of_ones_own_that_numpy_alone_does():
    @primitive(samples=[Sample(normal(3))], method=False)
    def doubled_by_buffer(x):
        """Twice x, in a way that no stand-in for an array follows: out = 2 x."""
        return np.frombuffer((np.asarray(x) * 2).tobytes(), dtype=x.dtype).reshape(x.shape)

    @doubled_by_buffer.vjp("x")
    def doubled_by_buffer_vjp_x(g, out, x):
        return 2 * np.asarray(g)

    try:
        both = tg.value_and_grad(lambda x: (np.sin(doubled_by_buffer(x)) * x).sum())
        compiled = tg.compile(both)
        for x in (A, B):
            value, slope = both(x)
            got, got_slope = compiled(x)
            assert got == value
            np.testing.assert_array_equal(got_slope, slope)
        report = compiled.report()
        assert "runs as a call: doubled_by_buffer (forward)" in report
        assert "runs as a call: doubled_by_buffer (backward)" in report
    finally:
        del PRIMITIVES["doubled_by_buffer"]


def test_an_operation_that_hands_on_its_argument():
    @primitive(samples=[Sample(normal(3))], method=False)
    def untouched(x):
        """The array itself: out = x."""
        return np.asarray(x)

    @untouched.vjp("x")
    def untouched_vjp_x(g, out, x):
        return g

    try:

        def function(x):
            y = x + 1
            z = untouched(y)
            w = (y * 2) * 3 - 1
            return (z * w).sum() + y.sum()

        both = tg.value_and_grad(function)
        compiled = tg.compile(both)
        for x in (A, B, A):
            value, slope = both(x)
            got, got_slope = compiled(x)
            assert got == value
            np.testing.assert_array_equal(got_slope, slope)
    finally:
        del PRIMITIVES["untouched"]


def test_common_subexpressions_are_computed_once():
    compiled = tg.compile(lambda x: (np.exp(x) + np.exp(x), x * 2 * np.exp(x), np.log(np.exp(x) * 0 + 1)))
    compiled(A)
    assert compiled.source.count("np.exp(x, out=") == 1


def test_what_nobody_reads_is_left_out():
    def function(x):
        np.cos(x).sum()
        return np.sin(x)

    compiled = tg.compile(function)
    compiled(A)
    assert "cos" not in compiled.source


def test_transposes_cost_nothing():
    compiled = tg.compile(lambda x: ((x * 2).T @ (x + 1)).T.reshape(3, 3))
    np.testing.assert_array_equal(compiled(A), ((A * 2).T @ (A + 1)).T)
    np.testing.assert_array_equal(compiled(B), ((B * 2).T @ (B + 1)).T)
    assert "np.transpose" not in compiled.source


@pytest.mark.parametrize("n", [0, 1, 2, 1000])
def test_sizes(n):
    x, y = RNG.standard_normal((n, 3)), np.arange(n) % 3
    both = tg.value_and_grad(lambda x, y: F.cross_entropy(x, y))
    compiled = tg.compile(both)
    for _ in range(2):
        value, slope = both(x, y)
        got, got_slope = compiled(x, y)
        assert got == value
        np.testing.assert_array_equal(got_slope, slope)


def test_random_chains_of_operations_reuse_memory_without_harm():
    rng = np.random.default_rng(5)
    unary = [np.sin, np.tanh, lambda x: x.T, lambda x: x[::-1], lambda x: x * 2, lambda x: x.reshape(-1).reshape(3, 3)]
    binary = [np.add, np.subtract, np.multiply, np.maximum, np.matmul]
    for _ in range(60):
        choices = rng.integers(0, [2, 6, 5, 100, 100], size=(12, 5))

        def function(x, y, choices=choices):
            values = [x, y]
            for pick, one, two, i, j in choices:
                a, b = values[i % len(values)], values[j % len(values)]
                values.append(unary[one](a) if pick else binary[two](a, b))
            return tuple(values[2:]) if choices[0][3] % 2 else values[-1].sum() + values[-2].sum()

        compiled = tg.compile(function)
        for _ in range(3):
            x, y = rng.standard_normal((2, 3, 3))
            got, expected = compiled(x, y), function(Tensor(x), Tensor(y))
            for g, e in zip(*[v if isinstance(v, tuple) else (v,) for v in (got, expected)], strict=True):
                np.testing.assert_array_equal(g, e.data)
