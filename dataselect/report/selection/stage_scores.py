"""The scores of a stage in words and tables: their unit, and rBridge by benchmark.

Views of the document alone. A document without `unit` is of before there was a choice: its scores
are z-scores, or ranks.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dataselect.report import numbers
from dataselect.report.markdown import code, table
from dataselect.report.selection.stages import before, in_last, predicted, predicting, title

_KINDS = {
    "candidates": "mean z-scores of {} over the benchmarks",
    "items": "means over the benchmarks of {} in units of the noise of one item",
    "nats": "{} in nats per token",
    "ranks": "mean ranks of {} over the benchmarks",
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


def score_words(stage: Mapping[str, Any], metric: str = "rBridge") -> str:
    """What the stage's scores are, after "scores are"."""
    words = _KINDS[kind_of(stage)].format(metric)
    if kind_of(stage) == "items" and stage["unit"]["earlier"]:
        words += ", which was measured on the candidates of Stage 1"
    return words


def shows_scores(document: Mapping[str, Any]) -> bool:
    """Whether survivors are ranked by the last stage's scores, since no accuracy is predicted."""
    return predicting(document) is not None and not predicted(document)


def by_benchmark(document: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Heading and rows of the last stage's rBridge by benchmark, with the rank in Stage 1."""
    candidates = document["candidates"]
    survivors = [(each, part) for each in candidates if (part := in_last(document, each))]
    benchmarks: Sequence[str] = list(survivors[0][1]["benchmarks"])
    first = {each["id"]: each["stage1"] for each in document["candidates"] if each["stage1"]}
    order = sorted(first, key=lambda name: first[name]["score"])
    rows = [
        [
            each["id"],
            *(numbers.number(part["benchmarks"][b]["rbridge"], 3) for b in benchmarks),
            str(order.index(each["id"]) + 1),
        ]
        for each, part in survivors
    ]
    return ["candidate", *benchmarks, "rank in Stage 1"], rows


def benchmark_lines(document: Mapping[str, Any]) -> list[str]:
    """The README's section on the last stage's scores; none where accuracies are predicted."""
    last = predicting(document)
    if last is None or not shows_scores(document):
        return []
    stage, name = document["stages"][last], title(last)
    (head, rows), sizes = by_benchmark(document), (stage.get("unit") or {}).get("sizes", {})
    cells = [[code(candidate), *values] for candidate, *values in rows]
    if kind_of(stage) == "items":
        units = [numbers.number(sizes.get(benchmark), 3) for benchmark in head[1:-1]]
        cells.append(["noise of one item", *units, ""])
    return [
        f"## {name} scores, by benchmark",
        table(
            ["", *(code(benchmark) for benchmark in head[1:-1]), head[-1]],
            cells,
            " " + "r" * len(head[1:]),
        ),
        f"rBridge in nats per token; lower is better. {name} scores are {score_words(stage)}.",
    ]


def tie_lines(document: Mapping[str, Any]) -> list[str]:
    """A line for each set of survivors that the order of the stage before decides between."""
    last = predicting(document)
    if last is None or not shows_scores(document):
        return []
    ties = document["stages"][last].get("ties") or []
    return [
        f"{' and '.join(names)} have the same {title(last)} score; they are in the order of "
        f"{title(before(last))}"
        for names in ties
    ]
