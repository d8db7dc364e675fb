"""The notes of a watch as a picture: outputs, gradients, zeros and updates over the steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from tinygrad_sm.errors import ArgumentError
from tinygrad_sm.files import PathLike
from tinygrad_sm.train.curves import QUIET, dress, new_figure, save_figure

Rows: TypeAlias = Mapping[str, Sequence[dict[str, float]]]

SHOWN = 10  # lines in a panel that a legend can still tell apart


def draw_watched(layers: Rows, matrices: Rows, path: PathLike) -> None:
    """Draw four panels, a line for each layer or matrix of weights; see `Watch.plot`."""
    figure = new_figure(11, 7)
    if not any(layers.values()):
        raise ArgumentError("plot: there are no steps to draw", remedy="train while the watch is open")
    panels = [
        ("Spread of the outputs (std)", layers, "std", "log"),
        ("Gradient of the loss by the outputs (std)", layers, "gradient_std", "log"),
        ("Zeros among the outputs (%)", layers, "zeros", "linear"),
        ("Update / weight (std)", matrices, "update", "log"),
    ]
    for place, (title, rows, key, scale) in enumerate(panels, start=1):
        axes = figure.add_subplot(2, 2, place)
        _draw_panel(axes, rows, key, scale)
        dress(axes, title, "Step")
        _legend(axes)
    save_figure(figure, path)


def _draw_panel(axes: Any, rows: Rows, key: str, scale: str) -> None:
    """One quantity over the steps, the first layers dark and the last ones bright."""
    from matplotlib import colormaps

    labelled = _evenly(len(rows))
    heights = [9e-4] if key == "update" else []
    for i, (name, history) in enumerate(rows.items()):
        points = [(row["step"], row[key]) for row in history if key in row and _can_be_drawn(row[key], scale)]
        if points:
            heights += [y for _, y in points]
            colour = colormaps["viridis"](0.9 * i / max(len(rows) - 1, 1))
            marker = "o" if len(points) < 10 else None  # a line through a single point would not be seen
            label = name if i in labelled else None
            axes.plot(*zip(*points, strict=True), color=colour, label=label, linewidth=1.4, marker=marker, markersize=3)
    if key == "update":
        axes.axhline(1e-3, color=QUIET, linestyle="--", linewidth=1, label="rule of thumb")
    if scale == "linear":
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(lambda y, _: f"{100 * y:.0f}")
    elif heights:
        axes.set_yscale("log")
        low, high = math.floor(math.log10(min(heights))), math.ceil(math.log10(max(heights)))
        axes.set_ylim(10.0**low, 10.0 ** max(high, low + 1))  # whole powers of ten, so that two or more are labelled
        axes.tick_params(which="minor", left=False, labelleft=False)


def _can_be_drawn(value: float, scale: str) -> bool:
    return math.isfinite(value) and (value > 0 or scale == "linear")


def _evenly(count: int) -> set[int]:
    """Which of so many lines get a label: all, or the first, the last and some between."""
    shown = min(count, SHOWN)
    return {round(i * (count - 1) / max(shown - 1, 1)) for i in range(shown)}


def _legend(axes: Any) -> None:
    """The names beside the panel, where they hide no line."""
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, labelcolor="#444444")
