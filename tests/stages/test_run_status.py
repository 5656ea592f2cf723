"""What `dataselect status` tells of runs that live, have died or have ended, several in a store."""

import io
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from dataselect.cli import app
from dataselect.compute import Event
from dataselect.errors import IncompleteError, InputError
from dataselect.report.run_status import print_run, print_runs, resume_command
from dataselect.stages.recording import About, Recorder, recorded
from dataselect.stages.run_status import RunStatus, find_run, list_runs, status_of
from dataselect.stages.work import (
    ExpectedPart,
    Made,
    Outlook,
    Planned,
    PlannedJob,
    RankedRow,
    StageRanking,
)
from dataselect.store import Store, content_key
from dataselect.store.run_record import Vital, runs

TITLE = "Stage 1: screen"


def about(name: str, report: Path | None = None) -> About:
    manifest = f"{name}.yaml"
    return About("run", name, f"dataselect run {manifest}", manifest, "plan", report, "cpu")


def name_of(kind: str, spec: Any) -> str:
    return f"{kind}-{content_key(kind, spec)}"


def work(recorder: Recorder, spec: Any) -> None:
    """A part with two jobs: one done, and one that runs."""
    proxy = name_of("proxy", spec)
    recorder.tell(Outlook(1, (ExpectedPart(TITLE, 2, 1000.0),), traces_usd=1.25))
    recorder.step(TITLE)
    jobs = PlannedJob("stage1/web", 1, 1000.0, 100, (proxy,)), PlannedJob("stage1/books")
    recorder.tell(Planned(jobs, found=1))
    for job in jobs:
        recorder.event(Event(job.name, "started", {"attempt": 1}))
        fields: dict[str, float | int | str] = {"tokens": 50, "total_tokens": 100, "loss": 2.5}
        recorder.event(Event(job.name, "progress", fields | {"tokens_per_second": 10.0}))
    recorder.event(Event("stage1/web", "done", {"wall_seconds": 10.0}))
    recorder.tell(Made("stage1/web", (proxy, name_of("scores", spec))))


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    made = Recorder(tmp_path, about("web"), seconds=0.01)
    yield made
    if made._state == "running":
        made.close("done")


def shown(status: RunStatus) -> str:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    print_run(status, console)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    to_copy = ("to go on: ", "report: ", "events: ")
    lines = [line for line in text.splitlines() if not line.startswith(to_copy)]
    assert max(map(len, lines)) <= 80
    return text


def tree(folder: Path) -> list[tuple[str, int]]:
    """Files and folders with the times of their last change."""
    return sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*"))


def test_a_living_run_tells_its_jobs_and_the_time_left(recorder: Recorder, tmp_path: Path) -> None:
    work(recorder, {"n": 1})
    recorder.record.write(recorder.document())
    status = status_of(find_run(tmp_path, "web"))
    assert (status.state, status.here) == ("running", True)
    (part,) = status.document["parts"]
    assert [part[key] for key in ("total", "found", "done", "running")] == [3, 1, 2, 1]
    text = shown(status)
    assert "web: running since " in text
    assert "Stage 1: screen: 2 of 3 done (1 from the store), 1 running" in text
    assert "stage1/books" in text
    assert "50%" in text
    assert "2.500" in text
    assert "1.25 USD" in " ".join(text.split())
    assert "to go on" not in text


def test_the_state_is_written_while_nothing_happens(recorder: Recorder, tmp_path: Path) -> None:
    work(recorder, {"n": 1})
    deadline = time.monotonic() + 10
    while not (runs(tmp_path)[0].document["parts"] or [{}])[0].get("running"):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_looking_changes_nothing(recorder: Recorder, tmp_path: Path) -> None:
    recorder.close("done")
    before = tree(tmp_path)
    list_runs(tmp_path)
    status_of(find_run(tmp_path, "web"))
    assert tree(tmp_path) == before
    nowhere = tmp_path / "nowhere"
    with pytest.raises(InputError, match="there is no store here"):
        list_runs(nowhere)
    assert not nowhere.exists()


def test_a_run_that_died_says_so_with_the_command_that_resumes_it(
    recorder: Recorder, tmp_path: Path
) -> None:
    work(recorder, {"n": 1})
    recorder.record.write(recorder.document())
    seen = runs(tmp_path)[0].written_ns
    status = status_of(find_run(tmp_path, "web"), look=lambda *_: Vital("died", seen, here=True))
    assert status.state == "died"
    text = shown(status)
    assert "web: died; process " in text
    assert "to go on: dataselect run web.yaml" in text
    assert "ran then" in text
    assert "left in all" not in text
    elsewhere = {**status.document, "folder": "/data/my project"}
    assert resume_command(elsewhere) == "cd '/data/my project' && dataselect run web.yaml"


def test_a_list_calls_no_living_process_silent_because_of_its_clock(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, about("web"), seconds=1000.0)
    (run,) = runs(tmp_path)
    owner = tmp_path / "owners" / run.document["owner"]
    kept = json.loads(owner.read_bytes()) | {"boot": "of another machine"}
    owner.write_text(json.dumps(kept))
    old = time.time() - 900

    def heartbeat(seconds: float) -> None:
        assert 10 < seconds < 15
        os.utime(owner, (old + 10, old + 10))

    for path in (owner, run.folder / "status.json"):
        os.utime(path, (old, old))
    assert [each.state for each in list_runs(tmp_path, heartbeat)] == ["running"]
    waited: list[float] = []
    assert [each.state for each in list_runs(tmp_path, waited.append)] == ["silent"]
    assert len(waited) == 1
    recorder.close("done")


def test_each_end_is_told(tmp_path: Path) -> None:
    for error, state in (
        (IncompleteError("no disk"), "failed"),
        (KeyboardInterrupt(), "interrupted"),
    ):
        with pytest.raises(type(error)), recorded(tmp_path, about(state)):
            raise error
        status = status_of(find_run(tmp_path, state))
        assert status.state == state
        assert f"to go on: dataselect run {state}.yaml" in shown(status)
    assert "no disk" in shown(status_of(find_run(tmp_path, "failed")))
    with recorded(tmp_path, about("well")) as recorder:
        recorder.close("done")
    text = shown(status_of(find_run(tmp_path, "well")))
    assert "well: done at " in text
    assert "to go on" not in text
    with recorded(tmp_path, about("well")) as recorder:
        recorder.close("incomplete")
    text = shown(status_of(find_run(tmp_path, "well")))
    assert "call 2; some of it failed" in text


def test_runs_that_share_a_store_are_told_apart(tmp_path: Path) -> None:
    store, both = Store(tmp_path), ({"n": 1}, {"n": 2})
    for spec, cpu in zip(both, (10.0, 1000.0), strict=True):
        facts = {"status": "done", "wall_seconds": 1.0, "cpu_seconds": cpu, "flops": cpu}
        store.note("proxy", spec, {"name": "stage1/web", **facts})
        store.note("scores", spec, {"name": "stage1/web", **facts})
    for name, spec in zip(("first", "second"), both, strict=True):
        recorder = Recorder(tmp_path, about(name))
        work(recorder, spec)
        recorder.close("done")
    assert [each.document["name"] for each in list_runs(tmp_path)] == ["second", "first"]
    first, second = (status_of(find_run(tmp_path, name)) for name in ("first", "second"))
    assert (first.spent.cpu_seconds, second.spent.cpu_seconds) == (20.0, 2000.0)
    assert (first.spent.jobs, first.spent.flops) == (2, 20.0)
    # What both use is what each has spent, as in their reports.
    recorder = Recorder(tmp_path, about("third"))
    recorder.step(TITLE)
    recorder.tell(Planned((), 2, tuple(name_of("proxy", spec) for spec in both)))
    recorder.close("done")
    assert status_of(find_run(tmp_path, "third")).spent.cpu_seconds == 1010.0


def test_a_run_is_found_by_name_report_or_the_beginning_of_its_id(tmp_path: Path) -> None:
    store, report = tmp_path / "store", tmp_path / "reports" / "web"
    report.mkdir(parents=True)
    for each in (about("web", report), about("webtext"), about("forum")):
        Recorder(store, each).close("done")
    by_id = {run.document["name"]: run.id for run in runs(store)}
    assert find_run(store, "web").id == by_id["web"]
    assert find_run(store, str(report)).id == by_id["web"]
    # The report's folder knows its store.
    assert find_run(tmp_path / "elsewhere", str(report)).id == by_id["web"]
    assert find_run(store, by_id["forum"]).id == by_id["forum"]
    assert find_run(store, "fo").id == by_id["forum"]
    with pytest.raises(InputError, match="2 runs begin so; name one of: web"):
        find_run(store, "we")
    with pytest.raises(InputError, match=r"no such run in the store .*; did you mean 'forum'"):
        find_run(store, "forun")


def test_a_ranking_is_shown_and_kept_as_soon_as_it_is_known(
    recorder: Recorder, tmp_path: Path
) -> None:
    rows = (
        RankedRow("web", 1, -0.5, -0.6, -0.4, 0.9, True),
        RankedRow("b", 2, 0, -1, 1, 0.1, False),
    )
    recorder.tell(StageRanking("stage1", "Stage 1", 1, rows, {"forum": "its worker died"}))
    recorder.record.write(recorder.document())
    text = shown(status_of(find_run(tmp_path, "web")))
    assert "Stage 1 ranks" in text
    assert "−0.50 [−0.60, −0.40]" in text
    assert "goes on" in text
    assert "no score: its worker died" in text
    (event,) = [e for e in find_run(tmp_path, "web").events() if e["kind"] == "ranking"]
    assert event["fields"]["rows"][0]["id"] == "web"


def test_events_are_a_json_a_line_with_few_of_progress(recorder: Recorder, tmp_path: Path) -> None:
    recorder.step(TITLE)
    recorder.event(Event("stage1/web", "started", {"attempt": 1}))
    for tokens in range(1000):
        fields: dict[str, float | int | str] = {"tokens": tokens, "total_tokens": 1000}
        recorder.event(Event("stage1/web", "progress", fields | {"loss": float("nan")}))
    recorder.event(Event("stage1/web", "failed", {"error": "no [/disk]"}))
    recorder.close("incomplete")
    events = find_run(tmp_path, "web").events()
    kinds = [event["kind"] for event in events]
    assert kinds == ["began", "part", "started", "progress", "failed", "ended"]
    assert all(set(each) == {"time", "call", "stage", "job", "kind", "fields"} for each in events)
    assert events[3]["fields"]["loss"] is None
    assert events[4]["stage"] == TITLE
    text = shown(status_of(find_run(tmp_path, "web")))
    assert "failed: stage1/web: no [/disk]" in text


def test_the_command_lists_shows_and_gives_json(recorder: Recorder, tmp_path: Path) -> None:
    work(recorder, {"n": 1})
    recorder.close("done")
    given = ["--store", str(tmp_path)]
    runner = CliRunner()
    listed = runner.invoke(app, ["status", *given])
    assert listed.exit_code == 0, listed.output
    assert "Stage 1 2 of 3 done" in listed.output
    one = json.loads(runner.invoke(app, ["status", "web", "--json", *given]).output)
    assert one["state"] == "done"
    assert one["spent"]["jobs"] == 0
    every = json.loads(runner.invoke(app, ["status", "--json", *given]).output)
    assert [each["id"] for each in every["runs"]] == [one["id"]]
    watched = runner.invoke(app, ["status", "web", "--watch", *given])
    assert "web: done" in watched.output
    wrong = runner.invoke(app, ["status", "wob", *given])
    assert wrong.exit_code == 2
    assert "did you mean" in wrong.output


def test_many_runs_fit_into_80_columns(tmp_path: Path) -> None:
    for name in ("a", "a-very-long-name-of-a-run-that-goes-on-and-on"):
        recorder = Recorder(tmp_path, about(name))
        work(recorder, {"n": name})
        recorder.close("done")
    console = Console(file=io.StringIO(), width=80, color_system=None)
    print_runs(list_runs(tmp_path), console)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= 80


def test_an_odd_record_hides_no_other_run(tmp_path: Path) -> None:
    for name in ("web", "odd", "books"):
        Recorder(tmp_path, about(name)).close("done")
    file = next(tmp_path.glob("runs/odd-*")) / "status.json"
    content = json.loads(file.read_text())
    content.pop("sha256")
    file.write_text(json.dumps({**content, "parts": [{"total": 3, "title": "x"}]}))
    result = CliRunner().invoke(app, ["status", "--store", str(tmp_path)])
    assert result.exit_code == 0, result.output
    rows = {line.split()[0].rpartition("-")[0]: line for line in result.output.splitlines()}
    assert [rows[name].split()[1] for name in ("web", "books")] == ["done", "done"]
    assert "unreadable" in result.output
    (line,) = [each for each in result.output.splitlines() if "KeyError" in each]
    assert line.startswith("odd-")
    assert line.endswith("or remove its folder in the store")
