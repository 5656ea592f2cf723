"""`ds.design` and `dataselect design`: what to spend on proxies, before anything is spent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataselect.api.arguments import as_count, as_path, require_one_of
from dataselect.api.inputs import load_inputs
from dataselect.api.result import Result
from dataselect.api.table_options import python_call
from dataselect.config.budget import Budget, parse_budget
from dataselect.config.manifest import Manifest
from dataselect.config.plan import Plan
from dataselect.decisions.discrepancy import PUBLISHED
from dataselect.errors import InputError
from dataselect.report.designed_plan import designed_plan
from dataselect.report.output import write_out
from dataselect.report.tables.design import design_document, design_verdict, rungs_text
from dataselect.stages.design import Designed, design_plan

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class Design(Result):
    """Rungs for a budget: what to train, its cost, and the expected regret of the choice."""

    manifest: Manifest
    """What is to be chosen among."""

    plan: Plan
    """The plan that the new one is based on."""

    budget: Budget
    """What may be spent."""

    designed: Designed = field(compare=False)
    """The Python objects behind `document`: sizes, the model of scores, outcomes."""

    command: str
    """What made it, for the plan file."""

    @cached_property
    def document(self) -> dict[str, Any]:
        """What `dataselect design --json` prints; `plan_file` is None until one is written."""
        return design_document(self.manifest, self.plan, self.budget, self.designed)

    @property
    def verdict(self) -> str:
        """What to train, what it costs, and what is to be expected of the choice."""
        return design_verdict(self.document)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the figures rest on, and what they leave out."""
        return tuple(self.document["notes"])

    @property
    def rungs(self) -> "pd.DataFrame":
        """A row for each rung: `proxy`, `parameters`, `tokens`, `seeds`, `candidates` that are
        trained, `keep`, training `flops`, `p_best_kept` (probability that the best of all is still
        in after it) and `extrapolated` (why its figures are; missing if they are not)."""
        import pandas as pd

        rows = self.document["proposal"]["rungs"]
        index = pd.Index(range(1, len(rows) + 1), name="rung")
        return pd.DataFrame(rows, index=index)

    @property
    def frontier(self) -> "pd.DataFrame":
        """A row for each of five budgets, in FLOPs: the best `plan`, its `flops`, expected
        `regret` in units of the targets' spread, `regret_points` where that is known, and
        `p_best`, the probability that the choice is the best of all."""
        return self._frame(self.document["frontier"], "budget")

    @property
    def others(self) -> "pd.DataFrame":
        """As `frontier`, for other shapes of plans at the same budget, by name."""
        return self._frame(self.document["others"], "name")

    def to_yaml(self, path: str | Path = "plan.yaml") -> str:
        """The text of the plan, for a file at `path`, to which its own paths are relative."""
        file = as_path("--out", path, "give the path of a file")
        header = (f"Written by: {self.command}", self.verdict, *self.notes)
        return designed_plan(self.plan, self.designed, file, header)

    def write(self, path: str | Path) -> None:
        """Write the plan file, for `dataselect run --plan`. Raises InputError on failure."""
        file = as_path("--out", path, "give the path of a file")
        if file.suffix not in (".yaml", ".yml"):
            raise InputError(file, "a plan file ends in .yaml", "give another --out")
        write_out(file, self.to_yaml(file))

    def _frame(self, rows: list[dict[str, Any]], key: str) -> "pd.DataFrame":
        import pandas as pd

        columns = ("flops", "regret", "regret_points", "p_best")
        made = [{"plan": rungs_text(row["rungs"]), **{c: row[c] for c in columns}} for row in rows]
        frame = pd.DataFrame(made, index=pd.Index([row[key] for row in rows], name=key))
        return frame.astype(dict.fromkeys(columns, "float64"))

    def _shown(self) -> "Mapping[str, pd.DataFrame]":
        return {
            "Rungs": self.rungs.drop(columns="extrapolated"),
            "Other budgets, FLOPs; proxy ×seeds (candidates)": self.frontier,
            "Other choices at this budget": self.others,
        }


def design(
    manifest: str | Path | Manifest,
    budget: str | float,
    plan: str | Path | Plan | None = None,
    *,
    flops_per_second: str | float | None = None,
    price: str | None = None,
    spread: float | None = None,
    metric: str = "rbridge",
    keep_last: bool = False,
    seed: int = 0,
    command: str | None = None,
) -> Design:
    """Propose what to spend on proxies: their sizes, tokens and seeds, and how many to keep.

        ds.design("candidates.yaml", 1e19).write("stages/designed.yaml")

    `budget` is in FLOPs, or a text: "1e19", "40 GPU-hours" or "500 USD". Hours need
    `flops_per_second`, what one GPU sustains in training ("120 TFLOP/s"), and money also the
    `price` of an hour ("2.5 USD"). `plan` is the plan to base it on, by default the manifest's.
    `spread` is the standard deviation of the targets' accuracies in points, which turns regret into
    points; by default that of the manifest's evidence, if there is any. `metric` is the one whose
    published errors are counted on: `rbridge`, by which candidates are ranked, or `label_nll`.
    With `keep_last` the last rung is the plan's own last stage, with its transfer function, and
    the rungs before it are designed. `seed` draws the simulated choices. `command` is recorded in
    the plan file.

    Raises InputError for a wrong manifest, plan or budget, and for a budget that trains no proxy
    for each candidate.
    """
    by = command or python_call(design, locals())
    require_one_of("--metric", metric, tuple(PUBLISHED))
    seed = as_count("--seed", seed, 0)
    if spread is not None and not 0 < spread < 100:
        raise InputError("--spread", f"{spread:g} is not in points", "write one like 2.3")
    stated = parse_budget(budget, flops_per_second, price)
    loaded, base = load_inputs(manifest, plan, "--plan")
    designed = design_plan(
        loaded,
        base,
        stated.flops,
        metric=metric,
        spread=spread,
        keep_last=keep_last,
        seed=seed,
    )
    return Design(loaded, base, stated, designed, by)
