"""The history of a search as a report shows it."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from optuna.trial import TrialState

from dataselect.mixture.objective import Objective
from dataselect.mixture.trial import Trial
from dataselect.mixture_search.history import history
from dataselect.mixture_search.study import Entry
from dataselect.mixture_search.worker import CONFIRMATION

PRIOR, OTHER = (0.5, 0.5), (0.9, 0.1)


def entry(number: int, shares: tuple[float, ...], of_round: int, value: float | None) -> Entry:
    state = TrialState.FAIL if value is None else TrialState.COMPLETE
    values = None if value is None else (value, 3 * value)
    return Entry(number, state, Trial(shares, 0), number, "tag", of_round, values)


def test_each_finished_trial_has_its_role_and_the_objective_of_the_last_model() -> None:
    entries = [
        entry(4, PRIOR, CONFIRMATION, 1.0),
        entry(5, OTHER, CONFIRMATION, 0.5),
        entry(0, PRIOR, 0, 2.0),
        entry(1, OTHER, 0, 3.0),
        entry(2, OTHER, 1, None),
        entry(3, OTHER, 1, 4.0),
    ]
    settings = SimpleNamespace(prior=np.array(PRIOR))
    model = SimpleNamespace(sign=1.0, objective=Objective(np.array([0.5, 0.5]), False))
    found = history(entries, cast(Any, settings), cast(Any, model))
    assert [(step.trial, step.role, step.objective) for step in found] == [
        (0, "prior", 4.0),
        (1, "designed", 6.0),
        (3, "proposed", 8.0),
        (4, "confirms prior", 2.0),
        (5, "confirms proposal", 1.0),
    ]
