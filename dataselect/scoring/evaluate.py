"""A checkpoint's scores on benchmarks as artifacts: measured once, found ever after.

What determines a score is the checkpoint, the benchmark's items and prompts, the traces and the
version of the metric; nothing else is in the key, so a benchmark shared by two stages or two
runs is scored once for each checkpoint.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from dataselect.benchmarks.items import BenchmarkItems, Exclusion
from dataselect.cost import scoring_flops
from dataselect.proxies.make import Proxy
from dataselect.scoring.rbridge import METRIC_VERSION
from dataselect.store import Artifact, Store
from dataselect.traces.trace import TraceSet

if TYPE_CHECKING:
    import pandas as pd

    from dataselect.scoring.prepare import Prepared

METRICS = ("rbridge", "trace_nll", "label_nll")
"""Columns of a score table, mean nats per token; lower is better."""

NEW_TOKENS = 256
"""The longest answer that is generated."""


@dataclass(frozen=True)
class Evaluation:
    """A benchmark with the reasoning traces that it is scored on."""

    benchmark: BenchmarkItems
    traces: TraceSet
    left_out: tuple[Exclusion, ...]
    """Malformed items, left out before any scoring."""

    def spec(self, proxy: Proxy, step: int) -> dict[str, Any]:
        """All that determines a checkpoint's scores."""
        return {
            "metric": METRIC_VERSION,
            "proxy": proxy.artifact.key,
            "step": step,
            "benchmark": self.benchmark.content_hash,
            "traces": self.traces.hash,
        }

    def accuracy_spec(self, proxy: Proxy, step: int) -> dict[str, Any]:
        """All that determines a checkpoint's generated answers."""
        return {
            "proxy": proxy.artifact.key,
            "step": step,
            "benchmark": self.benchmark.content_hash,
            "new_tokens": NEW_TOKENS,
        }


@dataclass(frozen=True)
class Measured:
    """Scores of one checkpoint on one benchmark.

    `table`: one row per item, with `item`, the columns of `METRICS` and token counts.
    """

    table: "pd.DataFrame"
    exclusions: tuple[Exclusion, ...]
    notes: tuple[str, ...]
    flops: float


def find_scores(store: Store, proxy: Proxy, step: int, evaluation: Evaluation) -> Measured | None:
    """The scores if they have been measured already."""
    artifact = store.find("scores", evaluation.spec(proxy, step))
    return None if artifact is None else _read_scores(artifact)


def find_accuracy(
    store: Store, proxy: Proxy, step: int, evaluation: Evaluation
) -> "pd.Series | None":
    """1.0 or 0.0 for each item id, if answers have been generated already."""
    artifact = store.find("accuracy", evaluation.accuracy_spec(proxy, step))
    if artifact is None:
        return None
    import pandas as pd

    return pd.Series(artifact.json("correct.json"), name="accuracy", dtype=float)


def is_scored(
    store: Store, proxy: Proxy, step: int, evaluations: Sequence[Evaluation], accuracy: bool
) -> bool:
    """Whether nothing is left to measure on a checkpoint."""
    return all(
        store.find("scores", each.spec(proxy, step))
        and (not accuracy or store.find("accuracy", each.accuracy_spec(proxy, step)))
        for each in evaluations
    )


def score_checkpoint(
    store: Store,
    proxy: Proxy,
    step: int,
    evaluations: Sequence[Evaluation],
    *,
    accuracy: bool,
    device: str,
    name: str,
) -> None:
    """Measure and publish whatever is missing on a checkpoint; `name` is for the ledger."""
    if is_scored(store, proxy, step, evaluations, accuracy):
        return
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from dataselect.scoring.accuracy import accuracy as measure_accuracy
    from dataselect.scoring.scorer import score

    folder = proxy.checkpoint(step)
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    model = AutoModelForCausalLM.from_pretrained(str(folder), use_safetensors=True)
    model.to(device).eval()
    for each in evaluations:
        spec = each.spec(proxy, step)
        if store.find("scores", spec) is None:
            clock = _Clock()
            prepared = _prepared(each, tokenizer, model.config.max_position_embeddings)
            scores = score(model, prepared.items, device)
            facts = {
                "exclusions": [asdict(exclusion) for exclusion in prepared.exclusions],
                "notes": list(prepared.notes),
                "flops": scores.flops,
            }
            with store.publish("scores", spec) as out:
                scores.table.to_parquet(out / "scores.parquet", index=False)
                (out / "facts.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
            store.note("scores", spec, clock.facts(name, scores.flops, device))
        spec = each.accuracy_spec(proxy, step)
        if accuracy and store.find("accuracy", spec) is None:
            clock = _Clock()
            right = measure_accuracy(model, tokenizer, each.benchmark, NEW_TOKENS, device=device)
            ids = [item.id for item in each.benchmark.items]
            correct = {item: float(value) for item, value in zip(ids, right, strict=True)}
            with store.publish("accuracy", spec) as out:
                (out / "correct.json").write_text(json.dumps(correct), encoding="utf-8")
            tokens = NEW_TOKENS * len(ids)  # an upper bound: most answers end earlier
            flops = scoring_flops(proxy.recipe.parameters, tokens)
            store.note("accuracy", spec, clock.facts(name, flops, device))


class _Clock:
    """Wall and CPU time since it was made, as a ledger record."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def facts(self, name: str, flops: float, device: str) -> Mapping[str, Any]:
        wall = time.monotonic() - self._wall
        return {
            "name": name,
            "status": "done",
            "wall_seconds": wall,
            "cpu_seconds": time.process_time() - self._cpu,
            "gpu_seconds": wall if device.startswith("cuda") else 0.0,
            "flops": flops,
        }


_cache: dict[tuple[str, str, str, int], "Prepared"] = {}


def _prepared(evaluation: Evaluation, tokenizer: Any, max_length: int) -> "Prepared":
    """Tokens and weights, which all checkpoints of a tokenizer share, kept in this process."""
    from dataselect.scoring.prepare import prepare

    benchmark, traces = evaluation.benchmark, evaluation.traces
    vocabulary = tokenizer.backend_tokenizer.to_str()
    key = (benchmark.content_hash, traces.hash, vocabulary, max_length)
    if key not in _cache:
        _cache[key] = prepare(benchmark, traces, tokenizer, max_length)
    return _cache[key]


def _read_scores(artifact: Artifact) -> Measured:
    import pandas as pd

    facts = artifact.json("facts.json")
    return Measured(
        table=pd.read_parquet(artifact.file("scores.parquet")),
        exclusions=tuple(Exclusion(**each) for each in facts["exclusions"]),
        notes=tuple(facts["notes"]),
        flops=facts["flops"],
    )
