"""The stages of a document: which ran, in their order, and what they are called.

Views of the document alone. A stage with `kept` pruned; one without predicted, and was the last.
"""

from collections.abc import Mapping
from typing import Any


def number(stage: str) -> int:
    """The number of a stage, by its key: 1 for "stage1"."""
    return int(stage.removeprefix("stage"))


def before(stage: str) -> str:
    """The key of the stage before one."""
    return f"stage{number(stage) - 1}"


def title(key: str) -> str:
    """The name of a stage in text, by its key; other keys stay as they are."""
    found = key.removeprefix("stage")
    return f"Stage {found}" if found.isdigit() and key != found else key


def planned(document: Mapping[str, Any]) -> list[str]:
    """The keys of the plan's stages, those that did not run included; Stage 2 is always there."""
    return sorted(document["stages"], key=number)


def ran(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The stages that ran, by key, in their order."""
    stages = {name: stage for name, stage in document["stages"].items() if stage is not None}
    return dict(sorted(stages.items(), key=lambda each: number(each[0])))


def pruning(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The stages that pruned, by key, in their order; Stage 1 is the first."""
    return {name: stage for name, stage in ran(document).items() if stage["kept"] is not None}


def predicting(document: Mapping[str, Any]) -> str | None:
    """The key of the stage that predicted; None if the last to run pruned."""
    return next((name for name, stage in ran(document).items() if stage["kept"] is None), None)


def predicted(document: Mapping[str, Any]) -> bool:
    """Whether an accuracy is predicted for any candidate."""
    stage = predicting(document)
    return stage is not None and any(
        each[stage] and each[stage]["predicted_accuracy"] is not None
        for each in document["candidates"]
    )


def in_last(document: Mapping[str, Any], candidate: Mapping[str, Any]) -> dict[str, Any] | None:
    """A candidate's part of the stage that predicted; None without one."""
    stage = predicting(document)
    part: dict[str, Any] | None = None if stage is None else candidate[stage]
    return part


def cuts(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The stages that pruned, by key, in their order, with Stage 0 if words were counted."""
    counted = document.get("screen0")
    return {**({} if counted is None else {"stage0": counted}), **pruning(document)}


def fate(document: Mapping[str, Any], candidate: Mapping[str, Any]) -> str:
    """A candidate's status, and of several stages the one that pruned it."""
    measured = [stage for stage in cuts(document) if candidate[stage]]
    if candidate["status"] != "pruned" or len(cuts(document)) == 1:
        return str(candidate["status"])
    return f"pruned in {title(measured[-1])}"
