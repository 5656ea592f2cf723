"""`ds.search_mixture`: search for the shares of a manifest's sources, as `dataselect mix` does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataselect.api.arguments import as_count, as_folder, as_store
from dataselect.api.inputs import load_inputs
from dataselect.api.result import Result
from dataselect.config.manifest import Manifest
from dataselect.config.mixture import FEWEST_DESIGNED, Mix
from dataselect.config.plan import Plan
from dataselect.errors import InputError
from dataselect.mixture_search.prepare import check
from dataselect.mixture_search.search import Found, search
from dataselect.report.mixture.search import search_document, spent_document, write_search
from dataselect.report.mixture.verdict import mixture_verdict
from dataselect.report.output import make_folder
from dataselect.stages.engine import driver_device, job_device, open_compute, with_engine
from dataselect.stages.prepare import gather_inputs
from dataselect.stages.recording import About, recorded
from dataselect.stages.runtime import Runtime
from dataselect.stages.tracking import cost_numbers, run_config, tracker_choice
from dataselect.stages.watch import SilentWatch, Watch, shown_waits
from dataselect.stages.watching import watches_of
from dataselect.store import in_use

if TYPE_CHECKING:
    import pandas as pd

_SHARE_COLUMNS = ("weight", "low", "high", "prior", "epochs", "cap")


@dataclass(frozen=True, repr=False)
class MixtureSearch(Result):
    """The result of a search, as tables."""

    document: Mapping[str, Any]
    """The whole result: the content of proposal.json."""
    spent: Mapping[str, Any] = field(compare=False)
    """What the search took, in seconds, jobs and trials done again: the content of spent.json."""
    found: Found = field(compare=False)
    """The objects behind it: the model, the trials, the limits."""
    _inputs: tuple[Manifest, Plan] = field(compare=False)

    @property
    def verdict(self) -> str:
        """The proposed shares, their predicted gain and the measured one, in a sentence."""
        return mixture_verdict(self.document)

    @property
    def shares(self) -> dict[str, float]:
        """The proposed share of the tokens of each source, in 0..1; they sum to 1."""
        return {name: each["weight"] for name, each in self.document["sources"].items()}

    @property
    def table(self) -> "pd.DataFrame":
        """A row for each source: its proposed share `weight` of the tokens in 0..1 with `low` and
        `high`, the `prior`, the `epochs` over its text and the `cap` on its share."""
        import pandas as pd

        rows = {
            name: {column: each[column] for column in _SHARE_COLUMNS}
            for name, each in self.document["sources"].items()
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("source")

    @property
    def trials(self) -> "pd.DataFrame":
        """A row for each finished trial: `round` (-1: confirmation), `role`, `objective`."""
        import pandas as pd

        return pd.DataFrame(self.document["search"]["steps"]).set_index("trial")

    @property
    def notes(self) -> tuple[str, ...]:
        """Cautions on the proposal."""
        return tuple(self.document["notes"])

    def write(self, out: str | Path, command: str = "dataselect.search_mixture(...)") -> Path:
        """Write proposal, model, tables and files for trainers into `out`; returns its README."""
        folder = make_folder(as_folder("out", out))
        write_search(self.found, *self._inputs, folder, command)
        return folder / "README.md"

    def _shown(self) -> "Mapping[str, pd.DataFrame]":
        return {"Shares of the tokens": self.table}


def search_mixture(
    manifest: str | Path | Manifest,
    plan: str | Path | Plan | None = None,
    *,
    trials: int | None = None,
    pareto: int | None = None,
    storage: str | None = None,
    store: str | Path = ".dataselect",
    out: str | Path | None = None,
    on: str | None = None,
    track: Sequence[str] | None = None,
    watch: Watch | None = None,
    command: str = "dataselect.search_mixture(...)",
) -> MixtureSearch:
    """Train tiny proxies on mixtures of the manifest's sources and propose shares of the tokens.

    `manifest` and `plan` as for `run`. `trials`: proxies to train, and `pareto`: trade-offs between
    benchmarks to find, in place of the plan's. `storage`: URL of an Optuna storage that several
    machines share, by default a journal in the `store`. `out`: folder for the results, which are
    not written without it. `on` and `track` as for `run`. `command` is recorded in the results.

    Raises InputError before anything is trained, IncompleteError where too many trials failed.

        found = ds.search_mixture("candidates.yaml", trials=40)
        found.shares
    """
    loaded, chosen = load_inputs(manifest, plan)
    chosen = with_engine(chosen, on)
    mix = chosen.mix or Mix()
    if trials is not None:
        mix = _with_trials(mix, as_count("--trials", trials, 1))
    if pareto is not None:
        mix = mix.model_copy(update={"pareto": as_count("--pareto", pareto, 0)})
    if trials is not None or pareto is not None:
        chosen = chosen.model_copy(update={"mix": mix})
    check(loaded, chosen)
    trackers = tracker_choice(chosen, track)
    watch = watch or SilentWatch()
    kept = as_store("--store", store)
    folder = None if out is None else make_folder(as_folder("--out", out))
    device, here = job_device(chosen), driver_device(chosen)
    about = About("mix", loaded.name, command, str(loaded.file), chosen.name, folder, device)
    with (
        in_use(kept, clean=False),
        recorded(kept.root, about) as recorder,
        open_compute(chosen, kept.root) as compute,
    ):
        config = run_config(loaded, chosen)
        watches, metrics = watches_of(recorder, [watch], config, trackers, trains=True)
        runtime = Runtime(kept.told_to(shown_waits(watches)), compute, device, watches, here)
        found = search(gather_inputs(loaded, chosen, runtime), storage=storage)
        metrics.cost(cost_numbers({"mixture": found.spent}, runtime.seconds))
        recorder.close("incomplete" if found.unscored else "done")
    if folder is None:
        document = search_document(found, loaded, chosen, command)
    else:
        document = write_search(found, loaded, chosen, folder, command)
    return MixtureSearch(document, spent_document(found), found, (loaded, chosen))


def _with_trials(mix: Mix, trials: int) -> Mix:
    """The search with another number of trials, checked as in a plan."""
    if trials < FEWEST_DESIGNED:
        raise InputError(
            "--trials", f"{trials} are too few for a model", f"give {FEWEST_DESIGNED} or more"
        )
    changed = mix.model_copy(update={"trials": trials})
    if changed.replicates >= changed.designed:
        raise InputError(
            "--trials",
            f"{trials} leave none for mixtures beside {changed.replicates} of the prior",
            "give more, or lower 'replicates'",
        )
    return changed
