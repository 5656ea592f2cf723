"""Choose worked examples, and find those without a rationale."""

from collections.abc import Sequence

from dataselect.benchmarks.items import BenchmarkItems, Item


def choose_shots(
    pool: Sequence[Item], count: int, ids: Sequence[str] | None = None
) -> tuple[Item, ...]:
    """The items named by `ids`, in that order; else the first `count` of each category."""
    if ids is not None:
        by_id = {item.id: item for item in pool}
        return tuple(by_id[name] for name in ids if name in by_id)
    taken: dict[str | None, int] = {}
    chosen = []
    for item in pool:
        taken[item.category] = taken.get(item.category, 0) + 1
        if taken[item.category] <= count:
            chosen.append(item)
    return tuple(chosen)


def shots_without_rationale(benchmark: BenchmarkItems) -> tuple[Item, ...]:
    """The worked examples with an answer alone; code needs no rationale."""
    return tuple(shot for shot in benchmark.shots if shot.rationale is None and shot.code is None)
