"""Whether a score says anything about a benchmark on the data at hand.

Some benchmarks do not go with any score of a small proxy: knowing it is then no better than knowing
nothing, and a prediction only adds noise to a mean over benchmarks. Two signs of that are taken:

- the rank correlation of score and accuracy is weak;
- on datasets left out, the function errs no less than a baseline that does not know the score: a
  constant, or the logarithm of tokens where datasets have several checkpoints.

The second needs enough datasets, and the gain comes with its interval over them, since with few
datasets either may be ahead by chance. Within one dataset nothing can be said: along a run accuracy
and score both follow the tokens.

Not covered: leaving such a benchmark out of a mean, which is for `forecast`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataselect.decisions.student_t import half_width
from dataselect.transfer.pairs import Pairs

Array = NDArray[np.float64]

WEAK = 0.2
"""Rank correlation below which a score does not go with accuracy."""
LEAST_TO_JUDGE = 5
"""Datasets from which on a gain or a correlation over datasets is looked at."""
_CONFIDENCE = 0.9
_WORDS = {"constant": "a constant"}


@dataclass(frozen=True)
class Worth:
    """Whether a score says more about a benchmark than no score would."""

    says_nothing: bool
    """Whether it was seen to add nothing on these data."""
    reason: str
    """The figures behind that, in words."""
    correlation: float
    """Spearman's rank correlation of score and accuracy, over datasets where there are enough."""
    against: str | None = None
    """The baseline that errs least on datasets left out; None where too few are there to judge."""
    gain: float | None = None
    """How much less the function errs there than that baseline, mean over datasets, in 0..1."""
    gain_low: float | None = None
    """Lower end of the gain's 90% interval over datasets."""
    gain_high: float | None = None
    """Upper end of it."""


def judge(
    pairs: Pairs, ours: Mapping[str, float], baselines: Mapping[str, Mapping[str, float]]
) -> Worth:
    """Judge a score by errors on datasets left out, in 0..1.

    `ours`: by dataset, the function's error; `baselines`: the same by baseline. Empty where there
    are too few datasets.
    """
    correlation, over = _correlation(pairs)
    weak = abs(correlation) < WEAK and len(pairs) >= LEAST_TO_JUDGE
    words = f"rank correlation {_signed(correlation)} over {over}"
    if len(ours) < LEAST_TO_JUDGE or not baselines:
        return Worth(weak, words, correlation)
    against = min(baselines, key=lambda name: float(np.mean(list(baselines[name].values()))))
    gains = np.array([baselines[against][name] - ours[name] for name in ours])
    mean, half = float(gains.mean()), _half_width(gains)
    interval = f"[{_signed(100 * (mean - half))}, {_signed(100 * (mean + half))}]"
    words += f"; gain over {_WORDS.get(against, against)} {_signed(100 * mean)} {interval} points"
    ends = (mean - half, mean + half)
    return Worth(weak or mean <= 0, words, correlation, against, mean, *ends)


def _correlation(pairs: Pairs) -> tuple[float, str]:
    """Rank correlation over the last point of each dataset or, with few datasets, all points."""
    rows: Sequence[int] = range(len(pairs))
    over = f"{len(pairs)} points"
    names = np.array(pairs.groups)
    datasets = list(dict.fromkeys(pairs.groups))
    if len(datasets) >= LEAST_TO_JUDGE:
        rows = [int(np.flatnonzero(names == name)[-1]) for name in datasets]
        over = f"{len(datasets)} datasets"
    x, y = pairs.metric[list(rows)], pairs.accuracy[list(rows)]
    if len(x) < 2 or not (np.ptp(x) and np.ptp(y)):
        return 0.0, over
    # Imported here: it takes half a second, and a run only reads what was found.
    from scipy.stats import spearmanr

    return float(spearmanr(x, y).statistic), over


def _half_width(values: Array) -> float:
    quantile = half_width(len(values) - 1, _CONFIDENCE)
    return quantile * float(values.std(ddof=1)) / math.sqrt(len(values))


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
