"""Which candidates go on after Stage 1: the best by score, and those that may be among the best.

The best `keep` candidates go on. A candidate behind them also goes on if its probability to be
among the best `keep` is at least `min_probability`, up to `at_most` survivors in all. So a clear
ranking costs nothing extra, and an unclear one keeps more. With the noise of seeds and the gap to
the target included, the probability seldom falls to 0; without `at_most` a small `min_probability`
may therefore keep every candidate.

`benchmarks/stage1` measures what rules of both kinds cost and save on published runs.
"""

from dataclasses import dataclass
from typing import Literal

from dataselect.decisions.ranking import Ranking

Reason = Literal["count", "probability"]
"""Part of the rule that kept a survivor."""


@dataclass(frozen=True)
class PruningRule:
    """How many candidates survive Stage 1."""

    keep: int
    """How many of the best survive."""
    min_probability: float | None = None
    """Others survive whose probability to be among the best `keep` is at least this, in 0..1; None:
    no others."""
    at_most: int | None = None
    """Most survivors in all; None: no limit."""


def survivors(ranking: Ranking, rule: PruningRule) -> dict[str, Reason]:
    """The survivors in the ranking's order, with the part of the rule that kept each.

    The ranking's `k` must be the rule's `keep`, or the number of candidates if that is less.
    """
    names = [str(name) for name in ranking.table.index]
    assert ranking.k == min(rule.keep, len(names)), "p_top_k must be for the number to keep"
    reasons: dict[str, Reason] = dict.fromkeys(names[: ranking.k], "count")
    if rule.min_probability is None:
        return reasons
    places = len(names) if rule.at_most is None else rule.at_most
    # By probability, not by score: the two orders may differ where benchmarks disagree.
    behind = ranking.table.iloc[ranking.k :].sort_values("p_top_k", ascending=False, kind="stable")
    for name, probability in behind["p_top_k"].items():
        if probability >= rule.min_probability and len(reasons) < places:
            reasons[str(name)] = "probability"
    return {name: reasons[name] for name in names if name in reasons}
