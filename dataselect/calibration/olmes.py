"""Metrics files of OLMES in the form of results files, with what they were measured with.

OLMES writes a file for each task, `task-000-arc_challenge-metrics.json`, with `metrics`,
`task_config`, `model_config` and `num_instances`; `metrics.json` holds all tasks in a list. The
accuracy of a task is `primary_score`, and which metric that is depends on the task's
`primary_metric`. A limit above the number of items limits nothing, so items are counted instead.

Not covered: predictions and requests that OLMES writes beside these files.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from dataselect.calibration.conditions import Conditions

PRIMARY = "primary_score"
"""The metric that is a task's accuracy."""

_DECISIVE = {
    "num_shots": "n-shot",
    "version": "task version",
    "split": "split",
    "primary_metric": "filter",
    "use_chat_format": "chat template",
    "context_kwargs": "prompt",
    "generation_kwargs": "generation",
    "fewshot_source": "worked examples",
    "metric_kwargs": "metric's settings",
}
"""Keys of `task_config` by what they are called in messages."""
_INCIDENTAL = {"fewshot_seed": "seed of worked examples", "revision": "data set's revision"}


class OlmesTask(BaseModel):
    """The metrics of one task."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())
    task_name: str
    metrics: dict[str, Any]
    task_config: dict[str, Any] = Field(default_factory=dict)
    model_settings: dict[str, Any] = Field(default_factory=dict, alias="model_config")
    task_hash: str | None = None
    num_instances: int | None = None


class OlmesFile(BaseModel):
    """The metrics of several tasks."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())
    tasks: list[OlmesTask]
    model_settings: dict[str, Any] = Field(default_factory=dict, alias="model_config")


def conditions_of(path: Path, tasks: Sequence[OlmesTask]) -> Conditions:
    """What the accuracy over these tasks was measured with."""
    parts = [_decisive(task) for task in tasks]
    names = [name for name in parts[0] if all(name in part for part in parts)]
    counts = [task.num_instances for task in tasks if task.num_instances is not None]
    return Conditions(
        path,
        {name: _joined(tasks, [part[name] for part in parts]) for name in names},
        _incidental(tasks),
        sum(counts) if len(counts) == len(tasks) else None,
    )


def _decisive(task: OlmesTask) -> dict[str, str]:
    found = {
        name: _shown(task.task_config[key])
        for key, name in _DECISIVE.items()
        if key in task.task_config
    }
    if "system_prompt" in task.model_settings:
        found["system prompt"] = _shown(task.model_settings["system_prompt"])
    template = task.model_settings.get("chat_template")
    if found.get("chat template") not in (None, "none", "false") and template:
        found["chat template"] += f" {template}"
    return found


def _incidental(tasks: Sequence[OlmesTask]) -> dict[str, str]:
    found = {}
    for key, name in _INCIDENTAL.items():
        if all(key in task.task_config for task in tasks):
            found[name] = _joined(tasks, [_shown(task.task_config[key]) for task in tasks])
    if all(task.task_hash for task in tasks):
        found["hash of the task"] = _joined(tasks, [str(task.task_hash) for task in tasks])
    return found


def _joined(tasks: Sequence[OlmesTask], values: Sequence[str]) -> str:
    if len(set(values)) == 1:
        return values[0]
    return ", ".join(f"{v} ({task.task_name})" for task, v in zip(tasks, values, strict=True))


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def names_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the model that may tell its training tokens, the likeliest first."""
    keys = ("revision", "model_path", "model")
    return tuple(str(settings[key]) for key in keys if settings.get(key))
