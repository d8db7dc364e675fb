"""What the README shows of the readers is what they print."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tinygrad_sm.__main__ import main

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
LESSON = "import tinygrad_sm.nn.functional as F\n" + next(
    body for language, body in BLOCKS if language == "python" and "h = tg.tanh(x @ W)" in body
)


def shown_after(command):
    """What a console block shows behind its command."""
    return next(body for language, body in BLOCKS if body.startswith(command))


def without_rounding(text):
    """A text without the rounding errors that it tells, which depend on the processor."""
    return re.sub(r"(largest difference) \S+", r"\1", text)


@pytest.fixture(autouse=True)
def lesson(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("lesson.py").write_text(LESSON, encoding="utf-8")


def test_the_session_with_the_stepper(capsys, monkeypatch):
    command, _, expected = shown_after("$ python -m tinygrad_sm step -c").partition("\n")
    assert main(shlex.split(command)[4:]) == 0
    assert without_rounding(capsys.readouterr().out) == without_rounding(expected)


@pytest.mark.parametrize("expression", ["debug.source(loss)", "loss.tape()"])
def test_what_is_printed(expression):
    expected = shown_after(f">>> print({expression})").partition("\n")[2]
    Path("lesson.py").write_text(f"{LESSON}print({expression})\n", encoding="utf-8")
    printed = subprocess.run([sys.executable, "lesson.py"], capture_output=True, text=True, check=True).stdout
    parts = expected.split("...\n")  # where something is left out
    assert all(part in printed for part in parts)
    assert len("".join(parts)) > 200


def test_the_message_about_the_nan():
    shown = shown_after("NonFiniteError: ").partition(": ")[2].replace("lesson.py:28", "find_the_nan.py:28")
    result = subprocess.run(
        [sys.executable, "find_the_nan.py"], cwd=ROOT / "demos", capture_output=True, text=True, check=True
    )
    assert shown in result.stdout
