"""Pictures of a run, drawn from report.json's document: which there are, and what they show.

Each has a text with its main figures, for readers who cannot see it. Only `draw` and the modules
that it imports load matplotlib. Rows beyond `MOST_ROWS` are left to the tables.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from dataselect.report import numbers
from dataselect.report.pictures import Picture
from dataselect.report.selection.energy import spent_energy
from dataselect.report.selection.stage_scores import decimals
from dataselect.report.selection.stages import cuts, in_last, predicted, predicting, ran, title
from dataselect.units import format_flops

FOLDER = "plots"
"""The folder of a report with its pictures."""
MOST_ROWS = 40
MOST_PAIRED = 12
"""Most candidates of the picture of pairs: its cells have numbers."""
_MOST_NAMED = 6
Document = Mapping[str, Any]


def selection_pictures(document: Document) -> dict[str, Picture]:
    """The pictures of a run, by name, in the order of the report."""
    texts: dict[str, Callable[[Document], str]] = {
        "ranking": _ranking,
        "pairs": _pairs,
        "stages": _stages,
        "fits": _fits,
        "truth": _truth,
        "mixture": _mixture,
        "cost": _cost,
    }
    found = {name: text(document) for name, text in texts.items()}
    return {name: Picture(f"{name}.svg", text) for name, text in found.items() if text}


NAMES = ("ranking", "pairs", "stages", "fits", "truth", "mixture", "cost")
"""Names of all pictures that a run may have."""


def paired(document: Document) -> tuple[str, list[str]]:
    """The key in `wins` of what is compared last, and the candidates, best first."""
    wins = document["wins"]
    stage = "prediction" if wins["prediction"] else list(ran(document))[-1]
    names = [each["id"] for each in document["candidates"] if each["id"] in wins[stage]]
    return stage, names[:MOST_PAIRED]


def places(document: Document) -> dict[str, dict[str, int]]:
    """By stage, the place of each candidate that it ranked; that of the last is the report's."""
    found = {}
    for stage in [*cuts(document), predicting(document)]:
        if stage is None:
            continue
        measured = [each for each in document["candidates"] if each[stage]]
        if stage != predicting(document):
            measured.sort(key=lambda each: float(each[stage]["score"]))
        found[stage] = {each["id"]: place for place, each in enumerate(measured, start=1)}
    return found


def cost_bars(document: Document) -> dict[str, float]:
    """FLOPs by what they buy, the largest alternative first; what costs nothing is left out."""
    cost = document["cost"]
    flops, counts = cost["flops"], cost["counts"]
    bars = {
        f"all {counts['candidates']} targets (N·Ct)": flops["naive"],
        "one target (Ct)": flops["target"],
        **{f"{title(stage)} proxies": flops[stage] for stage in ran(document)},
        "mixture search": flops.get("mixture") or 0.0,
        "failed work": cost["spent"]["all"]["failed_flops"],
    }
    return {name: value for name, value in bars.items() if value > 0}


def _ranking(document: Document) -> str:
    last = predicting(document)
    scored = [each for each in document["candidates"] if each["stage1"]]
    if not scored:
        return ""
    parts = []
    for each in scored:
        part, chance = each["stage1"], ""
        text = numbers.score_text(part, decimals(document["stages"]["stage1"]))
        if predicted(document) and in_last(document, each):
            chance = f", predicted accuracy {numbers.accuracy_text(each[last])}%"
        gone = "" if each["status"] == "ranked" else f" ({each['status']})"
        parts.append(f"{each['id']}{gone} {text}{chance}")
    share = f"{100 * document['decision']['confidence']:g}%"
    return (
        f"Candidates from best to worst, each a dot with its {share} interval; Stage 1 score, "
        f"lower is better: {_listed(parts)}"
    )


def _pairs(document: Document) -> str:
    stage, names = paired(document)
    if len(names) < 3:
        return ""
    wins = document["wins"][stage]
    nearest = [
        f"{one} before {two} {numbers.probability(wins[one][two])}" for one, two in pairwise(names)
    ]
    by = "predicted accuracy" if stage == "prediction" else title(stage)
    return (
        f"Probability that the candidate of the row is better than that of the column, by {by}; "
        f"neighbours in the ranking: {_listed(nearest)}"
    )


def _stages(document: Document) -> str:
    by_stage = places(document)
    if len(by_stage) < 2:
        return ""
    orders = [f"{title(stage)}: {_listed(list(order))}" for stage, order in by_stage.items()]
    return f"Places of the candidates from stage to stage, best first. {'; '.join(orders)}"


def _fits(document: Document) -> str:
    last, fits = predicting(document), document.get("fits")
    if not fits or last is None:
        return ""
    parts = []
    for benchmark in fits:
        function = document["provenance"]["transfer"][benchmark]
        low, high = (numbers.number(end) for end in function["fitted_range"])
        found = [
            f"{each['id']} {numbers.accuracy_text(each[last]['benchmarks'][benchmark])}%"
            for each in document["candidates"]
            if each[last]
        ]
        parts.append(f"{benchmark}, fitted on scores from {low} to {high}: {_listed(found)}")
    return (
        "The fitted curve from proxy score to target accuracy with its band, its calibration "
        f"points, and the candidates on it; * lies beyond what was fitted. {'; '.join(parts)}"
    )


def _truth(document: Document) -> str:
    truth = document.get("truth")
    if truth is None:
        return ""
    ranked = sorted(truth["accuracy"], key=lambda name: -truth["accuracy"][name])
    parts = []
    for name in ranked:
        checked = truth["predictions"].get(name)
        words = numbers.percent(truth["accuracy"][name])
        if checked:
            hit = {True: "a hit", False: "a miss", None: "without interval"}[checked["held"]]
            words += f" (predicted {numbers.percent(checked['predicted'])}, {hit})"
        parts.append(f"{name} {words}")
    return f"True accuracy of the targets beside what was predicted: {_listed(parts)}"


def _mixture(document: Document) -> str:
    proposal = (document.get("mixture") or {}).get("proposal")
    if proposal is None:
        return ""
    ranked = sorted(proposal["sources"].items(), key=lambda item: -item[1]["weight"])
    shares = [f"{name} {numbers.percent(each['weight'])}" for name, each in ranked]
    return f"Proposed shares of the sources with intervals: {_listed(shares)}"


def _cost(document: Document) -> str:
    bars = [f"{name} {format_flops(value)}" for name, value in cost_bars(document).items()]
    used = spent_energy(document["cost"])
    energy = "" if used is None else f"; electricity {used}"
    return f"Cost in FLOPs, on a scale of powers of ten: {', '.join(bars)}{energy}"


def _listed(parts: Sequence[str]) -> str:
    more = len(parts) - _MOST_NAMED
    return ", ".join([*parts[:_MOST_NAMED], *([f"and {more} more"] if more > 0 else [])])
