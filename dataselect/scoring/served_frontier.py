"""A frontier model behind a completions server that weighs given reasoning.

As `local_frontier` weighs, but the weights stay on the server; only the tokenizer is needed here.
Its tokens are sent, and what comes back is the log-probability of each (`traces.recording.given`).
The work is recorded as `traces build` records it: a journal of every request, a cap on the cost,
and the same command goes on after any stop.

An item that is longer than the server's context loses whole worked examples, as a local model's
does; the server's refusal tells it.
"""

import asyncio
import hashlib
import json
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dataselect._version import __version__
from dataselect.benchmarks.items import BenchmarkItems, Exclusion, Item
from dataselect.corpus.saved_tokenizer import plain_ids
from dataselect.corpus.tokenizer import load_tokenizer
from dataselect.errors import DataselectError, InputError
from dataselect.scoring.token_spans import (
    Aligned,
    Aligner,
    RewrittenTextError,
    letter_probabilities,
)
from dataselect.store.lock import lock
from dataselect.traces.own_rationales import NOTHING_TO_WEIGH
from dataselect.traces.reasoning import Reasoning, take_apart
from dataselect.traces.recording.asked import HOPELESS, partial_folder, remove_partial
from dataselect.traces.recording.build import BuildWatch, JournalBilling, Progress
from dataselect.traces.recording.client import Client
from dataselect.traces.recording.endpoint import Endpoint
from dataselect.traces.recording.given import LOCALLY, Way, probe, weigh
from dataselect.traces.recording.journal import Journal
from dataselect.traces.recording.reply import Reply
from dataselect.traces.recording.spending import Budget, Estimate, Prices, Usage, openai_prices
from dataselect.traces.trace import (
    Trace,
    TraceHeader,
    TraceSet,
    read_traces,
    refuse_missing_probabilities,
    runs_of,
    write_traces,
)

_HOW = "weighed by a server's log-probabilities of the given text"
_TOO_LONG = re.compile(
    r"context[ _]?(?:length|size|window)|max_model_len|maximum (?:context|model|input)"
    r"|too (?:long|many tokens)|longer than",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ServedOptions:
    """How a server is asked to weigh."""

    tokenizer: str | None = None
    """Folder or Hub id of the model's tokenizer; None: the model's name."""

    prices: Prices | None = None
    """The model's prices; None means the known ones on OpenAI's server, else unknown."""

    max_usd: float | None = None
    """The cap in US dollars; None means no cap."""


def weigh_by_server(
    benchmark: BenchmarkItems,
    texts: Mapping[str, str],
    endpoint: Endpoint,
    out: Path,
    options: ServedOptions,
    *,
    created: str,
    watch: BuildWatch,
) -> TraceSet:
    """Traces of given reasoning, by item id, in the file `out`; `created` is an ISO date.

    Answers of an earlier, unfinished call are in `<out>.partial` and not requested again; a file
    at `out` from the same call is only read. Raises InputError for bad input or an unsuitable
    server, IncompleteError when the same call can continue later, and LockedError when another
    process holds the folder.
    """
    tokenizer = load_tokenizer(options.tokenizer or endpoint.model)
    given = _Given(benchmark, texts, tokenizer)
    identity = _identity(given, endpoint, tokenizer)
    if out.exists():
        before = read_traces(out)
        if any(before.header.notes.get(name) != value for name, value in identity.items()):
            raise InputError(
                out, "the file already holds other traces", "name another file with --out"
            )
        remove_partial(out)
        return before
    prices = options.prices
    if prices is None and endpoint.is_openai:
        prices = openai_prices(endpoint.model)
    folder = partial_folder(out)
    with (
        lock(folder, "this weighing of traces"),
        Journal(folder / "journal.jsonl", identity) as journal,
    ):
        work = _Work(given, endpoint, journal, Budget(prices, options.max_usd, journal.spent))
        watch.start(work.estimate(prices), work.progress())
        if work.left():
            asyncio.run(work.run(partial(_ids, tokenizer), watch))
        traces = work.traces(created, identity)
        write_traces(out, traces.header, traces.traces.values(), traces.exclusions)
        remove_partial(out)
    return read_traces(out)


class _Given:
    """The reasoning of each item, in tokens after its context."""

    def __init__(self, benchmark: BenchmarkItems, texts: Mapping[str, str], tokenizer: Any) -> None:
        self.benchmark = benchmark
        self._aligner = Aligner(tokenizer)
        self.items: dict[str, Item] = {}
        self.parts: dict[str, Reasoning] = {}
        for item in benchmark.items:
            parts = take_apart(texts.get(item.id, ""))
            if parts.text:
                self.items[item.id], self.parts[item.id] = item, parts
        if not self.items:
            raise InputError(
                f"benchmark '{benchmark.id}'",
                "there is no reasoning for any of its items",
                'write {"id": ..., "reasoning": ...} rows with the ids of its items',
            )

    def aligned(self, name: str, dropped: int) -> Aligned | None:
        """An item's tokens without its last `dropped` worked examples; None without so many.

        Raises RewrittenTextError where the tokenizer changes the text.
        """
        item = self.items[name]
        shots = len(self.benchmark.examples(item)) - dropped
        if shots < 0:
            return None
        context = self.benchmark.context(item, shots)
        return self._aligner.align(context, self.benchmark.trace_text(self.parts[name].text))

    @property
    def hash(self) -> str:
        """SHA-256 of what is weighed."""
        texts = {name: [p.text, p.answer, p.marked] for name, p in self.parts.items()}
        return hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()


class _Work:
    """The items to weigh, and what the journal says about each."""

    def __init__(self, given: _Given, endpoint: Endpoint, journal: Journal, budget: Budget) -> None:
        self._given, self._endpoint = given, endpoint
        self._journal, self._budget = journal, budget
        self._done: dict[str, Trace] = {}
        self._excluded: dict[str, str] = {}
        for name in given.items:
            self._judge(name)

    def left(self) -> list[str]:
        """Items without a trace and without a reason for having none."""
        settled = self._done.keys() | self._excluded.keys()
        return [name for name in self._given.items if name not in settled]

    def estimate(self, prices: Prices | None) -> Estimate:
        """The expected cost of what is left."""
        tokens = 0
        left = self.left()
        for name in left:
            if (aligned := self._given.aligned(name, 0)) is not None:
                tokens += len(aligned.context_ids) + len(aligned.ids)
        usage = Usage(tokens, len(left))
        return Estimate(len(left), usage, None if prices is None else prices.cost(usage))

    def progress(self) -> Progress:
        """How far the work is."""
        count, settled = len(self._given.items), len(self._done) + len(self._excluded)
        journal, budget = self._journal, self._budget
        return Progress(
            count,
            settled,
            len(self._excluded),
            budget.usd,
            None,
            budget.max_usd,
            journal.ended_here,
            journal.failed_here,
        )

    async def run(self, encode: Any, watch: BuildWatch) -> None:
        """Probe the server, then weigh what is left by concurrent requests."""
        client = Client(self._endpoint)
        waiting, failures = deque(self.left()), list[DataselectError]()

        async def work(way: Way) -> None:
            while waiting and not failures:
                try:
                    await self._settle(client, waiting.popleft(), way)
                    self._refuse_hopeless()
                except DataselectError as error:
                    failures.append(error)
                    client.stop()
                else:
                    watch.advance(self.progress())

        async with client:
            billing = JournalBilling(self._journal, self._budget, None)
            found = await probe(client, encode, billing)
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._endpoint.concurrency, len(waiting))):
                    group.create_task(work(found.way))
        if failures:
            raise failures[0]

    def traces(self, created: str, identity: Mapping[str, str]) -> TraceSet:
        """The set; every item must be settled. Raises InputError where no item has a trace."""
        if not self._done:
            name, reason = next(iter(self._excluded.items()))
            raise InputError(
                self._endpoint.host, f"it weighs none of the items ({name}: {reason})", LOCALLY
            )
        refuse_missing_probabilities(self._endpoint.host, self._done.values())
        benchmark, used = self._given.benchmark, self._journal.used
        header = TraceHeader(
            benchmark.id,
            self._journal.model or self._endpoint.model,
            benchmark.prompt,
            f"dataselect {__version__}",
            {
                **identity,
                "shots": str(len(benchmark.shots)),
                "prompt_tokens": str(used.prompt_tokens),
            },
            benchmark_revision=benchmark.revision,
            fingerprint=", ".join(sorted(self._journal.fingerprints)) or None,
            created=created,
        )
        exclusions = tuple(
            Exclusion(item.id, self._excluded.get(item.id, NOTHING_TO_WEIGH))
            for item in benchmark.items
            if item.id not in self._done
        )
        return TraceSet(header, self._done, exclusions)

    async def _settle(self, client: Client, name: str, way: Way) -> None:
        while not self._judge(name):
            aligned = self._given.aligned(name, len(self._journal.replies.get(name, ())))
            assert aligned is not None, "judged"
            ids = [*aligned.context_ids, *aligned.ids]
            billing = JournalBilling(self._journal, self._budget, name)
            text = self._given.parts[name].text
            await weigh(client, text, ids, len(aligned.context_ids), way, billing)

    def _judge(self, name: str) -> bool:
        """Whether an item is settled by the replies in the journal."""
        if name in self._done or name in self._excluded:
            return True
        replies = self._journal.replies.get(name, [])
        try:
            aligned = self._given.aligned(name, max(len(replies) - 1, 0))
            reason = self._read(name, aligned, replies[-1]) if replies else None
            if reason is not None and _TOO_LONG.search(reason):
                # Once more, with a worked example less, if there is one.
                aligned = self._given.aligned(name, len(replies))
                reason = None if aligned is not None else reason
        except RewrittenTextError as error:
            reason = str(error)
        if reason is not None:
            self._excluded[name] = reason
        return name in self._done or name in self._excluded

    def _read(self, name: str, aligned: Aligned | None, reply: Reply) -> str | None:
        """Keep the trace that a reply gives, or return why it gives none."""
        if reply.problem is not None or aligned is None:
            return reply.problem or "it has no worked example left to drop"
        values = [token.logprob for token in reply.tokens]
        if [token.text for token in reply.tokens] != list(map(str, aligned.ids)):
            return "the recorded tokens are not those of the reasoning"
        parts = self._given.parts[name]
        probs = np.exp(np.array(values, dtype=np.float64)).clip(0, 1)
        # The first letter is the space between the prompt and the reasoning.
        letters = letter_probabilities(aligned.spans, probs, len(parts.text) + 1)[1:]
        self._done[name] = Trace(name, parts.text, runs_of(letters), parts.answer, parts.marked)
        return None

    def _refuse_hopeless(self) -> None:
        enough = min(HOPELESS, len(self._given.items))
        if not self._done and len(self._excluded) >= enough:
            name, reason = next(iter(self._excluded.items()))
            raise InputError(
                self._endpoint.host,
                f"it weighs none of the first {enough} items ({name}: {reason})",
                LOCALLY,
            )


def _identity(given: _Given, endpoint: Endpoint, tokenizer: Any) -> dict[str, str]:
    vocabulary = tokenizer.backend_tokenizer.to_str().encode()
    return {
        "how": _HOW,
        "items": given.benchmark.content_hash,
        "asked_model": endpoint.model,
        "server": endpoint.host,
        "tokenizer": hashlib.sha256(vocabulary).hexdigest()[:32],
        "reasoning": given.hash,
    }


def _ids(tokenizer: Any, text: str) -> list[int]:
    return plain_ids(tokenizer, [text])[0]
