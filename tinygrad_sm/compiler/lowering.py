"""From what a function did to a program: the forwards of its calls, the rules on the way back, the optimiser's update.

The way back is the engine's own: a copy of the tape that holds traced arrays in place of arrays is swept by
`engine.tape.Sweep`, and the rules that it calls write themselves down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_sm.compiler.capture import Call, Capture, drawn, updated
from tinygrad_sm.compiler.passes import where_nan_arrives
from tinygrad_sm.compiler.program import Array, Instruction, Origin, Program, Value, replaced
from tinygrad_sm.compiler.tracing import Trace, Traced, UntraceableError, example_of, gathered
from tinygrad_sm.display import argument, describe
from tinygrad_sm.effects import Effect, tick
from tinygrad_sm.engine.tape import Edge, Node, Sweep
from tinygrad_sm.engine.tensor import Tensor
from tinygrad_sm.errors import CaptureError
from tinygrad_sm.optim.clipping import largest_finite, total_norm


class Lowering:
    """The program of one captured run, in the making.

    Args: captured: the run; constants: ids of arrays that it made anew and that are alike in every run; names: what the
    user calls tensors and arrays, by their ids; whole: see `Trace`. Arrays of the run are known by identity, and
    `arrays` says which traced array stands for each.
    """

    def __init__(
        self, captured: Capture, constants: set[int], names: Mapping[int, str] | None = None, *, whole: bool = False
    ) -> None:
        self.trace = Trace(whole=whole)
        self.constants = constants
        self.names = names or {}
        self.arrays: dict[int, Any] = {}
        self.residuals: dict[int, Any] = {}  # by the id of the output
        self.memories: dict[int, Value] = {}  # that a call writes to, by the id of their array
        self.tested: list[Value] = []  # what the engine would look for NaN in
        self.settings: list[dict[str, Any]] = []  # of each group of parameters, those that are given with each call
        self.moved: set[str] = set()  # what an update changes of its optimiser
        for i, each in enumerate(captured.inputs):
            self.arrays[id(each._data)] = self.trace.given("input", each._data, f"x{i}")
        for source in captured.sources.values():
            self.memory(source._data, source.name or self.names.get(id(source), "constant"))
        for call in captured.calls:
            self._forward(call)

    @property
    def program(self) -> Program:
        """The program as far as it goes."""
        return self.trace.program

    def memory(self, array: Array, name: str) -> Any:
        """What stands for an array that outlives the call."""
        if id(array) not in self.arrays:
            self.arrays[id(array)] = self.trace.given("memory", array, name)
        return self.arrays[id(array)]

    def known(self, item: Any) -> Any:
        """What stands for an argument: traced arrays for arrays, and for those in tuples, lists and slices."""
        return replaced(item, self._known)

    def _known(self, item: Any) -> Any:
        if not isinstance(item, np.ndarray):
            return item
        if id(item) in self.constants and id(item) not in self.arrays:
            return item
        return self.memory(item, self.names.get(id(item), "constant"))

    def finish(self, results: Any) -> None:
        """Say what the program returns: what stands for the tensors and arrays of the captured results."""
        self.program.results = replaced(_in_tuples(results), self._result)

    def _result(self, item: Any) -> Any:
        array = item._data if isinstance(item, Tensor) else item
        if isinstance(array, np.ndarray) and id(array) not in self.arrays:
            problem = f"what is returned, {describe(array)}, was computed outside of recorded operations"
            raise CaptureError(problem, remedy="return tensors that operations of tinygrad_sm made")
        traced = self.known(array)
        return traced.read() if isinstance(traced, Traced) else traced

    def _forward(self, call: Call) -> None:
        """Write down the forward of a call."""
        origin = Origin("forward", call.op.name, call.where)
        self.trace.origin = origin
        random = drawn(call)
        for i, array in enumerate(call.args):
            effect = random.get(argument(call.op, i))
            if effect:
                self.arrays[id(array)] = drawn_array = self.trace.emit("draw", effect.repeat, (), {}, array)
                drawn_array.value.name = argument(call.op, i)
        args, options = self.known(tuple(call.args)), self.known(call.kwargs)
        out, residual = self.trace.operation(call.op, args, options, origin)
        outs = out if isinstance(out, tuple) else (out,)
        for traced, array in zip(outs, call.outs, strict=True):
            self.arrays[id(array)] = traced
        self.residuals[id(call.outs[0])] = residual
        for array, effect in updated(call):
            self._repeat_update(array, effect, args, options, origin)

    def _repeat_update(self, array: Array, effect: Effect, args: Any, options: dict[str, Any], origin: Origin) -> None:
        """Write down that a call wrote to an argument; what reads it afterwards reads the new value."""
        memory = self.memories.setdefault(id(array), self.memory(array, effect.argument).value)
        try:
            moved = self.trace.attempt(effect.repeat, args, options, origin)
        except UntraceableError as error:
            moved = self.trace.call(effect.repeat, args, options, origin, str(error))
        if np.shape(moved) != array.shape:
            problem = f"{effect.argument} {array.shape} would become {np.shape(moved)}"
            raise CaptureError(f"{origin.op}: {problem}", remedy="return a value of the same shape from its effect")
        if moved.dtype != array.dtype:
            moved = moved.astype(array.dtype)
        if not isinstance(moved, Traced) or moved.value.array is not None:
            moved = self.trace.emit("call", np.array, (moved,), {}, np.array(example_of(moved)))
        self.program.stores = [each for each in self.program.stores if each[0] is not memory]
        self.program.stores.append((memory, moved.read()))
        self.arrays[id(array)] = moved

    def backward(self, output: Tensor, leaves: Sequence[Tensor]) -> list[Any]:
        """Write down the way back from a scalar; returns what stands for the gradient of each leaf."""
        zeros = [np.zeros(leaf.shape, leaf.dtype) for leaf in leaves]  # for those that have no influence
        if output._edge is None:
            return zeros
        mirrored: dict[Node, Node] = {}
        for node in output.tape():
            mirrored[node] = self._mirrored(node, mirrored)
        residuals = {mirrored[node]: self.residuals.get(id(node.values[0])) for node in mirrored}
        targets = [(mirrored.get(leaf._edge[0], leaf._edge[0]), leaf._edge[1]) for leaf in leaves if leaf._edge]
        root: Edge = mirrored[output._edge[0]], output._edge[1]
        seed = np.ones(output.shape, output.dtype)
        with Sweep(root, seed, targets=targets, wrap=lambda value, edge: value) as sweep:
            for rule, arguments, options in sweep:
                node = sweep.node
                assert node.op is not None
                self.trace.origin = Origin("backward", node.op.name, node.where)
                contribution = self._rule(rule, arguments, options, residuals.pop(node, None))
                if isinstance(contribution, np.ndarray):  # a copy, as by the engine: BLAS takes no broadcast view
                    contribution = contribution.copy()
                sweep.contribution = contribution
                if node.op.elementwise and isinstance(sweep.contribution, Traced):
                    self.tested.append(sweep.contribution.value)
        gradients = [sweep.cotangents.get(target, none) for target, none in zip(targets, zeros, strict=True)]
        for gradient, leaf in zip(gradients, leaves, strict=True):
            if isinstance(gradient, Traced) and leaf.name:
                gradient.value.name = f"g_{leaf.name}"
        return gradients

    def _mirrored(self, node: Node, mirrored: Mapping[Node, Node]) -> Node:
        """A node like another one, of traced arrays."""
        parents = tuple((mirrored[edge[0]], edge[1]) if edge else None for edge in node.parents)
        args, kwargs, out = self.known(node.args), self.known(node.kwargs), self.known(node.out)
        return Node(node.op, args, kwargs, parents, out, order=tick(), where=node.where, module=node.module)

    def _rule(self, rule: Callable[..., Any], arguments: Any, options: dict[str, Any], residual: Any) -> Any:
        """Write down a rule, with what its forward kept, if anything.

        A rule that is a call gets what a call kept, and otherwise starts from its arguments.
        """
        why = ""
        kept = residual.read() if isinstance(residual, Traced) else None
        for given in ({**options, "residual": residual}, options)[residual is None :]:
            try:
                return self.trace.attempt(rule, arguments, given, self.trace.origin)
            except UntraceableError as error:
                why = str(error)
        if kept and any(kept in each.outs for each in self.program.instructions if each.kind == "call"):
            options = {**options, "residual": Traced(self.trace, kept, self.trace.examples[kept])}
        return self.trace.call(rule, arguments, options, self.trace.origin, why)

    def gather(self, gradients: Sequence[Any], shape: tuple[int, ...]) -> Any:
        """Write down the gradients one after another in one flat array; a single one may have its shape already."""
        if np.shape(gradients[0]) == shape:
            return gradients[0]
        arrays = [example_of(each) for each in gradients]
        flat = self.trace.emit("gather", gathered, (list(gradients),), {}, gathered(arrays))
        flat.value.name = "gradients"
        return flat

    def watch_for_nan(self, gradients: Sequence[Any]) -> None:
        """Leave the program if a rule made NaN: the engine's law, that 0 times infinity is 0, is not in it.

        It is looked for once, in as few and as small gradients as every NaN would have reached.
        """
        traced = {each.value: each for each in gradients if isinstance(each, Traced)}
        self.trace.origin = Origin("backward", "NaN")
        for value in where_nan_arrives(self.program, self.tested, list(traced)):
            self.trace.guard_against_nan(traced[value])

    def clipped_by_norm(self, flat: Sequence[Any], gradients: Sequence[Any], limit: float) -> list[Any]:
        """Write down `optim.clip_grad_norm`: flat arrays scaled by the norm of the gradients that lie in them."""
        self.trace.origin = Origin("update", "clip_grad_norm")
        arrays = [example_of(each) for each in gradients]
        norm = self.trace.emit("call", total_norm, (list(gradients),), {}, np.asarray(total_norm(arrays)))
        factor = limit / np.maximum(norm, limit)
        smallest = max(np.finfo(each.dtype).smallest_normal for each in arrays)
        bool(np.isfinite(norm) & (factor >= float(smallest)))  # a guard: else the engine's own function has a say
        return [each * factor.astype(each.dtype) for each in flat]

    def clipped_by_value(self, flat: Sequence[Any], limit: float) -> list[Any]:
        """Write down `optim.clip_grad_value`."""
        self.trace.origin = Origin("update", "clip_grad_value")
        for each in flat:
            self.trace.guard_against_nan(each)
        bounds = [largest_finite(limit, each.dtype) for each in flat]
        return [np.minimum(np.maximum(each, -bound), bound) for each, bound in zip(flat, bounds, strict=True)]

    def let_move(self, optimizer: Any, names: Sequence[str]) -> None:
        """Have settings of an optimiser given with each call: each group's learning rate, and those of these names."""
        for group in optimizer.param_groups:
            self.settings.append({name: self._number(group[name], name) for name in ("lr", *names)})

    def _number(self, value: Any, name: str) -> Any:
        if isinstance(value, tuple):
            return tuple([self._number(each, name) for each in value])
        return self.trace.number(value, name)

    def update(self, optimizer: Any, group: int, data: Array, gradient: Any, state: Mapping[str, Array]) -> None:
        """Write down an optimiser's update of an array, in place; as one call where it cannot be traced."""
        with optimizer.in_group(group):
            self._update(optimizer, group, data, gradient, state)

    def _update(self, optimizer: Any, group: int, data: Array, gradient: Any, state: Mapping[str, Array]) -> None:
        origin = Origin("update", type(optimizer).__name__)
        variables = {name: self.trace.given("memory", array, name) for name, array in state.items()}
        traced = self.trace.given("memory", data, "parameters")
        given, before = dict(variables), {name: each.value for name, each in variables.items()}
        old = traced.value
        start = len(self.program.instructions)
        own = gradient  # an update may write to it, and another parameter have the same
        if isinstance(gradient, Traced):
            own = Traced(self.trace, gradient.read(), gradient.example)
        moved: set[str] = set()
        try:
            with _unmoved(optimizer, self.settings[group]) as moved:
                self.trace.attempt(optimizer.update, (traced, own, given), {}, origin)
            if moved:
                raise UntraceableError(f"it changes {', '.join(sorted(moved))} of the optimiser")
            after = [each.read() for each in (traced, *(given[name] for name in state))]
        except UntraceableError as error:
            del self.program.instructions[start:]
            self.trace.calls.append((origin, str(error)))
            args = (old, gradient.read() if isinstance(gradient, Traced) else gradient, *before.values())
            function = _updating(optimizer, group, tuple(state))
            self.program.instructions.append(Instruction("effect", function, args, {}, (), origin))
            self.moved |= moved
            return
        for memory, value in zip((old, *before.values()), after, strict=True):
            array = value.array
            if array is not None and value is not memory:  # a memory that may be overwritten by then
                value = self.trace.emit("call", np.array, (Traced(self.trace, value, array),), {}, array).read()
            if value is not memory:
                self.program.stores.append((memory, value))


def _in_tuples(results: Any) -> Any:
    """What a function returned, its lists as tuples."""
    if isinstance(results, dict):
        raise CaptureError("a dict is returned from a function that is being compiled", remedy="return a tuple")
    return tuple(map(_in_tuples, results)) if isinstance(results, (tuple, list)) else results


@contextmanager
def _unmoved(optimizer: Any, settings: Mapping[str, Any]) -> Iterator[set[str]]:
    """Let an optimiser have other settings, and afterwards be as it was; gives the names of what had changed."""
    before, moved = dict(vars(optimizer)), set[str]()
    original = {name: before[name] for name in settings}
    generators = [(name, each) for name, each in before.items() if isinstance(each, np.random.Generator)]
    states = [each.bit_generator.state for _, each in generators]
    vars(optimizer).update(settings)
    before.update(settings)
    try:
        yield moved
    finally:
        moved |= {name for name, value in vars(optimizer).items() if before.get(name) is not value}
        for (name, each), state in zip(generators, states, strict=True):
            if str(each.bit_generator.state) != str(state):
                moved.add(name)
                each.bit_generator.state = state
        vars(optimizer).clear()
        vars(optimizer).update(before, **original)


def _updating(optimizer: Any, group: int, names: tuple[str, ...]) -> Callable[..., None]:
    """An optimiser's update as a function of arrays, of which the gradient may be that of other parameters, too."""

    def update(data: Array, gradient: Array, *state: Array) -> None:
        with optimizer.in_group(group):
            optimizer.update(data, gradient.copy(), dict(zip(names, state, strict=True)))

    return update
