"""A swarm to be trained elsewhere: its runs, each a mixture and a seed.

The design is that of a search's first round. With an earlier swarm its runs stay, the new ones all
have some of each new source, and a removed source is in no new run. What earlier and new runs
differ in besides (code, machines, how they were evaluated) would look like the effect of a new
source, since all new runs have it and no earlier one does. So the first of the new runs repeats an
earlier mixture: `mix fit` compares the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from dataselect.errors import InputError
from dataselect.mixture.constraints import Limits
from dataselect.mixture.design import designed_trials
from dataselect.mixture.earlier_swarm import Earlier, repeatable
from dataselect.mixture.swarm import FEWEST_RUNS
from dataselect.mixture.swarm_epochs import all_rates, new_rates, notes_on_target, share_to_keep
from dataselect.mixture.swarm_file import Role
from dataselect.mixture.trial import Trial, rounded

Array = NDArray[np.float64]

_LEAST_OF_NEW = 0.005
"""Smallest share of a new source in new runs, unless its bound is lower: earlier runs have none."""


@dataclass(frozen=True)
class PlannedRun:
    """A run of the swarm."""

    name: str
    """Its name, which no other run has."""
    shares: tuple[float, ...]
    """Shares of the tokens by source of the swarm; they sum to 1."""
    seed: int | None
    """Of its training; None: not known of an earlier run."""
    role: Role
    """What it is for."""
    repeats: str | None = None
    """The earlier run with the same mixture."""


@dataclass(frozen=True)
class SwarmDesign:
    """The runs of a swarm, and what they were designed for."""

    current: tuple[str, ...]
    """Sources that new runs may have."""
    removed: tuple[str, ...]
    """Sources that only earlier runs have."""
    added: tuple[str, ...]
    """Sources that no earlier run has; empty without an earlier swarm."""
    runs: tuple[PlannedRun, ...]
    """Earlier ones first; shares are of `current` and then `removed`."""
    prior: Array
    """The mixture that the design is around, by source of `current`."""
    limits: Limits
    """Limits on new runs, on the sources of `current`."""
    tokens: int | None
    """Tokens that each run trains on; None where not given."""
    kept: float | None
    """The part of every text that runs are trained on; None: all of it."""
    rates: Array | None
    """Epochs at a share of 1, (runs, sources); 0 where not known. None: of no run known."""
    notes: tuple[str, ...]
    """What the user should know."""

    @property
    def sources(self) -> tuple[str, ...]:
        """All sources."""
        return (*self.current, *self.removed)

    @property
    def shares(self) -> Array:
        """Of all runs, (runs, sources)."""
        return np.array([run.shares for run in self.runs])

    @property
    def run_limits(self) -> Limits:
        """The limits with the tokens of the texts that runs are trained on."""
        if self.kept is None:
            return self.limits
        texts = {
            name: replace(text, tokens=text.tokens * self.kept)
            for name, text in self.limits.texts.items()
        }
        return replace(self.limits, tokens=self.limits.tokens * self.kept, texts=texts)

    @property
    def new(self) -> tuple[PlannedRun, ...]:
        """The runs that are to be trained."""
        return tuple(run for run in self.runs if run.role != "earlier")


def design_runs(
    sources: Sequence[str],
    limits: Limits,
    count: int | None,
    seed: int,
    *,
    replicates: int = 2,
    tokens: int | None = None,
    target_epochs: bool = False,
    earlier: Earlier | None = None,
) -> SwarmDesign:
    """`count` new runs of mixtures of `sources` within limits, beside those of an earlier swarm.

    By default as many as predict well. With `target_epochs` texts are cut so that runs read them
    as often as the target. InputError where the runs are too few, with the number that is needed.
    """
    notes: list[str] = []
    kept = share_to_keep(limits, tokens, sources) if target_epochs else None
    prior = _prior(sources, limits, notes)
    upper = limits.feasible.upper
    before = () if earlier is None else earlier.sources
    removed = tuple(name for name in before if name not in sources)
    added = tuple(name for name in sources if name not in before) if earlier is not None else ()
    new = np.array([name in added for name in sources])
    done = [] if earlier is None else _earlier_runs(earlier, sources, removed)
    taken = _taken(done, sources)
    repeat = None if earlier is None else repeatable(earlier, sources)
    if earlier is not None:
        notes += _notes_on_reuse(earlier, added, removed, repeat)
        have = sum(trial.shares == tuple(prior.tolist()) for trial in taken)
        replicates = max(0, replicates - have)
        if (prior[new] == 0).any():
            replicates = 0
            which = ", ".join(np.array(sources)[new & (prior == 0)])
            notes.append(f"the prior has nothing of {which}, so no new run is of the prior")
    beside = max(0, replicates - 1) + (repeat is not None)
    least, better = _counts(len(sources), len(added), len(done), beside)
    count = better if count is None else count
    if count < least:
        _too_few(count, least, better, len(sources), len(added), len(done))
    if count < better:
        notes.append(f"{count} runs are few; {better} or more predict better")
    replicates = min(replicates, count - (repeat is not None))
    floor = np.where(new, np.minimum(_LEAST_OF_NEW, upper / 2), 0.0)
    lower = np.maximum(limits.feasible.lower, floor)
    if lower.sum() > 1:
        which = f"the least weights leave nothing for {', '.join(added)}"
        raise InputError("--reuse", which, "lower 'min' or 'weight' in the constraints")
    bounds = replace(limits.feasible, lower=lower)
    trials = designed_trials(
        prior,
        bounds,
        count - (repeat is not None),
        seed,
        replicates=replicates,
        taken=taken,
    )
    runs = [*done, *_new_runs(trials, replicates, done, repeat, taken, sources)]
    each = new_rates(limits, tokens, kept)
    rates = np.tile(each, (count, 1)) if each.any() else None
    if earlier is not None:
        rates, more = all_rates(each, count, earlier, tokens, (*sources, *removed))
        notes += more
    if kept is None:
        mixtures = np.array([trial.shares for trial in trials])
        notes += notes_on_target(limits, each, mixtures, sources)
    notes += [
        f"{name} is in no run within its bounds, and left out"
        for j, name in enumerate((*sources, *removed))
        if not any(run.shares[j] > 0 for run in runs)
    ]
    return SwarmDesign(
        tuple(sources),
        removed,
        added,
        tuple(runs),
        prior,
        limits,
        tokens,
        kept,
        rates,
        tuple(notes),
    )


def _new_runs(
    trials: Sequence[Trial],
    replicates: int,
    done: Sequence[PlannedRun],
    repeat: int | None,
    taken: Sequence[Trial],
    sources: Sequence[str],
) -> list[PlannedRun]:
    """The trials as runs, the first `replicates` of the prior, after one that repeats another."""
    names = _names(len(trials) + (repeat is not None), [run.name for run in done])
    runs = []
    if repeat is not None:
        again = done[repeat]
        mixture = _rounded(again, sources)
        used = [trial.seed for trial in taken if trial.shares == mixture]
        free = next(i for i in range(len(used) + 1) if i not in used)
        runs.append(PlannedRun(names.pop(0), again.shares, free, "repeat", again.name))
    none = (0.0,) * (len(done[0].shares) - len(sources) if done else 0)
    for i, (name, trial) in enumerate(zip(names, trials, strict=True)):
        role: Role = "prior" if i < replicates else "designed"
        runs.append(PlannedRun(name, (*trial.shares, *none), trial.seed, role))
    return runs


def _prior(sources: Sequence[str], limits: Limits, notes: list[str]) -> Array:
    """The mixture to design around, in whole ten-thousandths."""
    given = limits.prior
    if given is None:
        given = np.full(len(sources), 1 / len(sources))
        notes.append("no prior and no tokens are given: the design is around equal shares")
    prior = np.array(rounded(given))
    bounds = limits.feasible
    for name, share, low, high in zip(sources, prior, bounds.lower, bounds.upper, strict=True):
        if not low - 1e-4 <= share <= high + 1e-4:
            notes.append(f"{name}: the prior's {share:.3g} is outside its bounds, and trained so")
    return prior


def _taken(done: Sequence[PlannedRun], sources: Sequence[str]) -> list[Trial]:
    """The earlier runs of mixtures of these sources; where a seed is not known, it is any."""
    taken: list[Trial] = []
    for run in done:
        if any(run.shares[len(sources) :]):
            continue
        shares = _rounded(run, sources)
        among = sum(trial.shares == shares for trial in taken)
        taken.append(Trial(shares, among if run.seed is None else run.seed))
    return taken


def _rounded(run: PlannedRun, sources: Sequence[str]) -> tuple[float, ...]:
    return rounded(np.array(run.shares[: len(sources)]))


def _earlier_runs(
    earlier: Earlier, sources: Sequence[str], removed: Sequence[str]
) -> list[PlannedRun]:
    place = {name: i for i, name in enumerate(earlier.sources)}
    return [
        PlannedRun(
            name,
            tuple(float(row[place[s]]) if s in place else 0.0 for s in (*sources, *removed)),
            known,
            "earlier",
        )
        for name, row, known in zip(earlier.runs, earlier.shares, earlier.seeds, strict=True)
    ]


def _notes_on_reuse(
    earlier: Earlier, added: Sequence[str], removed: Sequence[str], repeat: int | None
) -> list[str]:
    notes = []
    if earlier.record is None:
        notes.append(
            f"{earlier.path.name} does not say which text a name stood for: rename a source whose "
            "text has changed since"
        )
    if removed:
        notes.append(f"in no new run, and bounded at 0: {', '.join(removed)}")
    if repeat is None:
        notes.append(
            "every earlier run has some of a removed source, so none is repeated: if new runs are "
            "trained or evaluated differently, that looks like an effect of sources"
        )
    if not added:
        notes.append("no source is new: the runs are more of the same swarm")
    return notes


def _counts(sources: int, added: int, earlier: int, beside: int) -> tuple[int, int]:
    """Fewest new runs, and how many predict well; `beside` of them repeat a mixture."""
    fewest = max(FEWEST_RUNS, sources + 2) - earlier
    if not earlier:
        return fewest, max(fewest, 3 * sources)
    # What is new is a mixture of the new sources and of all others as one.
    least = max(1, fewest, added + 2 + beside if added else 1)
    return least, max(least, 3 * (added + 1) + beside if added else 1)


def _too_few(
    count: int, least: int, better: int, sources: int, added: int, earlier: int
) -> NoReturn:
    of = f"{added} new of {sources} sources beside {earlier} earlier runs"
    raise InputError(
        "--runs",
        f"{count} are too few for {of if earlier else f'{sources} sources'}",
        f"give {least} or more (better {better})",
    )


def _names(count: int, taken: Sequence[str]) -> list[str]:
    names: list[str] = []
    number = len(taken)
    width = max(3, len(str(len(taken) + count)))
    while len(names) < count:
        number += 1
        name = f"run-{number:0{width}}"
        if name not in taken:
            names.append(name)
    return names
