"""A run whose plan mixes traces with probabilities, marked ones, and a marked subset."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from dataselect.benchmarks.marks import propose, with_marks
from dataselect.cli import app
from dataselect.traces.trace import Trace, read_traces, write_traces

ROWS = [
    {"question": f"What of {n}?", "reasoning": f"One <span>adds {n}</span> to {n + 1}."}
    for n in range(5)
]
EVIDENCE = "id,stories\nsolved,0.7\nprose,0.2\nblend,0.5\n"


@pytest.fixture
def mixed(make_project: Any) -> Any:
    """Three benchmarks: own traces, the same with marks for weights, and a marked subset."""
    project = make_project()
    found = read_traces(project.folder / "traces.jsonl.gz")
    marked = [
        Trace(t.item, t.text, t.runs, t.answer, with_marks(t.text, propose(t.text, "numbers")))
        for t in found.traces.values()
    ]
    write_traces(project.folder / "marked.jsonl.gz", found.header, marked)
    (project.folder / "files").mkdir()
    text = "".join(json.dumps(row) + "\n" for row in ROWS)
    (project.folder / "files" / "mask-arc.test.jsonl").write_text(text)
    (project.folder / "known.csv").write_text(EVIDENCE)
    manifest = project.manifest.read_text()
    evidence = "evidence: {target_accuracy: known.csv}\ncandidates:"
    project.manifest.write_text(manifest.replace("candidates:", evidence, 1))
    plan = project.plan.read_text()
    old = "  - {id: stories, items: items.jsonl, traces: traces.jsonl.gz}\n"
    new = (
        "  - {id: stories, items: items.jsonl, traces: marked.jsonl.gz}\n"
        "  - {id: steps, items: items.jsonl, traces: marked.jsonl.gz, weights: span}\n"
        "  - {id: mask-arc, folder: files}\n"
    )
    plan = plan.replace(old, new).replace("  keep: 2\n", "  keep: 2\n  masks: true\n")
    project.plan.write_text(plan.partition("predict:")[0] + "compute: {jobs: 1, device: cpu}\n")
    return project


def invoke(project: Any, command: str, *more: str) -> Result:
    options = ["--store", str(project.folder / "store")] if command == "run" else []
    arguments = [command, str(project.manifest), *options, *more]
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "100"})


def document(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "report.json").read_bytes())
    return content


def test_all_three_rank_together_and_every_variant_is_compared(mixed: Any) -> None:
    checked = invoke(mixed, "validate")
    assert checked.exit_code == 0, checked.output
    assert "benchmark mask-arc: 5 items, 5 traces of rbridge-mask" in checked.output
    assert "its traces have no probabilities, so their marks are the weights" in checked.output

    out = mixed.folder / "out"
    result = invoke(mixed, "run", "--out", str(out), "--ablate")
    assert result.exit_code == 0, result.output
    report = document(out)
    made = report["provenance"]["benchmarks"]
    assert {name: each["weights"] for name, each in made.items()} == {
        "stories": "trace",
        "steps": "span",
        "mask-arc": "span",
    }
    of_metric = report["evidence"]["decision_accuracy"]
    wanted = {"mask", "mask_numbers", "mask_content", "authors_mask_bpb"}
    assert wanted <= set(of_metric)
    assert "mask_operators" not in of_metric, "no trace of mask-arc has one"
    flat = " ".join(result.output.split())
    for name in ("NLL of marked key steps", "marks as the authors' code scores them"):
        assert name in flat
    again = mixed.folder / "again"
    resolved = mixed.folder / "out" / "resolved.yaml"
    mixed.manifest = resolved
    ledger = (mixed.folder / "store" / "ledger.jsonl").read_bytes()
    result = invoke(mixed, "run", "--out", str(again))
    assert result.exit_code == 0, result.output
    assert document(again)["candidates"] == report["candidates"]
    assert (mixed.folder / "store" / "ledger.jsonl").read_bytes() == ledger


def test_accuracy_of_questions_without_answers_is_refused(mixed: Any) -> None:
    plan = mixed.plan.read_text().replace("masks: true", "accuracy: true")
    mixed.plan.write_text(plan)
    result = invoke(mixed, "validate")
    assert result.exit_code == 2
    assert "screen.accuracy: 'mask-arc' has no answers to grade" in " ".join(result.output.split())
