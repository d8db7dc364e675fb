"""The loops of a nest, and how far apart lie the elements that they reach one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tinygrad_sm.compiler.fused.nests import SUM, Grouping, Nest, Statement
from tinygrad_sm.compiler.fused.source import LETTERS
from tinygrad_sm.compiler.program import Value

Steps = tuple[int, ...]  # for each axis of a nest, the distance between neighbours in a flat array


class Axes:
    """The axes of a nest as loops: those that lie one after another in every array that is read or written are one.

    `loops` are lists of such axes, the outermost first.
    """

    def __init__(self, nest: Nest, grouping: Grouping) -> None:
        self.nest, self.grouping = nest, grouping
        self.split = nest.split or 0
        steps = [each for statement in nest.statements for each in self._all_steps(statement)]
        self.loops: list[list[int]] = []
        for k, extent in enumerate(nest.extents):
            if k and k != self.split and all(s[k - 1] == s[k] * extent for s in steps):
                self.loops[-1].append(k)
            else:
                self.loops.append([k])

    def _all_steps(self, statement: Statement) -> Iterator[Steps]:
        """The steps of all that a statement reads and writes."""
        instruction, level = statement
        shape = self.grouping.shape(instruction)
        found = self.grouping.chosen(instruction)
        for _, strides in self.grouping.accesses(instruction):
            yield self.nest.steps(level, shape, strides)
        if found:
            yield self.nest.steps(level, shape, found.strides)
        is_sum = instruction.kind == "reduce" and self.nest.levels[instruction.out] == SUM
        yield self.of_sum(statement) if is_sum else self.of(instruction.out)

    def of(self, base: Value) -> Steps:
        """The steps of what the nest computes, as it is laid out."""
        strides = self.grouping.layout(base).strides
        steps: Steps = self.nest.steps(self.nest.levels[base], base.shape, strides)
        return steps

    def of_sum(self, statement: Statement) -> Steps:
        """The steps of a reduction's result: none along the axes that it reduces."""
        (array, *_), axes = statement.instruction.args, statement.instruction.options.get("axis", (0,))
        kept = [i for i in range(array.ndim) if axes is not None and i not in axes]
        own = list(self.grouping.layout(statement.instruction.out).strides)
        if len(own) == array.ndim:
            own = [own[i] for i in kept]
        strides = [0] * array.ndim
        for i, step in zip(kept, own, strict=True):
            strides[i] = step
        steps: Steps = self.nest.steps(statement.level, array.shape, strides)
        return steps

    def terms(self, steps: Sequence[int], rows: bool | None = None) -> list[tuple[int, str]]:
        """The step that each loop takes, with its variable; of the loops over rows or of the others alone, if told."""
        return [
            (steps[axes[-1]], LETTERS[i]) for i, axes in enumerate(self.loops) if rows in (None, axes[0] < self.split)
        ]

    def depends(self, steps: Sequence[int], rows: bool) -> bool:
        """Whether an element depends on the loops over rows, or on those within a row."""
        return any(step for step, _ in self.terms(steps, rows))

    def extent(self, i: int) -> int:
        """The length of a loop."""
        return int(np.prod([self.nest.extents[k] for k in self.loops[i]]))

    def heads(self, rows: bool, parallel: bool = False) -> list[str]:
        """The heads of the loops over rows, or of those within a row; a parallel one's outermost goes from lo to hi."""
        chosen = [i for i, axes in enumerate(self.loops) if (axes[0] < self.split) == rows]
        ends = ["lo, hi" if parallel and i == 0 else str(self.extent(i)) for i in chosen]
        return [f"for {LETTERS[i]} in range({end}):" for i, end in zip(chosen, ends, strict=True)]

    def in_row(self) -> list[tuple[int, str]]:
        """The terms of an element in a buffer of one row."""
        terms, step = [], 1
        for i in reversed(range(len(self.loops))):
            if self.loops[i][0] >= self.split:
                terms.append((step, LETTERS[i]))
                step *= self.extent(i)
        return terms[::-1]

    @property
    def row_size(self) -> int:
        """The number of elements in a row."""
        return int(np.prod(self.nest.extents[self.split :]))
