"""The NLL of each token of some items' traces, to look at; scores keep its weighted mean alone.

Computed when somebody looks, for the items looked at: `TokenReader` loads a checkpoint only if the
store lacks them. The tokens, contexts and weights are those of the score, so the score of an item
is the `TokenNlls.score` of its trace, up to the rounding of another machine.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dataselect.benchmarks.items import BenchmarkItems
from dataselect.compute.machine import Machine
from dataselect.formats.parquet_table import read_table
from dataselect.scoring.checkpoint import Checkpoint, Precision
from dataselect.scoring.evaluation import Evaluation
from dataselect.scoring.model_errors import running
from dataselect.scoring.rbridge import FloatArray, rbridge
from dataselect.store import Artifact, Store
from dataselect.traces.trace import TraceSet

if TYPE_CHECKING:
    from dataselect.scoring.loaded_model import LoadedModel

KIND = "token_nlls"
_TABLE = "tokens.parquet"

ROUNDING: Mapping[Precision, float] = {"float32": 1e-4, "bfloat16": 2e-2, "float16": 3e-3}
"""Nats per token by which an item's score may differ when another kind of machine computes it; on
one CPU it does not. Of half precision about three times the largest distance from float32 that the
quickstart's proxies have (0.0072 and 0.0010)."""


@dataclass(frozen=True)
class TokenNlls:
    """The tokens of one trace under one checkpoint, or the mean over several."""

    spans: tuple[tuple[int, int], ...]
    """Letters of the trace, without outer whitespace, that each token holds; half-open. Two tokens
    that hold parts of one letter both count it."""
    weights: FloatArray
    """Normalised frontier probabilities, shape (tokens,); NaN for a token without one."""
    nll: FloatArray
    """Nats, shape (tokens,)."""

    @property
    def score(self) -> float:
        """rBridge of the trace, in nats per token."""
        return rbridge(self.nll, self.weights)

    @property
    def parts(self) -> FloatArray:
        """What each token adds to the score, shape (tokens,); 0 for one without a weight."""
        counted = int((~np.isnan(self.weights)).sum())
        return np.nan_to_num(self.nll * self.weights) / max(1, counted)


def mean_tokens(each: Sequence[TokenNlls]) -> TokenNlls | None:
    """The mean NLL of each token over checkpoints; None where these have other tokens."""
    first = each[0]
    if any(other.spans != first.spans for other in each):
        return None
    return replace(first, nll=np.mean([one.nll for one in each], axis=0))


class TokenReader:
    """Reads the token NLLs of one checkpoint; it is loaded when the store first lacks some."""

    def __init__(
        self,
        store: Store,
        checkpoint: Checkpoint,
        device: str,
        name: str,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._store, self._checkpoint = store, checkpoint
        self._device, self._name, self._report = device, name, report

    @property
    def precision(self) -> Precision:
        """The arithmetic that the checkpoint was scored with."""
        of_model = self._checkpoint.identity.get("model", {})
        found: Precision = of_model.get("precision", "float32")
        return found

    def read(
        self, evaluation: Evaluation, traces: TraceSet, items: Sequence[str]
    ) -> dict[str, TokenNlls]:
        """By item, the tokens of its trace in one of the evaluation's sets of traces.

        The items must have a score. Raises InputError where the model cannot be loaded or run.
        """
        shown = sorted(set(items))
        (scores,) = replace(evaluation, traces=(traces,)).specs(self._checkpoint, "scores")
        spec = {**scores, "items": shown}

        def build(folder: Path) -> None:
            of = evaluation.benchmark.id
            self._report(f"{self._name}: tokens of {len(shown)} items of {of}")
            with running(self._name):
                found = self._measure(evaluation, traces, shown)
            _write(folder, found, self._loaded.machine)

        return _read(self._store.get_or_build(KIND, spec, build))

    @cached_property
    def _loaded(self) -> "LoadedModel":
        from dataselect.scoring.likelihood_loading import load_for_likelihoods

        return load_for_likelihoods(self._checkpoint.folder(), self._device, self.precision)

    def _measure(
        self, evaluation: Evaluation, traces: TraceSet, items: Sequence[str]
    ) -> dict[str, TokenNlls]:
        # Imported here: a second look reads the store, and loads no torch.
        from dataselect.scoring.likelihood.scorer import token_nll
        from dataselect.scoring.model_facts import position_limit
        from dataselect.scoring.prepare import fit_trace, prepare
        from dataselect.scoring.token_spans import Aligner

        model, tokenizer = self._loaded.model, self._loaded.tokenizer
        limit = position_limit(model) or 1 << 30
        benchmark, scope = evaluation.benchmark, evaluation.weight_scope
        # Weights that are scaled over the benchmark need the traces of all its items.
        prepared_of = benchmark if scope == "benchmark" else _only(benchmark, items)
        prepared = {
            each.item_id: each
            for each in prepare(prepared_of, traces, tokenizer, limit, scope).items
            if each.item_id in items
        }
        pairs = [(each.context_ids, each.trace_ids) for each in prepared.values()]
        nlls = token_nll(model, pairs, self._device).nll
        by_id = {item.id: item for item in benchmark.items}
        aligner = Aligner(tokenizer)
        found = {}
        for (name, tokens), nll in zip(prepared.items(), nlls, strict=True):
            fitted = fit_trace(benchmark, by_id[name], traces.traces[name], aligner, limit)
            # Before the trace the prompt has a space, which is no letter of it.
            letters = np.maximum(np.asarray(fitted.reasoning.spans) - 1, 0)
            spans = tuple((int(start), int(end)) for start, end in letters)
            found[name] = TokenNlls(spans, tokens.token_weights, np.asarray(nll, np.float64))
        return found


def _only(benchmark: BenchmarkItems, items: Sequence[str]) -> BenchmarkItems:
    return replace(benchmark, items=tuple(item for item in benchmark.items if item.id in items))


def _write(folder: Path, found: Mapping[str, TokenNlls], machine: Machine) -> None:
    import pandas as pd

    rows: dict[str, list[Any]] = {"item": [], "start": [], "end": [], "weight": [], "nll": []}
    for name, each in found.items():
        rows["item"] += [name] * len(each.spans)
        rows["start"] += [start for start, _ in each.spans]
        rows["end"] += [end for _, end in each.spans]
        rows["weight"] += each.weights.tolist()
        rows["nll"] += each.nll.tolist()
    pd.DataFrame(rows).to_parquet(folder / _TABLE, index=False)
    facts = {"machine": machine.record()}
    (folder / "facts.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")


def _read(artifact: Artifact) -> dict[str, TokenNlls]:
    table = read_table(artifact.file(_TABLE))
    return {
        str(name): TokenNlls(
            tuple(zip(rows["start"].tolist(), rows["end"].tolist(), strict=True)),
            rows["weight"].to_numpy(np.float64),
            rows["nll"].to_numpy(np.float64),
        )
        for name, rows in table.groupby("item", sort=False)
    }
