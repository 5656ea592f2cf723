"""`ds.score` and `dataselect score`: models on benchmarks, with rBridge and the baselines."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from dataselect.api.arguments import (
    Paths,
    as_amount,
    as_count,
    as_folder,
    as_store,
    require_one_of,
    several,
)
from dataselect.api.result import Result
from dataselect.benchmarks.items import BenchmarkItems
from dataselect.benchmarks.named import load_benchmarks, load_training_sets, split_names
from dataselect.compute import require_device
from dataselect.counting.named_texts import find_texts, is_named_text
from dataselect.counting.score_texts import (
    CountedText,
    count_texts,
    read_text,
    tokenizer_of,
    with_texts,
)
from dataselect.errors import InputError
from dataselect.report.output import make_folder
from dataselect.report.tables.score_frames import (
    LEGEND,
    candidates_frame,
    exclusions_frame,
    failures,
    headline_frame,
    items_frame,
    means_frame,
    remarks,
)
from dataselect.report.tables.score_matrix import write_tables
from dataselect.report.tables.score_verdict import score_verdict
from dataselect.report.tables.scores import summary, write_candidates, write_scores
from dataselect.scoring.checkpoint import ModelCheckpoint, Precision, resolve_model
from dataselect.scoring.evaluation import Evaluation, Measurement, Scope
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
from dataselect.stages.recording import About, recorded
from dataselect.stages.scoring_work import planned_scoring, scoring_outlook
from dataselect.stages.tracking import harmless, tracker_choice
from dataselect.stages.watch import SilentWatch, Watch, shown_waits
from dataselect.stages.watching import watches_of
from dataselect.store import Store, in_use
from dataselect.traces.library import TRACES_FOLDER

if TYPE_CHECKING:
    import pandas as pd

Device = Literal["auto", "cpu", "cuda"]
_PREPARE, _SCORE, _TUNE = "Benchmarks and traces", "Scores", "After fine-tuning"
"""Parts of the work, as they are shown."""


@dataclass(frozen=True, eq=False, repr=False)
class Scores(Result):
    """The scores of models on benchmarks. All models have the same items of each benchmark.

    Likelihoods (`rbridge`, `trace_nll`, `label_nll`, ...) are in nats per token, lower is better;
    accuracies (`exact_match`, `isft_accuracy`, `acc_per_char`, ...) are in 0..1, higher is better.
    Texts have those by counting (`ngram1_trace_nll`, `ngram1_rbridge`, to order 5), and models none
    of these. docs/scoring.md explains each metric.
    """

    models: tuple[ModelCheckpoint | CountedText, ...]
    """The models with scores, resolved to folder and revision, in the order of the arguments; then
    the texts that are scored by counting."""

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

    @cached_property
    def candidates(self) -> "pd.DataFrame":
        """Means with a row for each candidate, as `ds.agree` reads them: `id` and the metrics.

        A model's id is its name, a text's that of its candidate or file; a model and a text with
        the same id share a row. With several benchmarks a column is `BENCHMARK/METRIC`.
        """
        return candidates_frame(self.names, self.benchmarks)

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
        """Write `OUT/MODEL/items_DATE.parquet` and `results_DATE.json`; returns the folders.

        `OUT/scores_DATE.csv` has the table `candidates`; `OUT/table_DATE.md` and `.json` have the
        headline metrics, models as rows and benchmarks as columns.
        """
        folder = make_folder(as_folder("out", out))
        written = write_scores(
            self.models, self.benchmarks, self.facts, self.when, folder, self.failed
        )
        write_candidates(self.candidates, self.when, folder)
        write_tables(self.names, self.benchmarks, self.when, folder)
        return written

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
    tokenizer: str | Path | None = None,
    tokens: int | str | None = None,
    store: str | Path = ".dataselect",
    device: Device = "auto",
    precision: Precision = "float32",
    unsafe: bool = False,
    track: Sequence[str] | None = None,
    report: Callable[[str], None] | None = None,
    watch: Watch | None = None,
    command: str | None = None,
) -> Scores:
    """Score models on benchmarks: rBridge, R^φ and the paper's baselines, item by item.

        scores = ds.score("allenai/OLMo-2-0425-1B", ["gsm8k", "arc_challenge"], limit=100)
        scores.table["rbridge"]              # nats per token, by model and benchmark

    `models` are one or more of a folder, a Hub id or `ID@REVISION`. `benchmarks` are known names
    (`gsm8k`, `math500`, `arc_challenge`, `mmlu_pro_stem`, `commonsense_qa`, `humaneval`; `mask-arc`
    and the authors' other marked subsets, which are scored on masks alone) or YAML files of your
    own; a string may list several, separated by commas. `folder` holds the benchmarks
    as JSONL files, else they come from the Hub. `limit` takes the first `limit` items of each.

    `models` may also name texts that are scored by counting their words, without a model:
    `ngram:FILE`, `ngram:FOLDER`, `ngram:MANIFEST.yaml` (each candidate with text) or
    `ngram:MANIFEST.yaml#ID`. They are cut into tokens by `tokenizer`, a folder or Hub id, by
    default that of the first model. `tokens` of each (a number, or as "10M") are counted, by
    default all of a local text.

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
    takes a GPU if there is one. `report` receives progress messages, and `watch` the progress
    itself, for example `dataselect.report.live.LiveWatch`. `track`: trackers that show the means,
    as for `run`. `command` is what `dataselect status` says to resume it with.

    Of several models, one that cannot be measured, or has too many values that are not finite, is
    in `failed` with its reason, and the others are scored.

    Raises InputError for bad input, for a benchmark without an item left to score and where every
    model failed (of a single model, its own error).
    """
    require_one_of("--weights", weights, get_args(Scope))
    require_one_of("--device", device, get_args(Device))
    require_one_of("--precision", precision, get_args(Precision))
    limit = None if limit is None else as_count("--limit", limit, 1)
    counted = None if tokens is None else as_amount("--tokens", tokens)
    names = several("models", models)
    if not names:
        raise InputError("models", "no model is named", "name a folder, a Hub id or ID@REVISION")
    of_texts = [name for name in names if is_named_text(name)]
    of_models = [name for name in names if not is_named_text(name)]
    _check_texts(of_texts, of_models, tokenizer, writes=accuracy or isft)
    named_texts = [text for name in of_texts for text in find_texts(name)]
    chosen = (
        split_names(benchmarks)
        if isinstance(benchmarks, str)
        else several("benchmarks", benchmarks)
    )
    local = None if folder is None else as_folder("--folder", folder)
    where, trackers = require_device(device), tracker_choice(None, track)
    artifacts = as_store("--store", store)
    asked: dict[str, Any] = {"models": names, "benchmarks": chosen, "weights": weights}
    asked |= {"traces": [str(each) for each in several("traces", traces)], "limit": limit}
    asked |= {"only_correct": only_correct, "accuracy": accuracy, "isft": isft, "masks": masks}
    about = _about(names, command, where, asked)
    with (
        in_use(artifacts),
        Remarks() as warned,
        recorded(artifacts.root, about) as recorder,
    ):
        messages = report or _silent
        config = {**harmless(asked), "device": where, "precision": precision}
        shown = [watch or SilentWatch(), _Reporting(messages)]
        watches, _ = watches_of(recorder, shown, config, trackers)
        artifacts = artifacts.told_to(shown_waits(watches))
        how = _How(where, precision, unsafe, watches, messages)
        watches.step(_PREPARE)
        named = load_benchmarks(chosen, local, limit, watches.note)
        evaluations = gather_named(
            named,
            [Path(each) for each in several("--traces", traces)],
            Path(TRACES_FOLDER),
            artifacts,
            watches.note,
            only_correct=only_correct,
            weight_scope=weights,
            unsafe=unsafe,
        )
        training_sets = load_training_sets(named, local) if isft else {}
        resolved = [resolve_model(name, precision, artifacts) for name in of_models]
        texts = []
        if named_texts:
            cut_by = tokenizer_of(tokenizer or resolved[0].folder(), artifacts)
            texts = [
                read_text(each, cut_by, counted, artifacts, watches.note) for each in named_texts
            ]
            count_texts(artifacts, texts, evaluations, watches.note)
        measured = _OfModels((), (), (), {})
        if resolved:
            wanted: tuple[Measurement, ...] = (
                *("scores", "baselines", "graded" if accuracy else "answers"),
                *(("masks",) if masks or not _all_have_answers(evaluations) else ()),
            )
            measured = _of_models(
                artifacts, resolved, evaluations, wanted, training_sets if isft else None, how
            )
        scored = with_texts(artifacts, measured.benchmarks, evaluations, texts)
        require_items(scored)
        recorder.close("incomplete" if measured.failed else "done")
    subjects: tuple[ModelCheckpoint | CountedText, ...] = (*measured.models, *texts)
    known = [note for each in scored for note in each.notes]
    more = [*not_among(warned.all, known), *tokenizers_note(subjects)]
    scored = [replace(each, notes=(*each.notes, *more)) for each in scored]
    facts = {"device": how.device, "dtype": precision, "limit": limit}
    return Scores(
        subjects,
        tuple(scored),
        facts,
        datetime.now(UTC),
        measured.failed,
        tuple(distinct([*measured.titles, *(text.name for text in texts)])),
    )


def _check_texts(
    texts: Sequence[str], models: Sequence[str], tokenizer: str | Path | None, *, writes: bool
) -> None:
    """Raise InputError for what texts lack, and for a tokenizer that nothing needs."""
    if texts and not models and tokenizer is None:
        raise InputError(
            texts[0],
            "nothing says how to cut it into tokens",
            "give --tokenizer FOLDER, or name a model beside it",
        )
    if texts and not models and writes:
        raise InputError(
            texts[0],
            "counts of words write no answers that could be graded",
            "leave out --accuracy and --isft, or name a model beside it",
        )
    if tokenizer is not None and not texts:
        raise InputError(
            "--tokenizer",
            "models have tokenizers of their own",
            "leave it out, or name a text (ngram:FILE)",
        )


@dataclass(frozen=True)
class _How:
    """How models are measured."""

    device: str
    """Where they run: "cpu" or "cuda"."""
    precision: Precision
    """The dtype that they run in."""
    unsafe: bool
    """Whether programs may run where they cannot be isolated."""
    watch: Watch
    """Shows what is being done."""
    report: Callable[[str], None]
    """Gets a message for each measurement."""

    def tuning(self, text: str) -> None:
        """Shows a message of fine-tuning."""
        self.watch.progress(text, {})


@dataclass(frozen=True)
class _OfModels:
    """What models were found to score."""

    models: tuple[ModelCheckpoint, ...]
    """Those that did not fail."""
    titles: tuple[str, ...]
    """Their names, made unique among all that were given."""
    benchmarks: tuple[BenchmarkScores, ...]
    """A table for each of `models`."""
    failed: Mapping[str, str]
    """Why others failed, or have no accuracy after fine-tuning, by name."""


def _of_models(
    store: Store,
    models: Sequence[ModelCheckpoint],
    evaluations: Sequence[Evaluation],
    measurements: tuple[Measurement, ...],
    training_sets: Mapping[str, BenchmarkItems] | None,
    how: _How,
) -> _OfModels:
    """Measure models; with training sets also after fine-tuning."""
    later = [] if training_sets is None else [_TUNE]
    how.watch.tell(scoring_outlook(_SCORE, *later))
    how.watch.step(_SCORE)
    how.watch.tell(planned_scoring(store, models, evaluations, measurements))
    measured = score_models(
        store,
        models,
        evaluations,
        measurements,
        device=how.device,
        precision=how.precision,
        unsafe=how.unsafe,
        report=how.report,
        on_event=how.watch.event,
    )
    # Of all models, so that a failed one's name is not given to another.
    titles = distinct([model.name for model in models])
    failed = {titles[place]: why for place, why in measured.failed.items()}
    kept = [place for place in range(len(models)) if place not in measured.failed]
    scored: Sequence[BenchmarkScores] = measured.benchmarks
    require_items(scored)
    if training_sets is not None:
        how.watch.step(_TUNE)
        finetuned = score_finetuned(
            store,
            [models[place] for place in kept],
            evaluations,
            training_sets,
            device=how.device,
            precision=how.precision,
            unsafe=how.unsafe,
            report=how.report,
            on_event=how.watch.event,
            on_tuning=how.tuning,
        )
        scored = with_isft(scored, finetuned)
        failed |= {
            titles[kept[place]]: f"after fine-tuning: {why}"
            for place, why in finetuned.failed.items()
        }
    return _OfModels(
        tuple(models[place] for place in kept),
        tuple(titles[place] for place in kept),
        tuple(scored),
        failed,
    )


def _all_have_answers(evaluations: Sequence[Evaluation]) -> bool:
    return all(each.benchmark.has_answers for each in evaluations)


def _about(
    models: Sequence[str], command: str | None, device: str, asked: Mapping[str, Any]
) -> About:
    """What the command is, for `dataselect status`."""
    first, more = Path(models[0]).name, len(models) - 1
    return About(
        kind="score",
        name=f"score {first}" + (f" and {more} more" if more else ""),
        command=command or f"ds.score({list(models)!r}, ...)",
        manifest="",
        plan="",
        report=None,
        device=device,
        subject=json.dumps(asked, sort_keys=True, default=str),
    )


class _Reporting(SilentWatch):
    """Passes on as messages what a watch is told."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report

    def note(self, text: str) -> None:
        """A remark."""
        self._report(text)

    def progress(self, work: str, fields: Mapping[str, float | int | str]) -> None:
        """Something waits for another process, or a model is fine-tuned."""
        waits = f": waits for {fields['waits_for']}" if "waits_for" in fields else ""
        self._report(f"{work}{waits}")


def _silent(_: str) -> None:
    """Ignore a progress message."""
