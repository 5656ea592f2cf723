"""Scores of marked parts of a trace: what a model loses on key steps, numbers, operators, words.

The mean NLL of the tokens that hold marked letters, each token counted by the share of its letters
that is marked: for a token of four letters, three of them marked, three quarters of its NLL and
three quarters of a token. Context and tokens are those of rBridge (`prepare`): worked examples,
the question, a space, the trace. Three kinds of marks are scored at once:

    mask                the trace's own marks, where it has some
    mask_numbers, …     marks by each rule of `benchmarks.marks.propose`, for any trace
    authors_mask_…      what the authors' code gives for the trace's own marks (`authors_mask`)

Marks have an artifact of their own, so that scores of before stay as they are, and so that who asks
for none pays for none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dataselect.benchmarks.items import BenchmarkItems, Exclusion, Item
from dataselect.benchmarks.marks import RULES, propose
from dataselect.cost import scoring_flops
from dataselect.scoring.authors_mask import AuthorsText, authors_text
from dataselect.scoring.non_finite import NOT_FINITE
from dataselect.scoring.prepare import TooLongError, fit_trace, span_letters
from dataselect.scoring.rbridge import FloatArray
from dataselect.scoring.token_spans import Aligner, RewrittenTextError
from dataselect.traces.trace import NO_TRACE, Trace, TraceSet

if TYPE_CHECKING:
    import pandas as pd

OWN = "mask"
"""The column of a trace's own marks."""

_TOO_LONG = "by the authors' rule {count} traces are longer than the model takes, and have no value"


def rule_column(rule: str) -> str:
    """The column of the marks that a rule proposes, such as "mask_numbers"."""
    return f"{OWN}_{rule}"


RULE_COLUMNS = tuple(rule_column(rule) for rule in RULES)
"""The columns of all rules."""

COLUMNS = (
    *(OWN, f"{OWN}_nats", f"{OWN}_bytes"),
    *RULE_COLUMNS,
    *("authors_mask_nats", "authors_mask_bytes", "authors_mask_words"),
)
"""Columns of the table. `mask` and those by rule are in nats per marked token; the others are sums
over an item, of which `scoring.pooled` makes bits per byte and perplexities of a benchmark."""


@dataclass(frozen=True)
class MaskedItem:
    """One item in tokens, with the marked share of each."""

    item_id: str
    context_ids: tuple[int, ...]
    trace_ids: tuple[int, ...]
    shares: Mapping[str, FloatArray]
    """By column, the marked share of each token's letters, shape (trace tokens,); NaN for a token
    of the prompt's space alone. Only columns under which some letter is marked."""
    data: int
    """UTF-8 bytes of the letters that the trace's own marks hold."""
    authors: AuthorsText | None
    """Its text by the authors' rule; None where nobody marked it or it does not fit the model."""


@dataclass(frozen=True)
class PreparedMasks:
    """A benchmark's marked traces in tokens."""

    items: tuple[MaskedItem, ...]
    exclusions: tuple[Exclusion, ...]
    """Items that cannot be scored, with the reason."""
    notes: tuple[str, ...]
    """Remarks for readers of the scores."""


@dataclass(frozen=True)
class MaskScores:
    """A checkpoint's scores of marks on one benchmark."""

    table: "pd.DataFrame"
    """One row per item: `item` and `COLUMNS`, NaN where an item has no such marks. Columns without
    any value are left out."""
    exclusions: tuple[Exclusion, ...]
    """Items with a token whose loss is NaN or infinite."""
    flops: float
    """2 x parameters x tokens."""


def prepare_masks(
    benchmark: BenchmarkItems, traces: TraceSet, tokenizer: Any, max_length: int
) -> PreparedMasks:
    """Tokens and marks of every item that has a trace and fits `max_length` tokens."""
    aligner = Aligner(tokenizer)
    items: list[MaskedItem] = []
    exclusions: list[Exclusion] = []
    too_long = 0
    for item in benchmark.items:
        trace = traces.traces.get(item.id)
        if trace is None:
            exclusions.append(Exclusion(item.id, NO_TRACE))
            continue
        authors = None
        if trace.marked is not None:
            authors = authors_text(benchmark.question_text(item), trace.marked, tokenizer)
            if len(authors.ids) > max_length:
                authors, too_long = None, too_long + 1
        try:
            items.append(_masked_item(benchmark, item, trace, authors, aligner, max_length))
        except (RewrittenTextError, TooLongError) as error:
            exclusions.append(Exclusion(item.id, str(error)))
    notes = (_TOO_LONG.format(count=too_long),) if too_long else ()
    return PreparedMasks(tuple(items), tuple(exclusions), notes)


def score_masks(model: Any, prepared: Sequence[MaskedItem], device: str = "cpu") -> MaskScores:
    """Score every prepared item. An item with a non-finite loss has no row but an exclusion."""
    import pandas as pd

    from dataselect.scoring.likelihood.scorer import token_nll
    from dataselect.scoring.model_facts import parameter_count

    with_authors = [(item, item.authors) for item in prepared if item.authors is not None]
    of_authors = {item.item_id: text for item, text in with_authors if text.counted}
    pairs = [(item.context_ids, item.trace_ids) for item in prepared]
    pairs += [_authors_pair(text) for text in of_authors.values()]
    likelihoods = token_nll(model, pairs, device)
    losses = likelihoods.nll[: len(prepared)]
    authors = dict(zip(of_authors, likelihoods.nll[len(prepared) :], strict=True))
    rows, exclusions = [], []
    for item, loss in zip(prepared, losses, strict=True):
        by_authors = authors.get(item.item_id, np.zeros(0))
        if not (np.isfinite(loss).all() and np.isfinite(by_authors).all()):
            exclusions.append(Exclusion(item.item_id, NOT_FINITE))
            continue
        row = {"item": item.item_id, **_own_scores(item, loss)}
        if item.authors is not None:
            counted = [place - item.authors.counted[0] for place in item.authors.counted]
            row["authors_mask_nats"] = float(by_authors[counted].sum())
            row["authors_mask_bytes"] = item.authors.data
            row["authors_mask_words"] = item.authors.words
        rows.append(row)
    columns = ["item", *(name for name in COLUMNS if any(name in row for row in rows))]
    return MaskScores(
        pd.DataFrame(rows, columns=columns),
        tuple(exclusions),
        scoring_flops(parameter_count(model), likelihoods.tokens),
    )


def _masked_item(
    benchmark: BenchmarkItems,
    item: Item,
    trace: Trace,
    authors: AuthorsText | None,
    aligner: Aligner,
    max_length: int,
) -> MaskedItem:
    fitted = fit_trace(benchmark, item, trace, aligner, max_length)
    marks = {} if trace.spans is None else {OWN: span_letters(trace.text, trace.spans)}
    for rule in RULES:
        marks[rule_column(rule)] = span_letters(trace.text, propose(trace.text, rule))
    shares = {name: fitted.token_means(letters) for name, letters in marks.items()}
    end = fitted.start + len(fitted.text)
    own = [trace.text[max(a, fitted.start) : min(b, end)] for a, b in trace.spans or ()]
    return MaskedItem(
        item.id,
        tuple(fitted.reasoning.context_ids),
        tuple(fitted.reasoning.ids),
        {name: share for name, share in shares.items() if np.nansum(share) > 0},
        len("".join(own).encode()),
        authors,
    )


def _own_scores(item: MaskedItem, loss: FloatArray) -> dict[str, float]:
    row: dict[str, float] = {}
    for name, share in item.shares.items():
        nats = float(np.nansum(loss * share))
        row[name] = nats / float(np.nansum(share))
        if name == OWN:
            row[f"{OWN}_nats"], row[f"{OWN}_bytes"] = nats, item.data
    return row


def _authors_pair(text: AuthorsText) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The text as context and continuation, up to the last token that counts."""
    first, last = text.counted[0], text.counted[-1]
    return text.ids[:first], text.ids[first : last + 1]
