"""What Stage 1 and Stage 2 have in common: proxies for each candidate, made and scored.

A run (a seed, a series of checkpoints) that fails or diverges is left out and noted, and the
candidate goes on with its others; a candidate that has none left is left out itself, and the others
go on.
"""

from collections.abc import Sequence

from dataselect.compute import Outcome
from dataselect.config.plan import Stage
from dataselect.errors import IncompleteError
from dataselect.proxy_sources import MadeProxy
from dataselect.scoring.evaluate import Evaluation, Measurement
from dataselect.stages.experiment import Experiment, Watch
from dataselect.stages.jobs import Run, is_scored, run_jobs
from dataselect.stages.proxy_origins import StageName, check_tokenizers, describe_differences
from dataselect.stages.scores import ProxyFacts, StageScores, Status, artifact_keys, collect

__all__ = ["Experiment", "ProxyFacts", "StageName", "StageScores", "Status", "Watch", "run_stage"]


def run_stage(
    experiment: Experiment, stage: StageName, chosen: Stage, candidates: Sequence[str]
) -> StageScores:
    """Make and score proxies of each candidate. Raises IncompleteError when none came through."""
    plan = experiment.plan
    evaluations = [experiment.evaluations[each.id] for each in plan.benchmarks_of(chosen)]
    wanted: tuple[Measurement, ...] = ("scores", "graded") if chosen.accuracy else ("scores",)
    runs = {name: _runs(experiment, stage, name) for name in candidates}
    every = [run for own in runs.values() for run in own]
    outcomes = run_jobs(experiment, every, evaluations, wanted)

    kept: dict[str, list[tuple[Run, MadeProxy]]] = {}
    status: dict[str, Status] = {}
    reasons: dict[str, str] = {}
    notes: list[str] = []
    for name, own in runs.items():
        fates = [(run, *_fate(experiment, run, outcomes, evaluations, wanted)) for run in own]
        through = [(run, made) for run, made, _, _ in fates if made is not None]
        lost = [(run, fate, why) for run, made, fate, why in fates if made is None]
        if through:
            kept[name], status[name] = through, "scored"
            notes += [
                f"{run.name} {fate} and is left out of the mean: {why}" for run, fate, why in lost
            ]
            continue
        # A failure can be mended, so it is what is told.
        _, status[name], reasons[name] = min(lost, key=lambda each: each[1] != "failed")
    if not kept:
        name, reason = next(iter(reasons.items()))
        raise IncompleteError(
            f"no candidate came through {stage} ({name}: {reason}); mend this and run again"
        )
    proxies = {name: own[0][1] for name, own in kept.items()}
    check_tokenizers(
        experiment.manifest, stage, {name: made.segmentation for name, made in proxies.items()}
    )
    notes += describe_differences(
        stage,
        {name: made.parameters for name, made in proxies.items()},
        {name: made.tokens for name, made in proxies.items()},
    )
    keys = artifact_keys(every)
    return collect(experiment, stage, chosen, kept, status, reasons, notes, keys)


def _runs(experiment: Experiment, stage: StageName, candidate: str) -> list[Run]:
    sources = experiment.sources(stage, candidate)
    name = f"{stage}/{candidate}"
    if len(sources) == 1:
        return [Run(candidate, name, sources[0])]
    return [Run(candidate, f"{name} seed {source.seed}", source) for source in sources]


def _fate(
    experiment: Experiment,
    run: Run,
    outcomes: dict[str, Outcome],
    evaluations: Sequence[Evaluation],
    wanted: Sequence[Measurement],
) -> tuple[MadeProxy | None, Status, str]:
    """The proxy if it has all its scores, what became of the run, and why."""
    made = run.source.find(experiment.store)
    if made is not None and made.diverged is not None:
        return None, "diverged", made.diverged
    if made is not None and is_scored(experiment.store, made, evaluations, wanted):
        return made, "scored", ""
    outcome = outcomes.get(run.key)
    return None, "failed", (outcome.error if outcome else None) or "its scores are missing"
