"""A run over given checkpoints whose items and traces hold what should not act, to look at."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from small_models import save_model

from dataselect.api.inputs import load_inputs
from dataselect.compute import InlineCompute
from dataselect.pipeline import run
from dataselect.report.selection.files import write_report
from dataselect.stages.runtime import Runtime
from dataselect.store import Store
from dataselect.store.run_record import RunRecord
from dataselect.traces.trace import Trace, TraceHeader, write_traces

HOSTILE = '<script>alert("x")</script>\x1b[31m\u202eabc'
ITEMS: tuple[Mapping[str, Any], ...] = (
    {"id": "plain", "question": "Ann has 3 apples and buys 2. How many?", "answer": "5"},
    {
        "id": f"bad {HOSTILE}",
        "question": f"What is {HOSTILE}?",
        "answer": "7",
        "rationale": f"It is {HOSTILE} and 7",
    },
    {"id": "lines", "question": "A?\nB?", "answer": "8"},
    {
        "id": "choice",
        "question": "Which?",
        "answer": "two",
        "answer_index": 1,
        "choices": ["<b>", "two"],
    },
    {"id": "untold", "question": "No trace has it.", "answer": "1"},
    {"id": "broken", "question": "", "answer": "1"},
)
TEXTS = {
    "plain": " She has 3 apples. Then 3 + 2 = 5 apples — café.",
    f"bad {HOSTILE}": f"We read {HOSTILE} & then <img src=x onerror=alert(1)> give 7.",
    "lines": "First line: A.\nSecond line: \t8.",
    "choice": "It is مرحبا, so the second.",
}


def make_run(folder: Path, models: Mapping[str, Path], *, benchmarks: int = 2) -> Path:
    """A run over the models, by candidate id; its report is in `folder`/out, its store beside it.

    The second benchmark has the first item alone, with traces of two frontier models.
    """
    (folder / "data").mkdir()
    (folder / "data/odd.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ITEMS))
    (folder / "data/small.jsonl").write_text(json.dumps(ITEMS[0]) + "\n")
    _write(folder / "data/odd.traces.jsonl", "odd", HOSTILE, TEXTS, 0.2)
    few = {"plain": TEXTS["plain"]}
    _write(folder / "data/one.traces.jsonl", "small", "one", few, 0.3)
    _write(folder / "data/two.traces.jsonl", "small", "two", {"plain": "Two and three: 5."}, 0.6)
    named: list[dict[str, Any]] = [
        {"id": "odd", "items": "data/odd.jsonl", "traces": "data/odd.traces.jsonl"},
        {
            "id": "small",
            "items": "data/small.jsonl",
            "traces": ["data/one.traces.jsonl", "data/two.traces.jsonl"],
        },
    ]
    plan = {
        "benchmarks": named[:benchmarks],
        "screen": {"keep": 2},
        "compute": {"jobs": 1, "device": "cpu"},
    }
    candidates = [
        {"id": name, "proxies": {"screen": {"model": str(model), "tokens": "1M"}}}
        for name, model in models.items()
    ]
    manifest = {"target": {"size": "1B", "tokens": "1B"}, "plan": plan, "candidates": candidates}
    (folder / "odd-run.yaml").write_text(json.dumps(manifest))
    loaded, chosen = load_inputs(folder / "odd-run.yaml")
    store, out = Store(folder / "store"), folder / "out"
    write_report(run(loaded, chosen, Runtime(store, InlineCompute())), out)
    # As a run records itself, so that its store is found from its report.
    record = RunRecord(store.root, "odd-run", "odd-run", out)
    record.write({"name": "odd-run", "report": str(out)})
    record.close()
    return out


def save_models(folder: Path, names: str) -> dict[str, Path]:
    """A model for each letter, by its id."""
    return {name: save_model(folder / name, seed) for seed, name in enumerate(names, start=1)}


def _write(path: Path, benchmark: str, model: str, texts: Mapping[str, str], p: float) -> None:
    traces = []
    for name, text in texts.items():
        cut = len(text) // 3
        runs = ((cut, p), (3, None), (len(text) - cut - 3, 0.9))
        traces.append(Trace(name, text, runs, "7"))
    header = TraceHeader(benchmark, model, "Question: {question}\nAnswer:", "a test")
    write_traces(path, header, traces)
