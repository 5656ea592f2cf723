"""Are probabilities of one candidate's target beating another's what they say?

    python benchmarks/transfer/forecasts.py --data FOLDER

Three ways to state them from the same functions: by the noise of scores alone, as the forecast does
(`dataselect.transfer.forecast`), and from the draws behind intervals, in which candidates share
nothing. In simulated worlds the truth is known; on published runs it is the targets' accuracies.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dataselect.decisions.ranking import win_probabilities
from dataselect.decisions.seeds import seed_means
from dataselect.transfer.chance import known_chance
from dataselect.transfer.forecast import Scores, forecast, seed_scores
from dataselect.transfer.function import Provenance, Setting, TransferFunction, fit
from dataselect.transfer.neighbours import averaged, blocks
from dataselect.transfer.robust import fit_robust

HERE = Path(__file__).parent
PROVENANCE = Provenance(Setting(*[None] * 8), "published runs", "forecasts.py")
DRAWS = 1000
BINS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

Case = tuple[Mapping[str, TransferFunction], Mapping[str, Scores], np.ndarray]
"""By benchmark a function and scores that it has not seen; the candidates' true mean accuracy."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    cases: dict[str, Callable[[np.random.Generator], Iterator[Case]]] = {
        "simulated: function exact, seed noise": lambda rng: simulated(rng, 0.0, 0.0),
        "simulated: targets depart by 1 point": lambda rng: simulated(rng, 0.01, 0.0),
        "simulated: calibration scores as noisy": lambda rng: simulated(rng, 0.0, 0.02),
        "simulated: a straight line for a sigmoid": lambda rng: simulated(rng, 0.0, 0.0, line=True),
        "ladder: last 20% of each series": lambda rng: ladder(given.data, 0.8, ["pair", "task"]),
        "ladder: last 40% of each series": lambda rng: ladder(given.data, 0.6, ["pair", "task"]),
        "ladder: last 40%, mean of all tasks": lambda rng: ladder(given.data, 0.6, ["pair"]),
        "DataDecide: 5 unseen recipes, 13 sizes": lambda rng: datadecide(given.data, rng, fives),
        "DataDecide: an unseen family, 13 sizes": lambda rng: datadecide(given.data, rng, families),
    }
    results = {name: judged(make, given.seed) for name, make in cases.items()}
    (HERE / "forecasts.json").write_text(json.dumps(results, indent=1) + "\n")
    for name, ways in results.items():
        print(name)
        print(pd.DataFrame({way: shown(each) for way, each in ways.items()}).T.to_string())


def judged(
    make: Callable[[np.random.Generator], Iterator[Case]], seed: int
) -> dict[str, dict[str, Any]]:
    """By way of stating: mean probability of the likelier order, how often it was right, by bin."""
    rng = np.random.default_rng(seed)
    stated: dict[str, list[float]] = defaultdict(list)
    right: dict[str, list[float]] = defaultdict(list)
    for functions, scores, truth in make(rng):
        names = [str(i) for i in range(len(truth))]
        made = forecast(names, scores, functions, confidence=0.9, rng=rng)
        alone = [functions[name].predict(each.draws) for name, each in scores.items()]
        apart = [functions[name].prediction_draws(each.draws, rng) for name, each in scores.items()]
        ways = {
            "noise of scores alone": win_probabilities(-np.mean(alone, axis=0)),
            "forecast": made.wins.loc[names, names].to_numpy(),
            "nothing shared": win_probabilities(-np.mean(apart, axis=0)),
        }
        for i, j in combinations(range(len(truth)), 2):
            if truth[i] != truth[j]:
                for way, wins in ways.items():
                    stated[way].append(max(wins[i, j], wins[j, i]))
                    ahead = np.sign(wins[i, j] - wins[j, i])
                    right[way].append((1 + ahead * np.sign(truth[i] - truth[j])) / 2)
    return {way: reliability(np.array(stated[way]), np.array(right[way])) for way in stated}


def reliability(stated: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    found = np.clip(np.digitize(stated, BINS) - 1, 0, len(BINS) - 2)
    return {
        "pairs": len(stated),
        "stated": float(stated.mean()),
        "right": float(right.mean()),
        "brier": float(np.mean((stated - right) ** 2)),
        "bins": [
            {
                "from": BINS[k],
                "share": float((found == k).mean()),
                "stated": float(stated[found == k].mean()),
                "right": float(right[found == k].mean()),
            }
            for k in range(len(BINS) - 1)
            if (found == k).any()
        ],
    }


def shown(each: dict[str, Any]) -> dict[str, str]:
    cells = {f"{low}..": "–" for low in BINS[:-1]}
    cells |= {f"{b['from']}..": f"{b['stated']:.2f} {b['right']:.2f}" for b in each["bins"]}
    overall = f"{each['stated']:.2f} {each['right']:.2f}"
    return {"pairs": f"{each['pairs']}", "all": overall, **cells, "Brier": f"{each['brier']:.3f}"}


def simulated(
    rng: np.random.Generator, departure: float, noise: float, *, line: bool = False
) -> Iterator[Case]:
    """400 worlds: 20 calibration points, 8 candidates with 3 seeds of sd 0.02.

    Targets depart from a sigmoid of the true score by `departure`; `noise` is in the scores of the
    calibration. `line` fits a straight line, which is off by up to 5 points, alike for neighbours.
    """

    def accuracy(score: np.ndarray) -> np.ndarray:
        return 0.25 + 0.5 / (1 + np.exp(8 * (score - 1.2)))

    for _ in range(400):
        x = np.linspace(0.9, 1.6, 20)
        y = accuracy(x) + rng.normal(0, departure, 20)
        x = x + rng.normal(0, noise, 20)
        function = (
            fit(x, y, benchmark="all", provenance=PROVENANCE, family="linear")
            if line
            else fit_robust(x, y, benchmark="all", provenance=PROVENANCE, chance=0.25)
        )
        true = rng.normal(1.2, 0.03, 8)
        seeds = true[:, None] + rng.normal(0, 0.02, (8, 3))
        truth = accuracy(true) + rng.normal(0, departure, 8)
        yield {"all": function}, {"all": seed_scores(seeds, DRAWS, rng)}, truth


def ladder(data: Path, share: float, by: list[str]) -> Iterator[Case]:
    """Each series of checkpoints fitted on its first part; later checkpoints are the candidates.

    A case is a series, or by `pair` the mean of its tasks at the tokens that all of them have.
    """
    table = pd.read_csv(data / "olmo_ladder_pairs.csv").dropna(
        subset=["proxy_bpb", "target_acc_rc"]
    )
    for _, case in table.groupby(by):
        common = case.groupby("tokens")["task"].nunique() == case["task"].nunique()
        tokens = common[common].index.to_numpy(float)
        cut, groups = round(share * len(tokens)), [""] * len(tokens)
        functions, scores, truths = {}, {}, []
        for task, series in case.groupby("task"):
            rows = series.set_index("tokens").loc[tokens]
            x = averaged(rows["proxy_bpb"].to_numpy(), tokens, groups)
            y = rows["target_acc_rc"].to_numpy()
            functions[str(task)] = fit_robust(
                x[:cut],
                y[:cut],
                benchmark=str(task),
                provenance=PROVENANCE,
                chance=known_chance(str(task)),
                blocks=blocks(tokens[:cut], groups[:cut]),
            )
            scores[str(task)] = Scores(x[cut:], np.tile(x[cut:], (DRAWS, 1)))
            truths.append(y[cut:])
        yield functions, scores, np.mean(truths, axis=0)


Splits = Callable[[Sequence[str], np.random.Generator], Iterator[np.ndarray]]


def datadecide(data: Path, rng: np.random.Generator, unseen: Splits) -> Iterator[Case]:
    """At each size, functions of all recipes but some for these, from the mean of three seeds."""
    runs = pd.read_csv(data / "datadecide_olmes_nll.csv")
    target = pd.read_csv(data / "datadecide_target_1b.csv").set_index("recipe")["olmes10"]
    metric, truth = runs.columns[-1], target.to_numpy()
    table = runs.pivot_table(index=["size", "recipe"], columns="seed", values=metric)
    for size in runs["size"].unique():
        values = table.loc[size].reindex(target.index).to_numpy()
        means = seed_means(values)
        for out in unseen(list(target.index), rng):
            fitted = np.setdiff1d(np.arange(len(truth)), out)
            function = fit_robust(
                means[fitted], truth[fitted], benchmark="all", provenance=PROVENANCE, chance=None
            )
            drawn = seed_scores(values, DRAWS, rng)
            unseen_scores = Scores(drawn.observed[out], drawn.draws[:, out])
            yield {"all": function}, {"all": unseen_scores}, truth[out]


def fives(recipes: Sequence[str], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Four random divisions by fives."""
    for _ in range(4):
        order = rng.permutation(len(recipes))
        yield from (order[k::5] for k in range(5))


def families(recipes: Sequence[str], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """All that is made of one text, mixtures included."""
    for text in ("DCLM", "Dolma", "Falcon", "FineWeb"):
        yield np.array([i for i, name in enumerate(recipes) if text in name])


if __name__ == "__main__":
    main()
