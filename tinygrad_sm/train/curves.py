"""The learning curves of a run as a picture, charts of any curves, and what all pictures by matplotlib have in common.

Read `history.py` for where the rows come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

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


def chart(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    path: PathLike,
    *,
    x_label: str = "Step",
    x: Sequence[float] | None = None,
    log: bool = False,
) -> str:
    """Curves in panels: a picture if matplotlib is installed, lines of digits otherwise.

    Args: panels: title to label to values, for x or else for steps 0, 1, 2, ...; path: where the picture goes; log:
    logarithmic heights. Returns what to print: the name of the picture, or the curves, 0 low and 9 high. Raises
    ArgumentError for a path of unknown format, FileError if it cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     said = chart({"Loss": {"slow": [9, 6, 3], "fast": [9, 1, 0]}}, f"{folder}/loss.png")
    >>> said.startswith(("Drawn in", "Loss, from"))
    True
    """
    columns = len(panels) if len(panels) < 4 else 2
    rows = -(-len(panels) // columns)
    try:
        figure = new_figure(4.8 * columns, 3.6 * rows)
    except MissingExtraError:
        return in_digits(panels, log=log)
    for place, (title, curves) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(rows, columns, place)
        for i, (label, values) in enumerate(curves.items()):
            steps = range(len(values)) if x is None else x
            marker = "o" if len(values) < 20 else None
            # Curves on top of each other are seen: the earlier ones are wider, and one that hides another has gaps.
            width = 1.6 + 0.6 * (len(curves) - 1 - i)
            hides = any(_coincide(values, other) for other in list(curves.values())[:i])
            style = "--" if hides else "-"
            axes.plot(steps, values, style, label=label, linewidth=width, marker=marker, markersize=4)
        dress(axes, title, x_label)
        axes.set_yscale("log" if log else "linear")
        axes.legend(frameon=False)
    save_figure(figure, path)
    return f"Drawn in {path}."


def in_digits(panels: Mapping[str, Mapping[str, Sequence[float]]], *, log: bool = False) -> str:
    """The curves of a `chart` as lines of digits, at most 40 to a curve.

    >>> print(in_digits({"Loss": {"slow": [9, 6, 3], "fast": [9, 1, 0]}}))
    Loss, from 0 (lowest) to 9 (highest)
      slow  963   9 -> 3
      fast  910   9 -> 0
    """
    lines = []
    for title, curves in panels.items():
        lines.append(f"{title}, from 0 (lowest) to 9 (highest)")
        width = max(map(len, curves))
        for label, digits in _heights(curves, log).items():
            ends = f"{curves[label][0]:.4g} -> {curves[label][-1]:.4g}"
            lines.append(f"  {label:{width}}  {digits}   {ends}")
    return "\n".join(lines)


def _coincide(values: Sequence[float], others: Sequence[float]) -> bool:
    return len(values) == len(others) and np.allclose(values, others, rtol=1e-3, atol=0, equal_nan=True)


def _heights(curves: Mapping[str, Sequence[float]], log: bool) -> dict[str, str]:
    """A digit for each value, 0 for the lowest of all and 9 for the highest; a question mark where it is not finite."""
    values = {label: np.asarray(each, dtype=float) for label, each in curves.items()}
    if log:
        values = {label: np.log(each, out=np.full_like(each, np.nan), where=each > 0) for label, each in values.items()}
    every = np.concatenate([*values.values()])
    every = every[np.isfinite(every)]
    low, high = every.min(initial=np.inf), every.max(initial=-np.inf)
    digits = {}
    for label, each in values.items():
        shown = each[np.linspace(0, len(each) - 1, min(len(each), 40)).round().astype(int)]
        levels = [9 * (value - low) / ((high - low) or 1) if np.isfinite(value) else None for value in shown]
        digits[label] = "".join("?" if level is None else str(round(level)) for level in levels)
    return digits


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
