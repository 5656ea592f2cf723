"""The result of `dataselect predict`, as a JSON document, a CSV file and terminal tables.

Accuracies are shares (0..1) in the document and the file and percent in the terminal, which is made
for 80 columns. It is a view of the result of `forecast_table`; only ranks and tiers are added.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dataselect.report import numbers
from dataselect.report.console import add_row, plain_table, say
from dataselect.transfer.forecast import Forecast, not_told_apart, tiers
from dataselect.transfer.forecast_table import Settings, TableForecasts
from dataselect.wording import one_line

Document = dict[str, Any]

_MOST_PAIRS = 9
"""Most candidates for which the table of pairwise probabilities is printed."""


def forecast_document(
    table: TableForecasts, settings: Settings, facts: Mapping[str, Any]
) -> Document:
    """The whole result, in JSON types; `facts` come from the caller (its files)."""
    wins = table.forecasts.wins
    near, tier = not_told_apart(wins, settings.confidence), tiers(wins, settings.confidence)
    ranked = list(table.forecasts.overall)
    rows = []
    for name in [*ranked, *(name for name in table.scores if name not in ranked)]:
        rows.append(
            {
                "id": name,
                "rank": ranked.index(name) + 1 if name in tier else None,
                "tier": tier.get(name),
                **_forecast(table.forecasts.overall.get(name)),
                "not_told_apart": near.get(name),
                "benchmarks": {
                    benchmark: {
                        **dict(zip(("score", "seeds"), table.scores[name][benchmark], strict=True)),
                        **_forecast(part),
                    }
                    for benchmark, part in table.forecasts.by_benchmark[name].items()
                },
            }
        )
    return {
        **facts,
        **asdict(settings),
        "overruled": dict(table.overruled),
        "functions": {
            name: {
                "family": each.family,
                "points": len(each.points),
                "datasets": each.datasets,
                "fitted_range": list(each.fitted_range),
                "scatter": each.scatter if each.has_intervals else None,
                "says_nothing": each.worth is not None and each.worth.says_nothing,
                "calibration": each.provenance.calibration,
                "method": each.provenance.method,
            }
            for name, each in table.functions.items()
        },
        "candidates": rows,
        "mean_over": list(table.forecasts.counted),
        "wins": {
            one: {two: None if math.isnan(p) else p for two, p in row.items()}
            for one, row in wins.to_dict("index").items()
        },
        "notes": list(table.notes),
    }


def _forecast(forecast: Forecast | None) -> Document:
    empty = dict.fromkeys(("predicted_accuracy", "low", "high", "extrapolated"))
    return empty if forecast is None else asdict(forecast)


def forecast_csv(document: Document) -> str:
    """A row for each candidate, best first; missing values are empty, booleans 0 or 1.

    A benchmark's column holds its predicted accuracy, so `dataselect agree` can read the file.
    """
    import pandas as pd

    rows = []
    for each in document["candidates"]:
        row = {"id": each["id"], "rank": each["rank"], "tier": each["tier"]}
        row |= _cells("predicted", each)
        for name in document["functions"]:
            row |= _cells(name, each["benchmarks"].get(name, {}))
        rows.append(row)
    table = pd.DataFrame(rows).astype({"rank": "Int64", "tier": "Int64"})
    return table.to_csv(index=False, lineterminator="\n")


def _cells(name: str, part: Mapping[str, Any]) -> dict[str, Any]:
    extrapolated = part.get("extrapolated")
    return {
        f"{name}_accuracy" if name == "predicted" else name: part.get("predicted_accuracy"),
        f"{name}_low": part.get("low"),
        f"{name}_high": part.get("high"),
        f"{name}_extrapolated": None if extrapolated is None else int(extrapolated),
    }


def forecast_verdict(document: Document) -> str:
    """Which candidate comes first, and which cannot be told apart from it."""
    ranked = [each for each in document["candidates"] if each["rank"]]
    if not ranked:
        if not document["mean_over"]:
            return "No benchmark's score says anything here, so no candidate is ranked."
        return "No candidate has a score on each benchmark, so none is ranked."
    first = ranked[0]
    accuracy = f"predicted accuracy {numbers.percent(first['predicted_accuracy'])}"
    if first["low"] is not None:
        ends = numbers.interval(numbers.points(first["low"]), numbers.points(first["high"]))
        accuracy += f" {ends}"
    if first["extrapolated"]:
        accuracy += ", extrapolated beyond the fitted scores"
    if len(ranked) == 1:
        return f"{first['id']} has {accuracy}."
    near = first["not_told_apart"]
    if first["low"] is None:
        return (
            f"{first['id']} comes first with {accuracy}, but cannot be told apart from any other: "
            "nothing is known of how far the targets of other datasets lie from the function."
        )
    if near:
        return (
            f"{first['id']} comes first with {accuracy}, but cannot be told apart from "
            f"{', '.join(near)}."
        )
    ahead = numbers.probability(document["wins"][first["id"]][ranked[1]["id"]])
    return (
        f"{first['id']} comes first with {accuracy}, and beats {ranked[1]['id']} with probability "
        f"{ahead}."
    )


def print_forecasts(document: Document, console: Console) -> None:
    """Print the ranking with its tiers, pairwise probabilities, and each benchmark."""
    for refusal in document["overruled"].values():
        console.print(Text(one_line(f"FORCED: {refusal}"), style="bold red"))
    console.print(_ranking(document))
    console.print()
    for line in _remarks(document):
        say(console, line)
    ranked = [each["id"] for each in document["candidates"] if each["rank"]]
    known = document["candidates"][0]["low"] is not None
    if known and 2 < len(ranked) <= _MOST_PAIRS:
        console.print()
        console.print(_pairs(document["wins"], ranked))
    if len(document["functions"]) > 1:
        names = list(document["functions"])
        for first in range(0, len(names), 3):
            console.print()
            console.print(_benchmarks(document, names[first : first + 3]))
    if document["notes"]:
        console.print()
    for note in document["notes"]:
        say(console, f"note: {note}")


def _ranking(document: Document) -> Table:
    table = _table("", "tier", "candidate", "predicted accuracy, %", "beats the next")
    candidates = document["candidates"]
    for each, following in zip(candidates, [*candidates[1:], None], strict=True):
        beats = None
        if each["rank"] and following and following["rank"]:
            beats = document["wins"][each["id"]][following["id"]]
        add_row(
            table,
            numbers.number(each["rank"], 0),
            numbers.number(each["tier"], 0),
            each["id"],
            numbers.accuracy_text(each),
            numbers.probability(beats),
        )
    return table


def _remarks(document: Document) -> list[str]:
    share = f"{100 * document['confidence']:g}%"
    ranked = [each for each in document["candidates"] if each["rank"]]
    lines = []
    for tier, members in groupby(ranked, key=lambda each: each["tier"]):
        names = [each["id"] for each in members]
        if len(names) > 1:
            lines.append(f"tier {tier}, not told apart from its first: {', '.join(names)}")
    counted = document["mean_over"]
    over = " mean over the benchmarks" if len(counted) > 1 else ""
    if 0 < len(counted) < len(document["functions"]):
        over = f" mean over {', '.join(counted)}"
    if ranked and ranked[0]["low"] is None:
        return [
            *lines,
            f"Predicted accuracy of the target,{over}, with no interval (see the notes).",
        ]
    lines.append(
        f"Predicted accuracy of the target,{over} [{share} interval]; * beyond the fitted scores."
        " A tier ends where its first candidate beats the next with probability"
        f" {document['confidence']:g}."
    )
    lines.append(
        "Intervals include the functions' errors, which candidates share: they may overlap even"
        " if the order is certain. Probabilities cover the noise of seeds and how far targets of"
        " similar score differ."
    )
    return lines


def _pairs(wins: Mapping[str, Mapping[str, float]], ranked: Sequence[str]) -> Table:
    table = _table("", "probability to beat", *(f"{i}" for i in range(1, len(ranked) + 1)))
    for place, one in enumerate(ranked, start=1):
        cells = ("" if one == two else numbers.probability(wins[one][two]) for two in ranked)
        add_row(table, f"{place}", one, *cells)
    return table


def _benchmarks(document: Document, names: Sequence[str]) -> Table:
    table = _table("", "accuracy, %", *names)
    for each in document["candidates"]:
        parts = (numbers.accuracy_text(each["benchmarks"].get(name)) for name in names)
        add_row(table, numbers.number(each["rank"], 0), each["id"], *parts)
    return table


def _table(*headings: str) -> Table:
    """A table of rank, optional tier, candidate, and columns of numbers."""
    table = plain_table()
    for place, each in enumerate(headings):
        names = place and headings[place - 1] in ("", "tier") and each != "tier"
        table.add_column(
            Text(one_line(each)),
            justify="left" if names else "right",
            overflow="fold",
            no_wrap=not names,
        )
    return table
