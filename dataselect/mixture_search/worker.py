"""A worker of a search: claim trials, measure them, report the results, until all are done.

Any number of workers share one study. The trials to do follow from those in the study (`sampler`),
so a worker may start and stop at any time.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dataselect.errors import IncompleteError
from dataselect.mixture.trial import Trial
from dataselect.mixture_search.sampler import designed, proposed
from dataselect.mixture_search.study import Entry, SharedStudy
from dataselect.mixture_search.trial import SearchSettings
from dataselect.mixture_search.trial_runner import Result
from dataselect.stages.scores import Status
from dataselect.stages.watch import Watch
from dataselect.stages.work import Shared

POLL_SECONDS = 1.0
CONFIRMATION = -1
"""Round number of the trials that confirm; no model is fitted to them."""

Measure = Callable[[Mapping[str, Trial]], dict[str, Result]]


@dataclass
class Worker:
    """One process of a search."""

    study: SharedStudy
    """The trials of all workers."""
    settings: SearchSettings
    """What the trials are chosen by."""
    measure: Measure
    """Trains and scores trials, by name."""
    at_once: int
    """How many trials to claim at a time."""
    watch: Watch
    """Where progress is reported."""
    sleep: Callable[[float], None] = time.sleep
    """Waits between looks at the study."""
    failed: dict[Trial, str] = field(default_factory=dict)
    """Why trials failed here; this worker does not try them again."""
    _rounds: list[list[Trial]] = field(default_factory=list)

    def search(self) -> dict[Trial, tuple[float, ...]]:
        """Scores by trial, once every round is over; without confirmations and diverged trials.

        IncompleteError where trials failed, or too few are left for a model.
        """
        self._rounds = self._rounds or [designed(self.settings)]
        while True:
            for number, trials in enumerate(self._rounds):
                self.finish(trials, "design" if number == 0 else "proposed", number)
            entries = self.study.entries()
            planned = [trial for trials in self._rounds for trial in trials]
            known = self._known(entries, planned)
            left = self.settings.trials - len({*planned, *known})
            if left <= 0:
                return known
            if len(known) < len(self.settings.sources) + 2:
                raise IncompleteError(
                    f"{len(planned) - len(known)} of {len(planned)} trials diverged, and the "
                    "others are too few for a model; lower the proxy's learning rate"
                )
            number = len(self._rounds)
            count = min(self.settings.together, left)
            self._rounds.append(self._round(entries, known, planned, count, number))

    def finish(self, trials: Sequence[Trial], role: str, number: int) -> None:
        """Work or wait until these trials are done. IncompleteError where some failed here."""
        waiting = False
        while True:
            for lost in self.study.release_orphans():
                self.watch.note(f"trial {lost.place}: {lost.why}; its mixture is trained again")
            entries = self.study.entries()
            self._tell(entries, number)
            finished = {entry.trial for entry in entries if entry.finished}
            left = [trial for trial in trials if trial not in finished]
            if not left:
                return
            active = {entry.trial for entry in entries if entry.active}
            running = {entry.trial for entry in entries if entry.running}
            mine = [trial for trial in left if trial not in self.failed]
            for trial in mine:
                if trial not in active:
                    self.study.enqueue(trial, role, self.settings.tag, number)
            if self._work({trial for trial in mine if trial not in running}):
                continue
            if not any(trial in running for trial in left):
                why = next((self.failed[trial] for trial in left if trial in self.failed), None)
                if why is not None:
                    raise IncompleteError(
                        f"{len(left)} trials of the search failed ({why}); fix this and run again"
                    )
            elif not waiting:
                waiting = True
                self.watch.note("waiting for trials of other workers")
            self.sleep(POLL_SECONDS)

    def _tell(self, entries: Sequence[Entry], number: int) -> None:
        """Tell how far all workers are, with the search or its confirmation."""
        of_part = [each for each in entries if (each.round == CONFIRMATION) == (number < 0)]
        done = {each.trial for each in of_part if each.finished}
        others = {each.worker for each in of_part if each.running} - {self.study.worker}
        self.watch.tell(Shared(len(done), 1 + len(others)))

    def _work(self, needed: set[Trial]) -> bool:
        """Claim and measure some of the needed trials that wait; False if there were none."""
        claimed = self.study.claim(self.at_once, needed)
        if not claimed:
            return False
        open_trials = {each.number for each in claimed}
        try:
            with self.study.heartbeat(claimed):
                results = self.measure({f"trial {c.place}": c.trial for c in claimed})
            for each in claimed:
                result = results[f"trial {each.place}"]
                if result.values is not None:
                    self.study.tell(each.number, result.values, result.flops, result.trained_on)
                else:
                    self.study.give_up(each.number, result.why, result.diverged)
                    fate: Status = "diverged" if result.diverged else "failed"
                    self.watch.note(f"trial {each.place} {fate}: {result.why}")
                    if not result.diverged:
                        self.failed[each.trial] = result.why
                open_trials.discard(each.number)
        finally:
            for trial in open_trials:
                self.study.give_up(trial, "its worker was interrupted")
        return True

    def _known(
        self, entries: Sequence[Entry], planned: Sequence[Trial]
    ) -> dict[Trial, tuple[float, ...]]:
        """Values of planned trials, and of those of earlier searches in the same study."""
        needed, tag = set(planned), self.settings.tag
        return {
            entry.trial: entry.values
            for entry in reversed(entries)
            if entry.values is not None
            and (entry.trial in needed or (entry.tag != tag and entry.round != CONFIRMATION))
        }

    def _round(
        self,
        entries: Sequence[Entry],
        known: Mapping[Trial, tuple[float, ...]],
        planned: Sequence[Trial],
        count: int,
        number: int,
    ) -> list[Trial]:
        """The trials of a round: those enqueued by any worker, and new proposals for the rest."""
        tag = self.settings.tag
        enqueued = dict.fromkeys(e.trial for e in entries if (e.tag, e.round) == (tag, number))
        trials = list(enqueued)[:count]
        if len(trials) == count:
            return trials
        fresh = proposed(self.settings, known, planned, count, number)
        return [*trials, *(trial for trial in fresh if trial not in enqueued)][:count]
