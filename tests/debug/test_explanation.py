"""`explain`: what made a tensor, and what an operation does, from the tape and from the operation's own block."""

import inspect
import re

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, debug, nn
from tinygrad_sm.engine.primitive import PRIMITIVES
from tinygrad_sm.errors import ArgumentError, DTypeError
from tinygrad_sm.ops.samples import Sample, normal


def facts(explanation):
    """What is said, joined by label."""
    found = {}
    for label, text in explanation.facts:
        found[label] = f"{found[label]}\n{text}" if label in found else text
    return found


def one_line(explanation):
    return " ".join(str(explanation).split())


def test_a_tensor_is_explained_in_the_users_names():
    X = np.ones((4, 3))
    W = Tensor(np.ones((3, 2)), requires_grad=True)
    b = Tensor(np.ones(2), requires_grad=True)
    z = X @ W
    h = z + b
    said = facts(debug.explain(h))
    assert debug.explain(h).title == "h (4, 2) float64 is made by add"
    assert "h = z + b" in debug.explain(h).place
    assert said["meaning"] == "Sum of two arrays: out = x + y, broadcast."
    assert said["formula"] == "h = z + b"
    assert said["derivative"].splitlines()[0] == "g_z = g"
    assert said["derivative"].splitlines()[1].startswith("g_b = g.sum")
    assert said["x"] == "z (4, 2) float64, made by matmul"
    assert said["y"] == "b (2,) float64, a leaf"
    assert facts(debug.explain(z))["x"] == "X (4, 3) float64, a constant"
    assert "g_W = X.T @ g" in facts(debug.explain(z))["derivative"]
    assert "g_X" not in facts(debug.explain(z))["derivative"]


def test_the_expression_is_underlined():
    x = Tensor([1.0, 2.0], requires_grad=True)
    y = np.exp(np.sin(x)) + 1
    rows = debug.explain(y).place.splitlines()
    assert rows[2].count("~") == len("np.exp(np.sin(x)) + 1")


def test_gradients_are_a_dash_until_they_are_there():
    x = Tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    assert facts(debug.explain(x))["gradient"] == "-"
    assert facts(debug.explain(y))["gradient"].startswith("-  (backward(retain_grads=True)")
    y.sum().backward(retain_grads=True)
    assert facts(debug.explain(x))["gradient"] == "(2,) float64, between 2 and 4"
    assert facts(debug.explain(y))["gradient"] == "(2,) float64, between 1 and 1"


def test_leaf_and_constant():
    x = Tensor([1.0, 2.0], requires_grad=True, name="weights")
    assert debug.explain(x).title.startswith("weights (2,) float64 is a leaf: you made it")
    assert "Tensor([1.0, 2.0]" in debug.explain(x).place
    with tg.no_grad():
        y = x * 2
    assert "y (2,) float64 is a constant" in one_line(debug.explain(y))
    assert "no_grad()" in one_line(debug.explain(y))


def test_a_layer_is_named_by_its_path_and_options_are_shown():
    model = nn.MLP([3, 4, 2], generator=np.random.default_rng(0))
    scores = model(np.ones((5, 3), np.float32))
    assert "made by linear, in 2.Linear" in debug.explain(scores).title
    loss = F.cross_entropy(scores, np.zeros(5, int), label_smoothing=0.25)
    assert facts(debug.explain(loss))["label_smoothing"] == "0.25"
    assert "C. Bishop" in facts(debug.explain(loss))["source"]
    assert "label_smoothing 0.25" in str(debug.explain(loss))


@pytest.mark.parametrize("subject", [tg.softmax, "softmax"])
def test_an_operation_is_explained_from_its_block(subject):
    said = facts(debug.explain(subject))
    assert debug.explain(subject).title == "softmax(x, axis=-1)"
    assert "out_i = e**x_i / sum_j e**x_j" in said["meaning"]
    assert ">>>" not in said["meaning"]
    assert said["derivative"] == "g_x = out * (g - np.sum(g * out, axis=axis, keepdims=True))"
    assert said["textbook"].splitlines()[-1].startswith("out = e / ")
    assert "Blanchard" in said["source"]
    line = int(re.search(r"softmax_family\.py:(\d+)$", said["defined"])[1])
    assert "def softmax(" in "".join(
        inspect.getsourcelines(inspect.getmodule(tg.softmax.forward))[0][line - 1 : line + 2]
    )


@pytest.mark.parametrize("name", sorted(PRIMITIVES))
def test_every_operation_has_an_explanation(name):
    op = PRIMITIVES[name]
    text = str(debug.explain(name))
    said = facts(debug.explain(name))
    assert all(len(line) <= 80 for line in text.splitlines() if not re.search(r"\S{66}", line))
    assert said["meaning"].split()[:2] == inspect.getdoc(op.forward).split()[:2]
    for argument in op.rules:
        assert f"g_{argument} = " in said["derivative"]
    if not op.rules:
        assert said["derivative"] == "it carries no gradient"
    assert "residual" not in said["derivative"]
    assert bool(op.unfused) == ("textbook" in said)
    assert text == repr(debug.explain(op))


@pytest.mark.parametrize("name", sorted(name for name, op in PRIMITIVES.items() if op.differentiable))
def test_the_result_of_every_operation_has_an_explanation(name):
    op = PRIMITIVES[name]
    for sample in op.samples:
        args, kwargs = sample.make(np.random.default_rng(0))
        count = 0

        def variable(value):
            nonlocal count
            if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                count += 1
                return Tensor(value, requires_grad=True)
            return value

        named = list(zip(op.parameters, args, strict=False))
        args = [
            [variable(v) for v in value] if isinstance(value, list) else variable(value) if name in op.rules else value
            for name, value in named
        ]
        outputs = op(*args, **kwargs)
        made = outputs[0] if isinstance(outputs, tuple) else outputs
        said = facts(debug.explain(made))
        which = f"output 1 of {len(outputs)} of " if isinstance(outputs, tuple) else ""
        assert f"made by {which}{op.name}" in debug.explain(made).title
        assert re.match(r"made(, \w+)* = ", said["formula"])
        assert len(re.findall(r"^g_\w+ = ", said["derivative"], re.MULTILINE)) >= count
        assert all(len(line) <= 100 for line in str(debug.explain(made)).splitlines())


def test_an_operation_with_several_outputs_and_one_of_the_users_own():
    @tg.primitive(samples=[Sample(normal(4))], method=False)
    def halves(x):
        """Two halves: a = x[:n], b = x[n:].

        Source: nobody,
        2024.

        >>> 1
        1
        """
        return x[: len(x) // 2].copy(), x[len(x) // 2 :].copy()

    @halves.vjp("x")
    def halves_vjp_x(g, out, x):
        return np.concatenate([g[0], g[1]])

    try:
        _, second = halves(Tensor(np.ones(4), requires_grad=True))
        assert debug.explain(second).title == "second (2,) float64 is made by output 2 of 2 of halves"
        assert facts(debug.explain(second))["source"] == "nobody, 2024."
        assert facts(debug.explain(halves))["derivative"] == "g_x = np.concatenate([g[0], g[1]])"
    finally:
        del PRIMITIVES["halves"]


def test_an_operation_without_source_names_its_rule():
    namespace = {"tg": tg}
    code = (
        "@tg.primitive(samples=[], method=False)\ndef sourceless(x):\n    return x * 2\n"
        "@sourceless.vjp('x')\ndef sourceless_vjp_x(g, out, x):\n    return 2 * g\n"
    )
    try:
        exec(code, namespace)
        said = facts(debug.explain("sourceless"))
        assert said["derivative"] == "g_x = sourceless_vjp_x(...)"
        y = namespace["sourceless"](Tensor([1.0], requires_grad=True))
        assert "made by sourceless" in one_line(debug.explain(y))
    finally:
        PRIMITIVES.pop("sourceless", None)


def test_empty_0d_and_nan_tensors():
    for values in (np.zeros((0, 3)), np.array(np.nan), np.array(1.0)):
        x = Tensor(values, requires_grad=True)
        y = (x * 2).sum()
        y.backward()
        assert "made by sum" in one_line(debug.explain(y))
        assert "is a leaf" in one_line(debug.explain(x))


def test_nothing_is_changed_or_recorded():
    x = Tensor([1.0, 2.0], requires_grad=True)
    loss = F.cross_entropy(x.reshape(1, 2), np.array([0]))
    residual = loss.tape()[-1].residual[0].copy()
    str(debug.explain(loss))
    np.testing.assert_array_equal(loss.tape()[-1].residual[0], residual)
    assert x.grad is None
    loss.backward()
    assert x.grad is not None


def test_bad_subjects():
    with pytest.raises(ArgumentError, match=r"no operation 'sofmax'(.|\n)*did you mean softmax"):
        debug.explain("sofmax")
    with pytest.raises(ArgumentError, match=r"there are abs, .*add, "):
        debug.explain("!!")
    for subject in (np.ones(3), 1.0, None, [], np.linspace):
        with pytest.raises(DTypeError, match="explain: takes a tensor or an operation"):
            debug.explain(subject)


def test_numpys_function_is_the_operation_that_answers_to_it():
    assert str(debug.explain(np.exp)) == str(debug.explain(tg.exp))
    assert str(debug.explain(np.max)) == str(debug.explain("max"))
