"""Backprop in VS Code: its debugger, debugpy, spoken to as VS Code does, with the launch.json of the demos."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from vscode import ROOT, end, start

pytestmark = pytest.mark.extra
pytest.importorskip("debugpy", reason="debugpy is not installed")

SCRIPT = """\
import tinygrad_sm as tg

w = tg.Tensor([0.5, -1.0], requires_grad=True)
loss = (w * w).sum().exp()
loss.backward()
print("gradient", w.grad)
"""
LINE = SCRIPT.splitlines().index("loss.backward()") + 1


@pytest.fixture
def lesson(tmp_path):
    (tmp_path / "lesson.py").write_text(SCRIPT, encoding="utf-8")
    return tmp_path / "lesson.py"


@pytest.fixture
def installed(tmp_path):
    """The package in a folder of a name by which debugpy knows installed libraries."""
    library = tmp_path / "site-packages"
    shutil.copytree(ROOT / "tinygrad_sm", library / "tinygrad_sm", ignore=shutil.ignore_patterns("__pycache__"))
    return library


def test_step_into_lands_on_the_formula(lesson, installed):
    editor = start(lesson, installed, (lesson, LINE))
    try:
        function, file, _ = editor.step("stepIn")
        assert (function, file) == ("backward", str(installed / "tinygrad_sm" / "engine" / "tensor.py"))
        lines = Path(file).read_text(encoding="utf-8").splitlines()
        for _ in range(10):
            _, _, line = editor.step("next")
            if "sweep.contribution = rule(" in lines[line - 1]:
                break
        function, file, line = editor.step("stepIn")
        assert function == "exp_vjp_x"
        assert Path(file) == installed / "tinygrad_sm" / "ops" / "elementwise.py"
        assert Path(file).read_text(encoding="utf-8").splitlines()[line - 1].strip() == "return g * out"
    finally:
        end(editor)


def test_without_the_rules_an_installed_package_is_stepped_over(lesson, installed):
    """Otherwise the test above would show nothing."""
    editor = start(lesson, installed, (lesson, LINE), rules=[])
    try:
        assert editor.step("stepIn") == ("<module>", str(lesson), LINE + 1)
    finally:
        end(editor)


DERIVED = """\
import tinygrad_sm as tg
from tinygrad_sm import debug

for scale in (1.0, 2.0):
    w = tg.Tensor([0.5, scale], requires_grad=True)
    loss = (w * w).sum().exp()
    derived = debug.source(loss, "calls")
    derived.run()
print(derived.path)
"""


def test_breakpoints_in_a_derived_script_are_met_again_in_every_step_and_lead_into_the_rules(tmp_path, installed):
    script = tmp_path / "lesson.py"
    script.write_text(DERIVED, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(installed)}
    printed = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    ).stdout
    path = tmp_path / printed.strip()
    rows = path.read_text(encoding="utf-8").splitlines()
    line = 1 + next(i for i, row in enumerate(rows) if "= exp_vjp_x(" in row)
    editor = start(script, installed, (path, line))
    try:
        function, file, at = editor.step("stepIn")
        assert (function, Path(file).name) == ("exp_vjp_x", "elementwise.py")
        assert Path(file).read_text(encoding="utf-8").splitlines()[at - 1].strip() == "return g * out"
        assert editor.step("continue") == ("<module>", str(path), line)  # the next step of the loop, the same file
    finally:
        end(editor)
