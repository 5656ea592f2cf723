"""Stage 2: a larger proxy for every survivor, mapped to the accuracy of the target.

The paper's experiments (ii) and (iii) and the second stage of its section 5. A transfer function
speaks only for the setting that it was fitted in; where none applies to a benchmark, no accuracy
is predicted for it, and the survivors are ranked by their scores alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dataselect.plan import Predict
from dataselect.ranking import Ranking, bootstrap_means, bootstrap_rank
from dataselect.scoring.rbridge import METRIC_VERSION
from dataselect.stage import Experiment, StageScores, run_stage
from dataselect.transfer import Setting, TransferFunction, check_applies
from dataselect.transfer_file import read_transfer_file


@dataclass(frozen=True)
class Forecast:
    """Predicted target accuracy (0..1) with its interval; `extrapolated` beyond the fit."""

    predicted_accuracy: float
    low: float
    high: float
    extrapolated: bool


@dataclass(frozen=True)
class Prediction:
    """Stage 2's scores and ranking, and what they mean at target scale.

    `forecasts`: by candidate and benchmark, where a transfer function applies; `overall`: by
    candidate, the mean over all benchmarks, only when each has a function. `order`: best first.
    """

    scores: StageScores
    ranking: Ranking
    forecasts: Mapping[str, Mapping[str, Forecast]]
    overall: Mapping[str, Forecast]
    functions: Mapping[str, TransferFunction]
    order: tuple[str, ...]
    notes: tuple[str, ...]


def predict(experiment: Experiment, survivors: tuple[str, ...]) -> Prediction:
    """Train, score and predict. Raises IncompleteError when no proxy came through."""
    plan, chosen = experiment.plan, experiment.plan.predict
    assert chosen is not None, "the pipeline asks only when the plan has a second stage"
    experiment.watch.step("Stage 2: predict")
    scores = run_stage(experiment, "stage2", chosen, survivors)
    tables = scores.table("rbridge")
    ranking = bootstrap_rank(
        tables,
        chosen.aggregate,
        k=1,
        draws=plan.bootstrap_draws,
        seed=plan.seed,
        confidence=plan.confidence,
    )
    functions, notes = _functions(experiment, chosen)
    rng = np.random.default_rng(plan.seed)
    forecasts: dict[str, dict[str, Forecast]] = {name: {} for name in scores.scored}
    draws: dict[str, list[np.ndarray]] = {name: [] for name in scores.scored}
    for benchmark, function in functions.items():
        table = tables[benchmark]
        means = bootstrap_means(table, plan.bootstrap_draws, rng)
        for column, name in enumerate(table.columns):
            score = float(table[name].mean())
            drawn = function.prediction_draws(means[:, column], rng)
            draws[name].append(drawn)
            forecasts[name][benchmark] = _forecast(
                float(function.predict(score)),
                drawn,
                plan.confidence,
                bool(function.extrapolated(score)),
            )
    overall = {}
    if len(functions) == len(tables):
        for name, parts in forecasts.items():
            overall[name] = _forecast(
                float(np.mean([part.predicted_accuracy for part in parts.values()])),
                np.mean(draws[name], axis=0),
                plan.confidence,
                any(part.extrapolated for part in parts.values()),
            )
    by_score = list(ranking.table.index)
    # Predictions that saturate tie; the score behind them still tells candidates apart.
    order = sorted(
        by_score,
        key=lambda name: (
            -overall[name].predicted_accuracy if overall else 0.0,
            by_score.index(name),
        ),
    )
    return Prediction(scores, ranking, forecasts, overall, functions, tuple(order), tuple(notes))


def setting(experiment: Experiment, benchmark: str) -> Setting:
    """What Stage 2's scores on a benchmark, and the accuracy wanted for them, depend on."""
    recipe, target = experiment.recipes["stage2"], experiment.manifest.target
    evaluation = experiment.evaluations[benchmark]
    return Setting(
        target_size=target.size,
        target_tokens=target.total_tokens,
        proxy_size=recipe.parameters,
        proxy_tokens=recipe.tokens,
        traces=evaluation.traces_hash,
        benchmark=evaluation.benchmark.content_hash,
        tokenizer=experiment.tokenizer.hash,
        metric_version=METRIC_VERSION,
    )


def _forecast(
    predicted: float, draws: np.ndarray, confidence: float, extrapolated: bool
) -> Forecast:
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    # The curve's own prediction need not be a typical draw: the refits behind the draws differ.
    return Forecast(
        predicted, min(float(low), predicted), max(float(high), predicted), extrapolated
    )


def _functions(
    experiment: Experiment, chosen: Predict
) -> tuple[dict[str, TransferFunction], list[str]]:
    """The transfer functions that apply here, by benchmark, and what to say of them."""
    if chosen.transfer is None:
        return {}, ["the plan names no transfer function, so no target accuracy is predicted"]
    plan = experiment.plan
    available = read_transfer_file(plan.base / chosen.transfer)
    functions, notes = {}, []
    for benchmark in plan.benchmarks_of(chosen):
        function = available.get(benchmark.id)
        if function is None:
            notes.append(f"{chosen.transfer} has no transfer function for {benchmark.id}")
            continue
        refusal, warnings = check_applies(function, setting(experiment, benchmark.id))
        if refusal is not None:
            notes.append(f"{refusal}; no accuracy is predicted for it")
            continue
        notes += warnings
        functions[benchmark.id] = function
    return functions, notes
