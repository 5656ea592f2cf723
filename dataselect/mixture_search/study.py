"""Trials shared among workers: an Optuna study in which each trial is a mixture to train.

Mixtures are enqueued and claimed, never drawn by Optuna, so a sampler that is created again cannot
repeat its first draws. A trial is identified by its mixture and seed: if it is enqueued twice, it
is trained once. A worker that dies leaves its trial RUNNING. The others notice that (by a lock file
in a shared store, else by a missing heartbeat) and mark it failed, and the same mixture is enqueued
again.
"""

import fcntl
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.trial import FrozenTrial, TrialState

from dataselect.compute.machine import Machine
from dataselect.errors import InputError
from dataselect.mixture.trial import Trial
from dataselect.mixture_search.journal import JournalFile

HEARTBEAT_SECONDS = 60.0
SILENT_SECONDS = 900.0
"""After so long without a heartbeat a worker without a visible lock file counts as dead."""
_OPENINGS, _OPENING_SECONDS = 5, 1.0
"""Attempts to open a database, and the longest wait in between."""


@dataclass(frozen=True)
class Entry:
    """A trial as it stands in the study."""

    number: int
    """Its number in the study."""
    state: TrialState
    """Optuna's state."""
    trial: Trial
    """The mixture and seed."""
    place: int
    """The trial's name for people: its place among the different trials of the study. It is the
    same where a lost trial is done again, so that a kill changes no result."""
    tag: str
    """The search that enqueued it, see `SearchSettings.tag`."""
    round: int
    """Its round: 0 for the design, -1 for a confirmation."""
    values: tuple[float, ...] | None = None
    """Scores by benchmark; None unless it is complete."""
    flops: float = 0.0
    """Of training and scoring."""
    seconds: float = 0.0
    """From claim to result."""
    diverged: bool = False
    """Whether training diverged."""
    why: str | None = None
    """Why it failed."""
    worker: str | None = None
    """Who claimed it."""
    last_seen: float = 0.0
    """Last heartbeat of its worker, seconds since 1970."""
    trained_on: tuple[Machine, ...] = ()
    """What trained its proxy; empty unless it is complete."""

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in (TrialState.WAITING, TrialState.RUNNING)

    @property
    def running(self) -> bool:
        """Whether a worker has claimed it."""
        return self.state == TrialState.RUNNING

    @property
    def finished(self) -> bool:
        """Whether it need not be trained again."""
        return self.state == TrialState.COMPLETE or self.diverged

    @property
    def lost(self) -> bool:
        """Whether a worker failed on it and it has to be trained again."""
        return self.state == TrialState.FAIL and self.worker is not None and not self.diverged


@dataclass(frozen=True)
class Claimed:
    """A trial that this worker has claimed."""

    number: int
    """Its number in the study."""
    trial: Trial
    """The mixture and seed."""
    place: int
    """See `Entry`."""


def open_storage(
    url: str | None, where: str, journal: Path, sleep: Callable[[float], None] = time.sleep
) -> BaseStorage:
    """The storage at `url`, or the journal if None. InputError if it cannot be opened."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if url is None:
        return JournalStorage(JournalFile(journal))
    # Imported here: a journal does not need it.
    from sqlalchemy.exc import DBAPIError

    failed = ""
    for _ in range(_OPENINGS):
        try:
            return optuna.storages.get_storage(url)
        except ImportError as error:
            raise InputError(where, f"{error}", "install what connects to this database") from None
        except Exception as error:
            # Drivers raise many kinds of errors; the text may hold the password of the URL.
            failed = type(error).__name__
            if not isinstance(error, DBAPIError):
                break
        # Workers that start together create the same tables, and all but one of them fail.
        sleep(_OPENING_SECONDS * secrets.SystemRandom().random())
    raise InputError(where, f"the storage cannot be opened ({failed})", "fix the URL")


class SharedStudy:
    """The study `name` for mixtures of `sources`, as one worker sees it.

    `folder` has the lock files of the workers that share this store. `clock` gives seconds since
    1970, about the same on all machines; it is read only when a trial is seen first. From then on
    silence is counted by `monotonic`, so that a clock that is set declares nobody dead.
    """

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        sources: Sequence[str],
        benchmarks: Sequence[str],
        folder: Path,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._study = optuna.create_study(
            storage=storage,
            study_name=name,
            directions=["minimize"] * len(benchmarks),
            load_if_exists=True,
            sampler=optuna.samplers.RandomSampler(seed=0),
        )
        if self._study.user_attrs.get("sources") != list(sources):
            self._study.set_user_attr("sources", list(sources))
            self._study.set_user_attr("benchmarks", list(benchmarks))
        self._storage = storage
        self._sources, self._folder, self._clock = tuple(sources), folder, clock
        self._monotonic = monotonic
        self._signs: dict[int, tuple[float, float]] = {}
        """By trial the last heartbeat seen, and when it came, by `monotonic`."""
        self.worker = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Show that this worker lives, for as long as it does."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / self.worker
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            with suppress(FileNotFoundError):
                path.unlink()
            os.close(descriptor)

    def entries(self) -> list[Entry]:
        """All trials that are mixtures, oldest first."""
        places: dict[Trial, int] = {}
        found = []
        for optuna_trial in self._study.get_trials(deepcopy=False):
            trial = _trial(optuna_trial.user_attrs)
            if trial is not None:
                place = places.setdefault(trial, len(places))
                found.append(self._entry(optuna_trial, trial, place))
        return found

    def enqueue(self, trial: Trial, role: str, tag: str, number: int) -> None:
        """Add a trial to the queue."""
        attributes = {"mixture": list(trial.shares), "seed": trial.seed, "role": role}
        self._study.enqueue_trial(
            dict(zip(self._sources, trial.shares, strict=True)),
            user_attrs={**attributes, "tag": tag, "round": number},
        )

    def claim(self, most: int, needed: set[Trial]) -> list[Claimed]:
        """Claim up to `most` of the needed trials that wait."""
        claimed: list[Claimed] = []
        for entry in self.entries():
            if len(claimed) == most:
                break
            if entry.state != TrialState.WAITING or entry.trial not in needed:
                continue
            optuna_trial = self._take(entry.number)
            if optuna_trial is None:
                continue
            if self._is_second(entry):
                self._fail(entry.number, "not needed: another worker enqueued it at the same time")
                continue
            optuna_trial.set_user_attr("worker", self.worker)
            optuna_trial.set_user_attr("seen", self._clock())
            for name in self._sources:
                optuna_trial.suggest_float(name, 0.0, 1.0)
            claimed.append(Claimed(entry.number, entry.trial, entry.place))
        return claimed

    def drop_waiting(self) -> None:
        """Mark waiting trials as failed: they were enqueued under settings no longer in use."""
        for entry in self.entries():
            if entry.state == TrialState.WAITING and self._take(entry.number) is not None:
                self._fail(entry.number, "not needed: the settings of the search have changed")

    def _take(self, number: int) -> optuna.Trial | None:
        """The trial, if it was waiting and this worker is the first to claim it; else None."""
        trial_id = self._study.get_trials(deepcopy=False)[number]._trial_id
        try:
            if self._storage.set_trial_state_values(trial_id, state=TrialState.RUNNING):
                return optuna.Trial(self._study, trial_id)
        except optuna.exceptions.UpdateFinishedTrialError:
            pass
        return None

    def _is_second(self, entry: Entry) -> bool:
        """Whether the same trial was enqueued before, by another worker: the first one counts."""
        return any(
            each.trial == entry.trial
            and each.number < entry.number
            and (each.active or each.finished)
            for each in self.entries()
        )

    def tell(
        self,
        number: int,
        values: Sequence[float],
        flops: float,
        trained_on: Sequence[Machine] = (),
    ) -> None:
        """Report the scores by benchmark of a finished trial, and what trained its proxy."""
        self._set(number, "flops", flops)
        # Here and not in the store alone, which workers on other machines do not share.
        self._set(number, "trained_on", [machine.record() for machine in trained_on])
        self._study.tell(number, list(values), skip_if_finished=True)

    def give_up(self, number: int, why: str, diverged: bool = False) -> None:
        """Report that a trial failed; a diverged one is not tried again."""
        if diverged:
            self._set(number, "diverged", True)
        self._fail(number, why)

    def release_orphans(self) -> list[Entry]:
        """Mark trials of dead workers as failed, and return them."""
        lost = []
        for entry in self.entries():
            if entry.running and self._is_dead(entry):
                why = f"its worker died ({entry.worker or 'before it began'})"
                self._fail(entry.number, why)
                lost.append(replace(entry, state=TrialState.FAIL, why=why))
        return lost

    @contextmanager
    def heartbeat(self, claimed: Sequence[Claimed]) -> Iterator[None]:
        """Record regularly, within the context, that these trials are still running."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(HEARTBEAT_SECONDS):
                for each in claimed:
                    # The trial may be finished by now, or the storage temporarily unavailable.
                    with suppress(Exception):
                        self._set(each.number, "seen", self._clock())

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _is_dead(self, entry: Entry) -> bool:
        if entry.worker == self.worker:
            return False
        if entry.worker is not None:
            with suppress(OSError):
                return not _is_held(self._folder / entry.worker)
        # A worker signs right after claiming, so a trial without a worker has been abandoned.
        patience = HEARTBEAT_SECONDS if entry.worker is None else SILENT_SECONDS
        return self._silent_seconds(entry) > patience

    def _silent_seconds(self, entry: Entry) -> float:
        """Seconds since a heartbeat of the trial came."""
        now = self._monotonic()
        seen, since = self._signs.get(entry.number, (None, 0.0))
        if seen is None:
            since = now - max(0.0, self._clock() - entry.last_seen)
        elif seen != entry.last_seen:
            since = now
        self._signs[entry.number] = entry.last_seen, since
        return now - since

    def _entry(self, optuna_trial: FrozenTrial, trial: Trial, place: int) -> Entry:
        attributes = optuna_trial.user_attrs
        done = optuna_trial.state == TrialState.COMPLETE
        started = optuna_trial.datetime_start.timestamp() if optuna_trial.datetime_start else 0.0
        return Entry(
            optuna_trial.number,
            optuna_trial.state,
            trial,
            place,
            attributes["tag"],
            attributes["round"],
            tuple(optuna_trial.values) if done else None,
            attributes.get("flops", 0.0),
            optuna_trial.duration.total_seconds() if optuna_trial.duration else 0.0,
            attributes.get("diverged", False),
            attributes.get("why"),
            attributes.get("worker"),
            # A worker killed between claiming and signing leaves only the start time.
            attributes.get("seen", started),
            # A trial of an older version has no record.
            tuple(map(Machine.read, attributes.get("trained_on", [None]))) if done else (),
        )

    def _fail(self, number: int, why: str) -> None:
        self._set(number, "why", why)
        self._study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def _set(self, number: int, key: str, value: Any) -> None:
        # Another worker may have considered this one dead and finished the trial.
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            trials = self._study.get_trials(deepcopy=False)
            optuna.Trial(self._study, trials[number]._trial_id).set_user_attr(key, value)


def _trial(attributes: Mapping[str, Any]) -> Trial | None:
    if "mixture" not in attributes:
        return None
    return Trial(tuple(attributes["mixture"]), attributes["seed"])


def _is_held(path: Path) -> bool:
    """Whether the file's lock is held; OSError if there is no such file."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
