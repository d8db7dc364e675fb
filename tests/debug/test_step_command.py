"""`python -m tinygrad_sm step`: a script of the user's, unchanged, stopped at one of its calls of `backward`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_sm as tg
from tests.debug.terminal import Terminal
from tinygrad_sm.__main__ import main

ROOT = Path(__file__).parent.parent.parent

TRAIN = """\
import sys

import numpy as np

import tinygrad_sm as tg
from helper import scale

W = tg.Tensor([1.0, 2.0], requires_grad=True, name="W")
for epoch in range(3):
    loss = (scale * W * W).sum()
    loss.backward()
print("ended", W.grad, sys.argv[1:], __name__, __file__)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A project of the user's: a script in a folder, with a module beside it, run from outside of it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "train.py").write_text(TRAIN, encoding="utf-8")
    (tmp_path / "project" / "helper.py").write_text("scale = 3.0\n", encoding="utf-8")
    monkeypatch.delitem(sys.modules, "helper", raising=False)
    yield tmp_path
    sys.modules.pop("helper", None)


@pytest.fixture
def run(capsys):
    """Run a command in this process and return its exit status and what it printed."""

    def call(*arguments):
        capsys.readouterr()
        before = sys.argv, list(sys.path), tg.Tensor.backward, sys.modules["__main__"]
        try:
            status = main(["step", *map(str, arguments)])
        except SystemExit as end:
            status = end.code
        assert before == (sys.argv, sys.path, tg.Tensor.backward, sys.modules["__main__"])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return call


def script(text):
    Path("script.py").write_text(text, encoding="utf-8")
    return "script.py"


def test_it_stops_at_the_first_backward_and_goes_on(run):
    status, out, err = run(
        "-c", "p epoch, scale", "-c", "n; why g_W[1]", "project/train.py", "--lr", 3, "-c", "x", "--at=2"
    )
    assert (status, err) == (0, "")
    assert "BACKWARD 1/3  [3] sum                                        project/train.py:10" in out
    assert "(tape) p epoch, scale\n(0, 3.0)\n" in out
    assert "g_W[1] = 6 + 6 = 12, as recorded" in out
    path = os.path.abspath("project/train.py")
    assert out.endswith(f"ended [18. 36.] ['--lr', '3', '-c', 'x', '--at=2'] __main__ {path}\n")
    assert out.count("BACKWARD 1/3") == 1


def test_the_script_runs_as_it_would_alone(run, folder):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    alone = subprocess.run(
        [sys.executable, "project/train.py", "a b", "--c"], env=environment, capture_output=True, text=True, check=True
    )
    _, out, _ = run("-c", "resume", "project/train.py", "a b", "--c")
    assert out.partition("(tape) resume\n")[2] == alone.stdout


def test_it_stops_at_the_call_that_was_asked_for(run):
    _, out, _ = run("--at", 3, "-c", "p epoch", "project/train.py")
    assert "(tape) p epoch\n2\n" in out
    assert "ended" in out


def test_q_ends_the_program_and_resume_does_not(run):
    status, out, err = run("-c", "q", "project/train.py")
    assert (status, err) == (0, "")
    assert "ended" not in out
    assert "ended" in run("-c", "resume", "project/train.py")[1]


def test_q_is_not_caught_by_the_script_but_lets_it_clean_up(run):
    path = script(
        "import tinygrad_sm as tg\nx = tg.Tensor(1.0, requires_grad=True)\n"
        "try:\n    (x * x).backward()\nexcept Exception:\n    print('caught')\n"
        "finally:\n    print('cleaned')\nprint('no')\n"
    )
    status, out, _ = run("-c", "q", path)
    assert status == 0
    assert out.endswith("(tape) q\ncleaned\n")


def test_backward_in_a_function_and_with_a_cotangent(run):
    path = script(
        "import numpy as np, tinygrad_sm as tg\n"
        "def lesson():\n    größe = 7\n    x = tg.Tensor([1.0, 2.0], requires_grad=True)\n"
        "    y = x * 3\n    y.backward(np.array([1.0, -1.0]), retain_grads=True)\n    print(x.grad, y.grad)\nlesson()\n"
    )
    status, out, _ = run("-c", "p g; p größe", path)
    assert status == 0
    assert "(2,) float64\n[ 1. -1.]\n" in out
    assert "(tape) p größe\n7\n" in out
    assert out.endswith("[ 3. -3.] [ 1. -1.]\n")


def test_the_trainer_is_stopped_at_the_users_line(run):
    path = script(
        "from tinygrad_sm import data, nn, optim, train\n"
        "points = data.make_moons(40, rng=0)\nmodel = nn.MLP([2, 4, 2])\n"
        "trainer = train.Trainer(model, optim.SGD(model.parameters(), lr=0.1), progress=False)\n"
        "trainer.fit(points, epochs=2)\nprint('fitted')\n"
    )
    status, out, err = run("--at", 2, "-c", "n", path)
    assert (status, err) == (0, "")
    assert "in 2.Linear" in out
    assert "script.py:5" in out
    assert out.endswith("fitted\n")


@pytest.mark.parametrize(
    ("text", "calls"),
    [("print('nothing')\n", "never"), (TRAIN.replace("from helper import scale", "scale = 1"), "3 times")],
    ids=["never", "too late"],
)
def test_a_script_that_ends_before_that_call(text, calls, run):
    status, _, err = run("--at", 4, "-c", "n", script(text))
    assert status == 2
    assert err.startswith(f"python -m tinygrad_sm step: script.py called backward {calls}, so that it did not stop -> ")
    assert err.count("\n") == 1


def test_a_script_that_is_not_there(run):
    assert run("missing.py") == (2, "", "python -m tinygrad_sm step: missing.py: no such file -> name a script\n")
    assert run("project") == (2, "", "python -m tinygrad_sm step: project: is a folder -> name a script\n")


def test_a_script_that_raises_shows_its_own_traceback_and_nothing_of_ours(run):
    path = script("import json\ndef load():\n    return json.loads('{')\nload()\n")
    alone = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    status, out, err = run(path)
    assert (status, out) == (1, "")
    assert err == alone.stderr


def test_causes_are_shown_without_our_frames_too(run):
    path = script("try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise KeyError('x') from error\n")
    status, _, err = run(path)
    assert status == 1
    assert "ZeroDivisionError: division by zero" in err
    assert "KeyError: 'x'" in err
    assert err.count("File ") == 2


def test_a_script_that_is_no_python(run):
    status, out, err = run(script("x = (\n"))
    assert (status, out) == (1, "")
    assert "SyntaxError: '(' was never closed" in err
    assert "runpy" not in err


@pytest.mark.parametrize(("end", "status", "message"), [("0", 0, ""), ("3", 3, ""), ("'bye'", 1, "bye\n"), ("", 0, "")])
def test_the_script_decides_on_the_exit_status(end, status, message, run):
    lines = "import sys\nimport tinygrad_sm as tg\ntg.Tensor(1.0, requires_grad=True).exp().backward()\n"
    got, _, err = run("-c", "n", script(f"{lines}sys.exit({end})\n"))
    assert (got, err) == (status, message)


def test_a_script_that_exits_before_it_gets_there(run):
    assert run(script("import sys\nsys.exit(5)\n"))[0] == 5
    status, _, err = run(script("import sys\nsys.exit()\n"))
    assert status == 2
    assert "called backward never" in err


def test_a_backward_that_cannot_be_is_the_scripts_own_mistake(run):
    path = script("import tinygrad_sm as tg\ntg.Tensor([1.0, 2.0], requires_grad=True).exp().backward()\n")
    status, out, err = run("-c", "n", path)
    assert (status, out) == (1, "")
    assert "GradientError: backward: starts from a scalar, not from shape (2,)" in err
    assert "stepper.py" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: SCRIPT"),
        (["--at", "0", "x.py"], "'0' is not a whole number of at least 1"),
        (["--at", "two", "x.py"], "'two' is not a whole number of at least 1"),
        (["--foo", "x.py"], "unrecognized arguments: --foo"),
    ],
)
def test_options_that_make_no_sense(arguments, message, run):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_help_says_where_options_stand(run):
    status, out, _ = run("--help")
    assert status == 0
    assert "Options stand before SCRIPT" in " ".join(out.split())


def test_at_a_terminal(folder):
    with Terminal("-m", "tinygrad_sm", "step", "--at", "2", "project/train.py", "more", folder=folder) as terminal:
        assert "BACKWARD 1/3  [3] sum" in terminal.read()
        assert terminal.type("p epoch") == "1\n"
        assert "BACKWARD 2/3" in terminal.type("n")
        text, status = terminal.end(b"resume\n")
    assert f"ended [18. 36.] ['more'] __main__ {folder}" in text
    assert status == 0


def test_q_at_a_terminal_ends_the_program(folder):
    with Terminal("-m", "tinygrad_sm", "step", "project/train.py", folder=folder) as terminal:
        terminal.read()
        assert terminal.end(b"q\n") == ("q\n", 0)


def test_without_input_the_program_goes_on(folder):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tinygrad_sm", "step", "project/train.py"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "(tape) \nended [18. 36.]" in result.stdout
