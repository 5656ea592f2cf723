"""Transfer functions on public pairs: every way of fitting, on the same splits.

    python benchmarks/transfer/study.py --data FOLDER [--seed 0]

FOLDER holds `olmo_ladder_pairs.csv`: proxies and targets of the OLMo ladder at equal tokens. A
series is one pair of models on one task; the score is the proxy's bits per byte. Results go to
`results.json` beside this file, and the tables of README.md are printed.

Judged on: five-fold cross-validation, and fitting the first 80% or 60% of checkpoints to predict
the rest. Errors are in points of accuracy; means and medians are over series.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy
from scipy.optimize import least_squares

from dataselect.compute.machine import processor_name
from dataselect.transfer.chance import known_chance
from dataselect.transfer.curves import FAMILIES, Curve, NoFitError, best_curve, fit_curve
from dataselect.transfer.fitting import robust_methods
from dataselect.transfer.function import Provenance, Setting, fit
from dataselect.transfer.held_out import Errors, Method, Predictor, errors, last_split
from dataselect.transfer.neighbours import averaged, blocks
from dataselect.transfer.pairs import Pairs
from dataselect.transfer.robust import bounds, fit_robust
from dataselect.transfer.sigmoid import fit_sigmoid

HERE = Path(__file__).parent
PROVENANCE = Provenance(Setting(*[None] * 8), "olmo_ladder_pairs.csv", "study.py")
DTYPES = {
    "cloze": "Cloze accuracy, 6 pairs of models x 10 tasks, 23 to 80 checkpoints",
    "choice": "Multiple-choice accuracy, 3B to 7B x 10 tasks, 30 checkpoints",
    "thin": "Cloze accuracy, 15 checkpoints spread over each series",
}
WANTED = "cross_validation", "last_20", "last_40"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began = time.process_time()
    table = pd.read_csv(given.data / "olmo_ladder_pairs.csv")
    results: dict[str, Any] = {
        "command": "python benchmarks/transfer/study.py --data FOLDER",
        "seed": given.seed,
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
        "processor": processor_name(),
        "kinds": {},
    }
    for kind, title in DTYPES.items():
        print(f"\n{title}\n", flush=True)
        series = dict(series_of(table, kind))
        rows = [
            {"series": name, "method": method, **found}
            for name, pairs in series.items()
            for method, found in judged(pairs, given.seed).items()
        ]
        coverage = pd.DataFrame([covered(pairs) for pairs in series.values()]).mean()
        robust = [each for each in rows if each["method"] == "robust"]
        results["kinds"][kind] = {
            "title": title,
            "series": len(series),
            "methods": summary(pd.DataFrame(rows)),
            "coverage": coverage.to_dict(),
            "robust_by_series": robust,
        }
        show(results["kinds"][kind])
    results["pooled"] = pooled(table, given.seed)
    print("\nOne function per task for all six pairs of models\n")
    print(pd.DataFrame(results["pooled"]).T.round(2).to_string())
    results["cpu_seconds"] = round(time.process_time() - began)
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print(f"{results['cpu_seconds']} CPU s", file=sys.stderr)


def series_of(table: pd.DataFrame, kind: str) -> Iterator[tuple[str, Pairs]]:
    """Each pair of models on each task, in the order of tokens."""
    target = "target_acc_mc" if kind == "choice" else "target_acc_rc"
    for (pair, task), rows in table.dropna(subset=[target]).groupby(["pair", "task"]):
        ordered = rows.sort_values("tokens")
        if kind == "thin":
            ordered = ordered.iloc[np.linspace(0, len(ordered) - 1, 15).round().astype(int)]
        yield f"{pair} {task}", pairs_of(ordered, str(task), target)


def pairs_of(rows: pd.DataFrame, task: str, target: str) -> Pairs:
    return Pairs(
        task,
        rows["proxy_bpb"].to_numpy(),
        rows[target].to_numpy(),
        rows["tokens"].to_numpy(dtype=np.float64),
        tuple(rows["pair"]),
        known_chance(task),
    )


def judged(pairs: Pairs, seed: int) -> dict[str, dict[str, float]]:
    """Errors of every way of fitting, in points."""
    raw, mean = pairs.metric, averaged(pairs.metric, pairs.tokens, pairs.groups)
    ours = robust_methods(pairs.chance, falling=True)
    free = robust_methods(None, falling=True)
    alone = robust_methods(pairs.chance, falling=False)
    ways: dict[str, tuple[Method, np.ndarray]] = {
        **{family: (single(family), raw) for family in FAMILIES},
        "paper: best train R²": (paper, raw),
        "sigmoid, floor at chance": (ours["sigmoid"], raw),
        "sigmoid, free floor": (free["sigmoid"], raw),
        "sigmoid, ceiling at 1": (ceiling_at_1(pairs.chance), raw),
        "isotonic": (ours["isotonic"], raw),
        "sigmoid + isotonic": (ours["robust"], raw),
        "sigmoid, floor at chance, averaged scores": (ours["sigmoid"], mean),
        "sigmoid, free floor, averaged scores": (free["sigmoid"], mean),
        "isotonic, averaged scores": (ours["isotonic"], mean),
        "robust": (ours["robust"], mean),
        "robust, free floor": (free["robust"], mean),
        "log tokens alone": (alone["robust"], np.log(pairs.tokens)),
    }
    return {
        name: points(errors(method, x, pairs, seed, falling=True))
        for name, (method, x) in ways.items()
    }


def points(found: Errors) -> dict[str, float]:
    """The errors that were wanted, of a share in points."""
    values = {name: getattr(found, name) for name in (*WANTED, "other_runs")}
    return {name: 100 * value for name, value in values.items() if value is not None}


def single(family: Any) -> Method:
    """One of the paper's families; a straight line where it refuses its points."""

    def method(x: np.ndarray, y: np.ndarray) -> Curve:
        try:
            return fit_curve(x, y, family)
        except NoFitError:
            return fit_curve(x, y, "linear")

    return method


def paper(x: np.ndarray, y: np.ndarray) -> Curve:
    return best_curve(x, y)[0]


def ceiling_at_1(chance: float | None) -> Method:
    """A sigmoid of two numbers, its steepness and its middle."""

    def method(x: np.ndarray, y: np.ndarray) -> Predictor:
        floor = min(chance or 0.0, float(y.min()))
        top = best_of_fixed_height(x, y, floor)
        limits = bounds(y)
        return lambda at: np.clip(top(at), *limits)

    return method


def best_of_fixed_height(x: np.ndarray, y: np.ndarray, floor: float) -> Curve:
    start = fit_sigmoid(x, y, floor, falling=True)

    def curve(free: np.ndarray) -> Curve:
        return replace(start, coefficients=(floor, 1 - floor, float(free[0]), float(free[1])))

    # Where the free ceiling is far below 1, the middle moves out; several starts find it.
    width = float(np.ptp(x))
    best = min(
        (
            least_squares(lambda free: curve(free)(x) - y, [rate / width, middle * width])
            for rate in (-1.0, -3.0, -10.0)
            for middle in (-1.0, 0.0, 1.0)
        ),
        key=lambda found: found.cost,
    )
    return curve(best.x)


def covered(pairs: Pairs) -> dict[str, float]:
    """Share of later accuracies inside 90% intervals, and the intervals' mean width in points."""
    scores = averaged(pairs.metric, pairs.tokens, pairs.groups)
    found = {}
    for share in (0.2, 0.4):
        split = last_split(pairs, share, falling=True)
        assert split is not None
        train, test = split
        part, truth = pairs.take(train), pairs.accuracy[test]
        common: dict[str, Any] = {"benchmark": pairs.benchmark, "provenance": PROVENANCE}
        functions = {
            "robust": fit_robust(
                scores[train],
                part.accuracy,
                chance=pairs.chance,
                blocks=blocks(part.tokens, part.groups),
                **common,
            ),
            "robust, points left out singly": fit_robust(
                scores[train], part.accuracy, chance=pairs.chance, **common
            ),
            "paper": fit(part.metric, part.accuracy, **common),
        }
        for name, function in functions.items():
            x = pairs.metric[test] if name == "paper" else scores[test]
            low, high = function.intervals(x, 0.9)
            found[f"{name}, last {share:.0%}"] = float(((low <= truth) & (truth <= high)).mean())
            found[f"{name}, last {share:.0%}, width"] = float(100 * (high - low).mean())
    return found


def pooled(table: pd.DataFrame, seed: int) -> dict[str, dict[str, float]]:
    """One function per task for all pairs of models: errors, also on a pair never fitted."""
    rows = []
    for task, of_task in table.groupby("task"):
        pairs = pairs_of(of_task.sort_values(["pair", "tokens"]), str(task), "target_acc_rc")
        rows += [{"method": name, **found} for name, found in judged(pairs, seed).items()]
    return pd.DataFrame(rows).groupby("method", sort=False).mean().to_dict("index")


def summary(rows: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Mean and median over series of each method's errors."""
    grouped = rows.groupby("method", sort=False)[list(WANTED)]
    found = grouped.agg(["mean", "median"])
    found.columns = [f"{name}_{how}" for name, how in found.columns]
    return found.to_dict("index")


def show(kind: dict[str, Any]) -> None:
    print("| method | CV mean | CV median | last 20% mean | median | last 40% mean | median |")
    print("|---|---|---|---|---|---|---|")
    for method, found in kind["methods"].items():
        print(f"| {method} | " + " | ".join(f"{value:.2f}" for value in found.values()) + " |")
    print()
    for name, value in kind["coverage"].items():
        print(f"{name}: {value:.3f}")


if __name__ == "__main__":
    main()
