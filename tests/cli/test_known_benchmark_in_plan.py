"""Plans that name benchmarks instead of files: known ones, and a definition in YAML."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_models import save_model
from typer.testing import CliRunner, Result

from dataselect.cli import app
from dataselect.config.benchmark import KNOWN_BENCHMARKS
from dataselect.traces.trace import Trace, TraceHeader, write_traces

COUNT = 5
CHOICES = {"choices": ["red", "blue"], "answer": "B", "answer_index": 1}
MADE_UP: dict[str, tuple[str, dict[str, Any]]] = {
    "gsm8k": ("gsm8k.test.jsonl", {"answer": "3"}),
    "math500": ("math500.test.jsonl", {"answer": "\\frac{1}{2}"}),
    "arc_challenge": ("arc_challenge.test.jsonl", CHOICES),
    "commonsense_qa": ("commonsense_qa.validation.jsonl", CHOICES),
    "mmlu_pro_stem": ("mmlu_pro_stem.test.jsonl", {**CHOICES, "meta": {"category": "math"}}),
    "humaneval": (
        "humaneval.test.jsonl",
        {
            "answer": "    return 3\n",
            "meta": {"test": "def check(f):\n    assert f() == 3", "entry_point": "three"},
        },
    ),
}
OWN = """\
name: sums
items: sums.jsonl
stop: ["That"]
new_tokens: 4
"""


def ids(benchmark: str) -> list[str]:
    return [f"{benchmark}-{n}" for n in range(COUNT)]


def write_questions(folder: Path, name: str, benchmark: str, fields: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    rows = []
    for n, item in enumerate(ids(benchmark)):
        row = {"id": item, "question": f"What of {n} and {n + 1}?", **fields}
        rows.append(json.dumps(row | {"rationale": f"One thinks of {n} and {n + 1}."}))
    (folder / name).write_text("\n".join(rows) + "\n")


def write_trace_file(path: Path, benchmark: str, opening: str, wrong: int | None = None) -> None:
    traces = []
    for n, item in enumerate(ids(benchmark)):
        text = f"{opening}, {n} and {n + 1} make three."
        runs = ((4, 0.3 + 0.1 * n), (len(text) - 4, 0.9))
        traces.append(Trace(item, text, runs, "4" if n == wrong else "3"))
    write_traces(path, TraceHeader(benchmark, opening, "{question}", "a test"), traces)


def choose(project: Any, *benchmarks: str) -> None:
    """Give the plan these benchmarks, lines of YAML."""
    text = project.plan.read_text()
    old = "  - {id: stories, items: items.jsonl, traces: traces.jsonl.gz}\n"
    lines = "".join(f"  - {{{each}}}\n" for each in benchmarks)
    # One model at a time is enough here.
    stage1, _, rest = text.partition("predict:")
    project.plan.write_text(stage1.replace(old, lines) + rest[rest.index("compute:") :])


def invoke(project: Any, command: str, manifest: str = "candidates.yaml", *more: str) -> Result:
    options = ["--store", str(project.folder / "store")] if command == "run" else []
    where = str(project.folder / manifest)
    return CliRunner().invoke(app, [command, where, *options, *more])


def run(project: Any, out: str = "out", manifest: str = "candidates.yaml") -> dict[str, Any]:
    result = invoke(project, "run", manifest, "--out", str(project.folder / out))
    assert result.exit_code == 0, result.output
    report: dict[str, Any] = json.loads((project.folder / out / "report.json").read_bytes())
    return report


def scores(report: dict[str, Any], benchmark: str) -> dict[str, float]:
    return {
        each["id"]: each["stage1"]["benchmarks"][benchmark]["rbridge"]
        for each in report["candidates"]
    }


@pytest.fixture
def own(project: Any) -> Any:
    """The project with a definition and two trace files of it."""
    write_questions(project.folder, "sums.jsonl", "sums", {"answer": "3"})
    (project.folder / "sums.yaml").write_text(OWN)
    write_trace_file(project.folder / "a.jsonl.gz", "sums", "Well", wrong=1)
    write_trace_file(project.folder / "b.jsonl.gz", "sums", "To begin with")
    return project


def test_each_known_benchmark_is_validated_from_a_folder_of_files(project: Any) -> None:
    for benchmark, (file, fields) in MADE_UP.items():
        write_questions(project.folder / "files", file, benchmark, fields)
        write_trace_file(project.folder / f"{benchmark}.jsonl", benchmark, "Well")
    choose(project, *(f"id: {b}, folder: files, traces: {b}.jsonl" for b in KNOWN_BENCHMARKS))
    result = invoke(project, "validate")
    assert result.exit_code == 0, result.output
    for benchmark in KNOWN_BENCHMARKS:
        assert f"benchmark {benchmark}: {COUNT} items, {COUNT} traces of Well" in result.stdout
    assert "NO WORKED EXAMPLES" in result.stdout


def test_without_traces_the_released_ones_are_looked_for_and_not_fetched(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_questions(project.folder / "files", *[MADE_UP["gsm8k"][0], "gsm8k", {"answer": "3"}])
    choose(project, "id: gsm8k, folder: files")
    reachable = [True]

    class Api:
        def dataset_info(self, *_: Any, **__: Any) -> None:
            if not reachable[0]:
                raise ConnectionError("no route")

    def not_cached(*_: Any, **options: Any) -> str:
        assert options["local_files_only"]
        raise FileNotFoundError("not there")

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    monkeypatch.setattr("huggingface_hub.snapshot_download", not_cached)
    result = invoke(project, "validate")
    assert result.exit_code == 0, result.output
    assert "gsm8k: 5 items, released traces, from trillionlabs/rBridge" in result.stdout
    reachable[0] = False
    refused = invoke(project, "validate")
    assert refused.exit_code == 2
    assert "the released traces cannot be fetched" in refused.stderr
    assert "name them by 'traces', or a model by 'weigh', in the plan" in refused.stderr


def test_options_of_a_benchmark_reach_the_scores_and_resolved_yaml_repeats_them(own: Any) -> None:
    file, fields = MADE_UP["gsm8k"]
    write_questions(own.folder / "files", file, "gsm8k", fields)
    save_model(own.folder / "frontier", seed=6)
    choose(
        own,
        "id: gsm8k, folder: files, weigh: frontier, limit: 3",
        "id: a, items: sums.yaml, traces: a.jsonl.gz",
        "id: b, items: sums.yaml, traces: [b.jsonl.gz]",
        "id: both, items: sums.yaml, traces: [a.jsonl.gz, b.jsonl.gz]",
        "id: unweighed, items: sums.yaml, traces: a.jsonl.gz, weights: none",
        "id: right, items: sums.yaml, traces: a.jsonl.gz, only_correct: true",
    )
    report = run(own)
    a, b, both, unweighed, right = (
        scores(report, name) for name in ("a", "b", "both", "unweighed", "right")
    )
    for candidate in a:
        assert a[candidate] != b[candidate]
        assert both[candidate] == pytest.approx((a[candidate] + b[candidate]) / 2)
        assert unweighed[candidate] != a[candidate]
        assert right[candidate] != a[candidate]
    items = report["stages"]["stage1"]["items"]
    assert items == {"gsm8k": 3, **dict.fromkeys(["a", "b", "both", "unweighed"], 5), "right": 4}
    assert report["exclusions"]["a"] == []
    assert report["exclusions"]["right"] == [
        {"item": "sums-1", "reason": "its trace's answer is wrong", "stages": ["stage1"]}
    ]
    made = report["provenance"]["benchmarks"]
    assert [each["model"] for each in made["both"]["traces"]] == ["Well", "To begin with"]
    assert [each["model"] for each in made["gsm8k"]["traces"]] == ["frontier"]
    assert made["gsm8k"]["revision"].startswith("gsm8k.test.jsonl (sha256 ")
    assert (made["a"]["weights"], made["unweighed"]["weights"]) == ("trace", "none")

    ledger = (own.folder / "store" / "ledger.jsonl").read_bytes()
    again = run(own, "again", "out/resolved.yaml")
    assert again["candidates"] == report["candidates"]
    assert again["exclusions"] == report["exclusions"]
    assert (own.folder / "store" / "ledger.jsonl").read_bytes() == ledger
    resolved = (own.folder / "out" / "resolved.yaml").read_text()
    for named in ('"../files"', '"../frontier"', '"../sums.yaml"', '"../a.jsonl.gz"'):
        assert named in resolved


def without_rationales(project: Any) -> None:
    rows = (project.folder / "sums.jsonl").read_text().splitlines()
    kept = [{k: v for k, v in json.loads(row).items() if k != "rationale"} for row in rows]
    (project.folder / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))


CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "unknown id": (
        "id: gsm8l, folder: files",
        ("'gsm8l' is none of the known benchmarks", "did you mean 'gsm8k'?", "'items:'"),
    ),
    "shots with a known benchmark": (
        "id: gsm8k, folder: files, shots: a.jsonl",
        ("benchmarks[0].shots: this benchmark has its own shots",),
    ),
    "shots with a definition": (
        "id: sums, items: sums.yaml, shots: a.jsonl, traces: a.jsonl.gz",
        ("benchmarks[0].shots: this benchmark has its own shots",),
    ),
    "items and folder": (
        "id: sums, items: sums.yaml, folder: files, traces: a.jsonl.gz",
        ("'items' is given as well",),
    ),
    "traces and weigh": (
        "id: sums, items: sums.yaml, weigh: frontier, traces: a.jsonl.gz",
        ("'traces' is given as well",),
    ),
    "a definition without traces": (
        "id: sums, items: sums.yaml",
        ("benchmark 'sums' has no traces", "weigh:"),
    ),
    "no such definition": (
        "id: sums, items: sumz.yaml, traces: a.jsonl.gz",
        ("sumz.yaml", "sums.yaml"),
    ),
    "no such folder": (
        "id: gsm8k, folder: nowhere, weigh: frontier",
        ("gsm8k.test.jsonl", "there is no such file"),
    ),
    "an unknown scale of weights": (
        "id: sums, items: sums.yaml, traces: a.jsonl.gz, weights: item",
        ("benchmarks[0].weights", "'trace'"),
    ),
    "traces of other items": (
        "id: sums, items: sums.yaml, traces: [a.jsonl.gz, strangers.jsonl]",
        ("strangers.jsonl", "none of its 5 traces"),
    ),
    "one of several trace files missing": (
        "id: sums, items: sums.yaml, traces: [a.jsonl.gz, c.jsonl.gz]",
        ("c.jsonl.gz", "cannot be read"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_line_with_exit_code_2(own: Any, case: str) -> None:
    write_trace_file(own.folder / "strangers.jsonl", "other", "Well")
    benchmark, wanted = CASES[case]
    choose(own, benchmark)
    result = invoke(own, "validate")
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert (result.exit_code, len(lines)) == (2, 1), result.output
    for part in wanted:
        assert part in lines[0]


SPOILT: dict[str, tuple[Callable[[Any], None], str, tuple[str, ...]]] = {
    "items without rationales": (
        without_rationales,
        "id: sums, items: sums.yaml, weigh: frontier",
        ("its items have no rationale to weigh",),
    ),
    "a frontier model that is none": (
        lambda project: (project.folder / "frontier").mkdir(),
        "id: sums, items: sums.yaml, weigh: frontier",
        ("frontier", "*.safetensors"),
    ),
}


@pytest.mark.parametrize("case", SPOILT)
def test_what_cannot_be_weighed_stops_a_run_before_training(own: Any, case: str) -> None:
    spoil, benchmark, wanted = SPOILT[case]
    if case != "a frontier model that is none":
        save_model(own.folder / "frontier", seed=6)
    spoil(own)
    choose(own, benchmark)
    result = invoke(own, "run", "candidates.yaml", "--out", str(own.folder / "out"))
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert (result.exit_code, len(lines)) == (2, 1), result.output
    for part in wanted:
        assert part in lines[0]
    assert not list(own.folder.glob("store/artifacts/proxy/*"))
