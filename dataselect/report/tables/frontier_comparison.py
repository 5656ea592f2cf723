"""Terminal output of `dataselect traces compare`: does the choice of frontier model matter?"""

from collections.abc import Mapping, Sized

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dataselect.decisions.frontier_agreement import (
    SURE,
    ChangedPair,
    FrontierAgreement,
    FrontierComparison,
)
from dataselect.traces.summary import Summary
from dataselect.wording import one_line

_SHOWN = 5
"""Most pairs to list of two frontier models."""
AVERAGED = "averaged"


def print_traces(summaries: Mapping[str, Mapping[str, Summary]], console: Console) -> None:
    """Print a row for the traces of each frontier model and benchmark."""
    benchmarks = list(dict.fromkeys(name for each in summaries.values() for name in each))
    several = len(benchmarks) > 1
    table = _table("frontier model", *(["benchmark"] if several else []))
    for heading in ("traces", "right", "letters", "mean p", "lowest"):
        table.add_column(heading, justify="right")
    for model, by_benchmark in summaries.items():
        for benchmark, each in by_benchmark.items():
            right = "–" if each.share_right is None else f"{each.share_right:.0%}"
            table.add_row(
                _name(model),
                *([_name(benchmark)] if several else []),
                str(each.traces),
                right,
                "–" if each.letters is None else f"{each.letters.mean:.0f}",
                "–" if each.mean is None else f"{each.mean:.3f}",
                "–" if each.lowest is None else f"{each.lowest:.2g}",
            )
    console.print(table)
    console.print()


def print_comparison(
    found: FrontierComparison,
    items: Mapping[str, int],
    console: Console,
    seeds: Mapping[str, float] | None = None,
) -> None:
    """Print the scores of each model by frontier model, and how far the rankings agree.

    `items`: how many, by benchmark. `seeds`: share of the pairs that two training seeds put in the
    same order, by frontier model.
    """
    columns = {**found.rankings, AVERAGED: found.averaged}
    decimals = 4 if len(items) == 1 else 2
    table = _table("model")
    for name in columns:
        table.add_column(_name(name), justify="right", overflow="fold")
    for model in found.averaged.table.index:
        scores = (ranking.table.loc[model, "score"] for ranking in columns.values())
        table.add_row(_name(model), *(f"{score:.{decimals}f}" for score in scores))
    console.print(table)
    for line in _lines(found, items, seeds or {}):
        console.print(one_line(line), markup=False, highlight=False)


def _lines(
    found: FrontierComparison, items: Mapping[str, int], seeds: Mapping[str, float]
) -> list[str]:
    benchmarks = " and ".join(f"{count} items of {name}" for name, count in items.items())
    if len(items) == 1:
        lines = [f"rBridge over {next(iter(items.values()))} items, in nats per token"]
    else:
        lines = [f"rBridge over {benchmarks}, averaged as in a run"]
    lines[0] += f"; lower is better; {AVERAGED}: the mean of an item's scores"
    for each in found.agreements:
        lines += _agreement_lines(each)
    for name, share in seeds.items():
        lines.append(f"by {name} two training seeds put {share:.0%} of the pairs in the same order")
    return lines


def _agreement_lines(each: FrontierAgreement) -> list[str]:
    one, other = each.resampled
    lines = [
        f"{each.first} and {each.second}: {each.same_order:.0%} of the pairs of models in the"
        f" same order, Kendall's tau {each.kendall_tau:.2f}; on resampled items {each.first}'s own"
        f" ranking keeps {one:.0%} and {each.second}'s {other:.0%}"
    ]
    if not each.changed:
        return lines
    sure = [pair for pair in each.changed if pair.beyond_items]
    beyond = f"{len(sure) or 'none'} beyond the noise of the items (both orders on {SURE:.0%})"
    lines.append(f"- of {each.pairs} pairs {len(each.changed)} change their order, {beyond}:")
    lines += [_pair_line(pair, each) for pair in each.changed[:_SHOWN]]
    if (more := len(each.changed) - _SHOWN) > 0:
        lines.append(f"- and {more} more")
    return lines


def _pair_line(pair: ChangedPair, each: FrontierAgreement) -> str:
    return (
        f"- {pair.by_first} before {pair.by_second} (P {pair.p_first:.2f}), by {each.second} after"
        f" it (P {pair.p_second:.2f})"
    )


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in columns:
        table.add_column(heading, overflow="fold")
    return table


def _name(text: str) -> str:
    return escape(one_line(text))


def counts(tables: Mapping[str, Sized]) -> dict[str, int]:
    """How many items each benchmark's table has."""
    return {name: len(table) for name, table in tables.items()}
