"""How much the choice of the frontier model changes a ranking.

The paper found no meaningful difference between three frontier models (appendix C). This module
measures whether that holds for the models and items at hand. Two rankings of the same models are
compared pair by pair, and so is each ranking with itself on resampled items: a frontier model that
changes no more pairs than that makes no measurable difference.
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
    """Agreement of the rankings of the same models by two frontier models' traces."""

    first: str
    """Frontier model of the first ranking."""
    second: str
    """Frontier model of the second ranking."""
    same_order: float
    """Share of the pairs of models that both put in the same order, ties one half."""
    kendall_tau: float
    """Tau-b of the two rankings."""
    resampled: float
    """Mean `same_order` of the first ranking with itself on resampled items: the noise of the
    items alone."""


def compare_frontiers(
    tables: Mapping[str, pd.DataFrame], draws: int = 1000, seed: int = 0
) -> list[FrontierAgreement]:
    """Compare every two tables of rBridge, items x models (lower is better), by frontier model.

    All tables have the same items and models, at least two of each. Raises InputError when all
    models have the same score on one frontier model's traces.
    """
    names = list(tables)
    for name in names:
        if tables[name].mean().nunique() == 1:
            raise InputError(
                f"traces of {name}", "all models have the same score", "compare models that differ"
            )
    resampled = {name: _resampled(tables[name], draws, seed) for name in names[:-1]}
    agreements = []
    for first, second in combinations(names, 2):
        agreement = decision_accuracy(tables[second].mean(), -tables[first].mean())
        agreements.append(
            FrontierAgreement(
                first,
                second,
                agreement.decision_accuracy,
                agreement.kendall_tau,
                resampled[first],
            )
        )
    return agreements


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
