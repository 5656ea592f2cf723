"""What the terminal warns of stands in the reports, word for word."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dataselect.cli import app
from dataselect.traces.trace import Trace, TraceHeader, write_traces

OLD = "  - {id: stories, items: items.jsonl, traces: traces.jsonl.gz}\n"
QUESTION = (
    "On day {n} of the long fair, how many ripe pears and how many green plums did old Ann carry "
    "home from the market by the river, if she took {n} of each in the morning and no others?"
)


def write_benchmark(folder: Path) -> None:
    """GSM8K without its training split: one malformed row, one item without a trace."""
    (folder / "files").mkdir()
    rows = [
        json.dumps({"id": f"g{n}", "question": QUESTION.format(n=n), "answer": str(n)})
        for n in range(5)
    ]
    (folder / "files" / "gsm8k.test.jsonl").write_text("\n".join([*rows, '{"id": "bad"}']) + "\n")
    texts = {f"g{n}": f"She took {n} and {n} more, which makes {2 * n}." for n in range(4)}
    traces = [Trace(k, text, ((4, 0.5), (len(text) - 4, 0.9)), "1") for k, text in texts.items()]
    write_traces(folder / "gsm8k.jsonl", TraceHeader("gsm8k", "Well", "{question}", "me"), traces)
    other = TraceHeader("math500", "Well", "{question}", "me")
    write_traces(folder / "other.jsonl", other, traces)


def plainly(text: str) -> str:
    """Markdown without escapes and line breaks."""
    return re.sub(r"\s+", " ", re.sub(r"\\(.)", r"\1", text))


def notes_shown(output: str) -> list[str]:
    return re.findall(r"^note: (.*)$", output, re.MULTILINE)


@pytest.fixture
def leaky(project: Any) -> Any:
    """A project whose benchmark lacks several things, and whose text holds its questions."""
    write_benchmark(project.folder)
    leaks = [json.dumps({"body": QUESTION.format(n=n % 5)}) for n in range(500)]
    (project.folder / "data" / "solved.jsonl").write_text("\n".join(leaks) + "\n")
    plan = project.plan.read_text()
    stage1, _, rest = plan.partition("predict:")
    chosen = "  - {id: gsm8k, folder: files, traces: gsm8k.jsonl}\n"
    project.plan.write_text(stage1.replace(OLD, OLD + chosen) + rest[rest.index("compute:") :])
    return project


def test_every_note_of_a_run_is_in_its_report(leaky: Any) -> None:
    arguments = ["run", str(leaky.manifest), "--store", str(leaky.folder / "store")]
    for out in ("first", "again"):
        result = CliRunner().invoke(app, [*arguments, "--out", str(leaky.folder / out)])
        assert result.exit_code == 0, result.output
        shown = notes_shown(result.output)
        for expected in (
            "NO WORKED EXAMPLES",
            "1 of 5 items have no trace",
            "not searched for the items",
            "holds 5 of the 5 items of gsm8k",
        ):
            assert any(expected in note for note in shown), (expected, shown)
        report = json.loads((leaky.folder / out / "report.json").read_bytes())
        readme = plainly((leaky.folder / out / "README.md").read_text())
        for note in shown:
            assert any(note in kept for kept in report["notes"]), note
            assert plainly(note) in readme, note
        left_out = {each["item"] for each in report["exclusions"]["gsm8k"]}
        assert {"g4"} < left_out  # and the malformed row
    assert len(left_out) == 2


def test_every_note_of_score_is_in_its_results(bench: Any, tmp_path: Path) -> None:
    write_benchmark(tmp_path)
    command = ["score", bench.model(), "--benchmarks", "gsm8k", "--folder"]
    command += [str(tmp_path / "files"), "--traces", str(tmp_path / "gsm8k.jsonl")]
    command += ["--traces", str(tmp_path / "other.jsonl"), "--store", str(tmp_path / "store")]
    result = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "scores")])
    assert result.exit_code == 0, result.output
    (file,) = (tmp_path / "scores").rglob("results_*.json")
    found = json.loads(file.read_bytes())["dataselect"]
    notes = found["notes"]["gsm8k"]
    for expected in (
        "NO WORKED EXAMPLES: gsm8k.train.jsonl is not in the folder",
        "1 of 5 items have no trace",
        "other.jsonl is for math500, which is not scored",
    ):
        assert any(expected in note for note in notes), notes
        # Shown when it is found, and in the summary after the table.
        assert plainly(result.output).count(expected) == 2, result.output
    assert len(found["exclusions"]["gsm8k"]) == 2
