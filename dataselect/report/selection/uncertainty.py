"""Uncertainty of the stages that prune in words and tables, and the ablation of Stage 1.

Views of the document alone. If its key `doubt` is missing or null (an older document, or a ranking
without it), probabilities are over items only.
"""

import math
from collections.abc import Mapping
from typing import Any

from dataselect.report import numbers
from dataselect.report.markdown import code, escape, table
from dataselect.wording import one_line

_HOPELESS = 100.0
_AT_TARGET = "is the better one at target size"


def claim(uncertainty: Mapping[str, Any] | None) -> str:
    """What a stage's probability refers to, for the phrase "it … with probability .8"."""
    if uncertainty is None or uncertainty["tau"] is None:
        return "its score is ahead"
    return f"it {_AT_TARGET}"


def knowledge(uncertainty: Mapping[str, Any] | None) -> str:
    """What a stage's probability rests on: "over items and seeds", "by an extrapolation ..."."""
    if uncertainty is None or uncertainty["tau"] is None:
        return "over items and seeds" if uncertainty and uncertainty["measured"] else "over items"
    basis = _basis(uncertainty)
    if basis == "prior":
        return "by a wide guess, since nothing is published of this metric"
    proxies = "published proxies"
    if basis == "measured":
        proxies = f"your own proxies of {uncertainty['known_targets']} known targets"
    if uncertainty["extrapolated"]:
        return f"by an extrapolation from {proxies}"
    return f"judging by {proxies}" + (" of this size" if basis == "published" else "")


def _basis(uncertainty: Mapping[str, Any]) -> str:
    """ "published", "measured" or "prior"; an older document has published figures only."""
    return str(uncertainty.get("basis") or "published")


def interval_words(uncertainty: Mapping[str, Any] | None) -> str:
    """What the intervals of a stage's scores cover."""
    if uncertainty and uncertainty["measured"]:
        return f"items and {uncertainty['seeds']} seeds"
    return "items alone"


def uncertainty_lines(stage: Mapping[str, Any], title: str = "Stage 1") -> list[str]:
    """A paragraph for the README: what intervals and probabilities cover and what not."""
    uncertainty, share = stage.get("doubt"), f"{100 * stage['confidence']:g}%"
    words = (
        f"In brackets the {share} interval of a bootstrap over items, the same items for every "
        "candidate"
    )
    if uncertainty and uncertainty["measured"]:
        words += f", with the noise of {uncertainty['seeds']} seeds, pooled over candidates"
    if uncertainty is None or uncertainty["tau"] is None:
        missing = "the gap between proxy and target"
        if not (uncertainty and uncertainty["measured"]):
            missing = f"the training seed or {missing}"
        return [f"{words}; neither it nor the probabilities cover {missing}."]
    seeds = "" if uncertainty["measured"] else "what one training seed commonly changes, and "
    far = {
        "published": "how far published proxies of as many training FLOPs were from the order of"
        " their targets",
        "measured": "how far your own proxies were from the order of known targets",
        "prior": "how far proxies may be from the order of their targets",
    }[_basis(uncertainty)]
    paragraph = (
        f"{words}. P(best {stage['kept']}) and {title}'s probabilities of pairs also cover {seeds}"
        f"{far} ({gap_words(uncertainty['tau'], _known_within(uncertainty))}). That rests on "
        f"{escape(uncertainty.get('source') or 'published runs')}."
    )
    if uncertainty["extrapolated"]:
        paragraph += f" Here it is an extrapolation: {escape(uncertainty['extrapolated'])}."
    return [paragraph]


def gap_words(tau: float, known: str = "") -> str:
    """How far an order is from that of the targets, by the scale of the gap; `known` is how well.

    Scores differ by a few of their units, so a gap of hundreds leaves nothing to be known.
    """
    if tau > _HOPELESS:
        return "so far off that it says nothing of the targets"
    off = numbers.significant(tau, 2)
    return f"half of the differences off by more than {off} of the score's unit{known}"


def _known_within(uncertainty: Mapping[str, Any]) -> str:
    """How well the scale of the gap is known; "" where it is taken as it is."""
    doubt = uncertainty.get("tau_doubt") or 0.0
    # Two of three times a normal variable is within a standard deviation.
    return f", itself known within a factor of {math.exp(doubt):.2g}" if doubt else ""


def basis_line(stage: Mapping[str, Any]) -> str:
    """A line for the terminal: what P(best k) and probabilities of pairs rest on."""
    uncertainty = stage.get("doubt")
    if uncertainty is None or uncertainty["tau"] is None:
        return f"P(best {stage['kept']}): of the scores alone, without a gap to the target"
    words = f"P(best {stage['kept']}) at target size rests on "
    words += one_line(uncertainty.get("source") or "published runs")
    return words + ("; an extrapolation" if uncertainty["extrapolated"] else "")


def noise_lines(stage: Mapping[str, Any], title: str = "Stage 1") -> list[str]:
    """A section for the README on which benchmarks are too noisy to choose by."""
    noise = stage.get("signal_to_noise") or {}
    if not noise:
        return []
    known = {name: each for name, each in noise.items() if each["verdict"] != "unknown"}
    if not known:
        reason = next(iter(noise.values()))["reason"]
        return [f"## Noise of the benchmarks in {title}", f"Not known: {escape(reason)}."]
    rows = [
        [
            code(name),
            numbers.number(each["spread"], 4),
            numbers.number(each["noise"], 4),
            numbers.with_interval(each["ratio"], each["interval"]),
            numbers.number(each["order_kept"]),
            each["verdict"],
        ]
        for name, each in known.items()
    ]
    head = ["", "spread of candidates", "noise of their means", "ratio", "order kept", ""]
    remarks = [f"{code(name)}: {escape(each['reason'])}." for name, each in noise.items()]
    return [
        f"## Noise of the benchmarks in {title}",
        table(head, rows, " rrrr "),
        "Standard deviations in nats per token; the noise is subtracted from the spread. Order "
        "kept: share of the pairs that this noise leaves in their true order at the proxy's own "
        "size. Below a ratio of 1 (order kept 0.75) a benchmark is too noisy to choose by. "
        + " ".join(remarks),
    ]


def ablation_lines(ablation: Mapping[str, Any] | None) -> list[str]:
    """A section for the README: every metric's ranking compared with the first one's."""
    if ablation is None:
        return []
    metrics = ablation["metrics"]
    names = sorted(metrics[ablation["first"]]["ranks"], key=metrics[ablation["first"]]["ranks"].get)
    ranks = [
        [code(name), *(str(each["ranks"][name]) for each in metrics.values())] for name in names
    ]
    titles = [numbers.metric_name(metric) for metric in metrics]
    rows = [
        [
            numbers.metric_name(metric),
            numbers.number(each["same_order"]),
            numbers.number(each["kendall_tau"]),
            numbers.number(each["expected_same_order"]),
            str(len(each["differing"])) if metric != ablation["first"] else "–",
            numbers.with_interval(each["decision_accuracy"], each["decision_accuracy_interval"]),
            numbers.with_interval(each["gain"], each["gain_interval"]),
            _p_first(each),
        ]
        for metric, each in metrics.items()
    ]
    first = numbers.metric_name(ablation["first"])
    head = ["", "same order", "tau-b", "on other items", "surely differ", "decision accuracy"]
    return [
        "## Every metric's ranking in Stage 1",
        ablation_verdict(ablation),
        table(["rank by", *titles], ranks, " " + "r" * len(titles)),
        table([*head, f"{first} better by", "P(its first is best)"], rows, " rrrrrrr"),
        f"Same order: share of the {ablation['pairs']} pairs that a metric and {first} put in the "
        f"same order; on other items: the same, expected on resampled items ({first}: with "
        f"itself). Surely differ: pairs that the two put in opposite order with probability "
        f"{ablation['confidence']:g} or more over items. Intervals resample candidates, the same "
        "for both metrics. P(its first is best): at target size, by what is published of that "
        "metric's gap between proxy and target or by the plan's own; ? marks a wide guess, since "
        "nothing is published of it.",
    ]


def _p_first(metric: Mapping[str, Any]) -> str:
    """The probability that a metric's first is the best, marked where it rests on a guess."""
    p = metric.get("p_first")
    return numbers.probability(p) + ("?" if metric.get("basis") == "prior" else "")


def ablation_verdict(ablation: Mapping[str, Any]) -> str:
    """Whether the token weights improve on the plain likelihood of the trace, in a sentence."""
    plain = ablation["metrics"].get("trace_nll")
    if plain is None:
        return "The plain likelihood of the trace was not measured."
    differing = len(plain["differing"])
    if plain["gain"] is None:
        return (
            "Weighted and plain likelihood of the trace put "
            f"{numbers.percent(plain['same_order'])} of the pairs in the same order, "
            f"and surely differ on {differing} of {ablation['pairs']}. Which of the two is "
            "right is not known: fewer than three candidates have targets of known accuracy."
        )
    low, high = plain["gain_interval"]
    ends = numbers.interval(numbers.points(low), numbers.points(high))
    gain = f"{numbers.points(plain['gain'])} {ends}"
    if low > 0:
        answer = "Weighting helps here"
    elif high < 0:
        answer = "The plain likelihood is better here"
    else:
        answer = "Whether weighting helps cannot be told here"
    return (
        f"{answer}: over {ablation['known']} candidates, weights raise decision accuracy by "
        f"{gain} points."
    )


def noisy_benchmarks(stage: Mapping[str, Any], title: str = "Stage 1") -> str | None:
    """A line for the terminal naming the benchmarks that are too noisy to choose by."""
    noise = stage.get("signal_to_noise") or {}
    names = [name for name, each in noise.items() if each["verdict"] == "too noisy"]
    if not names:
        return None
    return f"too noisy to choose by in {title}: {', '.join(map(one_line, names))}"
