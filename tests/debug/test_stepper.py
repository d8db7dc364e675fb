"""Sessions of the stepper: at a real terminal, and with commands that are handed in."""

import linecache
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tests.debug.terminal import Terminal
from tinygrad_sm import debug, nn, optim
from tinygrad_sm.debug.recording import Recording
from tinygrad_sm.debug.stepping.screen import screen
from tinygrad_sm.errors import DTypeError, GradientError, StaleValueError

ROOT = Path(__file__).parent.parent.parent

LESSON = """\
import numpy as np
import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F

x = np.array([[1.0, 2.0, -1.0], [0.5, -1.5, 2.0], [0.0, 1.0, 1.0], [2.0, 0.0, -0.5]])
y = np.array([0, 1, 1, 0])
W = tg.Tensor([[0.5, -0.25], [0.1, 0.2], [-0.3, 0.4]], requires_grad=True)
b = tg.Tensor([0.1, -0.1], requires_grad=True)
loss = F.cross_entropy(x @ W + b, y)
"""


@pytest.fixture
def lesson(tmp_path, monkeypatch):
    """The network of the mock-up in its own file, its names, and its file in the working directory."""
    monkeypatch.chdir(tmp_path)
    return run(tmp_path / "lesson.py", LESSON)


def run(path, source):
    path.write_text(source, encoding="utf-8")
    linecache.checkcache(str(path))
    names = {"__name__": "lesson", "tg": tg, "np": np, "debug": debug}
    exec(compile(source, str(path), "exec"), names)
    return names


def said(capsys, session, commands, **options):
    """The answers to every command, without what is said before the first; asked by code that has these names."""
    names = session if isinstance(session, dict) else {"loss": session}
    capsys.readouterr()
    options = {"__commands": commands, "__options": options}
    exec("debug.step(loss, commands=__commands, **__options)", {"debug": debug, **names, **options})
    answers = capsys.readouterr().out.split("(tape) ")[1:]
    return [answer.partition("\n")[2] for answer in answers]


def by_hand(names):
    """The gradients of the lesson, derived on paper."""
    x, y, W, b = names["x"], names["y"], names["W"].data, names["b"].data
    e = np.exp(x @ W + b)
    g = (e / e.sum(axis=1, keepdims=True) - np.eye(2)[y]) / len(y)
    return {"g": g, "W": x.T @ g, "b": g.sum(axis=0)}


# what a step looks like


def test_the_first_screen(lesson, capsys):
    debug.step(lesson["loss"], commands=[])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "3 steps forward, 3 steps back. n: next, b: back in time (into the forward pass),"
    assert lines[1] == "Return: the last movement again, help: the rest. Looking changes nothing."
    assert lines[2] == f"BACKWARD 1/3  [4] cross_entropy{'lesson.py:9':>49}"
    assert lines[3] == "       9 | loss = F.cross_entropy(x @ W + b, y)"
    assert lines[4] == "         |        ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~"
    assert "in     g ()  1  where backward starts" in lines
    assert lines[-1].startswith("next   [3] add: ")


def test_the_screen_of_the_mock_up(lesson, capsys):
    (shown,) = said(capsys, lesson, "n")
    lines = shown.splitlines()
    assert lines[0] == f"BACKWARD 2/3  [3] add{'lesson.py:9':>59}"
    assert lines[1:3] == [
        "       9 | loss = F.cross_entropy(x @ W + b, y)",
        "         |                        ~~~~~~~~~",
    ]
    g = by_hand(lesson)["g"]
    assert lines[-4].startswith("in     g (4,2)  [[")
    assert lines[-4].endswith("from [4]")
    assert f"{g[0, 0]:.2g}" in lines[-4]
    assert lines[-3].startswith("out  + g_matmul_2 (4,2)  [[")
    assert lines[-3].endswith("-> [2] matmul")
    b = by_hand(lesson)["b"]
    assert lines[-2] == f"     + g_b (4,2) -> (2,)  [{b[0]:.4g} {b[1]:.4g}]  -> b.grad"
    assert lines[-1].startswith("next   [2] matmul: ")


def test_what_is_said_at_first_fits_in_80_columns(capsys):
    x = tg.Tensor(0.1, requires_grad=True)
    for _ in range(123):
        x = tg.sin(x)
    debug.step(x, commands=[])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_a_forward_step_shows_values_and_no_gradient_yet(lesson, capsys):
    *_, shown = said(capsys, lesson, "b; b")
    lines = shown.splitlines()
    assert lines[0].startswith("FORWARD 2/3  [3] add")
    assert any(line.startswith("       b (2,)  [0.1 -0.1]  from [1] leaf") for line in lines)
    assert "grad   g_add_3 -" in lines
    assert lines[-1].startswith("next   [4] cross_entropy: ")


def test_contributions_that_add_up_are_counted(tmp_path, capsys):
    names = run(
        tmp_path / "lesson.py", "x = tg.Tensor([1.0, 2.0], requires_grad=True)\nloss = (x * x).sum() + x.sum()\n"
    )
    shown = "\n".join(said(capsys, names["loss"], "n\nn\nn"))
    for i in (1, 2, 3):
        assert f"contribution {i} of 3" in shown
    assert "contribution 3 of 3, the sum so far [3 5]" in shown
    assert "nothing: every gradient has arrived" in shown


def test_the_module_that_was_running_is_named(capsys):
    tg.seed(0)
    loss = F.cross_entropy(nn.MLP([3, 4, 2])(np.ones((5, 3))), np.zeros(5, int))
    assert "[5] relu  in 1.ReLU" in "\n".join(said(capsys, loss, "n;n"))


# what is underlined

UNDERLINED = {
    "nested calls": ("y = tg.exp(tg.sin(tg.cos(x)))", "sin", "tg.sin(tg.cos(x))"),
    "a method chain": ("y = x.exp().sum()", "exp", "x.exp()"),
    "augmented assignment": ("y = x * 1\ny += x", "add", "y += x"),
    "a comprehension": ("y = sum([tg.exp(a * 2) for a in [x]])", "exp", "tg.exp(a * 2)"),
    "several lines": ("y = tg.log(\n    tg.exp(x)\n)", "log", "tg.log("),
    "names that are not ASCII": ("größe = 2.0; y = tg.exp(größe * x)", "multiply", "größe * x"),
    "characters of two columns": ("幅 = 2.0; y = tg.exp(幅 * x)", "multiply", "幅 * x"),
}


def underlined(step):
    """The source line that a screen shows, and the part of it that is underlined, by columns of the terminal."""
    lines = screen(step).splitlines()
    if "|" not in lines[2][:11]:
        return lines[1][11:], None
    columns = "".join(c if len(c.encode()) < 3 else c + "\0" for c in lines[1])  # the wide ones here
    part = columns[lines[2].index("~") : lines[2].rindex("~") + 1]
    return lines[1][11:], part.replace("\0", "")


@pytest.mark.parametrize("name", UNDERLINED)
def test_the_expression_is_underlined(name, tmp_path):
    source, op, expression = UNDERLINED[name]
    y = run(tmp_path / "lesson.py", f"x = tg.Tensor([0.1, 0.2], requires_grad=True)\n{source}\n")["y"]
    recording = Recording(y, np.ones(y.shape))
    for step in recording.steps:
        if step.op.name == op:
            assert underlined(step)[1] == expression


def test_in_a_notebook_cell_the_expression_is_underlined():
    """IPython registers each cell in linecache under a name of its own."""
    name, source = "<ipython-input-3-abc>", "x = tg.Tensor(2.0, requires_grad=True)\ny = tg.exp(x) + 1\n"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    try:
        names = {"tg": tg}
        exec(compile(source, name, "exec"), names)
        steps = list(debug.steps(names["y"]))
        assert [underlined(step)[1] for step in steps] == ["tg.exp(x) + 1", "tg.exp(x)"]
        assert f"{name}:2" in screen(steps[0])
    finally:
        del linecache.cache[name]


def test_executed_code_has_a_place_and_no_line():
    names = {"tg": tg}
    exec("x = tg.Tensor(2.0, requires_grad=True)\ny = tg.exp(x)", names)
    (step,) = debug.steps(names["y"])
    lines = screen(step).splitlines()
    assert lines[0].endswith("<string>:2")
    assert lines[1].startswith("rule ")


def test_without_columns_the_line_alone_is_shown(tmp_path):
    (tmp_path / "lesson.py").write_text(LESSON + "tg.debug.step(loss, commands='n')\n", encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-X", "no_debug_ranges", "-W", "error", "lesson.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.count("       9 | loss = F.cross_entropy(x @ W + b, y)\nrule ") == 2
    assert "~" not in result.stdout


# moving


def heads(answers):
    return [" ".join(answer.split(maxsplit=3)[:3]) for answer in answers]


def test_to_and_fro(lesson, capsys):
    shown = said(capsys, lesson, "n; n; n; b; b 3; b 9; b; n 2")
    assert heads(shown[:2]) == ["BACKWARD 2/3 [3]", "BACKWARD 3/3 [2]"]
    assert shown[2] == " this is the last step\n"
    assert heads(shown[3:6]) == ["BACKWARD 2/3 [3]", "FORWARD 2/3 [3]", "FORWARD 1/3 [2]"]
    assert shown[6] == " this is the first step\n"
    assert heads(shown[7:]) == ["FORWARD 3/3 [4]"]


def test_an_empty_line_repeats_the_last_movement(lesson, capsys):
    shown = said(capsys, lesson, ["", "p 1", "", "b", ""])
    assert heads([shown[0], *shown[2:]]) == [
        *("BACKWARD 2/3 [3]", "BACKWARD 3/3 [2]"),
        *("BACKWARD 2/3 [3]", "BACKWARD 1/3 [4]"),
    ]


def test_jumps(lesson, capsys):
    shown = said(capsys, lesson, "j 3; j f1; j 2; j b1; j [3]; j [0]; j [9]; j 7; j x")
    assert heads(shown[:5]) == [
        *("BACKWARD 3/3 [2]", "FORWARD 1/3 [2]", "FORWARD 2/3 [3]", "BACKWARD 1/3 [4]", "BACKWARD 2/3 [3]"),
    ]
    assert "[0] is a leaf" in shown[5]
    assert "there is no [9]: the tape has 5 nodes" in shown[6]
    assert "there is no step 7 among the 3 of the backward pass" in shown[7]
    assert "'x' is not a step" in shown[8]


def test_up_and_down_follow_the_graph(tmp_path, capsys):
    source = "x = tg.Tensor(2.0, requires_grad=True)\na = tg.exp(x)\nb = tg.sin(a)\nc = tg.cos(a)\nloss = b * c\n"
    loss = run(tmp_path / "lesson.py", source)["loss"]
    shown = said(capsys, loss, "up; down; down; down; up; up 2; up; down 2; down 5")
    assert "it is the output" in shown[0]
    assert shown[1].startswith(" the first of 2: [2] [3]\nBACKWARD 3/4  [2] sin")
    assert "[1] exp" in shown[2]
    assert "every operand is a leaf or a constant" in shown[3]
    assert shown[4].startswith(" the first of 2: [2] [3]\nBACKWARD 3/4  [2] sin")
    assert "there are 1: [4]" in shown[5]
    assert heads([shown[6]]) == ["BACKWARD 1/4 [4]"]
    assert heads([shown[7]]) == ["BACKWARD 2/4 [3]"]
    assert "there are 1" in shown[8]


BREAKS = """\
x = tg.Tensor([[0.0, 1.0], [4.0, 9.0]], requires_grad=True, name="x")
a = tg.sqrt(x)
h = a * np.array([100.0, 1.0])
loss = h.sum()
"""


@pytest.mark.parametrize(
    ("condition", "command", "expected"),
    [
        ("multiply", "c", "BACKWARD 2/3"),
        ("multiply", "rc", "FORWARD 2/3"),
        ("L2", "c", "BACKWARD 3/3"),
        ("l4", "rc", "FORWARD 3/3"),
        ("shape (2,2)", "c", "BACKWARD 1/3"),
        ("shape ()", "rc", "FORWARD 3/3"),
        ("inf", "c", "BACKWARD 3/3"),
        ("|g|>99", "c", "BACKWARD 2/3"),
        ("|g| >= 101", "c", "BACKWARD 3/3"),
        ("max<1.5", "c", "BACKWARD 1/3"),
        ("mean > 2", "c", "BACKWARD 2/3"),
        ("min>0.4", "c", "BACKWARD 1/3"),
        ("norm>141", "c", "BACKWARD 2/3"),
        ("g_x", "c", "BACKWARD 3/3"),
        ("x.grad", "c", "BACKWARD 3/3"),
        ("da", "c", "BACKWARD 2/3"),
    ],
)
def test_breakpoints(condition, command, expected, tmp_path, capsys):
    loss = run(tmp_path / "lesson.py", BREAKS)["loss"]
    start = "b" if command == "c" else "p 1"  # so that the next step on the way is the first of the other phase
    *_, shown = said(capsys, loss, [start, f"break {condition}", command])
    first, second = shown.splitlines()[:2]
    assert first == f" breakpoint 1: {' '.join(condition.split())}"
    assert " ".join(second.split()[:2]) == expected


def test_breakpoints_are_listed_and_cleared(lesson, capsys):
    commands = "break nan; break add; break; c; c; rc; clear 1; clear 7; clear; c; rc; rc"
    shown = said(capsys, lesson, commands)
    assert shown[2] == " 1  nan\n 2  add\n"
    assert shown[3].startswith(" breakpoint 2: add\nBACKWARD 2/3")
    assert shown[4].startswith(" no breakpoint holds on the way\nBACKWARD 3/3")
    assert shown[5].startswith(" breakpoint 2: add\nBACKWARD 2/3")
    assert shown[6] == " 1  add\n"
    assert "there is no breakpoint 7" in shown[7]
    assert "break takes an operation, nan, inf" in shown[8]
    assert shown[9].startswith(" there are no breakpoints\nBACKWARD 3/3")
    assert shown[10].startswith(" there are no breakpoints\nFORWARD 1/3")
    assert shown[11] == " this is the first step\n"


@pytest.mark.parametrize(
    ("condition", "answer"),
    [
        ("matmull", "no 'matmull' on this tape; did you mean matmul?"),
        ("tanh", "no 'tanh' on this tape"),
        ("shape (2", "'(2' is not a shape"),
        ("shape two", "'two' is not a shape"),
        ("shape", "'' is not a shape"),
        ("shape {[]: 1}", "'{[]: 1}' is not a shape"),
        ("W", "no 'W' on this tape; did you mean g_W?"),
        ("|g|>many", "'many' is not a number"),
        ("size>3", "'size' is not a measure of g"),
    ],
)
def test_breakpoints_that_make_no_sense(condition, answer, lesson, capsys):
    shown, listed = said(capsys, lesson, [f"break {condition}", "break"])
    assert answer in shown
    assert "no breakpoints" in listed


# asking


def test_expressions_know_the_names_of_the_user_and_of_the_rule(lesson, capsys):
    expected = by_hand(lesson)
    lesson["mine"] = "a variable"
    commands = ["p mine", "p type(W).__name__", "p x.shape", "n", "p g", "p g_b", "p float((out - x @ W - b).sum())"]
    shown = said(capsys, lesson, [*commands, "p y", "p np.pi", "p [g.shape for _ in range(2)]"])
    assert shown[0] == "'a variable'\n"
    assert shown[1:3] == ["'ndarray'\n", "(4, 3)\n"]
    with np.printoptions(precision=4):
        assert shown[4] == f"(4,2) float64\n{expected['g']}\n"
        assert shown[5] == f"(2,) float64\n{expected['b']}\n"
    assert abs(float(shown[6])) < 1e-12
    assert shown[7] == "(4,) int64\n[0 1 1 0]\n"  # the user's y, and not the second operand of add
    assert shown[8] == "3.141592653589793\n"
    assert shown[9] == "[(4, 2), (4, 2)]\n"


def test_what_has_not_arrived_is_a_dash(lesson, capsys):
    shown = said(capsys, lesson, "p g_W; p g_b + 1; b; p g; p g_loss; j b3; p g_W.shape; b; p g_W")
    assert shown[0] == " - (g_W is not computed yet)\n"
    assert shown[1] == " - (g_b is not computed yet)\n"
    assert shown[3] == " - (g is not computed yet)\n"
    assert shown[4] == " - (g_loss is not computed yet)\n"
    assert shown[6] == "(3, 2)\n"
    assert shown[8] == " - (g_W is not computed yet)\n"


def test_where_more_is_to_come_the_sum_so_far_is_shown(capsys):
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    loss = (x * 3).sum() + (x * 4).sum()
    shown = said(capsys, loss, "break g_x; c; p g_x; c; p g_x")
    assert shown[2] == "(2,) float64\n[4. 4.]\n"
    assert shown[4] == "(2,) float64\n[7. 7.]\n"


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("foo", "NameError: name 'foo' is not defined"),
        ("g @ @", "SyntaxError"),
        ("x = 3", "SyntaxError"),
        ("g + np.ones(3)", "ValueError: operands could not be broadcast"),
        ("W.foo", "AttributeError"),
        ("(0 for _ in ()).throw(SystemExit('now'))", "SystemExit: now"),
        ("mute", "its repr raises ZeroDivisionError"),
        ("", "which expression?"),
    ],
)
def test_an_expression_that_raises_ends_nothing(expression, answer, lesson, capsys):
    lesson["mute"] = type("Mute", (), {"__repr__": lambda self: 1 / 0})()
    shown = said(capsys, lesson, ["n", f"p {expression}", "p 1 + 1"])
    assert answer in shown[1]
    assert "Traceback" not in shown[1]
    assert shown[2] == "2\n"


@pytest.mark.parametrize("element", ["g_b[0]", "db[0]", "b.grad[0]", "b[0]", "g_b[-2]", " g_b [0] "])
def test_why_prints_the_sum_with_its_numbers(element, lesson, capsys):
    expected = by_hand(lesson)
    *_, shown = said(capsys, lesson, ["n", f"why {element}"])
    terms = [f"{abs(each):.4f}".rstrip("0") for each in expected["g"][:, 0]]
    signs = ["-" if each < 0 else "+" for each in expected["g"][:, 0]]
    plain = f"{signs[0]}{terms[0]}".lstrip("+") + "".join(
        f" {s} {t}" for s, t in zip(signs[1:], terms[1:], strict=True)
    )
    total = f"{expected['b'][0]:.4f}".rstrip("0")
    assert f"   {plain} = {total}" in shown.splitlines()
    assert f" g_b[0] = {total}, as recorded" in shown.splitlines()


def test_why_of_a_matrix_product_has_factors(lesson, capsys):
    (shown,) = said(capsys, lesson, "why g_W[2,1]")
    x, g = lesson["x"][:, 2], by_hand(lesson)["g"][:, 1]
    assert shown.startswith(" (it is complete at BACKWARD 3/3, further on)\n from [2] matmul: g_W = x.T @ g\n")
    line = shown.splitlines()[2]
    numbers = [
        float(part.strip(" ()")) for part in line.partition("=")[0].replace(" - ", " + -").split("+")[0].split("*")
    ]
    assert numbers == pytest.approx([x[0], g[0]], abs=1e-4)
    assert line.count("*") == 4
    assert line.endswith(f"= {f'{x @ g:.4f}'.rstrip('0')}")


def test_a_long_sum_is_cut_in_the_middle_and_keeps_its_total(capsys):
    x = tg.Tensor(np.zeros(1000), requires_grad=True)
    b = tg.Tensor(0.0, requires_grad=True)
    loss = ((x + b) * np.arange(1000.0)).sum()
    (shown,) = said(capsys, loss, "why g_b")
    line = " ".join(shown.partition("\n")[2].partition("\n g_b")[0].split())
    assert "996 + 997 + 998 + 999 = 499500" in line
    assert "1 + 2 + 3 + 4 + ... 991 more terms ..." in line
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_why_shows_every_contribution_where_they_add_up(capsys):
    x = tg.Tensor([3.0, 5.0], requires_grad=True)
    loss = (x * x).sum() + (2 * x).sum()
    (shown,) = said(capsys, loss, "why g_x[1]")
    for i in (1, 2, 3):
        assert f" contribution {i} of 3, from [" in shown
    assert " g_x[1] = 2 + 5 + 5 = 12, as recorded" in shown
    assert shown.count("5 * 1 = 5") == 2


def test_of_many_contributions_the_first_and_the_last_are_listed(capsys):
    x = tg.Tensor(2.0, requires_grad=True)
    (shown,) = said(capsys, sum((x * float(i) for i in range(1, 100)), np.zeros(())), "why g_x")
    assert shown.count("contribution ") == 8
    assert shown.index("contribution 4 of 99") < shown.index(" ... 91 more contributions ...")
    assert shown.index(" ... 91 more contributions ...") < shown.index("contribution 96 of 99")
    assert "+ ... 91 more terms ... +" in shown
    assert " ".join(shown.split()).endswith("= 4950, as recorded")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("g_W", "which element? g_W has shape (3,2)"),
        ("g_W[0]", "which element? g_W has shape (3,2)"),
        ("g_W[3,0]", "g_W has shape (3,2), and no element [3,0]"),
        ("g_W[0,:]", "is not an index of whole numbers"),
        ("g_w[0,0]", "did you mean g_W?"),
        ("", "why which element?"),
        ("g_W[", "is not an element of a gradient"),
        ("g_loss", " g_loss = 1: backward starts there"),
    ],
)
def test_why_answers_questions_that_it_cannot_answer(question, answer, lesson, capsys):
    (shown,) = said(capsys, lesson, [f"why {question}"])
    assert answer in shown


def test_check_agrees_and_says_when_it_took_a_sample(capsys):
    rng = np.random.default_rng(0)
    x, W = rng.normal(size=(7, 300)).astype(np.float32), tg.Tensor(rng.normal(size=(300, 2)), requires_grad=True)
    loss = F.cross_entropy(x @ W, np.zeros(7, int))
    shown = said(capsys, loss, "check; n; check")
    assert "14 elements: agrees" in shown[0]
    assert "g_W (300,2), 25 of 600 elements (seed 0): agrees" in shown[2]
    assert shown[2] == said(capsys, loss, "n; check")[1]  # the same sample every time


def test_check_knows_a_kink_and_the_edge_of_a_domain(capsys):
    x = tg.Tensor([0.0, 1.0, -2.0], requires_grad=True)
    shown = said(capsys, x.relu().sum(), "n; check")[1]
    assert "1 at a kink" in shown
    assert "agrees" in shown
    shown = said(capsys, tg.Tensor([0.0, 4.0], requires_grad=True).sqrt().sum(), "n; check")[1]
    assert "1 not finite, or at the edge of the domain: not compared" in shown
    assert "agrees" in shown


@pytest.fixture
def wrong_op():
    """A user's operation with a mistake in its rule, taken out of the registry afterwards."""

    @tg.primitive(elementwise=True, method=False)
    def doubled(x):
        """Twice the argument."""
        return 2 * x

    @doubled.vjp("x")
    def doubled_vjp_x(g, out, x):
        return -2 * g

    yield doubled
    del tg.engine.primitive.PRIMITIVES["doubled"]


def test_check_finds_a_wrong_rule_and_its_cause(wrong_op, capsys):
    x = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    shown = said(capsys, wrong_op(x).sum(), "n; check")[1]
    assert "g_x (3,), 3 elements: DIFFERS in 3" in shown
    assert "the rule says -2, finite differences 2" in shown
    assert "-> the sign is wrong" in shown


def test_check_says_what_a_gradient_may_be_stopped_by(capsys):
    embedding = nn.Embedding(4, 2, padding_idx=0, generator=np.random.default_rng(0))
    shown = " ".join(said(capsys, embedding(np.array([0, 1, 2])).sum(), "n; check")[1].split())
    assert "DIFFERS in 2" in shown
    assert "stopped on purpose, as by padding_idx" in shown


def test_cmp_holds_ones_own_derivation_against_the_real_one(lesson, capsys):
    commands = [
        "n",
        "cmp g",
        "cmp g.sum(axis=0)",
        "cmp g.mean(axis=0)",
        "cmp g_b = g",
        "n",
        "cmp x.T @ g",
        "cmp g.T @ x",
    ]
    shown = said(capsys, lesson, [*commands, "cmp db = g", "cmp 1/0", "b", "cmp np.ones(5)"])
    assert "equal" in shown[1]
    assert "g_b" in shown[2]
    assert "WRONG" not in shown[2]
    assert "4 times too small" in " ".join(shown[3].split())
    assert "WRONG SHAPE" in shown[4]
    assert "sum over the axes that broadcasting added" in " ".join(shown[4].split())
    assert "equal" in shown[6]
    assert "transposed" in shown[7]
    assert "'db' gets nothing from this operation" in shown[8]
    assert "ZeroDivisionError" in shown[9]
    assert "which of g_matmul_2 (4,2), g_b (2,)?" in shown[11]


def test_cmp_takes_any_contribution_of_an_operation_and_knows_the_whole(capsys):
    names = {"x": tg.Tensor([1.0, 2.0], requires_grad=True, name="x")}
    names["loss"] = (3 * names["x"] - names["x"] * 5).sum() + (names["x"] / names["x"]).sum()
    commands = [
        "break divide",
        "c",
        "cmp 1 / x",
        "cmp -1 / x",
        "cmp g_x = 2 / x",
        "break subtract",
        "c",
        "n",
        "cmp -2 + 0 * x",
    ]
    shown = said(capsys, names, commands)
    assert shown[2].startswith("g_x, contribution 1 of 4, (2,): ")
    assert shown[3].startswith("g_x, contribution 2 of 4, (2,): ")
    assert "WRONG" not in shown[2] + shown[3]
    assert "WRONG" in shown[4]
    assert "yet it is" not in shown[4]
    assert "g_x, contribution 3 of 4, (2,): WRONG" in shown[8]
    assert "yet it is the whole of g_x, all contributions together" in shown[8]


def test_cmp_of_what_is_no_array_ends_nothing(lesson, capsys):
    shown = said(capsys, lesson, ["n", "cmp [[1], [1, 2]]", "cmp g_b = [[1], [1, 2]]", "cmp g_b = None", "p 1 + 1"])
    assert "inhomogeneous" in shown[1] + shown[2]
    assert "None" in shown[3]
    assert shown[4] == "2\n"


def test_src_shows_the_rule_and_the_line_of_the_user(lesson, capsys):
    shown = said(capsys, lesson, "n; src; b; b; src")
    assert "     9>> loss = F.cross_entropy(x @ W + b, y)" in shown[1].splitlines()
    assert "     8   b = tg.Tensor([0.1, -0.1], requires_grad=True)" in shown[1].splitlines()
    assert "def add_vjp_x(g: Array" in shown[1]
    assert "def add_vjp_y(g: Array" in shown[1]
    assert "def cross_entropy(" in shown[4]  # forwards the operation itself


def test_src_of_an_op_without_source(capsys):
    names = {"tg": tg}
    source = "@tg.primitive(method=False)\ndef f(x):\n    '''Itself.'''\n    return x\n"
    exec(source + "@f.vjp('x')\ndef f_vjp_x(g, out, x):\n    return g\n", names)
    try:
        shown = said(capsys, names["f"](tg.Tensor(1.0, requires_grad=True)), "src")
        assert "f_vjp_x: its source is not to be found" in shown[0]
    finally:
        del tg.engine.primitive.PRIMITIVES["f"]


def test_list_marks_the_node_and_shows_what_has_arrived(lesson, capsys):
    shown = said(capsys, lesson, "n; list")[1].splitlines()
    assert len(shown) == 5
    assert shown[3].startswith("-> [3] add_3 (4,2)")
    assert shown[0].split() == ["[0]", "W", "=", "leaf", "(3,2)", "g_W", "-", "lesson.py:7"]
    assert "g_b [" in shown[1]
    assert "g_loss 1" in shown[4]


def test_list_keeps_the_number_of_the_line_where_the_name_of_the_file_is_long(tmp_path, capsys):
    names = run(tmp_path / "a_lesson_with_a_long_name.py", LESSON)
    for line in said(capsys, names, "list")[0].splitlines():
        assert re.search(r"[.]{3}g_name\.py:\d+$", line)
        assert len(line) <= 80


def test_list_shows_a_part_of_a_long_tape(capsys):
    x = tg.Tensor(0.1, requires_grad=True)
    y = x
    for _ in range(500):
        y = tg.sin(y)
    shown = said(capsys, y, "n 100; list")[1].splitlines()
    assert shown[0].strip() == "392 older"
    assert shown[-1].strip() == "92 newer"
    assert len(shown) == 19


def test_html_writes_the_page(lesson, capsys, tmp_path):
    shown = said(capsys, lesson, ["html here.html", f"html {tmp_path}", "p 1"])
    assert "here.html" in shown[0]
    assert (tmp_path / "here.html").read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html")
    assert "is a folder" in " ".join(shown[1].split())  # the line is broken where a long path ends
    assert shown[2] == "1\n"


# leaving, and what cannot be done


@pytest.mark.parametrize("command", ["q", "quit", "resume", "EOF"])
def test_leaving(command, lesson, capsys):
    shown = said(capsys, lesson, [command, "n"])
    assert len(shown) == 1


def test_commands_may_be_a_text(lesson, capsys):
    shown = said(capsys, lesson, "\n n ; p 1\n\nb;")
    assert heads([shown[0], shown[2]]) == ["BACKWARD 2/3 [3]", "BACKWARD 1/3 [4]"]


@pytest.mark.parametrize("command", ["n ²", "n -1", "n 0", "clear ²", "j ²", "b 3 4"])
def test_what_is_no_number_is_said_to_be_none(command, lesson, capsys):
    (shown,) = said(capsys, lesson, [command])
    assert re.match(" ('.*' is not a (number|step)|there is no breakpoint)", shown)


def test_pdb_without_anybody_to_ask_ends_nothing(lesson, capsys, monkeypatch):
    def nobody(prompt=""):
        raise NotImplementedError("no input here")

    monkeypatch.setattr("builtins.input", nobody)
    shown = said(capsys, lesson, ["pdb", "p 1 + 1"])
    assert "pdb: NotImplementedError: no input here" in shown[0]
    assert shown[1] == "2\n"


def test_unknown_commands_get_the_nearest(lesson, capsys):
    shown = said(capsys, lesson, "pats W; wy; xyzzy; g_W; 12")
    assert "'pats' is no command; did you mean paths?" in shown[0]
    assert "'wy' is no command; did you mean why?" in shown[1]
    for answer in shown[2:]:
        assert "is no command" in answer
        assert "help lists them" in answer


def test_help_lists_every_command_in_80_columns(lesson, capsys):
    shown = said(capsys, lesson, ["help", "help why", "help break", "help foo", "?"])
    lines = shown[0].splitlines()
    assert all(len(line) <= 80 for line in lines)
    listed = {line.split()[0] for line in lines if not line.startswith("  ")}
    wanted = "n b j c rc break clear p why src up down check cmp paths pdb html list help resume q"
    assert listed == set(wanted.split())
    assert "the sum that made one element" in shown[1]
    assert "|g|>10" in shown[2]
    assert "'foo' is no command" in shown[3]
    assert shown[4] == shown[0]


def test_looking_changes_nothing(lesson, capsys):
    loss, W, b = (lesson[name] for name in ("loss", "W", "b"))
    everything = "n; n; why g_W[0,0]; check; paths W; list; src; b; b; b; b; check; cmp g"
    said(capsys, lesson, everything)
    assert W.grad is None
    assert b.grad is None
    loss.backward()
    expected = by_hand(lesson)
    np.testing.assert_allclose(W.grad, expected["W"], rtol=1e-12)
    np.testing.assert_allclose(b.grad, expected["b"], rtol=1e-12)


def test_a_cotangent_makes_any_shape_a_start(capsys):
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    shown = said(capsys, x * 3, "p g_x; p g", cotangent=np.array([1.0, -1.0]))
    assert shown == ["(2,) float64\n[ 3. -3.]\n", "(2,) float64\n[ 1. -1.]\n"]


def after_a_step():
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    loss = (w * w).sum()
    loss.backward()
    optim.SGD([w], lr=0.1).step()
    return loss


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: np.ones(3), DTypeError, "takes a tensor, not (3,) float64"),
        (lambda: 3.0, DTypeError, "takes a tensor, not float"),
        (lambda: None, DTypeError, "takes a tensor, not NoneType"),
        (lambda: tg.Tensor(1.0), GradientError, "carries no gradient, so no tape"),
        (
            lambda: tg.Tensor([1.0, 2.0], requires_grad=True) * 2,
            GradientError,
            "starts from a scalar, not from shape (2,)",
        ),
        (after_a_step, StaleValueError, "the tape is stale"),
    ],
)
@pytest.mark.parametrize("function", [debug.step, debug.steps])
def test_what_cannot_be_stepped_through(function, make, error, message, capsys):
    with pytest.raises(error) as caught:
        function(make())
    assert message in str(caught.value)
    assert caught.value.remedy or "starts from" in message
    assert capsys.readouterr().out == ""


def test_a_stale_tape_says_what_to_do():
    with pytest.raises(StaleValueError, match=r"debug.step: the tape is stale.*") as caught:
        debug.step(after_a_step())
    assert "before optimizer.step()" in caught.value.remedy


def test_a_leaf_has_no_steps():
    with pytest.raises(GradientError, match="is a leaf"):
        debug.step(tg.Tensor(1.0, requires_grad=True))
    assert list(debug.steps(tg.Tensor(1.0, requires_grad=True))) == []


def test_steps_one_after_the_other(lesson):
    expected = by_hand(lesson)
    steps = list(debug.steps(lesson["loss"]))
    assert [step.op.name for step in steps] == ["cross_entropy", "add", "matmul"]
    assert {step.location.line for step in steps} == {9}
    np.testing.assert_allclose(steps[1].cotangent, expected["g"], rtol=1e-12)
    np.testing.assert_allclose(steps[2].contributions[0].value, expected["W"], rtol=1e-12)
    assert "g_W" in steps[2].formula
    both = list(debug.steps(lesson["loss"], forward=True))
    assert [step.phase for step in both] == ["forward"] * 3 + ["backward"] * 3
    assert [step.index for step in both] == list(range(6))
    assert next(debug.steps(lesson["loss"] * np.ones(2), cotangent=[1.0, 2.0])).cotangent.tolist() == [1.0, 2.0]


def test_in_a_notebook_the_session_asks_with_the_notebooks_input(lesson, capsys, monkeypatch):
    """A notebook puts its own function in the place of `input`, which opens a box under the cell."""
    typed, prompts = iter(["n", "", "p 1 + 1", "q", "never read"]), []

    def box(prompt=""):
        prompts.append(prompt)
        return next(typed)

    monkeypatch.setattr("builtins.input", box)
    debug.step(lesson["loss"])
    shown = capsys.readouterr().out
    assert prompts == ["(tape) "] * 4
    assert [shown.count(f"BACKWARD {i}/3") for i in (1, 2, 3)] == [1, 1, 1]
    assert shown.endswith("\n2\n")


def test_large_arrays_are_told_by_their_range(capsys):
    x = tg.Tensor(np.linspace(-1, 1, 4000).reshape(2, 5, 20, 20), requires_grad=True, name="x")
    shown = said(capsys, (x * x).sum(), "n")[0]
    assert "(2,5,20,20)  min -1 max 1  -> x.grad" in shown


# at a terminal


@pytest.fixture
def terminal(tmp_path):
    (tmp_path / "lesson.py").write_text(LESSON + "tg.debug.step(loss)\nprint('went on', W.grad)\n", encoding="utf-8")
    with Terminal("lesson.py", folder=tmp_path) as terminal:
        yield terminal


def test_a_session_at_a_terminal(terminal):
    first = terminal.read()
    assert first.startswith("3 steps forward, 3 steps back.")
    assert "BACKWARD 1/3  [4] cross_entropy" in first
    assert "\x1b" not in first  # no colour, no cursor: text
    assert "BACKWARD 2/3  [3] add" in terminal.type("n")
    assert "BACKWARD 3/3  [2] matmul" in terminal.type("")
    assert "BACKWARD 2/3  [3] add" in terminal.type("b")
    assert "as recorded" in terminal.type("why g_b[0]")
    assert "is no command; did you mean why?" in terminal.type("wyh g_b[0]")
    assert terminal.type("p x[0].tolist()") == "[1.0, 2.0, -1.0]\n"
    assert "ZeroDivisionError" in terminal.type("p 1 / 0")
    assert terminal.end(b"q\n") == ("q\nwent on None\n", 0)


def test_the_end_of_input_ends_the_session(terminal):
    terminal.read()
    text, status = terminal.end(b"\x04")
    assert text.split() == ["went", "on", "None"]
    assert status == 0


def test_ctrl_c_at_the_prompt_ends_the_program(terminal):
    terminal.read()
    text, status = terminal.interrupt()
    assert "KeyboardInterrupt" in text
    assert status != 0


def test_pdb_in_a_rule(terminal):
    terminal.read()
    terminal.type("n")
    shown = terminal.type("pdb g_b", until="(Pdb) ")
    assert "add_vjp_y" in shown
    assert terminal.type("p g.shape, x.shape, y.shape", until="(Pdb) ") == "((4, 2), (4, 2), (2,))\n"
    assert "BACKWARD 2/3" in terminal.type("c")
    terminal.type("pdb", until="(Pdb) ")
    assert "BACKWARD 2/3" in terminal.type("q")
    assert "gets nothing from this operation" in terminal.type("pdb foo")
    assert "FORWARD" in terminal.type("j f1")
    assert "matmul" in terminal.type("pdb", until="(Pdb) ")
    assert "FORWARD 1/3" in terminal.type("q")


def test_no_input_at_all(tmp_path):
    (tmp_path / "lesson.py").write_text(LESSON + "tg.debug.step(loss)\nprint('went on')\n", encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-W", "error", "lesson.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.endswith("(tape) \nwent on\n")
    assert result.stderr == ""


@pytest.mark.parametrize("close", ["sys.stdin.close()", "sys.stdin = None"])
def test_a_closed_input_ends_the_session(close, tmp_path):
    source = f"{LESSON}import sys\n{close}\ntg.debug.step(loss)\nprint('went on')\n"
    (tmp_path / "lesson.py").write_text(source, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-W", "error", "lesson.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.endswith("\nwent on\n")
    assert result.stderr == ""
