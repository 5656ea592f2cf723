"""Formatting of numbers and foreign text, the same for the terminal and for Markdown.

Titles, ids and error texts come from users and from other libraries: `one_line` (of `wording`)
makes them safe for any display; the terminal and Markdown modules also escape their own markup.
"""

import math
from collections.abc import Sequence
from typing import Any

from dataselect.formats.column_names import counting_column

_MOST_PARTS = 1e6
METRIC_NAMES = {
    "rbridge": "rBridge",
    "trace_nll": "plain NLL of the trace (R^φ)",
    "label_nll": "NLL of the benchmark's label",
    "accuracy": "accuracy of the proxy",
    "mask": "NLL of marked key steps",
    "mask_numbers": "NLL of the trace's numbers",
    "mask_operators": "NLL of the trace's operators",
    "mask_content": "NLL of the trace's content words",
    "authors_mask_bpb": "marks as the authors' code scores them",
}
"""Display names of metrics; others are shown by their key."""


def metric_name(metric: str) -> str:
    """The display name of a metric."""
    if counted := counting_column(metric):
        how = "weighted counts" if counted.weighted else "counting words"
        of = "" if counted.benchmark is None else f"{counted.benchmark}: "
        return f"{of}{how} ({order_name(metric)})"
    return METRIC_NAMES.get(metric, metric)


def order_name(metric: str) -> str:
    """What a score by counting counts: "unigrams", "bigrams", "3-grams"."""
    counted = counting_column(metric)
    assert counted is not None, f"{metric} is no score by counting"
    return {1: "unigrams", 2: "bigrams"}.get(counted.order, f"{counted.order}-grams")


def number(value: float | None, decimals: int = 2) -> str:
    """A number with a true minus sign; "–" for None and for one that is not finite."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{decimals}f}"
    # A number that rounds to zero has no sign.
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def points(share: float | None) -> str:
    """A share in 0..1 as a number out of 100: 0.612 → "61.2"."""
    return number(None if share is None else 100 * share, 1)


def percent(share: float | None) -> str:
    """A share in 0..1: 0.612 → "61.2%"."""
    return points(share) + ("" if share is None else "%")


def interval(low: str, high: str) -> str:
    """Two formatted numbers as an interval."""
    return f"[{low}, {high}]"


def probability(p: float | None) -> str:
    """A probability; counted from finitely many draws, so never shown as 0 or 1."""
    if p is None:
        return "–"
    return "> 0.99" if p > 0.99 else "< 0.01" if p < 0.01 else f"{p:.2f}"


def factor(value: float) -> str:
    """A factor: 9.1×, 734×."""
    return f"{value:,.0f}×" if value >= 100 else f"{value:.3g}×"


def score_text(part: dict[str, Any] | None, decimals: int = 2) -> str:
    """`score [low, high]` from a part of the document with these keys; "–" for None."""
    if part is None:
        return "–"
    ends = interval(number(part["low"], decimals), number(part["high"], decimals))
    return f"{number(part['score'], decimals)} {ends}"


def accuracy_text(part: dict[str, Any] | None) -> str:
    """Predicted accuracy in percent with its interval, if any; `*` marks extrapolation."""
    if part is None or part["predicted_accuracy"] is None:
        return "–"
    mark = "*" if part["extrapolated"] else ""
    if part["low"] is None:
        return f"{points(part['predicted_accuracy'])}{mark}"
    ends = interval(points(part["low"]), points(part["high"]))
    return f"{points(part['predicted_accuracy'])}{mark} {ends}"


def with_interval(value: float | None, ends: Sequence[float] | None) -> str:
    """A number with its interval, if it has one."""
    if ends is None:
        return number(value)
    return f"{number(value)} {interval(number(ends[0]), number(ends[1]))}"


def share_of(part: float, whole: float) -> str:
    """A cost relative to another, before "of": 1/730, or 1.2 times the cost."""
    if part <= 0:
        return "nothing"
    if part < whole / 1.5:
        return _one_in(whole / part)
    return f"{significant(part / whole)} times the cost"


def target_runs(share: float) -> str:
    """FLOPs as a multiple of a target run: 2.5 target runs, 67% of a target run, 1/400 of one."""
    if share >= 1:
        return f"{significant(share)} target runs"
    part = f"{100 * share:.2g}%" if share >= 0.01 else _one_in(1 / share)
    return f"{part} of a target run"


def significant(value: float, digits: int = 3) -> str:
    """A number to so many significant digits, never with an exponent: 0.0123, 4.57, 489,000."""
    if value == 0 or not math.isfinite(value):
        return number(value, 0)
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, decimals):,.{max(0, decimals)}f}".replace("-", "−")


def _one_in(parts: float) -> str:
    """A small share as people say it; more than two digits of it mean nothing."""
    if parts >= _MOST_PARTS:
        return "less than a millionth"
    return f"1/{significant(parts, 1 if parts < 10 else 2)}"


def stage2_score_text(part: dict[str, Any] | None, decimals: int = 2) -> str:
    """As `score_text`, for a candidate's part of a stage that predicts."""
    if part is None:
        return "–"
    ends = interval(number(part["score_low"], decimals), number(part["score_high"], decimals))
    return f"{number(part['score'], decimals)} {ends}"
