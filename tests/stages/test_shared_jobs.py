"""Jobs of runs that share a store: what another run makes is left for the end, and lost attempts
are counted once."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dataselect.compute import Event, InlineCompute, Job, Outcome
from dataselect.stages.job_runs import left_for_later, run_in_turn, warnings_told
from dataselect.stages.jobs import _note_lost_workers
from dataselect.store import Store

ORDER: list[str] = []


def work(name: str, busy: bool, patient: bool, progress: Any) -> bool:
    """A job that another process does as long as nobody is patient."""
    ORDER.append(name)
    if left_for_later(progress, "process 7 on node1" if busy else None, patient):
        return False
    progress({"tokens": 1})
    return True


class Source:
    """As much of a proxy source as the ledger needs."""

    kind = "proxy"
    spec: Mapping[str, Any] = {"n": 1}


def test_what_another_process_makes_is_left_for_the_end_and_stays_on_show() -> None:
    ORDER.clear()
    events: list[Event] = []
    jobs = [
        Job(name, work, {"name": name, "busy": name == "a", "patient": False}) for name in "abc"
    ]
    outcomes = run_in_turn(InlineCompute(), jobs, events.append)
    assert ORDER == ["a", "b", "c", "a"]
    assert [(outcome.job, outcome.result) for outcome in outcomes] == [
        ("a", True),
        ("b", True),
        ("c", True),
    ]
    shown = [(event.kind, event.fields.get("waits_for")) for event in events if event.job == "a"]
    assert shown == [
        ("started", None),
        ("progress", "process 7 on node1"),
        ("started", None),
        ("progress", None),
        ("done", None),
    ]


def outcome(attempts: int, died: bool) -> Outcome:
    error = "WorkerDied" if died else None
    return Outcome("job", None, error, error, 10.0, 8.0, attempts)


@pytest.mark.parametrize(
    ("attempts", "died", "noted", "expected"),
    [
        (1, False, [], None),
        (2, False, [], (1, 0.0)),
        (2, False, [{"wall_seconds": 3.0}], None),
        (2, True, [], (2, 10.0)),
        (2, True, [{"wall_seconds": 3.0}], (1, 7.0)),
        # Another run took over from ours, and again from that.
        (1, False, [{"wall_seconds": 3.0}], None),
    ],
)
def test_a_lost_attempt_is_counted_once_by_the_run_or_by_who_took_over(
    tmp_path: Path,
    attempts: int,
    died: bool,
    noted: list[dict[str, Any]],
    expected: tuple[int, float] | None,
) -> None:
    store = Store(tmp_path)
    _note_lost_workers(store, Source(), outcome(attempts, died), 1, noted)  # type: ignore[arg-type]
    found = [(record["attempts"], record["wall_seconds"]) for record in store.ledger()]
    assert found == ([] if expected is None else [expected])


def test_a_warning_of_a_jobs_process_reaches_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, object]] = []
    logger = logging.getLogger("dataselect")
    # As in a process of its own, where nobody listens.
    monkeypatch.setattr(logger, "handlers", [])
    with warnings_told(told.append):
        logger.warning("%s: a state is spoilt", "state")
        logger.info("not told")
    assert told == [{"note": "state: a state is spoilt"}]
    assert logger.handlers == []
