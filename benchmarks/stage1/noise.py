"""Signal to noise of a proxy against its decision accuracy, over the 13 sizes."""

from typing import Any

import numpy as np
import pandas as pd
from published import PAPER, SIZES, Published
from scipy.stats import spearmanr

from dataselect.decisions.agreement import decision_accuracy
from dataselect.decisions.signal_to_noise import signal_to_noise


def noise(published: Published, draws: int, rng: np.random.Generator) -> dict[str, Any]:
    """By size: the ratio from three seeds, and the decision accuracy of one seed.

    The public files have one proxy metric, the mean of ten tasks, so sizes stand in for
    benchmarks. The interval of the rank correlation is 90% percentiles over resampled recipes.
    """
    count = len(published.recipes)
    everyone = np.arange(count)
    rows = _rows(published, everyone)
    resampled = []
    for _ in range(draws):
        taken = np.unique(rng.integers(0, count, count))
        some = _rows(published, taken)
        resampled.append(_correlations(some))
    found = _correlations(rows)
    return {
        "sizes": rows,
        "spearman": {
            benchmark: {
                "value": round(found[benchmark], 3),
                "interval": [
                    round(float(end), 3)
                    for end in np.quantile([each[benchmark] for each in resampled], [0.05, 0.95])
                ],
            }
            for benchmark in found
        },
    }


def _correlations(rows: list[dict[str, Any]]) -> dict[str, float]:
    ratios = [row["ratio"] for row in rows]
    return {
        benchmark: float(spearmanr(ratios, [row[benchmark] for row in rows]).statistic)
        for benchmark in (*PAPER, "olmes10")
    }


def _rows(published: Published, taken: np.ndarray) -> list[dict[str, Any]]:
    names = [published.recipes[place] for place in taken]
    rows = []
    for place, size in enumerate(SIZES):
        values = published.runs[place][taken]
        runs = pd.DataFrame(values, index=pd.Index(names, name="candidate"))
        runs.columns.name = "seed"
        found = signal_to_noise(pd.concat({0: runs.stack()}, names=["step"]))
        # What one seed's ranking has, since that is the noise that is asked about.
        ratio = (
            found.spread / found.seed_noise
            if found.spread is not None and found.seed_noise
            else 0.0
        )
        row: dict[str, Any] = {
            "size": size,
            "spread": found.spread,
            "seed_noise": found.seed_noise,
            "ratio": round(ratio, 3),
            "of_three_seeds": round(found.ratio or 0.0, 3),
            "interval": [round(end, 2) for end in found.interval or ()],
            "verdict": found.verdict,
            "order_kept": round(found.order_kept or 0.5, 3),
        }
        for benchmark in (*PAPER, "olmes10"):
            target = published.targets.loc[names, benchmark]
            each = [
                decision_accuracy(pd.Series(values[:, seed], index=names), target).decision_accuracy
                for seed in range(3)
            ]
            row[benchmark] = round(float(np.mean(each)), 3)
        rows.append(row)
    return rows
