"""The paper's likelihood baselines of one checkpoint: MPCA, ScalingBench, and cloze choices.

rBridge is compared with them on the same items and with the same rules: an input that is too long
loses whole worked examples, no text is truncated, and an item that cannot be scored is left out
with its reason. The NLL of the label and of the plain trace (R^phi) come with rBridge itself
(`scorer`).

- MPCA (Schaeffer et al. 2023, arXiv 2304.15004): the probability of the right answer straight
  after the worked examples and the question.
- ScalingBench (Xiao et al. 2024, arXiv 2412.04315): mean NLL of the frontier model's reasoning
  and answer, with the answer in the phrase of Minerva's prompt (arXiv 2206.14858), which the
  rBridge paper (section 3.1) blames for being unlike pretraining text. With traces of several
  frontier models it is the mean over them, as rBridge is.
- Choices in cloze form (OLMES): the prompt lists no choices and each one is scored as the answer;
  see `choices`.

Tokens depend on the tokenizer alone, so they are prepared once for many checkpoints. The prefix
that the choices of an item share is computed once (`sharing`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from dataselect.benchmarks.items import BenchmarkItems, Exclusion, Item
from dataselect.cost import scoring_flops
from dataselect.scoring.choices import choice_metrics
from dataselect.scoring.likelihood.scorer import token_nll
from dataselect.scoring.model_facts import parameter_count
from dataselect.scoring.non_finite import NOT_FINITE
from dataselect.scoring.prepare import TooLongError, fit
from dataselect.scoring.token_spans import Aligned, Aligner, RewrittenTextError
from dataselect.traces.trace import Trace, TraceSet

_FINAL_ANSWER = "\nFinal Answer: The final answer is ${answer}$. I hope it is correct."

Pair = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class BaselineItem:
    """One item as indices into `PreparedBaselines.pairs`, the pairs that a model scores."""

    item_id: str
    answer: int
    """The right answer after the worked examples and the question."""
    traces: tuple[int, ...]
    """Reasoning with its answer, one for each frontier model; empty where one gave no answer."""
    choices: tuple[int, ...]
    """Each choice after the question; empty for items without choices."""
    alone: tuple[int, ...]
    """Each choice without the question; empty for items without choices."""
    characters: tuple[int, ...]
    """Length of each choice in letters, with the space in front."""
    gold: int | None
    """Index of the right choice; None for items without choices."""
    dropped: int
    """Worked examples that did not fit; the largest number over the item's texts."""


@dataclass(frozen=True)
class PreparedBaselines:
    """The items of a benchmark in tokens."""

    items: tuple[BaselineItem, ...]
    pairs: tuple[Pair, ...]
    """Distinct (context ids, continuation ids) pairs, which the items refer to by index."""
    exclusions: tuple[Exclusion, ...]
    """Items that cannot be scored, with the reason."""
    notes: tuple[str, ...]
    """Remarks for readers of the scores."""


@dataclass(frozen=True)
class Baselines:
    """A checkpoint's baselines on one benchmark and their cost."""

    table: pd.DataFrame
    """One row per item: item; mpca, a probability; answer_nll and scb_nll, mean nats per token
    (scb_nll is NaN where the trace has no final answer); and the columns of `choice_metrics` where
    items have choices."""
    exclusions: tuple[Exclusion, ...]
    """Items that cannot be scored, with the reason; those with a non-finite loss among them."""
    notes: tuple[str, ...]
    """Remarks for readers of the scores."""
    tokens: int
    """Tokens processed."""
    flops: float
    """2 x parameters x tokens."""


def score_baselines(
    model: Any,
    tokenizer: Any,
    benchmark: BenchmarkItems,
    traces: Sequence[TraceSet],
    max_length: int,
    device: str = "cpu",
    tokens_per_batch: int | None = None,
) -> Baselines:
    """Prepare and score in one step; without traces `scb_nll` is NaN.

    `traces`: one set for each frontier model; `max_length`: the model's limit in tokens.
    """
    prepared = prepare_baselines(benchmark, traces, tokenizer, max_length)
    return score_prepared(model, prepared, device, tokens_per_batch)


def prepare_baselines(
    benchmark: BenchmarkItems, traces: Sequence[TraceSet], tokenizer: Any, max_length: int
) -> PreparedBaselines:
    """Tokens of every item whose texts all fit `max_length` tokens; each distinct text once.

    `traces`: one set for each frontier model.
    """
    aligner = Aligner(tokenizer)
    pairs = _Pairs()
    items: list[BaselineItem] = []
    exclusions: list[Exclusion] = []
    for item in benchmark.items:
        item_traces = [trace_set.traces.get(item.id) for trace_set in traces]
        try:
            items.append(_prepare_item(benchmark, item, item_traces, aligner, max_length, pairs))
        except (RewrittenTextError, TooLongError) as error:
            exclusions.append(Exclusion(item.id, str(error)))
    shortened = sum(item.dropped > 0 for item in items)
    notes = []
    if shortened:
        notes.append(
            f"items whose baselines have fewer worked examples, to fit the model: {shortened}"
        )
    return PreparedBaselines(tuple(items), tuple(pairs.ordered), tuple(exclusions), tuple(notes))


def score_prepared(
    model: Any,
    prepared: PreparedBaselines,
    device: str = "cpu",
    tokens_per_batch: int | None = None,
) -> Baselines:
    """Score every prepared item; see `Baselines`."""
    likelihoods = token_nll(model, prepared.pairs, device, tokens_per_batch)
    totals = np.array([-nll.sum() for nll in likelihoods.nll])
    lengths = np.array([len(nll) for nll in likelihoods.nll])
    broken = {n for n, nll in enumerate(likelihoods.nll) if not np.isfinite(nll).all()}
    rows: list[dict[str, object]] = []
    exclusions = list(prepared.exclusions)
    for item in prepared.items:
        if not broken.isdisjoint((item.answer, *item.traces, *item.choices, *item.alone)):
            exclusions.append(Exclusion(item.item_id, NOT_FINITE))
            continue
        trace_nlls = [likelihoods.nll[trace].mean() for trace in item.traces]
        row: dict[str, object] = {
            "item": item.item_id,
            "mpca": float(np.exp(totals[item.answer])),
            "answer_nll": float(likelihoods.nll[item.answer].mean()),
            "scb_nll": float(np.mean(trace_nlls)) if trace_nlls else np.nan,
        }
        if item.gold is not None:
            choices, alone = list(item.choices), list(item.alone)
            row |= choice_metrics(
                totals[choices], totals[alone], lengths[choices], item.characters, item.gold
            )
        rows.append(row)
    columns = list(max(rows, key=len, default=["item", "mpca", "answer_nll", "scb_nll"]))
    return Baselines(
        pd.DataFrame(rows, columns=columns),
        tuple(exclusions),
        prepared.notes,
        likelihoods.tokens,
        scoring_flops(parameter_count(model), likelihoods.tokens),
    )


class _Pairs:
    """Numbers the distinct pairs; equal contexts share one tuple."""

    def __init__(self) -> None:
        self.ordered: list[Pair] = []
        self._numbers: dict[Pair, int] = {}
        self._contexts: dict[tuple[int, ...], tuple[int, ...]] = {}

    def add(self, aligned: Aligned) -> int:
        context = tuple(aligned.context_ids)
        pair = (self._contexts.setdefault(context, context), tuple(aligned.ids))
        if pair not in self._numbers:
            self._numbers[pair] = len(self.ordered)
            self.ordered.append(pair)
        return self._numbers[pair]


def _prepare_item(
    benchmark: BenchmarkItems,
    item: Item,
    traces: Sequence[Trace | None],
    aligner: Aligner,
    max_length: int,
    pairs: _Pairs,
) -> BaselineItem:
    all_shots = len(benchmark.examples(item))
    context = partial(benchmark.context, item)
    (answer,), shots = fit(context, all_shots, [benchmark.answer_text(item)], aligner, max_length)
    fewest = shots
    trace_pairs: list[int] = []
    for text in _scaling_bench_texts(benchmark, traces):
        (aligned,), shots = fit(context, all_shots, [text], aligner, max_length)
        trace_pairs.append(pairs.add(aligned))
        fewest = min(fewest, shots)
    texts = [f" {choice.strip()}" for choice in item.choices or ()]
    choices: Sequence[Aligned] = ()
    alone: Sequence[Aligned] = ()
    if texts:
        # Fitted together: choices after different examples could not be compared.
        cloze = partial(benchmark.cloze_context, item)
        choices, shots = fit(cloze, all_shots, texts, aligner, max_length)
        fewest = min(fewest, shots)
        bare = benchmark.unconditional_context()
        alone, _ = fit(lambda _: bare, 0, texts, aligner, max_length)
    return BaselineItem(
        item.id,
        pairs.add(answer),
        tuple(trace_pairs),
        tuple(pairs.add(choice) for choice in choices),
        tuple(pairs.add(choice) for choice in alone),
        tuple(len(text) for text in texts),
        item.answer_index if texts else None,
        all_shots - fewest,
    )


def _scaling_bench_texts(benchmark: BenchmarkItems, traces: Sequence[Trace | None]) -> list[str]:
    """Reasoning and answer of each frontier model; empty where one of them has no answer."""
    texts = []
    for trace in traces:
        if trace is None or trace.answer is None:
            return []
        # An answer that already has dollar signs must not get them twice.
        phrase = _FINAL_ANSWER.replace("{answer}", trace.answer.strip().strip("$"))
        texts.append(benchmark.trace_text(trace.text.strip()) + phrase)
    return texts
