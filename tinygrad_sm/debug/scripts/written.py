"""A derived script as an object: text, data, file, and the running of it.

A script is a real file before it runs, because only in those do debuggers keep breakpoints. Its name comes from the
program and not from its data, so that breakpoints stay from step to step of a training run. Small arrays stand in the
script as literals, larger ones in an `.npz` file beside it.
"""

from __future__ import annotations

import hashlib
import html
import io
import linecache
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinygrad_sm.debug.literals import array_literal
from tinygrad_sm.debug.scripts.memory import laid_out
from tinygrad_sm.errors import ArgumentError, FileError
from tinygrad_sm.files import PathLike, replacing, write_text

FOLDER = ".tinygrad_sm"
LITERAL = 64  # elements of an array that is still written out
FILES = threading.RLock()  # scripts of the same program share a file, and each is to run with its own data


class Line(NamedTuple):
    """One line of a script, and the step of the recording that it belongs to."""

    text: str
    step: int | None = None
    array: str | None = None  # the name of the array that the line defines, if it does nothing else


def data_lines(arrays: Mapping[str, Any]) -> Iterator[Line]:
    """A line for each array; what it says is up to `Source`, which knows where the array will be found."""
    yield from (Line("", None, name) for name in arrays)


class Source:
    """A script that computes one loss and its gradients; `str` is its text.

    `lines` are its lines with the steps they belong to, `arrays` its data by name, `path` the file once it is saved.
    `layout` is what the script calls `laid_out`, if it is to be exact to the bit.
    """

    def __init__(self, level: str, lines: Sequence[Line], arrays: Mapping[str, Any], layout: str = "") -> None:
        self.level = level
        self.arrays = {name: _copied(value) for name, value in arrays.items()}  # which an optimiser may overwrite
        self._layout = layout
        self._template = list(lines)
        self.path: Path | None = None

    @property
    def lines(self) -> list[Line]:
        """The lines of the script as it is saved."""
        return list(self._filled(LITERAL))

    def __str__(self) -> str:
        return "\n".join(line.text for line in self.lines) + "\n"

    def __repr__(self) -> str:
        return f"<Source {len(self.lines)} lines, level {self.level!r}{f', {self.path}' if self.path else ''}>"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def save(self, path: PathLike | None = None) -> Path:
        """Write the script, and beside it the larger arrays; without a path to the folder `.tinygrad_sm`.

        Returns the path. Raises FileError where that is impossible, ArgumentError for a path that is none of a script.
        """
        target = Path(path) if path is not None else Path(FOLDER) / f"tape_{self._fingerprint()}.py"
        if not target.name or target.suffix == ".npz":
            raise ArgumentError(f"debug.source: path={str(path)!r} is no file name of a script", remedy="end it in .py")
        large = {name: value for name, value in self.arrays.items() if value.size > LITERAL}
        with FILES:
            if large:
                buffer = io.BytesIO()
                np.savez(buffer, allow_pickle=False, **large)
                with replacing(target.with_suffix(".npz")) as file:
                    file.write(buffer.getvalue())
            write_text(target, str(self))
        self.path = target
        return target

    def run(self) -> dict[str, Any]:
        """Run the script from its file, saving it first, and return the gradients by name.

        Breakpoints in the file are met. Where no file can be written it runs from memory, under a name ending in .py.
        """
        text = str(self)
        with FILES:
            try:
                path = self.save(self.path)
            except FileError:
                text = "\n".join(line.text for line in self._filled(None)) + "\n"
                path = Path.cwd() / FOLDER / f"tape_{self._fingerprint()}.py"
                linecache.cache[str(path)] = len(text), None, text.splitlines(keepends=True), str(path)
            name = os.path.abspath(path)
            return self._executed(text, name, {"__file__": name})

    def gradients(self) -> dict[str, Any]:
        """The gradients by name, computed by the script without a file."""
        text = "\n".join("" if line.array else line.text for line in self._template)
        return self._executed(text, "<derived>", {name: _copied(value) for name, value in self.arrays.items()})

    def _executed(self, text: str, name: str, names: dict[str, Any]) -> dict[str, Any]:
        namespace = {"__name__": "derived", **names}
        with np.errstate():  # ends what the script says of NumPy's warnings with the script
            exec(compile(text, name, "exec"), namespace)
        return dict(namespace["gradients"])

    def _filled(self, limit: int | None) -> Iterator[Line]:
        """The lines with their arrays: up to `limit` elements as literals, or all of them."""
        large = limit is not None and any(value.size > limit for value in self.arrays.values())
        for line in self._template:
            if large and line.text == "import numpy as np":
                yield Line("from pathlib import Path")
                yield Line("")
                yield line
            elif large and line.array and line.array == self._first_large(limit):
                yield Line('data = np.load(Path(__file__).with_suffix(".npz"))  # the larger arrays, beside this file')
                yield self._array_line(line.array)
            else:
                yield from self._array_lines(line.array, limit) if line.array else (line,)

    def _first_large(self, limit: int | None) -> str:
        return next(name for name, value in self.arrays.items() if limit is not None and value.size > limit)

    def _array_line(self, name: str) -> Line:
        value = self.arrays[name]
        code = self._laid(value, f'data["{name}"]')
        return Line(f"{name} = {code}  # {value.shape} {value.dtype}", None, name)

    def _laid(self, value: Any, code: str) -> str:
        """Code for an array as it lay in memory, where exactness asks for that."""
        usual = value.flags.c_contiguous or not self._layout
        return code if usual else f"{self._layout}({code}, strides={value.strides})"

    def _array_lines(self, name: str, limit: int | None) -> Iterator[Line]:
        value = self.arrays[name]
        if limit is not None and value.size > limit:
            yield self._array_line(name)
            return
        indent = "\n" + " " * len(f"{name} = ")
        for row in f"{name} = {self._laid(value, array_literal(value))}".replace("\n", indent).split("\n"):
            yield Line(row, None, name)

    def _fingerprint(self) -> str:
        """A name for the program: the same for the same steps on other data."""
        text = "\n".join(line.array or line.text for line in self._template)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def _copied(value: Any) -> Any:
    return laid_out(value, value.strides)
