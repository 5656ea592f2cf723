"""A trial of a search, one mixture with one seed, and what a search compares trials by."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dataselect.mixture.accuracy import TargetAccuracy
from dataselect.mixture.constraints import Limits
from dataselect.mixture.objective import Objective
from dataselect.store import content_key
from dataselect.transfer.file import to_json

Array = NDArray[np.float64]
_PARTS = 10_000


@dataclass(frozen=True)
class Trial:
    """A mixture to train, by its weights, and the seed of its proxy."""

    shares: tuple[float, ...]
    seed: int


@dataclass(frozen=True)
class SearchSettings:
    """What determines the course besides the trials' values.

    `limits` are those of trials, `seed` is that of all draws, `proxy_seed` the first of proxies.
    """

    sources: tuple[str, ...]
    benchmarks: tuple[str, ...]
    prior: Array
    limits: Limits
    trials: int
    designed: int
    replicates: int
    together: int
    objective: Array
    """Weights of the benchmarks, summing to 1."""
    standardise: bool
    sampler: Literal["surrogate", "gp"]
    seed: int
    proxy_seed: int
    target: TargetAccuracy | None = None
    """What is maximised, where transfer functions apply; else it is the objective of scores."""
    rates: tuple[float, ...] | None = None
    """Epochs over the text of each source that a weight of 1 is in a trial, where known."""

    @property
    def tag(self) -> str:
        """Tells trials of this course from those of another with the same proxies."""
        feasible = self.limits.feasible
        spec: dict[str, Any] = {
            "trials": [self.trials, self.designed, self.replicates, self.together, self.seed],
            "prior": self.prior.tolist(),
            "bounds": [feasible.lower.tolist(), feasible.upper.tolist()],
            "distance": [min(feasible.most_kl, 1e9), feasible.kl_penalty],
            "objective": [self.objective.tolist(), self.standardise],
            "sampler": self.sampler,
        }
        if self.target is not None:
            functions = [f for _, _, f in self.target.parts]
            spec["target"] = [self.target.weights.tolist(), to_json(functions)]
        return content_key("course", spec)[:8]


def rounded(shares: Array) -> tuple[float, ...]:
    """Multiples of 1/10,000 that sum to 1, by largest remainder."""
    scaled = np.maximum(shares, 0) / np.maximum(shares, 0).sum() * _PARTS
    parts = np.floor(scaled + 1e-9).astype(int)
    order = np.argsort(-(scaled - parts), kind="stable")
    parts[order[: _PARTS - parts.sum()]] += 1
    return tuple((parts / _PARTS).tolist())


def by_scores(settings: SearchSettings, table: Array) -> Objective:
    """The objective of scores, given those of all trials: (trials, benchmarks)."""
    scale = table.std(axis=0) if settings.standardise else np.ones(table.shape[1])
    # A benchmark that is the same everywhere decides nothing.
    objective = settings.objective / np.where(scale > 0, scale, 1.0)
    return Objective(objective, settings.standardise)


def judged(settings: SearchSettings, table: Array) -> Array:
    """What trials of these scores (trials, benchmarks) have that is to become less."""
    scores = by_scores(settings, table).of(table)
    return scores if settings.target is None else settings.target.costs(table, scores)
