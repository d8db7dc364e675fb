"""How close the results of fused loops are to those of single calls: sums are added up in another order."""

import numpy as np

TOLERANCE = {np.dtype(np.float32): 2e-5, np.dtype(np.float64): 1e-12}


def assert_close(got, expected):
    """Arrays alike in shape and type, and equal but for rounding."""
    assert len(got) == len(expected)
    for g, e in zip(got, expected, strict=True):
        assert (g.shape, g.dtype) == (e.shape, e.dtype)
        tolerance = TOLERANCE.get(e.dtype, 0)
        np.testing.assert_allclose(g, e, rtol=tolerance, atol=tolerance)
