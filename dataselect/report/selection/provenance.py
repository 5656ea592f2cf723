"""Provenance of a run's numbers: versions, machine, seeds, recipes and content hashes.

They explain a difference between two reports. Versions are read from package metadata, because
importing torch to get its version takes seconds. `hardware` is that of this call; `machines` has
the kinds of machines that trained and scored what was found in the store.
"""

import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from dataselect._version import __version__
from dataselect.compute.cores import available_cores
from dataselect.compute.machine import processor_name
from dataselect.proxies.recipe import TRAINER_VERSION, Recipe
from dataselect.scoring.machine_notes import Kind, by_kind
from dataselect.scoring.rbridge import METRIC_VERSION

if TYPE_CHECKING:
    from dataselect.formats.agreement_file import AgreementFile
    from dataselect.pipeline import Selection
    from dataselect.scoring.evaluation import Evaluation
    from dataselect.stages.scores import StageScores
    from dataselect.transfer.function import TransferFunction

_PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "numpy", "pandas", "scipy")


def provenance(selection: "Selection") -> dict[str, Any]:
    """What the numbers of a run depend on, except the texts themselves; for report.json."""
    experiment, prediction = selection.experiment, selection.prediction
    stages = selection.scores
    tokenizer = experiment.tokenizer
    functions = prediction.functions if prediction is not None else {}
    return {
        "versions": {
            "dataselect": __version__,
            "python": platform.python_version(),
            **{package: _version(package) for package in _PACKAGES},
            "trainer": TRAINER_VERSION,
            "metric": METRIC_VERSION,
        },
        "hardware": {
            "machine": platform.machine(),
            "processor": processor_name(),
            "cores": available_cores(),
        },
        "device": selection.experiment.runtime.device,
        "seeds": {
            "plan": selection.experiment.plan.seed,
            **{name: scores.recipe.seed for name, scores in stages.items() if scores.recipe},
        },
        "bootstrap_draws": selection.experiment.plan.bootstrap_draws,
        "plan": selection.experiment.plan.name,
        "recipes": {
            name: _recipe(scores.recipe) for name, scores in stages.items() if scores.recipe
        },
        "proxies": {name: _proxies(scores) for name, scores in stages.items()},
        "machines": {
            name: {"trained": _machines(scores.trained_on), "scored": _machines(scores.scored_on)}
            for name, scores in stages.items()
        },
        "tokenizer": tokenizer and {"hash": tokenizer.hash, "vocab_size": tokenizer.vocab_size},
        "benchmarks": {name: _benchmark(each) for name, each in experiment.evaluations.items()},
        "streams": {name: stream.key for name, stream in experiment.streams.items()},
        "transfer": {name: _function(function) for name, function in functions.items()},
        "discrepancy": {stage: _discrepancy(own) for stage, own in experiment.agreements.items()},
    }


def _discrepancy(own: "AgreementFile") -> dict[str, Any]:
    """A file of the plan's own gap, its hash and what was read of it."""
    read = {"metric", "size", "target", "candidates", "pairs", "effective_pairs", "seeds"}
    read |= {"decision_accuracy", "decision_accuracy_interval"}
    return {
        "file": own.path.name,
        "sha256": own.sha256,
        "target_size": own.target_size,
        "comparisons": {
            name: each.model_dump(include=read) for name, each in own.comparisons.items()
        },
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _recipe(recipe: Recipe) -> dict[str, Any]:
    return {**asdict(recipe), "parameters": recipe.parameters, "tokens": recipe.tokens}


def _proxies(scores: "StageScores") -> dict[str, Any]:
    """By candidate: the origin of its proxy, and the checkpoints scored."""
    return {name: asdict(proxy) for name, proxy in scores.proxies.items()}


def _machines(machines: Mapping[str, Kind]) -> list[dict[str, Any]]:
    """Kinds of machines with the names of what each computed; several machines in their order."""
    return [
        {"machines": [machine.record() for machine in kind], "of": names}
        for kind, names in by_kind(machines).items()
    ]


def _benchmark(evaluation: "Evaluation") -> dict[str, Any]:
    benchmark = evaluation.benchmark
    return {
        "hash": benchmark.content_hash,
        "revision": benchmark.revision,
        "items": len(benchmark.items),
        "shots": len(benchmark.shots),
        "label": benchmark.label,
        "weights": evaluation.weight_scope,
        "traces_hash": evaluation.traces_hash,
        "traces": [
            {"hash": traces.hash, "count": len(traces.traces), **asdict(traces.header)}
            for traces in evaluation.traces
        ],
    }


def _function(function: "TransferFunction") -> dict[str, Any]:
    provenance = function.provenance
    return {
        "family": function.family,
        "coefficients": function.curve.coefficients,
        "origin": function.curve.origin,
        "knots": function.curve.knots,
        "points": len(function.points),
        "datasets": function.datasets,
        "says_nothing": function.worth is not None and function.worth.says_nothing,
        "fitted_range": function.fitted_range,
        "r2": function.r2,
        "loo_mae": function.mae,
        "calibration": provenance.calibration,
        "command": provenance.command,
        "setting": asdict(provenance.setting),
    }
