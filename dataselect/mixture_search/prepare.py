"""What happens before the first trial: checks, a recipe, bounds, and streams of the sources.

With `target_epochs` a source that the target would read more than once is cut, by the ratio of the
proxy's tokens to the target's, so that equal shares are equal epochs (arXiv 2606.07597). A source
that is long enough for any share is not cut.
"""

import math
from collections.abc import Sequence

import numpy as np

from dataselect.config.manifest import Manifest
from dataselect.config.mixture import Mix
from dataselect.config.plan import Plan
from dataselect.config.proxy import Proxy
from dataselect.corpus.prepare import prepare_streams, read_corpus, tokens_drawn
from dataselect.cost import training_flops
from dataselect.errors import InputError
from dataselect.mixture.constraints import Limits, no_limits, read_limits
from dataselect.mixture_search.target_objective import check_transfer
from dataselect.mixture_search.trial_runner import TrialRunner
from dataselect.proxies.recipe import Recipe, make_recipe
from dataselect.stages.experiment import Experiment
from dataselect.stages.preparation_jobs import preparation_jobs
from dataselect.stages.prepare import check_letters
from dataselect.stages.work import ExpectedPart
from dataselect.wording import nearest, quoted

_ANY = 1e9
"""Epochs that streams are prepared for: no limit here, since the bounds on shares limit them."""


def chosen_mix(plan: Plan) -> Mix:
    """The plan's search, with benchmarks taken from Stage 1 where it names none."""
    mix = plan.mix or Mix()
    if mix.benchmarks is None:
        named = [each.id for each in plan.benchmarks_of(plan.screen)]
        mix = mix.model_copy(update={"benchmarks": named})
    return mix


def check(manifest: Manifest, plan: Plan) -> None:
    """Check what a search needs of manifest and plan together. Raises InputError."""
    mix = chosen_mix(plan)
    texts = manifest.text_sources()
    for i, name in enumerate(mix.sources or ()):
        if name not in texts:
            raise InputError(
                plan.where("mix", "sources", i),
                f"there is no source or candidate with text of its own named {quoted(name)}",
                nearest(name, texts) or f"name some of: {', '.join(texts)}",
            )
    sources = mix.sources or list(texts)
    if len(sources) < 2:
        raise InputError(
            manifest.where(),
            f"there is nothing to mix: {len(sources)} source with text of its own",
            "add 'sources:'",
        )
    needed = len(sources) + 2
    if mix.designed < needed:
        raise InputError(
            plan.where("mix", "trials"),
            f"{mix.designed} designed trials are too few for {len(sources)} sources",
            f"raise 'trials' or 'design' until there are {needed} or more (better "
            f"{3 * len(sources)}), or name fewer 'sources'",
        )
    for name in mix.objective or {}:
        if name not in (mix.benchmarks or ()):
            listed = mix.benchmarks or []
            raise InputError(
                plan.where("mix", "objective", name),
                f"{quoted(name)} is none of the search's benchmarks",
                nearest(name, listed) or f"name some of: {', '.join(listed)}",
            )
    if plan.tokenizer is None:
        raise InputError(
            plan.where(), "no tokenizer is named, and mixtures are trained", "add 'tokenizer:'"
        )
    search_proxy(plan, mix)
    check_transfer(plan, mix, mix.benchmarks or [])
    limits = _read_bounds(manifest, plan, mix, sources)
    if mix.target_epochs:
        _check_target_epochs(plan, mix, sources, limits)


def _read_bounds(manifest: Manifest, plan: Plan, mix: Mix, sources: Sequence[str]) -> Limits:
    """Limits of the next pretraining run, from the plan's file of constraints."""
    if mix.constraints is None:
        return no_limits(sources)
    benchmarks = [each.id for each in plan.benchmarks if each.id in (mix.benchmarks or ())]
    path, target = plan.base / mix.constraints, manifest.target.total_tokens
    return read_limits(path, sources, benchmarks, {}, target)


def _check_target_epochs(plan: Plan, mix: Mix, sources: Sequence[str], limits: Limits) -> None:
    if mix.constraints is None:
        raise InputError(
            plan.where("mix", "target_epochs"),
            "it needs the tokens of every source and of the target",
            "add 'constraints:', a file that has them",
        )
    path = plan.base / mix.constraints
    if limits.target_tokens is None:
        raise InputError(path, "'target_epochs' needs 'target_tokens'", "add it")
    for name, tokens in zip(sources, limits.tokens.tolist(), strict=True):
        if math.isnan(tokens):
            raise InputError(path, f"'target_epochs' needs tokens of {quoted(name)}", "add them")


def cut_to_target(
    plan: Plan, mix: Mix, sources: Sequence[str], limits: Limits, recipe: Recipe
) -> dict[str, int]:
    """Tokens to keep of each source that is cut so that proxies read it as often as the target.

    InputError where that is less than a sequence.
    """
    target, enabled = limits.target_tokens, mix.target_epochs
    if target is None:
        return {}  # `check` has refused a plan that asks for the target's epochs without them
    if enabled is None:
        enabled = bool(np.isfinite(limits.tokens).all())
    if not enabled:
        return {}
    share = recipe.tokens / target
    parts = {n: round(t * share) for n, t in zip(sources, limits.tokens.tolist(), strict=True)}
    for name, tokens in parts.items():
        if tokens <= recipe.sequence_length:
            raise InputError(
                plan.where("mix", "target_epochs"),
                f"{quoted(name)} would be cut to {tokens} tokens, less than a sequence",
                "raise the proxy's tokens, leave the source out, or set 'target_epochs: false'",
            )
    return {name: tokens for name, tokens in parts.items() if tokens < recipe.tokens}


def expected_search(experiment: Experiment, vocab_size: int) -> ExpectedPart:
    """The training of a search that has not begun: its trials and their confirmation."""
    mix = chosen_mix(experiment.plan)
    proxy, where = search_proxy(experiment.plan, mix)
    recipe = make_recipe(proxy, vocab_size, experiment.runtime.device, where)
    flops = training_flops(recipe.parameters, recipe.tokens)
    return ExpectedPart("Mixture", mix.trials + 2 * mix.confirm, flops)


def prepare(experiment: Experiment) -> TrialRunner:
    """The runner of a search's trials: a recipe, bounds, and streams of all sources.

    Stage 1's tokenizer and streams are reused. Raises InputError.
    """
    manifest, plan = experiment.manifest, experiment.plan
    store, watch = experiment.store, experiment.watch
    check(manifest, plan)
    mix = chosen_mix(plan)
    sources = tuple(mix.sources or manifest.text_sources())
    benchmarks = tuple(each.id for each in plan.benchmarks if each.id in (mix.benchmarks or ()))
    watch.step("Mixture: corpus")
    jobs = preparation_jobs(plan, experiment.runtime)
    corpus = experiment.corpus or read_corpus(
        manifest, plan, store, watch.progress, train=None if jobs is None else jobs.train
    )
    check_letters(plan, experiment.evaluations.values(), corpus.tokenizer.folder)
    recipe = trial_recipe(plan, mix, corpus.tokenizer.vocab_size, experiment.runtime.device)
    needed = dict.fromkeys(sources, tokens_drawn(recipe.tokens, recipe.sequence_length, 1.0))
    limits = _read_bounds(manifest, plan, mix, sources)
    cut = cut_to_target(plan, mix, sources, limits, recipe)
    texts = manifest.text_sources()
    # A source with too little text bounds its share instead of ending the search.
    lenient = manifest.model_copy(
        update={
            "sources": [texts[name].model_copy(update={"max_repeats": _ANY}) for name in sources],
            "candidates": [],
        }
    )
    corpus = prepare_streams(
        lenient,
        plan,
        corpus,
        needed | cut,
        store,
        watch.progress,
        cut=cut,
        tokenise=None if jobs is None else jobs.tokenising(None),
    )
    most = []
    for name in sources:
        stream = corpus.streams[name]
        allowed = texts[name].max_repeats or plan.max_repeats
        enough = not stream.index["exhausted"]
        most.append(1.0 if enough else min(1.0, stream.tokens * allowed / recipe.tokens))
    rates = tuple(recipe.tokens / corpus.streams[name].tokens for name in sources)
    return TrialRunner(
        experiment,
        corpus,
        mix,
        sources,
        benchmarks,
        recipe,
        limits,
        tuple(most),
        rates,
        tuple(cut),
    )


def check_trials(manifest: Manifest, plan: Plan, vocab_size: int, device: str) -> None:
    """What a search needs of its proxies and the tokens of its sources, before any training.

    Raises InputError.
    """
    mix = chosen_mix(plan)
    sources = mix.sources or list(manifest.text_sources())
    recipe = trial_recipe(plan, mix, vocab_size, device)
    cut_to_target(plan, mix, sources, _read_bounds(manifest, plan, mix, sources), recipe)


def trial_recipe(plan: Plan, mix: Mix, vocab_size: int, device: str) -> Recipe:
    """The training run of each trial. Raises InputError."""
    proxy, where = search_proxy(plan, mix)
    recipe = make_recipe(proxy, vocab_size, device, where)
    kept = len(recipe.checkpoint_steps())
    if kept < mix.average:
        raise InputError(
            plan.where("mix", "average"),
            f"{mix.average} checkpoints cannot be averaged of {kept} that the proxy keeps",
            "lower it, or raise the proxy's 'checkpoints'",
        )
    return recipe


def search_proxy(plan: Plan, mix: Mix) -> tuple[Proxy, str]:
    """The proxy of a search, and where it is named. InputError if none is."""
    if mix.proxy is not None:
        return mix.proxy, plan.where("mix", "proxy")
    if plan.screen.proxy is None:
        raise InputError(
            plan.where(*plan.place(1)),
            "no proxy is named that could be trained on mixtures",
            "add 'mix: {proxy: ...}'",
        )
    return plan.screen.proxy, plan.where(*plan.place(1), "proxy")
