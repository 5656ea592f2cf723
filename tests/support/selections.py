"""Runs over checkpoints that exist: everything that `run` does, in this process, in a second."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dataselect.api.inputs import load_inputs
from dataselect.benchmarks.items import BenchmarkItems
from dataselect.compute import InlineCompute
from dataselect.config.plan import load_plan
from dataselect.pipeline import run
from dataselect.report.selection.document import document
from dataselect.stages.runtime import Runtime
from dataselect.store import Store
from dataselect.traces.trace import TraceSet, write_traces

Document = dict[str, Any]


def write_benchmark(folder: Path, benchmark: BenchmarkItems, traces: TraceSet) -> dict[str, str]:
    """The benchmark's files in `folder`, and its entry in a plan."""
    name = benchmark.id
    rows = [
        {
            "id": item.id,
            "question": item.question,
            "answer": item.answer,
            "choices": list(item.choices or ()),
            "rationale": item.rationale,
        }
        for item in benchmark.items
    ]
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / f"{name}.yaml").write_text(f"items: {name}.jsonl\nnew_tokens: 6\n")
    write_traces(folder / f"{name}.traces.jsonl", traces.header, traces.traces.values())
    return {"id": name, "items": f"{name}.yaml", "traces": f"{name}.traces.jsonl"}


def select(
    folder: Path,
    models: Mapping[str, str],
    benchmarks: Sequence[Mapping[str, str]],
    *,
    keep: int = 2,
    aggregate: str = "z_score",
    store: Path | None = None,
    rest: str = "",
) -> Document:
    """report.json of a run whose candidates are the models (folders by candidate id).

    Without `store` everything is measured anew.
    """
    candidates = [
        {"id": name, "proxies": {"screen": {"model": model, "tokens": "1M"}}}
        for name, model in models.items()
    ]
    plan = {
        "benchmarks": list(benchmarks),
        "screen": {"keep": keep, "aggregate": aggregate},
    }
    manifest = {"target": {"size": "1B", "tokens": "1B"}, "plan": plan, "candidates": candidates}
    return run_here(folder, json.dumps(manifest), store=store)


def run_here(
    folder: Path, manifest: str, plan: str | None = None, store: Path | None = None
) -> Document:
    """report.json of a manifest's run, all jobs in this process."""
    path = folder / "manifest.yaml"
    path.write_text(manifest)
    loaded, chosen = load_inputs(path, None if plan is None else load_plan(plan, folder))
    with tempfile.TemporaryDirectory() as temporary:
        runtime = Runtime(Store(store or Path(temporary) / "store"), InlineCompute())
        selection = run(loaded, chosen, runtime)
        # As it is written, so that what JSON cannot hold is not compared.
        made: Document = json.loads(json.dumps(document(selection)))
    return made


def stage1(made: Document) -> dict[str, dict[str, float]]:
    """By candidate, its rBridge on each benchmark."""
    return {
        each["id"]: {
            name: metrics["rbridge"] for name, metrics in each["stage1"]["benchmarks"].items()
        }
        for each in made["candidates"]
        if each.get("stage1")
    }


def order(made: Document) -> list[str]:
    """The candidates' ids, best first."""
    return [each["id"] for each in made["candidates"]]
