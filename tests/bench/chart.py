"""A picture of the ratios: a panel for each workload, a bar for each framework, one logarithmic axis."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from frameworks import FRAMEWORKS, YARDSTICK
from results import Result, everywhere

COLUMNS = 3
TICKS = (0.1, 0.3, 1, 3, 10, 30)
LONGEST = 30  # a bar ends there, and says how much longer it would be
OURS, HAND, PEERS = "#c8553d", "#7a7a7a", "#9db4c0"


def draw(results: Sequence[Result], path: Path) -> bool:
    """Write the picture; False where matplotlib is not installed or nothing was timed."""
    timed = [result for result in results if result.timed]
    if not timed or importlib.util.find_spec("matplotlib") is None:
        return False
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = everywhere(timed)
    columns = min(COLUMNS, len(timed))
    rows = -(-len(timed) // columns)
    size = (2.5 + 3.5 * columns, 0.8 + rows * (0.6 + 0.24 * len(names)))
    figure, axes = plt.subplots(rows, columns, sharey=True, squeeze=False, layout="constrained", figsize=size)
    for axis, result in zip(axes.flat, timed, strict=False):
        panel(axis, result, names)
    for axis in axes.flat[len(timed) :]:
        axis.set_axis_off()
    figure.supxlabel(
        f"time of a call, as a multiple of {FRAMEWORKS[YARDSTICK].title}; left of 1 is faster", fontsize=10
    )
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return True


def panel(axis: Any, result: Result, names: Sequence[str]) -> None:
    """The bars of one workload; they begin at the yardstick, faster ones to the left and slower ones to the right."""
    for height, name in enumerate(names):
        if name not in result.rounds:
            continue
        ratio = result.ratio(name)
        end = min(ratio, LONGEST)
        axis.barh(height, end - 1, left=1, color=colour(name), height=0.72)
        number = f"{ratio:.2f}" if ratio < 9.995 else f"{ratio:.0f}"
        place = {"xytext": (3, 0), "textcoords": "offset points", "va": "center", "fontsize": 8}
        axis.annotate(number if end == ratio else f"» {number}", (max(end, 1), height), **place)
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set_xscale("log")
    axis.set_xlim(TICKS[0], LONGEST * 4)  # room for the numbers at the ends of the bars
    axis.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS], minor=False)
    axis.set_xticks([], minor=True)
    axis.set_yticks(range(len(names)), [FRAMEWORKS[name].title for name in names], fontsize=8)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.set_title(result.title, fontsize=9, loc="left")
    axis.tick_params(axis="x", labelsize=8)
    axis.grid(axis="x", linewidth=0.4, alpha=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def colour(name: str) -> str:
    """This library stands out from the peers, and the yardsticks from both."""
    module = FRAMEWORKS[name].module
    return OURS if module.startswith("ours") else PEERS if module.startswith("with_") else HAND
