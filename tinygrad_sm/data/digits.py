"""The shipped data set: 1,797 handwritten digits, each 8 x 8 pixels; source and licence stand in `digits.txt`.

Read `mnist.py` next for its larger sibling.
"""

from __future__ import annotations

from importlib import resources

import numpy as np

from tinygrad_sm.data.dataset import Dataset


def load_digits(*, scale: bool = True) -> Dataset:
    """The test part of the UCI handwritten digits, in the order of scikit-learn's copy.

    Gives inputs float32 (1797, 64), pixels divided by 16 into [0, 1], or from 0 to 16 with `scale=False`; targets int64
    (1797,), the digits 0 to 9; shape (8, 8).
    Source: Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits, UCI, doi:10.24432/C50P49, CC BY 4.0.

    >>> digits = load_digits()
    >>> digits, digits.targets[:5]
    (<Dataset: 1797 examples of shape (8, 8), 10 classes>, array([0, 1, 2, 3, 4]))
    """
    archive = resources.files("tinygrad_sm.data").joinpath("digits.npz")
    with archive.open("rb") as file, np.load(file) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    return Dataset(
        inputs=images / np.float32(16) if scale else images,
        targets=labels,
        description="UCI handwritten digits, 8 x 8 pixels (E. Alpaydin and C. Kaynak, 1998, CC BY 4.0)",
    )
