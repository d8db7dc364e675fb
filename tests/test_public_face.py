"""What a user meets: the names, the help, the methods, and the loop that every tutorial begins with."""

import inspect
import pydoc
import runpy
import types

import numpy as np
import pytest

import tinygrad_sm as tg
from tinygrad_sm.engine.primitive import PRIMITIVES, Primitive
from tinygrad_sm.engine.transforms import gradients

OPS = sorted((op for op in PRIMITIVES.values() if op.__module__.startswith("tinygrad_sm.ops.")), key=lambda op: op.name)
METHODS = [op for op in OPS if op.method]
SPELLED_OUT = {"reshape", "transpose"}  # which take their argument in pieces too, and are written by hand

# What is public and not an operation: the list to change when something is added on purpose.
CURATED = {
    *("Tensor", "no_grad", "grad", "value_and_grad", "gradients", "gradcheck", "primitive", "Sample"),
    *("vjp", "jvp", "jacobian", "hessian", "hvp", "check_primitive", "describe_primitive"),
    *("set_num_threads", "get_num_threads"),
    *(
        "compile",
        "compile_step",
        "seed",
        "default_generator",
        "data",
        "debug",
        "errors",
        "linalg",
        "nn",
        "ops",
        "optim",
        "train",
    ),
}

TWELVE_LINES = """
import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import data, nn, optim
points = data.make_moons(200)
tg.seed(0)
model = nn.MLP([2, 16, 2])
optimizer = optim.Adam(model.parameters(), lr=0.05)
for epoch in range(60):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(points.inputs), points.targets)
    loss.backward()
    optimizer.step()
"""

BY_HAND = """
import numpy as np
import tinygrad_sm as tg
x = np.linspace(-1, 1, 50)
slope, shift = tg.Tensor(0.0, requires_grad=True), tg.Tensor(0.0, requires_grad=True)
for step in range(200):
    loss = np.mean((slope * x + shift - (3 * x - 2)) ** 2)
    loss.backward()
    with tg.no_grad():
        slope -= 0.2 * slope.grad
        shift -= 0.2 * shift.grad
    slope.grad = shift.grad = None
"""


def run_lines(source, folder):
    script = folder / "lesson.py"
    script.write_text(source, encoding="utf-8")
    return runpy.run_path(str(script))


def test_twelve_lines_train_a_classifier(tmp_path):
    assert len(TWELVE_LINES.strip().splitlines()) == 12
    names = run_lines(TWELVE_LINES, tmp_path)
    points = names["points"]
    predicted = names["model"](points.inputs).data.argmax(axis=1)
    assert np.mean(predicted == points.targets) > 0.97
    assert names["loss"].item() < 0.15
    assert f"{names['loss']:.1f}" in ("0.0", "0.1")


def test_the_tutorial_idiom_fits_a_line(tmp_path):
    names = run_lines(BY_HAND, tmp_path)
    assert float(names["slope"]) == pytest.approx(3, abs=1e-6)
    assert float(names["shift"]) == pytest.approx(-2, abs=1e-6)
    assert names["slope"].is_leaf
    assert names["slope"].requires_grad


# Names.


def test_the_public_names_are_the_operations_and_a_curated_few():
    assert len(set(tg.__all__)) == len(tg.__all__)
    assert set(tg.__all__) == CURATED | set(tg.ops.__all__)
    assert CURATED.isdisjoint(tg.ops.__all__)
    assert set(tg.ops.__all__) <= {op.name for op in OPS}


@pytest.mark.parametrize("name", tg.ops.__all__)
def test_an_operation_is_one_object_wherever_it_is_found(name):
    op = getattr(tg, name)
    assert isinstance(op, Primitive)
    assert op is getattr(tg.ops, name)
    assert op is PRIMITIVES[name]


def test_what_the_design_promises_is_there():
    names = "exp log sqrt sum mean concatenate stack where logsumexp softmax log_softmax matmul maximum take_along_axis"
    assert set(names.split()) <= set(tg.__all__)
    layers = "Module Parameter Linear Sequential MLP Flatten Dropout ReLU LeakyReLU ELU Softplus Sigmoid Tanh Softmax"
    assert set(layers.split()) <= set(tg.nn.__all__)
    assert {"SGD", "Adam", "AdamW"} <= set(tg.optim.__all__)
    tensor = "data grad requires_grad name shape ndim size dtype T item numpy detach astype tape backward"
    assert set(tensor.split()) <= set(dir(tg.Tensor))


def test_no_name_of_the_package_is_there_by_accident():
    mine = {name for name in dir(tg) if not name.startswith("__")} - set(tg.__all__)
    modules = {name for name in mine if isinstance(vars(tg)[name], types.ModuleType)}
    assert all(vars(tg)[name].__name__ == f"tinygrad_sm.{name}" for name in modules)  # no `np`, no `functools`
    assert mine - modules <= {"annotations"}


def test_a_star_import_gives_the_public_names_and_no_others():
    namespace = {}
    exec("from tinygrad_sm import *", namespace)
    assert set(namespace) - {"__builtins__"} == set(tg.__all__)


def test_the_version_is_three_numbers():
    assert [part.isdigit() for part in tg.__version__.split(".")] == [True] * 3


# Help.


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_help_shows_signature_and_docstring_of_function_and_method(op):
    doc = inspect.getdoc(op)
    assert doc == inspect.cleandoc(op.forward.__doc__)
    shown = pydoc.plain(pydoc.render_doc(op))
    assert f"{op.name}(" in shown
    assert doc.splitlines()[0] in shown
    parameters = inspect.signature(op).parameters
    assert tuple(parameters) == (("subscripts", "operands", "optimize") if op is tg.einsum else op.parameters)
    if op.method and op.name not in SPELLED_OUT:
        unbound, bound = getattr(tg.Tensor, op.name), getattr(tg.Tensor(1.0), op.name)
        assert inspect.getdoc(unbound) == inspect.getdoc(bound) == doc
        assert tuple(inspect.signature(unbound).parameters) == tuple(parameters)
        assert tuple(inspect.signature(bound).parameters) == tuple(parameters)[1:]
        assert doc.splitlines()[0] in pydoc.plain(pydoc.render_doc(bound))


def test_a_signature_tells_names_and_defaults():
    sum_parameters = inspect.signature(tg.sum).parameters
    assert list(sum_parameters) == ["x", "axis", "keepdims"]
    assert sum_parameters["axis"].default is None
    assert sum_parameters["keepdims"].default is False
    assert callable(tg.exp)
    assert tg.exp.__name__ == "exp"
    assert tg.exp.__module__.startswith("tinygrad_sm.ops")


@pytest.mark.parametrize("name", dir(tg.Tensor(1.0)))
def test_every_public_attribute_of_a_tensor_says_what_it_is(name):
    attribute = inspect.getattr_static(tg.Tensor, name)
    if isinstance(attribute, types.MemberDescriptorType):
        assert name in {"grad", "name"}  # slots, of which the docstring of the class tells
        assert name in tg.Tensor.__doc__
    else:
        assert inspect.getdoc(getattr(tg.Tensor, name))


@pytest.mark.parametrize("module", [tg.nn, tg.nn.init, tg.optim], ids=lambda module: module.__name__)
def test_every_class_of_layers_and_optimisers_has_help_and_a_signature(module):
    members = [
        value for name, value in vars(module).items() if inspect.isclass(value) and value.__module__[:4] == "tiny"
    ]
    members += [value for value in vars(module).values() if inspect.isfunction(value)]
    assert members
    for member in members:
        # A class without a docstring would be given that of its base.
        assert member.__doc__
        assert inspect.signature(member) is not None
        assert member.__name__ in pydoc.plain(pydoc.render_doc(member))


def test_completion_offers_the_operations_on_a_tensor_and_at_the_top():
    assert {op.name for op in METHODS} <= set(dir(tg.Tensor(1.0)))
    assert set(tg.ops.__all__) <= set(dir(tg))


# Methods are the functions.


@pytest.mark.parametrize(
    ("op", "number"),
    [pytest.param(op, i, id=f"{op.name}-{i}") for op in METHODS for i in range(len(op.samples))],
)
def test_a_method_is_the_function(op, number):
    args, kwargs = op.samples[number].make(np.random.default_rng(0))
    floating = isinstance(args[0], np.ndarray) and args[0].dtype.kind == "f" and op.differentiable
    x, y = (tg.Tensor(args[0], requires_grad=floating) for _ in range(2))
    as_method, as_function = getattr(x, op.name)(*args[1:], **kwargs), op(y, *args[1:], **kwargs)
    np.testing.assert_array_equal(as_method.data, as_function.data)
    assert as_method.dtype == as_function.dtype
    assert as_method.requires_grad == as_function.requires_grad == floating
    if floating:
        cotangent = np.random.default_rng(1).normal(size=as_method.shape)
        got = gradients(as_method, x, cotangent=cotangent)
        np.testing.assert_array_equal(got.data, gradients(as_function, y, cotangent=cotangent).data)


def test_reshape_and_transpose_take_their_argument_whole_or_in_pieces():
    x = tg.Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    for out in (x.reshape(3, 2), x.reshape((3, 2)), x.reshape([3, 2]), tg.reshape(x, (3, 2))):
        assert out.data.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    assert x.reshape(-1).shape == (6,)
    for out in (x.transpose(), x.transpose(1, 0), x.transpose((1, 0)), x.T, tg.transpose(x)):
        assert out.data.tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
        out.sum().backward()
    assert (x.grad == 5).all()
