"""Jobs by a scheduler: attempts that are lost, drivers that die, files that are changed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from dataselect.compute import Event, Job, Resources
from dataselect.compute.job_folder import AttemptFolder, JobFolder
from dataselect.compute.queued import Pace, QueuedCompute
from dataselect.compute.scheduler import State, Ticket
from dataselect.testing.jobs import Progress, burn, square, tick, wait_for

PACE = Pace(poll_seconds=0.05, states_seconds=0.2, grace_seconds=0.1)


class Processes:
    """A `Scheduler` that starts processes of this machine; an id is a process id."""

    name = "processes"

    def __init__(self, restarts: int = 0) -> None:
        self.restarts, self.submitted = restarts, 0
        self._tickets: dict[str, Ticket] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.words = ""

    def submit(self, tickets: Sequence[Ticket]) -> list[str]:
        return [self._start(ticket) for ticket in tickets]

    def _start(self, ticket: Ticket, known_as: str | None = None) -> str:
        command = [sys.executable, "-m", "dataselect.compute.supervisor"]
        command += [str(ticket.folder), ticket.digest]
        # A session of its own, as on another machine: what kills the driver leaves it alone.
        process = subprocess.Popen(command, start_new_session=True)
        job = known_as or str(process.pid)
        self._tickets[job], self._running[job] = ticket, process
        self.submitted += known_as is None
        return job

    def states(self, ids: Sequence[str]) -> Mapping[str, State] | None:
        return {job: self._state(job) for job in ids}

    def _state(self, job: str) -> State:
        process = self._running.get(job)
        if process is None:
            stat = Path(f"/proc/{job}/stat")
            alive = stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
            return State("running" if alive else "ended")
        if process.poll() is None:
            return State("running")
        if process.returncode < 0 and self.restarts:
            self.restarts -= 1
            self._start(self._tickets[job], job)
            return State("queued")
        return State("ended", self.words)

    def cancel(self, ids: Sequence[str]) -> None:
        for job in ids:
            if job in self._running:
                self._running[job].kill()
                self._running[job].wait()

    def log(self, job: str) -> Path | None:
        return None

    def forget(self, job: str) -> None: ...

    def close(self) -> None: ...


def slow(seconds: float, progress: Any) -> str:
    """Burn CPU time; the first process that runs this says where it is, and waits for its end."""
    progress({"pid": os.getpid()})
    burn(seconds, progress)
    return "done"


def kill_first(events: list[Event], folder: Path, whom: str) -> Any:
    """An `on_event` that kills the job's process, or its supervisor, once it has begun."""
    killed: list[int] = []

    def on_event(event: Event) -> None:
        events.append(event)
        if event.kind == "progress" and not killed:
            (attempt,) = (AttemptFolder(path) for path in folder.glob("*/attempt-1"))
            supervisor = int(attempt.begun["pid"])
            killed.append(supervisor if whom == "supervisor" else int(event.fields["pid"]))
            os.kill(killed[0], signal.SIGKILL)

    return on_event


@pytest.mark.parametrize("whom", ["job", "supervisor"])
def test_a_lost_attempt_is_tried_again_and_counted_with_its_cost(tmp_path: Path, whom: str) -> None:
    events: list[Event] = []
    scheduler = Processes()
    with QueuedCompute(scheduler, tmp_path, 1, Resources(threads=1), pace=PACE) as compute:
        job = Job("a", slow, {"seconds": 0.3})
        (outcome,) = compute.run([job], kill_first(events, tmp_path, whom))
    assert (outcome.error, outcome.result, outcome.attempts) == (None, "done", 2)
    assert scheduler.submitted == 2
    shown = [
        (event.kind, event.fields.get("attempt")) for event in events if event.kind != "progress"
    ]
    assert shown == [("started", 1), ("retried", None), ("started", 2), ("done", None)]
    (reason,) = (event.fields["reason"] for event in events if event.kind == "retried")
    words = "by SIGKILL, often a sign of too little memory: if so, ask for more 'memory'"
    assert (words if whom == "job" else "is gone") in str(reason)
    if whom == "job":
        assert outcome.wall_seconds > 0.3, "the first attempt's seconds are missing"


def test_a_restart_by_the_scheduler_is_seen_and_counted_and_not_submitted(tmp_path: Path) -> None:
    events: list[Event] = []
    scheduler = Processes(restarts=1)
    with QueuedCompute(scheduler, tmp_path, 1, Resources(threads=1), 0, PACE) as compute:
        job = Job("a", slow, {"seconds": 0.1})
        (outcome,) = compute.run([job], kill_first(events, tmp_path, "supervisor"))
    assert (outcome.result, outcome.attempts, scheduler.submitted) == ("done", 2, 1)
    assert [event.fields["attempt"] for event in events if event.kind == "started"] == [1, 2]


def test_a_job_that_is_lost_too_often_fails_with_the_schedulers_words(tmp_path: Path) -> None:
    scheduler = Processes()
    scheduler.words = "OUT_OF_MEMORY"
    with QueuedCompute(scheduler, tmp_path, 1, Resources(threads=1), 0, PACE) as compute:
        job = Job("a", slow, {"seconds": 5.0})
        (outcome,) = compute.run([job], kill_first([], tmp_path, "supervisor"))
    assert outcome.error_type == "WorkerDied"
    assert "OUT_OF_MEMORY" in str(outcome.error)


def test_an_attempt_ends_after_its_time(tmp_path: Path) -> None:
    resources = Resources(threads=1, seconds=1.5)
    with QueuedCompute(Processes(), tmp_path, 1, resources, 0, PACE) as compute:
        (outcome,) = compute.run([Job("a", slow, {"seconds": 60.0})], lambda event: None)
    assert "after its time, 1.5 s" in str(outcome.error)
    assert outcome.cpu_seconds > 0, "what it cost is not known"


def stopped(progress: Progress) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def test_a_process_that_is_stopped_for_long_is_ended(tmp_path: Path) -> None:
    resources = Resources(threads=1, silence=0.6)
    with QueuedCompute(Processes(), tmp_path, 1, resources, 0, PACE) as compute:
        (outcome,) = compute.run([Job("a", stopped)], lambda event: None)
    assert outcome.error_type == "WorkerDied"
    assert "gave no sign of life for " in str(outcome.error)


DRIVER = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from test_queued import PACE, Processes, tick
from dataselect.compute import Job, Resources
from dataselect.compute.queued import QueuedCompute
folder = Path({folder!r})
job = Job("a", tick, {{"file": folder / "ticks", "seconds": 2.5}})
QueuedCompute(Processes(), folder / "jobs", 1, Resources(threads=1), pace=PACE).run([job], print)
"""


def test_a_driver_that_is_started_again_finds_its_job(tmp_path: Path) -> None:
    script = DRIVER.format(path=[str(Path(__file__).parent), os.getcwd()], folder=str(tmp_path))
    driver = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL)
    ticks = tmp_path / "ticks"
    assert wait_for(lambda: ticks.exists() and ticks.stat().st_size > 3)
    driver.kill()
    driver.wait()
    before = ticks.stat().st_size
    assert wait_for(lambda: ticks.stat().st_size > before), "the job died with its driver"
    events: list[Event] = []
    scheduler = Processes()
    # An attempt that was lost under the first driver was counted then.
    (attempt,) = (tmp_path / "jobs").glob("*/attempt-1")
    attempt.with_name("attempt-0").mkdir()
    with QueuedCompute(scheduler, tmp_path / "jobs", 1, Resources(threads=1), pace=PACE) as compute:
        job = Job("a", tick, {"file": ticks, "seconds": 2.5})
        (outcome,) = compute.run([job], events.append)
    assert (outcome.error, outcome.attempts, scheduler.submitted) == (None, 1, 0)
    assert [event.kind for event in events] == ["started", "progress", "done"]
    assert "processes job" in str(events[0].fields["found"])
    assert events[0].fields["attempt"] == 2


def test_a_second_driver_that_lives_has_jobs_of_its_own(tmp_path: Path) -> None:
    first, second = Processes(), Processes()
    inner: list[int] = []

    def start_another(event: Event) -> None:
        if event.kind == "progress" and not inner:
            script = DRIVER.format(
                path=[str(Path(__file__).parent), os.getcwd()], folder=str(tmp_path)
            )
            done = subprocess.run(
                [sys.executable, "-c", script], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            inner.append(done.stdout.count("kind='started'"))
            assert "found" not in done.stdout

    with QueuedCompute(first, tmp_path / "jobs", 1, Resources(threads=1), pace=PACE) as compute:
        job = Job("a", tick, {"file": tmp_path / "ticks", "seconds": 2.5})
        (outcome,) = compute.run([job], start_another)
    assert (outcome.error, first.submitted, inner, second.submitted) == (None, 1, [1], 0)


@pytest.mark.parametrize("changed", ["job.json", "values"])
def test_a_job_that_was_changed_on_the_way_is_not_run(tmp_path: Path, changed: str) -> None:
    class Meddled(Processes):
        def submit(self, tickets: Sequence[Ticket]) -> list[str]:
            (ticket,) = tickets
            path = ticket.folder / "job.json"
            if changed == "values":
                (path,) = (tmp_path / "values").glob("*")
            path.write_text(path.read_text().replace("square", "fail").replace("111", "222"))
            return super().submit(tickets)

    with QueuedCompute(Meddled(), tmp_path, 1, Resources(threads=1), 0, PACE) as compute:
        short = Job("a", square, {"n": 2})
        job = short if changed == "job.json" else Job("a", length, {"text": "1" * 9000})
        (outcome,) = compute.run([job], lambda event: None)
    assert "it is not what was submitted" in str(outcome.error)
    assert outcome.result is None


def length(text: str, progress: Any) -> int:
    """Return the number of letters."""
    return len(text)


def test_an_outcome_that_names_code_is_an_error_and_nothing_runs(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "job")
    folder.path.mkdir()
    attempt = folder.new_attempt()
    (attempt.path / "outcome.json").write_text(
        json.dumps({"c": "os:system", "f": {"command": f"touch {tmp_path}/ran"}})
    )
    outcome = attempt.outcome()
    assert outcome is not None
    assert "cannot be read" in str(outcome.error)
    assert not (tmp_path / "ran").exists()


def test_a_driver_reads_no_half_written_progress(tmp_path: Path) -> None:
    attempt = AttemptFolder(tmp_path)
    (tmp_path / "progress.jsonl").write_text('{"tokens": 1}\n["not fields"]\n{"tokens": {}}\n{"tok')
    reports, offset = attempt.progress(0)
    assert reports == [{"tokens": 1}]
    with (tmp_path / "progress.jsonl").open("a") as file:
        file.write('ens": 2}\n')
    assert attempt.progress(offset)[0] == [{"tokens": 2}]


def test_nothing_is_left_of_a_job_that_is_done(tmp_path: Path) -> None:
    with QueuedCompute(Processes(), tmp_path, 2, Resources(threads=1), pace=PACE) as compute:
        compute.run([Job("a", square, {"n": 2})], lambda event: None)
    left = {path.name for path in tmp_path.rglob("*")}
    assert left <= {"claims", "owners", "values"}
