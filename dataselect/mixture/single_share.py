"""Is a model of mixtures worth more than "more of X"? Its ranking beside that of a single share.

The rival ranks mixtures by the share of one source alone. The source and the direction are chosen
by rank correlation with the objective on the runs outside a fold, and judged on the runs inside it,
as the model is: neither is fitted to what it ranks. Folds may choose different sources, so a share
counts as its quantile among the runs that it was chosen on, which can be compared across folds.

Not covered: the error of predicted levels (`model.errors`); a single share predicts none.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataselect.mixture.model import MixtureModel

Array = NDArray[np.float64]

_DRAWS = 1_000


@dataclass(frozen=True)
class Estimate:
    """A number with its interval by resampled runs."""

    value: float
    """By all runs."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end."""


@dataclass(frozen=True)
class Rankings:
    """Spearman's correlation with the observed objective of held-out runs, model and rival."""

    runs: int
    """How many runs were ranked."""
    model: Estimate
    """Correlation of the model's predictions."""
    single_share: Estimate
    """Correlation of the rival's ranking."""
    source: int
    """Place of the source that the rival ranks by, chosen on all runs."""
    more_is_better: bool
    """Whether the rival ranks more of that source first."""
    ahead: Estimate
    """The model's correlation less the rival's."""


def compare_rankings(model: MixtureModel, confidence: float = 0.9) -> Rankings:
    """How well held-out runs are ranked by the model and by the best single share."""
    observed = model.objective.of(model.costs)
    shares, fold_of = model.swarm.shares, model.stack.fold_of
    rival = np.empty(len(observed))
    for fold in range(int(fold_of.max()) + 1):
        rest = fold_of != fold
        rival[~rest] = _by_share(shares[rest], observed[rest], shares[~rest])
    source, sign = _best_share(shares, observed)
    both = np.vstack([model.objective.of(model.stack.honest), rival])
    ours, theirs = _spearman(both, observed)
    rng = np.random.default_rng(model.seed)
    drawn = rng.integers(len(observed), size=(_DRAWS, len(observed)))
    draws = np.array([_spearman(both[:, rows], observed[rows]) for rows in drawn])
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]

    def estimate(value: float, of: Array) -> Estimate:
        low, high = np.quantile(of, ends)
        return Estimate(float(value), float(low), float(high))

    return Rankings(
        len(observed),
        estimate(ours, draws[:, 0]),
        estimate(theirs, draws[:, 1]),
        source,
        sign < 0,
        estimate(ours - theirs, draws[:, 0] - draws[:, 1]),
    )


def _best_share(shares: Array, costs: Array) -> tuple[int, float]:
    """The source whose share correlates most with the costs, and the sign: +1 or −1."""
    found = _spearman(shares.T, costs)
    source = int(np.argmax(np.abs(found)))
    return source, 1.0 if found[source] > 0 else -1.0


def _by_share(known: Array, costs: Array, shares: Array) -> Array:
    """Cost of mixtures, as quantiles of the best single share among the known runs."""
    source, sign = _best_share(known, costs)
    ranked = np.sort(sign * known[:, source])
    return np.searchsorted(ranked, sign * shares[:, source]) / len(ranked)


def _spearman(of: Array, observed: Array) -> Array:
    """Rank correlation of each row with the observed values; 0 for a constant row."""
    ranks = np.array([_ranks(each) for each in (*of, observed)])
    ranks -= ranks.mean(axis=1, keepdims=True)
    size = np.sqrt((ranks**2).sum(axis=1))
    product = size[:-1] * size[-1]
    found: Array = np.where(product > 0, ranks[:-1] @ ranks[-1] / np.maximum(product, 1e-300), 0.0)
    return found


def _ranks(values: Array) -> Array:
    """Ranks from 1, equal values at their mean rank. SciPy's would load all of scipy.stats."""
    _, kind, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    found: Array = (last - (count - 1) / 2)[kind]
    return found
