"""The user's own names: from tensors, from variables, from the code that made a value, and made up where none is."""

import linecache

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, nn
from tinygrad_sm.debug.naming import Names, identifier, variables_of_caller


def names_of(tensor, variables=None):
    """The names on the tape of a tensor, oldest value first, then those of its constants."""
    return [name for name, _ in Names(tensor.tape(), variables).values()]


def run(path, source, **names):
    """Run a script that lies in a file, and return its namespace."""
    path.write_text(source, encoding="utf-8")
    linecache.checkcache(str(path))
    namespace = {"__name__": "lesson", "tg": tg, "np": np, "F": F, **names}
    exec(compile(source, str(path), "exec"), namespace)
    return namespace


LEAF = "x = tg.Tensor([1.0, 2.0], requires_grad=True)\n"
SNIPPETS = {
    "assignment": ("y = tg.exp(x)", ["x", "y"]),
    "several in a line": ("a = x * 2; y = a + 1", ["x", "a", "y"]),
    "nested": ("y = tg.exp(x * 2).sum()", ["x", "multiply_1", "exp_2", "y"]),
    "annotated": ("y: object = tg.exp(x)", ["x", "y"]),
    "augmented": ("y = x * 1\ny += x", ["x", "y", "y_2"]),
    "walrus": ("y = tg.exp(z := x * 2)", ["x", "z", "y"]),
    "attribute": ("class M: pass\nm = M()\nm.hidden = x * 2\ny = m.hidden + 1", ["x", "m_hidden", "y"]),
    "loop": ("y = x\nfor _ in range(3):\n    y = y * 2", ["x", "y", "y_2", "y_3"]),
    "pair": ("a, y = x * 2, x * 3\ny = a + y", ["x", "a", "y", "y_2"]),
    "function": ("def f(v):\n    h = v * 2\n    return h + 1\ny = f(x)", ["x", "h", "add_2"]),
    "non-ASCII": ("größe = x * 2\ny = größe + 1", ["x", "größe", "y"]),
    "keyword": ("class M: pass\nM.lambda_ = x * 2\ny = M.lambda_ + 1", ["x", "M_lambda", "y"]),
    "over several lines": ("y = (\n    tg.exp(\n        x\n    )\n)", ["x", "y"]),
    "reserved": ("np_ = np\ng = x * 2\ny = g + 1", ["x", "g_2", "y"]),
}


@pytest.mark.parametrize("name", SNIPPETS)
def test_values_are_called_as_they_are_assigned(name, tmp_path):
    source, expected = SNIPPETS[name]
    assert names_of(run(tmp_path / "lesson.py", LEAF + source)["y"]) == expected


CONSTANTS = {
    "operand": ("y = x * c", ["c"]),
    "reflected operand": ("y = c * x", ["c"]),
    "method": ("y = x.take_along_axis(i)", ["i"]),
    "function": ("y = tg.take_along_axis(x, i)", ["i"]),
    "numpy function": ("y = np.maximum(c, x)", ["c"]),
    "keyword": ("y = tg.take_along_axis(x, indices=i)", ["i"]),
    "attribute": ("class D: pass\nd = D()\nd.inputs = c\ny = x * d.inputs", ["d_inputs"]),
    "used twice": ("y = x * c + c", ["c"]),
    "expression": ("y = x * (c + 1)", ["y_2"]),
    "variadic": ("y = tg.concatenate([c, x])", ["c"]),
    "within an index": ("y = x[i]", ["index"]),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants_are_called_as_they_are_handed_over(name, tmp_path):
    source, expected = CONSTANTS[name]
    arrays = {"c": np.array([3.0, 4.0]), "i": np.array([1, 0])}
    y = run(tmp_path / "lesson.py", LEAF + source, **arrays)["y"]
    assert [name for name, _ in Names(y.tape()).constants()] == expected


def test_a_name_of_a_tensor_wins_and_variables_come_next():
    x = Tensor([1.0], requires_grad=True, name="weights of the eye")
    y = x * 2
    constant = np.array([5.0])
    z = y + constant
    found = names_of(z, variables_of_caller())
    assert found == ["weights_of_the_eye", "y", "z", "constant"]


def test_values_of_a_layer_are_not_called_like_its_result():
    model, x = nn.MLP([2, 3, 2]), np.ones((4, 2), np.float32)
    logits = model(x)
    assert names_of(logits) == ["weight_0", "bias_0", "weight_2", "bias_2", "linear_4", "relu_5", "logits", "x"]


def test_without_source_values_are_called_by_operation_and_number():
    namespace = {"tg": tg, "x": Tensor([1.0], requires_grad=True)}
    exec("y = tg.exp(x) * 2", namespace)
    assert names_of(namespace["y"]) == ["leaf_0", "exp_1", "multiply_2"]


def test_no_two_values_share_a_name_or_that_of_a_gradient():
    x = Tensor([1.0], requires_grad=True, name="a")
    y = Tensor([1.0], requires_grad=True, name="g_a")
    z = Tensor([1.0], requires_grad=True, name="a")
    names = names_of(x + y + z)
    assert names[0] == "a"
    assert len({*names, *(f"g_{name}" for name in names)}) == 2 * len(names)


def test_source_that_changed_or_is_no_python_is_no_obstacle(tmp_path):
    path = tmp_path / "lesson.py"
    y = run(path, LEAF + "y = tg.exp(x)")["y"]
    for text in ("", "%matplotlib inline\n" * 3, "x = (((\n", "\x00"):
        path.write_text(text, encoding="utf-8")
        linecache.checkcache(str(path))
        assert names_of(y) == ["leaf_0", "exp_1"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("W", "W"),
        ("0.weight", "weight_0"),
        ("blocks.3.0.bias", "blocks_3_0_bias"),
        ("self.W", "W"),
        ("lambda", "lambda_"),
        ("größe", "größe"),
        ("\u00b5", "\u03bc"),  # the micro sign, which Python reads as the Greek letter
        ("a b", "a_b"),
        ("", "x"),
        ("0", "x_0"),
        ("…", "x"),
    ],
)
def test_any_text_becomes_an_identifier(name, expected):
    assert identifier(name) == expected
    assert identifier(name).isidentifier()


def test_variables_of_the_caller_keep_nothing_alive_and_skip_private_ones():
    _hidden, shown = np.ones(2), Tensor([1.0], requires_grad=True)
    found = variables_of_caller()
    assert found[id(shown)] == "shown"
    assert id(_hidden) not in found
    assert all(isinstance(key, int) and isinstance(name, str) for key, name in found.items())
