"""The numbers of `dataselect score`: means over items with standard errors, and item tables.

Files, terminal tables and the Python result all use these functions.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from dataselect.counting.named_texts import PREFIX
from dataselect.scoring.pooled import PARTS, POOLED, pooled
from dataselect.scoring.score_models import BenchmarkScores
from dataselect.traces.summary import grouped
from dataselect.wording import one_line

if TYPE_CHECKING:
    import pandas as pd

Mean = tuple[float, float, int]
"""Mean over the items with a value, its standard error, and the number of these items."""

Metrics = Mapping[str, Mean]
"""By name of the metric."""

LEGEND = (
    "mean ± standard error over items. rBridge, R^φ, label (its NLL), ScB and 1-gram and 5-gram"
    " (R^φ by counting words) in nats per token and TED in edits per token: lower is better."
    " MPCA, cloze accuracy, acc (accuracy or pass@1 of written answers) and iSFT (the same after"
    " fine-tuning): higher is better."
)
"""Explanation of the headline metrics."""

HEADLINES = {
    "rbridge": "rBridge",
    "trace_nll": "R^φ",
    "label_nll": "label",
    "scb_nll": "ScB",
    "mpca": "MPCA",
    "ted_per_token": "TED",
    "cloze": "cloze",
    "correct": "acc",
    "isft_accuracy": "iSFT",
    "ngram1_trace_nll": "1-gram",
    "ngram5_trace_nll": "5-gram",
}
"""Metrics in the terminal table, with their headings; the files have all metrics."""

MASK_LEGEND = (
    "Of marked letters alone: mask, numbers, operators and content in nats per marked token; bpb"
    " is mask in bits per byte of the marked text. authors': as their public code computes it."
    " Lower is better."
)
"""Explanation of the metrics of marks."""

MASK_HEADLINES = {
    "mask": "mask",
    "mask_numbers": "numbers",
    "mask_operators": "operators",
    "mask_content": "content",
    "mask_bpb": "bpb",
    "authors_mask_bpb": "authors' bpb",
}
"""Metrics in the terminal table of marks, with their headings."""

_COUNTS = frozenset({"trace_tokens", "left_out_tokens"}) | PARTS
_UNCONDITIONAL = ("arc_challenge", "commonsense_qa")
"""Benchmarks whose cloze accuracy OLMES takes from `acc_uncond`; else it is `acc_per_char`."""


def mean_of(values: "pd.Series[float]") -> Mean | None:
    """Mean over the items with a value; the standard error of a single item is 0.

    None if no item has a value or the mean is not finite, as of some likelihood ratios.
    """
    values = values.dropna()
    mean = float(values.mean())
    if not math.isfinite(mean):
        return None
    error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return mean, error, len(values)


def metrics_of(scores: BenchmarkScores, number: int) -> Metrics:
    """Each metric with a finite mean, of the model at index `number` in `scores`."""
    table, means = scores.tables[number], {}
    for name in table.columns:
        if name == "item" or name in _COUNTS or table[name].dtype.kind not in "bif":
            continue
        mean = mean_of(table[name].astype(float))
        if mean is None:
            continue
        metric = name
        if name == "correct":
            code = scores.evaluation.benchmark.answer_kind == "code"
            metric = "pass@1" if code else "exact_match"
        means[metric] = mean
    # Of sums over the benchmark, where a mean over items would be another number.
    return means | {name: made for name in POOLED if (made := pooled(table, name)) is not None}


def headline(key: str, scores: BenchmarkScores, metrics: Metrics) -> Mean | None:
    """The mean under a heading of `HEADLINES`; None if the benchmark does not have it."""
    if key == "cloze":
        unconditional = scores.evaluation.benchmark.id in _UNCONDITIONAL
        key = "acc_uncond" if unconditional else "acc_per_char"
    if key == "correct":
        return metrics.get("exact_match", metrics.get("pass@1"))
    return metrics.get(key)


def number_text(value: float) -> str:
    """Three decimals; scientific notation for a value that would round to 0.000."""
    return f"{value:.0e}" if 0 < abs(value) < 5e-4 else f"{value:.3f}"


def failures(failed: Mapping[str, str]) -> list[str]:
    """A line for each model that failed, with the reason; by name."""
    return [one_line(f"{name} failed: {reason}") for name, reason in failed.items()]


def remarks(scores: Sequence[BenchmarkScores]) -> list[str]:
    """A line for each reason of left-out items, with its count, for each note, and for each metric
    that lacks a value for some of the items."""
    lines = []
    for each in scores:
        name = each.evaluation.benchmark.id
        for reason, count in grouped(each.exclusions):
            lines.append(f"{name}: {count} left out: {one_line(reason)}")
        lines += [f"{name}: {note}" for note in each.notes]
        lines += [f"{name}: {line}" for line in _gaps(each)]
    return lines


def _gaps(scores: BenchmarkScores) -> list[str]:
    """Headline metrics with fewer values than items in some model's table, so their mean is over
    other items than that of rBridge; and metrics that have no mean since a value is infinite."""
    known: dict[str, int] = {}
    infinite: dict[str, int] = {}
    for number, table in enumerate(scores.tables):
        metrics = metrics_of(scores, number)
        for key, heading in (HEADLINES | MASK_HEADLINES).items():
            mean = headline(key, scores, metrics)
            if mean is not None and mean[2] < len(table):
                known[heading] = min(mean[2], known.get(heading, mean[2]))
        for name in table.columns:
            if table[name].dtype.kind == "f" and (count := int(np.isinf(table[name]).sum())):
                infinite[name] = max(count, infinite.get(name, 0))
    items = len(scores.tables[0])
    lines = [f"{heading}: over {fewest} of {items} items" for heading, fewest in known.items()]
    return lines + [
        f"{name}: no mean, since it is infinite on {count} of {items} items"
        for name, count in infinite.items()
    ]


def item_rows(scores: Sequence[BenchmarkScores], number: int) -> "pd.DataFrame":
    """All scores of one model: a row for each benchmark and item."""
    import pandas as pd

    tables = [each.tables[number].assign(benchmark=each.evaluation.benchmark.id) for each in scores]
    rows = pd.concat(tables, ignore_index=True)
    first = ["benchmark", "item"]
    return rows[first + [name for name in rows.columns if name not in first]]


def items_frame(models: Sequence[str], scores: Sequence[BenchmarkScores]) -> "pd.DataFrame":
    """`item_rows` of all models, which have the same items, with `model` as the first column."""
    import pandas as pd

    rows = pd.concat(
        [item_rows(scores, number).assign(model=model) for number, model in enumerate(models)],
        ignore_index=True,
    )
    return rows[["model", *(name for name in rows.columns if name != "model")]]


def means_frame(models: Sequence[str], scores: Sequence[BenchmarkScores]) -> "pd.DataFrame":
    """A row for each model and benchmark: `items`, `METRIC`, `METRIC_stderr`, `METRIC_items`."""
    import pandas as pd

    rows = []
    for number, model in enumerate(models):
        for each in scores:
            row: dict[str, object] = {"model": model, "benchmark": each.evaluation.benchmark.id}
            row["items"] = len(each.tables[number])
            for metric, (mean, error, count) in metrics_of(each, number).items():
                row |= {metric: mean, f"{metric}_stderr": error, f"{metric}_items": count}
            rows.append(row)
    return pd.DataFrame(rows).set_index(["model", "benchmark"])


def candidates_frame(names: Sequence[str], scores: Sequence[BenchmarkScores]) -> "pd.DataFrame":
    """A row for each `id`, which a model and a text may share, and a column for each metric.

    Of several benchmarks the columns are named `BENCHMARK/METRIC`.
    """
    import pandas as pd

    rows: dict[str, dict[str, object]] = {}
    for number, name in enumerate(names):
        row = rows.setdefault(name.removeprefix(PREFIX), {})
        for each in scores:
            before = f"{each.evaluation.benchmark.id}/" if len(scores) > 1 else ""
            means = metrics_of(each, number)
            row |= {f"{before}{metric}": mean for metric, (mean, _, _) in means.items()}
    columns = dict.fromkeys(column for row in rows.values() for column in row)
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=list(columns))
    return frame.rename_axis("id").reset_index()


def headline_frame(models: Sequence[str], scores: Sequence[BenchmarkScores]) -> "pd.DataFrame":
    """The headline metrics as text: `mean ± standard error`."""
    import pandas as pd

    rows = []
    for number, model in enumerate(models):
        for each in scores:
            metrics = metrics_of(each, number)
            row: dict[str, object] = {"model": model, "benchmark": each.evaluation.benchmark.id}
            row["items"] = len(each.tables[number])
            for key, heading in HEADLINES.items():
                if (mean := headline(key, each, metrics)) is not None:
                    row[heading] = f"{number_text(mean[0])} ± {number_text(mean[1])}"
            rows.append(row)
    frame = pd.DataFrame(rows).set_index(["model", "benchmark"])
    return frame[["items", *(name for name in HEADLINES.values() if name in frame)]]


def exclusions_frame(scores: Sequence[BenchmarkScores]) -> "pd.DataFrame":
    """Items that were left out for all models: `benchmark`, `item`, `reason`."""
    import pandas as pd

    rows = [
        (each.evaluation.benchmark.id, one.item, one.reason)
        for each in scores
        for one in each.exclusions
    ]
    return pd.DataFrame(rows, columns=["benchmark", "item", "reason"])


def stamp(when: datetime) -> str:
    """A moment as it stands in the names of files."""
    return when.strftime("%Y-%m-%dT%H-%M-%S.%f")
