"""Where this library answers otherwise than PyTorch on purpose, and why; `make parity` prints the list.

A difference names PyTorch's functions, what differs and the reason. `when` tells from the arguments of a call whether
it is one of those calls; a difference in any other call is a mistake. A number of ours where PyTorch says NaN is a
difference too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

SECOND = ("second derivative",)
GRADIENTS = ("gradient", *SECOND)
EVERYTHING = ("value", *GRADIENTS)


@dataclass
class Difference:
    """A deliberate difference in some calls of some functions."""

    names: tuple[str, ...]
    what: tuple[str, ...]
    reason: str
    when: Callable[..., Any]

    def is_about(self, call: Any) -> bool:
        """Whether the call is one in which the answers may differ."""
        return call.name in self.names and bool(self.when(**call.arguments))


def tied_along_one_axis(input, dim=None, keepdim=False, other=None):
    """Whether a row has its largest or its smallest value more than once."""
    if not isinstance(dim, int) or np.ndim(input) == 0:
        return False
    return any(np.any(np.sum(input == f(input, dim, keepdims=True), dim) > 1) for f in (np.max, np.min))


def middle_of_an_even_number(input, dim=None, keepdim=False):
    """Whether there are two middle values, or several equal ones of which PyTorch takes the first."""
    count = input.size if dim is None or input.ndim == 0 else input.shape[dim]
    return count % 2 == 0 or np.unique(input).size < input.size


def repeated_values(input, *args, **kwargs):
    return np.unique(input).size < input.size


def a_zero(input, *args, **kwargs):
    return np.any(np.equal(input, 0))


def a_bound(input, min_val=-1.0, max_val=1.0):
    return np.any((input == min_val) | (input == max_val))


def a_zero_exponent_or_base(input, other):
    return np.any(np.equal(other, 0) | np.equal(input, 0))


def a_logarithm_of_zero(input, other):
    return np.any((input == 0) & (other == 0))


def both_zero(input, other):
    return np.any((input == 0) & (other == 0))


def infinite_values(input, *args, **kwargs):
    return np.any(np.isinf(input))


def infinite_arguments(input, other):
    return np.any(np.isinf(input) & np.isinf(other))


def nothing_or_masked_rows(input, target, *args, **kwargs):
    return np.any(np.isinf(input)) or np.all(target == -100)


def singular(input):
    return np.any(np.abs(np.linalg.det(input)) < 1e-12)


def near_zero(input):
    return np.any(np.abs(input) < 1e-4)


def at_the_width(input, target, *args, **kwargs):
    return np.any(np.abs(input - target) == kwargs.get("delta", kwargs.get("beta", 1.0)))


def an_empty_class(input, target, *args, log_target=False, **kwargs):
    return not log_target and np.any(target == 0)


DIFFERENCES = [
    Difference(
        ("max", "min"),
        GRADIENTS,
        "Values that tie along an axis share the gradient evenly, as they do in a reduction over everything and in "
        "amax; PyTorch gives all of it to one of them.",
        tied_along_one_axis,
    ),
    Difference(
        ("median",),
        EVERYTHING,
        "The median of an even number of values is the mean of the two in the middle, as in NumPy, and equal values "
        "share the gradient; PyTorch takes the lower one, and the first.",
        middle_of_an_even_number,
    ),
    Difference(
        ("quantile",),
        GRADIENTS,
        "Equal values share the gradient evenly; PyTorch takes those that its sort happens to put there.",
        repeated_values,
    ),
    Difference(
        ("nn.functional.elu", "nn.functional.selu", "nn.functional.prelu"),
        SECOND,
        "At 0 derivatives of every order are those of the left branch; PyTorch takes the first from the left and the "
        "second from the right.",
        a_zero,
    ),
    Difference(
        ("nn.functional.hardtanh",),
        GRADIENTS,
        "At a bound the derivative is the left one, as at every kink here: 0 at the lower and 1 at the upper one.",
        a_bound,
    ),
    Difference(
        ("nn.functional.huber_loss", "nn.functional.smooth_l1_loss"),
        SECOND,
        "Where the error is exactly the width, the quadratic branch holds, as in the value; PyTorch changes to the "
        "linear one there in the second derivative.",
        at_the_width,
    ),
    Difference(
        ("pow",),
        SECOND,
        "At exponent 0 the mixed second derivative is 1 / x, which PyTorch loses, as its gradient by the base is a "
        "constant 0 there; at base 0 its second derivatives are NaN.",
        a_zero_exponent_or_base,
    ),
    Difference(
        ("__rpow__",),
        SECOND,
        "Of 0 ** y all derivatives by y are taken as 0; PyTorch's second one is NaN.",
        a_zero_exponent_or_base,
    ),
    Difference(
        ("atan2", "hypot"),
        GRADIENTS,
        "At (0, 0) the gradient is 0, as that of the norm of a zero vector, and its derivative a number.",
        both_zero,
    ),
    Difference(
        ("linalg.vector_norm", "linalg.norm"),
        SECOND,
        "Where elements are 0 derivatives of every order are numbers, of the norm of a zero vector 0; PyTorch's second "
        "ones are NaN.",
        a_zero,
    ),
    Difference(
        ("linalg.det",),
        SECOND,
        "Derivatives are made of cofactors, which need no inverse, so that those of a singular matrix are exact.",
        singular,
    ),
    Difference(
        ("softmax", "log_softmax", "logsumexp", "logcumsumexp"),
        EVERYTHING,
        "A fully masked row (all -inf) has the softmax 0, the logsumexp -inf and the gradient 0, and k values of +inf "
        "share evenly; PyTorch says NaN.",
        infinite_values,
    ),
    Difference(
        ("logaddexp",),
        GRADIENTS,
        "Where both are -inf, the gradient is 0, as that of logsumexp; PyTorch says NaN.",
        infinite_arguments,
    ),
    Difference(
        ("nn.functional.cross_entropy", "nn.functional.nll_loss"),
        EVERYTHING,
        "A mean over no target is 0, and a fully masked row has the gradient 0; PyTorch says NaN.",
        nothing_or_masked_rows,
    ),
    Difference(
        ("sinc",),
        SECOND,
        "Near 0 the second derivative tends to -pi**2 / 3; PyTorch's is NaN at 0 and loses all digits around it.",
        near_zero,
    ),
    Difference(
        ("xlogy",),
        GRADIENTS,
        "At (0, 0) the derivative by the first argument is log 0 = -inf, its limit; PyTorch says 0.",
        a_logarithm_of_zero,
    ),
    Difference(
        ("nn.functional.kl_div",),
        GRADIENTS,
        "Where the target is 0, the loss and the gradients are 0 whatever the prediction is; PyTorch's gradient by the "
        "target is NaN there.",
        an_empty_class,
    ),
]

# What the spellings translate: the same in other words.
CONVENTIONS = [
    "axis and keepdims are NumPy's words for dim and keepdim; axis=None is everything, and a 0-d array has no axis 0.",
    "std and var divide by N by default, as in NumPy (ddof=0); PyTorch divides by N - 1.",
    "max(x, axis) gives the values alone, the indices come from argmax; amax is the same as max.",
    "linalg.norm over a tuple of two axes is a matrix norm, as in NumPy.",
    "split, pad, tile and repeat take their sizes in NumPy's form; sort and argsort only ascend.",
    "linear's weight and those of the recurrent layers are (inputs, outputs), so that it reads x @ W + b.",
    "A boolean mask of attention is true where attention is paid, in layers too, where PyTorch's leave these out.",
    "softmax and log_softmax go along the last axis by default; softplus needs no threshold.",
    "Bounds (clip), class weights (cross_entropy and others) and fractions (quantile) are constants.",
]

# Operations that PyTorch has under the same name, and why they are not compared.
OTHERS: dict[str, str] = {}
