"""A benchmark's own worked solutions, where they are weighed in place of a frontier model's."""

from dataselect.benchmarks.items import BenchmarkItems
from dataselect.errors import InputError


def own_rationales(benchmark: BenchmarkItems) -> dict[str, str]:
    """The items' rationales by item id. Raises InputError when no item has one."""
    texts = {i.id: i.rationale for i in benchmark.items if i.rationale is not None}
    if not texts:
        raise InputError(
            f"benchmark '{benchmark.id}'",
            "its items have no rationale to weigh",
            "give the items a 'rationale' or name a trace file with 'traces'",
        )
    return texts
