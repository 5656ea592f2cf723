"""The regret of one stage by its size, and the recipe that most of it is due to.

    python benchmarks/design/sizes.py --data DIR [--pools 200]

Random pools of 12 recipes, all trained at one size with one and with three seeds. Made after
study.py's figures were seen, to explain them. Seconds. Writes `sizes.json`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from errors import load
from played import games, random_pools, regrets
from published import FLOPS, SIZES
from study import SEED

from dataselect.decisions.design.rungs import Rung

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pools", type=int, default=200)
    arguments = parser.parse_args()
    published = load(arguments.data)
    rng = np.random.default_rng(SEED)
    played = games(random_pools(len(published.recipes), arguments.pools, rng), rng)

    def mean(size: int, seeds: int, without: int | None = None) -> float:
        rungs = (Rung(size, seeds, 1),)
        return float(np.mean([regrets(published, game, rungs, without)[0] for game in played]))

    rows: list[dict[str, Any]] = []
    for size, name in enumerate(SIZES):
        left = [mean(size, 3, recipe) for recipe in range(len(published.recipes))]
        worst = int(np.argmin(left))
        rows.append(
            {
                "size": name,
                "flops": float(f"{12 * FLOPS[name]:.3g}"),
                "one_seed": round(mean(size, 1), 2),
                "three_seeds": round(mean(size, 3), 2),
                "without": published.recipes[worst],
                "three_seeds_without": round(left[worst], 2),
            }
        )
        print(json.dumps(rows[-1]))
    found = {"command": f"python benchmarks/design/sizes.py --data DIR --pools {arguments.pools}"}
    text = json.dumps({**found, "rows": rows}, indent=1, allow_nan=False)
    (HERE / "sizes.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
