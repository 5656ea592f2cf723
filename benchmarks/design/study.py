"""Plans by `dataselect design` against other shapes at equal FLOPs, on DataDecide.

    python benchmarks/design/study.py --data DIR [--pools 40]

DIR holds published results by others. The protocol is in README.md. Prints what it finds and
writes `results.json` beside this file. Ten minutes of one core.
"""

import argparse
import json
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from errors import SHIPPED, TARGET, Mask, compared, fitted_errors, load, only
from played import POOL, Game, games, pools_with, random_pools, regrets
from published import FAMILIES, FLOPS, SIZES, Published

from dataselect.decisions.design.rungs import Outcome, Rungs, play
from dataselect.decisions.design.search import Problem, search
from dataselect.decisions.design.shapes import halving, single_stage, two_stage

HERE = Path(__file__).parent
SEED = 0
BUDGETS = (3e17, 1e18, 3e18, 1e19, 3e19, 1e20, 3e20, 1e21)
OF_SIZE = tuple(FLOPS[size] for size in SIZES)
OTHERS = {"two stages": two_stage, "single stage": single_stage, "halving": halving}
PLAYED = {
    "power law": ("leave-family-out", "leave-pool-out"),
    "floor and power law": ("leave-family-out",),
}
"""Forms of the error that plans are designed by, and protocols: the shipped one, and the one that
was played first."""
PLANS = ("designed", "designed at half", *OTHERS, "random")


@dataclass(frozen=True)
class Fold:
    """Plans from what is known without some recipes, and the games that they are asked of."""

    plans: dict[tuple[float, str], tuple[Rungs | None, Outcome | None]]
    """By budget and name: the rungs, and what is expected of them; None if it pays for none."""
    spread: float
    """Standard deviation of the targets of the recipes that were fitted on, in points."""
    games: list[Game]


def make_fold(published: Published, out: Mask, curve: str, asked: list[Game]) -> Fold:
    """Plans from what is known without the recipes `out`, by a form of the error."""
    known = only(published, ~out)
    model = fitted_errors(known, curve).model(OF_SIZE, FLOPS["1B"])
    frontier = search(Problem(POOL, OF_SIZE, model, (1, 2, 3)))
    plans: dict[tuple[float, str], tuple[Rungs | None, Outcome | None]] = {}
    for budget in BUDGETS:
        for label, limit in (("designed", budget), ("designed at half", budget / 2)):
            best = frontier.at(limit)
            plans[budget, label] = (None if best is None else best.rungs, best)
        for label, shape in OTHERS.items():
            rungs = shape(POOL, OF_SIZE, budget)
            outcome = None if rungs is None else play(rungs, frontier.worlds, OF_SIZE)
            plans[budget, label] = (rungs, outcome)
        plans[budget, "random"] = ((), frontier.random)
    spread = 100 * float(known.targets[TARGET].std(ddof=0))
    return Fold(plans, spread, asked)


def by_family(published: Published, curve: str, pools: int, rng: np.random.Generator) -> list[Fold]:
    """A fold for each family, whose recipes are in all of its pools."""
    folds = []
    for place in range(len(FAMILIES)):
        out = published.families[:, place]
        asked = games(pools_with(out, pools, rng), rng)
        folds.append(make_fold(published, out, curve, asked))
    return folds


def by_pool(published: Published, curve: str, pools: int, rng: np.random.Generator) -> list[Fold]:
    """A fold for each pool."""
    folds = []
    for pool in random_pools(len(published.recipes), pools, rng):
        out = np.zeros(len(published.recipes), dtype=bool)
        out[pool] = True
        folds.append(make_fold(published, out, curve, games([pool], rng)))
    return folds


PROTOCOLS = {"leave-family-out": by_family, "leave-pool-out": by_pool}


def mean_regret(
    published: Published, folds: list[Fold], budget: float, label: str, without: int | None = None
) -> tuple[float, float]:
    """Mean regret in points, and how often the best is chosen; folds count alike."""
    means = []
    for fold in folds:
        rungs = fold.plans[budget, label][0]
        played = [regrets(published, game, rungs, without) for game in fold.games]
        means.append(np.mean(played, axis=(0, 2)))
    regret, hit = np.mean(means, axis=0)
    return float(regret), float(hit)


def jackknifed(of: Callable[[int | None], float], recipes: int) -> dict[str, float | list[float]]:
    """A figure with its 90% interval: every recipe in turn is taken out of all pools."""
    whole = of(None)
    left = np.array([of(recipe) for recipe in range(recipes)])
    half = 1.711 * np.sqrt((recipes - 1) / recipes * np.square(left - left.mean()).sum())
    return {"mean": round(whole, 3), "interval": [round(whole - half, 3), round(whole + half, 3)]}


def study(published: Published, folds: list[Fold]) -> dict[str, Any]:
    """Regret by budget and plan, as forecast and as it came true."""
    recipes = len(published.recipes)
    cache: dict[tuple[float, str, int | None], tuple[float, float]] = {}

    def of(budget: float, label: str, without: int | None = None) -> tuple[float, float]:
        key = (budget, label, without)
        if key not in cache:
            cache[key] = mean_regret(published, folds, budget, label, without)
        return cache[key]

    def mean(budget: float, label: str) -> Callable[[int | None], float]:
        return lambda without: of(budget, label, without)[0]

    def less(budget: float, label: str, times: int) -> Callable[[int | None], float]:
        """How much worse two stages are than so many times the regret of a plan."""
        return lambda without: (
            of(budget, "two stages", without)[0] - times * of(budget, label, without)[0]
        )

    rows = []
    for budget in BUDGETS:
        row: dict[str, Any] = {"budget": budget}
        for label in PLANS:
            made = [fold.plans[budget, label] for fold in folds]
            if any(rungs is None for rungs, _ in made):
                row[label] = None
                continue
            outcomes = [outcome for _, outcome in made if outcome is not None]
            forecasts = [fold.spread * o.regret for fold, o in zip(folds, outcomes, strict=True)]
            row[label] = {
                "plan": described(made[0][0] or ()),
                "flops": float(f"{np.mean([o.flops for o in outcomes]):.3g}"),
                "regret": jackknifed(mean(budget, label), recipes),
                "forecast": round(float(np.mean(forecasts)), 3),
                "hit": round(of(budget, label)[1], 3),
                "forecast_hit": round(float(np.mean([o.p_best for o in outcomes])), 3),
            }
        for name, label, times in (
            ("two stages less twice designed", "designed", 2),
            ("two stages less designed", "designed", 1),
            ("two stages less designed at half", "designed at half", 1),
        ):
            if row[label] and row["two stages"]:
                row[name] = jackknifed(less(budget, label, times), recipes)
        row["passed_by"] = passed_by(row)
        rows.append(row)
        print(json.dumps(row), flush=True)
    return {"rows": rows, "passed": sum(bool(row["passed_by"]) for row in rows)}


def passed_by(row: dict[str, Any]) -> list[str]:
    """Half of the regret at equal FLOPs; no more regret at half of the FLOPs."""
    if not row["two stages"] or not row["designed"]:
        return []
    two = row["two stages"]["regret"]["mean"]
    half = row["designed at half"]
    found = []
    if row["designed"]["regret"]["mean"] <= two / 2:
        found.append("half of the regret")
    if half and half["regret"]["mean"] <= two:
        found.append("half of the FLOPs")
    return found


def described(rungs: Rungs) -> list[str]:
    """A plan in words."""
    return [f"{SIZES[rung.size]} x {rung.seeds}, keep {rung.keep}" for rung in rungs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pools", type=int, default=40)
    arguments = parser.parse_args()
    published = load(arguments.data)
    found: dict[str, Any] = {
        "command": f"python benchmarks/design/study.py --data DIR --pools {arguments.pools}",
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
        "seed": SEED,
        "fitted": asdict(fitted_errors(published)),
        "shipped": SHIPPED,
        "forms": compared(published),
    }
    for curve, protocols in PLAYED.items():
        found[curve] = {}
        for name in protocols:
            rng = np.random.default_rng(SEED)
            folds = PROTOCOLS[name](published, curve, arguments.pools, rng)
            found[curve][name] = study(published, folds)
    text = json.dumps(found, indent=1, allow_nan=False)
    (HERE / "results.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
