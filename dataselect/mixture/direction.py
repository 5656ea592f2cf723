"""Check the stated direction of the metrics: the wrong one makes the worst mixture the best.

There are two signs. Names: losses stated as better when higher, and accuracies stated as better
when lower (`formats.column_names`). And shape: more data of the right kind helps less and less, so
a law of diminishing returns fits metrics several times better in the right direction than in the
wrong one, and equally well where they are linear. On a public swarm (RegMix, from 24 runs on) the
misfit in the right direction was 0.1 of that in the wrong one, and never above 0.5.
"""

import numpy as np

from dataselect.errors import InputError
from dataselect.formats.column_names import check_names
from dataselect.formats.in_memory import Table
from dataselect.mixture.law_fit import fit_law
from dataselect.mixture.laws import EffectiveData
from dataselect.mixture.swarm import Swarm

_SUSPECT = 3.0
_FIX = "or --trust-direction if it is right all the same"


def check_direction(path: Table, swarm: Swarm, lower_is_better: bool) -> None:
    """Raise InputError, naming the file of metrics, where names or shape contradict it."""
    check_names(path, swarm.metrics, lower_is_better)
    way, other = ("lower", "higher") if lower_is_better else ("higher", "lower")
    change = "leave out --lower-is-better" if lower_is_better else "give --lower-is-better"
    costs = swarm.values if lower_is_better else -swarm.values
    stated, turned = (
        ((fit_law(EffectiveData(), swarm.shares, c).predict(swarm.shares) - c) ** 2).sum(axis=0)
        for c in (costs, -costs)
    )
    if np.median(stated / np.maximum(turned, 1e-300)) > _SUSPECT:
        raise InputError(
            path,
            f"the metrics change with weights as if {other} were better: taken as {way} is better, "
            "each source would help more the more there is of it",
            f"{change}, {_FIX}",
        )
