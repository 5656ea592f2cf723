"""Stage 2: a larger proxy for every survivor, mapped to the accuracy of the target.

The paper's experiments (ii) and (iii) and the second stage of its section 5. A transfer function
speaks only for the setting that it was fitted in; where none applies to a benchmark, no accuracy
is predicted for it, and the survivors are ranked by their scores alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dataselect.config.plan import Predict
from dataselect.decisions.ranking import Ranking, bootstrap_means, bootstrap_rank
from dataselect.scoring.rbridge import METRIC_VERSION
from dataselect.stages.experiment import Experiment
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.scores import StageScores
from dataselect.stages.stage import run_stage
from dataselect.transfer.applies import check_all
from dataselect.transfer.file import read_transfer_file
from dataselect.transfer.forecast import Forecast, Scores, forecast, with_seed_noise
from dataselect.transfer.function import Setting, TransferFunction

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Prediction:
    """Stage 2's scores and ranking, and what they mean at target scale.

    `forecasts`: by candidate and benchmark, where a transfer function applies; `overall`: by
    candidate, the mean over all benchmarks, only when each has a function; `wins`: then the
    probability that the target of the row beats that of the column. `order`: best first.
    """

    scores: StageScores
    ranking: Ranking
    forecasts: Mapping[str, Mapping[str, Forecast]]
    overall: Mapping[str, Forecast]
    wins: "pd.DataFrame | None"
    functions: Mapping[str, TransferFunction]
    order: tuple[str, ...]
    notes: tuple[str, ...]


def predict(experiment: Experiment, survivors: tuple[str, ...], chosen: Predict) -> Prediction:
    """Train, score and predict. Raises IncompleteError when no proxy came through."""
    plan = experiment.plan
    experiment.watch.step("Stage 2: predict")
    scores = run_stage(experiment, StageName.PREDICT, chosen, survivors)
    tables = scores.table("rbridge")
    ranking = bootstrap_rank(
        tables,
        chosen.aggregate,
        k=1,
        bootstrap=experiment.bootstrap,
    )
    functions, notes = _functions(experiment, chosen, scores)
    rng = np.random.default_rng(plan.seed)
    by_score = list(ranking.table.index)
    made = forecast(
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
    )
    everywhere = len(functions) == len(tables)
    return Prediction(
        scores=scores,
        ranking=ranking,
        forecasts=made.by_benchmark,
        overall=made.overall if everywhere else {},
        wins=made.wins if everywhere else None,
        functions=functions,
        order=tuple(made.overall if everywhere else by_score),
        notes=tuple(notes),
    )


def setting(
    experiment: Experiment,
    benchmark: str,
    parameters: int | None,
    tokens: int | None,
    tokenizer: str | None,
) -> Setting:
    """What proxies' scores on a benchmark, and the accuracy wanted for them, depend on.

    What is not the same for all proxies (None) is not known of them, and is warned of.
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
    """A benchmark's scores, as they might have been on other items and with other seeds."""
    by_seed = runs["rbridge"].groupby(level=["candidate", "seed"]).mean().unstack("seed")
    return with_seed_noise(
        Scores(table.mean().to_numpy(), bootstrap_means(table, draws, rng)),
        by_seed.loc[list(table.columns)].to_numpy(),
        rng,
    )


def _functions(
    experiment: Experiment, chosen: Predict, scores: StageScores
) -> tuple[dict[str, TransferFunction], list[str]]:
    """The transfer functions that apply here, by benchmark, and what to say of them."""
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
    alike = (scores.parameters, scores.tokens, scores.tokenizer)
    refusals, warnings = check_all(
        functions, {name: setting(experiment, name, *alike) for name in functions}
    )
    notes += [f"{refusal}; no accuracy is predicted for it" for refusal in refusals.values()]
    return {n: f for n, f in functions.items() if n not in refusals}, [*notes, *warnings]
