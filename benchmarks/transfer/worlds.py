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
from left_out import SURE, WIN_DRAWS, of_constant, table_of
from numpy.typing import NDArray

from dataselect.decisions.agreement import decision_accuracy
from dataselect.decisions.ranking import win_probabilities
from dataselect.transfer.fitting import fit_function
from dataselect.transfer.function import Provenance, Setting, TransferFunction
from dataselect.transfer.prior import Prior
from dataselect.transfer.prior_file import public_prior
from dataselect.transfer.spread import LEAST_DATASETS

HERE = Path(__file__).parent
DESK = HERE.parent / "desk_scale"
SAME = HERE.parent / "same_words"
PROVENANCE = Provenance(Setting(*[None] * 8), "a synthetic world", "worlds.py")
COUNTS = (1, 2, 3, 5)
DRAWS, SEED, CONFIDENCE = 60, 0, 0.9

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
    rows = [row for world in worlds for row in of_world(world, prior)]
    rows += from_calibration(prior)
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
    """The ten candidates, one seed of each target and each proxy of the last stage."""
    truth = pd.DataFrame(_json(DESK / "results.json")["target_accuracy"])
    runs = _json(DESK / "calibration.json")["candidates"]
    names = list(truth.columns)
    return World(
        "quickstart",
        names,
        {benchmark: truth.loc[benchmark].to_numpy() for benchmark in truth.index},
        scores_of(runs, names, list(truth.index)),
    )


def scores_of(
    runs: Mapping[str, Any], names: Sequence[str], benchmarks: Sequence[str]
) -> dict[str, dict[str, Array]]:
    """Scores of datasets of `calibration.json` by score and benchmark."""
    found: dict[str, dict[str, Array]] = {"rBridge": {}, "unigrams": {}}
    for benchmark in benchmarks:
        finals = [runs[name]["proxy"]["checkpoints"][-1][benchmark] for name in names]
        found["rBridge"][benchmark] = np.array([each["rbridge"] for each in finals])
        found["unigrams"][benchmark] = np.array([runs[n]["unigrams"][benchmark] for n in names])
    if all("target" in runs[name] for name in names):
        found["the target's own rBridge"] = {
            benchmark: np.array(
                [runs[n]["target"]["checkpoints"][-1][benchmark]["rbridge"] for n in names]
            )
            for benchmark in benchmarks
        }
    return found


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
            "rBridge": column("quarter", "rbridge"),
            "unigrams": column("quarter", "ngram1_trace_nll"),
            "the target's own rBridge": column("target", "rbridge"),
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


def from_calibration(prior: Prior) -> Iterator[dict[str, Any]]:
    """The quickstart's candidates predicted from the calibration datasets alone, as is shipped."""
    world, runs = quickstart(), _json(DESK / "calibration.json")["calibration"]
    names = list(runs)
    scores = scores_of(runs, names, list(world.truth))
    for score in ("rBridge", "unigrams"):
        for benchmark, y in world.truth.items():
            fitted = [runs[n]["target"]["checkpoints"][-1][benchmark]["correct"] for n in names]
            split = (scores[score][benchmark], np.array(fitted), world.scores[score][benchmark], y)
            for row in judged(benchmark, *split, prior):
                yield {
                    "world": "calibration runs to the quickstart's candidates",
                    "score": score,
                    "datasets": len(names),
                    **row,
                }


def across(worlds: Sequence[World], prior: Prior) -> Iterator[dict[str, Any]]:
    """Each world predicted from the other, which `predict` refuses: other items, other targets."""
    for here, there in (worlds, worlds[::-1]):
        for first, x in here.scores["rBridge"].items():
            for second, away in there.scores["rBridge"].items():
                split = (x, here.truth[first], away, there.truth[second])
                for row in judged(second, *split, prior):
                    yield {
                        "world": f"{here.name} to {there.name}",
                        "score": "rBridge",
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
    wins = win_probabilities(-function.comparison_draws(drawn, np.random.default_rng(SEED)))
    first, second = np.triu_indices(len(x), 1)
    differ = truth[first] != truth[second]
    stated = wins[first, second][differ]
    right = (truth[first] > truth[second])[differ] == (stated > 0.5)
    stated = np.maximum(stated, 1 - stated)
    sure = stated > SURE
    order = decision_accuracy(pd.Series(predicted), pd.Series(truth), lower_is_better=False)
    return {
        "error": 100 * float(np.abs(predicted - truth).mean()),
        "held": float(((low <= truth) & (truth <= high)).mean()),
        "width": 100 * float((high - low).mean()),
        "order": order.decision_accuracy,
        "pairs": len(stated),
        "sure": int(sure.sum()),
        "sure_stated": float(stated[sure].sum()),
        "sure_true": int(right[sure].sum()),
    }


def figures(rows: pd.DataFrame) -> dict[str, float | None]:
    """Means over draws and benchmarks; of probabilities above .9 over all their pairs."""
    sure, pairs = float(rows["sure"].sum()), float(rows["pairs"].sum())
    known = rows["held"].notna().all()
    return {
        "error": float(rows["error"].mean()),
        "held": float(rows["held"].mean()) if known else None,
        "width": float(rows["width"].mean()) if known else None,
        "order": float(rows["order"].mean()),
        "sure_share": sure / pairs if pairs else None,
        "sure_stated": float(rows["sure_stated"].sum() / sure) if sure else None,
        "sure_true": float(rows["sure_true"].sum() / sure) if sure else None,
    }


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes())


if __name__ == "__main__":
    main()
