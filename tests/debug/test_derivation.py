"""The derived script gives the engine's gradients: to the last bit by calls, to rounding in NumPy alone."""

import ast
import bdb
import importlib
import os
import re
import runpy
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from calls import CALLS, NAMES, Call, variables

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, debug, nn, optim
from tinygrad_sm.engine.primitive import PRIMITIVES
from tinygrad_sm.errors import ArgumentError, DTypeError, FileError, GradientError, StaleValueError

ROOT = Path(__file__).parent.parent.parent
TOLERANCE = {np.float64: {"rtol": 1e-9, "atol": 1e-11}, np.float32: {"rtol": 3e-4, "atol": 3e-5}}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Scripts are written to the working directory."""
    monkeypatch.chdir(tmp_path)


def leaf_gradients(leaves):
    return [leaf.grad for leaf in leaves if leaf.grad is not None]


def assert_same_bits(got, expected):
    assert len(got) == len(expected)
    for g, e in zip(got.values(), expected, strict=True):
        assert np.asarray(g).dtype == e.dtype
        np.testing.assert_array_equal(g, e)


def assert_close(got, expected, dtype=np.float64):
    assert len(got) == len(expected)
    for g, e in zip(got.values(), expected, strict=True):
        assert np.asarray(g).dtype == e.dtype
        assert np.shape(g) == e.shape
        np.testing.assert_allclose(g, e, **TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize(("op", "number"), CALLS, ids=NAMES)
def test_every_operation(op, number, dtype):
    call = Call(op, number, dtype=dtype)
    cotangent = call.cotangent()
    leaves = variables(call.arrays)
    out = call(*leaves)
    by_calls = debug.source(out, "calls", cotangent=cotangent)
    inline = debug.source(out, cotangent=cotangent)
    out.backward(cotangent)
    assert_same_bits(by_calls.gradients(), leaf_gradients(leaves))
    assert_close(inline.gradients(), leaf_gradients(leaves), dtype)
    assert imports(inline) <= {"numpy", "pathlib"}


def imports(derived):
    """The modules that a script imports."""
    found = set()
    for node in ast.walk(ast.parse(str(derived))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
    return found


def mlp_step(dropout=0.2, dtype=np.float32):
    """A loss of a small network in training, with the parameters it depends on."""
    rng = np.random.default_rng(0)
    model = nn.MLP([20, 16, 8, 5], activation="tanh", dropout=dropout, generator=rng)
    x, labels = rng.normal(size=(12, 20)).astype(dtype), rng.integers(5, size=12)
    return F.cross_entropy(model(x), labels, label_smoothing=0.1), list(model.parameters())


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_whole_training_step_of_a_network(dropout):
    loss, parameters = mlp_step(dropout)
    by_calls, inline = debug.source(loss, "calls"), debug.source(loss)
    loss.backward()
    expected = [parameter.grad for parameter in parameters]
    assert_same_bits(by_calls.run(), expected)
    assert_close(inline.run(), expected, np.float32)
    assert imports(inline) <= {"numpy", "pathlib"}
    assert_same_bits(by_calls.gradients(), expected)


def test_by_calls_a_step_on_digits_is_equal_to_the_last_bit():
    """At this size the loss keeps its softmax class by class, and a sum over it rounds otherwise than row by row."""
    rng = np.random.default_rng(0)
    model = nn.MLP([784, 128, 10], generator=rng)
    x, labels = rng.normal(size=(64, 784)).astype(np.float32), rng.integers(10, size=64)
    loss = F.cross_entropy(model(x), labels)
    derived = debug.source(loss, "calls")
    loss.backward()
    expected = [parameter.grad for parameter in model.parameters()]
    assert_same_bits(derived.gradients(), expected)
    assert_same_bits(derived.run(), expected)
    assert_same_bits(debug.source(loss, "calls").gradients(), expected)  # when backward has had what the loss kept


def test_every_step_of_a_training_run_has_the_same_file_and_its_own_numbers(tmp_path):
    rng = np.random.default_rng(0)
    model = nn.MLP([4, 6, 3], generator=rng)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    paths = set()
    for _ in range(3):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(rng.normal(size=(5, 4)).astype(np.float32)), rng.integers(3, size=5))
        derived = debug.source(loss, "calls")
        got = derived.run()
        loss.backward()
        assert_same_bits(got, [parameter.grad for parameter in model.parameters()])
        optimizer.step()
        assert_same_bits(
            derived.gradients(), [parameter.grad for parameter in model.parameters()]
        )  # its data is its own
        paths.add(derived.path)
    assert len(paths) == 1
    assert [path.suffix for path in (tmp_path / ".tinygrad_sm").iterdir()] == [".py"]


VIEWS = {
    "by column": np.asfortranarray,
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "with gaps": lambda a: np.repeat(np.repeat(a, 2, axis=0), 3, axis=1)[::2, ::3],
    "backwards": lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
    "one row many times": lambda a: np.broadcast_to(a[0], a.shape),
}


@pytest.mark.parametrize("shape", [(8, 7), (66, 50)], ids=["as literals", "in a file"])
@pytest.mark.parametrize("view", VIEWS)
def test_by_calls_arrays_lie_in_memory_as_they_did(view, shape):
    """NumPy adds up in the order of memory, so that the last bits tell."""
    rng = np.random.default_rng(0)
    table = VIEWS[view](rng.normal(size=shape).astype(np.float32))
    x = Tensor(VIEWS[view](rng.normal(size=shape).astype(np.float32)), requires_grad=True, name="x")
    w = Tensor(rng.normal(size=shape[1]).astype(np.float32), requires_grad=True, name="w")
    b = Tensor(rng.normal(size=table.T.shape), requires_grad=True, name="b")
    scale = Tensor(np.float32([0.3]), requires_grad=True, name="scale")
    loss = (tg.tanh(table @ w) * table[:, 3]).sum() + (table * scale).sum() * x.sum() + (x.T * b).mean()
    derived = debug.source(loss, "calls")
    got = derived.run()
    loss.backward()
    assert_same_bits(got, leaf_gradients([x, w, b, scale]))
    assert_same_bits(derived.gradients(), leaf_gradients([x, w, b, scale]))
    assert "laid_out(" in str(derived)
    assert "laid_out(" not in str(debug.source(loss))


def values_of(derived):
    """Every variable of a script after it ran as a file."""
    return runpy.run_path(str(derived.save()))


@pytest.mark.parametrize("level", ["calls", "inline"])
def test_numbers_that_promote_do_so_in_the_script(level):
    x = Tensor(np.float32([0.5, 1.5, 2.5]), requires_grad=True)
    loss = (x * np.float64(0.1) + x**2 * np.float32(3) - x * 0.1 + x * np.int64(2)).sum()
    recording = debug.recording.Recording(loss)
    values = values_of(debug.source(recording, level))
    for name, value in recording.names.values():
        if name in values:
            assert np.asarray(values[name]).dtype == value.dtype
            np.testing.assert_array_equal(values[name], value)
    assert loss.dtype == np.float64
    expected = tg.gradients(loss, x).data
    assert_close(values["gradients"], [expected], np.float32)


@pytest.mark.parametrize("level", ["calls", "inline"])
def test_no_axis_is_an_axis_too_where_the_operation_takes_another_for_granted(level):
    x = Tensor(np.random.default_rng(0).normal(size=(3, 4)), requires_grad=True)
    loss = (tg.softmax(x, axis=None) * tg.log_softmax(x, axis=None)).sum()
    derived = debug.source(loss, level)
    loss.backward()
    assert_close(derived.gradients(), [x.grad])


@pytest.mark.parametrize("level", ["calls", "inline"])
@pytest.mark.parametrize("kind", [">f8", np.longdouble, np.float16])
def test_numbers_of_any_type(kind, level):
    x = Tensor(np.array([0.25, 1 / 3, 3.0], kind), requires_grad=True)
    loss = (x * x + x * np.arange(3.0)).sum()
    derived = debug.source(loss, level)
    loss.backward()
    got = derived.run()
    assert_close(got, [x.grad], np.float64 if level == "calls" else np.float32)
    if level == "calls":
        assert_same_bits(got, [x.grad])


def test_many_operands_are_listed_once():
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    loss = (tg.stack([x * float(i) for i in range(30)]) ** 2).sum()
    derived = debug.source(loss, "calls")
    loss.backward()
    assert_same_bits(derived.run(), [x.grad])
    text = str(derived)
    assert len(re.findall(r"^stack_\d+_operands = \(multiply_1, ", text, re.MULTILINE)) == 1
    assert (
        len(
            re.findall(
                r"= stack_vjp_arrays\(g_stack_31, stack_31, \d+, stack_31_operands, axis=0\)$", text, re.MULTILINE
            )
        )
        == 30
    )


@pytest.mark.parametrize("level", ["calls", "inline"])
def test_it_runs_alone(level):
    loss, parameters = mlp_step()
    path = debug.source(loss, level, "derived.py").path
    loss.backward()
    (Path("check.py")).write_text(
        "import runpy, numpy as np\n"
        "names = runpy.run_path('derived.py')\n"
        "np.savez('got.npz', **{k: v for k, v in names['gradients'].items()})\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT) if level == "calls" else ""}
    for script in (path, "check.py"):
        result = subprocess.run(
            [sys.executable, "-W", "error", script], env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
    with np.load("got.npz") as got:
        assert_close(dict(got), [parameter.grad for parameter in parameters], np.float32)
    assert sorted(file.name for file in Path.cwd().glob("derived*")) == ["derived.npz", "derived.py"]


def test_running_prints_the_loss_and_every_gradient():
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    loss = (x * x).sum()
    path = debug.source(loss).save()
    result = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True)
    assert result.stdout == "loss: 5.0\ngradient of x, shape (2,):\n[2. 4.]\n"


LESSON = """\
import numpy as np
import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F

X = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5]])
labels = np.array([0, 1, 1])
W = tg.Tensor([[0.5, -1.0], [0.25, 2.0]], requires_grad=True)
b = tg.Tensor([0.1, -0.2], requires_grad=True)
h = tg.tanh(X @ W)
h = h * h
loss = F.cross_entropy(h + b, labels)
"""


def lesson(tmp_path, source=LESSON):
    path = tmp_path / "lesson.py"
    path.write_text(source, encoding="utf-8")
    namespace = {"__name__": "lesson"}
    exec(compile(source, str(path), "exec"), namespace)
    return namespace


def test_it_reads_like_a_derivation(tmp_path):
    text = str(debug.source(lesson(tmp_path)["loss"]))
    forward, backward = text.split("# Forward")[1].split("# Backward")
    backward = backward.split("# The gradients")[0]
    assert forward.splitlines()[2:11] == [
        "# lesson.py:9  h = tg.tanh(X @ W)",
        "matmul_2 = X @ W",
        "h = np.tanh(matmul_2)",
        "",
        "# lesson.py:10  h = h * h",
        "h_2 = h * h",
        "",
        "# lesson.py:11  loss = F.cross_entropy(h + b, labels)",
        "add_5 = h_2 + b",
    ]
    for line in ("e = np.exp(shifted)", "log_p = shifted - log_sum", "loss = total / count"):
        assert line in forward.splitlines()
    assert backward.splitlines()[-14:-2] == [
        "g_h_2 = g_add_5",
        "g_b = g_add_5",
        "g_b = g_b.sum(axis=0)  # undoes broadcasting: (3, 2) -> (2,)",
        "",
        "# back through lesson.py:10  h = h * h",
        "g_h = g_h_2 * h",
        "g_h_from_h_2 = g_h_2 * h",
        "g_h = g_h + g_h_from_h_2  # contribution 2 of 2",
        "",
        "# back through lesson.py:9  h = tg.tanh(X @ W)",
        "g_matmul_2 = g_h * (1 - h * h)",
        "g_W = X.T @ g_matmul_2",
    ]
    assert text.startswith('"""`loss` and its gradients, in NumPy alone')
    assert max(map(len, text.splitlines())) <= 120
    assert "\n\n\n\n" not in text


def test_by_calls_every_rule_is_called_by_its_name(tmp_path):
    loss = lesson(tmp_path)["loss"]
    text = str(debug.source(loss, "calls"))
    for node in loss.tape():
        for position, edge in enumerate(node.parents):
            if edge:
                assert f" = {node.op.rule(position).__name__}(g_" in text
    assert re.search(r"^from tinygrad_sm.ops.linalg import matmul, matmul_vjp_y$", text, re.MULTILINE)


def test_lines_know_their_step(tmp_path):
    recording = debug.recording.Recording(lesson(tmp_path)["loss"])
    derived = debug.source(recording)
    by_step = {line.step for line in derived.lines}
    assert by_step == {None, *range(len(recording.steps))}
    line = next(line for line in derived.lines if line.text == "g_W = X.T @ g_matmul_2")
    assert recording.steps[line.step].name == "matmul_2"
    assert recording.steps[line.step].phase == "backward"
    assert [line.text for line in derived.lines] == str(derived).splitlines()
    assert str(debug.source(recording)) == str(derived)  # asking twice takes no names away


# Where it is hard.


def hard_losses():
    extreme = Tensor([[1000.0, 0.0, -1000.0], [0.0, -np.inf, 2.0]], requires_grad=True)
    yield "overflow and a masked class", F.cross_entropy(extreme, np.array([0, 2])), [extreme]
    masked = Tensor([[-np.inf, -np.inf], [1.0, 2.0]], requires_grad=True)
    yield "a masked row", (tg.softmax(masked, axis=1) * np.array([[1.0, 2.0], [3.0, 1.0]])).sum(), [masked]
    x = Tensor([0.0, 4.0], requires_grad=True)
    yield "an infinite slope times zero", (tg.sqrt(x) * np.array([0.0, 1.0])).sum(), [x]
    x = Tensor([0.0, 4.0], requires_grad=True)
    yield "an infinite slope", tg.sqrt(x).sum(), [x]
    x = Tensor([-2000.0, 0.0, 2000.0], requires_grad=True)
    yield "saturated", (tg.sigmoid(x) + tg.softplus(x)).sum(), [x]
    x = Tensor([np.nan, 1.0], requires_grad=True)
    yield "NaN in the data", (x * x).sum(), [x]
    x = Tensor(np.zeros((0, 3)), requires_grad=True)
    yield "nothing", (x * 2).sum(), [x]
    x = Tensor(3.0, requires_grad=True)
    yield "scalars", x * x * 2 + x, [x]
    x, y = Tensor([1.0, 2.0], requires_grad=True), Tensor([[3.0]], requires_grad=True)
    yield "broadcast both ways", (x * y + y).sum(), [x, y]
    x = Tensor(np.float32([1.0, 2.0]), requires_grad=True)
    y = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    yield "mixed types", (x * y).sum(), [x, y]
    x = Tensor(np.arange(4.0), requires_grad=True)
    yield "indexed twice", (x[np.array([0, 0, 3])] * x[1:]).sum() + x[0], [x]


@pytest.mark.parametrize("level", ["calls", "inline"])
@pytest.mark.parametrize("case", [name for name, *_ in hard_losses()])
def test_where_numbers_are_hard(case, level):
    loss, leaves = next((loss, leaves) for name, loss, leaves in hard_losses() if name == case)
    derived = debug.source(loss, level)
    loss.backward()
    for got in (derived.gradients(), derived.run()):
        if level == "calls":
            assert_same_bits(got, leaf_gradients(leaves))
        else:
            assert_close(got, leaf_gradients(leaves))
    result = subprocess.run(
        [sys.executable, "-W", "error", derived.path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_a_leaf_alone():
    x = Tensor(2.0, requires_grad=True, name="x")
    assert debug.source(x).gradients() == {"x": 1.0}


def test_a_cotangent_of_any_shape():
    x = Tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    assert debug.source(y, cotangent=[1.0, 10.0]).gradients()["x"].tolist() == [3.0, 30.0]
    with pytest.raises(GradientError, match="starts from a scalar"):
        debug.source(y)


def test_a_long_tape():
    x = Tensor(1.0, requires_grad=True)
    y = x
    for _ in range(1000):
        y = y * 1.001
    assert debug.source(y).gradients()["x"] == pytest.approx(1.001**1000)


def test_names_of_the_user_do_not_collide_with_those_of_the_script(tmp_path):
    source = (
        "import numpy, tinygrad_sm as tg\n"
        "np = tg.Tensor(numpy.arange(100.0), requires_grad=True)\n"
        "data = np * 2\n"
        "g = data + np\n"
        "gradients = tg.exp(g * 0.001)\n"
        "e = tg.softmax(gradients)\n"
        "e.name = '\\u00b5'\n"
        "matmul = tg.sum(e * e)\n"
    )
    names = lesson(tmp_path, source)
    expected = tg.gradients(names["matmul"], names["np"]).data
    for level in ("calls", "inline"):
        np.testing.assert_allclose(debug.source(names["matmul"], level).run()["np_2"], expected, rtol=1e-9)


# Operations of the user's.

OWN = """\
import numpy as np
import tinygrad_sm as tg

SCALE = 2.0
TABLE = np.array([1.0, 2.0])

def helper(x):
    return SCALE * x * TABLE

@tg.primitive(method=False)
def scaled(x, power=1):
    return helper(x) ** power

@scaled.vjp("x")
def scaled_vjp_x(g, out, x, power=1):
    return g * power * helper(x) ** (power - 1) * SCALE * TABLE

@tg.primitive(method=False)
def looped(x):
    out = x
    for _ in range(3):
        out = out * x
    return out

@looped.vjp("x")
def looped_vjp_x(g, out, x):
    slope = 4 * x * x * x
    for _ in range(2):
        slope = slope * 1.0
    return g * slope

@tg.primitive(method=False)
def halves(x):
    return x[:1], x[1:]

@halves.vjp("x")
def halves_vjp_x(g, out, x):
    return np.concatenate([g[0], g[1]])

x = tg.Tensor([1.0, 2.0], requires_grad=True)
a, b = halves(scaled(x, power=2) + looped(x))
loss = b.sum()
"""


@pytest.fixture
def own_operations(tmp_path):
    yield lesson(tmp_path, OWN)
    for name in ("scaled", "looped", "halves"):
        PRIMITIVES.pop(name, None)


@pytest.mark.parametrize("level", ["calls", "inline"])
def test_operations_that_no_module_holds(own_operations, level):
    loss, x = own_operations["loss"], own_operations["x"]
    derived = debug.source(loss, level)
    loss.backward()
    np.testing.assert_allclose(x.grad, [0.0, 2 * 4 * 2 * 4 + 4 * 2**3])
    assert_close(derived.run(), [x.grad])
    text = str(derived)
    assert "g_a = np.zeros_like(a)" in text
    assert "def looped_vjp_x(g, out, x):" in text  # which loops, and so stands as it is
    assert ("def scaled_vjp_x" in text) == (level == "calls")
    result = subprocess.run(
        [sys.executable, derived.path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


SUMMING = """\
import tinygrad_sm as tg

@tg.primitive(variadic=True, method=False)
def squares(arrays, weight=2.0):
    return weight * sum(a * a for a in arrays) + sum(arrays[1:], 1.0)

@squares.vjp("arrays")
def squares_vjp_arrays(g, out, position, arrays, weight=2.0):
    return 2 * weight * g * arrays[position] + sum([g * (position > 0)])

x = tg.Tensor([1.0, 2.0], requires_grad=True)
y = tg.Tensor([3.0, 5.0], requires_grad=True)
loss = squares([x, y], weight=0.5).sum()
"""


def test_sum_of_a_list_of_arrays_is_written_out_and_not_as_its_value(tmp_path):
    names = lesson(tmp_path, SUMMING)
    PRIMITIVES.pop("squares")
    derived = debug.source(names["loss"])
    names["loss"].backward()
    assert_close(derived.run(), [names["x"].grad, names["y"].grad])
    assert "0.5 * (x * x + y * y) + (1.0 + y)" in str(derived)


@pytest.mark.parametrize("loss", [F.huber_loss, F.smooth_l1_loss])
def test_masks_of_an_opened_loss_follow_the_data(loss):
    x = Tensor([0.5, 2.0], requires_grad=True, name="x")
    script = str(debug.source(loss(x, np.zeros(2))))
    names = {}
    exec(script.replace("[0.5, 2. ]", "[-3.0, 0.25]"), names)
    np.testing.assert_allclose(names["gradients"]["x"], [-0.5, 0.125])  # a literal mask gives -1.5 and 0.5


BORROWING = """\
import math
import numpy as xp
import tinygrad_sm as tg
from math import hypot, sqrt
from numpy import exp

HALF = xp.float64(0.5)

def doubled(x):
    return 2.0 * x

@tg.primitive(method=False)
def rich(x):
    return xp.sin(x) * math.sqrt(2.0) * sqrt(3.0) + exp(x) + doubled(x) * HALF * hypot(x.max(), 1.0)

@rich.vjp("x")
def rich_vjp_x(g, out, x):
    slope = xp.cos(x) * math.sqrt(2.0) * sqrt(3.0) + exp(x)
    return g * (slope + 2 * HALF * hypot(x.max(), 1.0))

@tg.primitive(method=False)
def repeated(x):
    total = HALF
    for _ in range(2):
        total = total + xp.sin(x) * math.sqrt(2.0) + exp(x) + doubled(x)
    return total

@repeated.vjp("x")
def repeated_vjp_x(g, out, x):
    for _ in range(1):
        slope = xp.cos(x) * math.sqrt(2.0) + exp(x) + doubled(HALF) * 2
    return g * 2 * slope
"""


@pytest.fixture(params=["executed", "imported"])
def borrowing(request, tmp_path, monkeypatch):
    """Operations that use much of their module, in a module or in code that is none."""
    if request.param == "executed":
        yield lesson(tmp_path, BORROWING)
    else:
        (tmp_path / "operations_of_mine.py").write_text(BORROWING)
        monkeypatch.syspath_prepend(tmp_path)
        yield vars(importlib.import_module("operations_of_mine"))
        del sys.modules["operations_of_mine"]
    for name in ("rich", "repeated"):
        PRIMITIVES.pop(name, None)


@pytest.mark.parametrize("level", ["calls", "inline"])
@pytest.mark.parametrize(
    "names",
    [("x", "y"), ("math", "exp"), ("doubled", "sqrt"), ("xp", "HALF"), ("rich", "repeated"), ("total", "hypot")],
    ids=" ".join,
)
def test_what_an_operation_uses_of_its_module_comes_along(borrowing, names, level, tmp_path):
    x, y = (Tensor([0.5, 1.5], requires_grad=True, name=name) for name in names)
    loss = (borrowing["rich"](x) * borrowing["repeated"](y) + borrowing["rich"](y)).sum()
    derived = debug.source(loss, level)
    loss.backward()
    assert_close(derived.gradients(), [x.grad, y.grad])
    result = subprocess.run(
        [sys.executable, derived.save()],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(tmp_path)))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_an_operation_that_cannot_stand_alone_is_refused():
    factor = 3.0

    @tg.primitive(method=False)
    def closed_over(x):
        return x * factor

    @closed_over.vjp("x")
    def closed_over_vjp_x(g, out, x):
        return g * factor

    try:
        y = closed_over(Tensor(2.0, requires_grad=True))
        with pytest.raises(ArgumentError, match="closed_over cannot stand alone") as caught:
            debug.source(y)
        assert "top level of a module" in caught.value.remedy
    finally:
        del PRIMITIVES["closed_over"]


# The file.


def test_breakpoints_in_the_file_are_met(monkeypatch):
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    derived = debug.source((x * x).sum())
    path = os.path.abspath(derived.save())
    line = 1 + next(i for i, line in enumerate(derived.lines) if line.text.startswith("g_x = "))
    stopped = []

    class Debugger(bdb.Bdb):
        def user_line(self, frame):
            if frame.f_code.co_filename == path and self.break_here(frame):
                stopped.append((frame.f_lineno, frame.f_locals["g_multiply_1"].tolist()))
            self.set_continue()

    debugger = Debugger()
    assert debugger.set_break(path, line) is None
    debugger.runcall(derived.run)
    assert stopped == [(line, [1.0, 1.0])]


def test_where_no_file_can_be_written_it_runs_from_memory(monkeypatch):
    loss, parameters = mlp_step()
    derived = debug.source(loss, "calls")
    Path(".tinygrad_sm").write_text("a file where the folder should be")
    got = derived.run()
    loss.backward()
    assert_same_bits(got, [parameter.grad for parameter in parameters])
    assert derived.path is None
    with pytest.raises(FileError):
        derived.save()


def test_scripts_of_one_program_run_side_by_side_with_their_own_data():
    def gradient(seed):
        rng = np.random.default_rng(seed)
        weight = Tensor(rng.normal(size=(10, 9)), requires_grad=True, name="W")
        loss = tg.tanh(rng.normal(size=(20, 10)) @ weight).sum()
        found = [debug.source(loss, "calls").run()["W"] for _ in range(8)]
        loss.backward()
        return [np.array_equal(each, weight.grad) for each in found]

    with ThreadPoolExecutor(4) as pool:
        assert all(map(all, pool.map(gradient, range(4))))


@pytest.mark.parametrize("path", ["", "/", "derived.npz"])
def test_a_path_that_is_no_script_s_is_refused(path):
    loss, _ = mlp_step()
    with pytest.raises(ArgumentError, match=r"debug\.source: path=.* is no file name of a script"):
        debug.source(loss, path=path)


def test_an_unwritable_path_is_refused(tmp_path):
    loss, _ = mlp_step()
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(FileError, match=r"folder\.py"):
        debug.source(loss, path=tmp_path / "folder.py")


def test_it_shows_itself():
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    derived = debug.source((x < 3).data * x, cotangent=[1.0, 1.0])
    assert re.fullmatch(r"<Source \d+ lines, level 'inline'>", repr(derived))
    derived.save()
    assert re.fullmatch(r"<Source \d+ lines, level 'inline', \S+tape_\w+\.py>", repr(derived))
    assert derived._repr_html_().startswith("<pre>")


# Bad input.


def test_a_constant_a_stale_tape_and_an_unknown_level_are_refused():
    with pytest.raises(GradientError, match=r"debug\.source: .* carries no gradient"):
        debug.source(Tensor(1.0))
    with pytest.raises(DTypeError, match=r"debug\.source: takes a tensor, not float"):
        debug.source(1.0)
    x = Tensor([1.0, 2.0], requires_grad=True)
    loss = (x * x).sum()
    with pytest.raises(ArgumentError, match="level='outline'"):
        debug.source(loss, "outline")
    with pytest.raises(ArgumentError, match="a Recording has its own cotangent"):
        debug.source(debug.recording.Recording(loss), cotangent=2.0)
    with pytest.raises(ArgumentError, match="one without gradients has none"):
        debug.source(debug.recording.Recording(x * x, gradients=False))
    with tg.no_grad():
        x -= 1.0
    with pytest.raises(StaleValueError, match=r"debug\.source: the tape is stale"):
        debug.source(loss)
