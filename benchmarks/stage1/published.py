"""DataDecide's proxies and targets as pairs of recipes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dataselect.proxies.ladder import LADDER, LADDER_SEQUENCE_LENGTH

Array = NDArray[np.float64]

SIZES = tuple(size for size in LADDER if size != "1B")
FLOPS = {
    name: 6 * rung.parameters * rung.steps * rung.batch_size * LADDER_SEQUENCE_LENGTH
    for name, rung in LADDER.items()
}
"""Of one training run: 6ND with the ladder's own counts."""

FAMILIES = ("DCLM", "Dolma", "Falcon", "FineWeb", "C4")
PAPER = ("arc_challenge", "csqa")


@dataclass(frozen=True)
class Published:
    """`runs`: size x recipe x seed of mean NLL; `targets`: recipe x benchmark of accuracy.

    `families`: recipe x FAMILIES, whether it is made of that text; mixtures of two are in both.
    """

    recipes: tuple[str, ...]
    runs: Array
    targets: pd.DataFrame
    families: NDArray[np.bool_]

    def scores(self, size: str, seeds: Sequence[int]) -> Array:
        """Mean NLL of each recipe over some of the three seeds."""
        return np.asarray(self.runs[SIZES.index(size)][:, list(seeds)].mean(axis=1))


def read(folder: Path) -> Published:
    """From the files `datadecide_olmes_nll.csv` and `datadecide_target_1b.csv`."""
    rows = pd.read_csv(folder / "datadecide_olmes_nll.csv")
    rows.columns = pd.Index(["size", "recipe", "seed", "nll"])
    targets = pd.read_csv(folder / "datadecide_target_1b.csv").set_index("recipe")
    targets["both"] = targets[list(PAPER)].mean(axis=1)
    recipes = tuple(targets.index)
    runs = np.stack(
        [
            rows[rows["size"] == size]
            .pivot(index="recipe", columns="seed", values="nll")
            .loc[[*recipes]]
            for size in SIZES
        ]
    )
    families = np.array(
        [
            [name.startswith(family) or family in name.partition("/")[2] for family in FAMILIES]
            for name in recipes
        ]
    )
    assert families.any(axis=1).all()
    return Published(recipes, runs, targets, families)


def seed_sd(published: Published, size: int, recipes: NDArray[np.bool_]) -> float:
    """Noise of one seed, pooled over some recipes."""
    return float(np.sqrt(published.runs[size][recipes].var(axis=1, ddof=1).mean()))


def pairs(
    published: Published,
    benchmarks: Sequence[str],
    *,
    seeds: int,
    known: NDArray[np.bool_] | None = None,
) -> pd.DataFrame:
    """Every pair of recipes at every size and benchmark that the target does not tie.

    `d`: how far the first is ahead at the proxy, in units of the spread over all recipes; `noise`:
    what seeds make of that; `y`: 1 where the first is better at the target, else 0; `weight`: such
    that the runs of one seed together count as much as one. `seeds`: 1 or 3. `known`: the recipes
    that the noise is measured on; default all.
    """
    first, second = np.triu_indices(len(published.recipes), 1)
    taken = [(0,), (1,), (2,)] if seeds == 1 else [(0, 1, 2)]
    everyone = np.ones(len(published.recipes), dtype=bool)
    parts = []
    for place, size in enumerate(SIZES):
        sd = seed_sd(published, place, everyone if known is None else known)
        for run in taken:
            scores = published.scores(size, run)
            spread = scores.std()
            for benchmark in benchmarks:
                target = published.targets[benchmark].to_numpy()
                true = target[first] - target[second]
                part = pd.DataFrame(
                    {
                        "first": first,
                        "second": second,
                        "size": place,
                        "run": run[0],
                        "flops": FLOPS[size],
                        "benchmark": benchmark,
                        # Lower NLL is better.
                        "d": (scores[second] - scores[first]) / spread,
                        "noise": sd / spread * np.sqrt(2 / len(run)),
                        "y": (true > 0).astype(float),
                        "weight": 1 / len(taken),
                    }
                )
                parts.append(part[true != 0])
    return pd.concat(parts, ignore_index=True)
