"""`gradcheck`: it agrees with what is right, and fails on each classic mistake, with the likely cause."""

import numpy as np
import pytest

import tinygrad_sm as tg
from tinygrad_sm import Tensor
from tinygrad_sm.engine.primitive import PRIMITIVES
from tinygrad_sm.errors import ArgumentError, GradcheckError, RuleError

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])


@pytest.fixture(autouse=True)
def registry_as_before():
    before = set(PRIMITIVES)
    yield
    for name in set(PRIMITIVES) - before:
        del PRIMITIVES[name]


def own(forward, rule):
    """An operation of one argument with a given rule."""

    def wrong(x):
        return forward(x)

    def wrong_vjp_x(g, out, x):
        return rule(g, out, x)

    op = tg.primitive(method=False)(wrong)
    op.vjp("x")(wrong_vjp_x)
    return op


def softmax(x):
    e = np.exp(x)
    return e / np.sum(e, axis=-1, keepdims=True)


RIGHT = {
    "square": (np.square, lambda g, out, x: 2 * g * x),
    "sum": (np.sum, lambda g, out, x: np.broadcast_to(g, x.shape)),
    "mean": (np.mean, lambda g, out, x: np.broadcast_to(g / x.size, x.shape)),
    "softmax": (softmax, lambda g, out, x: out * (g - np.sum(g * out, axis=-1, keepdims=True))),
    "gram": (lambda x: x @ x.T, lambda g, out, x: (g + g.T) @ x),
    "row sums": (lambda x: np.sum(x, axis=1), lambda g, out, x: np.broadcast_to(g[:, None], x.shape)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_rules_pass(name):
    assert tg.gradcheck(own(*RIGHT[name]), X) is True


WRONG = {
    "sign": (np.square, lambda g, out, x: -2 * g * x, "the sign is wrong"),
    "missing 1/N": (np.mean, lambda g, out, x: np.broadcast_to(g, x.shape), "6 times too large"),
    "missing factor": (np.square, lambda g, out, x: g * x, "half of what it should be"),
    "extra factor": (np.square, lambda g, out, x: 6 * g * x, "3 times too large"),
    "too small": (np.sum, lambda g, out, x: np.broadcast_to(g / x.size, x.shape), "6 times too small"),
    "overwritten": (lambda x: x * x, lambda g, out, x: g * x, "a contribution was overwritten"),
    "cotangent ignored": (np.square, lambda g, out, x: 2 * x, "cotangent was not used"),
    "ones": (np.sum, lambda g, out, x: np.ones(x.shape), "cotangent was not used"),
    "zero": (np.square, lambda g, out, x: 0 * g, "zero everywhere"),
    "NaN": (np.square, lambda g, out, x: g * x * np.nan, "NaN or infinity"),
    "infinite": (np.square, lambda g, out, x: g * np.inf, "NaN or infinity"),
    # Right for a cotangent of ones, under which the gradient of a softmax is zero.
    "softmax that returns zeros": (softmax, lambda g, out, x: np.zeros(x.shape), "zero everywhere"),
    "softmax without its sum": (softmax, lambda g, out, x: g * out * (1 - out), ""),
    "wrong function": (np.sin, lambda g, out, x: g * np.sin(x), ""),
    "one element": (np.square, lambda g, out, x: 2 * g * x + 1e-3 * (np.arange(6).reshape(2, 3) == 4), ""),
    "constant": (np.exp, lambda g, out, x: np.full(x.shape, 0.5), "cotangent was not used"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_rules_fail_with_the_likely_cause(name):
    forward, rule, cause = WRONG[name]
    with pytest.raises(GradcheckError, match=r"wrong: the gradient for argument 0 \(x\) \(2, 3\) is wrong") as caught:
        tg.gradcheck(own(forward, rule), X)
    assert cause in caught.value.remedy
    assert bool(cause) == bool(caught.value.remedy)
    assert caught.value.location.filename == __file__
    assert isinstance(caught.value, AssertionError)


def test_transposed_gradient_is_named():
    square = X[:, :2]
    right = own(lambda x: x @ x, lambda g, out, x: g @ x.T + x.T @ g)
    assert tg.gradcheck(right, square)
    wrong = own(lambda x: x @ x, lambda g, out, x: (g @ x.T + x.T @ g).T)
    with pytest.raises(GradcheckError, match="is wrong in") as caught:
        tg.gradcheck(wrong, square)
    assert "transposed" in caught.value.remedy


def test_shapes_that_are_wrong_fail_where_the_rule_returns():
    for rule, got in [(lambda g, out, x: g[:1], r"\(1, 3\)"), (lambda g, out, x: g.T, r"\(3, 2\)")]:
        with pytest.raises(RuleError, match=rf"wrong, derivative for x: .*returned shape {got}, expected \(2, 3\)"):
            tg.gradcheck(own(np.square, rule), X)


def test_missing_sum_over_a_broadcast_axis_is_found():
    @tg.primitive(method=False)
    def shift(x, row):
        return x + row

    @shift.vjp("x")
    def shift_vjp_x(g, out, x, row):
        return g

    @shift.vjp("row")
    def shift_vjp_row(g, out, x, row):
        return g

    with pytest.raises(RuleError, match=r"shift, derivative for row: .*shape \(2, 3\), expected \(3,\)"):
        tg.gradcheck(shift, [X, X[0]])

    @shift.vjp("row")
    def shift_vjp_row_again(g, out, x, row):
        return g[0]  # of the right shape, and yet no sum

    with pytest.raises(GradcheckError, match=r"shift: the gradient for argument 1 \(row\)"):
        tg.gradcheck(shift, [X, X[0]])


def test_contribution_that_is_lost_outside_of_any_rule_is_found():
    for f in (lambda x: x * x.detach(), lambda x: x.detach() * x):
        with pytest.raises(GradcheckError) as caught:
            tg.gradcheck(f, X)
        assert "half" in caught.value.remedy
    for f in (lambda x: x.detach() * 2, lambda x: x.data * 2, lambda x: np.sum(x.data), lambda x: float(x.sum())):
        with pytest.raises(GradcheckError) as caught:
            tg.gradcheck(f, X)
        assert "zero everywhere" in caught.value.remedy


def test_message_names_the_worst_element_and_both_values():
    wrong = own(np.square, lambda g, out, x: np.where(np.arange(6).reshape(2, 3) == 4, 1000.0, 2 * g * x))
    with pytest.raises(GradcheckError) as caught:
        tg.gradcheck(wrong, X)
    message = caught.value.message
    assert "wrong in 1 of 6 elements, most at (1, 1): got 1000, finite differences give" in message


def test_element_that_is_nan_is_the_worst():
    wrong = own(np.square, lambda g, out, x: np.where(np.arange(6).reshape(2, 3) == 5, np.nan, 1000.0))
    with pytest.raises(GradcheckError, match=r"wrong in 6 of 6 elements, most at \(1, 2\): got nan"):
        tg.gradcheck(wrong, X)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_wrong_argument_is_named(position):
    def f(a, b, c):
        operands = [a, b, c]
        operands[position] = operands[position].detach()
        return operands[0] * operands[1] + tg.exp(operands[2]) + 0 * (a + b + c)

    with pytest.raises(GradcheckError, match=f"f: the gradient for argument {position} "):
        tg.gradcheck(f, [np.ones(2), np.ones(2), np.ones(2)])


# Second order -----------------------------------------------------------------------------------------------------


def test_rule_that_is_right_only_on_arrays_fails_at_second_order():
    """Values taken out of their tensor are constants to the derivative of the derivative."""
    assert tg.gradcheck(own(np.square, lambda g, out, x: 2 * g * x), X, order=2)
    twice = own(np.square, lambda g, out, x: 2 * g * (x.data if isinstance(x, Tensor) else x))
    assert tg.gradcheck(twice, X)
    with pytest.raises(GradcheckError, match="derivative of wrong: the gradient for argument 0"):
        tg.gradcheck(twice, X, order=2)


def test_residual_used_as_if_it_were_a_tensor_fails_at_second_order():
    @tg.primitive(method=False, residual=True)
    def cubed(x):
        return x**3, 3 * x * x

    kept = {}

    @cubed.vjp("x")
    def cubed_vjp_x(g, out, x, residual=None):
        if residual is not None:
            kept["slope"] = residual
        return g * kept["slope"]

    with pytest.raises((GradcheckError, KeyError, RuleError)):
        tg.gradcheck(cubed, X, order=2)


def test_third_order():
    assert tg.gradcheck(lambda x: x**4, np.array([0.5, 1.5]), order=3, rtol=1e-3)


# What it takes ----------------------------------------------------------------------------------------------------


def test_whole_numbers_and_other_arguments_are_left_alone():
    def f(x, index, factor, mode):
        return x[index] * factor if mode == "scale" else x

    assert tg.gradcheck(f, [X[0], np.array([0, 2, 2]), 3.0, "scale"], order=2)


def test_tensors_lists_and_single_arrays():
    assert tg.gradcheck(tg.exp, X)
    assert tg.gradcheck(tg.exp, [X])
    assert tg.gradcheck(tg.exp, (X,))
    assert tg.gradcheck(tg.exp, Tensor(X, requires_grad=True))
    assert tg.gradcheck(tg.multiply, [Tensor(X), X])
    assert tg.gradcheck(tg.exp, 0.5)
    assert tg.gradcheck(tg.exp, np.float32(0.5))


def test_float32_is_checked_in_float64():
    assert tg.gradcheck(lambda x: tg.exp(x).sum(), X.astype(np.float32))


def test_several_outputs_are_all_checked():
    assert tg.gradcheck(lambda x: (x * 2, tg.exp(x)), X, order=2)
    assert tg.gradcheck(lambda x: [x[0], tg.sum(x)], X)
    with pytest.raises(GradcheckError):
        tg.gradcheck(lambda x: (x * 2, tg.exp(x.detach())), X)


@pytest.mark.parametrize("inputs", [3, [3], [2.0], np.array([1, 2]), [], ["x"], [np.array([True])]])
def test_nothing_to_check_is_an_error_rather_than_a_pass(inputs):
    with pytest.raises(ArgumentError, match="gradcheck: no argument is a floating array") as caught:
        tg.gradcheck(lambda *xs: Tensor(1.0), inputs)
    assert caught.value.remedy


def test_inputs_are_not_changed_and_get_no_gradient():
    x = Tensor(X.copy(), requires_grad=True)
    tg.gradcheck(tg.square, x, order=2)
    assert (x.data == X).all()
    assert x.grad is None


def test_result_is_the_same_at_every_call():
    """The random cotangents come from a seed."""
    wrong = own(np.square, lambda g, out, x: g)
    messages = []
    for _ in range(2):
        with pytest.raises(GradcheckError) as caught:
            tg.gradcheck(wrong, X)
        messages.append(caught.value.message)
    assert messages[0] == messages[1]


def test_tolerances_and_step_may_be_chosen():
    rough = own(np.square, lambda g, out, x: 2 * g * x * 1.001)
    with pytest.raises(GradcheckError):
        tg.gradcheck(rough, X)
    assert tg.gradcheck(rough, X, rtol=0.01)
    assert tg.gradcheck(tg.square, X, eps=1e-4)


def test_empty_and_zero_dimensional_arrays():
    assert tg.gradcheck(tg.exp, np.ones((0, 3)), order=2)
    assert tg.gradcheck(tg.exp, np.array(0.5), order=2)


def test_kink_is_reported_as_what_it_is():
    with pytest.raises(GradcheckError, match=r"relu: the gradient for argument 0 \(x\)"):
        tg.gradcheck(tg.relu, np.array([0.0]))
