"""Where the FLOPs go: bars on a scale of powers of ten."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from dataselect.report.pictures.colours import BLUE, GREY, INK, ORANGE
from dataselect.report.pictures.selection import cost_bars
from dataselect.report.pictures.selection.rows import WIDTH
from dataselect.report.pictures.style import new_figure
from dataselect.units import format_flops


def draw_cost(document: Mapping[str, Any]) -> Figure:
    """What was spent beside what training every candidate would cost."""
    bars = cost_bars(document)
    values = list(bars.values())
    figure = new_figure(WIDTH, 0.3 * len(bars) + 0.8)
    axes = figure.add_subplot()
    floor = min(values) / 5
    colours = [ORANGE if name == "failed work" else BLUE for name in bars]
    colours[0] = GREY
    axes.barh(range(len(bars)), values, left=0, color=colours, height=0.62)
    axes.set_xscale("log")
    # Room at the right for the longest number.
    span = max(values) / floor
    axes.set_xlim(floor, max(values) * span**0.45)
    for place, value in enumerate(values):
        words = format_flops(value).removesuffix(" FLOPs")
        axes.text(value * span**0.015, place, words, va="center", color=INK)
    axes.set_yticks(range(len(bars)), list(bars))
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", which="both", labelbottom=False, length=0)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xlabel("FLOPs, each step a power of ten")
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    return figure
