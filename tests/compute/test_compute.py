"""The engines keep the contract of `Compute`, and what only worker processes can promise.

The kill tests use real processes and real signals. The functions at the top are jobs.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dataselect.compute import (
    Compute,
    Event,
    InlineCompute,
    Job,
    LocalProcesses,
    Outcome,
    Resources,
    default_compute,
)
from dataselect.compute.cores import available_cores
from dataselect.compute.jobs import BEAT_SECONDS, Silence
from dataselect.testing.compute import ComputeContract, ignore, kinds
from dataselect.testing.jobs import Progress, burn, fail, meet, report, rest, square, wait_for

IMPORTED_AT = time.perf_counter_ns()


def worker_facts(progress: Progress) -> tuple[int, int, str | None]:
    return os.getpid(), IMPORTED_AT, os.environ.get("OMP_NUM_THREADS")


def die(marker: Path, times: int, by: int, progress: Progress) -> str:
    """Dies in its first `times` attempts, which are counted in the marker file."""
    with marker.open("a") as file:
        file.write("x")
    if marker.stat().st_size <= times:
        burn(0.15, progress)
        print("a last word")  # noqa: T201 (where it goes is under test)
        os.kill(os.getpid(), by) if by else os._exit(3)
    return "alive"


def unpicklable(progress: Progress) -> Callable[[], None]:
    return lambda: None


class OnlyThere:
    """Can be pickled in a worker and not read in the parent."""

    def __reduce__(self) -> tuple[Callable[[int], int], tuple[int]]:
        return refuse_elsewhere, (os.getpid(),)


def refuse_elsewhere(home: int) -> int:
    raise RuntimeError("not here")


def unreadable(progress: Progress) -> OnlyThere:
    return OnlyThere()


def shout(progress: Progress) -> None:
    print("from python")  # noqa: T201 (where it goes is under test)
    os.write(1, b"from native code\n")
    os.write(2, b"an error from native code\n")


def speak_late(progress: Progress) -> None:
    threading.Timer(0.1, progress, [{"tokens": 1}]).start()


def leave_child_and_die(progress: Progress) -> None:
    """A forked child keeps every file descriptor of the dead worker open for a while."""
    if os.fork() == 0:
        time.sleep(4)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


def linger(folder: Path, progress: Progress) -> None:
    (folder / f"pid-{os.getpid()}").touch()
    time.sleep(60)


class TestInlineCompute(ComputeContract):
    def make_compute(self) -> Compute:
        return InlineCompute()


class TestLocalProcesses(ComputeContract):
    def make_compute(self) -> Compute:
        return LocalProcesses(jobs=2, threads=1)

    def test_jobs_run_in_processes_of_their_own(self, compute: Compute, tmp_path: Path) -> None:
        a, b = tmp_path / "a", tmp_path / "b"
        jobs = [Job("a", meet, {"mine": a, "other": b}), Job("b", meet, {"mine": b, "other": a})]
        pids = {outcome.result for outcome in compute.run(jobs, ignore)}
        assert len(pids) == 2
        assert not pids & {None, os.getpid()}

    def test_workers_and_their_imports_are_kept_between_runs(self, compute: Compute) -> None:
        facts = {self.facts(compute) for _ in range(3)}
        assert len(facts) == 1
        ((pid, imported_at, threads),) = facts
        assert pid != os.getpid()
        assert imported_at != IMPORTED_AT
        assert threads == "1"

    def test_a_worker_that_died_between_runs_costs_no_attempt(self, compute: Compute) -> None:
        pid = self.facts(compute)[0]
        os.kill(pid, signal.SIGKILL)
        assert wait_for(partial(has_gone, pid))
        (outcome,) = compute.run([Job("a", worker_facts)], ignore)
        assert outcome.attempts == 1
        assert outcome.result[0] != pid

    def test_a_worker_that_is_stopped_for_long_is_ended_and_its_job_tried_again(
        self, tmp_path: Path
    ) -> None:
        events: list[Event] = []
        with LocalProcesses(jobs=1, threads=1, silence=1.5) as compute:
            job = Job("a", die, {"marker": tmp_path / "marker", "times": 1, "by": signal.SIGSTOP})
            (outcome,) = compute.run([job], events.append)
        assert (outcome.result, outcome.attempts) == ("alive", 2)
        (again,) = [event for event in events if event.kind == "retried"]
        reason = str(again.fields["reason"])
        assert re.fullmatch(r"its worker gave no sign of life for \d+ s and was ended", reason)

    def test_a_job_that_says_nothing_for_long_is_no_hung_worker(self) -> None:
        with LocalProcesses(jobs=1, threads=1, silence=1.5) as compute:
            (outcome,) = compute.run([Job("a", rest, {"seconds": 2.5})], ignore)
        assert (outcome.error, outcome.attempts) == (None, 1)

    def test_nor_does_one_that_was_sent_the_job_but_died_before_it_took_it_up(
        self, compute: Compute
    ) -> None:
        pid = self.facts(compute)[0]
        os.kill(pid, signal.SIGSTOP)

        def kill_it(event: Event) -> None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

        (outcome,) = compute.run([Job("a", worker_facts)], kill_it)
        assert outcome.attempts == 1
        assert outcome.result[0] != pid

    @pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGSEGV, 0])
    def test_a_job_whose_worker_dies_is_tried_again_and_its_lost_time_counted(
        self, compute: Compute, tmp_path: Path, by: int
    ) -> None:
        events: list[Event] = []
        arguments = {"marker": tmp_path / "marker", "times": 1, "by": by}
        jobs = [Job("mortal", die, arguments), Job("other", square, {"n": 3})]
        mortal, other = compute.run(jobs, events.append)
        assert (mortal.result, mortal.attempts, mortal.error) == ("alive", 2, None)
        assert mortal.cpu_seconds > 0.14
        assert mortal.wall_seconds > 0.14
        assert (other.result, other.attempts) == (9, 1)
        assert kinds(events, "mortal") == ["started", "retried", "started", "done"]
        (reason,) = [event.fields["reason"] for event in events if event.kind == "retried"]
        assert re.search(signal.Signals(by).name if by else "code 3", str(reason))

    def test_a_job_that_always_kills_its_worker_fails_and_the_run_goes_on(
        self, compute: Compute, tmp_path: Path
    ) -> None:
        events: list[Event] = []
        arguments = {"marker": tmp_path / "marker", "times": 9, "by": signal.SIGKILL}
        jobs = [Job(f"job {n}", square, {"n": n}) for n in range(3)]
        deadly, *others = compute.run([Job("deadly", die, arguments), *jobs], events.append)
        assert (deadly.result, deadly.attempts, deadly.error_type) == (None, 2, "WorkerDied")
        assert deadly.error is not None
        assert "SIGKILL" in deadly.error
        assert "too little memory: if so, set fewer 'jobs' at a time" in deadly.error
        assert "\n" not in deadly.error
        assert deadly.details is not None
        assert "a last word" in deadly.details
        assert deadly.cpu_seconds > 0.28
        assert [outcome.result for outcome in others] == [0, 1, 4]
        assert kinds(events, "deadly") == ["started", "retried", "started", "failed"]

    def test_the_stack_of_a_native_crash_is_kept(self, tmp_path: Path) -> None:
        arguments = {"marker": tmp_path / "marker", "times": 1, "by": signal.SIGSEGV}
        with LocalProcesses(jobs=1, threads=1, retries=0) as compute:
            (outcome,) = compute.run([Job("a", die, arguments)], ignore)
        assert outcome.attempts == 1
        assert outcome.details is not None
        assert "Segmentation fault" in outcome.details
        assert "in die" in outcome.details

    def test_a_death_is_seen_though_a_forked_child_holds_the_connection(self) -> None:
        with LocalProcesses(jobs=1, threads=1, retries=0) as compute:
            (outcome,) = compute.run([Job("a", leave_child_and_die)], ignore)
        assert outcome.error_type == "WorkerDied"
        assert outcome.wall_seconds < 3.5

    @pytest.mark.parametrize("function", [unpicklable, unreadable])
    def test_a_result_that_cannot_make_the_trip_fails_only_its_job(
        self, compute: Compute, function: Callable[..., Any]
    ) -> None:
        bad, good = compute.run([Job("bad", function), Job("good", square, {"n": 2})], ignore)
        assert bad.error is not None
        assert (bad.result, good.result) == (None, 4)

    def test_arguments_that_cannot_make_the_trip_raise_before_anything_runs(
        self, compute: Compute
    ) -> None:
        events: list[Event] = []
        jobs = [Job("a", square, {"n": 1}), Job("b", square, {"n": threading.Lock()})]
        with pytest.raises(TypeError, match="pickle"):
            compute.run(jobs, events.append)
        assert events == []

    def test_what_workers_print_does_not_reach_the_terminal(
        self, compute: Compute, capfd: pytest.CaptureFixture[str]
    ) -> None:
        (outcome,) = compute.run([Job("a", shout)], ignore)
        assert outcome.error is None
        assert capfd.readouterr() == ("", "")

    def test_what_a_failed_job_printed_is_in_its_details_and_no_other_jobs_output(
        self, compute: Compute
    ) -> None:
        compute.run([Job("a", shout), Job("b", shout)], ignore)
        (outcome,) = compute.run([Job("c", fail, {"how": "value"})], ignore)
        assert outcome.details is not None
        assert "a last word" in outcome.details
        assert "native" not in outcome.details

    def test_a_thread_left_behind_by_a_job_cannot_speak_for_the_next(
        self, compute: Compute
    ) -> None:
        events: list[Event] = []
        compute.run([Job("late", speak_late)], events.append)
        compute.run([Job("next", rest, {"seconds": 0.3})], events.append)
        assert kinds(events, "late") == ["started", "done"]
        assert kinds(events, "next") == ["started", "done"]

    def test_closing_ends_the_workers(self, compute: Compute) -> None:
        pid = self.facts(compute)[0]
        compute.close()
        assert has_gone(pid)
        with pytest.raises(RuntimeError, match="closed"):
            compute.run([Job("a", square, {"n": 1})], ignore)

    @staticmethod
    def facts(compute: Compute) -> tuple[int, int, str | None]:
        (outcome,) = compute.run([Job("facts", worker_facts)], ignore)
        facts: tuple[int, int, str | None] = outcome.result
        return facts


PARENT = f"""
import sys
sys.path[:] = {sys.path!r}
from pathlib import Path
from dataselect.compute import Job, LocalProcesses
from {__name__} import ignore, linger, rest

folder = Path(sys.argv[1])
with LocalProcesses(jobs=3, threads=1) as compute:
    compute.run([Job(f"warm {{n}}", rest, {{"seconds": 0.2}}) for n in range(3)], ignore)
    try:
        compute.run([Job(f"job {{n}}", linger, {{"folder": folder}}) for n in range(2)], ignore)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        raise
"""


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A process with two workers in the middle of a job, and their process ids."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pids: list[int] = []
    try:
        assert wait_for(lambda: len(list(tmp_path.glob("pid-*"))) == 2)
        pids = [int(path.name.removeprefix("pid-")) for path in tmp_path.glob("pid-*")]
        yield process, pids
    finally:
        for pid in [process.pid, *pids]:
            if not has_gone(pid):
                os.kill(pid, signal.SIGKILL)
        process.communicate()


def has_gone(pid: int) -> bool:
    """Whether the process has ended; one that nobody has waited for yet counts as ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2]
    except FileNotFoundError:
        return True
    return state.startswith(("Z", "X"))


def test_workers_end_when_their_parent_is_killed(
    parent: tuple[subprocess.Popen[str], list[int]],
) -> None:
    process, pids = parent
    assert not any(map(has_gone, pids))
    process.kill()
    assert wait_for(lambda: all(map(has_gone, pids)), seconds=5)


@pytest.mark.parametrize("whole_group", [False, True], ids=["parent only", "as a terminal does"])
def test_ctrl_c_ends_the_workers_promptly_and_propagates(
    parent: tuple[subprocess.Popen[str], list[int]], whole_group: bool
) -> None:
    process, pids = parent
    send = partial(os.killpg if whole_group else os.kill, process.pid)
    send(signal.SIGINT)
    output, errors = process.communicate(timeout=10)
    assert output == "interrupted\n"
    assert errors.count("Traceback") == 1, "a worker wrote to the terminal"
    assert process.returncode == -signal.SIGINT
    assert all(map(has_gone, pids))


def test_ctrl_c_inside_an_inline_job_propagates() -> None:
    def interrupt(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), InlineCompute() as compute:
        compute.run([Job("a", report, {"values": [1]})], interrupt)


@pytest.mark.parametrize("function", [lambda progress: None, partial(square, 1), str.upper])
def test_a_function_that_no_other_process_can_find_is_refused(
    function: Callable[..., Any],
) -> None:
    with pytest.raises(ValueError, match="not importable"):
        Job("a", function)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"group": "0::/a/b", "fs/a/b/cpu.max": "max 100000"}, None),
        ({"group": "0::/a/b", "fs/a/b/cpu.max": "100000 100000"}, 1),
        ({"group": "0::/a/b", "fs/a/cpu.max": "150000 100000"}, 1),
        ({"group": "0::/elsewhere", "fs/cpu.max": "50000 100000"}, 1),
        (
            {
                "group": "5:cpuacct,cpu:/a\n4:memory:/a",
                "fs/cpuacct,cpu/a/cpu.cfs_quota_us": "100000\n",
                "fs/cpuacct,cpu/a/cpu.cfs_period_us": "100000\n",
            },
            1,
        ),
        (
            {
                "group": "5:cpu:/a",
                "fs/cpu/a/cpu.cfs_quota_us": "-1\n",
                "fs/cpu/a/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
    ],
)
def test_a_quota_of_the_container_bounds_the_cores(
    tmp_path: Path, files: dict[str, str], expected: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    cores = available_cores(tmp_path / "group", tmp_path / "fs")
    assert cores == (expected or len(os.sched_getaffinity(0)))


def test_auto_is_one_thread_per_job_and_a_job_per_core_on_cpu() -> None:
    with default_compute("auto", "auto", "cpu") as compute:
        assert isinstance(compute, LocalProcesses)
        assert (compute.slots, compute.resources.threads) == (available_cores(), 1)


def test_explicit_numbers_are_taken_as_they_are() -> None:
    with default_compute(3, 2, "cpu") as compute:
        assert isinstance(compute, LocalProcesses)
        assert (compute.slots, compute.resources.threads) == (3, 2)


def test_a_gpu_is_given_one_job_unless_told_otherwise() -> None:
    with default_compute("auto", "auto", "cuda") as compute:
        assert isinstance(compute, LocalProcesses)
        assert (compute.slots, compute.resources.threads) == (1, available_cores())


def test_resources_are_environment_variables_of_the_numeric_libraries() -> None:
    assert set(Resources(2).environment().values()) == {"2"}
    assert "OMP_NUM_THREADS" in Resources(2).environment()
    assert Resources().environment() == {}
    with pytest.raises(ValueError, match="at least 1"):
        Resources(0)


def test_an_outcome_of_success_has_no_error() -> None:
    with InlineCompute() as compute:
        (outcome,) = compute.run([Job("a", square, {"n": 2})], ignore)
    assert outcome == Outcome(
        "a", 4, None, None, outcome.wall_seconds, outcome.cpu_seconds, 1, None
    )


def test_only_silence_that_this_process_itself_lived_through_counts() -> None:
    now = [1000.0]
    silence = Silence(lambda: now[0])
    for step in (1.0, 1.0, 3600.0, -500.0, 1.0):
        now[0] += step  # an hour in which this process was stopped too, and a clock set back
        seconds = silence.look()
    assert seconds == 1 + 1 + 2 * BEAT_SECONDS + 0 + 1
    silence.broken()
    assert silence.look() == 0
