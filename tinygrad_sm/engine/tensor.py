"""Tensor: an array that remembers where it came from, and `backward`; its operators stand in `operand.py`."""

from __future__ import annotations

import operator
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_sm.display import brief, describe
from tinygrad_sm.effects import Effect, note_overwrite, tick
from tinygrad_sm.engine.primitive import PRIMITIVES, Primitive
from tinygrad_sm.engine.tape import RECORDING, Edge, Node, Sweep, Tape, reachable
from tinygrad_sm.errors import DTypeError, GradientError, InPlaceError, ShapeError, no_gradient, warn
from tinygrad_sm.location import RUNNING, caller
from tinygrad_sm.operand import DETACH, Operand, carries_gradient, plain, without_derivative


def record(op: Primitive, args: tuple[Any, ...], kwargs: dict[str, Any], effects: tuple[Effect, ...] = ()) -> Any:
    """Run an operation on the values of its operands and, where one carries a gradient, put it on the tape."""
    if op.variadic or kwargs:
        args, kwargs = op.bind(args, kwargs)
    values, parents = [], []
    for arg in args:
        is_tensor = isinstance(arg, Tensor)
        values.append(arg._data if is_tensor else arg)
        parents.append(arg._edge if is_tensor else None)
    out = op.run((values,) if op.variadic else values, kwargs)
    out, residual = out if op.residual else (out, None)
    if not (any(parents) and op.differentiable and RECORDING.get()):
        made = tuple(from_edge(each, None, op) for each in out) if isinstance(out, tuple) else from_edge(out, None, op)
        if isinstance(made, Tensor) and not (op.differentiable and any(parents)):
            made._maker = without_derivative(op, args)
        return made
    if op.misuse or not (len(op.rules) == len(op.parameters) or op.variadic):
        _check_operands(op, parents)
    module, where = RUNNING.get()
    order, where = tick(), where or caller()
    node = Node(op, tuple(values), kwargs, tuple(parents), out, residual, effects, (), order, where, module)
    if isinstance(out, tuple):
        tensors = tuple([from_edge(value, (node, i), op) for i, value in enumerate(out)])
        node.out, node.outputs = tuple([t._data for t in tensors]), tuple([weakref.ref(t) for t in tensors])
        return tensors
    tensor = from_edge(out, (node, 0), op)
    node.out, node.outputs = tensor._data, (weakref.ref(tensor),)
    return tensor


def _check_operands(op: Primitive, parents: Sequence[Edge | None]) -> None:
    """Refuse a gradient for an argument without a rule; warn of an operand that the op would transform twice."""
    for name, edge in zip(op.parameters, parents, strict=False):
        if edge and name not in op.rules:
            raise GradientError(f"{op.name} has no derivative for {name}", remedy=f"pass {name}.detach()")
    maker = parents[0][0].op if parents[0] else None
    if maker and maker.name in op.misuse:
        warn(op.misuse[maker.name])


def from_edge(value: Any, edge: Edge | None, op: Primitive | None = None) -> Tensor:
    """A tensor around the array that came by an edge, or around a constant, past the checks of the constructor."""
    tensor = Tensor.__new__(Tensor)
    tensor._data = data = np.asarray(value)
    if data.dtype.kind not in "fbiu":
        raise DTypeError((f"{op.name}: " if op else "") + f"tensors hold real numbers, not {data.dtype}")
    tensor._edge = edge if data.dtype.kind == "f" else None  # a cast to integers carries no gradient
    tensor.grad = tensor.name = tensor._used_grad = None
    return tensor


class Tensor(Operand):
    """An array with an optional gradient: `data`, and after `backward()` the derivative of the loss in `grad`.

    Args: data: anything `np.asarray` takes; a leaf (`requires_grad=True`) keeps its own copy. dtype: as in NumPy, kept
    as it is given; only floating types can require a gradient. name: shown by the readers of the tape.
    Raises DTypeError for what is not a real number. Pickles and deep copies hold the values, not the tape.

    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    array([2., 4.])
    """

    __slots__ = ("__weakref__", "_data", "_edge", "_maker", "_used_grad", "grad", "name")

    _data: npt.NDArray[Any]
    _edge: Edge | None  # the node that made it and which of its outputs it is; None for a constant
    _used_grad: npt.NDArray[Any] | None  # the gradient that an optimiser used last
    grad: npt.NDArray[Any] | None
    name: str | None

    def __init__(self, data: Any, *, requires_grad: bool = False, dtype: Any = None, name: str | None = None) -> None:
        if carries_gradient(data):
            raise GradientError("Tensor(t) would lose the gradient that t carries", remedy=DETACH)
        try:
            self._data = np.asarray(plain(data), dtype=dtype)
        except (ValueError, TypeError) as error:
            raise ShapeError(f"Tensor: {error}", remedy="give it numbers in rows of equal length") from error
        if self._data.dtype.kind not in "biuf":
            raise DTypeError(f"Tensor holds real numbers, not {self._data.dtype}")
        self._edge, self._used_grad, self.grad, self.name = None, None, None, name
        self.requires_grad = requires_grad

    @property
    def data(self) -> npt.NDArray[Any]:
        """The values, as the ndarray itself; assigning replaces the array."""
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        fresh = Tensor(plain(value))._data
        if not self.is_leaf or (self.requires_grad and fresh.dtype.kind != "f"):
            raise InPlaceError(
                f"data of {self!r} cannot become {describe(fresh)}", remedy="a leaf takes floating values"
            )
        note_overwrite(self._data)
        self._data = fresh
        if self._edge:
            self._edge[0].out = fresh

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to or through this tensor; may be set on leaves."""
        return self._edge is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if not self.is_leaf and not value:
            raise GradientError("only a leaf can stop requiring a gradient", remedy=DETACH)
        if value and self._data.dtype.kind != "f":
            remedy = "write 1.0 for 1, or pass dtype=float"
            raise DTypeError(f"Tensor: {self.dtype} cannot require a gradient, floating types can", remedy=remedy)
        if value and not self._edge:
            self._data = self._data.copy()  # a leaf is updated in place, and its values are nobody else's
            node = Node(None, (), {}, (), self._data, outputs=(weakref.ref(self),))
            self._edge = (node, 0)
        elif not value:
            self._edge = None

    @property
    def is_leaf(self) -> bool:
        """Whether the user made it, rather than an operation that was recorded."""
        return self._edge is None or self._edge[0].op is None

    record = staticmethod(record)

    def apply(self, op: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Record a call of the operation of that name, of which this tensor is an operand."""
        return record(PRIMITIVES[op], args, kwargs)

    def update(self, op: str, other: Any) -> Any:
        """An augmented assignment: in place on constants and, under no_grad, on leaves; else a new tensor."""
        if not self.is_leaf or (RECORDING.get() and not self.requires_grad and carries_gradient(other)):
            return self.apply(op, (self, other), {})
        self[...] = PRIMITIVES[op].run((self._data, plain(other)), {})
        return self

    def detach(self) -> Tensor:
        """A constant that shares the values."""
        return from_edge(self._data, None)

    def tape(self) -> Tape:
        """What was recorded to compute this tensor, oldest first."""
        return Tape(reachable(self._edge[0]) if self._edge else ())

    def backward(self, cotangent: Any = None, *, retain_grads: bool = False) -> None:
        """Add the derivative of this tensor to `grad` of every leaf that it was computed from.

        Args: cotangent: derivative of the loss with respect to this tensor, of its shape; 1 for a scalar.
        retain_grads: fill `grad` of the tensors in between too.
        Raises GradientError if it carries no gradient or is not a scalar, StaleValueError if a value was overwritten.
        """
        edge, seed = self._seed(cotangent)
        with Sweep(edge, seed, keep=retain_grads) as sweep:
            for rule, arguments, options in sweep:
                sweep.contribution = rule(*arguments, **options)
        for (node, index), g in sweep.cotangents.items():
            tensor = node.outputs[index]()
            if tensor is not None:
                tensor._accumulate(g)

    def _seed(self, cotangent: Any) -> tuple[Edge, Any]:
        """The edge to start from and the cotangent to start with."""
        if self._edge is None:
            raise no_gradient("backward", self)
        if cotangent is None and self.size != 1:
            remedy = "reduce it with .mean() or .sum(), or pass a cotangent of its shape"
            raise GradientError(f"backward: starts from a scalar, not from shape {self.shape}", remedy=remedy)
        if cotangent is None:
            return self._edge, np.ones(self.shape, self.dtype)
        seed = Tensor(plain(cotangent)).data.astype(self.dtype)
        if seed.shape != self.shape:
            raise ShapeError(f"backward: cotangent {seed.shape} for a tensor of shape {self.shape}")
        return self._edge, seed

    def _accumulate(self, g: npt.NDArray[Any]) -> None:
        """Add to `grad`, out of place, so that nobody who holds the old array sees it change."""
        total = g if self.grad is None else np.asarray(self.grad + g)
        used = self.grad is not None and self._used_grad is self.grad and self.grad.any()
        self.grad, self._used_grad = total, total if used else None

    def __setitem__(self, index: Any, value: Any) -> None:
        """Overwrite elements, where that falsifies no tape."""
        if not self.is_leaf or (self.requires_grad and RECORDING.get()):
            remedy = "update a leaf inside `with no_grad():`; build new values with tg.where or arithmetic"
            raise InPlaceError(f"in-place update of a tensor {describe(self)} that carries a gradient", remedy=remedy)
        if RECORDING.get() and carries_gradient(value):
            raise InPlaceError("the assigned value carries a gradient, which would be lost", remedy=DETACH)
        try:
            self._data[plain(index)] = np.asarray(plain(value)).astype(self.dtype, casting="same_kind")
        except (ValueError, TypeError, IndexError) as error:
            raise ShapeError(f"in-place update of {describe(self)} with {describe(value)}: {error}") from error
        note_overwrite(self._data)

    def __repr__(self) -> str:
        if not hasattr(self, "name"):  # a debugger may ask while it is being made
            return f"<{type(self).__name__} in the making>"
        traits = (", requires_grad=True" if self.requires_grad else "") + (f", name={self.name!r}" if self.name else "")
        return f"{type(self).__name__}({self.shape} {self.dtype}, {brief(self._data)}{traits})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self._data, self.requires_grad and self.is_leaf, self.name, self.grad)


for _name in ("shape", "ndim", "size", "dtype"):  # getters that run in C; methods.pyi declares them
    setattr(Tensor, _name, property(operator.attrgetter(f"_data.{_name}"), doc=f"The array's {_name}, as in NumPy."))


def _rebuild(kind: type[Tensor], data: Any, requires_grad: bool, name: str | None, grad: Any) -> Tensor:
    """The tensor that a pickle or a deep copy describes."""
    tensor = kind(data, requires_grad=requires_grad, name=name)
    tensor.grad = None if grad is None else np.array(grad)
    return tensor
