"""The sum that made one element of one gradient, with its numbers.

A rule is linear in the cotangent g that it is given, so every element of what it returns is a sum of factor * g over
elements of g. The factors come from `pullback.py`. Read `paths.py` next, the same question for a whole tape.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_sm.debug.recording import Contribution, Recording, Step
from tinygrad_sm.debug.stepping.pullback import factors_by_derivative, factors_by_units
from tinygrad_sm.debug.text import element, number, wrapped
from tinygrad_sm.engine.tape import Edge
from tinygrad_sm.errors import TinygradError

SHOWN = 8  # terms of a sum; the middle of a longer one is left out

Index = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ElementSum:
    """One element of one contribution as the sum that made it, without the terms that are zero.

    Printed it is `0.5 * 0.2 - 1.5 * 0.4 = -0.5`, and the plain numbers where every factor is 1.
    """

    factors: Any  # one for each term
    cotangents: Any  # elements of g, one for each term
    places: list[str]  # which these are, such as "g[0, 1]", as far as they are shown
    recorded: float  # the element as the rule returned it
    kind: Any  # its floating type

    @property
    def terms(self) -> Any:
        """What is added up."""
        with np.errstate(all="ignore"):  # of infinities and NaN, which are shown
            return self.factors * self.cotangents

    @property
    def total(self) -> float:
        """The sum of the terms."""
        with np.errstate(all="ignore"):
            return float(self.terms.sum())

    @property
    def agrees(self) -> bool:
        """Whether the sum is the recorded element, to rounding."""
        if not np.isfinite(self.recorded):
            return bool(np.array_equal(self.total, self.recorded, equal_nan=True))
        info = np.finfo(self.kind)
        size = np.abs(self.terms).sum() + abs(self.recorded)
        rounding = 16 * float(info.eps) * max(self.terms.size, 1) ** 0.5 * size + float(info.tiny)
        return bool(abs(self.total - self.recorded) <= rounding)

    def __str__(self) -> str:
        if not self.terms.size:
            return "0: no element of g counts here"
        plain = bool((self.factors == 1).all())
        shown = zip(*(_ends(each) for each in (self.factors, self.cotangents)), strict=True)
        return _added([_term(f, g, plain) for f, g in shown], self.terms.size, self.total)


def sum_of(step: Step, contribution: Contribution, index: Index) -> ElementSum:
    """The sum that made one element of a contribution of a backward step."""
    node, position = step.node, contribution.position
    cotangents = step.cotangent if isinstance(step.cotangent, tuple) else (step.cotangent,)
    try:
        found = _terms(step, contribution, index, factors_by_derivative(node, position, index, cotangents))
    except TinygradError:
        found = None
    if found is None or not found.agrees:  # a rule that does not run on tensors, or does so wrongly
        found = _terms(step, contribution, index, factors_by_units(node, position, index, cotangents))
    return found


def _terms(step: Step, contribution: Contribution, index: Index, factors: Sequence[Any]) -> ElementSum:
    """The terms that are not zero; where only that makes the sum right, zero times infinity or NaN among them."""
    cotangents = step.cotangent if isinstance(step.cotangent, tuple) else (step.cotangent,)
    f, g = (np.concatenate([np.ravel(each).astype(float) for each in arrays]) for arrays in (factors, cotangents))
    value = contribution.value

    def chosen(kept: Any) -> ElementSum:
        places = [_place(step.cotangent, int(i)) for i in _ends(kept)]
        return ElementSum(f[kept], g[kept], places, float(value[index]), value.dtype)

    found = chosen(np.flatnonzero((f != 0) & (g != 0)))
    with np.errstate(all="ignore"):
        return found if found.agrees else chosen(np.flatnonzero(f * g != 0))


def _place(cotangent: Any, i: int) -> str:
    """Which element of g the i-th in flattened order is; of several cotangents, `g[1][0, 2]`."""
    arrays = cotangent if isinstance(cotangent, tuple) else (cotangent,)
    which = 0
    while i >= arrays[which].size:
        i -= arrays[which].size
        which += 1
    index = tuple(int(k) for k in np.unravel_index(i, arrays[which].shape))
    return f"g{f'[{which}]' if isinstance(cotangent, tuple) else ''}{element(index)}"


def _ends(values: Any) -> list[Any]:
    """The values as far as they are shown."""
    return [*values] if len(values) <= SHOWN else [*values[: SHOWN // 2], *values[-SHOWN // 2 :]]


def why(recording: Recording, edge: Edge, index: Index) -> str:
    """The sums behind one element of a gradient, one for each contribution to it, and what was recorded.

    Of many contributions those in the middle are counted in and not listed.
    """
    name = recording.names.gradient(edge) + element(index)
    arrived = recording.contributions_to(edge)
    if not arrived:
        if edge == recording.edge:
            return f" {name} = {number(recording.cotangents[edge][index])}: backward starts there"
        return f" {name} = 0: nothing arrives there"
    found = [sum_of(step, contribution, index) for step, contribution in arrived]
    told = [_told(step, sent, each) for (step, sent), each in zip(_ends(arrived), _ends(found), strict=True)]
    if len(found) > len(told):
        told.insert(SHOWN // 2, [f" ... {len(found) - len(told):,} more contributions ..."])
    recorded = float(recording.cotangents[edge][index])
    parts = [_term(1.0, each.recorded, True) for each in found]
    total = number(recorded) if len(parts) == 1 else _added(_ends(parts), len(parts), recorded)
    return "\n".join([*itertools.chain(*told), *wrapped(f"{name} = {total}, {_verdict(found)}", " ")])


def _told(step: Step, sent: Contribution, found: ElementSum) -> list[str]:
    """Where a contribution came from, and its sum."""
    of = f"contribution {sent.ordinal} of {sent.count}, " if sent.count > 1 else ""
    formula = step.recording.rule_formula(step.node, sent.position).rpartition(" ; ")[2]
    places = wrapped(f"g is taken at {_listed(found)}", "   ") if found.places else []
    head = wrapped(f"{of}from [{step.number}] {step.op.name}: {formula}", " ")
    return [*head, *wrapped(str(found), "   "), *places]


def _verdict(found: Sequence[ElementSum]) -> str:
    """Whether the sums give what was recorded, and why not."""
    wrong = [each for each in found if not each.agrees]
    if not wrong:
        return "as recorded"
    if all(np.isfinite(each.terms).all() and np.isfinite(each.recorded) for each in wrong):
        return "NOT what the sums give: a rule is not linear in g"
    return "as recorded; with infinity or NaN among the numbers the sum does not show it"


def _listed(found: ElementSum) -> str:
    """The places of the terms, with dots where terms were left out."""
    places = list(found.places)
    if found.terms.size > len(places):
        places.insert(SHOWN // 2, "...")
    return ", ".join(places)


def _term(factor: float, g: float, plain: bool) -> tuple[str, str]:
    """The sign of a term, and the term without it."""
    first = g if plain else factor
    sign = "-" if first < 0 else "+"
    if plain:
        return sign, number(abs(g))
    return sign, f"{number(abs(factor))} * {f'({number(g)})' if g < 0 else number(g)}"


def _added(terms: Sequence[tuple[str, str]], count: int, total: float) -> str:
    """Signed terms as a sum, with the number of those that are missing in the middle."""
    parts = [f" {sign} {text}" for sign, text in terms]
    parts[0] = ("-" if terms[0][0] == "-" else "") + terms[0][1]
    if count > len(terms):
        parts.insert(SHOWN // 2, f" + ... {count - len(terms):,} more terms ...")
    return f"{''.join(parts)} = {number(total)}"
