"""A program in a real pseudo-terminal, typed to and read from line by line, as a user would."""

import contextlib
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 60  # seconds until a program that says nothing more is given up

# Runs before the program: the terminal becomes its own, and Ctrl-C reaches it, which background tests ignore.
TAKE_THE_TERMINAL = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """A Python program at a terminal of 80 columns: `read` waits for a prompt, `type` sends a line and reads on."""

    def __init__(self, *arguments, folder, prompt="(tape) "):
        pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
        self.prompt = prompt
        self.descriptor, inner = pty.openpty()
        environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "dumb", "COLUMNS": "80", "PYTHON_COLORS": "0"}
        environment |= {"INPUTRC": os.devnull, "PYTHONIOENCODING": "utf-8"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", TAKE_THE_TERMINAL, sys.executable, "-W", "error", *arguments],
            cwd=folder,
            env=environment,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
        )
        os.close(inner)

    def read(self, until=None):
        """What was printed up to the next prompt, or up to the end of the program."""
        until = self.prompt if until is None else until
        text, deadline = "", time.monotonic() + PATIENCE
        while not text.endswith(until) or not until:
            if not select.select([self.descriptor], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"waited for {until!r} after {text!r}")
            try:
                piece = os.read(self.descriptor, 1024)
            except OSError:  # how Linux says that nobody holds the other end any more
                piece = b""
            if not piece:
                break
            text += piece.decode()
        return text.replace("\r\n", "\n").removesuffix(until)

    def type(self, line, until=None):
        """Type a line; what was printed in answer, without the echo of the line."""
        os.write(self.descriptor, f"{line}\n".encode())
        return self.read(until).partition("\n")[2]

    def interrupt(self):
        """Press Ctrl-C until the program has ended: Python may miss one while it is about to wait for a key."""
        while self.process.poll() is None:
            os.write(self.descriptor, b"\x03")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.5)
        return self.end()

    def end(self, keys=b""):
        """Press keys, read what is printed to the end, and return it with the exit status."""
        os.write(self.descriptor, keys)
        text = self.read(until="")
        status = self.process.wait(PATIENCE)
        os.close(self.descriptor)
        return text, status

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
