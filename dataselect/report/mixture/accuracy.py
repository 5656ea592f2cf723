"""The target's accuracy that a search maximised, for `proposal.json` and for people."""

import math
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from dataselect.mixture.accuracy import Range
from dataselect.mixture_search.search import Found
from dataselect.report import numbers
from dataselect.report.console import plain_table, say
from dataselect.transfer.forecast import Forecast


def accuracy_document(found: Found) -> dict[str, Any] | None:
    """Accuracies in 0..1, gains above 0 are better; None where the search was by scores."""
    target, forecasts = found.settings.target, found.accuracies
    if target is None or forecasts is None:
        return None
    compared, names = forecasts.compared, found.settings.benchmarks
    proposal, *others = compared.overall
    return {
        "transfer": found.transfer,
        "weights": {names[k]: weight for k, weight, _ in target.parts},
        **_level(proposal),
        "benchmarks": {names[k]: _level(each) for k, each in compared.benchmarks[0].items()},
        "beside": {
            name: {**_level(level), **gain_document(gain, "gain", "gain_low", "gain_high")}
            for name, level, gain in zip(forecasts.beside, others, compared.gains, strict=True)
        },
        "slices": {
            source: {
                "weight": each.shares.tolist(),
                "value": [level.predicted_accuracy for level in levels],
                "low": [level.low for level in levels],
                "high": [level.high for level in levels],
            }
            for source, each, levels in zip(
                found.settings.sources, found.proposal.slices, forecasts.slices, strict=True
            )
        },
    }


def gain_document(
    gain: Range, value: str = "value", low: str = "low", high: str = "high"
) -> dict[str, float | None]:
    """A range under these names; an end is None where there is no interval."""
    ends = [end if math.isfinite(end) else None for end in (gain.low, gain.high)]
    return {value: gain.value, low: ends[0], high: ends[1]}


def accuracy_notes(accuracy: Mapping[str, Any] | None) -> list[str]:
    """Cautions on predicted accuracies."""
    if accuracy is None:
        return []
    beyond = [name for name, each in accuracy["benchmarks"].items() if each["extrapolated"]]
    notes = []
    if beyond:
        notes.append(
            f"the transfer function of {', '.join(beyond)} was not calibrated at so good a score "
            "as the proposal's"
        )
    if accuracy["low"] is None:
        notes.append(
            "a transfer function knows nothing of other datasets than its own, so predicted"
            " accuracies have no interval"
        )
    elif "prior" in accuracy["beside"] and accuracy["beside"]["prior"]["gain_low"] <= 0:
        notes.append("the gain in accuracy over the prior may be nothing: its interval reaches 0")
    return notes


def print_accuracy(accuracy: Mapping[str, Any], console: Console) -> None:
    """Print the target's predicted accuracy, and what the proposal gains in points."""
    line = f"predicted accuracy of the target {_percent(accuracy)}: what was maximised"
    single = "; ".join(f"{n} {_percent(each)}" for n, each in accuracy["benchmarks"].items())
    say(console, f"{line} ({single})")
    table = plain_table()
    table.add_column("beside", overflow="fold")
    for name in ("accuracy", "gain in points"):
        table.add_column(name, justify="right")
    for name, each in accuracy["beside"].items():
        gain = numbers.points(each["gain"])
        if each["gain_low"] is not None:
            gain += f" {_ends(each['gain_low'], each['gain_high'])}"
        table.add_row(name, _percent(each), gain)
    console.print(table)


def _level(each: Forecast) -> dict[str, Any]:
    return {
        "value": each.predicted_accuracy,
        "low": each.low,
        "high": each.high,
        "extrapolated": each.extrapolated,
    }


def _percent(each: Mapping[str, float]) -> str:
    value = numbers.percent(each["value"])
    return value if each["low"] is None else f"{value} {_ends(each['low'], each['high'])}"


def _ends(low: float, high: float) -> str:
    return numbers.interval(numbers.points(low), numbers.points(high))
