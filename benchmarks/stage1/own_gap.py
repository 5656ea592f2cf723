"""Is one's own measured gap better than the published one? Leave-family-out, on published runs.

    python benchmarks/stage1/own_gap.py --data DIR

DIR as for `study.py`. For every size, seed, target and family: what `dataselect agree` would say of
8, 12 or all recipes of the other families becomes the gap, as by a plan's `discrepancy`. It states
pairs with a recipe of the family; beside it, for the same pairs, the published one, fitted without
that family. Log loss in nats (a toss has .693), and decision accuracy, stated and true. Intervals
are 90%, over families: the five differences as a sample. Writes `own_gap.json` and prints it; half
a minute of a core.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from calibration import FORMS, SHIPPED, fits_without_family, tau
from numpy.typing import NDArray
from published import FAMILIES, FLOPS, PAPER, SIZES, Array, Published, read, seed_sd
from results_file import write_results

from dataselect.decisions.agreement import decision_accuracy
from dataselect.decisions.bootstrap import Bootstrap
from dataselect.decisions.discrepancy import Gap, ahead_probability
from dataselect.decisions.measured_gap import fit_scale
from dataselect.formats.agreement_file import MeasuredAgreement

SEED = 0
TARGETS = ("arc_challenge", "csqa", "both", "olmes10")
COUNTS = (8, 12, None)
"""Recipes that the own gap is measured on; None: all of the other families."""
SEEDS = range(3)
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(7)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def measured(nll: Array, accuracy: Array, seed: int) -> MeasuredAgreement:
    """What `dataselect agree` says of these candidates."""
    names = [f"c{place:02d}" for place in range(len(nll))]
    found = decision_accuracy(
        pd.Series(nll, index=names),
        pd.Series(accuracy, index=names),
        bootstrap=Bootstrap(draws=200, seed=seed),
    )
    return MeasuredAgreement(
        metric="label_nll",
        size=None,
        target="accuracy",
        candidates=len(names),
        decision_accuracy=found.decision_accuracy,
        decision_accuracy_interval=found.decision_accuracy_interval or (0.0, 1.0),
        pairs=found.pairs,
        effective_pairs=found.effective_pairs or len(names) / 2,
        scores=dict(zip(names, nll.tolist(), strict=True)),
        spread=float(nll.std()),
        seeds=1,
        seed_sd=None,
    )


def stated(ahead: Array, gap: Gap) -> Array:
    """Probability of each pair's order, over the doubt about the gap."""
    noise = np.sqrt(2) * gap.seed_sd
    return np.asarray(
        sum(
            weight * ahead_probability(ahead, noise, gap.tau * np.exp(gap.doubt * node))
            for node, weight in zip(NODES, WEIGHTS, strict=True)
        )
    )


def losses(
    published: Published, family: int, fit: Array, count: int | None, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """A row for each size, seed and target: mean log loss of both gaps, stated and true."""
    out = published.families[:, family]
    others = np.flatnonzero(~out)
    first, second = np.triu_indices(len(out), 1)
    asked = out[first] | out[second]
    first, second = first[asked], second[asked]
    rows = []
    for size, name in enumerate(SIZES):
        for seed in SEEDS:
            known = others if count is None else rng.choice(others, min(count, len(others)), False)
            nll = published.runs[size][:, seed]
            spread = float(nll.std())
            sd = seed_sd(published, size, ~out) / float(published.runs[size][~out].std(0).mean())
            usual = Gap(float(tau(fit, FLOPS[name])), sd, None)
            ahead = (nll[second] - nll[first]) / spread
            for target in TARGETS:
                truth = published.targets[target].to_numpy()
                scale, doubt = fit_scale([measured(nll[known], truth[known], SEED)], usual, sd)
                rows.append(
                    {"target": target, "size": name, "family": FAMILIES[family]}
                    | _scores(ahead, truth[first] - truth[second], usual, "published")
                    | _scores(ahead, truth[first] - truth[second], Gap(scale, sd, None, "", doubt))
                )
    return rows


def _scores(ahead: Array, true: Array, gap: Gap, name: str = "own") -> dict[str, Any]:
    kept: NDArray[np.bool_] = true != 0
    p = stated(ahead[kept], gap)
    right = np.where(true[kept] > 0, p, 1 - p)
    return {
        f"{name}_loss": float(-np.log(right).mean()),
        f"{name}_stated": float(np.maximum(p, 1 - p).mean()),
        "true": float(((ahead[kept] > 0) == (true[kept] > 0)).mean()),
    }


def study(published: Published) -> dict[str, Any]:
    """By number of recipes measured on and target."""
    fits = fits_without_family(published, FORMS[SHIPPED], PAPER)
    found: dict[str, Any] = {}
    for count in COUNTS:
        rng = np.random.default_rng(SEED)
        table = pd.DataFrame(
            [
                row
                for family, fit in enumerate(fits)
                for row in losses(published, family, fit, count, rng)
            ]
        )
        table["gain"] = table["published_loss"] - table["own_loss"]
        summary: dict[str, dict[str, Any]] = {}
        for target in (*TARGETS, "all four"):
            some = table if target == "all four" else table[table["target"] == target]
            by_family = some.groupby("family")["gain"].mean()
            half = 2.132 * float(by_family.std(ddof=1)) / np.sqrt(len(by_family))
            means = some.drop(columns=["target", "size", "family"]).mean()
            summary[target] = {str(key): round(float(value), 3) for key, value in means.items()}
            middle = float(by_family.mean())
            summary[target]["gain_interval"] = [
                round(middle - half, 3),
                round(middle + half, 3),
            ]
        found["all others" if count is None else str(count)] = summary
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    found = {
        "seed": SEED,
        "recipes": study(read(parser.parse_args().data)),
    }
    write_results("own_gap", "python benchmarks/stage1/own_gap.py --data DIR", found)


if __name__ == "__main__":
    main()
