"""What a compiled function is: a straight line of NumPy calls on arrays, each of which is written once.

Reading and writing are told apart from memory: a `Value` is what one instruction computes, and where it is kept is
decided later, in `planning.py`. `tracing.py` writes programs, `passes.py` shortens them, `numpy_code.py` and
`numba_code.py` turn them into functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tinygrad_sm.location import Where

Array = npt.NDArray[Any]


class Origin(NamedTuple):
    """What an instruction is part of, for comments, reports and errors."""

    phase: str = ""  # "forward", "backward" or "update"
    op: str = ""
    where: Where | None = None  # the user's line


@dataclass(eq=False, slots=True, repr=False)
class Value:
    """An array of a program, or a number: given, kept from call to call, or computed by one instruction.

    `kind` is "input" (an argument of the call), "memory" (an array that outlives calls: a parameter, the state of an
    optimiser, a constant; `array` is the memory itself), "number" (a Python number that may change from call to call,
    such as the learning rate, and what is computed from it alone) or "result".
    """

    kind: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    strides: tuple[int, ...]  # as NumPy laid the array out; its order of axes is kept
    name: str = ""
    array: Array | None = None

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name} {self.shape} {self.dtype}>"

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape))

    @property
    def nbytes(self) -> int:
        """The size of the elements together."""
        return self.size * self.dtype.itemsize


@dataclass(eq=False, slots=True, repr=False)
class Instruction:
    """One call, of which `kind` says what is known.

    "ufunc"   function(*args): by element, broadcasting; also np.where and astype; np.matmul too
    "reduce"  function.reduce(arg, axis=, keepdims=): function is a ufunc
    "view"    function(arg, ...): the same memory seen otherwise, such as a transpose
    "put"     function(array, index, value): the array with elements assigned to
    "gather"  function(arrays): all of them one after another in a flat array
    "call"    function(*args, **options): anything else without side effects; returns new arrays
    "draw"    function(): random numbers, in the order in which they stand
    "number"  function(*args): arithmetic on Python numbers alone
    "guard"   function(arg), bool or np.isnan, is options["expected"], or the program does not apply to this call
    "effect"  function(*args): writes to its arguments, and returns nothing
    """

    kind: str
    function: Callable[..., Any]
    args: tuple[Any, ...]  # values, constants, and tuples, lists and slices of them
    options: dict[str, Any]
    outs: tuple[Value, ...]
    origin: Origin = field(default=Origin())

    @property
    def out(self) -> Value:
        """The only output."""
        return self.outs[0]

    @property
    def inputs(self) -> list[Value]:
        """The values that it reads."""
        return [*values_in((*self.args, *self.options.values()))]

    @property
    def name(self) -> str:
        """The name of the function."""
        return str(getattr(self.function, "__name__", type(self.function).__name__))

    def __repr__(self) -> str:
        return f"{self.outs} = {self.kind} {self.name}{self.args} {self.options or ''}"


@dataclass(slots=True, repr=False)
class Program:
    """Instructions in order, and what is to become of their results."""

    inputs: list[Value]
    numbers: list[Value] = field(default_factory=list)  # those that are given with each call, such as the learning rate
    instructions: list[Instruction] = field(default_factory=list)
    results: Any = ()  # what a call returns: values and constants in tuples
    stores: list[tuple[Value, Value]] = field(default_factory=list)  # (memory, the value that it has afterwards)

    def __repr__(self) -> str:
        return "\n".join(map(repr, self.instructions))

    def kept(self) -> list[Value]:
        """The values that something outside reads: results and stores."""
        return [*values_in((self.results,)), *(value for _, value in self.stores)]


def values_in(items: Any) -> Iterator[Value]:
    """The values among items, in tuples, lists, dicts and slices too."""
    for item in items:
        if isinstance(item, Value):
            yield item
        elif isinstance(item, (tuple, list)):
            yield from values_in(item)
        elif isinstance(item, dict):
            yield from values_in(item.values())
        elif isinstance(item, slice):
            yield from values_in((item.start, item.stop, item.step))


def replaced(item: Any, change: Callable[[Any], Any]) -> Any:
    """The same item, with every part that is no tuple, list, dict or slice replaced by what `change` makes of it."""
    if isinstance(item, (tuple, list)):
        parts = [replaced(part, change) for part in item]
        return tuple(parts) if isinstance(item, tuple) else parts
    if isinstance(item, dict):
        return {key: replaced(part, change) for key, part in item.items()}
    if isinstance(item, slice):
        return slice(*[replaced(part, change) for part in (item.start, item.stop, item.step)])
    return change(item)


class Deviates:
    """What a program returns when a guard fails: nothing was written, and the function has to run as it stands."""

    def __repr__(self) -> str:
        return "DEVIATES"


DEVIATES = Deviates()
