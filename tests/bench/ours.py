"""The training step with this library, as a user would write it."""

from __future__ import annotations

import importlib

from workloads import LEARNING_RATE, Problem, Step

import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, nn, optim


def model(problem: Problem) -> nn.Sequential:
    """The perceptron with the problem's initial values."""
    modules: list[nn.Module] = []
    for W, _ in problem.layers:
        modules += [nn.Linear(*W.shape), nn.ReLU()]
    sequential = nn.Sequential(*modules[:-1])
    values = [array for layer in problem.layers for array in layer]
    sequential.load_state_dict(dict(zip(sequential.state_dict(), values, strict=True)))
    return sequential


def eager(problem: Problem) -> Step:
    """Recorded, differentiated and updated anew in every step."""
    network = model(problem)
    optimizer = optim.SGD(network.parameters(), lr=LEARNING_RATE)
    x, labels = Tensor(problem.X), problem.labels

    def step() -> float:
        optimizer.zero_grad()
        loss = F.cross_entropy(network(x), labels)
        loss.backward()
        optimizer.step()
        return float(loss)

    return step


def beside_debug(problem: Problem) -> Step:
    """The same step where the readers for people are imported: they cost nothing while they read nothing."""
    importlib.import_module("tinygrad_sm.debug")
    return eager(problem)
