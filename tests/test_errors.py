"""The errors: their tree, what they say, and that they survive being raised, chained, logged and sent elsewhere."""

import builtins
import copy
import inspect
import pickle
import re
import traceback
import warnings

import numpy as np
import pytest

import tinygrad_sm as tg
from tinygrad_sm import debug, errors, nn
from tinygrad_sm.errors import ArgumentError, ShapeError, TinygradError

KINDS = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, TinygradError)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_can_be_raised_with_a_message_and_a_remedy(kind):
    with pytest.raises(kind) as caught:
        raise kind("it went wrong", remedy="do it right")
    error = caught.value
    assert error.message == error.args[0] == "it went wrong"
    assert error.remedy == "do it right"
    assert error.location.filename == __file__
    lines = str(error).splitlines()
    assert lines[0] == "it went wrong"
    assert lines[-1] == "  -> do it right"
    assert lines[2].strip() == 'raise kind("it went wrong", remedy="do it right")'


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not TinygradError])
def test_every_error_is_also_one_of_pythons_own(kind):
    own = {base for base in kind.__mro__ if base.__module__ == "builtins"} - {object, BaseException, Exception}
    assert own
    assert issubclass(kind, TinygradError)


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes():
    drawn = dict(re.findall(r"^[ |`-]+(\w+Error)(?: \((\w+)\))?", errors.__doc__, re.MULTILINE))
    assert set(drawn) == {kind.__name__ for kind in KINDS}
    for name, base in drawn.items():
        if base:
            assert issubclass(getattr(errors, name), getattr(builtins, base))
    depth = {}
    for row in errors.__doc__.splitlines():
        match = re.match(r"([ |`-]+)(\w+Error)", row)
        if match:
            depth[match[2]] = len(match[1])
            shallower = [name for name in depth if depth[name] < depth[match[2]]]
            if shallower:
                assert getattr(errors, shallower[-1]) in getattr(errors, match[2]).__bases__


class Halves(nn.Module):
    """A module of the user's, whose own line fails after a layer of it ran."""

    def __init__(self):
        self.parts = [nn.Linear(4, 3)]

    def forward(self, x):
        h = self.parts[0](x)
        return h @ h


@pytest.mark.parametrize(
    ("inner", "path", "line"),
    [
        (nn.Sequential(nn.Tanh(), nn.Linear(9, 3)), "1.1.Linear", "model(x)"),
        (nn.Sequential(nn.Conv2d(1, 2, 3)), "1.0.Conv2d", "model(x)"),  # refused by the layer, not by NumPy
        (Halves(), "1.Halves", "return h @ h"),
    ],
)
def test_an_error_inside_of_a_model_names_the_path_of_the_layer_beside_the_users_line(inner, path, line):
    model, x = nn.Sequential(nn.Linear(4, 4), inner), np.ones((2, 4))
    with pytest.raises(ShapeError) as caught:
        model(x)
    place, source = str(caught.value).splitlines()[1:3]
    assert place.endswith(f", in {path}")
    assert source.strip() == line
    assert f", in {path}" in str(pickle.loads(pickle.dumps(caught.value)))
    with pytest.raises(ShapeError) as outside:  # what fails after the model did is in no layer
        np.ones(2) @ tg.Tensor(np.ones(3))
    assert ", in " not in str(outside.value)


@pytest.mark.parametrize("reader", [tg.Tensor.backward, debug.source])
def test_a_stale_value_is_told_with_the_layer_that_recorded_it(reader):
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Tanh(), nn.Linear(4, 3)))
    loss = model(np.ones((2, 4))).sum()
    with tg.no_grad():
        model[1][1].weight *= 2
    with pytest.raises(errors.StaleValueError) as caught:
        reader(loss)
    place, source = str(caught.value).splitlines()[1:3]
    assert place.endswith(", in 1.1.Linear")
    assert source.strip() == "loss = model(np.ones((2, 4))).sum()"


def test_a_rule_that_fails_is_told_with_the_layer_that_recorded_it(monkeypatch):
    def broken(g, out, x):
        return g.sum()

    loss = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Tanh()))(np.ones((2, 4))).sum()
    monkeypatch.setitem(tg.tanh.rules, "x", broken)
    with pytest.raises(errors.RuleError, match=r", in 1\.0\.Tanh\n"):
        loss.backward()
    monkeypatch.undo()
    with debug.numerics(), pytest.raises(errors.NonFiniteError, match=r", in 1\.Roots\n"):
        nn.Sequential(nn.ReLU(), Roots())(tg.Tensor(-np.ones(3), requires_grad=True)).sum().backward()


class Roots(nn.Module):
    """Square roots, whose slope at zero is infinite."""

    def forward(self, x):
        return x.sqrt()


def test_lengths_that_do_not_fit_in_a_product_are_named_in_words():
    images = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(32, 2))
    with pytest.raises(ShapeError, match=r"lengths 4 and 32 .* differ\n") as caught:
        images(np.ones((2, 1, 6, 6)))
    assert "nn.Flatten() flattens images" in caught.value.remedy
    with pytest.raises(ShapeError, match=r"lengths 3 and 4 .* differ\n"):
        tg.Tensor(np.ones((2, 3))) @ np.ones((4, 5))


def test_a_layer_that_is_given_the_pair_of_a_recurrent_one_says_what_to_take():
    model = nn.Sequential(nn.LSTM(4, 8), nn.Linear(8, 2))
    with pytest.raises(errors.GradientError, match=r"linear: .* of a tensor") as caught:
        model(np.ones((3, 2, 4)))
    assert "of several in a list or tuple, as in out, state = lstm(x), take one" in caught.value.remedy
    assert ", in 1.Linear" in str(caught.value)


def test_without_a_remedy_there_is_no_arrow():
    assert not any(row.startswith("  ->") for row in str(ShapeError("x")).splitlines())


def test_place_may_be_handed_in():
    node = tg.exp(tg.Tensor(1.0, requires_grad=True)).tape()[-1]
    error = ShapeError("x", where=node.where)
    assert error.location.expression == "tg.exp(tg.Tensor(1.0, requires_grad=True))"
    assert "tg.exp(" in str(error)


def test_op_is_named_once():
    assert ShapeError("x (3,)").inside("add").message == "add: x (3,)"
    assert ShapeError("add: x (3,)").inside("add").message == "add: x (3,)"


def test_error_within_an_error_of_numpy_is_chained():
    with pytest.raises(ShapeError) as caught:
        tg.Tensor(np.ones(3), requires_grad=True) + np.ones(4)
    assert isinstance(caught.value.__cause__, ValueError)
    text = "".join(traceback.format_exception(caught.value))
    assert "broadcast" in text
    assert "ShapeError: add: " in text


@pytest.mark.parametrize("send", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
@pytest.mark.parametrize("kind", KINDS)
def test_error_may_be_sent_to_another_process(send, kind):
    """As multiprocessing does with the error of a worker."""
    error = kind("it went wrong", remedy="do it right")
    received = send(error)
    assert type(received) is kind
    assert (received.message, received.remedy) == ("it went wrong", "do it right")
    assert str(received).splitlines()[0] == "it went wrong"
    assert "do it right" in str(received)


def test_error_of_an_operation_may_be_sent_to_another_process():
    with pytest.raises(ShapeError) as caught:
        tg.Tensor(np.ones(3), requires_grad=True) + np.ones(4)
    received = pickle.loads(pickle.dumps(caught.value))
    assert received.message == caught.value.message
    assert isinstance(received, ValueError)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.ones((2, 3), np.float32), "(2, 3) float32"),
        (tg.Tensor(1.0), "() float64"),
        ([np.ones(2), np.ones((1, 2), int)], "[(2,) float64, (1, 2) int64]"),
        ((np.ones(2), None), "[(2,) float64, None]"),
        (3, "3"),
        ("text", "'text'"),
        ([1, 2], "[1, 2]"),
        (None, "None"),
        ("x" * 100, "'" + "x" * 36 + "..."),
    ],
)
def test_values_are_described_in_short(value, expected):
    assert errors.describe(value) == expected


def test_warning_points_at_the_users_line():
    with pytest.warns(UserWarning, match="careful") as caught:
        errors.warn("careful")
    assert caught[0].filename == __file__
    assert caught[0].lineno == inspect.currentframe().f_lineno - 2


def test_warning_is_silenced_by_the_usual_filters():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        errors.warn("careful")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="careful"):
            errors.warn("careful")


def test_argument_errors_catch_targets():
    with pytest.raises(ArgumentError):
        tg.cross_entropy(np.zeros((1, 2)), np.array([5]))
