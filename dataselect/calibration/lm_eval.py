"""Results files of lm-evaluation-harness and OLMES as a target's accuracies.

Such a file has `results: {task: {"acc,none": …}}` for one model, which it names in `config` (the
arguments `pretrained` and `revision`) or `model_name`. The training tokens are read from these
names or from the file's folder, unless the spec states them. The task and metric for a benchmark
are chosen once for all files, so that a curve never mixes two metrics: the first of the usual ones
that the most checkpoints have. A note names the choice, what else there was, and how many files
lack it. Files whose accuracies were measured differently are refused (`conditions`).

Files written by `dataselect score --accuracy` have the same form; those of OLMES are read by
`olmes`.
"""

import glob
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from dataselect.calibration import olmes
from dataselect.calibration.accuracies import Accuracies
from dataselect.calibration.conditions import Conditions, check_alike
from dataselect.calibration.lm_eval_conditions import ResultsFile, conditions_of
from dataselect.calibration.olmes import PRIMARY, OlmesFile, OlmesTask
from dataselect.calibration.spec import LmEvalResults, Task
from dataselect.config.checkpoints import Checkpoints
from dataselect.errors import InputError
from dataselect.formats.jsonfile import read_json
from dataselect.units import format_count
from dataselect.wording import nearest, quoted

_STEM = ("biology", "chemistry", "computer_science", "engineering", "math", "physics")
_TASKS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "gsm8k": (("gsm8k",), ("gsm8k_cot",)),
    "math500": (("math500",), ("hendrycks_math500",), ("minerva_math500",)),
    "arc_challenge": (("arc_challenge",), ("arc_challenge_chat",)),
    "mmlu_pro_stem": (("mmlu_pro_stem",), tuple(f"mmlu_pro_{subject}" for subject in _STEM)),
    "humaneval": (("humaneval",), ("humaneval_instruct",)),
}
"""Tasks that measure a benchmark, the likeliest first; for others, the task of the same name."""

_METRICS = (
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
class _Results:
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


def read_lm_eval(
    section: LmEvalResults, base: Path, where: str, benchmarks: Iterable[str]
) -> Accuracies:
    """The benchmarks' accuracies from all files that a section names.

    Raises InputError for a file that cannot be read, that gives no training tokens or contradicts
    another, when the files are for several models, and when no file has a benchmark.
    """
    files = [_read(path, base) for path in _paths(section, base, where)]
    models = sorted({file.model for file in files if file.model is not None})
    if len(models) > 1:
        raise InputError(
            where, f"the files are for {len(models)} models: {', '.join(models)}", "name one's"
        )
    naming = Checkpoints(model="-", tokens=section.tokens, tokens_per_step=section.tokens_per_step)
    stated = set(section.tokens or {})
    for name in stated - {name for file in files for name in file.names}:
        known = sorted({name for file in files for name in file.names})
        fix = nearest(name, known) or f"the files are for {', '.join(known[:5])}"
        raise InputError(where, f"'tokens' names {quoted(name)}, which no file is for", fix)
    by_tokens = [(_tokens(file, naming, stated), file) for file in files]
    values: dict[str, dict[int, float]] = {}
    origins: dict[tuple[str, int], str] = {}
    measures: dict[str, str] = {}
    conditions: dict[str, list[Conditions]] = {}
    notes = []
    for benchmark in benchmarks:
        tasks, metric = _choose(benchmark, section.tasks.get(benchmark), files, where)
        values[benchmark] = {}
        having = [file for file in files if _accuracy(file, tasks, metric) is not None]
        conditions[benchmark] = [file.measured_with(tasks, metric) for file in having]
        measures[benchmark] = f"'{metric}' of {_shown(tasks)}"
        alike = check_alike(benchmark, conditions[benchmark])
        for tokens, file in by_tokens:
            accuracy = _accuracy(file, tasks, metric)
            if accuracy is None:
                continue
            before = values[benchmark].get(tokens)
            if before is not None and before != accuracy:
                raise InputError(
                    file.path,
                    f"it says {accuracy:g} for {benchmark} at {format_count(tokens)} tokens, and"
                    f" {origins[benchmark, tokens]} says {before:g}",
                    "leave one of the files out",
                )
            values[benchmark][tokens] = accuracy
            origins[benchmark, tokens] = file.path.name
        notes.append(
            f"{benchmark}: the target's accuracy is {measures[benchmark]}"
            f" at {len(values[benchmark])} token counts{_others(having, tasks, metric)}"
        )
        lacking = [file for file in files if file not in having and set(tasks) & set(file.tasks)]
        if lacking:
            shown = ", ".join(file.path.name for file in lacking[:3])
            notes.append(
                f"{benchmark}: left out, without '{metric}': {len(lacking)} files ({shown})"
            )
        notes += alike
    name = models[0] if models else section.patterns[0]
    return Accuracies(name, values, origins, tuple(notes), measures, conditions)


def _paths(section: LmEvalResults, base: Path, where: str) -> list[Path]:
    paths: dict[Path, None] = {}
    for pattern in section.patterns:
        matched = sorted(glob.glob(pattern, root_dir=base, recursive=True))
        if not matched:
            raise InputError(where, f"no file matches {quoted(pattern)}", "check the pattern")
        paths |= dict.fromkeys(base / path for path in matched)
    return list(paths)


def _read(path: Path, base: Path) -> _Results:
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
    return _Results(path, tuple(every), model, arguments, content)


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


def _tokens(file: _Results, naming: Checkpoints, stated: set[str]) -> int:
    for name in (*(name for name in file.names if name in stated), *file.names):
        tokens = naming.tokens_at(name)
        if tokens is not None:
            return tokens
    raise InputError(
        file.path,
        f"nothing tells its training tokens ({', '.join(map(quoted, file.names))})",
        "state them in 'tokens' by one of these names, or give 'tokens_per_step'",
    )


def _choose(
    benchmark: str, chosen: Task | None, files: Sequence[_Results], where: str
) -> tuple[tuple[str, ...], str]:
    """Tasks and metric of a benchmark, the same for all files."""
    groups = _TASKS.get(benchmark, ((benchmark,),)) if chosen is None else (chosen.names,)
    metrics = _METRICS if chosen is None or chosen.metric is None else (chosen.metric,)
    best: tuple[tuple[str, ...], str] | None = None
    most = 0
    for tasks in groups:
        for metric in metrics:
            count = sum(_accuracy(file, tasks, metric) is not None for file in files)
            if count > most:
                best, most = (tasks, metric), count
    if best is None:
        raise InputError(where, *_nothing_found(benchmark, groups, chosen, files))
    return best


def _nothing_found(
    benchmark: str,
    groups: Sequence[tuple[str, ...]],
    chosen: Task | None,
    files: Sequence[_Results],
) -> tuple[str, str]:
    """Why no file has a benchmark's accuracy, and what fixes it."""
    metrics_of = {task: tuple(file.metrics(task)) for file in files for task in file.tasks}
    tasks = max(groups, key=lambda tasks: sum(task in metrics_of for task in tasks))
    present = [task for task in tasks if task in metrics_of]
    if not present:
        listed = ", ".join(sorted(metrics_of)) or "none"
        return (
            f"no file has a result for benchmark {quoted(benchmark)}",
            f"name its task in 'tasks' (there: {listed})",
        )
    if len(present) < len(tasks):
        lacking = ", ".join(task for task in tasks if task not in metrics_of)
        return f"{benchmark} is {len(tasks)} tasks, and no file has {lacking}", "add their results"
    wanted = "usual accuracy" if chosen is None or chosen.metric is None else chosen.metric
    metrics = ", ".join(map(quoted, metrics_of[present[0]]))
    return f"task {quoted(present[0])} has no {wanted}", f"its metrics are {metrics}"


def _accuracy(file: _Results, tasks: Sequence[str], metric: str) -> float | None:
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


def _others(files: Sequence[_Results], tasks: Sequence[str], metric: str) -> str:
    """The other usual metrics that the files have, which give other numbers."""
    there = {name for file in files for name in file.metrics(tasks[0])}
    others = [name for name in _METRICS if name in there and name != metric]
    return f"; not {', '.join(map(quoted, others))}" if others else ""


def _shown(tasks: Sequence[str]) -> str:
    return tasks[0] if len(tasks) == 1 else f"{tasks[0]} and {len(tasks) - 1} more (mean by items)"
