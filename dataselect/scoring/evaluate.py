"""A checkpoint's scores on benchmarks as artifacts: measured once, then read from the store.

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
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dataselect.benchmarks.items import BenchmarkItems, Exclusion
from dataselect.compute import Event
from dataselect.compute.machine import Machine, this_machine
from dataselect.errors import IncompleteError, InputError
from dataselect.scoring.checkpoint import Checkpoint, Precision
from dataselect.scoring.model_errors import running
from dataselect.scoring.non_finite import NOT_FINITE, failure
from dataselect.scoring.rbridge import METRIC_VERSION
from dataselect.scoring.told import Clock, told
from dataselect.store import Artifact, Claim, Store, Work, content_key
from dataselect.traces.trace import NO_TRACE, TraceSet

if TYPE_CHECKING:
    import pandas as pd

    from dataselect.scoring.baselines import PreparedBaselines
    from dataselect.scoring.loading import LoadedModel
    from dataselect.scoring.masks import PreparedMasks
    from dataselect.scoring.prepare import Prepared

METRICS = ("rbridge", "trace_nll", "label_nll")
"""Columns of a score table, mean nats per token; lower is better."""

_TABLE = "scores.parquet"

BASELINES_VERSION = 1
"""Increase it whenever the same model and benchmark would get other baselines or answers."""

MASKS_VERSION = 1
"""Increase it whenever the same model and traces would get other scores of marks."""

Scope = Literal["trace", "benchmark", "none", "span"]
"""What token weights are: frontier probabilities normalised over this, or marks ("span"); see
`scoring.prepare`."""
Measurement = Literal["scores", "baselines", "answers", "graded", "masks"]
"""`graded` is `answers` generated to their end and compared with the right ones."""

_ALWAYS_FINITE: Mapping[Measurement, tuple[str, ...]] = {
    "scores": METRICS,
    "baselines": ("mpca", "answer_nll"),
    "answers": ("ted", "ted_per_token"),
    "graded": ("ted", "ted_per_token", "correct"),
    "masks": (),
}
"""Columns without which an item has no value. Other columns may lack one for an intact model: a
trace without an answer has no `scb_nll`, one without marks no `mask`, and a likelihood ratio may be
too large for a float."""

_WATCHED = (
    *(("rbridge", "rbridge"), ("trace_nll", "trace_nll")),
    *(("answer_nll", "answer_nll"), ("accuracy", "correct")),
)
"""Names of means that are watched, with their columns."""


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


@dataclass(frozen=True)
class Measured:
    """A measurement of one checkpoint on one benchmark."""

    table: "pd.DataFrame"
    """One row per item: `item` and the measurement's columns."""
    exclusions: tuple[Exclusion, ...]
    """Items that cannot be scored, with the reason; those whose value is not finite among them
    (`scoring.non_finite`)."""
    notes: tuple[str, ...]
    """Remarks for readers of the scores."""
    flops: float
    model_notes: tuple[str, ...] = ()
    """Remarks on the files of the model, for readers of the scores."""
    machines: tuple[Machine, ...] = ()
    """What measured it; several where sets of traces were scored by different kinds."""

    def means(self) -> dict[str, float]:
        """Means over items of what is watched while scores come in."""
        found = {name: self.table[column] for name, column in _WATCHED if column in self.table}
        return {name: float(values.mean()) for name, values in found.items() if len(values)}


def find(
    store: Store, checkpoint: Checkpoint, evaluation: Evaluation, measurement: Measurement
) -> Measured | None:
    """The measurement, averaged over the sets of traces; None if it is not in the store.

    An item has a score only where it has a trace of every frontier model. Where a trace set says
    why it lacks the item's trace, that reason replaces the general one.
    """
    parts = []
    for spec in evaluation.specs(checkpoint, measurement):
        artifact = store.find(measurement, spec)
        if artifact is None:
            return None
        parts.append(_read(artifact, measurement))
    measured = parts[0] if len(parts) == 1 else _mean(parts)
    # Not in the artifact: sets with equal traces may give different reasons for missing ones.
    reasons = {
        each.item: each
        for traces in evaluation.traces
        for each in traces.exclusions
        if each.item not in traces.traces and each.reason != NO_TRACE
    }
    exclusions = (reasons.get(each.item, each) for each in measured.exclusions)
    return replace(measured, exclusions=tuple(dict.fromkeys(exclusions)))


def read(
    store: Store, checkpoint: Checkpoint, evaluation: Evaluation, measurement: Measurement
) -> Measured:
    """The measurement, as `find` gives it, of a checkpoint that has been measured.

    Raises IncompleteError when it has gone from the store since.
    """
    measured = find(store, checkpoint, evaluation, measurement)
    if measured is None:
        raise IncompleteError(
            f"{measurement} of {evaluation.benchmark.id} have gone from the store {store.root}; "
            "run the same command again to measure them anew"
        )
    return measured


def is_measured(
    store: Store,
    checkpoint: Checkpoint,
    evaluations: Sequence[Evaluation],
    measurements: Sequence[Measurement],
) -> bool:
    """Whether nothing is left to measure on a checkpoint."""
    return all(
        store.find(measurement, spec)
        for evaluation in evaluations
        for measurement in evaluation.of(measurements)
        for spec in evaluation.specs(checkpoint, measurement)
    )


def failure_of(
    store: Store,
    checkpoint: Checkpoint,
    evaluations: Sequence[Evaluation],
    measurements: Sequence[Measurement],
) -> str | None:
    """Why a measured checkpoint cannot be compared with others; None if it can.

    It cannot if too many of its values on a benchmark are not finite.
    """
    for evaluation in evaluations:
        for measurement in evaluation.of(measurements):
            measured = read(store, checkpoint, evaluation, measurement)
            why = failure(measured.exclusions, len(measured.table), evaluation.benchmark.id)
            if why is not None:
                return why
    return None


@dataclass(frozen=True)
class Part:
    """One artifact of a measurement: a unit of the work of scoring."""

    name: str
    """For the progress display: the model, the measurement, the benchmark, and the traces where
    there are several sets."""
    title: str
    """The model's name."""
    measurement: Measurement
    """What is measured."""
    evaluation: Evaluation
    """On what."""
    traces: TraceSet
    """By which traces, where the measurement reads one set."""
    spec: Mapping[str, Any]
    """What determines it."""


def parts_of(
    checkpoint: Checkpoint,
    evaluations: Sequence[Evaluation],
    measurements: Sequence[Measurement],
    title: str,
) -> list[Part]:
    """The units of work of measuring a checkpoint, which messages call `title`, in order."""
    found = []
    for evaluation in evaluations:
        for measurement in evaluation.of(measurements):
            specs = evaluation.specs(checkpoint, measurement)
            for spec, traces in zip(specs, evaluation.traces, strict=False):
                by = f" by traces of {traces.header.model}" if len(specs) > 1 else ""
                name = f"{title}: {measurement} on {evaluation.benchmark.id}{by}"
                found.append(Part(name, title, measurement, evaluation, traces, spec))
    return found


def measure(
    store: Store,
    checkpoint: Checkpoint,
    evaluations: Sequence[Evaluation],
    measurements: Sequence[Measurement],
    *,
    device: str,
    name: str,
    precision: Precision = "float32",
    unsafe: bool = False,
    report: Callable[[str], None] = lambda _: None,
    title: str | None = None,
    on_event: Callable[[Event], None] = lambda _: None,
) -> None:
    """Measure a checkpoint and publish every measurement that the store lacks.

    `name` is for the ledger, `unsafe` lets generated programs run without isolation, `report`
    is called with progress messages, which call the checkpoint `title`, by default `name`.
    `on_event` gets what becomes of each part that is missing, by the name of the part (`parts_of`):
    started, progress in items, and done with the means; of one that fails nothing more.
    """
    if is_measured(store, checkpoint, evaluations, measurements):
        return
    subject = _Subject(checkpoint, device, precision, unsafe)
    work = Work(name, gpus=1 if device.startswith("cuda") else 0)
    for part in parts_of(checkpoint, evaluations, measurements, title or name):
        missing = store.find(part.measurement, part.spec) is None
        made: list[Part] = []

        def make(_: Claim, part: Part = part, made: list[Part] = made) -> None:
            made.append(part)
            report(part.name)
            benchmark = part.evaluation.benchmark
            facts = {"model": part.title, "benchmark": benchmark.id}
            with told(part.name, len(benchmark.items), facts, on_event) as finished:
                model_notes = subject.notes
                clock = Clock()  # loading the model is no part of it
                with running(name):
                    measured = subject.measure(part.measurement, part.evaluation, part.traces)
                with store.publish(part.measurement, part.spec) as out:
                    _write(out, measured, model_notes, device)
                store.note(part.measurement, part.spec, clock.facts(name, measured.flops, device))
                finished(measured.means())

        store.get_or_claim(part.measurement, part.spec, make, work)
        if missing and not made:
            # Another process has made it meanwhile.
            on_event(Event(part.name, "done", {"wall_seconds": 0.0}))


def _write(folder: Path, measured: Measured, model_notes: Sequence[str], device: str) -> None:
    measured.table.to_parquet(folder / _TABLE, index=False)
    facts = {
        "exclusions": [asdict(exclusion) for exclusion in measured.exclusions],
        "notes": list(measured.notes),
        "flops": measured.flops,
        "model_notes": list(model_notes),
        "machine": this_machine(device).record(),
    }
    (folder / "facts.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")


_Key = tuple[str, str, str, str, int]
# Tokens and token weights, cached in this process: all checkpoints of a tokenizer share them.
_prepared: dict[_Key, "Prepared"] = {}
_baselines: dict[_Key, "PreparedBaselines"] = {}
_masks: dict[_Key, "PreparedMasks"] = {}


class _Subject:
    """A checkpoint and its measurements; it is loaded for the first one."""

    def __init__(
        self, checkpoint: Checkpoint, device: str, precision: Precision, unsafe: bool
    ) -> None:
        self._checkpoint, self._precision = checkpoint, precision
        self._device, self._unsafe = device, unsafe

    @cached_property
    def _loaded(self) -> "LoadedModel":
        from dataselect.scoring.loading import load_model

        return load_model(self._checkpoint.folder(), self._device, self._precision)

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on the model's files."""
        return self._loaded.notes

    @property
    def _model(self) -> Any:
        return self._loaded.model

    @property
    def _tokenizer(self) -> Any:
        return self._loaded.tokenizer

    @property
    def _limit(self) -> int:
        from dataselect.scoring.decoding import position_limit

        # Inputs are never truncated, so a model that states no limit has none.
        return position_limit(self._model) or 1 << 30

    def measure(
        self, measurement: Measurement, evaluation: Evaluation, traces: TraceSet
    ) -> Measured:
        if measurement == "scores":
            return self._scores(evaluation, traces)
        if measurement == "baselines":
            return self._baselines(evaluation)
        if measurement == "masks":
            return self._masks(evaluation, traces)
        return self._answers(evaluation.benchmark, measurement == "graded")

    def _scores(self, evaluation: Evaluation, traces: TraceSet) -> Measured:
        from dataselect.scoring.likelihood.scorer import score
        from dataselect.scoring.prepare import prepare

        key = self._key(evaluation.weight_scope, evaluation, traces.hash)
        if key not in _prepared:
            _prepared[key] = prepare(
                evaluation.benchmark,
                traces,
                self._tokenizer,
                self._limit,
                evaluation.weight_scope,
            )
        prepared = _prepared[key]
        scores = score(self._model, prepared.items, self._device)
        exclusions = (*prepared.exclusions, *scores.exclusions)
        return Measured(scores.table, exclusions, prepared.notes, scores.flops)

    def _baselines(self, evaluation: Evaluation) -> Measured:
        from dataselect.scoring.baselines import prepare_baselines, score_prepared

        hashes = " ".join(traces.hash for traces in evaluation.traces)
        key = self._key("baselines", evaluation, hashes)
        if key not in _baselines:
            _baselines[key] = prepare_baselines(
                evaluation.benchmark, evaluation.traces, self._tokenizer, self._limit
            )
        scored = score_prepared(self._model, _baselines[key], self._device)
        return Measured(scored.table, scored.exclusions, scored.notes, scored.flops)

    def _masks(self, evaluation: Evaluation, traces: TraceSet) -> Measured:
        from dataselect.scoring.masks import prepare_masks, score_masks

        key = self._key("masks", evaluation, traces.hash)
        if key not in _masks:
            _masks[key] = prepare_masks(evaluation.benchmark, traces, self._tokenizer, self._limit)
        prepared = _masks[key]
        scored = score_masks(self._model, prepared.items, self._device)
        exclusions = (*prepared.exclusions, *scored.exclusions)
        return Measured(scored.table, exclusions, prepared.notes, scored.flops)

    def _answers(self, benchmark: BenchmarkItems, graded: bool) -> Measured:
        from dataselect.scoring.generation import generate_answers

        generated = generate_answers(
            self._model,
            self._tokenizer,
            benchmark,
            self._device,
            accuracy=graded,
            unsafe=self._unsafe,
        )
        return Measured(generated.table, generated.exclusions, generated.notes, generated.flops)

    def _key(self, kind: str, evaluation: Evaluation, traces: str) -> _Key:
        vocabulary = self._tokenizer.backend_tokenizer.to_str()
        return kind, evaluation.benchmark.content_hash, traces, vocabulary, self._limit


def _read(artifact: Artifact, measurement: Measurement) -> Measured:
    import pandas as pd

    facts = artifact.json("facts.json")
    table = pd.read_parquet(artifact.file(_TABLE))
    exclusions = [Exclusion(**each) for each in facts["exclusions"]]
    # Artifacts of before items were checked may hold what is not finite.
    columns = [name for name in _ALWAYS_FINITE[measurement] if name in table]
    finite = np.isfinite(table[columns].to_numpy(dtype=np.float64)).all(axis=1)
    if not finite.all():
        exclusions += [Exclusion(item, NOT_FINITE) for item in table.loc[~finite, "item"]]
        table = table.loc[finite].reset_index(drop=True)
    # Artifacts of before have no notes on their model.
    of_model = tuple(facts.get("model_notes", ()))
    return Measured(
        table=table,
        exclusions=tuple(exclusions),
        notes=tuple(facts["notes"]),
        flops=facts["flops"],
        model_notes=of_model,
        machines=(Machine.read(facts.get("machine")),),
    )


def _mean(parts: Sequence[Measured]) -> Measured:
    import pandas as pd

    tables = [part.table.set_index("item") for part in parts]
    shared = [item for item in tables[0].index if all(item in table.index for table in tables)]
    by_item = pd.concat([table.loc[shared] for table in tables]).groupby(level=0, sort=False)
    # A value that one of the sets lacks is no mean over them.
    means = by_item.mean().where(by_item.count() == len(tables))
    return Measured(
        means.loc[shared].reset_index(),
        tuple(dict.fromkeys(each for part in parts for each in part.exclusions)),
        tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        sum(part.flops for part in parts),
        parts[0].model_notes,
        tuple(dict.fromkeys(machine for part in parts for machine in part.machines)),
    )
