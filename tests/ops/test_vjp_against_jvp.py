"""Reverse against forward, as HIPS autograd's `check_grads` does: cotangent @ (J @ v) = (cotangent @ J) @ v at random.

J @ v comes from `tg.jvp`, which differentiates the vjp by its cotangent: so a rule must be linear in g, compute the
same on tensors as on arrays, and use g as a tensor wherever it uses it. The second order asks this of the derivative.
"""

import numpy as np
import pytest
from calls import CALLS, NAMES, Call

import tinygrad_sm as tg


def as_tuple(value):
    return value if isinstance(value, tuple) else (value,)


def both_ways(f, arrays, rng):
    """The two sides, with random cotangents and directions."""
    values, pullback = tg.vjp(f, *arrays)
    cotangents = [rng.standard_normal(np.shape(value)) for value in as_tuple(values)]
    directions = [rng.standard_normal(np.shape(array)) for array in arrays]
    slopes = as_tuple(tg.jvp(f, tuple(arrays), tuple(directions))[1])
    pulled = pullback(tuple(cotangents) if isinstance(values, tuple) else cotangents[0])
    sides = zip(cotangents, slopes, strict=True), zip(directions, pulled, strict=True)
    return cotangents, *(sum(np.vdot(a, b) for a, b in side) for side in sides)


@pytest.mark.parametrize(("op", "number"), CALLS, ids=NAMES)
def test_vjp_agrees_with_jvp_to_second_order(op, number):
    call = Call(op, number)
    n = len(call.arrays)
    several = isinstance(call(*call.arrays), tuple)
    cotangents, forwards, backwards = both_ways(call, call.arrays, call.rng)
    np.testing.assert_allclose(forwards, backwards, rtol=1e-9, atol=1e-10)

    def pulled_back(*both):
        return tg.vjp(call, *both[:n])[1](tuple(both[n:]) if several else both[n])

    _, forwards, backwards = both_ways(pulled_back, [*call.arrays, *cotangents], call.rng)
    np.testing.assert_allclose(forwards, backwards, rtol=1e-9, atol=1e-10)
