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

from dataselect.decisions.discrepancy import PUBLIC, Gap, ahead_probability

ROOT = Path(__file__).parents[2]
RESULTS = ROOT.parent / "shared" / "data" / "results"
TARGET = PUBLIC.target_flops


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


@given(st.floats(15, 22), st.floats(0, 3))
def test_a_larger_proxy_is_never_less_sure(exponent: float, more: float) -> None:
    small = PUBLIC.gap(10**exponent, TARGET)
    large = PUBLIC.gap(10 ** (exponent + more), TARGET)
    assert large.tau <= small.tau
    assert large.tau >= PUBLIC.floor


def test_a_smaller_target_is_nearer_and_a_larger_one_no_farther() -> None:
    of_target = [PUBLIC.gap(1e16, flops).tau for flops in (TARGET / 100, TARGET, TARGET * 100)]
    assert of_target[0] < of_target[1] == of_target[2]


def test_tiny_proxies_say_next_to_nothing() -> None:
    gap = PUBLIC.gap(6e15, TARGET)
    assert ahead_probability(np.array(2.0), gap.seed_sd, gap.tau) < 0.55


def test_what_lies_far_outside_the_fit_is_called_so() -> None:
    assert PUBLIC.gap(1e18, 2 * TARGET).extrapolated is None
    small = PUBLIC.gap(6e11, 3e13).extrapolated
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


def test_the_shipped_constants_are_those_of_the_published_runs(study: ModuleType) -> None:
    from published import PAPER, read  # type: ignore[import-not-found]

    made = study.table(read(RESULTS), PAPER, 1, np.random.default_rng(0))
    assert made["floor"] == pytest.approx(PUBLIC.floor, rel=0.01)
    assert made["unit_flops"] == pytest.approx(PUBLIC.unit_flops, rel=0.01)
    assert made["target_flops"] == PUBLIC.target_flops
    assert tuple(row["flops"] for row in made["proxies"]) == PUBLIC.proxy_flops
    assert tuple(row["seed_sd"] for row in made["proxies"]) == PUBLIC.seed_sd


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
