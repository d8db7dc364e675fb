"""Functions put together at random from operations, views and reductions, on arrays in every memory layout."""

import numpy as np

import tinygrad_sm as tg

SHAPES = [(4, 5), (5,), (4, 1), (3, 4, 5), (4, 4), (5, 4), (1, 5), (), (2, 3, 4, 5)]
LARGEST = 2000  # elements


def unary(rng, x):
    return [
        lambda: tg.exp(-(x * x)),
        lambda: tg.tanh(x),
        lambda: tg.relu(x),
        lambda: tg.sigmoid(x),
        lambda: tg.abs(x) + 0.1,
        lambda: x * 0.25 + 1,
    ][rng.integers(6)]()


def binary(rng, x, y):
    try:
        shape = np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        return x * 0.5
    if np.prod(shape) > LARGEST:
        return x - 0.5
    operations = [lambda: x + y, lambda: x * y, lambda: tg.maximum(x, y), lambda: x - y * 0.5]
    return operations[rng.integers(4)]()


def reduction(rng, x):
    if not x.ndim:
        return x + 1
    axis, keepdims = int(rng.integers(x.ndim)), bool(rng.integers(2))
    pair = tuple(int(i) for i in rng.choice(x.ndim, min(x.ndim, 2), replace=False))
    return [
        lambda: tg.sum(x, axis=axis, keepdims=keepdims),
        lambda: tg.max(x, axis=axis, keepdims=keepdims),
        lambda: tg.mean(x, axis=pair),
        lambda: tg.softmax(x, axis=axis),
        lambda: tg.logsumexp(x, axis=axis, keepdims=keepdims),
    ][rng.integers(5)]()


def view(rng, x):
    if not x.ndim:
        return tg.expand_dims(x, 0)
    return [
        lambda: tg.transpose(x),
        lambda: tg.reshape(x, (-1,)),
        lambda: x[1:] if x.shape[0] > 1 else x,
        lambda: tg.expand_dims(x, int(rng.integers(x.ndim + 1))),
    ][rng.integers(4)]()


def choice(rng, x):
    if not x.ndim or not x.size:
        return x
    rows = x[rng.integers(0, x.shape[0], size=4)]
    if x.ndim != 2:
        return rows
    elements = x[np.arange(x.shape[0]), rng.integers(0, x.shape[1], size=x.shape[0])]
    return [rows, elements, tg.concatenate([x, x * 2], axis=int(rng.integers(2)))][rng.integers(3)]


def product(rng, x, y):
    if x.ndim == 2 and y.ndim == 2 and x.shape[1] == y.shape[0]:
        return x @ y
    return x @ tg.transpose(x) if x.ndim == 2 else x * 2


KINDS = [unary, binary, unary, binary, reduction, reduction, view, choice, product]


class RandomFunction:
    """A scalar function of a few arrays, and such arrays: C order, Fortran order, with gaps, transposed."""

    def __init__(self, seed, dtype):
        self.rng = np.random.default_rng(seed)
        self.dtype = dtype
        shapes = [SHAPES[self.rng.integers(len(SHAPES))] for _ in range(self.rng.integers(1, 4))]
        self.arrays = [self._laid_out(self._normal(shape)) for shape in shapes]
        self.steps = self.rng.integers(0, 10**6, size=self.rng.integers(3, 14))

    def _normal(self, shape):
        return np.asarray(self.rng.standard_normal(shape), self.dtype)

    def _laid_out(self, array):
        kind = self.rng.integers(4)
        if kind == 0 and array.ndim == 2:
            return np.asfortranarray(array)
        if kind == 1 and array.ndim:
            return np.repeat(array, 2, axis=0)[::2]
        return array.transpose(1, 0, 2) if kind == 2 and array.ndim == 3 else array

    def renew(self):
        """Put other values into the arrays."""
        for array in self.arrays:
            array[...] = self._normal(array.shape)

    def __call__(self, *tensors):
        values = list(tensors)
        for seed in self.steps:
            rng = np.random.default_rng(seed)
            kind = KINDS[rng.integers(len(KINDS))]
            x, y = (
                values[-1] if rng.random() < 0.6 else values[rng.integers(len(values))],
                values[rng.integers(len(values))],
            )
            made = kind(rng, x, y) if kind in (binary, product) else kind(rng, x)
            if made.size <= LARGEST:
                values.append(made)
        total = values[-1].sum()
        for value in [*tensors, *values[len(tensors) : -1 : 2]]:
            total = total + (value * 0.1).sum()
        return total
