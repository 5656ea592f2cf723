"""Record traces from a frontier model behind a server by concurrent requests, none of them twice.

A probe comes first, then a fixed number of workers, each with one item at a time. Every reply is
in the journal before its worker does anything else, so the same command continues after a kill,
an interruption, an empty account or the cap. A problem that affects every request stops all
workers; those with an open request first record its reply.

Not here: judging answers (asked), sending (client), and batches (batch).
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dataselect.benchmarks.items import BenchmarkItems
from dataselect.errors import DataselectError, InputError
from dataselect.traces.recording.asked import (
    Asked,
    BuildOptions,
    open_asked,
    partial_folder,
    remove_partial,
    written_before,
)
from dataselect.traces.recording.client import Client
from dataselect.traces.recording.endpoint import Endpoint
from dataselect.traces.recording.journal import Journal
from dataselect.traces.recording.probe import MaskedError, probe, without_json_mode
from dataselect.traces.recording.reply import Reply
from dataselect.traces.recording.spending import NOTHING, Budget, Estimate, Usage
from dataselect.traces.trace import TraceSet

_log = logging.getLogger("dataselect")


@dataclass(frozen=True)
class Progress:
    """The progress of a recording."""

    questions: int
    """All questions."""

    settled: int
    """Questions that have a trace or are left out."""

    excluded: int
    """Questions that are left out."""

    usd: float | None
    """US dollars spent in all runs, including lost requests; None without prices."""

    expected_usd: float | None
    """The final cost if the rest costs as much as the answers so far; None without prices."""

    max_usd: float | None = None
    """The cap; None without one."""

    requests: int = 0
    """Requests of this call that have ended."""

    failed: int = 0
    """Those of them that got no answer, such as by a timeout or a rate limit."""

    graded: int = 0
    """Answers of this call that were compared with the right ones; answers that are programs are
    not."""

    correct: int = 0
    """Those of them that are right."""


class BuildWatch(Protocol):
    """Observes the progress of a recording."""

    def start(self, estimate: Estimate, progress: Progress) -> None:
        """Called before the first request; an exception raised here stops the work."""

    def advance(self, progress: Progress) -> None:
        """Called after each question that is settled."""


def build_traces(
    benchmark: BenchmarkItems,
    endpoint: Endpoint,
    out: Path,
    options: BuildOptions,
    *,
    created: str,
    watch: BuildWatch,
) -> TraceSet:
    """Record traces of all items of `benchmark` in the file `out`; `created` is an ISO date.

    Answers of an earlier, unfinished call are in the folder `<out>.partial` and not requested
    again; a file at `out` from the same call is only read. Raises InputError for bad input or an
    unsuitable server, IncompleteError when the same call can continue later, and LockedError when
    another process holds the folder.
    """
    if (before := written_before(benchmark, endpoint, out, options)) is not None:
        remove_partial(out)
        return before
    client = Client(endpoint)
    with open_asked(benchmark, endpoint, out, options) as asked:
        for batch in list(asked.journal.batches.values()):
            if batch.file is not None:
                raise InputError(
                    partial_folder(out),
                    "some of its questions are in a batch that is not over",
                    "add --batch to fetch it, or delete this folder to start over",
                )
            asked.journal.ended(batch)
        budget = Budget(asked.prices, options.max_usd, asked.journal.spent)
        watch.start(asked.estimate(), progress_of(asked, budget))
        if asked.left():
            asyncio.run(_ask_all(asked, client, budget, watch))
        traces = asked.write(out, created)
        remove_partial(out)
    return traces


class JournalBilling:
    """Updates journal and budget together for the requests of one question, one at a time.

    `item` is None for the probe.
    """

    def __init__(self, journal: Journal, budget: Budget, item: str | None) -> None:
        self._journal, self._budget, self._item = journal, budget, item
        self._number, self._worst = 0, NOTHING

    async def begin(self, worst: Usage) -> None:
        """Reserve the cost and record the request."""
        await self._budget.reserve(worst)
        self._worst = worst
        try:
            self._number = self._journal.begin(self._item, worst)
        except DataselectError:
            self._budget.settle(worst, NOTHING)
            raise

    def failed(self, used: Usage) -> None:
        """Record the usage of the failure."""
        self._budget.settle(self._worst, used)
        self._journal.failed(self._number, used)

    def answered(self, reply: Reply) -> None:
        """Record the reply. Raises InputError when another model wrote it than earlier ones."""
        used = reply.usage or self._worst
        if (error := other_model(self._journal, reply)) is not None:
            self.failed(used)
            raise error
        self._budget.settle(self._worst, used)
        self._journal.answered(self._number, reply)


def other_model(journal: Journal, reply: Reply) -> InputError | None:
    """The error if another model wrote `reply` than those in the journal; else None."""
    if journal.model is None or reply.model in {"", journal.model}:
        return None
    return InputError(
        "--model",
        f"answers came from '{journal.model}' and now come from '{reply.model}'",
        "name the exact version of one model",
    )


def share_dialect(client: Client, journal: Journal) -> None:
    """Keep in the journal what the server does not take, so that a later call knows it."""
    client.dialect.restore(journal.dialect)
    client.dialect.learnt = journal.adapted


async def probe_for(asked: Asked, client: Client, budget: Budget) -> None:
    """Probe the server before the questions are sent; warn if its fingerprint has changed."""
    journal = asked.journal
    known = set(journal.fingerprints)
    host, billing = client.endpoint.host, JournalBilling(journal, budget, None)

    async def ask() -> Reply:
        options = asked.options
        return await probe(
            client,
            asked.task,
            asked.form,
            billing,
            max_tokens=options.max_tokens,
            part=options.part,
        )

    try:
        reply = await ask()
    except MaskedError as error:
        if asked.form_is_open:
            _log.warning("%s: %s, so text is asked for, as by --form plain", host, error)
            asked.ask_in_plain_text()
            reply = await ask()
        else:
            reply = without_json_mode(client, error)
    if known and reply.fingerprint is not None and reply.fingerprint not in known:
        _log.warning(
            "%s: its fingerprint was %s and is %s now, so the model may have changed",
            host,
            ", ".join(sorted(known)),
            reply.fingerprint,
        )


async def _ask_all(asked: Asked, client: Client, budget: Budget, watch: BuildWatch) -> None:
    options, journal = asked.options, asked.journal
    waiting = deque(asked.left())
    failures: list[DataselectError] = []

    async def settle(item: str) -> None:
        while not asked.judge(item):
            await client.ask(
                asked.prompt(item),
                form=asked.form,
                max_tokens=options.max_tokens,
                billing=JournalBilling(journal, budget, item),
                attempt=asked.attempt(item),
            )

    async def work() -> None:
        while waiting and not failures:
            try:
                await settle(waiting.popleft())
            except DataselectError as error:
                failures.append(error)
                client.stop()
            else:
                watch.advance(progress_of(asked, budget))

    share_dialect(client, journal)
    async with client:
        await probe_for(asked, client, budget)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(client.endpoint.concurrency, len(waiting))):
                group.create_task(work())
    if failures:
        raise failures[0]


def progress_of(asked: Asked, budget: Budget) -> Progress:
    """The progress of `asked`, with its cost."""
    questions, settled = len(asked.questions), asked.settled
    expected = None
    if asked.prices is not None and budget.usd is not None:
        left = questions - settled
        if settled:
            rest = asked.prices.cost(asked.journal.used) / settled * left
        else:
            rest = asked.estimate().usd or 0.0
        expected = budget.usd + rest
    return Progress(
        questions,
        settled,
        asked.excluded,
        budget.usd,
        expected,
        budget.max_usd,
        asked.journal.ended_here,
        asked.journal.failed_here,
        asked.graded,
        asked.correct,
    )
