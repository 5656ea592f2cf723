"""Predicting datasets that were not calibrated on: error, cover of intervals, who beats whom.

    python benchmarks/transfer/left_out.py --data FOLDER [--draws 100] [--seed 0]

FOLDER holds `datadecide_olmes_nll.csv` and `datadecide_target_1b.csv` (25 recipes, proxies of three
seeds, accuracy of 1B on nine tasks), `openlm_scaling.csv` (C4, RedPajama and RefinedWeb) and
`dclm_1b.csv`. For a number of calibration datasets and each draw of them a function is fitted for
each task, as `dataselect fit` fits it, and predicts all other datasets. Results go to
`left_out.json` beside this file.

Curve, scale, degrees of freedom and the weight of the prior were chosen on `dclm_1b.csv` and the
OLMo ladder, before DataDecide was looked at. A prior is made without the task that it predicts
("with prior"), and on DataDecide also without DataDecide ("prior of DCLM").
"""

import argparse
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from earlier import as_before
from public_prior import ALIASES, dclm_pairs, public_prior

from dataselect.decisions.ranking import win_probabilities
from dataselect.transfer.chance import known_chance
from dataselect.transfer.fitting import fit_function
from dataselect.transfer.forecast import seed_scores
from dataselect.transfer.function import Provenance, Setting, TransferFunction
from dataselect.transfer.pairs import Pairs
from dataselect.transfer.prior import Prior
from dataselect.transfer.prior_file import public_prior as shipped
from dataselect.transfer.spread import LEAST_AGREEMENT, LEAST_DATASETS

HERE = Path(__file__).parent
PROVENANCE = Provenance(Setting(*[None] * 8), "published runs", "left_out.py")
TASKS = (
    *("arc_challenge", "csqa", "arc_easy", "hellaswag", "mmlu"),
    *("openbookqa", "piqa", "boolq", "olmes10"),
)
COUNTS = (1, 2, 3, 5, 8, 12)
CONFIDENCE, SURE = 0.9, 0.9
WIN_DRAWS = 400
BEFORE_DRAWS = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=["datadecide", "openlm", "dclm"])
    given = parser.parse_args()
    began = time.process_time()
    found: list[dict[str, Any]] = []
    for name in given.only:
        cases = {"datadecide": datadecide, "openlm": openlm, "dclm": dclm}[name]
        for case in cases(given.data, given.draws, given.seed):
            found += [{"table": name, **row} for row in case]
        print(name, f"{time.process_time() - began:.0f} CPU s", flush=True)
    rows = pd.DataFrame(found)
    summary = [
        {
            "table": table,
            "proxy": proxy,
            "datasets": k,
            "method": method,
            **figures(of_one),
            **(standard_errors(of_one) if table == "datadecide" else {}),
        }
        for (table, proxy, k, method), of_one in rows.groupby(
            ["table", "proxy", "datasets", "method"], sort=False
        )
    ]
    by_task = rows[rows["method"] != "as before"].groupby(
        ["table", "proxy", "datasets", "method", "task"], sort=False
    )
    result = {
        "command": "python benchmarks/transfer/left_out.py --data FOLDER",
        "draws": given.draws,
        "seed": given.seed,
        "cpu_seconds": round(time.process_time() - began),
        "summary": summary,
        "limits_from_one_recipe": limits(given.data) if "datadecide" in given.only else [],
        "by_task": by_task[["error", "held"]].mean().round(4).reset_index().to_dict("records"),
    }
    if given.only == ["datadecide", "openlm", "dclm"]:
        (HERE / "left_out.json").write_text(json.dumps(result, indent=1) + "\n")
    print(pd.DataFrame(summary).round(3).to_string())
    print(f"{result['cpu_seconds']} CPU s")


def generators(seed: int) -> tuple[np.random.Generator, np.random.Generator]:
    """One for the calibration datasets, one for all else: so methods do not move the draws."""
    return np.random.default_rng(seed), np.random.default_rng([seed, 1])


def figures(rows: pd.DataFrame) -> dict[str, float | None]:
    """Means over draws and tasks; of probabilities above .9 over all their pairs."""
    sure = float(rows["sure"].sum())
    both = rows[rows["also_before"].eq(True)]  # missing for a constant
    return {
        "error": float(rows["error"].mean()),
        "error_in_draws_of_before": float(both["error"].mean()) if len(both) else None,
        "held": float(rows["held"].mean()),
        "contradicted": float(rows["contradicted"].mean()),
        "width": float(rows["width"].mean()),
        "sure_share": float(sure / rows["pairs"].sum()) if rows["pairs"].sum() else None,
        "sure_stated": float(rows["sure_stated"].sum() / sure) if sure else None,
        "sure_true": float(rows["sure_true"].sum() / sure) if sure else None,
    }


def standard_errors(rows: pd.DataFrame) -> dict[str, float]:
    """Of error, cover and sure orders over datasets, by leaving each out as one that is predicted.

    Draws and tasks share the datasets, so their number says nothing of how sure a figure is.
    """
    if "errors" not in rows or rows["errors"].isna().any():
        return {}
    of, errors, inside, first, second, right = (
        np.concatenate(list(rows[name]))
        for name in (
            *("datasets_out", "errors", "inside"),
            *("sure_first", "sure_second", "sure_right"),
        )
    )
    found: dict[str, list[float]] = {"error_se": [], "held_se": [], "sure_true_se": []}
    for each in np.unique(of):
        kept, pairs = of != each, (first != each) & (second != each)
        found["error_se"].append(float(errors[kept].mean()))
        found["held_se"].append(float(inside[kept].mean()))
        if pairs.any():
            found["sure_true_se"].append(float(right[pairs].mean()))
    return {
        name: math.sqrt(len(values) - 1) * float(np.std(values))
        for name, values in found.items()
        if len(values) > 1
    }


def datadecide(data: Path, draws: int, seed: int) -> Iterator[list[dict[str, Any]]]:
    """Proxies of 150M and 20M; recipes x seeds as rows of the table, a recipe is a dataset."""
    runs = pd.read_csv(data / "datadecide_olmes_nll.csv")
    target = pd.read_csv(data / "datadecide_target_1b.csv").set_index("recipe")
    metric = runs.columns[-1]
    for proxy in ("150M", "20M"):
        table = runs[runs["size"] == proxy].pivot(index="recipe", columns="seed", values=metric)
        scores = table.loc[target.index].to_numpy()
        splits, rng = generators(seed)
        priors = {task: public_prior(data, task, datadecide=task != "olmes10") for task in TASKS}
        others = public_prior(data, datadecide=False)
        for k in COUNTS:
            for draw in range(draws):
                order = splits.permutation(len(target))
                for task in TASKS:
                    truth = target[task].to_numpy()
                    split = (scores, truth, order[:k], order[k:])
                    rows = judged(task, *split, {"with prior": priors[task]}, rng, draw)
                    rows += judged(task, *split, {"prior of DCLM": others}, rng, None)
                    yield [{"proxy": proxy, "datasets": k, "task": task, **row} for row in rows]


def limits(data: Path) -> list[dict[str, Any]]:
    """What any line in ln(score) could reach from one recipe, with slopes chosen in hindsight.

    Mean error in points over all pairs of recipes and tasks: a constant, one slope for all tasks
    (a prior made without the task cannot have more), and a slope for each task.
    """
    runs = pd.read_csv(data / "datadecide_olmes_nll.csv")
    target = pd.read_csv(data / "datadecide_target_1b.csv").set_index("recipe")
    slopes = np.linspace(-1.5, 0.5, 201)
    found = []
    for proxy in ("150M", "20M"):
        of_size = runs[runs["size"] == proxy]
        score = np.log(of_size.groupby("recipe")[runs.columns[-1]].mean().loc[target.index])
        first, second = np.triu_indices(len(target), 1)
        apart = score.to_numpy()[first] - score.to_numpy()[second]
        accuracy = target[list(TASKS)].to_numpy()
        wanted = accuracy[first] - accuracy[second]  # pairs x tasks
        errors = 100 * np.array(
            [np.abs(wanted - slope * apart[:, None]).mean(axis=0) for slope in slopes]
        )
        one = errors.mean(axis=1)
        found.append(
            {
                "proxy": proxy,
                "constant": float(100 * np.abs(wanted).mean()),
                "one_slope": float(one.min()),
                "slope": float(slopes[one.argmin()]),
                "slope_for_each_task": float(errors.min(axis=0).mean()),
            }
        )
    return found


def openlm(data: Path, draws: int, seed: int) -> Iterator[list[dict[str, Any]]]:
    """One or two of three datasets predict the others: loss of a proxy, accuracy of 1.4B.

    Both at the same tokens per parameter; the loss is that on OpenLM's own shard.
    """
    table = pd.read_csv(data / "openlm_scaling.csv")
    tasks = [name for name in map(str, table.columns) if name.startswith("acc:")]
    rng = generators(seed)[1]
    large = table[table["params"] == 1439795200]
    for params, label in ((78914048, "79M"), (153677376, "154M"), (411616256, "411M")):
        both = table[table["params"] == params].merge(large, on=["dataset", "mult"])
        for _, case in both.groupby("mult"):
            if len(case) < LEAST_DATASETS:
                continue
            scores = case["loss:openlm_shard_00000000_tar_x"].to_numpy()[:, None]
            for out in range(3):
                others = np.delete(np.arange(3), out)
                for fitted, rest in ((others, np.array([out])), (np.array([out]), others)):
                    for task in tasks:
                        truth = case[f"{task}_y"].to_numpy()
                        rows = judged(
                            task, scores, truth, fitted, rest, {"with prior": shipped()}, rng
                        )
                        name = task.removeprefix("acc:")
                        fields = {"proxy": label, "datasets": len(fitted), "task": name}
                        yield [{**fields, **row} for row in rows]


def dclm(data: Path, draws: int, seed: int) -> Iterator[list[dict[str, Any]]]:
    """The table that settings were chosen on: the score and the accuracy of the same 1B model."""
    splits, rng = generators(seed)
    priors = {t: public_prior(data, ALIASES.get(t, t)) for t in dclm_pairs(data)}
    for task, pairs in dclm_pairs(data).items():
        for k in COUNTS:
            for _ in range(draws):
                order = splits.permutation(len(pairs))[: k + 25]
                scores = pairs.metric[:, None]
                split = (scores, pairs.accuracy, order[:k], order[k:])
                rows = judged(task, *split, {"with prior": priors[task]}, rng)
                yield [{"proxy": "itself", "datasets": k, "task": task, **row} for row in rows]


def judged(
    task: str,
    scores: np.ndarray,
    truth: np.ndarray,
    fitted: np.ndarray,
    rest: np.ndarray,
    priors: Mapping[str, Prior],
    rng: np.random.Generator,
    draw: int | None = BEFORE_DRAWS,
) -> list[dict[str, Any]]:
    """Errors of every method on the datasets `rest`; `scores` are datasets x seeds.

    The function of earlier versions, which takes most of the time, in the first draws alone; with
    no `draw` that with the priors alone.
    """
    pairs = table_of(task, scores[fitted], truth[fitted])
    functions = {
        name: fit_function(pairs, PROVENANCE, falling=True, prior=prior)
        for name, prior in priors.items()
    }
    if len(fitted) >= LEAST_DATASETS and draw is not None:
        functions["without"] = fit_function(pairs, PROVENANCE, falling=True)
        if draw < BEFORE_DRAWS:
            functions["as before"] = as_before(pairs)
    rows = [
        {
            "method": method,
            "also_before": "as before" in functions,
            **measured(function, scores[rest], truth[rest], rest, rng),
        }
        for method, function in functions.items()
    ]
    if draw is None:
        return rows
    return [*rows, {"method": "constant", **of_constant(truth[fitted], truth[rest])}]


def table_of(task: str, scores: np.ndarray, truth: np.ndarray) -> Pairs:
    """A row for each dataset and seed."""
    seeds = scores.shape[1]
    names = [f"d{i}" for i in range(len(scores)) for _ in range(seeds)]
    unknown = np.full(scores.size, np.nan)
    chance = known_chance(task)
    return Pairs(task, scores.ravel(), np.repeat(truth, seeds), unknown, tuple(names), chance)


def measured(
    function: TransferFunction,
    scores: np.ndarray,
    truth: np.ndarray,
    datasets: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Of the datasets predicted: mean error and width in points, cover, and sure orders.

    With what each of the `datasets` adds to these, for their standard errors.
    """
    x = scores.mean(axis=1)
    low, high = function.intervals(x, CONFIDENCE)
    drawn = seed_scores(scores, WIN_DRAWS, rng).draws
    first, second, stated, right = sure_orders(function, drawn, truth, rng)
    errors = 100 * np.abs(function.predict(x) - truth)
    inside = (low <= truth) & (truth <= high)
    return {
        "datasets_out": datasets,
        "errors": errors,
        "inside": inside,
        "sure_first": datasets[first],
        "sure_second": datasets[second],
        "sure_right": right,
        "error": float(errors.mean()),
        "held": float(inside.mean()),
        "width": 100 * float((high - low).mean()),
        "contradicted": contradicted(function),
        "pairs": different_pairs(truth),
        "sure": len(stated),
        "sure_stated": float(stated.sum()),
        "sure_true": int(right.sum()),
    }


def sure_orders(
    function: TransferFunction, drawn: np.ndarray, truth: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pairs ordered with a probability above `SURE`: both places, that probability, if it is right.

    `drawn`: draws of the scores, draws x datasets. Pairs of equal truth are left out.
    """
    wins = win_probabilities(-function.comparison_draws(drawn, rng))
    first, second = np.triu_indices(len(truth), 1)
    stated = wins[first, second]
    right = (truth[first] > truth[second]) == (stated > 0.5)
    stated = np.maximum(stated, 1 - stated)
    sure = (stated > SURE) & (truth[first] != truth[second])
    return first[sure], second[sure], stated[sure], right[sure]


def different_pairs(truth: np.ndarray) -> int:
    """Number of pairs whose truth differs."""
    first, second = np.triu_indices(len(truth), 1)
    return int((truth[first] != truth[second]).sum())


def contradicted(function: TransferFunction) -> float:
    """1 where the data contradict the prior, 0 where not; NaN where that is not known."""
    if function.new_data is None or function.new_data.conflict is None:
        return np.nan
    return float(function.new_data.conflict < LEAST_AGREEMENT)


def of_constant(fitted: Sequence[float], truth: np.ndarray) -> Mapping[str, float]:
    error = 100 * float(np.abs(np.mean(fitted) - truth).mean())
    nothing = dict.fromkeys(("pairs", "sure", "sure_stated", "sure_true"), 0)
    return {"error": error, "held": np.nan, "width": np.nan, **nothing}


if __name__ == "__main__":
    main()
