"""A run whose Stage 2 proxies come from elsewhere: checkpoints on disk, an external command."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from small_models import save_model
from typer.testing import CliRunner

from dataselect.cli import app
from dataselect.compute import InlineCompute
from dataselect.config.yamlfile import load

TRAINER = """\
import json, pathlib, shutil, sys
data, output, candidate, tokens, count = sys.argv[1:]
described = json.loads(pathlib.Path(data, "data.json").read_text())
assert (described["candidate"], described["tokens"]) == (candidate, int(tokens)), described
for source in described["sources"]:
    held = sum(pathlib.Path(data, s["file"]).stat().st_size // 2 for s in source["shards"])
    assert held == source["available_tokens"] >= source["tokens"], source
for number in range(1, int(count) + 1):
    # Stands for training: candidates get checkpoints of their own, and later ones are others.
    made = pathlib.Path("models", f"{candidate}-{number}")
    shutil.copytree(made, pathlib.Path(output, f"step{number}"), dirs_exist_ok=True)
"""
PREDICT = """\
  average: 2
  train:
    command: PYTHON trainer.py {data} {output} {candidate} {tokens} {checkpoints}
    tokens: 9k
    folder: training
compute:"""


def run(project: Any, *arguments: str) -> dict[str, Any]:
    """The report of a run in this process, which has the slow libraries loaded."""
    out = "reports/candidates"
    if "--out" in arguments:
        out = arguments[arguments.index("--out") + 1]
    done = CliRunner().invoke(app, ["run", *arguments])
    assert done.exit_code == 0, done.output
    report: dict[str, Any] = project.report(out)
    return report


@pytest.fixture(autouse=True)
def _in_this_process(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.folder)
    monkeypatch.setattr(
        "dataselect.stages.engine.default_compute", lambda *_, **__: InlineCompute()
    )


@pytest.fixture
def elsewhere(project: Any) -> Any:
    """Stage 2 of `solved` is on disk; those of the others are trained by a command."""
    text = project.manifest.read_text()
    given = "    proxies: {predict: {model: checkpoints/solved/step*-hf, tokens_per_step: 3k}}\n"
    project.manifest.write_text(text.replace("  - id: prose", given + "  - id: prose"))
    plan = project.plan.read_text().replace("keep: 2", "keep: 3").replace("jobs: 2", "jobs: 1")
    first, _, _ = plan.partition("  proxy:\n    architecture: {hidden_size: 32")
    predict = PREDICT.replace("PYTHON", sys.executable)
    project.plan.write_text(first + predict + plan.partition("compute:")[2])
    for step in (1, 2, 3):
        save_model(project.folder / "checkpoints" / "solved" / f"step{step}-hf", seed=step)
    training = project.folder / "training"
    for number, candidate in enumerate(("prose", "blend")):
        for step in (1, 2):
            save_model(training / "models" / f"{candidate}-{step}", seed=10 * step + number)
    (training / "trainer.py").write_text(TRAINER)
    return project


def decided(report: dict[str, Any]) -> Any:
    return [report["candidates"], report["wins"], report["verdict"], report["cost"]["flops"]]


def test_stage_2_from_disk_and_by_command_and_again_from_resolved_yaml(elsewhere: Any) -> None:
    report = run(elsewhere, "candidates.yaml")
    assert {c["id"]: c["status"] for c in report["candidates"]} == dict.fromkeys(
        ("solved", "prose", "blend"), "ranked"
    )
    proxies = report["provenance"]["proxies"]["stage2"]
    assert {name: (p["origin"], p["tokens"]) for name, p in proxies.items()} == {
        "solved": ("checkpoints", 9000),
        "prose": ("command", 9000),
        "blend": ("command", 9000),
    }
    labels = {name: [c["label"] for c in p["checkpoints"]] for name, p in proxies.items()}
    assert labels["solved"] == ["step2-hf", "step3-hf"]
    assert labels["prose"] == ["step1", "step2"]
    size = proxies["solved"]["parameters"]
    assert report["stages"]["stage2"]["proxy"] == {
        "parameters": size,
        "tokens": 9000,
        "training_flops": 6 * size * 9000,
    }
    assert report["cost"]["flops"]["elsewhere"] == 6 * size * 9000
    assert report["cost"]["spent"]["stage2"]["flops"] >= 2 * 6 * size * 9000
    text = (elsewhere.folder / "reports" / "candidates" / "README.md").read_text()
    assert "spent elsewhere" in text
    assert "Stage 2 proxy of `prose`: trained by a command" in text

    ledger = elsewhere.folder / ".dataselect" / "ledger.jsonl"
    spent = ledger.read_bytes()
    again = run(elsewhere, "reports/candidates/resolved.yaml", "--out", "again")
    assert decided(again) == decided(report)
    assert ledger.read_bytes() == spent, "something was made again"

    # From another folder and with an empty store the command still finds its files.
    fresh = run(elsewhere, "again/resolved.yaml", "--out", "fresh", "--store", "other")
    assert decided(fresh) == decided(report)


def test_a_run_of_checkpoints_alone_prepares_no_corpus(project: Any) -> None:
    for candidate in ("one", "two"):
        for step in (1, 2):
            seed = step + 10 * len(candidate) + ord(candidate[0])
            save_model(project.folder / candidate / f"step{step}", seed=seed)
    traces = "{id: stories, items: items.jsonl, traces: traces.jsonl.gz}"
    project.manifest.write_text(
        "target: {size: 1M, tokens: 20M}\n"
        f"plan: {{benchmarks: [{traces}], screen: {{keep: 1}}, compute: {{jobs: 1}}}}\n"
        "candidates:\n"
        "  - {id: one, proxies: {screen: {model: one, tokens_per_step: 5k}}}\n"
        "  - {id: two, proxies: {screen: {model: two, tokens_per_step: 5k}}}\n"
    )
    planned = CliRunner().invoke(app, ["plan", str(project.manifest)])
    assert planned.exit_code == 0, planned.output
    assert "proxies of 2 given as checkpoints" in " ".join(planned.output.split())
    checked = CliRunner().invoke(app, ["validate", str(project.manifest)])
    assert checked.exit_code == 0, checked.output
    assert "one: checkpoints for screen: step2" in checked.output
    report = run(project, "candidates.yaml")
    assert report["provenance"]["tokenizer"] is None
    assert report["corpus"] == {}
    kinds = {
        json.loads(line)["kind"] for line in (project.folder / ".dataselect/ledger.jsonl").open()
    }
    assert kinds == {"scores"}
    values, _ = load(project.folder / "reports" / "candidates" / "resolved.yaml")
    assert values["candidates"][0]["proxies"]["screen"]["model"] == "../../one"


RESUMING = """\
import os, pathlib, shutil, sys, time
candidate, output = sys.argv[1], pathlib.Path(sys.argv[2])
if not (output / "pid").exists():
    (output / "pid").write_text(str(os.getpid()))
    time.sleep(600)
shutil.copytree(pathlib.Path("models", candidate), output, dirs_exist_ok=True)
"""


def test_kill_9_ends_the_trainers_and_the_same_command_lets_them_go_on(project: Any) -> None:
    for seed, candidate in enumerate(("one", "two")):
        save_model(project.folder / "models" / candidate, seed=seed)
    (project.folder / "train.py").write_text(RESUMING)
    train = f"{{command: '{sys.executable} train.py {{candidate}} {{output}}'}}"
    project.manifest.write_text(
        "target: {size: 1M, tokens: 20M}\n"
        "plan:\n"
        "  benchmarks: [{id: stories, items: items.jsonl, traces: traces.jsonl.gz}]\n"
        f"  screen: {{keep: 1, train: {train}}}\n"
        "  compute: {jobs: 2, threads: 1, device: cpu}\n"
        "candidates: [{id: one}, {id: two}]\n"
    )
    process = project.start("run", "candidates.yaml")
    output = ".dataselect/work/external-*/output/pid"
    deadline = time.monotonic() + 300
    while len(written := [p for p in project.folder.glob(output) if p.read_text()]) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.communicate()
    for pid in (path.read_text() for path in written):
        while Path(f"/proc/{pid}").exists():
            assert time.monotonic() < deadline, "a trainer outlived its run"
            time.sleep(0.05)
    assert not list(project.folder.glob(".dataselect/artifacts/external/*"))

    report = run(project, "candidates.yaml")
    assert {c["id"] for c in report["candidates"]} == {"one", "two"}
    assert report["complete"] is True
    assert "the training tokens of the proxy of one, two are not known" in " ".join(report["notes"])


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("{data} {output}", "{data} {outptu}", "did you mean 'output'?"),
        ("{data} {output}", "{data}", "it has no {output}"),
        ("step*-hf", "stp*", "no folder matches"),
        ("folder: training", "folder: nowhere", "there is no folder "),
        ("average: 2", "average: 4", "it gives 3 checkpoints, and 'average' is 4"),
        ("average: 2", "seeds: 2", "it has no {seed}, and 'seeds' is 2"),
        ("    tokens: 9k\n", "", "nothing says how many tokens to train on"),
        ("    path: data/prose.jsonl\n", "", "'prose' has no text of its own"),
        ("    mixture: {solved: 0.5, prose: 0.5}\n", "", "'blend' has no text for the plan's 'scr"),
    ],
)
def test_bad_input_is_told_in_one_line_before_anything_is_spent(
    elsewhere: Any, old: str, new: str, told: str
) -> None:
    changed = 0
    for path in (elsewhere.manifest, elsewhere.plan):
        text = path.read_text()
        changed += old in text
        path.write_text(text.replace(old, new))
    assert changed
    result = CliRunner().invoke(
        app, ["run", str(elsewhere.manifest), "--store", str(elsewhere.folder / "store")]
    )
    assert result.exit_code == 2, result.output
    assert told in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (elsewhere.folder / "store" / "artifacts").exists()


def test_the_example_of_the_project_is_well_formed(tmp_path: Path) -> None:
    from dataselect.config.manifest import load_manifest
    from dataselect.config.plan import Plan, project_folder
    from dataselect.stages.proxy_origins import check_origins, needs_tokenizer

    manifest = load_manifest(project_folder() / "candidates" / "checkpoints.yaml")
    plan = manifest.document_at(Plan, "plan")
    check_origins(manifest, plan)
    assert not needs_tokenizer(manifest, plan)
