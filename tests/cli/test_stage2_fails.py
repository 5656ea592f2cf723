"""Stage 1's ranking is shown and written before Stage 2, and stands where that fails wholly."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from old_store import unpack
from typer.testing import CliRunner

from dataselect.cli import app
from dataselect.compute import InlineCompute
from dataselect.proxy_sources import TrainedHere

STEPS_OF_STAGE_2 = 15

pytestmark = pytest.mark.usefixtures("without_numba")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small world, without the proxies of Stage 2, whose training fails."""
    folder = unpack(tmp_path)
    for artifact in (folder / "store" / "artifacts" / "proxy").iterdir():
        recipe = json.loads((artifact / "artifact.json").read_bytes())["spec"]["recipe"]
        if recipe["steps"] == STEPS_OF_STAGE_2:
            artifact.rename(folder / f"gone-{artifact.name}")

    def fail(*arguments: Any) -> None:
        raise ValueError("no second stage [/today]")

    monkeypatch.setattr(TrainedHere, "make", fail)
    monkeypatch.setattr(
        "dataselect.stages.engine.default_compute", lambda *_, **__: InlineCompute()
    )
    return folder


def run(world: Path) -> Any:
    given = [str(world / "manifest.yaml"), "--plan", str(world / "plan.yaml")]
    given += ["--store", str(world / "store"), "--out", str(world / "out")]
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, ["run", *given])


def test_the_ranking_of_stage_1_is_reported_and_the_exit_code_says_that_it_is_not_all(
    world: Path,
) -> None:
    done = run(world)
    assert done.exit_code == 3, done.output
    said = " ".join(done.output.split())
    assert "Stage 1 ranks" in said
    assert "Stage 2 could score no candidate" in said
    assert "no second stage [/today]" in said
    assert "so this is Stage 1's ranking" in said
    report = json.loads((world / "out" / "report.json").read_text())
    assert report["complete"] is False
    assert report["failed_stage"]["stage"] == "stage2"
    assert report["stages"]["stage2"] is None
    assert report["decision"]["next"]["action"] == "retry"
    assert [each["rank"] for each in report["candidates"]] == [1, 2, 3, 4]
    statuses = [each["status"] for each in report["candidates"]]
    assert statuses == ["ranked", "ranked", "pruned", "pruned"]
    assert report["candidates"][0]["reason"].startswith("Stage 2: ValueError: no second stage")
    page = (world / "out" / "README.md").read_text()
    assert "Stage 2 could score no candidate" in page


def test_it_is_written_before_stage_2_begins(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainedHere, "make", killed)
    done = run(world)
    assert done.exit_code == 130
    assert "Stage 1 ranks" in done.output
    assert not (world / "out" / "report.json").exists()
    rows = list(csv.DictReader((world / "out" / "ranking-stage1.csv").open()))
    assert [row["rank"] for row in rows] == ["1", "1", "3", "4"]
    assert [row["goes_on"] for row in rows] == ["True", "True", "False", "False"]
    shown = CliRunner().invoke(app, ["status", str(world / "out"), "--store", "nowhere"])
    assert "interrupted at" in shown.output
    assert "Stage 1 ranks" in shown.output
