"""The visible training loop: Trainer, progress, history, checkpoints."""
