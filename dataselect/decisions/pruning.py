"""Who goes on after Stage 1: the best by score, and those who may well belong there.

The best `keep` go on. Whoever stands behind them goes on as well while the probability to belong
among the best `keep` is at least `min_probability`, until `at_most` have gone. So a clear ranking
costs no more than before, and an unclear one says so by keeping more. Where a probability knows of
the noise of seeds and of the gap to the target, it seldom falls to nothing; without `at_most` a
small `min_probability` may keep everybody, which is what it asks for.

`benchmarks/stage1` has what rules of both kinds cost and save on published runs.
"""

from dataclasses import dataclass
from typing import Literal

from dataselect.decisions.ranking import Ranking

Reason = Literal["count", "probability"]


@dataclass(frozen=True)
class PruningRule:
    """How many go on, and with which probability to be among so many others may follow."""

    keep: int
    min_probability: float | None = None
    at_most: int | None = None


def survivors(ranking: Ranking, rule: PruningRule) -> dict[str, Reason]:
    """Candidates that go on, in the ranking's order, and by which part of the rule.

    The ranking's `k` is the rule's `keep`, or all candidates where there are fewer.
    """
    names = [str(name) for name in ranking.table.index]
    assert ranking.k == min(rule.keep, len(names)), "p_top_k is of the number that is kept"
    going: dict[str, Reason] = dict.fromkeys(names[: ranking.k], "count")
    if rule.min_probability is None:
        return going
    places = len(names) if rule.at_most is None else rule.at_most
    # By probability and not by score: they may differ where benchmarks disagree.
    behind = ranking.table.iloc[ranking.k :].sort_values("p_top_k", ascending=False, kind="stable")
    for name, probability in behind["p_top_k"].items():
        if probability >= rule.min_probability and len(going) < places:
            going[str(name)] = "probability"
    return {name: going[name] for name in names if name in going}
