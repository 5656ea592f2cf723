"""Should trials of a search be stopped early? What half-trained proxies tell of their end.

python benchmarks/mixture/pruning.py --train   (24 trials of desk.yaml, scored four times each)
python benchmarks/mixture/pruning.py           (the figures, from pruning.json)

The search goes by the scores at the end, as ever. Then, by the scores on the way: how they rank
mixtures, and what would become of the proposal had the worse trials been stopped, and their end
been predicted by a line through those that went on. Beside it a search that stops after fewer
trials. What a proposal loses is by the model of all whole trials, in standard deviations of the
objective's metrics over them.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))

from searches import SETTINGS

from dataselect.cli.run import load
from dataselect.compute import default_compute
from dataselect.mixture.constraints import no_limits
from dataselect.mixture.propose import best_mixture
from dataselect.mixture.trial import Trial
from dataselect.mixture_search.prepare import prepare
from dataselect.mixture_search.sampler import fit
from dataselect.mixture_search.search import settle
from dataselect.mixture_search.study import SharedStudy, open_storage
from dataselect.mixture_search.trial import SearchSettings
from dataselect.mixture_search.trial_runner import Result
from dataselect.mixture_search.worker import Worker
from dataselect.scoring.measured import find
from dataselect.stages.prepare import gather_inputs
from dataselect.stages.runtime import Runtime
from dataselect.stages.watch import SilentWatch
from dataselect.store import Store

CHECKPOINTS, DESIGNED, TOGETHER = 4, 12, 5
HERE = Path(__file__).parent
FILE = HERE / "pruning.json"


def train(folder: Path) -> None:
    """Search with checkpoints on the way, scored too; writes the scores of all."""
    manifest, plan = load(HERE / "desk.yaml", None)
    assert plan.mix is not None
    assert plan.screen.proxy is not None
    proxy = plan.screen.proxy.model_copy(update={"checkpoints": CHECKPOINTS})
    mix = plan.mix.model_copy(update={"proxy": proxy, "average": CHECKPOINTS})
    plan, store = plan.model_copy(update={"mix": mix}), Store(folder)
    rows = []
    with default_compute(1, 1, "cpu") as compute:
        runner = prepare(gather_inputs(manifest, plan, Runtime(store, compute)))
        _, settings, _ = settle(runner)

        def measure(trials: Mapping[str, Trial]) -> dict[str, Result]:
            made, results = runner.measure(trials), {}
            for name, trial in trials.items():
                proxy = runner.source(trial).find(store)
                assert proxy is not None, made[name].why
                found = [
                    [find(store, point.checkpoint, e, "scores") for e in runner._evaluations]
                    for point in proxy.points
                ]
                values = [[float(m.table["rbridge"].mean()) for m in each] for each in found]
                scoring = sum(m.flops for m in found[0])
                rows.append(
                    {"weights": trial.shares, "seed": trial.seed, "values": values}
                    | {"training_flops": proxy.training_flops, "scoring_flops": scoring}
                )
                results[name] = Result(tuple(values[-1]), made[name].flops)
            return results

        names = (settings.sources, settings.benchmarks)
        storage = open_storage(None, "", folder / "pruning.journal")
        study = SharedStudy(storage, "pruning", *names, folder / "workers", time.time)
        with study.at_work():
            Worker(study, settings, measure, 1, SilentWatch()).search()
    FILE.write_text(json.dumps(rows))


def show() -> None:
    rows = json.loads(FILE.read_text())
    trials = [Trial(tuple(row["weights"]), row["seed"]) for row in rows]
    values = np.array([row["values"] for row in rows])
    end, count = values[:, -1], len(rows)
    objective = (values / end.std(axis=0)).mean(axis=2)
    rng = np.random.default_rng(0)
    for c in range(CHECKPOINTS - 1):
        draws = [rng.integers(count, size=count) for _ in range(2000)]
        ranks = [spearmanr(objective[d, c], objective[d, -1])[0] for d in draws]
        low, high = np.quantile(ranks, [0.05, 0.95])
        kept = np.argsort(objective[:, c])[: count // 2]
        value, proposed = (
            spearmanr(objective[some, c], objective[some, -1])[0]
            for some in (slice(None), slice(DESIGNED, None))
        )
        print(
            f"after {c + 1}/{CHECKPOINTS}: Spearman with the end "
            f"{value:.3f} [{low:.2f}, {high:.2f}], proposed alone {proposed:.2f}; "
            f"the better half's best is {objective[kept, -1].min() - objective[:, -1].min():.3f} "
            "worse than the best"
        )
    scoring = rows[0]["scoring_flops"] / rows[0]["training_flops"]
    print(f"scoring a checkpoint costs {scoring:.1%} of a training")
    settings = _settings(len(rows[0]["weights"]))
    whole = fit(settings, dict(zip(trials, map(tuple, end.tolist()), strict=True)))

    def cost(kept: list[Trial], ends: np.ndarray) -> float:
        model = fit(settings, dict(zip(kept, map(tuple, ends.tolist()), strict=True)))
        weights = best_mixture(model, settings.limits, 0)
        return float(whole.predict(weights[None]).objective[0])

    best = cost(trials, end)
    prior = float(whole.predict(settings.prior[None]).objective[0])
    print(
        f"gain of the proposal over the prior {prior - best:.3f}, held-out error "
        f"{whole.tolerance(settings.prior):.3f}"
    )
    for fewer in (23, 22, 20):
        print(
            f"first {fewer} trials alone, {1 - fewer / count:.1%} saved: "
            f"{cost(trials[:fewer], end[:fewer]) - best:+.3f}"
        )
    for c, design in ((1, False), (1, True), (2, True)):
        stopped = _stopped(values[:, c], design)
        rest = [i for i in range(count) if i not in stopped]
        ends = end.copy()
        for k in range(ends.shape[1]):
            line = np.polyfit(values[rest, c, k], end[rest, k], 1)
            ends[stopped, k] = np.polyval(line, values[stopped, c, k])
        away = (ends - end)[stopped] / end.std(axis=0)
        share = len(stopped) * (1 - (c + 1) / CHECKPOINTS) / count
        asked = count if design else count - DESIGNED
        print(
            f"worse half stopped after {c + 1}/{CHECKPOINTS}, design {'too' if design else 'not'}: "
            f"{len(stopped)} of {count}, {share:.1%} of training saved for "
            f"{asked * scoring / count:.1%} of scoring; ends predicted to "
            f"{np.sqrt((away**2).mean()):.2f}; proposal {cost(trials, ends) - best:+.3f}"
        )


def _stopped(scores: np.ndarray, design: bool) -> list[int]:
    """Trials worse than the median of all that got so far, their round included."""
    stopped: list[int] = []
    for first in (0, *range(DESIGNED, len(scores), TOGETHER)):
        last = DESIGNED if first == 0 else min(first + TOGETHER, len(scores))
        objective = (scores[:last] / scores[:last].std(axis=0)).mean(axis=1)
        if first or design:
            worse = objective > np.median(objective)
            stopped += [i for i in range(first, last) if worse[i]]
    return stopped


def _settings(sources: int) -> SearchSettings:
    prior = np.full(sources, 1 / sources)
    names = tuple(f"s{i}" for i in range(sources))
    return replace(
        SETTINGS, sources=names, prior=prior, limits=replace(no_limits(names), prior=prior)
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--store", type=Path, default=Path(".dataselect/pruning"))
    chosen = parser.parse_args()
    if chosen.train:
        train(chosen.store)
    show()
