"""Results files of lm-evaluation-harness and OLMES as a target's accuracies.

Such a file has `results: {task: {"acc,none": …}}` for one model, which it names in `config` (the
arguments `pretrained` and `revision`) or `model_name`. The training tokens are read from these
names or from the file's folder, unless the spec states them. The task and metric for a benchmark
are chosen once for all files, so that a curve never mixes two metrics: the first of the usual ones
that the most checkpoints have. A note names the choice, what else there was, and how many files
lack it. Files whose accuracies were measured differently are refused (`conditions`).

Files written by `dataselect score --accuracy` have the same form. What a file of either harness
holds is read by `results_file`.
"""

import glob
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dataselect.calibration.accuracies import Accuracies
from dataselect.calibration.conditions import Conditions, check_alike
from dataselect.calibration.results_file import METRICS, Results, accuracy_of, read_results
from dataselect.calibration.spec import LmEvalResults, Task
from dataselect.config.checkpoints import Checkpoints
from dataselect.errors import InputError
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


def read_lm_eval(
    section: LmEvalResults, base: Path, where: str, benchmarks: Iterable[str]
) -> Accuracies:
    """The benchmarks' accuracies from all files that a section names.

    Raises InputError for a file that cannot be read, that gives no training tokens or contradicts
    another, when the files are for several models, and when no file has a benchmark.
    """
    files = [read_results(path, base) for path in _paths(section, base, where)]
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
        having = [file for file in files if accuracy_of(file, tasks, metric) is not None]
        conditions[benchmark] = [file.measured_with(tasks, metric) for file in having]
        measures[benchmark] = f"'{metric}' of {_shown(tasks)}"
        alike = check_alike(benchmark, conditions[benchmark])
        for tokens, file in by_tokens:
            accuracy = accuracy_of(file, tasks, metric)
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


def _tokens(file: Results, naming: Checkpoints, stated: set[str]) -> int:
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
    benchmark: str, chosen: Task | None, files: Sequence[Results], where: str
) -> tuple[tuple[str, ...], str]:
    """Tasks and metric of a benchmark, the same for all files."""
    groups = _TASKS.get(benchmark, ((benchmark,),)) if chosen is None else (chosen.names,)
    metrics = METRICS if chosen is None or chosen.metric is None else (chosen.metric,)
    best: tuple[tuple[str, ...], str] | None = None
    most = 0
    for tasks in groups:
        for metric in metrics:
            count = sum(accuracy_of(file, tasks, metric) is not None for file in files)
            if count > most:
                best, most = (tasks, metric), count
    if best is None:
        raise InputError(where, *_nothing_found(benchmark, groups, chosen, files))
    return best


def _nothing_found(
    benchmark: str,
    groups: Sequence[tuple[str, ...]],
    chosen: Task | None,
    files: Sequence[Results],
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


def _others(files: Sequence[Results], tasks: Sequence[str], metric: str) -> str:
    """The other usual metrics that the files have, which give other numbers."""
    there = {name for file in files for name in file.metrics(tasks[0])}
    others = [name for name in METRICS if name in there and name != metric]
    return f"; not {', '.join(map(quoted, others))}" if others else ""


def _shown(tasks: Sequence[str]) -> str:
    return tasks[0] if len(tasks) == 1 else f"{tasks[0]} and {len(tasks) - 1} more (mean by items)"
