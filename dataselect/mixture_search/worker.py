"""A worker's part in a search: claim trials, have them measured, tell, until all are judged.

Any number of workers do this on one board. What is wanted follows from what the board holds
(`sampler`), so a worker may come and go at any time.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dataselect.errors import IncompleteError
from dataselect.mixture_search.sampler import designed, proposed
from dataselect.mixture_search.study import Board, Entry
from dataselect.mixture_search.trial import Item, Settings
from dataselect.mixture_search.trial_runner import Result
from dataselect.stages.scores import Status
from dataselect.stages.watch import Watch

POLL_SECONDS = 1.0
CONFIRMATION = -1
"""The round of the trials that confirm; no model is fitted to them."""

Measure = Callable[[Mapping[str, Item]], dict[str, Result]]


@dataclass
class Worker:
    """One process at a search. `at_once` trials are claimed at a time."""

    board: Board
    settings: Settings
    measure: Measure
    at_once: int
    watch: Watch
    sleep: Callable[[float], None] = time.sleep
    failed: dict[Item, str] = field(default_factory=dict)
    """What went wrong here, and is not tried again by this worker."""
    _rounds: list[list[Item]] = field(default_factory=list)

    def search(self) -> dict[Item, tuple[float, ...]]:
        """All trials but those that confirm, and that diverged, once every round is over."""
        self._rounds = self._rounds or [designed(self.settings)]
        while True:
            for number, items in enumerate(self._rounds):
                self.finish(items, "design" if number == 0 else "proposed", number)
            entries = self.board.entries()
            planned = [item for items in self._rounds for item in items]
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

    def finish(self, items: Sequence[Item], role: str, number: int) -> None:
        """Have these mixtures judged, by this worker or others."""
        waiting = False
        while True:
            for lost in self.board.release_orphans():
                self.watch.note(f"trial {lost.number}: {lost.why}; its mixture is trained again")
            entries = self.board.entries()
            judged = {entry.item for entry in entries if entry.judged}
            left = [item for item in items if item not in judged]
            if not left:
                return
            active = {entry.item for entry in entries if entry.active}
            running = {entry.item for entry in entries if entry.running}
            mine = [item for item in left if item not in self.failed]
            for item in mine:
                if item not in active:
                    self.board.enqueue(item, role, self.settings.tag, number)
            if self._work({item for item in mine if item not in running}):
                continue
            if not any(item in running for item in left):
                why = next((self.failed[item] for item in left if item in self.failed), None)
                if why is not None:
                    raise IncompleteError(
                        f"{len(left)} trials of the search failed ({why}); mend this and run again"
                    )
            elif not waiting:
                waiting = True
                self.watch.note("waiting for trials of other workers")
            self.sleep(POLL_SECONDS)

    def _work(self, wanted: set[Item]) -> bool:
        """Do some of what waits; whether there was any."""
        claimed = self.board.claim(self.at_once, wanted)
        if not claimed:
            return False
        open_trials = {each.number for each in claimed}
        try:
            with self.board.heartbeat(claimed):
                results = self.measure({f"trial {c.number}": c.item for c in claimed})
            for each in claimed:
                result = results[f"trial {each.number}"]
                if result.values is not None:
                    self.board.tell(each.number, result.values, result.flops)
                else:
                    self.board.give_up(each.number, result.why, result.diverged)
                    fate: Status = "diverged" if result.diverged else "failed"
                    self.watch.note(f"trial {each.number} {fate}: {result.why}")
                    if not result.diverged:
                        self.failed[each.item] = result.why
                open_trials.discard(each.number)
        finally:
            for trial in open_trials:
                self.board.give_up(trial, "its worker was interrupted")
        return True

    def _known(
        self, entries: Sequence[Entry], planned: Sequence[Item]
    ) -> dict[Item, tuple[float, ...]]:
        """Values of planned trials, and of those of an earlier course on the same board."""
        wanted, tag = set(planned), self.settings.tag
        return {
            entry.item: entry.values
            for entry in reversed(entries)
            if entry.values is not None
            and (entry.item in wanted or (entry.tag != tag and entry.round != CONFIRMATION))
        }

    def _round(
        self,
        entries: Sequence[Entry],
        known: Mapping[Item, tuple[float, ...]],
        planned: Sequence[Item],
        count: int,
        number: int,
    ) -> list[Item]:
        """The round as somebody has enqueued it already, else as it is proposed now."""
        tag = self.settings.tag
        there = dict.fromkeys(e.item for e in entries if (e.tag, e.round) == (tag, number))
        items = list(there)[:count]
        if len(items) == count:
            return items
        fresh = proposed(self.settings, known, planned, count, number)
        return [*items, *(item for item in fresh if item not in there)][:count]
