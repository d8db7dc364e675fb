"""tinygrad_sm: an autograd micro-framework in NumPy that you can see through.

    import tinygrad_sm as tg
    from tinygrad_sm import Tensor, nn, optim, data, train
    import tinygrad_sm.nn.functional as F

Ordinary NumPy-style code on tensors records a tape; `backward()` reads it. Read `engine/` first.
"""

from __future__ import annotations

import importlib as _importlib
import typing as _typing

from tinygrad_sm import data, errors, linalg, nn, ops, optim, train
from tinygrad_sm.checking.finite_differences import gradcheck
from tinygrad_sm.checking.primitives import check_primitive
from tinygrad_sm.engine.primitive import primitive
from tinygrad_sm.engine.tape import no_grad
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.engine.transforms import grad, gradients, value_and_grad
from tinygrad_sm.jacobians import hessian, hvp, jacobian, jvp, vjp
from tinygrad_sm.ops import *  # noqa: F403  # every op is a function of the top level under NumPy's name
from tinygrad_sm.ops.samples import Sample
from tinygrad_sm.optable import describe_primitive
from tinygrad_sm.randomness import default_generator, seed
from tinygrad_sm.threads import get_num_threads, set_num_threads

if _typing.TYPE_CHECKING:
    from tinygrad_sm import debug
    from tinygrad_sm.compiler import compile, compile_step

__version__ = "0.1.0"

__all__ = [
    "Sample",
    "Tensor",
    "check_primitive",
    "compile",
    "compile_step",
    "data",
    "debug",
    "default_generator",
    "describe_primitive",
    "errors",
    "get_num_threads",
    "grad",
    "gradcheck",
    "gradients",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "linalg",
    "nn",
    "no_grad",
    "ops",
    "optim",
    "primitive",
    "seed",
    "set_num_threads",
    "train",
    "value_and_grad",
    "vjp",
    *ops.__all__,
]


def __getattr__(name: str) -> _typing.Any:
    """Import the readers of the tape when they are first asked for: who trains does not wait for them."""
    if name == "debug":
        return _importlib.import_module(f"{__name__}.{name}")
    if name in ("compile", "compile_step"):
        globals()[name] = getattr(_importlib.import_module(f"{__name__}.compiler"), name)
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
