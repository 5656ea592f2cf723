"""How far the order at a proxy's scale may be from the order at the target's.

More items and seeds make a proxy's score more exact, but no closer to the target. The error that is
left when a proxy's score is known exactly is the discrepancy. It is modelled as a normal draw for
each candidate, in units of the spread of the candidates' scores, whose standard deviation is the
same for all candidates and not known: on some benchmarks and for some sets of candidates a proxy is
nearly right about all of them, on others about none. The standard deviation is drawn such that a
difference of two candidates is off by a draw from a Cauchy distribution of scale `tau`. So a pair
far apart at the proxy is right nine times in ten and never 999 in 1000, as published runs are, and
the probabilities of pairs and of places come from the same draws.

With a heavy tail for each candidate alone, pairs would have the same probabilities, but among many
candidates one would nearly always be far off, and the first of twelve could not be likely to be the
best. Published runs say otherwise (`benchmarks/stage1/p_best.py`).

Its scale falls with the proxy's training FLOPs C to a floor, the part that separates a score from
an accuracy even for large proxies:

    tau = floor + (unit_flops / C')^exponent    C' = C * max(1, fitted target FLOPs / target FLOPs)

On published runs proxies of 60M to 750M parameters rank a 1.2B target about equally well, so the
distance to the target as such matters little, and a larger target is assumed to add nothing. A
target smaller than the fitted one is nearer to the proxy, so the proxy counts as larger in
proportion.

Metrics differ. `LIKELIHOOD` was fitted by `benchmarks/stage1` on DataDecide's 25 recipes: mean
negative log-likelihood of OLMES's ten tasks at 13 sizes, three seeds, against ARC-Challenge and
CommonsenseQA accuracy of 1.2B targets. `RBRIDGE` was fitted on the decision accuracies that the
authors of rBridge publish for the same recipes and benchmarks at six sizes, in a figure; there are
no scores of candidates, so how much of the error is noise of seeds is not known: a small part is
assumed, since only that part gets less with more seeds. Its form was chosen to follow the curve. It
is one figure of one seed that nobody has repeated, so the scale
itself is drawn from a wide distribution, and no proxy beyond the figure counts for more than its
largest. There is only one target scale, so values for others are extrapolated.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dataselect.units import format_flops

Array = NDArray[np.float64]

FAR = 10.0
"""Beyond the fitted FLOPs by more than this factor, a value counts as extrapolated."""

Basis = Literal["published", "measured", "prior"]
"""What a gap rests on: published runs of the metric, one's own candidates with known targets, or a
wide prior where there is neither."""

# Nodes and weights for the mean over a standard normal variable.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(48)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


@dataclass(frozen=True)
class Gap:
    """The error between a proxy's score and the target, in units of the scores' spread."""

    tau: float
    """Scale of a difference of two candidates: half of the differences are off by more."""
    seed_sd: float
    """Usual standard deviation of one seed's score, for runs that have only one seed."""
    extrapolated: str | None
    """Why these values are extrapolated; None if they are not."""
    source: str = ""
    """What they were fitted on, in words."""
    doubt: float = 0.0
    """Standard deviation of ln tau: how well tau itself is known."""
    basis: Basis = "published"
    """What it rests on."""
    candidates: int | None = None
    """Number of candidates whose targets it was measured on; None unless "measured"."""

    def draws(self, shape: tuple[int, int], rng: np.random.Generator) -> Array:
        """Discrepancies, draws x candidates; the difference of two has the scale `tau`."""
        # One scale for all candidates of a draw: it is the scale that is not known.
        scale = self.tau / math.sqrt(2) / np.abs(rng.standard_normal((shape[0], 1)))
        if self.doubt:
            scale = scale * np.exp(self.doubt * rng.standard_normal((shape[0], 1)))
        return np.asarray(scale * rng.standard_normal(shape), dtype=np.float64)


@dataclass(frozen=True)
class Discrepancy:
    """A fitted discrepancy, as a function of the training FLOPs of proxy and target."""

    version: str
    """Version of the fit."""
    source: str
    """The runs that it was fitted on, in words."""
    floor: float
    """`floor` in the formula of `tau` above."""
    unit_flops: float
    """`unit_flops` in the formula of `tau` above."""
    exponent: float
    """`exponent` in the formula of `tau` above."""
    doubt: float
    """Standard deviation of ln tau."""
    target_flops: float
    """Training FLOPs of the fitted target."""
    fitted_flops: tuple[float, float]
    """Least and most training FLOPs of the fitted proxies."""
    flat_beyond: bool
    """Whether larger proxies than the fitted ones count as the largest of them."""
    seed_flops: Sequence[float]
    """Training FLOPs for which the noise of seeds is known, rising."""
    seed_sd: Sequence[float]
    """Noise of one seed for each of `seed_flops`, in units of the scores' spread."""
    basis: Basis = "published"
    """What it rests on."""

    def gap(self, proxy_flops: float, target_flops: float) -> Gap:
        """The gap between a proxy and a target of these training FLOPs."""
        proxy_flops = max(proxy_flops, 1.0)  # what costs next to nothing still has a logarithm
        counted = proxy_flops * max(1.0, self.target_flops / target_flops)
        if self.flat_beyond:
            counted = min(counted, self.fitted_flops[1])
        tau = self.floor + (self.unit_flops / counted) ** self.exponent
        seed_sd = float(np.interp(np.log(proxy_flops), np.log(self.seed_flops), self.seed_sd))
        beyond = self._extrapolated(proxy_flops, target_flops)
        return Gap(tau, seed_sd, beyond, self.source, self.doubt, self.basis)

    def _extrapolated(self, proxy_flops: float, target_flops: float) -> str | None:
        if self.basis == "prior":
            return None  # a prior of no runs is near none
        low, high = self.fitted_flops
        outside = []
        if not low / FAR <= proxy_flops <= high * FAR:
            outside.append(
                f"proxies of {format_flops(low)} to {format_flops(high)}, and these have"
                f" {format_flops(proxy_flops)}"
            )
        if not self.target_flops / FAR <= target_flops <= self.target_flops * FAR:
            outside.append(
                f"targets of {format_flops(self.target_flops)}, and this one has"
                f" {format_flops(target_flops)}"
            )
        return f"it was fitted on {'; and on '.join(outside)}" if outside else None


def normal_mean(values: Callable[[Array], Array]) -> float:
    """Mean of a function over a standard normal variable; it maps an array of nodes to values."""
    return float(np.asarray(values(_NODES), dtype=np.float64) @ _WEIGHTS)


def ahead_probability(difference: Array, noise_sd: Array | float, tau: Array | float) -> Array:
    """Probability that a candidate ahead by `difference` is ahead at the target too.

    With normal noise of `noise_sd` and a gap of scale `tau` above 0, all in one unit; arrays
    broadcast.
    """
    noise = np.asarray(noise_sd, dtype=np.float64)[..., None] * _NODES
    width = np.asarray(tau, dtype=np.float64)[..., None]
    ahead = np.arctan((np.asarray(difference)[..., None] + noise) / width) @ _WEIGHTS
    return np.asarray(0.5 + ahead / np.pi, dtype=np.float64)


LIKELIHOOD = Discrepancy(
    version="2",
    source="likelihoods of OLMES's ten tasks (DataDecide: 25 recipes, 13 sizes, 3 seeds)",
    floor=0.336,
    unit_flops=1.55e17,
    exponent=1.0,
    doubt=0.0,
    target_flops=7.062e20,
    fitted_flops=(8.329e15, 3.066e20),
    flat_beyond=False,
    # 4M, 6M, 8M, 10M, 14M, 16M, 20M, 60M, 90M, 150M, 300M, 530M and 750M of the ladder.
    seed_flops=(
        *(8.329e15, 2.166e16, 4.358e16, 5.885e16, 1.243e17, 1.537e17, 2.191e17),
        *(1.956e18, 5.755e18, 1.367e19, 5.761e19, 1.686e20, 3.066e20),
    ),
    seed_sd=(
        *(0.448, 0.566, 0.696, 0.641, 0.694, 0.600, 0.526),
        *(0.404, 0.313, 0.313, 0.321, 0.314, 0.276),
    ),
)
"""Fitted by `python benchmarks/stage1/study.py --data DIR`: `table` in its results.json. Its stated
probabilities are calibrated as they are, so there is no doubt on top."""

RBRIDGE = Discrepancy(
    version="2",
    source="rBridge's decision accuracy in its authors' figure (DataDecide: 25 recipes, 4M to 16M,"
    " one seed, not repeated by anybody)",
    floor=0.0,
    unit_flops=5.48e12,
    exponent=0.064,
    doubt=0.7,
    target_flops=7.062e20,
    fitted_flops=(1.9e15, 1.536e17),
    flat_beyond=True,
    # The least of the likelihoods'. What is no noise of seeds is gap, which more seeds leave.
    seed_flops=(1.9e15,),
    seed_sd=(0.276,),
)
"""Fitted by `python benchmarks/stage1/rbridge_gap.py --data DIR`: rbridge_gap.json beside it. 25
recipes leave ln tau uncertain by about .4; it is widened for one figure of one seed."""

PUBLISHED = {"rbridge": RBRIDGE, "label_nll": LIKELIHOOD}
"""By metric."""

UNKNOWN = Discrepancy(
    version="1",
    source="no published runs of this metric: a wide guess from six others (DataDecide: 25 recipes,"
    " 4M to 90M, one seed)",
    floor=1.8,
    unit_flops=0.0,
    exponent=1.0,
    doubt=1.0,
    target_flops=7.062e20,
    fitted_flops=(0.0, math.inf),
    flat_beyond=False,
    seed_flops=(1.9e15,),
    seed_sd=(0.276,),
    basis="prior",
)
"""Made by `python benchmarks/stage1/other_metrics.py --data DIR`: other_metrics.json beside it. The
six differ by .76 in ln tau; it is widened for metrics that are less like them than they are like
each other."""


def gap_for(metric: str) -> Discrepancy:
    """What is known of the gap of a metric: its published one, or the wide prior.

    Scores by counting words have no seeds, so their prior has no noise of seeds.
    """
    if metric in PUBLISHED:
        return PUBLISHED[metric]
    return replace(UNKNOWN, seed_sd=(0.0,)) if metric.startswith("ngram") else UNKNOWN
