"""From a benchmark and its traces to the tokens and token weights that a model is scored on.

Everything here depends on the tokenizer and not on the model, so it is computed once for all
checkpoints and candidates: they are scored on the same items, the same tokens and the same
weights. No text is truncated: an input that is too long loses whole worked examples, and an item
that cannot be scored is left out with its reason.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dataselect.benchmarks.items import BenchmarkItems, Exclusion, Item
from dataselect.benchmarks.marks import Spans
from dataselect.scoring.rbridge import FloatArray, minmax, token_weights
from dataselect.scoring.token_spans import Aligned, Aligner, RewrittenTextError
from dataselect.traces.trace import NO_TRACE, Trace, TraceSet

_FLAT_RANGE = 1e-3

Normalise = Literal["trace", "benchmark", "none", "span"]
"""What token weights are. Frontier probabilities under MinMax over each trace (Algorithm 1), over
all traces of the benchmark, or as they are; `span`: the marked share of each token's letters."""


@dataclass(frozen=True)
class PreparedItem:
    """One item in tokens."""

    item_id: str
    context_ids: tuple[int, ...]
    """Context of the trace: worked examples and the question."""
    trace_ids: tuple[int, ...]
    token_weights: npt.NDArray[np.float64]
    """Normalised, shape (trace tokens,); NaN for tokens that are left out of the metric."""
    label_context_ids: tuple[int, ...]
    """Context of the label; it may differ, because a token may merge over one join only."""
    label_ids: tuple[int, ...]
    shots: int
    """Worked examples in the context."""
    dropped: int
    """Worked examples that did not fit."""
    joint: bool
    """False when the trace was tokenised separately from its context."""
    weight_range: float
    """max − min of the token weights before normalisation."""


@dataclass(frozen=True)
class Prepared:
    """A benchmark in tokens."""

    items: tuple[PreparedItem, ...]
    exclusions: tuple[Exclusion, ...]
    """Items that cannot be scored, with the reason."""
    notes: tuple[str, ...]
    """Remarks for readers of the scores."""


NOTHING_MARKED = "no part of its trace is marked"
"""Why an item has no score where marks are the weights."""


class TooLongError(ValueError):
    """An input does not fit the model even without worked examples."""


def prepare(
    benchmark: BenchmarkItems,
    traces: TraceSet,
    tokenizer: Any,
    max_length: int,
    normalise: Normalise = "trace",
) -> Prepared:
    """Tokens and token weights of every item that has a trace and fits `max_length` tokens.

    Algorithm 1 has `normalise` "trace"; the others are for ablation.
    """
    aligner = Aligner(tokenizer)
    items: list[PreparedItem] = []
    exclusions: list[Exclusion] = []
    for item in benchmark.items:
        trace = traces.traces.get(item.id)
        problem = NO_TRACE if trace is None else _no_weights(trace, normalise)
        if trace is None or problem is not None:
            exclusions.append(Exclusion(item.id, problem or NO_TRACE))
            continue
        letters = trace.letter_probs
        if normalise == "span":
            letters = span_letters(trace.text, trace.spans or ())
        try:
            prepared = _prepare_item(benchmark, item, trace, letters, aligner, max_length)
        except (RewrittenTextError, TooLongError) as error:
            exclusions.append(Exclusion(item.id, str(error)))
            continue
        if np.isnan(prepared.token_weights).all():
            exclusions.append(Exclusion(item.id, "no letter of its trace has a probability"))
            continue
        items.append(prepared)
    notes = _notes(items, normalise)
    return Prepared(tuple(_normalised(items, normalise)), tuple(exclusions), notes)


def fit(
    contexts: Callable[[int], str],
    shots: int,
    continuations: Sequence[str],
    tokenizer: Any,
    max_length: int,
) -> tuple[list[Aligned], int]:
    """Align continuations after one context with as many worked examples as fit all of them.

    Returns them and the number of examples. `contexts(n)` is the context with n of the `shots`
    examples; a continuation includes the space in front of it. `tokenizer` is a tokenizer, or an
    Aligner to share its cache. Raises TooLongError when one does not fit even without examples,
    RewrittenTextError as `align` does.
    """
    aligner = tokenizer if isinstance(tokenizer, Aligner) else Aligner(tokenizer)
    for count in range(shots, -1, -1):
        context = contexts(count)
        aligner.learn(context, continuations)
        aligned = [aligner.align(context, text) for text in continuations]
        longest = max(len(one.context_ids) + len(one.ids) for one in aligned)
        if longest <= max_length:
            return aligned, count
    raise TooLongError(f"it needs {longest} tokens without examples, the model takes {max_length}")


@dataclass(frozen=True)
class FittedTrace:
    """A trace and the label of its item, in tokens after the same worked examples."""

    text: str
    """The trace without outer whitespace."""
    start: int
    """Where `text` begins in the trace."""
    reasoning: Aligned
    """The trace's tokens, after a space."""
    label: Aligned
    """The label's tokens."""
    shots: int
    """Worked examples in the context."""
    dropped: int
    """Worked examples that did not fit."""

    def token_means(self, of_letters: FloatArray) -> FloatArray:
        """The mean over each token's letters of a value per letter of the whole trace.

        NaN for a token of the space alone that the prompt sets before the trace: that letter comes
        from the prompt's form, and has no value.
        """
        own = of_letters[self.start : self.start + len(self.text)]
        return token_weights(np.concatenate([[np.nan], own]), self.reasoning.spans)


def fit_trace(
    benchmark: BenchmarkItems, item: Item, trace: Trace, aligner: Aligner, max_length: int
) -> FittedTrace:
    """The item's trace and label in tokens. Raises as `fit` does."""
    text = trace.text.strip()
    all_shots = len(benchmark.examples(item))
    (reasoning, label), shots = fit(
        partial(benchmark.context, item),
        all_shots,
        [benchmark.trace_text(text), benchmark.label_text(item)],
        aligner,
        max_length,
    )
    return FittedTrace(text, trace.text.index(text), reasoning, label, shots, all_shots - shots)


def span_letters(text: str, spans: Spans) -> FloatArray:
    """1 for each marked letter of a text and 0 for the others, shape (len(text),)."""
    letters = np.zeros(len(text))
    for start, end in spans:
        letters[start:end] = 1
    return letters


def _no_weights(trace: Trace, normalise: Normalise) -> str | None:
    """Why a trace gives its tokens no weights; None if it does."""
    if normalise == "span":
        texts = (trace.text[start:end] for start, end in trace.spans or ())
        return None if any(text.strip() for text in texts) else NOTHING_MARKED
    if all(p is None for _, p in trace.runs):
        marked = "" if trace.marked is None else ", and its marks count with weights: span alone"
        return f"no letter of its trace has a probability{marked}"
    return None


def _prepare_item(
    benchmark: BenchmarkItems,
    item: Item,
    trace: Trace,
    letters: FloatArray,
    aligner: Aligner,
    max_length: int,
) -> PreparedItem:
    fitted = fit_trace(benchmark, item, trace, aligner, max_length)
    reasoning, label = fitted.reasoning, fitted.label
    weights = fitted.token_means(letters)
    known = weights[~np.isnan(weights)]
    context = tuple(reasoning.context_ids)
    same = label.context_ids == reasoning.context_ids
    return PreparedItem(
        item.id,
        context,
        tuple(reasoning.ids),
        weights,
        context if same else tuple(label.context_ids),
        tuple(label.ids),
        fitted.shots,
        fitted.dropped,
        reasoning.joint,
        float(known.max() - known.min()) if len(known) else 0.0,
    )


def _normalised(items: list[PreparedItem], normalise: Normalise) -> list[PreparedItem]:
    if normalise in ("none", "span") or not items:
        return items
    if normalise == "trace":
        return [replace(item, token_weights=minmax(item.token_weights)) for item in items]
    ends = np.cumsum([len(item.token_weights) for item in items])[:-1]
    scaled = np.split(minmax(np.concatenate([item.token_weights for item in items])), ends)
    return [replace(item, token_weights=w) for item, w in zip(items, scaled, strict=True)]


def _notes(items: list[PreparedItem], normalise: Normalise) -> tuple[str, ...]:
    shortened = sum(item.dropped > 0 for item in items)
    apart = sum(not item.joint for item in items)
    flat = sum(item.weight_range == 0 for item in items)
    narrow = sum(0 < item.weight_range < _FLAT_RANGE for item in items)
    notes = []
    if shortened:
        notes.append(f"items scored with fewer worked examples, to fit the model: {shortened}")
    if apart:
        notes.append(f"traces tokenised apart from their prompt (a token spans both): {apart}")
    if flat and normalise == "trace":
        notes.append(f"traces with equal weights, where each token counts fully: {flat}")
    if narrow and normalise == "trace":
        notes.append(f"traces with weights within {_FLAT_RANGE}, stretched to 0..1: {narrow}")
    return tuple(notes)
