"""What is scored: a benchmark with the traces that it is scored on, and the keys of its scores.

A score depends on the checkpoint, the benchmark's items and prompts, the traces and the version
of the metric. The key holds nothing else, so a benchmark shared by two stages or two runs is
scored once for each checkpoint. There are four measurements, each a separate artifact, because
their costs differ widely and few runs need all of them:

    scores      rBridge, R^phi and the label's NLL
    baselines   the likelihood of answers and choices
    answers     generation by the model: token edit distance and, if asked, accuracy
    masks       the NLL of marked parts of the traces (`masks`)

Traces of several frontier models are scored separately and averaged when read. ScalingBench, the
one baseline that uses traces, is averaged while it is computed: separate artifacts would repeat
all other baselines for each frontier model.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dataselect.benchmarks.items import BenchmarkItems, Exclusion
from dataselect.errors import InputError
from dataselect.scoring.checkpoint import Checkpoint
from dataselect.scoring.rbridge import METRIC_VERSION
from dataselect.store import content_key
from dataselect.traces.trace import TraceSet

METRICS = ("rbridge", "trace_nll", "label_nll")
"""Columns of a score table, mean nats per token; lower is better."""

BASELINES_VERSION = 1
"""Increase it whenever the same model and benchmark would get other baselines or answers."""

MASKS_VERSION = 1
"""Increase it whenever the same model and traces would get other scores of marks."""

Scope = Literal["trace", "benchmark", "none", "span"]
"""What token weights are: frontier probabilities normalised over this, or marks ("span"); see
`scoring.prepare`."""
Measurement = Literal["scores", "baselines", "answers", "graded", "masks"]
"""`graded` is `answers` generated to their end and compared with the right ones."""


@dataclass(frozen=True)
class Evaluation:
    """A benchmark with the reasoning traces that it is scored on."""

    benchmark: BenchmarkItems
    traces: tuple[TraceSet, ...]
    """One set for each frontier model; scores are averaged over them."""
    left_out: tuple[Exclusion, ...]
    """Malformed items, left out before any scoring."""
    weight_scope: Scope = "trace"
    """What token weights are; `weights` in plans and keys."""
    notes: tuple[str, ...] = ()
    """Remarks on items, worked examples and traces, for readers of the scores; in no key."""

    @property
    def traces_hash(self) -> str:
        """Scores are comparable only where this is equal; a single set's own hash by default."""
        hashes = sorted(traces.hash for traces in self.traces)
        if len(hashes) == 1 and self.weight_scope == "trace":
            return hashes[0]
        return hashlib.sha256("\n".join([*hashes, self.weight_scope]).encode()).hexdigest()

    def specs(self, checkpoint: Checkpoint, measurement: Measurement) -> list[dict[str, Any]]:
        """Everything that determines a measurement; for "scores" and "masks" one spec for each
        trace set."""
        of = {**checkpoint.identity, "benchmark": self.benchmark.content_hash}
        if measurement == "masks":
            of = {"masks": MASKS_VERSION, "metric": METRIC_VERSION, **of}
            return [{**of, "traces": traces.hash} for traces in self.traces]
        if measurement == "scores":
            scope = {} if self.weight_scope == "trace" else {"weights": self.weight_scope}
            of = {"metric": METRIC_VERSION, **of, **scope}
            return [{**of, "traces": traces.hash} for traces in self.traces]
        of["version"] = BASELINES_VERSION
        if measurement == "baselines":
            hashes = sorted(traces.hash for traces in self.traces)
            return [{**of, "traces": hashes[0] if len(hashes) == 1 else hashes}]
        of |= {"stop": list(self.benchmark.stop), "new_tokens": self.benchmark.new_tokens}
        if measurement == "graded":
            of["answers"] = self.benchmark.answer_kind
        return [of]

    def of(self, measurements: Sequence[Measurement]) -> tuple[Measurement, ...]:
        """Those of the measurements that can be made on the benchmark's items.

        Without answers that is what reads traces alone. Where a model is measured in every way, it
        is "masks", which say all there is and leave out no item, as "scores" would one without a
        mark. Raises InputError when nothing is left.
        """
        if self.benchmark.has_answers:
            return tuple(measurements)
        every_way = "masks" in measurements and "baselines" in measurements
        of_traces: tuple[Measurement, ...] = ("masks",) if every_way else ("scores", "masks")
        made = tuple(each for each in measurements if each in of_traces)
        if not made:
            raise InputError(
                f"benchmark '{self.benchmark.id}'",
                "its questions come with reasoning and without answers, so nothing can be graded",
                "leave it out",
            )
        return made

    def keys(self, checkpoint: Checkpoint, measurement: Measurement) -> list[str]:
        """Keys of the measurement's artifacts."""
        return [content_key(measurement, spec) for spec in self.specs(checkpoint, measurement)]
