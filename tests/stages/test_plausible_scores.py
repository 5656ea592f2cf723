"""Draws of Stage 2's scores vary the items and the seeds."""

import numpy as np
import pandas as pd
import pytest

from dataselect.stages.predict import plausible_scores


def test_scores_vary_by_items_and_where_seeds_are_repeated_by_seed() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal([1.0, 1.5], 0.2, (400, 2)), columns=["web", "books"])
    index = pd.MultiIndex.from_product(
        [["books", "web"], [0, 1, 2], [10, 20]], names=["candidate", "seed", "step"]
    )
    # Checkpoints of a seed are averaged; of the seeds' means, each candidate's differ by 0.1.
    seeds = np.tile(np.repeat([-0.1, 0.0, 0.1], 2), 2) + np.tile([0.5, -0.5], 6)
    runs = pd.DataFrame({"rbridge": np.repeat([1.5, 1.0], 6) + seeds}, index=index)
    found = plausible_scores(table, runs, 4000, rng)
    np.testing.assert_allclose(found.observed, table.mean())
    np.testing.assert_allclose(found.draws.mean(axis=0), table.mean(), atol=0.01)
    both = np.sqrt(0.01 / 3 * 4 / 2 + 0.2**2 / 400)  # Student's t of 4 degrees of freedom
    assert found.draws.std(axis=0) == pytest.approx(both, rel=0.15)

    one = runs[runs.index.get_level_values("seed") == 0]
    items = plausible_scores(table, one, 4000, rng)
    assert items.draws.std(axis=0) == pytest.approx(0.01, rel=0.1)
