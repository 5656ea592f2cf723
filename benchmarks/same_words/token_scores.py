"""All that a checkpoint says about the traces, token by token; kept in a file."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from alterations import ALTERATIONS
from numpy.typing import NDArray

from dataselect.scoring.evaluation import Evaluation
from dataselect.scoring.likelihood.scorer import token_nll
from dataselect.scoring.loading import load_model
from dataselect.scoring.prepare import PreparedItem, prepare
from dataselect.traces.trace import Trace, TraceSet, runs_of

Texts = tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]


@dataclass(frozen=True)
class Questions:
    """The texts that every checkpoint is asked about."""

    items: tuple[PreparedItem, ...]
    """The traces as they are."""
    pieces: tuple[tuple[str, ...], ...]
    """The text of each token of the traces."""
    altered: dict[str, Texts]
    """By alteration: (context, trace) of every item."""


def questions(
    evaluation: Evaluation, tokenizer_folder: Path, alterations: Iterable[str] = ALTERATIONS
) -> Questions:
    """Texts in the tokens of a tokenizer; items that some alteration leaves alone are left out."""
    from dataselect.corpus.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(tokenizer_folder)
    (traces,) = evaluation.traces
    texts = {name: _altered(traces, name) for name in alterations}
    kept = [
        item.id
        for item in evaluation.benchmark.items
        if item.id in traces.traces and all(item.id in each.traces for each in texts.values())
    ]

    def prepared(of: TraceSet) -> list[PreparedItem]:
        found = {
            each.item_id: each
            for each in prepare(evaluation.benchmark, of, tokenizer, 1 << 20).items
        }
        return [found[item] for item in kept]

    items = prepared(traces)
    altered = {
        name: tuple((item.context_ids, item.trace_ids) for item in prepared(each))
        for name, each in texts.items()
    }
    altered["question"] = tuple(
        (other.context_ids, item.trace_ids)
        for item, other in zip(items, items[1:] + items[:1], strict=True)
    )
    pieces = tuple(
        tuple(tokenizer.convert_tokens_to_string([token]) for token in _tokens(tokenizer, item))
        for item in items
    )
    return Questions(tuple(items), pieces, altered)


def _tokens(tokenizer: Any, item: PreparedItem) -> list[str]:
    return list(tokenizer.convert_ids_to_tokens(list(item.trace_ids)))


def _altered(traces: TraceSet, name: str) -> TraceSet:
    made = {}
    for item, trace in traces.traces.items():
        text = ALTERATIONS[name](trace.text)
        if text is not None:
            # Weights do not count here, but a trace without probabilities is refused.
            made[item] = Trace(item, text, runs_of(np.linspace(0.1, 0.9, len(text))))
    return replace(traces, traces=made)


def measure_tokens(
    folder: Path, asked: Questions, file: Path
) -> dict[str, list[NDArray[np.float32]]]:
    """−ln p of every token of every text, by alteration ("trace": as it is, "label" as well)."""
    texts: dict[str, Texts] = {
        "trace": tuple((item.context_ids, item.trace_ids) for item in asked.items),
        "label": tuple((item.label_context_ids, item.label_ids) for item in asked.items),
        **asked.altered,
    }
    if not file.exists():
        model = load_model(folder, "cpu", "float32").model
        pairs = [pair for each in texts.values() for pair in each]
        nll = token_nll(model, pairs).nll
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part.npy")
        np.save(part, np.concatenate(nll).astype(np.float32))
        part.rename(file)
    flat, place = np.load(file), 0
    found: dict[str, list[NDArray[np.float32]]] = {}
    for name, each in texts.items():
        found[name] = []
        for _, ids in each:
            found[name].append(flat[place : place + len(ids)])
            place += len(ids)
    return found
