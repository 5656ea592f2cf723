"""Output of `dataselect score`: a Parquet table of items, a summary and terminal tables.

The summary has the shape of lm-evaluation-harness's results files (`results`, `configs`,
`n-shot`, `n-samples`, ...; metrics are `name,none` with `name_stderr,none`), so that programs that
read those can read these. Everything without a place there is under the key `dataselect`.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dataselect._version import __version__
from dataselect.counting.score_texts import CountedText
from dataselect.formats.column_names import better_when
from dataselect.report.output import ELSEWHERE
from dataselect.report.tables.score_frames import (
    HEADLINES,
    LEGEND,
    MASK_HEADLINES,
    MASK_LEGEND,
    Metrics,
    failures,
    headline,
    item_rows,
    metrics_of,
    number_text,
    remarks,
    stamp,
)
from dataselect.report.tables.score_matrix import STAR, print_matrix
from dataselect.scoring.checkpoint import ModelCheckpoint
from dataselect.scoring.evaluation import Evaluation
from dataselect.scoring.rbridge import METRIC_VERSION
from dataselect.scoring.score_models import BenchmarkScores, distinct
from dataselect.store import write_atomic
from dataselect.store.files import writing
from dataselect.wording import one_line, slug

if TYPE_CHECKING:
    import pandas as pd


_TABLES = ((HEADLINES, LEGEND), (MASK_HEADLINES, MASK_LEGEND))
"""Headings and legends of the terminal tables; one without any value is not shown."""


def summary(
    model: ModelCheckpoint | CountedText,
    number: int,
    scores: Sequence[BenchmarkScores],
    facts: Mapping[str, Any],
    when: datetime,
    failed: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The results of `model`, which is at index `number` in `scores`.

    `facts` come from the caller (`device`, `dtype`, `limit`); `when` is the time of the results;
    `failed` says why other models have no scores, by name.
    """
    by_id = {each.evaluation.benchmark.id: each for each in scores}
    metrics = {name: metrics_of(each, number) for name, each in by_id.items()}
    return {
        "results": {name: {"alias": name, **_means(values)} for name, values in metrics.items()},
        "group_subtasks": {name: [] for name in by_id},
        "configs": {name: _config(each.evaluation) for name, each in by_id.items()},
        "versions": dict.fromkeys(by_id, METRIC_VERSION),
        "n-shot": {name: _shots(each.evaluation) for name, each in by_id.items()},
        "higher_is_better": {
            name: {metric: better_when(metric) != "lower" for metric in values}
            for name, values in metrics.items()
        },
        "n-samples": {
            name: {
                "original": len(each.evaluation.benchmark.items) + len(each.evaluation.left_out),
                "effective": len(each.tables[number]),
            }
            for name, each in by_id.items()
        },
        "config": {**_origin(model), **facts},
        "date": when.timestamp(),
        "model_source": _origin(model)["model"],
        "model_name": model.name,
        "model_name_sanitized": slug(model.name),
        "dataselect": {
            "version": __version__,
            "metric_version": METRIC_VERSION,
            **model.identity,
            "exclusions": {
                name: [{"item": one.item, "reason": one.reason} for one in each.exclusions]
                for name, each in by_id.items()
            },
            "notes": {name: list(each.notes) for name, each in by_id.items()},
            # Of all models scored together; FLOPs are not recorded by model.
            "flops": {name: each.flops for name, each in by_id.items()},
            "models_scored_together": len(scores[0].tables),
            "failed": dict(failed or {}),
        },
    }


def _origin(model: ModelCheckpoint | CountedText) -> dict[str, Any]:
    """What was scored, in the words of lm-evaluation-harness; a text has no place there."""
    if isinstance(model, CountedText):
        tokens = model.text.tokens
        return {"model": "ngram", "model_args": {"text": model.name, "tokens": tokens}}
    revision = model.identity["model"].get("commit", "local")
    pretrained = model.name.partition("@")[0]
    return {
        "model": "hf",
        "model_args": {"pretrained": pretrained, "revision": revision},
        "model_revision": revision,
    }


def write_candidates(table: "pd.DataFrame", when: datetime, out: Path) -> Path:
    """Write `<out>/scores_<date>.csv`, a row for each candidate; returns the file."""
    path = out / f"scores_{stamp(when)}.csv"
    with writing(path, ELSEWHERE):
        write_atomic(path, table.to_csv(index=False).encode())
    return path


def write_scores(
    models: Sequence[ModelCheckpoint | CountedText],
    scores: Sequence[BenchmarkScores],
    facts: Mapping[str, Any],
    when: datetime,
    out: Path,
    failed: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write `<out>/<model>/results_<date>.json` and `items_<date>.parquet`; returns the folders."""
    date = stamp(when)
    folders = [
        out / folder for folder in distinct([slug(model.name) or "model" for model in models])
    ]
    for number, (model, folder) in enumerate(zip(models, folders, strict=True)):
        rows = item_rows(scores, number)
        results = summary(model, number, scores, facts, when, failed)
        text = json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False)
        with writing(folder, ELSEWHERE):
            folder.mkdir(parents=True, exist_ok=True)
            write_atomic(folder / f"items_{date}.parquet", rows.to_parquet(None, index=False))
            write_atomic(folder / f"results_{date}.json", (text + "\n").encode())
    return folders


def print_scores(
    models: Sequence[ModelCheckpoint | CountedText],
    scores: Sequence[BenchmarkScores],
    console: Console,
    failed: Mapping[str, str] | None = None,
    titles: Sequence[str] = (),
) -> None:
    """Print tables, their legends, left-out items, and the models that failed.

    One model has a row for each benchmark and a column for each metric; several have a row each,
    and a column for each benchmark (`score_matrix`). `titles`: unique names of the models.
    """
    legends: dict[str, None] = {}
    if len(models) > 1:
        names = list(titles) or distinct([model.name for model in models])
        for headings, legend in _TABLES:
            if print_matrix(names, scores, headings, console):
                legends |= {STAR: None, legend: None}
    else:
        _print_one(models[0], scores, console, legends)
    for line in (*legends, *remarks(scores), *failures(failed or {})):
        console.print(line, markup=False, highlight=False)


def _print_one(
    model: ModelCheckpoint | CountedText,
    scores: Sequence[BenchmarkScores],
    console: Console,
    legends: dict[str, None],
) -> None:
    """Print the tables of the only model, and add their legends to `legends`."""
    rows = [(each, metrics_of(each, 0)) for each in scores]
    console.print(one_line(model.name), style="bold", markup=False, highlight=False)
    for headings, legend in _TABLES:
        having = [row for row in rows if any(headline(key, *row) for key in headings)]
        if having:
            console.print(_table(having, headings))
            legends[legend] = None


def _table(rows: Sequence[tuple[BenchmarkScores, Metrics]], headings: Mapping[str, str]) -> Table:
    shown = [key for key in headings if any(headline(key, *row) is not None for row in rows)]
    # Without padding it fits 80 columns.
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=0)
    for heading in ("benchmark", "items", *(headings[key] for key in shown)):
        left = heading == "benchmark"
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for each, metrics in rows:
        cells = [headline(key, each, metrics) for key in shown]
        table.add_row(
            escape(each.evaluation.benchmark.id),
            str(len(each.tables[0])),
            *(
                "–" if cell is None else f"{number_text(cell[0])}\n±{number_text(cell[1])}"
                for cell in cells
            ),
        )
    return table


def _means(metrics: Metrics) -> dict[str, float]:
    results = {}
    for name, (mean, error, _) in metrics.items():
        results[f"{name},none"] = mean
        results[f"{name}_stderr,none"] = error
    return results


def _shots(evaluation: Evaluation) -> int:
    benchmark = evaluation.benchmark
    return len(benchmark.examples(benchmark.items[0]))


def _config(evaluation: Evaluation) -> dict[str, Any]:
    benchmark = evaluation.benchmark
    return {
        "task": benchmark.id,
        "dataset_revision": benchmark.revision,
        "num_fewshot": _shots(evaluation),
        "output_type": "loglikelihood",
        "doc_to_text": benchmark.prompt,
        "metadata": {
            "items_hash": benchmark.content_hash,
            "label": benchmark.label,
            "weights": evaluation.weight_scope,
            "traces": [
                {
                    "hash": traces.hash,
                    "count": len(traces.traces),
                    "model": traces.header.model,
                    "created": traces.header.created,
                }
                for traces in evaluation.traces
            ],
        },
    }
