"""The common style of all pictures of a report, and how they become files.

Pictures are SVG from matplotlib: small, without JavaScript, legible when printed and in dark mode
(the background is white). The same content gives the same bytes, so a report that is written again
does not change. Names come from users: ASCII names are drawn as shapes, so that the reader's fonts
do not matter; names are never parsed as mathematics, and are shortened.
"""

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from matplotlib import rc_context, rcdefaults, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from dataselect.report.pictures.colours import INK, ORANGE
from dataselect.wording import one_line

PROPOSAL: Mapping[str, Any] = {
    "marker": "*",
    "color": ORANGE,
    "markeredgecolor": "white",
    "markersize": 11,
    "linestyle": "none",
    "zorder": 5,
}
PRIOR: Mapping[str, Any] = {
    "marker": "D",
    "color": "white",
    "markeredgecolor": INK,
    "markersize": 5.5,
    "linestyle": "none",
    "zorder": 4,
}
"""Markers of proposal and prior, the same in every picture."""

_LOOK: dict[str, Any] = {
    "svg.hashsalt": "dataselect",
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.grid": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}

_SHOWN = 0.85
"""Fraction of the runs, the best ones, that an axis of the objective covers."""
_NEAR = ("prior", "uniform", "best run")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, whose parts do not overlap."""
    return Figure(figsize=(width, height), layout="constrained")


@contextmanager
def look() -> Iterator[None]:
    """Draw in the style of a report within the context, whatever the user's settings are."""
    with rc_context(), warnings.catch_warnings():
        # The reader's fonts draw letters that matplotlib's do not have, see `to_svg`.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        rcdefaults()
        rcParams.update(_LOOK)  # type: ignore[arg-type]
        yield


def to_svg(drawn: Figure, key: str, plain: bool) -> str:
    """SVG text of a picture, with a key to recognise it by.

    `plain`: all names in it can be drawn as shapes.
    """
    out = io.BytesIO()
    about = {"Date": None, "Creator": None, "Identifier": key}
    with rc_context({"svg.fonttype": "path" if plain else "none"}):
        drawn.savefig(out, format="svg", metadata=about)
    return out.getvalue().decode()


def label(name: str, longest: int = 26) -> str:
    """A user's name on one line, shortened in the middle, since names often begin alike."""
    shown = one_line(name)
    head = longest // 3
    return shown if len(shown) <= longest else f"{shown[:head]}…{shown[1 + head - longest :]}"


def objective_label(document: Mapping[str, Any]) -> str:
    """Label of the objective's axis, with unit and direction."""
    unit = document.get("objective_unit")
    better = "lower" if document["lower_is_better"] else "higher"
    return f"objective{f', {one_line(unit)}' if unit else ''} ({better} is better)"


def percent_axis(axes: Axes, which: str) -> None:
    """Write an axis of shares as percentages."""
    formatter = FuncFormatter(lambda share, _: f"{100 * share:g}%")
    getattr(axes, f"{which}axis").set_major_formatter(formatter)


def objective_range(document: Mapping[str, Any]) -> tuple[float, float]:
    """Range of the objective's axis, without the worst runs.

    A design tries very bad mixtures too, which would flatten all differences.
    """
    objective, observed = document["objective"], sorted(document["held_out"]["observed"])
    if not document["lower_is_better"]:
        observed.reverse()
    good = observed[: 1 + round(_SHOWN * (len(observed) - 1))]
    beside = [each["value"] for name, each in document["beside"].items() if name in _NEAR]
    values = [*good, *beside, objective["low"], objective["high"]]
    margin = 0.05 * (max(values) - min(values))
    return min(values) - margin, max(values) + margin
