"""How something array-like speaks Python and NumPy: operators, conversions and NumPy's protocols.

All of it comes down to `apply`, which a subclass writes, and to `record`, its like for an operation at hand: `a + b` is
`a.apply("add", (a, b), {})`. What these do is no concern of this module; read `engine/tensor.py` for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_sm.display import describe
from tinygrad_sm.errors import DTypeError, GradientError, ShapeError
from tinygrad_sm.methods import Methods
from tinygrad_sm.numpy_calls import NUMPY, PLAIN, flat, translate, unsupported

DETACH = "write t.data for its values, or t.detach() for a tensor without the gradient"

# What readers of PyTorch's tutorials write first, and what it is called here.
ELSEWHERE = {
    "view": "reshape",
    "permute": "transpose",
    "unsqueeze": "expand_dims(axis)",
    "float": "astype(np.float32)",
    "long": "astype(int)",
    "gather": "take_along_axis(indices, axis)",
    "index_select": "take(indices, axis)",
    "masked_fill": "tg.where(mask, value, t)",
    "index_fill": "tg.index_update(t, index, value)",
    "sort": "tg.sort(t), which makes a new tensor",
    "chunk": "tg.array_split(t, parts)",
    "zero_grad": "t.grad = None",
    "requires_grad_": "t.requires_grad = True",
}


def _operator(name: str, swapped: bool = False) -> Callable[..., Any]:
    """A Python operator as a call of the operation of that name."""

    def operate(self: Operand, *other: Any) -> Any:
        return self.apply(name, (*other, self) if swapped else (self, *other), {})

    return operate


def _in_place(name: str) -> Callable[[Operand, Any], Any]:
    """An augmented assignment."""

    def operate(self: Operand, other: Any) -> Any:
        return self.update(name, other)

    return operate


class Operand(Methods):
    """An array that hands every operation it takes part in to its `apply`."""

    __slots__ = ()

    data: Any
    requires_grad: Any
    _maker: Any  # the operation without a derivative that a constant was made by, directly or not; may be unset

    record: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]  # what a primitive hands its call over to

    def __dir__(self) -> list[str]:
        # What completion and debuggers offer.
        return [name for name in super().__dir__() if not (name.startswith("_") or name in ELSEWHERE)]

    def apply(self, op: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Carry out the operation of that name, of which this is an operand."""
        raise TypeError(f"{type(self).__name__} has no apply(self, op, args, kwargs)")

    def update(self, op: str, other: Any) -> Any:
        """Carry out an augmented assignment such as `self += other`."""
        raise TypeError(f"{type(self).__name__} has no update(self, op, other)")

    __hash__ = object.__hash__
    __eq__, __ne__ = _operator("equal"), _operator("not_equal")  # by element, as NumPy's
    __lt__, __le__, __gt__, __ge__ = map(_operator, ("less", "less_equal", "greater", "greater_equal"))
    __and__, __or__, __xor__, __invert__ = map(_operator, ("bitwise_and", "bitwise_or", "bitwise_xor", "invert"))
    __neg__, __pos__, __abs__ = _operator("negative"), _operator("positive"), _operator("abs")
    __add__, __radd__, __iadd__ = _operator("add"), _operator("add", True), _in_place("add")
    __sub__, __rsub__, __isub__ = _operator("subtract"), _operator("subtract", True), _in_place("subtract")
    __mul__, __rmul__, __imul__ = _operator("multiply"), _operator("multiply", True), _in_place("multiply")
    __truediv__, __rtruediv__, __itruediv__ = _operator("divide"), _operator("divide", True), _in_place("divide")
    __floordiv__, __rfloordiv__ = _operator("floor_divide"), _operator("floor_divide", True)
    __mod__, __rmod__ = _operator("mod"), _operator("mod", True)
    __pow__, __rpow__, __ipow__ = _operator("power"), _operator("power", True), _in_place("power")
    __matmul__, __rmatmul__, __imatmul__ = _operator("matmul"), _operator("matmul", True), _in_place("matmul")

    def __getitem__(self, index: Any) -> Any:
        return self.apply("getitem", (self, plain(index)), {})

    def reshape(self, *shape: Any) -> Any:
        """The same values in another shape, given as a tuple or as separate lengths."""
        return self.apply("reshape", (self, shape[0] if len(shape) == 1 else shape), {})

    def transpose(self, *axes: Any) -> Any:
        """Axes in another order, given as a tuple or one by one; reversed if none is given."""
        return self.apply("transpose", (self, (axes[0] if len(axes) == 1 else axes) or None), {})

    @property
    def T(self) -> Any:
        """The transpose, all axes reversed."""
        return self.transpose()

    def item(self) -> Any:
        """The only element, as a Python number."""
        if self.data.size != 1:
            raise ShapeError(f"item() needs one element, and this tensor has shape {self.data.shape}")
        return self.data.item()

    def numpy(self) -> npt.NDArray[Any]:
        """The values as an ndarray; refused, as `np.asarray` is, where a gradient would get lost."""
        return np.asarray(self)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        return self.data.__index__()  # type: ignore[no-any-return]  # NumPy refuses all but integers

    def __bool__(self) -> bool:
        return bool(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if self.requires_grad:
            remedy = f"{DETACH}; of several in a list or tuple, as in out, state = lstm(x), take one, or tg.stack them"
            raise GradientError(f"np.asarray of a tensor {describe(self)} that carries a gradient", remedy=remedy)
        return np.array(self.data, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "__call__" and not kwargs and ufunc in NUMPY:
            return self.record(NUMPY[ufunc], inputs, {})
        called = ufunc if method == "__call__" else getattr(ufunc, method)
        return self._answer(called, ufunc.__name__ + f".{method}".removesuffix(".__call__"), inputs, kwargs)

    def __array_function__(self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        return self._answer(func, func.__name__, args, kwargs)

    def _answer(self, func: Callable[..., Any], name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Answer a NumPy function: record it, or run it on the values where no gradient could get lost."""
        if func in NUMPY:
            return self.record(NUMPY[func], *translate(func, NUMPY[func].signature, args, kwargs))
        if func is np.full_like and carries_gradient(args[1:], *kwargs.values()):
            raise GradientError("np.full_like: the fill value carries a gradient", remedy=DETACH)
        if func in PLAIN or not ("out" in kwargs or carries_gradient(args, *kwargs.values())):
            return func(*plain(tuple(args)), **{key: plain(value) for key, value in kwargs.items()})
        raise unsupported(func, name, (op.name for op in NUMPY.values()))


class _Elsewhere:
    """A name that operands do not have: whoever asks for it is told what to write.

    A `__getattr__` could say so too, but would make every other attribute of a tensor slower: 2 % of a small step.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        what = f"type object {owner.__name__!r}" if instance is None else f"{owner.__name__!r} object"
        raise AttributeError(f"{what} has no attribute {self.name!r}; write {ELSEWHERE[self.name]}")


for _name in ELSEWHERE:
    setattr(Operand, _name, _Elsewhere(_name))


def carries_gradient(*values: Any) -> bool:
    """Whether an operand among the values, in lists and tuples too, carries a gradient."""
    return any(isinstance(value, Operand) and value.requires_grad for value in flat(values))


def without_derivative(op: Any, operands: Sequence[Any]) -> Any:
    """The operation without a derivative that a constant comes from: this one, or what made an operand; or None."""
    if not op.differentiable:
        return op
    return next((maker for operand in operands if (maker := getattr(operand, "_maker", None))), None)


def plain(value: Any) -> Any:
    """Operands, in lists and tuples too, replaced by their arrays."""
    if isinstance(value, (list, tuple)):
        items = [plain(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return value.data if isinstance(value, Operand) else value


def as_array(value: Any, dtype: Any = None) -> Any:
    """What `np.asarray` makes of a value; an operand, which stands for an array, stays one.

    >>> as_array([1, 2], float)
    array([1., 2.])
    """
    if isinstance(value, Operand):
        return value if dtype is None else value.astype(dtype)
    return np.asarray(value, dtype=dtype)


def as_floating(value: Any) -> Any:
    """An array or operand of floating numbers, whole ones and booleans as float64; DTypeError for anything else.

    >>> as_floating(np.array([1, 2], np.int8))
    array([1., 2.])
    """
    array = as_array(value)
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"wants real numbers, not {array.dtype}")
    return array if array.dtype.kind == "f" else array.astype(float)
