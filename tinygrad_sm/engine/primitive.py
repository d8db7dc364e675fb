"""What an operation is: a forward in plain NumPy, one derivative rule per argument, samples, and a place in the registry.

A rule maps the cotangent `g` of the output to the cotangent of one argument. It is a named top-level function, so
that a debugger's *step into* lands on the formula. Read `tape.py` next.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MethodType
from typing import Any, TypeAlias

from tinygrad_sm.engine.methods import Operand
from tinygrad_sm.errors import ArgumentError, TinygradError, from_numpy

Array: TypeAlias = Any  # an ndarray; a Tensor where the derivative itself is being differentiated
Rule: TypeAlias = Callable[..., Any]

PRIMITIVES: dict[str, Primitive] = {}  # the registry: every operation by name
NUMPY: dict[Any, Primitive] = {}  # the NumPy functions that tensors answer to

BROADCASTING = "axes are matched from the last one and must be equal or 1; insert one with x[:, None] or reshape"


class Primitive:
    """One operation. Called with arrays it runs its forward; a Tensor among the operands records the call instead.

    Made by the decorator `primitive`. `elementwise` operations get NumPy broadcasting differentiated for them, and the
    law that a zero cotangent stays zero whatever it is multiplied with; `variadic` ones take a sequence of arrays
    first, and their one rule is told the position; `residual` ones return `(out, residual)` from the forward.
    """

    def __init__(self, forward: Callable[..., Any], samples: Sequence[Any], **traits: Any) -> None:
        functools.update_wrapper(self, forward)
        self.forward = forward
        self.name = forward.__name__
        self.signature = inspect.signature(forward)
        self.parameters = tuple(self.signature.parameters)
        self.samples = list(samples)
        self.rules: dict[str, Rule] = {}
        self.unfused: Callable[..., Any] | None = None  # the textbook spelling of a fused operation
        self.elementwise: bool = traits.pop("elementwise", False)
        self.variadic: bool = traits.pop("variadic", False)
        self.residual: bool = traits.pop("residual", False)
        self.differentiable: bool = traits.pop("differentiable", True)
        self.method: bool = traits.pop("method", True)
        self.hint: str = traits.pop("hint", BROADCASTING if self.elementwise else "")
        self.misuse: Mapping[str, str] = traits.pop("misuse", {})  # op that made the first operand -> why that is wrong
        self.numpy: Sequence[Any] = traits.pop("numpy", ())  # NumPy's functions of the same meaning
        if traits:
            raise ArgumentError(f"primitive {self.name}: unknown options {sorted(traits)}")

    def vjp(self, argument: str) -> Callable[[Rule], Rule]:
        """Register the decorated function as the rule for one argument: `rule(g, out, *arguments)` -> cotangent."""
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

    def rule(self, position: int) -> Rule | None:
        """The rule for the operand at a position, None where the operation is not differentiable in it."""
        return self.rules.get(self.parameters[0 if self.variadic else position])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        operands = args[0] if self.variadic and args and isinstance(args[0], (list, tuple)) else args
        for operand in (*operands, *kwargs.values()):
            if isinstance(operand, Operand):
                return operand.apply(self, args, kwargs)
        out = self.run(args, kwargs)
        return out[0] if self.residual else out

    def run(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """The forward on plain arrays; what NumPy says of bad input becomes an error of ours."""
        try:
            return self.forward(*args, **kwargs)
        except TinygradError as error:
            raise error.inside(self.name) from error.__cause__
        except (ValueError, TypeError, IndexError) as error:
            raise from_numpy(error, self.name, self.signature, args, kwargs, self.hint) from error

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The same call with every Tensor positional, as the tape wants it, and the operands of a variadic op flat."""
        if self.variadic:
            return tuple(args[0]), dict(zip(self.parameters[1:], args[1:], strict=False)) | kwargs
        arguments = self.signature.bind(*args, **kwargs)
        arguments.apply_defaults()
        values = [arguments.arguments[name] for name in self.parameters]
        count = 1 + max(i for i, value in enumerate(values) if isinstance(value, Operand))
        later = self.parameters[count:]
        return tuple(values[:count]), dict(zip(later, values[count:], strict=True))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)  # a function binds as a method, and so do we

    def __repr__(self) -> str:
        return f"<op {self.name}{self.signature}>"

    def __reduce__(self) -> str:
        return self.name  # pickled and copied by reference, as functions are


def primitive(*, samples: Sequence[Any] = (), **traits: Any) -> Callable[[Callable[..., Any]], Primitive]:
    """Turn the decorated forward into a Primitive and register it under its name, as a method too unless told not to.

    >>> @primitive()
    ... def twice(x):
    ...     "Two times x."
    ...     return 2 * x
    >>> @twice.vjp("x")
    ... def twice_vjp_x(g, out, x):
    ...     return 2 * g
    >>> twice(21)
    42
    """

    def register(forward: Callable[..., Any]) -> Primitive:
        op = Primitive(forward, samples, **traits)
        earlier = PRIMITIVES.get(op.name)
        if earlier and earlier.__module__ != op.__module__:
            raise ArgumentError(f"{op.name} is registered by {earlier.__module__}", remedy="choose another name")
        PRIMITIVES[op.name] = op
        NUMPY.update(dict.fromkeys(op.numpy, op))
        if op.method:
            setattr(Operand, op.name, op)
        return op

    return register


def unbroadcast(g: Array, shape: tuple[int, ...]) -> Array:
    """Sum `g` over the axes that broadcasting added or stretched, back to an operand's own shape."""
    if g.shape == shape:
        return g
    added = g.ndim - len(shape)
    stretched = [added + i for i, n in enumerate(shape) if n == 1 and g.shape[added + i] != 1]
    return g.sum(axis=(*range(added), *stretched), keepdims=True).reshape(shape)
