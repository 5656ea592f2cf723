"""README.md of a mixture, for a reader who has only the folder; the most important comes first.

Verdict, shares, gains over other mixtures, how the objective responds, how well held-out runs were
predicted, what the search cost, which file is for which trainer, and how to repeat it. The report
of a run has the first of these. The page is made from the document alone.
"""

from collections.abc import Collection, Mapping
from typing import Any

from dataselect.mixture.trainers import TRAINERS
from dataselect.report import numbers
from dataselect.report.markdown import code, escape, image, table
from dataselect.report.mixture.verdict import (
    ENDS,
    gain_text,
    mixture_verdict,
    points_text,
    ranking_words,
)
from dataselect.report.pictures import pictures
from dataselect.units import format_flops, format_seconds
from dataselect.wording import one_line

_FILES = {
    "weights.json": "shares of the tokens, for anything",
    "weights.csv": "the same",
    "proposal.json": "everything on this page, with the curves behind the pictures",
    "model.json": "the fitted model, for `dataselect mix predict` and `mix propose`",
    "ratios.csv": "the trials' weights, for `dataselect mix fit`",
    "metrics.csv": "the trials' scores, for `dataselect mix fit`",
    "spent.json": "what the search took: seconds, jobs, trials that were done again",
    "epochs.csv": "how often the trials read each source, for `dataselect mix fit`",
}


def mixture_readme(document: Mapping[str, Any], files: Collection[str]) -> str:
    """Markdown text of the folder's README; `files` are the names of its other files."""
    searched = "search" in document
    parts = [
        "# Proposed mixture",
        *mixture_lines(document),
        "## Response",
        *response_lines(document),
        "## How well runs are predicted",
        *_pictures(document, "", "held-out"),
        f"{escape(ranking_words(document['held_out']['rank_correlation']))} Each run is predicted "
        "by fits without it; an interval resamples runs.",
        *(["## The search", *_pictures(document, "", "course")] if searched else []),
        *search_lines(document),
        *_trade_offs(document),
        "## Files",
        *_trainers(files),
        table(["file", "for"], [[code(f), r] for f, r in _FILES.items() if f in files]),
        "## Do it again",
        f"    {one_line(document['command'])}",
        _other_objective(searched),
        *_notes(document),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def mixture_lines(document: Mapping[str, Any], folder: str | None = "") -> list[str]:
    """Verdict, shares and comparison; `folder` is the path of the pictures, with its final /.

    With None for the folder there is no picture.
    """
    return [
        f"**{escape(mixture_verdict(document))}**",
        *([] if folder is None else _pictures(document, folder, "weights")),
        _shares(document),
        "Interval: where the optimum lies when runs are left out. Near-equal: how far a weight "
        "alone may move, the others scaled, before the objective is worse by one held-out error.",
        _beside(document),
        f"Gains above 0 favour the proposal. {escape(_confirmed_words(document))}".rstrip(),
    ]


def response_lines(document: Mapping[str, Any], folder: str = "") -> list[str]:
    """Predictions for other mixtures: a map for three sources, and a curve for each source."""
    return [*_pictures(document, folder, "map", "slices"), _response_words(document)]


def search_lines(document: Mapping[str, Any], spent: Mapping[str, Any] | None = None) -> list[str]:
    """Trials and cost of a search; empty where the runs were given.

    Without `spent`, the content of spent.json, the cost is in FLOPs alone.
    """
    search = document.get("search")
    if search is None:
        return []
    outcomes = {"diverged": "diverged", "pruned": "stopped early", "failed": "done again"}
    # Reports of earlier versions have what was spent beside the rest.
    counted = {**search, **(spent or {})}
    fates = [f"{counted[key]} {words}" for key, words in outcomes.items() if counted.get(key)]
    cost = counted.get("spent_in_this_store")
    return [
        f"The objective is the mean of the benchmarks' rBridge{_unit_words(search)}.",
        f"{search['trials']} trials, {search['designed']} of them designed"
        f"{''.join(f', {each}' for each in fates)}, and those that confirm: "
        f"{format_flops(search['flops'])}, {search['share_of_target']:.2g} of the target's "
        f"training.{'' if cost is None else _cost_words(cost)}",
    ]


def _cost_words(cost: Mapping[str, Any]) -> str:
    used = [f"{format_seconds(cost['cpu_seconds'])} of CPU"]
    if cost["gpu_seconds"]:
        used.append(f"{format_seconds(cost['gpu_seconds'])} of GPU")
    return (
        f" Spent in this store: {', '.join(used)}, {format_seconds(cost['wall_seconds'])} of work "
        f"in {cost['jobs']} jobs, {cost['failed_jobs']} of them failed."
    )


def _unit_words(search: Mapping[str, Any]) -> str:
    if not search["standardised"]:
        return ", in nats per token"
    return ", each divided by its standard deviation over the trials; lower is better"


def _pictures(document: Mapping[str, Any], folder: str, *names: str) -> list[str]:
    known = pictures(document)
    return [
        image(known[name].alt, f"{folder}{known[name].file}") for name in names if name in known
    ]


def _shares(document: Mapping[str, Any]) -> str:
    sources = document["sources"]
    shown = [
        key for key in ("prior", "epochs") if any(_has(each, key) for each in sources.values())
    ]
    head = ["source", "weight", "interval", "near-equal", *shown, ""]
    rows = []
    for name, each in sorted(sources.items(), key=lambda item: -item[1]["weight"]):
        cells = {
            "prior": numbers.percent(each["prior"]),
            "epochs": numbers.number(each["epochs"]),
        }
        remarks = [escape(each["capped_by"])] if each["capped_by"] else []
        remarks += ["beyond all runs"] if each["beyond_runs"] else []
        rows.append(
            [
                escape(name),
                numbers.percent(each["weight"]),
                _range(each["low"], each["high"]),
                _range(each["near_equal_low"], each["near_equal_high"]),
                *(cells[key] for key in shown),
                ", ".join(remarks),
            ]
        )
    return table(head, rows, f" rrr{'r' * len(shown)} ")


def _has(each: Mapping[str, Any], key: str) -> bool:
    return each.get(key) is not None


def _range(low: float, high: float) -> str:
    return f"{numbers.points(low)}–{numbers.points(high)}%"


def _beside(document: Mapping[str, Any]) -> str:
    accuracy = document.get("accuracy")
    unit = f", {escape(document['objective_unit'])}" if document.get("objective_unit") else ""
    better = "lower" if document["lower_is_better"] else "higher"
    head = ["beside", f"objective{unit} ({better} is better)", "gain of the proposal"]
    rows = [["the proposal", gain_text(document["objective"]), ""]]
    for name, each in document["beside"].items():
        which = f" ({escape(each['which'])})" if each["which"] else ""
        gain = {key: each[f"gain{end}"] for key, end in ENDS.items()}
        rows.append([f"{name}{which}", gain_text(each), gain_text(gain)])
    if accuracy:
        head += ["target accuracy, %", "gain, points"]
        rows[0] += [points_text(accuracy), ""]
        for row, name in zip(rows[1:], document["beside"], strict=True):
            each = accuracy["beside"][name]
            gain = {key: each[f"gain{end}"] for key, end in ENDS.items()}
            row += [points_text(each), points_text(gain)]
    return table(head, rows, f" {'r' * (len(head) - 1)}")


def _confirmed_words(document: Mapping[str, Any]) -> str:
    confirmed = document.get("confirmed")
    if confirmed is None:
        return ""
    gains = confirmed["benchmarks"].items()
    listed = ", ".join(f"{name} {gain_text(gain)}" for name, gain in gains)
    return (
        f"Measured over the prior, in pairs with seeds that no trial had ({confirmed['seeds']}): "
        f"{gain_text(confirmed['objective'])}; by benchmark, in nats per token: {listed}."
    )


def _response_words(document: Mapping[str, Any]) -> str:
    outside = [name for name, each in document["sources"].items() if each["beyond_runs"]]
    beyond = (
        f" No run has as much of {', '.join(map(escape, outside))} as is proposed."
        if outside
        else ""
    )
    return (
        "Along a curve one weight moves and the others keep their ratios in the proposal; ticks "
        f"are runs. Where there are none, the fit guesses.{beyond}"
    )


def _trade_offs(document: Mapping[str, Any]) -> list[str]:
    if not document["trade_offs"]:
        return []
    first = document["trade_offs"][0]
    metrics, accurate = list(first["metrics"]), first.get("accuracy") is not None
    rows = [
        [
            ", ".join(
                f"{numbers.percent(share)} {escape(name)}"
                for name, share in each["weights"].items()
                if share >= 0.005
            ),
            *(gain_text(each["metrics"][name]) for name in metrics),
            *([numbers.points(each["accuracy"])] if accurate else []),
        ]
        for each in document["trade_offs"]
    ]
    head = ["mixture", *map(escape, metrics), *(["target accuracy, %"] if accurate else [])]
    return [
        "## Trade-offs",
        table(head, rows, f" {'r' * (len(head) - 1)}"),
        "None is predicted better than another in every metric.",
    ]


def _other_objective(searched: bool) -> str:
    if not searched:
        return ""
    return (
        "What is in the store already is not computed again. Other constraints cost no new trial: "
        "`dataselect mix propose --with model.json --constraints limits.yaml --out DIR`; nor does "
        "another objective: `dataselect mix fit --ratios ratios.csv --metrics metrics.csv "
        "--epochs epochs.csv --lower-is-better`."
    )


def _trainers(files: Collection[str]) -> list[str]:
    """The files for trainers, what each fits and what a weight in it weighs."""
    rows = [
        [code(file), each.reader, escape(each.fits), escape(each.weighs)]
        for file, each in TRAINERS.items()
        if file in files
    ]
    if not rows:
        return []
    return [table(["file", "for", "fits", "a weight is a share of"], rows)]


def _notes(document: Mapping[str, Any]) -> list[str]:
    if not document["notes"]:
        return []
    return ["## Notes", "\n".join(f"- {escape(note)}" for note in document["notes"])]
