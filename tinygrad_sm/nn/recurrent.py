"""Recurrent layers: cells that take one step of a sequence, and layers that take all of them.

The weights of the gates stand side by side, (in, gates * hidden), in PyTorch's order. All start uniform between
-1/sqrt(hidden_size) and 1/sqrt(hidden_size).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_sm.errors import ArgumentError, ShapeError
from tinygrad_sm.nn import functional as F
from tinygrad_sm.nn.module import Module, Parameter
from tinygrad_sm.nn.sizes import check_sizes
from tinygrad_sm.operand import as_floating
from tinygrad_sm.ops import stack
from tinygrad_sm.randomness import generator_or_default


class _Cell(Module):
    """What cells share: weights of the input and of the state, and the checks of both."""

    _gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        dtype: Any = np.float32,
        generator: np.random.Generator | None = None,
    ) -> None:
        check_sizes(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size = input_size, hidden_size
        generator, bound, width = generator_or_default(generator), 1 / math.sqrt(hidden_size), self._gates * hidden_size

        def drawn(*shape: int) -> Parameter:
            return Parameter(generator.uniform(-bound, bound, shape).astype(dtype))

        self.weight_ih, self.weight_hh = drawn(input_size, width), drawn(hidden_size, width)
        self.bias_ih = drawn(width) if bias else None
        self.bias_hh = drawn(width) if bias else None

    def _of_input(self, x: Any) -> Any:
        return F.linear(x, self.weight_ih, self.bias_ih)

    def _of_state(self, h: Any) -> Any:
        return F.linear(h, self.weight_hh, self.bias_hh)

    def _gate(self, gates: Any, i: int) -> Any:
        return gates[..., i * self.hidden_size : (i + 1) * self.hidden_size]

    def _checked(self, x: Any, h: Any) -> Any:
        """The state, zeros if it is not given; ShapeError if it or the input does not fit."""
        name, shape = type(self).__name__, np.shape(x)
        if len(shape) not in (1, 2) or shape[-1] != self.input_size:
            remedy = f"give it shape (N, {self.input_size})"
            raise ShapeError(f"{name}: x {shape} does not fit input_size={self.input_size}", remedy=remedy)
        wanted = (*shape[:-1], self.hidden_size)
        if h is None:
            return np.zeros(wanted, self.weight_hh.dtype)
        if np.shape(h) != wanted:
            raise ShapeError(f"{name}: state {np.shape(h)} for x {shape}", remedy=f"give it shape {wanted}")
        return h

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias_ih is not None else ", bias=False")


class RNNCell(_Cell):
    """One step of an Elman network: h' = tanh(x W_ih + b_ih + h W_hh + b_hh).

    Args: input_size I, hidden_size H; nonlinearity: "tanh" or "relu". Called with x (N, I) and h (N, H), zeros if None;
    returns h' (N, H). Raises ArgumentError for another nonlinearity.
    Source: J. L. Elman, Finding structure in time, Cognitive Science 14, 1990.

    >>> RNNCell(3, 2)(np.ones((4, 3), np.float32)).shape
    (4, 2)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        dtype: Any = np.float32,
        generator: np.random.Generator | None = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ArgumentError(f"RNNCell: nonlinearity={nonlinearity!r}", remedy='pass "tanh" or "relu"')
        super().__init__(input_size, hidden_size, bias, dtype=dtype, generator=generator)
        self.nonlinearity = nonlinearity

    def extra_repr(self) -> str:
        return super().extra_repr() + (', nonlinearity="relu"' if self.nonlinearity == "relu" else "")

    def forward(self, x: Any, h: Any = None) -> Any:
        h = self._checked(x, h)
        total = self._of_input(x) + self._of_state(h)
        return F.tanh(total) if self.nonlinearity == "tanh" else F.relu(total)


class GRUCell(_Cell):
    """One step of gated recurrent units: h' = (1 - z) n + z h, with a reset and an update gate.

    r = sigmoid(x W_ir + b_ir + h W_hr + b_hr), z likewise, n = tanh(x W_in + b_in + r (h W_hn + b_hn)).

    Args: input_size I, hidden_size H. Called with x (N, I) and h (N, H), zeros if None; returns h' (N, H). The columns
    of the weights are those of r, z and n.
    Source: K. Cho et al., Learning phrase representations using RNN encoder-decoder, EMNLP 2014.

    >>> GRUCell(3, 2)(np.ones((4, 3), np.float32)).shape
    (4, 2)
    """

    _gates = 3

    def forward(self, x: Any, h: Any = None) -> Any:
        h = self._checked(x, h)
        of_x, of_h = self._of_input(x), self._of_state(h)
        r = F.sigmoid(self._gate(of_x, 0) + self._gate(of_h, 0))
        z = F.sigmoid(self._gate(of_x, 1) + self._gate(of_h, 1))
        n = F.tanh(self._gate(of_x, 2) + r * self._gate(of_h, 2))
        return n + z * (h - n)


class LSTMCell(_Cell):
    """One step of long short-term memory: c' = f c + i g, h' = o tanh(c'), with input, forget and output gates.

    i, f, o = sigmoid(x W_i + b_i + h W_h + b_h) and g = tanh of the like, each with columns of its own.

    Args: input_size I, hidden_size H. Called with x (N, I) and (h, c), both (N, H), zeros if None; returns (h', c').
    The columns of the weights are those of i, f, g and o.
    Source: S. Hochreiter and J. Schmidhuber, Long short-term memory, Neural Computation 9, 1997.

    >>> h, c = LSTMCell(3, 2)(np.ones((4, 3), np.float32))
    >>> h.shape, c.shape
    ((4, 2), (4, 2))
    """

    _gates = 4

    def forward(self, x: Any, state: Any = None) -> tuple[Any, Any]:
        if state is not None and (not isinstance(state, (tuple, list)) or len(state) != 2):
            raise ArgumentError("LSTMCell: the state is no pair", remedy="pass (h, c), as it returns them")
        h, c = (None, None) if state is None else state
        h, c = self._checked(x, h), self._checked(x, c)
        gates = self._of_input(x) + self._of_state(h)
        i = F.sigmoid(self._gate(gates, 0))
        f = F.sigmoid(self._gate(gates, 1))
        g = F.tanh(self._gate(gates, 2))
        o = F.sigmoid(self._gate(gates, 3))
        c = f * c + i * g
        return o * F.tanh(c), c


class _Recurrent(Module):
    """A cell taken along a sequence."""

    _cell: type[_Cell]
    _options: frozenset[str] = frozenset()  # those of the cell

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        dtype: Any = np.float32,
        generator: np.random.Generator | None = None,
        **options: Any,
    ) -> None:
        if num_layers != 1 or not options.keys() <= self._options:
            given = [f"num_layers={num_layers!r}", *(f"{name}={value!r}" for name, value in options.items())]
            remedy = "it is one layer in one direction: stack them, each with the outputs of the one before for its x"
            raise ArgumentError(f"{type(self).__name__}: {', '.join(given)}", remedy=remedy)
        self.cell = self._cell(input_size, hidden_size, bias, dtype=dtype, generator=generator, **options)
        self.batch_first = batch_first

    def forward(self, x: Any, state: Any = None) -> tuple[Any, Any]:
        axis = 1 if self.batch_first else 0
        shape = np.shape(x)
        if len(shape) != 3 or not shape[axis]:
            order = "(N, T, input_size)" if self.batch_first else "(T, N, input_size)"
            remedy = f"give it shape {order} with at least one step; batch_first= says which"
            raise ShapeError(f"{type(self).__name__}: x {shape} is no batch of sequences", remedy=remedy)
        x = as_floating(x)
        hidden = []
        for t in range(shape[axis]):
            state = self.cell(x[:, t] if self.batch_first else x[t], state)
            hidden.append(state[0] if isinstance(state, tuple) else state)
        return stack(hidden, axis), state

    def extra_repr(self) -> str:
        return "batch_first=True" if self.batch_first else ""


class RNN(_Recurrent):
    """An `RNNCell` along sequences: x (T, N, I), or (N, T, I) with batch_first=True, and the state to start from.

    Returns the hidden states of all steps, (T, N, H) or (N, T, H), and the last state as the cell gives it. Options are
    the cell's, such as nonlinearity="relu". Raises ArgumentError for num_layers other than 1, bidirectional=True and
    the like: stack layers instead.

    >>> out, h = RNN(3, 2)(np.ones((5, 4, 3), np.float32))
    >>> out.shape, h.shape
    ((5, 4, 2), (4, 2))
    """

    _cell = RNNCell
    _options = frozenset({"nonlinearity"})


class GRU(_Recurrent):
    """A `GRUCell` along sequences; see `RNN`.

    >>> out, h = GRU(3, 2, batch_first=True)(np.ones((4, 5, 3), np.float32))
    >>> out.shape, h.shape
    ((4, 5, 2), (4, 2))
    """

    _cell = GRUCell


class LSTM(_Recurrent):
    """An `LSTMCell` along sequences, whose state is the pair (h, c); see `RNN`.

    >>> out, (h, c) = LSTM(3, 2)(np.ones((5, 4, 3), np.float32))
    >>> out.shape, h.shape, c.shape
    ((5, 4, 2), (4, 2), (4, 2))
    """

    _cell = LSTMCell
