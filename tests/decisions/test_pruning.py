"""Which candidates survive Stage 1."""

import numpy as np
import pandas as pd

from dataselect.decisions.pruning import PruningRule, survivors
from dataselect.decisions.ranking import Ranking, bootstrap_rank


def ranked(qualities: list[float], k: int, noise: float = 1.0) -> Ranking:
    rng = np.random.default_rng(0)
    names = [f"c{i}" for i in range(len(qualities))]
    values = np.array(qualities) + rng.normal(0, noise, (100, len(qualities)))
    return bootstrap_rank({"b": pd.DataFrame(values, columns=names)}, k=k)


def test_the_best_survive_by_count() -> None:
    ranking = ranked([0.0, 1.0, 2.0, 3.0], k=2, noise=0.1)
    assert survivors(ranking, PruningRule(2)) == {"c0": "count", "c1": "count"}


def test_a_clear_ranking_keeps_no_more_for_a_probability() -> None:
    ranking = ranked([0.0, 1.0, 2.0, 3.0], k=2, noise=0.1)
    assert list(survivors(ranking, PruningRule(2, 0.05))) == ["c0", "c1"]


def test_a_candidate_that_may_be_among_the_best_survives_too() -> None:
    ranking = ranked([0.0, 1.0, 1.01, 9.0], k=2)
    kept_by = survivors(ranking, PruningRule(2, 0.02))
    assert sorted(kept_by) == ["c0", "c1", "c2"]
    assert list(kept_by.values()) == ["count", "count", "probability"]


def test_at_most_limits_the_survivors() -> None:
    ranking = ranked([0.0, 0.01, 0.02, 0.03, 0.04], k=1, noise=9)
    assert len(survivors(ranking, PruningRule(1, 0.0))) == 5
    kept_by = survivors(ranking, PruningRule(1, 0.0, 3))
    assert len(kept_by) == 3
    best = set(ranking.table["p_top_k"].nlargest(3).index)
    assert set(kept_by) == best


def test_fewer_candidates_than_places_all_survive() -> None:
    assert list(survivors(ranked([0.0, 1.0], k=2), PruningRule(5, 0.1))) == ["c0", "c1"]
