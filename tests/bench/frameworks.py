"""Who is measured: the module that computes the workloads in each framework, and what has to be installed for it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
from typing import Any, NamedTuple

from workloads import WORKLOADS, UnavailableError, data


class Framework(NamedTuple):
    """A framework as a table names it, and where it is."""

    title: str
    module: str
    arguments: tuple[Any, ...] = ()  # of its functions, after the data
    needs: tuple[str, ...] = ()  # packages
    compiler: tuple[str, str] | None = None  # the variable that names it, and what it is otherwise
    compiles: bool = False  # so that its first call takes long
    beside: str = ""  # a module that is imported before
    only: tuple[str, ...] = ()  # workloads, where not all of them
    without: tuple[str, ...] = ()  # functions that the module lacks

    def computes(self, workload: str) -> bool:
        """Whether the framework is measured on a workload."""
        return (not self.only or workload in self.only) and WORKLOADS[workload].function not in self.without


YARDSTICK = "by-hand"
SELDOM = ("convolution", "layer_norm")  # what is measured against the fastest only
FRAMEWORKS = {
    YARDSTICK: Framework("NumPy by hand", "by_hand"),
    "preallocated": Framework("NumPy preallocated", "preallocated", without=("convolution",)),
    "eager": Framework("tinygrad_sm", "ours"),
    "eager-debug": Framework("and debug imported", "ours", beside="tinygrad_sm.debug", only=("moons", "digits")),
    "compiled-numpy": Framework("tinygrad_sm compiled, numpy", "ours_compiled", ("numpy",), compiles=True),
    "compiled-numba": Framework("tinygrad_sm compiled, numba", "ours_compiled", ("numba",), ("numba",), compiles=True),
    "torch": Framework("PyTorch", "with_torch", needs=("torch",)),
    "torch-compile": Framework("torch.compile", "with_torch", (True,), ("torch",), ("CXX", "g++"), compiles=True),
    "jax": Framework("jax.jit", "with_jax", needs=("jax",), compiles=True),
    "autograd": Framework("HIPS autograd", "with_autograd", needs=("autograd", "scipy"), without=SELDOM),
    "mygrad": Framework("MyGrad", "with_mygrad", needs=("mygrad",), without=SELDOM),
    "micrograd": Framework("micrograd", "with_micrograd", needs=("micrograd",), only=("moons", "chain", "growth")),
    "tinygrad": Framework(
        "tinygrad",
        "with_tinygrad",
        needs=("tinygrad",),
        compiler=("CC", "clang"),
        compiles=True,
        without=SELDOM,
    ),
}


def missing(framework: Framework) -> str:
    """What a framework needs and does not find here; empty where it finds everything."""
    for name in framework.needs:
        if importlib.util.find_spec(name) is None:
            return f"{name} is not installed"
    if framework.compiler:
        variable, usual = framework.compiler
        if shutil.which(os.environ.get(variable, usual)) is None:
            return f"it compiles with {usual}, or what {variable} names, which is not installed"
    return ""


def build(name: str, workload: str) -> Any:
    """A workload in a framework, ready to be called; a module is imported only where it is measured."""
    framework = FRAMEWORKS[name]
    function = getattr(load(framework), WORKLOADS[workload].function)
    return function(data(workload), *framework.arguments)


def load(framework: Framework) -> Any:
    """The framework's module, imported; raises UnavailableError where something is missing."""
    if reason := missing(framework):
        raise UnavailableError(reason)
    if framework.beside:
        importlib.import_module(framework.beside)
    return importlib.import_module(framework.module)
