"""`dataselect.design_swarm`: mixtures to train with one's own trainer, as its configurations."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dataselect._version import __version__
from dataselect.api.arguments import (
    as_amount,
    as_count,
    as_flag,
    as_manifest,
    as_path,
    require_one_of,
    several,
)
from dataselect.api.result import Result
from dataselect.api.table_options import FilePath, python_call
from dataselect.config.manifest import Manifest
from dataselect.config.schema import in_memory
from dataselect.errors import InputError
from dataselect.mixture.constraints import Constraints, Limits, load_constraints, resolve
from dataselect.mixture.earlier_swarm import Earlier, check_same_texts, read_earlier
from dataselect.mixture.exports import Source, export_all, notes_on_texts, texts_of
from dataselect.mixture.swarm_design import SwarmDesign, design_runs
from dataselect.mixture.swarm_file import (
    SWARM_FILE,
    RecordedRun,
    RecordedSource,
    SwarmRecord,
    read_record,
)
from dataselect.mixture.swarm_sources import SwarmSources, find_sources
from dataselect.mixture.swarm_tables import (
    constraints_yaml,
    epochs_csv,
    ratios_csv,
    runs_csv,
    used_sources,
)
from dataselect.mixture.trainers import BY_NAME
from dataselect.report.mixture.swarm import swarm_readme, swarm_verdict
from dataselect.report.output import make_folder, write_out

if TYPE_CHECKING:
    import pandas as pd

_CONSTRAINTS = "constraints.yaml"
_HEADER = (
    "# Limits and prior of this swarm, for `dataselect mix propose --constraints`; edit them "
    "freely.\n"
)


@dataclass(frozen=True, eq=False, repr=False)
class MixtureSwarm(Result):
    """Mixtures to train, and files that tell a trainer of each."""

    design: SwarmDesign
    """The runs, with the limits that they keep."""

    record: SwarmRecord
    """What the design is from: the content of swarm.json."""

    files: Mapping[str, str]
    """The other files but README.md: text by path in the folder."""

    export_notes: tuple[str, ...]
    """Notes on the files for trainers."""

    @property
    def document(self) -> dict[str, Any]:
        """What `dataselect mix swarm --json` prints: swarm.json with shares of runs and notes."""
        found = self.record.model_dump(mode="json")
        used = used_sources(self.design)
        for run, planned in zip(found["runs"], self.design.runs, strict=True):
            run["shares"] = {self.design.sources[j]: planned.shares[j] for j in used}
        return {**found, "notes": list(self.notes)}

    @property
    def verdict(self) -> str:
        """How many runs of what are to be trained, in a sentence."""
        return swarm_verdict(self.design)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out or assumed."""
        return (*self.design.notes, *self.export_notes)

    @property
    def ratios(self) -> "pd.DataFrame":
        """A row for each run, earlier ones first: its share of the tokens of each source."""
        return self._frame(self.design.shares)

    @property
    def epochs(self) -> "pd.DataFrame | None":
        """A row for each run: how often it reads each source, 0 where the source's tokens are not
        known. None where `tokens` or those of all sources are not known."""
        rates = self.design.rates
        return None if rates is None else self._frame(rates * self.design.shares)

    @property
    def runs(self) -> "pd.DataFrame":
        """A row for each run: `seed` of its training, its `role` (`prior`, `designed`, `repeat` of
        an earlier run, `earlier` where it is trained already) and which run it `repeats`."""
        import pandas as pd

        rows = [run.model_dump() for run in self.record.runs]
        table = pd.DataFrame(rows).set_index("run")
        return table.astype({"seed": "Int64", "repeats": "string"})

    def write(self, folder: FilePath) -> None:
        """Write ratios.csv, runs.csv, constraints.yaml, swarm.json, a README and the runs' files.

        A folder with the same swarm gets what is missing; an edited constraints.yaml stays.
        InputError for a folder with another swarm, and for a file that cannot be written.
        """
        out = make_folder(as_path("folder", folder, "give the path of a folder"))
        there = read_record(out)
        if there is None and (out / "ratios.csv").exists():
            raise InputError(out, "it holds a ratios.csv of something else", "give another --out")
        record = self.record
        if there is not None:
            if not record.same_design(there):
                problem = f"it holds another swarm, of {len(there.runs)} runs"
                raise InputError(out, problem, "give another --out")
            record = record.model_copy(
                update={"export": list(dict.fromkeys([*there.export, *record.export]))}
            )
        # First, so that a folder which a kill left unfinished is known as this swarm's.
        write_out(out / SWARM_FILE, record.to_json())
        page = swarm_readme(self.design, record, self.notes)
        for name, text in self.files.items():
            if name == _CONSTRAINTS and there is not None and (out / name).exists():
                continue
            if "/" in name:
                make_folder((out / name).parent)
            write_out(out / name, text)
        write_out(out / "README.md", page)

    def _frame(self, values: Any) -> "pd.DataFrame":
        import pandas as pd

        used = used_sources(self.design)
        names = [run.name for run in self.design.runs]
        columns = [self.design.sources[j] for j in used]
        return pd.DataFrame(values[:, used], index=pd.Index(names, name="run"), columns=columns)

    def _shown(self) -> "Mapping[str, pd.DataFrame]":
        return {"Shares of the tokens": self.ratios}


def design_swarm(
    manifest: FilePath | Manifest,
    *,
    runs: int | None = None,
    constraints: FilePath | Mapping[str, Any] | None = None,
    sources: Sequence[str] | None = None,
    tokens: int | str | None = None,
    target_epochs: bool = False,
    replicates: int = 2,
    reuse: FilePath | None = None,
    export: str | Sequence[str] = "weights",
    seed: int = 0,
    command: str | None = None,
) -> MixtureSwarm:
    """Design mixtures to train with your own trainer, and write them as its configurations.

        ds.design_swarm("candidates.yaml", runs=64, export="olmo-core").write("swarm")

    `manifest` names the sources: its texts, of which nothing is read, and its mixtures of texts
    where `sources` names them. `runs` is how many to train, by default three for each source, or
    with `reuse` for what is new. `constraints` is what `propose_mixture` takes: bounds, prior,
    tokens, parts. `tokens` is what each run trains on, a number or a text such as "5B". With
    `target_epochs` the README says how much of each text to train on, so that runs read texts as
    often as the target. The first `replicates` runs are of the prior, with different seeds. `reuse`
    is an earlier swarm (its folder, or a ratios.csv) whose runs stay: new ones have some of each
    new source, but for one that repeats an earlier mixture. `export` names trainers: olmo-core,
    megatron, nanotron, streaming, streaming-tokens, datasets, torchtitan, levanter, litgpt, or
    weights for anything. `seed` is of the design. `command` is recorded in the files (default: this
    call).

    Raises InputError for an error in a file, with the place; for too few runs, with the number
    needed; for an unknown source or trainer; and where a name stands for another text than in the
    earlier swarm.
    """
    by = command or python_call(design_swarm, locals())
    count = None if runs is None else as_count("--runs", runs, 1)
    replicates, seed = as_count("--replicates", replicates, 0), as_count("--seed", seed, 0)
    length = None if tokens is None else as_amount("--tokens", tokens)
    trainers = list(dict.fromkeys(several("--export", export)))
    for name in trainers:
        require_one_of("--export", name, tuple(BY_NAME))
    if not trainers:
        raise InputError("--export", "it names no trainer", "name one, or leave it out")
    loaded = as_manifest(manifest)
    earlier = None
    if reuse is not None:
        fix = "give the folder of a swarm, or the path of its ratios.csv"
        earlier = read_earlier(as_path("--reuse", reuse, fix))
    named = None if sources is None else several("--sources", sources)
    found = find_sources(
        loaded, named, _constraints(constraints), () if earlier is None else earlier.sources
    )
    if earlier is not None:
        check_same_texts(earlier, found.recorded, found.texts)
    limits = _limits(found, loaded, earlier)
    names = list(found.recorded)
    designed = design_runs(
        names,
        limits,
        count,
        seed,
        replicates=replicates,
        tokens=length,
        target_epochs=as_flag("--target-epochs", target_epochs),
        earlier=earlier,
    )
    return _swarm(designed, found, trainers, seed, by, earlier)


def _constraints(given: FilePath | Mapping[str, Any] | None) -> Constraints:
    if given is None or isinstance(given, Mapping):
        return in_memory(Constraints, given or {})
    return load_constraints(
        as_path("constraints", given, "give the path of a YAML file or a mapping")
    )


def _limits(found: SwarmSources, manifest: Manifest, earlier: Earlier | None) -> Limits:
    names = list(found.recorded)
    # Floors are of metrics, which there are none of yet.
    file = found.constraints.model_copy(update={"floors": None})
    mixtures = {}
    if earlier is not None:
        place = {name: i for i, name in enumerate(earlier.sources)}
        for run, row in zip(earlier.runs, earlier.shares, strict=True):
            mixture = np.array([row[place[n]] if n in place else 0.0 for n in names])
            if mixture.sum() > 1 - 1e-6:
                mixtures[run] = mixture
    return resolve(file, names, (), mixtures, manifest.target.total_tokens)


def _swarm(
    design: SwarmDesign,
    found: SwarmSources,
    trainers: Sequence[str],
    seed: int,
    command: str,
    earlier: Earlier | None,
) -> MixtureSwarm:
    limits, n = design.run_limits, len(design.current)
    names = [file for trainer in trainers for file in BY_NAME[trainer]]
    exported: dict[str, str] = {}
    notes: dict[str, None] = {}
    most: dict[str, Source] = {}
    for run in design.new:
        texts = texts_of(design.current, np.array(run.shares[:n]), limits)
        files, of_files = export_all(texts, design.tokens, run.seed or 0, names, length="--tokens")
        exported |= {f"runs/{run.name}/{file}": text for file, text in files.items()}
        notes |= dict.fromkeys(of_files)
        for text in texts:
            if text.share > most.get(text.name, text).share or text.name not in most:
                most[text.name] = text
    notes |= dict.fromkeys(notes_on_texts(list(most.values()), design.tokens, limits))
    ratios, epochs = ratios_csv(design), epochs_csv(design)
    limits_yaml = constraints_yaml(design, found.constraints)
    record = SwarmRecord(
        schema_version=1,
        version=__version__,
        command=command,
        seed=seed,
        tokens=design.tokens,
        kept=design.kept,
        sources=_recorded(design, found, earlier),
        texts={name: dict(text) for name, text in found.texts.items()},
        prior=dict(zip(design.current, design.prior.tolist(), strict=True)),
        constraints_sha256=_sha256(limits_yaml),
        ratios_sha256=_sha256(ratios),
        reuses=None if earlier is None else earlier.path.name,
        export=list(trainers),
        runs=[
            RecordedRun(run=run.name, seed=run.seed, role=run.role, repeats=run.repeats)
            for run in design.runs
        ],
    )
    tables = {"ratios.csv": ratios, "runs.csv": runs_csv(design)}
    if epochs is not None:
        tables["epochs.csv"] = epochs
    tables[_CONSTRAINTS] = _HEADER + limits_yaml
    return MixtureSwarm(design, record, {**exported, **tables}, tuple(notes))


def _recorded(
    design: SwarmDesign, found: SwarmSources, earlier: Earlier | None
) -> dict[str, RecordedSource]:
    record = None if earlier is None else earlier.record
    known = {} if record is None else record.sources
    gone = {
        name: known.get(name, RecordedSource()).model_copy(update={"removed": True})
        for name in design.removed
    }
    return {**found.recorded, **gone}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
