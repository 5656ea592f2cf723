"""The gap between scales of rBridge, fitted to the curve that its authors publish.

    python benchmarks/stage1/rbridge_gap.py --data DIR

DIR holds `rbridge_decision_accuracy.csv`: decision accuracy on ARC-Challenge and CommonsenseQA
together, of 25 recipes, for six proxy sizes and their checkpoints, from the figure's vectors. There
are no scores of candidates, so the stated accuracy is that of 25 normal scores. Fits
(unit_flops / C)^exponent for several standard deviations of ln tau to all checkpoints, writes
`rbridge_gap.json` and prints it. Half a minute of one core.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from results_file import write_results
from scipy.optimize import minimize
from scipy.stats import norm

from dataselect.decisions.discrepancy import LIKELIHOOD, RBRIDGE, Discrepancy, ahead_probability

RECIPES = 25
DOUBTS = (0.0, 0.35, 0.7, 1.0)
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(21)


def stated_accuracy(gap: Discrepancy, flops: float) -> float:
    """Mean probability that the better score of a pair is the better target's; normal scores."""
    scores = norm.ppf((np.arange(RECIPES) + 0.5) / RECIPES)
    scores /= scores.std()
    ahead = np.abs(np.subtract.outer(scores, scores))[np.triu_indices(RECIPES, 1)]
    at = gap.gap(flops, gap.target_flops)
    by_scale = [
        ahead_probability(ahead, np.sqrt(2) * at.seed_sd, at.tau * np.exp(at.doubt * node)).mean()
        for node in _NODES
    ]
    return float(np.average(by_scale, weights=_WEIGHTS))


def fit(curve: pd.DataFrame, doubt: float) -> Discrepancy:
    """The unit and exponent of least squares on all checkpoints."""

    def made(parameters: Any) -> Discrepancy:
        unit, exponent = np.exp(parameters)
        return replace(RBRIDGE, unit_flops=unit, exponent=exponent, doubt=doubt)

    def loss(parameters: Any) -> float:
        gap = made(parameters)
        stated = [stated_accuracy(gap, flops) for flops in curve["flops"]]
        return float(np.square(np.array(stated) - curve["decision_accuracy"]).sum())

    options = {"xatol": 1e-4, "fatol": 1e-9}
    return made(
        minimize(loss, (np.log(8e14), np.log(0.3)), method="Nelder-Mead", options=options).x
    )


def read(folder: Path) -> pd.DataFrame:
    """rBridge's checkpoints, by rising FLOPs."""
    table = pd.read_csv(folder / "rbridge_decision_accuracy.csv")
    return table[table["metric"] == "rBridge"].sort_values("flops")


def final(curve: pd.DataFrame) -> pd.DataFrame:
    """The last checkpoint of each size."""
    return curve.loc[curve.groupby("proxy_size")["flops"].idxmax()].sort_values("flops")


def study(curve: pd.DataFrame) -> dict[str, Any]:
    """Constants for each doubt, and stated against published decision accuracy by size."""
    fits = {}
    for doubt in DOUBTS:
        gap = fit(curve, doubt)
        fits[str(doubt)] = {
            "unit_flops": float(f"{gap.unit_flops:.3g}"),
            "exponent": round(gap.exponent, 3),
            "sizes": {
                row.proxy_size: {
                    "published": round(row.decision_accuracy, 3),
                    "stated": round(stated_accuracy(gap, row.flops), 3),
                    "stated by the gap of likelihoods": round(
                        stated_accuracy(LIKELIHOOD, row.flops), 3
                    ),
                    "tau": round(gap.gap(row.flops, gap.target_flops).tau, 3),
                }
                for row in final(curve).itertuples()
            },
        }
    return {"shipped": str(RBRIDGE.doubt), "fits": fits}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    found = study(read(parser.parse_args().data))
    write_results("rbridge_gap", "python benchmarks/stage1/rbridge_gap.py --data DIR", found)


if __name__ == "__main__":
    main()
