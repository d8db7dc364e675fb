"""What a function may not do when it is compiled, and that it is told so with its own line."""

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, nn, optim
from tinygrad_sm.compiler import compile, compile_step
from tinygrad_sm.errors import ArgumentError, CaptureError, DTypeError, GradientError

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((20, 3)).astype(np.float32), RNG.integers(0, 4, 20)


@pytest.fixture
def model():
    return nn.MLP([3, 5, 4], generator=np.random.default_rng(1))


def refusal(model, function, *arguments):
    """The error that a step made of the function is refused with."""
    before = [p.data.copy() for p in model.parameters()]
    step = compile_step(function, optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(CaptureError) as caught:
        step(*(arguments or (X, Y)))
    for p, values in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.data, values)
    return caught.value


def line_of(error):
    return error.location.source_line.strip()


READINGS = {
    "item": lambda loss: loss.item(),
    "float": lambda loss: float(loss),
    "int": lambda loss: int(loss),
    "bool": lambda loss: bool(loss),
    "format": lambda loss: f"{loss:.3f}",
    "data": lambda loss: loss.data,
    "numpy": lambda loss: loss.detach().numpy(),
    "asarray": lambda loss: np.asarray(loss.detach()),
    "comparison": lambda loss: 1 if loss > 1 else 0,
    "histogram": lambda loss: np.histogram(np.asarray(loss.detach())),
}


@pytest.mark.parametrize("reading", READINGS.values(), ids=READINGS)
def test_reading_a_value_is_refused(model, reading):
    def function(x, y):
        loss = F.cross_entropy(model(x), y)
        reading(loss)
        return loss

    error = refusal(model, function)
    assert "in a function that is being compiled" in error.message
    assert "lambda loss" in line_of(error)
    assert error.remedy


def test_a_branch_on_a_value_is_refused_with_its_line(model):
    def function(x, y):
        loss = F.cross_entropy(model(x), y)
        if loss.item() > 1:
            loss = loss * 2
        return loss

    error = refusal(model, function)
    assert line_of(error) == "if loss.item() > 1:"
    assert error.location.expression == "loss.item()"


def test_a_parameter_read_as_a_number_is_refused(model):
    weight = next(model.parameters())
    error = refusal(model, lambda x, y: F.cross_entropy(model(x), y) * float(weight.data.sum()))
    assert ".data read" in error.message


def test_labels_turned_into_one_hot_rows_outside_are_refused(model):
    error = refusal(model, lambda x, y: F.mse_loss(model(x), np.eye(4, dtype=np.float32)[y]))
    assert error.location.expression == "np.eye(4, dtype=np.float32)[y]"


def test_a_mask_drawn_outside_is_refused(model):
    def function(x, y):
        mask = RNG.random((20, 4)) > 0.5
        return F.cross_entropy(model(x) * mask, y)

    error = refusal(model, function)
    assert "multiply: y (20, 4) bool was made outside" in error.message
    assert error.location.expression == "model(x) * mask"


def test_a_number_that_counts_up_is_refused(model):
    calls = []

    def function(x, y):
        calls.append(1)
        return F.cross_entropy(model(x), y) * len(calls)

    assert "multiply: y 1 was made outside" in refusal(model, function).message


def test_another_path_with_other_data_is_refused(model):
    def function(x, y):
        calls.append(1)
        scores = model(x)
        return F.cross_entropy(scores * 1.0 if len(calls) == 1 else scores, y)

    calls = []
    assert refusal(model, function).message == "multiply: with other data cross_entropy was called in its place"


def test_a_call_more_with_other_data_is_refused(model):
    def function(x, y):
        calls.append(1)
        loss = F.cross_entropy(model(x), y)
        return loss if len(calls) == 1 else loss * 1.0

    calls = []
    assert refusal(model, function).message == "multiply: not called with other data"


def test_writing_to_tensors_is_refused(model):
    def add_in_place(x, y):
        x += 1
        return F.cross_entropy(model(x), y)

    def assign(x, y):
        x[0] = 0
        return F.cross_entropy(model(x), y)

    given = X.copy()
    assert "updated in place" in refusal(model, add_in_place, given, Y).message
    assert "updated in place" in refusal(model, assign, given, Y).message
    np.testing.assert_array_equal(given, X)


def test_backward_inside_is_refused(model):
    def function(x, y):
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    assert "backward() called" in refusal(model, function).message


def test_a_gradient_taken_inside_without_a_tape_is_refused(model):
    square = tg.grad(lambda t: (t * t).sum())
    refused = refusal(model, lambda x, y: F.cross_entropy(model(x), y) + square(x).sum())
    assert refused.message.startswith("multiply: a derivative by x (")
    assert "taken inside" in refused.message


@pytest.mark.parametrize(
    "inner",
    [
        lambda model: compile(lambda t: t),
        lambda model: compile_step(lambda t: t, optim.SGD(model.parameters(), lr=0.1)),
        lambda model: COMPILED(X),
    ],
    ids=["compile", "compile_step", "a compiled function"],
)
def test_capture_inside_capture_is_refused(model, inner):
    COMPILED(X)

    def function(x, y):
        inner(model)
        return F.cross_entropy(model(x), y)

    assert "inside a function that is being compiled" in refusal(model, function).message


COMPILED = compile(lambda x: x * 2)


RESULTS = {
    "one loss a sample": lambda model, x, y: F.cross_entropy(model(x), y, reduction="none"),
    "nothing": lambda model, x, y: None,
    "a number": lambda model, x, y: 3.0,
    "an empty tuple": lambda model, x, y: (),
    "the loss last": lambda model, x, y: (model(x), F.cross_entropy(model(x), y)),
}


@pytest.mark.parametrize("function", RESULTS.values(), ids=RESULTS)
def test_what_returns_no_scalar_is_refused(model, function):
    assert "not a scalar" in refusal(model, lambda x, y: function(model, x, y)).message


def test_a_loss_without_parameters_is_refused(model):
    assert "depends on no parameter" in refusal(model, lambda x, y: x.sum()).message


def test_an_array_from_outside_cannot_be_returned(model):
    error = refusal(model, lambda x, y: (F.cross_entropy(model(x), y), np.zeros(3)))
    assert "computed outside of recorded operations" in error.message


def test_a_parameter_that_the_loss_does_not_use_is_named(model):
    other = nn.Parameter(np.ones(3, np.float32), name="forgotten")
    step = compile_step(lambda x, y: F.cross_entropy(model(x), y), optim.SGD([*model.parameters(), other], lr=0.1))
    with pytest.raises(GradientError, match=r"does not depend on parameter forgotten \(3,\)"):
        step(X, Y)


def test_wrong_arguments_are_refused(model):
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for wrong, kind in (
        (lambda: compile_step(3, optimizer), DTypeError),
        (lambda: compile_step(lambda x: x, model), DTypeError),
        (lambda: compile_step(lambda x: x, optimizer, backend="cuda"), ArgumentError),
        (lambda: compile(lambda x: x)([1.0]), DTypeError),
        (lambda: compile(lambda x: x)(Tensor(1.0, requires_grad=True)), GradientError),
        (lambda: compile(lambda x: x).source, CaptureError),
        (lambda: compile(tg.value_and_grad(lambda x: x, 1))(1.0), GradientError),
    ):
        with pytest.raises(kind) as caught:
            wrong()
        assert caught.value.remedy or "no positional argument" in caught.value.message


def test_engine_is_as_it_was_after_a_refusal(model):
    refusal(model, lambda x, y: F.cross_entropy(model(x), y).item())
    loss = F.cross_entropy(model(Tensor(X)), Y)
    loss.backward()
    assert isinstance(loss.item(), float)
    assert all(p.grad is not None for p in model.parameters())
