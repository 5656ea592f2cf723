"""Workers of one study: every trial once, whichever is killed, and the same proposal."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
import searches
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from searches import SETTINGS, SHORT, Notes, Proxies, law, study, worker
from small_swarms import few_folds
from sqlalchemy.exc import IntegrityError

import dataselect
from dataselect.errors import IncompleteError
from dataselect.mixture.propose import propose
from dataselect.mixture.trial import Trial
from dataselect.mixture_search.journal import JournalFile
from dataselect.mixture_search.sampler import fit
from dataselect.mixture_search.study import open_storage
from dataselect.mixture_search.trial_runner import Result
from dataselect.mixture_search.worker import Worker


@pytest.fixture(scope="module", autouse=True)
def _few_folds() -> Iterator[None]:
    with few_folds():
        yield


def run(mine: Worker) -> dict[Trial, tuple[float, ...]]:
    with mine.study.at_work():
        return mine.search()


def proposal(values: Mapping[Trial, tuple[float, ...]]) -> list[float]:
    found = propose(fit(SETTINGS, values), SETTINGS.limits, 0.9, 0)
    return found.shares.tolist()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[Trial, tuple[float, ...]]:
    proxies = Proxies()
    values = run(worker(tmp_path_factory.mktemp("alone"), proxies))
    assert len(proxies.asked) == len(set(proxies.asked)) == SETTINGS.trials
    return values


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> dict[Trial, tuple[float, ...]]:
    """The trials of a search of nine, undisturbed."""
    return run(worker(tmp_path_factory.mktemp("short"), Proxies(), SHORT))


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    support = Path(searches.__file__).parent
    path = os.pathsep.join([str(Path(dataselect.__file__).parents[1]), str(support)])
    words = [sys.executable, "-m", "searches", str(folder), *arguments]
    return subprocess.Popen(words, env=os.environ | {"PYTHONPATH": path})


def test_a_killed_worker_loses_no_trial_and_the_proposal_is_that_of_an_undisturbed_run(
    tmp_path: Path, undisturbed: dict[Trial, tuple[float, ...]]
) -> None:
    killed = start(tmp_path, "KILLED")
    while not (tmp_path / "hangs").exists():
        assert killed.poll() is None
        time.sleep(0.02)
    other = start(tmp_path)
    seen = study(tmp_path)
    while sum(entry.finished for entry in seen.entries()) < 5:
        assert other.poll() is None
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert other.wait(timeout=60) == 0
    entries = study(tmp_path).entries()
    assert not any(entry.active for entry in entries)
    values = {entry.trial: entry.values for entry in entries if entry.values is not None}
    assert values == undisturbed
    (lost,) = [entry for entry in entries if entry.state == TrialState.FAIL]
    assert "its worker died" in (lost.why or "")
    assert lost.trial in values
    assert len({entry.number for entry in entries if entry.finished}) == SETTINGS.trials
    assert proposal(values) == proposal(undisturbed)


def test_the_proposal_is_better_than_the_prior_and_any_trial_s_law(
    undisturbed: dict[Trial, tuple[float, ...]],
) -> None:
    scale = np.array(list(undisturbed.values())).std(axis=0)

    def cost(shares: tuple[float, ...]) -> float:
        return float((np.array(law(Trial(shares, 7))) / scale).mean())

    best = cost(tuple(proposal(undisturbed)))
    assert best < cost(tuple(SETTINGS.prior.tolist()))
    assert best < np.median([cost(trial.shares) for trial in undisturbed])


def test_a_search_that_is_over_trains_nothing_again_and_a_longer_one_only_what_is_new(
    tmp_path: Path, short: dict[Trial, tuple[float, ...]]
) -> None:
    first, again, more = Proxies(), Proxies(), Proxies()
    run(worker(tmp_path, first, SHORT, at_once=3))
    assert set(first.asked) == set(short)
    assert run(worker(tmp_path, again, SHORT)) == short
    assert again.asked == []
    longer = run(worker(tmp_path, more, replace(SHORT, trials=11)))
    assert len(longer) == 11
    assert set(longer) == set(short) | set(more.asked)
    assert len(more.asked) == 2


def test_a_trial_that_fails_is_told_after_all_others_and_tried_again_by_the_next_run(
    tmp_path: Path, short: dict[Trial, tuple[float, ...]]
) -> None:
    culprit = sorted(short, key=lambda trial: trial.shares)[4]

    class Failing(Proxies):
        def __call__(self, trials: Mapping[str, Trial]) -> dict[str, Result]:
            made = super().__call__(trials)
            bad = Result(None, 0.0, "the disk is full")
            return {n: bad if trials[n] == culprit else each for n, each in made.items()}

    failing, fixed = Failing(), Proxies()
    with pytest.raises(IncompleteError, match="the disk is full"):
        run(worker(tmp_path, failing, SHORT))
    assert failing.asked.count(culprit) == 1
    assert run(worker(tmp_path, fixed, SHORT)) == short
    assert culprit in fixed.asked
    assert not set(fixed.asked) & set(failing.asked) - {culprit}


def test_a_diverged_trial_is_judged_and_the_search_goes_on_without_it(tmp_path: Path) -> None:
    class Diverging(Proxies):
        def __call__(self, trials: Mapping[str, Trial]) -> dict[str, Result]:
            made = super().__call__(trials)
            lost = Result(None, 0.0, "the loss was no number", diverged=True)
            return {n: lost if trials[n].shares[1] > 0.4 else each for n, each in made.items()}

    proxies = Diverging()
    values = run(worker(tmp_path, proxies, SHORT))
    lost = [trial for trial in proxies.asked if trial.shares[1] > 0.4]
    assert lost
    assert len(proxies.asked) == len(set(proxies.asked)) == SHORT.trials
    assert set(values) == set(proxies.asked) - set(lost)


def test_an_interrupted_worker_gives_its_trials_back(tmp_path: Path) -> None:
    class Interrupted(Proxies):
        def __call__(self, trials: Mapping[str, Trial]) -> dict[str, Result]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(worker(tmp_path, Interrupted(), SHORT, at_once=2))
    entries = study(tmp_path).entries()
    assert [e.why for e in entries if e.lost] == ["its worker was interrupted"] * 2
    assert not any(entry.running for entry in entries)


def test_a_worker_elsewhere_counts_as_dead_after_a_long_silence(tmp_path: Path) -> None:
    now = 1000.0
    away = study(tmp_path, workers="there", clock=lambda: now)
    here = study(tmp_path, workers="here", clock=lambda: now, monotonic=lambda: now)
    trial = Trial((0.25, 0.25, 0.25, 0.25), 0)
    away.enqueue(trial, "design", "tag", 0)
    (claimed,) = away.claim(5, {trial})
    now += 800
    assert here.release_orphans() == []
    now += 200
    (lost,) = here.release_orphans()
    assert (lost.number, lost.why) == (claimed.number, f"its worker died ({away.worker})")
    # It was not dead after all: its report comes too late and changes nothing.
    away.tell(claimed.number, (1.0, 2.0), 3.0)
    assert [entry.state for entry in here.entries()] == [TrialState.FAIL]


@pytest.mark.parametrize("jump", [-7200.0, 7200.0])
def test_a_clock_that_is_set_declares_no_worker_dead(tmp_path: Path, jump: float) -> None:
    wall, passed = 10_000.0, 0.0
    away = study(tmp_path, workers="there", clock=lambda: 10_000.0)
    here = study(tmp_path, workers="here", clock=lambda: wall, monotonic=lambda: passed)
    trial = Trial((0.25, 0.25, 0.25, 0.25), 0)
    away.enqueue(trial, "design", "tag", 0)
    (claimed,) = away.claim(5, {trial})
    assert here.release_orphans() == []
    wall += jump
    for beat in range(3):
        passed += 600
        assert here.release_orphans() == []
        away._set(claimed.number, "seen", 10_060.0 + beat)
        assert here.release_orphans() == []
    passed += 901
    assert [lost.number for lost in here.release_orphans()] == [claimed.number]


def test_a_trial_that_is_done_again_keeps_its_place(tmp_path: Path) -> None:
    mine = study(tmp_path)
    first, second = Trial((0.25, 0.25, 0.25, 0.25), 0), Trial((0.7, 0.1, 0.1, 0.1), 0)
    for trial in (first, second):
        mine.enqueue(trial, "design", "tag", 0)
    lost, kept = mine.claim(2, {first, second})
    mine.give_up(lost.number, "its worker died")
    mine.tell(kept.number, (1.0, 2.0), 3.0)
    mine.enqueue(first, "design", "tag", 0)
    (again,) = mine.claim(1, {first})
    mine.tell(again.number, (2.0, 3.0), 3.0)
    done = {entry.place: entry.trial for entry in mine.entries() if entry.finished}
    assert done == {0: first, 1: second}
    assert again.place == 0 < again.number


def test_what_two_workers_enqueue_at_once_is_trained_once(tmp_path: Path) -> None:
    first, second = study(tmp_path), study(tmp_path)
    trial = Trial((0.25, 0.25, 0.25, 0.25), 0)
    for each in (first, second):
        each.enqueue(trial, "design", "tag", 0)
    with first.at_work(), second.at_work():
        claims = [first.claim(1, {trial}), second.claim(1, {trial})]
    assert [len(claimed) for claimed in claims] == [1, 0]
    assert not any(entry.state == TrialState.WAITING for entry in first.entries())


def test_a_worker_leaves_what_it_does_not_want_to_others_and_clears_it_up_at_the_end(
    tmp_path: Path,
) -> None:
    mine = study(tmp_path)
    ours, theirs = Trial((0.25, 0.25, 0.25, 0.25), 0), Trial((0.7, 0.1, 0.1, 0.1), 0)
    for trial in (theirs, ours):
        mine.enqueue(trial, "proposed", "tag", 1)
    assert [claimed.trial for claimed in mine.claim(5, {ours})] == [ours]
    assert [e.trial for e in mine.entries() if e.state == TrialState.WAITING] == [theirs]
    mine.drop_waiting()
    assert [(e.trial, e.why is not None) for e in mine.entries() if e.why] == [(theirs, True)]
    (params,) = [t.params for t in mine._study.get_trials() if t.params]
    assert params == dict.fromkeys(SETTINGS.sources, 0.25)


def test_a_torn_end_of_the_journal_is_cut_off_and_the_search_goes_on(
    tmp_path: Path, short: dict[Trial, tuple[float, ...]], caplog: pytest.LogCaptureFixture
) -> None:
    class Stopped(Proxies):
        def __call__(self, trials: Mapping[str, Trial]) -> dict[str, Result]:
            if len(self.asked) == 6:
                raise KeyboardInterrupt
            return super().__call__(trials)

    with pytest.raises(KeyboardInterrupt):
        run(worker(tmp_path, Stopped(), SHORT))
    journal = tmp_path / "study.journal"
    whole = journal.read_bytes()
    torn = whole.splitlines(keepends=True)[-1][:20]
    # One whose writer died while this worker had the journal open already, and one before.
    journal.write_bytes(whole + torn)
    proxies = Proxies()
    mine = worker(tmp_path, proxies, SHORT, watch=Notes())
    journal.write_bytes(journal.read_bytes() + torn)
    assert run(mine) == short
    assert caplog.text.count("cut off 20 bytes") == 2
    # As optuna-dashboard reads it.
    storage = JournalStorage(JournalFileBackend(str(journal)))
    trials = optuna.load_study(study_name="study", storage=storage).trials
    assert sum(trial.values is not None for trial in trials) == SHORT.trials


def test_a_search_runs_on_any_storage_that_optuna_has(
    tmp_path: Path, short: dict[Trial, tuple[float, ...]]
) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    assert run(worker(tmp_path, Proxies(), SHORT, url=url)) == short


def test_workers_that_make_the_same_tables_at_once_both_open_the_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, real = f"sqlite:///{tmp_path}/study.db", optuna.storages.get_storage
    beaten = iter([True, True, False])

    def race(url: str) -> BaseStorage:
        if next(beaten):
            raise IntegrityError("CREATE TABLE", None, ValueError("exists"))
        return real(url)

    monkeypatch.setattr(optuna.storages, "get_storage", race)
    waits: list[float] = []
    storage = open_storage(url, "test", tmp_path / "journal", waits.append)
    assert storage.get_all_studies() == []
    assert len(waits) == 2


def test_a_journal_with_a_line_that_is_none_is_set_aside_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    path.write_text('{"op_code": 0}\nnonsense\n')
    assert list(JournalFile(path).read_logs(0)) == []
    assert (tmp_path / "study.journal.spoilt-1").read_text().endswith("nonsense\n")


def test_a_line_that_is_spoilt_under_a_worker_is_named(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    journal = JournalFile(path)
    with path.open("a") as file:
        file.write('{"op_code": 0}\nnonsense\n')
    with pytest.raises(IncompleteError, match=r"study.journal:2: this line is no JSON"):
        list(journal.read_logs(0))
