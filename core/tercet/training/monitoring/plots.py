"""Plots of a training run, as PNG files; drawn by matplotlib without a screen."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tercet.errors import require

SIZE = (6.4, 4.0)
"""Inches."""

DPI = 120


def plot(
    path: Path, curves: Mapping[str, Sequence[tuple[int, float]]], *, title: str, label: str
) -> None:
    """Draw values by step.

    Args:
        path: The file.
        curves: Steps and values, by the name of the curve.
        title: Above the plot.
        label: Of the values.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figures = require("matplotlib.figure", extra="train")
    canvases = require("matplotlib.backends.backend_agg", extra="train")
    figure = figures.Figure(figsize=SIZE, layout="constrained")
    canvases.FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, points in curves.items():
        steps, values = zip(*points, strict=True)
        axes.plot(steps, values, marker="o" if len(points) < 50 else None, label=name)
    axes.set(title=title, xlabel="step", ylabel=label)
    axes.grid(visible=True, alpha=0.3)
    if len(curves) > 1:
        axes.legend()
    figure.savefig(path, dpi=DPI)
