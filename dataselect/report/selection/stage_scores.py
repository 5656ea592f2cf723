"""The scores of a stage in words and tables: their unit, and rBridge by benchmark.

Views of the document alone. A document without `unit` is of before there was a choice: its scores
are z-scores, or ranks.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dataselect.report import numbers
from dataselect.report.markdown import code, table

_KINDS = {
    "candidates": "mean z-scores of rBridge over the benchmarks",
    "items": "means over the benchmarks of rBridge in units of the noise of one item",
    "nats": "rBridge in nats per token",
    "ranks": "mean ranks of rBridge over the benchmarks",
}
UNITS = {
    "candidates": "standard deviations",
    "items": "times the noise of one item",
    "nats": "nats per token",
    "ranks": "ranks",
}
"""The unit of a difference of two scores, by kind."""


def kind_of(stage: Mapping[str, Any]) -> str:
    """What the scores of a stage are in: a key of `UNITS`."""
    if stage["aggregate"] == "mean_rank":
        return "ranks"
    return str((stage.get("unit") or {}).get("kind", "candidates"))


def decimals(stage: Mapping[str, Any]) -> int:
    """Decimals to show the stage's scores with."""
    return 3 if kind_of(stage) == "nats" else 2


def score_words(stage: Mapping[str, Any]) -> str:
    """What the stage's scores are, after "scores are"."""
    words = _KINDS[kind_of(stage)]
    if kind_of(stage) == "items" and stage["unit"]["earlier"]:
        words += ", which was measured on the candidates of Stage 1"
    return words


def shows_scores(document: Mapping[str, Any]) -> bool:
    """Whether survivors are ranked by Stage 2's scores, since an accuracy is not predicted."""
    return document["stages"]["stage2"] is not None and not any(
        each["stage2"] and each["stage2"]["predicted_accuracy"] is not None
        for each in document["candidates"]
    )


def by_benchmark(document: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Heading and rows of Stage 2's rBridge by benchmark, with the rank of Stage 1."""
    survivors = [each for each in document["candidates"] if each["stage2"]]
    benchmarks: Sequence[str] = list(survivors[0]["stage2"]["benchmarks"])
    first = {each["id"]: each["stage1"] for each in document["candidates"] if each["stage1"]}
    order = sorted(first, key=lambda name: first[name]["score"])
    rows = [
        [
            each["id"],
            *(numbers.number(each["stage2"]["benchmarks"][b]["rbridge"], 3) for b in benchmarks),
            str(order.index(each["id"]) + 1),
        ]
        for each in survivors
    ]
    return ["candidate", *benchmarks, "rank in Stage 1"], rows


def benchmark_lines(document: Mapping[str, Any]) -> list[str]:
    """The README's section on Stage 2's scores; none where accuracies are predicted."""
    if not shows_scores(document):
        return []
    stage = document["stages"]["stage2"]
    (head, rows), sizes = by_benchmark(document), (stage.get("unit") or {}).get("sizes", {})
    cells = [[code(name), *values] for name, *values in rows]
    if kind_of(stage) == "items":
        units = [numbers.number(sizes.get(name), 3) for name in head[1:-1]]
        cells.append(["noise of one item", *units, ""])
    return [
        "## Stage 2 scores, by benchmark",
        table(
            ["", *(code(name) for name in head[1:-1]), head[-1]], cells, " " + "r" * len(head[1:])
        ),
        f"rBridge in nats per token; lower is better. Stage 2 scores are {score_words(stage)}.",
    ]


def tie_lines(document: Mapping[str, Any]) -> list[str]:
    """A line for each set of survivors that Stage 1's order decides between."""
    if not shows_scores(document):
        return []
    ties = document["stages"]["stage2"].get("ties") or []
    return [
        f"{' and '.join(names)} have the same Stage 2 score; they are in the order of Stage 1"
        for names in ties
    ]
