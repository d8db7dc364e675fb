"""Data to learn from: the shipped digits, MNIST and CSV files, toy sets, splits and batches, all in plain NumPy.

Read `dataset.py` first: everything here gives a `Dataset` or takes one.
"""

from __future__ import annotations

from tinygrad_sm.data.batching import batches
from tinygrad_sm.data.dataset import Dataset
from tinygrad_sm.data.digits import load_digits
from tinygrad_sm.data.mnist import load_mnist
from tinygrad_sm.data.splitting import train_test_split
from tinygrad_sm.data.table import load_columns, load_csv
from tinygrad_sm.data.toy import make_moons, make_spirals

__all__ = [
    "Dataset",
    "batches",
    "load_columns",
    "load_csv",
    "load_digits",
    "load_mnist",
    "make_moons",
    "make_spirals",
    "train_test_split",
]
