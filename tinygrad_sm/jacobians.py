"""Derivatives as linear maps and matrices: `vjp`, `jvp`, `jacobian`, `hessian`, `hvp`.

All come from the one rule per argument that an op has. A rule is linear in its cotangent, so the derivative of the map
u -> vjp(u) is the transpose of the vjp, which is the jvp. Forward rules would say the same a second time, for every op
and every user's op, and could disagree with the first.
The price is one sweep that is recorded and one over it: the time of about four gradients.

Several outputs are laid end to end as one vector before they are differentiated; `engine/transforms.py` does the rest.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_sm.display import describe
from tinygrad_sm.engine.tape import RECORDING
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.engine.transforms import grad, gradients, variable
from tinygrad_sm.errors import ArgumentError, DTypeError, GradientError, RuleError, ShapeError
from tinygrad_sm.variables import TENSORS, involves_others, positions_of

GOLDEN = (5**0.5 - 1) / 2


def vjp(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """The value of f and its pullback, g -> (g @ J_0, g @ J_1, ...), which may be called again and again; as in JAX.

    Args: f: takes tensors, returns one or a tuple. primals: its arguments, all of them floating; close over the others.
    The pullback takes a cotangent of the shape of f's output (a tuple of them for several outputs), and always returns
    a tuple, one result for each primal in its shape. Arrays give arrays, tensors tensors, and what involves another
    tensor that carries a gradient can be differentiated by it. Raises DTypeError for integers, ShapeError for shapes.

    >>> value, pullback = vjp(lambda x, y: x * y, np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    >>> pullback(np.array([1.0, 10.0]))
    (array([ 3., 40.]), array([ 1., 20.]))
    """
    record = _recorded("vjp", f, primals, range(len(primals)))
    arrays = not _tensors_among(primals)

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        return _pulled_back("vjp", record, cotangent, arrays)

    return _like_output(
        record, [_given(out, arrays, RECORDING.get() and record.foreign) for out in record.outputs]
    ), pullback


def jvp(f: Callable[..., Any], primals: Any, tangents: Any) -> tuple[Any, Any]:
    """The value of f and its slope along the tangents, J_0 @ v_0 + J_1 @ v_1 + ...; as in JAX.

    Args: f: takes tensors, returns one or a tuple. primals: its arguments in a tuple, all of them floating, or the only
    one by itself. tangents: likewise, in the primals' shapes. Returns two results of the form of f's output; arrays
    and tensors as in `vjp`. Raises DTypeError for integers, ShapeError and ArgumentError for tangents that do not fit.

    >>> value, slope = jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, 10.0))
    >>> float(value), float(slope)
    (6.0, 23.0)
    """
    primals, tangents = _sequence(primals), _sequence(tangents)
    record = _recorded("jvp", f, primals, range(len(primals)))
    direction = _end_to_end("jvp: tangent", tangents, record.inputs)
    recorded = RECORDING.get() and (record.foreign or direction.requires_grad)
    with _recording():
        u, pulled = _transposed(record)
        slope = _gradients(pulled, [u], direction, recorded)[0]
        slopes = _pieces(slope, record.outputs)
    arrays = not _tensors_among([*primals, *tangents])
    values = [_given(out, arrays, RECORDING.get() and record.foreign) for out in record.outputs]
    return _like_output(record, values), _like_output(record, [_given(each, arrays, recorded) for each in slopes])


def jacobian(f: Callable[..., Any], argnum: int | Sequence[int] = 0) -> Callable[..., Any]:
    """The function that returns the derivative of every output element by every element of one argument.

    f takes tensors and returns one, or a tuple. The result has the shape (*output, *argument); it is a tuple of them
    for several outputs, and within it for a tuple of positions. Arrays and tensors as in `vjp`. It takes one backward
    pass for each element of the outputs or of the arguments, whichever are fewer. Raises GradientError for an unknown
    position, DTypeError for integers.

    >>> jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """

    @functools.wraps(f, updated=())  # no attribute of f: those of a `grad` are about f
    def jacobian_of(*args: Any, **kwargs: Any) -> Any:
        positions, single = positions_of("jacobian", argnum, len(args))
        record = _recorded("jacobian", f, args, positions, kwargs)
        recorded, arrays = RECORDING.get() and record.foreign, not _tensors_among(args)
        with _recording():
            by_input = [
                [_given(block, arrays, recorded) for block in _blocks(each, record.outputs, x.shape)]
                for each, x in zip(_matrices(record, recorded), record.inputs, strict=True)
            ]
        if single:
            return _like_output(record, by_input[0])
        return _like_output(record, list(zip(*by_input, strict=True)))

    return jacobian_of


def hessian(f: Callable[..., Any], argnum: int | Sequence[int] = 0) -> Callable[..., Any]:
    """The function that returns the second derivatives of a scalar function by the elements of one argument.

    The result has the shape (*argument, *argument); for a tuple of positions it is a tuple of tuples, of which [i][j]
    is the derivative by the arguments i and j. It is the jacobian of the gradient: one backward pass for each row.
    Raises GradientError for a function that is not scalar, else what `jacobian` raises.

    >>> hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 3.0]))
    array([[6., 2.],
           [2., 0.]])
    """
    return jacobian(grad(_scalar("hessian", f), argnum), argnum)


def hvp(f: Callable[..., Any], primals: Any, tangents: Any) -> Any:
    """The product of the Hessian of a scalar function with the tangents, in the time of about five gradients.

    Args as those of `jvp`, which JAX's users would take of the gradient: hvp(f, primals, tangents) is
    jvp(grad(f), primals, tangents)[1]. A Hessian is symmetric, so one backward pass of the gradient does. Returns the
    product alone: an array for a primal by itself, a tuple for a tuple. Raises what `hessian` and `jvp` raise.

    >>> hvp(lambda x: (x**3).sum(), np.array([1.0, 2.0]), np.array([1.0, 10.0]))
    array([  6., 120.])
    """
    arguments, vectors = _sequence(primals), _sequence(tangents)
    slope = grad(_scalar("hvp", f), range(len(arguments)))
    record = _recorded("hvp", slope, arguments, range(len(arguments)))
    products = _pulled_back("hvp", record, vectors, not _tensors_among([*arguments, *vectors]))
    return products if isinstance(primals, (tuple, list)) else products[0]


class _Record(NamedTuple):
    """A call that was recorded, to be differentiated."""

    inputs: list[Tensor]
    outputs: list[Tensor]
    several: bool  # whether f returned a tuple
    flat: Tensor  # all outputs, end to end
    foreign: bool  # whether the outputs were computed from other tensors that carry a gradient


@contextlib.contextmanager
def _recording() -> Iterator[None]:
    """Record, whatever surrounds: a surrounding no_grad is about the surrounding tape."""
    token = RECORDING.set(True)
    try:
        yield
    finally:
        RECORDING.reset(token)


def _recorded(
    name: str,
    f: Callable[..., Any],
    args: Sequence[Any],
    positions: Sequence[int],
    kwargs: Mapping[str, Any] | None = None,
) -> _Record:
    """Call f with variables in these positions."""
    if not positions:
        raise ArgumentError(f"{name}: no argument to differentiate by", remedy="pass one, as a floating array")
    with _recording():
        variables = {i: variable(args[i]) for i in positions}
        out = f(*[variables.get(i, arg) for i, arg in enumerate(args)], **(kwargs or {}))
        several = isinstance(out, (tuple, list))
        outputs = list(out) if several else [out]
        for each in outputs:
            if not isinstance(each, Tensor) or each.dtype.kind != "f":
                what = describe(each) if isinstance(each, Tensor) else type(each).__name__
                raise DTypeError(f"{name}: the function returned {what}, not a floating Tensor", remedy=TENSORS)
        if not outputs:
            raise ArgumentError(f"{name}: the function returned an empty {type(out).__name__}")
        flat = _flat(outputs)
    inputs = [variables[i] for i in positions]
    foreign = involves_others(flat.tape(), [x._edge for x in inputs])
    return _Record(inputs, outputs, several, flat, foreign)


def _pulled_back(name: str, record: _Record, cotangents: Any, arrays: bool) -> tuple[Any, ...]:
    """What reaches the inputs of a recorded call when these cotangents arrive at its outputs."""
    cotangents = _sequence(cotangents) if record.several else [cotangents]
    what = "hvp: tangent" if name == "hvp" else f"{name}: cotangent"
    flat = _end_to_end(what, cotangents, record.outputs)
    recorded = RECORDING.get() and (record.foreign or flat.requires_grad)
    results = _gradients(record.flat, record.inputs, flat, recorded)
    return tuple([_given(each, arrays and not _tensors_among(cotangents), recorded) for each in results])


def _transposed(record: _Record) -> tuple[Tensor, Any]:
    """A cotangent u of the outputs, and u @ J as one recorded vector: linear in u, so that its vjp by u is a jvp."""
    u = Tensor(_generic(record.flat.size), requires_grad=True, dtype=record.flat.dtype)
    return u, _flat(_gradients(record.flat, record.inputs, u, create_graph=True))


def _matrices(record: _Record, recorded: bool) -> list[Any]:
    """For each input the derivatives (all outputs, *input), the shorter way."""
    if 0 < sum(x.size for x in record.inputs) < record.flat.size:
        with contextlib.suppress(RuleError):  # of a rule that cannot be differentiated, which will do for rows
            return _by_columns(record, recorded)
    return _by_rows(record, recorded)


def _by_rows(record: _Record, recorded: bool) -> list[Any]:
    """The derivatives by a vjp for each row."""
    units = np.eye(record.flat.size, dtype=record.flat.dtype)
    rows = [_gradients(record.flat, record.inputs, Tensor(unit), recorded) for unit in units]
    if not rows:
        return [Tensor(np.zeros((0, *x.shape), x.dtype)) for x in record.inputs]
    return [np.stack(each) for each in zip(*rows, strict=True)]


def _by_columns(record: _Record, recorded: bool) -> list[Any]:
    """The derivatives by a jvp for each column: a fit of 1000 points by 3 parameters is a hundred times faster so."""
    u, pulled = _transposed(record)
    units = np.eye(pulled.size, dtype=pulled.dtype)
    matrix = np.stack([_gradients(pulled, [u], Tensor(unit), recorded)[0] for unit in units], axis=1)
    ends = np.cumsum([x.size for x in record.inputs])
    parts = [matrix[:, end - x.size : end] for end, x in zip(ends, record.inputs, strict=True)]
    return [part.reshape((len(matrix), *x.shape)).astype(x.dtype) for part, x in zip(parts, record.inputs, strict=True)]


def _gradients(output: Tensor, inputs: Sequence[Tensor], cotangent: Tensor, create_graph: bool) -> list[Tensor]:
    """`gradients`, zeros where the output depends on nothing."""
    if not output.requires_grad:
        return [Tensor(np.zeros(x.shape, x.dtype)) for x in inputs]
    return gradients(output, inputs, create_graph, cotangent=cotangent)  # type: ignore[no-any-return]


def _flat(tensors: Sequence[Tensor]) -> Any:
    """The elements of all tensors, end to end."""
    return np.concatenate([tensor.reshape(-1) for tensor in tensors])


def _pieces(flat: Any, likes: Sequence[Tensor]) -> list[Any]:
    """The tensors that `_flat` laid end to end, in their shapes and types."""
    return [block.astype(like.dtype) for block, like in zip(_blocks(flat, likes, ()), likes, strict=True)]


def _blocks(stacked: Any, outputs: Sequence[Tensor], shape: tuple[int, ...]) -> list[Any]:
    """The rows of a matrix that belong to each output, in the shape (*output, *shape)."""
    ends = np.cumsum([out.size for out in outputs])
    return [stacked[e - out.size : e].reshape((*out.shape, *shape)) for e, out in zip(ends, outputs, strict=True)]


def _end_to_end(what: str, values: Sequence[Any], likes: Sequence[Tensor]) -> Any:
    """Cotangents or tangents, each in the shape of one of the tensors, as one vector."""
    if len(values) != len(likes):
        raise ArgumentError(f"{what}s: {len(values)} given, {len(likes)} wanted")
    tensors = [value if isinstance(value, Tensor) else Tensor(value) for value in values]
    for i, (tensor, like) in enumerate(zip(tensors, likes, strict=True)):
        if tensor.shape != like.shape:
            raise ShapeError(f"{what} {i}: shape {tensor.shape}, expected {like.shape}")
    return _flat([tensor.astype(like.dtype) for tensor, like in zip(tensors, likes, strict=True)])


def _generic(size: int) -> Any:
    """Cotangents for the point at which a vjp is differentiated by its cotangent, where any would do but for zeros.

    A rule may drop what a zero cotangent is multiplied with. Irrational numbers between 1 and 2 do not add up to zero
    on their way, as ones would: those of a softmax cancel each other.
    """
    return 1 + np.modf(GOLDEN * np.arange(size))[0]


def _scalar(name: str, f: Callable[..., Any]) -> Callable[..., Any]:
    """The function f, which must return one number."""

    @functools.wraps(f, updated=())
    def scalar(*args: Any, **kwargs: Any) -> Any:
        out = f(*args, **kwargs)
        if isinstance(out, (tuple, list)) or (isinstance(out, Tensor) and out.size != 1):
            what = f"shape {out.shape}" if isinstance(out, Tensor) else f"a {type(out).__name__}"
            remedy = "reduce it with .mean() or .sum(), or take jacobian(jacobian(f))"
            raise GradientError(f"{name}: starts from a scalar, not from {what}", remedy=remedy)
        return out

    return scalar


def _sequence(values: Any) -> Sequence[Any]:
    return values if isinstance(values, (tuple, list)) else (values,)


def _tensors_among(values: Sequence[Any]) -> bool:
    return any(isinstance(value, Tensor) for value in values)


def _given(tensor: Any, arrays: bool, recorded: bool) -> Any:
    """A result as it is handed out: an array is nobody else's, and what shall not be differentiated is a constant."""
    if recorded:
        return tensor
    return tensor.data.copy() if arrays else tensor.detach()


def _like_output(record: _Record, results: list[Any]) -> Any:
    """Results for the outputs, in a tuple if f returned several."""
    return tuple(results) if record.several else results[0]
