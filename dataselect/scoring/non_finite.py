"""Items whose value is NaN or infinite for a model, and models that have too many of them.

Such a value is never averaged away: the mean over the other items would be that of easier items,
so a model that breaks on the hard ones would look better than an intact one. The item is left out
for every model that is compared. A broken model must not take the items of the others either, so
a model with more than a small share of such items is failed, and its items stay with the others.

The items are recorded as exclusions of the measurement, in `facts.json`. Whether a model failed is
decided when measurements are read, so a stored measurement does not depend on the limit.
"""

from collections.abc import Iterable, Sequence

from dataselect.benchmarks.items import Exclusion

_FINITE_FOR = "its value is not finite for"
NOT_FINITE = f"{_FINITE_FOR} this model"
"""The reason of the exclusion."""
FAILED = "its values are not finite numbers"
"""How the reason of a failed model begins."""
_SHOWN = 8

MOST_NON_FINITE = 0.05
"""Largest share of non-finite items, in 0..1, that a model may have on a benchmark.

What overflows is seldom a random item: it is the longest, or the one with a rare token. One item in
twenty moves a mean of comparable items by little; more would make it the mean of another benchmark.
A single item is allowed on a small benchmark too, as long as another one is left."""


def failure(
    exclusions: Sequence[Exclusion], scored: int, benchmark: str, *, tolerant: bool = True
) -> str | None:
    """Why a model with these exclusions and `scored` finite items failed; None if it did not.

    Not `tolerant`: a single non-finite item is too many.
    """
    bad = len(non_finite(exclusions))
    allowed = max(1, int(MOST_NON_FINITE * (bad + scored))) if tolerant else 0
    if not bad or (scored and bad <= allowed):
        return None
    return (
        f"{FAILED} on {bad} of {bad + scored} items of {benchmark}; "
        "score an intact checkpoint, or give another precision"
    )


def non_finite(exclusions: Iterable[Exclusion]) -> list[str]:
    """Ids of the items that were left out because their value is not finite, each once."""
    return list(dict.fromkeys(each.item for each in exclusions if each.reason == NOT_FINITE))


def with_models(by_model: Iterable[tuple[str, Iterable[Exclusion]]]) -> list[Exclusion]:
    """The exclusions of several models, each once; where a value is not finite, for which models.

    `by_model`: names of models, which may repeat, and their exclusions.
    """
    models: dict[str, list[str]] = {}
    found: dict[Exclusion, None] = {}
    for name, exclusions in by_model:
        for each in exclusions:
            found[each] = None
            if each.reason == NOT_FINITE and name not in models.setdefault(each.item, []):
                models[each.item].append(name)
    return [
        Exclusion(each.item, f"{_FINITE_FOR} {', '.join(models[each.item])}")
        if each.reason == NOT_FINITE
        else each
        for each in found
    ]


def non_finite_notes(exclusions: Iterable[Exclusion]) -> list[str]:
    """A line for each set of models that items were left out for: the count, and the items."""
    items: dict[str, list[str]] = {}
    for each in exclusions:
        if each.reason.startswith(_FINITE_FOR):
            items.setdefault(each.reason.removeprefix(_FINITE_FOR).strip(), []).append(each.item)
    return [
        f"left out for all, since the value is not finite for {models}: {len(names)} "
        f"({', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''})"
        for models, names in items.items()
    ]
