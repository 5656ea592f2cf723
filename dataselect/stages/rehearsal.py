"""What a run does before its first training, as far as it is cheap: so `validate` refuses the same.

The same functions prepare the same things, in a store that is thrown away. Left out is what costs
time or the network: texts of more than a few megabytes and those on the Hub, of which only the
first rows are read, released traces, of which `validate` asks only whether they are there, and the
weighing of rationales.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from dataselect.config.benchmark import Benchmark
from dataselect.config.manifest import Manifest, Source
from dataselect.config.places import beside
from dataselect.config.plan import Plan
from dataselect.corpus.files import local_files, origin
from dataselect.corpus.prepare import Corpus, prepare_streams, read_corpus, tokens_needed
from dataselect.errors import InputError
from dataselect.scoring.checkpoint import is_hub_id, resolve_model
from dataselect.scoring.evaluation import Evaluation
from dataselect.scoring.gather import (
    came_with,
    local_or_hub,
    make_evaluation,
    planned_benchmark,
    planned_training,
    recorded,
)
from dataselect.stages.prepare import check_letters, make_recipes
from dataselect.stages.proxy_origins import (
    Given,
    check_one_tokenizer,
    needs_tokenizer,
    text_budgets,
)
from dataselect.store import Store
from dataselect.traces.own_rationales import own_rationales, without_rationale

READ_BYTES = 16 << 20
"""So much local text is read and tokenised, the shortest sources first: those may be too short."""


def rehearse_benchmark(plan: Plan, chosen: Benchmark, report: Callable[[str], None]) -> Evaluation:
    """A benchmark as a run gathers it; without traces where they come from a model or the Hub.

    Raises InputError.
    """
    benchmark, left_out = planned_benchmark(plan, chosen, report)
    if plan.leaks.enabled and (chosen.folder is not None or not chosen.is_defined):
        planned_training(plan, chosen)
    if chosen.weigh is not None:
        own_rationales(benchmark)
        if bare := without_rationale(benchmark):
            report(bare)
        model = local_or_hub(plan.base, chosen.weigh)
        # Of a model on the Hub only the name is looked at.
        if Path(model).is_dir() or not is_hub_id(model.partition("@")[0]):
            resolve_model(model, "float32")
        return Evaluation(benchmark, (), left_out)
    if chosen.trace_files:
        traces = recorded([beside(plan.base, each) for each in chosen.trace_files], benchmark)
    elif benchmark.has_answers:
        return Evaluation(benchmark, (), left_out)
    else:
        traces = [came_with(benchmark, report)]
    return make_evaluation(
        benchmark,
        left_out,
        traces,
        report,
        only_correct=chosen.only_correct,
        weight_scope=chosen.weights,
    )


def rehearse_training(
    manifest: Manifest,
    plan: Plan,
    given: Given,
    evaluations: Sequence[Evaluation],
    device: str,
    store: Store,
    check_trials: Callable[[Manifest, Plan, int, str], None],
) -> list[str]:
    """Tokenizer, recipes and small texts as a run prepares them; the sources read to their end.

    `check_trials` checks the proxies of a mixture search. Raises InputError.
    """
    if plan.tokenizer is None or not (needs_tokenizer(manifest, plan) or plan.mix is not None):
        return []
    small = _shortest(manifest)
    corpus = _corpus(manifest, plan, bool(small), store)
    if corpus is None:
        assert plan.tokenizer.train is not None, "a tokenizer that is named was loaded"
        vocab_size = plan.tokenizer.train.vocab_size
    else:
        check_letters(plan, evaluations, corpus.tokenizer.folder)
        vocab_size = corpus.tokenizer.vocab_size
    recipes = make_recipes(plan, vocab_size, device)
    check_trials(manifest, plan, vocab_size, device)
    if corpus is None or not needs_tokenizer(manifest, plan):
        return []
    needed = tokens_needed(manifest, text_budgets(manifest, plan, recipes))
    read = {name: needed[name] for name in small if name in needed}
    prepare_streams(manifest, plan, corpus, read, store, lambda *_: None)
    check_one_tokenizer(manifest, plan, given, corpus.tokenizer.folder)
    return list(read)


def _corpus(manifest: Manifest, plan: Plan, some_small: bool, store: Store) -> Corpus | None:
    """The tokenizer as a run makes it; None where training it would read more than small texts."""
    chosen, sources = plan.tokenizer, manifest.text_sources().values()
    assert chosen is not None, "asked for only where the plan has one"
    if chosen.train is not None:
        read = sum(_bytes(text, manifest) or 0 for text in sources)
        far = any(origin(text, manifest.base) in ("hub", "remote") for text in sources)
        if far or not some_small or read > READ_BYTES:
            return None
    return read_corpus(manifest, plan, store, lambda *_: None)


def _shortest(manifest: Manifest) -> list[str]:
    """The local sources that are `READ_BYTES` together, in the manifest's order."""
    sizes = {name: _bytes(text, manifest) for name, text in manifest.text_sources().items()}
    known = {name: size for name, size in sizes.items() if size is not None}
    chosen, total = set(), 0
    for name in sorted(known, key=lambda each: known[each]):
        total += known[name]
        if total > READ_BYTES:
            break
        chosen.add(name)
    return [name for name in sizes if name in chosen]


def _bytes(source: Source, manifest: Manifest) -> int | None:
    """The size of a source's local files; None for other sources."""
    if origin(source, manifest.base) != "local":
        return None
    try:
        return sum(file.bytes for file in local_files(source, manifest.base))
    except OSError as error:
        raise InputError(
            source.id, f"its files cannot be read ({error.strerror})", "check that they are there"
        ) from error
