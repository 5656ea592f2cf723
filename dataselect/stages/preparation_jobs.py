"""Preparation as jobs of the engine: tokenizer, token streams, leaks, counts, weighed rationales.

Each job puts what it makes into the store and returns nothing. The driver then goes the same way as
where it prepares by itself, and finds everything there: so results, keys and errors are the same.
All jobs of a kind are submitted together, one for each source or benchmark, and a fault of one does
not end the others, whose work is kept.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataselect.compute import Job, Outcome, Resources
from dataselect.config.plan import Plan
from dataselect.corpus.kept_tokenizer import TOKENIZERS, TokenizerRequest
from dataselect.corpus.prepare import Tokenise
from dataselect.corpus.stream_request import STREAMS, StreamRequest
from dataselect.counting.counted import KIND as COUNTED
from dataselect.counting.counted import Text, Want, is_counted
from dataselect.errors import DataselectError
from dataselect.leaks.search import LEAKS, LeakSearch, Scans, SearchRequest
from dataselect.scoring.gather import TRACES, Weighing
from dataselect.stages.engine import (
    job_resources,
    preparation_resources,
    prepares_by_jobs,
)
from dataselect.stages.job_runs import error_of, run_twice
from dataselect.stages.preparation_work import (
    count_words,
    look_for_leaks,
    tokenise,
    train_tokenizer,
    weigh_rationales,
)
from dataselect.stages.runtime import Runtime
from dataselect.stages.work import Made, Planned, PlannedJob
from dataselect.store import content_key

Spec = Mapping[str, Any]
_KIND = "preparation"
"""For whoever watches: the tokens of these jobs are read, not trained on."""


@dataclass(frozen=True)
class _Work:
    """A job of preparation before it is submitted."""

    name: str
    """Its name."""
    of: str
    """Whose error it is: the id of a source, a benchmark or a candidate."""
    function: Callable[..., bool]
    """The job's function."""
    arguments: Mapping[str, Any]
    """Its arguments, but store, folder and patience."""
    made: Sequence[tuple[str, Spec]]
    """Kind and spec of the artifacts that it makes."""
    tokens: int | None = None
    """Tokens that it reads or writes, if that is known."""
    in_folder: bool = True
    """Whether it runs in the driver's working folder, from which its paths lead."""


@dataclass(frozen=True)
class PreparationJobs:
    """Has things prepared by jobs. Methods return what went wrong, by source or benchmark id."""

    plan: Plan
    """What the jobs ask for."""
    runtime: Runtime
    """Where they run."""

    @property
    def _resources(self) -> Resources:
        return preparation_resources(self.plan.compute)

    @property
    def _threads(self) -> int:
        return self._resources.threads or 1

    def train(self, request: TokenizerRequest) -> None:
        """See `corpus.prepare.Train`."""
        made = [(TOKENIZERS, request.spec)]
        name = "training the tokenizer"
        work = _Work(name, "", train_tokenizer, {"request": request}, made)
        for error in self._run("Tokenizer", [work]).values():
            raise error

    def tokenising(self, search: LeakSearch | None) -> Tokenise:
        """Tokenises sources, and searches them meanwhile; see `corpus.prepare.Tokenise`."""

        def run(requests: Sequence[StreamRequest]) -> Mapping[str, DataselectError]:
            works = [
                _Work(
                    f"tokenising {request.id}",
                    request.id,
                    tokenise,
                    {"request": request, "search": search, "threads": self._threads},
                    [(STREAMS, request.spec)],
                    request.budget,
                )
                for request in requests
            ]
            return self._run("Tokenising sources", works)

        return run

    def scanning(self, search: LeakSearch) -> Scans:
        """Searches sources whose streams exist; see `leaks.search.Scans`."""

        def run(requests: Mapping[str, SearchRequest]) -> Mapping[str, DataselectError]:
            works = [
                _Work(
                    f"searching {name} for leaks",
                    name,
                    look_for_leaks,
                    {"request": request, "search": search, "threads": self._threads},
                    [(LEAKS, search.spec(request.text))],
                )
                for name, request in requests.items()
            ]
            return self._run("Searching sources for leaks", works)

        return run

    def weigh(self, wanted: Sequence[Weighing]) -> Mapping[str, DataselectError]:
        """See `scoring.gather.Weigh`."""
        works = [
            _Work(
                f"weighing {weighing.benchmark.id}",
                weighing.benchmark.id,
                weigh_rationales,
                {"weighing": weighing, "device": self.runtime.device},
                [(TRACES, weighing.spec)],
            )
            for weighing in wanted
        ]
        needed = job_resources(self.plan.compute, engine=self.runtime.compute)
        return self._run("Weighing rationales", works, needed)

    def count(self, texts: Mapping[str, Text], wants: Sequence[Want]) -> None:
        """Score traces by the words of texts, where the store lacks that; raises what went wrong.

        As many jobs as run side by side, since each lays out the traces first.
        """
        store, unique = self.runtime.store, dict[str, tuple[str, Text]]()
        for name, text in texts.items():
            unique.setdefault(content_key(COUNTED, wants[0].spec(text)), (name, text))
        named = list(unique.values())
        count = min(len(named), self.runtime.compute.slots)
        works = []
        # Of all texts, so that a driver that is started again makes the same jobs.
        for group in (dict(named[first::count]) for first in range(count)):
            if all(is_counted(store, text, want) for text in group.values() for want in wants):
                continue
            name, *others = group
            more = f" and {len(others)} more" if others else ""
            works.append(
                _Work(
                    f"counting {name}{more}",
                    name,
                    count_words,
                    {"texts": group, "wants": wants},
                    [(COUNTED, want.spec(text)) for text in group.values() for want in wants],
                    sum(text.tokens for text in group.values()),
                    in_folder=False,
                )
            )
        for error in self._run("Counting words", works).values():
            raise error

    def _run(
        self, title: str, works: Sequence[_Work], resources: Resources | None = None
    ) -> dict[str, DataselectError]:
        """Run the jobs as a part of the run with this title; errors by `_Work.of`, in order."""
        if not works:
            return {}
        store, watch = self.runtime.store, self.runtime.watch
        watch.step(title)
        by_name = {work.name: work for work in works}
        planned = [PlannedJob(w.name, tokens=w.tokens, keys=_keys(w), kind=_KIND) for w in works]
        watch.tell(Planned(tuple(planned)))
        needed = self._resources if resources is None else resources
        jobs = []
        for work in works:
            place = {"folder": Path.cwd()} if work.in_folder else {}
            arguments = {"store": store, **place, **work.arguments, "patient": False}
            jobs.append(Job(work.name, work.function, arguments, needed))

        def tell_made(job: str) -> None:
            watch.tell(Made(job, _keys(by_name[job])))

        def settle(outcome: Outcome, _: object) -> None:
            if outcome.error_type == "WorkerDied":
                for kind, spec in by_name[outcome.job].made:
                    # So that the next attempt need not wait until it is known to be dead.
                    store.forget_claim(kind, spec)

        outcomes = run_twice(self.runtime, jobs, tell_made, settle)
        errors = {work.of: error_of(outcomes[work.name]) for work in works}
        return {name: error for name, error in errors.items() if error is not None}


def _keys(work: _Work) -> tuple[str, ...]:
    return tuple(f"{kind}-{content_key(kind, spec)}" for kind, spec in work.made)


def preparation_jobs(plan: Plan, runtime: Runtime) -> PreparationJobs | None:
    """Whoever prepares by jobs; None where this process prepares."""
    return PreparationJobs(plan, runtime) if prepares_by_jobs(plan) else None
