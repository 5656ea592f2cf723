"""From proxy score to target accuracy: the curve, its band, its points, and the candidates."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dataselect.report.pictures.colours import BLUE, GREY, INK, ORANGE, PALE
from dataselect.report.pictures.selection.rows import LONGEST, WIDTH
from dataselect.report.pictures.style import label, new_figure
from dataselect.report.selection.stages import predicting
from dataselect.wording import one_line

_MARKERS = "osD^vP"
"""Of the first candidates; the others share the last."""


def draw_fits(document: Mapping[str, Any]) -> Figure:
    """A panel for each benchmark with a transfer function."""
    fits = document["fits"]
    figure = new_figure(WIDTH, 2.5 * len(fits) + 0.6)
    panels = figure.subplots(len(fits), 1, squeeze=False)[:, 0]
    for axes, (benchmark, fit) in zip(panels, fits.items(), strict=True):
        _panel(axes, document, benchmark, fit)
    handles = {
        words: mark
        for axes in panels
        for mark, words in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        [*handles.values()], [*handles], loc="outside upper left", ncols=2, handlelength=1.4
    )
    return figure


def _panel(axes: Axes, document: Mapping[str, Any], benchmark: str, fit: Mapping[str, Any]) -> None:
    scores = fit["scores"]
    if None not in fit["low"]:
        low, high = (100 * np.array(fit[end]) for end in ("low", "high"))
        share = f"{100 * document['decision']['confidence']:g}% band"
        axes.fill_between(scores, low, high, color=PALE, alpha=0.55, linewidth=0, label=share)
    axes.plot(scores, 100 * np.array(fit["accuracy"]), color=BLUE, linewidth=1.5, label="fit")
    x, y = np.array(fit["points"]).T
    axes.plot(x, 100 * y, ".", color=GREY, markersize=4.5, label="calibration")
    _beyond(axes, scores, document["provenance"]["transfer"][benchmark]["fitted_range"])
    last = predicting(document)
    found = [each for each in document["candidates"] if last and each[last]]
    for place, each in enumerate(found):
        part = each[last]["benchmarks"][benchmark]
        if part["predicted_accuracy"] is None:
            continue
        at, value = part["rbridge"], 100 * part["predicted_accuracy"]
        if part["low"] is not None:
            ends = [100 * part["low"], 100 * part["high"]]
            axes.plot([at, at], ends, color=ORANGE, linewidth=1.5, zorder=3)
        axes.plot(
            at,
            value,
            marker=_MARKERS[min(place, len(_MARKERS) - 1)],
            color=ORANGE,
            markeredgecolor=INK,
            markersize=6.5,
            linestyle="none",
            zorder=4,
            label=label(each["id"], LONGEST) if place < len(_MARKERS) else "others",
        )
    axes.set_title(label(one_line(benchmark), 40), fontsize=9)
    axes.set_xlim(scores[0], scores[-1])
    axes.set_xlabel("rBridge, nats per token (left is better)")
    axes.set_ylabel("target's accuracy, %")
    axes.locator_params(nbins=6)


def _beyond(axes: Axes, scores: list[float], fitted: tuple[float, float]) -> None:
    """Shade what lies beyond the scores that were fitted."""
    for start, end in ((scores[0], fitted[0]), (fitted[1], scores[-1])):
        if end > start:
            axes.axvspan(
                start, end, color=GREY, alpha=0.16, linewidth=0, zorder=0, label="extrapolated"
            )
