"""The learning curves of a run as a picture, and what every picture drawn with matplotlib has in common.

Read `history.py` for where the rows come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinygrad_sm.errors import ArgumentError, MissingExtraError
from tinygrad_sm.files import PathLike, replacing

TRAIN, VALIDATION, QUIET = "#1f77b4", "#e6550d", "#8a8a8a"


def draw_curves(rows: Sequence[Mapping[str, float]], best_epoch: int, path: PathLike) -> None:
    """Draw loss and, where it was measured, accuracy over the epochs, side by side; see `History.plot`."""
    measured = {name for row in rows for name in row}
    panels = [name for name in ("loss", "accuracy") if f"train_{name}" in measured]
    figure = new_figure(4.8 * max(len(panels), 1), 3.6)
    if not rows:
        raise ArgumentError("plot: there are no epochs to draw", remedy="train first")
    for place, name in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), place)
        _draw_panel(axes, rows, name, best_epoch)
    save_figure(figure, path)


def new_figure(width: float, height: float) -> Any:
    """An empty figure of so many inches, which opens no window. Raises MissingExtraError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError(
            "plot: matplotlib is not installed", remedy='pip install "tinygrad-sm[plot]", or pip install matplotlib'
        ) from None
    return Figure(figsize=(width, height), layout="constrained")


def dress(axes: Any, title: str, x_label: str) -> None:
    """The looks of a panel over whole numbers, such as epochs: a quiet grid and no frame."""
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel(x_label, color=QUIET)
    axes.xaxis.get_major_locator().set_params(integer=True, nbins=6)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#c4c4c4")
    axes.tick_params(color="#c4c4c4", labelcolor="#444444", left=False)


def _draw_panel(axes: Any, rows: Sequence[Mapping[str, float]], name: str, best_epoch: int) -> None:
    """One quantity over the epochs: training and, where it was measured, validation."""
    factor = 100 if name == "accuracy" else 1
    marker = "o" if len(rows) < 10 else None  # a line through a single point would not be seen
    for part, colour in (("train", TRAIN), ("validation", VALIDATION)):
        points = [(row["epoch"], factor * row[f"{part}_{name}"]) for row in rows if f"{part}_{name}" in row]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, label=part, linewidth=1.8, marker=marker, markersize=4)
            if part == "validation":
                x, y = points[best_epoch - 1]
                ring = {"markersize": 7, "markerfacecolor": "white", "markeredgewidth": 1.8}
                axes.plot([x], [y], "o", color=colour, label=f"lowest validation loss (epoch {x})", **ring)
    dress(axes, "Loss" if name == "loss" else "Accuracy (%)", "Epoch")
    axes.set_xlim(left=rows[0]["epoch"] - 0.5 if len(rows) < 10 else rows[0]["epoch"])
    if name == "loss":
        axes.set_ylim(bottom=0)
    else:
        axes.set_ylim(top=100.5)
    axes.legend(frameon=False, loc="upper right" if name == "loss" else "lower right")


def save_figure(figure: Any, path: PathLike) -> None:
    """Write a figure in the format that the ending of the name asks for. Raises ArgumentError, FileError."""
    ending = Path(path).suffix.removeprefix(".").lower()
    known = figure.canvas.get_supported_filetypes()
    if ending not in known:
        raise ArgumentError(f"plot: {path} does not end in a known format", remedy="end it in .png, .svg or .pdf")
    with replacing(path) as file:
        figure.savefig(file, format=ending, dpi=150)
