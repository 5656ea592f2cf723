"""Check the stated direction of the metrics: the wrong one makes the worst mixture the best.

There are two signs. Names: losses stated as better when higher, and accuracies stated as better
when lower. And shape: more data of the right kind helps less and less, so a law of diminishing
returns fits metrics several times better in the right direction than in the wrong one, and equally
well where they are linear. On a public swarm (RegMix, from 24 runs on) the misfit in the right
direction was 0.1 of that in the wrong one, and never above 0.5.
"""

import re
from collections.abc import Sequence

import numpy as np

from dataselect.errors import InputError
from dataselect.formats.in_memory import Table
from dataselect.mixture.law_fit import fit_law
from dataselect.mixture.laws import EffectiveData
from dataselect.mixture.swarm import Swarm
from dataselect.wording import quoted

_LOWER = {"loss", "nll", "bpb", "ppl", "perplexity", "ce", "entropy", "error", "err", "rbridge"}
_HIGHER = {"acc", "accuracy", "em", "f1", "pass", "score", "rouge", "bleu", "mcc"}
_SUSPECT = 3.0
_FIX = "or --trust-direction if it is right all the same"


def check_direction(path: Table, swarm: Swarm, lower_is_better: bool) -> None:
    """Raise InputError, naming the file of metrics, where names or shape contradict it."""
    wrong = _named(swarm.metrics, _HIGHER if lower_is_better else _LOWER)
    way, other = ("lower", "higher") if lower_is_better else ("higher", "lower")
    change = "leave out --lower-is-better" if lower_is_better else "give --lower-is-better"
    if wrong:
        raise InputError(
            f"{path}:1",
            f"{quoted(wrong[0])} is better when {other}, by its name",
            f"{change}, {_FIX}",
        )
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


def _named(metrics: Sequence[str], words: set[str]) -> list[str]:
    """Metrics with one of the words in their name, and no word of the other direction."""
    other = _HIGHER if words is _LOWER else _LOWER
    split = {name: set(re.split(r"[^a-z0-9]+", name.casefold())) for name in metrics}
    return [name for name, parts in split.items() if parts & words and not parts & other]
