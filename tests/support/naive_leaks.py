"""What the leak index does, said in plain loops over words; slow and easy to read."""

import re

from dataselect.leaks.parts import Part


def words(text: str) -> list[str]:
    """Words of an ASCII text."""
    return re.findall(r"[a-z0-9]+", text.lower())


def runs(text: str, n: int) -> list[tuple[str, ...]]:
    split = words(text)
    return [tuple(split[i : i + n]) for i in range(len(split) - n + 1)]


def covered(text: str, n: int, known: set[tuple[str, ...]]) -> int:
    """Words of a text that are in a known run."""
    places = {i + j for i, run in enumerate(runs(text, n)) if run in known for j in range(n)}
    return len(places)


def telling_runs(parts: list[Part], n: int, most_items: int) -> dict[str, set[tuple[str, ...]]]:
    """By benchmark, the runs that are in few of its items."""
    items: dict[tuple[str, tuple[str, ...]], set[tuple[str, str]]] = {}
    for part in parts:
        for run in runs(part.text, n):
            items.setdefault((part.benchmark, run), set()).add((part.split, part.item))
    telling: dict[str, set[tuple[str, ...]]] = {part.benchmark: set() for part in parts}
    for (benchmark, run), holders in items.items():
        if len(holders) <= most_items:
            telling[benchmark].add(run)
    return telling


def held(
    parts: list[Part], text: str, *, n: int, share: float, fewest: int, most_items: int
) -> dict[int, tuple[int, int]]:
    """Own words found and level (like 0, held 1, whole 2), by number, of each part in a text."""
    telling = telling_runs(parts, n, most_items)
    in_order = runs(text, n)
    there = set(in_order)
    found = {}
    for number, part in enumerate(parts):
        own = covered(part.text, n, telling[part.benchmark])
        if own == 0 or own < min(fewest, len(words(part.text))):
            continue
        count = covered(part.text, n, telling[part.benchmark] & there)
        if count < min(0.5, share) * own or count < min(fewest, own):
            continue
        places = [
            (i, run)
            for i, run in enumerate(runs(part.text, n))
            if run in telling[part.benchmark] & there
        ]
        cut = max((i for i, run in places if run in in_order[:2]), default=0)
        left = min(
            (i + n for i, run in places if run in in_order[-2:]), default=len(words(part.text))
        )
        level = 2 if count == own else int(count >= share * min(own, left - cut))
        found[number] = (count, level)
    return found
