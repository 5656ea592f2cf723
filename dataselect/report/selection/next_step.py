"""The line after the verdict: what to do next, what it costs, and what it would tell.

Before any choice come the remedies that cost nothing to decide on: candidates that failed are tried
again by the same command, and items that a training text contains are settled. Then it is either
"choose", or the cheapest that could tell the first from the others. Where nothing could, it says
so, and leaves the choice to what the run does not know, such as a price. Known accuracies of
targets are named, since then the proxies need not be believed.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dataselect.decisions.next_step import MOST_ITEMS, MOST_SEEDS, CutDoubt
from dataselect.report import numbers
from dataselect.stages.next_step import Outlook, look_ahead
from dataselect.stages.proxy_origins import StageName, section
from dataselect.stages.screen import Screening
from dataselect.units import format_flops

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dataselect.pipeline import Selection


def advise(selection: "Selection", decision: "Mapping[str, Any]") -> dict[str, Any]:
    """The next step as `text` and as numbers, from the verdict's numbers.

    `action` is what comes first: "retry", "settle_leaks", "compare_more", "keep_more", or that
    about the order of the compared, `order`: "choose", "more_seeds", "more_items" or
    "other_proxies", with what would be enough (`seeds` in all, `items` as a multiple,
    `proxy_flops` of one), the `probability` that it reaches, its FLOPs and their share of a
    target's. `failed` are the candidates that the same command tries again, `beyond` those that no
    exact score could tell apart, and `cut` is about candidates that were pruned, in its `stage`.
    """
    winner, stage = decision["winner"], decision["stage"]
    undecided = list(decision["not_told_apart"])
    failed = _failed(selection)
    made: dict[str, Any] = {
        "action": "compare_more",
        "order": None,
        "failed": failed,
        "undecided": undecided,
        "beyond": [],
        "seeds": None,
        "items": None,
        "probability": None,
        "flops": None,
        "of_target": None,
        "proxy_flops": None,
        "cut": None,
    }
    if stage is None:
        text = _compare_more(selection, winner)
    elif leak := _leak(selection, winner, decision["first_without_leaked_items"]):
        made["action"], text = "settle_leaks", leak
    else:
        outlook = look_ahead(selection.experiment, selection, stage, winner, undecided)
        text, flops = _words(outlook, winner, f"the plan's '{_section(selection, stage)}'")
        step = outlook.step
        if outlook.unseen:
            hidden = listed(outlook.unseen)
            text += (
                "; the noise of seeds, which the probability above leaves out, hides its lead over "
                f"{hidden}"
            )
        made |= {
            "action": step.action,
            "order": step.action,
            "undecided": list(step.undecided),
            "beyond": list(step.beyond),
            "seeds": step.seeds,
            "items": step.items,
            "probability": step.probability,
            "flops": flops,
            "of_target": None if flops is None else flops / outlook.target_flops,
            "proxy_flops": outlook.larger_flops,
            "cut": None
            if outlook.cut is None
            else {
                **asdict(outlook.cut),
                "flops": outlook.cut_flops,
                "stage": outlook.cut_stage,
            },
        }
        text += _known(selection, [winner, *step.undecided])
        if outlook.cut is not None and outlook.cut_stage is not None:
            after = StageName.at(outlook.cut_stage.number + 1)
            cut = _cut(outlook, outlook.cut, _section(selection, outlook.cut_stage), after)
            of = outlook.cut_stage.label
            # What costs less than a target comes before what follows from the survivors alone.
            if outlook.cut_flops < outlook.target_flops:
                made["action"] = "keep_more"
                prunes = isinstance(selection.by_stage[stage], Screening)
                which = f"By {stage.label}" if prunes else "Of the survivors"
                text = f"widen {of}'s cut: {cut}. {which}: {text}"
            else:
                text += f". {of}'s cut is in doubt: {cut}"
    if failed:
        again = f"run the same command again, which retries {listed(failed)}"
        action = "" if stage is None else f" With what is there: {text}."
        made["action"] = "retry"
        return made | {"text": f"Next: {again}.{action}"}
    return made | {"text": f"Next: {text}."}


def listed(names: Sequence[str], last: str = "and") -> str:
    """Names for a sentence; more than four are counted."""
    shown = list(names)
    if len(shown) > 4:
        shown = [*shown[:3], f"{len(shown) - 3} others"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {last} {shown[-1]}"


def _failed(selection: "Selection") -> list[str]:
    stages = selection.scores.values()
    failed = [n for scores in stages for n, status in scores.status.items() if status == "failed"]
    if selection.failed is not None:
        tried = selection.failed.candidates.items()
        failed += [name for name, each in tried if each.status == "failed"]
    return list(dict.fromkeys(failed))


def _leak(selection: "Selection", winner: str, first: str | None) -> str:
    """What to do about leaked items that the winner may owe its place to; "" if it does not."""
    alarm = selection.experiment.leaks
    clean = "take the benchmarks' items out of the candidates' text before choosing"
    if first not in (None, winner):
        return f"{clean}, or choose {first}, which is first on the items that no candidate holds"
    if first is None and alarm is not None and alarm.raised(winner, "items"):
        return f"{clean}, for no item is left to judge {winner} by"
    return ""


def _compare_more(selection: "Selection", winner: str | None) -> str:
    last = selection.screenings[-1]
    if selection.prediction is not None and len(last.ranking.table) > len(last.survivors):
        return (
            f"a larger 'keep' in the plan's '{_section(selection, last.scores.stage)}', so that "
            f"{selection.prediction.scores.stage.label} has more than {winner or 'these'} to "
            "compare"
        )
    return "add candidates to the manifest, or see above why the others have no score"


def _section(selection: "Selection", stage: StageName) -> str:
    return section(selection.experiment.plan, stage)


def _words(outlook: Outlook, winner: str, where: str) -> tuple[str, float | None]:
    """The sentence without its full stop, and the FLOPs of what it proposes, if they are known.

    `where` is the section of the plan that it speaks of.
    """
    step = outlook.step
    if step.action == "choose":
        return f"choose {winner}{_caveat(outlook, where)}", None
    if step.action == "more_seeds":
        return _more_seeds(outlook, winner, where)
    if step.action == "more_items":
        return _more_items(outlook, winner)
    return _other_proxies(outlook, winner, where)


def _caveat(outlook: Outlook, where: str) -> str:
    """What the probability of a clear winner leaves out."""
    if outlook.seeds_known or outlook.rests_on == "gap":
        return ""
    words = "; the noise of seeds is not in that probability, for there is one of each"
    if not outlook.trained:
        return words
    flops = outlook.seed_flops
    return f"{words}: 'seeds: 2' in {where} would measure it{_price(outlook, flops)}"


def _more_seeds(outlook: Outlook, winner: str, where: str) -> tuple[str, float | None]:
    step = outlook.step
    assert step.seeds is not None
    more = step.seeds - outlook.seeds
    flops = more * outlook.seed_flops
    these = [winner, *step.undecided]
    if not outlook.trained:
        what = f"give {listed(these)} checkpoints of {_count(more, 'more seed')}"
        flops = 0.0
    else:
        what = (
            f"run {listed(these)} with {_count(more, 'more seed')}: 'seeds: {step.seeds}' in "
            f"{where} and the same command again"
        )
        if outlook.candidates > len(these):
            what += f", for all {outlook.candidates}"
        what += _price(outlook, flops)
    if flops >= len(these) * outlook.target_flops:
        targets = format_flops(len(these) * outlook.target_flops)
        what = f"train the targets of {listed(these)} ({targets}), or take either: {what}, no less"
    if step.probability is None:
        tells = "it would tell the noise of seeds, which one of each cannot"
        if step.items is not None:
            tells += f"; besides, about {_times(outlook)} are needed"
    else:
        tells = f"if the difference stays, its probability rises to {_p(step.probability)}"
    return f"{what}; {tells}", flops or None


def _more_items(outlook: Outlook, winner: str) -> tuple[str, float | None]:
    step = outlook.step
    assert step.probability is not None
    flops, seeds = None, ""
    if step.seeds is not None:
        more = step.seeds - outlook.seeds
        flops = more * outlook.seed_flops
        seeds = f" and {_count(more, 'more seed')} of each"
        seeds += _price(outlook, flops) if outlook.trained else ""
    return (
        f"score {listed([winner, *step.undecided])} on about {_times(outlook)}{seeds}; if the "
        f"difference stays, its probability rises to {_p(step.probability)}",
        flops,
    )


def _other_proxies(outlook: Outlook, winner: str, where: str) -> tuple[str, float | None]:
    step, flops = outlook.step, None
    these = [winner, *(step.beyond or step.undecided)]
    either = f"take {winner}, or {'the other' if len(these) == 2 else 'another'} if it is cheaper"
    text = f"{listed(these)} cannot be told apart by"
    if not step.beyond:
        return (
            f"{text} {MOST_SEEDS} seeds, nor by {MOST_ITEMS:g} times as many items: {either}",
            None,
        )
    text += f" more seeds: without any noise the probability would be {_p(step.probability)}"
    if outlook.rests_on == "scores":
        return f"{text}; {either}", None
    if outlook.rests_on == "function":
        return (
            f"{text}, because targets of equal score differ; {either}, or a larger "
            f"{outlook.stage.label} proxy with a function of its own, and how large is not known"
        ), None
    text += ", by the gap between such proxies and the target"
    if outlook.larger_flops is None:
        return f"{text}; {either}; no proxy cheaper than the target is known to be enough", None
    flops = outlook.candidates * outlook.larger_flops
    return (
        f"{text}; {either}, or a larger proxy in {where}: about "
        f"{format_flops(outlook.larger_flops)} each{_price(outlook, flops)}, would be enough if "
        "the difference stays"
    ), flops


def _known(selection: "Selection", names: list[str]) -> str:
    """The true accuracies of those that are compared, where they are known; "" otherwise."""
    truth = selection.truth
    if truth is None or len(names) < 2 or any(name not in truth.accuracy for name in names):
        return ""
    true = [f"{name} {numbers.percent(truth.accuracy[name])}" for name in names[:4]]
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f". Their targets are known: {', '.join(true)}{more}"


def _cut(outlook: Outlook, cut: CutDoubt, where: str, after: StageName) -> str:
    """How to be surer that the best was not pruned, without a full stop."""
    return (
        f"the survivors hold the best with probability {_p(cut.p_kept)}; 'keep: {cut.keep}' in the "
        f"plan's '{where}' makes it {_p(cut.p_then)} and adds {_count(cut.more, 'candidate')} to "
        f"{after.label}{_price(outlook, outlook.cut_flops)}"
    )


def _p(probability: float | None) -> str:
    return numbers.probability(probability)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _times(outlook: Outlook) -> str:
    times = outlook.step.items
    assert times is not None
    return f"{numbers.factor(times)} as many items ({round(times * outlook.items)} in all)"


def _price(outlook: Outlook, flops: float) -> str:
    """What it costs, in FLOPs and target runs; "" where that is not known."""
    if flops <= 0:
        return ""
    share = flops / outlook.target_flops
    return f", for {format_flops(flops)} ({numbers.target_runs(share)})"
