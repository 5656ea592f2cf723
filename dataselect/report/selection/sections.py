"""What a report says, section by section, in Markdown; README.md and report.html are made from it.

First the verdict with its next step, how sure it is and what it cost. Then the order of the
candidates and how sure that is; how the stages agree; how scores became accuracies; what simpler
ways would have chosen, and what is known to be true; the mixture; the cost; what is in doubt; and
last where everything comes from. A section is left out where there is nothing to say.

Every section begins with plain words. Views of the document alone.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from dataselect.report import numbers
from dataselect.report.markdown import code, escape, image
from dataselect.report.mixture.readme import mixture_lines, response_lines, search_lines
from dataselect.report.mixture.verdict import ranking_words
from dataselect.report.pictures import Picture
from dataselect.report.pictures.selection import FOLDER, selection_pictures
from dataselect.report.selection.background import cost_lines, provenance_lines
from dataselect.report.selection.counting import counting_lines
from dataselect.report.selection.energy import energy_lines, spent_energy
from dataselect.report.selection.forecasts import evidence_lines, prediction_lines
from dataselect.report.selection.leaks import alarms, leak_lines
from dataselect.report.selection.ranking import ranking_lines, wins_lines
from dataselect.report.selection.stage_scores import benchmark_lines
from dataselect.report.selection.stages import pruning, title
from dataselect.report.selection.truth import truth_lines
from dataselect.report.selection.uncertainty import ablation_lines, noise_lines
from dataselect.units import format_count, format_flops

_RESUME = "The command at the end of this page resumes it."
_RBRIDGE = (
    "A **proxy** is a small model trained on a candidate's data in place of the large one, the "
    "**target**. Its score, **rBridge**, says how hard it finds the reasoning of a strong model on "
    "questions of the benchmarks: the negative log-likelihood of the reasoning's tokens (in nats; "
    "0 would be no surprise at all), those that the strong model was sure of counting more."
)
_R_PHI = (
    "R^φ is the reasoning that the strong model wrote on each question; its plain NLL (negative "
    "log-likelihood) is rBridge without the weights."
)
Document = Mapping[str, Any]


def opening(document: Document) -> list[str]:
    """What must not be missed: verdict, next step, how sure it is, and what it cost."""
    target = document["target"]
    words = document.get("next_step")
    return [
        f"For a target of {format_count(target['parameters'])} parameters trained on "
        f"{format_count(target['tokens'])} tokens.",
        f"**{escape(document['verdict'])}**",
        *([escape(words)] if words else []),
        *(
            []
            if document["complete"]
            else ["Some candidates failed; the same command tries them again."]
        ),
        "\n".join(f"- {line}" for line in [*_how_sure(document), _price(document)]),
    ]


def sections(document: Document) -> dict[str, list[str]]:
    """By heading, the parts of each section, in the order of the report."""
    pictures = selection_pictures(document)
    last = [*prediction_lines(document)]
    noisy = [
        line
        for name, stage in pruning(document).items()
        for line in noise_lines(stage, title(name))
    ]
    parts = [
        "## Ranking",
        _RBRIDGE,
        *_picture(pictures, "ranking"),
        *alarms(document),
        *ranking_lines(document),
        *wins_lines(document, _picture(pictures, "pairs")),
        *_stages(document, _picture(pictures, "stages")),
        *benchmark_lines(document),
        *_with_picture(last, _picture(pictures, "fits"), _FITS),
        *counting_lines(document),
        *_explained(evidence_lines(document["evidence"])),
        *_with_picture(truth_lines(document), _picture(pictures, "truth"), ""),
        *_explained(ablation_lines(document.get("ablation"))),
        *_mixture(document.get("mixture"), _picture(pictures, "mixture")),
        "## Cost",
        *_picture(pictures, "cost"),
        *cost_lines(document["cost"], document.get("screen0")),
        *energy_lines(document["cost"]),
        *_money(document),
        *noisy,
        *leak_lines(document),
        *_left_out(document),
        *_notes(document),
        "## Provenance",
        *provenance_lines(document),
    ]
    return _by_heading(parts)


def repeat_lines(command: str) -> dict[str, list[str]]:
    """The last section; `command` repeats the run."""
    from dataselect.wording import one_line

    return {
        "Run it again": [
            f"    {one_line(command)}",
            "Results in the store are not computed again. Everything above is also in "
            "`report.json`, and `ranking.csv` has one row per candidate.",
        ]
    }


def _by_heading(parts: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in parts:
        if part.startswith("## "):
            found[part.removeprefix("## ")] = body = []
        else:
            body.append(part)
    return found


_FITS = (
    "How an accuracy follows from a proxy's score: the curve was fitted on calibration runs, pairs "
    "of a proxy and a target trained on the same data. In the grey area no calibration run has "
    "such a score, and the curve is a guess."
)


def _picture(pictures: Mapping[str, Picture], name: str) -> list[str]:
    if name not in pictures:
        return []
    return [image(pictures[name].alt, f"{FOLDER}/{pictures[name].file}")]


def _with_picture(lines: list[str], picture: list[str], words: str) -> list[str]:
    """A section's lines with a picture and words after its heading; none without the section."""
    return [*lines[:1], *filter(None, [words]), *picture, *lines[1:]] if lines else []


def _explained(lines: list[str]) -> list[str]:
    """With the symbols of the metrics that the lines compare."""
    return [*lines, _R_PHI] if any("R^φ" in line for line in lines) else lines


def _stages(document: Document, picture: list[str]) -> list[str]:
    if not picture:
        return []
    return [
        "## Stage by stage",
        "Where each candidate stood in each stage; a line that ends was pruned there. Lines that "
        "cross changed order: a later stage has larger proxies, and its word counts more.",
        *picture,
    ]


def _how_sure(document: Document) -> list[str]:
    """How sure the first place is, in a sentence; none where nothing was compared."""
    decision = document["decision"]
    winner, second, p = (decision[key] for key in ("winner", "runner_up", "probability"))
    if p is None:
        return []
    wanted = f"{numbers.number(decision['confidence'])} was asked for, 0.50 is a coin toss"
    return [
        f"**How sure:** {escape(winner)} is ahead of {escape(second)} with probability "
        f"{numbers.probability(p)} ({wanted}). What that covers is under Who beats whom."
    ]


def _price(document: Document) -> str:
    cost = document["cost"]
    flops = cost["flops"]
    search = flops["total"] - flops["target"]
    used = spent_energy(cost)
    energy = "" if used is None else f", {used}"
    return (
        f"**What it cost:** {format_flops(search)}, "
        f"{numbers.share_of(search, flops['target'])} of one target run{energy}. Training all "
        f"{cost['counts']['candidates']} candidates at target size would cost "
        f"{format_flops(flops['naive'])}."
    )


def _money(document: Document) -> list[str]:
    """What the traces cost where an API was paid for them; it is no part of the run."""
    paid = [
        f"{code(name)} {numbers.significant(float(usd), 3)} US dollars to {escape(each['model'])}"
        for name, benchmark in document["provenance"]["benchmarks"].items()
        for each in benchmark["traces"]
        if (usd := _amount((each.get("notes") or {}).get("usd"))) is not None
    ]
    if not paid:
        return ["No money was spent on an API by this run, as far as its trace files say."]
    return [f"Traces were paid for once, when they were recorded: {', '.join(paid)}."]


def _amount(text: Any) -> float | None:
    try:
        return None if text is None else float(text)
    except (TypeError, ValueError):
        return None


def _left_out(document: Document) -> list[str]:
    """Items that were left out, by benchmark with the reasons."""
    lines = []
    for name, exclusions in document["exclusions"].items():
        if exclusions:
            reasons = Counter(each["reason"] for each in exclusions).most_common(5)
            listed = "; ".join(f"{count} × {escape(reason)}" for reason, count in reasons)
            items = len({each["item"] for each in exclusions})
            lines.append(f"- {code(name)}: {items} ({listed})")
    if not lines:
        return []
    return ["## Items left out", "For every candidate alike:", "\n".join(lines)]


def _mixture(part: dict[str, Any] | None, picture: list[str]) -> list[str]:
    """The proposed weights, or why there are none."""
    if part is None:
        return []
    if part["proposal"] is None:
        why = f": {escape(part['problem'])}" if part["problem"] else ""
        return ["## Mixture", f"The search for weights is not finished{why}. {_RESUME}"]
    folder = f"{part['folder']}/"
    verdict, *rest = mixture_lines(part["proposal"], None)
    return [
        "## Mixture",
        verdict,
        *picture,
        *rest,
        escape(ranking_words(part["proposal"]["held_out"]["rank_correlation"])),
        *response_lines(part["proposal"], folder),
        *search_lines(part["proposal"], part.get("spent")),
        f"More, and the weights as files for trainers: [{folder}README.md]({folder}README.md).",
    ]


def _notes(document: Document) -> list[str]:
    if not document["notes"]:
        return []
    return ["## Notes", "\n".join(f"- {escape(note)}" for note in document["notes"])]
