"""The one-sentence verdict: who comes first, by how much, and how sure that is.

The comparison is between the first and the second of the last stage that scored two or more. When
the first does not beat another survivor with the confidence that the plan asks for, the sentence
says so before anything else: the order of candidates that cannot be told apart is not a result.

The probability is that of a paired bootstrap over items. It does not cover the training seed or
the gap between proxy and target, so it is optimistic.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dataselect.report.figures import number, percent, points, probability

if TYPE_CHECKING:
    from dataselect.pipeline import Selection
    from dataselect.predict import Prediction
    from dataselect.ranking import Ranking

_UNITS = {"z_score": "standard deviations", "mean_rank": "ranks"}


def decide(selection: "Selection", ranked: Sequence[str]) -> dict[str, Any]:
    """The verdict as `text` and as figures; `ranked` are the survivors, best first.

    `margin` is in `unit` and positive when the winner is ahead; `not_told_apart` are the others
    that the winner is ahead of with less than `confidence`.
    """
    screening, prediction = selection.screening, selection.prediction
    confidence = selection.plan.confidence
    none: dict[str, Any] = {
        "winner": None,
        "runner_up": None,
        "stage": None,
        "margin": None,
        "unit": None,
        "probability": None,
        "confidence": confidence,
        "not_told_apart": [],
    }
    if not ranked:
        return {**none, "text": "No candidate came through, so there is nothing to choose."}
    winner = ranked[0]
    lost = [name for name in screening.survivors if name not in ranked]
    if prediction is not None and len(ranked) > 1:
        ranking, stage, others = prediction.ranking, "stage2", list(ranked[1:])
    else:
        ranking, stage = screening.ranking, "stage1"
        others = [name for name in ranking.table.index if name != winner]
    if prediction is not None and len(ranked) == 1 and lost:
        text = (
            f"{winner} is the only survivor that came through Stage 2, so it was compared with "
            "nothing there."
        )
        return {**none, "winner": winner, "not_told_apart": lost, "text": text}
    if not others:
        text = f"{winner} is the only candidate that came through, so it was compared with nothing."
        return {**none, "winner": winner, "text": text}

    second = others[0]
    ahead = {name: _wins(ranking, winner, name) for name in others}
    close = [name for name, p in ahead.items() if p < confidence]
    compared_in = prediction if stage == "stage2" else None
    margin, unit, figures = _margin(ranking, compared_in, winner, second)
    return {
        "winner": winner,
        "runner_up": second,
        "stage": stage,
        "margin": margin,
        "unit": unit,
        "probability": ahead[second],
        "confidence": confidence,
        "not_told_apart": close,
        "text": _sentence(winner, second, figures, ahead[second], close),
    }


def _wins(ranking: "Ranking", name: str, other: str) -> float:
    return float(ranking.wins.to_dict("index")[name][other])


def _margin(
    ranking: "Ranking", prediction: "Prediction | None", winner: str, second: str
) -> tuple[float, str, str]:
    """How far the winner is ahead, the unit of that, and both figures in words."""
    if prediction is not None and prediction.overall:
        one, two = prediction.overall[winner], prediction.overall[second]
        margin = one.predicted_accuracy - two.predicted_accuracy
        beyond = one.extrapolated or two.extrapolated
        figures = (
            f"predicted target accuracy {percent(one.predicted_accuracy)} against "
            f"{percent(two.predicted_accuracy)} for {second} ({points(margin)} points"
            f"{', extrapolated' if beyond else ''})"
        )
        return margin, "share", figures
    rows = ranking.table.to_dict("index")
    ours, theirs = float(rows[winner]["score"]), float(rows[second]["score"])
    margin = theirs - ours
    unit = _UNITS[ranking.method]
    stage = 1 if prediction is None else 2
    figures = (
        f"Stage {stage} score {number(ours)} against {number(theirs)} for "
        f"{second} ({number(margin)} {unit}; lower is better)"
    )
    return margin, unit, figures


def _sentence(winner: str, second: str, figures: str, ahead: float, close: list[str]) -> str:
    chance = f"ahead of it with probability {probability(ahead)}"
    doubt = f" but cannot be told apart from {_listed(close)}" if close else ""
    return f"{winner} comes first{doubt}: {figures}, {chance}."


def _listed(names: list[str]) -> str:
    if len(names) > 4:
        names = [*names[:3], f"{len(names) - 3} others"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
