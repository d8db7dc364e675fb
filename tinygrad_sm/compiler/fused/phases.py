"""How often a nest goes through each row, and what it remembers of it in between.

Each passage of a row is a phase; it ends where a reduction is complete, and the values of the row that depend on it
follow. What a later phase needs is computed again if that is cheap, and otherwise kept in a buffer for one row.
"""

from __future__ import annotations

from collections import defaultdict

from tinygrad_sm.compiler.fused.elements import is_cheap
from tinygrad_sm.compiler.fused.nests import FULL, ROW, Grouping, Nest, Statement
from tinygrad_sm.compiler.program import Instruction, Value
from tinygrad_sm.compiler.tracing import assigned, element

RECOMPUTED = 3  # levels of an expression that is computed again rather than kept


class Phases:
    """The order of a nest's statements.

    `phase` says for a value by element in which passage it is computed, for one by row, and for a reduction, after
    which passage it is known (-1: before the first). `kept` are the values by element that a buffer has to hold, and
    `overwritten` says which of them becomes which when an element is assigned to. `shares` says which value's place a
    kept one has until that is computed from it.
    """

    def __init__(self, nest: Nest, grouping: Grouping, stored: set[Value]) -> None:
        self.nest, self.grouping, self.stored = nest, grouping, stored
        self.phase: dict[Value, int] = {}
        self.made = {statement.instruction.out: statement for statement in nest.statements}
        for statement in nest.statements:
            self.phase[statement.instruction.out] = self._phase(statement)
        self.count = 1 + max([self.phase[s.instruction.out] for s in nest.statements if s.level == FULL], default=0)
        self.kept: set[Value] = set()
        self.overwritten: dict[Value, Value] = {}
        self.needed: dict[Value, set[int]] = defaultdict(set)  # phases in which an element is computed or fetched
        self._keep()
        self.shares: dict[Value, Value] = {}
        self._share()

    def read(self, instruction: Instruction) -> list[Value]:
        """The bases that an instruction reads by element or by row, and are computed in this nest."""
        return [access.base for access, _ in self.grouping.accesses(instruction) if access.base in self.made]

    def row_of(self, statement: Statement) -> Value | None:
        """The value by element of which a statement picks or replaces one in each row of this nest."""
        found = self.grouping.chosen(statement.instruction)
        picks = found and (statement.instruction.function is assigned or found.base in self.made)
        return found.base if found and picks else None

    def _phase(self, statement: Statement) -> int:
        """The first phase in which everything that a statement reads is known."""
        levels = self.nest.levels
        row = self.row_of(statement)
        earliest = [0 if statement.level == FULL else -1]
        if row is not None:
            earliest.append(self._known(row) if row in self.made else 0)
        for base in self.read(statement.instruction):
            if levels[base] == ROW:
                earliest.append(self.phase[base] + (statement.level == FULL))
            else:
                earliest.append(self._known(base))
        return max(earliest)

    def _known(self, base: Value) -> int:
        """The phase in which a value by element can be read."""
        return self.phase[base] + (self.made[base].instruction.function is assigned)

    def _keep(self) -> None:
        """Find out what has to be kept, from the last statement to the first."""
        for statement in reversed(self.nest.statements):
            out, instruction = statement.instruction.out, statement.instruction
            row = self.row_of(statement)
            if row is not None:
                self._keep_row(statement, row)
            if statement.level == ROW:
                continue
            phases = {self.phase[out]}
            if instruction.kind != "reduce" and out not in self.stored | self.kept:
                later = {phase for phase in self.needed[out] if phase > self.phase[out]}
                if later and not self._is_recomputed(statement, RECOMPUTED):
                    self.kept.add(out)
                elif later:
                    phases = self.needed[out]
            for base in self.read(instruction):
                self.needed[base] |= phases

    def _keep_row(self, statement: Statement, row: Value) -> None:
        """Keep the row that an element is picked from or assigned to; the same one where nobody needs both."""
        out, made = statement.instruction.out, self.made.get(row)
        if statement.instruction.function is element:
            if row not in self.stored and row not in self.overwritten:
                self.kept.add(row)
            return
        if out not in self.stored:
            self.kept.add(out)
        if made is None:
            return
        self.needed[row].add(self.phase[row])
        later = any(phase > self.phase[out] for phase in self.needed[row]) or row in self.stored | self.kept
        if made.instruction.function is not assigned and not later:
            self.overwritten[row] = out
        elif row not in self.stored:
            self.kept.add(row)

    def place(self, base: Value) -> Value:
        """The value whose place a kept or stored one has."""
        while base in self.shares:
            base = self.shares[base]
        return base

    def _share(self) -> None:
        """Let kept values stand in the place of what is computed later: fewer rows in the cache.

        Time is counted in halves: a passage p is at 2 p, and what follows after it at 2 p + 1. A passage writes an
        element after it has read everything there.
        """
        written = {v: 2 * self.phase[v] for v in self.made if v in self.kept or v in self.stored}
        for base, out in self.overwritten.items():
            written[out] = 2 * self.phase[base]
        free = {out for out in written if self.nest.levels[out] == FULL}
        for base in sorted(self.kept, key=written.__getitem__):
            last = self._last_read(base)
            for out in sorted(free - {base}, key=written.__getitem__):
                if out.dtype == base.dtype and written[base] < written[out] >= last:
                    self.shares[base] = out
                    free.remove(out)
                    break

    def _last_read(self, base: Value) -> int:
        """When a kept value is read for the last time."""
        last = max([2 * phase for phase in self.needed[base]], default=0)
        for statement in self.nest.statements:
            row, out = self.row_of(statement), statement.instruction.out
            if row is not None and base in (row, out, self.overwritten.get(row)):
                last = max(last, 2 * self.phase[out] + 1)
        return last

    def _is_recomputed(self, statement: Statement, depth: int) -> bool:
        """Whether computing an element again in a later phase is cheaper than to keep it."""
        if not is_cheap(statement.instruction) or statement.level != FULL:
            return False
        for base in self.read(statement.instruction):
            if self.nest.levels[base] == ROW or base in self.stored | self.kept:
                continue
            if depth == 0 or not self._is_recomputed(self.made[base], depth - 1):
                return False
        return True
