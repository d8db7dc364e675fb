"""How a call of PyTorch is spelt here: for each of its functions one of the same arguments, made of our operations.

Names are those of PyTorch's own table of operations (`op_db`), which `nn.` modules are added to. A spelling raises
UnsupportedError, with the reason, for the kinds of calls that this library does not have.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import nn


class UnsupportedError(Exception):
    """A kind of call that this library does not have."""


@dataclass
class Spelling:
    """A function with PyTorch's arguments, the operations it stands for, and what of the call is compared."""

    function: Callable[..., Any]
    ops: tuple[str, ...]
    constants: tuple[str, ...] = ()  # arguments that PyTorch differentiates by and we do not by intent
    outputs: int | None = None  # how many of PyTorch's outputs have a counterpart


SPELLINGS: dict[str, Spelling] = {}


def spelt(name, *ops, **options):
    """Register the decorated function as the spelling of PyTorch's function of that name."""

    def register(function):
        SPELLINGS[name] = Spelling(function, ops, **options)
        return function

    return register


def is_here(op):
    """Whether an operation or a layer exists."""
    return any(hasattr(place, op) for place in (tg, tg.linalg, F, nn))


def unsupported_unless(condition, reason):
    if not condition:
        raise UnsupportedError(reason)


# --- elementwise ------------------------------------------------------------------------------------------------------

UNARY = {
    "abs": "abs", "acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh", "atan": "arctan",
    "atanh": "arctanh", "bitwise_not": "invert", "ceil": "ceil", "cos": "cos", "cosh": "cosh", "erf": "erf",
    "exp": "exp", "exp2": "exp2", "expm1": "expm1", "floor": "floor", "isfinite": "isfinite", "isinf": "isinf",
    "isnan": "isnan", "log": "log", "log10": "log10", "log1p": "log1p", "log2": "log2", "logical_not": "logical_not",
    "neg": "negative", "positive": "positive", "reciprocal": "reciprocal", "sigmoid": "sigmoid", "sign": "sign",
    "sin": "sin", "sinc": "sinc", "sinh": "sinh", "sqrt": "sqrt", "square": "square", "tan": "tan", "tanh": "tanh",
    "trunc": "trunc", "nn.functional.logsigmoid": "log_sigmoid", "nn.functional.relu": "relu",
    "deg2rad": "deg2rad", "fliplr": "fliplr", "flipud": "flipud", "nn.functional.hardsigmoid": "hardsigmoid",
    "nn.functional.hardswish": "hardswish", "nn.functional.mish": "mish", "nn.functional.relu6": "relu6",
    "nn.functional.selu": "selu", "nn.functional.silu": "silu", "nn.functional.softsign": "softsign",
    "nn.functional.tanhshrink": "tanhshrink", "rad2deg": "rad2deg",
}  # fmt: skip
BINARY = {
    "atan2": "arctan2", "bitwise_and": "bitwise_and", "bitwise_or": "bitwise_or", "bitwise_xor": "bitwise_xor",
    "eq": "equal", "floor_divide": "floor_divide", "fmod": "fmod", "ge": "greater_equal", "gt": "greater",
    "hypot": "hypot", "le": "less_equal", "logaddexp": "logaddexp", "logaddexp2": "logaddexp2",
    "logical_and": "logical_and", "logical_or": "logical_or", "lt": "less", "maximum": "maximum",
    "minimum": "minimum", "mul": "multiply", "ne": "not_equal", "pow": "power", "remainder": "mod",
    "true_divide": "divide", "xlogy": "xlogy",
}  # fmt: skip


def of_one(op):
    def function(input):
        return getattr(tg, op)(input)

    return function


def of_two(op):
    def function(input, other):
        return getattr(tg, op)(input, other)

    return function


for _name, _op in UNARY.items():
    SPELLINGS[_name] = Spelling(of_one(_op), (_op,))
for _name, _op in BINARY.items():
    SPELLINGS[_name] = Spelling(of_two(_op), (_op,))


@spelt("add", "add")
def add(input, other, alpha=1):
    return input + alpha * other


@spelt("sub", "subtract")
def sub(input, other, alpha=1):
    return input - alpha * other


@spelt("div", "divide")
def div(input, other, rounding_mode=None):
    rounding = {None: tg.positive, "floor": tg.floor, "trunc": tg.trunc}[rounding_mode]
    if rounding_mode == "floor":
        return tg.floor_divide(input, other)
    return rounding(tg.divide(input, other))


@spelt("__radd__", "add")
def radd(input, other):
    return other + input


@spelt("__rsub__", "subtract")
def rsub(input, other):
    return other - input


@spelt("__rmul__", "multiply")
def rmul(input, other):
    return other * input


@spelt("__rdiv__", "divide")
def rdiv(input, other):
    return other / input


@spelt("__rpow__", "power")
def rpow(input, other):
    return other**input


@spelt("__rmatmul__", "matmul")
def rmatmul(input, other):
    return other @ input


@spelt("round", "round", "rint")
def round(input, decimals=0):
    return tg.round(input, decimals) if decimals else tg.rint(input)


@spelt("clamp", "clip", constants=("min", "max"))
def clamp(input, min=None, max=None):
    shape = np.broadcast_shapes(*(np.shape(each) for each in (input, min, max) if each is not None))
    return tg.clip(tg.broadcast_to(input, shape), min, max)


@spelt("clamp_min", "maximum")
def clamp_min(input, min):
    return tg.maximum(input, min)


@spelt("clamp_max", "minimum")
def clamp_max(input, max):
    return tg.minimum(input, max)


@spelt("where", "where")
def where(input, condition, other):
    # PyTorch's sample hands over its operands as in input.where(condition, other).
    return tg.where(condition, input, other)


@spelt("masked_fill", "where")
def masked_fill(input, mask, value):
    return tg.where(mask, value, input)


# --- reductions -------------------------------------------------------------------------------------------------------


def axes(input, dim):
    """NumPy's axis for PyTorch's dim: no axes mean all of them, and a 0-d tensor has an axis in PyTorch."""
    if np.ndim(input) == 0 or dim is None or (isinstance(dim, (list, tuple)) and not dim):
        return None
    return tuple(dim) if isinstance(dim, (list, tuple)) else dim


def reduction(op):
    def function(input, dim=None, keepdim=False, *, dtype=None):
        return getattr(tg, op)(input, axes(input, dim), keepdims=keepdim)

    return function


for _name, _op in {"sum": "sum", "mean": "mean", "prod": "prod", "amax": "max", "amin": "min", "all": "all",
                   "any": "any", "logsumexp": "logsumexp", "argmax": "argmax", "argmin": "argmin"}.items():  # fmt: skip
    SPELLINGS[_name] = Spelling(reduction(_op), (_op,))


def extremum(reduce, argument, elementwise):
    """PyTorch's max and min: of everything, along a dim with the indices, or of two tensors."""

    def function(input, dim=None, keepdim=False, other=None):
        if dim is None:
            return getattr(tg, reduce)(input)
        if not isinstance(dim, int):
            return getattr(tg, elementwise)(input, dim)
        arguments = input, axes(input, dim)
        return [getattr(tg, name)(*arguments, keepdims=keepdim) for name in (reduce, argument)]

    return function


SPELLINGS["max"] = Spelling(extremum("max", "argmax", "maximum"), ("max", "argmax", "maximum"))
SPELLINGS["min"] = Spelling(extremum("min", "argmin", "minimum"), ("min", "argmin", "minimum"))


def deviation(op):
    def function(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        ddof = 1 if correction is None and unbiased is None else correction if unbiased is None else int(unbiased)
        return getattr(tg, op)(input, axes(input, dim), ddof=ddof, keepdims=keepdim)

    return function


SPELLINGS["std"] = Spelling(deviation("std"), ("std",))
SPELLINGS["var"] = Spelling(deviation("var"), ("var",))


@spelt("median", "median", outputs=1)
def median(input, dim=None, keepdim=False):
    return tg.median(input, axes(input, dim), keepdims=keepdim)


@spelt("quantile", "quantile", constants=("q",))
def quantile(input, q, dim=None, keepdim=False, *, interpolation="linear"):
    return tg.quantile(input, q, axes(input, dim), method=interpolation, keepdims=keepdim)


@spelt("linalg.vector_norm", "norm")
def vector_norm(input, ord=2, dim=None, keepdim=False, *, dtype=None):
    if np.ndim(input) == 0:
        return tg.reshape(tg.linalg.norm(tg.reshape(input, (1,)), ord), ())
    dims = axes(input, dim)
    if dims is None or (isinstance(dims, tuple) and len(dims) > 1):
        # NumPy takes two axes for those of a matrix: lay them out as one.
        dims = tuple(range(input.ndim)) if dims is None else dims
        last = tg.moveaxis(input, dims, tuple(range(-len(dims), 0)))
        out = tg.linalg.norm(tg.reshape(last, (*last.shape[: -len(dims)], -1)), ord, -1)
        kept = [1 if axis in {each % input.ndim for each in dims} else n for axis, n in enumerate(input.shape)]
        return tg.reshape(out, tuple(kept)) if keepdim else out
    return tg.linalg.norm(input, ord, dims, keepdims=keepdim)


@spelt("linalg.norm", "norm")
def linalg_norm(input, ord=None, dim=None, keepdim=False, *, dtype=None):
    return tg.linalg.norm(input, ord, tuple(dim) if isinstance(dim, list) else dim, keepdims=keepdim)


@spelt("trace", "trace")
def trace(input):
    return tg.trace(input)


# --- along an axis ----------------------------------------------------------------------------------------------------


def along(op, input, dim, *args, **kwargs):
    """An operation along one axis; a 0-d tensor has an axis of length 1 in PyTorch."""
    if np.ndim(input) == 0:
        return tg.reshape(getattr(tg, op)(tg.reshape(input, (1,)), *args, axis=0, **kwargs), ())
    return getattr(tg, op)(input, *args, axis=dim, **kwargs)


def scan(op):
    def function(input, dim, *, dtype=None):
        return along(op, input, dim)

    return function


for _op in ("cumsum", "cumprod", "logcumsumexp", "softmax", "log_softmax"):
    SPELLINGS[_op] = Spelling(scan(_op), (_op,))


@spelt("nn.functional.softmin", "softmax")
def softmin(input, dim, *, dtype=None):
    return along("softmax", -input, dim)


@spelt("sort", "sort", "argsort")
def sort(input, dim=-1, descending=False, *, stable=None):
    unsupported_unless(not descending, "descending order")
    return along("sort", input, dim), along("argsort", input, dim)


@spelt("argsort", "argsort")
def argsort(input, dim=-1, descending=False, *, stable=None):
    unsupported_unless(not descending, "descending order")
    return along("argsort", input, dim)


@spelt("msort", "sort")
def msort(input):
    return tg.sort(input, axis=0)


@spelt("diff", "diff")
def diff(input, n=1, dim=-1, prepend=None, append=None):
    unsupported_unless(prepend is None and append is None, "prepend and append")
    return tg.diff(input, n, dim)


# --- shapes -----------------------------------------------------------------------------------------------------------


@spelt("reshape", "reshape")
def reshape(input, *shape):
    return tg.reshape(input, tuple(shape[0]) if len(shape) == 1 and np.ndim(shape[0]) else shape)


@spelt("view", "reshape")
def view(input, *shape):
    unsupported_unless(not isinstance(shape[0], str), "views as another dtype")
    return reshape(input, *shape)


@spelt("ravel", "ravel")
def ravel(input):
    return tg.ravel(input)


@spelt("flatten", "flatten")
def flatten(input, start_dim=0, end_dim=-1):
    if np.ndim(input) == 0:
        return tg.reshape(input, (1,))
    return tg.flatten(input, start_dim, end_dim)


@spelt("permute", "transpose")
def permute(input, dims):
    return tg.transpose(input, tuple(dims))


@spelt("transpose", "swapaxes")
def transpose(input, dim0, dim1):
    return tg.swapaxes(input, dim0, dim1) if np.ndim(input) else tg.positive(input)


@spelt("t", "transpose")
def t(input):
    return tg.transpose(input)


@spelt("movedim", "moveaxis")
def movedim(input, source, destination):
    return tg.moveaxis(input, source, destination)


@spelt("squeeze", "squeeze")
def squeeze(input, dim=None):
    if dim is None or np.ndim(input) == 0:
        return tg.squeeze(input)
    dims = (dim,) if isinstance(dim, int) else dim
    return tg.squeeze(input, tuple(each for each in dims if input.shape[each] == 1))  # PyTorch leaves longer axes alone


@spelt("unsqueeze", "expand_dims")
def unsqueeze(input, dim):
    return tg.expand_dims(input, dim)


@spelt("broadcast_to", "broadcast_to")
def broadcast_to(input, size):
    return tg.broadcast_to(input, tuple(size))


@spelt("expand", "broadcast_to")
def expand(input, *size):
    size = size[0] if len(size) == 1 and np.ndim(size[0]) else size
    ahead = len(size) - np.ndim(input)
    wanted = [input.shape[i - ahead] if n == -1 else n for i, n in enumerate(size)]
    return tg.broadcast_to(input, tuple(wanted))


@spelt("cat", "concatenate")
def cat(tensors, dim=0):
    joined = [x for x in tensors if np.shape(x) != (0,)] or tensors  # PyTorch drops empty vectors among others
    return tg.concatenate(joined, axis=dim)


@spelt("stack", "stack")
def stack(tensors, dim=0):
    return tg.stack(tensors, axis=dim)


def joining(op):
    def function(tensors):
        return getattr(tg, op)(tensors)

    return function


for _op in ("hstack", "vstack", "column_stack"):
    SPELLINGS[_op] = Spelling(joining(_op), (_op,))


def at_least(op):
    def function(tensors, *others):
        several = tensors if isinstance(tensors, (list, tuple)) else (tensors, *others)
        return [getattr(tg, op)(x) for x in several]

    return function


for _op in ("atleast_1d", "atleast_2d", "atleast_3d"):
    SPELLINGS[_op] = Spelling(at_least(_op), (_op,))


@spelt("split", "split")
def split(input, split_size_or_sections, dim=0):
    sizes = split_size_or_sections
    ends = range(sizes, input.shape[dim], sizes) if isinstance(sizes, int) else np.cumsum(sizes)[:-1].tolist()
    return tg.split(input, list(ends), axis=dim)


@spelt("split_with_sizes", "split")
def split_with_sizes(input, split_sizes, dim=0):
    return split(input, split_sizes, dim)


def split_along(op):
    def function(input, indices_or_sections):
        return getattr(tg, op)(input, indices_or_sections)

    return function


for _op in ("hsplit", "vsplit"):
    SPELLINGS[_op] = Spelling(split_along(_op), (_op,))


@spelt("tensor_split", "array_split")
def tensor_split(input, indices_or_sections, dim=0):
    return tg.array_split(input, indices_or_sections, axis=dim)


@spelt("tile", "tile")
def tile(input, dims):
    return tg.tile(input, tuple(dims))


@spelt("repeat", "tile")
def repeat(input, repeats):
    return tg.tile(input, tuple(repeats))


@spelt("repeat_interleave", "repeat")
def repeat_interleave(input, repeats, dim=None, *, output_size=None):
    return tg.repeat(input, repeats, axis=dim)


@spelt("flip", "flip")
def flip(input, dims):
    return tg.flip(input, tuple(dims))


@spelt("roll", "roll")
def roll(input, shifts, dims=None):
    return tg.roll(input, shifts, dims or None if isinstance(dims, tuple) else dims)


@spelt("diag", "diag")
def diag(input, diagonal=0):
    return tg.diag(input, diagonal)


@spelt("diagonal", "diagonal")
def diagonal(input, offset=0, dim1=0, dim2=1):
    return tg.diagonal(input, offset, dim1, dim2)


@spelt("tril", "tril")
def tril(input, diagonal=0):
    return tg.tril(input, diagonal)


@spelt("triu", "triu")
def triu(input, diagonal=0):
    return tg.triu(input, diagonal)


@spelt("nn.functional.pad", "pad")
def pad(input, pad, mode="constant", value=None):
    unsupported_unless(min(pad, default=0) >= 0, "negative padding")
    unsupported_unless(mode == "constant" or not value, "a value beside mode")
    pairs = [tuple(pad[i : i + 2]) for i in range(0, len(pad), 2)][::-1]
    widths = [(0, 0)] * (np.ndim(input) - len(pairs)) + pairs
    names = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    options = {"constant_values": value or 0} if mode == "constant" else {}
    return tg.pad(input, widths, names[mode], **options)


# --- indexing ---------------------------------------------------------------------------------------------------------


@spelt("__getitem__", "getitem")
def getitem(input, index):
    several = isinstance(index, list) and any(not isinstance(each, int) for each in index)
    return input[tuple(index) if several else index]


@spelt("select", "getitem")
def select(input, dim, index):
    return input[(slice(None),) * (dim % input.ndim) + (index,)]


@spelt("narrow", "getitem")
def narrow(input, dim, start, length):
    start = int(start) % input.shape[dim] if int(start) < 0 else int(start)
    return input[(slice(None),) * (dim % input.ndim) + (slice(start, start + length),)]


@spelt("unbind", "getitem")
def unbind(input, dim=0):
    return [select(input, dim, i) for i in range(input.shape[dim])]


@spelt("take", "take")
def take(input, index):
    return tg.take(input, index)


@spelt("index_select", "take")
def index_select(input, dim, index):
    return along("take", input, dim, np.ravel(index))


@spelt("take_along_dim", "take_along_axis")
def take_along_dim(input, indices, dim=None):
    if dim is None:
        return tg.take_along_axis(tg.reshape(input, (-1,)), np.ravel(indices), 0)
    return tg.take_along_axis(input, indices, dim)


@spelt("gather", "take_along_axis")
def gather(input, dim, index, *, sparse_grad=False):
    if np.ndim(input) == 0:
        return tg.reshape(tg.reshape(input, (1,))[np.ravel(index)], np.shape(index))
    dim = dim % input.ndim
    # PyTorch lets the index be shorter along the other axes.
    return (
        tg.take_along_axis(input[_corner(input, index, dim)], index, dim)
        if index.size
        else input[:0].reshape(index.shape)
    )


def _corner(input, index, dim):
    return tuple(slice(None) if axis == dim else slice(n) for axis, n in enumerate(index.shape))


def _spread_along(input, dim, index, src):
    """The array of the shape of input with the values of src added where index says, along dim."""
    places = list(np.indices(index.shape))
    places[dim] = index
    return tg.scatter_add(src[tuple(slice(n) for n in index.shape)], tuple(places), input.shape)


@spelt("scatter_add", "scatter_add")
def scatter_add(input, dim, index, src):
    if np.ndim(input) == 0:
        return scatter_add(tg.reshape(input, (1,)), 0, np.reshape(index, (-1,)), tg.reshape(src, (-1,))).reshape(())
    return input + _spread_along(input, dim % input.ndim, index, src)


@spelt("index_add", "index_add")
def index_add(input, dim, index, source, *, alpha=1):
    if np.ndim(input) == 0:
        return index_add(input.reshape(1), 0, np.ravel(index), tg.reshape(source, (-1,)), alpha=alpha).reshape(())
    places = (slice(None),) * (dim % input.ndim) + (np.ravel(index),)
    return tg.index_add(input, places, alpha * source)


@spelt("index_put", "index_update", "scatter_add")
def index_put(input, indices, values, accumulate=False):
    if accumulate:
        shape = np.empty(input.shape)[tuple(indices)].shape
        return input + tg.scatter_add(tg.broadcast_to(values, shape), tuple(indices), input.shape)
    return tg.index_update(input, tuple(indices), values)


@spelt("index_copy", "index_update")
def index_copy(input, dim, index, source):
    if np.ndim(input) == 0:
        return tg.index_update(input, (), tg.reshape(source, ()))
    return tg.index_update(input, (slice(None),) * (dim % input.ndim) + (np.ravel(index),), source)


@spelt("select_scatter", "index_update")
def select_scatter(input, src, dim, index):
    return tg.index_update(input, (slice(None),) * (dim % input.ndim) + (index,), src)


# --- products and linear algebra --------------------------------------------------------------------------------------


@spelt("__rmod__", "mod")
def rmod(input, other):
    return other % input


@spelt("matmul", "matmul")
def matmul(input, other):
    return input @ other


for _name in ("mm", "bmm", "mv"):
    SPELLINGS[_name] = Spelling(matmul, ("matmul",))


def product(op):
    def function(input, other):
        return getattr(tg, op)(input, other)

    return function


for _op in ("dot", "inner", "outer", "vdot", "kron"):
    SPELLINGS[_op] = Spelling(product(_op), (_op,))


@spelt("tensordot", "tensordot")
def tensordot(input, other, dims=2):
    if not isinstance(dims, int):
        sizes = [[x.shape[axis] for axis in pair] for x, pair in zip((input, other), dims, strict=True)]
        unsupported_unless(sizes[0] == sizes[1], "summed axes of size 1 and another, which NumPy refuses")
    return tg.tensordot(input, other, dims)


@spelt("einsum", "einsum")
def einsum(operands, equation):
    unsupported_unless(
        "..." in equation.partition("->")[2] or "..." not in equation or "->" not in equation,
        "an ellipsis that is summed over, which NumPy refuses",
    )
    return tg.einsum(equation, *operands)


@spelt("linalg.det", "det")
def det(input):
    return tg.linalg.det(input)


@spelt("linalg.slogdet", "slogdet")
def slogdet(input):
    return tuple(tg.linalg.slogdet(input))


@spelt("linalg.inv", "inv")
def inv(input):
    return tg.linalg.inv(input)


@spelt("linalg.solve", "solve")
def solve(input, B, *, left=True):
    unsupported_unless(left, "left=False")
    vector = B.ndim == 1 or (B.ndim == input.ndim - 1 and B.shape == input.shape[:-1])  # NumPy 2 wants B 1-d for that
    return tg.linalg.solve(input, B[..., None])[..., 0] if vector else tg.linalg.solve(input, B)


@spelt("linalg.cholesky", "cholesky")
def cholesky(input, *, upper=False):
    factor = tg.linalg.cholesky(input)
    return tg.swapaxes(factor, -1, -2) if upper else factor


# --- activations ------------------------------------------------------------------------------------------------------


@spelt("nn.functional.leaky_relu", "leaky_relu")
def leaky_relu(input, negative_slope=0.01):
    return F.leaky_relu(input, negative_slope)


@spelt("nn.functional.elu", "elu")
def elu(input, alpha=1.0):
    return F.elu(input, alpha)


@spelt("nn.functional.softplus", "softplus")
def softplus(input, beta=1, threshold=20):
    unsupported_unless(threshold >= 20, "a low threshold, beyond which PyTorch's softplus is its argument")
    return F.softplus(beta * input) / beta


@spelt("nn.functional.gelu", "gelu")
def gelu(input, *, approximate="none"):
    return F.gelu(input, approximate=approximate)


@spelt("nn.functional.hardtanh", "hardtanh")
def hardtanh(input, min_val=-1.0, max_val=1.0):
    unsupported_unless(min_val < max_val, "min_val = max_val")
    return F.hardtanh(input, min_val, max_val)


@spelt("nn.functional.softshrink", "softshrink")
def softshrink(input, lambd=0.5):
    return F.softshrink(input, lambd)


@spelt("nn.functional.threshold", "threshold")
def threshold(input, threshold, value):
    return F.threshold(input, threshold, value)


@spelt("special.spherical_bessel_j0", "spherical_bessel")
def spherical_bessel_j0(input):
    return tg.spherical_bessel(input)


@spelt("nn.functional.prelu", "prelu")
def prelu(input, weight):
    return F.prelu(input, tg.reshape(weight, (1,)) if np.ndim(weight) == 0 else weight)


@spelt("nn.functional.glu", "glu")
def glu(input, dim=-1):
    return F.glu(input, dim)


# --- losses -----------------------------------------------------------------------------------------------------------


def mean_of(losses, reduction):
    return {"none": tg.positive, "sum": tg.sum, "mean": tg.mean}[reduction](losses)


@spelt("nn.functional.cross_entropy", "cross_entropy", constants=("weight",))
def cross_entropy(input, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    return F.cross_entropy(input, target, weight, ignore_index, label_smoothing, reduction)


@spelt("nn.functional.nll_loss", "nll_loss", constants=("weight",))
def nll_loss(input, target, weight=None, ignore_index=-100, reduction="mean"):
    return F.nll_loss(input, target, weight, ignore_index, reduction)


@spelt(
    "nn.functional.binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits",
    constants=("weight", "pos_weight"),
)
def binary_cross_entropy_with_logits(input, target, weight=None, reduction="mean", pos_weight=None):
    return F.binary_cross_entropy_with_logits(input, target, weight, pos_weight, reduction)


def regression(op):
    def function(input, target, reduction="mean"):
        return getattr(F, op)(input, target, reduction=reduction)

    return function


for _op in ("mse_loss", "l1_loss"):
    SPELLINGS[f"nn.functional.{_op}"] = Spelling(regression(_op), (_op,))


@spelt("nn.functional.huber_loss", "huber_loss")
def huber_loss(input, target, reduction="mean", delta=1.0):
    return F.huber_loss(input, target, delta=delta, reduction=reduction)


@spelt("nn.functional.smooth_l1_loss", "smooth_l1_loss")
def smooth_l1_loss(input, target, reduction="mean", beta=1.0):
    return F.smooth_l1_loss(input, target, beta=beta, reduction=reduction)


@spelt("nn.functional.kl_div", "kl_div")
def kl_div(input, target, reduction="mean", log_target=False):
    return F.kl_div(input, target, log_target=log_target, reduction=reduction)


# --- networks ---------------------------------------------------------------------------------------------------------


@spelt("nn.functional.linear", "linear")
def linear(input, weight, bias=None):
    return F.linear(input, tg.swapaxes(weight, 0, 1) if weight.ndim == 2 else weight, bias)


@spelt("nn.functional.conv1d", "conv1d")
def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    return F.conv1d(input, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)


@spelt("nn.functional.conv2d", "conv2d")
def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    return F.conv2d(input, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)


@spelt("nn.functional.conv_transpose2d", "conv_transpose2d")
def conv_transpose2d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    options = {"stride": stride, "padding": padding, "output_padding": output_padding, "groups": groups}
    return F.conv_transpose2d(input, weight, bias, **options, dilation=dilation)


def max_pool(op):
    def function(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        unsupported_unless(not ceil_mode, "ceil_mode")
        return getattr(F, op)(input, kernel_size, stride, padding, dilation)

    return function


for _op in ("max_pool1d", "max_pool2d"):
    SPELLINGS[f"nn.functional.{_op}"] = Spelling(max_pool(_op), (_op,), outputs=1)


@spelt("nn.functional.avg_pool1d", "avg_pool1d")
def avg_pool1d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    unsupported_unless(not ceil_mode, "ceil_mode")
    return F.avg_pool1d(input, kernel_size, stride, padding, count_include_pad=count_include_pad)


@spelt("nn.functional.avg_pool2d", "avg_pool2d")
def avg_pool2d(
    input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):
    unsupported_unless(not ceil_mode, "ceil_mode")
    unsupported_unless(stride != () and padding != (0,), "fewer sizes than axes")
    options = {"count_include_pad": count_include_pad, "divisor_override": divisor_override}
    return F.avg_pool2d(input, kernel_size, stride, padding, **options)


@spelt("nn.functional.adaptive_avg_pool2d", "adaptive_avg_pool2d")
def adaptive_avg_pool2d(input, output_size):
    return F.adaptive_avg_pool2d(input, output_size)


@spelt("nn.functional.batch_norm", "batch_norm", constants=("running_mean", "running_var"))
def batch_norm(input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    unsupported_unless(np.ndim(input) > 1, "an input without channels")
    unsupported_unless(momentum is None or 0 <= momentum <= 1, "a momentum that is no share")
    return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


@spelt("nn.functional.layer_norm", "layer_norm")
def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    unsupported_unless(eps >= 0, "a negative eps")
    return F.layer_norm(input, tuple(normalized_shape), weight, bias, eps)


@spelt("nn.functional.group_norm", "group_norm")
def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    unsupported_unless(eps >= 0, "a negative eps")
    return F.group_norm(input, num_groups, weight, bias, eps)


@spelt("nn.functional.embedding", "embedding")
def embedding(weight, input, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False):
    unsupported_unless(max_norm is None and not scale_grad_by_freq, "max_norm, scale_grad_by_freq")
    return F.embedding(input, weight)


@spelt("nn.functional.one_hot", "one_hot")
def one_hot(input, num_classes=-1):
    unsupported_unless(num_classes > 0, "a number of classes that the values decide")
    return F.one_hot(input, num_classes)


@spelt("nn.functional.scaled_dot_product_attention", "scaled_dot_product_attention")
def scaled_dot_product_attention(
    query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False
):
    unsupported_unless(not dropout_p, "random dropout")
    unsupported_unless(not enable_gqa, "enable_gqa")
    return F.scaled_dot_product_attention(query, key, value, attn_mask, is_causal=is_causal, scale=scale)


@spelt("nn.functional.dropout", "dropout")
def dropout(input, p=0.5, training=True, inplace=False):
    unsupported_unless(not training or p == 0, "a random mask")
    unsupported_unless(p < 1, "p = 1")
    unsupported_unless(not inplace, "inplace")
    return F.dropout(input, p, training)


# --- layers -----------------------------------------------------------------------------------------------------------


def with_weights(module, **weights):
    """The module with these tensors in the places of its parameters; those of PyTorch's matrices are transposed."""
    for name, value in weights.items():
        turned = name.startswith("weight") and np.ndim(value) == 2
        setattr(module, name, tg.swapaxes(value, 0, 1) if turned else value)
    return module


def cell(name):
    def function(input, state, weight_ih, weight_hh, bias_ih, bias_hh, **options):
        module = getattr(nn, name)(input.shape[-1], weight_hh.shape[1], dtype=float, **options)
        weights = {"weight_ih": weight_ih, "weight_hh": weight_hh, "bias_ih": bias_ih, "bias_hh": bias_hh}
        return with_weights(module, **weights)(input, state)

    return function


def sequence(name):
    def function(input, state, weight_ih, weight_hh, bias_ih, bias_hh, batch_first=False):
        module = getattr(nn, name)(input.shape[-1], weight_hh.shape[1], dtype=float, batch_first=batch_first)
        weights = {"weight_ih": weight_ih, "weight_hh": weight_hh, "bias_ih": bias_ih, "bias_hh": bias_hh}
        with_weights(module.cell, **weights)
        return module(input, state)

    return function


for _name in ("RNNCell", "GRUCell", "LSTMCell"):
    SPELLINGS[f"nn.{_name}"] = Spelling(cell(_name), (_name,))
for _name in ("RNN", "GRU", "LSTM"):
    SPELLINGS[f"nn.{_name}"] = Spelling(sequence(_name), (_name,))


def batch_norm_layer(name):
    def function(input, weight, bias, running_mean, running_var, momentum=0.1, eps=1e-5, training=True):
        module = getattr(nn, name)(len(weight), eps=eps, momentum=momentum, dtype=float).train(training)
        module.running_mean.data[:] = running_mean
        module.running_var.data[:] = running_var
        out = with_weights(module, weight=weight, bias=bias)(input)
        return out, module.running_mean.data, module.running_var.data

    return function


for _name in ("BatchNorm1d", "BatchNorm2d"):
    SPELLINGS[f"nn.{_name}"] = Spelling(batch_norm_layer(_name), (_name,))


@spelt("nn.MultiheadAttention", "MultiHeadAttention")
def multi_head_attention(query, key, value, in_proj_weight, in_proj_bias, out_weight, out_bias, heads, attn_mask=None):
    module = nn.MultiHeadAttention(query.shape[-1], heads, dtype=float)
    with_projections(module, in_proj_weight, in_proj_bias, out_weight, out_bias)
    return module(query, key, value, None if attn_mask is None else ~attn_mask)  # True leaves out in PyTorch's layer


def with_projections(module, in_proj_weight, in_proj_bias, out_weight, out_bias):
    """Put the weights of attention where they belong; PyTorch keeps three matrices in one."""
    for i, part in enumerate((module.q_proj, module.k_proj, module.v_proj)):
        rows = slice(i * module.embed_dim, (i + 1) * module.embed_dim)
        with_weights(part, weight=in_proj_weight[rows], bias=in_proj_bias[rows])
    with_weights(module.out_proj, weight=out_weight, bias=out_bias)


@spelt("nn.TransformerEncoderLayer", "TransformerBlock")
def transformer_block(input, attention, hidden, out, norm1, norm2, heads, is_causal=False):
    module = nn.TransformerBlock(input.shape[-1], heads, len(hidden[1]), dtype=float)
    with_projections(module.attention, *attention)
    for part, (weight, bias) in (
        (module.mlp[0], hidden),
        (module.mlp[2], out),
        (module.norm1, norm1),
        (module.norm2, norm2),
    ):
        with_weights(part, weight=weight, bias=bias)
    return module(input, is_causal=is_causal)


__all__ = ["SPELLINGS", "Spelling", "UnsupportedError", "is_here", "nn"]
