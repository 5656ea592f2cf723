"""Stage 2: a larger proxy for each survivor, its score mapped to the accuracy of the target.

The paper's experiments (ii) and (iii) and the second stage of its section 5. A transfer function
is valid only in the setting that it was fitted in. Where none applies to a benchmark, no accuracy
is predicted for it, and the survivors are ranked by their scores alone. Survivors are few, so
the unit of their scores is not their own spread (`decisions.score_units`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dataselect.config.stage import Predict
from dataselect.decisions.ranking import Ranking, bootstrap_means, bootstrap_rank
from dataselect.decisions.score_units import units_of_survivors
from dataselect.scoring.rbridge import METRIC_VERSION
from dataselect.stages.experiment import Experiment
from dataselect.stages.proxy_origins import StageName, step_title
from dataselect.stages.scores import StageScores
from dataselect.stages.screen import Screening
from dataselect.stages.stage import run_stage
from dataselect.transfer.applies import check_all, fitted_on, no_test
from dataselect.transfer.file import read_transfer_file
from dataselect.transfer.forecast import Forecast, Scores, doubts, forecast, with_seed_noise
from dataselect.transfer.function import Setting, TransferFunction

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Prediction:
    """The result of the last stage: scores, their ranking and the predicted target accuracies."""

    scores: StageScores
    """What was measured on the survivors' proxies."""
    ranking: Ranking
    """Survivors ranked by rBridge."""
    forecasts: Mapping[str, Mapping[str, Forecast]]
    """Predicted target accuracy by candidate and benchmark, where a transfer function applies."""
    overall: Mapping[str, Forecast]
    """Mean over benchmarks by candidate, best first; empty unless each benchmark has a function."""
    wins: "pd.DataFrame | None"
    """Candidates x candidates: probability that the row's target beats the column's by the overall
    mean; None without `overall`, and where a function knows nothing of other data."""
    functions: Mapping[str, TransferFunction]
    """The transfer functions that were applied, by benchmark."""
    order: tuple[str, ...]
    """Survivors with scores, best first: by `overall`, or by score without `wins`."""
    notes: tuple[str, ...]
    """Remarks on transfer functions that are missing, refused or doubtful."""
    counted: tuple[str, ...]
    """Benchmarks that `overall` is a mean over."""


def predict(experiment: Experiment, chosen: Predict, before: Sequence[Screening]) -> Prediction:
    """Train, score and predict. Raises IncompleteError when no survivor could be scored.

    `before` are the stages before this one, in their order. The first gives the unit of the scores,
    and the last its survivors, and the order of those with equal scores.
    """
    plan = experiment.plan
    stage = StageName.at(len(plan.stages))
    experiment.watch.step(step_title(plan, stage))
    scores = run_stage(experiment, stage, chosen, before[-1].survivors)
    tables = scores.table("rbridge")
    ranking = bootstrap_rank(
        tables,
        chosen.aggregate,
        k=1,
        bootstrap=experiment.bootstrap,
        units=units_of_survivors(tables, before[0].scores.table("rbridge")),
        before=list(before[-1].ranking.table.index),
    )
    functions, notes = _functions(experiment, chosen, scores)
    rng = np.random.default_rng(plan.seed)
    by_score = list(ranking.table.index)
    forecasts = forecast(
        by_score,
        {
            name: plausible_scores(
                tables[name][by_score], scores.runs[name], plan.bootstrap_draws, rng
            )
            for name in functions
        },
        functions,
        confidence=plan.confidence,
        rng=rng,
        every_benchmark=chosen.every_benchmark,
    )
    everywhere = len(functions) == len(tables) and bool(forecasts.counted)
    compared = everywhere and all(functions[name].has_intervals for name in forecasts.counted)
    notes += [*no_test(fitted_on(functions, by_score)), *doubts(functions, forecasts.counted)]
    if everywhere and not compared:
        notes.append("so survivors are ranked by score, not by predicted accuracy")
    if not compared:
        notes += [
            f"{' and '.join(tie)} have the same {stage.label} score; they are in the order of "
            f"{before[-1].scores.stage.label}"
            for tie in ranking.ties
        ]
    return Prediction(
        scores=scores,
        ranking=ranking,
        forecasts=forecasts.by_benchmark,
        overall=forecasts.overall if everywhere else {},
        wins=forecasts.wins if compared else None,
        functions=functions,
        order=tuple(forecasts.overall if compared else by_score),
        notes=tuple(notes),
        counted=forecasts.counted if everywhere else (),
    )


def setting(
    experiment: Experiment,
    benchmark: str,
    parameters: int | None,
    tokens: int | None,
    tokenizer: str | None,
) -> Setting:
    """The setting of the proxies' scores on a benchmark, to be compared with a function's.

    `parameters`, `tokens` and `tokenizer` are the proxies'; None where they differ or are unknown,
    which leads to a warning.
    """
    target = experiment.manifest.target
    evaluation = experiment.evaluations[benchmark]
    return Setting(
        target_size=target.size,
        target_tokens=target.total_tokens,
        proxy_size=parameters,
        proxy_tokens=tokens,
        traces=evaluation.traces_hash,
        benchmark=evaluation.benchmark.content_hash,
        tokenizer=tokenizer,
        metric_version=METRIC_VERSION,
    )


def plausible_scores(
    table: "pd.DataFrame", runs: "pd.DataFrame", draws: int, rng: np.random.Generator
) -> Scores:
    """A benchmark's scores by candidate, with draws that vary the items and the seeds.

    `table`: items x candidates; `runs`: a row for each candidate, seed and step.
    """
    by_seed = runs["rbridge"].groupby(level=["candidate", "seed"]).mean().unstack("seed")
    return with_seed_noise(
        Scores(table.mean().to_numpy(), bootstrap_means(table, draws, rng)),
        by_seed.loc[list(table.columns)].to_numpy(),
        rng,
    )


def _functions(
    experiment: Experiment, chosen: Predict, scores: StageScores
) -> tuple[dict[str, TransferFunction], list[str]]:
    """The transfer functions that apply here, by benchmark, and notes on the others."""
    if chosen.transfer is None:
        return {}, ["the plan names no transfer function, so no target accuracy is predicted"]
    plan = experiment.plan
    available = read_transfer_file(plan.base / chosen.transfer)
    planned = [benchmark.id for benchmark in plan.benchmarks_of(chosen)]
    functions = {name: available[name] for name in planned if name in available}
    notes = [
        f"{chosen.transfer} has no transfer function for {name}"
        for name in planned
        if name not in available
    ]
    proxies = (scores.parameters, scores.tokens, scores.tokenizer)
    refusals, warnings = check_all(
        functions, {name: setting(experiment, name, *proxies) for name in functions}
    )
    notes += [f"{refusal}; no accuracy is predicted for it" for refusal in refusals.values()]
    return {n: f for n, f in functions.items() if n not in refusals}, [*notes, *warnings]
