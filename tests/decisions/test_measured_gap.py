"""The gap that a plan's own candidates with known targets give."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataselect.decisions.discrepancy import LIKELIHOOD, UNKNOWN, Gap, ahead_probability, gap_for
from dataselect.decisions.measured_gap import LEAST_DOUBT, fit_scale, measured_gap
from dataselect.formats.agreement_file import AgreementFile, MeasuredAgreement

KNOWN = Gap(0.6, 0.28, None, "published", 0.7)
TARGET = 1_200_000_000


def measured(candidates: int, accuracy: float, **changes: Any) -> MeasuredAgreement:
    scores = np.random.default_rng(candidates).normal(size=candidates)
    pairs = candidates * (candidates - 1) // 2
    values: dict[str, Any] = {
        "metric": "rbridge",
        "size": "16M",
        "target": "arc",
        "candidates": candidates,
        "decision_accuracy": accuracy,
        "decision_accuracy_interval": (max(accuracy - 0.1, 0.0), min(accuracy + 0.1, 1.0)),
        "pairs": pairs,
        "effective_pairs": candidates / 2 if accuracy in (0, 1) else 1.5 * candidates,
        "scores": {f"c{place}": float(score) for place, score in enumerate(scores)},
        "spread": float(scores.std()),
        "seeds": 1,
        "seed_sd": None,
    }
    return MeasuredAgreement(**values | changes)


def file(*comparisons: MeasuredAgreement, target_size: str | None = "1.2B") -> AgreementFile:
    named = {f"{each.metric}@{each.size} -> {each.target}": each for each in comparisons}
    return AgreementFile(Path("own.json"), "0" * 64, named, target_size)


def stated(of: MeasuredAgreement, gap: Gap) -> float:
    scores = np.array([*of.scores.values()]) / of.spread
    apart = np.abs(np.subtract.outer(scores, scores))[np.triu_indices(len(scores), 1)]
    noise = gap.seed_sd * np.sqrt(2 / of.seeds)
    return float(ahead_probability(apart, noise, gap.tau).mean())


@pytest.mark.parametrize("accuracy", [0.6, 0.7, 0.8, 0.88])
def test_with_many_candidates_the_measured_accuracy_is_what_is_stated(accuracy: float) -> None:
    own = measured(60, accuracy, effective_pairs=400.0)
    gap = measured_gap(file(own), KNOWN, 16e6, TARGET)
    assert stated(own, gap) == pytest.approx(accuracy, abs=0.02)
    assert gap.doubt < 0.4


def test_with_few_candidates_what_is_known_otherwise_prevails_and_doubt_stays() -> None:
    few = measured_gap(file(measured(3, 1.0)), KNOWN, 16e6, TARGET)
    assert few.tau == pytest.approx(KNOWN.tau, rel=0.5)
    assert few.tau < KNOWN.tau
    assert few.doubt > 0.8 * LEAST_DOUBT
    doubts = [
        measured_gap(file(measured(count, 0.75)), KNOWN, 16e6, TARGET).doubt
        for count in (4, 12, 40)
    ]
    assert doubts == sorted(doubts, reverse=True)


def test_an_order_below_chance_leaves_next_to_nothing_to_believe() -> None:
    gap = measured_gap(file(measured(40, 0.4)), KNOWN, 16e6, TARGET)
    assert gap.tau > 3 * KNOWN.tau
    assert ahead_probability(np.array(1.0), gap.seed_sd, gap.tau) < 0.65


def test_published_figures_are_of_another_setting_so_they_do_not_hold_fast() -> None:
    sure = LIKELIHOOD.gap(1e18, LIKELIHOOD.target_flops)
    assert sure.doubt == 0
    tau, doubt = fit_scale([measured(40, 0.95)], sure, 0.3)
    assert tau < 0.6 * sure.tau
    assert 0 < doubt < LEAST_DOUBT


def test_more_targets_of_the_same_candidates_add_no_certainty() -> None:
    one = measured(20, 0.75)
    alone = measured_gap(file(one), KNOWN, 16e6, TARGET)
    both = measured_gap(file(one, measured(20, 0.75, target="csqa")), KNOWN, 16e6, TARGET)
    assert both.doubt == pytest.approx(alone.doubt, rel=0.01)
    assert "mean of 2 targets" in both.source


def test_seeds_that_were_measured_replace_the_usual_noise() -> None:
    own = measured(20, 0.75, seeds=3, seed_sd=0.2)
    gap = measured_gap(file(own), KNOWN, 16e6, TARGET)
    assert gap.seed_sd == pytest.approx(0.2 / own.spread)
    # What is noise of seeds is no gap.
    assert gap.tau < measured_gap(file(measured(20, 0.75)), replaced(0.0), 16e6, TARGET).tau


def replaced(seed_sd: float) -> Gap:
    return Gap(KNOWN.tau, seed_sd, None, "published", KNOWN.doubt)


def test_the_nearest_size_counts_and_another_one_is_an_extrapolation() -> None:
    small, large = measured(10, 0.6), measured(10, 0.9, size="150M")
    near = measured_gap(file(small, large), KNOWN, 20e6, TARGET)
    assert near.extrapolated is None
    assert "0.60 [0.50, 0.70] of proxies of 16M over 10 candidates" in near.source
    assert (near.basis, near.candidates) == ("measured", 10)
    far = measured_gap(file(small, large), KNOWN, 1e9, TARGET)
    assert "0.90" in far.source
    assert far.extrapolated == "its proxies have 150M parameters, and these 1B"
    other = measured_gap(file(small, target_size="32B"), KNOWN, 20e6, TARGET)
    assert other.extrapolated == "its targets have 32B parameters, and this one 1.2B"


@pytest.mark.parametrize(
    ("size", "proxy", "said"),
    [
        (None, 16e6, "does not say of which size"),
        ("16M", None, "the size of these is not known"),
    ],
)
def test_a_size_that_is_not_known_is_said(size: str | None, proxy: float | None, said: str) -> None:
    gap = measured_gap(file(measured(10, 0.8, size=size)), KNOWN, proxy, TARGET)
    assert gap.extrapolated is not None
    assert said in gap.extrapolated


def test_a_metric_without_published_runs_is_weighed_against_the_wide_prior() -> None:
    known = gap_for("trace_nll").gap(1e15, 1e20)
    gap = measured_gap(file(measured(25, 0.8)), known, 16e6, TARGET)
    assert gap.tau < UNKNOWN.floor
    assert gap.doubt < UNKNOWN.doubt
