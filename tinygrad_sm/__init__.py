"""tinygrad_sm: an autograd micro-framework in NumPy that you can see through.

    import tinygrad_sm as tg
    from tinygrad_sm import Tensor, nn, optim, data, train
    import tinygrad_sm.nn.functional as F

Ordinary NumPy-style code on tensors records a tape; `backward()` reads it. Read `engine/` first.
"""

from __future__ import annotations

from tinygrad_sm import data, errors, nn, ops, optim, train
from tinygrad_sm.checking.finite_differences import gradcheck
from tinygrad_sm.engine.primitive import primitive
from tinygrad_sm.engine.tape import no_grad
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.engine.transforms import grad, gradients, value_and_grad
from tinygrad_sm.ops import *  # noqa: F403  # every op is a function of the top level under NumPy's name
from tinygrad_sm.ops.samples import Sample
from tinygrad_sm.randomness import default_generator, seed

__version__ = "0.1.0"

__all__ = [
    "Sample",
    "Tensor",
    "data",
    "default_generator",
    "errors",
    "grad",
    "gradcheck",
    "gradients",
    "nn",
    "no_grad",
    "ops",
    "optim",
    "primitive",
    "seed",
    "train",
    "value_and_grad",
    *ops.__all__,
]


def __dir__() -> list[str]:
    return __all__
