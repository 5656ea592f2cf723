"""`dataselect.propose_mixture`: the best mixture within constraints, and files for trainers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataselect.api.arguments import as_confidence, as_count, as_path
from dataselect.api.mixture import MixtureFit, fit_of
from dataselect.api.result import Result
from dataselect.api.table_options import (
    FilePath,
    python_call,
)
from dataselect.mixture.constraints import Limits, no_limits, read_limits
from dataselect.mixture.exports import export_all, notes_on_texts, texts_of
from dataselect.mixture.model import MixtureModel
from dataselect.mixture.pareto import trade_offs
from dataselect.mixture.propose import propose, with_runs
from dataselect.mixture.response_map import response_map
from dataselect.mixture.single_share import compare_rankings
from dataselect.mixture.target_epochs import for_target, notes_on_epochs
from dataselect.report.mixture.proposal import proposal_document
from dataselect.report.mixture.readme import mixture_readme
from dataselect.report.mixture.verdict import mixture_verdict
from dataselect.report.output import make_folder, write_out
from dataselect.report.pictures import missing_pictures

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class MixtureProposal(Result):
    """The best mixture within constraints, compared with others."""

    document: dict[str, Any]
    """The whole result, as `dataselect mix propose --json` prints it."""

    model: MixtureModel
    """The model that predicted it, at the target's epochs if the constraints ask for them."""

    limits: Limits
    """The constraints, resolved for the model's sources."""

    exports: Mapping[str, str]
    """The shares as files for trainers: text by file name."""

    export_notes: tuple[str, ...]
    """Notes on these files."""

    @property
    def verdict(self) -> str:
        """The shares and their predicted gain, in a sentence."""
        return mixture_verdict(self.document)

    @property
    def notes(self) -> tuple[str, ...]:
        """Cautions on the proposal."""
        return tuple(self.document["notes"])

    @property
    def shares(self) -> dict[str, float]:
        """The proposed share of the tokens by source; they sum to 1."""
        return {name: each["weight"] for name, each in self.document["sources"].items()}

    @property
    def table(self) -> "pd.DataFrame":
        """A row for each source, largest share first.

        `weight` is the proposed share of the tokens; `low` and `high` where the optimum lies when
        runs are left out; `near_equal_low` and `near_equal_high` how far the share alone may move
        before the objective is worse by one held-out error. `prior` is the mixture compared with,
        `epochs` how often the source is read; both are missing where not known. `cap` is the
        largest share allowed, `capped_by` the constraint that holds the share down, if any, and
        `beyond_runs` says that no run has as much.
        """
        import pandas as pd

        sources = self.document["sources"]
        rows = {
            name: {key: value for key, value in each.items() if key != "slice"}
            for name, each in sources.items()
        }
        table = pd.DataFrame.from_dict(rows, orient="index")
        table = table.astype({"prior": float, "epochs": float, "capped_by": "string"})
        return table.sort_values("weight", ascending=False, kind="stable").rename_axis("source")

    @property
    def beside(self) -> "pd.DataFrame":
        """A row for each mixture compared with: prior, uniform shares, best source, best run.

        `objective` is predicted in the metrics' unit with the ends of its interval, and `gain` is
        what the proposal gains over it (above 0 the proposal is better, in either direction).
        """
        import pandas as pd

        rows = {
            name: {
                "which": each["which"],
                "objective": each["value"],
                "objective_low": each["low"],
                "objective_high": each["high"],
                **{key: each[key] for key in ("gain", "gain_low", "gain_high")},
            }
            for name, each in self.document["beside"].items()
        }
        table = pd.DataFrame.from_dict(rows, orient="index")
        return table.astype({"which": "string"}).rename_axis("beside")

    @property
    def trade_offs(self) -> "pd.DataFrame":
        """A row for each trade-off (`pareto`), with two levels of columns: `weight` has shares by
        source, `metric` the predicted metrics, `objective` the predicted objective."""
        import pandas as pd

        swarm, rows = self.model.swarm, self.document["trade_offs"]
        columns = [
            *(("weight", name) for name in swarm.sources),
            *(("metric", name) for name in swarm.metrics),
            ("objective", "objective"),
        ]
        values = [
            [
                *each["weights"].values(),
                *(part["value"] for part in each["metrics"].values()),
                each["objective"],
            ]
            for each in rows
        ]
        return pd.DataFrame(values, columns=pd.MultiIndex.from_tuples(columns))

    def to_json(self) -> str:
        """JSON text of `document`."""
        return json.dumps(self.document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def write(self, folder: FilePath) -> None:
        """Write shares for trainers, a README with pictures and proposal.json to a folder.

        The folder is created if absent. InputError names the file that cannot be written.
        """
        out = make_folder(as_path("folder", folder, "give the path of a folder"))
        files = {**self.exports, "proposal.json": self.to_json()}
        noted = {**self.document, "notes": [*self.document["notes"], *self.export_notes]}
        page = mixture_readme(noted, files)
        pictures = missing_pictures(self.document, self.model.swarm.shares, out)
        for name, text in {**files, "README.md": page, **pictures}.items():
            write_out(out / name, text)

    def _shown(self) -> "Mapping[str, pd.DataFrame]":
        share = f"{self.document['confidence']:.0%}"
        drop = ["near_equal_low", "near_equal_high", "cap", "beyond_runs"]
        return {
            "Proposed weights": self.table.drop(columns=drop),
            f"Beside the proposal, {share} intervals": self.beside,
        }


def propose_mixture(
    model: FilePath | MixtureFit,
    *,
    constraints: FilePath | Mapping[str, Any] | None = None,
    pareto: int = 0,
    confidence: float = 0.9,
    seed: int = 0,
    command: str | None = None,
) -> MixtureProposal:
    """Propose the best mixture within constraints, with its gain.

        ds.propose_mixture("model.json", constraints="limits.yaml").write("proposal")

    `model` is a model file or what `fit_mixture` returned. `constraints` is a YAML file, or a
    mapping of its content: tokens of the sources and of the target, repetition, bounds, prior,
    floors (docs/mixture.md). `pareto` is the number of trade-offs between metrics to find.
    Intervals cover with probability `confidence`; `seed` is of the search. `command` is recorded in
    the files (default: this call).

    Raises InputError for an error in the model file or the constraints, with the place, and for
    constraints that contradict each other or that no mixture satisfies.
    """
    by = command or python_call(propose_mixture, locals())
    confidence, seed = as_confidence(confidence), as_count("--seed", seed, 0)
    pareto = as_count("--pareto", pareto, 0)
    given = fit_of(model)
    fitted, swarm = given.model, given.model.swarm
    limits, name = no_limits(swarm.sources), None
    if constraints is not None:
        name = "constraints (a mapping)"
        file: Path | Mapping[str, Any]
        if isinstance(constraints, Mapping):
            file = constraints
        else:
            file = as_path("constraints", constraints, "give the path of a YAML file or a mapping")
            name = file.name
        limits = read_limits(file, swarm.sources, swarm.metrics, with_runs(fitted))
        fitted = for_target(fitted, limits)
    found = propose(fitted, limits, confidence, seed)
    others = trade_offs(fitted, limits, pareto, seed) if pareto else []
    sources = texts_of(swarm.sources, found.shares, limits)
    exports, export_notes = export_all(sources, limits.target_tokens, seed)
    facts = {
        "model": given.origin.name,
        "constraints": name,
        "confidence": confidence,
        "seed": seed,
        "command": by,
        "fitted_by": given.provenance.model_dump(),
    }
    rankings = compare_rankings(fitted, confidence)
    grid = response_map(fitted, confidence)
    document = proposal_document(fitted, limits, found, others, rankings, grid, facts)
    document["notes"] += notes_on_epochs(fitted, limits, found.shares)
    document["notes"] += notes_on_texts(sources, limits.target_tokens, limits)
    return MixtureProposal(document, fitted, limits, exports, tuple(export_notes))
