"""Predicting later checkpoints of a run: error and cover where accuracy still climbs.

    python benchmarks/transfer/later.py --data FOLDER

FOLDER holds `rbridge_pairs_1b_13b.csv` (the points of rBridge's authors: rBridge at 1B, accuracy at
13B, 15 checkpoints) and `olmo_ladder_pairs.csv`. A function is fitted on the first 9 to 12 of 15
checkpoints (on the ladder: the first 60 to 80%) and predicts the rest, as `dataselect predict
--same-data` does. Settings were chosen on the ladder. Results go to `later.json` beside this file.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from earlier import as_before
from study import series_of

from dataselect.transfer.chance import known_chance
from dataselect.transfer.fitting import RobustWay
from dataselect.transfer.function import Provenance, Setting, TransferFunction
from dataselect.transfer.held_out import last_accuracies
from dataselect.transfer.neighbours import averaged
from dataselect.transfer.pairs import Pairs

HERE = Path(__file__).parent
PROVENANCE = Provenance(Setting(*[None] * 8), "published runs", "later.py")
SHARES = (9 / 15, 10 / 15, 11 / 15, 12 / 15)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    ladder = pd.read_csv(data / "olmo_ladder_pairs.csv")
    rows = []
    for kind in ("cloze", "choice", "thin"):
        for _, pairs in series_of(ladder, kind):
            rows += [{"of": f"ladder, {kind}", **row} for row in judged(pairs)]
    for pairs in authors(data):
        rows += [{"of": f"authors, {pairs.benchmark}", **row} for row in judged(pairs)]
    found = pd.DataFrame(rows).groupby(["of", "method"], sort=False)
    table = found[["error", "held", "above", "width"]].mean()
    table["predicted"] = found.size()
    result = {
        "command": "python benchmarks/transfer/later.py --data FOLDER",
        "results": table.round(4).reset_index().to_dict("records"),
    }
    (HERE / "later.json").write_text(json.dumps(result, indent=1) + "\n")
    print(table.round(2).to_string())


def authors(data: Path) -> Iterator[Pairs]:
    """The authors' points, accuracies as they plot them."""
    table = pd.read_csv(data / "rbridge_pairs_1b_13b.csv")
    for name, rows in table.groupby("benchmark"):
        yield Pairs(
            str(name),
            rows["rbridge_nll_1b"].to_numpy(),
            rows["accuracy_13b"].to_numpy() / 100,
            rows["tokens_B"].to_numpy(dtype=np.float64),
            ("",) * len(rows),
            known_chance(str(name)),
        )


def judged(pairs: Pairs) -> Iterator[dict[str, Any]]:
    """A row for each predicted checkpoint, method and number of checkpoints fitted."""
    scores = averaged(pairs.metric, pairs.tokens, pairs.groups)
    for share in SHARES:
        cut = round(len(pairs) * share)
        past, future = np.arange(cut), np.arange(cut, len(pairs))
        truth = pairs.accuracy[future]
        # A proxy is trained to its end before it is used, so its scores are averaged over all.
        seen = replace(pairs, metric=scores).take(past)
        for method, (function, x) in functions_of(seen, pairs, scores, cut).items():
            low, high = function.intervals(x, 0.9)
            predicted = function.predict(x)
            yield from rows_of(method, predicted, truth, low, high)
        again = last_accuracies(pairs, falling=True)(past, future)
        yield from rows_of("last accuracies again", again, truth, None, None)


def functions_of(
    seen: Pairs, pairs: Pairs, scores: np.ndarray, cut: int
) -> dict[str, tuple[TransferFunction, np.ndarray]]:
    """By method, a function of the first checkpoints and the scores to predict from."""
    alone = replace(seen, metric=np.log(seen.tokens))
    return {
        "robust": (later(seen, falling=True), scores[cut:]),
        "as before": (as_before(seen), scores[cut:]),
        "log tokens": (later(alone, falling=False), np.log(pairs.tokens[cut:])),
    }


def later(seen: Pairs, *, falling: bool) -> TransferFunction:
    """The function for later checkpoints; scores are averaged already."""
    return RobustWay(PROVENANCE, seen.chance, falling, None).fit(seen).in_time()


def rows_of(
    method: str,
    predicted: np.ndarray,
    truth: np.ndarray,
    low: np.ndarray | None,
    high: np.ndarray | None,
) -> Iterator[dict[str, Any]]:
    for i, true in enumerate(truth):
        row = {"method": method, "error": 100 * abs(float(predicted[i] - true))}
        if low is not None and high is not None:
            row |= {
                "held": float(low[i] <= true <= high[i]),
                "above": float(true > high[i]),
                "width": 100 * float(high[i] - low[i]),
            }
        yield row


if __name__ == "__main__":
    main()
