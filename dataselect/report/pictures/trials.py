"""Pictures of runs: predicted against observed when held out, and the course of a search.

Both show the objective, so one picture serves any number of metrics.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dataselect.report import numbers
from dataselect.report.pictures.colours import BLUE, GREEN, GREY, INK, ORANGE
from dataselect.report.pictures.style import new_figure, objective_label

_ROLES: Mapping[str, tuple[str, str, str]] = {
    "prior": ("prior", "D", "white"),
    "designed": ("designed", "o", GREY),
    "proposed": ("proposed", "^", ORANGE),
    "confirms prior": ("confirms: prior", "s", "white"),
    "confirms proposal": ("confirms: proposal", "s", GREEN),
}


def draw_held_out(document: Mapping[str, Any]) -> Figure:
    """Observed objective of each run against its prediction by fits without it."""
    held_out = document["held_out"]
    observed, predicted = held_out["observed"], held_out["predicted"]
    correlation = held_out["rank_correlation"]["model"]
    ends = min([*observed, *predicted]), max([*observed, *predicted])
    figure = new_figure(4.6, 4.4)
    axes = figure.add_subplot()
    axes.axline((ends[0], ends[0]), (ends[1], ends[1]), color=GREY, linewidth=1)
    axes.scatter(
        predicted, observed, s=22, color=BLUE, alpha=0.75, edgecolors="white", linewidths=0.5
    )
    margin = 0.05 * (ends[1] - ends[0])
    for limit in (axes.set_xlim, axes.set_ylim):
        limit(ends[0] - margin, ends[1] + margin)
    axes.set_aspect("equal")
    axes.locator_params(nbins=6)
    axes.set_xlabel(f"predicted {objective_label(document)}")
    axes.set_ylabel("observed")
    rank = numbers.with_interval(correlation["value"], (correlation["low"], correlation["high"]))
    axes.set_title(f"{len(observed)} held-out runs, Spearman {rank}", fontsize=9)
    return figure


def draw_course(document: Mapping[str, Any]) -> Figure:
    """The objective of each trial, in the order of their numbers."""
    steps: Sequence[Mapping[str, Any]] = document["search"]["steps"]
    figure = new_figure(7.2, 3.2)
    axes = figure.add_subplot()
    objective = document["objective"]
    axes.axhspan(objective["low"], objective["high"], color="#fbe3d2", linewidth=0, zorder=0)
    axes.axhline(
        objective["value"], color=ORANGE, linewidth=1, label="predicted of the proposal", zorder=1
    )
    for role, (words, marker, colour) in _ROLES.items():
        of_role = [(each["trial"], each["objective"]) for each in steps if each["role"] == role]
        if of_role:
            axes.plot(
                *zip(*of_role, strict=True),
                marker=marker,
                color=colour,
                markeredgecolor=INK if colour == "white" else "white",
                markersize=6.5,
                linestyle="none",
                label=words,
            )
    axes.set_xlabel("trial")
    # On two lines: the picture is too low for one.
    axes.set_ylabel(objective_label(document).replace(" (", "\n("))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside upper left", ncols=3, handlelength=1.4)
    return figure
