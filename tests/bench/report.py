"""Tables of what was measured: for a terminal, and in Markdown for a README."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from frameworks import FRAMEWORKS, YARDSTICK
from results import Result, everywhere
from workloads import GROWTH

Table = list[list[str]]  # the first row heads the columns, the first column names the rows


def table(result: Result) -> Table:
    """The numbers of one workload, a row for each framework."""
    if result.workload == "growth":
        return growth_table(result)
    return time_table(result) if result.timed else memory_table(result)


def time_table(result: Result) -> Table:
    """The best time and the median, each also as a multiple of the yardstick's, and what compiling takes."""
    head = ["", "minimum us", "ratio", "median us", "ratio", "first call s"]
    rows = []
    for name in result.rounds:
        median, first = result.median(name), result.first_call(name)
        rows.append(
            [
                FRAMEWORKS[name].title,
                f"{result.minimum(name):.1f}",
                f"{result.ratio(name):.2f}",
                f"{median:.1f}",
                f"{median / result.median(YARDSTICK):.2f}",
                "" if first is None else f"{first:.2f}",
            ]
        )
    return [head, *rows]


def growth_table(result: Result) -> Table:
    """Microseconds for each operation, forward and back, as the chain grows: level where the cost is linear."""
    rows = []
    for name, found in result.rounds.items():
        by_count = {row["operations"]: row for row in found}
        cells = [
            f"{by_count[count]['minimum'] / count:.3f}" if count in by_count else result.left_out.get(name, "")
            for count in GROWTH
        ]
        rows.append([FRAMEWORKS[name].title, *cells])
    return [["us for each of", *[f"{count:,}" for count in GROWTH]], *rows]


def memory_table(result: Result) -> Table:
    """Megabytes that the steps need at most, also as a multiple of the yardstick's, and what was held before."""
    yardstick = result.rounds[YARDSTICK][0]["more"]
    rows = [
        [
            FRAMEWORKS[name].title,
            f"{found[0]['more'] / 1e6:.1f}",
            f"{found[0]['more'] / yardstick:.2f}",
            f"{found[0]['held'] / 1e6:.0f}",
        ]
        for name, found in result.rounds.items()
    ]
    return [["", "steps MB", "ratio", "before MB"], *rows]


def summary(results: Sequence[Result]) -> Table:
    """The best times of all timed workloads as multiples of the yardstick's, a row for each workload."""
    names = [name for name in everywhere(results) if name != YARDSTICK]
    rows = [
        [
            result.title,
            f"{result.minimum(YARDSTICK):.1f} us",
            *[f"{result.ratio(name):.2f}" if name in result.rounds else "" for name in names],
        ]
        for result in results
    ]
    return [["", FRAMEWORKS[YARDSTICK].title, *[FRAMEWORKS[name].title for name in names]], *rows]


def left_out(result: Result) -> list[str]:
    """Who is not in the table, and why."""
    return [
        f"left out: {FRAMEWORKS[name].title}: {reason}"
        for name, reason in result.left_out.items()
        if name not in result.rounds
    ]


def plain(result: Result) -> str:
    """The table of a workload for a terminal."""
    rows = table(result)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *[cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]]
        )
        for row in rows
    ]
    return "\n".join([result.title, *[line.rstrip() for line in lines], *left_out(result)])


def markdown(results: Sequence[Result], machine: Sequence[str]) -> str:
    """Everything: the machine, the ratios of all workloads in one table, and each workload's own."""
    parts = [
        "# Measured",
        "  \n".join([f"{datetime.date.today():%d %B %Y}", *machine]),
        "Best times as multiples of those of NumPy by hand; below one is faster.",
        _pipes(summary([result for result in results if result.timed])),
    ]
    for result in results:
        parts += [f"## {result.title}", _pipes(table(result)), "\n".join(f"- {line}" for line in left_out(result))]
    return "\n\n".join(filter(None, parts)) + "\n"


def _pipes(rows: Table) -> str:
    """A table in Markdown, numbers to the right."""
    rule = ["-", *["-:"] * (len(rows[0]) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]])
