"""NumPy's functions on tensors: recorded, or run on constants, or refused with advice; never detached in silence."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import tinygrad_sm as tg
from tinygrad_sm import Tensor
from tinygrad_sm.errors import GradientError, UnsupportedError


@pytest.fixture
def x():
    return Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)


RECORDED = {
    "np.exp(x)": lambda x: np.exp(x),
    "np.sum(x)": lambda x: np.sum(x),
    "np.sum(x, 0)": lambda x: np.sum(x, 0),
    "np.sum(x, axis=0, keepdims=True)": lambda x: np.sum(x, axis=0, keepdims=True),
    "np.sum(a=x, axis=1)": lambda x: np.sum(a=x, axis=1),
    "np.mean(x, axis=(0, 1))": lambda x: np.mean(x, axis=(0, 1)),
    "np.amax(x)": lambda x: np.amax(x),
    "np.max(x, -1)": lambda x: np.max(x, -1),
    "np.var(x, ddof=1)": lambda x: np.var(x, ddof=1),
    "np.std(x, 1, ddof=1)": lambda x: np.std(x, 1, ddof=1),
    "np.prod(x, axis=0)": lambda x: np.prod(x, axis=0),
    "np.sum(x, dtype=None, out=None)": lambda x: np.sum(x, dtype=None, out=None),
    "np.matmul(x, x)": lambda x: np.matmul(x, x),
    "np.concatenate((x, x), 1)": lambda x: np.concatenate((x, x), 1),
    "np.concatenate([x, arr], axis=-1)": lambda x: np.concatenate([x, np.ones((2, 1))], axis=-1),
    "np.stack([x, x], axis=2)": lambda x: np.stack([x, x], axis=2),
    "np.where(mask, x, 0.0)": lambda x: np.where(np.eye(2, dtype=bool), x, 0.0),
    "np.where(x > 1, x, -x)": lambda x: np.where(x > 1, x, -x),
    "np.clip(x, 2, None)": lambda x: np.clip(x, 2, None),
    "np.clip(x, a_min=1.5, a_max=2)": lambda x: np.clip(x, a_min=1.5, a_max=2),
    "np.maximum(2.5, x)": lambda x: np.maximum(2.5, x),
    "np.add(arr, x)": lambda x: np.add(np.ones(2), x),
    "np.reshape(x, 4)": lambda x: np.reshape(x, 4),
    "np.reshape(x, (-1, 1), order='C')": lambda x: np.reshape(x, (-1, 1), order="C"),
    "np.transpose(x, axes=(1, 0))": lambda x: np.transpose(x, axes=(1, 0)),
    "np.swapaxes(x, 0, 1)": lambda x: np.swapaxes(x, 0, 1),
    "np.squeeze(x[None], axis=0)": lambda x: np.squeeze(x[None], axis=0),
    "np.expand_dims(x, axis=0)": lambda x: np.expand_dims(x, axis=0),
    "np.broadcast_to(x, shape)": lambda x: np.broadcast_to(x, (3, 2, 2)),
    "np.take_along_axis(x, index, axis=1)": lambda x: np.take_along_axis(x, np.array([[0], [1]]), axis=1),
    "np.absolute(x)": lambda x: np.absolute(x),
    "np.abs(x)": lambda x: np.abs(x),
    "np.true_divide(1, x)": lambda x: np.true_divide(1, x),
    "np.power(x, 2)": lambda x: np.power(x, 2),
}


@pytest.mark.parametrize("call", RECORDED)
def test_registered_function_gives_a_tensor_that_carries_the_gradient(call, x):
    out = RECORDED[call](x)
    assert isinstance(out, Tensor)
    assert out.requires_grad
    expected = RECORDED[call](x.data)
    np.testing.assert_allclose(out.data, expected, rtol=1e-14)
    assert out.shape == np.shape(expected)
    out.sum().backward()
    assert x.grad.shape == x.shape


def test_operator_and_function_are_recorded_at_the_users_line(x):
    for node, expression in [(np.exp(x).tape()[-1], "np.exp(x)"), (np.sum(x, axis=0).tape()[-1], "np.sum(x, axis=0)")]:
        assert node.location.expression == expression
        assert node.location.filename == __file__


REFUSED = {
    "out= of a ufunc": (lambda x: np.exp(x, out=np.zeros((2, 2))), "out="),
    "out= positionally": (lambda x: np.exp(x, np.zeros((2, 2))), "out="),
    "where= of a ufunc": (lambda x: np.add(x, 1, where=np.eye(2, dtype=bool)), "where="),
    "dtype= of a ufunc": (lambda x: np.multiply(x, 2, dtype=np.float32), "dtype="),
    "casting=": (lambda x: np.add(x, 1, casting="unsafe"), "casting="),
    "out= of a function": (lambda x: np.sum(x, out=np.zeros(())), "out="),
    "where= of a function": (lambda x: np.sum(x, where=np.eye(2, dtype=bool)), "where="),
    "dtype= of a function": (lambda x: np.mean(x, dtype=np.float32), "dtype="),
    "initial=": (lambda x: np.max(x, initial=0.0), "initial="),
    "order=": (lambda x: np.reshape(x, 4, order="F"), "order="),
    "out= of concatenate": (lambda x: np.concatenate([x, x], out=np.zeros((4, 2))), "out="),
}


@pytest.mark.parametrize("call", REFUSED)
def test_option_that_tensors_do_not_take_is_refused_by_name(call, x):
    f, option = REFUSED[call]
    with pytest.raises(UnsupportedError, match="tensors do not take") as caught:
        f(x)
    assert option in caught.value.message
    assert caught.value.message.startswith("np.")
    assert f"leave {option} out" in caught.value.remedy
    assert "t.data" in caught.value.remedy
    assert caught.value.location.filename == __file__


@pytest.mark.parametrize(
    ("f", "name", "similar"),
    [
        (lambda x: np.cross(x, x), "np.cross", ""),
        (lambda x: np.fabs(x), "np.fabs", "tg.abs"),
        (lambda x: np.float_power(x, 2.0), "np.float_power", "tg.power"),
        (lambda x: np.dstack([x, x]), "np.dstack", "tg.stack"),
        (lambda x: np.nancumsum(x), "np.nancumsum", "tg.cumsum"),
        (lambda x: np.nanmedian(x), "np.nanmedian", "tg.median"),
        (lambda x: np.linalg.pinv(x), "np.linalg.pinv", ""),
        (lambda x: np.add.reduce(x), "np.add.reduce", "tg.add"),
        (lambda x: np.multiply.outer(x, x), "np.multiply.outer", "tg.multiply"),
        (lambda x: np.add.at(x, 0, 1.0), "np.add.at", "tg.add"),
        (lambda x: np.copyto(np.zeros((2, 2)), x), "np.copyto", ""),
        (lambda x: np.dsplit(x, 2), "np.dsplit", "tg.split"),
    ],
)
def test_unregistered_function_of_a_gradient_is_refused_with_advice(f, name, similar, x):
    with pytest.raises(UnsupportedError) as caught:
        f(x)
    assert name in caught.value.message
    assert similar in caught.value.remedy
    assert "t.data" in caught.value.remedy
    assert caught.value.location.filename == __file__
    assert isinstance(caught.value, TypeError)


def test_writing_a_tensor_into_an_array_is_refused(x):
    array = np.zeros((2, 2))
    with pytest.raises(UnsupportedError, match=r"np\.add: tensors do not take out="):
        array += x
    with pytest.raises((GradientError, UnsupportedError)):
        array[...] = x
    assert not array.any()


CONVERSIONS = {
    "np.asarray": lambda x: np.asarray(x),
    "np.array": lambda x: np.array(x),
    "np.array of a list": lambda x: np.array([x, x]),
    "function of a list": lambda x: np.linalg.norm([x, x]),
    "np.asarray with a dtype": lambda x: np.asarray(x, dtype=np.float32),
    "np.float64": lambda x: np.float64(x),
    "numpy()": lambda x: x.numpy(),
    "Tensor": lambda x: Tensor(x),
    "Tensor that learns": lambda x: Tensor(x, requires_grad=True),
    "ndarray index": lambda x: np.ones(3)[x],
}


@pytest.mark.parametrize("way", CONVERSIONS)
def test_conversion_to_an_array_never_detaches_in_silence(way, x):
    with pytest.raises((GradientError, IndexError)) as caught:
        CONVERSIONS[way](x)
    if isinstance(caught.value, GradientError):
        assert "t.data" in caught.value.remedy
        assert "t.detach()" in caught.value.remedy


def test_constants_convert_freely():
    c = Tensor([[1.0, 2.0], [3.0, 4.0]])
    assert np.asarray(c) is not c
    assert type(np.asarray(c)) is np.ndarray
    assert np.asarray(c, dtype=np.float32).dtype == np.float32
    assert np.array(c, copy=True) is not c.data
    assert not np.shares_memory(np.array(c), c.data)
    assert np.shares_memory(np.asarray(c), c.data)
    assert np.shares_memory(np.array(c, copy=False), c.data)
    assert np.array([c, c]).shape == (2, 2, 2)
    assert c.numpy().tolist() == [[1, 2], [3, 4]]
    array = np.zeros((2, 2))
    array[...] = c
    assert array.sum() == 10


def test_unregistered_functions_of_constants_are_numpys_own():
    c = Tensor([[1.0, 2.0], [3.0, 4.0]])
    assert np.linalg.cond(c) == np.linalg.cond(c.data)
    assert np.nancumsum(c).tolist() == [1, 3, 6, 10]
    assert np.add.reduce(c).tolist() == [4, 6]
    assert np.trapezoid(c).tolist() == [1.5, 3.5]
    assert np.isin(1.0, c)
    assert [part.tolist() for part in np.gradient(c)] == [[[2, 2], [2, 2]], [[1, 1], [1, 1]]]


def test_registered_functions_of_constants_give_constant_tensors():
    c = Tensor([1.0, 2.0])
    out = np.exp(c)
    assert isinstance(out, Tensor)
    assert not out.requires_grad


def test_functions_that_ask_for_no_gradient_see_any_tensor(x):
    assert np.shape(x) == (2, 2)
    assert np.ndim(x) == 2
    assert np.size(x) == 4
    assert np.result_type(x, np.float32) == np.float64
    assert np.allclose(x, x.data)
    assert np.array_equal(x, x.data)
    assert np.isclose(x, 1.0).tolist() == [[True, False], [False, False]]
    assert np.count_nonzero(x) == 4
    for made in (np.zeros_like(x), np.ones_like(x), np.full_like(x, 3.0), np.empty_like(x)):
        assert type(made) is np.ndarray
        assert made.shape == (2, 2)


def test_testing_helpers_of_numpy_work_on_constants():
    np.testing.assert_allclose(Tensor([1.0, 2.0]), [1.0, 2.0])
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(Tensor([1.0, 2.0]), [1.0, 3.0])


def test_function_with_a_tensor_in_an_unexpected_place(x):
    out = np.where(x > 2, 0.0, np.broadcast_to(x[0], (2, 2)))
    assert out.data.tolist() == [[1, 2], [0, 0]]
    assert tg.matmul(x=np.ones((1, 2)), y=x).data.tolist() == [[4, 6]]
    loss = tg.cross_entropy(logits=x, target=Tensor([0, 1]), weight=Tensor([1.0, 2.0]))
    loss.backward()
    assert x.grad.shape == (2, 2)
    with pytest.raises(GradientError, match="clip has no derivative for a_min"):
        np.clip(np.ones(2), x[0], None)


def test_nothing_warns(x):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.sum(x), np.ones(2) * x, np.asarray(x.detach()), np.concatenate([x, x])


OLDER_NUMPY = """\
import inspect
import numpy as np

signature = inspect.signature

def as_in_numpy_2_0(function, **options):
    if isinstance(function, np.ufunc) or inspect.isbuiltin(function) or function in (np.where, np.concatenate):
        raise ValueError(f"no signature found for builtin {function!r}")
    return signature(function, **options)

inspect.signature = as_in_numpy_2_0
import tinygrad_sm as tg

x = tg.Tensor([1.0, 2.0], requires_grad=True)
y = np.concatenate([x, np.where(x > 1, x, 0.0)], axis=0)
print(tg.gradients((y * y * y).sum(), x, create_graph=True).data)
for refused in (
    lambda: np.add(x, 1, out=np.zeros(2)),
    lambda: np.exp(x, np.zeros(2)),
    lambda: np.concatenate([x, x], out=np.zeros(4)),
    lambda: np.concatenate([x, x], 0, np.zeros(4)),
):
    try:
        refused()
    except tg.errors.UnsupportedError as error:
        print(error.message)
"""


def test_numpy_whose_functions_show_no_signature(tmp_path):
    """Until some version after 2.0, what NumPy writes in C had none that Python can see."""
    (tmp_path / "older.py").write_text(OLDER_NUMPY, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-W", "error", "older.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    slope, *refusals = result.stdout.splitlines()
    assert slope == "[ 3. 24.]"
    assert len(refusals) == 4
    assert all("tensors do not take out=" in refusal for refusal in refusals)
