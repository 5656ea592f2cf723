"""All that a Stage 1 ranking is unsure of: items, seeds, and the gap to the target.

The ranking comes with draws over items. To these are added, candidate by candidate, the noise of
seeds and the discrepancy between scales, so that probabilities of pairs and of places come from the
same draws. With two seeds or more the noise is measured, pooled over candidates, and widens the
intervals of the scores as well. With one it is what published runs of that size commonly have, in
units of their spread, and only the probabilities know it: an interval shows what was measured.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dataselect.decisions.discrepancy import Gap
from dataselect.decisions.ranking import Method, Ranking, aggregate_runs, widened
from dataselect.decisions.seeds import by_place, pooled_sd


@dataclass(frozen=True)
class Uncertainty:
    """What was added to a ranking's draws, in the unit of its scores.

    `seed_sd`: of a candidate's mean over its `seeds`, `measured` or common; None where neither is
    known. `tau`: scale of a difference's discrepancy, None where none was added. `extrapolated`:
    why `tau` is no more than that, or None.
    """

    seeds: int
    seed_sd: float | None
    measured: bool
    tau: float | None
    extrapolated: str | None


def with_uncertainty(
    ranking: Ranking, runs: Mapping[str, pd.Series], gap: Gap | None, seed: int
) -> tuple[Ranking, Uncertainty]:
    """The ranking with the doubt of seeds and, where a gap is given, scale; and what that was.

    `runs`: per benchmark, means over items indexed by candidate, seed and step, lower is better.
    """
    spread = float(ranking.table["score"].std(ddof=0))
    measured = seed_noise(runs, ranking.method)
    rng = np.random.default_rng(seed)
    noise = beyond = np.zeros(ranking.draws.shape)
    normal = rng.standard_normal(ranking.draws.shape)
    sd, seeds = None, 1
    if measured is not None:
        sd, seeds = measured
        noise = sd * normal
    elif gap is not None:
        sd = gap.seed_sd * spread
        beyond = sd * normal
    if gap is not None:
        beyond = beyond + spread * gap.draws(ranking.draws.shape, rng)
    return widened(ranking, noise, beyond), Uncertainty(
        seeds,
        sd,
        measured is not None,
        None if gap is None else gap.tau * spread,
        None if gap is None else gap.extrapolated,
    )


def seed_noise(runs: Mapping[str, pd.Series], method: Method) -> tuple[float, int] | None:
    """Standard deviation of a candidate's mean score over its seeds, and their number.

    None with one seed or one candidate. Late checkpoints of a seed are averaged first.
    """
    means = {name: by_place(each).mean(axis=2) for name, each in runs.items()}
    candidates, seeds = next(iter(means.values())).shape
    if seeds < 2 or candidates < 2:
        return None
    by_seed = {name: pd.DataFrame(each.T) for name, each in means.items()}
    observed = {name: each.mean() for name, each in by_seed.items()}
    values = aggregate_runs(by_seed, observed, method).to_numpy(dtype=np.float64)
    # What all candidates share is gone from the aggregate, and with it one degree of freedom of
    # as many as there are candidates.
    sd = pooled_sd(values.T)[0] * math.sqrt(candidates / (candidates - 1))
    return sd / math.sqrt(seeds), seeds
