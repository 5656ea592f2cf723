"""A whole run, in the order of the paper: traces, screen, predict, decide.

    manifest x plan
      -> reasoning traces of a frontier model, with a probability for every letter
      -> one token stream for each source
      -> Stage 1: a tiny proxy per candidate, ranked by rBridge, pruned to k
      -> Stage 2: a larger proxy per survivor, mapped to target accuracy
      -> what was decided, how sure it is, and what it cost

Everything expensive is an artifact in the store, so a run that was stopped anywhere goes on
when the same command is given again.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from dataselect.compute import Compute
from dataselect.corpus.prepare import (
    Stream,
    Tokenizer,
    describe_stream,
    fingerprints,
    prepare_streams,
    prepare_tokenizer,
    repeats,
    tokens_needed,
)
from dataselect.cost import PlannedCost, Spent, spent, training_flops
from dataselect.errors import InputError
from dataselect.evidence import AgreementWithTruth, agree, read_target_accuracy
from dataselect.manifest import Manifest
from dataselect.plan import Plan
from dataselect.predict import Prediction, predict
from dataselect.proxies.recipe import Recipe, make_recipe
from dataselect.scoring.evaluate import Evaluation
from dataselect.scoring.gather import gather
from dataselect.screen import Screening, screen
from dataselect.stage import Experiment, StageName, Watch
from dataselect.store import Store


@dataclass(frozen=True)
class Selection:
    """What a run decided and everything that a report says about it."""

    manifest: Manifest
    plan: Plan
    device: str
    tokenizer: Tokenizer
    streams: Mapping[str, Stream]
    evaluations: Mapping[str, Evaluation]
    screening: Screening
    prediction: Prediction | None
    evidence: AgreementWithTruth | None
    cost: PlannedCost
    spent: Mapping[str, Spent]
    """By stage, over all attempts at this run."""
    seconds: float
    """Wall time of this call alone."""
    notes: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether no candidate failed (a diverged one has been judged: it diverged)."""
        stages = [self.screening.scores]
        if self.prediction is not None:
            stages.append(self.prediction.scores)
        return all("failed" not in stage.status.values() for stage in stages)


def run(
    manifest: Manifest, plan: Plan, store: Store, compute: Compute, device: str, watch: Watch
) -> Selection:
    """Do all of it. Raises InputError before any training, IncompleteError if none came through."""
    began = time.monotonic()
    truth = None
    if manifest.evidence is not None:
        truth = read_target_accuracy(manifest.base / manifest.evidence.target_accuracy)
    experiment = prepare(manifest, plan, store, compute, device, watch)
    screening = screen(experiment)
    prediction = None
    if plan.predict is not None:
        prediction = predict(experiment, screening.survivors)

    evidence = None
    if truth is not None:
        evidence = agree(
            truth,
            screening.by_metric(),
            draws=plan.bootstrap_draws,
            seed=plan.seed,
            confidence=plan.confidence,
        )
    return Selection(
        manifest=manifest,
        plan=plan,
        device=device,
        tokenizer=experiment.tokenizer,
        streams=experiment.streams,
        evaluations=experiment.evaluations,
        screening=screening,
        prediction=prediction,
        evidence=evidence,
        cost=_cost(manifest, screening, prediction),
        spent=_spent(store, screening, prediction),
        seconds=time.monotonic() - began,
        notes=_notes(experiment, screening, prediction),
    )


def prepare(
    manifest: Manifest, plan: Plan, store: Store, compute: Compute, device: str, watch: Watch
) -> Experiment:
    """Everything before the first training: traces, tokenizer, recipes and token streams."""
    check(manifest, plan)
    watch.step("Benchmarks and reasoning traces")
    evaluations = gather(plan, store, device, watch.note)
    watch.step("Corpus")
    prints = fingerprints(manifest)
    tokenizer = prepare_tokenizer(manifest, plan, prints, store, watch.progress)
    recipes = make_recipes(plan, tokenizer.vocab_size, device)
    needed = tokens_needed(manifest, budgets(recipes))
    streams = prepare_streams(manifest, plan, tokenizer, prints, needed, store, watch.progress)
    return Experiment(
        manifest, plan, store, compute, device, tokenizer, streams, evaluations, recipes, watch
    )


def check(manifest: Manifest, plan: Plan) -> None:
    """What manifest and plan say only together. Raises InputError."""
    if plan.screen.keep > len(manifest.candidates):
        raise InputError(
            plan.where("screen", "keep"),
            f"{plan.screen.keep} candidates cannot be kept of {len(manifest.candidates)}",
            f"write {len(manifest.candidates)} or fewer",
        )


def make_recipes(plan: Plan, vocab_size: int, device: str) -> dict[StageName, Recipe]:
    """The training run of each stage of the plan."""
    recipes: dict[StageName, Recipe] = {
        "stage1": make_recipe(plan.screen.proxy, vocab_size, device, plan.where("screen", "proxy"))
    }
    if plan.predict is not None:
        recipes["stage2"] = make_recipe(
            plan.predict.proxy, vocab_size, device, plan.where("predict", "proxy")
        )
    return recipes


def budgets(recipes: Mapping[StageName, Recipe]) -> list[tuple[int, int]]:
    """(tokens, sequence length) of every stage."""
    return [(recipe.tokens, recipe.sequence_length) for recipe in recipes.values()]


def _cost(manifest: Manifest, screening: Screening, prediction: Prediction | None) -> PlannedCost:
    """N·C1 + k·C2 + Ct from the FLOPs of the proxies that were kept, scoring included."""
    scored, survivors = len(screening.scores.scored), 0
    proxy2 = 0.0
    if prediction is not None:
        survivors = len(prediction.scores.scored)
        proxy2 = prediction.scores.flops / survivors
    return PlannedCost(
        candidates=len(manifest.candidates),
        survivors=survivors,
        proxy1=screening.scores.flops / scored,
        proxy2=proxy2,
        target=training_flops(manifest.target.size, manifest.target.total_tokens),
    )


def _spent(store: Store, screening: Screening, prediction: Prediction | None) -> dict[str, Spent]:
    """Sums of the ledger over the artifacts of each stage, attempts of earlier calls included."""
    ledger = store.ledger()
    stages = {"stage1": screening.scores}
    if prediction is not None:
        stages["stage2"] = prediction.scores
    keys = {name: set(scores.keys) for name, scores in stages.items()}
    return {
        name: spent(record for record in ledger if record.get("key") in own)
        for name, own in keys.items()
    }


def _notes(
    experiment: Experiment, screening: Screening, prediction: Prediction | None
) -> tuple[str, ...]:
    streams = experiment.streams
    notes = [line for line in map(describe_stream, streams.values()) if line]
    budget = max(recipe.tokens for recipe in experiment.recipes.values())
    for name, epochs in repeats(experiment.manifest, streams, budget).items():
        notes.append(f"{name}: its scarcest text is read {epochs:.1f} times")
    notes += screening.scores.notes
    if prediction is not None:
        notes += [*prediction.scores.notes, *prediction.notes]
    return tuple(dict.fromkeys(notes))
