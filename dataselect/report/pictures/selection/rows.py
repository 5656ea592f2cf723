"""Pictures with a row for each candidate: the ranking, and what the targets reached.

Narrow enough for a phone: labels are shortened, and numbers are in the tables.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dataselect.report.pictures.colours import BLUE, GREY, INK, ORANGE
from dataselect.report.pictures.selection import MOST_ROWS
from dataselect.report.pictures.style import label, new_figure
from dataselect.report.selection.stage_scores import UNITS, kind_of
from dataselect.report.selection.stages import in_last, predicted, predicting, title

WIDTH = 4.2
"""Inches of every picture of a run: its letters are readable on a phone."""
LONGEST = 17
"""Letters of a candidate's label."""
_ROW = 0.24

Row = Mapping[str, Any]


def draw_ranking(document: Mapping[str, Any]) -> Figure:
    """Dots with intervals: Stage 1 of all candidates, above it the last stage of the survivors."""
    shown = document["candidates"][:MOST_ROWS]
    last = predicting(document)
    survivors = [each for each in shown if in_last(document, each)]
    heights = [len(survivors) + 2.2] if survivors else []
    heights.append(len(shown) + 2.2)
    figure = new_figure(WIDTH, _ROW * sum(heights) + 0.5)
    axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    if survivors and last is not None:
        _last_stage(axes[0], survivors, document, last)
    stage = document["stages"]["stage1"]
    for place, each in enumerate(shown):
        part = each["stage1"]
        if part is None:
            axes[-1].text(0.02, place, each["status"], va="center", color=GREY, **_inside(axes[-1]))
            continue
        ranked = each["status"] == "ranked"
        _dot(axes[-1], place, part["score"], (part["low"], part["high"]), BLUE if ranked else GREY)
    _name_rows(axes[-1], shown)
    axes[-1].set_title("Stage 1, all candidates" + _cut_short(document), fontsize=9)
    axes[-1].set_xlabel(f"score, {UNITS[kind_of(stage)]} (left is better)")
    handles = [
        axes[-1].plot([], [], color=colour, marker="o", linewidth=1.6, label=words)[0]
        for colour, words in ((BLUE, "goes on"), (GREY, "pruned"))
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2, handlelength=1.6)
    return figure


def _last_stage(
    axes: Axes, survivors: Sequence[Row], document: Mapping[str, Any], last: str
) -> None:
    """The survivors by predicted accuracy, or by score where none is predicted."""
    sure = predicted(document)
    for place, each in enumerate(survivors):
        part = each[last]
        if not sure:
            _dot(axes, place, part["score"], (part["score_low"], part["score_high"]), ORANGE)
        elif part["predicted_accuracy"] is not None:
            ends = [None if part[e] is None else 100 * part[e] for e in ("low", "high")]
            _dot(axes, place, 100 * part["predicted_accuracy"], ends, ORANGE, part["extrapolated"])
    _name_rows(axes, survivors)
    axes.set_title(f"{title(last)}, those that went on", fontsize=9)
    if not sure:
        unit = UNITS[kind_of(document["stages"][last])]
        axes.set_xlabel(f"score, {unit} (left is better)")
        return
    beyond = any(each[last]["extrapolated"] for each in survivors)
    hollow = "; hollow: beyond what was fitted" if beyond else ""
    axes.set_xlabel(f"predicted accuracy of the target, %\n(right is better{hollow})")


def draw_truth(document: Mapping[str, Any]) -> Figure:
    """True accuracies, and predictions with intervals where there are some."""
    truth = document["truth"]
    shown = [each for each in document["candidates"] if each["id"] in truth["accuracy"]][:MOST_ROWS]
    figure = new_figure(WIDTH, _ROW * (len(shown) + 2.2) + 0.5)
    axes = figure.add_subplot()
    for place, each in enumerate(shown):
        checked = truth["predictions"].get(each["id"])
        if checked:
            ends = [None if checked[e] is None else 100 * checked[e] for e in ("low", "high")]
            _dot(axes, place, 100 * checked["predicted"], ends, ORANGE, hollow=True)
            axes.plot(100 * checked["true"], place, "o", color=INK, markersize=5, zorder=4)
        else:
            true = 100 * truth["accuracy"][each["id"]]
            axes.plot(true, place, "o", color=INK, markersize=5, zorder=4)
    best = [place for place, each in enumerate(shown) if each["id"] in truth["best"]]
    at = [100 * truth["accuracy"][shown[place]["id"]] for place in best]
    axes.plot(at, best, "o", markersize=11, markerfacecolor="none", color=BLUE, label="truly best")
    axes.plot([], [], "o", color=INK, markersize=5, label="true")
    if truth["predictions"]:
        axes.plot([], [], "D-", color=ORANGE, markerfacecolor="white", label="predicted")
    _name_rows(axes, shown)
    axes.set_xlabel("accuracy of the target, % (right is better)")
    figure.legend(loc="outside upper left", ncols=3, handlelength=1.6)
    return figure


def _dot(
    axes: Axes,
    place: int,
    value: float,
    ends: Sequence[float | None],
    colour: str,
    hollow: bool | None = False,
) -> None:
    low, high = ends
    if low is not None and high is not None:
        axes.plot((low, high), (place, place), color=colour, linewidth=1.8, solid_capstyle="butt")
    axes.plot(
        value,
        place,
        marker="D" if colour == ORANGE else "o",
        color=colour,
        markerfacecolor="white" if hollow else colour,
        markersize=5.5,
        zorder=3,
    )


def _name_rows(axes: Axes, rows: Sequence[Row]) -> None:
    """Names at the left, in grey for those that are out; the first row is at the top."""
    names = [f"{each['rank'] or '–'}  {label(each['id'], LONGEST)}" for each in rows]
    axes.set_yticks(range(len(rows)), names)
    for text, each in zip(axes.get_yticklabels(), rows, strict=True):
        text.set_color(INK if each["status"] == "ranked" else GREY)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.locator_params(axis="x", nbins=6)
    axes.grid(axis="x", color=GREY, alpha=0.25, linewidth=0.6)
    axes.spines["left"].set_visible(False)


def _inside(axes: Axes) -> dict[str, Any]:
    """Placement by the axes' width and by the row."""
    return {"transform": axes.get_yaxis_transform(), "fontsize": 8}


def _cut_short(document: Mapping[str, Any]) -> str:
    more = len(document["candidates"]) - MOST_ROWS
    return f" (the first {MOST_ROWS}; {more} more in the table)" if more > 0 else ""
