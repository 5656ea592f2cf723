"""What pruning rules cost and save: regret and hit rate against the number of survivors."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from published import FLOPS, SIZES, Published

from dataselect.decisions.bootstrap import Bootstrap
from dataselect.decisions.discrepancy import LIKELIHOOD
from dataselect.decisions.pruning import PruningRule, survivors
from dataselect.decisions.ranking import Ranking, bootstrap_rank
from dataselect.decisions.uncertainty import with_uncertainty

POOL = 12
"""Candidates of a made-up run, out of the 25 recipes."""

COUNTS = (1, 2, 3, 4, 5, 6, 8, 10)
KEPT = (1, 3)
PROBABILITIES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
BENCHMARKS = ("olmes10", "both")
BANDS = {"4M to 10M": SIZES[:4], "14M to 20M": SIZES[4:7], "60M to 750M": SIZES[7:]}


def pruning(published: Published, pools: int, seed: int) -> dict[str, Any]:
    """Each rule on random pools of recipes, one seed of a proxy, by bands of sizes.

    The discrepancy is the shipped one, which was fitted on these recipes, but not on the mean of
    OLMES's ten tasks. Regret is in points of accuracy. Intervals are 90%, over recipes: each
    recipe in turn is left out of all pools that hold it (jackknife).
    """
    rng = np.random.default_rng(seed)
    rows = []
    members = []
    for pool in range(pools):
        taken = np.sort(rng.choice(len(published.recipes), POOL, replace=False))
        members.append(taken)
        for size in SIZES:
            scores = published.runs[SIZES.index(size)][taken, int(rng.integers(3))]
            for row in _outcomes(published, size, scores, taken, int(rng.integers(2**31))):
                rows.append({"pool": pool, "size": size, **row})
    table = pd.DataFrame(rows)
    inside = np.zeros((pools, len(published.recipes)), dtype=bool)
    for pool, taken in enumerate(members):
        inside[pool, taken] = True
    rules = table["rule"].ne("")
    return {
        "pools": pools,
        "rules": _summary(table[rules], inside),
        "places": _places(table[~rules]),
    }


def _outcomes(
    published: Published, size: str, scores: np.ndarray, taken: np.ndarray, seed: int
) -> Iterator[dict[str, Any]]:
    names = [published.recipes[place] for place in taken]
    items = {"olmes10": pd.DataFrame([scores], columns=names)}
    targets = {name: published.targets[name].loc[names] for name in BENCHMARKS}
    for keep in COUNTS:
        ranking = bootstrap_rank(items, k=keep, bootstrap=Bootstrap(draws=500, seed=seed))
        yield from _row(f"keep {keep}", list(survivors(ranking, PruningRule(keep))), targets)
    for keep in KEPT:
        ranking = _with_doubt(
            bootstrap_rank(items, k=keep, bootstrap=Bootstrap(draws=500, seed=seed)),
            scores,
            size,
            names,
        )
        for least in PROBABILITIES:
            going = list(survivors(ranking, PruningRule(keep, least)))
            yield from _row(f"keep {keep}, or P ≥ {least:g}", going, targets)
        if keep == 3:
            for benchmark, target in targets.items():
                best = set(target.nlargest(keep).index)
                for name, probability in ranking.table["p_top_k"].items():
                    yield {
                        "rule": "",
                        "benchmark": benchmark,
                        "stated": probability,
                        "true": float(name in best),
                    }


def _with_doubt(ranking: Ranking, scores: np.ndarray, size: str, names: list[str]) -> Ranking:
    index = pd.MultiIndex.from_product([names, [0], [0]], names=["candidate", "seed", "step"])
    gap = LIKELIHOOD.gap(FLOPS[size], FLOPS["1B"])
    return with_uncertainty(ranking, {"olmes10": pd.Series(scores, index=index)}, gap, 0)[0]


def _row(rule: str, going: list[str], targets: dict[str, pd.Series]) -> Iterator[dict[str, Any]]:
    for benchmark, target in targets.items():
        best = float(target.max())
        chosen = float(target.loc[going].max())
        yield {
            "rule": rule,
            "benchmark": benchmark,
            "kept": len(going),
            "regret": 100 * (best - chosen),
            "hit": float(chosen == best),
        }


def _summary(table: pd.DataFrame, inside: np.ndarray) -> list[dict[str, Any]]:
    found = []
    for (rule, benchmark), group in table.groupby(["rule", "benchmark"], sort=False):
        for band, sizes in BANDS.items():
            some = group[group["size"].isin(sizes)]
            by_pool = some.groupby("pool")[["kept", "regret", "hit"]].mean()
            mean = by_pool.mean()
            left = np.stack(
                [by_pool[~inside[:, recipe]].mean() for recipe in range(inside.shape[1])]
            )
            count = len(left)
            sd = np.sqrt((count - 1) / count * ((left - left.mean(axis=0)) ** 2).sum(axis=0))
            found.append(
                {
                    "rule": rule,
                    "benchmark": benchmark,
                    "sizes": band,
                    **{
                        name: {
                            "mean": round(float(mean[name]), 3),
                            "half": round(1.711 * float(sd[place]), 3),
                        }
                        for place, name in enumerate(("kept", "regret", "hit"))
                    },
                }
            )
    return found


def _places(table: pd.DataFrame) -> list[dict[str, Any]]:
    """How true the stated probabilities to be among the best 3 are."""
    found = []
    edges = (0, 0.1, 0.2, 0.3, 0.4, 0.6, 1.0)
    for benchmark, group in table.groupby("benchmark"):
        bins = pd.cut(group["stated"], edges, include_lowest=True)
        for interval, some in group.groupby(bins, observed=True):
            found.append(
                {
                    "benchmark": benchmark,
                    "stated_from": float(max(interval.left, 0)),
                    "candidates": len(some),
                    "stated": round(float(some["stated"].mean()), 3),
                    "true": round(float(some["true"].mean()), 3),
                }
            )
    return found
