"""Backend `numba`: a program as a few compiled functions, in which fused loops stand around matrix products.

What has no loop runs as a call of NumPy's between them. The parts are in `fused/`, and are imported when a program is
built: Numba takes half a second, and is not everywhere.
"""

from __future__ import annotations

import importlib
from typing import Any

from tinygrad_sm.compiler.numpy_code import Executable
from tinygrad_sm.compiler.program import Program
from tinygrad_sm.errors import MissingExtraError


def build(program: Program, name: str = "step") -> Executable:
    """The function of a program. Raises MissingExtraError without Numba or SciPy."""
    machine, building = _part("machine"), _part("building")
    built: Executable = building.build(program, name, machine.load)
    return built


def _part(name: str) -> Any:
    try:
        return importlib.import_module(f"tinygrad_sm.compiler.fused.{name}")
    except ImportError as error:
        problem = f'backend="numba" needs Numba and SciPy: {error}'
        raise MissingExtraError(problem, remedy='pip install "tinygrad-sm[fast]"') from None
