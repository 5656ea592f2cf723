"""The two synthetic worlds: candidates that were not calibrated on, predicted from k others.

    python benchmarks/transfer/worlds.py

Reads what the studies of the worlds measured (`../desk_scale`, `../same_words`) and trains
nothing. For k of 1, 2, 3 and 5 calibration datasets, 60 draws of them or all there are, a function
is fitted as `dataselect fit` fits it and predicts the other datasets: the mean error, the share of
accuracies in 90% intervals, the share of pairs in the right order, and how often orders stated
with a probability above .9 are right. Beside it a constant, which is also what tokens say, for all
read the same number of tokens; the same with the NLL under unigrams as the score, which needs no
proxy; and with the score of the target itself, which no proxy can better. Results go to
`worlds.json` beside this file.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from left_out import (
    WIN_DRAWS,
    contradicted,
    different_pairs,
    of_constant,
    sure_orders,
    table_of,
)
from numpy.typing import NDArray

from dataselect.decisions.agreement import decision_accuracy
from dataselect.transfer.file import read_transfer_file
from dataselect.transfer.fitting import fit_function
from dataselect.transfer.function import Provenance, Setting, TransferFunction
from dataselect.transfer.prior import Prior
from dataselect.transfer.prior_file import public_prior
from dataselect.transfer.spread import LEAST_DATASETS

HERE = Path(__file__).parent
DESK = HERE.parent / "desk_scale"
SAME = HERE.parent / "same_words"
SHIPPED = HERE.parents[1] / "stages" / "quickstart" / "transfer.json"
PROVENANCE = Provenance(Setting(*[None] * 8), "a synthetic world", "worlds.py")
COUNTS = (1, 2, 3, 5)
DRAWS, SEED, CONFIDENCE = 60, 0, 0.9
LAST = "the last stage's proxy"
"""The largest proxy: 189K x 3M on the quickstart (1/9 of the target's FLOPs, one seed), 111K x
400K in the world of same words (1/4, mean of three seeds). Scores are rBridge but for unigrams."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """Scores and accuracies of datasets, by benchmark in the order of `datasets`."""

    name: str
    datasets: Sequence[str]
    """Those that are calibrated on and predicted."""
    truth: Mapping[str, Array]
    """The targets' accuracies, 0..1."""
    scores: Mapping[str, Mapping[str, Array]]
    """By score and benchmark; lower is better."""


def main() -> None:
    began = time.process_time()
    prior = public_prior()
    worlds = [quickstart(), same_words()]
    rows = [row for world in (*worlds, calibration()) for row in of_world(world, prior)]
    rows += to_candidates(prior)
    rows += across(worlds, prior)
    table = pd.DataFrame(rows)
    keys = ["world", "score", "datasets", "method"]
    summary = [
        {**dict(zip(keys, key, strict=True)), **figures(each)}
        for key, each in table.groupby(keys, sort=False)
    ]
    found = {
        "command": "python benchmarks/transfer/worlds.py",
        "draws": DRAWS,
        "seed": SEED,
        "cpu_seconds": round(time.process_time() - began),
        "summary": summary,
    }
    (HERE / "worlds.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(pd.DataFrame(summary).round(3).to_string())
    print(f"{found['cpu_seconds']} CPU s")


def quickstart() -> World:
    """The ten candidates, with one seed of each target, and proxies of four budgets."""
    truth = pd.DataFrame(_json(DESK / "results.json")["target_accuracy"])
    names = list(truth.columns)
    counted = _json(DESK / "calibration.json")["candidates"]
    budgets = _json(DESK / "all_metrics.json")["budgets"]

    def proxies(budget: str, seeds: int) -> dict[str, Array]:
        runs = [run["rBridge"] for run in budgets[budget]["runs"][:seeds]]
        return {
            benchmark: np.mean([[run[benchmark][n] for n in names] for run in runs], axis=0)
            for benchmark in truth.index
        }

    unigrams = {b: np.array([counted[n]["unigrams"][b] for n in names]) for b in truth.index}
    return World(
        "quickstart",
        names,
        {benchmark: truth.loc[benchmark].to_numpy() for benchmark in truth.index},
        {
            LAST: proxies("3M, 3 layers", 1),
            "148K x 1M": proxies("1M", 1),
            "148K x 1M, 3 seeds": proxies("1M", 3),
            "148K x 62.5K": proxies("62.5K", 1),
            "148K x 62.5K, 3 seeds": proxies("62.5K", 3),
            "unigrams": unigrams,
        },
    )


def calibration() -> World:
    """The datasets that the quickstart's functions are fitted on."""
    runs = _json(DESK / "calibration.json")["calibration"]
    names = list(runs)
    benchmarks = list(next(iter(runs.values()))["unigrams"])

    def finals(model: str, column: str) -> dict[str, Array]:
        return {
            b: np.array([runs[n][model]["checkpoints"][-1][b][column] for n in names])
            for b in benchmarks
        }

    return World(
        "calibration runs",
        names,
        finals("target", "correct"),
        {
            LAST: finals("proxy", "rbridge"),
            "unigrams": {b: np.array([runs[n]["unigrams"][b] for n in names]) for b in benchmarks},
            "the target itself": finals("target", "rbridge"),
        },
    )


def same_words() -> World:
    """All eighteen datasets; means of three seeds of targets and of proxies of a quarter."""
    found = _json(SAME / "results.json")["together"]
    names = list(found["target_accuracy"])
    truth = np.array([np.mean(list(found["target_accuracy"][n].values())) for n in names])

    def column(size: str, score: str) -> dict[str, Array]:
        scores = found["sizes"][size]["scores"]
        return {"stories-tiny": np.array([scores[name][score] for name in names])}

    return World(
        "same words",
        names,
        {"stories-tiny": truth},
        {
            LAST: column("quarter", "rbridge"),
            "unigrams": column("quarter", "ngram1_trace_nll"),
            "the target itself": column("target", "rbridge"),
        },
    )


def of_world(world: World, prior: Prior) -> Iterator[dict[str, Any]]:
    """A row for each draw, benchmark, score and method."""
    for k in COUNTS:
        for fitted in draws(len(world.datasets), k):
            rest = np.setdiff1d(np.arange(len(world.datasets)), fitted)
            for score, by_benchmark in world.scores.items():
                for benchmark, x in by_benchmark.items():
                    y = world.truth[benchmark]
                    split = (x[fitted], y[fitted], x[rest], y[rest])
                    for row in judged(benchmark, *split, prior):
                        yield {"world": world.name, "score": score, "datasets": k, **row}


def draws(count: int, k: int) -> list[Array]:
    """All choices of k datasets, or `DRAWS` of them."""
    if comb(count, k) <= DRAWS:
        return [np.array(each) for each in combinations(range(count), k)]
    rng = np.random.default_rng(SEED)
    return [rng.permutation(count)[:k] for _ in range(DRAWS)]


def to_candidates(prior: Prior) -> Iterator[dict[str, Any]]:
    """The quickstart's candidates predicted from the calibration runs alone, as is shipped."""
    known, world = calibration(), quickstart()
    for score in (LAST, "unigrams"):
        for benchmark, y in world.truth.items():
            fitted = (known.scores[score][benchmark], known.truth[benchmark])
            for row in judged(benchmark, *fitted, world.scores[score][benchmark], y, prior):
                where = {"world": "calibration runs to quickstart", "score": score}
                yield {**where, "datasets": len(known.datasets), **row}
    for benchmark, function in read_transfer_file(SHIPPED).items():
        figures_of = measured(function, world.scores[LAST][benchmark], world.truth[benchmark])
        where = {"world": "calibration runs to quickstart", "score": LAST, "method": "as shipped"}
        yield {**where, "datasets": function.datasets, **figures_of}


def across(worlds: Sequence[World], prior: Prior) -> Iterator[dict[str, Any]]:
    """Each world predicted from the other, which `predict` refuses: other items, other targets."""
    for here, there in (worlds, worlds[::-1]):
        for first, x in here.scores[LAST].items():
            for second, away in there.scores[LAST].items():
                split = (x, here.truth[first], away, there.truth[second])
                for row in judged(second, *split, prior):
                    yield {
                        "world": f"{here.name} to {there.name}",
                        "score": LAST,
                        "datasets": len(x),
                        **row,
                    }


def judged(
    benchmark: str, x: Array, y: Array, away: Array, truth: Array, prior: Prior
) -> Iterator[dict[str, Any]]:
    """Every method on datasets with scores `away` and accuracies `truth`, fitted on (x, y)."""
    pairs = table_of(benchmark, x[:, None], y)
    yield {"method": "constant", "order": 0.5, **of_constant(y, truth)}
    priors: dict[str, Prior | None] = {"with prior": prior}
    if len(x) >= LEAST_DATASETS:
        priors["without prior"] = None
    for method, each in priors.items():
        function = fit_function(pairs, PROVENANCE, falling=True, prior=each)
        yield {"method": method, **measured(function, away, truth)}


def measured(function: TransferFunction, x: Array, truth: Array) -> dict[str, float]:
    """Error and width in points, cover, order, and what is stated with a probability above .9."""
    predicted = function.predict(x)
    low, high = function.intervals(x, CONFIDENCE)
    drawn = np.tile(x, (WIN_DRAWS, 1))
    _, _, stated, right = sure_orders(function, drawn, truth, np.random.default_rng(SEED))
    order, pairs = np.nan, different_pairs(truth)
    if pairs:
        ranked = pd.Series(predicted), pd.Series(truth)
        order = decision_accuracy(*ranked, lower_is_better=False).decision_accuracy
    return {
        "error": 100 * float(np.abs(predicted - truth).mean()),
        "held": float(((low <= truth) & (truth <= high)).mean()),
        "width": 100 * float((high - low).mean()),
        "order": order,
        "contradicted": contradicted(function),
        "pairs": pairs,
        "sure": len(stated),
        "sure_stated": float(stated.sum()),
        "sure_true": int(right.sum()),
    }


def figures(rows: pd.DataFrame) -> dict[str, float | None]:
    """Means over draws and benchmarks; of probabilities above .9 over all their pairs."""
    sure, pairs = float(rows["sure"].sum()), float(rows["pairs"].sum())
    known = rows["held"].notna().all()
    order = rows["order"].mean()
    against = rows["contradicted"].mean() if "contradicted" in rows else np.nan
    return {
        "contradicted": None if np.isnan(against) else float(against),
        "error": float(rows["error"].mean()),
        "held": float(rows["held"].mean()) if known else None,
        "width": float(rows["width"].mean()) if known else None,
        "order": None if np.isnan(order) else float(order),
        "sure_share": sure / pairs if pairs else None,
        "sure_stated": float(rows["sure_stated"].sum() / sure) if sure else None,
        "sure_true": float(rows["sure_true"].sum() / sure) if sure else None,
    }


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes())


if __name__ == "__main__":
    main()
