"""The objective along each share: one share moves, the others keep their ratios in the proposal.

A curve does not pass through the prior, so a line marks the prior's share. The axis covers what was
observed, and predictions far beyond all runs are cut off. Where target accuracy was predicted, it
is shown in place of the objective.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dataselect.report.pictures.colours import BLUE, GREY, INK, PALE
from dataselect.report.pictures.style import (
    PROPOSAL,
    label,
    new_figure,
    objective_label,
    objective_range,
    percent_axis,
)

Array = NDArray[np.float64]

MOST_PANELS = 24


def draw_slices(document: Mapping[str, Any], runs: Array) -> Figure:
    """A panel for each source, the largest shares first; `runs` are shares (runs, sources)."""
    sources = list(document["sources"])
    shares = {name: runs[:, i] for i, name in enumerate(sources)}
    ranked = sorted(sources, key=lambda name: -document["sources"][name]["weight"])[:MOST_PANELS]
    columns = _columns(len(ranked))
    rows = -(-len(ranked) // columns)
    figure = new_figure(7.8 if columns > 2 else 5.6, 1.0 + 1.75 * rows)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    curves, (low, high) = _curves(document)
    for name, axes in zip(ranked, panels.flat, strict=False):
        _slice(axes, document["sources"][name], curves[name], shares[name])
        axes.set_title(label(name, 22), fontsize=8.5)
        axes.set_ylim(low, high)
    for axes in panels.flat[len(ranked) :]:
        axes.set_axis_off()
    words = objective_label(document)
    if document.get("accuracy"):
        words = "predicted accuracy of the target"
        percent_axis(panels[0, 0], "y")
    figure.supylabel(words, fontsize=9)
    figure.supxlabel("weight of the source, the others scaled", fontsize=9)
    _legend(figure, panels.flat[: len(ranked)], f"{document['confidence']:.0%} interval")
    return figure


def _columns(panels: int) -> int:
    """At most 4 columns; 3 where 4 would leave a nearly empty last row."""
    return min(panels, 3 if panels in (5, 6, 9) else 4)


def _curves(document: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[float, float]]:
    """By source the shares, values and ends to draw; and the range of the axis."""
    accuracy = document.get("accuracy")
    if accuracy:
        curves = {name: {**each} for name, each in accuracy["slices"].items()}
        beside = [each["value"] for each in accuracy["beside"].values()]
        ends = [accuracy[key] for key in ("low", "high") if accuracy[key] is not None]
        values = [*beside, accuracy["value"], *ends]
        low, high = min(values), max(values)
        margin = 0.25 * (high - low)
        return curves, (max(0.0, low - margin), min(1.0, high + margin))
    of_sources = document["sources"].items()
    curves = {
        name: {**each["slice"], "value": each["slice"]["objective"]} for name, each in of_sources
    }
    return curves, objective_range(document)


def _slice(axes: Axes, each: Mapping[str, Any], path: Mapping[str, Any], runs: Array) -> None:
    shares = np.array(path["weight"])
    if None not in path["low"]:
        ends = path["low"], path["high"]
        axes.fill_between(shares, *ends, color=PALE, linewidth=0, label="interval")
    axes.plot(shares, path["value"], color=BLUE, linewidth=1.6)
    if each["prior"] is not None:
        axes.axvline(each["prior"], color=INK, linewidth=1, linestyle=":", label="prior")
    right = max(runs.max(), each["weight"], each["prior"] or 0.0)
    if each["cap"] < 1:
        axes.axvline(
            each["cap"], color=GREY, linewidth=1.4, linestyle=(0, (4, 2)), label="most allowed"
        )
        right = max(right, each["cap"])
    at = int(np.argmin(np.abs(shares - each["weight"])))
    axes.plot([each["weight"]], [path["value"][at]], **PROPOSAL, label="proposal")
    axes.plot(
        runs,
        np.zeros(len(runs)),
        transform=axes.get_xaxis_transform(),
        marker="|",
        color=INK,
        alpha=0.5,
        markersize=9,
        linestyle="none",
        label="runs",
    )
    right = min(1.0, 1.06 * right)
    axes.set_xlim(-0.03 * right, 1.02 * right)
    axes.locator_params(axis="x", nbins=3)
    axes.tick_params(labelsize=8)
    percent_axis(axes, "x")


def _legend(figure: Figure, panels: Iterable[Axes], interval: str) -> None:
    """Draw one legend for all panels, since not every panel has every mark."""
    found: dict[str, Any] = {}
    for axes in panels:
        marks, words = axes.get_legend_handles_labels()
        found |= dict(zip(words, marks, strict=True))
    named = [interval if each == "interval" else each for each in found]
    figure.legend(
        [*found.values()], named, loc="outside upper left", ncols=len(named), handlelength=1.4
    )
