"""What determines the trials of a search, and the objective that they are compared by."""

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


@dataclass(frozen=True)
class SearchSettings:
    """What determines a search's trials, apart from their values."""

    sources: tuple[str, ...]
    """Ids of the sources that are mixed."""
    benchmarks: tuple[str, ...]
    """Ids of the benchmarks that trials are scored on."""
    prior: Array
    """The mixture to compare with, (sources,)."""
    limits: Limits
    """Limits on the trials."""
    trials: int
    """Trials in all, without those that confirm."""
    designed: int
    """Trials of the first round."""
    replicates: int
    """Trials of the prior among them."""
    together: int
    """Trials of each later round."""
    objective: Array
    """Weights of the benchmarks, summing to 1."""
    standardise: bool
    """Divide each benchmark by its standard deviation over the trials."""
    sampler: Literal["surrogate", "gp"]
    """What proposes mixtures: our surrogates, or Optuna's GPSampler."""
    seed: int
    """Of all draws."""
    proxy_seed: int
    """Of the first proxy; replicates of the prior count up from it."""
    target: TargetAccuracy | None = None
    """What is maximised where transfer functions apply; None: the objective of scores."""
    rates: tuple[float, ...] | None = None
    """Epochs over each source's text at a share of 1 in a trial; None: not known."""

    @property
    def tag(self) -> str:
        """Distinguishes trials of this search from others with the same proxies."""
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


def by_scores(settings: SearchSettings, table: Array) -> Objective:
    """The objective of scores, given the scores of all trials, (trials, benchmarks)."""
    scale = table.std(axis=0) if settings.standardise else np.ones(table.shape[1])
    # A benchmark with the same score in every trial decides nothing, whatever its scale.
    objective = settings.objective / np.where(scale > 0, scale, 1.0)
    return Objective(objective, settings.standardise)


def costs(settings: SearchSettings, table: Array) -> Array:
    """What the search minimises, (trials,), for scores (trials, benchmarks)."""
    scores = by_scores(settings, table).of(table)
    return scores if settings.target is None else settings.target.costs(table, scores)
