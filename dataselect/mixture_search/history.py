"""The course of a search, trial by trial, for people to see whether proposals beat the design.

The objective of every trial is that of the last model, so that trials of different rounds can be
compared: where benchmarks are divided by their spread, each round's own model had another spread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dataselect.mixture.model import MixtureModel
from dataselect.mixture_search.study import Entry
from dataselect.mixture_search.trial import SearchSettings, rounded
from dataselect.mixture_search.worker import CONFIRMATION

Role = Literal["designed", "prior", "proposed", "confirms prior", "confirms proposal"]


@dataclass(frozen=True)
class HistoryEntry:
    """A finished trial by its number in the study; `round` is -1 where it confirms."""

    trial: int
    round: int
    role: Role
    objective: float


def history(
    entries: Sequence[Entry], settings: SearchSettings, model: MixtureModel
) -> tuple[HistoryEntry, ...]:
    """The trials that came to a value, in order of their numbers."""
    prior = rounded(settings.prior)
    found = []
    for entry in entries:
        if entry.values is None:
            continue
        costs = model.sign * np.array(entry.values)
        objective = model.sign * float(model.objective.of(costs))
        found.append(HistoryEntry(entry.number, entry.round, _role(entry, prior), objective))
    return tuple(sorted(found, key=lambda entry: entry.trial))


def _role(entry: Entry, prior: tuple[float, ...]) -> Role:
    of_prior = entry.trial.shares == prior
    if entry.round == CONFIRMATION:
        return "confirms prior" if of_prior else "confirms proposal"
    if entry.round > 0:
        return "proposed"
    return "prior" if of_prior else "designed"
