"""How much better metrics of a table are than a baseline, on the same candidates.

The baseline is counting words, the lowest order by plain NLL, where the tables have such scores: a
metric that needs a trained proxy is worth its cost only where it knows more. Else it is the first
metric of the table. The two are measured on the same resampled candidates, so that what makes a
pair hard cancels out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dataselect.decisions.agreement import difference_of
from dataselect.decisions.bootstrap import Bootstrap
from dataselect.decisions.seeds import seed_means
from dataselect.formats.column_names import counting_column

Array = NDArray[np.float64]

_FEWEST = 3


@dataclass(frozen=True)
class Measured:
    """A proxy metric and its target, by candidate and seed, of the candidates that have both."""

    metric: str
    """Column of the proxy table."""
    size: str | None
    """Size of the proxies; None without sizes."""
    target: str
    """Column of the target table."""
    candidates: tuple[str, ...]
    """Their names, in the order of the arrays."""
    scores: Array
    """Of the proxies, candidates x seeds; each candidate has a value, others may be NaN."""
    truths: Array
    """Of the targets, likewise."""
    lower: bool
    """Whether lower scores are better."""
    target_lower: bool
    """Whether lower target values are better."""

    @cached_property
    def proxy(self) -> Array:
        """Means over seeds, of shape (candidates,), higher is better."""
        return seed_means(self.scores) * (-1 if self.lower else 1)

    @cached_property
    def truth(self) -> Array:
        """Means over seeds, likewise."""
        return seed_means(self.truths) * (-1 if self.target_lower else 1)


@dataclass(frozen=True)
class Gain:
    """How much more often a metric is right than a baseline, over the candidates of both."""

    baseline: str
    """Name of the baseline's comparison."""
    candidates: int
    """Candidates that both have."""
    difference: float
    """Decision accuracy less that of the baseline, in -1..1."""
    interval: tuple[float, float]
    """Of the difference, over candidates."""


def is_lower(stated: bool | tuple[str, ...], metric: str) -> bool:
    """Whether lower values of a metric are better, where `stated` says so of all or of some.

    Of scores by counting words they are, whatever is stated.
    """
    return counting_column(metric) is not None or stated is True or metric in (stated or ())


def gains(measured: Mapping[str, Measured], bootstrap: Bootstrap) -> dict[str, Gain]:
    """The gain of every comparison over the baseline with the same target, by name.

    One that is the baseline has none, nor one that shares fewer than three candidates with it.
    """
    found = {}
    for name, each in measured.items():
        rivals = [n for n, other in measured.items() if other.target == each.target]
        baseline = baseline_of([n for n in rivals if _same_size(measured[n], each)], measured)
        if baseline is None or baseline == name:
            continue
        other = measured[baseline]
        both = [candidate for candidate in each.candidates if candidate in other.candidates]
        own = [each.candidates.index(candidate) for candidate in both]
        others = [other.candidates.index(candidate) for candidate in both]
        truth = each.truth[own]
        if len(both) < _FEWEST or len(set(truth)) == 1:
            continue
        difference = difference_of(each.proxy[own], other.proxy[others], truth, bootstrap)
        found[name] = Gain(baseline, len(both), difference.difference, difference.interval)
    return found


def baseline_of(names: Sequence[str], measured: Mapping[str, Measured]) -> str | None:
    """The comparison that the others are measured against; None without any."""
    return _plain_counts(names, measured) or next(iter(names), None)


def counting_of(measured: Mapping[str, Measured]) -> dict[str, str]:
    """By target, the comparison that stands for counting words, where there is one."""
    targets = dict.fromkeys(each.target for each in measured.values())
    found = {
        target: _plain_counts(
            [n for n, each in measured.items() if each.target == target], measured
        )
        for target in targets
    }
    return {target: name for target, name in found.items() if name is not None}


def _plain_counts(names: Sequence[str], measured: Mapping[str, Measured]) -> str | None:
    """The lowest order by plain NLL; None where nothing was counted."""
    plain = [
        (counted.order, place)
        for place, name in enumerate(names)
        if (counted := counting_column(measured[name].metric)) is not None and not counted.weighted
    ]
    return names[min(plain)[1]] if plain else None


def _same_size(baseline: Measured, other: Measured) -> bool:
    """Whether the two are of one size; what was counted once is so beside any."""
    counted_once = baseline.size is None and counting_column(baseline.metric) is not None
    return baseline.size == other.size or counted_once
