"""What an operation is: a forward in plain NumPy, one derivative rule per argument, samples, a place in the registry.

A rule maps the cotangent `g` of the output to the cotangent of one argument. It is a named top-level function, so
that a debugger's *step into* lands on the formula. Read `tape.py` next.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MethodType
from typing import Any, TypeAlias

from tinygrad_sm.errors import ArgumentError, TinygradError, from_numpy
from tinygrad_sm.methods import Methods
from tinygrad_sm.numpy_calls import NUMPY, gathered
from tinygrad_sm.operand import Operand

Array: TypeAlias = Any  # an ndarray; a Tensor where the derivative itself is being differentiated
Rule: TypeAlias = Callable[..., Any]

PRIMITIVES: dict[str, Primitive] = {}  # the registry: every operation by name


@dataclass(eq=False, repr=False)
class Primitive:
    """One operation, made by the decorator `primitive`.

    Called with arrays it runs its forward; a Tensor among the operands records the call instead.
    """

    forward: Callable[..., Any]
    samples: Sequence[Any] = ()
    elementwise: bool = False  # broadcasting is differentiated for it, and a zero cotangent stays zero times anything
    variadic: bool = False  # takes a sequence of arrays first, and its one rule is told the position
    residual: bool = False  # the forward returns (out, residual)
    differentiable: bool = True
    method: bool = True  # becomes a method of Tensor
    hint: str = ""  # what to do about shapes that do not fit
    misuse: Mapping[str, str] = field(default_factory=dict)  # op that made the first operand -> why that is wrong
    numpy: Sequence[Any] = ()  # NumPy's functions of the same meaning
    rules: dict[str, Rule] = field(default_factory=dict, init=False)
    unfused: Callable[..., Any] | None = field(default=None, init=False)  # the textbook spelling of a fused operation

    def __post_init__(self) -> None:
        functools.update_wrapper(self, self.forward)
        self.name = self.forward.__name__
        self.signature = inspect.signature(self.forward)
        self.parameters = tuple(self.signature.parameters)

    def vjp(self, argument: str) -> Callable[[Rule], Rule]:
        """Register the decorated function as the rule for one argument: rule(g, out, *arguments) -> a new array."""
        if argument not in self.parameters:
            raise ArgumentError(f"{self.name}.vjp: no argument {argument!r} among {', '.join(self.parameters)}")

        def register(rule: Rule) -> Rule:
            expected = ["g", "out", *(["position"] if self.variadic else []), *self.parameters]
            got = [name for name in inspect.signature(rule).parameters if name != "residual"]
            if got != expected:
                raise ArgumentError(f"{self.name}.vjp: a rule takes ({', '.join(expected)}), not ({', '.join(got)})")
            self.rules[argument] = rule
            return rule

        return register

    def textbook(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Register the unfused formula in plain operations: the oracle in tests, and what readers open the op into."""
        self.unfused = function
        return function

    def rule(self, position: int) -> Rule:
        """The rule for the operand at a position; KeyError where the operation is not differentiable in it."""
        return self.rules[self.parameters[0 if self.variadic else position]]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        operands = args
        if self.variadic and args:
            args = gathered(args)
            operands = args[0]
        for operand in (*operands, *kwargs.values()):
            if isinstance(operand, Operand):
                return operand.record(self, args, kwargs)
        out = self.run(args, kwargs)
        return out[0] if self.residual else out

    def run(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """The forward on plain arrays; what NumPy says of bad input becomes an error of ours."""
        try:
            return self.forward(*args, **kwargs)
        except TinygradError as error:
            raise error.inside(self.name) from error.__cause__
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            raise from_numpy(error, self.name, self.signature, args, kwargs, self.hint) from error

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The same call with every Tensor positional, as the tape wants it, and the operands of a variadic op flat."""
        if not (self.variadic or any(isinstance(value, Operand) for value in kwargs.values())):
            return args, kwargs
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise from_numpy(error, self.name, self.signature, args, kwargs, "") from error
        bound.apply_defaults()
        values, names = list(bound.arguments.values()), self.parameters
        if self.variadic:
            return tuple(values[0]), dict(zip(names[1:], values[1:], strict=True))
        count = 1 + max(i for i, value in enumerate(values) if isinstance(value, Operand))
        return tuple(values[:count]), dict(zip(names[count:], values[count:], strict=True))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)  # a function binds as a method, and so do we

    def __repr__(self) -> str:
        return f"<op {self.name}{self.signature}>"

    def __reduce__(self) -> str:
        return self.name  # pickled and copied by reference, as functions are


def primitive(*misplaced: Any, **traits: Any) -> Callable[[Callable[..., Any]], Primitive]:
    """Turn the decorated forward into a registered Primitive; the options are its fields, such as samples and numpy."""
    options = [each.name for each in fields(Primitive)[1:] if each.init]
    if wrong := [*map(repr, misplaced), *(traits.keys() - options)]:
        problem = f"primitive: takes {', '.join(options)} by name, not {wrong[0]}"
        raise ArgumentError(problem, remedy="write @primitive(samples=[Sample(...)]) above the forward")

    def register(forward: Callable[..., Any]) -> Primitive:
        op = Primitive(forward, **traits)
        earlier = PRIMITIVES.get(op.name)
        if earlier and earlier.__module__ != op.__module__:
            raise ArgumentError(f"{op.name} is registered by {earlier.__module__}", remedy="choose another name")
        PRIMITIVES[op.name] = op
        NUMPY.update(dict.fromkeys(op.numpy, op))
        if op.method:
            setattr(Methods, op.name, op)
        return op

    return register
