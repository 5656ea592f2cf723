"""The prior that is shipped: slopes and scatters of published runs, no rows of their tables.

    python benchmarks/transfer/public_prior.py --data FOLDER

FOLDER holds `dclm_1b.csv` (mlfoundations/dclm, MIT: NLL of the gold answer and accuracy of the same
1B model on each of 152 datasets, ten tasks), `datadecide_olmes_nll.csv` and
`datadecide_target_1b.csv` (allenai/DataDecide, ODC-BY: NLL of proxies of 20M to 750M on 25 recipes,
accuracy of 1B on eight tasks; medians over sizes). All slopes are over datasets: those along a run
are another quantity. Written to `dataselect/transfer/public_prior.json`.

Not used: the OLMo ladder, the OpenLM scaling runs and the points of rBridge's authors. Where the
prior is checked on one of its own tables, the benchmark at hand is left out of both.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from dataselect.transfer.pairs import Pairs
from dataselect.transfer.prior import Prior, PriorSource, combine, source
from dataselect.transfer.prior_file import prior_json

SHIPPED = Path(__file__).parents[2] / "dataselect/transfer/public_prior.json"
COMMAND = "python benchmarks/transfer/public_prior.py --data FOLDER"
NAME = "of published runs (DCLM 1B over 152 datasets, DataDecide over 25 recipes)"
SIZES = ("20M", "60M", "90M", "150M", "300M", "530M", "750M")
TASKS = (
    *("arc_challenge", "csqa", "arc_easy", "hellaswag"),
    *("mmlu", "openbookqa", "piqa", "boolq"),
)
ALIASES = {"commonsense_qa": "csqa", "openbook_qa": "openbookqa"}
"""Names of the same benchmark in the two tables."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    made = public_prior(parser.parse_args().data)
    SHIPPED.write_text(prior_json(made), encoding="utf-8")
    print(f"slope {made.slope:.3f} ± {made.slope_sd:.3f}, scatter {made.scatter:.4f}", end="")
    print(f" with {made.scatter_freedom} degrees of freedom, from {len(made.sources)} benchmarks")


def public_prior(data: Path, without: str | None = None, *, datadecide: bool = True) -> Prior:
    """The prior of both tables, or all of it but one benchmark or but DataDecide."""
    sources = [*dclm_sources(data), *(datadecide_sources(data) if datadecide else ())]
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
    names = map(str, table.columns)
    tasks = [name.removesuffix("_accuracy") for name in names if name.endswith("_accuracy")]
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


def datadecide_sources(data: Path) -> Iterator[PriorSource]:
    runs = pd.read_csv(data / "datadecide_olmes_nll.csv")
    target = pd.read_csv(data / "datadecide_target_1b.csv").set_index("recipe")
    table = runs.pivot_table(index="recipe", columns="size", values=runs.columns[-1])
    scores = table.loc[target.index]
    unknown = np.full(len(target), np.nan)
    for task in TASKS:
        found = [
            source(
                Pairs(
                    task,
                    scores[size].to_numpy(),
                    target[task].to_numpy(),
                    unknown,
                    tuple(target.index),
                    None,
                ),
                "datadecide",
            )
            for size in SIZES
        ]
        slope = float(np.median([each.slope for each in found if each is not None]))
        scatter = float(np.median([each.scatter for each in found if each and each.scatter]))
        yield _rounded(PriorSource("datadecide_olmes_nll.csv", task, len(target), slope, scatter))


def _rounded(found: PriorSource) -> PriorSource:
    """To four digits, which is more than they are worth."""
    scatter = None if found.scatter is None else round(found.scatter, 4)
    return PriorSource(found.table, found.benchmark, found.datasets, round(found.slope, 4), scatter)


if __name__ == "__main__":
    main()
