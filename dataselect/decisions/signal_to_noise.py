"""Which benchmarks are too noisy to rank by: spread between candidates against noise of a run.

A benchmark can rank candidates only if they differ by more than one candidate does between two
seeds, or between two late checkpoints. Both noises are pooled over candidates. The mean over
candidates at each step is first removed from the checkpoints, since a common fall is training and
not noise. The noise of seeds is that of a seed's mean over its checkpoints, so it includes what
remains of theirs.

The ratio is of standard deviations: true spread, with the noise removed, over the noise of the mean
that ranks. For normal values the mean puts a pair in its true order with probability
1/2 + asin(sqrt(r)) / pi, where r is the share of the variance that is true. At a ratio of 1 that is
3/4. Below 1 most of the observed variance is noise, so such a benchmark is too noisy. The interval
is that of the variance ratio by F, which assumes normal values.

Not covered: a benchmark with little noise may still rank unlike the target
(`decisions.discrepancy`). Checkpoints of one run are correlated, so without seeds the noise is
understated, and the variation between seeds stays unknown.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dataselect.decisions.seeds import by_place

Array = NDArray[np.float64]
Verdict = Literal["usable", "unsure", "too noisy", "unknown"]

LEAST_RATIO = 1.0
"""Below this ratio a benchmark is too noisy to rank by."""


@dataclass(frozen=True)
class SignalToNoise:
    """Spread and noise of a benchmark, as standard deviations in its unit; None where unknown."""

    candidates: int
    """Number of candidates compared."""
    seeds: int
    """Number of seeds of each."""
    checkpoints: int
    """Number of late checkpoints of each seed."""
    spread: float | None
    """Between candidates, with the noise removed."""
    seed_noise: float | None
    """Of one seed."""
    checkpoint_noise: float | None
    """Of one late checkpoint."""
    noise: float | None
    """Of the mean over all runs, from seeds if there are several, else from checkpoints."""
    ratio: float | None
    """`spread` over `noise`."""
    interval: tuple[float, float] | None
    """Interval of `ratio`."""
    order_kept: float | None
    """Probability that the mean puts a pair in its true order, at the proxy's scale."""
    verdict: Verdict
    """By the interval: usable, unsure or too noisy; unknown without a ratio."""
    reason: str
    """Explains the verdict in a sentence."""


def signal_to_noise(runs: pd.Series, confidence: float = 0.9) -> SignalToNoise:
    """Signal to noise of a benchmark, from scores indexed by candidate, seed and step.

    Candidates that lack a seed that others have are left out (`seeds.by_place`).
    """
    values = by_place(runs)
    candidates, seeds, checkpoints = values.shape
    by_seed, by_step = _seed_noise(values), _checkpoint_noise(values)
    counts = (candidates, seeds, checkpoints)
    known = by_seed or by_step
    if candidates < 2 or known is None:
        reason = "one seed and one checkpoint say nothing of noise; set 'seeds' or 'average' to 2"
        if candidates < 2:
            reason = "one candidate has no spread"
        return SignalToNoise(
            *counts,
            spread=None,
            seed_noise=None,
            checkpoint_noise=None,
            noise=None,
            ratio=None,
            interval=None,
            order_kept=None,
            verdict="unknown",
            reason=reason,
        )

    noise, freedom = known
    repeats = seeds if by_seed else checkpoints
    of_mean = noise / math.sqrt(repeats)
    observed = float(values.mean(axis=(1, 2)).var(ddof=1))
    spread = math.sqrt(max(observed - of_mean**2, 0.0))
    ratio, interval = _ratio(observed, of_mean, candidates - 1, freedom, confidence)
    return SignalToNoise(
        *counts,
        spread=spread,
        seed_noise=by_seed[0] if by_seed else None,
        checkpoint_noise=by_step[0] if by_step else None,
        noise=of_mean,
        ratio=ratio,
        interval=interval,
        order_kept=order_kept(ratio),
        verdict=_verdict(interval),
        reason=_reason(ratio, bool(by_seed)),
    )


def order_kept(ratio: float) -> float:
    """Probability that a pair of normal values is put in its true order at a signal to noise."""
    return 0.5 + math.asin(math.sqrt(ratio**2 / (1 + ratio**2))) / math.pi


def _seed_noise(values: Array) -> tuple[float, int] | None:
    """Standard deviation of a seed's mean over its checkpoints, and its degrees of freedom."""
    means = values.mean(axis=2)
    if means.shape[1] < 2:
        return None
    freedom = means.shape[0] * (means.shape[1] - 1)
    return math.sqrt(float(means.var(axis=1, ddof=1).mean())), freedom


def _checkpoint_noise(values: Array) -> tuple[float, int] | None:
    """Standard deviation of a checkpoint around its run's mean, and its degrees of freedom.

    The mean over candidates at each step is removed first.
    """
    candidates, seeds, checkpoints = values.shape
    freedom = (candidates * seeds - 1) * (checkpoints - 1)
    if not freedom:
        return None
    rest = values - values.mean(axis=2, keepdims=True)
    rest = rest - rest.mean(axis=(0, 1), keepdims=True)
    return math.sqrt(float((rest**2).sum()) / freedom), freedom


def _ratio(
    variance: float, noise: float, candidates: int, freedom: int, confidence: float
) -> tuple[float, tuple[float, float]]:
    """Spread over noise with its interval.

    `variance` is of the candidates' means; `candidates` and `freedom` are the degrees of freedom of
    variance and noise. Their ratio is (1 + ratio^2) times a variable with an F distribution.
    """
    if not noise:
        unlimited = math.inf if variance else 0.0
        return unlimited, (unlimited, unlimited)
    # Imported here: it takes a tenth of a second, and most runs do without.
    from scipy.special import fdtri

    observed = variance / noise**2
    tails = ((1 + confidence) / 2, (1 - confidence) / 2)
    low, high = (
        math.sqrt(max(observed / float(fdtri(candidates, freedom, tail)) - 1, 0.0))
        for tail in tails
    )
    return math.sqrt(max(observed - 1, 0.0)), (low, high)


def _verdict(interval: tuple[float, float]) -> Verdict:
    if interval[0] >= LEAST_RATIO:
        return "usable"
    return "too noisy" if interval[1] < LEAST_RATIO else "unsure"


def _reason(ratio: float, has_seeds: bool) -> str:
    sentence = (
        f"the scores put {order_kept(ratio):.0%} of pairs in their true order at this scale"
        if math.isfinite(ratio) and ratio
        else ("no noise was seen" if ratio else "candidates differ no more than runs of one do")
    )
    return sentence if has_seeds else f"{sentence}, not counting the noise of seeds (only one)"
