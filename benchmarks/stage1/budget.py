"""The best use of 13 sizes at each compute budget for a candidate."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from published import FAMILIES, FLOPS, PAPER, SIZES, Array, Published

BUDGETS = (1e16, 3e16, 1e17, 2e17, 5e17, 1e18, 2e18, 6e18, 2e19, 6e19, 2e20, 6e20)


@dataclass(frozen=True)
class Use:
    """A way to spend FLOPs on a candidate; `scores`: repeats x recipes, lower is better."""

    name: str
    kind: str
    flops: float
    scores: Array


def uses(published: Published) -> Iterator[Use]:
    """One run, two or three seeds of a size, two to four neighbouring sizes, all sizes up to one.

    Sizes are averaged as z-scores. A use that needs fewer seeds than there are is repeated with
    others.
    """
    runs = published.runs
    for place, size in enumerate(SIZES):
        one = runs[place].T
        yield Use(f"{size}", "one run", FLOPS[size], one)
        two = (one + np.roll(one, 1, axis=0)) / 2
        yield Use(f"{size}, 2 seeds", "seeds", 2 * FLOPS[size], two)
        yield Use(f"{size}, 3 seeds", "seeds", 3 * FLOPS[size], one.mean(axis=0)[None])
        for width in (2, 3, 4):
            if width <= place + 1:
                yield _mean_of(published, range(place - width + 1, place + 1), f"{width} sizes to")
        if place >= 4:
            yield _mean_of(published, range(place + 1), "all sizes to")


def _mean_of(published: Published, places: range, words: str) -> Use:
    scores = np.zeros((3, len(published.recipes)))
    for shift, place in enumerate(places):
        values = published.runs[place].T
        standard = (values - values.mean(axis=1, keepdims=True)) / values.std(axis=1, keepdims=True)
        # Another seed at each size, as runs of one's own would have.
        scores += np.roll(standard, shift, axis=0)
    cost = sum(FLOPS[SIZES[place]] for place in places)
    return Use(f"{words} {SIZES[places[-1]]}", "sizes", cost, scores / len(places))


def budget(published: Published, draws: int, rng: np.random.Generator) -> dict[str, Any]:
    """Decision accuracy of every use, mean of the paper's two benchmarks, and who is best.

    `best`: at each budget, the use of highest accuracy that costs no more, with its 90% interval
    over recipes; how far a single run of the largest size that fits is behind it; and what the
    choice is worth to recipes that it was not made on: chosen on families, asked of pairs with a
    recipe of another.
    """
    all_uses = list(uses(published))
    right = np.stack([_right(use, published) for use in all_uses])  # uses x recipes x recipes
    compared = _compared(published)
    count = len(published.recipes)
    counts = rng.multinomial(count, np.full(count, 1 / count), size=draws).astype(float)
    everyone = np.ones((1, count))
    accuracy = _share(right, compared, everyone)[:, 0]
    resampled = _share(right, compared, counts)
    held_out = [_held_out(right, compared, published.families[:, f]) for f in range(len(FAMILIES))]

    rows = []
    for limit in BUDGETS:
        fits = [i for i, use in enumerate(all_uses) if use.flops <= limit * 1.0001]
        if not fits:
            continue
        best = max(fits, key=lambda i: accuracy[i])
        largest = max(
            (i for i in fits if all_uses[i].kind == "one run"), key=lambda i: all_uses[i].flops
        )
        gain = resampled[best] - resampled[largest]
        chosen = [max(fits, key=lambda i, t=train: t[i]) for train, _, _ in held_out]
        weights = np.array([w for _, _, w in held_out])
        honest = [test[i] for (_, test, _), i in zip(held_out, chosen, strict=True)]
        plain = [test[largest] for _, test, _ in held_out]
        rows.append(
            {
                "budget": limit,
                "best": all_uses[best].name,
                "flops": float(f"{all_uses[best].flops:.3g}"),
                "accuracy": round(float(accuracy[best]), 3),
                "interval": _ends(resampled[best]),
                "largest_run": all_uses[largest].name,
                "largest_accuracy": round(float(accuracy[largest]), 3),
                "gain": round(float(accuracy[best] - accuracy[largest]), 3),
                "gain_interval": _ends(gain),
                "chosen_elsewhere": round(float(np.average(honest, weights=weights)), 3),
                "largest_elsewhere": round(float(np.average(plain, weights=weights)), 3),
            }
        )
    return {
        "uses": [
            {
                "use": use.name,
                "kind": use.kind,
                "flops": float(f"{use.flops:.4g}"),
                "accuracy": round(float(accuracy[place]), 4),
                "interval": _ends(resampled[place]),
            }
            for place, use in enumerate(all_uses)
        ],
        "best": rows,
        "kinds": _kinds(all_uses, accuracy, resampled),
    }


def _kinds(all_uses: list[Use], accuracy: Array, resampled: Array) -> list[dict[str, Any]]:
    """Several seeds, and several sizes, against one run of the same largest size."""
    by_name = {use.name: place for place, use in enumerate(all_uses)}
    rows = []
    for size in SIZES:
        one = by_name[size]
        for other in (
            f"{size}, 3 seeds",
            f"2 sizes to {size}",
            f"3 sizes to {size}",
            f"all sizes to {size}",
        ):
            if other in by_name:
                place = by_name[other]
                rows.append(
                    {
                        "size": size,
                        "use": other,
                        "times_cost": round(all_uses[place].flops / all_uses[one].flops, 2),
                        "gain": round(float(accuracy[place] - accuracy[one]), 3),
                        "gain_interval": _ends(resampled[place] - resampled[one]),
                    }
                )
    return rows


def _ends(values: Array) -> list[float]:
    return [round(float(end), 3) for end in np.quantile(values, [0.05, 0.95])]


def _right(use: Use, published: Published) -> Array:
    """Mean over repeats and benchmarks of whether each pair is in the target's order."""
    total = np.zeros((len(published.recipes),) * 2)
    for benchmark in PAPER:
        truth = published.targets[benchmark].to_numpy()
        sign = np.sign(truth[:, None] - truth[None])
        for scores in use.scores:
            ours = np.sign(scores[None] - scores[:, None])
            total += np.where(sign != 0, (1 + ours * sign) / 2, 0)
    return total / len(use.scores)


def _compared(published: Published) -> Array:
    return sum(
        ((t := published.targets[b].to_numpy())[:, None] != t[None]).astype(float) for b in PAPER
    )


def _share(right: Array, compared: Array, counts: Array) -> Array:
    """Uses x draws."""
    whole = np.einsum("ij,di,dj->d", compared, counts, counts, optimize=True)
    good = np.stack([((counts @ each) * counts).sum(axis=1) for each in right])
    return np.asarray(good / whole)


def _held_out(right: Array, compared: Array, out: Array) -> tuple[Array, Array, float]:
    """Accuracy inside the other families, accuracy on pairs with this one, and their number."""
    touches = out[:, None] | out[None]
    inside, outside = compared * ~touches, compared * touches
    train = (right * ~touches).sum(axis=(1, 2)) / inside.sum()
    test = (right * touches).sum(axis=(1, 2)) / outside.sum()
    return train, test, float(outside.sum())
