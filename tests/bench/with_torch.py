"""PyTorch, eager and compiled; on all cores, as NumPy's BLAS is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from machine import cores
from workloads import FACTOR, LEARNING_RATE, START, SUMMAND, Kernel, Pictures, Problem, Rows, Scores, Step

torch.set_num_threads(cores())


def maybe_compiled(function: Callable[..., Any], compiled: bool) -> Callable[..., Any]:
    return torch.compile(function) if compiled else function


def training(problem: Problem, compiled: bool = False) -> Step:
    X, labels = torch.tensor(problem.X), torch.tensor(problem.labels)
    params = [torch.tensor(array, requires_grad=True) for layer in problem.layers for array in layer]

    def forward(h: torch.Tensor, *params: torch.Tensor) -> torch.Tensor:
        for W, b in zip(params[:-2:2], params[1:-2:2], strict=True):
            h = torch.relu(torch.addmm(b, h, W))
        return F.cross_entropy(torch.addmm(params[-1], h, params[-2]), labels)

    return descent(forward, X, params, compiled)


def convolution(pictures: Pictures, compiled: bool = False) -> Step:
    X, labels = torch.tensor(pictures.X), torch.tensor(pictures.labels)
    params = [torch.tensor(array, requires_grad=True) for array in pictures[2:]]

    def forward(x: torch.Tensor, *params: torch.Tensor) -> torch.Tensor:
        kernel, bias, W, b = params
        pooled = F.max_pool2d(torch.relu(F.conv2d(x, kernel, bias)), 2)
        return F.cross_entropy(torch.addmm(b, pooled.flatten(1), W), labels)

    return descent(forward, X, params, compiled)


def descent(forward: Callable[..., torch.Tensor], X: torch.Tensor, params: list[torch.Tensor], compiled: bool) -> Step:
    """A step of a loss, given the batch and the parameters."""
    optimizer = torch.optim.SGD(params, lr=LEARNING_RATE)
    forward = maybe_compiled(forward, compiled)

    def step() -> float:
        optimizer.zero_grad()
        loss = forward(X, *params)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def kernel(loss_of: Callable[..., torch.Tensor], *args: Any, compiled: bool) -> Kernel:
    """A scalar function of a first argument, with its gradient."""
    function = maybe_compiled(loss_of, compiled)
    x = torch.tensor(args[0], requires_grad=True)
    others = [torch.tensor(arg) for arg in args[1:]]

    def run() -> tuple[torch.Tensor, Any]:
        x.grad = None
        loss = function(x, *others)
        loss.backward()
        return loss, x.grad

    return run


def cross_entropy(scores: Scores, compiled: bool = False) -> Kernel:
    return kernel(F.cross_entropy, scores.logits, scores.labels, compiled=compiled)


def logsumexp(scores: Scores, compiled: bool = False) -> Kernel:
    def total(z: torch.Tensor) -> torch.Tensor:
        return torch.logsumexp(z, 1).sum()

    return kernel(total, scores.logits, compiled=compiled)


def layer_norm(rows: Rows, compiled: bool = False) -> Kernel:
    def total(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        return (F.layer_norm(x, x.shape[1:], weight, bias) * others).sum()

    return kernel(total, *rows, compiled=compiled)


def chain(count: int, compiled: bool = False) -> Kernel:
    def links(x: torch.Tensor) -> torch.Tensor:
        for _ in range(count // 2):
            x = x * FACTOR + SUMMAND
        return x

    return kernel(links, START, compiled=compiled)
