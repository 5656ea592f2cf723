"""The part of report.json on a mixture: the content of proposal.json, without its bulk.

Curves, runs and steps of the search are only in proposal.json, from which pictures are drawn.
"""

from typing import TYPE_CHECKING, Any

from dataselect.report.mixture.verdict import mixture_verdict

if TYPE_CHECKING:
    from dataselect.pipeline import Selection

FOLDER = "mixture"
"""The folder of a report with the files of the mixture."""


def mixture_part(selection: "Selection") -> dict[str, Any] | None:
    """Status and result of the search that the plan asks for; None if it asks for none."""
    experiment, found = selection.experiment, selection.mixture_found
    if experiment.plan.mix is None:
        return None
    problem = selection.mixture_problem
    part = {
        "status": "unfinished" if problem is None else "failed",
        "problem": None if problem is None else str(problem),
        "verdict": None,
        "folder": FOLDER,
        "proposal": None,
        "spent": None,
    }
    if found is None:
        return part
    # Imported here: few reports have a mixture, and its libraries take a second to load.
    from dataselect.report.mixture.search import search_document, spent_document

    whole = search_document(found, experiment.manifest, experiment.plan, "")
    done = {"status": "done", "verdict": mixture_verdict(whole), "proposal": _slim(whole)}
    return {**part, **done, "spent": spent_document(found)}


def _slim(document: dict[str, Any]) -> dict[str, Any]:
    slim = {key: value for key, value in document.items() if key != "command"}
    slim["sources"] = {name: _without(each, "slice") for name, each in slim["sources"].items()}
    slim["beside"] = {name: _without(each, "weights") for name, each in slim["beside"].items()}
    slim["held_out"] = {"rank_correlation": slim["held_out"]["rank_correlation"]}
    slim["search"] = _without(slim["search"], "steps")
    # An empty mapping says that there is a picture of it.
    slim["map"] = None if slim["map"] is None else {}
    if slim.get("accuracy"):
        slim["accuracy"] = _without(slim["accuracy"], "slices")
    return slim


def _without(part: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name != key}
