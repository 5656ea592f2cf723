"""The contract of `Compute`: tests that every engine must pass.

Not covered: workers that die, since not every engine has workers, and what an engine does with the
output of jobs.
"""

import os
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from dataselect.compute import Compute, Event, Job
from dataselect.testing.jobs import (
    Parcel,
    ask,
    burn,
    echo,
    fail,
    meet,
    report,
    rest,
    square,
    tick,
    torch_threads,
    wait_for,
)


def ignore(event: Event) -> None:
    """An `on_event` that does nothing."""


def kinds(events: Sequence[Event], job: str) -> list[str]:
    """The kinds of one job's events, in order."""
    return [event.kind for event in events if event.job == job]


class ComputeContract(ABC):
    """Subclass it as `class TestMyEngine(ComputeContract)` and implement `make_compute`.

    Jobs and tests communicate by files in pytest's `tmp_path`. For an engine that runs jobs on
    other machines it must be on a file system that these share (`pytest --basetemp`).
    """

    @abstractmethod
    def make_compute(self) -> Compute:
        """A new engine, which the tests close."""

    @pytest.fixture
    def compute(self) -> Iterator[Compute]:
        """The engine under test."""
        with self.make_compute() as compute:
            yield compute

    # --- Outcomes

    def test_outcomes_come_in_the_order_of_the_jobs(self, compute: Compute) -> None:
        jobs = [Job("slow", rest, {"seconds": 0.2})]
        jobs += [Job(f"job {n}", square, {"n": n}) for n in range(4)]
        outcomes = compute.run(jobs, ignore)
        assert [outcome.job for outcome in outcomes] == [job.name for job in jobs]
        assert [outcome.result for outcome in outcomes] == [None, 0, 1, 4, 9]
        assert all(outcome.error is None and outcome.attempts == 1 for outcome in outcomes)
        assert all(outcome.error_type is None for outcome in outcomes)

    def test_no_jobs_are_done_at_once(self, compute: Compute) -> None:
        assert compute.run([], ignore) == []

    def test_it_can_be_used_again(self, compute: Compute) -> None:
        for n in (2, 3):
            (outcome,) = compute.run([Job("a", square, {"n": n})], ignore)
            assert outcome.result == n * n

    def test_names_must_be_unique(self, compute: Compute) -> None:
        events: list[Event] = []
        with pytest.raises(ValueError, match="'a'"):
            compute.run([Job("a", square, {"n": 1})] * 2, events.append)
        assert events == [], "a job was started"

    def test_any_text_can_be_a_name(self, compute: Compute) -> None:
        names = ["stage1/web", "stage1/web and 2 more", "../été: 1", "n" * 300]
        outcomes = compute.run([Job(name, square, {"n": 2}) for name in names], ignore)
        assert [(outcome.job, outcome.result) for outcome in outcomes] == [
            (name, 4) for name in names
        ]

    @pytest.mark.parametrize(
        "value",
        [None, {"a": [1, 2.5, "é"]}, b"\x00\xff" * 200_000, Parcel(Path("/data/x"), (2, 3))],
        ids=["none", "nested", "400 kB", "own type"],
    )
    def test_picklable_arguments_and_results_arrive_as_they_were(
        self, compute: Compute, value: Any
    ) -> None:
        (outcome,) = compute.run([Job("a", echo, {"value": value})], ignore)
        assert outcome.error is None
        assert type(outcome.result) is type(value)
        assert outcome.result == value

    @pytest.mark.parametrize(
        ("how", "error", "error_type"),
        [
            ("input", "data.jsonl:3: not JSON; fix the line", "InputError"),
            ("awkward", "AwkwardError: (its message cannot be shown)", "AwkwardError"),
            ("exit", "SystemExit: leaving", "SystemExit"),
            ("value", "ValueError: two lines", "ValueError"),
        ],
    )
    def test_an_exception_fails_only_its_job(
        self, compute: Compute, how: str, error: str, error_type: str
    ) -> None:
        events: list[Event] = []
        jobs = [Job("bad", fail, {"how": how}), Job("good", square, {"n": 2})]
        bad, good = compute.run(jobs, events.append)
        assert (bad.error, bad.error_type, bad.result) == (error, error_type, None)
        assert bad.attempts == 1
        assert bad.details is not None
        assert "in fail" in bad.details
        assert good.result == 4
        assert kinds(events, "bad") == ["started", "failed"]
        assert kinds(events, "good") == ["started", "done"]
        assert [event.fields["error"] for event in events if event.kind == "failed"] == [error]

    def test_cpu_seconds_are_of_work_and_wall_seconds_of_waiting_too(
        self, compute: Compute
    ) -> None:
        # The first job of a worker also imports the jobs' module.
        compute.run([Job(f"warm {n}", rest, {"seconds": 0.2}) for n in range(2)], ignore)
        jobs = [Job("busy", burn, {"seconds": 0.3}), Job("idle", rest, {"seconds": 0.3})]
        busy, idle = compute.run(jobs, ignore)
        assert 0.29 < busy.cpu_seconds < 0.6
        assert busy.wall_seconds > 0.29
        assert idle.cpu_seconds < 0.25
        assert idle.wall_seconds > 0.29

    # --- Events

    def test_progress_comes_in_order_as_plain_values(self, compute: Compute) -> None:
        events: list[Event] = []
        numpy = pytest.importorskip("numpy")
        compute.run([Job("a", report, {"values": [1, 2.5, numpy.float32(4)]})], events.append)
        assert kinds(events, "a") == ["started", "progress", "progress", "progress", "done"]
        tokens = [event.fields["tokens"] for event in events if event.kind == "progress"]
        assert tokens == [1, 2.5, 4.0]
        assert [type(value) for value in tokens] == [int, float, float]
        assert events[1].fields["state"] == "training"

    def test_progress_arrives_while_the_job_runs(self, compute: Compute, tmp_path: Path) -> None:
        def answer(event: Event) -> None:
            if event.kind == "progress":
                (tmp_path / "answer").touch()

        (outcome,) = compute.run([Job("a", ask, {"file": tmp_path / "answer"})], answer)
        assert outcome.result is True

    def test_events_say_the_attempt_and_the_seconds(self, compute: Compute) -> None:
        events: list[Event] = []
        jobs = [Job("good", square, {"n": 2}), Job("bad", fail, {"how": "value"})]
        outcomes = compute.run(jobs, events.append)
        started = [event.fields["attempt"] for event in events if event.kind == "started"]
        assert started == [1, 1]
        closing = {event.job: event for event in events if event.kind in ("done", "failed")}
        for outcome in outcomes:
            fields = closing[outcome.job].fields
            assert fields["wall_seconds"] == outcome.wall_seconds
            assert fields["cpu_seconds"] == outcome.cpu_seconds

    def test_events_come_in_the_callers_thread(self, compute: Compute) -> None:
        threads = set()
        compute.run(
            [Job("a", report, {"values": [1]})], lambda event: threads.add(threading.get_ident())
        )
        assert threads == {threading.get_ident()}

    # --- Stopping

    def test_an_exception_of_the_callback_propagates(self, compute: Compute) -> None:
        def broken(event: Event) -> None:
            if event.kind == "progress":
                raise ZeroDivisionError

        jobs = [Job("a", report, {"values": [1]}), Job("b", square, {"n": 1})]
        with pytest.raises(ZeroDivisionError):
            compute.run(jobs, broken)
        assert compute.run(jobs, ignore)[1].result == 1

    @pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
    def test_an_exception_of_the_callback_ends_the_jobs(
        self, compute: Compute, tmp_path: Path, error: type[BaseException]
    ) -> None:
        def broken(event: Event) -> None:
            if event.kind == "progress":
                raise error

        files = [tmp_path / "a", tmp_path / "b"]
        jobs = [Job(file.name, tick, {"file": file, "seconds": 30.0}) for file in files]
        with pytest.raises(error):
            compute.run(jobs, broken)
        _assert_ended(files)

    def test_ctrl_c_ends_the_jobs_and_propagates(self, compute: Compute, tmp_path: Path) -> None:
        if threading.current_thread() is not threading.main_thread():
            pytest.skip("only the main thread can be interrupted")
        file = tmp_path / "a"

        def press() -> None:
            if wait_for(file.exists, seconds=20):
                os.kill(os.getpid(), signal.SIGINT)

        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        thread = threading.Thread(target=press)
        try:
            thread.start()
            with pytest.raises(KeyboardInterrupt):
                compute.run([Job("a", tick, {"file": file, "seconds": 30.0})], ignore)
        finally:
            thread.join()
            signal.signal(signal.SIGINT, before)
        _assert_ended([file])

    def test_closing_twice_is_harmless(self, compute: Compute) -> None:
        compute.run([Job("a", square, {"n": 1})], ignore)
        compute.close()
        compute.close()

    def test_it_is_a_context_manager_of_itself(self) -> None:
        compute = self.make_compute()
        with compute as entered:
            assert entered is compute
        compute.close()

    # --- Slots and resources

    def test_it_has_no_more_jobs_at_a_time_than_slots(self, compute: Compute) -> None:
        assert type(compute.slots) is int
        assert compute.slots >= 1
        running: set[str] = set()
        most = 0

        def count(event: Event) -> None:
            nonlocal most
            if event.kind == "started":
                running.add(event.job)
            elif event.kind in ("done", "failed"):
                running.remove(event.job)
            most = max(most, len(running))

        slots = compute.slots
        jobs = [Job(f"job {n}", rest, {"seconds": 0.05}) for n in range(slots + 2)]
        outcomes = compute.run(jobs, count)
        assert len(outcomes) == slots + 2
        assert most <= slots
        assert compute.slots == slots, "it changes"

    def test_jobs_of_two_slots_run_side_by_side(self, compute: Compute, tmp_path: Path) -> None:
        if compute.slots < 2:
            pytest.skip("it has one slot")
        a, b = tmp_path / "a", tmp_path / "b"
        jobs = [Job("a", meet, {"mine": a, "other": b}), Job("b", meet, {"mine": b, "other": a})]
        assert [outcome.error for outcome in compute.run(jobs, ignore)] == [None, None]

    def test_a_job_computes_with_the_threads_of_its_resources(self, compute: Compute) -> None:
        threads = compute.resources.threads
        if threads is None:
            pytest.skip("it does not limit the threads of a job")
        (outcome,) = compute.run([Job("a", torch_threads)], ignore)
        assert (outcome.error, outcome.result) == (None, threads)


def _assert_ended(files: Sequence[Path]) -> None:
    """Assert that the `tick` jobs that write these files have ended or never started."""
    sizes = [file.stat().st_size if file.exists() else None for file in files]
    time.sleep(0.3)
    later = [file.stat().st_size if file.exists() else None for file in files]
    assert later == sizes, "a job still runs"
