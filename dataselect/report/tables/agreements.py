"""The result of `dataselect agree`, as a JSON document and as terminal tables.

The document's fields are described in docs/agreement.md and must not change. Tables fit 80 columns
as long as names are short.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from dataselect.decisions.agreement import CONVENTION
from dataselect.decisions.baseline_gains import Gain
from dataselect.decisions.comparisons import Comparison, Comparisons, Settings
from dataselect.formats.column_names import counting_column
from dataselect.report import numbers
from dataselect.report.console import add_row, named_table, say


def agreement_document(comparisons: Comparisons, settings: Settings) -> dict[str, Any]:
    """All numbers, in JSON types; unknown ones are None."""
    return {
        "metrics": {
            name: {**_comparison(each), "gain": _gain(comparisons.gains.get(name))}
            for name, each in comparisons.by_name.items()
        },
        "counting": _counting(comparisons),
        "ceiling": {name: asdict(each) for name, each in comparisons.ceilings.items()} or None,
        "stability": {name: asdict(each) for name, each in comparisons.stability.items()} or None,
        "convention": CONVENTION,
        "candidates": comparisons.candidates,
        "target_size": comparisons.target_size,
        "lower_is_better": settings.lower_is_better,
        "target_lower_is_better": settings.target_lower_is_better,
        "confidence": settings.confidence,
        "draws": settings.draws,
        "seed": settings.seed,
        "notes": list(comparisons.notes),
    }


def _gain(gain: Gain | None) -> dict[str, Any] | None:
    return None if gain is None else asdict(gain)


def _counting(comparisons: Comparisons) -> dict[str, Any] | None:
    """By target, what counting words alone would have chosen."""
    found = {}
    for target, name in comparisons.counting.items():
        each = comparisons.by_name[name]
        counted = counting_column(each.metric)
        on = "" if counted is None or counted.benchmark is None else f" of {counted.benchmark}"
        size = "" if each.size is None else f" at {each.size}"
        of = f" for {target}" if len(comparisons.counting) > 1 else ""
        behind = f"{each.regret:.2g} behind the best, {' or '.join(each.best)}"
        text = (
            f"Counting words alone ({numbers.order_name(each.metric)}{on}) would have chosen "
            f"{' or '.join(each.chosen)}{size}{of}, "
            f"{behind if each.regret else 'the best by the target'}."
        )
        found[target] = {
            "text": text,
            "comparison": name,
            "chosen": list(each.chosen),
            "best": list(each.best),
            "regret": each.regret,
        }
    return found or None


def _comparison(each: Comparison) -> dict[str, Any]:
    return {
        "metric": each.metric,
        "size": each.size,
        "target": each.target,
        "candidates": each.candidates,
        **asdict(each.agreement),
        **asdict(each.proxies),
        "top": {
            str(top.k): {
                "regret": top.regret,
                "chance_regret": top.chance_regret,
                "hit_rate": top.hit_rate,
            }
            for top in each.top
        },
        "kept": [asdict(kept) for kept in each.kept],
        "stated": None if each.stated is None else [asdict(stated) for stated in each.stated],
        "chosen": list(each.chosen),
        "best": list(each.best),
    }


def agreement_verdict(document: Mapping[str, Any]) -> str:
    """Which comparison has the highest decision accuracy, and whether that may be chance."""
    metrics = document["metrics"]
    name, best = max(metrics.items(), key=lambda item: item[1]["decision_accuracy"])
    ends = best["decision_accuracy_interval"]
    text = numbers.with_interval(best["decision_accuracy"], ends)
    of = f", the best of {len(metrics)} comparisons" if len(metrics) > 1 else ""
    chance = "; that may be chance" if ends is None or ends[0] <= 0.5 else ""
    first, truly = (" or ".join(best[key]) for key in ("chosen", "best"))
    regret = best["top"].get("1", {}).get("regret")
    if set(best["chosen"]) & set(best["best"]) and not regret:
        choice = f"It puts {first} first, which is the best"
    else:
        behind = "" if regret is None else f", {regret:.2g} ahead"
        choice = f"It puts {first} first; the best is {truly}{behind}"
    return (
        f"{name} orders {best['pairs']} pairs of candidates as {best['target']} "
        f"does with decision accuracy {text}{of}{chance}. {choice}."
    )


def print_agreements(document: Mapping[str, Any], console: Console) -> None:
    """Print the verdict, then agreement, surest pairs, regret of choosing by the proxy, ceiling
    and stability."""
    metrics = document["metrics"]
    say(console, agreement_verdict(document))
    console.print()
    console.print(_agreement(metrics))
    console.print()
    console.print(_choice(metrics))
    if any(each["stated"] for each in metrics.values()):
        console.print()
        console.print(_stated(metrics))
    if any(each["gain"] for each in metrics.values()):
        console.print()
        console.print(_gains(metrics))
    console.print()
    for each in (document["counting"] or {}).values():
        say(console, each["text"])
    for line in _remarks(document):
        say(console, line)


def _agreement(metrics: Mapping[str, Any]) -> Table:
    table = named_table("", "decision accuracy", "Kendall's tau", "pairs")
    for name, each in metrics.items():
        intervals = (
            numbers.with_interval(each[kind], each[f"{kind}_interval"])
            for kind in ("decision_accuracy", "kendall_tau")
        )
        add_row(table, _shown(name, each), *intervals, f"{each['pairs']}")
    return table


def _choice(metrics: Mapping[str, Any]) -> Table:
    """Decision accuracy of shares of surest pairs below 100%, and regret with hit rate by k."""
    shares = [kept["share"] for kept in next(iter(metrics.values()))["kept"]][:-1]
    best = list(dict.fromkeys(k for each in metrics.values() for k in each["top"]))
    table = named_table(
        "", *(f"surest\n{share:.0%}" for share in shares), *(f"best\n{k}" for k in best)
    )
    for name, each in metrics.items():
        surest = (numbers.number(kept["accuracy"]) for kept in each["kept"][:-1])
        tops = (each["top"].get(k) for k in best)
        regrets = (
            "–" if top is None else f"{top['regret']:.2g} ({top['hit_rate']:.0%})" for top in tops
        )
        add_row(table, _shown(name, each), *surest, *regrets)
    return table


def _stated(metrics: Mapping[str, Any]) -> Table:
    stated = [(name, each["stated"]) for name, each in metrics.items() if each["stated"]]
    table = named_table("", *(f"stated\n≥ {each['confidence']:g}" for each in stated[0][1]))
    for name, levels in stated:
        add_row(
            table,
            name,
            *(f"{numbers.number(each['accuracy'])} ({each['share']:.0%})" for each in levels),
        )
    return table


def _gains(metrics: Mapping[str, Any]) -> Table:
    """How much better each metric is than the baseline."""
    table = named_table("", "decision accuracy\nless that of", "difference")
    for name, each in metrics.items():
        if (gain := each["gain"]) is not None:
            baseline = metrics[gain["baseline"]]["metric"]
            difference = numbers.with_interval(gain["difference"], gain["interval"])
            add_row(table, _shown(name, each), numbers.metric_name(baseline), difference)
    return table


def _shown(name: str, each: Mapping[str, Any]) -> str:
    """The name of a comparison for people; columns keep their own names, but for counting."""
    if counting_column(each["metric"]) is None:
        return name
    return numbers.metric_name(each["metric"]) + name.removeprefix(each["metric"])


def _remarks(document: Mapping[str, Any]) -> Iterable[str]:
    metrics = document["metrics"].values()
    yield (
        f"{document['candidates']} candidates, [{100 * document['confidence']:g}% interval over"
        f" candidates]. Convention: {document['convention']}."
    )
    if any(each["target_ties"] or each["proxy_ties"] for each in metrics):
        ties = (
            f"{name} {each['target_ties']} and {each['proxy_ties']}"
            for name, each in document["metrics"].items()
            if each["target_ties"] or each["proxy_ties"]
        )
        yield f"Pairs tied by the target and by the proxy: {', '.join(ties)}."
    yield (
        "Surest: decision accuracy of the pairs with the largest proxy difference. Best k: regret"
        " of choosing among the proxy's best k, in the target's unit (hit rate)."
    )
    if any(each["stated"] for each in metrics):
        yield (
            "Stated: decision accuracy (share) of the pairs that the proxy orders with that"
            " probability, which covers only the noise of the proxy's seeds."
        )
    for name, ceiling in (document["ceiling"] or {}).items():
        low, high = ceiling["one_seed_range"]
        yield (
            f"Ceiling of {name}: one of {ceiling['seeds']} target seeds against the mean of the"
            f" others {ceiling['one_seed']:.2f} ({low:.2f} to {high:.2f}); a perfect proxy against"
            f" the means about {ceiling['of_means']:.2f}."
        )
    for name, stability in (document["stability"] or {}).items():
        steps = ", ".join(
            f"{' and '.join(step['sizes'])} {numbers.number(step['share'])}"
            for step in stability["neighbouring"]
        )
        everywhere = numbers.number(stability["all_sizes"]["share"])
        yield f"Pairs in the same order by {name}: at {steps}; at all sizes {everywhere}."
    for note in document["notes"]:
        yield f"note: {note}"
