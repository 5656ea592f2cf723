"""Which settings of a tiny proxy rank the synthetic world's candidates best, at equal tokens?

    python benchmarks/recipes/study.py [--store DIR] [--only NAME ...]

Trains the screening proxy of the quickstart (148K parameters, 0.5M tokens) on all ten candidates
for each of `SETTINGS` and each seed, scores it on the quickstart's items and traces, and compares
the rankings with the target accuracies that `benchmarks/desk_scale` measured. No target is trained
here. What a setting changes is the two learning rates and the batch; shape, tokens, sequence
length, schedule and scoring stay. Prints a table and writes `results.json` beside this file.

One process with one thread: 11 CPU seconds a proxy, 35 CPU minutes in all. The first seed of
every setting comes first. What was trained is in the store, so a study that was stopped goes on
and more seeds or settings cost only themselves. With `--only` the file of results is left alone.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import transformers
from numpy.typing import NDArray
from scipy.stats import spearmanr

from dataselect.compute import Event, InlineCompute
from dataselect.compute.machine import processor_name
from dataselect.config.manifest import load_manifest
from dataselect.config.plan import Plan, load_plan
from dataselect.decisions.agreement import decision_accuracy
from dataselect.decisions.ranking import aggregate
from dataselect.decisions.target_agreement import read_target_accuracy
from dataselect.proxies.make import find_proxy
from dataselect.scoring.evaluation import METRICS
from dataselect.stages.experiment import Experiment
from dataselect.stages.prepare import make_recipes, prepare
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.runtime import Runtime
from dataselect.stages.stage import run_stage
from dataselect.stages.watch import SilentWatch
from dataselect.store import Store, write_atomic

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MANIFEST = ROOT / "candidates" / "quickstart.yaml"
TRUTH = ROOT / "candidates" / "quickstart" / "target_accuracy.csv"
COMMAND = "python benchmarks/recipes/study.py"


@dataclass(frozen=True)
class Setting:
    """Peak rate of the matrices, that of the embeddings as a multiple of it, sequences a step.

    `seeds`: how many, from 0; more of them where a choice is to be made.
    """

    rate: float
    times: float
    batch: int
    seeds: int = field(default=1, compare=False)

    @property
    def name(self) -> str:
        return f"{self.rate:g}-x{self.times:g}-b{self.batch}"


LADDER_RATE = 1.4e-2
"""What a shape of this width gets when the plan names no learning rate."""
RULE_BATCH = 15
"""Sequences of 128 tokens in a step when the plan names no batch: 260 steps."""

DEFAULT = Setting(LADDER_RATE, 1, RULE_BATCH, seeds=2)
"""What a plan that leaves rates and batch open stands for at the time of this study."""

SETTINGS = (
    DEFAULT,
    # One rate for all.
    Setting(LADDER_RATE / 4, 1, RULE_BATCH, seeds=2),
    Setting(LADDER_RATE / 2, 1, RULE_BATCH),
    # A rate of the embeddings' own.
    Setting(LADDER_RATE / 4, 3, RULE_BATCH),
    Setting(LADDER_RATE / 4, 10, RULE_BATCH, seeds=2),
    Setting(LADDER_RATE / 2, 3, RULE_BATCH),
    Setting(LADDER_RATE / 2, 6, RULE_BATCH),
    # Half and double the batch. (Four times was left out: double is already far behind.)
    Setting(LADDER_RATE, 1, 8),
    Setting(LADDER_RATE / 4, 10, 8, seeds=2),
    Setting(LADDER_RATE, 1, 30),
    # The quickstart's own; its first seed is the desk study's proxy.
    Setting(3e-3, 1e-2 / 3e-3, 8, seeds=2),
    Setting(LADDER_RATE, 3, RULE_BATCH),
)

OFF_DISTRIBUTION = ("notebook", "answers-only")
"""Candidates without worked reasoning: how unlikely they find it says nothing of their training."""
EASY = ("web", "notebook", "answers-only")
"""Every setting puts these three last, as it should: what settings differ in are the others.

Seen after the fact, so what is said of the other seven describes and decides nothing.
"""
CLEAR = 0.05
"""Target accuracies further apart than this are a clear pair: one target seed moves them less."""
DRAWS, SEED, ENDS = 10_000, 0, (0.05, 0.95)

Array = NDArray[np.float64]


class Failures(SilentWatch):
    """A watch that says one thing: what failed."""

    def event(self, event: Event) -> None:
        if event.kind == "failed":
            print(event.job, event.fields, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", type=Path, default=ROOT / ".dataselect" / "recipes")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="such as " + DEFAULT.name)
    arguments = parser.parse_args()
    chosen = [s for s in SETTINGS if arguments.only is None or s.name in arguments.only]
    torch.set_num_threads(1)

    manifest = load_manifest(MANIFEST)
    truth = pd.Series(read_target_accuracy(TRUTH))
    quickstart = load_plan("quickstart", manifest.base)
    screen = quickstart.screen.model_copy(update={"accuracy": False})
    plan = quickstart.model_copy(update={"screen": screen, "predict": None})
    # The smallest batch wastes the fewest tokens, so its streams are long enough for all.
    most = _with(plan, Setting(LADDER_RATE, 1, 1), 0)
    experiment = prepare(
        manifest, most, Runtime(Store(arguments.store), InlineCompute(), "cpu", Failures())
    )
    runs: dict[Setting, list[dict[str, Any]]] = {setting: [] for setting in chosen}
    for seed in range(max(setting.seeds for setting in chosen)):
        for setting in (each for each in chosen if seed < each.seeds):
            began = time.monotonic()
            runs[setting].append(_run(experiment, plan, setting, seed))
            print(f"seed {seed}  {setting.name}  {time.monotonic() - began:.0f} s", flush=True)

    rows = {setting: _summary(runs[setting], truth) for setting in chosen}
    results: dict[str, Any] = {
        "command": COMMAND,
        "hardware": processor_name(),
        "threads": torch.get_num_threads(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "default": DEFAULT.name,
        "target_accuracy": truth.to_dict(),
        "settings": {s.name: {**asdict(s), **rows[s], "runs": runs[s]} for s in chosen},
    }
    if DEFAULT in chosen:
        results["comparisons"] = _comparisons(runs, truth)
    if len(chosen) > 2:
        results["loss_and_agreement"] = _loss_and_agreement(rows)
    if arguments.only is None:
        write_atomic(HERE / "results.json", json.dumps(results, indent=1).encode())
    print(_table(rows, results.get("comparisons", {})))
    print(json.dumps({k: results.get(k) for k in ("comparisons", "loss_and_agreement")}, indent=1))


def _with(plan: Plan, setting: Setting, seed: int) -> Plan:
    changes = {
        "learning_rate": setting.rate,
        "embedding_learning_rate": setting.rate * setting.times,
        "batch_size": setting.batch,
        "seed": seed,
    }
    assert plan.screen.proxy is not None, "the quickstart trains its proxies here"
    proxy = plan.screen.proxy.model_copy(update=changes)
    screen = plan.screen.model_copy(update={"proxy": proxy})
    return plan.model_copy(update={"screen": screen})


def _run(whole: Experiment, plan: Plan, setting: Setting, seed: int) -> dict[str, Any]:
    """Train and score all candidates; losses and mean scores by candidate."""
    own = _with(plan, setting, seed)
    assert whole.tokenizer is not None, "prepared where anything is trained"
    recipes = make_recipes(own, whole.tokenizer.vocab_size, whole.runtime.device)
    experiment = replace(whole, plan=own, recipes=recipes)
    names = [candidate.id for candidate in whole.manifest.candidates]
    scores = run_stage(experiment, StageName.SCREEN, own.screen, names)
    missing = {name: status for name, status in scores.status.items() if status != "scored"}
    if "failed" in missing.values():
        raise SystemExit(f"{setting.name}: {scores.reasons}")
    facts = {}
    for name in scores.scored:
        proxy = find_proxy(whole.store, experiment.request(StageName.SCREEN, name))
        assert proxy is not None, "it was scored a line ago"
        facts[name] = proxy.facts
    recipe = recipes[StageName.SCREEN]
    return {
        "seed": seed,
        "steps": recipe.steps,
        "tokens": recipe.tokens,
        "diverged": list(missing),
        "final_loss": {name: fact["final_loss"] for name, fact in facts.items()},
        "cpu_seconds": {name: round(fact["cpu_seconds"], 2) for name, fact in facts.items()},
        "scores": {
            metric: {b: t.mean().to_dict() for b, t in scores.table(metric).items()}
            for metric in METRICS
        },
    }


def _ranked(runs: Sequence[Mapping[str, Any]], metric: str) -> pd.Series:
    """The aggregate over both benchmarks that a ranking is made from, of scores averaged."""
    tables = [pd.DataFrame(run["scores"][metric]) for run in runs]
    return aggregate(sum(tables[1:], tables[0]) / len(tables))


def _summary(runs: Sequence[Mapping[str, Any]], truth: pd.Series) -> dict[str, Any]:
    """What the table says of a setting; without agreement where a candidate diverged."""
    learnt = [name for name in truth.index if name not in OFF_DISTRIBUTION]
    label = [_mean_scores(run, "label_nll") for run in runs]
    summary: dict[str, Any] = {
        "steps": runs[0]["steps"],
        "diverged": sum(len(run["diverged"]) for run in runs),
        "final_loss": [float(np.mean(list(run["final_loss"].values()))) for run in runs],
        "label_loss": [float(series.reindex(learnt).mean()) for series in label],
        "cpu_seconds": float(np.mean([np.mean(list(run["cpu_seconds"].values())) for run in runs])),
    }
    if summary["diverged"]:
        return summary
    clear = np.abs(truth.to_numpy()[:, None] - truth.to_numpy()[None, :]) > CLEAR
    close = np.flatnonzero(~truth.index.isin(EASY))
    above = np.triu_indices(len(close), 1)
    for metric in METRICS:
        each = [decision_accuracy(_ranked([run], metric), truth) for run in runs]
        accuracies = [agreement.decision_accuracy for agreement in each]
        right = np.mean([_right(_ranked([run], metric), truth) for run in runs], axis=0)
        summary[metric] = {
            "decision_accuracy": _spread(accuracies),
            "kendall_tau": _spread([agreement.kendall_tau for agreement in each]),
            "clear_pairs_only": float(right[clear].mean()),
            "close_seven_only": float(right[np.ix_(close, close)][above].mean()),
            "noise": _noise([_mean_scores(run, metric).loc[truth.index[close]] for run in runs]),
            "scores_averaged": decision_accuracy(_ranked(runs, metric), truth).decision_accuracy,
            "seeds_agree": _seeds_agree([_ranked([run], metric) for run in runs]),
        }
    return summary


def _mean_scores(run: Mapping[str, Any], metric: str) -> pd.Series:
    """Mean over the benchmarks, nats per token, by candidate."""
    return pd.DataFrame(run["scores"][metric]).mean(axis=1)


def _noise(seeds: Sequence[pd.Series]) -> dict[str, float] | None:
    """Standard deviations over candidates and over seeds, nats per token.

    What a seed does to all candidates alike is taken out: no ranking sees it.
    """
    if len(seeds) < 2:
        return None
    table = pd.DataFrame(list(seeds))
    table = table.sub(table.mean(axis=1), axis=0)
    over_seeds = float(np.sqrt(table.var(axis=0, ddof=1).mean()))
    return {"over_candidates": float(table.mean().std()), "over_seeds": over_seeds}


def _spread(values: Sequence[float]) -> dict[str, Any]:
    spread = {"mean": float(np.mean(values)), "min": min(values), "max": max(values)}
    return {**spread, "by_seed": list(values)}


def _seeds_agree(rankings: Sequence[pd.Series]) -> float | None:
    """Share of candidate pairs that two seeds put in the same order, over all pairs of seeds."""
    above = np.triu_indices(len(rankings[0]), 1)
    pairs = [_right(a, -b)[above].mean() for a, b in combinations(rankings, 2)]
    return float(np.mean(pairs)) if pairs else None


def _right(scores: pd.Series, truth: pd.Series) -> Array:
    """For each pair of candidates 1 where the scores have it right, 0 where not, ties one half."""
    x, y = -scores.loc[truth.index].to_numpy(), truth.to_numpy()
    signs = np.sign(x[:, None] - x[None, :]) * np.sign(y[:, None] - y[None, :])
    return np.asarray((1 + signs) / 2, dtype=np.float64)


def _comparisons(
    runs: Mapping[Setting, Sequence[Mapping[str, Any]]], truth: pd.Series
) -> dict[str, Any]:
    """Differences in decision accuracy, of each setting and of families of them, by rBridge.

    A draw takes candidates with replacement, the same for both sides, and seeds likewise, apart
    for each setting. Families pool settings that differ in one thing from their counterparts.
    """
    whole = {s: r for s, r in runs.items() if not any(run["diverged"] for run in r)}
    groups = {s.name: [(s, DEFAULT)] for s in whole if s != DEFAULT}
    for times in sorted({s.times for s in whole if s.batch == RULE_BATCH} - {1}):
        groups[f"embeddings x{times:g}, same matrices"] = [
            (s, replace(s, times=1)) for s in whole if s.times == times and s.batch == RULE_BATCH
        ]
    for batch in sorted({s.batch for s in whole} - {RULE_BATCH}):
        groups[f"batch {batch}, same rates"] = [
            (s, replace(s, batch=RULE_BATCH)) for s in whole if s.batch == batch
        ]
    found = {}
    for name, pairs in groups.items():
        kept = [(a, b) for a, b in pairs if a in whole and b in whole]
        if kept:
            found[name] = {
                metric: _difference(whole, kept, truth, metric) for metric in METRICS
            } | {"settings": len(kept)}
    return found


def _difference(
    runs: Mapping[Setting, Sequence[Mapping[str, Any]]],
    pairs: Sequence[tuple[Setting, Setting]],
    truth: pd.Series,
    metric: str,
) -> dict[str, float]:
    rng = np.random.default_rng(SEED)
    count = len(truth)
    counts = rng.multinomial(count, np.full(count, 1 / count), size=DRAWS).astype(np.float64)
    compared = (truth.to_numpy()[:, None] != truth.to_numpy()[None, :]).astype(np.float64)
    right = {
        setting: np.array([_right(_ranked([run], metric), truth) for run in runs[setting]])
        for setting in {s for pair in pairs for s in pair}
    }
    weights = {
        setting: rng.multinomial(len(each), np.full(len(each), 1 / len(each)), size=DRAWS)
        / len(each)
        for setting, each in right.items()
    }
    observed, drawn = 0.0, np.zeros(DRAWS)
    totals = np.einsum("di,ij,dj->d", counts, compared, counts)
    kept = totals > 0
    for better, base in pairs:
        gain = (right[better].mean(0) - right[base].mean(0)) * compared
        observed += gain.sum() / compared.sum() / len(pairs)
        for setting, sign in ((better, 1), (base, -1)):
            by_seed = [
                np.einsum("di,ij,dj->d", counts, r * compared, counts) for r in right[setting]
            ]
            drawn += sign * (np.array(by_seed).T * weights[setting]).sum(1) / len(pairs)
    low, high = np.quantile(drawn[kept] / totals[kept], ENDS)
    return {"difference": float(observed), "low": float(low), "high": float(high)}


def _loss_and_agreement(rows: Mapping[Setting, Mapping[str, Any]]) -> dict[str, Any]:
    """Rank correlation of each loss with decision accuracy over settings, all at the first seed.

    -1 would mean that the lowest loss ranks best.
    """
    whole = [row for row in rows.values() if not row["diverged"]]
    return {
        loss: {
            metric: float(
                spearmanr(
                    [row[loss][0] for row in whole],
                    [row[metric]["decision_accuracy"]["by_seed"][0] for row in whole],
                ).statistic
            )
            for metric in METRICS
        }
        for loss in ("final_loss", "label_loss")
    }


def _table(rows: Mapping[Setting, Mapping[str, Any]], comparisons: Mapping[str, Any]) -> str:
    lines = [
        "| matrices | embeddings | tokens a step | steps | training loss | label NLL "
        "| rBridge | R^φ | label | rBridge, scores averaged | minus default | seeds agree |",
        "| --: | --: | --: | --: | --: | --: | :-- | --: | --: | --: | :-- | --: |",
    ]
    for setting, row in rows.items():
        cells = [
            f"{setting.rate:.1e}",
            f"{setting.rate * setting.times:.1e}",
            f"{setting.batch * 128:,}",
            f"{row['steps']}",
            ", ".join(f"{loss:.3f}" for loss in row["final_loss"]),
            ", ".join(f"{loss:.3f}" for loss in row["label_loss"]),
        ]
        if row["diverged"]:
            cells += [f"{row['diverged']} diverged", "", "", "", "", ""]
        else:
            best = row["rbridge"]
            spread = best["decision_accuracy"]
            gain = comparisons.get(setting.name, {}).get("rbridge")
            agree = best["seeds_agree"]
            cells += [
                ", ".join(f"{value:.2f}" for value in spread["by_seed"]),
                f"{row['trace_nll']['decision_accuracy']['mean']:.2f}",
                f"{row['label_nll']['decision_accuracy']['mean']:.2f}",
                f"{best['scores_averaged']:.2f}",
                f"{gain['difference']:+.2f} [{gain['low']:+.2f}, {gain['high']:+.2f}]"
                if gain
                else "",
                "" if agree is None else f"{agree:.2f}",
            ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
