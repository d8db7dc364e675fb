"""Matrix products within compiled functions, by the BLAS that SciPy brings along.

`np.dot` would do, but takes contiguous matrices only, half as long again for small ones, and longer to compile.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import get_cython_function_address, intrinsic
from scipy.linalg import cython_blas

REALS = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}
INTEGER, CHARACTER = ir.IntType(32), ir.IntType(8)


def intrinsic_of(body: Callable[..., Any]) -> Any:
    """Let a function generate the code that calls of it are replaced by."""
    return intrinsic(body)


def compiled(body: Callable[..., Any]) -> Any:
    """Compile a function."""
    return njit(error_model="numpy")(body)


def address(name: str) -> int:
    """Where a routine of the BLAS is; raises ImportError if it does not count in 32 bits."""
    signature = str(cython_blas.__pyx_capi__[name])
    if signature.count("int *") != 6:
        raise ImportError(f"{name} of SciPy's BLAS is {signature}")
    found: int = get_cython_function_address("scipy.linalg.cython_blas", name)
    return found


@intrinsic_of
def gemm(context: Any, routine: Any, turned: Any, sizes: Any, one: Any, x: Any, y: Any, out: Any) -> Any:
    """Call xGEMM: out = x @ y in Fortran's order.

    Args: routine: its address; turned: whether x and y are to be transposed; sizes: n, m, k; one: 1 in the type of the
    elements; x, y, out: address and leading dimension of each.
    """
    kind = REALS[one]

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        routine, turned, sizes, one, x, y, out = args

        def kept(value: Any) -> Any:  # Fortran is handed everything by reference
            place = cgutils.alloca_once(builder, value.type)
            builder.store(value, place)
            return place

        def letter(turn: Any) -> Any:
            return kept(builder.select(cgutils.is_not_null(builder, turn), CHARACTER(ord("T")), CHARACTER(ord("N"))))

        def integer(value: Any) -> Any:
            return kept(builder.trunc(value, INTEGER))

        def array(pair: Any) -> list[Any]:
            where, rows = cgutils.unpack_tuple(builder, pair)
            return [builder.inttoptr(where, kind.as_pointer()), integer(rows)]

        letters = [letter(turn) for turn in cgutils.unpack_tuple(builder, turned)]
        lengths = [integer(size) for size in cgutils.unpack_tuple(builder, sizes)]
        passed = [*letters, *lengths, kept(one), *array(x), *array(y), kept(kind(0)), *array(out)]
        declared = ir.FunctionType(ir.VoidType(), [each.type for each in passed])
        builder.call(builder.inttoptr(routine, declared.as_pointer()), passed)
        return context.get_dummy_value()

    return types.void(routine, turned, sizes, one, x, y, out), code


@compiled
def product(routine: Any, sizes: Any, x: Any, at_x: Any, y: Any, at_y: Any, out: Any, at_out: Any) -> None:
    """Write a product: out = x @ y.

    Args: routine: the address of xGEMM; sizes: n, k, m of x (n, k) and y (k, m); x, y, out: flat arrays; at_x, at_y:
    where a matrix begins, how far apart its rows are, and whether it lies turned, so that this is true of its columns;
    at_out: the first two of these.
    """
    n, k, m = sizes
    size = x.itemsize
    x_pair = x.ctypes.data + at_x[0] * size, at_x[1]
    y_pair = y.ctypes.data + at_y[0] * size, at_y[1]
    out_pair = out.ctypes.data + at_out[0] * size, at_out[1]
    # What is a row here is a column to Fortran: it computes the transpose of out, y.T @ x.T.
    gemm(routine, (at_y[2], at_x[2]), (m, n, k), x.dtype.type(1), y_pair, x_pair, out_pair)


class Alone:
    """A context in which the BLAS computes on the calling thread alone: `threads.py` shares out large products.

    The BLAS's own threads wait for each other, which takes them hundreds of times as long where other programs run.
    """

    def __init__(self) -> None:
        self._library: Any = None
        self._library, self._suffix = next(_libraries(), (None, ""))

    def __enter__(self) -> None:
        if self._library:
            self.before = self._call("get")
            self._call("set", 1)

    def __exit__(self, *error: Any) -> None:
        if self._library:
            self._call("set", self.before)

    def _call(self, verb: str, *given: int) -> Any:
        return getattr(self._library, f"scipy_openblas_{verb}_num_threads{self._suffix}")(*given)


def _libraries() -> Iterator[tuple[Any, str]]:
    """SciPy's OpenBLAS, where it is the one that comes with it."""
    spec = importlib.util.find_spec("scipy")
    package = Path(spec.origin).parent if spec and spec.origin else Path()
    for folder in (package.parent / "scipy.libs", package / ".dylibs"):
        for path in sorted(folder.glob("*openblas*")):
            with contextlib.suppress(OSError):
                library = ctypes.CDLL(str(path))
                for suffix in ("", "64_"):
                    if hasattr(library, f"scipy_openblas_set_num_threads{suffix}"):
                        yield library, suffix
