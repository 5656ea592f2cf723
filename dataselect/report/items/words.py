"""Sentences on a benchmark's items, the same for the page, the terminal and Python."""

from dataselect.report.numbers import number, percent
from dataselect.stages.viewed_items import ViewedBenchmark, ViewedItem

_PLACES = 4


def lead_words(view: ViewedBenchmark) -> str:
    """Which of the two compared is ahead on the benchmark, and on how few items that rests."""
    pair, benchmark = view.pair, view.scored.id
    count = len(view.scored.table)
    over = f"on {count} item{'' if count == 1 else 's'} of {benchmark}"
    if pair is None:
        (name,) = view.candidates
        mean = float(view.scored.table[name].mean())
        return f"{name}: {number(mean, _PLACES)} nats per token {over}."
    if pair.mean == 0:
        return f"{pair.first} and {pair.second} are equal {over}."
    ahead, behind = pair.first, pair.second
    if pair.mean < 0:
        ahead, behind = behind, ahead
    lead = number(abs(pair.mean), _PLACES)
    if count > 1:
        lead += f" ± {number(pair.standard_error, _PLACES)}"
    said = f"{ahead} is {lead} nats per token ahead of {behind} {over}"
    if count == 1:
        return f"{said}."
    turning = len(pair.turning)
    if turning == 0:
        return f"{said}, and behind on none of them."
    items = "one item that speaks" if turning == 1 else f"{turning} items that speak"
    return f"{said}; without the {items} most for it the order turns."


def most_words(view: ViewedBenchmark) -> str | None:
    """The item of all the benchmark's that moves the order of the two most; None without one."""
    pair = view.pair
    most = None if pair is None else pair.most_influential
    if pair is None or most is None:
        return None
    turned = float(pair.without[most]) * pair.mean < 0
    return (
        f"The item that moves this most is {most}: without it {pair.second} minus {pair.first} is "
        f"{number(float(pair.without[most]), _PLACES)} in place of {number(pair.mean, _PLACES)}"
        f"{', the other order' if turned else ''}."
    )


def spread_words(view: ViewedBenchmark) -> str:
    """What the spread of an item is."""
    if len(view.candidates) == 2:
        return "The spread of an item is the distance of the two candidates' scores on it."
    return "The spread of an item is the standard deviation of all candidates' scores on it."


def influence_words(view: ViewedBenchmark, item: ViewedItem) -> str | None:
    """What the item does to the order of the two compared; None where there is nothing to say."""
    pair = view.pair
    if pair is None or not item.scores or len(view.scored.table) < 2:
        return None
    mean, without = pair.mean, float(pair.without[item.item.id])
    ahead = pair.first if mean >= 0 else pair.second
    lead, other = abs(mean), (without if mean >= 0 else -without)
    if lead == 0:
        return None
    if other < 0:
        return f"Without this item the order turns: {ahead} would be behind."
    change = f"{'+' if other >= lead else '−'}{percent(abs(other - lead) / lead)}"
    return (
        f"Without this item {ahead}'s lead would be {number(other, _PLACES)} in place of "
        f"{number(lead, _PLACES)} ({change})."
    )
