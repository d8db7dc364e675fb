"""Python's operators on tensors: the same numbers as NumPy's, with a gradient, whichever side the tensor stands on."""

import operator

import numpy as np
import pytest

import tinygrad_sm as tg
from tinygrad_sm import Tensor

X = np.array([[1.5, -2.0], [0.5, 3.0]])
ARITHMETIC = ["add", "sub", "mul", "truediv", "pow", "matmul"]
COMPARISONS = ["eq", "ne", "lt", "le", "gt", "ge"]
OTHERS = {
    "array": np.array([[2.0, 1.0], [0.25, 4.0]]),
    "row": np.array([2.0, 0.5]),
    "integer array": np.array([[2, 1], [3, 4]]),
    "list": [[2.0, 1.0], [0.25, 4.0]],
    "float": 2.5,
    "integer": 3,
    "numpy scalar": np.float64(1.5),
    "numpy integer": np.int64(2),
    "0-d array": np.array(1.5),
    "constant tensor": Tensor([[2.0, 1.0], [0.25, 4.0]]),
}
SCALARS = {"float", "integer", "numpy scalar", "numpy integer", "0-d array"}


def plain(value):
    return value.data if isinstance(value, Tensor) else value


@pytest.mark.parametrize("name", ARITHMETIC)
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("tensor_is", ["left", "right"])
def test_arithmetic_is_numpys_with_a_gradient(name, other, tensor_is):
    function, value = getattr(operator, name), OTHERS[other]
    if name == "matmul" and other in SCALARS:
        with pytest.raises((tg.errors.TinygradError, TypeError)):
            function(Tensor(X, requires_grad=True), value)
        return

    def call(x):
        return function(x, value) if tensor_is == "left" else function(value, x)

    array = np.abs(X) if name == "pow" else X
    x = Tensor(array, requires_grad=True)
    out = call(x)
    assert isinstance(out, Tensor)
    assert out.requires_grad
    with np.errstate(all="ignore"):
        expected = function(array, plain(value)) if tensor_is == "left" else function(plain(value), array)
    np.testing.assert_array_equal(out.data, expected)
    assert out.dtype == expected.dtype
    # With arrays on both sides NumPy takes part in the decision who computes; the slope shows that we did.
    cotangent = np.arange(1.0, out.size + 1).reshape(out.shape)
    out.backward(cotangent)
    step = 1e-6
    for place in np.ndindex(array.shape):
        moved = [array.copy(), array.copy()]
        moved[0][place] += step
        moved[1][place] -= step
        up, down = (np.asarray(plain(call(Tensor(m)))) for m in moved)
        np.testing.assert_allclose(x.grad[place], np.vdot(cotangent, up - down) / (2 * step), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", COMPARISONS)
@pytest.mark.parametrize("other", sorted(set(OTHERS) - {"list"}))
def test_comparisons_are_elementwise_constants(name, other):
    function, value = getattr(operator, name), OTHERS[other]
    x = Tensor(X, requires_grad=True)
    for out, expected in [
        (function(x, value), function(X, plain(value))),
        (function(value, x), function(plain(value), X)),
    ]:
        assert isinstance(out, Tensor)
        assert not out.requires_grad
        assert out.dtype == bool
        np.testing.assert_array_equal(out.data, expected)


def test_unary_operators():
    x = Tensor(X, requires_grad=True)
    for function in (operator.neg, operator.pos, abs):
        x.grad = None
        out = function(x)
        np.testing.assert_array_equal(out.data, function(X))
        out.sum().backward()
        np.testing.assert_array_equal(
            x.grad, {operator.neg: -1, operator.pos: 1, abs: np.sign(X)}[function] * np.ones_like(X)
        )
    assert (+x) is not x


def test_logic_of_masks():
    x = Tensor(X, requires_grad=True)
    inside = (x > 0) & (x < 2) | ~(x != 3) ^ (x > 100)
    np.testing.assert_array_equal(inside.data, (X > 0) & (X < 2) | ~(X != 3) ^ (X > 100))
    np.testing.assert_array_equal(((X > 0) & (x < 2)).data, (X > 0) & (X < 2))


def test_floor_division_has_no_gradient():
    x = Tensor(X, requires_grad=True)
    for out, expected in [(x // 2, X // 2), (7 // x, 7 // X), (np.ones(2) // x, np.ones(2) // X)]:
        assert not out.requires_grad
        np.testing.assert_array_equal(out.data, expected)


def test_array_on_the_left_does_not_take_the_tensor_apart():
    """Without a protocol, `ndarray * tensor` would make an array of objects."""
    x = Tensor([1.0, 2.0], requires_grad=True)
    for out in (np.ones(2) * x, np.ones((2, 2)) @ x, np.float32(2) * x, np.ones(2) - x, np.ones(2) / x, 2**x):
        assert isinstance(out, Tensor)
        assert out.dtype == np.float64
        assert out.requires_grad


def test_scalars_on_the_left_of_float32():
    x = Tensor([1.0, 2.0], dtype=np.float32, requires_grad=True)
    assert (2.0 * x).dtype == np.float32
    assert (2 - x).dtype == np.float32
    assert (np.float32(2) * x).dtype == np.float32
    assert (np.float64(2) * x).dtype == np.float64  # as in NumPy, where its own scalars are not weak
    assert (True * x).dtype == np.float32


FLOATS = [np.float16, np.float32, np.float64]


@pytest.mark.parametrize("left", FLOATS)
@pytest.mark.parametrize("right", [*FLOATS, np.int8, np.int64, np.uint8, np.bool_])
@pytest.mark.parametrize("name", ["add", "mul", "truediv", "pow", "matmul"])
def test_types_mix_as_in_numpy_and_every_gradient_has_the_type_of_its_leaf(left, right, name):
    function = getattr(operator, name)
    x = Tensor(np.array([1, 2, 3]), dtype=left, requires_grad=True)
    y = Tensor(np.array([1, 1, 0]), dtype=right, requires_grad=right in FLOATS)
    if name in ("truediv", "pow"):
        y = y + np.ones(3, right)
    for a, b in ((x, y), (y, x)):
        x.grad = None
        out = function(a, b)
        assert out.dtype == function(a.data, b.data).dtype
        out.sum().backward()
        assert x.grad.dtype == left
        assert np.isfinite(x.grad).all()
    assert y.is_leaf == (right not in FLOATS or name not in ("truediv", "pow"))


def test_chained_operators_differentiate():
    x = Tensor(2.0, requires_grad=True)
    y = -((3 - x) ** 2) / 4 + abs(-x) * 2**x - 1 / x
    y.backward()
    np.testing.assert_allclose(x.grad, 0.5 + 4 + 2 * 4 * np.log(2) + 0.25)


@pytest.mark.parametrize("method", ["sum", "mean", "max", "min", "prod", "var", "std", "logsumexp"])
def test_reductions_are_methods_with_numpys_arguments(method):
    x = Tensor(X, requires_grad=True)
    function = getattr(tg, method)
    np.testing.assert_array_equal(getattr(x, method)(1).data, function(X, 1))
    np.testing.assert_array_equal(getattr(x, method)(axis=0, keepdims=True).data, function(X, axis=0, keepdims=True))


def test_methods_of_arrays():
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    assert x.reshape(3, 2).shape == x.reshape((3, 2)).shape == x.reshape(-1, 2).shape == (3, 2)
    assert x.reshape(-1).shape == x.reshape(6).shape == (6,)
    assert x.T.shape == x.transpose().shape == x.transpose(1, 0).shape == x.transpose((1, 0)).shape == (3, 2)
    assert x.swapaxes(0, 1).shape == (3, 2)
    assert x.exp().log().sqrt().shape == (2, 3)
    assert x.astype(np.float32).dtype == np.float32
    assert x.clip(1.0, 2.0).data.max() == 2
    assert (x.shape, x.ndim, x.size, x.dtype) == ((2, 3), 2, 6, np.float64)
    for attribute in ("shape", "ndim", "size", "dtype"):
        with pytest.raises(AttributeError):
            setattr(x, attribute, None)


def test_functions_and_methods_of_operations_are_the_same():
    x = Tensor(X, requires_grad=True)
    for name in ("exp", "tanh", "sigmoid", "relu", "softmax", "log_softmax", "square"):
        np.testing.assert_array_equal(getattr(x, name)().data, getattr(tg, name)(x).data)
        np.testing.assert_array_equal(getattr(tg, name)(X), getattr(tg, name)(x).data)
        assert isinstance(getattr(tg, name)(X), np.ndarray)


def test_remainder():
    x = Tensor([5.5, -3.2], requires_grad=True)
    out = x % 2
    np.testing.assert_allclose(out.data, [1.5, 0.8])
    out.backward([1.0, 10.0])
    np.testing.assert_array_equal(x.grad, [1.0, 10.0])
    x.grad = None
    out = 7 % x  # 7 - x floor(7 / x)
    np.testing.assert_allclose(out.data, [1.5, -2.6])
    out.backward([1.0, 10.0])
    np.testing.assert_array_equal(x.grad, [-1.0, 30.0])
    assert isinstance(np.ones(2) % x, Tensor)
