"""Predictions and choice beside the truth, where accuracies of targets are known.

`truth_part` is the part `truth` of the document, null if no candidate's target is known:

    accuracy       by candidate, mean over the file's benchmarks, 0..1
    unknown[]      candidates whose target is not known
    best[], chosen, regret, lost_in_cut, random_regret
    lost_by_cut    by stage: its part of lost_in_cut
    first_by       by metric of Stage 1: chosen[], accuracy, regret
    predictions    by candidate: predicted, low, high, true, constant, fitted, held, error,
                   constant_error; those of calibration runs (`fitted`) are in no count or mean
    not_compared[] predicted benchmarks that the file of known accuracies lacks

The rest are views of the document alone.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dataselect.decisions.regret import MOST_TOKENS
from dataselect.report import numbers
from dataselect.report.markdown import code, escape, table
from dataselect.report.selection.stages import fate, in_last, title
from dataselect.wording import one_line

if TYPE_CHECKING:
    from dataselect.decisions.regret import KnownTruth

_HEADINGS = {
    "predicted": "predicted, %",
    "true": "true, %",
    "held": "interval held",
    "error": "error, points",
    "constant": "error of a constant",
}
"""Headings of `truth_rows` where there is room."""
_FITTED = "fitted"
"""In place of whether an interval held, for a candidate that is a calibration run."""
_ALL = {1: "it", 2: "both"}
"""All intervals, in words, by their number."""


def truth_part(truth: "KnownTruth | None") -> dict[str, Any] | None:
    """The document's part on known targets."""
    if truth is None:
        return None
    return {
        **asdict(truth),
        "predictions": {
            name: {
                **asdict(each),
                "held": each.held,
                "error": each.error,
                "constant_error": each.constant_error,
            }
            for name, each in truth.predictions.items()
        },
    }


def truth_cells(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Cells of a candidate's row; none where no target is known."""
    truth = document.get("truth")
    if truth is None:
        return {}
    cells = {"true_accuracy": truth["accuracy"].get(name)}
    if truth["predictions"]:
        checked = truth["predictions"].get(name, {})
        cells["prediction_error"] = checked.get("error")
        cells["constant_error"] = checked.get("constant_error")
        held = checked.get("held")
        cells["interval_held"] = None if held is None else int(held)
    return cells


def truth_rows(document: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and a row for each candidate: rank, id, prediction or status, truth, and the errors.

    Without predictions that can be compared, the last three columns are left out.
    """
    truth = document["truth"]
    checks = truth["predictions"]
    head = ["", "candidate", "predicted" if checks else "status", "true"]
    head += ["held", "error", "constant"] if checks else []
    rows = []
    for each in document["candidates"]:
        checked = checks.get(each["id"])
        predicted = numbers.accuracy_text(in_last(document, each))
        row = [
            numbers.number(each["rank"], 0),
            each["id"],
            predicted if checks and predicted != "–" else fate(document, each),
            numbers.points(truth["accuracy"].get(each["id"])),
        ]
        if checks:
            row += ["", "", ""] if checked is None else _judged(checked)
        rows.append(row)
    return head, rows


def _judged(checked: Mapping[str, Any]) -> list[str]:
    if checked["fitted"]:
        return [_FITTED, "", ""]
    return [
        {True: "yes", False: "no", None: "–"}[checked["held"]],
        numbers.points(checked["error"]),
        numbers.points(checked["constant_error"]),
    ]


def truth_sentences(document: Mapping[str, Any]) -> list[str]:
    """What the truth says of the choice, of the predictions, and of simpler choices."""
    truth = document["truth"]
    return [
        *_known_for(truth),
        _choice(document, truth),
        *_predictions(document, truth),
        _simpler(truth),
    ]


def _known_for(truth: Mapping[str, Any]) -> list[str]:
    known, unknown = len(truth["accuracy"]), truth["unknown"]
    if not unknown:
        return []
    return [
        f"The target's accuracy is known for {known} of {known + len(unknown)} candidates; what "
        "follows is about these alone."
    ]


def _choice(document: Mapping[str, Any], truth: Mapping[str, Any]) -> str:
    best, chosen, regret = truth["best"], truth["chosen"], truth["regret"]
    top = numbers.percent(truth["accuracy"][best[0]])
    several = len(best) > 1
    how = "the best of the known" if truth["unknown"] else "truly the best"
    verb = f"{'are' if several else 'is'} {how}"
    if chosen in best:
        others = [name for name in best if name != chosen]
        equal = f", as good as {_listed(others)}" if others else ""
        return f"{chosen}, which is chosen, is {how} ({top}){equal}: the choice costs nothing."
    first = f"{_listed(best)} {verb} ({top}){_fate(document, best)}"
    if chosen is None:
        return f"{first}; nothing was chosen."
    if regret is None:
        return f"{first}; the accuracy of the chosen, {chosen}, is not known."
    reached = numbers.percent(truth["accuracy"][chosen])
    lost = _lost(document, truth)
    return (
        f"{first}; {chosen}, which is chosen, reaches {reached}: the choice costs "
        f"{numbers.points(regret)} points{lost}."
    )


def _fate(document: Mapping[str, Any], best: list[str]) -> str:
    """What became of the best in the run."""
    if len(best) > 1:
        return ""
    status = next(each for each in document["candidates"] if each["id"] == best[0])
    if status["status"] == "ranked":
        return f" and comes {_ordinal(status['rank'])}"
    words = {"pruned": "was pruned", "diverged": "diverged", "failed": "failed"}
    return f" and {words[status['status']]}"


def _lost(document: Mapping[str, Any], truth: Mapping[str, Any]) -> str:
    """The cuts' part in the regret; "" if nothing was pruned."""
    lost, cuts = truth["lost_in_cut"], truth["lost_by_cut"]
    if all(each["status"] != "pruned" for each in document["candidates"]) or lost is None:
        return ""
    if lost <= 0:
        whose = f"{title(next(iter(cuts)))}'s" if len(cuts) == 1 else "a"
        return f", none of them in {whose} cut"
    which = "all" if lost >= truth["regret"] else numbers.points(lost)
    losing = {title(stage): part for stage, part in cuts.items() if part > 0}
    if len(losing) == 1:
        return f", {which} of them in {next(iter(losing))}'s cut"
    parts = [f"{stage} ({numbers.points(part)})" for stage, part in losing.items()]
    return f", {which} of them in the cuts of {_listed(parts)}"


def _predictions(document: Mapping[str, Any], truth: Mapping[str, Any]) -> list[str]:
    if truth["not_compared"]:
        names = _listed(truth["not_compared"])
        return [f"Predictions cannot be checked: the known accuracies have no column for {names}."]
    checks = {name: each for name, each in truth["predictions"].items() if not each["fitted"]}
    fitted = [name for name in truth["predictions"] if name not in checks]
    if not checks:
        return _calibration_runs(fitted, "so no prediction is tested")
    error, constant = (
        sum(each[key] for each in checks.values()) / len(checks)
        for key in ("error", "constant_error")
    )
    level = next(iter(checks.values()))["constant"]
    words = (
        f"{_intervals(document, checks)}; predictions are off by "
        f"{numbers.points(error)} points on average, and a constant "
        f"({numbers.percent(level)}, the mean of the calibration runs) by "
        f"{numbers.points(constant)}."
    )
    means = truth["accuracy"]
    if any(abs(each["true"] - means[name]) > 1e-9 for name, each in checks.items()):
        words += " They are compared on the predicted benchmarks, truth and choice on all."
    return [*_calibration_runs(fitted, "left out of what follows"), words]


def _calibration_runs(fitted: list[str], so: str) -> list[str]:
    """That candidates are no test of the functions, since these were fitted on them."""
    if not fitted:
        return []
    words = "is one" if len(fitted) == 1 else "are some"
    return [f"{_listed(fitted)} {words} of the calibration runs, {so}."]


def _intervals(document: Mapping[str, Any], checks: Mapping[str, Mapping[str, Any]]) -> str:
    """How many intervals held, and whose missed."""
    judged = {name: each["held"] for name, each in checks.items() if each["held"] is not None}
    if not judged:
        return "The transfer functions give no intervals"
    held = sum(judged.values())
    share = f"{100 * document['decision']['confidence']:g}%"
    words = f"{held} of {len(judged)} {share} interval{'s' * (len(judged) > 1)} held"
    missed = [name for name, each in judged.items() if not each]
    if not missed:
        return words
    if held:
        return f"{words}, {'that' if len(missed) == 1 else 'those'} of {_listed(missed)} missed"
    return f"{words}, {_ALL.get(len(missed), 'all')} missed"


def _simpler(truth: Mapping[str, Any]) -> str:
    """What each metric of Stage 1 alone would have chosen, and what a blind draw costs."""
    by_choice: dict[tuple[str, ...], list[str]] = {}
    for metric, each in truth["first_by"].items():
        by_choice.setdefault(tuple(each["chosen"]), []).append(_metric(metric))
    parts = []
    for chosen, metrics in by_choice.items():
        each = next(e for e in truth["first_by"].values() if tuple(e["chosen"]) == chosen)
        parts.append(f"{_listed(list(chosen), 'or')} ({_costs(each)}) by {_listed(metrics)}")
    return (
        f"First in Stage 1 alone: {'; '.join(parts)}. A candidate drawn at random costs "
        f"{numbers.points(truth['random_regret'])} points on average."
    )


def _costs(each: Mapping[str, Any]) -> str:
    if each["regret"] is None:
        return "target not known"
    points = numbers.points(each["regret"])
    return f"costs {points} points" if each["regret"] > 0 else "costs nothing"


def _metric(metric: str) -> str:
    return "training tokens" if metric == MOST_TOKENS else numbers.metric_name(metric)


def truth_lines(document: Mapping[str, Any]) -> list[str]:
    """A section for the README."""
    truth = document.get("truth")
    if truth is None:
        return []
    head, rows = truth_rows(document)
    head = [_HEADINGS.get(name, name) for name in head]
    rows = [[rank, code(name), *rest] for rank, name, *rest in rows]
    firsts = [
        [
            _metric(metric),
            ", ".join(map(code, each["chosen"])),
            numbers.points(each["accuracy"]),
            numbers.points(each["regret"]),
        ]
        for metric, each in truth["first_by"].items()
    ]
    return [
        "## What the targets reached",
        " ".join(map(escape, truth_sentences(document)[:-1])),
        table(head, rows, "r " + "r" * (len(head) - 2)),
        "What each ranking of Stage 1 alone would have chosen, and how far that is behind the best "
        f"known (a candidate drawn at random: {numbers.points(truth['random_regret'])} points on "
        "average):",
        table(["first by", "candidate", "true, %", "costs, points"], firsts, "  rr"),
    ]


def _ordinal(rank: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(rank, f"in place {rank}")


def _listed(names: list[str], last: str = "and") -> str:
    shown = [one_line(name) for name in names]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {last} {shown[-1]}"
