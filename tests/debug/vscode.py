"""The part of VS Code that speaks with a debugger: debugpy, with the launch.json of the demos."""

import itertools
import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LAUNCH = ROOT / "demos" / ".vscode" / "launch.json"
PATIENCE = 60  # seconds


class Editor:
    """Requests that are answered, and events."""

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


def start(lesson, library, breakpoint_at, **changes):
    """An editor that has run the script, with the configuration of launch.json, up to a line of a file."""
    (configuration,) = json.loads(LAUNCH.read_text(encoding="utf-8"))["configurations"]
    assert configuration["justMyCode"] is True
    configuration |= {"program": str(lesson), "console": "internalConsole", "python": [sys.executable], **changes}
    editor = Editor(lesson.parent, os.environ | {"PYTHONPATH": str(library)})
    editor.ask("initialize", adapterID="debugpy", pathFormat="path", linesStartAt1=True, columnsStartAt1=True)
    editor.ask("launch", wait=False, **configuration)
    editor.event("initialized")
    file, line = breakpoint_at
    editor.ask("setBreakpoints", source={"path": str(file)}, breakpoints=[{"line": line}])
    editor.ask("configurationDone", wait=False)
    assert editor.stopped() == ("<module>", str(file), line)
    return editor


def end(editor):
    editor.ask("disconnect", wait=False, terminateDebuggee=True)
    editor.process.stdin.close()
    editor.process.wait(PATIENCE)
    editor.listener.join(PATIENCE)
    editor.process.stdout.close()
