"""`dataselect.fit_transfer` and `dataselect.predict`: from proxy scores to target accuracy."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args, overload

from dataselect.api.arguments import as_confidence, as_count, as_flag, as_path
from dataselect.api.result import Result
from dataselect.api.table_options import (
    LEAST_DRAWS,
    FilePath,
    TableInput,
    as_setting,
    as_table,
    python_call,
)
from dataselect.errors import InputError
from dataselect.formats.in_memory import InMemory, Origin
from dataselect.report.output import write_out
from dataselect.report.tables.fits import fit_document, fit_verdict
from dataselect.report.tables.forecasts import forecast_csv, forecast_document, forecast_verdict
from dataselect.transfer.file import read_transfer_file, to_json
from dataselect.transfer.forecast import prior_doubts
from dataselect.transfer.forecast_table import (
    Settings,
    TableForecasts,
    forecast_table,
    read_proxy_scores,
)
from dataselect.transfer.function import Provenance, TransferFunction
from dataselect.transfer.pairs import PairsFile, read_pairs
from dataselect.transfer.prior import Prior, make_prior
from dataselect.transfer.prior_file import prior_json, read_prior
from dataselect.transfer.protocols import (
    Direction,
    PaperFit,
    RobustFit,
    find_direction,
    fit_paper,
    fit_robustly,
)
from dataselect.transfer.setting_file import SettingFile
from dataselect.wording import quoted

if TYPE_CHECKING:
    import pandas as pd

ProtocolName = Literal["robust", "paper"]


@dataclass(frozen=True, eq=False, repr=False)
class TransferFit(Result):
    """Transfer functions of one metric, one for each benchmark, and their errors."""

    pairs: PairsFile
    """The pairs that the functions were fitted on."""

    fits: Mapping[str, PaperFit | RobustFit]
    """By benchmark: the function, and its errors on held-out points."""

    direction: Direction
    """Whether lower scores are better, and how that was determined."""

    facts: Mapping[str, Any]
    """The file of the pairs, the protocol and the seed, as in the document."""

    every_benchmark: bool = False
    """Whether means are over benchmarks, too, whose score was seen to say nothing."""

    @property
    def functions(self) -> dict[str, TransferFunction]:
        """By benchmark; `function.predict(score)` returns an accuracy from 0 to 1."""
        return {name: each.function for name, each in self.fits.items()}

    @cached_property
    def document(self) -> dict[str, Any]:
        """What `dataselect fit --json` prints; `functions_file` is None until one is written."""
        correlations = self.direction.correlations
        return fit_document(
            self.pairs,
            self.fits,
            correlations,
            self.facts,
            self.notes,
            every_benchmark=self.every_benchmark,
        )

    @property
    def verdict(self) -> str:
        """The error of the predictions on held-out accuracies, in one sentence."""
        return fit_verdict(self.document)

    @property
    def notes(self) -> tuple[str, ...]:
        """Rows left out, the assumed units and direction, and a prior that the data contradict."""
        return (*self.pairs.notes, *self.direction.notes, *prior_doubts(self.functions))

    @property
    def table(self) -> "pd.DataFrame":
        """A row for each benchmark; errors are mean absolute errors in points of accuracy.

        `points` is the number of points fitted, with scores from `fitted_low` to `fitted_high`, of
        `datasets` datasets; `other_runs_mae` is the error on whole datasets left out. Robust
        protocol: `constant_other_runs_mae` is that of a constant; `says_nothing` whether the score
        was seen to add nothing; `floor` the accuracy of guessing (0 to 1); `cv_mae` the error in
        cross-validation, `last_20_mae` and `last_40_mae` on the last 20% and 40% of each run;
        `coverage_cv` and so on the share of held-out
        accuracies inside their 90% intervals; `tokens_alone_cv_mae` the error of the same fit on
        tokens instead of scores, missing if tokens are not known; `isotonic_cv_mae` that of the
        isotonic half alone. The paper's protocol: `family` of the curve, `train_r2`, `test_mae`
        and `test_mae_median` over folds.
        """
        import pandas as pd

        rows = {name: _fit_row(row) for name, row in self.document["benchmarks"].items()}
        table = pd.DataFrame.from_dict(rows, orient="index")
        unknown = table.columns[table.isna().all()]
        return table.astype(dict.fromkeys(unknown, "float64")).rename_axis("benchmark")

    def to_json(self) -> str:
        """The text of the transfer file."""
        return to_json(self.functions.values())

    def write(self, path: FilePath) -> None:
        """Write the transfer file, which `predict` and plans read. Raises InputError on failure."""
        write_out(as_path("path", path, "give the path of a file"), self.to_json())

    def prior(self, command: str | None = None) -> Prior:
        """Slope and scatter of these benchmarks over datasets, as a prior for other fits.

        Raises InputError with fewer than three benchmarks of five datasets each.
        """
        by = command or "dataselect.TransferFit.prior()"
        return make_prior(self.pairs.benchmarks, str(self.facts["file"]), by)

    def write_prior(self, path: FilePath, command: str | None = None) -> None:
        """Write `prior` to a file, which `fit_transfer` reads. Raises InputError on failure."""
        text = prior_json(self.prior(command))
        write_out(as_path("path", path, "give the path of a file"), text)

    def _shown(self) -> "Mapping[str, pd.DataFrame]":
        return {f"Transfer functions, {self.facts['protocol']} protocol": self.table}


def fit_transfer(
    pairs: TableInput,
    *,
    protocol: ProtocolName = "robust",
    lower_is_better: bool | None = None,
    setting: FilePath | Mapping[str, Any] | None = None,
    prior: FilePath | Prior | None = None,
    offsets: bool = False,
    every_benchmark: bool = False,
    seed: int = 0,
    command: str | None = None,
) -> TransferFit:
    """Fit transfer functions from proxy scores to target accuracy, and measure their error.

        ds.fit_transfer("pairs.csv").write("transfer.json")

    `pairs` is a CSV file or a frame with the columns `benchmark`, `metric` (the proxy's score) and
    `accuracy` (the target's at equal tokens; all in percent or all as shares), and optionally
    `tokens`, `group` (the dataset), `chance` and `label_nll`; a row for each pair of checkpoints.
    Rows without a group count as one dataset; from three on whole ones are left out for errors and
    intervals, and with fewer there is no interval for a new dataset without a `prior`: "public" (of
    published runs), the file of one, or one of `TransferFit.prior`. `offsets` gives each dataset a
    height of its own in the fit, shrunk towards none; not with a prior. Means leave out benchmarks
    whose score was seen to say nothing, unless `every_benchmark`. `protocol` is `robust` (a sigmoid
    and isotonic regression, averaged scores, tested intervals) or `paper` (the best of four
    families by train R²). `lower_is_better` None determines the direction from the data. `setting`
    is what the pairs were measured with (sizes, tokenizer, traces, ...), as a JSON file or a
    mapping; `predict` checks it. `seed` draws the five folds. `command` is recorded in the transfer
    file as the command that made it (default: this call).

    Raises InputError with the line for an error in the table, for fewer than three different scores
    on a benchmark (six by the paper's protocol, one with a prior), and for a setting with unknown
    fields.
    """
    by = command or python_call(fit_transfer, locals())
    if protocol not in get_args(ProtocolName):
        raise InputError(
            "--protocol", f"{quoted(protocol)} is not a protocol", "write robust or paper"
        )
    seed = as_count("--seed", seed, 0)
    if lower_is_better is not None:
        lower_is_better = as_flag("--lower-is-better", lower_is_better)
    every_benchmark = as_flag("--every-benchmark", every_benchmark)
    given = _prior(prior)
    if given is not None and protocol == "paper":
        fix = "leave it out, or use the robust protocol"
        raise InputError("--prior", "the paper's protocol has no prior", fix)
    offsets = as_flag("--offsets", offsets)
    if offsets and protocol == "paper":
        fix = "leave them out, or use the robust protocol"
        raise InputError("--offsets", "the paper's protocol has no offsets", fix)
    if offsets and given is not None:
        problem = "a prior has each dataset's deviation already"
        raise InputError("--offsets", problem, "keep one of the two")
    table = as_table("pairs", pairs)
    read = read_pairs(table)
    settings = as_setting(setting) or SettingFile()
    direction = find_direction(read.benchmarks, lower_is_better)
    fits: dict[str, PaperFit | RobustFit] = {}
    for name, of_one in read.benchmarks.items():
        provenance = Provenance(settings.of(name), settings.calibration or table.name, by)
        fits[name] = (
            fit_paper(of_one, provenance, seed)
            if protocol == "paper"
            else fit_robustly(
                of_one,
                provenance,
                seed,
                falling=direction.lower_is_better,
                prior=given,
                offsets=offsets,
            )
        )
    facts = {
        "file": str(table),
        "protocol": protocol,
        "seed": seed,
        "lower_is_better": direction.lower_is_better,
        "direction_from": direction.origin,
        "prior": None if given is None else given.name,
        "offsets": offsets,
        "functions_file": None,
    }
    return TransferFit(read, fits, direction, facts, every_benchmark)


def _prior(given: FilePath | Prior | None) -> Prior | None:
    if given is None or isinstance(given, Prior):
        return given
    return read_prior(as_path("--prior", given, "give the path of a prior, or 'public'"))


@dataclass(frozen=True, eq=False, repr=False)
class Predictions(Result):
    """Predicted target accuracy of candidates, and the probability that one beats another."""

    forecasts: TableForecasts
    """The forecasts, with the functions used."""

    settings: Settings
    """Confidence, draws and seed."""

    facts: Mapping[str, Any]
    """The files of scores and functions, as in the document."""

    @cached_property
    def document(self) -> dict[str, Any]:
        """What `dataselect predict --json` prints."""
        return forecast_document(self.forecasts, self.settings, self.facts)

    @property
    def verdict(self) -> str:
        """Which candidate comes first, and which cannot be told apart from it."""
        return forecast_verdict(self.document)

    @property
    def notes(self) -> tuple[str, ...]:
        """Functions used in spite of a refusal (`force`), then what was left out or not checked."""
        forced = (f"FORCED: {refusal}" for refusal in self.forecasts.overruled.values())
        return (*forced, *self.forecasts.notes)

    @property
    def table(self) -> "pd.DataFrame":
        """A row for each candidate, indexed by id, best first.

        `rank` counts from 1; candidates of one `tier` cannot be told apart from its first. Both are
        missing for a candidate without a score on each benchmark. `predicted_accuracy` is the mean
        over benchmarks, a share from 0 to 1, `low` and `high` the ends of its interval, missing
        where the functions know nothing of other datasets than their own.
        `extrapolated` marks scores outside the range that a function was fitted on.
        """
        import pandas as pd

        columns = ("rank", "tier", "predicted_accuracy", "low", "high", "extrapolated")
        rows = [[each["id"], *(each[key] for key in columns)] for each in self._candidates]
        table = pd.DataFrame(rows, columns=["id", *columns]).set_index("id")
        numbers = dict.fromkeys(("predicted_accuracy", "low", "high"), "float64")
        whole = dict.fromkeys(("rank", "tier"), "Int64")
        return table.astype({**whole, **numbers, "extrapolated": "boolean"})

    @property
    def benchmarks(self) -> "pd.DataFrame":
        """A row for each candidate and benchmark with a score; columns as in `table`.

        `score` is the mean over `seeds` seeds, in the metric's unit.
        """
        import pandas as pd

        rows = {
            (each["id"], name): part
            for each in self._candidates
            for name, part in each["benchmarks"].items()
        }
        index = pd.MultiIndex.from_tuples(list(rows), names=["id", "benchmark"])
        columns = ("score", "seeds", "predicted_accuracy", "low", "high", "extrapolated")
        return pd.DataFrame(list(rows.values()), index=index, columns=columns)

    @property
    def wins(self) -> "pd.DataFrame":
        """The probability that the target of the row beats that of the column, by id.

        NaN where the functions know nothing of other datasets than their own.
        """
        return self.forecasts.forecasts.wins

    @overload
    def to_csv(self) -> str: ...
    @overload
    def to_csv(self, path: FilePath) -> None: ...
    def to_csv(self, path: FilePath | None = None) -> str | None:
        """Write the CSV file of `dataselect predict --out`; without a path, return its text.

        A row for each candidate, best first, with a column of predicted accuracy for each
        benchmark, which `agree` compares with a target's column of that name; give it the columns
        that you mean. Raises InputError if the file cannot be written.
        """
        text = forecast_csv(self.document)
        if path is None:
            return text
        write_out(as_path("path", path, "give the path of a file"), text)
        return None

    def _shown(self) -> "Mapping[str, pd.DataFrame]":
        share = f"{self.settings.confidence:.0%}"
        return {f"Predicted accuracy of the target (0 to 1), {share} intervals": self.table}

    @property
    def _candidates(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.document["candidates"]
        return rows


def predict(
    scores: TableInput,
    functions: FilePath | TransferFit | Mapping[str, TransferFunction],
    *,
    setting: FilePath | Mapping[str, Any] | None = None,
    force: bool = False,
    same_data: bool = False,
    every_benchmark: bool = False,
    confidence: float = 0.9,
    draws: int = 2000,
    seed: int = 0,
) -> Predictions:
    """Predict candidates' target accuracy from proxy scores, and rank them.

        ds.predict("scores.csv", "transfer.json").table

    `scores` is a CSV file or a frame: a column `id` and one for each benchmark, or the columns
    `id`, `benchmark` and `metric`; `seed` if there are several. `functions` is a transfer file,
    the result of `fit_transfer`, or transfer functions by benchmark. `setting` is what the scores
    were measured with, as for `fit_transfer`; functions fitted for another target, benchmark, set
    of traces or version of the metric are refused unless `force`. Candidates are taken for datasets
    that the functions have not seen; functions of one or two datasets know nothing of these, and
    give no intervals (`fit_transfer`). With `same_data` they are later checkpoints of the runs that
    were fitted. Means leave out benchmarks whose score was seen to say nothing, unless
    `every_benchmark`. Intervals cover the share
    `confidence`, from `draws` draws with the seed `seed`; two candidates are told apart if one
    beats the other with probability `confidence` or more.

    Raises InputError for an error in a table or file, when no function matches any of the
    benchmarks, and for functions that are refused.
    """
    confidence = as_confidence(confidence)
    draws, seed = as_count("--draws", draws, LEAST_DRAWS), as_count("--seed", seed, 0)
    force = as_flag("--force", force)
    same_data = as_flag("--same-data", same_data)
    every_benchmark = as_flag("--every-benchmark", every_benchmark)
    settings = Settings(confidence, draws, seed, same_data, every_benchmark)
    table = as_table("scores", scores)
    known, origin = _functions(functions)
    proxies = read_proxy_scores(table, known)
    given = as_setting(setting)
    forecasts = forecast_table(proxies, known, origin, given, settings, force=force)
    facts = {"scores_file": str(table), "functions_file": str(origin)}
    return Predictions(forecasts, settings, facts)


def _functions(
    given: FilePath | TransferFit | Mapping[str, TransferFunction],
) -> tuple[Mapping[str, TransferFunction], Origin]:
    if isinstance(given, TransferFit):
        return given.functions, InMemory("functions", "a TransferFit")
    if isinstance(given, Mapping):
        origin = InMemory("functions", "a mapping")
        if not all(isinstance(each, TransferFunction) for each in given.values()):
            raise InputError(origin, "it holds no transfer functions", "give them by benchmark")
        return given, origin
    path = as_path(
        "functions", given, "give the path of a transfer file or the result of fit_transfer"
    )
    return read_transfer_file(path), path


def _fit_row(row: Mapping[str, Any]) -> dict[str, Any]:
    low, high = row["fitted_range"]
    cells = {"points": row["points"], "fitted_low": low, "fitted_high": high}
    cells |= {key: row[key] for key in ("datasets", "other_runs_mae")}
    if "family_wins" in row:
        keys = ("family", "train_r2", "test_mae", "test_mae_median")
        return cells | {key: row[key] for key in keys}
    cells["constant_other_runs_mae"] = row["beside"]["constant"]["other_runs_mae"]
    cells["says_nothing"] = row["worth"]["says_nothing"]
    errors = ("floor", "cv_mae", "last_20_mae", "last_40_mae")
    cells |= {key: row[key] for key in errors}
    cells |= {f"coverage_{split}": share for split, share in row["coverage"].items()}
    tokens = row["beside"].get("log tokens", {})
    return cells | {
        "tokens_alone_cv_mae": tokens.get("cv_mae"),
        "isotonic_cv_mae": row["beside"]["isotonic"]["cv_mae"],
    }
