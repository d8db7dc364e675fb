"""A script of the user's, run unchanged and stopped at one of its calls of `backward`: the verb `step`.

`Tensor.backward` is wrapped while the script runs and put back afterwards. The session it stops in is `stepper.py`.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
import types
from collections.abc import Iterator, Sequence
from typing import Any

from tinygrad_sm.debug.recording import Recording
from tinygrad_sm.debug.stepping.stepper import Stepper
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.errors import ArgumentError, FileError, TinygradError


class QuitError(BaseException):
    """The user left the session by `q`: like SystemExit, nothing that catches exceptions catches it."""


class Stop:
    """Stands for `Tensor.backward` until the call of that number, which it opens a session at."""

    def __init__(self, at: int, commands: str | None) -> None:
        self.at, self.commands = at, commands
        self.calls = 0
        self.original = Tensor.backward

    def install(self) -> None:
        """Put a function in the place of `Tensor.backward` that counts its calls."""

        def backward(tensor: Tensor, cotangent: Any = None, *, retain_grads: bool = False) -> None:
            self.calls += 1
            if self.calls == self.at:
                self.remove()
                self.stop(tensor, cotangent)
            self.original(tensor, cotangent, retain_grads=retain_grads)

        patched: Any = Tensor
        patched.backward = backward

    def remove(self) -> None:
        """Put `Tensor.backward` back."""
        patched: Any = Tensor
        patched.backward = self.original

    def stop(self, tensor: Tensor, cotangent: Any) -> None:
        """The session. What `backward` itself is going to refuse is left to it."""
        try:
            stepper = Stepper(Recording(tensor, cotangent, caller="step"), self.commands)
        except TinygradError as error:
            print(f"no steps to show: {error.message}", file=sys.stderr)
            return
        stepper.run()
        if stepper.quit:
            raise QuitError


def run(path: str, arguments: Sequence[str], at: int = 1, commands: str | None = None) -> int:
    """Run a script as `python path arguments` would, stop at its call of `backward` of that number, return its status.

    Raises FileError where there is no script, ArgumentError where it ended before that call.
    """
    if not os.path.isfile(path):
        raise FileError(f"{path}: {'is a folder' if os.path.isdir(path) else 'no such file'}", remedy="name a script")
    stop = Stop(at, commands)
    with _as_main_program(path, arguments):
        stop.install()
        try:
            status = _run(path)
        except QuitError:
            return 0
        finally:
            stop.remove()
    if stop.calls < at and status == 0:
        times = {0: "never", 1: "once"}.get(stop.calls, f"{stop.calls} times")
        remedy = (
            "choose a smaller --at"
            if stop.calls
            else "it stops at loss.backward(); tg.grad and tg.gradients take gradients without it"
        )
        raise ArgumentError(f"{path} called backward {times}, so that it did not stop", remedy=remedy)
    return status


@contextlib.contextmanager
def _as_main_program(path: str, arguments: Sequence[str]) -> Iterator[None]:
    """`__main__`, `sys.argv` and `sys.path` as a script finds them that is run by Python itself."""
    argv, search, program = sys.argv, sys.path, sys.modules["__main__"]
    sys.argv = [path, *arguments]
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.modules["__main__"].__file__ = os.path.abspath(path)
    if not sys.flags.safe_path:
        sys.path = [os.path.dirname(os.path.abspath(path)), *search[1:]]
    try:
        yield
    finally:
        sys.argv, sys.path, sys.modules["__main__"] = argv, search, program


def _run(path: str) -> int:
    """Run a script and return the status that Python would; of an error of its own the traceback is shown."""
    try:
        program = sys.modules["__main__"]
        with io.open_code(os.path.abspath(path)) as file:
            code = compile(file.read(), program.__file__ or path, "exec")
        exec(code, program.__dict__)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except Exception as error:  # noqa: BLE001  # whatever it is, Python would show it and end
        _show(error)
        return 1
    return 0


def _show(error: BaseException) -> None:
    """Print the traceback of a script without the frames that ran it."""
    shown = traceback.TracebackException.from_exception(error)
    waiting: list[traceback.TracebackException | None] = [shown]
    while waiting:
        each = waiting.pop()
        if each:
            kept = [frame for frame in each.stack if frame.filename != __file__]
            each.stack = traceback.StackSummary.from_list(kept)
            waiting += [each.__cause__, each.__context__]
    print("".join(shown.format()), end="", file=sys.stderr)
