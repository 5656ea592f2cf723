"""How much the choice of the frontier model changes a ranking.

The paper found no meaningful difference between three frontier models (appendix C); whether that
holds for the models and items at hand is measured here. Two rankings of the same models are
compared pair by pair, and so is each ranking with what it would be on other items: a choice that
changes no more than that changes nothing that could be seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from dataselect.decisions.agreement import decision_accuracy
from dataselect.errors import InputError


@dataclass(frozen=True)
class FrontierAgreement:
    """Agreement of the rankings by two frontier models' traces.

    `same_order`: share of the pairs of models that both put in the same order (ties one half);
    `kendall_tau`: tau-b; `resampled`: the mean `same_order` of the first ranking with its own on
    items drawn anew, which is what the items alone leave open.
    """

    first: str
    second: str
    same_order: float
    kendall_tau: float
    resampled: float


def compare_frontiers(
    tables: Mapping[str, pd.DataFrame], draws: int = 1000, seed: int = 0
) -> list[FrontierAgreement]:
    """Compare every two of the tables, items x models of rBridge (lower is better) by frontier.

    All tables have the same items and models, two of each at least. Raises InputError when all
    models have the same score by one of the frontier models.
    """
    names = list(tables)
    for name in names:
        if tables[name].mean().nunique() == 1:
            raise InputError(
                f"traces of {name}", "all models have the same score", "compare models that differ"
            )
    resampled = {name: _resampled(tables[name], draws, seed) for name in names[:-1]}
    found = []
    for first, second in combinations(names, 2):
        agreement = decision_accuracy(tables[second].mean(), -tables[first].mean())
        found.append(
            FrontierAgreement(
                first,
                second,
                agreement.decision_accuracy,
                agreement.kendall_tau,
                resampled[first],
            )
        )
    return found


def _resampled(table: pd.DataFrame, draws: int, seed: int) -> float:
    values = table.to_numpy(dtype=np.float64)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=draws)
    means = counts @ values / len(values)
    upper = np.triu_indices(values.shape[1], 1)
    whole = _signs(values.mean(axis=0)[None])[:, *upper]
    return float((1 + (_signs(means)[:, *upper] * whole)[:, whole[0] != 0].mean()) / 2)


def _signs(means: np.ndarray) -> np.ndarray:
    signs: np.ndarray = np.sign(means[:, :, None] - means[:, None, :])
    return signs
