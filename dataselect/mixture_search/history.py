"""The history of a search, trial by trial: do proposals beat the design?

Every trial's objective is that of the last model, so that trials of different rounds can be
compared: where benchmarks are divided by their spread, that changed from round to round.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dataselect.mixture.model import MixtureModel
from dataselect.mixture.trial import rounded
from dataselect.mixture_search.study import Entry
from dataselect.mixture_search.trial import SearchSettings
from dataselect.mixture_search.worker import CONFIRMATION

Role = Literal["designed", "prior", "proposed", "confirms prior", "confirms proposal"]


@dataclass(frozen=True)
class HistoryEntry:
    """A finished trial."""

    trial: int
    """Its place among the different trials of the study."""
    round: int
    """Its round: 0 for the design, -1 for a confirmation."""
    role: Role
    """What it was trained for."""
    objective: float
    """The objective of its scores, by the last model."""


def history(
    entries: Sequence[Entry], settings: SearchSettings, model: MixtureModel
) -> tuple[HistoryEntry, ...]:
    """The trials with values, in order of their places."""
    prior = rounded(settings.prior)
    found = []
    for entry in entries:
        if entry.values is None:
            continue
        costs = model.sign * np.array(entry.values)
        objective = model.sign * float(model.objective.of(costs))
        found.append(HistoryEntry(entry.place, entry.round, _role(entry, prior), objective))
    return tuple(sorted(found, key=lambda entry: entry.trial))


def _role(entry: Entry, prior: tuple[float, ...]) -> Role:
    of_prior = entry.trial.shares == prior
    if entry.round == CONFIRMATION:
        return "confirms prior" if of_prior else "confirms proposal"
    if entry.round > 0:
        return "proposed"
    return "prior" if of_prior else "designed"
