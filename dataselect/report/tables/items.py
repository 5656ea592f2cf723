"""Terminal view of a run's items: who is ahead on a benchmark, and the items that differ most."""

from collections.abc import Sequence

from rich.console import Console

from dataselect.report.console import add_row, named_table, say
from dataselect.report.items.words import lead_words, most_words
from dataselect.report.numbers import number
from dataselect.stages.viewed_items import ViewedBenchmark

_PLACES = 4


def print_items(views: Sequence[ViewedBenchmark], console: Console) -> None:
    """Print a sentence, a table of the items shown and the notes of each benchmark."""
    for each in views:
        say(console, lead_words(each))
        if (most := most_words(each)) is not None:
            say(console, most)
        pair = each.pair
        heads = ["spread"] if pair is None else ["spread", "difference", "of all others"]
        table = named_table("item", *heads)
        for item in each.items:
            cells = [number(item.spread, _PLACES)]
            if pair is not None:
                scored = bool(item.scores)
                values = (pair.differences, pair.without)
                cells += [
                    number(float(of[item.item.id]) if scored else None, _PLACES) for of in values
                ]
            add_row(table, item.item.id, *cells)
        console.print(table)
        if pair is not None:
            say(
                console,
                f"difference: {pair.second} minus {pair.first}, nats per token; above 0 speaks for "
                f"{pair.first}",
            )
        console.print()
    for note in dict.fromkeys(note for each in views for note in each.notes):
        say(console, note)
