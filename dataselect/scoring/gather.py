"""Benchmarks ready for scoring: items, worked examples and reasoning traces.

Traces come from recorded files, from the release of the paper's authors, or from a local model
that weighs the items' own rationales. The latter two are cached in the store, because they need
a download or a model run.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from dataselect.benchmarks.items import BenchmarkItems, Exclusion, Item, load_items
from dataselect.benchmarks.load import load_benchmark, missing_training_file, training_items
from dataselect.benchmarks.named import NamedBenchmark
from dataselect.benchmarks.own import load_definition
from dataselect.config.benchmark import Benchmark
from dataselect.config.places import beside
from dataselect.errors import DataselectError, InputError
from dataselect.scoring.checkpoint import resolve_model
from dataselect.scoring.evaluation import Evaluation, Scope
from dataselect.scoring.remarks import Remarks
from dataselect.store import Store
from dataselect.traces.frontier import RecordedFrontier, warn_of_missing
from dataselect.traces.grading import grade_traces
from dataselect.traces.library import find_trace_files, trace_benchmark
from dataselect.traces.marking import STRAY, marked_traces
from dataselect.traces.own_rationales import NOTHING_TO_WEIGH, own_rationales, without_rationale
from dataselect.traces.reasoning import take_apart
from dataselect.traces.released import RELEASED, check_there, import_released
from dataselect.traces.shot_rationales import with_shot_rationales
from dataselect.traces.trace import TraceSet, read_traces, write_traces

WEIGHING_VERSION = 1
"""Part of the key of weighed traces; increase it when the same model would give other weights."""

TRACES = "traces"
"""Kind of the artifacts."""

Loaded = tuple[BenchmarkItems, tuple[Exclusion, ...]]
"""A benchmark and its malformed items, which were left out."""


class NamesBenchmarks(Protocol):
    """A file that names benchmarks, relative to its folder: a plan, or a calibration spec."""

    @property
    def benchmarks(self) -> Sequence[Benchmark]:
        """Its benchmarks."""

    @property
    def base(self) -> Path:
        """Its folder."""


@dataclass(frozen=True)
class Weighing:
    """A benchmark's own rationales, whose letters are to get a model's probabilities."""

    benchmark: BenchmarkItems
    """The benchmark."""
    model: str
    """Folder, or name on the Hub."""
    name: str
    """The model's name for people."""
    spec: Mapping[str, Any]
    """What determines the traces."""

    @staticmethod
    def of(model: str, benchmark: BenchmarkItems, store: Store) -> "Weighing":
        """Raises InputError where there is no such model, or no item has a rationale."""
        texts = own_rationales(benchmark)
        resolved = resolve_model(model, "float32", store)
        spec = {
            "version": WEIGHING_VERSION,
            "model": resolved.identity,
            "benchmark": benchmark.content_hash,
            # Only where there are any, so that other traces keep their keys.
            **({"marks": 1} if any(take_apart(text).marked for text in texts.values()) else {}),
        }
        return Weighing(benchmark, model, resolved.name, spec)

    def is_in(self, store: Store) -> bool:
        """Whether the store has the traces."""
        return store.find(TRACES, self.spec) is not None

    def make(
        self, store: Store, device: str, report: Callable[[str], object] = lambda _: None
    ) -> TraceSet:
        """The traces, weighed now unless they are in the store. Raises InputError."""
        told = False

        def weigh() -> TraceSet:
            nonlocal told
            told = True
            report(f"weighing the rationales of {self.benchmark.id} with {self.name}")
            # Imported here because it loads torch.
            from dataselect.scoring.local_frontier import LocalFrontier

            return LocalFrontier(self.model, device).traces(self.benchmark)

        traces = _kept(store, self.spec, weigh)
        if not told:
            # As whoever weighed them was told.
            reasons = {e.item: e.reason for e in traces.exclusions if e.reason != NOTHING_TO_WEIGH}
            warn_of_missing(self.model, self.benchmark.id, reasons)
        return traces


Weigh = Callable[[Sequence[Weighing]], Mapping[str, DataselectError]]
"""Has rationales weighed elsewhere, and the traces put into the store; returns what went wrong, by
benchmark id."""


def gather(
    plan: NamesBenchmarks,
    store: Store,
    device: str,
    report: Callable[[str], None],
    *,
    weigh: Weigh | None = None,
) -> dict[str, Evaluation]:
    """The plan's benchmarks by id, with what was reported about each but progress in its notes.

    `weigh` weighs elsewhere what the store lacks; without it that is done here, on `device`. Raises
    InputError for bad files and missing traces.
    """
    loaded, weighings = [], {}
    # All before the first is weighed: a bad file of the last must show now, not in hours.
    for chosen in plan.benchmarks:
        with Remarks(report) as remarks:
            benchmark, left_out = planned_benchmark(plan, chosen, remarks.add)
            if chosen.weigh is not None:
                model = local_or_hub(plan.base, chosen.weigh)
                weighings[chosen.id] = Weighing.of(model, benchmark, store)
        loaded.append((chosen, benchmark, left_out, remarks))
    missing = [each for each in weighings.values() if not each.is_in(store)]
    failed = weigh(missing) if weigh is not None and missing else {}
    evaluations = {}
    for chosen, benchmark, left_out, remarks in loaded:
        with remarks:
            if chosen.id in failed:
                raise failed[chosen.id]
            if chosen.weigh is not None:
                traces = [weighings[chosen.id].make(store, device, report)]
                if bare := without_rationale(benchmark):
                    remarks.add(bare)
            elif chosen.trace_files:
                traces = recorded(
                    [beside(plan.base, each) for each in chosen.trace_files], benchmark
                )
            else:
                traces = [published(benchmark, store, report)]
            evaluation = make_evaluation(
                benchmark,
                left_out,
                traces,
                remarks.add,
                only_correct=chosen.only_correct,
                weight_scope=chosen.weights,
            )
        evaluations[chosen.id] = replace(evaluation, notes=remarks.of(chosen.id))
    return evaluations


def planned_benchmark(
    plan: NamesBenchmarks, chosen: Benchmark, report: Callable[[str], None]
) -> Loaded:
    """A plan's benchmark with its worked examples, and the malformed items that were left out."""
    if chosen.is_defined:
        definition = load_definition(chosen.items or chosen.id, plan.base)
        folder = None if chosen.folder is None else beside(plan.base, chosen.folder)
        benchmark, left_out, notes = load_benchmark(definition, folder, chosen.limit)
        for note in notes:
            report(note)
    else:
        assert chosen.items is not None, "the plan guarantees a file where there is no definition"
        items, excluded = load_items(beside(plan.base, chosen.items), chosen.limit)
        benchmark = BenchmarkItems(chosen.id, tuple(items), _shots(plan, chosen))
        left_out = tuple(excluded)
    keys = ("prompt", "label", "task") + (("shot_count",) if chosen.is_defined else ())
    overrides = {key: getattr(chosen, key) for key in keys if getattr(chosen, key) is not None}
    return replace(benchmark, id=chosen.id, **overrides), left_out


def missing_training(plan: NamesBenchmarks, chosen: Benchmark) -> str | None:
    """The file of a benchmark's training split that its folder lacks; None when none is lacking."""
    if not chosen.is_defined or chosen.folder is None:
        return None
    definition = load_definition(chosen.items or chosen.id, plan.base)
    return missing_training_file(definition, beside(plan.base, chosen.folder))


def planned_training(plan: NamesBenchmarks, chosen: Benchmark) -> tuple[Item, ...]:
    """All items of the split that a benchmark's worked examples come from; empty without one."""
    if chosen.is_defined:
        definition = load_definition(chosen.items or chosen.id, plan.base)
        return training_items(
            definition, None if chosen.folder is None else beside(plan.base, chosen.folder)
        )
    if chosen.shots is None:
        return ()
    items, _ = load_items(beside(plan.base, chosen.shots))
    return tuple(items)


def make_evaluation(
    benchmark: BenchmarkItems,
    left_out: tuple[Exclusion, ...],
    traces: Sequence[TraceSet],
    report: Callable[[str], None],
    *,
    only_correct: bool = False,
    weight_scope: Scope = "trace",
    unsafe: bool = False,
) -> Evaluation:
    """A benchmark with its traces; worked examples without a rationale get the first model's.

    `only_correct` leaves out traces whose answer is wrong or unclear; `unsafe` lets generated
    programs run without isolation while they are graded. Where no trace has a probability, the
    traces' marks are the weights, whatever `weight_scope` says.
    """
    benchmark, notes = with_shot_rationales(benchmark, traces[0])
    for note in notes:
        report(note)
    if only_correct:
        traces = [_correct(benchmark, each, unsafe) for each in traces]
    if weight_scope != "span" and not any(each.has_probabilities for each in traces):
        weight_scope = "span"
        report(f"{benchmark.id}: its traces have no probabilities, so their marks are the weights")
    return Evaluation(benchmark, tuple(traces), left_out, weight_scope)


def gather_named(
    named: Sequence[NamedBenchmark],
    sources: Sequence[Path],
    default: Path,
    store: Store,
    report: Callable[[str], None],
    *,
    only_correct: bool = False,
    weight_scope: Scope = "trace",
    unsafe: bool = False,
) -> list[Evaluation]:
    """Benchmarks requested by name, each with the traces that `find_traces` returns.

    Reports trace files among `sources` that belong to none of them.
    """
    evaluations = []
    for each in named:
        with Remarks(report) as remarks:
            traces = find_traces(each.benchmark, sources, default, store, report)
            evaluation = make_evaluation(
                each.benchmark,
                each.left_out,
                traces,
                remarks.add,
                only_correct=only_correct,
                weight_scope=weight_scope,
                unsafe=unsafe,
            )
        notes = (*each.notes, *remarks.of(each.benchmark.id))
        evaluations.append(replace(evaluation, notes=tuple(dict.fromkeys(notes))))
    ids = {each.benchmark.id for each in named}
    unused = Remarks(report)
    for path in sources:
        if path.is_file() and trace_benchmark(path) not in ids:
            unused.add(f"{path} is for {trace_benchmark(path)}, which is not scored")
    # They belong to the command; every reader of a benchmark's scores should see them.
    return [replace(each, notes=(*each.notes, *unused.all)) for each in evaluations]


def find_traces(
    benchmark: BenchmarkItems,
    sources: Sequence[Path],
    default: Path,
    store: Store,
    report: Callable[[str], None],
) -> list[TraceSet]:
    """Traces for a benchmark from trace files and folders, else the released ones.

    `default` is the folder searched when there are no `sources`. A folder may hold one file for
    the benchmark; several frontier models are averaged only when their files are named. Raises
    InputError for several files in one folder, and when `sources` have none for the benchmark.
    """
    named = [path for path in sources if not path.is_dir()]
    files = [path for path in named if trace_benchmark(path) == benchmark.id]
    if not files:
        for folder in [path for path in sources if path.is_dir()] if sources else [default]:
            in_folder = find_trace_files(folder, benchmark.id)
            if len(in_folder) > 1:
                raise InputError(
                    folder,
                    f"it has {len(in_folder)} trace files for {benchmark.id}"
                    f" ({', '.join(path.name for path in in_folder)})",
                    "name the files to use, one --traces for each",
                )
            files += in_folder
    if files:
        return recorded(files, benchmark)
    if sources:
        raise InputError(
            "--traces",
            f"no file among them is for benchmark '{benchmark.id}'",
            "make one with 'dataselect traces build' or 'traces weigh', or leave --traces off"
            " for the released ones",
        )
    return [published(benchmark, store, report)]


def recorded(files: Sequence[Path], benchmark: BenchmarkItems) -> list[TraceSet]:
    """The traces of each file. Raises InputError for a bad file or one for other items."""
    return [RecordedFrontier(file).traces(benchmark) for file in files]


def published(benchmark: BenchmarkItems, store: Store, report: Callable[[str], None]) -> TraceSet:
    """The traces that the paper's authors published for a benchmark, marked ones or with
    probabilities."""
    if benchmark.has_answers:
        return released(benchmark, store, report)
    return came_with(benchmark, report)


def came_with(benchmark: BenchmarkItems, report: Callable[[str], None]) -> TraceSet:
    """The marked reasoning that a benchmark's questions came with."""
    traces = marked_traces(benchmark)
    if stray := traces.header.notes.get(STRAY):
        report(f"{benchmark.id}: tags without a partner, which were dropped: {stray}")
    return traces


def released(benchmark: BenchmarkItems, store: Store, report: Callable[[str], None]) -> TraceSet:
    """The traces that the paper's authors released, downloaded from the Hub once."""

    def fetch() -> TraceSet:
        report(f"fetching the released traces of {benchmark.id} from {RELEASED}")
        return import_released(RELEASED, benchmark)

    return _kept(store, _released_spec(benchmark), fetch)


def check_released(benchmark: BenchmarkItems, store: Store) -> None:
    """Raise InputError where `released` would find the traces neither in the store nor on the Hub.

    They are not fetched.
    """
    if store.find(TRACES, _released_spec(benchmark)) is None:
        check_there(RELEASED, benchmark.id)


def _released_spec(benchmark: BenchmarkItems) -> dict[str, object]:
    return {"released": RELEASED, "benchmark": benchmark.content_hash}


def _kept(store: Store, spec: Mapping[str, object], make: Callable[[], TraceSet]) -> TraceSet:
    def build(folder: Path) -> None:
        traces = make()
        path = folder / "traces.jsonl.gz"
        write_traces(path, traces.header, traces.traces.values(), traces.exclusions)

    artifact = store.get_or_build(TRACES, spec, build)
    return read_traces(artifact.file("traces.jsonl.gz"))


def _correct(benchmark: BenchmarkItems, traces: TraceSet, unsafe: bool) -> TraceSet:
    wrong = {
        item: f"its trace's answer is {'unclear' if grade is None else 'wrong'}"
        for item, grade in grade_traces(traces, benchmark, unsafe=unsafe).items()
        if not grade
    }
    right = {item: trace for item, trace in traces.traces.items() if item not in wrong}
    if not any(item.id in right for item in benchmark.items):
        raise InputError(
            f"benchmark '{benchmark.id}'",
            f"none of its {len(wrong)} traces of {traces.header.model} ends in a right answer",
            "leave 'only_correct' off",
        )
    excluded = (Exclusion(item, reason) for item, reason in wrong.items())
    return replace(traces, traces=right, exclusions=(*traces.exclusions, *excluded))


def _shots(plan: NamesBenchmarks, chosen: Benchmark) -> tuple[Item, ...]:
    if chosen.shots is None:
        return ()
    path, count = beside(plan.base, chosen.shots), chosen.shot_count or 0
    shots, _ = load_items(path, count)
    if len(shots) < count:
        raise InputError(
            path,
            f"it has {len(shots)} usable examples and {count} are asked for",
            f"add examples or set shot_count: {len(shots)}",
        )
    return tuple(shots)


def local_or_hub(base: Path, name: str) -> str:
    """The folder that a plan names relative to itself, or the name as it is."""
    path = beside(base, name)
    return str(path) if path.exists() else name
