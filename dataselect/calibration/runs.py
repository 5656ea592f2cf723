"""The runs of a calibration spec: one, or several under `runs` that share the rest of the file.

A suite such as DataDecide has the same proxy and target on each of many datasets, so what is the
same stands once at the top, with `{dataset}` where the name belongs, and a run is a name or a
mapping of what differs. Each becomes a spec of its own here, whose keys keep their places in the
file: an error names the line to mend, whether that is the run's or at the top.

Not covered: what is on disk or on the Hub (`paired`).
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from dataselect.calibration.spec import CalibrationSpec, Run
from dataselect.config.schema import Section, Text, read, validate
from dataselect.config.yamlfile import KeyPath, Positions, dotted, load
from dataselect.errors import InputError
from dataselect.wording import quoted, slug

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_ORIGINS = ("lm_eval", "csv", "checkpoints")
_OF_MODEL = ("revisions", "tokens", "tokens_per_step")
"""Keys that belong to one model: another's names and batch are its own."""


class _Runs(Section):
    """The key `runs` alone, since what it stands beside is not complete without it."""

    runs: Annotated[list[Text | Run], Field(min_length=1)]


def load_calibration(path: Path) -> tuple[CalibrationSpec, ...]:
    """A spec for each run of the file; raises InputError with line, column and fix."""
    data, positions = load(path)
    if data.get("runs") is None:
        return (read(CalibrationSpec, path),)
    if "dataset" in data:
        raise InputError(
            positions.of(("dataset",)),
            "'runs' name their datasets",
            "move 'dataset' into the runs, or leave it out",
        )
    shared = {"name": slug(path.stem)} | {k: v for k, v in data.items() if k != "runs"}
    listed = validate(_Runs, {"runs": data["runs"]}, positions).runs
    runs = [Run(dataset=each) if isinstance(each, str) else each for each in listed]
    specs = []
    for place, run in enumerate(runs):
        specs.append(_spec(shared, run, positions.below(("runs", place)).over(positions)))
        specs[-1]._one_of_several = len(runs) > 1
        _check_new(specs, positions.of(("runs", place)))
    _check_alike(specs)
    return tuple(specs)


def datasets_of(specs: Sequence[CalibrationSpec]) -> list[str]:
    """The names of the runs' datasets, each once."""
    return list(dict.fromkeys(spec.dataset or "" for spec in specs))


def _spec(shared: Mapping[str, Any], run: Run, places: Positions) -> CalibrationSpec:
    target = shared.get("target", {})
    if isinstance(target, Mapping) and any(key in run.target for key in _ORIGINS):
        target = {k: v for k, v in target.items() if k not in _ORIGINS or k in run.target}
    sections = {
        "proxy": _merged(shared.get("proxy", {}), run.proxy),
        "target": _merged(target, run.target),
    }
    filled = {key: _filled(value, run.dataset, (key,), places) for key, value in sections.items()}
    if run.pair is not None:
        filled["pair"] = run.pair
    spec = validate(CalibrationSpec, {**shared, "dataset": run.dataset, **filled}, places)
    spec._positions = places
    return spec


def _merged(top: Any, own: Any) -> Any:
    """Keys of the run in place of those at the top, in inner sections too."""
    if not isinstance(top, Mapping) or not isinstance(own, Mapping):
        return own
    if "model" in own:
        top = {key: value for key, value in top.items() if key not in _OF_MODEL}
    return {**top, **{key: _merged(top.get(key), value) for key, value in own.items()}}


def _filled(value: Any, dataset: str, path: KeyPath, places: Positions) -> Any:
    """The value with the dataset's name for `{dataset}`. InputError for another placeholder."""
    if isinstance(value, Mapping):
        return {k: _filled(each, dataset, (*path, k), places) for k, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, dataset, (*path, i), places) for i, each in enumerate(value)]
    if not isinstance(value, str):
        return value
    for name in _PLACEHOLDER.findall(value):
        if name != "dataset":
            raise InputError(
                places.of(path),
                f"{dotted(path)}: nothing is known to fill in for {quoted('{' + name + '}')}",
                "write {dataset}, or give the key in each run",
            )
    return value.replace("{dataset}", dataset)


def _check_new(specs: Sequence[CalibrationSpec], where: str) -> None:
    """Raise InputError if the last spec has the checkpoints of one before it."""
    *before, last = specs
    for other in before:
        if other.proxy != last.proxy:
            continue
        if other.dataset != last.dataset:
            raise InputError(
                where,
                f"run {quoted(last.dataset or '')} has the proxy of run"
                f" {quoted(other.dataset or '')}",
                "write {dataset} where the name belongs, as in 'proxy.model', or give each its own",
            )
        if other.target == last.target and other.pair == last.pair:
            raise InputError(where, f"run {quoted(last.dataset or '')} comes twice", "keep one")


def _check_alike(specs: Sequence[CalibrationSpec]) -> None:
    """Raise InputError where runs differ in what one function must have in common."""
    first = specs[0]
    for spec in specs[1:]:
        if (first.target.checkpoints is None) != (spec.target.checkpoints is None):
            raise InputError(
                spec.where("target"),
                f"run {quoted(spec.dataset or '')}: only some of the runs' targets are evaluated"
                " here, and the others' accuracies are given",
                "measure all alike: 'checkpoints' in all runs, or in none",
            )
        for path, value in _common(spec).items():
            if value != _common(first)[path]:
                raise InputError(
                    spec.where(*path),
                    f"run {quoted(spec.dataset or '')}: {dotted(path)} is not that of run"
                    f" {quoted(first.dataset or '')}",
                    "give one for all runs",
                )


def _common(spec: CalibrationSpec) -> dict[tuple[str, ...], object]:
    """What all runs have alike, by key."""
    checkpoints = spec.target.checkpoints
    return {
        ("proxy", "precision"): spec.proxy.precision,
        ("target", "size"): spec.target.size,
        ("target", "sft"): spec.target.sft,
        ("target", "checkpoints", "precision"): checkpoints and checkpoints.precision,
    }
