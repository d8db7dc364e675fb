"""NumPy's conventions: its calls turned into ours, its broadcasting undone, its warnings silenced."""

from __future__ import annotations

import difflib
import functools
import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_sm.display import describe
from tinygrad_sm.errors import DTypeError, UnsupportedError

NUMPY: dict[Any, Any] = {}  # the operation that answers to each NumPy function; registering one fills it

# Functions that ask for no values, or whose answer has no derivative: they may see the bare arrays of any tensor.
PLAIN = {np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, np.full_like, np.empty_like, np.result_type}
PLAIN |= {np.allclose, np.array_equal, np.isclose, np.count_nonzero, np.array_repr, np.array_str, np.array2string}


def translate(
    func: Callable[..., Any], signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a NumPy call as those of an operation of ours with the given signature.

    A parameter corresponds to ours of the same name, or else of the same position; one that we lack is refused by
    name unless it holds NumPy's default.
    """
    theirs = _parameters(func) or signature.parameters
    ours = list(signature.parameters)
    if func is np.einsum:
        args, kwargs = (), dict(zip(ours, gathered(args), strict=False)) | dict(kwargs)
    if len(args) > len(theirs):
        raise _refused(func, "out")  # what comes after the arguments that are known by name
    named = {}
    for position, (name, value) in enumerate((dict(zip(theirs, args, strict=False)) | dict(kwargs)).items()):
        if name in ours:
            named[name] = value
        elif position < len(ours) and ours[position] not in theirs and name in list(theirs)[: len(ours)]:
            named[ours[position]] = value
        elif name not in theirs or value is not theirs[name].default:
            raise _refused(func, name)
    positional = tuple([named.pop(name) for name in itertools.takewhile(named.__contains__, ours)])
    return positional, named  # as signature.bind has it, in a third of the time


def gathered(args: Sequence[Any]) -> tuple[Any, ...]:
    """The arguments of a variadic operation, its arrays in a tuple first; einsum is called with them last."""
    if isinstance(args[0], str):
        return tuple(args[1:]), args[0]
    if not isinstance(args[0], Iterable):
        what = f"a sequence of arrays is wanted, not {describe(args[0])}"
        raise DTypeError(what, remedy="put them in a list: concatenate([x, y])")
    return tuple(args[0]), *args[1:]


def _refused(func: Callable[..., Any], name: str) -> UnsupportedError:
    known = f"{_home(func)}.{func.__name__}"
    remedy = f"leave {name}= out, or call {known} on t.data if no gradient is needed"
    return UnsupportedError(f"{known}: tensors do not take {name}=", remedy=remedy)


def _home(func: Callable[..., Any]) -> str:
    """Where NumPy keeps a function: `np`, or `np.linalg`."""
    return "np" + (getattr(func, "__module__", None) or "numpy").removeprefix("numpy").removesuffix("._core")


@functools.cache
def _parameters(func: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The parameters of a NumPy function, none if it does not tell; parsing them takes a tenth of a millisecond."""
    try:
        return inspect.signature(func).parameters
    except ValueError:  # NumPy 2.0 to 2.3 know the signatures of few of their compiled functions
        return {}


def unsupported(func: Callable[..., Any], name: str, known: Iterable[str]) -> UnsupportedError:
    """The error for a NumPy function that tensors do not record, with the operations of a similar name."""
    close = difflib.get_close_matches(name.split(".")[0], list(known), n=2, cutoff=0.5)
    return UnsupportedError(
        f"{_home(func)}.{name} is not an operation that tensors record",
        remedy=(f"use tg.{' or tg.'.join(close)}, or " if close else "") + "call it on t.data if no gradient is needed",
    )


def flat(values: Iterable[Any]) -> Iterator[Any]:
    """All values, those within lists and tuples too."""
    for value in values:
        yield from flat(value) if isinstance(value, (list, tuple)) else (value,)


def without_warnings(*kinds: str) -> np.errstate:
    """A context in which NumPy does not warn of floating-point errors of these kinds; where it raises it still does."""
    modes = np.geterr()
    quiet: dict[str, Any] = {kind: "ignore" for kind in kinds if modes[kind] == "warn"}  # type: ignore[literal-required]
    return np.errstate(**quiet)


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum `g` over the axes that broadcasting added or stretched, back to an operand's own shape."""
    if g.shape == shape:
        return g
    added = g.ndim - len(shape)
    stretched = [added + i for i, n in enumerate(shape) if n == 1 and g.shape[added + i] != 1]
    return g.sum(axis=(*range(added), *stretched), keepdims=True).reshape(shape)
