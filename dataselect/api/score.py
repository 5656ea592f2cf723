"""`ds.score` and `dataselect score`: models on benchmarks, with rBridge and the baselines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from dataselect.api.arguments import Paths, as_count, as_folder, require_one_of, several
from dataselect.api.result import Result
from dataselect.benchmarks.named import load_benchmarks, load_training_sets, split_names
from dataselect.compute import require_device
from dataselect.errors import InputError
from dataselect.report.output import make_folder
from dataselect.report.tables.score_frames import (
    LEGEND,
    exclusions_frame,
    failures,
    headline_frame,
    items_frame,
    means_frame,
    remarks,
)
from dataselect.report.tables.score_verdict import score_verdict
from dataselect.report.tables.scores import summary, write_scores
from dataselect.scoring.checkpoint import ModelCheckpoint, Precision, resolve_model
from dataselect.scoring.evaluate import Evaluation, Scope
from dataselect.scoring.gather import gather_named
from dataselect.scoring.isft import score_finetuned, with_isft
from dataselect.scoring.remarks import Remarks, not_among
from dataselect.scoring.score_models import (
    BenchmarkScores,
    distinct,
    require_items,
    score_models,
    tokenizers_note,
)
from dataselect.store import Store, lock
from dataselect.traces.library import TRACES_FOLDER

if TYPE_CHECKING:
    import pandas as pd

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, eq=False, repr=False)
class Scores(Result):
    """The scores of models on benchmarks. All models have the same items of each benchmark.

    Likelihoods (`rbridge`, `trace_nll`, `label_nll`, ...) are in nats per token, lower is better;
    accuracies (`exact_match`, `isft_accuracy`, `acc_per_char`, ...) are in 0..1, higher is better.
    docs/scoring.md explains each metric.
    """

    models: tuple[ModelCheckpoint, ...]
    """The models with scores, resolved to folder and revision, in the order of the arguments."""

    benchmarks: tuple[BenchmarkScores, ...]
    """The scores on each benchmark, in the order of the arguments."""

    facts: Mapping[str, Any]
    """How the scores were measured: `device`, `dtype`, `limit`."""

    when: datetime
    """When the scores were complete; the file names contain it."""

    failed: Mapping[str, str] = field(default_factory=dict)
    """Why models have no scores, or no accuracy after fine-tuning, by name."""

    titles: tuple[str, ...] = ()
    """Unique names of `models`, where some of those given failed."""

    @property
    def names(self) -> list[str]:
        """The names of the models, made unique: a second model of the same name gets a number."""
        return list(self.titles) or distinct([model.name for model in self.models])

    @property
    def complete(self) -> bool:
        """Whether no model failed."""
        return not self.failed

    @cached_property
    def table(self) -> "pd.DataFrame":
        """Means over items: a row for each model and benchmark, indexed by the two.

        `items` is the number of items that all models have. Each metric has its mean, its standard
        error (`METRIC_stderr`) and the number of items with a value (`METRIC_items`); metrics that
        a benchmark does not have are missing.
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
        """Caveats on the scores, as `BENCHMARK: note`, and models that failed."""
        return (
            *failures(self.failed),
            *(
                f"{each.evaluation.benchmark.id}: {note}"
                for each in self.benchmarks
                for note in each.notes
            ),
        )

    @property
    def document(self) -> dict[str, dict[str, Any]]:
        """The summary of each model by its name, in the shape of lm-evaluation-harness's results.

        `write` writes them as `results_DATE.json`.
        """
        return {
            name: summary(model, number, self.benchmarks, self.facts, self.when, self.failed)
            for number, (name, model) in enumerate(zip(self.names, self.models, strict=True))
        }

    @property
    def verdict(self) -> str:
        """One sentence: the lowest rBridge on each benchmark and its lead over the second.

        With a single model: its rBridge. ± is the standard error over items, for a lead that of
        the paired differences.
        """
        return score_verdict(self.names, self.benchmarks)

    def write(self, out: str | Path = "scores") -> list[Path]:
        """Write `OUT/MODEL/items_DATE.parquet` and `results_DATE.json`; returns the folders."""
        return write_scores(
            self.models,
            self.benchmarks,
            self.facts,
            self.when,
            make_folder(as_folder("out", out)),
            self.failed,
        )

    def _shown(self) -> "Mapping[str, pd.DataFrame]":
        return {LEGEND: headline_frame(self.names, self.benchmarks)}

    def _shown_notes(self) -> tuple[str, ...]:
        return (*failures(self.failed), *remarks(self.benchmarks))


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
    masks: bool = False,
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
    (`gsm8k`, `math500`, `arc_challenge`, `mmlu_pro_stem`, `commonsense_qa`, `humaneval`; `mask-arc`
    and the authors' other marked subsets, which are scored on masks alone) or YAML files of your
    own; a string may list several, separated by commas. `folder` holds the benchmarks
    as JSONL files, else they come from the Hub. `limit` takes the first `limit` items of each.

    `traces` are trace files, or folders of them; scores on several frontier models' traces are
    averaged. By default those in the folder `traces` are used, else the paper's released traces.
    `only_correct` leaves out traces that end in a wrong answer; `weights` says over what the token
    weights are scaled: the "trace", the "benchmark", or "none"; "span" takes the traces' marks for
    weights.

    `accuracy` also has each model write full answers and grades them; `isft` also fine-tunes it on
    each benchmark's training set and then grades its answers. `masks` also scores marked parts of
    the traces: their own `<span>` marks, numbers, operators and content words. `unsafe` runs
    generated programs even where they cannot be isolated.

    Every measurement is kept in the folder `store`, so a second call reuses it. `device` "auto"
    takes a GPU if there is one; `report` receives progress messages.

    Of several models, one that cannot be measured, or has too many values that are not finite, is
    in `failed` with its reason, and the others are scored.

    Raises InputError for bad input, for a benchmark without an item left to score and where every
    model failed (of a single model, its own error).
    """
    require_one_of("--weights", weights, get_args(Scope))
    require_one_of("--device", device, get_args(Device))
    require_one_of("--precision", precision, get_args(Precision))
    limit = None if limit is None else as_count("--limit", limit, 1)
    names = several("models", models)
    if not names:
        raise InputError("models", "no model is named", "name a folder, a Hub id or ID@REVISION")
    chosen = (
        split_names(benchmarks)
        if isinstance(benchmarks, str)
        else several("benchmarks", benchmarks)
    )
    local = None if folder is None else as_folder("--folder", folder)
    used_device, notify = require_device(device), report or _silent
    artifacts = Store(
        as_folder("--store", store),
        lambda work, holder: notify(f"{work}: waits for {holder}"),
    )
    with lock(artifacts.root, "the store", shared=True), Remarks() as warned:
        artifacts.clean()
        named = load_benchmarks(chosen, local, limit, notify)
        evaluations = gather_named(
            named,
            [Path(each) for each in several("--traces", traces)],
            Path(TRACES_FOLDER),
            artifacts,
            notify,
            only_correct=only_correct,
            weight_scope=weights,
            unsafe=unsafe,
        )
        training_sets = load_training_sets(named, local) if isft else {}
        resolved = [resolve_model(name, precision, artifacts) for name in names]
        measured = score_models(
            artifacts,
            resolved,
            evaluations,
            (
                *("scores", "baselines", "graded" if accuracy else "answers"),
                *(("masks",) if masks or not _all_have_answers(evaluations) else ()),
            ),
            device=used_device,
            precision=precision,
            unsafe=unsafe,
            report=notify,
        )
        # Of all models, so that a failed one's name is not given to another.
        titles = distinct([model.name for model in resolved])
        failed = {titles[place]: why for place, why in measured.failed.items()}
        kept = [place for place in range(len(resolved)) if place not in measured.failed]
        scored = list(measured.benchmarks)
        require_items(scored)
        if isft:
            finetuned = score_finetuned(
                artifacts,
                [resolved[place] for place in kept],
                evaluations,
                training_sets,
                device=used_device,
                precision=precision,
                unsafe=unsafe,
                report=notify,
            )
            scored = with_isft(scored, finetuned)
            failed |= {
                titles[kept[place]]: f"after fine-tuning: {why}"
                for place, why in finetuned.failed.items()
            }
    known = [note for each in scored for note in each.notes]
    more = [
        *not_among(warned.all, known),
        *tokenizers_note([resolved[place] for place in kept]),
    ]
    scored = [replace(each, notes=(*each.notes, *more)) for each in scored]
    facts = {"device": used_device, "dtype": precision, "limit": limit}
    return Scores(
        tuple(resolved[place] for place in kept),
        tuple(scored),
        facts,
        datetime.now(UTC),
        failed,
        tuple(titles[place] for place in kept),
    )


def _all_have_answers(evaluations: Sequence[Evaluation]) -> bool:
    return all(each.benchmark.has_answers for each in evaluations)


def _silent(_: str) -> None:
    """Ignore a progress message."""
