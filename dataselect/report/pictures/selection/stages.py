"""Places of the candidates from stage to stage: who was pruned where, and whose order changed."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from dataselect.report.pictures.colours import BLUE, GREY, INK
from dataselect.report.pictures.selection import MOST_ROWS, places
from dataselect.report.pictures.selection.rows import LONGEST, WIDTH
from dataselect.report.pictures.style import label, new_figure
from dataselect.report.selection.stages import predicted, predicting, title


def draw_stages(document: Mapping[str, Any]) -> Figure:
    """A line for each candidate through its places; grey where it was pruned."""
    by_stage = places(document)
    columns = list(by_stage)
    first = by_stage[columns[0]]
    shown = [name for name, place in first.items() if place <= MOST_ROWS]
    status = {each["id"]: each["status"] for each in document["candidates"]}
    figure = new_figure(WIDTH, 0.24 * len(shown) + 0.8)
    axes = figure.add_subplot()
    for name in shown:
        line = [
            (i, by_stage[stage][name]) for i, stage in enumerate(columns) if name in by_stage[stage]
        ]
        ranked = status[name] == "ranked"
        axes.plot(
            *zip(*line, strict=True),
            color=BLUE if ranked else GREY,
            marker="o",
            markersize=5,
            linewidth=1.8 if ranked else 1.2,
            zorder=3 if ranked else 2,
        )
        side: dict[str, Any] = {"va": "center", "color": INK if ranked else GREY}
        words = f"{first[name]}  {label(name, LONGEST)}"
        axes.text(-0.06, first[name], words, ha="right", **side)
        column, place = line[-1]
        if column == len(columns) - 1:
            axes.text(column + 0.06, place, f"{place}  {label(name, LONGEST)}", ha="left", **side)
    # Room for names, which are no part of the axis's range.
    axes.set_xlim(-0.75, len(columns) - 1 + 0.75)
    axes.set_ylim(len(shown) + 0.5, 0.4)
    heads = [title(stage) for stage in columns]
    if predicted(document) and columns[-1] == predicting(document):
        heads[-1] += ",\npredicted"
    axes.set_xticks(range(len(columns)), heads)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_yticks([])
    for side_name in ("left", "bottom"):
        axes.spines[side_name].set_visible(False)
    return figure
