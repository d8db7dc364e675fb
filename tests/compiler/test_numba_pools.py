"""Max pooling as compiled loops: value for value and position for position what the operations give."""

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm.ops import pooling

pytestmark = pytest.mark.extra


@pytest.mark.parametrize("number", range(25))
def test_random_windows(number):
    from tinygrad_sm.compiler.fused import pools

    rng = np.random.default_rng(number)
    dilation = int(rng.integers(1, 3))
    kernel, stride = rng.integers(1, 4, 2), tuple(int(each) for each in rng.integers(1, 4, 2))
    kernel = tuple(int(each) for each in kernel)
    size = tuple(int(n) + dilation * (k - 1) for n, k in zip(rng.integers(1, 6, 2), kernel, strict=True))
    x = rng.integers(0, 4, (2, 3, *size)).astype([np.float32, np.float64][number % 2])  # with ties
    if number % 3 == 0:
        x[rng.random(x.shape) < 0.2] = np.nan
    if number % 5 == 0:
        x[rng.random(x.shape) < 0.3] = -np.inf
    padding = int(number % 7 == 0 and min(kernel) > 1)  # which is left to the operation
    options = (kernel, stride, padding, dilation)
    expected, positions = pooling.max_pool2d.forward(x, *options)
    out, places = pools.max_pool2d(x, *options)
    for got, wanted in ((out, expected), (places, positions)):
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted)
    slope = rng.standard_normal(out.shape).astype(x.dtype)
    np.testing.assert_allclose(
        pools.scatter_windows(slope, positions, size, *options),
        pooling.scatter_windows.forward(slope, positions, size, *options),
        rtol=1e-5,
        atol=1e-6,
    )


def test_positions_that_are_none_are_left_out():
    from tinygrad_sm.compiler.fused import pools

    slope, positions = np.array([[[1.0, 2.0]]]), np.array([[[9, -1]]])
    expected = pooling.scatter_windows.forward(slope, positions, (2, 4), 2)
    np.testing.assert_array_equal(pools.scatter_windows(slope, positions, (2, 4), 2), expected)


def test_a_compiled_function_uses_them():
    x = np.random.default_rng(0).standard_normal((4, 2, 6, 6))
    both = tg.value_and_grad(lambda x: (F.max_pool2d(x, 2) ** 2).sum())
    compiled = tg.compile(both, backend="numba")
    for _ in range(2):
        for got, expected in zip(compiled(x), both(x), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-12)
