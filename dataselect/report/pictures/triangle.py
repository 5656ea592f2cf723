"""The triangle of mixtures of three sources: the predicted objective and its uncertainty."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from dataselect.report.pictures.colours import INK
from dataselect.report.pictures.style import (
    PRIOR,
    PROPOSAL,
    label,
    new_figure,
    objective_label,
    objective_range,
)

Array = NDArray[np.float64]

_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])


def draw_triangle(document: Mapping[str, Any], runs: Array) -> Figure:
    """The predicted objective of all mixtures of three sources, and half widths of intervals."""
    names, grid = list(document["sources"]), document["map"]
    points = np.array(grid["weights"]) @ _CORNERS
    value = np.array(grid["objective"])
    half = (np.array(grid["high"]) - np.array(grid["low"])) / 2
    low, high = objective_range(document)
    figure = new_figure(8.4, 4.2)
    left, right = figure.subplots(1, 2)
    sign = "_r" if document["lower_is_better"] else ""
    observed = np.array(document["held_out"]["observed"])
    _surface(left, points, value, (low, high), f"viridis{sign}", objective_label(document))
    where = runs @ _CORNERS
    left.scatter(
        *where.T,
        c=observed,
        cmap=f"viridis{sign}",
        vmin=low,
        vmax=high,
        s=26,
        edgecolors=INK,
        linewidths=0.6,
        clip_on=False,
        label="runs, as observed",
        zorder=3,
    )
    most = float(np.quantile(half, 0.98))
    words = f"half width of its {document['confidence']:.0%} interval"
    _surface(right, points, half, (half.min(), max(most, half.min() * 1.01)), "Greys", words)
    right.scatter(
        *where.T, c="white", s=14, edgecolors=INK, linewidths=0.7, zorder=3, clip_on=False
    )
    for axes in (left, right):
        _frame(axes, names, document)
    marks, words = left.get_legend_handles_labels()
    once = dict(zip(words, marks, strict=True))
    figure.legend([*once.values()], [*once], loc="outside upper left", ncols=4, handlelength=1.4)
    return figure


def _surface(
    axes: Axes,
    points: Array,
    values: Array,
    ends: tuple[float, float],
    colours: str,
    words: str,
) -> None:
    """The values as filled contours, one colour for all beyond each end, with a scale below."""
    filled = axes.tricontourf(
        points[:, 0],
        points[:, 1],
        values,
        levels=np.linspace(*ends, 15),
        extend="both",
        cmap=colours,
    )
    bar = axes.figure.colorbar(
        filled, ax=axes, orientation="horizontal", shrink=0.8, pad=0.02, aspect=28
    )
    bar.set_label(words)
    ticks = MaxNLocator(4).tick_values(*ends)
    bar.set_ticks([tick for tick in ticks if ends[0] <= tick <= ends[1]])


def _frame(axes: Axes, names: Sequence[str], document: Mapping[str, Any]) -> None:
    """Draw edges, grid, names of the corners, caps, prior and proposal."""
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.plot(*_CORNERS[[0, 1, 2, 0]].T, color=INK, linewidth=1)
    for corner, name in enumerate(names):
        x, y = _CORNERS[corner]
        below = corner < 2
        axes.text(
            x,
            y + (-0.03 if below else 0.03),
            f"{label(name)} 100%",
            ha=("left", "right", "center")[corner],
            va="top" if below else "bottom",
            fontsize=8.5,
        )
    for share in (0.25, 0.5, 0.75):
        for corner in range(3):
            # From where the source has this share on one edge to where it has it on the other.
            ends = np.full((2, 3), 0.0)
            ends[:, corner] = share
            ends[0, (corner + 1) % 3] = ends[1, (corner + 2) % 3] = 1 - share
            axes.plot(*(ends @ _CORNERS).T, color="white", linewidth=0.5, alpha=0.6)
    sources = list(document["sources"].values())
    for corner, each in enumerate(sources):
        if each["cap"] < 1:
            ends = np.zeros((2, 3))
            ends[:, corner] = each["cap"]
            ends[0, (corner + 1) % 3] = ends[1, (corner + 2) % 3] = 1 - each["cap"]
            axes.plot(
                *(ends @ _CORNERS).T,
                color=INK,
                linewidth=1.2,
                linestyle=(0, (4, 2)),
                zorder=2,
                label="most allowed",
            )
    if all(each["prior"] is not None for each in sources):
        prior = np.array([each["prior"] for each in sources]) @ _CORNERS
        axes.plot(*prior[:, None], **PRIOR, clip_on=False, label="prior")
    proposal = np.array([each["weight"] for each in sources]) @ _CORNERS
    axes.plot(*proposal[:, None], **PROPOSAL, clip_on=False, label="proposal")
