"""The record of a run: written beside the work, read by anybody, and honest about who lives."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dataselect.store import Store
from dataselect.store.owner import last_sign
from dataselect.store.process import this_process
from dataselect.store.run_record import RunRecord, read_run, run_of_report, runs, vital

WRITER = """
import sys, time
from pathlib import Path
from dataselect.store.run_record import RunRecord
record = RunRecord(Path(sys.argv[1]), "web", "one")
record.write({"state": "running", "name": "web"})
print("written", flush=True)
time.sleep(600)
"""


def started(root: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    return process


def test_a_process_is_running_then_paused_then_dead(tmp_path: Path) -> None:
    process = started(tmp_path)
    try:
        (run,) = runs(tmp_path)
        assert vital(run).life == "running"
        process.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 10
        while vital(run).life != "paused":
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    found = vital(run)
    assert found.life == "died"
    assert found.seen_ns is not None
    # Also after another process has tidied up the signs of life of the dead one.
    Store(tmp_path).clean()
    assert list((tmp_path / "owners").iterdir()) == []
    assert vital(run).life == "died"
    assert read_run(run.folder) == run


def elsewhere(tmp_path: Path, age: float) -> Path:
    """The store with a record whose process is on another machine, silent for `age` seconds."""
    record = RunRecord(tmp_path, "web", "one")
    record.write({"state": "running"})
    (run,) = runs(tmp_path)
    owner = tmp_path / "owners" / run.document["owner"]
    other = replace(this_process(), boot="of another machine", host="node3")
    kept = json.loads(owner.read_bytes()) | other.record()
    record.close()
    owner.write_text(json.dumps(kept))
    os.utime(owner, (time.time() - age, time.time() - age))
    return owner


def test_a_process_elsewhere_is_judged_by_its_signs_of_life(tmp_path: Path) -> None:
    elsewhere(tmp_path, age=5)
    (run,) = runs(tmp_path)

    def never(seconds: float) -> None:
        raise AssertionError("a fresh sign of life is believed at once")

    assert vital(run, sleep=never).life == "running"


def test_a_silent_process_elsewhere_is_watched_before_it_is_called_silent(tmp_path: Path) -> None:
    elsewhere(tmp_path, age=600)
    (run,) = runs(tmp_path)
    waited: list[float] = []
    assert vital(run, patience=12, sleep=waited.append).life == "silent"
    assert sum(waited) == 12


@pytest.mark.parametrize("skew", [-7200.0, 7200.0])
def test_a_wrong_clock_makes_no_living_process_dead(tmp_path: Path, skew: float) -> None:
    owner = elsewhere(tmp_path, age=0)
    (run,) = runs(tmp_path)
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 4:
            os.utime(owner)  # its next heartbeat

    assert vital(run, sleep=sleep, clock=lambda: time.time() + skew).life == "running"
    assert len(waited) == 4


def test_calls_of_one_run_share_a_record_and_those_at_once_do_not(tmp_path: Path) -> None:
    first = RunRecord(tmp_path, "Web crawl", "one")
    first.write({"state": "running", "call": 1})
    beside = RunRecord(tmp_path, "Web crawl", "one")
    beside.write({"state": "running"})
    other = RunRecord(tmp_path, "Web crawl", "two")
    assert first.id.startswith("web-crawl-")
    assert beside.id == f"{first.id}-2"
    assert other.id not in (first.id, beside.id)
    for each in (first, beside, other):
        each.close()
    assert list((tmp_path / "owners").iterdir()) == []
    again = RunRecord(tmp_path, "Web crawl", "one")
    before = again.before()
    assert again.id == first.id
    assert before is not None
    assert before["call"] == 1
    again.close()


def test_events_survive_a_torn_line(tmp_path: Path) -> None:
    record = RunRecord(tmp_path, "web", "one")
    record.write({"state": "running"})
    record.append({"kind": "began"})
    with (record.folder / "events.jsonl").open("a") as file:
        file.write('{"kind": "pro')
    record.append({"kind": "ended"})
    record.close()
    (run,) = runs(tmp_path)
    assert [each["kind"] for each in run.events()] == ["began", "ended"]


def test_the_report_s_folder_leads_to_the_record(tmp_path: Path) -> None:
    report = tmp_path / "reports" / "web"
    report.mkdir(parents=True)
    record = RunRecord(tmp_path / "store", "web", "one", report)
    record.write({"state": "running"})
    record.close()
    found = run_of_report(report)
    assert found is not None
    assert found.folder == record.folder
    # Also where the file system is mounted at another place.
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    found = run_of_report(moved / "reports" / "web")
    assert found is not None
    assert found.root == moved / "store"
    assert run_of_report(moved) is None


def test_what_cannot_be_written_harms_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "runs").write_text("a file is in the way")
    record = RunRecord(tmp_path, "web", "one")
    for _ in range(3):
        record.write({"state": "running"})
        record.append({"kind": "part"})
    record.close()
    assert len(caplog.records) == 1
    assert "status cannot be written" in caplog.text
    assert runs(tmp_path) == []


def test_a_sign_of_life_is_given_up_only_by_its_process(tmp_path: Path) -> None:
    record = RunRecord(tmp_path, "web", "one")
    record.write({"state": "running"})
    (run,) = runs(tmp_path)
    path = tmp_path / "owners" / run.document["owner"]
    assert last_sign(path) is not None
    # Another process took this one for dead, while it was stopped.
    path.unlink()
    assert vital(run).life == "died"
    record._owner.touch()  # type: ignore[union-attr]
    record.write({"state": "running"})
    (run,) = runs(tmp_path)
    assert vital(run).life == "running"
    record.close()
