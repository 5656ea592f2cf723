"""The candidates of a report: final rank, status, and the scores of each stage.

Those that no stage pruned come first, in the order of the last stage that ran; then the pruned
ones, those that went further before the others, each in the order of the stage that pruned it,
since nothing more is known of them; then, without a rank, those that diverged or failed, because
they say nothing about their data.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dataselect.report.numbers import probability
from dataselect.report.selection.leaks import raised
from dataselect.stages.predict import Prediction
from dataselect.stages.proxy_origins import StageName
from dataselect.transfer.forecast import tiers

if TYPE_CHECKING:
    from dataselect.pipeline import Selection
    from dataselect.stages.scores import StageScores
    from dataselect.stages.screen import Screening
    from dataselect.transfer.forecast import Forecast


def planned(selection: "Selection") -> list[StageName]:
    """The names of the plan's stages; Stage 2 is always among them."""
    return [StageName.at(n) for n in range(1, 1 + max(2, len(selection.experiment.plan.stages)))]


def candidate_rows(selection: "Selection") -> list[dict[str, Any]]:
    """A row for each candidate, by final rank; those without one last, in the manifest's order."""
    prediction = selection.prediction
    ranked = list(selection.survivors if prediction is None else prediction.order)
    # The later a candidate was pruned, the better it ranks.
    pruned = {
        name: _why_pruned(screening, name)
        for screening in reversed(selection.screenings)
        for name in screening.ranking.table.index
        if name not in screening.survivors
    }
    rank = {name: place for place, name in enumerate([*ranked, *pruned], start=1)}

    tier: dict[str, int] = {}
    if prediction is not None and prediction.wins is not None:
        tier = tiers(prediction.wins, selection.experiment.plan.confidence)
    by_id = {candidate.id: candidate for candidate in selection.experiment.manifest.candidates}
    rows = []
    for name in [*rank, *(name for name in by_id if name not in rank)]:
        if name in pruned:
            status, reason = "pruned", pruned[name]
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
                **{
                    str(stage): _part(selection.by_stage.get(stage), name, tier.get(name))
                    for stage in planned(selection)
                },
                "leaks": raised(selection, name),
            }
        )
    return rows


def _why_pruned(screening: "Screening", name: str) -> str:
    ranking, survivors = screening.ranking, len(screening.survivors)
    row = ranking.table.to_dict("index")[name]
    chance = probability(row["p_top_k"])
    stage = screening.scores.stage.label
    place = f"place {int(row['rank'])} of {len(ranking.table)} in {stage}"
    if survivors == ranking.k:
        return f"{place}, which keeps {survivors}; probability of being among them {chance}"
    best = f"probability of being in the best {ranking.k} {chance}"
    return f"{place}, {survivors} of which go on; {best}"


def _status_without_rank(selection: "Selection", name: str) -> tuple[str, str]:
    """Status and reason of a candidate without a rank: diverged or failed, in which stage."""
    for stage, scores in reversed(selection.scores.items()):
        run = scores.candidates.get(name)
        if run is not None and run.status != "scored":
            return run.status, f"{stage.label}: {run.reason}"
    raise AssertionError(f"{name} was scored in every stage and yet has no rank")


def _part(
    stage: "Screening | Prediction | None", name: str, tier: int | None
) -> dict[str, Any] | None:
    """What a stage measured of a candidate; None if it did not run or did not score it."""
    row = None if stage is None else stage.ranking.table.to_dict("index").get(name)
    if stage is None or row is None:
        return None
    means = _means(stage.scores, name)
    if isinstance(stage, Prediction):
        return _predicted(stage, name, row, means, tier)
    return {
        "score": row["score"],
        "low": row["low"],
        "high": row["high"],
        "p_top_k": row["p_top_k"],
        "benchmarks": means,
    }


def _predicted(
    prediction: Prediction,
    name: str,
    row: Mapping[Any, Any],
    means: Mapping[str, Mapping[str, float]],
    tier: int | None,
) -> dict[str, Any]:
    """Accuracies and tier are None without transfer functions; `score` is the ranking's."""
    forecasts = prediction.forecasts.get(name, {})
    return {
        **_forecast(prediction.overall.get(name)),
        "tier": tier,
        "score": row["score"],
        "score_low": row["low"],
        "score_high": row["high"],
        "p_best": row["p_top_k"],
        "benchmarks": {
            benchmark: {**each, **_forecast(forecasts.get(benchmark))}
            for benchmark, each in means.items()
        },
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
