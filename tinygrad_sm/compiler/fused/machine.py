"""What makes machine code of source: Numba. This file and what it imports cannot be imported without it."""

from __future__ import annotations

import importlib.metadata
import inspect
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numba
import scipy

from tinygrad_sm.compiler.fused import cache, pools, products, scalar_math

ALONE = products.Alone()


def load(source: str, examples: Mapping[str, Sequence[Any]]) -> ModuleType:
    """A module with compiled functions, of which there are examples of arguments, and what calls of them need."""

    def compile_all(module: ModuleType) -> None:
        for name, arguments in examples.items():
            getattr(module, name).compile(tuple(map(numba.typeof, arguments)))

    module = cache.load(source, _depends(), compile_all)
    module.__dict__.update(sgemm=products.address("sgemm"), dgemm=products.address("dgemm"), alone=ALONE)
    module.__dict__.update(faster=pools.FASTER)
    return module


def _depends() -> str:
    """What machine code depends on besides its source; matrix products come from SciPy's BLAS."""
    versions = numba.__version__, importlib.metadata.version("llvmlite"), scipy.__version__
    return " ".join([*versions, inspect.getsource(scalar_math), inspect.getsource(products)])
