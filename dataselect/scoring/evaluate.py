"""Measure a checkpoint on benchmarks: each measurement once, then it is read from the store."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dataselect.benchmarks.items import BenchmarkItems
from dataselect.compute import Event
from dataselect.scoring.checkpoint import Checkpoint, Precision
from dataselect.scoring.evaluation import Evaluation, Measurement
from dataselect.scoring.measured import Measured, is_measured, write_measured
from dataselect.scoring.model_errors import running
from dataselect.scoring.told import Clock, told
from dataselect.store import Claim, Store, Work
from dataselect.traces.trace import TraceSet

if TYPE_CHECKING:
    from dataselect.scoring.baselines import PreparedBaselines
    from dataselect.scoring.loaded_model import LoadedModel
    from dataselect.scoring.masks import PreparedMasks
    from dataselect.scoring.prepare import Prepared


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
                loaded = subject.loaded_for(part.measurement)
                clock = Clock()  # loading the model is no part of it
                with running(name):
                    measured = subject.measure(part.measurement, part.evaluation, part.traces)
                with store.publish(part.measurement, part.spec) as out:
                    write_measured(out, measured, loaded.notes, loaded.machine)
                store.note(part.measurement, part.spec, clock.facts(name, measured.flops, device))
                finished(measured.means())

        store.get_or_claim(part.measurement, part.spec, make, work)
        if missing and not made:
            # Another process has made it meanwhile.
            on_event(Event(part.name, "done", {"wall_seconds": 0.0}))


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

    def loaded_for(self, measurement: Measurement) -> "LoadedModel":
        """The model that makes a measurement: answers need one that writes."""
        return self._writer if measurement in ("answers", "graded") else self._loaded

    @cached_property
    def _loaded(self) -> "LoadedModel":
        from dataselect.scoring.fused_checkpoint import load_fused

        fused = load_fused(self._checkpoint.folder(), self._device, self._precision)
        return fused or self._writer

    @cached_property
    def _writer(self) -> "LoadedModel":
        from dataselect.scoring.loading import load_model

        return load_model(self._checkpoint.folder(), self._device, self._precision)

    @property
    def _model(self) -> Any:
        return self._loaded.model

    @property
    def _tokenizer(self) -> Any:
        return self._loaded.tokenizer

    @property
    def _limit(self) -> int:
        from dataselect.scoring.model_facts import position_limit

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
            self._writer.model,
            self._writer.tokenizer,
            benchmark,
            self._device,
            accuracy=graded,
            unsafe=self._unsafe,
        )
        return Measured(generated.table, generated.exclusions, generated.notes, generated.flops)

    def _key(self, kind: str, evaluation: Evaluation, traces: str) -> _Key:
        vocabulary = self._tokenizer.backend_tokenizer.to_str()
        return kind, evaluation.benchmark.content_hash, traces, vocabulary, self._limit
