"""The one-sentence verdict: which candidate comes first, by how much, and how certain that is.

It compares the first and the second of the last stage that scored two or more. If the first does
not beat another survivor with the plan's confidence, the sentence says so before anything else: the
order of candidates that cannot be told apart is not a result.

The probability of a stage that prunes is that of being better at target size, as far as items,
seeds and published proxies tell. That of a stage that predicts is that of the higher target
accuracy if transfer functions apply (`forecast`); else that of the better score, over items and not
the training seed, so it is optimistic.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dataselect.report.numbers import number, percent, points, probability, target_runs
from dataselect.report.selection.leaks import verdict_clause
from dataselect.report.selection.stage_scores import UNITS
from dataselect.report.selection.uncertainty import claim, knowledge
from dataselect.stages.predict import Prediction
from dataselect.units import format_flops

if TYPE_CHECKING:
    from dataselect.decisions.ranking import Ranking
    from dataselect.pipeline import Selection
    from dataselect.stages.scores import StageScores
    from dataselect.stages.screen import Screening


def decide(selection: "Selection", ranked: Sequence[str]) -> dict[str, Any]:
    """The verdict as `text` and as numbers; `ranked` are the survivors, best first.

    `margin` is in `unit` and positive if the winner is ahead; `not_told_apart` are the candidates
    that the winner beats with a probability below `confidence`; `first_without_leaked_items` is
    None if no item was leaked.
    """
    confidence = selection.experiment.plan.confidence
    none: dict[str, Any] = {
        "winner": None,
        "runner_up": None,
        "stage": None,
        "margin": None,
        "unit": None,
        "probability": None,
        "confidence": confidence,
        "not_told_apart": [],
        "first_without_leaked_items": None,
    }
    if not ranked:
        return {
            **none,
            "text": "No candidate was scored in every stage, so there is nothing to choose.",
        }
    winner, prediction = ranked[0], selection.prediction
    decided = _deciding(selection, ranked)
    ranking, stage = decided.ranking, decided.scores.stage
    others = [name for name in ranking.table.index if name != winner]
    if isinstance(decided, Prediction):
        others = list(ranked[1:])
    lost = [name for name in selection.survivors if name not in ranked]
    if prediction is not None and len(ranked) == 1 and lost:
        text = (
            f"{winner} is the only survivor scored in {prediction.scores.stage.label}, so there "
            "was nothing to compare it with there."
        )
        return {**none, "winner": winner, "not_told_apart": lost, "text": text}
    if not others:
        text = f"{winner} is the only candidate scored, so there was nothing to compare it with."
        text += _failed(selection)
        return {**none, "winner": winner, "text": text}

    second = others[0]
    wins, known, compared = ranking.wins, None, None
    if isinstance(decided, Prediction):
        wins = ranking.wins if decided.wins is None else decided.wins
        compared = _accuracies(decided, winner, second)
    elif decided.uncertainty is not None:
        known = asdict(decided.uncertainty)
    ahead = {name: float(wins.to_dict("index")[winner][name]) for name in others}
    close = [name for name, p in ahead.items() if p < confidence]
    compared = compared or _scores(decided.scores, ranking, winner, second)
    margin, unit, comparison = compared
    uncertainty = f" but cannot be told apart from {_listed(close)}" if close else ""
    chance = f"{claim(known)} with probability {probability(ahead[second])} {knowledge(known)}"
    if wins is not ranking.wins:
        chance = f"its target is ahead with probability {probability(ahead[second])}"
    leaks, first = verdict_clause(selection, winner, stage)
    return {
        "winner": winner,
        "runner_up": second,
        "stage": stage,
        "margin": margin,
        "unit": unit,
        "probability": ahead[second],
        "confidence": confidence,
        "not_told_apart": close,
        "first_without_leaked_items": first,
        "text": f"{winner} comes first{uncertainty}: {comparison}; {chance}.{leaks}"
        f"{_stopped(selection)}{_failed(selection)}",
    }


def _deciding(selection: "Selection", ranked: Sequence[str]) -> "Screening | Prediction":
    """The last stage that scored two or more of the candidates that it can compare."""
    if selection.prediction is not None and len(ranked) > 1:
        return selection.prediction
    several = [each for each in selection.screenings if len(each.ranking.table) > 1]
    return several[-1] if several else selection.screening


def _stopped(selection: "Selection") -> str:
    """Why the run ended early, what that rests on and saves; "" if it did not."""
    stop = selection.stopped
    if stop is None:
        return ""
    names = [stage.label for stage in stop.left_out]
    saved = ""
    if stop.flops_saved:
        share = stop.flops_saved / selection.cost.target
        saved = f", which saves up to {format_flops(stop.flops_saved)} ({target_runs(share)})"
    total = len(selection.experiment.manifest.candidates)
    known = selection.screenings[-1].uncertainty
    rests_on = knowledge(None if known is None else asdict(known))
    return (
        f" The run stopped after {stop.after.label}: {stop.first} is the best of all {total} with "
        f"probability {probability(stop.p_best)} {rests_on}, and the plan's 'stop_when' asks for "
        f"{number(stop.wanted)}; {_listed(names)} {'was' if len(names) == 1 else 'were'} not "
        f"trained{saved}."
    )


def _failed(selection: "Selection") -> str:
    """That a stage could score nothing, and why; "" if none was so."""
    failed = selection.failed
    if failed is None:
        return ""
    label, before = failed.stage.label, selection.screenings[-1].scores.stage.label
    first, why = next(iter(failed.reasons.items()))
    return f" {label} could score no candidate ({first}: {why}), so this is {before}'s ranking."


def _accuracies(
    prediction: "Prediction", winner: str, second: str
) -> tuple[float, str, str] | None:
    """The winner's margin, its unit, and both accuracies in words; None where survivors are not
    ranked by predictions."""
    if not prediction.overall or prediction.wins is None:
        return None
    one, two = prediction.overall[winner], prediction.overall[second]
    margin = one.predicted_accuracy - two.predicted_accuracy
    beyond = ", extrapolated" if one.extrapolated or two.extrapolated else ""
    comparison = (
        f"predicted target accuracy {percent(one.predicted_accuracy)} against "
        f"{percent(two.predicted_accuracy)} for {second} ({points(margin)} points{beyond})"
    )
    return margin, "share", comparison


def _scores(
    measured: "StageScores", ranking: "Ranking", winner: str, second: str
) -> tuple[float, str, str]:
    """As `_accuracies`, by the score that the ranking is by.

    With one benchmark that is its rBridge, since z-scores of two candidates are always -1 and +1.
    """
    stage, tables = measured.stage.number, list(measured.table("rbridge").values())
    if len(tables) == 1:
        ours, theirs = (float(tables[0][name].mean()) for name in (winner, second))
        unit, what, decimals = "nats per token", "rBridge", 3
    else:
        rows = ranking.table.to_dict("index")
        ours, theirs = float(rows[winner]["score"]), float(rows[second]["score"])
        kind = "ranks" if ranking.units is None else ranking.units.kind
        unit, what, decimals = UNITS[kind], "score", 2
    comparison = (
        f"Stage {stage} {what} {number(ours, decimals)} against {number(theirs, decimals)} for "
        f"{second} ({number(theirs - ours, decimals)} {unit}; lower is better)"
    )
    if any(winner in tie and second in tie for tie in ranking.ties):
        comparison += f", a tie that Stage {stage - 1} decides"
    return theirs - ours, unit, comparison


def _listed(names: list[str]) -> str:
    if len(names) > 4:
        names = [*names[:3], f"{len(names) - 3} others"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
