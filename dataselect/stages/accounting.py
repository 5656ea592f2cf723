"""The cost of a run's stages, as the method counts it and as actually spent, and their notes."""

from collections.abc import Sequence

from dataselect.corpus.kept_tokenizer import Tokenizer
from dataselect.corpus.prepare import corpus_notes, repeats
from dataselect.cost import PlannedCost, Spent, StageCost, spent, training_flops
from dataselect.leaks.alarm import warnings
from dataselect.scoring.remarks import not_among
from dataselect.stages.experiment import Experiment
from dataselect.stages.proxy_origins import text_budgets
from dataselect.stages.results import StageResults
from dataselect.store import Store


def method_cost(experiment: Experiment, found: StageResults) -> PlannedCost:
    """N·C1 + k·C2 + Ct from the FLOPs of the proxies that were scored, scoring included.

    Training done elsewhere counts too, because the method needs it.
    """
    manifest = experiment.manifest
    costs, seen = [], set[str]()
    for stage, scores in found.scores.items():
        scored = len(scores.scored)
        # Those that Stage 1 could not score count as much as the others: theirs was tried.
        candidates = len(scores.candidates) if stage.number == 1 else scored
        # A proxy of an earlier stage that this one scores again is paid for already.
        reused = sum(cost for key, cost in scores.costs if key in seen)
        costs.append(StageCost(candidates, (scores.flops - reused) / scored))
        seen |= {key for key, _ in scores.costs}
    return PlannedCost(
        candidates=len(manifest.candidates),
        stages=tuple(costs),
        target=training_flops(manifest.target.size, manifest.target.total_tokens),
        elsewhere=sum(scores.flops_elsewhere for scores in found.scores.values()),
    )


def spent_by_stage(store: Store, found: StageResults) -> dict[str, Spent]:
    """The ledger summed over the artifacts of each stage, attempts of earlier calls included.

    What several stages use is part of the first of them.
    """
    ledger, seen = store.ledger(), set[str]()
    sums = {}
    for name, scores in found.scores.items():
        keys = set(scores.keys) - seen
        sums[str(name)] = spent(record for record in ledger if record.get("key") in keys)
        seen |= keys
    if found.failed is not None:
        keys = set(found.failed.keys) - seen
        sums[found.failed.stage] = spent(each for each in ledger if each.get("key") in keys)
    return sums


def _of_tokenizer(tokenizer: Tokenizer) -> list[str]:
    return [f"the plan's tokenizer: {note}" for note in tokenizer.notes]


def benchmark_notes(experiment: Experiment) -> list[str]:
    """Remarks on items, worked examples and traces."""
    return [
        f"{name}: {note}"
        for name, evaluation in experiment.evaluations.items()
        for note in evaluation.notes
    ]


def run_notes(
    experiment: Experiment, found: StageResults, warned: Sequence[str] = ()
) -> tuple[str, ...]:
    """Remarks on benchmarks, texts, leaks and stages, each line once, and the warnings `warned`.

    What the terminal showed as a note is among them.
    """
    streams = experiment.streams
    notes = benchmark_notes(experiment)
    if experiment.tokenizer is not None:
        notes += _of_tokenizer(experiment.tokenizer)
    if experiment.leaks is not None:
        notes += [*experiment.leaks.notes, *warnings(experiment.leaks)]
    if experiment.corpus is not None:
        notes += corpus_notes(experiment.corpus)
    budgets = text_budgets(experiment.manifest, experiment.plan, experiment.recipes)
    for name, epochs in repeats(experiment.manifest, streams, budgets).items():
        notes.append(f"{name}: its scarcest text is read {epochs:.1f} times")
    for scores in found.scores.values():
        notes += [*scores.notes, *scores.machine_notes]
    if found.prediction is not None:
        notes += found.prediction.notes
    notes += not_among(warned, notes)
    return tuple(dict.fromkeys(notes))
