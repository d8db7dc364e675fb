"""Whether an operation is fit for use, from its own samples: `check_primitive`, for a user's own as for a built-in one.

What is asked of each sample stands in `check_primitive`, one line a question. Read `finite_differences.py` first.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from tinygrad_sm.checking.finite_differences import gradcheck
from tinygrad_sm.checking.straightness import crooked_lines
from tinygrad_sm.display import describe
from tinygrad_sm.engine.primitive import Primitive
from tinygrad_sm.engine.tape import Sweep
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.engine.transforms import gradients
from tinygrad_sm.errors import (
    ArgumentError,
    DTypeError,
    GradcheckError,
    GradientError,
    InPlaceError,
    RuleError,
    warn,
)
from tinygrad_sm.jacobians import jvp, vjp
from tinygrad_sm.numpy_calls import flat

# The same values, otherwise laid out in memory.
LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "with the columns first": lambda x: np.array(x, order="F"),
    "with gaps": lambda x: np.repeat(x[..., None], 2, -1)[..., 0],
    "backwards": lambda x: np.flip(np.flip(x).copy()),
}


def check_primitive(op: Any, *, constants: Collection[str] = (), seed: int = 0) -> bool:
    """Run the tests of the built-in operations on one of your own: its rules to second order, on each of its samples.

    Args: op: what `@tg.primitive(samples=[...])` made, with a docstring. constants: names of floating arguments that
    have no rule by intent. seed: of the samples' arrays. Returns True. Raises ArgumentError where samples, docstring
    or rules are missing; GradcheckError for a derivative that disagrees with finite differences, with the textbook or
    with itself; DTypeError where float32 is lost; InPlaceError for a write to what was given; RuleError for a rule that
    fails. Each says which sample, which argument, and what to do.
    Warns of a rule that is no straight line: it is right, and its lines cannot be stepped through or compiled.

    >>> from tinygrad_sm import exp
    >>> check_primitive(exp)
    True
    """
    _check_declaration(op)
    covered, floating = set[str](), set[str]()
    for number in range(len(op.samples)):
        call = SampleCall(op, number, seed)
        _check_outputs(call)
        _check_forward(call)
        _check_float32(SampleCall(op, number, seed, np.float32))
        if call.arrays:
            _check_rules(call)
            _check_memory(call)
            gradcheck(call, call.arrays, order=2, seed=seed)
            check_vjp_against_jvp(call, call.arrays, call.rng, order=2)
            _check_textbook(call)
        floating |= {name for name, value in call.bound.arguments.items() if _is_floating(value)}
        covered |= {place[0] for place in call.places}
    _check_straightness(op)
    missing = [name for name in op.rules if name not in covered]
    if missing:
        remedy = f"add one in which {missing[0]} is a floating array"
        raise ArgumentError(f"{op.name}: no sample runs the rule for {missing[0]}", remedy=remedy)
    without = [name for name in op.parameters if name in floating.difference(op.rules, constants)]
    if without and op.differentiable:
        remedy = f"write @{op.name}.vjp({without[0]!r}), or give check_primitive constants={without}"
        raise ArgumentError(f"{op.name}: {without[0]} is a floating array and has no rule", remedy=remedy)
    return True


class SampleCall:
    """One sample of an operation as a function of the floating arrays that it can be differentiated by."""

    def __init__(self, op: Primitive, number: int, seed: int = 0, dtype: Any = np.float64) -> None:
        self.op, self.rng = op, np.random.default_rng([seed, number])
        self.__name__ = f"{op.name}, sample {number}"
        args, kwargs = op.samples[number].make(self.rng, dtype)
        args, kwargs = _cast(args, dtype), {name: _cast(value, dtype) for name, value in kwargs.items()}
        try:
            self.bound = op.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentError(f"{self.__name__}: {error}", remedy=f"the forward takes {op.signature}") from error
        self.places = [place for place in self._places() if self._is_variable(*place)]
        self.arrays = [self._get(*place) for place in self.places]
        self.parameters = [name if i is None else f"{name}[{i}]" for name, i in self.places]

    def _places(self) -> list[tuple[str, int | None]]:
        """Where values stand: the name of the argument, and the position in it if it is a list."""
        places: list[tuple[str, int | None]] = []
        for name, value in self.bound.arguments.items():
            places += [(name, i) for i in range(len(value))] if isinstance(value, list) else [(name, None)]
        return places

    def _get(self, name: str, i: int | None) -> Any:
        value = self.bound.arguments[name]
        return value if i is None else value[i]

    def _is_variable(self, name: str, i: int | None) -> bool:
        value = self._get(name, i)
        return isinstance(value, np.ndarray) and value.dtype.kind == "f" and name in self.op.rules

    def __call__(self, *arrays: Any, using: Callable[..., Any] | None = None) -> Any:
        """The operation, or its like, with these arrays in the places of the variables."""
        bound = inspect.BoundArguments(self.op.signature, self.bound.arguments.copy())
        for (name, i), array in zip(self.places, arrays, strict=True):
            if i is None:
                bound.arguments[name] = array
            else:
                bound.arguments[name] = [*bound.arguments[name][:i], array, *bound.arguments[name][i + 1 :]]
        return (using or self.op)(*bound.args, **bound.kwargs)

    def recorded(self, arrays: Sequence[Any]) -> tuple[list[Tensor], list[Tensor]]:
        """Leaves on these very arrays, and the floating outputs of the operation recorded on them."""
        leaves = [Tensor(array, requires_grad=True) for array in arrays]
        for leaf, array in zip(leaves, arrays, strict=True):
            leaf.data = array  # rather than the copy of its own that a leaf keeps
        return leaves, [out for out in _tuple(self(*leaves)) if out.dtype.kind == "f"]

    def total(self, outputs: Sequence[Tensor]) -> Any:
        """The outputs weighted with random cotangents, the same at every call, as one number to differentiate."""
        rng = np.random.default_rng(1)
        weights = [np.asarray(rng.uniform(0.5, 1.5, out.shape), out.dtype) for out in outputs]
        return sum((out * weight).sum() for out, weight in zip(outputs, weights, strict=True))


def check_vjp_against_jvp(
    f: Callable[..., Any], arrays: Sequence[Any], rng: np.random.Generator, order: int = 1, *, rtol: float = 1e-8
) -> None:
    """Hold vjp and jvp of f against each other, cotangent @ (J @ tangent) = (cotangent @ J) @ tangent, at random.

    order: 2 does so for the vjp as a function of arrays and cotangents too. Raises GradcheckError.
    """
    values, pullback = vjp(f, *arrays)
    several = isinstance(values, tuple)
    cotangents = [np.asarray(rng.standard_normal(value.shape), value.dtype) for value in _tuple(values)]
    tangents = [np.asarray(rng.standard_normal(array.shape), array.dtype) for array in arrays]
    slopes = _tuple(jvp(f, tuple(arrays), tuple(tangents))[1])
    pulled = pullback(tuple(cotangents) if several else cotangents[0])
    pairs = [*zip(cotangents, slopes, strict=True)], [*zip(tangents, pulled, strict=True)]
    forwards, backwards = (sum(float(np.vdot(a, b)) for a, b in each) for each in pairs)
    size = sum(float(np.vdot(np.abs(a), np.abs(b))) for a, b in pairs[0] + pairs[1])
    if not abs(forwards - backwards) <= rtol * size and np.isfinite(size):
        what = f"{f.__name__}: cotangent @ jvp is {forwards:.6g}, and vjp @ tangent is {backwards:.6g}"
        raise GradcheckError(what, remedy="the rule must be linear in g, and compute the same on tensors as on arrays")
    if order > 1:
        n = len(arrays)

        def pulled_back(*both: Any) -> tuple[Any, ...]:
            return vjp(f, *both[:n])[1](tuple(both[n:]) if several else both[n])

        pulled_back.__name__ = f"derivative of {f.__name__}"
        check_vjp_against_jvp(pulled_back, [*arrays, *cotangents], rng, order - 1, rtol=rtol)


def _check_declaration(op: Any) -> None:
    """Whether the operation comes with all that its tests are made from."""
    if not isinstance(op, Primitive):
        remedy = "decorate its forward with @tg.primitive(samples=[...])"
        raise ArgumentError(f"check_primitive: {type(op).__name__} is no operation", remedy=remedy)
    if op.samples in ((), []):
        remedy = (
            "write @tg.primitive(samples=[tg.Sample(np.array([0.5, -1.0]))]), a sample for each path through the code"
        )
        raise ArgumentError(f"{op.name} has no samples", remedy=remedy)
    if not (isinstance(op.samples, (list, tuple)) and all(hasattr(sample, "make") for sample in op.samples)):
        raise ArgumentError(f"{op.name}: samples must be a list of tg.Sample", remedy="write samples=[tg.Sample(...)]")
    if not (op.__doc__ or "").strip():
        remedy = "begin the forward with one sentence and the formula: help and tables show it"
        raise ArgumentError(f"{op.name} has no docstring", remedy=remedy)
    starred = [
        str(each) for each in op.signature.parameters.values() if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    if starred:
        remedy = "name each argument, or take a sequence of arrays first and declare variadic=True"
        raise ArgumentError(f"{op.name} takes {starred[0]}, which rules cannot be written for", remedy=remedy)
    if op.differentiable and not op.rules:
        remedy = f"write @{op.name}.vjp({op.parameters[0]!r}), or declare differentiable=False"
        raise ArgumentError(f"{op.name} has no rule", remedy=remedy)
    if op.rules and not op.differentiable:
        raise ArgumentError(f"{op.name} has rules and says differentiable=False", remedy="leave out one of them")


def _check_outputs(call: SampleCall) -> None:
    """Whether the forward returns arrays."""
    out = call(*call.arrays, using=lambda *args, **kwargs: call.op.run(args, kwargs))
    if call.op.residual and not (isinstance(out, tuple) and len(out) == 2):
        remedy = "return (out, residual), or leave out residual=True"
        raise ArgumentError(f"{call.__name__}: the forward returns {describe(out)} and no residual", remedy=remedy)
    for each in _tuple(out[0] if call.op.residual else out) or [out]:
        if not isinstance(each, (np.ndarray, np.generic)):
            what = f"{call.__name__}: the forward returns {describe(each)}, which is no array"
            raise DTypeError(what, remedy="return an array, or a tuple of them for several outputs")


def _check_forward(call: SampleCall) -> None:
    """Whether the forward keeps what it is given, and makes its results anew."""
    given = [value for value in flat(call.bound.arguments.values()) if isinstance(value, np.ndarray)]
    before = [value.copy() for value in given]
    outputs = _tuple(call(*call.arrays))
    if not all(map(_equal, given, before)):
        raise InPlaceError(f"{call.__name__}: the forward writes to its arguments", remedy="write to a copy")
    own = [out for out in outputs if not any(np.may_share_memory(out, value) for value in given)]
    others = _tuple(call(*[array.copy() for array in call.arrays]))
    if any(np.may_share_memory(out, other) for out in own for other in others):
        what = f"{call.__name__}: a second call overwrites the result of the first"
        raise InPlaceError(what, remedy="return a new array from each call")


def _check_float32(call: SampleCall) -> None:
    """Whether outputs are float32 where the inputs are; the tape sees to it that gradients are."""
    asked_for = any(isinstance(value, (type, np.dtype)) for value in call.bound.arguments.values())
    if asked_for or not call.arrays:
        return
    for out in call.recorded(call.arrays)[1]:
        if out.dtype != np.float32:
            remedy = "a float64 array or np.float64 number takes part: write a Python number, or .astype(x.dtype)"
            raise DTypeError(f"{call.__name__}: float32 arguments give {out.dtype}", remedy=remedy)


def _check_rules(call: SampleCall) -> None:
    """Whether the rules write to nothing, say the same again, and the same on tensors as on arrays."""
    leaves, outputs = call.recorded([array.copy() for array in call.arrays])
    if not any(out.requires_grad for out in outputs):
        raise GradientError(f"{call.__name__}: no output is floating", remedy="declare differentiable=False")
    _check_writes(call, outputs)
    leaves, outputs = call.recorded([array.copy() for array in call.arrays])
    total = call.total(outputs)
    first, again = gradients(total, leaves), gradients(total, leaves)
    on_tensors = _gradients_on_tensors(total, leaves)
    for name, a, b, c in zip(call.parameters, first, again, on_tensors, strict=True):
        if not _close(a.data, b.data):
            what = f"{call.__name__}: a second backward gives another gradient for {name}"
            raise GradcheckError(what, remedy="the rule must compute its residual again when it is None")
        if not _close(a.data, c.data):
            what = f"{call.__name__}: on tensors the rule for {name} computes something else than on arrays"
            raise GradcheckError(what, remedy="a residual is for arrays alone: compute it again where it is None")


def _gradients_on_tensors(total: Any, leaves: Sequence[Tensor]) -> Any:
    """The gradients as they can be differentiated again, of rules that are known to run on arrays."""
    try:
        return gradients(total, leaves, create_graph=True)
    except RuleError as error:
        what = "this rule runs on arrays, and not on tensors, as it must for derivatives of derivatives"
        error.remedy = f"{what}: write NumPy's functions and operators, np.exp(x) * g, no np.asarray, loops or writes"
        raise


def _check_writes(call: SampleCall, outputs: Sequence[Tensor]) -> None:
    """Whether a rule writes to what it is given, of which its residual alone is its own, and is as precise as that."""
    edge, seed = call.total(outputs)._seed(None)
    types: dict[str, Any] = {}
    with Sweep(edge, seed) as sweep:
        for rule, arguments, options in sweep:
            held = [value for value in flat(arguments) if isinstance(value, np.ndarray)]
            before = [value.copy() for value in held]
            sweep.contribution = rule(*arguments, **options)
            if sweep.node.op is call.op:
                types[rule.__name__] = np.asarray(sweep.contribution).dtype
            changed = [value for value, old in zip(held, before, strict=True) if not _equal(value, old)]
            if changed:
                break
    if changed:
        named = zip(inspect.signature(rule).parameters, arguments, strict=False)
        written = " and ".join([name for name, value in named if _among(value, changed)])
        remedy = "compute a new array; only a residual may be overwritten, if its memory is its own"
        raise InPlaceError(f"{call.__name__}: {rule.__name__} writes to {written}", remedy=remedy)
    for name, found in types.items():
        if found.kind in "iub" or (found.kind == "f" and found.itemsize < 8):
            remedy = "leave out .astype and arrays of that type: it is that of the argument"
            raise DTypeError(f"{call.__name__}: {name} returns {found} for arguments of float64", remedy=remedy)


def _check_memory(call: SampleCall) -> None:
    """Whether the layout of the arguments in memory makes no difference."""
    leaves, outputs = call.recorded(call.arrays)
    expected = [*(out.data for out in outputs), *(g.data for g in gradients(call.total(outputs), leaves))]
    for layout, view in LAYOUTS.items():
        leaves, outputs = call.recorded([view(array) for array in call.arrays])
        got = [*(out.data for out in outputs), *(g.data for g in gradients(call.total(outputs), leaves))]
        if not all(map(_close, got, expected)):
            what = f"{call.__name__}: arrays that lie in memory {layout} give other results"
            raise GradcheckError(what, remedy="use shapes and indices rather than strides, .ravel('K') or .view")


def _check_textbook(call: SampleCall) -> None:
    """Whether a fused operation and its derivatives equal those of its textbook spelling."""
    if call.op.unfused is None:
        return
    results = []
    for spelling in (call.op, call.op.unfused):
        leaves = [Tensor(array, requires_grad=True) for array in call.arrays]
        outputs = [out for out in _tuple(call(*leaves, using=spelling)) if out.dtype.kind == "f"]
        slopes = gradients(call.total(outputs), leaves, create_graph=True)
        squares: Any = sum((slope * slope).sum() for slope in slopes)
        second = gradients(squares, leaves) if squares.requires_grad else []
        results.append((outputs, slopes, second))
    for what, got, expected in zip(("value", "derivative", "second derivative"), *results, strict=True):
        for a, b in zip(got, expected, strict=True):
            if a.shape != b.shape or not np.allclose(a.data, b.data, 1e-8, 1e-11, equal_nan=True):
                raise GradcheckError(f"{call.__name__}: the {what} is not that of its textbook spelling")


def _cast(value: Any, dtype: Any) -> Any:
    """Floating arrays in a type, those within lists too: samples may hold arrays instead of recipes."""
    if isinstance(value, (list, tuple)):
        return type(value)([_cast(item, dtype) for item in value])
    floating = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    return value.astype(dtype) if floating else value


def _check_straightness(op: Primitive) -> None:
    """Warn of rules that the readers of the tape cannot open."""
    calls = [SampleCall(op, number).bound.arguments for number in range(len(op.samples))]
    arrays = {name for call in calls for name, value in call.items() if any(map(_is_array, flat([value])))}
    for rule in op.rules.values():
        crooked = crooked_lines(rule, [name for name in (*op.parameters, "position") if name not in arrays])
        if crooked:
            what = f"{op.name}: {rule.__name__} is no straight line because of `{crooked[0]}`"
            warn(f"{what}; branch on shapes and options alone, and write loops and masks with NumPy's functions")


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)


def _is_floating(value: Any) -> bool:
    return any(_is_array(each) and each.dtype.kind == "f" for each in flat([value]))


def _tuple(outputs: Any) -> tuple[Any, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _among(value: Any, arrays: Sequence[Any]) -> bool:
    return any(each is array for each in flat([value]) for array in arrays)


def _equal(a: Any, b: Any) -> bool:
    return np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f")


def _close(a: Any, b: Any) -> bool:
    return a.shape == b.shape and np.allclose(a, b, 1e-9, 1e-12, equal_nan=True)
