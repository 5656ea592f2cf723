"""The uncertainty of a Stage 1 ranking: items, seeds, and the gap to the target.

The ranking comes with draws over items. The noise of seeds and the discrepancy between scales are
added to these draws for each candidate, so that probabilities of pairs and of places come from the
same draws. With two seeds or more the noise is measured, pooled over candidates, and also widens
the intervals of the scores. With one seed it is the usual noise of published runs of that size, in
units of their spread, and enters the probabilities only: an interval shows what was measured.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dataselect.decisions.discrepancy import Basis, Gap
from dataselect.decisions.ranking import Method, Ranking, aggregate_runs, widened
from dataselect.decisions.score_units import ScoreUnits
from dataselect.decisions.seeds import by_place, pooled_sd


@dataclass(frozen=True)
class Uncertainty:
    """What was added to a ranking's draws, in the unit of its scores."""

    seeds: int
    """Number of seeds of each candidate."""
    seed_sd: float | None
    """Standard deviation of a candidate's mean over its seeds; None if not known."""
    measured: bool
    """Whether `seed_sd` was measured on these runs, rather than taken from published ones."""
    tau: float | None
    """Scale of the discrepancy of a difference of two candidates; None if none was added."""
    extrapolated: str | None
    """Why `tau` is an extrapolation; None if it is not."""
    source: str | None = None
    """What `tau` was fitted on, in words; None if none was added."""
    tau_doubt: float = 0.0
    """Standard deviation of ln `tau`: how well it is known itself."""
    basis: Basis | None = None
    """What `tau` rests on; None if none was added."""
    known_targets: int | None = None
    """Candidates whose targets `tau` was measured on; None unless "measured"."""
    spread: float | None = None
    """Spread of all candidates' scores, in which the gap is measured; None if none was added."""


def with_uncertainty(
    ranking: Ranking,
    runs: Mapping[str, pd.Series],
    gap: Gap | None,
    seed: int,
    known_spread: float | None = None,
) -> tuple[Ranking, Uncertainty]:
    """The ranking with the noise of seeds and, if given, the scale gap added; and what was added.

    `runs`: per benchmark, means over items indexed by candidate, seed and step, lower is better.
    `known_spread`: where the ranked are the survivors of a stage, the spread of all candidates, in
    the unit of the scores; theirs counts where it is larger.
    """
    spread = max(float(ranking.table["score"].std(ddof=0)), known_spread or 0.0)
    measured = seed_noise(runs, ranking.method, ranking.units)
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
        None if gap is None else gap.source,
        0.0 if gap is None else gap.doubt,
        None if gap is None else gap.basis,
        None if gap is None else gap.candidates,
        None if gap is None else spread,
    )


def best_probabilities(
    ranking: Ranking, uncertainty: Uncertainty | None, seed: int
) -> dict[str, float]:
    """The probability of each candidate to be the best, in the ranking's order; they add up to 1.

    `ranking` and `uncertainty` as `with_uncertainty` returns them. Candidates tied for the first
    place in a draw share it.
    """
    draws, rng = ranking.draws, np.random.default_rng(seed)
    if uncertainty is not None:
        if uncertainty.seed_sd is not None and not uncertainty.measured:
            draws = draws + uncertainty.seed_sd * rng.standard_normal(draws.shape)
        if uncertainty.tau is not None:
            gap = Gap(uncertainty.tau, 0.0, None, doubt=uncertainty.tau_doubt)
            draws = draws + gap.draws(draws.shape, rng)
    first = draws == draws.min(axis=1, keepdims=True)
    shares = (first / first.sum(axis=1, keepdims=True)).mean(axis=0)
    return {str(name): float(p) for name, p in zip(ranking.table.index, shares, strict=True)}


def assumed(ranking: Ranking, gap: Gap, seeds: int) -> Uncertainty:
    """The uncertainty of a ranking by means over seeds of which only their usual noise is known."""
    spread = float(ranking.table["score"].std(ddof=0))
    return Uncertainty(
        seeds,
        gap.seed_sd * spread / math.sqrt(seeds),
        False,
        gap.tau * spread,
        gap.extrapolated,
        gap.source,
        gap.doubt,
        gap.basis,
        gap.candidates,
    )


def seed_noise(
    runs: Mapping[str, pd.Series], method: Method, units: ScoreUnits | None = None
) -> tuple[float, int] | None:
    """Standard deviation of a candidate's mean score over its seeds, and the number of seeds.

    In `units`, by default the candidates' spread. None without runs, with one seed, and with one
    candidate. The checkpoints of a seed are averaged first.
    """
    if not runs:
        return None
    means = {name: by_place(each).mean(axis=2) for name, each in runs.items()}
    candidates, seeds = next(iter(means.values())).shape
    if seeds < 2 or candidates < 2:
        return None
    by_seed = {name: pd.DataFrame(each.T) for name, each in means.items()}
    observed = {name: each.mean() for name, each in by_seed.items()}
    values = aggregate_runs(by_seed, observed, method, units).to_numpy(dtype=np.float64)
    # The aggregate is centred over candidates, which takes one of as many degrees of freedom as
    # there are candidates.
    sd = pooled_sd(values.T)[0] * math.sqrt(candidates / (candidates - 1))
    return sd / math.sqrt(seeds), seeds
