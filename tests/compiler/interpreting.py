"""The source of compiled functions run by Python itself, in which every operation of the registry is tried quickly."""

import contextlib
import math
import types

import numpy as np

from tinygrad_sm.compiler import numba_code
from tinygrad_sm.compiler.fused import building
from tinygrad_sm.compiler.fused.kernels import HEADER

INTEGERS = {"int32": np.int32, "int64": np.int64, "uint64": np.uint64}
ALIKE = ("float32", "float64", "inf", "nan", "maximum", "minimum")
MATHEMATICAL = ("exp", "expm1", "log", "log1p", "tanh")


def product(routine, sizes, x, at_x, y, at_y, out, at_out):
    """The product of parts of flat arrays, as in `products.py`."""
    n, k, m = sizes

    def matrix(flat, shape, first, rows, turned=False):
        steps = (1, rows) if turned else (rows, 1)
        return np.lib.stride_tricks.as_strided(flat[first:], shape, [step * flat.itemsize for step in steps])

    np.copyto(matrix(out, (n, m), *at_out), matrix(x, (n, k), *at_x) @ matrix(y, (k, m), *at_y))


NAMESPACE = {
    "product": product,
    **dict.fromkeys(("sgemm", "dgemm"), 0),
    "alone": contextlib.nullcontext(),
    "np": np,
    "math": types.SimpleNamespace(
        **{name: getattr(np, name) for name in ("sqrt", "sin", "cos", "tan", "sinh", "cosh", "log2", "log10")},
        **{f"a{name}": getattr(np, f"arc{name}") for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "tan2")},
        copysign=np.copysign,
        hypot=np.hypot,
        inf=math.inf,
    ),
    "bool": np.bool_,
    "u": int,
    **{name: lambda x, kind=kind: np.asarray(x).astype(kind)[()] for name, kind in INTEGERS.items()},  # wrapping around
    **{name: getattr(np, name) for name in ALIKE},
    **{f"{name}_{bits}": getattr(np, name) for name in MATHEMATICAL for bits in (32, 64)},
}


def load(source, examples):
    """A module without its header, whose functions are not compiled."""
    module = types.ModuleType("interpreted")
    module.__dict__.update(NAMESPACE, compiled=lambda function: function)
    exec(source.removeprefix(HEADER), module.__dict__)
    return module


def interpret(monkeypatch):
    """Have the backend's functions run by Python from now on."""
    parts = {"machine": types.SimpleNamespace(load=load), "building": building}
    monkeypatch.setattr(numba_code, "_part", parts.__getitem__)
