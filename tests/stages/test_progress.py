"""The state of a run, from what a watch is told."""

import pytest

from dataselect.compute import Event
from dataselect.stages.progress import Progress
from dataselect.stages.work import ExpectedPart, Outlook, Planned, PlannedJob, Shared

SCREEN, PREDICT = "Stage 1: screen", "Stage 2: predict"


class Clock:
    """A clock that advances only on request."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def planned(*names: str, flops: float | None = 1000.0, tokens: int | None = 100) -> Planned:
    return Planned(tuple(PlannedJob(name, 1, flops, tokens) for name in names))


def told(tokens: float, rate: float = 10.0) -> dict[str, float | int | str]:
    return {"tokens": tokens, "total_tokens": 100, "tokens_per_second": rate, "loss": 2.0}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress(clock: Clock) -> Progress:
    made = Progress(clock)
    made.tell(Outlook(1, (ExpectedPart(SCREEN, 3, 1000.0), ExpectedPart(PREDICT, 1, 5000.0))))
    made.step(SCREEN)
    return made


def test_the_time_left_is_not_known_before_a_speed_is(progress: Progress) -> None:
    assert progress.seconds_left() is None
    progress.tell(planned("a", "b", "c"))
    assert progress.seconds_left() is None
    progress.event(Event("a", "started", {}))
    assert progress.seconds_left() is None
    progress.event(Event("a", "progress", told(50)))
    # 100 FLOPs a second: half a job, two jobs, and one of five times as much.
    assert progress.seconds_left() == pytest.approx(5 + 20 + 50)


def test_finished_jobs_tell_what_a_job_takes_besides_its_training(
    progress: Progress, clock: Clock
) -> None:
    progress.tell(planned("a", "b", "c"))
    progress.event(Event("a", "started", {}))
    clock.now += 30  # it loads what the worker then has
    progress.event(Event("a", "progress", told(0)))
    clock.now += 10
    progress.event(Event("a", "progress", told(100)))
    clock.now += 3
    progress.event(Event("a", "done", {"wall_seconds": 43.0}))
    progress.event(Event("b", "started", {}))
    clock.now += 1
    progress.event(Event("b", "progress", told(0)))
    # Left: the training and scoring of b, all of c, and a job of the next part.
    assert progress.seconds_left() == pytest.approx((10 + 3) + (1 + 10 + 3) + (1 + 50 + 3))


def test_a_resumed_training_counts_what_is_saved_and_not_as_speed(
    progress: Progress, clock: Clock
) -> None:
    progress.tell(planned("a", "b"))
    progress.event(Event("a", "started", {}))
    progress.event(Event("a", "progress", told(90)))
    assert progress.seconds_left() == pytest.approx(1 + 10 + 50)
    clock.now += 3
    progress.event(Event("a", "progress", told(100)))
    progress.event(Event("a", "done", {"wall_seconds": 3.0}))
    # A second of training here, two of scoring.
    assert progress.parts[-1].jobs["a"].tail == pytest.approx(2)


def test_what_is_in_the_store_is_done(progress: Progress) -> None:
    progress.tell(Planned((PlannedJob("c", 1, 1000.0, 100),), found=2))
    part = progress.part
    assert part is not None
    assert (part.done, part.total) == (2, 3)
    progress.event(Event("c", "started", {}))
    progress.event(Event("c", "progress", told(0)))
    assert progress.seconds_left() == pytest.approx(10 + 50)


def test_a_job_that_failed_and_was_tried_again_is_one_job(progress: Progress) -> None:
    progress.tell(planned("a"))
    for kind in ("started", "failed"):
        progress.event(Event("a", kind, {"error": "its worker died"}))  # type: ignore[arg-type]
    part = progress.part
    assert part is not None
    assert part.runs("failed") == 1
    progress.event(Event("a", "retried", {"reason": "its worker died"}))
    assert (part.runs("failed"), part.runs("waiting")) == (0, 1)
    progress.event(Event("a", "started", {}))
    progress.event(Event("a", "done", {"wall_seconds": 1.0}))
    assert (part.done, part.runs("failed"), part.total) == (1, 0, 1)
    assert part.jobs["a"].attempts == 2


def test_a_search_announces_its_trials_round_by_round(clock: Clock) -> None:
    progress = Progress(clock)
    progress.tell(Outlook(1, (ExpectedPart("Mixture", 10, 1000.0, in_rounds=True),)))
    progress.step("Mixture")
    progress.tell(planned("trial 0", "trial 1"))
    part = progress.part
    assert part is not None
    assert (part.done, part.total) == (0, 10)
    progress.event(Event("trial 0", "started", {}))
    progress.event(Event("trial 0", "progress", told(0)))
    assert progress.seconds_left() == pytest.approx(100)


def test_several_trainings_of_one_job_add_up(progress: Progress) -> None:
    progress.tell(Planned((PlannedJob("a and 1 more", 2, 2000.0, 200),)))
    progress.event(Event("a and 1 more", "started", {}))
    for tokens in (0, 100, 20):
        progress.event(Event("a and 1 more", "progress", told(tokens)))
    work = progress.parts[-1].jobs["a and 1 more"]
    assert work.trained_share == pytest.approx(0.6)
    assert work.flops_left == pytest.approx(800)


def test_an_unknown_command_has_no_estimate_until_one_is_done(
    progress: Progress, clock: Clock
) -> None:
    progress.outlook = Outlook(2, (ExpectedPart(SCREEN, 2, None),))
    progress.tell(planned("a", "b", flops=None, tokens=None))
    progress.event(Event("a", "started", {}))
    clock.now += 60
    assert progress.seconds_left() is None
    progress.event(Event("a", "done", {"wall_seconds": 60.0}))
    assert progress.seconds_left() == pytest.approx(60)


def scoring(name: str, kind: str, effort: float = 100.0) -> PlannedJob:
    return PlannedJob(name, 1, effort, None, (), kind)


def items(done: int, total: int = 10) -> dict[str, float | int | str]:
    return {"items": done, "total_items": total}


def test_scoring_is_compared_with_its_own_kind_alone(clock: Clock) -> None:
    progress = Progress(clock)
    progress.tell(Outlook(1, (ExpectedPart("Scores", 4, None),)))
    progress.step("Scores")
    kinds = ("scores", "graded")
    jobs = [
        scoring(f"{m}: {kind}", kind, 50.0 * size)
        for m, size in (("a", 1), ("b", 2))
        for kind in kinds
    ]
    progress.tell(Planned(tuple(jobs), found=1))
    progress.event(Event("a: scores", "started", {}))
    clock.now += 5
    progress.event(Event("a: scores", "progress", items(5)))
    assert progress.seconds_left() is None, "nothing tells how long generating takes"
    clock.now += 5
    progress.event(Event("a: scores", "done", {"wall_seconds": 10.0}))
    progress.event(Event("a: graded", "started", {}))
    clock.now += 40
    progress.event(Event("a: graded", "progress", items(4)))
    # 5 a second of scores; 0.5 a second of graded: 60 % of 50 is left, and 100.
    assert progress.seconds_left() == pytest.approx(100 / 5 + (30 + 100) / 0.5)
    part = progress.part
    assert part is not None
    assert (part.done, part.total) == (2, 5)


def test_trials_are_shared_with_other_workers(progress: Progress) -> None:
    progress.tell(Outlook(1, (ExpectedPart("Mixture", 10, 1000.0, in_rounds=True),)))
    progress.step("Mixture")
    progress.tell(planned("t1"))
    progress.event(Event("t1", "started", {}))
    progress.event(Event("t1", "progress", told(50)))
    alone = progress.seconds_left()
    assert alone == pytest.approx(5 + 9 * 10)
    progress.tell(Shared(done=4, processes=2))
    # Five more that neither has begun or that runs elsewhere, by two at a time.
    assert progress.seconds_left() == pytest.approx((5 + 5 * 10) / 2)
    part = progress.part
    assert part is not None
    assert (part.done, part.total) == (4, 10)
