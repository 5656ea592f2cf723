"""The gap between scales: its distribution, its size, and the probability of a pair."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from dataselect.decisions.discrepancy import (
    LIKELIHOOD,
    RBRIDGE,
    UNKNOWN,
    Discrepancy,
    Gap,
    ahead_probability,
    gap_for,
)

ROOT = Path(__file__).parents[2]
RESULTS = ROOT.parent / "shared" / "data" / "results"
TARGET = LIKELIHOOD.target_flops


def test_without_noise_a_pair_is_as_sure_as_cauchy_says() -> None:
    assert ahead_probability(np.array([0.0, 2.0, -2.0]), 0.0, 2.0) == pytest.approx(
        [0.5, 0.75, 0.25]
    )


@pytest.mark.parametrize(("ahead", "noise", "tau"), [(0.3, 0.5, 0.34), (2.0, 1.0, 0.34), (1, 2, 5)])
def test_noise_is_averaged_over(ahead: float, noise: float, tau: float) -> None:
    def integrand(x: float) -> float:
        density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
        return float(density * np.arctan((ahead + noise * x) / tau))

    exact = 0.5 + quad(integrand, -10, 10)[0] / np.pi
    assert ahead_probability(np.array(ahead), noise, tau) == pytest.approx(exact, abs=2e-3)


def test_draws_of_candidates_give_the_probability_of_pairs() -> None:
    draws = Gap(1.0, 0.0, None).draws((200_000, 2), np.random.default_rng(0))
    ahead = float((draws[:, 0] - draws[:, 1] < 1.0).mean())
    assert ahead == pytest.approx(0.75, abs=0.005)


def test_candidates_share_a_scale_so_that_the_first_of_many_can_be_likely_the_best() -> None:
    rng = np.random.default_rng(0)
    tau, ahead = 0.3, np.r_[1.5, np.zeros(11)]
    p_best = float(((ahead + Gap(tau, 0.0, None).draws((100_000, 12), rng)).argmax(1) == 0).mean())
    alone = ahead + tau / 2 * rng.standard_cauchy((100_000, 12))
    assert p_best > float((alone.argmax(1) == 0).mean()) + 0.1
    # No surer than of a single pair.
    assert p_best < float(ahead_probability(np.array(1.5), 0.0, tau))


@pytest.mark.parametrize("fitted", [LIKELIHOOD, RBRIDGE])
@given(exponent=st.floats(12, 22), more=st.floats(0, 3))
def test_a_larger_proxy_is_never_less_sure(
    fitted: Discrepancy, exponent: float, more: float
) -> None:
    small = fitted.gap(10**exponent, TARGET)
    large = fitted.gap(10 ** (exponent + more), TARGET)
    assert large.tau <= small.tau
    assert large.tau >= fitted.floor


def test_no_proxy_beyond_the_figure_of_rbridge_counts_for_more_than_its_largest() -> None:
    largest = RBRIDGE.gap(RBRIDGE.fitted_flops[1], TARGET).tau
    assert RBRIDGE.gap(1e20, TARGET).tau == largest
    assert RBRIDGE.gap(1e15, TARGET / 1e9).tau == largest


def test_a_scale_that_is_not_known_spreads_the_draws_of_all_candidates_alike() -> None:
    rng = np.random.default_rng(0)
    known, unknown = Gap(1.0, 0.0, None), Gap(1.0, 0.0, None, "", 0.7)
    sure, unsure = (each.draws((200_000, 2), rng) for each in (known, unknown))
    beyond = [float((np.abs(each[:, 0] - each[:, 1]) > 10).mean()) for each in (sure, unsure)]
    # The mean over the scale of P(|Cauchy| > 10 / scale).
    scales = np.exp(0.7 * rng.standard_normal(100_000))
    expected = [float((1 - 2 / np.pi * np.arctan(10 / each)).mean()) for each in (1.0, scales)]
    assert beyond == pytest.approx(expected, abs=0.002)
    assert expected[1] > 1.2 * expected[0]


def test_a_smaller_target_is_nearer_and_a_larger_one_no_farther() -> None:
    of_target = [LIKELIHOOD.gap(1e16, flops).tau for flops in (TARGET / 100, TARGET, TARGET * 100)]
    assert of_target[0] < of_target[1] == of_target[2]


def test_tiny_proxies_say_next_to_nothing() -> None:
    gap = LIKELIHOOD.gap(6e15, TARGET)
    assert ahead_probability(np.array(2.0), gap.seed_sd, gap.tau) < 0.55


def test_what_lies_far_outside_the_fit_is_called_so() -> None:
    assert LIKELIHOOD.gap(1e18, 2 * TARGET).extrapolated is None
    small = LIKELIHOOD.gap(6e11, 3e13).extrapolated
    assert small is not None
    assert "these have 6.0e11 FLOPs" in small
    assert "this one has 3.0e13 FLOPs" in small


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if not RESULTS.is_dir():
        pytest.skip("no published results here")
    folder = ROOT / "benchmarks" / "stage1"
    monkeypatch.syspath_prepend(str(folder))
    spec = importlib.util.spec_from_file_location("calibration", folder / "calibration.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "calibration", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def rbridge_study(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if not RESULTS.is_dir():
        pytest.skip("no published results here")
    folder = ROOT / "benchmarks" / "stage1"
    monkeypatch.syspath_prepend(str(folder))
    spec = importlib.util.spec_from_file_location("rbridge_gap", folder / "rbridge_gap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "rbridge_gap", module)
    spec.loader.exec_module(module)
    return module


def test_what_is_stated_of_rbridge_is_what_its_authors_publish(rbridge_study: ModuleType) -> None:
    """Within 3 points at all six sizes, where the gap of likelihoods is off by 10 to 25."""
    last = rbridge_study.final(rbridge_study.read(RESULTS))
    assert len(last) == 6
    for row in last.itertuples():
        stated = rbridge_study.stated_accuracy(RBRIDGE, row.flops)
        assert stated == pytest.approx(row.decision_accuracy, abs=0.03)
        likelihood = rbridge_study.stated_accuracy(LIKELIHOOD, row.flops)
        assert likelihood < row.decision_accuracy - 0.08


def test_the_shipped_constants_are_those_of_the_published_runs(study: ModuleType) -> None:
    from published import PAPER, read  # type: ignore[import-not-found]

    made = study.table(read(RESULTS), PAPER, 1, np.random.default_rng(0))
    assert made["floor"] == pytest.approx(LIKELIHOOD.floor, rel=0.01)
    assert made["unit_flops"] == pytest.approx(LIKELIHOOD.unit_flops, rel=0.01)
    assert made["target_flops"] == LIKELIHOOD.target_flops
    assert tuple(row["flops"] for row in made["proxies"]) == LIKELIHOOD.seed_flops
    assert tuple(row["seed_sd"] for row in made["proxies"]) == LIKELIHOOD.seed_sd


def test_stated_probabilities_hold_for_families_left_out(study: ModuleType) -> None:
    from published import PAPER, read

    form = study.FORMS[study.SHIPPED]
    published = read(RESULTS)
    fits = study.fits_without_family(published, form, PAPER)
    rows = study.held_out(published, form, fits, (*PAPER, "olmes10"), 1)
    for some in (rows["benchmark"] != "olmes10", rows["benchmark"] == "olmes10"):
        found = study.reliability(rows[some], 10, np.random.default_rng(0))
        assert len(found["bins"]) == 5
        assert found["largest_gap"] <= 0.05
        assert found["log_loss"] < 0.58  # a toss has .693


def test_a_metric_without_published_runs_has_a_wide_prior_at_every_size() -> None:
    unknown = gap_for("trace_nll")
    assert unknown is UNKNOWN
    tiny, large = (unknown.gap(flops, TARGET) for flops in (0.0, 1e22))
    assert tiny.tau == large.tau
    assert (tiny.basis, tiny.extrapolated) == ("prior", None)
    assert tiny.doubt > max(RBRIDGE.doubt, LIKELIHOOD.doubt)
    assert gap_for("rbridge") is RBRIDGE


def test_scores_by_counting_have_no_noise_of_seeds() -> None:
    assert gap_for("ngram1_trace_nll").gap(0.0, TARGET).seed_sd == 0.0
    assert gap_for("trace_nll").gap(1e15, TARGET).seed_sd > 0
