"""README.md of a report: for the people who decide, most important first.

Verdict, ranked candidates with their uncertainty, pairwise probabilities, predicted accuracy of the
target, agreement with known targets, cost, provenance, and the command that repeats the run. It is
a view of the document alone.
"""

from collections.abc import Mapping
from itertools import groupby
from math import prod
from typing import Any

from dataselect.report import numbers
from dataselect.report.markdown import code, escape, table
from dataselect.report.mixture.readme import mixture_lines, response_lines, search_lines
from dataselect.report.mixture.verdict import ranking_words
from dataselect.report.numbers import probability
from dataselect.report.selection.background import cost_lines, provenance_lines
from dataselect.report.selection.counting import counted_words, counting_lines
from dataselect.report.selection.leaks import alarms, leak_lines, mark
from dataselect.report.selection.stage_scores import benchmark_lines, decimals, score_words
from dataselect.report.selection.stages import cuts, predicted, predicting, pruning, ran, title
from dataselect.report.selection.truth import truth_lines
from dataselect.report.selection.uncertainty import ablation_lines, noise_lines, uncertainty_lines
from dataselect.units import format_count
from dataselect.wording import one_line

_RESUME = "The command at the end of this page resumes it."


def readme(document: Mapping[str, Any], command: str) -> str:
    """The Markdown text; `command` repeats the run."""
    target = document["target"]
    parts = [
        f"# {code(document['run'])}",
        f"For a target of {format_count(target['parameters'])} parameters trained on "
        f"{format_count(target['tokens'])} tokens.",
        f"**{escape(document['verdict'])}**",
        *_next_step(document),
        *_incomplete(document),
        "## Ranking",
        *alarms(document),
        *_ranking(document),
        *_wins(document),
        *benchmark_lines(document),
        *_prediction(document),
        *counting_lines(document),
        *_evidence(document["evidence"]),
        *truth_lines(document),
        *ablation_lines(document.get("ablation")),
        *_noise(document),
        *leak_lines(document),
        *_mixture(document.get("mixture")),
        "## Cost",
        *cost_lines(document["cost"], document.get("screen0")),
        "## Provenance",
        *provenance_lines(document),
        *_notes(document),
        "## Run it again",
        f"    {one_line(command)}",
        "Results in the store are not computed again. Everything above is also in `report.json`, "
        "and `ranking.csv` has one row per candidate.",
    ]
    return "\n\n".join(parts) + "\n"


def _noise(document: Mapping[str, Any]) -> list[str]:
    stages = pruning(document).items()
    return [line for name, stage in stages for line in noise_lines(stage, title(name))]


def _next_step(document: Mapping[str, Any]) -> list[str]:
    words = document.get("next_step")
    return [escape(words)] if words else []


def _incomplete(document: Mapping[str, Any]) -> list[str]:
    if document["complete"]:
        return []
    return ["Some candidates failed; the same command tries them again."]


def _name(candidate: dict[str, Any]) -> str:
    name = f"{mark(candidate)}{code(candidate['id'])}"
    return name if candidate["title"] == candidate["id"] else f"{name} {escape(candidate['title'])}"


def _ranking(document: Mapping[str, Any]) -> list[str]:
    screened, last = cuts(document), predicting(document)
    head = ["rank", "candidate", "status"]
    for stage, facts in screened.items():
        head += [f"{title(stage)} score", f"P(best {facts['kept']})"]
    if last is not None:
        head.append("predicted accuracy, %" if predicted(document) else f"{title(last)} score")
    rows = []
    for each in document["candidates"]:
        reason = f": {escape(each['reason'])}" if each["reason"] else ""
        row = [numbers.number(each["rank"], 0), _name(each), f"{each['status']}{reason}"]
        for stage, facts in screened.items():
            part = each[stage]
            row.append(numbers.score_text(part, decimals(facts)))
            row.append(numbers.probability(part and part["p_top_k"]))
        if last is not None:
            row.append(_last_cell(document, each[last]))
        rows.append(row)
    return [table(head, rows, "r  " + "r" * (len(head) - 3)), *_about_scores(document)]


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


def _wins(document: Mapping[str, Any]) -> list[str]:
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


def _prediction(document: Mapping[str, Any]) -> list[str]:
    functions = document["provenance"]["transfer"]
    last = predicting(document)
    if last is None or not functions:
        return []
    parts = ["## Predicted accuracy of the target, by benchmark"]
    for benchmark, function in functions.items():
        low, high = function["fitted_range"]
        rows = []
        for each in document["candidates"]:
            if each[last] is None:
                continue
            part = each[last]["benchmarks"][benchmark]
            extrapolated = "extrapolated" if part["extrapolated"] else ""
            score = numbers.number(part["rbridge"], 3)
            rows.append([code(each["id"]), score, numbers.accuracy_text(part), extrapolated])
        datasets = f" ({function['datasets']} datasets)" if function["datasets"] else ""
        fitted = (
            f"{code(benchmark)}: {function['family']} function of rBridge, fitted on "
            f"{function['points']} points of {escape(function['calibration'])}{datasets} with "
            "scores from "
            f"{numbers.number(low, 3)} to {numbers.number(high, 3)} (R² "
            f"{numbers.number(function['r2'])}, mean leave-one-out error "
            f"{numbers.points(function['loo_mae'])} points)."
        )
        head = ["candidate", "rBridge, nats per token", "predicted accuracy, %", ""]
        parts += [fitted, table(head, rows, " rr ")]
    return parts


def _evidence(evidence: dict[str, Any] | None) -> list[str]:
    if evidence is None:
        return []
    rows = [
        [
            numbers.metric_name(metric),
            *(
                numbers.with_interval(evidence[kind][metric], evidence[f"{kind}_interval"][metric])
                for kind in ("decision_accuracy", "kendall_tau")
            ),
        ]
        for metric in evidence["decision_accuracy"]
    ]
    return [
        "## Agreement with targets trained already",
        table(["ranking by", "decision accuracy", "Kendall's tau"], rows, " rr"),
        f"Over {evidence['pairs']} pairs of candidates whose target accuracy differs; a tie of the "
        "proxies counts one half; chance is 0.50. Intervals resample candidates.",
    ]


def _mixture(part: dict[str, Any] | None) -> list[str]:
    """The proposed weights, or why there are none."""
    if part is None:
        return []
    if part["proposal"] is None:
        why = f": {escape(part['problem'])}" if part["problem"] else ""
        return ["## Mixture", f"The search for weights is not finished{why}. {_RESUME}"]
    folder = f"{part['folder']}/"
    return [
        "## Mixture",
        *mixture_lines(part["proposal"], folder),
        escape(ranking_words(part["proposal"]["held_out"]["rank_correlation"])),
        *response_lines(part["proposal"], folder),
        *search_lines(part["proposal"]),
        f"More, and the weights as files for trainers: [{folder}README.md]({folder}README.md).",
    ]


def _notes(document: Mapping[str, Any]) -> list[str]:
    if not document["notes"]:
        return []
    return ["## Notes", "\n".join(f"- {escape(note)}" for note in document["notes"])]
