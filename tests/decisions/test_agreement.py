from collections.abc import Iterable
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from dataselect.decisions.agreement import Agreement, decision_accuracy
from dataselect.decisions.bootstrap import Bootstrap
from dataselect.decisions.pair_intervals import share_interval
from dataselect.errors import InputError

RESULTS = Path(__file__).parents[2].parent / "shared" / "data" / "results"


def series(*values: float) -> pd.Series:
    return pd.Series(values, index=list("abcdefgh")[: len(values)], dtype=float)


def test_low_scores_with_high_accuracies_agree_fully() -> None:
    agreement = decision_accuracy(series(1, 2, 3), series(0.9, 0.5, 0.1))
    assert (agreement.decision_accuracy, agreement.kendall_tau, agreement.pairs) == (1, 1, 3)
    assert agreement.decision_accuracy_interval is None


def test_the_direction_can_be_turned() -> None:
    turned = decision_accuracy(series(1, 2, 3), series(0.9, 0.5, 0.1), lower_is_better=False)
    assert (turned.decision_accuracy, turned.kendall_tau) == (0, -1)


def test_a_target_tie_is_left_out_and_a_proxy_tie_counts_half() -> None:
    # Pairs: ab tied by the target, ac right, bc tied by the proxy.
    agreement = decision_accuracy(series(1, 2, 2), series(0.9, 0.9, 0.1))
    assert agreement.decision_accuracy == 0.75
    assert (agreement.pairs, agreement.target_ties, agreement.proxy_ties) == (2, 1, 1)


def test_a_proxy_that_ties_all_earns_chance() -> None:
    agreement = decision_accuracy(
        series(1, 1, 1), series(0.9, 0.5, 0.1), bootstrap=Bootstrap(draws=50)
    )
    assert (agreement.decision_accuracy, agreement.kendall_tau) == (0.5, 0)
    assert agreement.decision_accuracy_interval == (0.5, 0.5)


def test_candidates_are_matched_by_name_not_by_place() -> None:
    target = series(0.9, 0.5, 0.1)[["c", "a", "b"]]
    assert decision_accuracy(series(1, 2, 3), target).decision_accuracy == 1


@pytest.mark.parametrize("seed", range(5))
def test_tau_is_tau_b(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 6, 20).astype(float), rng.integers(0, 6, 20).astype(float)
    ours = decision_accuracy(pd.Series(x), pd.Series(y), lower_is_better=False).kendall_tau
    assert ours == pytest.approx(kendalltau(x, y).statistic)


def test_intervals_have_the_spread_of_resampled_candidates() -> None:
    rng = np.random.default_rng(0)
    target = pd.Series(rng.normal(size=12))
    proxy = -target + rng.normal(size=12)
    agreement = decision_accuracy(
        proxy, target, bootstrap=Bootstrap(draws=2000, seed=1, confidence=0.8)
    )
    slow = []
    for _ in range(1000):
        pick = rng.integers(12, size=12)
        x, y = proxy.to_numpy()[pick], target.to_numpy()[pick]
        pairs = [(i, j) for i in range(12) for j in range(i) if y[i] != y[j]]
        slow.append(np.mean([(x[i] < x[j]) == (y[i] > y[j]) for i, j in pairs]))
    by_hand = share_interval(agreement.decision_accuracy, float(np.var(slow)), 12, 0.8)
    assert agreement.decision_accuracy_interval == pytest.approx(by_hand, abs=0.02)
    # Without ties tau is twice the share above one half.
    low, high = by_hand
    assert agreement.kendall_tau_interval == pytest.approx((2 * low - 1, 2 * high - 1), abs=0.04)


def test_few_candidates_all_in_order_leave_room_for_others() -> None:
    agreement = decision_accuracy(
        series(1, 2, 3, 4), series(0.9, 0.5, 0.3, 0.1), bootstrap=Bootstrap(draws=100)
    )
    assert agreement.decision_accuracy_interval is not None
    assert agreement.decision_accuracy_interval[0] < 0.5
    assert agreement.decision_accuracy_interval[1] == 1


COARSE = st.lists(
    st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=3, max_size=10
).filter(lambda pairs: len({y for _, y in pairs}) > 1)


def measured(x: Iterable[float], y: Iterable[float], **options: Any) -> Agreement:
    x, y = pd.Series(x, dtype=float), pd.Series(y, dtype=float)
    return decision_accuracy(
        x, y, **{"lower_is_better": False, "bootstrap": Bootstrap(100), **options}
    )


def same(first: Agreement, second: Agreement) -> None:
    """Equal but for rounding."""
    for name, value in asdict(first).items():
        assert asdict(second)[name] == pytest.approx(value, abs=1e-9), name


@given(COARSE)
def test_only_the_order_of_scores_counts(pairs: list[tuple[int, int]]) -> None:
    x, y = zip(*pairs, strict=True)
    transformed = measured([np.exp(a) - 7 for a in x], [b**3 / 100 for b in y])
    same(transformed, measured(x, y))


@given(COARSE)
def test_a_proxy_turned_around_is_right_where_it_was_wrong(pairs: list[tuple[int, int]]) -> None:
    x, y = zip(*pairs, strict=True)
    found, turned = measured(x, y), measured(x, y, lower_is_better=True)
    assert turned.decision_accuracy == pytest.approx(1 - found.decision_accuracy)
    assert turned.kendall_tau == pytest.approx(-found.kendall_tau)
    assert (turned.pairs, turned.proxy_ties) == (found.pairs, found.proxy_ties)
    low, high = found.decision_accuracy_interval or (0, 0)
    assert turned.decision_accuracy_interval == pytest.approx((1 - high, 1 - low))
    same(measured([-a for a in x], [-b for b in y]), found)


@given(COARSE, st.randoms(use_true_random=False))
def test_the_order_of_candidates_makes_no_difference(
    pairs: list[tuple[int, int]], random: Random
) -> None:
    x, y = zip(*pairs, strict=True)
    shuffled = random.sample(pairs, len(pairs))
    same(
        measured(*zip(*shuffled, strict=True), bootstrap=None),
        measured(x, y, bootstrap=None),
    )


@given(COARSE)
def test_decision_accuracy_is_the_share_of_pairs_counted_one_by_one(
    pairs: list[tuple[int, int]],
) -> None:
    compared = [(a, b) for a, b in combinations(pairs, 2) if a[1] != b[1]]
    credit = [0.5 if a[0] == b[0] else float((a[0] > b[0]) == (a[1] > b[1])) for a, b in compared]
    x, y = zip(*pairs, strict=True)
    found = measured(x, y, bootstrap=None)
    assert found.decision_accuracy == pytest.approx(np.mean(credit))
    assert found.pairs == len(compared)
    assert found.pairs + found.target_ties == len(pairs) * (len(pairs) - 1) / 2
    assert found.proxy_ties == credit.count(0.5)


@pytest.mark.parametrize(
    ("proxy", "target", "message"),
    [
        (series(1, 2), series(0.5, 0.5), "no two candidates differ"),
        (series(1), series(0.5), "no two candidates differ"),
        (series(1, 2), series(0.1, 0.2, 0.3), r"different candidates \(c\)"),
        (series(1, np.nan), series(0.1, 0.2), "proxy score: 'b' has no finite value"),
        (series(1, 2), series(np.inf, 0.2), "target accuracy: 'a' has no finite value"),
        (pd.Series([1.0, 2.0], ["a", "a"]), series(0.1), "appears twice"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    proxy: pd.Series, target: pd.Series, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        decision_accuracy(proxy, target)


@pytest.mark.skipif(not RESULTS.exists(), reason="published results are not here")
class TestDataDecide:
    """Published runs: 25 recipes, default seed, against the 1B mean over three seeds."""

    @staticmethod
    def proxy_and_target(size: str, benchmark: str) -> tuple[pd.Series, pd.Series]:
        runs = pd.read_csv(RESULTS / "datadecide_olmes_nll.csv")
        runs = runs[(runs["size"] == size) & (runs["seed"] == "default")].set_index("recipe")
        target = pd.read_csv(RESULTS / "datadecide_target_1b.csv", index_col="recipe")
        return runs["olmes10_mean_neglog_correct_prob_per_char"], target[benchmark]

    @pytest.mark.parametrize(
        ("size", "benchmark", "known"),
        [
            ("4M", "arc_challenge", 0.677),
            ("6M", "arc_challenge", 0.400),
            ("14M", "arc_challenge", 0.787),
            ("20M", "arc_challenge", 0.777),
            ("60M", "arc_challenge", 0.880),
            ("90M", "arc_challenge", 0.903),
            ("90M", "csqa", 0.666),
        ],
    )
    def test_decision_accuracy_is_the_known_one(
        self, size: str, benchmark: str, known: float
    ) -> None:
        agreement = decision_accuracy(*self.proxy_and_target(size, benchmark))
        assert agreement.decision_accuracy == pytest.approx(known, abs=5e-4)
        assert agreement.pairs + agreement.target_ties == 300

    def test_25_recipes_leave_about_a_tenth_of_uncertainty(self) -> None:
        agreement = decision_accuracy(
            *self.proxy_and_target("20M", "arc_challenge"), bootstrap=Bootstrap(draws=1000)
        )
        assert agreement.decision_accuracy_interval is not None
        low, high = agreement.decision_accuracy_interval
        assert low < agreement.decision_accuracy < high
        assert 0.07 < (high - low) / 2 < 0.13
