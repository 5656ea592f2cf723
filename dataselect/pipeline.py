"""A whole run, in the order of the paper: traces, screen, predict, decide, mix.

    manifest x plan
      -> reasoning traces of a frontier model, with a probability for every letter
      -> one token stream for each source, where a proxy is trained
      -> Stage 1: a tiny proxy per candidate, ranked by rBridge, pruned to k
      -> Stage 2: a larger proxy per survivor, mapped to target accuracy
      -> what was decided, how sure it is, and what it cost
      -> where the plan asks for it, weights of the sources for the next pretraining run

Everything expensive is an artifact in the store, so a run that was stopped anywhere goes on
when the same command is given again.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dataselect.compute import Compute
from dataselect.config.manifest import Manifest
from dataselect.config.plan import Plan
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
from dataselect.decisions.ablation import Ablation
from dataselect.decisions.target_agreement import AgreementWithTruth, agree, read_target_accuracy
from dataselect.errors import DataselectError, InputError
from dataselect.leaks import alarm as leak_alarm
from dataselect.leaks.alarm import CleanRanking, LeakAlarm
from dataselect.proxies.layout import check_layout, make_layout
from dataselect.proxies.recipe import Recipe, make_recipe
from dataselect.scoring.evaluate import Evaluation
from dataselect.scoring.gather import gather
from dataselect.stages.predict import Prediction, predict
from dataselect.stages.proxy_origins import (
    SECTIONS,
    Given,
    check_origins,
    needs_tokenizer,
    resolve_given,
    stages,
    text_budgets,
)
from dataselect.stages.screen import Screening, ablate, screen
from dataselect.stages.stage import Experiment, StageName, Watch
from dataselect.store import Store

if TYPE_CHECKING:
    from dataselect.mixture_search.search import Found


@dataclass(frozen=True)
class Selection:
    """What a run decided and everything that a report says about it."""

    manifest: Manifest
    plan: Plan
    device: str
    tokenizer: Tokenizer | None
    """None where nothing was trained on tokens."""
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
    given: Given = field(default_factory=dict)
    """Checkpoints that the manifest gives, as they were resolved."""
    leaks: LeakAlarm | None = None
    """None where no text was looked at."""
    clean: Mapping[StageName, CleanRanking] = field(default_factory=dict)
    """Rankings without leaked items, where there are any."""
    ablation: Ablation | None = None
    """Every metric's ranking in Stage 1, where it was asked for."""
    mixture: "Found | None" = None
    """Weights that were searched for, once they are found."""
    mixture_problem: DataselectError | None = None
    """What ended the search for them."""

    @property
    def complete(self) -> bool:
        """Whether no candidate failed (a diverged one has been judged: it diverged)."""
        stages = [self.screening.scores]
        if self.prediction is not None:
            stages.append(self.prediction.scores)
        return all("failed" not in stage.status.values() for stage in stages)


def run(
    manifest: Manifest,
    plan: Plan,
    store: Store,
    compute: Compute,
    device: str,
    watch: Watch,
    *,
    ablated: bool = False,
    decided: Callable[[Selection], object] = lambda _: None,
) -> Selection:
    """Do all of it; `ablated` compares the metrics of Stage 1 too.

    `decided` is given what was decided before a mixture is searched for, which takes long and may
    be killed. Raises InputError before any training, IncompleteError if no candidate came through.
    """
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
    selection = Selection(
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
        given=experiment.given,
        leaks=experiment.leaks,
        clean=_clean(experiment, screening, prediction),
        ablation=ablate(experiment, screening, truth) if ablated else None,
    )
    if plan.mix is None:
        return selection
    decided(selection)
    return replace(mix(selection, experiment), seconds=time.monotonic() - began)


def mix(selection: Selection, experiment: Experiment) -> Selection:
    """The selection with the weights that the plan has searched for, or what ended the search."""
    # Not above: the libraries of the search take a second to load, which few plans need.
    from dataselect.mixture_search.search import search

    manifest, plan, store = experiment.manifest, experiment.plan, experiment.store
    try:
        found = search(
            manifest, plan, store, experiment.compute, experiment.device, experiment.watch
        )
    except DataselectError as problem:
        return replace(selection, mixture_problem=problem)
    stages = [selection.screening.scores]
    if selection.prediction is not None:
        stages.append(selection.prediction.scores)
    # A proxy of Stage 1 may be a trial as well, and was paid for once.
    own = found.keys - {key for scores in stages for key in scores.keys}
    cost = spent(record for record in store.ledger() if record.get("key") in own)
    return replace(selection, mixture=found, spent={**selection.spent, "mixture": cost})


def prepare(
    manifest: Manifest, plan: Plan, store: Store, compute: Compute, device: str, watch: Watch
) -> Experiment:
    """Everything before the first training: traces, tokenizer, recipes and token streams."""
    check(manifest, plan)
    given = resolve_given(manifest, plan, store)
    watch.step("Benchmarks and reasoning traces")
    evaluations = gather(plan, store, device, watch.note)
    tokenizer, streams, recipes, leaks = None, {}, {}, None
    if needs_tokenizer(manifest, plan):
        watch.step("Corpus")
        prints = fingerprints(manifest)
        tokenizer = prepare_tokenizer(manifest, plan, prints, store, watch.progress)
        recipes = make_recipes(plan, tokenizer.vocab_size, device)
        budgets = text_budgets(manifest, plan, recipes)
        needed = tokens_needed(manifest, budgets)
        search = leak_alarm.planned_search(plan, evaluations)
        lookers = leak_alarm.onlookers(search, store, prints, plan.seed)
        streams = prepare_streams(
            manifest, plan, tokenizer, prints, needed, store, watch.progress, lookers
        )
        if search is not None:
            leaks = leak_alarm.look(
                search, manifest, plan.seed, prints, streams, budgets, store, watch.progress
            )
            for line in leak_alarm.warnings(leaks):
                watch.note(line)
    return Experiment(
        manifest=manifest,
        plan=plan,
        store=store,
        compute=compute,
        device=device,
        tokenizer=tokenizer,
        streams=streams,
        evaluations=evaluations,
        recipes=recipes,
        watch=watch,
        given=given,
        leaks=leaks,
    )


def check(manifest: Manifest, plan: Plan) -> None:
    """What manifest and plan say only together. Raises InputError."""
    if plan.screen.keep > len(manifest.candidates):
        raise InputError(
            plan.where("screen", "keep"),
            f"{plan.screen.keep} candidates cannot be kept of {len(manifest.candidates)}",
            f"write {len(manifest.candidates)} or fewer",
        )
    check_origins(manifest, plan)
    if plan.mix is not None:
        # As in `mix`.
        from dataselect.mixture_search.prepare import check as check_search

        check_search(manifest, plan)


def make_recipes(plan: Plan, vocab_size: int, device: str) -> dict[StageName, Recipe]:
    """The training run of each stage of the plan that names a proxy."""
    recipes: dict[StageName, Recipe] = {}
    for stage, chosen in stages(plan).items():
        if chosen.proxy is None:
            continue
        where = plan.where(SECTIONS[stage], "proxy")
        recipes[stage] = recipe = make_recipe(chosen.proxy, vocab_size, device, where)
        check_layout(recipe, make_layout(chosen, plan.compute), where)
        if recipe.steps < chosen.average:
            raise InputError(
                plan.where(SECTIONS[stage], "average"),
                f"{chosen.average} checkpoints cannot be averaged of {recipe.steps} steps",
                "lower it, or train longer",
            )
    return recipes


def _clean(
    experiment: Experiment, screening: Screening, prediction: Prediction | None
) -> dict[StageName, CleanRanking]:
    """Rankings without leaked items, of the stages where there are any."""
    if experiment.leaks is None:
        return {}
    ranked: dict[StageName, Screening | Prediction] = {"stage1": screening}
    if prediction is not None:
        ranked["stage2"] = prediction
    again = {
        name: leak_alarm.rank_clean(
            experiment.leaks, each.scores.table("rbridge"), each.ranking, experiment.plan
        )
        for name, each in ranked.items()
    }
    return {name: clean for name, clean in again.items() if clean is not None}


def _cost(manifest: Manifest, screening: Screening, prediction: Prediction | None) -> PlannedCost:
    """N·C1 + k·C2 + Ct from the FLOPs of the proxies that were kept, scoring included.

    Training that others paid for counts as well: it is what the method costs.
    """
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
    budgets = text_budgets(experiment.manifest, experiment.plan, experiment.recipes)
    for name, epochs in repeats(experiment.manifest, streams, budgets).items():
        notes.append(f"{name}: its scarcest text is read {epochs:.1f} times")
    notes += screening.scores.notes
    if prediction is not None:
        notes += [*prediction.scores.notes, *prediction.notes]
    return tuple(dict.fromkeys(notes))
