"""The operations that NumPy keeps in `numpy.linalg`, under the same names."""

from __future__ import annotations

from tinygrad_sm import ops

__all__ = ops.LINALG

globals().update({name: ops.OPERATIONS[name] for name in ops.LINALG})
