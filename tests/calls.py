"""What the tests of the operations share: every registered operation with its samples, and an oracle of their own.

The oracle, central differences, is written here a second time on purpose: a mistake in `tinygrad_sm/checking` must not
hide one in `tinygrad_sm/ops`.
"""

import numpy as np

import tinygrad_sm as tg
from tinygrad_sm.engine.primitive import PRIMITIVES

OPS = [op for op in PRIMITIVES.values() if op.__module__.startswith("tinygrad_sm.ops")]
DIFFERENTIABLE = [op for op in OPS if op.differentiable]

# Arguments that may hold floating values and yet have no derivative by intent: passing a tensor that carries a
# gradient is refused.
CONSTANTS = {
    "where": {"condition"},
    "clip": {"a_min", "a_max"},
    "cross_entropy": {"weight"},
    "nll_loss": {"weight"},
    "focal_loss": {"alpha"},
    "binary_cross_entropy_with_logits": {"weight", "pos_weight"},
    "batch_norm": {"running_mean", "running_var"},
}


class Call:
    """One sample of an operation as a function of the floating arrays that it can be differentiated by."""

    def __init__(self, op, number, seed=0, dtype=np.float64):
        self.op = op
        rng = np.random.default_rng([seed, number])
        self.args, self.kwargs = op.samples[number].make(rng, dtype)
        self.places = [place for place in self._places() if self._is_variable(place)]
        self.arrays = [self._get(place) for place in self.places]
        self.rng = rng

    def _places(self):
        """Where arguments stand: (position, index in a list or None)."""
        for i, value in enumerate(self.args):
            if isinstance(value, list):
                yield from ((i, j) for j in range(len(value)))
            else:
                yield i, None

    def _get(self, place):
        i, j = place
        return self.args[i] if j is None else self.args[i][j]

    def _is_variable(self, place):
        value = self._get(place)
        floating = isinstance(value, np.ndarray) and value.dtype.kind == "f"
        return floating and self.op.parameters[place[0]] in self.op.rules

    def arguments(self, *arrays):
        """The positional arguments with other arrays in the places of the variables."""
        args = [list(value) if isinstance(value, list) else value for value in self.args]
        for (i, j), array in zip(self.places, arrays, strict=True):
            if j is None:
                args[i] = array
            else:
                args[i][j] = array
        return args

    def __call__(self, *arrays, using=None):
        """The output; several of them flattened and joined, in the order in which they come."""
        out = (using or self.op)(*self.arguments(*arrays), **self.kwargs)
        return np.concatenate([np.reshape(each, -1) for each in out]) if isinstance(out, (tuple, list)) else out

    def cotangent(self):
        """Random values like the output, none of them near zero."""
        shape = np.shape(self(*self.arrays))
        return np.asarray(self.rng.uniform(0.5, 1.5, shape) * self.rng.choice([-1.0, 1.0], shape))


CALLS = [(op, number) for op in DIFFERENTIABLE for number in range(len(op.samples))]
NAMES = [f"{op.name}-{number}" for op, number in CALLS]


def variables(arrays):
    """A leaf for every array."""
    return [tg.Tensor(array, requires_grad=True) for array in arrays]


def derivatives(f, arrays, cotangent):
    """What backward gives for sum(cotangent * f(*arrays)), an array for each argument."""
    leaves = variables(arrays)
    f(*leaves).backward(cotangent)
    return [np.zeros_like(x.data) if x.grad is None else x.grad for x in leaves]


def scalar_of(f, cotangent):
    """The function sum(cotangent * f(...)) of plain arrays, as a number."""
    return lambda *arrays: float(np.vdot(cotangent, f(*arrays)))


def central_differences(scalar, arrays, step=1e-6):
    """The slope of a scalar function of arrays in every element of every array."""
    slopes = [np.zeros(array.shape) for array in arrays]
    for i, slope in enumerate(slopes):
        for place in np.ndindex(slope.shape):
            up, down = arrays[i].copy(), arrays[i].copy()
            up[place] += step
            down[place] -= step
            values = [scalar(*arrays[:i], moved, *arrays[i + 1 :]) for moved in (up, down)]
            slope[place] = (values[0] - values[1]) / (2 * step)
    return slopes


def slope_along(scalar, arrays, directions, step=1e-6):
    """The slope of a scalar function of arrays in one direction."""
    up = [array + step * v for array, v in zip(arrays, directions, strict=True)]
    down = [array - step * v for array, v in zip(arrays, directions, strict=True)]
    return (scalar(*up) - scalar(*down)) / (2 * step)


def assert_all_close(got, expected, rtol=1e-5, atol=1e-7):
    assert len(got) == len(expected)
    for g, e in zip(got, expected, strict=True):
        assert np.shape(g) == np.shape(e)
        np.testing.assert_allclose(g, e, rtol=rtol, atol=atol)
