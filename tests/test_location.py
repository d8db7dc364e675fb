"""Source locations: the user's own line and the very expression, in every way in which Python code may be written."""

import gc
import linecache
import os
import subprocess
import sys
import types
import weakref
from pathlib import Path

import numpy as np
import pytest

import tinygrad_sm as tg
from tinygrad_sm.location import Location, caller

ROOT = Path(__file__).parent.parent


def run(path, source, **names):
    """Run a script that lies in a file, and return its namespace."""
    path.write_text(source, encoding="utf-8")
    linecache.checkcache(str(path))
    namespace = {"__name__": "lesson", "tg": tg, "np": np, **names}
    namespace["x"] = tg.Tensor([1.0, 2.0], requires_grad=True)
    exec(compile(source, str(path), "exec"), namespace)
    return namespace


def places(tensor):
    """Line and expression of every operation on the tape of a tensor."""
    return [(node.location.line, node.location.expression) for node in tensor.tape() if node.op]


SNIPPETS = {
    "one line": ("y = tg.exp(x) * 2", [(1, "tg.exp(x)"), (1, "tg.exp(x) * 2")]),
    "nested calls": (
        "y = tg.exp(tg.sin(tg.cos(x)))",
        [(1, "tg.cos(x)"), (1, "tg.sin(tg.cos(x))"), (1, "tg.exp(tg.sin(tg.cos(x)))")],
    ),
    "method chain": ("y = x.exp().sum()", [(1, "x.exp()"), (1, "x.exp().sum()")]),
    "the same operation twice": ("y = (x * 2) * 2", [(1, "x * 2"), (1, "(x * 2) * 2")]),
    "operators": ("y = -(x ** 2) @ x", [(1, "x ** 2"), (1, "-(x ** 2)"), (1, "-(x ** 2) @ x")]),
    "augmented": ("y = x * 1\ny += x", [(1, "x * 1"), (2, "y += x")]),
    "reflected": ("y = 2 - x", [(1, "2 - x")]),
    "array on the left": ("y = np.ones(2) * x", [(1, "np.ones(2) * x")]),
    "numpy function": ("y = np.sum(np.exp(x), axis=0)", [(1, "np.exp(x)"), (1, "np.sum(np.exp(x), axis=0)")]),
    "index": ("y = x[:1]", [(1, "x[:1]")]),
    "unpacking": ("a, b = x\ny = a", [(1, "a, b")]),
    "for loop": ("for a in x:\n    y = a", [(1, "x")]),
    "attribute": ("y = x.T", [(1, "x.T")]),
    "built-in sum": ("y = sum([x, x])", [(1, "sum([x, x])"), (1, "sum([x, x])")]),
    "map": ("y = list(map(tg.exp, [x]))[0]", [(1, "list(map(tg.exp, [x]))")]),
    "function": ("def f(a):\n    return tg.exp(a)\n\ny = f(x)", [(2, "tg.exp(a)")]),
    "lambda": ("f = lambda a: tg.exp(a)\ny = f(x)", [(1, "tg.exp(a)")]),
    "comprehension": ("y = [tg.exp(a) for a in [x]][0]", [(1, "tg.exp(a)")]),
    "generator": ("y = next(tg.exp(a) for a in [x])", [(1, "tg.exp(a)")]),
    "conditional": ("y = tg.exp(x) if True else x", [(1, "tg.exp(x)")]),
    "f-string": ("y = x * 2\ns = f'{(y.sum() * 2).item():.1f}'", [(1, "x * 2")]),
    "starred": ("y = np.stack([*x * 2])", [(1, "x * 2"), (1, "*x * 2"), (1, "*x * 2"), (1, "np.stack([*x * 2])")]),
    "default": ("def f(a=tg.exp(x)):\n    return a\ny = f()", [(1, "tg.exp(x)")]),
    "class body": ("class A:\n    y = tg.exp(x)\ny = A.y", [(2, "tg.exp(x)")]),
    "semicolons": ("a = x * 2; y = a + 1", [(1, "x * 2"), (1, "a + 1")]),
    "with": ("import contextlib\nwith contextlib.nullcontext(x * 2) as y: pass", [(2, "x * 2")]),
    "non-ASCII names": ("λ = 0.5\ngröße = λ * x; y = größe + λ", [(2, "λ * x"), (2, "größe + λ")]),
    "non-ASCII text before": ("s = 'ünïcödé 🙂'; y = tg.exp(x)", [(1, "tg.exp(x)")]),
    "tabs": ("if True:\n\ty = tg.exp(x)", [(2, "tg.exp(x)")]),
    "walrus": ("y = (z := tg.exp(x))", [(1, "tg.exp(x)")]),
    "keyword arguments": ("y = tg.sum(x=x, axis=0)", [(1, "tg.sum(x=x, axis=0)")]),
}


@pytest.mark.parametrize("name", SNIPPETS)
def test_expression_of_every_operation(name, tmp_path):
    source, expected = SNIPPETS[name]
    got = places(run(tmp_path / "lesson.py", source)["y"])
    if name in ("unpacking", "for loop", "starred"):  # Python has changed its mind on the columns of implicit iteration
        assert [line for line, _ in got] == [line for line, _ in expected]
    else:
        assert got == expected


MULTI_LINE = """\
y = (
    tg.exp(x)
    * 2
)
z = tg.log(
    y,
)
w = (x
     .exp()
     .sum(
         axis=0,
     ))
"""


def test_expression_over_several_lines_is_shown_from_its_first_one(tmp_path):
    names = run(tmp_path / "lesson.py", MULTI_LINE)
    assert places(names["z"]) == [(2, "tg.exp(x)"), (2, "tg.exp(x)"), (5, "tg.log(")]
    lines = [line for line, _ in places(names["w"])]
    assert lines[0] in (8, 9)  # the line of the chain or that of the method: versions of Python differ
    assert lines[1] in (8, 10)


def test_show_underlines_the_expression(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = "def step(x):\n    s = 'größer'; loss = tg.exp(x @ x) + 1\n    return loss\n\ny = step(x)\n"
    node = run(tmp_path / "lesson.py", source)["y"].tape()[1]
    assert node.location.show().splitlines() == [
        "  lesson.py:2 in step",
        "    s = 'größer'; loss = tg.exp(x @ x) + 1",
        "                                ~~~~~",
    ]


def test_show_at_the_top_level_and_out_of_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    node = run(tmp_path / "lesson.py", "y = x * 2\n")["y"].tape()[-1]
    assert str(node.location) == f"{tmp_path / 'lesson.py'}:1"
    assert node.location.show().splitlines() == [f"  {tmp_path / 'lesson.py'}:1", "    y = x * 2", "        ~~~~~"]
    assert repr(node.location) == f"<Location {tmp_path / 'lesson.py'}:1>"


def test_long_line_is_shown_in_part_with_its_underline_in_place(tmp_path):
    source = f"y = [{'0, ' * 200}tg.exp(x), {'1, ' * 200}][200]"
    location = run(tmp_path / "lesson.py", source)["y"].tape()[-1].location
    assert location.expression == "tg.exp(x)"
    _, shown, mark = location.show().splitlines()
    assert len(shown) < 120
    assert shown[mark.index("~") : mark.rindex("~") + 1] == "tg.exp(x)"


def test_multi_line_expression_is_underlined_to_the_end_of_its_first_line(tmp_path):
    location = run(tmp_path / "lesson.py", "y = tg.log(\n    x\n)")["y"].tape()[-1].location
    assert location.show().splitlines()[1:] == ["    y = tg.log(", "        ~~~~~~~"]


def test_functions_methods_and_closures_are_named(tmp_path):
    source = (
        "class Model:\n"
        "    def forward(self, x):\n"
        "        def inner():\n"
        "            return x * 2\n"
        "        return inner()\n"
        "y = Model().forward(x)\n"
    )
    location = run(tmp_path / "lesson.py", source)["y"].tape()[-1].location
    assert location.function == "Model.forward.<locals>.inner"
    assert location.filename == str(tmp_path / "lesson.py")
    assert location.source_line == "            return x * 2"
    assert location.span == (4, 4, 19, 24)


def test_executed_code_without_source():
    namespace = {"tg": tg, "x": tg.Tensor([1.0], requires_grad=True)}
    exec("\n\ny = tg.exp(x)", namespace)
    location = namespace["y"].tape()[-1].location
    assert location.line == 3
    assert location.source_line == location.expression == ""
    assert location.show() == "  <string>:3"
    assert "<string>:3" in str(namespace["y"].tape())
    with pytest.raises(tg.errors.ShapeError) as caught:
        exec("tg.exp(x) + [1, 2, 3] @ x", namespace)
    assert "<string>:1" in str(caught.value)


def test_notebook_cells_are_found_where_they_put_their_source():
    """IPython registers each cell in linecache under a name of its own."""
    name, source = "<ipython-input-7-abc>", "y = tg.exp(x) + 1\n"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    try:
        namespace = {"tg": tg, "x": tg.Tensor([1.0], requires_grad=True)}
        exec(compile(source, name, "exec"), namespace)
        assert places(namespace["y"]) == [(1, "tg.exp(x)"), (1, "tg.exp(x) + 1")]
    finally:
        del linecache.cache[name]


def test_source_that_changed_since_does_not_break_the_report(tmp_path):
    path = tmp_path / "lesson.py"
    y = run(path, "a = 1; b = 2; y = tg.exp(x) + 1\n")["y"]
    for text in ("", "y\n", "éééééééééééééééééé" * 3 + "\n", "x" * 5 + "🙂" * 10 + "\n"):
        path.write_text(text, encoding="utf-8")
        linecache.checkcache(str(path))
        for node in y.tape():
            if node.op:
                assert node.location.show().startswith("  ")
                assert node.location.line == 1
                assert isinstance(node.location.expression, str)
        assert str(y.tape())


def test_working_directory_that_is_gone_does_not_break_the_report(tmp_path, monkeypatch):
    location = run(tmp_path / "lesson.py", "y = x * 2")["y"].tape()[-1].location

    def gone():
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "getcwd", gone)
    assert "lesson.py:1" in str(location)
    assert "lesson.py:1" in location.show()


SCRIPT = """\
import sys
import numpy as np
import tinygrad_sm as tg

x = tg.Tensor([1.0, 2.0], requires_grad=True)
def loss(x):
    return tg.exp(x * 2).sum()
print(loss(x).tape()[-1].location.expression)
print(loss(x).tape()[-1].location.show())
print(str(loss(x).tape()).splitlines()[-1].split()[-3:])
try:
    x + np.ones(3)
except tg.errors.ShapeError as error:
    print(error)
"""


@pytest.mark.parametrize("options", [["-X", "no_debug_ranges"], []], ids=["without columns", "with columns"])
def test_without_columns_the_whole_line_is_shown(options, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, *options, "-W", "error", "script.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = result.stdout.splitlines()
    if options:
        assert lines[0] == "return tg.exp(x * 2).sum()"
        assert lines[1:3] == ["  script.py:7 in loss", "    return tg.exp(x * 2).sum()"]
        assert "~" not in result.stdout
    else:
        assert lines[0] == "tg.exp(x * 2).sum()"
        assert lines[3] == "           ~~~~~~~~~~~~~~~~~~~"
    assert "  script.py:12" in lines
    assert "    x + np.ones(3)" in lines


@pytest.mark.parametrize("name", ["tinygrad_sm_extra", "tinygrad_smart.ops", "my.tinygrad_sm", "", None])
def test_modules_of_similar_names_are_the_users(name):
    namespace = {"caller": caller} | ({} if name is None else {"__name__": name})
    exec(compile("where = caller()", "own.py", "exec"), namespace)
    assert namespace["where"][0].co_filename == "own.py"


def test_the_innermost_frame_of_the_user_counts():
    """A function of the user's that this package calls back is the place, not the line that called the package."""

    def f(x):
        return tg.exp(x) * 2  # here

    value, _ = tg.value_and_grad(f)(tg.Tensor(1.0, requires_grad=True))
    assert {node.location.function for node in value.tape()[2:]} == {f.__qualname__}
    assert value.tape()[-1].location.source_line.endswith("# here")


def test_location_of_a_rule_that_is_recorded_is_the_line_that_asked_for_the_derivative():
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    slope = tg.gradients(tg.exp(x * x).sum(), x, create_graph=True)
    newest = slope.tape()[-1].location
    assert newest.function == "test_location_of_a_rule_that_is_recorded_is_the_line_that_asked_for_the_derivative"
    assert newest.expression.startswith("tg.gradients(")


def test_location_keeps_no_frame_and_no_value_alive():
    class Value:
        pass

    def f():
        value = Value()
        refs.append(weakref.ref(value))
        return caller()

    refs = []
    gc.disable()
    try:
        where = f()
        location = Location(*where)
        assert refs[0]() is None
    finally:
        gc.enable()
    assert location.expression == "caller()"
    assert isinstance(where[0], types.CodeType)
