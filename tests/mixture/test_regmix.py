"""A published swarm: models of 64 runs of 1M parameters rank unseen mixtures at 60M."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from dataselect.mixture.law_fit import fit_law
from dataselect.mixture.laws import EffectiveData
from dataselect.mixture.model import fit_model
from dataselect.mixture.objective import Objective
from dataselect.mixture.swarm import Swarm

RESULTS = Path(__file__).parents[2].parent / "shared" / "data" / "results"
pytestmark = pytest.mark.skipif(not RESULTS.exists(), reason="published results are not here")


def table(kind: str, which: str) -> pd.DataFrame:
    split, size = which.split("_")
    return pd.read_csv(RESULTS / f"regmix_{split}_{kind}_{size}.csv").set_index("index")


def mixtures(which: str) -> np.ndarray:
    shares = table("mixture", which).to_numpy()
    found: np.ndarray = shares / shares.sum(axis=1, keepdims=True)
    return found


def test_64_runs_rank_as_well_as_the_published_method_does_with_512() -> None:
    shares, values = mixtures("train_1m"), table("loss", "train_1m").to_numpy()
    some = np.random.default_rng(1).permutation(512)[:64]
    rest = np.setdiff1d(np.arange(512), some)
    names = tuple(table("loss", "train_1m").columns)
    swarm = Swarm(
        tuple(map(str, some)), tuple(f"s{i}" for i in range(17)), names, shares[some], values[some]
    )
    model = fit_model(swarm, Objective(np.full(13, 1 / 13), False), True, 0)
    true = table("loss", "test_60m").to_numpy()
    found = model.predict(mixtures("test_60m"))
    assert spearmanr(found.objective, true.mean(axis=1)).statistic > 0.95
    regret = true.mean(axis=1)[found.objective.argmin()] - true.mean(axis=1).min()
    assert regret <= 0.008
    cc = next(k for k, name in enumerate(names) if "pile_cc" in name)
    assert spearmanr(found.metrics[:, cc], true[:, cc]).statistic > 0.98
    at = model.predict(shares[rest], 0.9)
    inside = np.abs(at.metrics - values[rest]) <= at.metrics_half
    assert 0.85 < inside.mean() < 0.95


def test_the_law_alone_fits_all_runs() -> None:
    fitted = fit_law(
        EffectiveData(), mixtures("train_1m"), table("loss", "train_1m").to_numpy()
    ).predict(mixtures("test_60m"))
    true = table("loss", "test_60m").to_numpy()
    assert spearmanr(fitted.mean(axis=1), true.mean(axis=1)).statistic > 0.961
