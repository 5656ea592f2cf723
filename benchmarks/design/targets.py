"""The study of study.py for each target column alone: is what it finds that of one target?

    python benchmarks/design/targets.py --data DIR [--pools 20]

Made after study.py's figures were seen. Leave-family-out, the shipped form, no intervals: the nine
targets are of the same 25 recipes. Prints what it finds and writes `targets.json`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from errors import SHIPPED, TARGET, load
from study import BUDGETS, PLANS, SEED, by_family, mean_regret

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pools", type=int, default=20)
    arguments = parser.parse_args()
    published = load(arguments.data)
    names = [str(name) for name in published.targets]
    alone = [each for each in names if each not in ("both", TARGET) and "default" not in each]
    found: dict[str, Any] = {
        "command": f"python benchmarks/design/targets.py --data DIR --pools {arguments.pools}",
        "spread": {},
        "regret": {},
    }
    for name in alone:
        published.targets[TARGET] = published.targets[name]
        found["spread"][name] = round(100 * float(published.targets[name].std(ddof=0)), 2)
        rng = np.random.default_rng(SEED)
        folds = by_family(published, SHIPPED[0], arguments.pools, rng)
        found["regret"][name] = {
            label: [round(mean_regret(published, folds, b, label)[0], 3) for b in BUDGETS]
            if label != "halving"
            else None
            for label in PLANS
        }
        print(name, json.dumps(found["regret"][name]), flush=True)
    in_spreads = {
        label: np.mean(
            [np.array(found["regret"][n][label]) / found["spread"][n] for n in alone], axis=0
        )
        for label in PLANS
        if label != "halving"
    }
    found["budgets"] = BUDGETS
    found["mean_in_spreads"] = {k: np.round(v, 3).tolist() for k, v in in_spreads.items()}
    text = json.dumps(found, indent=1, allow_nan=False)
    (HERE / "targets.json").write_text(text + "\n", encoding="utf-8")
    print(json.dumps(found["mean_in_spreads"]))


if __name__ == "__main__":
    main()
