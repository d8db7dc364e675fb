"""The Python function of a program: it calls the compiled functions, and NumPy for what has no loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_sm import threads
from tinygrad_sm.compiler.fused.kernels import Kernel, kernel_of, rows_of
from tinygrad_sm.compiler.fused.layout import native_strides
from tinygrad_sm.compiler.fused.nests import Group, Nest, Single
from tinygrad_sm.compiler.fused.plan import Plan, Segment
from tinygrad_sm.compiler.fused.source import INDENT, WIDTH
from tinygrad_sm.compiler.fused.storage import Lent
from tinygrad_sm.compiler.numpy_code import SYMBOLS, UPDATE
from tinygrad_sm.compiler.program import DEVIATES, Instruction, Value
from tinygrad_sm.compiler.wording import described
from tinygrad_sm.numpy_calls import without_warnings


class Caller:
    """Writes the Python function: `lines`, the `kernels` that these call, and the `namespace` that they run in."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.names, self.storage, self.layout = plan, plan.names, plan.storage, plan.layout
        self.namespace: dict[str, Any] = {"np": np, "DEVIATES": DEVIATES, "run_blocks": threads.run_blocks}
        self.namespace["without_warnings"] = without_warnings
        self.kernels: list[Kernel] = []
        self.lines: list[str] = []
        self.report: list[str] = []
        self._constants: dict[Any, str] = {}
        self._kept: dict[str, tuple[str, int, Any, Any]] = {}  # what stands in workspaces, which are not made yet
        self._views = {each.out: each for each in plan.program.instructions if each.kind == "view"}
        self._write()

    @property
    def parameters(self) -> list[str]:
        """The arguments of the Python function."""
        return [self.names(each) for each in (*self.plan.program.inputs, *self.plan.program.numbers)]

    def finish(self, module: Any) -> dict[str, Any]:
        """The namespace, with the arrays that have been made meanwhile and the compiled functions."""
        kept = {
            name: self.storage.seen(self.storage.arrays[array], *rest) for name, (array, *rest) in self._kept.items()
        }
        names = [*[kernel.name for kernel in self.kernels], "sgemm", "dgemm", "alone"]
        faster = getattr(module, "faster", {})  # compiled functions in the place of some that are called
        own = {name: faster.get(item, item) if callable(item) else item for name, item in self.namespace.items()}
        return own | self.storage.arrays | kept | {name: getattr(module, name) for name in names}

    def _write(self) -> None:
        plan = self.plan
        for value in self.storage.copied_in:
            self.lines.append(f"np.copyto({self._stored(value)}, {self._given(value)})")
        for name, value in self.storage.inputs.items():  # a copy may have been recorded in the place of what is passed
            strides = tuple(step * value.dtype.itemsize for step in native_strides(value))
            order = "F" if value.ndim == 2 and strides[0] < strides[1] else "C"
            self.lines += [f"if {name}.strides != {strides}:", f'{INDENT}{name} = np.array({name}, order="{order}")']
        for out, instruction in plan.numbers.items():
            args = [self._argument(arg) for arg in instruction.args]
            symbol = SYMBOLS.get(instruction.function)
            self.lines.append(f"{self.names(out)} = {f' {symbol} '.join(args) if symbol else f'-{args[0]}'}")
        for name, value in self.storage.results.items():
            self.lines.append(f"{name} = {self._constant(Lent(value), f'lent_{name}')}.take()")
        copies = {value: self._copied(value) for _, value in plan.program.stores if value.kind == "memory"}
        for segment in plan.segments:
            self._segment(segment)
        for memory, value in plan.program.stores:
            if value not in plan.direct:
                self._begin_update()
                self.lines.append(f"np.copyto({self._argument(memory)}, {copies.get(value) or self._argument(value)})")
        self.lines.append(f"return {self._returned(plan.program.results)}")
        if plan.needs_calm():
            self.lines = ["with alone:", *[INDENT + line for line in self.lines]]

    def _copied(self, value: Value) -> str:
        """A copy of a memory as it is before the update, for another one that takes it over."""
        name = self.names.fresh(f"old_{self.names(value)}")
        self.lines.append(f"{name} = {self._argument(value)}.copy()")
        return name

    def _begin_update(self) -> None:
        if UPDATE not in self.lines:
            self.lines.append(UPDATE)  # before anything is written, see `Executable.has_written`

    def _segment(self, segment: Segment) -> None:
        made = [value for group in segment.groups if isinstance(group, Nest) for value in group.levels]
        if segment.kind == "call":
            self._call(segment.groups[0])
            return
        if any(value in self.plan.direct for value in made):
            self._begin_update()
        if segment.kind == "rows":
            self._rows(segment.groups[0])
        else:
            self._kernel(segment)

    # Compiled functions.

    def _kernel(self, segment: Segment) -> None:
        kernel = kernel_of(self.plan, segment)
        if kernel is None:
            return
        self.kernels.append(kernel)
        self.lines += [f"if {kernel.call()}:", f"{INDENT}return DEVIATES"] if kernel.deviates else [kernel.call()]
        for group in segment.groups:
            self._report(group, "")

    def _rows(self, group: Group) -> None:
        """Call a function for all blocks of a nest or product, on several threads."""
        kernel = rows_of(self.plan, group)
        self.kernels.append(kernel)
        extent, rows, blocks = self.plan.blocks(group)
        block = self.names.fresh(f"block_of_{kernel.name}")
        call = kernel.call(["lo", "hi", f"lo // {rows}", "slot"][: len(kernel.first)])
        body = [f"bad.append({call})" if kernel.deviates else call]
        if "slot" in kernel.first:  # room for the rows that are kept, for each block that runs at the same time
            body = ["slot = slots.pop()", *body, "slots.append(slot)"]
            self.lines.append(f"slots = list(range({blocks}))")
        self.lines += ["bad = []"] * kernel.deviates
        self.lines += [f"def {block}(lo, hi):", *[INDENT + line for line in body]]
        self.lines.append(f"run_blocks({block}, {extent}, {rows})")
        self.lines += ["if any(bad):", f"{INDENT}return DEVIATES"] if kernel.deviates else []
        self._report(group, ", on several threads")

    def _report(self, group: Group, how: str) -> None:
        """Say what a compiled group does."""
        if isinstance(group, Nest):
            shape = " x ".join(map(str, group.extents)) or "one number"
            what = ", ".join(dict.fromkeys(each.instruction.name for each in group.statements))
            self.report.append(f"loop over {shape}{how}: {what}"[:WIDTH])
        elif group.instruction.function is np.matmul:
            shapes = " @ ".join(str(each.shape) for each in group.instruction.args)
            self.report.append(f"BLAS call{how}: {shapes}")
        elif group.instruction.kind != "guard":
            self.report.append(f"copying: {group.instruction.name}")

    # Calls of NumPy's functions.

    def _call(self, group: Any) -> None:
        """Write the call of what is not compiled."""
        assert isinstance(group, Single)
        instruction = group.instruction
        origin = described(instruction.origin, WIDTH)
        self.report.append(f"NumPy call, for want of a loop: {instruction.name} ({origin})"[:WIDTH])
        if instruction.kind == "effect":
            self._begin_update()
        call = self._called(instruction)
        lines = [f"# {origin}"]
        if instruction.kind == "guard":
            lines += [f"if bool({call}) is not {instruction.options['expected']}:", f"{INDENT}return DEVIATES"]
        elif instruction.kind == "effect":
            lines.append(call)
        else:
            lines += self._assigned(instruction, call)
        self.lines += lines

    def _assigned(self, instruction: Instruction, call: str) -> list[str]:
        """The lines that call a function and keep what it returns."""
        outs = [self.names(out) for out in instruction.outs]
        line = f"{', '.join(outs)} = {call}"
        quiet = instruction.origin.phase == "backward"  # what is infinite there is no fault of the user's
        lines = ['with without_warnings("divide", "invalid"):', INDENT + line] if quiet else [line]
        for name, out in zip(outs, instruction.outs, strict=True):
            if instruction.kind == "call":
                lines += [f"if np.shape({name}) != {out.shape}:", f"{INDENT}return DEVIATES"]
            if out not in self.plan.variables:
                lines.append(f"np.copyto({self._stored(out)}, {name})")
        return lines

    def _called(self, instruction: Instruction) -> str:
        options = [f"{key}={self._argument(item)}" for key, item in instruction.options.items()]
        given = [self._argument(item) for item in instruction.args]
        if instruction.kind == "guard":
            return f"np.isnan({given[0]})" if instruction.function is np.isnan else given[0]
        function = f"np.{instruction.name}"
        if getattr(np, instruction.name, None) is not instruction.function:
            function = self._constant(instruction.function, instruction.name)
        return f"{function}{'.reduce' * (instruction.kind == 'reduce')}({', '.join([*given, *options])})"

    # Values.

    def _argument(self, item: Any) -> str:
        """A value or constant as it stands in the Python function."""
        if isinstance(item, Value):
            return self._value(item)
        if isinstance(item, tuple):
            return f"({''.join(f'{self._argument(part)}, ' for part in item)})"
        if isinstance(item, list):
            return f"[{', '.join(map(self._argument, item))}]"
        if isinstance(item, slice):
            return f"slice({', '.join(map(self._argument, (item.start, item.stop, item.step)))})"
        if item is ...:
            return "..."
        if item is None or type(item) in (bool, int, str) or (type(item) is float and np.isfinite(item)):
            return repr(item)
        return self._constant(item, "constant")

    def _value(self, value: Value) -> str:
        """A value: a variable, or an array that is made beforehand; a view of a variable is made where it is needed."""
        base = self.layout(value).base
        if value.kind == "number" or (base is value and value.kind == "memory"):
            return self._given(value)
        name = self.storage.places[base].name if base in self.storage.places else self.names(base)
        if base not in self.plan.variables and not self.storage.is_lent(name):
            return self._stored(value)
        if base is value:
            return name
        self.lines.append(f"{self.names(value)} = {self._called(self._views[value])}")
        return self.names(value)

    def _given(self, value: Value) -> str:
        """An input, number or memory as it came."""
        return self._constant(value.array, self.names(value)) if value.kind == "memory" else self.names(value)

    def _stored(self, value: Value) -> str:
        """The array in which a value is kept."""
        base, offset, strides = self.layout(value)
        name, start = self.storage.places[base]
        if self.storage.is_lent(name):
            return name
        key = name, start + offset, value.shape, strides
        if key not in self._constants:
            self._constants[key] = self.names.fresh(f"{self.names(value)}_")
            self._kept[self._constants[key]] = key
        return self._constants[key]

    def _constant(self, item: Any, name: str) -> str:
        """The name of something that stays the same."""
        if id(item) not in self._constants:
            self._constants[id(item)] = fresh = self.names.fresh(name)
            self.namespace[fresh] = item  # which keeps its id from being given to another
        return self._constants[id(item)]

    def _returned(self, results: Any) -> str:
        """What the function returns: copies of what the next call writes to."""
        if isinstance(results, tuple):
            return f"({''.join(f'{self._returned(part)}, ' for part in results)})"
        name = self._argument(results)
        if isinstance(results, np.ndarray) or (isinstance(results, Value) and results.kind != "number"):
            owned = name in self.storage.results
            return name if owned else f'{name}.copy("K")' if results.shape else f"{name}[()]"
        return name


def source_of(name: str, parameters: Sequence[str], lines: Sequence[str]) -> str:
    """The source of the Python function."""
    return f"def {name}({', '.join(parameters)}):\n" + "".join(f"{INDENT}{line}\n" for line in lines)
