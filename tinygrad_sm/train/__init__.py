"""Training: a loop that can be read on one screen, and what happens around it.

Read `trainer.py` first; `command.py` is the command line.
"""

from __future__ import annotations

from tinygrad_sm.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from tinygrad_sm.train.curves import chart
from tinygrad_sm.train.history import History
from tinygrad_sm.train.metrics import accuracy, confusion_matrix, confusion_table
from tinygrad_sm.train.model_file import SavedModel, Scaling, load_model, save_model
from tinygrad_sm.train.trainer import Trainer

__all__ = [
    "Checkpoint",
    "History",
    "SavedModel",
    "Scaling",
    "Trainer",
    "accuracy",
    "chart",
    "confusion_matrix",
    "confusion_table",
    "load_checkpoint",
    "load_model",
    "save_checkpoint",
    "save_model",
]
