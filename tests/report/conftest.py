"""Small selections made by hand, without any training."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dataselect.benchmarks.items import BenchmarkItems, Exclusion, Item
from dataselect.compute import InlineCompute
from dataselect.config.manifest import Manifest, load_manifest
from dataselect.config.plan import Plan, load_plan
from dataselect.corpus.kept_tokenizer import Tokenizer
from dataselect.corpus.prepare import Corpus, Stream
from dataselect.cost import PlannedCost, Spent, StageCost
from dataselect.decisions.bootstrap import Bootstrap
from dataselect.decisions.ranking import bootstrap_rank
from dataselect.decisions.target_agreement import target_agreement
from dataselect.pipeline import Selection
from dataselect.proxies.recipe import make_recipe
from dataselect.scoring.evaluation import METRICS, Evaluation
from dataselect.stages.experiment import Experiment
from dataselect.stages.known_targets import judge
from dataselect.stages.predict import Prediction
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.results import StageResults
from dataselect.stages.runtime import Runtime
from dataselect.stages.scores import (
    RUN_INDEX,
    CandidateRun,
    ProxyFacts,
    ScoredCheckpoint,
    StageScores,
    Status,
)
from dataselect.stages.screen import Screening
from dataselect.store import Store
from dataselect.traces.trace import Trace, TraceHeader, TraceSet
from dataselect.transfer.forecast import Forecast
from dataselect.transfer.function import Provenance, Setting, TransferFunction, fit

MANIFEST = """\
target: {size: 1B, tokens: 20B}
plan: small.yaml
sources:
  - {id: prose, path: texts, title: Prose}
candidates:
  - {id: good, path: json, data_files: "crawl/*.jsonl", title: "Good *data* | [/bad] <b>"}
  - {id: fair, path: someone/on-the-hub, name: part, revision: abc}
  - {id: poor, path: texts/poor.jsonl}
  - {id: blend, mixture: {good: 0.75, prose: 0.25}}
  - {id: broken, path: dataselect/desk, name: worked}
"""
PLAN = """\
tokenizer: {train: {vocab_size: 300}}
benchmarks:
  - {id: sums, items: bench/sums.jsonl, traces: bench/sums.traces.jsonl}
screen:
  proxy:
    architecture: {hidden_size: 16, layers: 1, heads: 2}
    tokens: 1M
    sequence_length: 32
  keep: 2
predict:
  proxy: {size: 4M, tokens: 40M, sequence_length: 64}
"""
QUALITIES = {"good": 1.0, "fair": 1.5, "blend": 1.9, "poor": 3.0}
"""Mean rBridge in nats; `broken` has none."""

MakeSelection = Callable[..., Selection]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a manifest, a plan and the files that they name."""
    folder = tmp_path / "project" / "candidates"
    for name in ("crawl/one.jsonl", "texts/poor.jsonl", "bench/sums.jsonl"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('{"text": "a"}\n', encoding="utf-8")
    (folder / "try.yaml").write_text(MANIFEST, encoding="utf-8")
    (folder / "small.yaml").write_text(PLAN, encoding="utf-8")
    return folder


@pytest.fixture
def make_selection(project: Path) -> MakeSelection:
    """A selection; `close` gives survivors like scores, `fate` is the status of candidates.

    `targets` are the accuracies by which the choice is judged.
    """

    def make(
        *,
        stage2: bool = True,
        transfer: bool = True,
        close: bool = False,
        evidence: bool = True,
        targets: Mapping[str, float] | None = None,
        fate: Mapping[str, tuple[StageName, Status]] | None = None,
        qualities: Mapping[str, float] = QUALITIES,
        manifest: Manifest | None = None,
        plan: Plan | None = None,
    ) -> Selection:
        manifest = manifest or load_manifest(project / "try.yaml")
        plan = plan or load_plan("small.yaml", project)
        fate = {"broken": (StageName.SCREEN, "failed"), **(fate or {})}
        lost = {name for name, (where, _) in fate.items() if where == "stage1"}
        names = [name for name in qualities if name not in lost]
        spread = 0.001 if close else 1.0
        levels = {name: 1 + (qualities[name] - 1) * spread for name in names}
        scores1 = _scores(StageName.SCREEN, plan, levels, fate, list(qualities))
        ranking1 = bootstrap_rank(
            scores1.table("rbridge"), k=min(2, len(names)), bootstrap=Bootstrap(draws=400)
        )
        screening = Screening(scores1, ranking1, tuple(ranking1.table.index[: ranking1.k]))
        prediction = _prediction(plan, screening, levels, fate, transfer) if stage2 else None
        truth = {"good": 0.7, "fair": 0.6, "blend": 0.5, "poor": 0.2}
        one = Spent(4, 1, 6, 75.0, 70.0, 0.0, 3e12, 1e11)
        stream = Stream(
            "good",
            "a" * 32,
            project,
            1_000_000,
            1_000_000,
            {"documents": 700, "counts": {"read": 800, "used": 700, "bad": 100}},
        )
        experiment = Experiment(
            manifest,
            plan,
            Runtime(Store(project / "store"), InlineCompute()),
            {"sums": _evaluation()},
            Corpus(Tokenizer(project, "f" * 64, 300), {}, {"good": stream}),
        )
        table = {name: {"sums": accuracy} for name, accuracy in (targets or {}).items()}
        return Selection(
            experiment=experiment,
            screening=screening,
            prediction=prediction,
            agreement=target_agreement(
                truth, screening.by_metric(), bootstrap=Bootstrap(draws=200, seed=0, confidence=0.9)
            )
            if evidence
            else None,
            cost=PlannedCost(5, (StageCost(5, 1e12), StageCost(2, 4e13)), 1.2e20),
            spent={"stage1": one, "stage2": one} if stage2 else {"stage1": one},
            seconds=90.5,
            notes=("good: left out 100 bad of 800 rows read",),
            truth=judge(
                experiment,
                StageResults(screening=screening, prediction=prediction),
                table,
                screening.by_metric(),
            ),
        )

    return make


def _evaluation() -> Evaluation:
    item = Item("i1", "1 + 1?", "2")
    trace = Trace("i1", "One and one", ((11, 0.5),))
    header = TraceHeader("sums", "a/frontier_model", "{question}", "record traces")
    return Evaluation(BenchmarkItems("sums", (item,)), (TraceSet(header, {"i1": trace}),), ())


def _scores(
    stage: StageName,
    plan: Plan,
    levels: Mapping[str, float],
    fate: Mapping[str, tuple[StageName, Status]],
    names: list[str],
) -> StageScores:
    rng = np.random.default_rng(7)
    lost = {name: status for name, (where, status) in fate.items() if where == stage}
    difficulty = rng.normal(0, 1, (60, 1))
    kept = [name for name in levels if name not in lost]
    values = np.array([levels[name] for name in kept]) + rng.normal(0, 0.3, (60, len(kept)))
    table = pd.DataFrame(values + difficulty, columns=kept)
    status: dict[str, Status] = {name: "scored" for name in names if name in kept}
    proxy = (
        plan.screen.proxy
        if stage is StageName.SCREEN or plan.predict is None
        else plan.predict.proxy
    )
    assert proxy is not None
    recipe = make_recipe(proxy, 300, "cpu", "plan")
    last = ScoredCheckpoint("step-1", recipe.tokens, {"proxy": "p", "step": 1})
    trained = ProxyFacts("trained here", recipe.parameters, recipe.tokens, "k", (0,), (last,))
    runs = pd.DataFrame(dict.fromkeys(METRICS, table.mean()))
    runs.index = pd.MultiIndex.from_tuples([(name, 0, 1) for name in kept], names=RUN_INDEX)
    return StageScores(
        stage=stage,
        recipe=recipe,
        candidates={
            name: CandidateRun(name, each, (), proxy=trained)
            if each == "scored"
            else CandidateRun(name, each, (), reason="worker died [/red] | twice")
            for name, each in {**status, **lost}.items()
        },
        tables={"sums": dict.fromkeys(METRICS, table)},
        runs={"sums": runs},
        exclusions={"sums": (Exclusion("i9", "its trace is too long"),)},
        notes=(),
        flops=1e12,
        flops_elsewhere=0.0,
        keys=(),
    )


def _function() -> TransferFunction:
    x = np.linspace(0.8, 3.2, 8)
    setting = Setting(10**9, 2 * 10**10, 10**6, 10**6, "t", "b", "k", 1)
    provenance = Provenance(setting, "the_calibration run", "fit it")
    return fit(x, 0.9 - 0.25 * x + 0.01 * np.sin(9 * x), benchmark="sums", provenance=provenance)


def _prediction(
    plan: Plan,
    screening: Screening,
    levels: Mapping[str, float],
    fate: Mapping[str, tuple[StageName, Status]],
    transfer: bool,
) -> Prediction:
    survivors = {name: levels[name] for name in screening.survivors}
    scores = _scores(StageName.PREDICT, plan, survivors, fate, list(survivors))
    ranking = bootstrap_rank(scores.table("rbridge"), k=1, bootstrap=Bootstrap(draws=400))
    order = tuple(ranking.table.index)
    forecasts: dict[str, dict[str, Forecast]] = {name: {} for name in order}
    if transfer:
        for place, name in enumerate(order):
            at = 0.65 - 0.0333 * place
            forecasts[name]["sums"] = Forecast(at, at - 0.02, at + 0.02, place == 1)
    return Prediction(
        scores=scores,
        ranking=ranking,
        forecasts=forecasts,
        overall={name: parts["sums"] for name, parts in forecasts.items() if parts},
        wins=ranking.wins if transfer else None,
        functions={"sums": _function()} if transfer else {},
        order=order,
        notes=(),
        counted=("sums",) if transfer else (),
    )
