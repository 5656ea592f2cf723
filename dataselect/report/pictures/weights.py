"""The picture of shares: the proposal with its interval and near-equal range, beside the prior."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from dataselect.report.pictures.colours import BLUE, PALE
from dataselect.report.pictures.style import PRIOR, PROPOSAL, label, new_figure, percent_axis

MOST_SOURCES = 40
"""Most rows of the picture; the table has all sources."""
_NARROW = 5.0
"""Inches up to which the legend takes two lines."""


def draw_shares(document: Mapping[str, Any], width: float = 7.2) -> Figure:
    """A row for each source, the largest share first; `width` is in inches."""
    ranked = sorted(
        document["sources"].items(), key=lambda item: (-item[1]["weight"], -(item[1]["prior"] or 0))
    )
    shown = ranked[:MOST_SOURCES]
    figure = new_figure(width, 1.5 + 0.3 * len(shown))
    axes = figure.add_subplot()
    places = range(len(shown))
    for place, (_, each) in zip(places, shown, strict=True):
        near = (each["near_equal_low"], each["near_equal_high"])
        axes.plot(near, (place, place), color=PALE, linewidth=9, solid_capstyle="butt")
        ends = (each["low"], each["high"])
        axes.plot(ends, (place, place), color=BLUE, linewidth=2, marker="|", markersize=8)
    known = [
        (each["prior"], place)
        for place, (_, each) in zip(places, shown, strict=True)
        if each["prior"] is not None
    ]
    if known:
        axes.plot(*zip(*known, strict=True), **PRIOR, label="prior")
    axes.plot([each["weight"] for _, each in shown], places, **PROPOSAL, label="proposal")
    axes.plot([], [], color=BLUE, linewidth=2, label=f"{document['confidence']:.0%} interval")
    axes.plot([], [], color=PALE, linewidth=9, label="near-equal")
    axes.set_yticks(places, [label(name) for name, _ in shown])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(left=min(-0.01, axes.get_xlim()[0]))
    axes.set_xlabel("share of the training tokens")
    percent_axis(axes, "x")
    figure.legend(loc="outside upper left", ncols=4 if width > _NARROW else 2, handlelength=1.6)
    return figure
