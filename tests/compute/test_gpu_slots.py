"""GPUs of one machine are found without CUDA, and each job has its own. None is needed here."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from gpu_jobs import Seen, see, see_or_die

from dataselect.compute import Event, Job, LocalProcesses, Resources, default_compute, gpus
from dataselect.compute.gpu_slots import GpuSlots
from dataselect.compute.gpus import VisibleGpus, has_gpu, names_listed, visible_gpus
from dataselect.errors import InputError
from dataselect.testing.compute import ignore

FOUR = VisibleGpus(("0", "1", "2", "3"))
LISTED = """\
GPU 0: Some Card (UUID: GPU-aaaa)
  MIG 3g.20gb     Device  0: (UUID: MIG-a1)
  MIG 3g.20gb     Device  1: (UUID: MIG-a2)
GPU 1: Some Card (UUID: GPU-bbbb)
"""

Machine = Callable[..., None]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Makes this machine one with so many GPUs, a list of nvidia-smi and an environment."""
    monkeypatch.setattr(gpus, "_DRIVER", tmp_path)

    def make(count: int, listed: str | None = None, **environment: str) -> None:
        for number in range(count):
            (tmp_path / f"0000:{number}").mkdir()
        for name in (gpus.CUDA, gpus.HIP, gpus.ROCR):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

        def run(command: list[str], **_: object) -> SimpleNamespace:
            assert command[1:] == ["-L"]
            return SimpleNamespace(stdout=listed, returncode=0)

        monkeypatch.setattr(gpus.shutil, "which", lambda name: listed and f"/bin/{name}")
        monkeypatch.setattr(subprocess, "run", run)

    return make


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("0,2", "0 2"),
        (" 3 , 1", "3 1"),
        ("", ""),
        ("-1", ""),
        ("NoDevFiles", ""),
        ("1,-1,2", "1"),
        ("1,9,2", "1"),
        ("2,2", ""),
        ("GPU-8932f937,GPU-6ab", "GPU-8932f937 GPU-6ab"),
        ("MIG-a1,MIG-GPU-8932/1/0", "MIG-a1 MIG-GPU-8932/1/0"),
    ],
)
def test_the_variable_names_gpus_as_the_driver_takes_it(
    machine: Machine, value: str, names: str
) -> None:
    machine(4, CUDA_VISIBLE_DEVICES=value)
    assert visible_gpus() == VisibleGpus(tuple(names.split()))
    assert has_gpu() is bool(names)


def test_without_the_variable_they_are_those_that_can_be_reached(machine: Machine) -> None:
    machine(4)
    assert visible_gpus() == FOUR
    machine(0, "GPU 0: Card (UUID: GPU-a)\nGPU 1: Card (UUID: GPU-b)\n")
    assert visible_gpus() == VisibleGpus(("0", "1")), "of a container"


def test_slices_are_named_and_not_the_gpu_that_they_are_of() -> None:
    assert names_listed(LISTED) == ("MIG-a1", "MIG-a2", "GPU-bbbb")
    assert names_listed("No devices found.\n") == ()


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({}, "0 1"),
        ({"HIP_VISIBLE_DEVICES": "5,4"}, "5 4"),
        ({"CUDA_VISIBLE_DEVICES": "6,7"}, "6 7"),
        ({"ROCR_VISIBLE_DEVICES": "6,7", "CUDA_VISIBLE_DEVICES": "0,1"}, "0 1"),
    ],
)
def test_with_rocm_torch_counts_and_the_variable_is_hips(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], names: str
) -> None:
    import torch

    machine(0, **environment)
    monkeypatch.setattr(torch.version, "hip", "6.4")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    found = visible_gpus()
    assert found == VisibleGpus(tuple(names.split()), "HIP_VISIBLE_DEVICES")
    assert found.environment(()) == {"HIP_VISIBLE_DEVICES": "-1"}


def test_shares_and_whole_ones_never_add_up_to_more_than_there_is() -> None:
    slots = GpuSlots(VisibleGpus(("a", "b")))
    thirds = [slots.take(1 / 3) for _ in range(6)]
    assert [each.names for each in thirds if each] == [("a",), ("b",)] * 3
    assert slots.take(1 / 3) is None
    assert slots.take(1) is None
    for each in thirds[::2]:
        assert each is not None
        slots.give_back(each)
    whole = slots.take(1)
    assert whole is not None
    assert whole.names == ("a",)
    assert slots.take(2) is None
    assert slots.take(0) is not None
    assert [slots.capacity(each) for each in (0.25, 0.3, 1, 2)] == [8, 6, 2, 1]


@pytest.mark.parametrize(
    ("needed", "problem"),
    [(4, None), (0.01, None), (5, "needs 5 GPUs, and there are 4"), (1.5, "a whole number")],
)
def test_what_can_never_be_is_said(needed: float, problem: str | None) -> None:
    said = GpuSlots(FOUR).problem(needed)
    assert said == problem if problem is None else problem in str(said)


def of(count: float) -> Resources:
    return Resources(1, count)


@pytest.fixture
def four() -> Iterator[LocalProcesses]:
    with LocalProcesses(6, 1, gpus=FOUR) as compute:
        yield compute


def test_jobs_that_run_at_once_see_other_gpus_from_their_start(four: LocalProcesses) -> None:
    jobs = [Job(f"{n}", see, {"seconds": 0.15}) for n in range(5)]
    jobs[2:2] = [Job("two", see, {"seconds": 0.15}, of(2))]
    running: set[str] = set()

    def count(event: Event) -> None:
        running.add(event.job) if event.kind == "started" else running.discard(event.job)
        assert sum(2 if each == "two" else 1 for each in running) <= 4

    outcomes = four.run(jobs, count)
    assert [outcome.error for outcome in outcomes] == [None] * 6
    seen: list[Seen] = [outcome.result for outcome in outcomes]
    assert [len(each.gpus) for each in seen] == [1, 1, 2, 1, 1, 1]
    for i, one in enumerate(seen):
        for other in seen[:i]:
            if one.began < other.ended and other.began < one.ended:
                assert not set(one.gpus) & set(other.gpus)
    assert {name for each in seen for name in each.gpus} == set(FOUR.names)


def test_who_needs_no_gpu_does_not_wait_and_sees_none(tmp_path: Path) -> None:
    with LocalProcesses(3, 1, gpus=VisibleGpus(("7",), gpus.HIP)) as compute:
        jobs = [
            Job("first", see, {"wait": tmp_path / "free", "variable": gpus.HIP}),
            Job("second", see, {"variable": gpus.HIP}),
            Job("free", see, {"touch": tmp_path / "free", "variable": gpus.HIP}, of(0)),
        ]
        started: list[str] = []

        def note(event: Event) -> None:
            started.extend([event.job] * (event.kind == "started"))

        seen = [outcome.result for outcome in compute.run(jobs, note)]
    assert [each.gpus for each in seen] == [("7",), ("7",), ("-1",)]
    assert started == ["first", "free", "second"]
    assert seen[0].pid == seen[1].pid, "its libraries are loaded"


def test_a_large_job_is_not_overtaken(tmp_path: Path) -> None:
    with LocalProcesses(3, 1, gpus=VisibleGpus(("0", "1"))) as compute:
        started: list[str] = []
        jobs = [
            Job("small", see),
            Job("large", see, {}, of(2)),
            Job("late", see),
            Job("half", see, {}, of(0.5)),
        ]
        seen = [outcome.result for outcome in compute.run(jobs, lambda e: started.append(e.job))]
    assert list(dict.fromkeys(started)) == ["small", "large", "late", "half"]
    assert [len(each.gpus) for each in seen] == [1, 2, 1, 1]
    # An idle worker with other GPUs than a job needs makes room, for it holds memory of them.
    assert len({each.pid for each in seen}) == 4


def test_a_killed_job_and_an_interrupted_run_give_their_gpus_back(tmp_path: Path) -> None:
    with LocalProcesses(2, 1, gpus=VisibleGpus(("3",))) as compute:
        jobs = [Job("a", see_or_die, {"marker": tmp_path / "died"}), Job("b", see)]
        outcomes = compute.run(jobs, ignore)
        assert [outcome.attempts for outcome in outcomes] == [2, 1]
        assert [outcome.result.gpus for outcome in outcomes] == [("3",), ("3",)]
        os.kill(outcomes[1].result.pid, signal.SIGKILL)

        def interrupt(event: Event) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            compute.run([Job("c", see)], interrupt)
        (outcome,) = compute.run([Job("d", see)], ignore)
        assert outcome.result.gpus == ("3",)


def test_more_than_there_are_is_refused_before_anything_runs(four: LocalProcesses) -> None:
    events: list[Event] = []
    with pytest.raises(InputError, match="job 'b': a job needs 8 GPUs, and there are 4; ask"):
        four.run([Job("a", see), Job("b", see, {}, of(8))], events.append)
    assert events == []


@pytest.mark.parametrize(
    ("jobs", "share", "smallest", "slots"),
    [("auto", 1, 1, 4), ("auto", 1, 2, 2), (3, 1, 1, 3), (9, 1, 1, 4), (9, 0.25, 0.25, 9)],
)
def test_as_many_jobs_as_the_gpus_are_enough_for(
    monkeypatch: pytest.MonkeyPatch, jobs: int, share: float, smallest: float, slots: int
) -> None:
    monkeypatch.setattr("dataselect.compute.cores.available_cores", lambda: 2)
    with default_compute(jobs, "auto", "cuda", FOUR, share, smallest) as compute:
        assert compute.slots == slots
        assert compute.resources == Resources(1, share)
        assert isinstance(compute, LocalProcesses)
        assert compute.slots_for(of(2)) == min(2, slots)
        assert compute.slots_for(of(0)) == slots
    with default_compute("auto", "auto", "cuda", FOUR, 0.1) as compute:
        assert compute.slots == 4, "a job more than GPUs has a core"
