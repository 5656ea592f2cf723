"""Train and score the trials of a search with the machinery of the stages.

A mixture's proxy is the same artifact as that of a Stage 1 candidate with the same mixture, so it
is never trained twice. Proxies are trained here; a trainer command of the plan is not used.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from dataselect.compute.machine import Machine
from dataselect.config.mixture import Mix
from dataselect.corpus.prepare import Corpus, Share
from dataselect.mixture.constraints import Limits
from dataselect.mixture.trial import Trial
from dataselect.proxies.make import ProxyRequest
from dataselect.proxies.recipe import Recipe, population_size
from dataselect.proxy_sources import TrainedHere
from dataselect.scoring.evaluation import Evaluation
from dataselect.scoring.measured import read
from dataselect.scoring.non_finite import failure
from dataselect.stages.engine import job_resources, side_by_side
from dataselect.stages.experiment import Experiment
from dataselect.stages.jobs import Run, is_scored, run_jobs
from dataselect.store import content_key


@dataclass(frozen=True)
class Result:
    """The outcome of a trial."""

    values: tuple[float, ...] | None
    """Mean rBridge by benchmark; None where it failed."""
    flops: float
    """Of training and scoring."""
    why: str = ""
    """What went wrong; empty where nothing did."""
    diverged: bool = False
    """Whether training diverged or a score is not finite, as it would be again."""
    trained_on: tuple[Machine, ...] = ()
    """What trained the proxy."""


@dataclass(frozen=True)
class TrialRunner:
    """Trains and scores the trials of one search."""

    experiment: Experiment
    """Manifest, plan, benchmarks and runtime."""
    corpus: Corpus
    """Tokenizer, and a stream of each source that is as long as trials need it."""
    mix: Mix
    """The plan's search, with benchmarks filled in."""
    sources: tuple[str, ...]
    """Ids of the sources that are mixed."""
    benchmarks: tuple[str, ...]
    """Ids of the benchmarks that trials are scored on."""
    recipe: Recipe
    """The training run of a trial, with the first seed."""
    limits: Limits
    """Limits on the proposal."""
    most: tuple[float, ...]
    """By source, the largest share that it has enough text for."""
    rates: tuple[float, ...]
    """By source, epochs over its text at a share of 1."""
    cut: tuple[str, ...]
    """Sources whose text was cut to the target's epochs."""

    @property
    def key(self) -> str:
        """Equal for searches whose trials can be compared: the same texts, proxy and items."""
        recipe = replace(self.recipe, seed=0).describe()
        spec = {
            "recipe": recipe,
            "average": self.mix.average,
            "tokenizer": self.corpus.tokenizer.hash,
            "streams": {name: self.corpus.streams[name].key for name in self.sources},
            "benchmarks": [[e.benchmark.content_hash, e.traces_hash] for e in self._evaluations],
        }
        return content_key("mixture", spec)

    def limits_with_lengths(self) -> Limits:
        """The limits, with mean tokens per document of the streams where none are given.

        A stream of a single document, which the budget may have cut, measures nothing.
        """
        lengths = self.limits.tokens_per_document.copy()
        for i, name in enumerate(self.sources):
            stream = self.corpus.streams[name]
            if math.isnan(lengths[i]) and stream.index["documents"] > 1:
                lengths[i] = stream.tokens / stream.index["documents"]
        return replace(self.limits, tokens_per_document=lengths)

    @property
    def at_once(self) -> int:
        """Trials that this machine can train side by side."""
        compute, device = self.experiment.plan.compute, self.experiment.runtime.device
        return self.slots * population_size(compute.population, self.recipe.parameters, device)

    @property
    def slots(self) -> int:
        """Jobs that this machine runs side by side."""
        engine = self.experiment.runtime.compute
        return side_by_side(engine, job_resources(self.experiment.plan.compute, engine=engine))

    def measure(self, trials: Mapping[str, Trial]) -> dict[str, Result]:
        """Train and score proxies; trials and results by a name for the progress display."""
        sources = {name: self.source(trial) for name, trial in trials.items()}
        runs = {name: Run(name, f"mix/{name}", source) for name, source in sources.items()}
        outcomes = run_jobs(self.experiment, list(runs.values()), self._evaluations, ("scores",))
        results = {}
        for name, source in sources.items():
            outcome = outcomes.get(runs[name].key)
            results[name] = self._result(source, None if outcome is None else outcome.error)
        return results

    def source(self, trial: Trial) -> TrainedHere:
        """The training run of a mixture."""
        tokenizer, tokens = self.corpus.tokenizer, self.recipe.tokens
        parts = []
        for name, share in zip(self.sources, trial.shares, strict=True):
            if share > 0:
                stream = self.corpus.streams[name]
                parts.append(Share(stream.key, stream.folder, round(share * tokens)))
        recipe = replace(self.recipe, seed=trial.seed)
        request = ProxyRequest(recipe, tokenizer.folder, tokenizer.hash, tuple(parts))
        return TrainedHere(request, self.mix.average)

    def keys(self, trial: Trial) -> list[str]:
        """Keys of a trial's artifacts, as far as they are in this store."""
        source = self.source(trial)
        keys = [content_key(source.kind, source.spec)]
        proxy = source.find(self.experiment.store)
        for evaluation in self._evaluations:
            for point in proxy.points if proxy is not None else ():
                keys += evaluation.keys(point.checkpoint, "scores")
        return keys

    @property
    def _evaluations(self) -> list[Evaluation]:
        return [self.experiment.evaluations[name] for name in self.benchmarks]

    def _result(self, source: TrainedHere, error: str | None) -> Result:
        store, evaluations = self.experiment.store, self._evaluations
        proxy = source.find(store)
        if proxy is not None and proxy.diverged is not None:
            return Result(None, 0.0, proxy.diverged, diverged=True)
        if proxy is None or not is_scored(store, proxy, evaluations, ("scores",)):
            return Result(None, 0.0, error or "its scores are missing")
        values, flops = [], proxy.training_flops
        for evaluation in evaluations:
            means = []
            for point in proxy.points:
                measured = read(store, point.checkpoint, evaluation, "scores")
                flops += measured.flops
                # Trials are compared by means that are kept, so that none can drop an item later.
                scored, name = len(measured.table), evaluation.benchmark.id
                why = failure(measured.exclusions, scored, name, tolerant=False)
                if why is not None:
                    return Result(None, flops, why, diverged=True)
                means.append(float(measured.table["rbridge"].mean()))
            values.append(math.fsum(means) / len(means))
        return Result(tuple(values), flops, trained_on=proxy.trained_on)
