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
from dataselect.stages.screen_by_counting import STAGE0
from dataselect.transfer.forecast import tiers

if TYPE_CHECKING:
    from dataselect.pipeline import Selection
    from dataselect.stages.scores import StageScores
    from dataselect.stages.screen import Screening
    from dataselect.stages.screen_by_counting import CountedScreening
    from dataselect.transfer.forecast import Forecast


def planned(selection: "Selection") -> list[StageName]:
    """The names of the plan's stages; Stage 2 is always among them."""
    return [StageName.at(n) for n in range(1, 1 + max(2, len(selection.experiment.plan.stages)))]


def candidate_rows(selection: "Selection") -> list[dict[str, Any]]:
    """A row for each candidate, by final rank; those without one last, in the manifest's order."""
    prediction = selection.prediction
    ranked = list(selection.survivors if prediction is None else prediction.order)
    pruned = _pruned(selection)
    rank = {name: place for place, name in enumerate([*ranked, *pruned], start=1)}

    tier: dict[str, int] = {}
    if prediction is not None and prediction.wins is not None:
        tier = tiers(prediction.wins, selection.experiment.plan.confidence)
    by_id = {candidate.id: candidate for candidate in selection.experiment.manifest.candidates}
    rows = []
    reason: str | None
    for name in [*rank, *(name for name in by_id if name not in rank)]:
        if name in pruned:
            status, reason = "pruned", pruned[name]
        elif name in rank:
            status, reason = "ranked", _unscored(selection, name)
        else:
            status, reason = _status_without_rank(selection, name)
        rows.append(
            {
                "id": name,
                "title": by_id[name].title or name,
                "rank": rank.get(name),
                "status": status,
                "reason": reason,
                **_counted(selection.stage0, name),
                **{
                    str(stage): _part(selection.by_stage.get(stage), name, tier.get(name))
                    for stage in planned(selection)
                },
                "leaks": raised(selection, name),
            }
        )
    return rows


def _unscored(selection: "Selection", name: str) -> str | None:
    """Why a survivor has no score in the stage that failed as a whole; None without one."""
    failed = selection.failed
    if failed is None or name not in failed.reasons:
        return None
    return f"{failed.stage.label}: {failed.reasons[name]}"


def _pruned(selection: "Selection") -> dict[str, str]:
    """Why each pruned candidate was, best first: the later it was pruned, the better it ranks."""
    cuts: list[tuple[str, Screening | CountedScreening]] = [
        (each.scores.stage.label, each) for each in reversed(selection.screenings)
    ]
    if selection.stage0 is not None:
        cuts.append((f"{STAGE0.label}, by counting", selection.stage0))
    return {
        name: _why_pruned(where, cut, name)
        for where, cut in cuts
        for name in cut.ranking.table.index
        if name not in cut.survivors
    }


def _why_pruned(where: str, cut: "Screening | CountedScreening", name: str) -> str:
    ranking, survivors = cut.ranking, len(cut.survivors)
    row = ranking.table.to_dict("index")[name]
    chance = probability(row["p_top_k"])
    place = f"place {int(row['rank'])} of {len(ranking.table)} in {where}"
    if survivors == ranking.k:
        return f"{place}, which keeps {survivors}; probability of being among them {chance}"
    best = f"probability of being in the best {ranking.k} {chance}"
    return f"{place}, {survivors} of which go on; {best}"


def _counted(stage0: "CountedScreening | None", name: str) -> dict[str, Any]:
    """The key `stage0`, only where there is such a stage; null for who could not be counted."""
    if stage0 is None:
        return {}
    row = stage0.ranking.table.to_dict("index").get(name)
    if row is None:
        return {STAGE0: None}
    tables = stage0.counted.tables[stage0.score].items()
    means = {benchmark: {stage0.score: float(table[name].mean())} for benchmark, table in tables}
    return {STAGE0: _screened(row, means)}


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
    return _screened(row, means)


def _screened(row: Mapping[Any, Any], means: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    keys = ("score", "low", "high", "p_top_k")
    return {**{key: row[key] for key in keys}, "benchmarks": dict(means)}


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
