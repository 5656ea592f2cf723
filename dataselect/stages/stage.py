"""What Stage 1 and Stage 2 have in common: proxies for each candidate, made and scored.

A run (a seed, a series of checkpoints) that fails or diverges is left out and noted, and the
candidate goes on with its others; a candidate that has none left is left out itself, and the others
go on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dataselect.compute import Outcome
from dataselect.config.plan import Stage
from dataselect.errors import IncompleteError
from dataselect.proxy_sources import MadeProxy
from dataselect.scoring.evaluate import Evaluation, Measurement
from dataselect.stages.experiment import Experiment
from dataselect.stages.jobs import Run, is_scored, run_jobs
from dataselect.stages.proxy_origins import StageName, check_tokenizers, describe_differences
from dataselect.stages.scores import CandidateRun, KeptRun, StageScores, Status, collect
from dataselect.store import content_key


def run_stage(
    experiment: Experiment, stage: StageName, chosen: Stage, candidates: Sequence[str]
) -> StageScores:
    """Make and score proxies of each candidate. Raises IncompleteError when none came through."""
    evaluations = [
        experiment.evaluations[each.id] for each in experiment.plan.benchmarks_of(chosen)
    ]
    wanted: tuple[Measurement, ...] = ("scores", "graded") if chosen.accuracy else ("scores",)
    runs = {name: _runs(experiment, stage, name) for name in candidates}
    every = [run for own in runs.values() for run in own]
    outcomes = run_jobs(experiment, every, evaluations, wanted)
    judged = {
        name: _candidate_run(
            name, [_fate(experiment, run, outcomes, evaluations, wanted) for run in own]
        )
        for name, own in runs.items()
    }
    kept = {name: each.kept[0].proxy for name, each in judged.items() if each.kept}
    if not kept:
        first = next(iter(judged.values()))
        raise IncompleteError(
            f"no candidate came through {stage} ({first.id}: {first.reason}); fix this and run "
            "again"
        )
    check_tokenizers(
        experiment.manifest, stage, {name: made.segmentation for name, made in kept.items()}
    )
    notes = describe_differences(
        stage,
        {name: made.parameters for name, made in kept.items()},
        {name: made.tokens for name, made in kept.items()},
    )
    return collect(experiment, stage, chosen, judged, notes)


def _runs(experiment: Experiment, stage: StageName, candidate: str) -> list[Run]:
    sources = experiment.sources(stage, candidate)
    name = f"{stage}/{candidate}"
    if len(sources) == 1:
        return [Run(candidate, name, sources[0])]
    return [Run(candidate, f"{name} seed {source.seed}", source) for source in sources]


@dataclass(frozen=True)
class _Fate:
    """What became of a run: the proxy if it has all its scores, else why not."""

    run: Run
    status: Status
    proxy: MadeProxy | None = None
    reason: str = ""


def _fate(
    experiment: Experiment,
    run: Run,
    outcomes: Mapping[str, Outcome],
    evaluations: Sequence[Evaluation],
    wanted: Sequence[Measurement],
) -> _Fate:
    made = run.source.find(experiment.store)
    if made is not None and made.diverged is not None:
        return _Fate(run, "diverged", reason=made.diverged)
    if made is not None and is_scored(experiment.store, made, evaluations, wanted):
        return _Fate(run, "scored", made)
    outcome = outcomes.get(run.key)
    reason = (outcome.error if outcome else None) or "its scores are missing"
    return _Fate(run, "failed", reason=reason)


def _candidate_run(candidate: str, fates: Sequence[_Fate]) -> CandidateRun:
    """A candidate goes on with the runs that came through; with none it is left out itself."""
    # Failed and diverged training was paid for as well.
    keys = tuple(content_key(each.run.source.kind, each.run.source.spec) for each in fates)
    kept = tuple(KeptRun(each.run, each.proxy) for each in fates if each.proxy is not None)
    lost = [each for each in fates if each.proxy is None]
    if kept:
        notes = [
            f"{each.run.name} {each.status} and is left out of the mean: {each.reason}"
            for each in lost
        ]
        return CandidateRun(candidate, "scored", keys, tuple(notes), kept=kept)
    # A failure can be fixed, a divergence would come again: so the failure is reported.
    worst = min(lost, key=lambda each: each.status != "failed")
    return CandidateRun(candidate, worst.status, keys, reason=worst.reason)
