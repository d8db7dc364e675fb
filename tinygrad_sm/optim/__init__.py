"""Optimisers: rules that move parameters against their gradients."""

from __future__ import annotations

from tinygrad_sm.optim.adam import Adam, AdamW
from tinygrad_sm.optim.clipping import clip_grad_norm, clip_grad_value
from tinygrad_sm.optim.optimizer import Optimizer
from tinygrad_sm.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "clip_grad_norm", "clip_grad_value"]
