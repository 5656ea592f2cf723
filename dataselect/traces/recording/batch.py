"""Record traces by the Batch API: half the price for answers within a day instead of seconds.

Questions are uploaded as a file, answered in the background, and fetched when the batch is over;
answers are matched to questions by `custom_id`, because their order differs. Every step is in the
journal before the next, so after a kill, an interruption or the end of the wait, the same command
continues with the same batches and submits nothing twice.

Unanswered requests are submitted again up to three times, malformed answers once. A batch that
was cancelled is not resubmitted, because someone decided that. Accounts limit the queued tokens;
when a batch exceeds the limit, half as many questions are sent, one batch at a time.

Not here: the calls (batch_calls), parsing results (batch_results), and judging answers (asked).
"""

import asyncio
import json
import logging
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dataselect.benchmarks.items import BenchmarkItems
from dataselect.errors import IncompleteError, InputError
from dataselect.traces.recording.asked import (
    HOPELESS,
    Asked,
    BuildOptions,
    open_asked,
    partial_folder,
    remove_partial,
    written_before,
)
from dataselect.traces.recording.batch_calls import OVER, QUESTIONS_URL, BatchCalls, BatchState
from dataselect.traces.recording.batch_results import Results, custom_id
from dataselect.traces.recording.build import (
    BuildWatch,
    probe_for,
    progress_of,
    share_dialect,
)
from dataselect.traces.recording.client import Client
from dataselect.traces.recording.endpoint import Endpoint
from dataselect.traces.recording.faults import Fault
from dataselect.traces.recording.journal import Batch
from dataselect.traces.recording.spending import NOTHING, Budget, Usage
from dataselect.traces.trace import TraceSet

_log = logging.getLogger("dataselect")

_RESUBMISSIONS = 3
_GROWTH = 1.5
_QUEUE_FULL = "token_limit_exceeded"
_AGAIN = "nothing received is lost, run the same command again"


@dataclass(frozen=True)
class Limits:
    """The largest batch (developers.openai.com/api/docs/guides/batch)."""

    requests: int = 50_000
    """Requests in one batch."""

    bytes: int = 200_000_000
    """Size of its input file."""


@dataclass(frozen=True)
class Wait:
    """How to wait for the end of batches."""

    seconds: float | None = None
    """The longest wait; None means without limit."""

    first_look_seconds: float = 5.0
    """Time until the first poll of the server; it grows with each poll."""

    longest_look_seconds: float = 300.0
    """The longest time between two polls."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    """Replaced only in tests."""

    clock: Callable[[], float] = time.monotonic
    """Seconds; replaced only in tests."""


@dataclass(frozen=True)
class Queue:
    """The state of the submitted batches."""

    batches: int
    """Batches that are not over."""

    requests: int
    """Requests in them."""

    done: int
    """Requests that are done."""


class BatchWatch(BuildWatch, Protocol):
    """Observes progress, also during the wait."""

    def looked(self, queue: Queue, next_look_seconds: float) -> None:
        """Called after a poll in which no batch was over."""


def build_batch(
    benchmark: BenchmarkItems,
    endpoint: Endpoint,
    out: Path,
    options: BuildOptions,
    *,
    created: str,
    watch: BatchWatch,
    wait: Wait | None = None,
    limits: Limits | None = None,
) -> TraceSet:
    """As `build_traces`, by batches; either function continues the work of the other.

    Prices in `options` are those of single requests; batches count half. The same call fetches
    batches of an earlier one. Raises InputError for bad input, an unsuitable server or one without
    batches; IncompleteError when the same call can continue later, also because batches take
    longer than `wait` allows; and LockedError when another process holds the folder.
    """
    if (before := written_before(benchmark, endpoint, out, options)) is not None:
        remove_partial(out)
        return before
    wait = wait or Wait()
    client = Client(endpoint, sleep=wait.sleep, clock=wait.clock)
    with open_asked(benchmark, endpoint, out, options, batched=True) as asked:
        budget = Budget(asked.prices, options.max_usd, asked.journal.spent)
        watch.start(asked.estimate(), progress_of(asked, budget))
        work = _Work(asked, client, budget, watch, wait, limits or Limits(), partial_folder(out))
        asyncio.run(work.run())
        traces = asked.write(out, created)
        remove_partial(out)
    return traces


class _Work:
    """The batches of one call of `build_batch`."""

    def __init__(
        self,
        asked: Asked,
        client: Client,
        budget: Budget,
        watch: BatchWatch,
        wait: Wait,
        limits: Limits,
        folder: Path,
    ) -> None:
        self._asked, self._journal, self._client = asked, asked.journal, client
        self._budget, self._watch, self._wait = budget, watch, wait
        self._limits, self._folder = limits, folder
        self._calls = BatchCalls(client)
        self._host = client.endpoint.host
        self._probed = False
        self._at_once: int | None = None
        self._unanswered: Counter[str] = Counter()

    async def run(self) -> None:
        """Submit and fetch batches until every question is settled."""
        wait = self._wait
        until = None if wait.seconds is None else wait.clock() + wait.seconds
        pause = wait.first_look_seconds
        share_dialect(self._client, self._journal)
        async with self._client:
            await self._resume()
            await self._submit()
            while self._journal.batches:
                if (queue := await self._poll()) is None:
                    pause = wait.first_look_seconds
                    await self._submit()
                    continue
                left = pause if until is None else until - wait.clock()
                if left <= 0:
                    raise IncompleteError(
                        f"{self._host}: {queue.done} of {queue.requests} requests are done and "
                        f"the batch is not over; {_AGAIN} to fetch it"
                    )
                pause = min(pause, left)
                self._watch.looked(queue, pause)
                await wait.sleep(pause)
                pause = min(pause * _GROWTH, wait.longest_look_seconds)

    async def _resume(self) -> None:
        """Continue the batches of an earlier run."""
        for batch in list(self._journal.batches.values()):
            if batch.file is None:
                self._journal.ended(batch)
                continue
            for _, worst in self._journal.open_in(batch).values():
                self._budget.resume(worst)
            if batch.id is None:
                await self._create(batch, sent_before=True)

    async def _submit(self) -> None:
        """Submit questions that are not in a batch, as far as cap and limits allow."""
        while chosen := await self._choose():
            # The tag identifies the batch on the server, which also has batches of other work.
            batch = self._journal.begin_batch(secrets.token_hex(8), chosen)
            lines = [self._line(position, item) for position, (item, _) in enumerate(chosen)]
            file = await self._calls.upload(f"dataselect-{batch.tag}.jsonl", b"".join(lines))
            if isinstance(file, Fault):
                raise self._no_batches(batch, file)
            self._journal.uploaded(batch, file)
            await self._create(batch, sent_before=False)

    async def _create(self, batch: Batch, *, sent_before: bool) -> None:
        name = await self._calls.create(batch, sent_before=sent_before)
        if isinstance(name, Fault):
            raise self._no_batches(batch, name)
        self._journal.created(batch, name)
        _log.info("%s: batch %s has %d requests", self._host, name, len(batch.numbers))

    async def _choose(self) -> list[tuple[str, Usage]]:
        """Items for the next batch, their cost reserved; empty if nothing can be sent now."""
        waiting = self._waiting()
        most = self._most(waiting)
        if not waiting or most == 0 or not await self._probe():
            return []
        chosen: list[tuple[str, Usage]] = []
        size = 0
        for item in waiting[:most]:
            size += len(self._line(len(chosen), item))
            if chosen and size > self._limits.bytes:
                break
            worst = self._asked.worst(item)
            if not self._budget.take(worst):
                if chosen or self._journal.batches:
                    _log.info("%s: the cap leaves no room for more at once", self._host)
                    break
                await self._budget.reserve(worst)
            chosen.append((item, worst))
        return chosen

    def _waiting(self) -> list[str]:
        batches = self._journal.batches.values()
        under_way = {item for batch in batches for item, _ in self._journal.open_in(batch).values()}
        return [item for item in self._asked.left() if item not in under_way]

    def _most(self, waiting: list[str]) -> int:
        most = self._at_once
        # If all answers so far were unusable, asking all again is probably a waste.
        if self._asked.settled == self._asked.excluded and any(map(self._asked.attempt, waiting)):
            most = min(most or HOPELESS, HOPELESS)
        if most is not None and self._journal.batches:
            return 0
        return min(most or self._limits.requests, self._limits.requests)

    async def _probe(self) -> bool:
        """Whether the server passes the probe and the cap has room for it.

        Raises what `probe` raises.
        """
        if not self._probed:
            try:
                await probe_for(self._asked, self._client, self._budget)
            except IncompleteError as error:
                if not self._journal.batches:
                    raise
                _log.warning("%s (after the batches that are under way)", error)
                return False
            self._probed = True
        return True

    def _line(self, position: int, item: str) -> bytes:
        asked, options = self._asked, self._asked.options
        body = self._client.body(
            asked.prompt(item),
            form=asked.form,
            max_tokens=options.max_tokens,
            attempt=asked.attempt(item),
        )
        request = {
            "custom_id": custom_id(position),
            "method": "POST",
            "url": QUESTIONS_URL,
            "body": body,
        }
        return json.dumps(request, separators=(",", ":")).encode() + b"\n"

    def _no_batches(self, batch: Batch, fault: Fault) -> InputError:
        """The error for a server without batches; ends `batch` in the journal."""
        self._end(batch, billed=False)
        return InputError(
            self._host, f"it takes no batches of requests ({fault.reason})", "leave --batch off"
        )

    async def _poll(self) -> Queue | None:
        """Poll every batch and settle those that are over; None if any was over."""
        settled, requests, done = False, 0, 0
        for batch in list(self._journal.batches.values()):
            assert batch.id is not None
            state = await self._calls.look(batch.id)
            if isinstance(state, Fault):
                raise InputError(
                    self._host,
                    f"it does not know batch {batch.id}, which this work created ({state.reason})",
                    f"use the key that created it, or delete {self._folder} to start over",
                )
            requests += len(batch.numbers)
            done += state.done
            if state.status in OVER:
                settled = True
                await self._settle(batch, state)
        return None if settled else Queue(len(self._journal.batches), requests, done)

    async def _settle(self, batch: Batch, state: BatchState) -> None:
        """Store a batch's answers and judge them. Raises errors that end the work."""
        items = [item for item, _ in self._journal.open_in(batch).values()]
        attempts = {item: self._asked.attempt(item) for item in items}
        reasons: Counter[str] = Counter()
        error = None
        unread = False
        for file in filter(None, (state.output, state.errors)):
            results = await self._calls.read(
                file, lambda: Results(batch, self._client, self._journal, self._budget)
            )
            if isinstance(results, Fault):
                _log.warning("%s: results of batch %s are gone", self._host, batch.id)
                unread = True
                continue
            results.warn(f"{self._host}: batch {batch.id}")
            unread |= results.unreadable > 0
            reasons.update(results.reasons)
            error = error or results.error
        # A completed batch has processed all of its requests.
        self._end(batch, billed=unread or state.status == "completed")
        for item in items:
            if self._asked.judge(item):
                self._watch.advance(progress_of(self._asked, self._budget))
        unanswered = [item for item in items if self._asked.attempt(item) == attempts[item]]
        if error is not None:
            raise error
        if unanswered:
            reason = next(iter(reasons), "") or state.problem or f"the batch {state.status}"
            self._retry_unanswered(batch, state, unanswered, reason)

    def _end(self, batch: Batch, *, billed: bool) -> None:
        for number, (_, worst) in self._journal.open_in(batch).items():
            self._budget.release(worst, worst if billed else NOTHING)
            if billed:
                self._journal.failed(number, worst)
        self._journal.ended(batch)

    def _retry_unanswered(
        self, batch: Batch, state: BatchState, unanswered: list[str], reason: str
    ) -> None:
        """Allow unanswered requests to be submitted again, or raise an error that ends the work."""
        which = f"{self._host}: batch {batch.id}"
        if state.status == "cancelled":
            raise IncompleteError(
                f"{which} was cancelled with {len(unanswered)} requests unanswered; {_AGAIN} "
                "to submit these"
            )
        if "billing" in state.code or "quota" in state.code:
            raise IncompleteError(f"{which} was refused ({reason}); add credit, and {_AGAIN}")
        if state.code == "model_not_found":
            raise InputError(which, f"it was refused ({reason})", "check --model")
        if state.code == _QUEUE_FULL:
            size = len(batch.numbers)
            if size == 1:
                raise IncompleteError(f"{which} was refused ({reason}); {_AGAIN} later")
            self._at_once = min(self._at_once or size, size // 2)
            _log.warning("%s: the queue is full; trying %d at once", which, self._at_once)
            return
        # The whole input may be refused for one parameter, which then is not sent again.
        self._client.dialect.learn(state.problem)
        self._unanswered.update(unanswered)
        if max(self._unanswered.values()) > _RESUBMISSIONS:
            raise IncompleteError(
                f"{which} left {len(unanswered)} requests unanswered ({reason}), as others did "
                f"before; {_AGAIN}, or without --batch"
            )
        _log.warning(
            "%s: %d requests have no answer (%s) and are submitted again",
            which,
            len(unanswered),
            reason,
        )
