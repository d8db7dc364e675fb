# Written by tests/stubs.py from the registered operations; do not edit.

from tinygrad_sm.ops import cholesky as cholesky
from tinygrad_sm.ops import det as det
from tinygrad_sm.ops import inv as inv
from tinygrad_sm.ops import norm as norm
from tinygrad_sm.ops import slogdet as slogdet
from tinygrad_sm.ops import solve as solve

__all__ = [
    "cholesky",
    "det",
    "inv",
    "norm",
    "slogdet",
    "solve",
]
