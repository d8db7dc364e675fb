"""`debug.watch`: statistics of a model's activations and gradients while it trains.

Read `watching.py` first.
"""
