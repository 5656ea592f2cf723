"""What Stage 1 and Stage 2 share: make and score proxies for each candidate.

A run (a seed, a series of checkpoints) that fails or diverges is left out with a note, and the
candidate is scored on its other runs. A candidate with no run left is left out of the stage.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataselect.compute import Outcome
from dataselect.config.stage import Stage
from dataselect.errors import IncompleteError
from dataselect.proxy_sources import MadeProxy
from dataselect.scoring.evaluation import Evaluation, Measurement
from dataselect.stages.experiment import Experiment
from dataselect.stages.jobs import Run, is_scored, proxy_failure, run_jobs
from dataselect.stages.proxy_origins import StageName, check_tokenizers, describe_differences
from dataselect.stages.scores import CandidateRun, KeptRun, StageScores, Status, collect
from dataselect.store import content_key


class NothingScoredError(IncompleteError):
    """No candidate of a stage could be scored."""

    def __init__(self, stage: StageName, candidates: Mapping[str, CandidateRun]) -> None:
        self.stage, self.candidates = stage, dict(candidates)
        first = next(iter(self.candidates.values()))
        super().__init__(
            f"no candidate could be scored in {stage} ({first.id}: {first.reason}); fix this and "
            "run again"
        )

    def __reduce__(self) -> tuple[type["NothingScoredError"], tuple[Any, ...]]:
        return NothingScoredError, (self.stage, self.candidates)


def run_stage(
    experiment: Experiment, stage: StageName, chosen: Stage, candidates: Sequence[str]
) -> StageScores:
    """Make and score proxies of each candidate.

    Raises NothingScoredError when no candidate could be scored, and InputError when the proxies'
    tokenizers differ.
    """
    evaluations = [
        experiment.evaluations[benchmark.id] for benchmark in experiment.plan.benchmarks_of(chosen)
    ]
    measurements: list[Measurement] = ["scores"]
    measurements += ["graded"] if chosen.accuracy else []
    measurements += ["masks"] if chosen.masks else []
    runs = {name: _runs(experiment, stage, name) for name in candidates}
    all_runs = [run for of_candidate in runs.values() for run in of_candidate]
    outcomes = run_jobs(experiment, all_runs, evaluations, measurements, chosen.resources)
    results = {
        name: _candidate_run(
            name,
            [_run_result(experiment, run, outcomes, evaluations, measurements) for run in own],
        )
        for name, own in runs.items()
    }
    proxies = {name: result.kept[0].proxy for name, result in results.items() if result.kept}
    if not proxies:
        raise NothingScoredError(stage, results)
    check_tokenizers(
        experiment.manifest, stage, {name: proxy.segmentation for name, proxy in proxies.items()}
    )
    notes = describe_differences(
        stage,
        {name: proxy.parameters for name, proxy in proxies.items()},
        {name: proxy.tokens for name, proxy in proxies.items()},
    )
    scores = collect(experiment, stage, chosen, results, notes)
    for note in scores.machine_notes:
        experiment.watch.note(note)
    return scores


def _runs(experiment: Experiment, stage: StageName, candidate: str) -> list[Run]:
    sources = experiment.sources(stage, candidate)
    name = f"{stage}/{candidate}"
    if len(sources) == 1:
        return [Run(candidate, name, sources[0])]
    return [Run(candidate, f"{name} seed {source.seed}", source) for source in sources]


@dataclass(frozen=True)
class _RunResult:
    """What became of one run."""

    run: Run
    status: Status
    proxy: MadeProxy | None = None
    """The proxy with all its scores; None where the run is left out."""
    reason: str = ""
    """Why the run is left out."""


def _run_result(
    experiment: Experiment,
    run: Run,
    outcomes: Mapping[str, Outcome],
    evaluations: Sequence[Evaluation],
    measurements: Sequence[Measurement],
) -> _RunResult:
    proxy = run.source.find(experiment.store)
    if proxy is not None and proxy.diverged is not None:
        return _RunResult(run, "diverged", reason=proxy.diverged)
    if proxy is not None and is_scored(experiment.store, proxy, evaluations, measurements):
        why = proxy_failure(experiment.store, proxy, evaluations, measurements)
        if why is not None:
            return _RunResult(run, "failed", reason=why)
        return _RunResult(run, "scored", proxy)
    outcome = outcomes.get(run.key)
    reason = (outcome.error if outcome else None) or "its scores are missing"
    return _RunResult(run, "failed", reason=reason)


def _candidate_run(candidate: str, results: Sequence[_RunResult]) -> CandidateRun:
    """The candidate with its scored runs, or without scores when it has none."""
    # All runs' keys: failed and diverged training counts in what was spent.
    keys = tuple(content_key(each.run.source.kind, each.run.source.spec) for each in results)
    kept = tuple(KeptRun(each.run, each.proxy) for each in results if each.proxy is not None)
    lost = [each for each in results if each.proxy is None]
    if kept:
        notes = [
            f"{each.run.name} {each.status} and is left out of the mean: {each.reason}"
            for each in lost
        ]
        return CandidateRun(candidate, "scored", keys, tuple(notes), kept=kept)
    # A failure is reported first: it can be fixed, where a divergence would come again.
    worst = min(lost, key=lambda each: each.status != "failed")
    return CandidateRun(candidate, worst.status, keys, reason=worst.reason)
