"""The operations and their derivatives: one block per op, one file per family, in plain NumPy.

An operation is public from its block alone: whatever the families register is a name of this package, and those that
NumPy does not keep in `numpy.linalg` are names of the top level too.
"""

from __future__ import annotations

from tinygrad_sm.engine.primitive import PRIMITIVES
from tinygrad_sm.ops import (  # noqa: F401  # registers what stands in them
    activation,
    arrangement,
    comparison,
    contraction,
    convolution,
    diagonals,
    elementwise,
    indexing,
    joining,
    linalg,
    lookup,
    loss,
    margin_loss,
    matrix,
    normalisation,
    order,
    pooling,
    reduction,
    regression_loss,
    scan,
    self_gated,
    shape,
    softmax_family,
    special,
    trigonometry,
    units,
)

OPERATIONS = {name: op for name, op in PRIMITIVES.items() if op.__module__.startswith(f"{__name__}.")}
LINALG = sorted(  # what NumPy keeps in numpy.linalg alone
    name for name, op in OPERATIONS.items() if {function.__module__ for function in op.numpy} == {"numpy.linalg"}
)
globals().update(OPERATIONS)

__all__ = sorted(OPERATIONS.keys() - set(LINALG))
