"""The report's sections on the order of the candidates, and on who beats whom.

Views of the document alone.
"""

from collections.abc import Mapping
from itertools import groupby
from math import prod
from typing import Any

from dataselect.report import numbers
from dataselect.report.markdown import code, escape, table
from dataselect.report.numbers import probability
from dataselect.report.selection.counting import counted_words
from dataselect.report.selection.leaks import mark
from dataselect.report.selection.stage_scores import decimals, score_words
from dataselect.report.selection.stages import cuts, predicted, predicting, ran, title
from dataselect.report.selection.uncertainty import uncertainty_lines


def _name(candidate: dict[str, Any]) -> str:
    name = f"{mark(candidate)}{code(candidate['id'])}"
    return name if candidate["title"] == candidate["id"] else f"{name} {escape(candidate['title'])}"


def ranking_lines(document: Mapping[str, Any]) -> list[str]:
    """A row for each candidate, and what the scores are; the long texts last, so that a phone shows
    the scores."""
    screened, last = cuts(document), predicting(document)
    head = ["rank", "candidate"]
    for stage, facts in screened.items():
        head += [f"{title(stage)} score", f"P(best {facts['kept']})"]
    if last is not None:
        head.append("predicted accuracy, %" if predicted(document) else f"{title(last)} score")
    head.append("status")
    rows = []
    for each in document["candidates"]:
        reason = f": {escape(each['reason'])}" if each["reason"] else ""
        row = [numbers.number(each["rank"], 0), _name(each)]
        for stage, facts in screened.items():
            part = each[stage]
            row.append(numbers.score_text(part, decimals(facts)))
            row.append(numbers.probability(part and part["p_top_k"]))
        if last is not None:
            row.append(_last_cell(document, each[last]))
        rows.append([*row, f"{each['status']}{reason}"])
    return [table(head, rows, "r " + "r" * (len(head) - 3) + " "), *_about_scores(document)]


def _last_cell(document: Mapping[str, Any], part: dict[str, Any] | None) -> str:
    if predicted(document):
        return numbers.accuracy_text(part)
    last = predicting(document)
    places = 2 if last is None else decimals(document["stages"][last])
    return numbers.stage2_score_text(part, places)


def _about_scores(document: Mapping[str, Any]) -> list[str]:
    screened = cuts(document)
    sure, last = predicted(document), predicting(document)
    lines = []
    for stage, facts in screened.items():
        if stage == "stage0":
            lines.append(counted_words(facts))
            continue
        (uncertainty,) = uncertainty_lines(facts, title(stage))
        alone = len(screened) == 1 and (last is None or sure)
        scores = "Scores" if alone else f"{title(stage)} scores"
        lines.append(f"{scores} are {score_words(facts)}; lower is better. {uncertainty}")
    if sure:
        lines[-1] += " An asterisk marks a prediction beyond the range that was fitted."
    return [*lines, *_about_cuts(document)]


def _about_cuts(document: Mapping[str, Any]) -> list[str]:
    """How likely several cuts have left the best among the survivors; nothing of a single cut."""
    followed = list(cuts(document).items())
    if predicting(document) is None:
        followed = followed[:-1]
    if len(followed) < 2:
        return []
    parts = [f"{title(stage)}'s with {probability(each['p_kept'])}" for stage, each in followed]
    in_all = prod(each["p_kept"] for _, each in followed)
    return [
        f"The survivors hold the best of all candidates with probability {probability(in_all)}: "
        f"of its own candidates each cut kept the best, {', '.join(parts)}."
    ]


def wins_lines(document: Mapping[str, Any], picture: list[str]) -> list[str]:
    """Who beats whom among those that no stage pruned; `picture` may be empty."""
    survivors = [c["id"] for c in document["candidates"] if c["status"] == "ranked"]
    stage = "prediction" if document["wins"]["prediction"] else list(ran(document))[-1]
    wins = document["wins"][stage]
    if len(survivors) < 2:
        return []
    rows = [
        [
            code(one),
            *("" if one == two else numbers.probability(wins[one][two]) for two in survivors),
        ]
        for one in survivors
    ]
    return [
        "## Who beats whom",
        _of_what(document, stage),
        *picture,
        table(["", *map(code, survivors)], rows, " " + "r" * len(survivors)),
        *_tiers(document),
    ]


def _tiers(document: Mapping[str, Any]) -> list[str]:
    """Candidates that cannot be told apart by predicted accuracy, as a paragraph."""
    if not document["wins"]["prediction"]:
        return []
    confidence = document["decision"]["confidence"]
    ranked = [each for each in document["candidates"] if each["status"] == "ranked"]
    last = predicting(document)
    lines = []
    for _, members in groupby(ranked, key=lambda each: each[last]["tier"]):
        first, *others = [code(each["id"]) for each in members]
        if others:
            lines.append(f"Not told apart from {first} at {confidence:g}: {', '.join(others)}.")
    return [" ".join(lines)] if lines else []


def _of_what(document: Mapping[str, Any], stage: str) -> str:
    if stage == "prediction":
        return (
            "Probability that the row's target has the higher accuracy, mean over benchmarks. It "
            "covers items, seeds of the proxies, and how far targets of similar score differ."
        )
    uncertainty = document["stages"][stage].get("doubt")
    if uncertainty is None or uncertainty["tau"] is None:
        return f"Probability that the row has the better score in {title(stage)}."
    return (
        "Probability that the row is the better one at target size, as far as "
        f"{title(stage)} tells."
    )
