"""Moments of arrays, one by one and pooled."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tinygrad_sm.debug.monitoring.moments import moments_of, pooled

VALUES = arrays.arrays(float, st.integers(1, 5), elements=st.floats(-1e3, 1e3) | st.just(0.0))


@given(st.lists(VALUES, min_size=1, max_size=4))
def test_pooled_moments_are_those_of_all_values_together(parts):
    together = np.concatenate(parts)
    found = pooled([moments_of(part) for part in parts])
    assert found.count == together.size
    assert found.mean == pytest.approx(together.mean(), abs=1e-9)
    assert found.std == pytest.approx(together.std(), abs=1e-6)
    assert found.zeros == pytest.approx(np.mean(together == 0))


def test_half_precision_neither_overflows_nor_loses_the_mean():
    found = moments_of(np.full(10_000, 300, np.float16))
    assert (found.mean, found.std) == (300, 0)


def test_what_is_pooled_may_be_so_large_that_its_square_is_out_of_range():
    found = pooled([moments_of(np.full(2, 1e200)), moments_of(np.full(2, 3e200))])
    assert (found.mean, found.std) == pytest.approx((2e200, 1e200))
