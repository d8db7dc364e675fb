"""What all source consists of: names, lines within loops, the elements of flat arrays, and how reductions go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_sm.compiler.fused.elements import NAMES, STARTS
from tinygrad_sm.compiler.fused.storage import Place, Storage
from tinygrad_sm.compiler.program import Instruction, Value
from tinygrad_sm.compiler.wording import base_name, unused

LETTERS = "ijklmnopq"  # of the loops
INDENT = "    "
WIDTH = 110  # of a comment
# The names that the source uses otherwise, of which these are functions of `scalar_math.py`.
FUNCTIONS = (
    "maximum",
    "minimum",
    *[f"{name}_{bits}" for name in ("exp", "expm1", "log", "log1p", "tanh") for bits in (32, 64)],
)
BUILT_IN = (
    "np",
    "math",
    "u",
    "product",
    "sgemm",
    "dgemm",
    "inf",
    "nan",
    "max",
    "min",
    "abs",
    "range",
    "list",
    "any",
    "compiled",
    "FAST",
)
VARIABLES = ("lo", "hi", "block", "slot", "slots", "bad", "DEVIATES", "run_blocks", "without_warnings", "alone")
RESERVED = {*VARIABLES, *BUILT_IN, *FUNCTIONS, *LETTERS, *NAMES.values(), *(f"{name}s" for name in NAMES.values())}


class Names:
    """Names for values, as the user would have chosen them, and no name twice."""

    def __init__(self) -> None:
        self.taken = set(RESERVED)
        self.known: dict[Value, str] = {}

    def __call__(self, value: Value) -> str:
        """The name of a value."""
        if value not in self.known:
            self.known[value] = self.fresh(value.name or "v")
        return self.known[value]

    def add(self, instruction: Instruction) -> None:
        """Name what an instruction makes after the operation that it belongs to."""
        for out in instruction.outs:
            self.known[out] = self.fresh(out.name or base_name(instruction))

    def fresh(self, name: str) -> str:
        """An unused name like the given one."""
        return unused(name, self.taken)


class Function:
    """What the source of one compiled function needs besides its lines."""

    def __init__(self, names: Names, storage: Storage) -> None:
        self.names, self.storage = names, storage
        self.arrays: dict[str, None] = {}  # arguments, in the order in which they were first read
        self.numbers: dict[Value, None] = {}
        self.routines: dict[str, None] = {}  # of the BLAS
        self.starts: dict[Value, str] = {}  # where bases begin
        self.scalars: dict[Value, str] = {}  # numbers that are variables of the function
        self.lines: list[str] = []
        self.checks = False  # whether indices are checked: `bad` says that one was out of bounds

    def number(self, value: Value) -> str:
        """The name of a number of the program."""
        self.numbers[value] = None
        return self.names(value)

    def routine(self, dtype: np.dtype[Any]) -> str:
        """The name of the routine that multiplies matrices of a type."""
        name = "sgemm" if dtype == np.float32 else "dgemm"
        self.routines[name] = None
        return name

    def array(self, base: Value) -> str:
        """The name of the array in which a base lies."""
        name = self.storage.places[base].name
        self.arrays[name] = None
        return name

    def element(self, place: Place, name: str, terms: Sequence[tuple[int, str]], offset: int = 0) -> str:
        """The element of a flat array at a place, so many steps in each loop further."""
        self.arrays[place.name] = None
        return f"{place.name}[u({position(name, terms, offset)})]"

    def of(self, base: Value, terms: Sequence[tuple[int, str]], offset: int = 0) -> str:
        """The element of a base, so many steps in each loop further."""
        return self.element(self.storage.places[base], self.start(base), terms, offset)

    def index(self, text: str, extent: int) -> tuple[str, list[str]]:
        """A variable for an index, counted from the start and within bounds, and its lines; others are noted."""
        self.checks = True
        k = self.names.fresh("k")
        lines = [f"{k} = int64({text})", f"{k} = {k} + {extent} if {k} < 0 else {k}"]
        lines.append(f"bad = bad | ({k} < 0) | ({k} >= {extent})")
        return k, [*lines, f"{k} = {k} if ({k} >= 0) & ({k} < {extent}) else 0"]

    def start(self, base: Value) -> str:
        """The name of the place at which a base begins in the array that it shares with others."""
        place = self.storage.places[base]
        if not place.offset and not self.storage.is_workspace(place.name):
            return ""
        if base not in self.starts:
            self.starts[base] = self.names.fresh(f"at_{self.names(base)}")
        return self.starts[base]

    def declared(self) -> Iterator[str]:
        """The lines that say where bases begin."""
        for base, name in self.starts.items():
            place = self.storage.places[base]
            yield f"{name} = {place.offset}  # {base.shape} in {place.name}"


def position(name: str, terms: Sequence[tuple[int, str]], offset: int = 0) -> str:
    """A position in a flat array: the name of a place, so many steps in each loop further."""
    parts = [name] if name else []
    parts += [f"{step} * {loop}" if step != 1 else loop for step, loop in terms if step]
    parts += [str(offset)] if offset or not parts else []
    return " + ".join(parts).replace("+ -", "- ")


def starting(instruction: Instruction, dtype: np.dtype[Any]) -> str:
    """What a reduction starts from."""
    start = STARTS[instruction.function](dtype)
    return start if dtype.kind == "b" else f"{NAMES[dtype]}({start})"


def combined(instruction: Instruction, total: str, element: str) -> str:
    """How a reduction goes on."""
    function = instruction.function
    if function in (np.add, np.multiply):
        return f"{total} {'+' if function is np.add else '*'} {element}"
    if function in (np.logical_and, np.logical_or):
        return f"{total} {'&' if function is np.logical_and else '|'} {element}"
    name = function.__name__ if instruction.out.dtype.kind == "f" else function.__name__[:3]
    return f"{name}({total}, {element})"


def nested(heads: Sequence[str], lines: Sequence[str]) -> list[str]:
    """Lines within loops."""
    if not lines:
        return []
    nested = [INDENT * i + head for i, head in enumerate(heads)]
    return nested + [INDENT * len(heads) + line for line in lines]
