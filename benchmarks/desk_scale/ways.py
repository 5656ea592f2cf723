"""Ways of fitting the quickstart's transfer functions, judged on calibration datasets left out.

The ways were written down before any accuracy of these datasets was seen: pairs of the final
checkpoints alone or of the last three, without a prior or with the public one, and a constant,
which needs no proxy. A way is judged by the final checkpoint of each dataset, predicted from the
other datasets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataselect.transfer.fitting import fit_function
from dataselect.transfer.function import Provenance, Setting, TransferFunction
from dataselect.transfer.pairs import Pairs
from dataselect.transfer.prior_file import public_prior

PROVENANCE = Provenance(Setting(*[None] * 8), "calibration.yaml", "ways.py")
CONFIDENCE = 0.9


@dataclass(frozen=True)
class Way:
    """How a function is fitted."""

    checkpoints: int
    """Late checkpoints of each dataset."""
    prior: bool
    """Whether with the public prior."""


WAYS: Mapping[str, Way] = {
    "final checkpoints": Way(1, prior=False),
    "final checkpoints, with prior": Way(1, prior=True),
    "last three checkpoints": Way(3, prior=False),
    "last three checkpoints, with prior": Way(3, prior=True),
}


def rows_of(runs: Mapping[str, Any], way: str) -> list[dict[str, Any]]:
    """The table of pairs: a row for each dataset, checkpoint and benchmark."""
    rows = []
    for name, each in runs.items():
        proxy, target = each["proxy"]["checkpoints"], each["target"]["checkpoints"]
        for small, large in list(zip(proxy, target, strict=True))[-WAYS[way].checkpoints :]:
            assert small["tokens"] == large["tokens"], "checkpoints are at equal tokens"
            rows += [
                {
                    "benchmark": benchmark,
                    "group": name,
                    "tokens": small["tokens"],
                    "metric": small[benchmark]["rbridge"],
                    "accuracy": large[benchmark]["correct"],
                    "label_nll": small[benchmark]["label_nll"],
                }
                for benchmark in each["unigrams"]
            ]
    return rows


def left_out_errors(runs: Mapping[str, Any], way: str) -> dict[str, Any]:
    """Mean error on datasets left out beside a constant's, in points, and cover of intervals."""
    rows = rows_of(runs, way)
    errors, constants, held = [], [], []
    for benchmark in dict.fromkeys(row["benchmark"] for row in rows):
        for name in runs:
            mine = [row for row in rows if row["benchmark"] == benchmark]
            kept = [row for row in mine if row["group"] != name]
            last = [row for row in mine if row["group"] == name][-1]
            function = fitted(benchmark, kept, way)
            x, y = np.array([last["metric"]]), last["accuracy"]
            low, high = function.intervals(x, CONFIDENCE)
            errors.append(100 * abs(float(function.predict(x)[0]) - y))
            held.append(bool(low[0] <= y <= high[0]))
            finals = {row["group"]: row["accuracy"] for row in kept}
            constants.append(100 * abs(float(np.mean(list(finals.values()))) - y))
    return {
        "error": float(np.mean(errors)),
        "constant": float(np.mean(constants)),
        "held": float(np.mean(held)),
    }


def fitted(benchmark: str, rows: Sequence[Mapping[str, Any]], way: str) -> TransferFunction:
    """The function of some rows, as `dataselect fit` fits it."""
    columns = {
        key: np.array([row[key] for row in rows]) for key in ("metric", "accuracy", "tokens")
    }
    pairs = Pairs(
        benchmark,
        columns["metric"],
        columns["accuracy"],
        columns["tokens"].astype(float),
        tuple(row["group"] for row in rows),
        None,
    )
    prior = public_prior() if WAYS[way].prior else None
    return fit_function(pairs, PROVENANCE, falling=True, prior=prior)
