"""From a program to a function that can be called."""

from __future__ import annotations

import itertools
import linecache
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_sm.compiler.fused.calls import Caller, source_of
from tinygrad_sm.compiler.fused.kernels import HEADER
from tinygrad_sm.compiler.fused.layout import native_strides
from tinygrad_sm.compiler.fused.pieces import order
from tinygrad_sm.compiler.fused.plan import Plan
from tinygrad_sm.compiler.fused.preparing import prepare
from tinygrad_sm.compiler.fused.storage import Storage
from tinygrad_sm.compiler.numpy_code import Executable
from tinygrad_sm.compiler.program import Program, Value

# From source and examples of the arguments of each function to a module with these functions.
Load = Callable[[str, Mapping[str, Sequence[Any]]], Any]
_counter = itertools.count(1)


def build(program: Program, name: str, load: Load) -> Executable:
    """The function of a program, whose compiled parts are made by `load`."""
    prepare(program)
    plan = Plan(program)
    plan.names.taken.add(name)
    caller = Caller(plan)
    plan.storage.allocate()
    examples = {each.name: [_example(plan.storage, item) for item in each.examples] for each in caller.kernels}
    # Without comments: the compiled functions are not to change when the user's lines move.
    module = load(HEADER + "".join(each.source(comments=False) for each in caller.kernels), examples)
    own = source_of(name, caller.parameters, caller.lines)
    source = own + "".join(each.source(comments=True) for each in caller.kernels)
    filename = f"<compiled {name} {next(_counter)}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace = caller.finish(module)
    exec(compile(own, filename, "exec"), namespace)
    return Executable(namespace[name], source, caller.report, plan.storage.nbytes)


def _example(storage: Storage, item: Any) -> Any:
    """Something of the type of an argument: an array by its name, or like a value; or a number."""
    if isinstance(item, str):
        return storage.arrays[item]
    if not isinstance(item, Value):
        return item
    turned = item.ndim == 2 and order(item.shape, native_strides(item)) == "F"
    return np.empty(item.shape, item.dtype, "F" if turned else "C")
