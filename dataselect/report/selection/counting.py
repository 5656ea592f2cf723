"""What counting words alone would have chosen, beside what the proxies chose.

`counting_part` makes the part of report.json; the lines for README and terminal are views of it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dataselect.report import numbers
from dataselect.report.markdown import code, escape, table
from dataselect.report.selection.stage_scores import score_words
from dataselect.report.selection.uncertainty import gap_words
from dataselect.stages.counting import NO_SCORE
from dataselect.units import format_count, format_seconds

if TYPE_CHECKING:
    from dataselect.stages.counting import Counting


def counting_part(counting: "Counting | None", winner: str | None) -> dict[str, Any] | None:
    """Rankings by counting as JSON values; `winner` is the run's own choice.

    `text` is the sentence that reports show, about the score `first`. `chosen` are the best
    candidates by each score, several where they tie.
    """
    if counting is None:
        return None
    chosen = {
        score: [str(name) for name in values.index[values == values.min()]]
        for score, values in counting.scores.items()
    }
    first = next(iter(counting.scores))
    too = " too" if chosen[first] == [winner] else ""
    agrees = counting.same_order[first]
    pairs = "" if agrees is None else f"; it agrees with rBridge on {agrees:.0%} of the pairs"
    known, total = len(counting.tokens), len(counting.tokens) + len(counting.without)
    scored = set(counting.without.values()) == {NO_SCORE}
    which = "that Stage 1 scored" if scored else "with text here"
    some = f" of the {known} of {total} candidates {which}" if counting.without else ""
    return {
        "text": (
            f"Counting words alone (unigrams) would have chosen {' or '.join(chosen[first])}{too}"
            f"{some}{pairs}."
        ),
        "first": first,
        "chosen": chosen,
        "same_order": dict(counting.same_order),
        "scores": {score: dict(values) for score, values in counting.scores.items()},
        "ranks": {
            score: {name: int(place) for name, place in values.rank(method="min").items()}
            for score, values in counting.scores.items()
        },
        "benchmarks": {
            score: {name: dict(each.mean()) for name, each in by_benchmark.items()}
            for score, by_benchmark in counting.tables.items()
        },
        "tokens": dict(counting.tokens),
        "without": dict(counting.without),
        "exact": counting.exact,
        "cpu_seconds": counting.cpu_seconds,
    }


def counting_lines(document: Mapping[str, Any]) -> list[str]:
    """The README's section: the sentence, and the ranks by counting beside rBridge's."""
    part = document.get("counting")
    if part is None:
        return []
    rbridge = {
        each["id"]: each["stage1"]["score"]
        for each in document["candidates"]
        if each["id"] in part["tokens"]
    }
    order = sorted(rbridge, key=lambda name: rbridge[name])
    # The plain likelihoods; those with token weights are in report.json and in the ablation.
    scores = [score for score in part["scores"] if score.endswith("_trace_nll")]
    rows = [
        [code(name), str(order.index(name) + 1), *(str(part["ranks"][s][name]) for s in scores)]
        for name in order
    ]
    agreed = [numbers.percent(part["same_order"][score]) for score in scores]
    lines = [
        "## Counting words",
        f"**{escape(part['text'])}**",
        table(
            ["rank by", "rBridge", *(numbers.order_name(score) for score in scores)],
            [*rows, ["same order as rBridge", "", *agreed]],
            " " + "r" * (1 + len(scores)),
        ),
        "By the plain NLL of the same traces under an n-gram model of the text that each Stage 1 "
        f"proxy was trained on ({_tokens(part)} a candidate), without any training: "
        f"{format_seconds(part['cpu_seconds'])} of CPU in all.",
    ]
    if not part["exact"]:
        lines.append(
            "There are more pairs of context and token than are kept, so the numbers of distinct "
            "followers are estimates; all counts are exact."
        )
    if part["without"]:
        reasons = [f"- {code(name)}: {escape(why)}" for name, why in part["without"].items()]
        lines += ["Not counted:", "\n".join(reasons)]
    return lines


def counted_words(screen0: Mapping[str, Any]) -> str:
    """A paragraph for the README: what Stage 0 ranked by, what that rests on and what it cost."""
    gap = gap_words(screen0["doubt"]["tau"])
    words = (
        f"Stage 0 scores are by counting words ({numbers.order_name(screen0['score'])}): the plain "
        f"NLL of the traces under a model of {_tokens(screen0)} of each candidate's text, "
        f"{score_words(screen0, 'NLL')}; lower is better. Nothing was trained: "
        f"{format_seconds(screen0['cpu_seconds'])} of CPU in all. P(best {screen0['kept']}) covers "
        f"the choice of items, and how far such an order is from that of the targets ({gap}), "
        f"which rests on {escape(screen0['doubt']['source'])}. Texts with the same words look the "
        "same to it, whether what they say is true or not."
    )
    if screen0["uncounted"]:
        names = ", ".join(map(code, screen0["uncounted"]))
        words += f" Not counted, and not pruned by it: {names}."
    return words


def _tokens(part: Mapping[str, Any]) -> str:
    fewest, most = min(part["tokens"].values()), max(part["tokens"].values())
    ends = [format_count(fewest), format_count(most)]
    return f"{' to '.join(dict.fromkeys(ends))} tokens"
