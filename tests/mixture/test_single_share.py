"""Whether a model ranks mixtures better than the share of one source does."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from dataselect.mixture.model import MixtureModel
from dataselect.mixture.objective import Objective
from dataselect.mixture.response_map import response_map
from dataselect.mixture.single_share import compare_rankings
from dataselect.mixture.stack import fit_stack
from dataselect.mixture.surrogates import surrogates
from dataselect.mixture.swarm import Swarm

SOURCES = ("a", "b", "c")


def modelled(values: np.ndarray, shares: np.ndarray, lower: bool = True) -> MixtureModel:
    """A model by ridge regression alone, which is fast."""
    runs = tuple(map(str, range(len(shares))))
    swarm = Swarm(runs, SOURCES, ("m",), shares, values[:, None])
    costs = values[:, None] if lower else -values[:, None]
    stack = fit_stack(shares, costs, {"ridge": surrogates(0)["ridge"]}, 0)
    return MixtureModel(swarm, lower, Objective(np.ones(1), False), stack, 0)


@pytest.fixture(scope="module")
def shares() -> np.ndarray:
    found: np.ndarray = np.random.default_rng(0).dirichlet(np.ones(3), 60)
    return found


@pytest.mark.parametrize("lower", [True, False])
def test_where_one_source_decides_its_share_ranks_as_well(shares: np.ndarray, lower: bool) -> None:
    noise = 0.01 * np.random.default_rng(1).standard_normal(60)
    found = compare_rankings(modelled(shares[:, 1] + noise, shares, lower))
    assert found.source == 1
    assert found.more_is_better is not lower
    assert found.single_share.value > 0.97
    assert found.single_share.low <= found.single_share.value <= found.single_share.high
    assert abs(found.ahead.value) < 0.03


def test_where_balance_decides_the_model_is_ahead(shares: np.ndarray) -> None:
    values = np.log(np.maximum(shares, 1e-3)).sum(axis=1)
    found = compare_rankings(modelled(values, shares, lower=False))
    assert found.ahead.low > 0.2
    assert found.model.value - found.single_share.value == pytest.approx(found.ahead.value)


def test_the_rival_has_not_seen_what_it_ranks(shares: np.ndarray) -> None:
    """On pure noise, the best share of many looks good on the runs that it was chosen on."""
    noise = np.random.default_rng(2).standard_normal(60)
    model = modelled(noise, shares)
    seen = max(abs(spearmanr(share, noise).statistic) for share in shares.T)
    found = compare_rankings(model)
    assert found.single_share.value < seen
    assert found.single_share.value < 0.2


def test_a_map_has_every_mixture_of_three_sources_as_the_model_predicts_it(
    shares: np.ndarray,
) -> None:
    model = modelled(shares[:, 0], shares)
    grid = response_map(model, 0.9)
    assert grid is not None
    assert grid.shares.sum(axis=1) == pytest.approx(1)
    assert len(np.unique(grid.shares, axis=0)) == len(grid.shares) == 41 * 42 // 2
    assert grid.objective == pytest.approx(model.predict(grid.shares).objective)
    assert (grid.half > 0).all()
    more = replace(model, swarm=replace(model.swarm, sources=("a", "b", "c", "d")))
    assert response_map(more, 0.9) is None
