"""Gradient-boosted trees by LightGBM, the published method for such swarms; optional.

They need several hundred runs to rank mixtures well and do not extrapolate, but they model
interactions that no law has. They are trained on one thread with a fixed seed, so that the same
runs give the same trees.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataselect.errors import InputError

Array = NDArray[np.float64]

_SETTINGS = {
    "objective": "regression",
    "learning_rate": 0.06,
    "num_leaves": 15,
    "min_data_in_leaf": 5,
    "min_data_in_bin": 1,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 0.1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
_ROUNDS = 300


@dataclass(frozen=True)
class FittedTrees:
    """Gradient-boosted trees of each metric."""

    texts: tuple[str, ...]
    """By metric, the trees in LightGBM's text format."""

    def predict(self, shares: Array) -> Array:
        """Costs of mixtures, shape (mixtures, metrics)."""
        return np.stack([booster.predict(shares) for booster in self._boosters], axis=1)

    @cached_property
    def _boosters(self) -> list[Any]:
        lightgbm = _library()
        return [lightgbm.Booster(model_str=text) for text in self.texts]


def fit_trees(shares: Array, costs: Array, seed: int) -> FittedTrees:
    """Fit to costs of shape (runs, metrics). InputError if LightGBM is not installed."""
    lightgbm = _library()
    texts = []
    for cost in costs.T:
        data = lightgbm.Dataset(shares, cost, params={"verbosity": -1})
        booster = lightgbm.train({**_SETTINGS, "seed": seed}, data, num_boost_round=_ROUNDS)
        texts.append(booster.model_to_string())
    return FittedTrees(tuple(texts))


def _library() -> Any:
    try:
        import lightgbm  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise InputError(
            "--trees", "LightGBM is not installed", "pip install 'dataselect[trees]'"
        ) from None
    return lightgbm
