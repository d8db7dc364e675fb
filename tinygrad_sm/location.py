"""Where in the user's own code something happened, down to the expression.

Recording keeps only a pair `(code object, instruction offset)` per operation, which costs a fraction of a
microsecond; everything readable is worked out here, when somebody asks. Read `engine/tape.py` next.
"""

from __future__ import annotations

import contextlib
import functools
import linecache
import os
import sys
import unicodedata
from contextvars import ContextVar
from types import CodeType, FrameType
from typing import Any

PACKAGE = "tinygrad_sm"
INSIDE = (PACKAGE, "numpy", "contextlib")  # contextlib stands between a `with` of the user's and our context managers
WIDTH = 100  # of a source line, as it is shown

Where = tuple[CodeType, int]  # a code object and the byte offset of the instruction that was running in it

# The nn.Module that is running: its path, such as "1.Linear", and, while it is one of ours, where the user called it.
RUNNING: ContextVar[tuple[str, Where | None]] = ContextVar("running", default=("", None))


def caller() -> Where | None:
    """The innermost running frame outside this package, NumPy and contextlib, or None where there is none.

    A frame is never kept: it would keep every array in its local variables alive.
    """
    frame = sys._getframe(1)
    while id(frame.f_globals) in _inside or _is_inside(frame.f_globals):
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return frame.f_code, frame.f_lasti


def user_frame() -> FrameType | None:
    """The frame that `caller` tells the place of. Whoever asks for it lets go of it at once.

    `caller` does not call it, since recording goes there once for every operation.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame and _is_inside(frame.f_globals):
        frame = frame.f_back
    return frame


_inside: set[int] = set()  # ids of the namespaces of such modules, which live as long as the process


def _is_inside(namespace: dict[str, Any]) -> bool:
    module = namespace.get("__name__", "")
    if module.partition(".")[0] in INSIDE and module in sys.modules:
        if sys.modules[module].__dict__ is namespace:
            _inside.add(id(namespace))
        return True
    return False


class Location:
    """A place in the user's code: file, line, function and, where Python recorded columns, the expression.

    >>> Location(compile("1 + 1", "lesson.py", "eval"), 0)
    <Location lesson.py:1>
    """

    __slots__ = ("code", "offset")

    def __init__(self, code: CodeType, offset: int) -> None:
        self.code = code
        self.offset = offset

    @property
    def filename(self) -> str:
        """The file as Python knows it; a notebook cell has a name of its own."""
        return self.code.co_filename

    @property
    def function(self) -> str:
        """The qualified name of the function, `<module>` at top level."""
        return self.code.co_qualname

    @property
    def span(self) -> tuple[int, int | None, int | None, int | None]:
        """First line, last line, first and last column (UTF-8 byte offsets); None where unknown."""
        line, end_line, column, end_column = _positions(self.code)[self.offset // 2]
        return line or self.code.co_firstlineno, end_line, column, end_column

    @property
    def line(self) -> int:
        """Line number, counted from 1."""
        return self.span[0]

    @property
    def source_line(self) -> str:
        """The text of the line without its newline, empty where the source cannot be found."""
        return linecache.getline(self.filename, self.line).rstrip("\n")

    @property
    def expression(self) -> str:
        """The text of the very expression that ran; the stripped line where columns are missing."""
        columns = self._columns()
        text = self.source_line
        return text[slice(*columns)] if columns else text.strip()

    def _columns(self) -> tuple[int, int] | None:
        """Columns of the expression on its first line, in characters rather than bytes."""
        line, end_line, start, end = self.span
        if start is None or end is None or not self.source_line:
            return None
        encoded = self.source_line.encode()
        stop = end if end_line == line else len(encoded)
        return characters(encoded[:start]), characters(encoded[:stop])

    def __str__(self) -> str:
        """`file:line`, the file relative to the working directory where it lies below it, or a notebook's `In[3]`."""
        name = _cell(self.filename)
        with contextlib.suppress(OSError):  # the working directory was removed
            name = name or self.filename.removeprefix(os.getcwd() + os.sep)
        return f"{name or self.filename}:{self.line}"

    def __repr__(self) -> str:
        return f"<Location {self}>"

    def show(self, module: str = "") -> str:
        """Two or three lines: the place, with the layer that was running there, the source line, and the expression."""
        head = f"  {self}" + ("" if self.function == "<module>" else f" in {self.function}") + in_module(module)
        return "\n".join([head, *(f"    {line}" for line in self.underlined())])

    def underlined(self, width: int = WIDTH) -> list[str]:
        """The source line, and a second one that underlines the expression where columns are known; [] without source.

        A long line is shown in part, an indentation is left out.
        """
        text = self.source_line
        if not text:
            return []
        start, end = self._columns() or (0, 0)
        indent = len(text) - len(text.lstrip())
        left = indent if end <= width + indent else max(indent, start - width // 4)
        mark = " " * _columns_of(text[left:start]) + "~" * _columns_of(text[start : min(end, left + width)])
        return [text[left : left + width], *([mark] if end else [])]


def in_module(path: str) -> str:
    """What is said of the nn.Module of that path: `, in 1.Linear`; nothing outside of any."""
    return f", in {path}" if path else ""


def characters(encoded: bytes) -> int:
    """How many characters the beginning of a line in UTF-8 has: Python counts columns in bytes."""
    return len(encoded.decode(errors="ignore"))


def _columns_of(text: str) -> int:
    """How many columns of a terminal a text takes: Chinese characters take two, a combining accent none."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def _cell(filename: str) -> str:
    """What IPython calls the cell whose code it keeps under a file name: `In[3]`; empty where it is no cell."""
    try:
        shell = sys.modules["IPython"].get_ipython()
        return str(shell.compile.format_code_name(filename)[1])
    except (KeyError, AttributeError, TypeError):  # no IPython, no shell, or no such cell
        return ""


@functools.lru_cache(maxsize=1024)
def _positions(code: CodeType) -> list[tuple[int | None, int | None, int | None, int | None]]:
    """Source positions of every instruction of a code object, decoded once."""
    return list(code.co_positions())
