"""A mixture in a sentence: its shares, the predicted gain, the measured gain.

The gain is over the prior, the mixture that would otherwise be trained on, or over the best run if
no prior is known. Where target accuracy was predicted, the gain is in accuracy.
"""

from collections.abc import Mapping
from typing import Any

from dataselect.report import numbers

_LISTED = 6
_WORTH_NAMING = 0.005


def mixture_verdict(document: Mapping[str, Any]) -> str:
    """The sentence on a document's mixture."""
    over = "prior" if "prior" in document["beside"] else "best run"
    accuracy, confirmed = document.get("accuracy"), document.get("confirmed")
    each = (accuracy or document)["beside"][over]
    gain = {key: each[f"gain{end}"] for key, end in ENDS.items()}
    unit = document.get("objective_unit")
    text = f"{gain_text(gain)} {unit}" if unit else gain_text(gain)
    if accuracy:
        text = f"{points_text(gain)} points of accuracy"
    parts = [f"predicted gain over the {over} {text}"]
    if confirmed is not None:
        gain, text = confirmed["objective"], gain_text(confirmed["objective"])
        if accuracy and confirmed.get("accuracy"):
            gain, text = confirmed["accuracy"], points_text(confirmed["accuracy"])
        seeds = confirmed["seeds"]
        parts.append(f"measured {text} with {seeds} fresh seed{'s' * (seeds != 1)} of each")
    if gain["low"] is None or gain["low"] <= 0:
        parts.append("which may be nothing")
    return f"{shares_listed(document)}: {', '.join(parts)}."


ENDS = {"value": "", "low": "_low", "high": "_high"}
"""Suffixes of the keys of a gain and its ends, as in `gain_low`."""


def shares_listed(document: Mapping[str, Any]) -> str:
    """The largest shares in words."""
    shares = {name: each["weight"] for name, each in document["sources"].items()}
    ranked = sorted(shares, key=lambda name: -shares[name])
    named = [name for name in ranked if shares[name] >= _WORTH_NAMING]
    listed = [f"{numbers.percent(shares[name])} {name}" for name in named[:_LISTED]]
    rest = len(named) - len(listed)
    return ", ".join([*listed, *([f"{rest} more"] if rest else [])])


def gain_text(each: Mapping[str, float | None]) -> str:
    """A number with its interval, if any, to three digits, since units differ widely."""
    value, low, high = (each[key] for key in ENDS)
    assert value is not None, "a gain without value is no gain"
    if low is None or high is None:
        return _three(value)
    return f"{_three(value)} {numbers.interval(_three(low), _three(high))}"


def points_text(each: Mapping[str, float | None]) -> str:
    """A fraction with its interval, out of 100."""
    value, low, high = (numbers.points(each[key]) for key in ENDS)
    return value if each["low"] is None else f"{value} {numbers.interval(low, high)}"


def ranking_words(found: Mapping[str, Any]) -> str:
    """Whether the model ranks better than "more of X" does, in a sentence or two."""
    model, single, ahead = (_correlation(found[key]) for key in ("model", "single_share", "ahead"))
    which = found["single_share"]
    more = "more" if which["more_is_better"] else "less"
    worth = "" if found["ahead"]["low"] > 0 else ", so it is not shown to be worth more than that"
    if found["ahead"]["high"] < 0:
        worth = ", so that share alone ranks better"
    return (
        f"Ranking of held-out runs by the objective (Spearman): {model}; by the share of "
        f"{which['source']} alone, {more} of it first, {single}; the model is ahead by "
        f"{ahead}{worth}."
    )


def _correlation(each: Mapping[str, float]) -> str:
    return numbers.with_interval(each["value"], (each["low"], each["high"]))


def _three(value: float) -> str:
    return f"{value:#.3g}".rstrip(".").replace("-", "−")
