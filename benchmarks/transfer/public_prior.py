"""The prior that is shipped: slopes and scatters of published runs, no rows of their tables.

    python benchmarks/transfer/public_prior.py --data FOLDER

FOLDER holds `dclm_1b.csv` (mlfoundations/dclm, MIT: NLL of the gold answer and accuracy of one 1B
model on each of 185 datasets, ten tasks; slope and scatter over datasets) and
`olmo_ladder_pairs.csv` (allenai/OLMo-ladder, Apache-2.0: bits per byte of a proxy and accuracy of a
larger target along six runs, ten tasks; the median slope over runs). Written to
`dataselect/transfer/public_prior.json`.

Not used, since the prior is checked on them: DataDecide, the OpenLM scaling runs and the points of
rBridge's authors.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import theilslopes

from dataselect.transfer.pairs import Pairs
from dataselect.transfer.prior import Prior, PriorSource, combine, source
from dataselect.transfer.prior_file import prior_json

SHIPPED = Path(__file__).parents[2] / "dataselect/transfer/public_prior.json"
COMMAND = "python benchmarks/transfer/public_prior.py --data FOLDER"
NAME = "of published runs (DCLM 1B over 185 datasets, OLMo ladder over six pairs of models)"
ALIASES = {"commonsense_qa": "csqa", "openbook_qa": "openbookqa"}
"""Names of the same benchmark in the two tables."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    made = public_prior(parser.parse_args().data)
    SHIPPED.write_text(prior_json(made), encoding="utf-8")
    print(f"slope {made.slope:.3f} ± {made.slope_sd:.3f}, scatter {made.scatter:.4f}", end="")
    print(f" with {made.scatter_freedom} degrees of freedom, from {len(made.sources)} benchmarks")


def public_prior(data: Path, without: str | None = None) -> Prior:
    """The prior of the two tables, or all of it but one benchmark."""
    sources = [*dclm_sources(data), *ladder_sources(data)]
    kept = [s for s in sources if ALIASES.get(s.benchmark, s.benchmark) != without]
    return combine(NAME, kept, COMMAND)


def dclm_sources(data: Path) -> Iterator[PriorSource]:
    for pairs in dclm_pairs(data).values():
        found = source(pairs, "dclm_1b.csv")
        assert found is not None
        yield _rounded(found)


def dclm_pairs(data: Path) -> dict[str, Pairs]:
    """The ten tasks; the columns `perplexity` hold nats (a random model has ln of its
    vocabulary)."""
    table = pd.read_csv(data / "dclm_1b.csv")
    tasks = [name.removesuffix("_accuracy") for name in table if name.endswith("_accuracy")]
    unknown = np.full(len(table), np.nan)
    return {
        task: Pairs(
            task,
            table[f"{task}_perplexity"].to_numpy(),
            table[f"{task}_accuracy"].to_numpy(),
            unknown,
            tuple(table["dataset"]),
            None,
        )
        for task in tasks
    }


def ladder_sources(data: Path) -> Iterator[PriorSource]:
    table = pd.read_csv(data / "olmo_ladder_pairs.csv").dropna(subset=["target_acc_rc"])
    for task, rows in table.groupby("task"):
        slopes = [
            theilslopes(of_run["target_acc_rc"], np.log(of_run["proxy_bpb"])).slope
            for _, of_run in rows.groupby("pair")
        ]
        slope = float(np.median(slopes))
        yield _rounded(PriorSource("olmo_ladder_pairs.csv", str(task), len(slopes), slope, None))


def _rounded(found: PriorSource) -> PriorSource:
    """To four digits, which is more than they are worth."""
    scatter = None if found.scatter is None else round(found.scatter, 4)
    return PriorSource(found.table, found.benchmark, found.datasets, round(found.slope, 4), scatter)


if __name__ == "__main__":
    main()
