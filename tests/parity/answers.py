"""What this library answers to a call in PyTorch's form: value, gradient and second derivative, as plain arrays.

A call is a name of `spellings.py` with arguments in which every tensor is an array. The cotangents and directions that
make numbers of the derivatives are drawn from a fixed seed in the order of the arrays, so both sides draw the same.
"""

import base64
import contextlib
import inspect
import json
import warnings
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import spellings

import tinygrad_sm as tg
from tinygrad_sm import Tensor

WHAT = ("value", "gradient", "second derivative")
TOLERANCE = {"value": 1e-9, "gradient": 1e-8, "second derivative": 1e-7}


@dataclass
class Call:
    """The arguments of a function of PyTorch's, and for each array in them whether it is a variable."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    variable: list[bool] = field(default_factory=list)

    @property
    def arguments(self):
        """All arguments by the names that the spelling gives them."""
        signature = inspect.signature(spellings.SPELLINGS[self.name].function)
        try:
            return dict(signature.bind(*self.args, **self.kwargs).arguments)
        except TypeError as error:
            raise spellings.UnsupportedError(str(error)) from error

    @property
    def size(self):
        """The number of elements of all arrays."""
        return sum(array.size for array in arrays_in([self.args, self.kwargs]))


@dataclass
class Answer:
    """Outputs, their gradients in the variables, and the gradient of a projection of these, in the same variables."""

    value: list[np.ndarray]
    gradient: list[np.ndarray]
    second: list[np.ndarray] | None  # PyTorch has none of a few functions

    def parts(self):
        return zip(WHAT, (self.value, self.gradient, self.second), strict=True)


def arrays_in(value):
    """Every array in nested lists, tuples and dicts, in order."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict):
        yield from arrays_in(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from arrays_in(each)


def with_arrays(value, replacements):
    """The same with every array replaced by the next of an iterator."""
    if isinstance(value, np.ndarray):
        return next(replacements)
    if isinstance(value, dict):
        return {name: with_arrays(each, replacements) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([with_arrays(each, replacements) for each in value])
    return value


def flat(outputs):
    """All outputs in one list."""
    if isinstance(outputs, (list, tuple)):
        return [each for output in outputs for each in flat(output)]
    return [outputs]


def directions():
    """An endless source of random arrays of given shapes, none of whose elements is near zero."""
    rng = np.random.default_rng(5)
    return lambda shape: np.asarray(rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape))


@contextlib.contextmanager
def silence():
    """No warnings: the points where derivatives are hard overflow and divide by zero on purpose."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def variables_in(call):
    """The arrays that are differentiated by."""
    arrays = arrays_in([call.args, call.kwargs])
    return [array for array, variable in zip(arrays, call.variable, strict=True) if variable]


def outputs_of(call, variables):
    """What our spelling returns where these stand for the variables, in one list."""
    arrays, given = arrays_in([call.args, call.kwargs]), iter(variables)
    # The others are copied: running statistics are written in place.
    leaves = [next(given) if is_one else array.copy() for array, is_one in zip(arrays, call.variable, strict=True)]
    args, kwargs = with_arrays([call.args, call.kwargs], iter(leaves))
    return flat(spellings.SPELLINGS[call.name].function(*args, **kwargs))


@silence()
def ours(call):
    """What this library answers."""
    variables = [Tensor(array, requires_grad=True) for array in variables_in(call)]
    outputs = outputs_of(call, variables)
    draw = directions()
    gradients = pulled(outputs, variables, draw, create_graph=True)
    seconds = pulled(gradients, variables, draw, create_graph=False)
    return Answer(
        *(
            [np.asarray(each.data if isinstance(each, Tensor) else each) for each in part]
            for part in (outputs, gradients, seconds)
        )
    )


def pulled(outputs, variables, draw, create_graph):
    """The gradients of the outputs, each times its random cotangent; zeros where nothing depends on a variable."""
    total = projection(outputs, draw)
    if total is None or not variables:
        return [np.zeros(x.shape) for x in variables]
    return tg.gradients(total, variables, create_graph=create_graph)


def projection(outputs, draw):
    """The sum of what carries a gradient, each times its random cotangent; None if nothing does."""
    cotangents = [draw(np.shape(each)) for each in outputs]
    pairs = zip(outputs, cotangents, strict=True)
    terms = [(each * g).sum() for each, g in pairs if isinstance(each, Tensor) and each.requires_grad]
    return sum(terms[1:], terms[0]) if terms else None


@silence()
def compiled_gradients(call):
    """The gradients once more, by `tg.compile`; None where nothing carries one."""
    variables = variables_in(call)
    if projection(outputs_of(call, [Tensor(x, requires_grad=True) for x in variables]), directions()) is None:
        return None
    total = tg.value_and_grad(lambda *given: projection(outputs_of(call, given), directions()), range(len(variables)))
    return tg.compile(total)(*variables)[1]


@silence()
def difference(expected, got):
    """The largest difference relative to 1 + |expected| where that is a number; inf if kinds differ."""
    if expected.shape != got.shape or expected.dtype.kind != got.dtype.kind:
        return np.inf
    if expected.dtype.kind != "f":
        return 0.0 if np.array_equal(expected, got) else np.inf
    defined = ~np.isnan(expected)
    x, y = expected[defined], got[defined]
    same = x == y  # infinities among them
    apart = np.abs(x - y) / (1 + np.abs(x))
    return float(np.max(np.where(same, 0, np.where(np.isnan(apart), np.inf, apart)), initial=0))


def differences(expected, got):
    """The largest difference in each part, and the parts in which it is larger than the tolerance."""
    largest = {}
    for (what, wanted), (_, found) in zip(expected.parts(), got.parts(), strict=True):
        pairs = zip(wanted or [], found, strict=False)
        same_number = wanted is None or len(wanted) == len(found)
        largest[what] = max([difference(*pair) for pair in pairs], default=0.0) if same_number else np.inf
    return largest, [what for what in WHAT if largest[what] > TOLERANCE[what]]


def undefined(expected, got):
    """The parts in which PyTorch's answer holds NaN where ours holds a number."""
    found = zip(expected.parts(), got.parts(), strict=True)
    return [what for (what, theirs), (_, own) in found if any(map(_nan_there, theirs or [], own))]


def _nan_there(theirs, own):
    same = theirs.dtype.kind == own.dtype.kind == "f" and theirs.shape == own.shape
    return same and bool(np.any(np.isnan(theirs) & ~np.isnan(own)))


class Numbers:
    """The numbers of many arrays in one row, so that a file of small arrays is not made of headers."""

    def __init__(self, row=()):
        self.row = list(row)

    def encoded(self, value):
        """A value as JSON may hold it."""
        if isinstance(value, np.ndarray):
            self.row.extend(value.ravel().tolist())
            return {"array": [value.dtype.name, list(value.shape), len(self.row) - value.size]}
        if isinstance(value, tuple):
            return {"tuple": [self.encoded(each) for each in value]}
        if isinstance(value, list):
            return [self.encoded(each) for each in value]
        if isinstance(value, slice):
            return {"slice": [value.start, value.stop, value.step]}
        return {"ellipsis": True} if value is Ellipsis else value

    def decoded(self, value):
        """The opposite of `encoded`."""
        if isinstance(value, list):
            return [self.decoded(each) for each in value]
        if not isinstance(value, dict):
            return value
        ((kind, content),) = value.items()
        if kind == "array":
            dtype, shape, start = content
            return np.array(self.row[start : start + int(np.prod(shape))], dtype).reshape(shape)
        if kind == "tuple":
            return tuple(self.decoded(content))
        return slice(*content) if kind == "slice" else Ellipsis


def write_references(path, pairs, **known):
    """Write calls with PyTorch's answers, and what else is known of PyTorch, as text."""
    numbers = Numbers()
    calls = [
        {
            "name": call.name,
            "args": [numbers.encoded(value) for value in call.args],
            "kwargs": {name: numbers.encoded(value) for name, value in call.kwargs.items()},
            "variable": [int(each) for each in call.variable],
            **{part: numbers.encoded(arrays) for part, arrays in vars(answer).items()},
        }
        for call, answer in pairs
    ]
    packed = base64.b85encode(zlib.compress(np.array(numbers.row, "<f8").tobytes(), 9)).decode()
    lines = ",\n".join(json.dumps(call) for call in calls)
    head = json.dumps(known)[1:-1]
    path.write_text(f'{{{head},\n"numbers": {json.dumps(packed)},\n"calls": [\n{lines}\n]}}\n', encoding="utf-8")


def read_references(path):
    """What `write_references` wrote: a list of (call, answer), and what else is known of PyTorch."""
    content = json.loads(path.read_text(encoding="utf-8"))
    numbers = Numbers(np.frombuffer(zlib.decompress(base64.b85decode(content.pop("numbers"))), "<f8"))
    pairs = []
    for call in content.pop("calls"):
        args = tuple(numbers.decoded(call["args"]))
        kwargs = {name: numbers.decoded(value) for name, value in call["kwargs"].items()}
        answer = Answer(*(numbers.decoded(call[part]) for part in ("value", "gradient", "second")))
        pairs.append((Call(call["name"], args, kwargs, [bool(each) for each in call["variable"]]), answer))
    return pairs, content
