"""Writes the stubs from which editors and type checkers know the operations: as methods, and as functions.

`python tests/stubs.py` writes them anew, and the README's table of operations; `tests/test_stubs.py` and
`tests/test_optable.py` fail while they are stale.
"""

import inspect
from pathlib import Path

import optable

import tinygrad_sm
from tinygrad_sm.engine.primitive import PRIMITIVES

PACKAGE = Path(tinygrad_sm.__file__).parent
TYPES = {"Array": "Any", "Axis": "int | tuple[int, ...] | None", "Shape": "int | tuple[int, ...]", "Order": "Any"}
TYPES |= dict.fromkeys(("Axes", "Counts", "Sections"), "int | Sequence[int]")
HEAD = """# Written by tests/stubs.py from the registered operations; do not edit.

from collections.abc import Sequence
from typing import Any

{imports}
"""
PRIMITIVE = "from tinygrad_sm.engine.primitive import Primitive"
ARRAY = """class Methods:
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def ndim(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
"""


def signature(op, method):
    """The parameters as they stand in a stub."""
    parts = ["self"] if method else []
    for parameter in list(inspect.signature(op).parameters.values())[1 if method else 0 :]:
        kind = "Any" if parameter.annotation is inspect.Parameter.empty else str(parameter.annotation)
        for ours, meant in TYPES.items():
            kind = kind.replace(ours, meant)
        kind = "Any" if kind == "Any | None" else kind
        default = "" if parameter.default is inspect.Parameter.empty else f" = {parameter.default!r}"
        star = "*" if parameter.kind is inspect.Parameter.VAR_POSITIONAL else ""
        parts.append(f"{star}{parameter.name}: {kind}{default}")
    return ", ".join(parts)


def returned(op):
    """What a call returns: a tensor, or a tuple of them."""
    several = str(op.signature.return_annotation).startswith("tuple[") and not op.residual
    return "tuple[Tensor, ...]" if several else "Tensor"


def stubs():
    """Path and text of every stub."""
    ops = sorted(
        (op for op in PRIMITIVES.values() if op.__module__.startswith("tinygrad_sm.ops.")), key=lambda op: op.name
    )
    methods = [f"    def {op.name}({signature(op, True)}) -> {returned(op)}: ..." for op in ops if op.method]
    own = ("reshape", "transpose")  # which take their argument in pieces too
    methods = [line for line in methods if not line.startswith(tuple(f"    def {name}(" for name in own))]
    linalg = [op.name for op in ops if op.name in tinygrad_sm.ops.LINALG]
    tensor = "from tinygrad_sm.engine.tensor import Tensor"
    functions = [f"def {op.name}({signature(op, False)}) -> {returned(op)}: ..." for op in ops]
    names = ["__all__ = [", *(f'    "{name}",' for name in tinygrad_sm.ops.__all__), "]", "LINALG: list[str]"]
    names += ["OPERATIONS: dict[str, Primitive]"]
    yield (
        PACKAGE / "methods.pyi",
        HEAD.format(imports=f"import numpy as np\n\n{tensor}") + "\n" + ARRAY + "\n".join(methods) + "\n",
    )
    yield (
        PACKAGE / "ops" / "__init__.pyi",
        HEAD.format(imports=f"{PRIMITIVE}\n{tensor}") + "\n" + "\n".join(names) + "\n\n" + "\n".join(functions) + "\n",
    )
    listed = ["__all__ = [", *(f'    "{name}",' for name in linalg), "]"] if linalg else ["__all__: list[str] = []"]
    kept = [f"from tinygrad_sm.ops import {name} as {name}" for name in linalg]
    yield PACKAGE / "linalg.pyi", HEAD.split("\n")[0] + "\n\n" + "\n".join([*kept, "", *listed]) + "\n"


if __name__ == "__main__":
    for path, text in stubs():
        path.write_text(text, encoding="utf-8")
    optable.write()
