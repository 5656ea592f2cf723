"""Who beats whom: a square of probabilities, the better the bluer."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from dataselect.report.pictures.selection import paired
from dataselect.report.pictures.selection.rows import LONGEST, WIDTH
from dataselect.report.pictures.style import label, new_figure

_CELL_INK = "#101010"
"""Of numbers on cells, which are light in dark mode too."""
_COLOURS = LinearSegmentedColormap.from_list("wins", ["#f2b48c", "#f4f4f4", "#8cc4e4"])


def draw_pairs(document: Mapping[str, Any]) -> Figure:
    """Rows against columns, in the order of the report."""
    stage, names = paired(document)
    wins = document["wins"][stage]
    count = len(names)
    values = np.array([[np.nan if a == b else wins[a][b] for b in names] for a in names], float)
    figure = new_figure(WIDTH, 0.9 + 0.29 * count)
    axes = figure.add_subplot()
    axes.pcolormesh(values, cmap=_COLOURS, vmin=0, vmax=1, edgecolors="white", linewidth=1)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            # The width of a cell holds two digits; the table has the rest.
            words = f"{round(100 * min(max(value, 0.01), 0.99))}"
            axes.text(
                column + 0.5,
                row + 0.5,
                words,
                ha="center",
                va="center",
                fontsize=8,
                color=_CELL_INK,
            )
    places = np.arange(count) + 0.5
    axes.set_yticks(places, [f"{i}  {label(name, LONGEST)}" for i, name in enumerate(names, 1)])
    axes.set_xticks(places, [str(i) for i in range(1, count + 1)])
    axes.xaxis.tick_top()
    axes.set_xlabel("probability, %, that the row\nis better than the column")
    axes.tick_params(length=0)
    axes.set_ylim(count, 0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure
