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
from dataselect.report.selection.stages import (
    cuts,
    fate,
    in_last,
    number,
    predicted,
    predicting,
    pruning,
    title,
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

_MOST_SCORES = 2
"""Most stages that prune whose scores fit beside the last stage's."""
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
        last = predicting(document) or ""
        words = f"{title(last)} scores are {score_words(document['stages'][last])}"
        console.print(Text(words, style="dim"))
    for line in tie_lines(document):
        console.print(Text(one_line(line), style="yellow"))
    for line in alarm_lines(document):
        console.print(Text(one_line(line), style="yellow"))
    for line in _non_finite(document):
        console.print(Text(one_line(line), style="yellow"))
    for name, stage in pruning(document).items():
        if noisy := noisy_benchmarks(stage, title(name)):
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
    console.print(_cost(document["cost"], document.get("screen0")))


def _ranking(document: Mapping[str, Any]) -> Table:
    screened, last = cuts(document), predicting(document)
    table = _table()
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("candidate", overflow="fold")
    for stage, facts in screened.items():
        heading, chance = title(stage), f"P(best {facts['kept']})"
        if len(screened) <= _MOST_SCORES:
            heading += " score" if len(screened) == 1 else ""
            table.add_column(heading, justify="right", no_wrap=True)
        else:
            chance = f"{number(stage)}: best {facts['kept']}"
        table.add_column(chance, justify="right", no_wrap=True)
    heading = "status"
    if last is not None:
        heading = "accuracy, %" if predicted(document) else f"{title(last)} score"
    table.add_column(heading, justify="right", no_wrap=True)
    for each in document["candidates"]:
        cells = [numbers.number(each["rank"], 0), f"{mark(each)}{each['id']}"]
        for stage, facts in screened.items():
            cells += _scored(each[stage], decimals(facts), len(screened))
        cells.append(_last_cell(document, each))
        table.add_row(*map(Text, cells), style=_STYLES[each["status"]])
    return table


def _scored(part: dict[str, Any] | None, places: int, stages: int) -> list[str]:
    """The score in a stage and the probability to be among the best; the README has all of it."""
    if part is None:
        return [numbers.number(None)] * (2 if stages <= _MOST_SCORES else 1)
    chance = numbers.probability(part["p_top_k"])
    if stages == 1:
        return [numbers.score_text(part, places), chance]
    # Intervals of several stages do not fit into 80 columns, nor do many scores.
    score = numbers.number(part["score"], places)
    return [score, chance] if stages <= _MOST_SCORES else [chance]


def _last_cell(document: Mapping[str, Any], candidate: Mapping[str, Any]) -> str:
    """What the last stage says of a candidate; its status in place of numbers if nothing."""
    last = predicting(document)
    if last is None or not candidate[last]:
        return fate(document, candidate)
    if predicted(document):
        return numbers.accuracy_text(candidate[last])
    return numbers.stage2_score_text(candidate[last], decimals(document["stages"][last]))


def _by_benchmark(document: Mapping[str, Any]) -> Table:
    head, rows = by_benchmark(document)
    table = _table(f"{title(predicting(document) or '')}, rBridge in nats per token")
    for place, name in enumerate(head):
        justify: JustifyMethod = "right" if place else "left"
        table.add_column(Text(one_line(name)), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _legend(document: Mapping[str, Any]) -> Text:
    screened, first = cuts(document), document["stages"]["stage1"]
    if len(screened) > _MOST_SCORES:
        words = "N: best k: probability, by Stage N, to be among the k best"
    elif len(screened) > 1:
        words = "scores: lower is better; each stage has a unit of its own"
    else:
        over = interval_words(first.get("doubt"))
        unit = "" if kind_of(first) in ("candidates", "ranks") else f"{score_words(first)}; "
        share = f"{100 * first['confidence']:g}%"
        words = f"scores: {unit}lower is better; [{share} interval, over {over}]"
    parts = [in_last(document, each) for each in document["candidates"]]
    if any(part and part["extrapolated"] for part in parts):
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


def _cost(cost: dict[str, Any], counted: Mapping[str, Any] | None) -> Text:
    flops, spent = cost["flops"], cost["spent"]["all"]
    wasted = f", {spent['failed_jobs']} of them failed" if spent["failed_jobs"] else ""
    repeated = spent["attempts"] - spent["jobs"]
    again = f", {repeated} repeated" if repeated else ""
    used = f"{format_seconds(spent['cpu_seconds'])} of CPU"
    if spent["gpu_seconds"]:
        used += f", {format_seconds(spent['gpu_seconds'])} of GPU"
    counting = ""
    if counted is not None:
        counting = f", and {format_seconds(counted['cpu_seconds'])} to count words"
    return Text(
        f"Cost: {format_flops(flops['total'])} with one target run, "
        f"{format_flops(flops['naive'])} with one for every candidate: "
        f"{numbers.factor(cost['saving_factor'])} less.\n"
        f"Spent: {used} in {spent['jobs']} jobs{wasted}{again}{counting}; this call took "
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
