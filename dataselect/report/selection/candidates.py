"""The candidates of a report: final rank, status, and the scores of each stage.

Survivors come first, in the order of Stage 2 if it ran; then the pruned ones in the order of
Stage 1, since nothing more is known of them; then, without a rank, those that diverged or failed,
because they say nothing about their data.
"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dataselect.report.numbers import probability
from dataselect.report.selection.leaks import raised
from dataselect.transfer.forecast import tiers

if TYPE_CHECKING:
    from dataselect.decisions.ranking import Ranking
    from dataselect.pipeline import Selection
    from dataselect.stages.predict import Prediction
    from dataselect.stages.proxy_origins import StageName
    from dataselect.stages.scores import StageScores
    from dataselect.stages.screen import Screening
    from dataselect.transfer.forecast import Forecast


def measured(selection: "Selection") -> "dict[StageName, tuple[StageScores, Ranking]]":
    """Scores and ranking of each stage that ran."""
    screening, prediction = selection.screening, selection.prediction
    ran = {screening.scores.stage: (screening.scores, screening.ranking)}
    if prediction is not None:
        ran[prediction.scores.stage] = (prediction.scores, prediction.ranking)
    return ran


def candidate_rows(selection: "Selection") -> list[dict[str, Any]]:
    """A row for each candidate, by final rank; those without one last, in the manifest's order."""
    screening, prediction = selection.screening, selection.prediction
    first = list(screening.ranking.table.index)
    survivors = set(screening.survivors)
    ranked = list(prediction.order) if prediction else [name for name in first if name in survivors]
    pruned = [name for name in first if name not in survivors]
    rank = {name: place for place, name in enumerate([*ranked, *pruned], start=1)}

    tier: dict[str, int] = {}
    if prediction is not None and prediction.wins is not None:
        tier = tiers(prediction.wins, selection.experiment.plan.confidence)
    by_id = {candidate.id: candidate for candidate in selection.experiment.manifest.candidates}
    rows = []
    for name in [*rank, *(name for name in by_id if name not in rank)]:
        if name in pruned:
            status, reason = "pruned", _why_pruned(screening, name)
        elif name in rank:
            status, reason = "ranked", None
        else:
            status, reason = _status_without_rank(selection, name)
        rows.append(
            {
                "id": name,
                "title": by_id[name].title or name,
                "rank": rank.get(name),
                "status": status,
                "reason": reason,
                "stage1": _stage1(selection, name),
                "stage2": _stage2(prediction, name, tier.get(name)) if prediction else None,
                "leaks": raised(selection, name),
            }
        )
    return rows


def _why_pruned(screening: "Screening", name: str) -> str:
    ranking, survivors = screening.ranking, len(screening.survivors)
    row = ranking.table.to_dict("index")[name]
    chance = probability(row["p_top_k"])
    place = f"place {int(row['rank'])} of {len(ranking.table)} in Stage 1"
    if survivors == ranking.k:
        return f"{place}, which keeps {survivors}; probability of being among them {chance}"
    best = f"probability of being in the best {ranking.k} {chance}"
    return f"{place}, {survivors} of which go on; {best}"


def _status_without_rank(selection: "Selection", name: str) -> tuple[str, str]:
    """Status and reason of a candidate without a rank: diverged or failed, in which stage."""
    stages = measured(selection)
    for stage, (scores, _) in reversed(stages.items()):
        run = scores.candidates.get(name)
        if run is not None and run.status != "scored":
            return run.status, f"{stage.label}: {run.reason}"
    raise AssertionError(f"{name} was scored in every stage and yet has no rank")


def _stage1(selection: "Selection", name: str) -> dict[str, Any] | None:
    screening = selection.screening
    row = screening.ranking.table.to_dict("index").get(name)
    if row is None:
        return None
    return {
        "score": row["score"],
        "low": row["low"],
        "high": row["high"],
        "p_top_k": row["p_top_k"],
        "benchmarks": _means(screening.scores, name),
    }


def _stage2(prediction: "Prediction", name: str, tier: int | None) -> dict[str, Any] | None:
    """Accuracies and tier are None without transfer functions; `score` is the ranking's."""
    row = prediction.ranking.table.to_dict("index").get(name)
    if row is None:
        return None
    forecasts = prediction.forecasts.get(name, {})
    benchmarks = {
        benchmark: {**means, **_forecast(forecasts.get(benchmark))}
        for benchmark, means in _means(prediction.scores, name).items()
    }
    return {
        **_forecast(prediction.overall.get(name)),
        "tier": tier,
        "score": row["score"],
        "score_low": row["low"],
        "score_high": row["high"],
        "p_best": row["p_top_k"],
        "benchmarks": benchmarks,
    }


def _forecast(forecast: "Forecast | None") -> dict[str, Any]:
    empty = dict.fromkeys(("predicted_accuracy", "low", "high", "extrapolated"))
    return empty if forecast is None else asdict(forecast)


def _means(scores: "StageScores", name: str) -> dict[str, dict[str, float]]:
    """Means over items by benchmark and metric, in nats per token (accuracy: 0..1)."""
    return {
        benchmark: {metric: float(table[name].mean()) for metric, table in metrics.items()}
        for benchmark, metrics in scores.tables.items()
    }
