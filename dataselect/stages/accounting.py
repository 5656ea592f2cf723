"""The cost of a run's stages, as the method counts it and as actually spent, and their notes."""

from collections.abc import Sequence

from dataselect.corpus.prepare import Tokenizer, corpus_notes, repeats
from dataselect.cost import PlannedCost, Spent, spent, training_flops
from dataselect.leaks.alarm import warnings
from dataselect.scoring.remarks import not_among
from dataselect.stages.experiment import Experiment
from dataselect.stages.predict import Prediction
from dataselect.stages.proxy_origins import StageName, text_budgets
from dataselect.stages.scores import StageScores
from dataselect.stages.screen import Screening
from dataselect.store import Store


def stage_scores(
    screening: Screening, prediction: Prediction | None
) -> dict[StageName, StageScores]:
    """The scores of each stage that ran."""
    scores = {StageName.SCREEN: screening.scores}
    if prediction is not None:
        scores[StageName.PREDICT] = prediction.scores
    return scores


def method_cost(
    experiment: Experiment, screening: Screening, prediction: Prediction | None
) -> PlannedCost:
    """N·C1 + k·C2 + Ct from the FLOPs of the proxies that were scored, scoring included.

    Training done elsewhere counts too, because the method needs it.
    """
    manifest = experiment.manifest
    scored, survivors = len(screening.scores.scored), 0
    proxy2, elsewhere = 0.0, screening.scores.flops_elsewhere
    if prediction is not None:
        elsewhere += prediction.scores.flops_elsewhere
        survivors = len(prediction.scores.scored)
        proxy2 = prediction.scores.flops / survivors
    return PlannedCost(
        candidates=len(manifest.candidates),
        survivors=survivors,
        proxy1=screening.scores.flops / scored,
        proxy2=proxy2,
        target=training_flops(manifest.target.size, manifest.target.total_tokens),
        elsewhere=elsewhere,
    )


def spent_by_stage(
    store: Store, screening: Screening, prediction: Prediction | None
) -> dict[str, Spent]:
    """The ledger summed over the artifacts of each stage, attempts of earlier calls included."""
    ledger = store.ledger()
    stages = stage_scores(screening, prediction)
    keys = {name: set(scores.keys) for name, scores in stages.items()}
    return {
        str(name): spent(record for record in ledger if record.get("key") in keys[name])
        for name in stages
    }


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
    experiment: Experiment,
    screening: Screening,
    prediction: Prediction | None,
    warned: Sequence[str] = (),
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
        notes += corpus_notes(experiment.manifest, experiment.corpus)
    budgets = text_budgets(experiment.manifest, experiment.plan, experiment.recipes)
    for name, epochs in repeats(experiment.manifest, streams, budgets).items():
        notes.append(f"{name}: its scarcest text is read {epochs:.1f} times")
    notes += [*screening.scores.notes, *screening.scores.machine_notes]
    if prediction is not None:
        scores = prediction.scores
        notes += [*scores.notes, *scores.machine_notes, *prediction.notes]
    notes += not_among(warned, notes)
    return tuple(dict.fromkeys(notes))
