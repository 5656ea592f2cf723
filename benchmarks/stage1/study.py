"""What may be said of a Stage 1 ranking, measured on published proxies and targets.

    python benchmarks/stage1/study.py --data DIR [--draws 1000] [--pools 200]

DIR holds published results by others (README.md says which). Five questions: is a stated
probability true for families of recipes that it was not fitted on; what constants does the package
ship; does a noisy proxy rank badly; what do rules of who goes on cost; and what is the best use of
13 sizes at each compute budget? Prints what it finds and writes `results.json` and the pictures
beside this file. One core, some minutes.
"""

import argparse
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy
from budget import budget
from calibration import FORMS, SHIPPED, by_size, fits_without_family, held_out, reliability, table
from noise import noise
from pictures import budget_picture, reliability_picture
from pruning import pruning
from published import PAPER, read

HERE = Path(__file__).parent
SEED = 0
ASKED = {
    "the paper's two": PAPER,
    "arc_challenge": ("arc_challenge",),
    "csqa": ("csqa",),
    "mean of the two": ("both",),
    "mean of OLMES's ten": ("olmes10",),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--pools", type=int, default=200)
    arguments = parser.parse_args()
    published = read(arguments.data)
    rng = np.random.default_rng(SEED)
    found: dict[str, Any] = {
        "command": "python benchmarks/stage1/study.py --data DIR"
        f" --draws {arguments.draws} --pools {arguments.pools}",
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "pandas": pd.__version__,
            "scipy": scipy.__version__,
        },
        "seed": SEED,
        "table": table(published, PAPER, arguments.draws // 10, rng),
        "calibration": calibration(published, arguments.draws, rng),
        "noise": noise(published, arguments.draws // 5, rng),
        "pruning": pruning(published, arguments.pools, SEED),
        "budget": budget(published, arguments.draws, rng),
    }
    text = json.dumps(found, indent=1, allow_nan=False)
    (HERE / "results.json").write_text(text + "\n", encoding="utf-8")
    (HERE / "reliability.svg").write_text(reliability_picture(found["calibration"]))
    (HERE / "budget.svg").write_text(budget_picture(found["budget"]))
    for name in list(found)[3:]:
        print(name, json.dumps(found[name]))


def calibration(published: Any, draws: int, rng: np.random.Generator) -> dict[str, Any]:
    """By form, number of seeds and benchmarks asked; all fitted on the paper's two benchmarks."""
    rows = []
    for name, form in FORMS.items():
        fits = fits_without_family(published, form, PAPER)
        for seeds in (1, 3):
            for asked, benchmarks in ASKED.items():
                if name != SHIPPED and asked not in ("the paper's two", "mean of OLMES's ten"):
                    continue
                stated = held_out(published, form, fits, benchmarks, seeds)
                row = {"form": name, "seeds": seeds, "asked": asked}
                rows.append(row | reliability(stated, draws, rng))
                if name == SHIPPED and asked == "the paper's two":
                    rows[-1]["by_size"] = by_size(stated)
    return {"shipped": SHIPPED, "rows": rows}


if __name__ == "__main__":
    main()
