"""The first layers: Linear, Sequential, Flatten, Dropout and MLP; activations stand in `activations.py`."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_sm.display import describe
from tinygrad_sm.errors import ArgumentError, ShapeError
from tinygrad_sm.nn import functional as F
from tinygrad_sm.nn import init
from tinygrad_sm.nn.activations import ACTIVATIONS
from tinygrad_sm.nn.module import Module, Parameter
from tinygrad_sm.nn.sizes import check_sizes
from tinygrad_sm.operand import as_array
from tinygrad_sm.randomness import generator_or_default


class Linear(Module):
    """Affine map of the last axis: out = x @ weight + bias.

    Args: in_features, out_features; bias=False leaves it out; initial: an initialiser from `nn.init` for the weight,
    by default uniform between -1/sqrt(in_features) and 1/sqrt(in_features) for both. Maps (..., in_features) to
    (..., out_features). `weight` is (in_features, out_features), transposed with respect to PyTorch's. Raises
    ArgumentError for sizes below 1, and for what is no such initialiser.

    >>> Linear(3, 2)(np.ones((4, 3), np.float32)).shape
    (4, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        initial: init.Initialiser | None = None,
        dtype: Any = np.float32,
        generator: np.random.Generator | None = None,
    ) -> None:
        shape = (in_features, out_features)
        check_sizes("Linear", in_features=in_features, out_features=out_features)
        generator = generator_or_default(generator)
        bound = 1 / math.sqrt(in_features)
        if initial:
            self.weight = Parameter(_drawn(initial, shape, generator, dtype))
        else:
            self.weight = Parameter(generator.uniform(-bound, bound, shape).astype(dtype))
        self.bias: Parameter | None = None
        if bias:
            values = np.zeros(out_features) if initial else generator.uniform(-bound, bound, out_features)
            self.bias = Parameter(values.astype(dtype))

    def forward(self, x: Any) -> Any:
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        in_features, out_features = self.weight.shape
        return f"{in_features}, {out_features}" + ("" if self.bias is not None else ", bias=False")


def _drawn(initial: Any, shape: tuple[int, int], generator: np.random.Generator, dtype: Any) -> Any:
    """The weights that an initialiser draws; refused is what is none."""
    remedy = "pass one of nn.init, such as nn.init.xavier_uniform, or a function of (shape, *, generator, dtype)"
    try:
        inspect.signature(initial).bind(shape, generator=generator, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"Linear: initial={initial!r}: {error}", remedy=remedy) from None
    values = initial(shape, generator=generator, dtype=dtype)
    if np.shape(values) != shape:
        what = f"Linear: initial returned {describe(values)}"
        raise ShapeError(what, remedy=f"return an array of the shape that it is given, here {shape}")
    return values


class Sequential(Module):
    """Modules applied one after the other, named 0, 1, 2, ...; `model[0]`, `len(model)` and loops work as on a list.

    >>> from tinygrad_sm.nn import ReLU
    >>> model = Sequential(Linear(2, 3), ReLU(), Linear(3, 1))
    >>> [name for name, _ in model.named_parameters()]
    ['0.weight', '0.bias', '2.weight', '2.bias']
    """

    def __init__(self, *modules: Module) -> None:
        for i, module in enumerate(modules):
            if not isinstance(module, Module):
                remedy = "write Sequential(Linear(2, 3), ReLU()), or Sequential(*modules) for a list of them"
                raise ArgumentError(f"Sequential: item {i} is {type(module).__name__}, not a Module", remedy=remedy)
            setattr(self, str(i), module)

    def forward(self, x: Any) -> Any:
        for module in self:
            x = module(x)
        return x

    def __iter__(self) -> Iterator[Module]:
        return iter([value for value in vars(self).values() if isinstance(value, Module)])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, index: int) -> Module:
        return list(self)[index]


class Flatten(Module):
    """All axes but the first made one: (N, ...) to (N, D)."""

    def forward(self, x: Any) -> Any:
        x = as_array(x)
        if not x.ndim:
            raise ShapeError("Flatten: x () has no axes", remedy="give it shape (N, ...)")
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))


class Dropout(Module):
    """While training, zero each value with probability p and scale the others by 1 / (1 - p); see `F.dropout`.

    >>> Dropout(0.5).eval()(np.ones(3))
    array([1., 1., 1.])
    """

    def __init__(self, p: float = 0.5, *, generator: np.random.Generator | None = None) -> None:
        F.dropout(np.empty(0), p, generator=generator)  # refuses wrong arguments now rather than in the first step
        self.p = p
        self.generator = generator

    def forward(self, x: Any) -> Any:
        return F.dropout(x, self.p, self.training, generator=self.generator)

    def extra_repr(self) -> str:
        return f"{self.p}"


class MLP(Sequential):
    """Multi-layer perceptron: linear layers with an activation between them, and dropout after it.

    Args: sizes: [in_features, hidden, ..., out_features]; activation: a name from `ACTIVATIONS`; dropout: probability.
    Weights start from Kaiming's initialisation for rectifiers and from Xavier's otherwise, biases from 0. Maps
    (N, in_features) to (N, out_features); the output is not activated, as `cross_entropy` expects. Raises ArgumentError
    for fewer than two sizes and for an unknown activation.

    >>> MLP([64, 32, 10])(np.ones((5, 64), np.float32)).shape
    (5, 10)
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str = "relu",
        *,
        dropout: float = 0.0,
        generator: np.random.Generator | None = None,
    ) -> None:
        if not hasattr(sizes, "__len__") or isinstance(sizes, str):
            raise ArgumentError(f"MLP: sizes={sizes!r}", remedy="give all of them in a list, as in MLP([64, 32, 10])")
        if len(sizes) < 2:
            raise ArgumentError(f"MLP({list(sizes)})", remedy="give at least the sizes of the input and the output")
        if not isinstance(activation, str) or activation not in ACTIVATIONS:
            raise ArgumentError(f"MLP: unknown activation {activation!r}", remedy=f"one of {', '.join(ACTIVATIONS)}")
        rectifier = activation in ("relu", "leaky_relu", "elu", "softplus", "gelu", "silu", "mish")
        initial = init.kaiming_normal if rectifier else init.xavier_uniform
        layers: list[Module] = []
        for i, (width, following) in enumerate(itertools.pairwise(sizes)):
            if i:
                layers.append(ACTIVATIONS[activation]())
                layers += [Dropout(dropout, generator=generator)] if dropout else []
            layers.append(Linear(width, following, initial=initial, generator=generator))
        super().__init__(*layers)
