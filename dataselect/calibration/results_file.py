"""A results file of lm-evaluation-harness or OLMES, whichever wrote it: tasks and their metrics.

Not covered: which task and metric a benchmark's accuracy is (`lm_eval`), and whether several files
were measured alike (`conditions`).
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from dataselect.calibration import olmes
from dataselect.calibration.conditions import Conditions
from dataselect.calibration.lm_eval_conditions import ResultsFile, conditions_of
from dataselect.calibration.olmes import PRIMARY, OlmesFile, OlmesTask
from dataselect.errors import InputError
from dataselect.formats.jsonfile import read_json

METRICS = (
    "math_verify,none",
    "exact_match,strict-match",
    "exact_match,flexible-extract",
    "exact_match,custom-extract",
    "exact_match,remove_whitespace",
    "exact_match,none",
    "pass@1,create_test",
    "pass@1,none",
    "acc_norm,none",
    "acc,none",
    PRIMARY,
)
"""Metrics that are an accuracy, the likeliest first: generated answers before ranked choices."""

_NO_METRICS = ("sample_len", "alias", "name")
"""Keys among a task's metrics that are none."""


@dataclass(frozen=True)
class Results:
    """A results file that was read."""

    path: Path
    names: tuple[str, ...]
    """Names that may tell the training tokens, the likeliest first."""
    model: str | None
    """Repository on the Hub with the revision; None for a folder."""
    arguments: Mapping[str, Any]
    """Arguments of the model."""
    content: ResultsFile | OlmesFile

    @property
    def in_groups(self) -> set[str]:
        """Tasks that are part of a group whose own metrics are in the file."""
        if isinstance(self.content, OlmesFile):
            return set()
        groups = self.content.group_subtasks
        return {
            task
            for group, tasks in groups.items()
            if self.metrics(group) and isinstance(tasks, list)
            for task in tasks
            if isinstance(task, str)
        }

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks in the file."""
        if isinstance(self.content, OlmesFile):
            return [task.task_name for task in self.content.tasks]
        return list(self.content.results)

    def metrics(self, task: str) -> dict[str, float]:
        """The metrics of a task, without their standard errors."""
        if isinstance(self.content, OlmesFile):
            found = next((each.metrics for each in self._olmes((task,))), {})
        else:
            found = self.content.results.get(task, {})
        return {
            name: float(value)
            for name, value in found.items()
            if isinstance(value, int | float)
            and not isinstance(value, bool)
            and "_stderr" not in name
            and name not in _NO_METRICS
        }

    def items(self, task: str) -> float:
        """Number of items of a task; 1 where the file does not say."""
        if isinstance(self.content, OlmesFile):
            return float(next((t.num_instances or 1 for t in self._olmes((task,))), 1))
        return float(self.content.effective(task) or 1)

    def lower_is_better(self, task: str, metric: str) -> bool:
        """Whether the file says that lower values of a task's metric are better."""
        if isinstance(self.content, OlmesFile):
            return False
        better = self.content.higher_is_better.get(task)
        return isinstance(better, dict) and better.get(metric.partition(",")[0]) is False

    def measured_with(self, tasks: Sequence[str], metric: str) -> Conditions:
        """What the accuracy of these tasks was measured with."""
        if isinstance(self.content, OlmesFile):
            return olmes.conditions_of(self.path, self._olmes(tasks))
        return conditions_of(self.path, self.content, tasks, metric, self.arguments)

    def _olmes(self, tasks: Sequence[str]) -> list[OlmesTask]:
        assert isinstance(self.content, OlmesFile)
        return [task for name in tasks for task in self.content.tasks if task.task_name == name]


def read_results(path: Path, base: Path) -> Results:
    """The results file `path`; its folders below `base` may tell what it is of. InputError."""
    content = _content(path)
    settings: Mapping[str, Any]
    if isinstance(content, OlmesFile):
        settings = content.model_settings
        likely = olmes.names_of(settings)
        pretrained, revision = settings.get("model"), settings.get("revision")
        arguments: Mapping[str, Any] = {}
    else:
        arguments = _model_arguments(content)
        pretrained, revision = arguments.get("pretrained"), arguments.get("revision")
        names = (revision, content.model_name, pretrained, Path(str(pretrained or "")).name)
        likely = tuple(str(name) for name in names if name)
    try:
        folders = path.parent.resolve().relative_to(base.resolve()).as_posix()
    except ValueError:
        folders = path.parent.name
    for name in (pretrained, revision):
        if name is not None and not isinstance(name, str):
            raise InputError(
                path,
                f"its model or revision is {json.dumps(name)}, which is no name",
                "get the file again",
            )
    every = dict.fromkeys(name for name in (*likely, path.parent.name, path.stem, folders) if name)
    model = pretrained if revision not in (None, "local") else None
    return Results(path, tuple(every), model, arguments, content)


def _content(path: Path) -> ResultsFile | OlmesFile:
    fix = "name results files of lm-evaluation-harness or OLMES"
    keys = read_json(_Keys, path, fix).model_fields_set
    if "results" not in keys and "tasks" in keys:
        file = read_json(OlmesFile, path, fix)
        first = file.model_settings or next((t.model_settings for t in file.tasks), {})
        return file.model_copy(update={"model_settings": first})
    if "results" not in keys and {"task_config", "metrics"} <= keys:
        task = read_json(OlmesTask, path, fix)
        return OlmesFile.model_validate({"tasks": [task], "model_config": task.model_settings})
    return read_json(ResultsFile, path, fix)


class _Keys(BaseModel):
    """The keys that tell what kind of file it is."""

    model_config = ConfigDict(extra="ignore")
    results: Any = None
    tasks: Any = None
    task_config: Any = None
    metrics: Any = None


def _model_arguments(content: ResultsFile) -> Mapping[str, Any]:
    arguments = content.config.get("model_args")
    if isinstance(arguments, str):
        pieces = (piece.partition("=") for piece in arguments.split(","))
        return {key.strip(): value.strip() for key, _, value in pieces}
    return arguments if isinstance(arguments, dict) else {}


def accuracy_of(file: Results, tasks: Sequence[str], metric: str) -> float | None:
    """The mean over tasks, weighted by number of items; None unless the file has all tasks."""
    values = [file.metrics(task).get(metric) for task in tasks]
    known = [value for value in values if value is not None]
    if len(known) < len(tasks):
        return None
    for task, value in zip(tasks, known, strict=True):
        if file.lower_is_better(task, metric):
            raise InputError(
                file.path,
                f"{metric} of {task} is better when lower, as the file says",
                "name an accuracy",
            )
        if not 0 <= value <= 1:
            raise InputError(
                file.path,
                f"{metric} of {task} is {value:g}, not within 0..1",
                "name a metric from 0 to 1",
            )
    if len(known) == 1:
        return known[0]
    weights = [file.items(task) for task in tasks]
    weighted = (value * weight for value, weight in zip(known, weights, strict=True))
    return math.fsum(weighted) / math.fsum(weights)
