"""`dataselect.fit_mixture` and `predict_mixtures`: from runs on some mixtures to any other."""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from dataselect._version import __version__
from dataselect.api.arguments import as_confidence, as_count, as_flag, as_path
from dataselect.api.result import Result
from dataselect.api.swarm_inputs import read_inputs
from dataselect.api.table_options import (
    FilePath,
    TableInput,
    as_table,
    python_call,
)
from dataselect.formats.in_memory import Frame, InMemory, Origin, Table
from dataselect.mixture.direction import check_direction
from dataselect.mixture.model import MixtureModel, fit_model
from dataselect.mixture.model import Predictions as ModelPredictions
from dataselect.mixture.model_file import Provenance, read_model, to_json
from dataselect.mixture.objective import find_objective
from dataselect.mixture.predictions import column_names, columns_of, to_csv
from dataselect.mixture.repeats import notes_on_repeats
from dataselect.mixture.single_share import Rankings, compare_rankings
from dataselect.mixture.stack import Observe
from dataselect.mixture.swarm import read_epochs, read_shares, read_swarm, with_epochs
from dataselect.mixture.target_epochs import (
    at_epochs,
    fitted_repetition,
)
from dataselect.report.mixture.proposal import fit_verdict
from dataselect.report.output import write_out
from dataselect.stages.watch import SilentWatch, Watch
from dataselect.store.files import sha256_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class MixtureFit(Result):
    """A model of every metric of any mixture of a swarm's sources, and of the objective."""

    model: MixtureModel
    """The runs and what was fitted to them."""

    provenance: Provenance
    """The tables with their hashes, and the command or call that fitted it."""

    origin: Origin
    """The model's file, or a description of the object where there is none."""

    @cached_property
    def document(self) -> dict[str, Any]:
        """The content of the model file, which `dataselect mix fit --out` writes."""
        found: dict[str, Any] = json.loads(self.to_json())
        return found

    @property
    def verdict(self) -> str:
        """How well held-out runs are predicted, and ranked compared with one source's share."""
        return fit_verdict(self.model, self.rankings)

    @property
    def notes(self) -> tuple[str, ...]:
        """Which runs, sources and metrics were left out, and cautions on the runs."""
        return self.model.swarm.notes

    @cached_property
    def rankings(self) -> Rankings:
        """Rank correlation with the objective of held-out runs: the model's, and a rival's.

        The rival ranks mixtures by the share of the source that correlates most with the objective.
        """
        return compare_rankings(self.model)

    @property
    def repetition(self) -> str | None:
        """What repeated text was worth in the runs; None where no run repeated any."""
        return next(iter(fitted_repetition(self.model)), None)

    @property
    def table(self) -> "pd.DataFrame":
        """A row for each metric: how well held-out runs are predicted.

        `error` is the root mean square in the metric's unit, `of_spread` the same divided by the
        metric's standard deviation over the runs (1 is no better than their mean). `by` is the
        surrogate with the largest stacking weight, `share` that weight.
        """
        import pandas as pd

        swarm, stack = self.model.swarm, self.model.stack
        _, averaged = self.model.errors
        largest = stack.stacking_weights.argmax(axis=0)
        names = list(stack.whole)
        return pd.DataFrame(
            {
                "error": averaged,
                "of_spread": averaged / swarm.values.std(axis=0),
                "by": [names[i] for i in largest],
                "share": stack.stacking_weights.max(axis=0),
            },
            index=pd.Index(swarm.metrics, name="metric"),
        )

    @property
    def errors(self) -> "pd.DataFrame":
        """Held-out errors divided by the metric's spread, by surrogate and metric."""
        import pandas as pd

        swarm, names = self.model.swarm, [*self.model.stack.whole, "average"]
        single, averaged = self.model.errors
        values = np.vstack([single, averaged]) / swarm.values.std(axis=0)
        return pd.DataFrame(values, index=pd.Index(names, name="surrogate"), columns=swarm.metrics)

    def to_json(self) -> str:
        """Text of the model file."""
        return to_json(self.model, self.provenance)

    def save(self, path: FilePath) -> None:
        """Write the model file, which `predict_mixtures`, `propose_mixture` and `dataselect mix`
        read. InputError if it cannot be written."""
        write_out(Path(path), self.to_json(), "--out")

    def _shown(self) -> "Mapping[str, pd.DataFrame]":
        return {"Root mean square error on held-out runs": self.table}


def fit_mixture(
    ratios: TableInput,
    metrics: TableInput | Sequence[TableInput],
    *,
    epochs: TableInput | None = None,
    objective: FilePath | Mapping[str, float] | None = None,
    lower_is_better: bool = False,
    trust_direction: bool = False,
    trees: bool = False,
    seed: int = 0,
    watch: Watch | None = None,
    command: str | None = None,
) -> MixtureFit:
    """Fit surrogates of every metric to a swarm's runs, averaged by cross-validation.

        ds.fit_mixture("ratios.csv", "metrics.csv", lower_is_better=True).save("model.json")

    Tables are CSV files or frames with a column `run`. `ratios` has a column for each source: its
    share of the tokens, each row summing to 1. `metrics` has a column for each metric; lower
    values are better for all of them (`lower_is_better`) or higher ones for all, and names and
    shape are checked against that unless `trust_direction`. `epochs` says how often runs read each
    source, in the columns of `ratios`. In place of `ratios` a folder that `design_swarm` wrote has
    its ratios and epochs; `metrics` may be a folder with the runs' results of lm-evaluation-harness
    or OLMES, and several tables or folders, each of other runs. `objective` is what to optimise: a
    metric, several as "a=2,b=1", a mapping from metric to weight, or a YAML file (default: their
    mean). `trees` tries
    gradient-boosted trees too (needs LightGBM). `seed` assigns runs to folds. `watch` receives
    progress, for example `dataselect.report.live.LiveWatch`. `command` is recorded in the model
    file (default: this call).

    Raises InputError for an error in a table, with its line; for fewer complete runs than eight, or
    than two more than sources; for an unknown metric; and for a direction that names or shape of
    the metrics contradict.
    """
    by = command or python_call(fit_mixture, locals())
    seed = as_count("--seed", seed, 0)
    lower_is_better = as_flag("--lower-is-better", lower_is_better)
    trust_direction = as_flag("--trust-direction", trust_direction)
    trees = as_flag("--trees", trees)
    given = read_inputs(ratios, metrics, epochs, lower_is_better)
    tables = given.tables
    swarm = read_swarm(tables["ratios"], *given.metrics)
    if "epochs" in tables:
        swarm = with_epochs(swarm, tables["epochs"])
    swarm = replace(swarm, notes=(*given.notes, *swarm.notes))
    if not trust_direction:
        check_direction(tables["metrics"], swarm, lower_is_better)
    spec = os.fspath(objective) if isinstance(objective, os.PathLike) else objective
    mean = find_objective(spec, swarm.metrics, swarm.values)
    shown = _shown_fits(watch or SilentWatch(), len(swarm.metrics))
    model = fit_model(swarm, mean, lower_is_better, seed, trees, shown)
    if given.repeats:
        notes = (*swarm.notes, *notes_on_repeats(model, given.repeats))
        model = replace(model, swarm=replace(model.swarm, notes=notes))
    files = {role: {"name": each.name, "sha256": _sha256(each)} for role, each in tables.items()}
    provenance = Provenance(command=by, version=__version__, files=files)
    return MixtureFit(model, provenance, InMemory("model", "a MixtureFit"))


def _shown_fits(watch: Watch, metrics: int) -> Observe:
    work = f"fits of {metrics} metric{'s' if metrics > 1 else ''}"
    began = time.monotonic()
    watch.progress(work, {})

    def observe(done: int, total: int) -> None:
        left = (time.monotonic() - began) * (total - done) / done
        watch.progress(work, {"items": done, "total_items": total, "seconds_left": left})

    return observe


@dataclass(frozen=True, eq=False, repr=False)
class MixturePredictions(Result):
    """A model's predictions for mixtures."""

    runs: tuple[str, ...]
    """Names of the mixtures."""

    shares: "pd.DataFrame"
    """Their shares: a row for each mixture, a column for each source of the model."""

    model: MixtureModel
    """The model that predicted them, at the epochs asked for."""

    predicted: ModelPredictions
    """Values, and half widths of their intervals."""

    confidence: float
    """Probability that an interval covers the value."""

    reading: tuple[str, ...] = ()
    """Mixtures that were skipped, and what was changed when reading."""

    @property
    def verdict(self) -> str:
        """Which mixture is predicted to be best."""
        costs = self.model.sign * self.predicted.objective
        best = self.runs[int(np.argmin(costs))]
        row = self.table.loc[best]
        ends = f"{row['objective']:.4g} [{row['objective_low']:.4g}, {row['objective_high']:.4g}]"
        of = f"Of {len(self.runs)} mixtures {best} is predicted best" if len(self.runs) > 1 else ""
        better = "lower" if self.model.lower_is_better else "higher"
        return f"{of or f'{best} is predicted'}: objective {ends} ({better} is better)."

    @property
    def notes(self) -> tuple[str, ...]:
        """Which mixtures were skipped, and how many have more of a source than any run."""
        most = self.model.swarm.shares.max(axis=0)
        beyond = (self.shares.to_numpy() > most + 1e-6).any(axis=1)
        if not beyond.any():
            return self.reading
        beyond_runs = f"{beyond.sum()} of {len(beyond)} have more of a source than any run has"
        return (*self.reading, beyond_runs)

    @property
    def table(self) -> "pd.DataFrame":
        """A row for each mixture, by run: every metric in its unit and `objective`, each followed
        by the ends of its interval, as `qa_loss`, `qa_loss_low` and `qa_loss_high`."""
        import pandas as pd

        return pd.DataFrame(
            columns_of(self.predicted),
            index=pd.Index(self.runs, name="run"),
            columns=column_names(self.model.swarm.metrics),
        )

    @overload
    def to_csv(self) -> str: ...
    @overload
    def to_csv(self, path: FilePath) -> None: ...
    def to_csv(self, path: FilePath | None = None) -> str | None:
        """Write the file that `dataselect mix predict --out` writes, or return its text.

        InputError if it cannot be written.
        """
        text = to_csv(self.runs, self.model.swarm.metrics, self.predicted)
        if path is None:
            return text
        write_out(Path(path), text)
        return None

    def _shown(self) -> "Mapping[str, pd.DataFrame]":
        return {f"Predictions with {self.confidence:.0%} intervals": self.table}


def predict_mixtures(
    model: FilePath | MixtureFit,
    at: TableInput,
    *,
    epochs: TableInput | None = None,
    confidence: float = 0.9,
) -> MixturePredictions:
    """Predict metrics and objective of mixtures, with intervals.

        ds.predict_mixtures("model.json", "mixtures.csv").table

    `model` is a model file or what `fit_mixture` returned. `at` is a CSV file or a frame of
    mixtures, with the columns of `ratios` there; a source without a column has no share, and a
    mixture with a source that the model does not know is skipped, with a note. `epochs`
    says how often each mixture reads each source (default: as often as the runs did). Intervals
    cover with probability `confidence`, for mixtures like those of the runs.

    Raises InputError for an error in a table or the model file, with its line or field, for a
    source that the model does not know in every mixture, and for epochs where no run repeated text.
    """
    import pandas as pd

    confidence = as_confidence(confidence)
    fitted = fit_of(model).model
    mixtures = read_shares(as_table("at", at), fitted.swarm.sources)
    runs, shares = mixtures.names, mixtures.shares
    if epochs is not None:
        rates = read_epochs(as_table("epochs", epochs), fitted.swarm.sources, runs, shares)
        fitted = at_epochs(fitted, rates)
    predicted = fitted.predict(shares, confidence)
    table = pd.DataFrame(shares, index=pd.Index(runs, name="run"), columns=fitted.swarm.sources)
    return MixturePredictions(runs, table, fitted, predicted, confidence, mixtures.notes)


def fit_of(given: FilePath | MixtureFit) -> MixtureFit:
    """The fitted model given to a function, read from its file if it is a path."""
    if isinstance(given, MixtureFit):
        return given
    fix = "give the path of a model file, or what fit_mixture returned"
    path = as_path("model", given, fix)
    return MixtureFit(*read_model(path), path)


def _sha256(table: Table) -> str:
    """SHA-256 of a file, or of the CSV text of a frame."""
    if isinstance(table, Frame):
        return hashlib.sha256(table.csv_text().encode()).hexdigest()
    return sha256_of(table)
