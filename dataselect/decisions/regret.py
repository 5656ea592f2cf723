"""What a choice cost, where the accuracy of targets is known.

Regret is the true accuracy of the best target less that of the chosen one. Part of it may be lost
before the last stage: when the best candidate was pruned, no later stage could choose it. Beside it
stands what simpler choices would have cost: the first by each metric of Stage 1, the candidate with
the most training tokens, and one drawn at random, which is all that a constant can do.

A predicted accuracy is compared with the true one on the same benchmarks, and with a constant that
was known as early: the mean accuracy of the runs that the transfer function was fitted on.

Where the truth is known for some candidates only, everything is about these; `unknown` names the
others.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

MOST_TOKENS = "most tokens"
"""Key in `KnownTruth.first_by` of the choice by training tokens."""


@dataclass(frozen=True)
class CheckedPrediction:
    """A predicted accuracy beside the true one, all in 0..1, means over the same benchmarks."""

    predicted: float
    """What was predicted."""
    low: float | None
    """Lower end of the prediction's interval; None where the function knows of none."""
    high: float | None
    """Upper end of the prediction's interval."""
    true: float
    """What the target reached."""
    constant: float
    """What is predicted without any proxy: the mean accuracy of the calibration runs."""
    fitted: bool = False
    """Whether the candidate is one of the calibration runs, so that nothing is tested."""

    @property
    def held(self) -> bool | None:
        """Whether the interval contains the true accuracy; None without an interval."""
        if self.low is None or self.high is None:
            return None
        return self.low <= self.true <= self.high

    @property
    def error(self) -> float:
        """Distance of the prediction from the truth, at least 0."""
        return abs(self.predicted - self.true)

    @property
    def constant_error(self) -> float:
        """Distance of the constant from the truth, at least 0."""
        return abs(self.constant - self.true)


@dataclass(frozen=True)
class FirstBy:
    """The candidate that a simpler choice would have taken."""

    chosen: tuple[str, ...]
    """Its id; several if they are tied."""
    accuracy: float | None
    """True accuracy in 0..1, mean over the tied; None if it is not known for each."""
    regret: float | None
    """How far it is behind the best known; None without `accuracy`."""


@dataclass(frozen=True)
class KnownTruth:
    """A choice, judged by the known accuracies of targets, in 0..1."""

    accuracy: Mapping[str, float]
    """True accuracy by candidate, mean over the file's benchmarks, where it is known."""
    unknown: tuple[str, ...]
    """Candidates whose target accuracy is not known."""
    best: tuple[str, ...]
    """The best of the known; several if they are equal."""
    chosen: str | None
    """The candidate that the run puts first; None if there is none."""
    regret: float | None
    """Accuracy of the best known less that of the chosen; None if that is not known."""
    lost_in_cut: float | None
    """Part lost before the last stage: the best known of all less the best known of the survivors;
    None if no survivor's accuracy is known."""
    random_regret: float
    """Mean regret of a candidate drawn at random from the known."""
    first_by: Mapping[str, FirstBy]
    """By metric of Stage 1, and `MOST_TOKENS` where numbers of tokens differ."""
    predictions: Mapping[str, CheckedPrediction]
    """By candidate, where an accuracy was predicted and is known on the same benchmarks."""
    not_compared: tuple[str, ...]
    """Benchmarks with predictions that the file of known accuracies lacks, so that none was
    checked."""
    lost_by_cut: Mapping[str, float] = field(default_factory=dict)
    """Of `lost_in_cut`, the part that each stage's cut lost; empty if that is not known."""


def known_truth(
    truth: Mapping[str, Mapping[str, float]],
    candidates: Sequence[str],
    *,
    chosen: str | None,
    survivors: Sequence[str],
    by_metric: Mapping[str, "pd.Series"],
    predicted: Mapping[str, tuple[float, float | None, float | None]],
    constants: Mapping[str, float],
    tokens: Mapping[str, int],
    cuts: Mapping[str, Sequence[str]] = MappingProxyType({}),
    fitted: Collection[str] = (),
) -> KnownTruth | None:
    """Judge a choice; None if the target accuracy of no candidate is known.

    `truth`: accuracy by candidate and benchmark. `survivors`: candidates that Stage 1 kept.
    `by_metric`: scores of Stage 1 by candidate, lower is better. `predicted`: by candidate, the
    mean accuracy over the benchmarks of `constants`, with the ends of its interval, if any.
    `constants`: by predicted benchmark, the mean accuracy of its calibration runs. `tokens`:
    training tokens of the proxies, by candidate. `cuts`: candidates that each stage kept, in the
    order of the stages, for the parts that they lost. `fitted`: those that are calibration runs.
    """
    accuracy = {name: _mean(truth[name]) for name in candidates if name in truth}
    if not accuracy:
        return None
    top = max(accuracy.values())
    kept = [accuracy[name] for name in survivors if name in accuracy]
    choices = {metric: _lowest(dict(scores)) for metric, scores in by_metric.items()}
    if len(set(tokens.values())) > 1:
        choices[MOST_TOKENS] = _lowest({name: -count for name, count in tokens.items()})
    columns = set(next(iter(truth.values())))
    missing = tuple(name for name in constants if name not in columns)
    checked = {}
    if constants and not missing:
        constant = _mean(constants)
        for name, (value, low, high) in predicted.items():
            if name in accuracy:
                true = _mean({each: truth[name][each] for each in constants})
                checked[name] = CheckedPrediction(value, low, high, true, constant, name in fitted)
    return KnownTruth(
        accuracy=accuracy,
        unknown=tuple(name for name in candidates if name not in accuracy),
        best=tuple(name for name, value in accuracy.items() if value == top),
        chosen=chosen,
        regret=top - accuracy[chosen] if chosen in accuracy else None,
        lost_in_cut=top - max(kept) if kept else None,
        random_regret=top - _mean(accuracy),
        first_by={metric: _first(names, accuracy, top) for metric, names in choices.items()},
        predictions=checked,
        not_compared=missing if predicted else (),
        lost_by_cut=_lost_by_cut(accuracy, cuts),
    )


def _lost_by_cut(
    accuracy: Mapping[str, float], cuts: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    lost, before = {}, max(accuracy.values())
    for stage, kept in cuts.items():
        known = [accuracy[name] for name in kept if name in accuracy]
        if not known:
            return {}
        lost[stage] = before - max(known)
        before = max(known)
    return lost


def _mean(values: Mapping[str, float]) -> float:
    return sum(values.values()) / len(values)


def _lowest(scores: Mapping[str, float]) -> tuple[str, ...]:
    best = min(scores.values())
    return tuple(str(name) for name, score in scores.items() if score == best)


def _first(names: tuple[str, ...], accuracy: Mapping[str, float], top: float) -> FirstBy:
    if any(name not in accuracy for name in names):
        return FirstBy(names, None, None)
    mean = _mean({name: accuracy[name] for name in names})
    return FirstBy(names, mean, top - mean)
