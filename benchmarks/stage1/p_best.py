"""Is a stated probability to be the best of several true? Leave-family-out, on published runs.

    python benchmarks/stage1/p_best.py --data DIR [--pools 20]

DIR as for `study.py`. A case is a candidate of a made-up run: 6, 10 or 12 of the 25 recipes, at one
of 13 sizes, by one seed or the mean of three. P(best) and P(best k), k a third of the candidates,
are stated as the package states them, with the gap fitted on pairs of the other families; the truth
is one of four targets. In each run half of the candidates or more are of the family that was left
out, as far as it has so many. Compared are ways to draw the error of several candidates, with the
constants that each has by the pairs of the other families: none was fitted on what is asked here.

Runs share recipes, so cases are far fewer than they look. Intervals leave each recipe out of all
runs that hold it (jackknife), which is on the wide side; effective cases are the number of
independent ones that would be as uncertain. Writes `p_best.json` and prints it; a minute of a core.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from calibration import FORMS, SHIPPED, fits_without_family, tau
from numpy.typing import NDArray
from published import FAMILIES, FLOPS, PAPER, SIZES, Array, Published, read, seed_sd
from results_file import write_results

from dataselect.decisions.bootstrap import Bootstrap
from dataselect.decisions.discrepancy import Gap
from dataselect.decisions.ranking import bootstrap_rank
from dataselect.decisions.uncertainty import best_probabilities, with_uncertainty

SEED = 0
CANDIDATES = (6, 10, 12)
TARGETS = ("arc_challenge", "csqa", "both", "olmes10")
ASKED = {
    "the paper's two": PAPER,
    **{name: (name,) for name in TARGETS},
}
BINS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
DRAWS = 2000
ENOUGH = 30
"""Cases of a bin that is judged."""
T = 1.711
"""Student's t of 24 degrees of freedom, for 90%."""
CHECKED = 12
"""Runs in which the package's own functions are asked as well."""

Draw = Callable[[float, tuple[int, int], np.random.Generator], Array]


def _shared(scale: float, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    return Gap(scale, 0.0, None).draws(shape, rng)


def _own(scale: float, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    return np.asarray(scale / 2 * rng.standard_cauchy(shape))


def _normal(scale: float, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    return np.asarray(scale / np.sqrt(2) * rng.standard_normal(shape))


def _none(scale: float, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    return np.zeros(shape)


OWN, SHARED = "a heavy tail for each", "one unknown scale for all"
WAYS: dict[str, tuple[Draw, str]] = {
    "seeds alone": (_none, SHIPPED),
    "normal, a known scale": (_normal, "normal, floor + 1/C"),
    OWN: (_own, SHIPPED),
    SHARED: (_shared, SHIPPED),
}
"""How errors of several candidates are drawn, and the form by which pairs give the scale."""


@dataclass(frozen=True)
class Run:
    """A made-up run: what a ranking has to go by, and what is true."""

    family: int
    """The family that the fit leaves out."""
    size: int
    """Place in SIZES."""
    seeds: int
    """1 or 3."""
    recipes: NDArray[np.int64]
    """The candidates."""
    scores: Array
    """Higher is better, in units of their spread."""
    noise: float
    """Standard deviation of a score over seeds, in the same unit."""
    likeness: float
    """Spread of the candidates, in units of that of all recipes."""


def runs(published: Published, pools: int, rng: np.random.Generator) -> list[Run]:
    """`pools` pools of each family and number of candidates, at all sizes and seeds."""
    found = []
    for place in range(len(FAMILIES)):
        known = ~published.families[:, place]
        for count in CANDIDATES:
            for _ in range(pools):
                taken = _pool(published, place, count, rng)
                found += [
                    _run(published, place, size, seeds, taken, known)
                    for size in range(len(SIZES))
                    for seeds in ((0,), (1,), (2,), (0, 1, 2))
                ]
    return found


def _pool(
    published: Published, family: int, count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    inside = np.flatnonzero(published.families[:, family])
    outside = np.flatnonzero(~published.families[:, family])
    least = min(len(inside), count // 2)
    own = int(rng.integers(least, min(len(inside), count) + 1))
    drawn = [rng.choice(inside, own, replace=False), rng.choice(outside, count - own, False)]
    return np.concatenate(drawn)


def _run(
    published: Published,
    family: int,
    size: int,
    seeds: tuple[int, ...],
    taken: NDArray[np.int64],
    known: NDArray[np.bool_],
) -> Run:
    every = published.runs[size]
    chosen = every[taken][:, list(seeds)]
    nll = chosen.mean(axis=1)
    spread = float(nll.std())
    if len(seeds) == 1:
        noise = seed_sd(published, size, known) / float(every[known].std(axis=0).mean())
    else:
        # As `seed_noise` of the package.
        own = (chosen - chosen.mean(axis=0)).var(axis=1, ddof=1).mean()
        noise = float(np.sqrt(own * len(taken) / (len(taken) - 1) / len(seeds))) / spread
    of_all = float(every[:, list(seeds)].mean(axis=1).std())
    scores = (nll.mean() - nll) / spread
    return Run(family, size, len(seeds), taken, scores, noise, spread / of_all)


def stated(found: list[Run], draw: Draw, fits: list[Array], k: int) -> list[Array]:
    """For each run the probability of each candidate to be among the best k.

    All runs must have as many candidates: they share their draws.
    """
    rng = np.random.default_rng(SEED)
    shape = (DRAWS, len(found[0].scores))
    seeds, gap = rng.standard_normal(shape), draw(1.0, shape, rng)
    chances = []
    for each in found:
        scale = float(tau(fits[each.family], FLOPS[SIZES[each.size]]))
        values = each.scores + each.noise * seeds + scale * gap
        best = values.argmax(axis=1) if k == 1 else np.argpartition(values, -k, axis=1)[:, -k:]
        chances.append(np.bincount(best.ravel(), minlength=shape[1]) / DRAWS)
    return chances


def among_best(published: Published, found: list[Run], target: str, k: int) -> list[Array]:
    """For each run, 1 for the candidates that are truly among the best k, else 0."""
    accuracy = published.targets[target].to_numpy()
    true = []
    for each in found:
        hit = np.zeros(len(each.recipes))
        hit[np.argsort(-accuracy[each.recipes], kind="stable")[:k]] = 1
        true.append(hit)
    return true


def reliability(
    said: list[Array], true: dict[str, list[Array]], found: list[Run], published: Published
) -> dict[str, Any]:
    """Bins of the stated probability: stated, true, their distance, cases and effective cases."""
    p = np.concatenate(said)
    y = np.stack([np.concatenate(each) for each in true.values()]).mean(axis=0)
    run = np.repeat(np.arange(len(found)), [len(each) for each in said])
    holds = np.zeros((len(found), len(published.recipes)), dtype=bool)
    for number, each in enumerate(found):
        holds[number, each.recipes] = True
    named = np.concatenate([each.recipes for each in found])
    at = np.clip(np.digitize(p, BINS) - 1, 0, len(BINS) - 2)
    rows: list[dict[str, Any]] = []
    for place in range(len(BINS) - 1):
        inside = at == place
        if not inside.any():
            continue
        # Sums by run, so that leaving a recipe out is a matrix product.
        sums = np.stack(
            [
                np.bincount(run[inside], each[inside], minlength=len(found))
                for each in (np.ones_like(p), p, y)
            ]
        )
        count, stated_sum, true_sum = sums.sum(axis=1)
        gap = (true_sum - stated_sum) / count
        left = sums @ ~holds
        kept = left[0] > 0
        gaps = (left[2, kept] - left[1, kept]) / left[0, kept]
        others = max(len(gaps), 1)
        se = float(np.sqrt((others - 1) / others * np.square(gaps - gaps.mean()).sum()))
        share = true_sum / count
        spread = share * (1 - share)
        rows.append(
            {
                "from": BINS[place],
                "stated": round(float(stated_sum / count), 3),
                "true": round(float(share), 3),
                "gap": round(float(gap), 3),
                "gap_interval": [round(float(gap + side * T * se), 3) for side in (-1, 1)],
                "cases": int(count),
                "candidates": len(np.unique(named[inside])),
                "effective_cases": round(float(spread / max(se, 1e-9) ** 2), 1),
            }
        )
    judged = [abs(row["gap"]) for row in rows if row["cases"] >= ENOUGH]
    # A bin of one or two recipes has no variance to leave out, and so no number of cases.
    sure = [abs(row["gap"]) for row in rows if ENOUGH <= row["effective_cases"] <= row["cases"]]
    weights = [row["cases"] for row in rows]
    return {
        "bins": rows,
        "largest_gap": max(judged),
        "largest_gap_of_30_effective": max(sure, default=None),
        "ece": round(float(np.average([abs(r["gap"]) for r in rows], weights=weights)), 4),
    }


def log_loss(said: list[Array], true: list[Array], k: int) -> float:
    """Mean over runs: of the best for k = 1, else of each candidate's being among them."""
    losses = []
    for each, y in zip(said, true, strict=True):
        p = np.clip(each, 1 / DRAWS, 1 if k == 1 else 1 - 1 / DRAWS)
        losses.append(-(y * np.log(p)).sum() - (0 if k == 1 else ((1 - y) * np.log1p(-p)).sum()))
    return float(np.mean(losses))


def first_by(said: list[Array], true: list[Array], found: list[Run], key: Any) -> dict[str, Any]:
    """Stated and true share of the likeliest candidate being the best, by groups of runs."""
    groups: dict[str, list[tuple[float, float]]] = {}
    for p, y, each in zip(said, true, found, strict=True):
        first = int(p.argmax())
        groups.setdefault(key(each), []).append((float(p[first]), float(y[first])))
    return {
        name: {
            "runs": len(values),
            "stated": round(float(np.mean([v[0] for v in values])), 3),
            "true": round(float(np.mean([v[1] for v in values])), 3),
        }
        for name, values in groups.items()
    }


def package_differs(found: list[Run], said: list[Array], fits: list[Array]) -> float:
    """Largest distance of what the package's functions state in some runs of one seed."""
    some = [number for number, each in enumerate(found) if each.seeds == 1]
    distances = []
    for number in some[:: max(1, len(some) // CHECKED)]:
        each = found[number]
        names = [f"c{place:02d}" for place in range(len(each.scores))]
        table = pd.DataFrame([-each.scores], columns=names)
        index = pd.MultiIndex.from_product([names, [0], [0]], names=["candidate", "seed", "step"])
        scale = float(tau(fits[each.family], FLOPS[SIZES[each.size]]))
        ranking, known = with_uncertainty(
            bootstrap_rank({"b": table}, k=1, bootstrap=Bootstrap(draws=4000)),
            {"b": pd.Series(-each.scores, index=index)},
            Gap(scale, each.noise, None),
            0,
        )
        states = best_probabilities(ranking, known, 1)
        apart = [abs(states[name] - p) for name, p in zip(names, said[number], strict=True)]
        distances.append(float(max(apart)))
    return round(max(distances), 3)


def study(published: Published, pools: int) -> dict[str, Any]:
    """Everything that goes into `p_best.json`."""
    found = runs(published, pools, np.random.default_rng(SEED))
    fits = {
        form: fits_without_family(published, FORMS[form], PAPER)
        for form in dict.fromkeys(form for _, form in WAYS.values())
    }
    parts = dict(_parts(published, found, fits))
    return {"runs": len(found), "pools": pools, "draws": DRAWS, "shipped": SHARED, **parts}


def _parts(
    published: Published, found: list[Run], fits: dict[str, list[Array]]
) -> Iterator[tuple[str, Any]]:
    by_count = {n: [r for r in found if len(r.scores) == n] for n in CANDIDATES}
    for title, part in (("best", lambda n: 1), ("best_third", lambda n: n // 3)):
        ways: dict[str, Any] = {}
        for way, (draw, form) in WAYS.items():
            if title != "best" and way not in (SHARED, OWN):
                continue
            said, group = [], []
            true: dict[str, list[Array]] = {name: [] for name in TARGETS}
            losses: dict[str, Any] = {}
            for n, some in by_count.items():
                k = part(n)
                chances = stated(some, draw, fits[form], k)
                said += chances
                group += some
                for name in TARGETS:
                    hits = among_best(published, some, name, k)
                    true[name] += hits
                    losses.setdefault(name, {})[str(n)] = round(log_loss(chances, hits, k), 4)
            of_all = [each for by_n in losses.values() for each in by_n.values()]
            ways[way] = {
                "log_loss": round(float(np.mean(of_all)), 4),
                "log_loss_by_target_and_candidates": losses,
                "all four": reliability(said, true, group, published),
            }
            if way == SHARED:
                for name, asked in ASKED.items():
                    some = {target: true[target] for target in asked}
                    ways[way][name] = reliability(said, some, group, published)
                mean = [np.mean(each, axis=0) for each in zip(*true.values(), strict=True)]
                ways[way]["first_by"] = _groups(said, mean, group)
                if title == "best":
                    ways[way]["package_differs"] = package_differs(group, said, fits[form])
        if title == "best":
            # One chance in n for everyone.
            ways["1 / n"] = {"log_loss": round(float(np.mean(np.log(CANDIDATES))), 4)}
        yield title, ways


def _groups(said: list[Array], true: list[Array], found: list[Run]) -> dict[str, Any]:
    keys: dict[str, Callable[[Run], str]] = {
        "candidates": lambda each: str(len(each.scores)),
        "seeds": lambda each: str(each.seeds),
        "size": lambda each: SIZES[each.size],
        "family": lambda each: FAMILIES[each.family],
        "spread": lambda each: _spread_band(each.likeness),
    }
    return {name: first_by(said, true, found, key) for name, key in keys.items()}


def _spread_band(likeness: float) -> str:
    edges = (0.4, 0.6, 0.8, 1.0)
    return next((f"under {edge:g}" for edge in edges if likeness < edge), "1 or more")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pools", type=int, default=20)
    arguments = parser.parse_args()
    found = {
        "seed": SEED,
        **study(read(arguments.data), arguments.pools),
    }
    command = f"python benchmarks/stage1/p_best.py --data DIR --pools {arguments.pools}"
    write_results("p_best", command, found)


if __name__ == "__main__":
    main()
