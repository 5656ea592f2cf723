"""What to calibrate on: how many datasets; datasets against seeds and checkpoints at equal cost.

    python benchmarks/transfer/what_to_calibrate.py --data FOLDER [--draws 12] [--seed 0]

FOLDER holds `datadecide_olmes_nll.csv` and `datadecide_target_1b.csv` (25 recipes, final
checkpoints), `openlm_scaling.csv` (three datasets, seven lengths of training each) and
`dclm_1b.csv` (152 datasets, two of them trained 8 and 21 times). Functions are fitted as
`dataselect fit` fits them and predict datasets that they have not seen. Cost is counted in two
ways: the FLOPs of training proxies and targets, where checkpoints along a run that is trained
anyway cost nothing; and the number of pairs, each an evaluation of a target. Nothing was chosen by
these figures. Results go to `what_to_calibrate.json` beside this file.

Where errors alone are compared, the curve is fitted without the refits that intervals need. A
spread is over draws of datasets from one pool, or over tasks where there are three datasets; it
does not say how another pool would turn out.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from left_out import CONFIDENCE, COUNTS, PROVENANCE, TASKS
from public_prior import dclm_pairs
from public_prior import public_prior as prior_without

from dataselect.transfer.chance import known_chance
from dataselect.transfer.datasets import numbered
from dataselect.transfer.fitting import fit_function, prepare
from dataselect.transfer.function import TransferFunction
from dataselect.transfer.pairs import Pairs
from dataselect.transfer.prior import Prior, curve_with_prior
from dataselect.transfer.prior_file import public_prior
from dataselect.transfer.robust import bounds, curve_of
from dataselect.transfer.spread import LEAST_DATASETS

HERE = Path(__file__).parent
Row = dict[str, Any]
HELD_OUT = 10
"""Recipes that are predicted where the number of fitted ones differs."""
LENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Tokens of OpenLM's runs, in multiples of 20 tokens a parameter, that all three datasets have."""
OPENLM_TARGET = 411616256
OPENLM_PROXIES = {78914048: "79M", 153677376: "154M"}
REPEATED = ("d013", "d044")
"""Datasets of DCLM that were trained 21 and 8 times."""
HEIGHTS = {"one height": False, "own heights": True}
PRIOR = public_prior()
"""That which is shipped, made without OpenLM."""
NO_INTERVAL = {"held": np.nan, "width": np.nan}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began = time.process_time()
    studies: dict[str, Callable[[Path, int, int], Iterator[Row]]] = {
        "datasets": datasets,
        "seeds": seeds,
        "checkpoints": checkpoints,
        "repeats": repeats,
        "offsets": offsets,
    }
    result: dict[str, Any] = {
        "command": "python benchmarks/transfer/what_to_calibrate.py --data FOLDER",
        "draws": given.draws,
        "seed": given.seed,
    }
    for name, study in studies.items():
        result[name] = summary(pd.DataFrame(study(given.data, given.draws, given.seed)))
        print(f"{name}: {time.process_time() - began:.0f} CPU s", flush=True)
        print(pd.DataFrame(result[name]).round(3).to_string(), flush=True)
    result["cpu_seconds"] = round(time.process_time() - began)
    (HERE / "what_to_calibrate.json").write_text(json.dumps(result, indent=1) + "\n")


def summary(rows: pd.DataFrame) -> list[Row]:
    """Means by case and method; `se` over units (draws or tasks), `less` the paired difference.

    `less` is the error minus that of the first method of the same case and unit.
    """
    found = []
    for case, of_case in rows.groupby("case", sort=False):
        by_unit = of_case.pivot_table(index="unit", columns="method", values="error", sort=False)
        first = by_unit.columns[0]
        for method in by_unit.columns:
            of_one = of_case[of_case["method"] == method]
            less = (by_unit[method] - by_unit[first]).dropna()
            found.append(
                {
                    "case": case,
                    "method": method,
                    "error": float(by_unit[method].mean()),
                    "se": error_of_mean(by_unit[method]),
                    "less": float(less.mean()),
                    "less_se": error_of_mean(less),
                    "held": mean_or_none(of_one["held"]),
                    "width": mean_or_none(of_one["width"]),
                }
            )
    return found


def error_of_mean(values: pd.Series) -> float | None:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


def mean_or_none(values: pd.Series) -> float | None:
    return None if values.isna().all() else float(values.mean())


def datasets(data: Path, draws: int, seed: int) -> Iterator[Row]:
    """DataDecide: 1 to 12 calibration recipes, all others predicted; three seeds averaged."""
    runs, target = datadecide(data)
    priors = {task: prior_without(data, task, datadecide=task != "olmes10") for task in TASKS}
    for proxy in ("150M", "20M"):
        scores = of_size(runs, target, proxy).mean(axis=1)
        rng = np.random.default_rng(seed)
        for k in COUNTS:
            for draw in range(draws):
                order = rng.permutation(len(target))
                fitted, rest = order[:k], order[k:]
                for task in TASKS:
                    truth = target[task].to_numpy()
                    pairs = points(task, scores[fitted], truth[fitted], fitted)
                    for row in judged(pairs, scores[rest], truth[rest], priors[task]):
                        yield {"case": f"{proxy}, {k}", "unit": draw, **row}


def seeds(data: Path, draws: int, seed: int) -> Iterator[Row]:
    """DataDecide at equal cost: many recipes once, or a third of them with three seeds.

    "runs": a seed is a proxy and a target, so FLOPs are equal; ARC-C and CSQA, whose targets are
    given for the default seed too. "proxies": three proxies for each target, so the number of
    proxies is equal. New recipes have one proxy, and their targets are means of three seeds.
    """
    runs, target = datadecide(data)
    for proxy in ("150M", "20M"):
        scores = of_size(runs, target, proxy)
        once, mean = scores[:, 0], scores.mean(axis=1)
        rng = np.random.default_rng(seed)
        for draw in range(draws):
            order = rng.permutation(len(target))
            rest = order[-HELD_OUT:]
            for many in (9, 12, 15):
                few = order[: many // 3]
                for cost, tasks in (("runs", ("arc_challenge", "csqa")), ("proxies", TASKS)):
                    for task in tasks:
                        truth = target[task].to_numpy()
                        known = target[f"{task}_default"].to_numpy() if cost == "runs" else truth
                        options = {
                            f"{many} x 1": (order[:many], once, known),
                            f"{many // 3} x 3": (few, mean, truth),
                        }
                        for name, (fitted, x, y) in options.items():
                            pairs = points(task, x[fitted], y[fitted], fitted)
                            row = error_alone(pairs, once[rest], truth[rest])
                            case = f"{proxy}, {many} {cost}"
                            yield {"case": case, "unit": draw, **row, "method": name}


def checkpoints(data: Path, draws: int, seed: int) -> Iterator[Row]:
    """OpenLM: one or two datasets with some of their checkpoints predict the end of the third.

    Its points are runs of their own length, taken here for checkpoints of the longest. "pairs": the
    last checkpoints of each, equally many pairs. "FLOPs": one dataset trained to the end, or two
    trained half as long. "all": twice the datasets, all checkpoints.
    """
    for proxy, task, unit, tables in openlm(data):
        for out, (x_out, y_out, _) in enumerate(tables):
            others = [table for i, table in enumerate(tables) if i != out]
            ones = [[other] for other in others]
            cases: dict[str, dict[str, tuple[list[Any], slice]]] = {}
            for pairs in (4, 6):
                cases[f"{pairs} pairs"] = {
                    f"1 x {pairs}": (ones, slice(-pairs, None)),
                    f"2 x {pairs // 2}": ([others], slice(-(pairs // 2), None)),
                }
            cases["equal FLOPs"] = {
                "1 x 7, to the end": (ones, slice(None)),
                "2 x 6, half as long": ([others], slice(None, -1)),
            }
            cases["all checkpoints"] = {
                "1 x 7": (ones, slice(None)),
                "2 x 7": ([others], slice(None)),
            }
            for case, options in cases.items():
                for name, (choices, part) in options.items():
                    for chosen in choices:
                        yield from one_end(
                            f"{proxy}, {case}", unit, name, task, chosen, part, x_out, y_out
                        )


def one_end(
    case: str,
    unit: str,
    name: str,
    task: str,
    chosen: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
    part: slice,
    x_out: np.ndarray,
    y_out: np.ndarray,
) -> Iterator[Row]:
    """The last point of a dataset predicted from some points of others, and what needs no score."""
    pairs = joined(task, chosen, part)
    at, truth = x_out[-1:], y_out[-1:]
    fields = {"case": case, "unit": unit}
    yield {**fields, **error_alone(pairs, at, truth), "method": name}
    yield {**fields, **error_alone(pairs, at, truth, PRIOR), "method": f"{name}, prior"}
    last = np.mean([y[part][-1] for _, y, _ in chosen])
    error = 100 * float(abs(last - truth[0]))
    yield {**fields, "method": f"{name}: last accuracies", "error": error, **NO_INTERVAL}


def repeats(data: Path, draws: int, seed: int) -> Iterator[Row]:
    """DCLM at equal cost: 16 models of 16 datasets, or eight models of each of two."""
    rng = np.random.default_rng(seed)
    for draw in range(draws):
        for table in dclm_pairs(data).values():
            groups = np.array(table.groups)
            singles = rng.permutation(np.unique(groups[~np.isin(groups, REPEATED)]))
            first = {name: np.flatnonzero(groups == name)[0] for name in singles[:56]}
            many = np.array([first[name] for name in singles[:16]])
            rest = np.array([first[name] for name in singles[16:56]])
            few = np.concatenate(
                [rng.permutation(np.flatnonzero(groups == name))[:8] for name in REPEATED]
            )
            for name, rows in (("16 x 1", many), ("2 x 8", few)):
                x, y = table.metric[rest], table.accuracy[rest]
                row = error_alone(table.take(rows), x, y)
                yield {"case": "16 models", "unit": draw, **row, "method": name}


def offsets(data: Path, draws: int, seed: int) -> Iterator[Row]:
    """A height of its own for each dataset, against none, where datasets have several points."""
    for proxy, task, unit, tables in openlm(data):
        for out, (x_out, y_out, _) in enumerate(tables):
            others = [table for i, table in enumerate(tables) if i != out]
            pairs = joined(task, others, slice(None))
            for name, at in (("the end", slice(-1, None)), ("all lengths", slice(None))):
                for method, own in HEIGHTS.items():
                    row = error_alone(pairs, x_out[at], y_out[at], offsets=own)
                    case = f"OpenLM {proxy}, {name}"
                    yield {"case": case, "unit": unit, **row, "method": method}
    rng = np.random.default_rng(seed)
    for k in (5, 8):
        for draw in range(draws // 2):
            for table in dclm_pairs(data).values():
                groups = np.array(table.groups)
                names, sizes = np.unique(groups, return_counts=True)
                several = rng.permutation(names[sizes > 1])[: k // 2]
                singles = rng.permutation(names[sizes == 1])
                chosen = [*several, *singles[: k - len(several)]]
                rows = np.concatenate(
                    [rng.permutation(np.flatnonzero(groups == name))[:8] for name in chosen]
                )
                rest = np.flatnonzero(np.isin(groups, singles[k : k + 40]))
                x, y = table.metric[rest], table.accuracy[rest]
                for method, own in HEIGHTS.items():
                    fitted = table.take(np.sort(rows))
                    function = fit_function(fitted, PROVENANCE, falling=True, offsets=own)
                    row = {"unit": draw, **measured(function, x, y)}
                    yield {"case": f"DCLM, {k} datasets", **row, "method": method}


def judged(pairs: Pairs, x: np.ndarray, truth: np.ndarray, prior: Prior) -> Iterator[Row]:
    """Error in points, cover and width of the function, of that with a prior, and of a constant."""
    error = 100 * float(np.abs(pairs.accuracy.mean() - truth).mean())
    yield {"method": "constant", "error": error, **NO_INTERVAL}
    if len(np.unique(pairs.metric)) >= LEAST_DATASETS:
        function = fit_function(pairs, PROVENANCE, falling=True)
        yield {"method": "function", **measured(function, x, truth)}
    function = fit_function(pairs, PROVENANCE, falling=True, prior=prior)
    yield {"method": "with prior", **measured(function, x, truth)}


def error_alone(
    pairs: Pairs,
    x: np.ndarray,
    truth: np.ndarray,
    prior: Prior | None = None,
    *,
    offsets: bool = False,
) -> Row:
    """Mean absolute error of the curve in points."""
    prepared = prepare(pairs, prior)
    fitted, chance = prepared.pairs, prepared.chance
    known, ids = (fitted.metric, fitted.accuracy), numbered(fitted)
    if prior is None:
        curve = curve_of(*known, ids if offsets else None, chance, falling=True)
        limits = bounds(fitted.accuracy)
    else:
        curve = curve_with_prior(*known, ids, prior, chance, falling=True)
        limits = (0.0, 1.0)
    error = 100 * float(np.abs(np.clip(curve(x), *limits) - truth).mean())
    return {"error": error, **NO_INTERVAL}


def measured(function: TransferFunction, x: np.ndarray, truth: np.ndarray) -> Mapping[str, float]:
    error = 100 * float(np.abs(function.predict(x) - truth).mean())
    low, high = function.intervals(x, CONFIDENCE)
    if not function.has_intervals:
        return {"error": error, "held": np.nan, "width": np.nan}
    held = float(((low <= truth) & (truth <= high)).mean())
    return {"error": error, "held": held, "width": 100 * float((high - low).mean())}


def datadecide(data: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    runs = pd.read_csv(data / "datadecide_olmes_nll.csv")
    return runs, pd.read_csv(data / "datadecide_target_1b.csv").set_index("recipe")


def of_size(runs: pd.DataFrame, target: pd.DataFrame, size: str) -> np.ndarray:
    """Scores of one size, recipes x seeds, the default seed first."""
    of_one = runs[runs["size"] == size]
    table = of_one.pivot_table(index="recipe", columns="seed", values=runs.columns[-1])
    names = ["default", *(name for name in table.columns if name != "default")]
    return table.loc[target.index, names].to_numpy()


def openlm(
    data: Path,
) -> Iterator[tuple[str, str, str, list[tuple[np.ndarray, np.ndarray, np.ndarray]]]]:
    """Proxy's name, task, unit of the spread, and scores, accuracies and tokens by dataset."""
    table = pd.read_csv(data / "openlm_scaling.csv")
    table = table[table["mult"].isin(LENGTHS)].sort_values("mult")
    tasks = [name for name in map(str, table.columns) if name.startswith("acc:")]
    loss = "loss:openlm_shard_00000000_tar_x"
    large = table[table["params"] == OPENLM_TARGET]
    for params, proxy in OPENLM_PROXIES.items():
        both = table[table["params"] == params].merge(large, on=["dataset", "mult"])
        for task in tasks:
            yield (
                proxy,
                task.removeprefix("acc:"),
                task,
                [
                    tuple(of_one[name].to_numpy() for name in (loss, f"{task}_y", "tokens_y"))
                    for _, of_one in both.groupby("dataset")
                ],
            )


def joined(
    task: str, chosen: list[tuple[np.ndarray, np.ndarray, np.ndarray]], part: slice
) -> Pairs:
    """The table of pairs of some datasets' points."""
    x, y, tokens = (np.concatenate([each[i][part] for each in chosen]) for i in range(3))
    groups = [f"d{i}" for i, (known, _, _) in enumerate(chosen) for _ in known[part]]
    return Pairs(task, x, y, tokens.astype(float), tuple(groups), known_chance(task))


def points(task: str, x: np.ndarray, y: np.ndarray, names: np.ndarray) -> Pairs:
    """One point for each dataset."""
    unknown = np.full(len(x), np.nan)
    return Pairs(task, x, y, unknown, tuple(f"d{name}" for name in names), known_chance(task))


if __name__ == "__main__":
    main()
