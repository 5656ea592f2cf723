"""What may pass is tried again before the next stage spends on the next in line."""

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from stage_world import CANDIDATES, Counted, experiment, write_world

from dataselect.compute import Event, Job, Outcome
from dataselect.errors import IncompleteError, InputError, PassingError
from dataselect.proxy_sources import TrainedHere
from dataselect.stages.passing import is_passing, marked, may_pass
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.stage import run_stage
from dataselect.store import LostClaimError


class OutOfMemoryError(RuntimeError):
    """As torch's."""


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.EIO, "I/O error"),
        OSError(errno.ENOSPC, "no space left"),
        ConnectionResetError(),
        TimeoutError(),
        LostClaimError("proxy-1"),
        PassingError("killed"),
        OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
        caused(InputError("store", "cannot be written", "x"), OSError(errno.ESTALE, "stale")),
    ],
    ids=repr,
)
def test_what_may_pass_reaches_the_driver_as_such(error: Exception) -> None:
    assert is_passing(error)
    made = marked(error)
    assert type(made).__name__ == "PassingError"
    assert may_pass(Outcome("a", None, str(made), type(made).__name__, 0, 0, 1))


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "no such file"),
        PermissionError(errno.EACCES, "denied"),
        OSError("this is no valid model"),  # as transformers says it
        ValueError("bad data"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        IncompleteError("the command ended with exit code 1"),
        InputError("x", "y", "z"),
    ],
    ids=repr,
)
def test_what_would_come_again_stays_as_it_is(error: Exception) -> None:
    assert not is_passing(error)
    assert marked(error) is error
    assert not may_pass(Outcome("a", None, str(error), type(error).__name__, 0, 0, 1))


def test_a_worker_that_died_may_pass() -> None:
    assert may_pass(Outcome("a", None, "its worker was killed", "WorkerDied", 0, 0, 2))


@dataclass
class Faults:
    """Errors of the coming trainings of candidates, by run name."""

    left: dict[str, list[Exception]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, tokens=1500)
    return folder


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    made, make = Faults({}), TrainedHere.make

    def faulty(self: TrainedHere, store: Any, name: str, *rest: Any) -> Any:
        if made.left.get(name):
            raise made.left[name].pop(0)
        return make(self, store, name, *rest)

    monkeypatch.setattr(TrainedHere, "make", faulty)
    return made


def ran(world: Path, store: Path) -> tuple[Any, list[str], list[Event]]:
    """Stage 1's scores, the jobs in their order, and what was shown."""
    compute, events = Counted(), list[Event]()
    made = experiment(world, compute, store)
    chosen = made.plan.screen.model_copy(update={"accuracy": False})
    watch = made.runtime.watch
    watch.event = events.append  # type: ignore[method-assign]
    scores = run_stage(made, StageName.SCREEN, chosen, CANDIDATES)
    return scores, compute.names, events


def test_a_passing_failure_is_tried_again_at_the_end_of_the_stage(
    world: Path, tmp_path: Path, faults: Faults
) -> None:
    faults.left = {"stage1/worked": [OSError(errno.EIO, "I/O error")]}
    scores, names, events = ran(world, tmp_path / "store")
    assert names == ["stage1/worked", "stage1/prose", "stage1/blend", "stage1/worked"]
    assert scores.status == dict.fromkeys(CANDIDATES, "scored")
    shown = [event for event in events if event.job == "stage1/worked" and event.kind != "progress"]
    assert [event.kind for event in shown] == ["started", "failed", "retried", "started", "done"]
    assert "I/O error" in str(shown[2].fields["reason"])


def test_it_is_tried_once_more_and_not_for_ever(
    world: Path, tmp_path: Path, faults: Faults
) -> None:
    faults.left = {"stage1/worked": [OSError(errno.EIO, "I/O error") for _ in range(5)]}
    scores, names, _ = ran(world, tmp_path / "store")
    assert names.count("stage1/worked") == 2
    assert scores.status["worked"] == "failed"
    assert "I/O error" in scores.reasons["worked"]


def test_what_would_come_again_is_not_tried_again(
    world: Path, tmp_path: Path, faults: Faults
) -> None:
    faults.left = {"stage1/worked": [ValueError("bad data")]}
    scores, names, _ = ran(world, tmp_path / "store")
    assert names.count("stage1/worked") == 1
    assert scores.reasons["worked"] == "ValueError: bad data"


class Recorded(Counted):
    """Notes which jobs run side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[str]] = []

    def run(self, jobs: Sequence[Job], on_event: Any) -> list[Outcome]:
        self.calls.append([job.name for job in jobs])
        return super().run(jobs, on_event)


def test_what_lacked_memory_is_tried_again_alone(
    world: Path, tmp_path: Path, faults: Faults
) -> None:
    short = MemoryError("too little memory")
    faults.left = {
        "stage1/worked": [short],
        "stage1/prose": [OSError(errno.EIO, "I/O error")],
        "stage1/blend": [short],
    }
    compute = Recorded()
    made = experiment(world, compute, tmp_path / "store")
    chosen = made.plan.screen.model_copy(update={"accuracy": False})
    scores = run_stage(made, StageName.SCREEN, chosen, CANDIDATES)
    assert scores.scored == CANDIDATES
    assert compute.calls[1:] == [["stage1/prose"], ["stage1/worked"], ["stage1/blend"]]
