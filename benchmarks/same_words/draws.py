"""Whether counting sees anything: twelve more draws of every candidate's text, counted.

    python benchmarks/same_words/draws.py

After `tables.py`. Writes `draws.json`: decision accuracy by each order over the draws.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from counting import Counting
from study import HERE, MANIFESTS, STORE, prepared
from token_scores import questions

from dataselect.counting import ORDERS, column
from dataselect.decisions.agreement import decision_accuracy
from dataselect.store import write_atomic

DRAWS = range(10, 22)
TOKENS = 100_000


def main() -> None:
    measured = json.loads((HERE / "results.json").read_bytes())
    found: dict[str, Any] = {"tokens": TOKENS, "draws": len(DRAWS)}
    for which in MANIFESTS:
        experiment = prepared(which, STORE)
        (evaluation,) = experiment.evaluations.values()
        assert experiment.tokenizer is not None, "prepared where anything is trained"
        asked = questions(evaluation, experiment.tokenizer.folder)
        counting = Counting(experiment, asked.items, Path(STORE) / "draws")
        target = pd.DataFrame(measured[which]["target_accuracy"]).T.mean(axis=1)
        tables = [
            pd.DataFrame({name: counting.scores(name, TOKENS, draw) for name in target.index}).T
            for draw in DRAWS
        ]
        found[which] = {}
        for name in (column(order, "trace_nll") for order in ORDERS):
            each = pd.Series([decision_accuracy(t[name], target).decision_accuracy for t in tables])
            spread = pd.DataFrame({n: t[name] for n, t in enumerate(tables)})
            found[which][name] = {
                "decision_accuracy": each.mean(),
                "sd_of_draws": each.std(),
                "nats_between_candidates": spread.mean(axis=1).std(),
                "nats_between_draws": spread.std(axis=1).mean(),
            }
    print(json.dumps(found, indent=1))
    write_atomic(HERE / "draws.json", (json.dumps(found, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
