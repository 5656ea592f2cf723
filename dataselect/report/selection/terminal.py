"""The terminal report at the end of a run: verdict, ranking, agreement with targets, cost.

Made for 80 columns. It is a view of the document alone; the caller prints where the files are. Ids,
reasons and notes are passed to rich as plain text and never as markup.
"""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from dataselect.benchmarks.items import Exclusion
from dataselect.report import numbers
from dataselect.report.selection.leaks import alarm_lines, mark
from dataselect.report.selection.stage_scores import (
    by_benchmark,
    decimals,
    kind_of,
    score_words,
    shows_scores,
    tie_lines,
)
from dataselect.report.selection.truth import truth_rows, truth_sentences
from dataselect.report.selection.uncertainty import (
    ablation_verdict,
    basis_line,
    interval_words,
    noisy_benchmarks,
)
from dataselect.scoring.non_finite import non_finite_notes
from dataselect.units import format_flops, format_seconds
from dataselect.wording import one_line

_STYLES = {"ranked": "", "pruned": "dim", "diverged": "yellow", "failed": "red"}


def print_report(document: Mapping[str, Any], console: Console) -> None:
    """Print the main results; the rest is in the report's README."""
    console.print()
    console.print(Text(one_line(document["verdict"]), style="bold"))
    if document.get("next_step"):
        console.print(Text(one_line(document["next_step"])))
    console.print()
    console.print(_ranking(document))
    console.print(_legend(document))
    console.print(Text(basis_line(document["stages"]["stage1"]), style="dim"))
    if shows_scores(document):
        console.print()
        console.print(_by_benchmark(document))
        words = f"Stage 2 scores are {score_words(document['stages']['stage2'])}"
        console.print(Text(words, style="dim"))
    for line in tie_lines(document):
        console.print(Text(one_line(line), style="yellow"))
    for line in alarm_lines(document):
        console.print(Text(one_line(line), style="yellow"))
    for line in _non_finite(document):
        console.print(Text(one_line(line), style="yellow"))
    if noisy := noisy_benchmarks(document["stages"]["stage1"]):
        console.print(Text(noisy, style="yellow"))
    for each in document["candidates"]:
        if each["status"] in ("diverged", "failed"):
            reason = one_line(f"{each['id']} {each['status']}: {each['reason']}")
            console.print(Text(reason, style=_STYLES[each["status"]]))
    if document.get("counting") is not None:
        console.print()
        console.print(Text(one_line(document["counting"]["text"])))
    if document["evidence"] is not None:
        console.print()
        console.print(_evidence(document["evidence"]))
    _print_truth(document, console)
    if document.get("ablation") is not None:
        console.print()
        console.print(_ablation(document["ablation"]))
        console.print(Text(ablation_verdict(document["ablation"])))
    console.print()
    console.print(_cost(document["cost"]))


def _ranking(document: Mapping[str, Any]) -> Table:
    first, second = document["stages"]["stage1"], document["stages"]["stage2"]
    table = _table()
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("candidate", overflow="fold")
    table.add_column("Stage 1 score", justify="right", no_wrap=True)
    table.add_column(f"P(best {first['kept']})", justify="right", no_wrap=True)
    predicted = second is not None and _any_predicted(document)
    heading = "status"
    if second is not None:
        heading = "accuracy, %" if predicted else "Stage 2 score"
    table.add_column(heading, justify="right", no_wrap=True)
    for each in document["candidates"]:
        cells = [
            numbers.number(each["rank"], 0),
            f"{mark(each)}{each['id']}",
            numbers.score_text(each["stage1"], decimals(first)),
            numbers.probability(each["stage1"] and each["stage1"]["p_top_k"]),
        ]
        # A candidate without a second stage has its status in place of numbers.
        if not each["stage2"]:
            cells.append(each["status"])
        elif predicted:
            cells.append(numbers.accuracy_text(each["stage2"]))
        else:
            cells.append(numbers.stage2_score_text(each["stage2"], decimals(second)))
        table.add_row(*map(Text, cells), style=_STYLES[each["status"]])
    return table


def _by_benchmark(document: Mapping[str, Any]) -> Table:
    head, rows = by_benchmark(document)
    table = _table("Stage 2, rBridge in nats per token")
    for place, name in enumerate(head):
        justify: JustifyMethod = "right" if place else "left"
        table.add_column(Text(one_line(name)), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _any_predicted(document: Mapping[str, Any]) -> bool:
    forecasts = [each["stage2"] for each in document["candidates"] if each["stage2"]]
    return any(each["predicted_accuracy"] is not None for each in forecasts)


def _legend(document: Mapping[str, Any]) -> Text:
    first = document["stages"]["stage1"]
    over = interval_words(first.get("doubt"))
    unit = "" if kind_of(first) in ("candidates", "ranks") else f"{score_words(first)}; "
    words = f"scores: {unit}lower is better; [{100 * first['confidence']:g}% interval, over {over}]"
    if any(each["stage2"] and each["stage2"]["extrapolated"] for each in document["candidates"]):
        words += "; * extrapolated"
    return Text(words, style="dim")


def _non_finite(document: Mapping[str, Any]) -> list[str]:
    """A line for each benchmark and set of candidates whose values were not finite."""
    return [
        f"{benchmark}: {note}"
        for benchmark, exclusions in document["exclusions"].items()
        for note in non_finite_notes(Exclusion(e["item"], e["reason"]) for e in exclusions)
    ]


def _evidence(evidence: dict[str, Any]) -> Table:
    table = _table(f"Agreement with known targets, {evidence['pairs']} pairs")
    table.add_column("ranking by")
    table.add_column("decision accuracy", justify="right", no_wrap=True)
    table.add_column("Kendall's tau", justify="right", no_wrap=True)
    for metric in evidence["decision_accuracy"]:
        table.add_row(
            Text(numbers.metric_name(metric)),
            *(
                numbers.with_interval(evidence[kind][metric], evidence[f"{kind}_interval"][metric])
                for kind in ("decision_accuracy", "kendall_tau")
            ),
        )
    return table


def _print_truth(document: Mapping[str, Any], console: Console) -> None:
    """What the targets reached and what the choice cost; nothing where no target is known."""
    if document.get("truth") is None:
        return
    head, rows = truth_rows(document)
    shown = _table("Accuracy of the targets, %")
    for place, name in enumerate(head):
        if place == 1:
            shown.add_column(name, overflow="fold")
        else:
            shown.add_column(name, justify="right", no_wrap=True)
    for row, each in zip(rows, document["candidates"], strict=True):
        shown.add_row(*map(Text, row), style=_STYLES[each["status"]])
    console.print()
    console.print(shown)
    for line in truth_sentences(document):
        console.print(Text(one_line(line)))


def _ablation(ablation: dict[str, Any]) -> Table:
    shown = _table("Every metric's ranking in Stage 1, against the first")
    shown.add_column("ranking by")
    for heading in ("same order", "surely differ", "accuracy gained"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for metric, each in ablation["metrics"].items():
        is_first = metric == ablation["first"]
        shown.add_row(
            Text(numbers.metric_name(metric)),
            numbers.number(each["same_order"]),
            "–" if is_first else f"{len(each['differing'])} of {ablation['pairs']}",
            numbers.with_interval(each["gain"], each["gain_interval"]),
        )
    return shown


def _cost(cost: dict[str, Any]) -> Text:
    flops, spent = cost["flops"], cost["spent"]["all"]
    wasted = f", {spent['failed_jobs']} of them failed" if spent["failed_jobs"] else ""
    repeated = spent["attempts"] - spent["jobs"]
    again = f", {repeated} repeated" if repeated else ""
    used = f"{format_seconds(spent['cpu_seconds'])} of CPU"
    if spent["gpu_seconds"]:
        used += f", {format_seconds(spent['gpu_seconds'])} of GPU"
    return Text(
        f"Cost: {format_flops(flops['total'])} with one target run, "
        f"{format_flops(flops['naive'])} with one for every candidate: "
        f"{numbers.factor(cost['saving_factor'])} less.\n"
        f"Spent: {used} in {spent['jobs']} jobs{wasted}{again}; this call took "
        f"{format_seconds(cost['seconds']['this_run'])}."
    )


def _table(title: str | None = None) -> Table:
    return Table(
        title=None if title is None else Text(title),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1),
        show_edge=False,
    )
