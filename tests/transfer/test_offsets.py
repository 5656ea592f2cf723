"""A height of its own for each dataset: found where there is one, none where none can be told."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

import dataselect as ds
from dataselect.errors import InputError
from dataselect.transfer.curves import Curve
from dataselect.transfer.fitting import fit_function
from dataselect.transfer.function import Provenance, Setting
from dataselect.transfer.offsets import fit_with_heights, heights
from dataselect.transfer.pairs import Pairs

PROVENANCE = Provenance(Setting(*[None] * 8), "runs", "dataselect fit")


def straight(x: np.ndarray, y: np.ndarray) -> Curve:
    slope, level = np.polyfit(np.log(x), y, 1)
    return Curve("logarithmic", 1.0, (float(level), float(slope)))


def test_heights_are_shrunk_by_the_noise_of_their_points() -> None:
    rng = np.random.default_rng(0)
    datasets = np.repeat(np.arange(200), 4)
    true = rng.normal(0, 0.03, 200)
    found = heights(true[datasets] + rng.normal(0, 0.06, 800), datasets)
    assert found.spread == pytest.approx(0.03, rel=0.2)
    # Of the variance of a mean of four, half is height: .03² against .06² / 4.
    kept = np.polyfit(true, found.shrunk, 1)[0]
    assert kept == pytest.approx(0.5, abs=0.1)
    means = np.bincount(datasets, weights=true[datasets]) / 4
    assert np.abs(found.shrunk - true).mean() < np.abs(means - 0 * true).mean()


@pytest.mark.parametrize(
    ("residuals", "datasets"),
    [
        ([0.1, -0.1, 0.2], [0, 1, 2]),  # a point each: height and noise cannot be told apart
        ([0.1, -0.1, 0.2], [0, 0, 0]),
        ([0.1, -0.1, 0.1, -0.1], [0, 0, 1, 1]),  # equal means
    ],
)
def test_without_evidence_of_heights_there_are_none(
    residuals: list[float], datasets: list[int]
) -> None:
    found = heights(np.array(residuals), np.array(datasets))
    assert found.spread == 0
    assert not found.shrunk.any()


def test_the_slope_along_runs_is_found_where_heights_go_the_other_way() -> None:
    # Along each run accuracy falls by .1 per unit of log score; the datasets rise.
    steps = np.linspace(0.0, 1.0, 8)
    log, y, datasets = [], [], []
    for k in range(4):
        log += list(0.5 * k + steps)
        y += list(0.5 + 0.08 * k - 0.1 * (0.5 * k + steps))
        datasets += [k] * 8
    x = np.exp(np.array(log))
    plain = straight(x, np.array(y)).coefficients[1]
    curve, found = fit_with_heights(straight, x, np.array(y), np.array(datasets))
    assert plain > 0
    assert curve.coefficients[1] == pytest.approx(-0.1, abs=0.03)
    assert list(np.sign(found.shrunk)) == [-1, -1, 1, 1]


def table(heights_of: np.ndarray, each: int) -> Pairs:
    rng = np.random.default_rng(1)
    count = len(heights_of)
    x = rng.uniform(1, 2, (count, each))
    y = 0.7 - 0.2 * (x - 1) + heights_of[:, None] + rng.normal(0, 0.005, x.shape)
    tokens = np.tile(np.arange(1.0, each + 1), count)
    groups = tuple(f"d{k}" for k in range(count) for _ in range(each))
    return Pairs("made", x.ravel(), y.ravel(), tokens, groups, None)


def test_a_new_dataset_has_no_height_and_the_spread_in_its_interval() -> None:
    offsets = np.array([-0.1, -0.03, 0.0, 0.04, 0.09])
    found = fit_function(table(offsets, 6), PROVENANCE, falling=True, offsets=True)
    assert found.new_data is not None
    assert found.new_data.scatter == pytest.approx(offsets.std(ddof=1), rel=0.5)
    assert "height of its own" in found.provenance.method
    without = fit_function(table(offsets, 6), PROVENANCE, falling=True)
    true = 0.7 - 0.2 * np.linspace(0.05, 0.95, 10)
    at = np.linspace(1.05, 1.95, 10)
    off, plain = (np.abs(f.predict(at) - true).mean() for f in (found, without))
    assert off < 0.02
    assert off <= plain + 0.002


def test_one_point_of_each_dataset_is_fitted_as_ever() -> None:
    pairs = table(np.zeros(8), 1)
    own = fit_function(pairs, PROVENANCE, falling=True, offsets=True)
    assert own.curve == fit_function(pairs, PROVENANCE, falling=True).curve


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prior": "public"}, "--offsets: a prior has each dataset's deviation already; keep one"),
        ({"protocol": "paper"}, "--offsets: the paper's protocol has no offsets; leave them out"),
        ({"offsets": "yes"}, "--offsets"),
    ],
)
def test_what_has_no_heights_says_so(options: dict[str, Any], message: str) -> None:
    rows = [
        {"benchmark": "made", "group": f"d{k}", "tokens": step, "metric": 2 - 0.1 * step + 0.01 * k}
        for k in range(3)
        for step in (1, 2, 3)
    ]
    frame = pd.DataFrame(rows)
    frame["accuracy"] = 0.9 - 0.2 * frame["metric"]
    with pytest.raises(InputError) as error:
        ds.fit_transfer(frame, **{"offsets": True, **options})
    assert message in str(error.value)
    frame["accuracy"] += 0.05 * frame["group"].str[1:].astype(int)
    found = ds.fit_transfer(frame, offsets=True).document
    assert found["offsets"] is True
    assert found["benchmarks"]["made"]["offset_sd"] == pytest.approx(4, abs=2)
