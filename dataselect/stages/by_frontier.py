"""Stage 1 of a run that was made, scored again by the traces of several frontier models.

The proxies come from the store, so this trains nothing; the scores go into the store, where a run
whose plan names other traces finds them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dataselect.errors import InputError
from dataselect.scoring.gather import make_evaluation
from dataselect.stages.experiment import Experiment
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.scores import StageScores
from dataselect.stages.screen import RANKED_BY
from dataselect.stages.stage import run_stage
from dataselect.traces.frontier import RecordedFrontier
from dataselect.traces.library import trace_benchmark
from dataselect.traces.trace import TraceSet

if TYPE_CHECKING:
    import pandas as pd

TraceSets = Mapping[str, Mapping[str, TraceSet]]
"""By frontier model, traces of every benchmark."""


@dataclass(frozen=True)
class FrontierScores:
    """A run's candidates, scored by the traces of each frontier model."""

    stages: Mapping[str, StageScores]
    """What was measured, by frontier model."""
    tables: Mapping[str, Mapping[str, "pd.DataFrame"]]
    """By frontier model and benchmark, items x candidates of rBridge, on the items and candidates
    that all frontier models have."""
    notes: tuple[str, ...]
    """Remarks on what was left out."""

    @property
    def runs(self) -> dict[str, dict[str, "pd.Series"]]:
        """By frontier model and benchmark, the mean rBridge of each (candidate, seed, step)."""
        candidates = list(next(iter(next(iter(self.tables.values())).values())).columns)
        return {
            model: {name: table.loc[candidates, RANKED_BY] for name, table in each.runs.items()}
            for model, each in self.stages.items()
        }


def trace_sets(experiment: Experiment, files: Sequence[Path]) -> TraceSets:
    """The plan's own traces and those of files, by frontier model and benchmark of Stage 1.

    A file is for each benchmark that has the name in its header, or whose own traces have it.
    Raises InputError for one that is for none, for two different files of one frontier model and
    benchmark, and for a frontier model that lacks a benchmark.
    """
    wanted = {
        each.id: experiment.evaluations[each.id]
        for each in experiment.plan.benchmarks_of(experiment.plan.screen)
    }
    found = [(name, traces) for name, own in wanted.items() for traces in own.traces]
    headers = {name: {name, *(t.header.benchmark for t in e.traces)} for name, e in wanted.items()}
    for path in files:
        named = trace_benchmark(path)
        of_file = [name for name in wanted if named in headers[name]]
        if not of_file:
            raise InputError(
                path,
                f"its traces are for '{named}', which Stage 1 does not have",
                f"name files for {' and '.join(wanted)}",
            )
        recorded = RecordedFrontier(path)
        found += [(name, recorded.traces(wanted[name].benchmark)) for name in of_file]
    sets: dict[str, dict[str, TraceSet]] = {}
    for name, traces in found:
        known = sets.setdefault(traces.header.model, {}).setdefault(name, traces)
        if known.hash != traces.hash:
            raise InputError(
                f"traces of {traces.header.model}",
                f"there are two different files for '{name}'",
                "leave one out",
            )
    for model, by_benchmark in sets.items():
        if lacking := [name for name in wanted if name not in by_benchmark]:
            raise InputError(
                f"traces of {model}",
                f"there are none for '{lacking[0]}'",
                "name a trace file of each frontier model for each benchmark",
            )
    if len(sets) < 2:
        raise InputError(
            "traces compare",
            f"all traces are of {next(iter(sets))}",
            "name trace files of another frontier model than the plan's",
        )
    return sets


def score_stage_by_frontier(
    experiment: Experiment, sets: TraceSets, *, only_correct: bool = False
) -> FrontierScores:
    """Score the proxies of Stage 1 that are in the store by each frontier model's traces.

    Raises InputError where the store lacks a proxy, and where no item or fewer than two candidates
    have a score by all of them.
    """
    names = [candidate.id for candidate in experiment.manifest.candidates]
    made = [name for name in names if _is_made(experiment, name)]
    if not made:
        raise InputError(
            "--store",
            f"{experiment.store.root} has no proxy of this run's Stage 1",
            "run 'dataselect run' with the same manifest and plan first, or name its store",
        )
    # Generated answers and masks do not depend on whose traces they are.
    chosen = experiment.plan.screen.model_copy(update={"accuracy": False, "masks": False})
    scored: dict[str, StageScores] = {}
    for model, traces in sets.items():
        evaluations = {
            name: make_evaluation(
                evaluation.benchmark,
                evaluation.left_out,
                [traces[name]],
                experiment.watch.note,
                only_correct=only_correct,
                weight_scope=evaluation.weight_scope,
            )
            for name, evaluation in experiment.evaluations.items()
            if name in traces
        }
        one = replace(experiment, evaluations=evaluations)
        scored[model] = run_stage(one, StageName.SCREEN, chosen, made)
    shared = [name for name in made if all(name in each.scored for each in scored.values())]
    tables = _on_shared({m: each.table(RANKED_BY) for m, each in scored.items()}, shared)
    left_out = [name for name in names if name not in shared]
    notes = (f"without scores and left out: {', '.join(left_out)}",) if left_out else ()
    return FrontierScores(scored, tables, notes)


def _is_made(experiment: Experiment, candidate: str) -> bool:
    sources = experiment.sources(StageName.SCREEN, candidate)
    return all(source.find(experiment.store) is not None for source in sources)


def _on_shared(
    tables: Mapping[str, Mapping[str, "pd.DataFrame"]], candidates: Sequence[str]
) -> dict[str, dict[str, "pd.DataFrame"]]:
    """The tables on the candidates, and on the items that every frontier model has."""
    if len(candidates) < 2:
        raise InputError(
            "traces compare",
            f"{len(candidates)} of the candidates have scores by all traces",
            "compare at least two",
        )
    first, *others = tables.values()
    items = {
        name: [item for item in table.index if all(item in each[name].index for each in others)]
        for name, table in first.items()
    }
    for name, shared in items.items():
        if not shared:
            raise InputError(
                f"benchmark '{name}'",
                "it has no item with a trace of every frontier model",
                "leave out a trace file",
            )
    return {
        model: {name: table.loc[items[name], list(candidates)] for name, table in each.items()}
        for model, each in tables.items()
    }
