"""Backprop in VS Code: its debugger, debugpy, spoken to as VS Code does, with the launch.json of the demos."""

import itertools
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytestmark = pytest.mark.extra
pytest.importorskip("debugpy", reason="debugpy is not installed")

ROOT = Path(__file__).parent.parent.parent
LAUNCH = ROOT / "demos" / ".vscode" / "launch.json"
PATIENCE = 60  # seconds

SCRIPT = """\
import tinygrad_sm as tg

w = tg.Tensor([0.5, -1.0], requires_grad=True)
loss = (w * w).sum().exp()
loss.backward()
print("gradient", w.grad)
"""
LINE = SCRIPT.splitlines().index("loss.backward()") + 1


class Editor:
    """The part of VS Code that speaks with a debugger: requests that are answered, and events."""

    def __init__(self, folder, environment):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "debugpy.adapter"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.numbers = itertools.count(1)
        self.messages = queue.Queue()
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def _listen(self):
        while header := self.process.stdout.readline():
            length = int(header.partition(b":")[2])
            self.process.stdout.readline()
            self.messages.put(json.loads(self.process.stdout.read(length)))

    def ask(self, command, wait=True, **arguments):
        number = next(self.numbers)
        body = json.dumps({"seq": number, "type": "request", "command": command, "arguments": arguments}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()
        return self.until(lambda message: message.get("request_seq") == number) if wait else None

    def until(self, wanted):
        """The next message that is wanted; its body."""
        while True:
            message = self.messages.get(timeout=PATIENCE)
            if wanted(message):
                assert message.get("success", True), message
                return message.get("body", {})

    def event(self, name):
        return self.until(lambda message: message.get("event") == name)

    def step(self, command):
        """Step, and where that led: function, file and line."""
        self.ask(command, threadId=self.thread)
        return self.stopped()

    def stopped(self):
        self.thread = self.event("stopped")["threadId"]
        frame = self.ask("stackTrace", threadId=self.thread)["stackFrames"][0]
        return frame["name"].rpartition(".")[2], frame["source"]["path"], frame["line"]


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


def start(lesson, library, **changes):
    """An editor that has run the script up to `loss.backward()` with the configuration of launch.json."""
    (configuration,) = json.loads(LAUNCH.read_text(encoding="utf-8"))["configurations"]
    assert configuration["justMyCode"] is True
    configuration |= {"program": str(lesson), "console": "internalConsole", "python": [sys.executable], **changes}
    editor = Editor(lesson.parent, os.environ | {"PYTHONPATH": str(library)})
    editor.ask("initialize", adapterID="debugpy", pathFormat="path", linesStartAt1=True, columnsStartAt1=True)
    editor.ask("launch", wait=False, **configuration)
    editor.event("initialized")
    editor.ask("setBreakpoints", source={"path": str(lesson)}, breakpoints=[{"line": LINE}])
    editor.ask("configurationDone", wait=False)
    assert editor.stopped() == ("<module>", str(lesson), LINE)
    return editor


def end(editor):
    editor.ask("disconnect", wait=False, terminateDebuggee=True)
    editor.process.stdin.close()
    editor.process.wait(PATIENCE)
    editor.listener.join(PATIENCE)
    editor.process.stdout.close()


def test_step_into_lands_on_the_formula(lesson, installed):
    editor = start(lesson, installed)
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
    editor = start(lesson, installed, rules=[])
    try:
        assert editor.step("stepIn") == ("<module>", str(lesson), LINE + 1)
    finally:
        end(editor)
