"""A benchmark's own worked solutions, where they are weighed in place of a frontier model's."""

from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.errors import InputError

NOTHING_TO_WEIGH = "there is no reasoning to weigh for it"
"""Why an item without a rationale has no trace."""


def without_rationale(benchmark: BenchmarkItems) -> str | None:
    """A note on the items that cannot be weighed; None when all can."""
    bare = sum(_text(item) is None for item in benchmark.items)
    if not bare:
        return None
    return f"{benchmark.id}: {bare} of {len(benchmark.items)} items have no rationale to weigh"


def own_rationales(benchmark: BenchmarkItems) -> dict[str, str]:
    """The items' rationales by item id. Raises InputError when no item has one."""
    texts = {i.id: text for i in benchmark.items if (text := _text(i)) is not None}
    if not texts:
        raise InputError(
            f"benchmark '{benchmark.id}'",
            "its items have no rationale to weigh",
            "give the items a 'rationale' or name a trace file with 'traces'",
        )
    return texts


def _text(item: Item) -> str | None:
    """The rationale, or the marked reasoning of an item that came with that."""
    return item.marked if item.rationale is None else item.rationale
