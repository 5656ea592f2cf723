"""Whether runs that repeat a run of an earlier swarm came out alike.

A difference in training or evaluation between two swarms cannot be told from the effect of a source
that only one of them has, except by a mixture that both trained. How far two runs of one mixture
lie apart is known from the other runs of equal mixtures, the replicates of the priors; where there
are none, the model's held-out errors stand in, which are larger.
"""

from collections.abc import Collection, Mapping

import numpy as np
from scipy.special import stdtrit

from dataselect.mixture.model import MixtureModel
from dataselect.wording import quoted

_FALSE_ALARMS = 0.05
"""Share of comparisons without any difference that are called one."""
_INDEPENDENT = 4
"""Metrics of one run share its luck: at most so many count as measurements of their own."""
_MANY = 1000
"""Degrees of freedom of errors that are taken as known."""


def notes_on_repeats(model: MixtureModel, repeats: Mapping[str, str]) -> list[str]:
    """A note for each run that repeats another, by name, where both are in the swarm."""
    swarm = model.swarm
    place = {run: i for i, run in enumerate(swarm.runs)}
    _, errors = model.errors
    share, freedom = _noise(model, repeats)
    # Of as many comparisons as there are metrics.
    bound = float(stdtrit(freedom, 1 - _FALSE_ALARMS / (2 * len(swarm.metrics))))
    notes = []
    for new, old in repeats.items():
        if new not in place or old not in place:
            continue
        there, here = swarm.values[place[old]], swarm.values[place[new]]
        away = np.abs(here - there) / (np.sqrt(2) * share * errors)
        k = int(away.argmax())
        if away[k] > bound:
            notes.append(
                f"{new} repeats {old} and differs by more than seeds do: {quoted(swarm.metrics[k])}"
                f" {here[k]:.4g} against {there[k]:.4g}; were earlier and new runs trained and "
                "evaluated alike? If not, do not join them"
            )
        else:
            notes.append(f"{new} repeats {old} of the earlier swarm: no difference beyond seeds")
    return notes


def _noise(model: MixtureModel, left_out: Collection[str]) -> tuple[float, int]:
    """Standard deviation of a run as a share of the held-out errors, and its degrees of freedom.

    From runs of equal mixtures, without those `left_out`; all of the errors where there are none.
    """
    swarm = model.swarm
    _, errors = model.errors
    kept = np.array([run not in left_out for run in swarm.runs])
    shares, values = np.round(swarm.shares[kept], 6), swarm.values[kept] / errors
    _, group = np.unique(shares, axis=0, return_inverse=True)
    squares, free = 0.0, 0
    for each in range(group.max() + 1):
        same = values[group == each]
        squares += float(((same - same.mean(axis=0)) ** 2).sum())
        free += len(same) - 1
    metrics = len(swarm.metrics)
    if not squares:
        return 1.0, _MANY
    return float(np.sqrt(squares / (free * metrics))), free * min(metrics, _INDEPENDENT)
