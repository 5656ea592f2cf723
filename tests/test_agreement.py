from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from dataselect.agreement import decision_accuracy
from dataselect.errors import InputError

RESULTS = Path(__file__).parents[1].parent / "shared" / "data" / "results"


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
    agreement = decision_accuracy(series(1, 1, 1), series(0.9, 0.5, 0.1), draws=50)
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


def test_interval_draws_are_agreements_of_resampled_candidates() -> None:
    rng = np.random.default_rng(0)
    target = pd.Series(rng.normal(size=12))
    proxy = -target + rng.normal(size=12)
    agreement = decision_accuracy(proxy, target, draws=400, seed=1, confidence=0.8)
    slow = []
    for _ in range(400):
        pick = rng.integers(12, size=12)
        x, y = proxy.to_numpy()[pick], target.to_numpy()[pick]
        pairs = [(i, j) for i in range(12) for j in range(i) if y[i] != y[j]]
        slow.append(np.mean([(x[i] < x[j]) == (y[i] > y[j]) for i, j in pairs]))
    assert agreement.decision_accuracy_interval == pytest.approx(
        tuple(np.quantile(slow, [0.1, 0.9])), abs=0.04
    )


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
        agreement = decision_accuracy(*self.proxy_and_target("20M", "arc_challenge"), draws=1000)
        assert agreement.decision_accuracy_interval is not None
        low, high = agreement.decision_accuracy_interval
        assert low < agreement.decision_accuracy < high
        assert 0.07 < (high - low) / 2 < 0.13
