"""The reader of the tape for speed: a function or a training step as one straight line of NumPy or of fused loops.

Read in this order: `program.py` (what a program is), `tracing.py` (how one is written while a function runs),
`capture.py` (what the user's function does), `lowering.py` (forward, backward and update as a program), `passes.py` and
`planning.py` (what is left out, where values are kept), `numpy_code.py`; then `compiled.py`, `steps.py` and
`functions.py` (what the user holds in hand).
"""

from __future__ import annotations

from tinygrad_sm.compiler.functions import CompiledFunction, compile
from tinygrad_sm.compiler.steps import CompiledStep, compile_step

__all__ = ["CompiledFunction", "CompiledStep", "compile", "compile_step"]
