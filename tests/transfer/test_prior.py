import json
from pathlib import Path

import numpy as np
import pytest

from dataselect.errors import InputError
from dataselect.transfer.forecast import prior_doubts
from dataselect.transfer.function import Provenance, Setting
from dataselect.transfer.pairs import Pairs
from dataselect.transfer.prior import (
    Prior,
    PriorSource,
    combine,
    fit_with_prior,
    line,
    make_prior,
    source,
)
from dataselect.transfer.prior_file import prior_json, public_prior, read_prior

PROVENANCE = Provenance(Setting(*[None] * 8), "runs", "dataselect fit")
PRIOR = Prior("of other runs", -0.5, 0.2, 0.02, 4.0)


def fitted(x: list[float] | np.ndarray, y: list[float] | np.ndarray, prior: Prior = PRIOR):  # type: ignore[no-untyped-def]
    return fit_with_prior(
        x,
        y,
        benchmark="q",
        provenance=PROVENANCE,
        chance=None,
        falling=True,
        datasets=np.arange(len(x)),
        prior=prior,
    )


def test_one_point_is_enough_and_the_slope_is_then_the_priors() -> None:
    found = fitted([1.0], [0.4])
    assert float(found.predict(1.0)) == pytest.approx(0.4)
    assert float(found.predict(np.exp(-0.2))) == pytest.approx(0.5)
    low, high = found.intervals(np.array([1.0, np.exp(-0.4)]), 0.9)
    assert (high - low)[0] == pytest.approx(2 * 2.1318 * 0.02 * np.sqrt(2), rel=1e-3)
    assert (high - low)[1] > 1.5 * (high - low)[0]
    assert found.mae is None
    assert found.has_intervals
    assert not found.rising


@pytest.mark.parametrize("unit", [1.0, 1 / np.log(2), 0.25])
def test_the_unit_of_the_score_does_not_matter(unit: float) -> None:
    x, y = np.array([1.0, 0.9, 1.2, 0.8]), np.array([0.4, 0.47, 0.33, 0.5])
    at = np.array([0.7, 1.1])
    np.testing.assert_allclose(
        fitted(unit * x, y).predict(unit * at), fitted(x, y).predict(at), atol=1e-9
    )


def test_the_data_take_over_as_they_grow() -> None:
    rng = np.random.default_rng(0)
    slopes = []
    for count in (1, 3, 12, 200):
        x = np.exp(rng.normal(0, 0.1, count))
        curve, new = line(x, 0.5 - 1.0 * np.log(x), np.arange(count), PRIOR)
        slopes.append(curve.coefficients[1])
        assert new.freedom == 4 + count - 1
    assert slopes[0] == -0.5
    assert np.all(np.diff(slopes) < 0)
    assert slopes[-1] == pytest.approx(-1.0, abs=0.02)


def test_a_dataset_counts_once_however_many_checkpoints_it_has() -> None:
    x, y = np.array([1.0, 0.8]), np.array([0.4, 0.55])
    often = np.array([1.0] * 9 + [0.8]), np.array([0.4] * 9 + [0.55])
    once, _ = line(x, y, np.array([0, 1]), PRIOR)
    again, _ = line(*often, np.array([0] * 9 + [1]), PRIOR)
    assert once.coefficients == pytest.approx(again.coefficients)
    assert once.origin == pytest.approx(again.origin)


def test_intervals_of_few_datasets_hold_new_ones_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    held = []
    for _ in range(300):
        slope, scatter = rng.normal(-0.5, 0.2), 0.02 * np.sqrt(4 / rng.chisquare(4))
        x = np.exp(rng.normal(0, 0.1, 7))
        y = 0.5 + slope * np.log(x) + scatter * rng.standard_normal(7)
        low, high = fitted(x[:2], np.clip(y[:2], 0, 1)).intervals(x[2:], 0.9)
        held.append(((low <= y[2:]) & (y[2:] <= high)).mean())
    assert 0.87 < np.mean(held) < 0.93


def test_from_three_datasets_on_the_curve_of_the_data_has_its_part() -> None:
    x, y = np.array([1.2, 1.0, 0.9, 0.8]), np.array([0.3, 0.4, 0.47, 0.5])
    assert fitted(x[:2], y[:2]).family == "logarithmic"
    found = fitted(x, y)
    assert found.family == "sigmoid"
    assert found.curve.other is not None
    assert found.curve.share == pytest.approx(5 / 9)
    assert len(found.loo_curves) == 4


def test_scores_without_a_logarithm_and_the_wrong_direction_are_refused() -> None:
    with pytest.raises(InputError, match="not above 0, so it has no logarithm"):
        fitted([0.0, 1.0], [0.1, 0.2])
    with pytest.raises(InputError, match="for scores where higher is better"):
        fitted([1.0], [0.4], Prior("of accuracies", 0.5, 0.2, 0.02, 4.0))


def table(slope: float, scatter: float, datasets: int, seed: int) -> Pairs:
    rng = np.random.default_rng(seed)
    x = np.exp(rng.normal(0, 0.2, datasets))
    y = 0.5 + slope * np.log(x) + rng.normal(0, scatter, datasets)
    names = tuple(f"d{i}" for i in range(datasets))
    return Pairs(f"q{seed}", x, y, np.full(datasets, np.nan), names, None)


def test_a_prior_is_made_from_tables_of_ones_own(tmp_path: Path) -> None:
    tables = {str(i): table(slope, 0.02, 60, i) for i, slope in enumerate((-0.4, -0.5, -0.6))}
    made = make_prior(tables, "pairs.csv", "dataselect fit")
    assert made.slope == pytest.approx(-0.5, abs=0.04)
    assert made.slope_sd == pytest.approx(0.1, abs=0.04)
    assert made.scatter == pytest.approx(0.02, abs=0.006)
    path = tmp_path / "prior.json"
    path.write_text(prior_json(made))
    assert read_prior(path) == made
    path.write_text(path.read_text().replace('"scatter_freedom"', '"scatter_freedoms"'))
    with pytest.raises(InputError, match=r"prior\.scatter_freedom"):
        read_prior(path)
    with pytest.raises(InputError, match="no such file"):
        read_prior(tmp_path / "none.json")


def test_too_little_makes_no_prior() -> None:
    assert source(table(-0.5, 0.02, 4, 0), "pairs.csv") is None
    with pytest.raises(InputError, match="a prior needs 3"):
        make_prior({"a": table(-0.5, 0.02, 9, 0)}, "pairs.csv", "dataselect fit")
    along_runs = [PriorSource("t", f"q{i}", 6, -0.5, None) for i in range(5)]
    with pytest.raises(InputError, match="0 benchmarks have 5 datasets"):
        combine("runs", along_runs, "made")


def test_the_shipped_prior_says_where_it_is_from_and_holds_no_rows() -> None:
    found = public_prior()
    assert read_prior("public") is found
    assert -0.6 < found.slope < -0.2
    assert {s.table for s in found.sources} == {"dclm_1b.csv", "datadecide_olmes_nll.csv"}
    assert "public_prior.py" in found.command
    assert set(json.loads(prior_json(found))["prior"]["sources"][0]) == {
        *("table", "benchmark", "datasets", "slope", "scatter"),
    }


@pytest.mark.parametrize(
    ("y", "contradicted"),
    [
        ([0.4, 0.45, 0.5], False),  # as the slope says
        ([0.4, 0.42, 0.44], False),  # a dataset within the scatter
        ([0.1, 0.75, 0.2], True),
        ([0.8, 0.1, 0.75], True),
    ],
)
def test_data_far_from_the_priors_line_contradict_it(y: list[float], contradicted: bool) -> None:
    found = fitted([1.0, 0.9, 0.81], y)
    assert found.new_data is not None
    assert found.new_data.conflict is not None
    assert (found.new_data.conflict < 0.01) == contradicted
    notes = prior_doubts({"q": found})
    assert len(notes) == contradicted
    if contradicted:
        assert "intervals are too narrow" in notes[0]
        assert "without --prior" in notes[0]


def test_one_dataset_cannot_contradict_a_prior() -> None:
    found = fitted([1.0], [0.9])
    assert found.new_data is not None
    assert found.new_data.conflict is None
    assert prior_doubts({"q": found}) == []


def test_a_prior_is_contradicted_as_rarely_as_it_says_where_it_is_right() -> None:
    rng = np.random.default_rng(0)
    against = 0
    for _ in range(1000):
        x = np.exp(rng.normal(0, 0.1, 3))
        scatter = PRIOR.scatter * np.sqrt(PRIOR.scatter_freedom / rng.chisquare(4.0))
        slope = rng.normal(PRIOR.slope, PRIOR.slope_sd * scatter / PRIOR.scatter)
        y = 0.5 + slope * np.log(x) + scatter * rng.normal(size=3)
        new = line(x, y, np.arange(3), PRIOR)[1]
        assert new.conflict is not None
        against += new.conflict < 0.05
    assert 30 < against < 72
