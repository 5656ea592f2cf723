"""`ds.score` and `dataselect score`: models on benchmarks, with rBridge and the baselines."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from dataselect.api.options import Paths, require_one_of, several
from dataselect.api.result import Result
from dataselect.benchmarks.named import load_benchmarks, load_training_sets, split_names
from dataselect.compute import resolve_device
from dataselect.errors import InputError
from dataselect.report.tables.score_frames import (
    LEGEND,
    exclusions_frame,
    headline_frame,
    items_frame,
    means_frame,
    remarks,
)
from dataselect.report.tables.score_verdict import score_verdict
from dataselect.report.tables.scores import summary, write_scores
from dataselect.scoring.checkpoint import ModelCheckpoint, Precision, resolve_model
from dataselect.scoring.evaluate import Scope
from dataselect.scoring.gather import gather_named
from dataselect.scoring.isft import score_finetuned, with_isft
from dataselect.scoring.score_models import (
    BenchmarkScores,
    distinct,
    require_items,
    score_models,
)
from dataselect.store import Store, lock
from dataselect.traces.library import TRACES_FOLDER

if TYPE_CHECKING:
    import pandas as pd

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, eq=False, repr=False)
class Scores(Result):
    """What `score` measured. All models have the same items of each benchmark.

    Likelihoods (`rbridge`, `trace_nll`, `label_nll`, ...) are in nats per token, lower is better;
    accuracies (`exact_match`, `isft_accuracy`, `acc_per_char`, ...) are in 0..1, higher is better.
    docs/scoring.md explains each metric.
    """

    models: tuple[ModelCheckpoint, ...]
    """As they were resolved, in the order asked."""

    benchmarks: tuple[BenchmarkScores, ...]
    """What was measured on each benchmark, in the order asked."""

    facts: Mapping[str, Any]
    """How it was measured: `device`, `dtype`, `limit`."""

    when: datetime
    """When the scores were complete; it names the files."""

    @property
    def names(self) -> list[str]:
        """What the models are called here: a second one of the same name gets a number."""
        return distinct([model.name for model in self.models])

    @cached_property
    def table(self) -> "pd.DataFrame":
        """Means over items: a row for each (model, benchmark), which are the index.

        `items` is how many items all models have. Each metric has its mean, its standard error
        (`METRIC_stderr`) and how many items have a value (`METRIC_items`); a metric that a
        benchmark does not have is empty.
        """
        return means_frame(self.names, self.benchmarks)

    @cached_property
    def items(self) -> "pd.DataFrame":
        """A row for each model, benchmark and item, with a column for each metric."""
        return items_frame(self.names, self.benchmarks)

    @cached_property
    def exclusions(self) -> "pd.DataFrame":
        """Items that were left out for all models: `benchmark`, `item`, `reason`."""
        return exclusions_frame(self.benchmarks)

    @property
    def notes(self) -> tuple[str, ...]:
        """What has to be known to read the scores, `BENCHMARK: note`."""
        return tuple(
            f"{each.evaluation.benchmark.id}: {note}"
            for each in self.benchmarks
            for note in each.notes
        )

    @property
    def document(self) -> dict[str, dict[str, Any]]:
        """The summary of each model by its name, in the shape of lm-evaluation-harness's results.

        These are the files `results_DATE.json` that `write` makes.
        """
        return {
            name: summary(model, number, self.benchmarks, self.facts, self.when)
            for number, (name, model) in enumerate(zip(self.names, self.models, strict=True))
        }

    @property
    def verdict(self) -> str:
        """One sentence: the lowest rBridge on each benchmark and its lead, or the only model's.

        What follows ± is a standard error over items; that of a lead is over paired differences.
        """
        return score_verdict(self.names, self.benchmarks)

    def write(self, out: str | Path = "scores") -> list[Path]:
        """Write `OUT/MODEL/items_DATE.parquet` and `results_DATE.json`; gives the folders."""
        return write_scores(self.models, self.benchmarks, self.facts, self.when, Path(out))

    def _shown(self) -> "Mapping[str, pd.DataFrame]":
        return {LEGEND: headline_frame(self.names, self.benchmarks)}

    def _shown_notes(self) -> tuple[str, ...]:
        return tuple(remarks(self.benchmarks))


def score(
    models: Paths,
    benchmarks: Paths,
    *,
    folder: str | Path | None = None,
    traces: Paths = (),
    only_correct: bool = False,
    weights: Scope = "trace",
    accuracy: bool = False,
    isft: bool = False,
    limit: int | None = None,
    store: str | Path = ".dataselect",
    device: Device = "auto",
    precision: Precision = "float32",
    unsafe: bool = False,
    report: Callable[[str], None] | None = None,
) -> Scores:
    """Score models on benchmarks: rBridge, R^φ and the paper's baselines, item by item.

        scores = ds.score("allenai/OLMo-2-0425-1B", ["gsm8k", "arc_challenge"], limit=100)
        scores.table["rbridge"]              # nats per token, by model and benchmark

    `models` are one or more of a folder, a Hub id or `ID@REVISION`. `benchmarks` are known names
    (`gsm8k`, `math500`, `arc_challenge`, `mmlu_pro_stem`, `commonsense_qa`, `humaneval`) or YAML
    files of your own; one text may hold several with commas. `folder` holds the benchmarks as
    JSONL files, else they come from the Hub; `limit` takes the first so many items of each.

    `traces` are trace files, or folders of them; scores on several frontier models' traces are
    averaged. Without any, those in the folder `traces` are taken, else the paper's released ones.
    `only_correct` leaves out traces that end in a wrong answer; `weights` says what the weights of
    a trace are scaled over: its "trace", the "benchmark", or "none".

    `accuracy` also has each model write full answers and grades them; `isft` also fine-tunes it on
    each benchmark's training set and grades its answers after that. `unsafe` runs generated
    programs even where they cannot be isolated.

    Every measurement is kept in the folder `store`, so a second call measures nothing anew.
    `device` "auto" takes a GPU where there is one; `report` is told what is being done.

    Raises InputError for bad input, also where no item of a benchmark is left to score, and
    LockedError where another run holds the store.
    """
    require_one_of("--weights", weights, get_args(Scope))
    require_one_of("--device", device, get_args(Device))
    require_one_of("--precision", precision, get_args(Precision))
    if limit is not None and limit < 1:
        raise InputError("--limit", f"{limit} is not positive", "give 1 or more")
    names = several(models)
    if not names:
        raise InputError("models", "no model is named", "name a folder, a Hub id or ID@REVISION")
    asked = split_names(benchmarks) if isinstance(benchmarks, str) else several(benchmarks)
    local = None if folder is None else Path(folder)
    where, tell = resolve_device(device), report or _silent
    kept = Store(Path(store))
    with lock(kept.root, "the store"):
        kept.clean()
        named = load_benchmarks(asked, local, limit, tell)
        evaluations = gather_named(
            named,
            [Path(each) for each in several(traces)],
            Path(TRACES_FOLDER),
            kept,
            tell,
            only_correct=only_correct,
            weight_scope=weights,
            unsafe=unsafe,
        )
        training_sets = load_training_sets(named, local) if isft else {}
        resolved = [resolve_model(name, precision, kept) for name in names]
        scored = score_models(
            kept,
            resolved,
            evaluations,
            ("scores", "baselines", "graded" if accuracy else "answers"),
            device=where,
            precision=precision,
            unsafe=unsafe,
            report=tell,
        )
        require_items(scored)
        if isft:
            finetuned = score_finetuned(
                kept,
                resolved,
                evaluations,
                training_sets,
                device=where,
                precision=precision,
                unsafe=unsafe,
                report=tell,
            )
            scored = with_isft(scored, finetuned)
    facts = {"device": where, "dtype": precision, "limit": limit}
    return Scores(tuple(resolved), tuple(scored), facts, datetime.now(UTC))


def _silent(_: str) -> None:
    """Progress that nobody asked for."""
