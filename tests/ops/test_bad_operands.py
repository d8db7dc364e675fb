"""What operations say of operands that do not fit: their own name, the arguments, the shapes, the line, the remedy."""

import numpy as np
import pytest
from calls import OPS

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor
from tinygrad_sm.errors import BoundsError, DTypeError, ShapeError, TargetError, TinygradError, UnsupportedError

ANY_SHAPE = {"outer", "kron"}  # which multiply every element of one with every element of the other
TWO = {op.name: op for op in OPS if op.parameters == ("x", "y") and op.name not in ANY_SHAPE}
TWO |= {name: getattr(tg, name) for name in ("where", "matmul", "mse_loss", "binary_cross_entropy_with_logits")}
INTEGER = {"bitwise_and", "bitwise_or", "bitwise_xor"}


SEVERAL = [(op, name) for op in OPS if len(op.rules) > 1 and op.name not in ANY_SHAPE for name in op.rules]
MISFIT = (5, 7, 11)


@pytest.mark.parametrize(("op", "name"), SEVERAL, ids=[f"{op.name}-{name}" for op, name in SEVERAL])
def test_operand_of_a_shape_that_fits_no_other_is_named(op, name):
    """For every operation with several differentiable operands, each of them in turn."""
    for number in range(len(op.samples)):
        args, kwargs = op.samples[number].make(np.random.default_rng(0))
        arguments = op.signature.bind(*args, **kwargs).arguments
        if all(np.size(arguments[other]) > 1 for other in op.rules if other in arguments) and name in arguments:
            break
    arguments[name] = Tensor(np.ones(MISFIT), requires_grad=True)
    with pytest.raises(ValueError, match=r"\(5, 7, 11\)") as caught:
        op(**arguments)
    assert isinstance(caught.value, TinygradError)
    assert caught.value.message.startswith(f"{op.name}: ")
    assert caught.value.remedy
    assert caught.value.location.expression == "op(**arguments)"


@pytest.mark.parametrize("name", sorted(TWO))
@pytest.mark.parametrize("as_tensor", [False, True])
def test_shapes_that_do_not_match_are_named_with_their_arguments(name, as_tensor):
    op = TWO[name]
    kind = int if name in INTEGER else float
    x, y = np.ones((2, 3), kind), np.ones((2, 4), kind)
    if as_tensor:
        x, y = Tensor(x, requires_grad=kind is float), Tensor(y)
    arguments = (np.ones((2, 3), bool), x, y) if name == "where" else (x, y)
    with pytest.raises(ShapeError) as caught:
        op(*arguments)
    message = caught.value.message
    assert message.startswith(f"{name}: ")
    assert "(2, 3)" in message
    assert "(2, 4)" in message
    if name not in ("mse_loss", "binary_cross_entropy_with_logits"):
        for parameter in op.parameters:
            assert f"{parameter} (" in message
    assert caught.value.remedy
    assert caught.value.location.expression == "op(*arguments)"


@pytest.mark.parametrize(
    ("f", "expression"),
    [
        (lambda x, y: x + y, "x + y"),
        (lambda x, y: x.data * y, "x.data * y"),
        (lambda x, y: x @ y, "x @ y"),
        (lambda x, y: np.maximum(x, y), "np.maximum(x, y)"),
        (lambda x, y: x < y, "x < y"),
        (lambda x, y: np.concatenate([x, y], axis=0), "np.concatenate([x, y], axis=0)"),
        (lambda x, y: np.stack([x, y]), "np.stack([x, y])"),
        (lambda x, y: x.reshape(5), "x.reshape(5)"),
        (lambda x, y: np.broadcast_to(x, (2, 4)), "np.broadcast_to(x, (2, 4))"),
        (lambda x, y: F.linear(x, y), "F.linear(x, y)"),
        (lambda x, y: F.linear(x, np.ones((3, 2)), y), "F.linear(x, np.ones((3, 2)), y)"),
        (lambda x, y: F.mse_loss(x, y), "F.mse_loss(x, y)"),
        (lambda x, y: tg.clip(x, y, None), "tg.clip(x, y, None)"),
        (lambda x, y: tg.squeeze(x, 0), "tg.squeeze(x, 0)"),
    ],
)
def test_shape_error_underlines_the_users_expression(f, expression):
    x, y = Tensor(np.ones((2, 3)), requires_grad=True), Tensor(np.ones((2, 4)))
    with pytest.raises(ShapeError) as caught:
        f(x, y)
    assert caught.value.location.expression == expression
    assert caught.value.location.filename == __file__


def test_shape_error_tells_what_to_do():
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    for f, remedy in [
        (lambda: x + np.ones(2), "x[:, None]"),
        (lambda: x @ x, "second last"),
        (lambda: F.linear(x, np.ones((2, 3))), "weight (in_features, out_features)"),
        (lambda: np.stack([x, np.ones(2)]), "same shape"),
        (lambda: np.concatenate([x, np.ones((2, 1, 1))]), "equal except along the axis"),
    ]:
        with pytest.raises(ShapeError) as caught:
            f()
        assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    "f",
    [
        lambda x: tg.sum(x, axis=2),
        lambda x: tg.max(x, axis=-3),
        lambda x: tg.softmax(x, axis=5),
        lambda x: tg.logsumexp(x, axis=(0, 2)),
        lambda x: np.concatenate([x, x], axis=2),
        lambda x: np.stack([x, x], axis=4),
        lambda x: np.expand_dims(x, 5),
        lambda x: np.swapaxes(x, 0, 2),
        lambda x: np.squeeze(x, 7),
        lambda x: x.transpose(0, 2),
        lambda x: x[2],
        lambda x: x[0, 0, 0],
        lambda x: x[np.array([0, 5])],
        lambda x: tg.take_along_axis(x, np.array([[9]]), axis=1),
    ],
)
def test_index_or_axis_outside_of_the_array_is_a_bounds_error(f):
    with pytest.raises(BoundsError) as caught:
        f(Tensor(np.ones((2, 3)), requires_grad=True))
    assert "x (2, 3) float64" in caught.value.message or "arrays [(2, 3)" in caught.value.message
    assert isinstance(caught.value, IndexError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x + "one",
        lambda x: x * None,
        lambda x: tg.exp("x"),
        lambda x: x[0.5],
        lambda x: tg.matmul(x, "y"),
        lambda x: F.linear(x, None),
    ],
)
def test_what_is_no_number_is_refused_as_an_error_of_ours(f):
    with pytest.raises(TinygradError) as caught:
        f(Tensor(np.ones((2, 3)), requires_grad=True))
    assert caught.value.location.filename == __file__


@pytest.mark.parametrize(
    ("f", "signature"),
    [
        (lambda x: tg.exp(x, x, x), "exp(x"),
        (lambda x: tg.sum(x, axes=1), "sum(x"),
        (lambda x: tg.exp(), "exp(x"),
        (lambda x: x.softmax(dim=1), "softmax(x"),
        (lambda x: F.cross_entropy(x), "cross_entropy(logits"),
    ],
)
def test_wrong_arguments_are_answered_with_the_signature(f, signature):
    with pytest.raises(UnsupportedError) as caught:
        f(Tensor(np.ones((2, 3)), requires_grad=True))
    assert signature in caught.value.remedy


def test_joining_and_taking_without_an_axis_is_refused():
    x = Tensor([1.0], requires_grad=True)
    for call in (lambda: np.concatenate([x, x], axis=None), lambda: np.take_along_axis(x, np.array([0]), axis=None)):
        with pytest.raises(UnsupportedError, match="axis=None") as caught:
            call()
        assert "reshape" in caught.value.remedy


@pytest.mark.parametrize("kind", [complex, str, object, "datetime64[s]"])
def test_cast_to_what_is_no_real_number_is_refused(kind):
    with pytest.raises(DTypeError, match="astype: tensors hold real numbers, not"):
        Tensor([1.0], requires_grad=True).astype(kind)


def test_errors_are_also_those_that_python_programmers_expect():
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    with pytest.raises(ValueError, match="broadcast"):
        x + np.ones(4)
    with pytest.raises(TypeError):
        x + "one"
    with pytest.raises(IndexError):
        x[5]
    with pytest.raises(ValueError, match="class 3"):
        F.cross_entropy(x, np.array([3, 0]))
    assert issubclass(TargetError, ValueError)
    assert issubclass(DTypeError, TypeError)
