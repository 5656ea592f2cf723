"""How well a cheap ranking of candidates agrees with the true one.

Decision accuracy is the share of candidate pairs that the proxy puts in the same order as the
target does (DataDecide, arXiv 2504.11393, eq. 3). Published code treats ties in several ways, which
matters when scores are coarse. Here a pair that the target ties is left out, since it has no right
order, and a proxy tie counts one half, the expected result of tossing a coin.

Intervals resample candidates, so they cover the choice of candidates of the same kind;
`pair_intervals` turns the bootstrap into an interval. They do not cover the seeds of the target
runs: one target seed already disagrees with the mean of others on a tenth of the pairs or more.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataselect.decisions.bootstrap import Bootstrap
from dataselect.decisions.pair_intervals import independent_pairs, share_interval
from dataselect.decisions.resamples import resamples
from dataselect.decisions.student_t import half_width
from dataselect.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

CONVENTION = (
    "pairs of candidates that the target ties are left out; a pair that the proxy ties counts one"
    " half; chance is 0.5 for decision accuracy and 0 for Kendall's tau-b"
)


@dataclass(frozen=True)
class Agreement:
    """Agreement of a proxy's ranking with the target's."""

    decision_accuracy: float
    """Share of pairs in the target's order, in 0..1; chance is 0.5."""
    kendall_tau: float
    """Tau-b in -1..1; 0 when the proxy ties all."""
    pairs: int
    """Pairs compared."""
    target_ties: int
    """Pairs left out because the target ties them."""
    proxy_ties: int
    """Pairs among those compared that the proxy ties; each counts one half."""
    decision_accuracy_interval: tuple[float, float] | None = None
    """None without a bootstrap."""
    kendall_tau_interval: tuple[float, float] | None = None
    """None without a bootstrap."""
    effective_pairs: float | None = None
    """Number of independent pairs that the decision accuracy is worth, at most `pairs`; None
    without a bootstrap."""


def decision_accuracy(
    proxy: "pd.Series",
    target: "pd.Series",
    lower_is_better: bool = True,
    *,
    bootstrap: Bootstrap | None = None,
) -> Agreement:
    """Compare a proxy's scores with the target's accuracies, both by candidate.

    `lower_is_better` is about the proxy. For the target higher is better: pass a loss negated. With
    a `bootstrap` there are intervals, as by `agreement_of`.

    Raises InputError when the candidates differ or repeat, when a value is missing, and when no
    pair of candidates differs at the target.
    """
    _check(proxy, target)
    x = proxy.to_numpy(dtype=np.float64)
    y = target.loc[proxy.index].to_numpy(dtype=np.float64)
    return agreement_of(-x if lower_is_better else x, y, bootstrap)


def agreement_of(proxy: Array, target: Array, bootstrap: Bootstrap | None = None) -> Agreement:
    """Compare scores of a proxy and a target, finite, of shape (candidates,), higher is better.

    With a `bootstrap`, over candidates, there are intervals. In a draw, pairs of a candidate with
    its own copy are ties and left out; so is a draw with no pair left.

    Raises InputError when no pair of candidates differs at the target.
    """
    count = len(proxy)
    proxy_order, target_order = _order(proxy), _order(target)

    ones = np.ones((1, count))
    accuracy, tau = _measure(proxy_order, target_order, ones)
    if not len(accuracy):
        raise InputError(
            "target accuracy", "no two candidates differ", "compare at least two that differ"
        )
    upper = np.triu_indices(count, 1)
    compared = target_order[upper] != 0
    accuracy_interval, tau_interval, effective = None, None, None
    if bootstrap is not None:
        confidence = bootstrap.confidence
        shares, taus = _measure(proxy_order, target_order, _resampled(count, bootstrap))
        if len(shares):
            worth = independent_pairs(float(accuracy[0]), float(shares.var()), count)
            effective = min(worth, float(compared.sum()))
            accuracy_interval = share_interval(
                float(accuracy[0]), float(shares.var()), count, confidence
            )
            # (1 + tau) / 2 is a share of pairs when nothing is tied.
            low, high = share_interval(
                float(1 + tau[0]) / 2, float(taus.var()) / 4, count, confidence
            )
            tau_interval = (2 * low - 1, 2 * high - 1)
    return Agreement(
        decision_accuracy=float(accuracy[0]),
        kendall_tau=float(tau[0]),
        pairs=int(compared.sum()),
        target_ties=int((~compared).sum()),
        proxy_ties=int((proxy_order[upper] == 0)[compared].sum()),
        decision_accuracy_interval=accuracy_interval,
        kendall_tau_interval=tau_interval,
        effective_pairs=effective,
    )


@dataclass(frozen=True)
class AccuracyDifference:
    """How much higher one proxy's decision accuracy is than another's on the same candidates."""

    difference: float
    """In -1..1."""
    interval: tuple[float, float]
    """Interval of the difference under resampling of candidates."""


def accuracy_difference(
    first: "pd.Series",
    second: "pd.Series",
    target: "pd.Series",
    *,
    bootstrap: Bootstrap,
) -> AccuracyDifference:
    """Decision accuracy of `first` less that of `second`, lower scores being better in both.

    All three are by candidate. Raises InputError as `decision_accuracy` does; else it is
    `difference_of`.
    """
    for proxy in (first, second):
        _check(proxy, target)
    x, y, truth = (
        each.loc[first.index].to_numpy(dtype=np.float64) for each in (first, second, target)
    )
    return difference_of(-x, -y, truth, bootstrap)


def difference_of(
    first: Array, second: Array, target: Array, bootstrap: Bootstrap
) -> AccuracyDifference:
    """Decision accuracy of `first` less that of `second`, of arrays as `agreement_of` takes them.

    Both are measured on the same resampled candidates, so the difficulty of the pairs cancels out.
    The interval is the difference plus and minus its standard deviation over the draws times
    Student's t. Raises InputError when no pair of candidates differs at the target.
    """
    accuracies = [agreement_of(proxy, target).decision_accuracy for proxy in (first, second)]
    difference = accuracies[0] - accuracies[1]
    count, truth = len(first), _order(target)
    counts = _resampled(count, bootstrap)
    shares = [_measure(_order(proxy), truth, counts)[0] for proxy in (first, second)]
    t = half_width(count - 1, bootstrap.confidence)
    half = t * float(np.std(shares[0] - shares[1]))
    return AccuracyDifference(
        difference, (max(difference - half, -1.0), min(difference + half, 1.0))
    )


def _resampled(count: int, bootstrap: Bootstrap) -> Array:
    """How often each of `count` candidates is in each draw, draws x candidates."""
    rng = np.random.default_rng(bootstrap.seed)
    return resamples(count, bootstrap.draws, rng).astype(np.float64)


def _order(values: Array) -> Array:
    """Signs of all differences, candidates x candidates."""
    return np.sign(values[:, None] - values[None, :])


def _measure(proxy: Array, target: Array, counts: Array) -> tuple[Array, Array]:
    """Decision accuracy and tau-b in each draw (row of counts, draws x candidates) that has a pair.

    A sum over pairs with each candidate counted `counts` times is a quadratic form in the counts.
    """

    def total(pairs: Array) -> Array:
        return np.asarray(((counts @ pairs) * counts).sum(axis=1) / 2, dtype=np.float64)

    concordance = total(proxy * target)
    untied_target, untied_proxy = total(target**2), total(proxy**2)
    kept = untied_target > 0
    concordance, untied_target, untied_proxy = (
        concordance[kept],
        untied_target[kept],
        untied_proxy[kept],
    )
    # Agreeing pairs count 1, proxy ties 1/2, disagreeing pairs 0: (1 + the signs' product) / 2.
    accuracy = (1 + concordance / untied_target) / 2
    tau = concordance / np.sqrt(untied_target * np.maximum(untied_proxy, 1))
    return accuracy, tau


def _check(proxy: "pd.Series", target: "pd.Series") -> None:
    if differing := set(proxy.index) ^ set(target.index):
        names = ", ".join(sorted(map(str, differing)))
        raise InputError(
            "target accuracy",
            f"proxy and target are of different candidates ({names})",
            "give both for the same candidates",
        )
    for name, values in (("proxy score", proxy), ("target accuracy", target)):
        if not values.index.is_unique:
            raise InputError(name, "a candidate appears twice", "give one value per candidate")
        bad = ~np.isfinite(values.to_numpy(dtype=np.float64))
        if bad.any():
            raise InputError(
                name, f"{values.index[bad][0]!r} has no finite value", "leave that candidate out"
            )
