"""The notes of a watch as a table of 80 columns, and in plain words what is wrong.

Source for the thresholds: X. Glorot and Y. Bengio, Understanding the difficulty of training deep feedforward neural
networks, AISTATS 2010; updates of about a thousandth of the weights are the rule of thumb of many courses.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Row: TypeAlias = dict[str, float]
Rows: TypeAlias = Mapping[str, Sequence[Row]]

VANISHED, EXPLODED = 1e-3, 1e3  # the gradient at the first layer as a multiple of that at the last
GROWN = 1e3  # what was measured last as a multiple of what was measured first
DEAD = 0.05  # a share of units that is worth a warning
SMALL_UPDATE, LARGE_UPDATE = 1e-4, 1e-1  # of a weight, in one step

NAME = 18  # columns for names
LAYER_COLUMNS = ("mean", "std", "first", "zeros", "dead", "std", "first")
PARAMETER_COLUMNS = ("std", "first", "gradient", "first", "update", "first")


def report(title: str, layers: Rows, parameters: Rows, matrices: Rows) -> str:
    """The table of layers, that of parameters, and the warnings."""
    lines = [title, "", *_layer_table(layers), "", *_parameter_table(parameters), ""]
    warnings = warnings_of(layers, matrices)
    for warning in warnings:
        lines += textwrap.wrap(warning, 80, initial_indent="! ", subsequent_indent="  ")
    return "\n".join(lines if warnings else [*lines, "Nothing conspicuous."])


def _layer_table(layers: Rows) -> list[str]:
    lines = [f"{'':{NAME}}{'output':>9}{'':32}{'gradient':>12}", _line("layer", LAYER_COLUMNS)]
    for name, rows in layers.items():
        then, now = (rows[0], rows[-1]) if rows else ({}, {})
        cells = [
            _number(now, "mean"),
            _number(now, "std"),
            _number(then, "std"),
            _share(now, "zeros"),
            _share(now, "dead"),
        ]
        lines.append(_line(name, [*cells, _number(now, "gradient_std"), _number(then, "gradient_std")]))
    return lines


def _parameter_table(parameters: Rows) -> list[str]:
    lines = [_line("parameter", PARAMETER_COLUMNS)]
    for name, rows in parameters.items():
        then, now = (rows[0], rows[-1]) if rows else ({}, {})
        updated = [row for row in rows if "update" in row] or [{}]
        cells = [_number(row, key) for key in ("std", "gradient_std") for row in (now, then)]
        lines.append(_line(name, [*cells, _number(updated[-1], "update"), _number(updated[0], "update")]))
    return lines


def _line(name: str, cells: Sequence[str]) -> str:
    """One row; columns of shares are narrower, being short."""
    short = name if len(name) < NAME else f"..{name[3 - NAME :]}"
    narrow = {3, 4} if len(cells) == len(LAYER_COLUMNS) else set()
    return short.ljust(NAME) + "".join(f"{cell:>{6 if i in narrow else 9}}" for i, cell in enumerate(cells))


def _number(row: Row, key: str) -> str:
    return f"{row[key]:.2g}" if key in row else "-"


def _share(row: Row, key: str) -> str:
    return f"{row[key]:.0%}" if key in row else "-"


def warnings_of(layers: Rows, matrices: Rows) -> list[str]:
    """What is wrong, in plain words; empty where nothing is conspicuous."""
    measured = {name: rows for name, rows in layers.items() if rows}
    if not measured:
        return ["nothing was measured: no backward() has reached the model since"]
    infinite = _not_finite(measured)
    if infinite:
        return [infinite]
    return [*_along_the_depth(measured), *_over_time(measured), *_dead(measured), *_updates(matrices)]


def _not_finite(layers: Rows) -> str:
    """The first step in which something was NaN or infinite, and where."""
    wrong = [
        (row["step"], name)
        for name, rows in layers.items()
        for row in rows
        if not all(map(math.isfinite, row.values()))
    ]
    if not wrong:
        return ""
    step = min(step for step, _ in wrong)
    name = next(name for at, name in wrong if at == step)
    return (
        f"not finite: {name} holds NaN or infinity since step {step:.0f}; `with debug.numerics():` finds what made it"
    )


def _along_the_depth(layers: Rows) -> list[str]:
    """The gradient at the first layer against that at the last, in the latest step."""
    (first, first_rows), *_, (last, last_rows) = [*layers.items()] * 2
    near, far = last_rows[-1]["gradient_std"], first_rows[-1]["gradient_std"]
    if far == 0 < near:
        return [f"no gradient arrives at {first}, though one does at {last}: all that lies between is flat or dead"]
    if far < VANISHED * near:
        advice = "take ReLU or tanh for sigmoid, an initialiser that fits, or fewer layers"
        return [f"vanishing gradient: at {first} it is {far / near:.1g} of what it is at {last}; {advice}"]
    if far > EXPLODED * near > 0:
        advice = "take smaller initial weights, or clip the gradients"
        return [f"exploding gradient: at {first} it is {far / near:.1g} times what it is at {last}; {advice}"]
    return []


def _over_time(layers: Rows) -> list[str]:
    """The output or gradient that has grown most since the first step, where that is a lot."""
    grown = [
        (rows[-1][key] / rows[0][key], name, what)
        for name, rows in layers.items()
        for key, what in (("gradient_std", "gradient"), ("std", "output"))
        if rows[0][key] > 0
    ]
    factor, name, what = max(grown, default=(0.0, "", ""))
    if factor <= GROWN:
        return []
    return [f"exploding: the {what} of {name} is {factor:.1g} times what it was at first; lower the learning rate"]


def _dead(layers: Rows) -> list[str]:
    found = [(name, rows[-1]["dead"]) for name, rows in layers.items() if rows[-1]["dead"] >= DEAD]
    advice = "lower the learning rate, start from a bias of 0, or take a leaky ReLU"
    return [
        f"dead units: {share:.0%} of {name} gave zero for every example of the last batches; {advice}"
        for name, share in found
    ]


def _updates(matrices: Rows) -> list[str]:
    """Weights that their latest step moved too far, or hardly at all."""
    ratios = {name: [row["update"] for row in rows if "update" in row] for name, rows in matrices.items()}
    latest = {name: values[-1] for name, values in ratios.items() if values}
    large = {name: ratio for name, ratio in latest.items() if ratio > LARGE_UPDATE}
    small = {name: ratio for name, ratio in latest.items() if ratio < SMALL_UPDATE}
    found = []
    if large:
        name = max(large, key=large.__getitem__)
        found.append(f"large updates: {_of_itself(name, large)}; lower the learning rate")
    if small:
        name = min(small, key=small.__getitem__)
        found.append(f"small updates: {_of_itself(name, small)}; it has learned all it can, or learns too slowly")
    return found


def _of_itself(name: str, ratios: Mapping[str, float]) -> str:
    """The weight that stands out most, and how many stand beside it."""
    others = f", and {len(ratios) - 1} more like it" if len(ratios) > 1 else ""
    return f"a step changes {name} by {ratios[name]:.1g} of itself{others}"
