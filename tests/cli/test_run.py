"""The command as a user runs it: in a separate process, killed and restarted.

What a command does is the same in this process, where most of them run.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import dataselect as ds
from dataselect.store import Store, lock
from dataselect.store.sealed import unsealed

MAKES_A_LONG_STAGE_1 = "100k"


def one_job_at_a_time(project: Any) -> None:
    """A second worker would import torch for nothing, which takes seconds."""
    project.plan.write_text(project.plan.read_text().replace("jobs: 2", "jobs: 1"))


def decided(report: dict[str, Any]) -> Any:
    """The results that must not depend on how often a run was stopped."""
    return [report["candidates"], report["wins"], report["verdict"], report["cost"]["flops"]]


def wait_for_training(project: Any, process: "subprocess.Popen[str]") -> None:
    """Wait until a worker has started to train, when its workspace exists."""
    deadline = time.monotonic() + 120
    while not list(project.folder.glob(".dataselect/work/proxy-*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1.5)


def test_run_ranks_reports_and_is_reproduced_by_resolved_yaml(project: Any) -> None:
    first = project.run_apart("run", "candidates.yaml")
    assert first.returncode == 0, first.stderr
    report = project.report()
    assert report["schema"] == 1
    assert {c["id"]: c["status"] for c in report["candidates"]} == {
        "solved": "ranked",
        "blend": "ranked",
        "prose": "pruned",
    }
    assert report["candidates"][0]["stage1"]["benchmarks"]["stories"]["rbridge"] > 0
    assert report["candidates"][0]["stage2"]["predicted_accuracy"] is None
    assert report["stages"]["stage1"]["kept_by"] == dict.fromkeys(("solved", "blend"), "count")
    assert report["stages"]["stage1"]["doubt"]["extrapolated"]
    assert report["stages"]["stage1"]["signal_to_noise"]["stories"]["verdict"] == "unknown"
    out = project.folder / "reports" / "candidates"
    assert {path.name for path in out.iterdir()} >= {
        "README.md",
        "ranking.csv",
        "report.json",
        "resolved.yaml",
    }
    assert "solved" in first.stdout
    assert first.stdout.splitlines()[-1] == (
        "report: reports/candidates/report.html (README.md is the same as Markdown)"
    )

    ledger = project.folder / ".dataselect" / "ledger.jsonl"
    spent = ledger.read_bytes()
    began = time.monotonic()
    again = project.run(
        "run", "reports/candidates/resolved.yaml", "--out", "again", "--ablate", "-q"
    )
    seconds = time.monotonic() - began
    assert again.returncode == 0, again.stderr
    assert decided(project.report("again")) == decided(report)
    assert report["ablation"] is None
    assert project.report("again")["ablation"]["metrics"]["trace_nll"]["ranks"]["solved"] >= 1
    assert "Every metric's ranking" in again.stdout
    assert "Stage 1: screen" in first.stdout
    assert "Stage 1: screen" not in again.stdout, "--quiet leaves out the progress"
    for_programs = project.run("run", "candidates.yaml", "--json")
    written = project.report()
    del written["sha256"]  # of the file
    assert json.loads(for_programs.stdout) == written
    assert "Stage 1: screen" in for_programs.stderr
    assert ledger.read_bytes() == spent, "something was computed again"
    assert seconds < 20, "generous: two busy cores; the figure is measured elsewhere"


def test_a_plan_can_name_its_own_measured_gap(project: Any) -> None:
    proxy = pd.DataFrame({"id": list("abcd"), "size": "20k", "rbridge": [1.0, 1.2, 1.5, 1.9]})
    target = pd.DataFrame({"id": list("abcd"), "arc": [0.5, 0.4, 0.45, 0.2]})
    own = project.folder / "own.json"
    ds.agree(proxy, target, lower_is_better=True).write(own)
    text = project.plan.read_text()
    before, _, after = text.partition("predict:\n")
    after = after[after.index("compute:") :]
    project.plan.write_text(before.replace("keep: 2", "keep: 2\n  discrepancy: own.json") + after)
    checked = project.run("validate", "candidates.yaml")
    assert "Stage 1: gap between proxy and target by own.json (rbridge@20k)" in checked.stdout
    ran = project.run("run", "candidates.yaml")
    assert ran.returncode == 0, ran.stderr
    report = project.report()
    assert report["stages"]["stage1"]["doubt"]["basis"] == "measured"
    assert "your own proxies of 4 known targets" in report["verdict"]
    digest = hashlib.sha256(own.read_bytes()).hexdigest()
    made = report["provenance"]["discrepancy"]["stage1"]
    assert (made["file"], made["sha256"]) == ("own.json", digest)
    assert made["comparisons"]["rbridge@20k"]["candidates"] == 4
    resolved = (project.folder / "reports" / "candidates" / "resolved.yaml").read_text()
    assert 'discrepancy: "../../own.json"' in resolved
    assert f"# screen: discrepancy own.json was sha256 {digest}" in resolved
    content = json.dumps(unsealed(json.loads(own.read_text())))
    own.write_text(content.replace('"rbridge"', '"loss"'))
    for command in ("validate", "run"):
        refused = project.run(command, "candidates.yaml")
        assert refused.returncode == 2
        assert "own.json: it compares no 'rbridge'" in refused.stderr


def test_cached_run_never_imports_torch_nor_what_only_mixtures_need(project: Any) -> None:
    assert project.run("run", "candidates.yaml").returncode == 0
    code = (
        "import sys; sys.argv = ['dataselect', 'run', 'candidates.yaml']\n"
        "from dataselect.cli import app\n"
        "app(standalone_mode=False)\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
        "heavy = {'scipy.stats', 'optuna', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=project.folder, check=True)


def test_kill_9_in_stage_1_and_the_same_command_give_the_same_report(
    make_project: Callable[..., Any],
) -> None:
    project = make_project(MAKES_A_LONG_STAGE_1)
    one_job_at_a_time(project)
    project.plan.write_text(project.plan.read_text() + "max_repeats: 40\n")
    process = project.start("run", "candidates.yaml")
    wait_for_training(project, process)
    process.kill()
    process.communicate()
    assert not (project.folder / "reports" / "candidates" / "report.json").exists()
    dead = project.run("status", "reports/candidates")
    assert dead.stdout.startswith(f"candidates: died; process {process.pid} on ")
    assert "to go on: dataselect run candidates.yaml" in dead.stdout
    resumed = project.run("run", "candidates.yaml")
    assert resumed.returncode == 0, resumed.stderr
    ended = project.run("status", "candidates").stdout
    assert ended.startswith("candidates: done at ")
    assert "call 2" in ended
    whole = project.run("run", "candidates.yaml", "--store", "other", "--out", "whole")
    assert whole.returncode == 0, whole.stderr
    assert decided(project.report()) == decided(project.report("whole"))


def test_ctrl_c_ends_with_130_and_the_command_that_resumes(
    make_project: Callable[..., Any],
) -> None:
    project = make_project(MAKES_A_LONG_STAGE_1)
    one_job_at_a_time(project)
    project.plan.write_text(project.plan.read_text() + "max_repeats: 40\n")
    process = project.start("run", "candidates.yaml")
    wait_for_training(project, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "dataselect run candidates.yaml" in err
    assert "Traceback" not in err


def test_two_runs_at_once_in_one_store_report_as_one_alone_and_train_each_proxy_once(
    project: Any,
) -> None:
    one_job_at_a_time(project)
    both = [project.start("run", "candidates.yaml", "--out", name) for name in ("one", "two")]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    alone = project.run("run", "candidates.yaml", "--store", "other", "--out", "alone")
    assert alone.returncode == 0, alone.stderr
    expected = decided(project.report("alone"))
    assert decided(project.report("one")) == expected
    assert decided(project.report("two")) == expected
    # Neither waiting nor the other run is in the notes.
    assert project.report("one")["notes"] == project.report("two")["notes"]
    assert project.report("one")["notes"] == project.report("alone")["notes"]
    shared, own = (
        Counter((r["kind"], r["key"]) for r in Store(project.folder / name).ledger())
        for name in (".dataselect", "other")
    )
    assert shared == own
    assert set(shared.values()) == {1}
    for name in ("claims", "owners", "work", "tmp"):
        assert list((project.folder / ".dataselect" / name).glob("*")) == []


def test_a_run_beside_one_of_an_older_version_is_refused_with_exit_code_4(project: Any) -> None:
    # Which has the store for itself.
    with lock(project.folder / ".dataselect", "the store"):
        result = project.run("run", "candidates.yaml")
    assert result.returncode == 4
    assert str(os.getpid()) in result.stderr
    assert "--store" in result.stderr


def test_wheel_runs_outside_the_checkout(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    root = Path(__file__).parents[2]
    source = tmp_path / "source"
    source.mkdir()
    for name in ("dataselect", "candidates", "stages"):
        shutil.copytree(root / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "reports").mkdir()
    for name in ("reports/README.md", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, source / name)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(tmp_path)]
    subprocess.run([*build, str(source)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    shutil.unpack_archive(wheel, installed, "zip")

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = os.environ | {"PYTHONPATH": str(installed)}

    def dataselect(*arguments: str) -> str:
        command = [sys.executable, "-m", "dataselect", *arguments]
        done = subprocess.run(
            command, cwd=elsewhere, env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout

    where = [sys.executable, "-c", "import dataselect; print(dataselect.__file__)"]
    found = subprocess.run(
        where, cwd=elsewhere, env=environment, check=True, capture_output=True, text=True
    )
    assert found.stdout.startswith(str(installed))
    dataselect("init", "mine")
    for folder in ("candidates", "stages"):
        there = elsewhere / "mine"
        written = {p.relative_to(there): p for p in contents(there, folder)}
        ours = {p.relative_to(root): p for p in contents(root, folder)}
        assert written.keys() == ours.keys()
        assert all(written[name].read_bytes() == ours[name].read_bytes() for name in ours)
    assert "10 candidates" in dataselect("validate", "mine/candidates/quickstart.yaml")


def contents(root: Path, folder: str) -> list[Path]:
    return [path for path in (root / folder).rglob("*") if path.is_file()]
