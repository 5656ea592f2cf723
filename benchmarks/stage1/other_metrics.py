"""How far the scales of the gap of published metrics differ: the prior for a metric without runs.

    python benchmarks/stage1/other_metrics.py --data DIR

DIR holds `rbridge_decision_accuracy.csv`: decision accuracies on ARC-Challenge and CommonsenseQA of
rBridge and five baselines, 25 recipes, final checkpoints of six to nine proxy sizes. For each the
scale tau is found at which the decision accuracy that the package states is the published one.
Their mean and spread of ln tau are the prior. Writes `other_metrics.json` and prints it. Seconds.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rbridge_gap import stated_accuracy
from results_file import write_results
from scipy.optimize import brentq

from dataselect.decisions.discrepancy import RBRIDGE, UNKNOWN

MOST = 30.0
"""Largest scale looked at: a toss within a point. Below .5 there is none."""


def implied_tau(accuracy: float, flops: float) -> float:
    """The scale at which `accuracy` is stated, with the noise of seeds assumed for rBridge."""

    def beyond(ln_tau: float) -> float:
        gap = replace(RBRIDGE, floor=np.exp(ln_tau), unit_flops=0.0, exponent=1.0, doubt=0.0)
        return stated_accuracy(gap, flops) - accuracy

    top = float(np.log(MOST))
    return MOST if beyond(top) > 0 else float(np.exp(brentq(beyond, -7.0, top, xtol=1e-4)))


def study(folder: Path) -> dict[str, Any]:
    """Implied scales by metric and size, and the mean and spread of their logarithms."""
    curve = pd.read_csv(folder / "rbridge_decision_accuracy.csv")
    last = curve.loc[curve.groupby(["metric", "proxy_size"])["flops"].idxmax()]
    last = last.sort_values(["metric", "flops"])
    taus: dict[str, dict[str, float]] = {}
    for row in last.itertuples():
        tau = implied_tau(row.decision_accuracy, row.flops)
        taus.setdefault(str(row.metric), {})[str(row.proxy_size)] = round(tau, 3)
    ln_tau = np.log([tau for by_size in taus.values() for tau in by_size.values()])
    return {
        "tau": taus,
        "mean_ln_tau": round(float(ln_tau.mean()), 3),
        "median_tau": round(float(np.exp(ln_tau.mean())), 3),
        "sd_ln_tau": round(float(ln_tau.std(ddof=1)), 3),
        "shipped": {"tau": UNKNOWN.floor, "sd_ln_tau": UNKNOWN.doubt},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    found = study(parser.parse_args().data)
    write_results("other_metrics", "python benchmarks/stage1/other_metrics.py --data DIR", found)


if __name__ == "__main__":
    main()
