"""Comparisons, rounding and searches: NumPy's values, and never a gradient."""

import numpy as np
import pytest
from calls import OPS

import tinygrad_sm as tg
from tinygrad_sm import Tensor

CONSTANT = [op for op in OPS if op.numpy and not op.differentiable]


@pytest.mark.parametrize("op", CONSTANT, ids=lambda op: op.name)
def test_operation_without_derivative_is_numpys_and_carries_no_gradient(op):
    for sample in op.samples:
        args, kwargs = sample.make(np.random.default_rng(0))
        expected = op.numpy[0](*args, **kwargs)
        floating = all(not isinstance(a, np.ndarray) or a.dtype.kind == "f" for a in args)
        tensors = [Tensor(a, requires_grad=floating) if isinstance(a, np.ndarray) else a for a in args]
        for function in (op, *op.numpy):
            out = function(*tensors, **kwargs)
            assert isinstance(out, Tensor)
            assert not out.requires_grad
            assert out.dtype == np.asarray(expected).dtype
            np.testing.assert_array_equal(out.data, expected)


def test_gradient_flows_past_a_mask_not_through_it():
    x = Tensor([-1.0, 2.0, 3.0], requires_grad=True)
    (x * (x > 0)).sum().backward()
    assert x.grad.tolist() == [0, 1, 1]
    x.grad = None
    (x * np.round(x) + tg.argmax(x)).sum().backward()
    assert x.grad.tolist() == [-1, 2, 3]


def test_backward_from_a_comparison_is_refused():
    with pytest.raises(tg.errors.GradientError, match="greater has no derivative"):
        (Tensor(1.0, requires_grad=True) > 0).backward()


def test_search_takes_the_first_of_several():
    x = Tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 0.0]], requires_grad=True)
    assert x.argmax(axis=1).data.tolist() == [1, 0]
    assert tg.argmin(x).item() == 5
    assert tg.argmax(x, axis=0, keepdims=True).shape == (1, 3)
    assert tg.argsort(x, axis=1).data.tolist() == np.argsort(x.data, axis=1).tolist()
