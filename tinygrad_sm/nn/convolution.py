"""Layers of convolutional networks: Conv1d, Conv2d, ConvTranspose2d and pooling, channels first, as PyTorch's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_sm.errors import ArgumentError
from tinygrad_sm.nn import functional as F
from tinygrad_sm.nn.module import Module, Parameter
from tinygrad_sm.nn.sizes import check_sizes, checked
from tinygrad_sm.ops.convolution import beyond
from tinygrad_sm.ops.pooling import adaptive_size, check_divisor, pooling_options
from tinygrad_sm.ops.windows import Pair, paddings, pair
from tinygrad_sm.randomness import generator_or_default


class Convolution(Module):
    """What the convolutional layers share: a weight and a bias, uniform between -1/sqrt(fan_in) and 1/sqrt(fan_in)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: tuple[int, ...],
        groups: int,
        bias: bool,
        transposed: bool,
        dtype: Any,
        generator: np.random.Generator | None,
    ) -> None:
        name = type(self).__name__
        check_sizes(name, in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            what = f"{name}: groups={groups} does not divide {in_channels} and {out_channels} channels"
            raise ArgumentError(what, remedy="take a divisor of both")
        first, second = (in_channels, out_channels) if transposed else (out_channels, in_channels)
        shape = (first, second // groups, *kernel)
        generator = generator_or_default(generator)
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        self.weight = Parameter(generator.uniform(-bound, bound, shape).astype(dtype))
        self.bias: Parameter | None = None
        if bias:
            self.bias = Parameter(generator.uniform(-bound, bound, out_channels).astype(dtype))
        self.in_channels, self.out_channels, self.kernel_size, self.groups = in_channels, out_channels, kernel, groups

    def extra_repr(self) -> str:
        usual = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1}
        options = {name: getattr(self, name) for name in usual if hasattr(self, name)}
        others = "".join(f", {name}={value!r}" for name, value in options.items() if value != usual[name])
        bias = "" if self.bias is not None else ", bias=False"
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}{others}{bias}"


class Conv1d(Convolution):
    """Convolution along one axis: (N, C, L) to (N, O, L'); see `F.conv1d`.

    Args: as `Conv2d`, with one number each. Raises ArgumentError for bad sizes and options.

    >>> Conv1d(2, 3, 5, padding="same")(np.ones((4, 2, 7), np.float32)).shape
    (4, 3, 7)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: Any = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        dtype: Any = np.float32,
        generator: np.random.Generator | None = None,
    ) -> None:
        if any(np.ndim(option) for option in (kernel_size, stride, padding, dilation)):
            options = f"kernel_size={kernel_size}, stride={stride}, padding={padding}, dilation={dilation}"
            raise ArgumentError(f"Conv1d: {options}", remedy="give one number each: there is one axis")
        length, _ = checked(self, _kernel, kernel_size, stride, padding, dilation)
        super().__init__(in_channels, out_channels, (length,), groups, bias, False, dtype, generator)
        self.stride, self.padding, self.dilation = stride, padding, dilation

    def forward(self, x: Any) -> Any:
        return F.conv1d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class Conv2d(Convolution):
    """Convolution of images: (N, C, H, W) to (N, O, H', W'); see `F.conv2d`.

    Args: in_channels C, out_channels O; kernel_size, stride, padding and dilation a number or a pair (rows, columns),
    padding "same" or "valid" too; groups that the channels are divided into; bias=False leaves it out. `weight` is
    (O, C / groups, kh, kw) and, as `bias`, uniform between -1/sqrt(fan_in) and 1/sqrt(fan_in), where fan_in is
    C / groups kh kw. Padding is with zeros. Raises ArgumentError for bad sizes and options.

    >>> Conv2d(1, 32, 3)(np.ones((4, 1, 28, 28), np.float32)).shape
    (4, 32, 26, 26)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        dtype: Any = np.float32,
        generator: np.random.Generator | None = None,
    ) -> None:
        kernel = checked(self, _kernel, kernel_size, stride, padding, dilation)
        super().__init__(in_channels, out_channels, kernel, groups, bias, False, dtype, generator)
        self.stride, self.padding, self.dilation = stride, padding, dilation

    def forward(self, x: Any) -> Any:
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class ConvTranspose2d(Convolution):
    """Transposed convolution of images: (N, C, H, W) to (N, O, H', W'); see `F.conv_transpose2d`.

    Args: as `Conv2d`, and output_padding, rows and columns added at the end. `weight` is (C, O / groups, kh, kw);
    fan_in is O / groups kh kw, as in PyTorch. Raises ArgumentError for bad sizes and options.

    >>> ConvTranspose2d(8, 4, 2, stride=2)(np.ones((1, 8, 7, 7), np.float32)).shape
    (1, 4, 14, 14)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        *,
        dtype: Any = np.float32,
        generator: np.random.Generator | None = None,
    ) -> None:
        kernel = checked(self, _kernel, kernel_size, stride, padding, dilation)
        if isinstance(padding, str):
            raise ArgumentError(f"ConvTranspose2d: padding={padding!r}", remedy="give a number, or a pair")
        checked(self, beyond, output_padding, pair(stride, "stride"), pair(dilation, "dilation"))
        super().__init__(in_channels, out_channels, kernel, groups, bias, True, dtype, generator)
        self.stride, self.padding, self.output_padding, self.dilation = stride, padding, output_padding, dilation

    def forward(self, x: Any) -> Any:
        options = (self.stride, self.padding, self.output_padding, self.groups, self.dilation)
        return F.conv_transpose2d(x, self.weight, self.bias, *options)


class MaxPool2d(Module):
    """The largest value of every window; see `F.max_pool2d`.

    >>> MaxPool2d(2)(np.arange(4.0).reshape(1, 2, 2))
    array([[[3.]]])
    """

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1) -> None:
        checked(self, pooling_options, kernel_size, stride, padding, dilation)
        self.kernel_size, self.stride, self.padding, self.dilation = kernel_size, stride, padding, dilation

    def forward(self, x: Any) -> Any:
        return F.max_pool2d(x, self.kernel_size, self.stride, self.padding, self.dilation)

    def extra_repr(self) -> str:
        return _shown(self, stride=None, padding=0, dilation=1)


class AvgPool2d(Module):
    """The average of every window; see `F.avg_pool2d`.

    >>> AvgPool2d(2)(np.arange(4.0).reshape(1, 2, 2))
    array([[[1.5]]])
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        *,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        checked(self, pooling_options, kernel_size, stride, padding)
        checked(self, check_divisor, divisor_override)
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, x: Any) -> Any:
        counted, divisor = self.count_include_pad, self.divisor_override
        options = (self.kernel_size, self.stride, self.padding)
        return F.avg_pool2d(x, *options, count_include_pad=counted, divisor_override=divisor)

    def extra_repr(self) -> str:
        return _shown(self, stride=None, padding=0, count_include_pad=True, divisor_override=None)


class AdaptiveAvgPool2d(Module):
    """Averages over as many windows as are asked for; see `F.adaptive_avg_pool2d`.

    >>> AdaptiveAvgPool2d(1)(np.arange(4.0).reshape(1, 2, 2))
    array([[[1.5]]])
    """

    def __init__(self, output_size: Any) -> None:
        checked(self, adaptive_size, output_size, (1, 1))  # of any image
        self.output_size = output_size

    def forward(self, x: Any) -> Any:
        return F.adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self) -> str:
        return f"{self.output_size}"


def _kernel(kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> Pair:
    """The kernel's size as a pair, if it and the other options are such."""
    kernel = pair(kernel_size, "kernel_size")
    pair(stride, "stride")
    pair(dilation, "dilation")
    paddings(padding, kernel, stride, dilation)
    return kernel


def _shown(layer: Any, **usual: Any) -> str:
    """The kernel's size, and the options that are not as usual."""
    others = [f"{name}={getattr(layer, name)!r}" for name, value in usual.items() if getattr(layer, name) != value]
    return ", ".join([f"{layer.kernel_size}", *others])
