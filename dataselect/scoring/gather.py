"""The plan's benchmarks, ready to score on: items, worked examples and reasoning traces.

Traces come from a recorded file, or from a local model that weighs the items' own rationales;
the latter are kept in the store, because weighing runs a model.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dataselect.benchmarks.items import BenchmarkItems, Exclusion, Item, load_items
from dataselect.errors import InputError
from dataselect.plan import Benchmark, Plan
from dataselect.scoring.evaluate import Evaluation
from dataselect.store import Store
from dataselect.store.files import sha256_of
from dataselect.traces.frontier import RecordedFrontier
from dataselect.traces.trace import TraceSet, read_traces, write_traces

WEIGHING_VERSION = 1
"""Part of the key of weighed traces; raise it when the same model would give other weights."""


def gather(
    plan: Plan, store: Store, device: str, report: Callable[[str], None]
) -> dict[str, Evaluation]:
    """Every benchmark of the plan by id. Raises InputError for bad files and missing traces."""
    evaluations = {}
    for chosen in plan.benchmarks:
        benchmark, left_out = load_benchmark(plan, chosen)
        if chosen.traces is not None:
            traces = RecordedFrontier(plan.base / chosen.traces).traces(benchmark)
        else:
            assert chosen.weigh is not None, "the plan guarantees traces or a model that weighs"
            traces = _weighed(
                _local_or_hub(plan.base, chosen.weigh), benchmark, store, device, report
            )
        evaluations[chosen.id] = Evaluation(benchmark, traces, left_out)
    return evaluations


def load_benchmark(plan: Plan, chosen: Benchmark) -> tuple[BenchmarkItems, tuple[Exclusion, ...]]:
    """A benchmark's items and worked examples, and the malformed items that were left out."""
    items, left_out = load_items(plan.base / chosen.items, chosen.limit)
    benchmark = BenchmarkItems(
        id=chosen.id,
        items=tuple(items),
        shots=_shots(plan, chosen),
        prompt=chosen.prompt,
        label=chosen.label,
        task=chosen.task,
    )
    return benchmark, tuple(left_out)


def _shots(plan: Plan, chosen: Benchmark) -> tuple[Item, ...]:
    if chosen.shots is None:
        return ()
    path = plan.base / chosen.shots
    shots, _ = load_items(path, chosen.shot_count)
    if len(shots) < chosen.shot_count:
        raise InputError(
            path,
            f"it has {len(shots)} usable examples and {chosen.shot_count} are asked for",
            f"add examples or set shot_count: {len(shots)}",
        )
    return tuple(shots)


def _local_or_hub(base: Path, name: str) -> str:
    return str(base / name) if (base / name).exists() else name


def _weighed(
    model: str,
    benchmark: BenchmarkItems,
    store: Store,
    device: str,
    report: Callable[[str], None],
) -> TraceSet:
    spec = {
        "version": WEIGHING_VERSION,
        "model": _model_identity(Path(model)) or model,
        "benchmark": benchmark.content_hash,
    }
    artifact = store.find("traces", spec)
    if artifact is None:
        report(f"weighing the rationales of {benchmark.id} with {model}")
        # Imported here because it loads torch.
        from dataselect.traces.local import LocalFrontier

        traces = LocalFrontier(model, device).traces(benchmark)
        with store.publish("traces", spec) as folder:
            write_traces(folder / "traces.jsonl.gz", traces.header, traces.traces.values())
        artifact = store.find("traces", spec)
        assert artifact is not None, "it was published a line ago"
    return read_traces(artifact.file("traces.jsonl.gz"))


def _model_identity(folder: Path) -> dict[str, Any] | None:
    """Hashes of a local model's files; None for a model on the Hub, which its name stands for."""
    if not folder.is_dir():
        return None
    files = sorted(p for p in folder.iterdir() if p.suffix in (".json", ".safetensors"))
    return {path.name: sha256_of(path) for path in files}
