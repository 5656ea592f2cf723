"""How the stages run jobs: what others do now is left for the end, what may pass is tried again.

Where several runs of the pipeline share a store, each first does what no other one is doing. What
another one is doing is left for the end, and waited for then.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from dataselect.compute import Compute, Event, Job, Outcome
from dataselect.errors import DataselectError, IncompleteError, InputError
from dataselect.redaction import without_secrets
from dataselect.stages.passing import may_pass, needs_room
from dataselect.stages.runtime import Runtime
from dataselect.store import Store
from dataselect.wording import message

_LEFT = "left_for_later"
"""Field of a job's progress where another process does its work now."""

_NOTE = "note"
"""Field of a job's progress with a warning of its process, for the driver."""

Settle = Callable[[Outcome, Sequence[Mapping[str, Any]]], None]
"""Called with the outcome of each attempt, and the ledger's records since the jobs began."""


def left_for_later(progress: Any, holder: str | None, patient: bool) -> bool:
    """For a job: whether another process, `holder`, does its work, so that it should return False.

    A job has an argument `patient`, which is true when it is to wait.
    """
    if patient or holder is None:
        return False
    progress({"waits_for": holder, _LEFT: 1})
    return True


@contextmanager
def at_work(progress: Any, store: Store) -> Iterator[Store]:
    """For a job: tell the driver its warnings, and through the store that this gives who is waited
    for."""
    with warnings_told(progress):
        yield store.told_to(lambda work, holder: progress({"waits_for": holder}))


def held(store: Store, artifacts: Iterable[tuple[str, Mapping[str, Any]]]) -> str | None:
    """Which process makes artifacts, given by kind and spec, now; None if one of them is free."""
    holder = None
    for kind, spec in artifacts:
        holder = store.holder(kind, spec)
        if holder is None:
            return None
    return holder


@contextmanager
def warnings_told(progress: Any) -> Iterator[None]:
    """Tell the driver the package's warnings, unless somebody listens to them in this process."""
    logger = logging.getLogger("dataselect")
    if logger.handlers:
        yield
        return

    class Teller(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            progress({_NOTE: message(without_secrets(record.getMessage()))})

    handler = Teller(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def run_in_turn(
    compute: Compute, jobs: Sequence[Job], on_event: Callable[[Event], None]
) -> list[Outcome]:
    """Outcomes in the order of the jobs; those that other processes do are left for the end."""
    waiting: set[str] = set()

    def show(event: Event) -> None:
        if event.kind == "started":
            waiting.discard(event.job)
        if _LEFT in event.fields:
            waiting.add(event.job)
        # A job that is left for the end stays on show, with the process that it waits for.
        if event.kind != "done" or event.job not in waiting:
            on_event(event)

    outcomes = {outcome.job: outcome for outcome in compute.run(jobs, show)}
    left = [job for job in jobs if outcomes[job.name].result is False]
    if left:
        patient = [replace(job, arguments={**job.arguments, "patient": True}) for job in left]
        outcomes |= {outcome.job: outcome for outcome in compute.run(patient, on_event)}
    return [outcomes[job.name] for job in jobs]


def run_twice(
    runtime: Runtime, jobs: Sequence[Job], on_done: Callable[[str], object], settle: Settle
) -> dict[str, Outcome]:
    """Outcomes by job name, those of a second attempt where the first failed by chance.

    The run's watch gets the jobs' events and, as notes, their warnings (`warnings_told`); `on_done`
    gets the name of each job that is done.
    """
    store, watch = runtime.store, runtime.watch
    outcomes: dict[str, Outcome] = {}

    def show(event: Event) -> None:
        if _NOTE in event.fields:
            watch.note(message(str(event.fields[_NOTE])))
            return
        watch.event(event)
        if event.kind == "done":
            on_done(event.job)

    def finish(some: Sequence[Job]) -> None:
        before = len(store.ledger())
        ended = run_in_turn(runtime.compute, some, show)
        meanwhile = store.ledger()[before:]
        for outcome in ended:
            outcomes[outcome.job] = outcome
            settle(outcome, meanwhile)

    if jobs:
        finish(jobs)
    again = [job for job in jobs if may_pass(outcomes[job.name])]
    # What lacked memory runs alone, the others side by side.
    alone = [job for job in again if needs_room(outcomes[job.name])]
    for some in ([job for job in again if job not in alone], *([job] for job in alone)):
        for job in some:
            reason = str(outcomes[job.name].error)
            show(Event(job.name, "retried", {"reason": reason}))
        if some:
            finish(some)
    return outcomes


def error_of(outcome: Outcome) -> DataselectError | None:
    """What the driver raises where it cannot go on without a job; None if the job succeeded.

    Bad input is the same error as in this process, to the letter.
    """
    if outcome.error is None:
        return None
    if outcome.error_type == InputError.__name__:
        return InputError.of_line(outcome.error)
    if outcome.details:
        logging.getLogger("dataselect").debug("%s: %s", outcome.job, outcome.details)
    return IncompleteError(f"{outcome.job}: {outcome.error}")
