"""How figures and foreign text are written, alike in the terminal and in Markdown.

Titles, ids and error texts come from users and from other people's libraries: `one_line` (of
`wording`) makes them harmless for any display, and each face escapes its own markup on top of that.
"""

import math
from collections.abc import Sequence
from typing import Any

from dataselect.wording import one_line as one_line  # noqa: PLC0414  # faces find it here

METRIC_NAMES = {
    "rbridge": "rBridge",
    "trace_nll": "plain NLL of the trace (R^φ)",
    "label_nll": "NLL of the benchmark's label",
    "accuracy": "accuracy of the proxy",
}
"""What people call the metrics; one that is not here goes by its own name."""


def metric_name(metric: str) -> str:
    """What people call a metric."""
    return METRIC_NAMES.get(metric, metric)


def number(value: float | None, decimals: int = 2) -> str:
    """A score, with a true minus sign; "–" for one that is missing."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{decimals}f}"
    # What rounds to zero has no sign.
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def points(share: float | None) -> str:
    """A share in 0..1 as a number out of 100: 0.612 → "61.2"."""
    return number(None if share is None else 100 * share, 1)


def percent(share: float | None) -> str:
    """A share in 0..1: 0.612 → "61.2%"."""
    return points(share) + ("" if share is None else "%")


def interval(low: str, high: str) -> str:
    """Two written figures as an interval."""
    return f"[{low}, {high}]"


def probability(p: float | None) -> str:
    """A probability that comes from counting draws, so never shown as certain."""
    if p is None:
        return "–"
    return "> 0.99" if p > 0.99 else "< 0.01" if p < 0.01 else f"{p:.2f}"


def factor(value: float) -> str:
    """How many times: 9.1×, 734×."""
    return f"{value:,.0f}×" if value >= 100 else f"{value:.3g}×"


def score_text(part: dict[str, Any] | None) -> str:
    """`score [low, high]` of a part of the document that has these keys."""
    if part is None:
        return "–"
    ends = interval(number(part["low"]), number(part["high"]))
    return f"{number(part['score'])} {ends}"


def accuracy_text(part: dict[str, Any] | None) -> str:
    """Predicted accuracy out of 100 with its interval; `*` marks extrapolation."""
    if part is None or part["predicted_accuracy"] is None:
        return "–"
    mark = "*" if part["extrapolated"] else ""
    ends = interval(points(part["low"]), points(part["high"]))
    return f"{points(part['predicted_accuracy'])}{mark} {ends}"


def with_interval(value: float | None, ends: Sequence[float] | None) -> str:
    """A figure with its interval, if it has one."""
    if ends is None:
        return number(value)
    return f"{number(value)} {interval(number(ends[0]), number(ends[1]))}"


def share_of(part: float, whole: float) -> str:
    """A part of a whole as people say it: 1/734 of it, or 1.2 times it."""
    if part <= 0:
        return "nothing"
    return f"1/{whole / part:,.0f}" if part < whole / 1.5 else f"{part / whole:.3g} times the cost"


def stage2_score_text(part: dict[str, Any] | None) -> str:
    """As `score_text`, for Stage 2's part of a candidate."""
    if part is None:
        return "–"
    ends = interval(number(part["score_low"]), number(part["score_high"]))
    return f"{number(part['score'])} {ends}"
