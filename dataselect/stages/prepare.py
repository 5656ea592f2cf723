"""Everything before the first training: traces, tokenizer, recipes and token streams.

`gather_inputs` loads benchmarks and traces. `prepare` adds what the stages need: existing
checkpoints that the manifest names and, where a proxy is trained on text, the tokenizer, the
recipes, a token stream for each source, and the benchmark items that leaked into the text.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from dataselect.benchmarks.items import BenchmarkItems
from dataselect.config.manifest import Manifest
from dataselect.config.plan import Plan
from dataselect.config.stage import Cut, Screen
from dataselect.corpus.prepare import (
    corpus_notes,
    prepare_streams,
    read_corpus,
    tokens_needed,
)
from dataselect.corpus.saved_tokenizer import keeps_letters
from dataselect.corpus.tokenizer import load_tokenizer
from dataselect.decisions.target_agreement import read_target_table
from dataselect.errors import InputError
from dataselect.formats.agreement_file import AgreementFile, read_agreement_file
from dataselect.leaks import alarm
from dataselect.proxies.layout import check_layout, make_layout
from dataselect.proxies.recipe import Recipe, make_recipe
from dataselect.scoring.evaluation import Evaluation
from dataselect.scoring.gather import gather
from dataselect.scoring.token_spans import Aligner, RewrittenTextError
from dataselect.stages.experiment import Experiment
from dataselect.stages.preparation_jobs import preparation_jobs
from dataselect.stages.proxy_origins import (
    StageName,
    check_one_tokenizer,
    check_origins,
    counted,
    needs_tokenizer,
    resolve_given,
    stages,
    text_budgets,
)
from dataselect.stages.runtime import Runtime
from dataselect.stages.screen import RANKED_BY
from dataselect.transfer.file import read_transfer_file


def check(manifest: Manifest, plan: Plan) -> None:
    """Raise InputError where the manifest lacks what the stages of the plan need."""
    _check_cuts(plan, len(manifest.candidates))
    check_origins(manifest, plan)
    if plan.screen0 is not None and len(counted(manifest, plan)) < 2:
        raise InputError(
            plan.where("screen0"),
            "fewer than two candidates have a Stage 1 proxy that is trained on text read here, so "
            "there is nothing to count",
            "remove it",
        )
    if plan.predict is not None and plan.predict.transfer is not None:
        # Used in the last stage, which is too late for a file that cannot be read.
        read_transfer_file(plan.base / plan.predict.transfer)
    read_own_agreements(plan)  # likewise


def _check_cuts(plan: Plan, candidates: int) -> None:
    """Raise InputError where a stage keeps more candidates than it can have."""
    most = candidates
    for number, stage in enumerate((plan.screen0, *plan.stages)):
        if isinstance(stage, Cut):
            if stage.keep > most:
                raise InputError(
                    plan.where(*plan.place(number), "keep"),
                    f"{stage.keep} candidates cannot be kept of {most}",
                    f"write {most} or fewer",
                )
            most = stage.most(most)


def read_truth(manifest: Manifest) -> dict[str, dict[str, float]] | None:
    """Known target accuracies in 0..1 by candidate and benchmark; None where the manifest names
    none."""
    if manifest.evidence is None:
        return None
    return read_target_table(manifest.base / manifest.evidence.target_accuracy)


def read_own_agreements(plan: Plan) -> dict[StageName, AgreementFile]:
    """The files that the stages' `discrepancy` names, by stage. Raises InputError."""
    return {
        stage: read_agreement_file(plan.base / chosen.agreement_file, RANKED_BY)
        for stage, chosen in stages(plan).items()
        if isinstance(chosen, Screen) and chosen.agreement_file is not None
    }


def prepare(manifest: Manifest, plan: Plan, runtime: Runtime) -> Experiment:
    """Prepare everything that the stages work with. Raises InputError before any training."""
    check(manifest, plan)
    given = resolve_given(manifest, plan, runtime.store)
    own = read_own_agreements(plan)
    experiment = replace(gather_inputs(manifest, plan, runtime), given=given, agreements=own)
    if not needs_tokenizer(manifest, plan):
        return experiment
    experiment = with_streams(experiment)
    if experiment.tokenizer is not None:
        check_one_tokenizer(manifest, plan, given, experiment.tokenizer.folder)
    return experiment


def gather_inputs(manifest: Manifest, plan: Plan, runtime: Runtime) -> Experiment:
    """An experiment with the plan's benchmarks and traces only; nothing that training needs."""
    runtime.watch.step("Benchmarks and reasoning traces")
    jobs = preparation_jobs(plan, runtime)
    evaluations = gather(
        plan,
        runtime.store,
        runtime.here,
        runtime.watch.note,
        weigh=None if jobs is None else jobs.weigh,
    )
    return Experiment(manifest, plan, runtime, evaluations)


def with_streams(experiment: Experiment) -> Experiment:
    """The experiment with tokenizer, recipes, token streams and the leaks in their text."""
    manifest, plan, runtime = experiment.manifest, experiment.plan, experiment.runtime
    store, watch, jobs = runtime.store, runtime.watch, preparation_jobs(plan, runtime)
    watch.step("Corpus")
    corpus = read_corpus(
        manifest, plan, store, watch.progress, train=None if jobs is None else jobs.train
    )
    check_letters(plan, experiment.evaluations.values(), corpus.tokenizer.folder)
    recipes = make_recipes(plan, corpus.tokenizer.vocab_size, runtime.device)
    budgets = text_budgets(manifest, plan, recipes)
    search = alarm.planned_search(plan, experiment.evaluations)
    corpus = prepare_streams(
        manifest,
        plan,
        corpus,
        tokens_needed(manifest, budgets),
        store,
        watch.progress,
        observers=alarm.observers(search, store, corpus.fingerprints, plan.seed),
        tokenise=None if jobs is None else jobs.tokenising(search),
    )
    for line in corpus_notes(corpus):
        watch.note(line)
    leaks = None
    if search is not None:
        leaks = alarm.scan_candidates(
            search,
            manifest,
            plan.seed,
            corpus,
            budgets,
            store,
            watch.progress,
            None if jobs is None else jobs.scanning(search),
        )
        leaks = replace(leaks, notes=tuple(alarm.not_searched_for(plan)))
        for line in (*leaks.notes, *alarm.warnings(leaks)):
            watch.note(line)
    return replace(experiment, corpus=corpus, recipes=recipes, leaks=leaks)


def check_letters(plan: Plan, evaluations: Iterable[Evaluation], folder: Path) -> None:
    """Raise InputError where the tokenizer in `folder` rewrites every trace of a benchmark.

    No letter of them could be found in its tokens, so that no proxy would have a score.
    """
    if keeps_letters(folder):
        # So that a run whose proxies are all in the store loads no tokenizer.
        return
    aligner = Aligner(load_tokenizer(folder))
    for evaluation in evaluations:
        texts = [trace.text for each in evaluation.traces for trace in each.traces.values()]
        if texts and not any(_keeps(aligner, text) for text in texts):
            raise InputError(
                plan.where("tokenizer"),
                f"it rewrites every trace of benchmark {evaluation.benchmark.id}, as one of"
                " lower-case letters does, so its letters cannot be found",
                "name a tokenizer that keeps a text's letters and spaces, or train one",
            )


def _keeps(aligner: Aligner, text: str) -> bool:
    try:
        aligner.align("", BenchmarkItems.trace_text(text.strip()))
    except RewrittenTextError:
        return False
    return True


def make_recipes(plan: Plan, vocab_size: int, device: str) -> dict[StageName, Recipe]:
    """The recipe of each stage of the plan that has a `proxy:`. Raises InputError."""
    recipes: dict[StageName, Recipe] = {}
    for stage, chosen in stages(plan).items():
        if chosen.proxy is None:
            continue
        where = plan.where(*plan.place(stage.number), "proxy")
        recipes[stage] = recipe = make_recipe(chosen.proxy, vocab_size, device, where)
        check_layout(recipe, make_layout(chosen, plan.compute), where)
        if recipe.steps < chosen.average:
            raise InputError(
                plan.where(*plan.place(stage.number), "average"),
                f"{chosen.average} checkpoints cannot be averaged of {recipe.steps} steps",
                "lower it, or train longer",
            )
    return recipes
