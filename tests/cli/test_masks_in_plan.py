"""A run whose plan mixes own traces, released ones, marked ones, and a marked subset."""

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
COUNTING = [
    {"question": f"Ann has {n}. And one?", "reasoning": f"To {n} one — is added.\nIt is {n + 1}."}
    for n in range(4)
]
EVIDENCE = "id,stories\nsolved,0.7\nprose,0.2\nblend,0.5\n"


def release(folder: Path) -> Path:
    """A copy of the authors' release, of GSM8K only; one token is three bytes."""
    where = folder / "traces" / "gsm8k"
    where.mkdir(parents=True)
    records = [{**row, "final_answer": str(n + 1)} for n, row in enumerate(COUNTING)]
    (where / "gpt4o_s1_new.json").write_text(json.dumps(records))
    rows = []
    for n, record in enumerate(records):
        answer = {name: record[name] for name in ("reasoning", "final_answer")}
        data = json.dumps(answer).encode()
        for at in range(0, len(data), 3):
            piece = data[at : at + 3]
            row = {"id": n, "token": piece.decode(), "bytes": list(piece)}
            rows.append(json.dumps(row | {"logprob": -0.01 - at % 7 / 10}) + "\n")
    (where / "gpt4o_s1_new_logprobs_part01_of_01.jsonl").write_text("".join(rows))
    return folder


def pull(folder: Path) -> Path:
    """The released traces of the GSM8K questions in `folder`, as a trace file."""
    rows = [
        {"id": f"gsm8k_test_{n}", "question": row["question"], "answer": str(n + 1)}
        for n, row in enumerate(COUNTING)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "gsm8k.test.jsonl").write_text(text)
    arguments = ["--benchmarks", "gsm8k", "--from", str(release(folder / "copy"))]
    where = ["--folder", str(folder), "--out", str(folder / "pulled")]
    result = CliRunner().invoke(app, ["traces", "pull", *arguments, *where])
    assert result.exit_code == 0, result.output
    return folder / "pulled" / "gsm8k.gpt-4o.jsonl.gz"


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


def test_released_traces_rank_beside_own_ones_and_masks(mixed: Any) -> None:
    pulled = pull(mixed.folder / "files")
    line = f"  - {{id: gsm8k, folder: files, traces: {pulled}}}\n"
    plan = mixed.plan.read_text().replace("  - {id: mask-arc", f"{line}  - {{id: mask-arc", 1)
    # A benchmark without marks has no score of masks.
    mixed.plan.write_text(plan.replace("  masks: true\n", ""))
    out = mixed.folder / "out"
    result = invoke(mixed, "run", "--out", str(out))
    assert result.exit_code == 0, result.output
    report = document(out)
    made = report["provenance"]["benchmarks"]
    assert {name: each["weights"] for name, each in made.items()} == {
        "stories": "trace",
        "steps": "span",
        "gsm8k": "trace",
        "mask-arc": "span",
    }
    assert report["stages"]["stage1"]["items"]["gsm8k"] == len(COUNTING)
    for candidate in report["candidates"]:
        found = candidate["stage1"]["benchmarks"]
        assert set(found) == set(made)
        assert all(each["rbridge"] > 0 for each in found.values())


def test_accuracy_of_questions_without_answers_is_refused(mixed: Any) -> None:
    plan = mixed.plan.read_text().replace("masks: true", "accuracy: true")
    mixed.plan.write_text(plan)
    result = invoke(mixed, "validate")
    assert result.exit_code == 2
    assert "screen.accuracy: 'mask-arc' has no answers to grade" in " ".join(result.output.split())
