"""See backprop: the readers of the tape for people.

Read `recording.py` first: a tape with its backward pass carried out and kept. Everything else here shows one, in the
names that `naming.py` finds and the formulas that `symbols/` takes from the operations' own source.
"""

from __future__ import annotations

from tinygrad_sm.debug.comparison import compare
from tinygrad_sm.debug.explanation import explain
from tinygrad_sm.debug.monitoring.watching import watch
from tinygrad_sm.debug.nonfinite import nan_ok, numerics
from tinygrad_sm.debug.pages.page import player
from tinygrad_sm.debug.pictures.drawing import draw
from tinygrad_sm.debug.scripts.derivation import source
from tinygrad_sm.debug.stepping.stepper import step, steps

__all__ = ["compare", "draw", "explain", "nan_ok", "numerics", "player", "source", "step", "steps", "watch"]
