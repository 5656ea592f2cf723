"""The state of a run, from what a `Watch` is told: its parts, their jobs, and the time left.

The live display and the record that `dataselect status` reads both show this state, so they agree.
It observes: nothing in here raises, and numbers that are missing or not finite are left out.

Jobs of one name are one job, whatever happened to it: one that failed, was tried again and
succeeded is done.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from dataselect.compute import Event
from dataselect.stages.estimate import PartLeft, WorkLeft, seconds_left
from dataselect.stages.losses import Losses
from dataselect.stages.work import (
    ExpectedPart,
    Fact,
    Outlook,
    Planned,
    PlannedJob,
    Shared,
    StageRanking,
)

Fields = Mapping[str, float | int | str]
State = Literal["waiting", "running", "done", "failed"]


@dataclass
class Work:
    """A piece of work: a job, or something that the driver does itself."""

    name: str
    """Name of the job, or of the work."""
    state: State = "waiting"
    """What has become of it."""
    plan: PlannedJob | None = None
    """What was known of it before; None if it was not announced."""
    begun: float = 0.0
    """Clock time of the latest start, in seconds."""
    trained: float | None = None
    """Clock time of the latest progress in training; None without any."""
    head: float = 0.0
    """Seconds from its start to the first progress in training."""
    fields: Fields = field(default_factory=dict)
    """The last progress: `tokens`, `total_tokens`, `tokens_per_second`, `loss`, ..."""
    first: float = 0.0
    """Tokens that were trained on before this attempt, from a saved state."""
    before: float = 0.0
    """Tokens of the job's earlier trainings, where it trains several one after the other."""
    seen: float = 0.0
    """Seconds from its start to the last progress."""
    seconds: float | None = None
    """How long it took, once it is over."""
    error: str = ""
    """Why it failed."""
    attempts: int = 0
    """Times that it was started."""

    def number(self, key: str) -> float | None:
        """A number of the progress; None if it is missing or not finite."""
        value = self.fields.get(key)
        if isinstance(value, int | float) and math.isfinite(value):
            return float(value)
        return None

    @property
    def share(self) -> float | None:
        """Share of the current training's tokens done, or of items; in 0..1, None if not known."""
        for unit in ("tokens", "items"):
            done, total = self.number(unit), self.number(f"total_{unit}")
            if done is not None and total:
                return min(done / total, 1.0)
        return None

    @property
    def waits_for(self) -> str | None:
        """The process that does this work now, if it is another one."""
        holder = self.fields.get("waits_for")
        return None if holder is None else str(holder)

    def start(self, now: float) -> None:
        """It is started, for the first time or again."""
        self.state, self.begun, self.attempts = "running", now, self.attempts + 1
        self.fields, self.trained, self.error = {}, None, ""
        self.first = self.before = 0.0

    def advance(self, fields: Fields, now: float) -> None:
        """It has come this far."""
        earlier = self.number("tokens")
        self.fields, self.seen = dict(fields), now - self.begun
        tokens, total = self.number("tokens"), self.number("total_tokens")
        if tokens is None:
            return
        if self.trained is None:
            self.head = now - self.begun
            # Of a training that goes on from a saved state.
            self.first = tokens if tokens < (total or math.inf) else 0.0
        elif earlier is not None and tokens < earlier:
            self.before += earlier
        self.trained = now

    @property
    def flops(self) -> float | None:
        """Its training FLOPs; None if not known."""
        return None if self.plan is None else self.plan.flops

    @property
    def kind(self) -> str:
        """What it does, if it trains nothing; else ""."""
        return "" if self.plan is None else self.plan.kind

    @property
    def flops_left(self) -> float | None:
        """Training FLOPs that are left of it."""
        flops = self.flops
        if flops is None or self.state in ("done", "failed"):
            return 0.0 if self.state in ("done", "failed") else None
        return flops * (1 - self.trained_share)

    @property
    def trained_share(self) -> float:
        """Share of all its training that is done, in 0..1."""
        if self.kind:
            return self.share or 0.0
        tokens = None if self.plan is None else self.plan.tokens
        if not tokens or self.trained is None:
            return 0.0
        return min(1.0, (self.before + (self.number("tokens") or 0.0)) / tokens)

    @property
    def speed(self) -> float | None:
        """FLOPs a second of its training, or what its kind is counted in; None if not known."""
        rate, plan = self.number("tokens_per_second"), self.plan
        if self.kind and self.flops:
            if self.state == "done":
                return self.flops / self.seconds if self.seconds else None
            return self.flops * self.share / self.seen if self.share and self.seen else None
        if not rate or rate < 0 or plan is None or not plan.flops or not plan.tokens:
            return None
        return rate * plan.flops / plan.tokens

    @property
    def tail(self) -> float | None:
        """Seconds that it took after its training, for scoring, once it is done."""
        if self.state != "done" or self.seconds is None or self.flops is None or self.kind:
            return None
        if not self.flops:
            return self.seconds
        tokens = None if self.plan is None else self.plan.tokens
        if not tokens or not self.speed:
            return None  # what it trained is not known
        training = self.flops * (1 - self.first / tokens) / self.speed
        return max(0.0, self.seconds - self.head - training)

    def left(self, now: float, head: float) -> WorkLeft:
        """What is left of it; `head` are the seconds that such a job takes before its training."""
        past = 0.0
        if self.state == "running" and self.flops is None:
            past = now - self.begun
        elif self.state == "running" and self.trained is None:
            past = min(now - self.begun, head) if self.flops else now - self.begun
        elif self.state == "running" and self.trained is not None:
            past = head + (now - self.trained if self.trained_share >= 1 else 0.0)
        return WorkLeft(self.flops_left, self.speed, past)


@dataclass
class Part:
    """A part of the run, from one `Watch.step` to the next."""

    title: str
    """Its title."""
    begun: float
    """Clock time of its beginning, in seconds."""
    ended: float | None = None
    """Clock time of its end."""
    jobs: dict[str, Work] = field(default_factory=dict)
    """By name, in the order in which they were announced or started."""
    found: int = 0
    """Training runs that were in the store."""
    expected: ExpectedPart | None = None
    """What the plan says of it."""
    planned: bool = False
    """Whether its jobs were announced."""
    shared: Shared | None = None
    """How far it is by all processes that work on it; None where no other does."""
    losses: Losses = field(default_factory=Losses)
    """Of its jobs that train."""

    def runs(self, *states: State) -> int:
        """Training runs of the jobs in these states."""
        works = list(self.jobs.values())
        return sum(1 if w.plan is None else w.plan.runs for w in works if w.state in states)

    @property
    def done(self) -> int:
        """Training runs that are done, those from the store and of other processes included."""
        own = self.found + self.runs("done")
        if self.shared is None or self.expected is None:
            return own
        return max(own, min(self.shared.done, self.expected.runs))

    @property
    def total(self) -> int | None:
        """All training runs; None if not known."""
        if not self.planned:
            return None
        return self._known + self._by_others + self._announced_later

    @property
    def _known(self) -> int:
        return self.found + self.runs("waiting", "running", "done", "failed")

    @property
    def _by_others(self) -> int:
        """Runs that other processes have done since this part began."""
        return self.done - self.found - self.runs("done")

    @property
    def _announced_later(self) -> int:
        """Runs of rounds that are still to come, here or elsewhere, and those elsewhere now."""
        if self.expected is None or not self.expected.in_rounds:
            return 0
        return max(0, self.expected.runs - self._known - self._by_others)

    def left(self, now: float) -> list[PartLeft]:
        """What is left of it, and what was seen; work of each kind apart."""
        works = list(self.jobs.values())
        kinds = dict.fromkeys(work.kind for work in works)
        made = [self._left([work for work in works if work.kind == each], now) for each in kinds]
        return made or [self._left([], now)]

    def _left(self, works: Sequence[Work], now: float) -> PartLeft:
        open_ = [work for work in works if work.state in ("waiting", "running")]
        speeds = [work.speed for work in works if work.speed is not None]
        # The first jobs of a worker also load its libraries.
        head = min((work.head for work in works if work.trained is not None), default=0.0)
        tails = [work.tail for work in works if work.tail is not None]
        whole = [w.seconds for w in works if w.state == "done" and w.flops is None and w.seconds]
        is_training = not any(work.kind for work in works)
        each = WorkLeft(None if self.expected is None else self.expected.flops)
        more = (each,) * (self._announced_later if is_training else 0)
        return PartLeft(
            (*(work.left(now, head) for work in open_), *more),
            median(speeds) if speeds else None,
            head + median(tails) if tails else None,
            median(whole) if whole else None,
            is_training,
            1 if self.shared is None else max(1, self.shared.processes),
            None if self.expected is None else self.expected.slots,
        )


class Progress:
    """A `Watch` that keeps what it is told. `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.begun = clock()
        self.parts: list[Part] = []
        """Those that have begun."""
        self.here: Work | None = None
        """What the driver itself does now."""
        self.outlook: Outlook | None = None
        """What the plan says of the parts."""
        self.rankings: list[StageRanking] = []
        """Of the stages that pruned."""
        self.notes: list[str] = []
        """Remarks and warnings."""

    @property
    def part(self) -> Part | None:
        """The part that runs now."""
        return self.parts[-1] if self.parts else None

    def step(self, title: str) -> None:
        """A new part of the run begins."""
        now = self.clock()
        self.close()
        known = {} if self.outlook is None else {each.title: each for each in self.outlook.parts}
        self.parts.append(Part(title, now, expected=known.get(title)))

    def close(self) -> None:
        """The current part is over."""
        self.here = None
        if self.part is not None and self.part.ended is None:
            self.part.ended = self.clock()

    def progress(self, work: str, fields: Fields) -> None:
        """Progress of the work in this process."""
        now = self.clock()
        if self.here is None or self.here.name != work:
            self.here = Work(work)
            self.here.start(now)
        self.here.advance(fields, now)

    def peers_loss(self, work: Work) -> float | None:
        """Median loss of the part's other trainings at the same share of their tokens; None where
        fewer than two have come as far."""
        if self.part is None or work.share is None:
            return None
        return self.part.losses.of_peers(work.name, work.share)

    def event(self, event: Event) -> None:
        """Something happened to a job."""
        now = self.clock()
        self.here = None
        if self.part is None:
            self.step("")
        part = self.parts[-1]
        work = part.jobs.setdefault(event.job, Work(event.job))
        if event.kind == "started" or work.attempts == 0:
            work.start(now)
        if event.kind == "progress":
            work.advance(event.fields, now)
            loss, share = work.number("loss"), work.share
            if loss is not None and share is not None:
                part.losses.add(work.name, work.attempts, share, loss)
        elif event.kind == "retried":
            work.state, work.fields, work.trained = "waiting", {}, None
        elif event.kind in ("done", "failed"):
            work.state = "done" if event.kind == "done" else "failed"
            work.error = str(event.fields.get("error", ""))
            seconds = event.fields.get("wall_seconds")
            work.seconds = float(seconds) if isinstance(seconds, int | float) else now - work.begun

    def note(self, text: str) -> None:
        """A remark or warning for the user."""
        self.notes.append(text)

    def tell(self, fact: Fact) -> None:
        """Something is known of the work, or a stage has its ranking."""
        if isinstance(fact, Outlook):
            self.outlook = fact
        elif isinstance(fact, Planned):
            if self.part is None:
                self.step("")
            part = self.parts[-1]
            part.planned, part.found = True, part.found + fact.found
            for job in fact.jobs:
                part.jobs[job.name] = Work(job.name, plan=job)
        elif isinstance(fact, Shared) and self.part is not None:
            self.part.shared = fact
        elif isinstance(fact, StageRanking):
            self.rankings.append(fact)

    def seconds_left(self) -> float | None:
        """Seconds that the whole run still takes; None if that is not known."""
        if self.outlook is None:
            # Of work that has no parts, such as asking a server.
            return None if self.here is None else self.here.number("seconds_left")
        parts, now = list(self.parts), self.clock()
        begun = {part.title for part in parts}
        if parts and parts[-1].expected is not None and not parts[-1].planned:
            begun.discard(parts[-1].title)
        # Parts that are over tell a speed and have nothing left.
        left = [kind for each in parts if each.title in begun for kind in each.left(now)]
        left += [
            PartLeft((WorkLeft(each.flops),) * each.runs, slots=each.slots)
            for each in self.outlook.parts
            if each.title not in begun and each.runs
        ]
        return seconds_left(left, self.outlook.slots)

    @property
    def at_most(self) -> bool:
        """Whether the run may end before that."""
        if self.outlook is None or not self.outlook.at_most:
            return False
        begun = {part.title for part in self.parts}
        return any(each.title not in begun for each in self.outlook.parts)
