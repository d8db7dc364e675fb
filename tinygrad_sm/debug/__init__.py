"""See backprop: the readers of the tape for people.

Read `recording.py` first: a tape with its backward pass carried out and kept. Every other module here shows one.
"""

from __future__ import annotations

from tinygrad_sm.debug.comparison import compare
from tinygrad_sm.debug.derivation import source
from tinygrad_sm.debug.drawing import draw
from tinygrad_sm.debug.explanation import explain
from tinygrad_sm.debug.nonfinite import nan_ok, numerics
from tinygrad_sm.debug.page import player
from tinygrad_sm.debug.stepper import step, steps
from tinygrad_sm.debug.watching import watch

__all__ = ["compare", "draw", "explain", "nan_ok", "numerics", "player", "source", "step", "steps", "watch"]
