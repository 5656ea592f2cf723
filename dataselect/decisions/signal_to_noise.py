"""Which benchmarks are too noisy to choose by: spread between candidates against noise of a run.

A benchmark can only rank candidates if they differ by more than the same candidate does between two
seeds, or between two late checkpoints. Both are pooled over candidates. Checkpoints first lose what
all candidates have in common at that step, since going down together is training and not noise; and
the seeds' noise is that of a seed's mean over its checkpoints, which holds what is left of theirs.

The ratio is of standard deviations: true spread, noise taken out, over the noise of the mean that
ranks. What it is worth follows for normal values: the mean puts a pair in its true order with
probability 1/2 + asin(sqrt(r)) / pi, where r is the share of the variance that is true. At a ratio
of 1 that is 3/4. Below, most of what is seen is noise, so 1 is where a benchmark is too noisy.
The interval is that of the variance ratio by F, which assumes normal values.

Not covered: a benchmark with little noise may still rank otherwise than the target does
(`decisions.discrepancy`). Checkpoints of one run resemble each other, so without seeds the noise is
understated; how a run would come out with another seed can then not be known.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import fdtri

from dataselect.decisions.seeds import by_place

Array = NDArray[np.float64]
Verdict = Literal["usable", "unsure", "too noisy", "unknown"]

LEAST_RATIO = 1.0
"""Below this ratio a benchmark is too noisy to choose by."""


@dataclass(frozen=True)
class SignalToNoise:
    """Standard deviations in the benchmark's own unit; None where nothing says what it is.

    `spread` between candidates, noise taken out; `seed_noise` of one seed and `checkpoint_noise`
    of one late checkpoint; `noise` of the mean over all runs, by seeds where there are some.
    `ratio` is spread over noise with its `interval`; `order_kept` is how probably the mean puts a
    pair in its true order at the proxy's own scale.
    """

    candidates: int
    seeds: int
    checkpoints: int
    spread: float | None
    seed_noise: float | None
    checkpoint_noise: float | None
    noise: float | None
    ratio: float | None
    interval: tuple[float, float] | None
    order_kept: float | None
    verdict: Verdict
    reason: str


def signal_to_noise(runs: pd.Series, confidence: float = 0.9) -> SignalToNoise:
    """What the runs behind a benchmark's scores say, indexed by candidate, seed and step.

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
    seen = float(values.mean(axis=(1, 2)).var(ddof=1))
    spread = math.sqrt(max(seen - of_mean**2, 0.0))
    ratio, interval = _ratio(seen, of_mean, candidates - 1, freedom, confidence)
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
    """How probably a pair of normal values is put in its true order at this signal to noise."""
    return 0.5 + math.asin(math.sqrt(ratio**2 / (1 + ratio**2))) / math.pi


def _seed_noise(values: Array) -> tuple[float, int] | None:
    """Standard deviation of a seed's mean over its checkpoints, and its degrees of freedom."""
    means = values.mean(axis=2)
    if means.shape[1] < 2:
        return None
    freedom = means.shape[0] * (means.shape[1] - 1)
    return math.sqrt(float(means.var(axis=1, ddof=1).mean())), freedom


def _checkpoint_noise(values: Array) -> tuple[float, int] | None:
    """Standard deviation of a checkpoint around its run, what all have in common taken out."""
    candidates, seeds, checkpoints = values.shape
    freedom = (candidates * seeds - 1) * (checkpoints - 1)
    if not freedom:
        return None
    rest = values - values.mean(axis=2, keepdims=True)
    rest = rest - rest.mean(axis=(0, 1), keepdims=True)
    return math.sqrt(float((rest**2).sum()) / freedom), freedom


def _ratio(
    seen: float, noise: float, candidates: int, freedom: int, confidence: float
) -> tuple[float, tuple[float, float]]:
    """Spread over noise with its interval; `seen` is the variance of means, `freedom` the noise's.

    Seen over noise variance is (1 + ratio^2) times a variable that has an F distribution.
    """
    if not noise:
        unlimited = math.inf if seen else 0.0
        return unlimited, (unlimited, unlimited)
    observed = seen / noise**2
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
    told = (
        f"the scores put {order_kept(ratio):.0%} of pairs in their true order at this scale"
        if math.isfinite(ratio) and ratio
        else ("no noise was seen" if ratio else "candidates differ no more than runs of one do")
    )
    return told if has_seeds else f"{told}, not counting the noise of seeds, of which there is one"
