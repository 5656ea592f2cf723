"""A tracker in a process beside the run: what it is told, and that it can do the run no harm."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import noted_tracker
import pytest

from dataselect.compute import Event
from dataselect.errors import InputError
from dataselect.stages.metrics import MetricsLog
from dataselect.stages.recording import About, recorded
from dataselect.stages.work import Scored
from dataselect.store.sealed import sealed_line
from dataselect.trackers import names, sidecar
from dataselect.trackers.follow import Lines, follow

ROOT = Path(__file__).parents[2]
ABOUT = About("run", "mine", "dataselect run m.yaml", "m.yaml", "plan", None, "cpu")
TOLD = {"tokens": 50, "total_tokens": 100, "tokens_per_second": 10.0, "loss": 2.5}


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The tracker `noted`, for the processes that tests start."""
    path = os.pathsep.join([noted_tracker.bring(tmp_path / "site"), str(ROOT)])
    monkeypatch.setenv("PYTHONPATH", path)
    return path


def run_with(store: Path, *, end: str = "done") -> list[str]:
    """A tiny run with the tracker; its notes."""
    notes: list[str] = []
    with recorded(store, ABOUT) as recorder:
        log = MetricsLog(recorder, {"plan": {"seed": 1}}, ["noted"], notes.append)
        log.step("Stage 1: screen")
        log.event(Event("stage1/a", "started", {}))
        log.event(Event("stage1/a", "progress", TOLD))
        log.tell(Scored("stage1/a", 100, {"easy/rbridge": 1.25}))
        if end == "failed":
            raise InputError("x", "y", "z")
        recorder.close("done")
    return notes


def noted_in(store: Path) -> list[dict[str, Any]]:
    (path,) = (store / "runs").glob("*/noted.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def wait_for(found: Callable[[], object]) -> None:
    until = time.monotonic() + 60
    while not found():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_tracker_of_another_package_is_told_everything(noted: str, tmp_path: Path) -> None:
    notes = run_with(tmp_path / "store")
    start, *logged, finish = noted_in(tmp_path / "store")
    assert (start["name"], start["call"], start["config"]) == ("mine", 1, {"plan": {"seed": 1}})
    assert logged == [
        {"metrics": {"loss/stage1/a": 2.5, "tokens_per_second/stage1/a": 10.0}, "step": 50},
        {"metrics": {"easy/rbridge/stage1/a": 1.25}, "step": 100},
    ]
    assert finish == {"finish": "done"}
    assert notes == [f"noted: https://noted/{start['run']}"], "shown once"
    (log,) = (tmp_path / "store" / "runs").glob("*/tracker-noted.log")
    assert "a library that prints" in log.read_text()


def test_a_second_call_goes_on_under_the_same_id_and_repeats_nothing(
    noted: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError):
        run_with(tmp_path / "store", end="failed")
    run_with(tmp_path / "store")
    told = noted_in(tmp_path / "store")
    starts = [each for each in told if "run" in each]
    assert [each["call"] for each in starts] == [1, 2]
    assert starts[0]["run"] == starts[1]["run"]
    assert [each["finish"] for each in told if "finish" in each] == ["failed", "done"]
    assert len(told) == 8


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("login", "noted is off (PermissionError: no key for https://host/)"),
        ("exit", "noted is off (SystemExit: 3)"),
        ("crash", "noted is off (its process ended with code 9)"),
        ("hang", "noted is off (it did not end within"),
    ],
)
def test_a_tracker_that_fails_costs_one_note(
    fault: str, why: str, noted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTED_FAULT", fault)
    if fault == "hang":
        monkeypatch.setattr("dataselect.stages.metrics.END_SECONDS", 2.0)
    (note,) = run_with(tmp_path / "store")
    assert note.startswith(why)
    (metrics,) = (tmp_path / "store" / "runs").glob("*/metrics.jsonl")
    kinds = [json.loads(line)["kind"] for line in metrics.read_text().splitlines()]
    assert kinds == ["start", "training", "scores", "end"]


def test_a_killed_run_is_told_to_its_tracker_as_killed(noted: str, tmp_path: Path) -> None:
    code = f"""
        import time
        from pathlib import Path
        from dataselect.stages.metrics import MetricsLog
        from dataselect.stages.recording import About, recorded
        about = About("run", "mine", "c", "m.yaml", "plan", None, "cpu")
        with recorded(Path({str(tmp_path / "store")!r}), about) as recorder:
            log = MetricsLog(recorder, {{}}, ["noted"], print)
            time.sleep(600)
        """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    wait_for(lambda: list(tmp_path.glob("store/runs/*/noted.jsonl")))
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: len(noted_in(tmp_path / "store")) == 2)
    assert noted_in(tmp_path / "store")[-1] == {"finish": "killed"}


def test_a_process_that_cannot_be_started_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(sidecar.subprocess, "Popen", refuse)
    (note,) = run_with(tmp_path / "store")
    assert "its process cannot be started (no more processes)" in note


def test_half_a_line_is_read_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"old": 1}\n{"a": 1}\n{"b"')
    lines = Lines(path, len(b'{"old": 1}\n'))
    assert list(lines.new()) == [{"a": 1}]
    with path.open("ab") as file:
        file.write(b": 2}\nno json\n[1]\n")
    assert list(lines.new()) == [{"b": 2}]


def test_without_a_start_nothing_is_passed_on(tmp_path: Path) -> None:
    follow(_Never(), Lines(tmp_path / "none.jsonl", 0), tmp_path, lambda: "killed", _never)


def test_an_unknown_name_and_a_missing_library_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"--track: there is no tracker 'wandbb'; did you mean"):
        names.check_tracker("wandbb", "--track")
    monkeypatch.setattr(names, "find_spec", lambda _: None)
    fix = r"p.yaml:3:9: 'wandb' is not installed; pip install 'dataselect\[wandb\]'"
    with pytest.raises(InputError, match=fix):
        names.check_tracker("wandb", "p.yaml:3:9")


class _Never:
    def start(self, *_: object) -> None:
        raise AssertionError

    log = finish = start


def _never(_: object) -> None:
    raise AssertionError


def test_a_spoilt_number_is_not_passed_on_and_half_a_line_waits(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = [sealed_line({"kind": "loss", "metrics": {"loss": number}}) for number in (1.5, 2.5)]
    path.write_bytes(lines[0] + lines[1].replace(b"2.5", b"9.5") + lines[0][:20])
    followed = Lines(path, 0)
    assert list(followed.new()) == [{"kind": "loss", "metrics": {"loss": 1.5}}]
    with path.open("ab") as file:
        file.write(lines[0][20:])
    assert len(list(followed.new())) == 1
