"""Is a searched mixture better at the target than random ones? Targets are really trained.

    python benchmarks/mixture/desk_search.py [--folder DIR] [--jobs N] [--only targets]

Five sources of the quickstart's world, each with a fixed amount of text; the target may read none
of it more than four times. On one side 20 mixtures drawn evenly from all that is allowed, each
source alone (repeated as often as it takes, which the limit forbids), and the natural mixture. On
the other what `dataselect mix` proposes from 40 trials of tiny proxies. All of them become targets
of 1.67M parameters and 3M tokens, whose answers are generated and graded.

The draws, the limits and the number of seeds were fixed before anything was trained. Several hours;
interrupted, it goes on where it was. Writes `desk_search.json` here.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from rich.console import Console
from scipy import stats

from dataselect.compute import LocalProcesses
from dataselect.compute.cores import available_cores
from dataselect.compute.machine import processor_name
from dataselect.config.manifest import load_manifest
from dataselect.config.plan import Plan
from dataselect.cost import training_flops
from dataselect.mixture.trial import rounded
from dataselect.mixture_search.search import Found, search
from dataselect.report.live import LiveWatch
from dataselect.stages.prepare import gather_inputs, prepare
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.runtime import Runtime
from dataselect.stages.scores import StageScores
from dataselect.stages.stage import run_stage
from dataselect.store import Store, write_atomic
from dataselect.synthetic.world import documents

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
COMMAND = "python benchmarks/mixture/desk_search.py"
Weights = tuple[float, ...]
SOURCES = {"worked": 600_000, "notes": 600_000, "answers": 1_000_000, "drills": 300_000,
           "narrative": 2_000_000}  # fmt: skip
"""Tokens of each source, about: what is best is scarce, as it is on the web."""
CHARACTERS = {"worked": 3.70, "notes": 3.50, "answers": 3.94, "drills": 2.04, "narrative": 4.03}
"""In a token of each source, by a tokenizer like the one that is trained here."""
ROOM = 1.03
"""Text written beyond that, so that no limit is passed by the error of those figures."""
TARGET_TOKENS, REPETITION = 3_000_000, 4
TRIALS, PROXY_TOKENS = 40, 500_000
RANDOM, SEED = 20, 0
_TRAINING = {"sequence_length": 128, "batch_size": 8}
SEARCHES: dict[str, dict[str, Any]] = {
    "uncut": {"target_epochs": False},
    "search": {"target_epochs": True},
    "uncut-larger-proxy": {
        "target_epochs": False,
        "trials": 24,
        "confirm": 0,
        "proxy": {
            "architecture": {"hidden_size": 128, "layers": 4, "heads": 4, "intermediate_size": 256},
            "tokens": 750_000,
            "learning_rate": "2e-3",
            "embedding_learning_rate": "6e-3",
            "precision": "bf16",
            **_TRAINING,
        },
    },
    "search-2": {"target_epochs": True, "confirm": 0, "seed": 1},
    "uncut-2": {"target_epochs": False, "confirm": 0, "seed": 1},
    "target-tokens": {
        "target_epochs": False,
        "trials": 24,
        "confirm": 0,
        "proxy": {
            "architecture": {"hidden_size": 64, "layers": 3, "heads": 2, "intermediate_size": 128},
            "tokens": TARGET_TOKENS,
            "learning_rate": "3e-3",
            "embedding_learning_rate": "1e-2",
            **_TRAINING,
        },
    },
    "search-3": {"target_epochs": True, "confirm": 0, "seed": 2},
    "uncut-3": {"target_epochs": False, "confirm": 0, "seed": 2},
}
"""What each search adds to the plan's `mix:`; `seed` is the plan's, of all draws. The third was
added when the opponents' results and the first two proposals were known, those after it when all
results of the first three were. The proxy of `target-tokens` is that of the quickstart's Stage 2:
it reads as many tokens as the target, and so repeats them as often."""
CONFIRMED = 2
"""Seeds of targets of the proposals, the best random mixtures and the best single source."""
AGAIN = {"random-": 3, "only-": 1}
"""How many of the best of a kind get those seeds: the best of 20 by one seed was also lucky."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=ROOT / ".dataselect" / "desk-search")
    parser.add_argument("--jobs", type=int, default=available_cores())
    parser.add_argument("--only", choices=("targets",))
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(folder / "store")
    write_texts(folder)
    write_constraints(folder)
    others = opponents()
    with LocalProcesses(arguments.jobs, 1) as compute, LiveWatch(Console()) as watch:

        def targets(mixtures: Mapping[str, Weights], seeds: int) -> StageScores:
            path = write_manifest(folder, mixtures, seeds)
            manifest = load_manifest(path)
            plan = manifest.document_at(Plan, "plan")
            experiment = prepare(manifest, plan, Runtime(store, compute, "cpu", watch))
            return run_stage(experiment, StageName.SCREEN, plan.screen, list(mixtures))

        trained = targets(others, 1)
        first = accuracies(trained)
        if arguments.only == "targets":
            return
        found = {
            name: find(folder, others, option, store, compute, watch)
            for name, option in SEARCHES.items()
        }
        proposals = {name: rounded(each.proposal.shares) for name, each in found.items()}
        again = {name: others[name] for name in best_of(first)}
        repeated = targets(proposals | again, CONFIRMED)
    results = {
        "command": COMMAND,
        "hardware": processor_name(),
        "sources": {name: {"tokens": tokens} for name, tokens in SOURCES.items()},
        "target": training_of(repeated),
        "opponents": described(others, first),
        "spearman_of_targets_own_score": own_ranking(trained),
        "again": described(proposals | again, accuracies(repeated)),
        "searches": {name: outcome(each, others, first) for name, each in found.items()},
    }
    text = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
    write_atomic(HERE / "desk_search.json", text.encode())
    print(summary(results))


def find(
    folder: Path,
    mixtures: Mapping[str, Weights],
    option: Mapping[str, Any],
    store: Store,
    compute: LocalProcesses,
    watch: LiveWatch,
) -> Found:
    """What a search with these keys of `mix:` proposes."""
    path = write_manifest(folder, mixtures, 1, option)
    manifest = load_manifest(path)
    plan = manifest.document_at(Plan, "plan")
    return search(gather_inputs(manifest, plan, Runtime(store, compute, "cpu", watch)))


def accuracies(scores: StageScores) -> dict[str, list[float]]:
    """By mixture, the mean accuracy over the benchmarks of each seed's target."""
    means = pd.concat([runs["accuracy"] for runs in scores.runs.values()], axis=1).mean(axis=1)
    by_name = means.groupby(level="candidate")
    return {str(name): of_name.sort_index().tolist() for name, of_name in by_name}


def own_ranking(scores: StageScores) -> dict[str, dict[str, float]]:
    """How well the targets' own likelihoods order their accuracies: what no proxy can do better."""
    found = {}
    accuracy = pd.concat([runs["accuracy"] for runs in scores.runs.values()], axis=1).mean(axis=1)
    random = accuracy.index.get_level_values("candidate").str.startswith("random-")
    for metric in ("rbridge", "trace_nll", "label_nll"):
        columns = pd.concat([runs[metric] for runs in scores.runs.values()], axis=1)
        score = ((columns - columns.mean()) / columns.std()).mean(axis=1)
        found[metric] = {
            "all": float(-stats.spearmanr(score, accuracy).statistic),
            "random": float(-stats.spearmanr(score[random], accuracy[random]).statistic),
        }
    return found


def best_of(first: Mapping[str, list[float]]) -> list[str]:
    """The best random mixtures and the best single source."""
    order = sorted(first, key=lambda name: -first[name][0])
    kinds = ([n for n in order if n.startswith(kind)][:many] for kind, many in AGAIN.items())
    return [name for names in kinds for name in names]


def described(
    mixtures: Mapping[str, Weights], measured: Mapping[str, list[float]]
) -> dict[str, dict[str, Any]]:
    """Weights, epochs and accuracies of mixtures, by name."""
    return {
        name: {
            "weights": dict(zip(SOURCES, weights, strict=True)),
            "most_epochs": max(
                w * TARGET_TOKENS / n for w, n in zip(weights, SOURCES.values(), strict=True)
            ),
            "accuracy": measured[name],
        }
        for name, weights in mixtures.items()
    }


def outcome(
    found: Found, mixtures: Mapping[str, Weights], first: Mapping[str, list[float]]
) -> dict[str, Any]:
    """What a search promised, what it cost, and how well its model orders the targets."""
    predicted = found.model.predict(np.array(list(mixtures.values()))).objective
    accuracy = [first[name][0] for name in mixtures]
    random = [i for i, name in enumerate(mixtures) if name.startswith("random-")]
    measured = found.measured
    return {
        "trials": found.trials,
        "flops": found.flops,
        "trial_seconds": found.trial_seconds,
        "weights": dict(zip(SOURCES, found.proposal.shares.tolist(), strict=True)),
        "low": dict(zip(SOURCES, found.proposal.low.tolist(), strict=True)),
        "high": dict(zip(SOURCES, found.proposal.high.tolist(), strict=True)),
        "gain_over_prior": {
            "predicted": found.proposal.beside["prior"].gain,
            "measured": None if measured is None else measured.objective,
            "half": None if measured is None else measured.objective_half,
        },
        "spearman_with_targets": {
            "all": float(-stats.spearmanr(predicted, accuracy).statistic),
            "random": float(
                -stats.spearmanr(predicted[random], [accuracy[i] for i in random]).statistic
            ),
        },
    }


def training_of(scores: StageScores) -> dict[str, Any]:
    """Size and cost of a target."""
    recipe = scores.recipe
    assert recipe is not None, "targets are trained here"
    flops = training_flops(recipe.parameters, recipe.tokens)
    return {"parameters": recipe.parameters, "tokens": recipe.tokens, "training_flops": flops}


def summary(results: Mapping[str, Any]) -> str:
    """The measured mixtures as a Markdown table, best first."""
    rows = [
        (float(np.mean(each["accuracy"])), name, each)
        for part in ("opponents", "again")
        for name, each in results[part].items()
        if part == "again" or name not in results["again"]
    ]
    lines = [
        f"| mixture | {' | '.join(SOURCES)} | most epochs | accuracy, % |",
        f"|---|{'---|' * len(SOURCES)}---|---|",
    ]
    for mean, name, each in sorted(rows, key=lambda row: -row[0]):
        shares = " | ".join(f"{w:.2f}" for w in each["weights"].values())
        seeds = each["accuracy"]
        listed = f" ({', '.join(f'{100 * a:.1f}' for a in seeds)})" if len(seeds) > 1 else ""
        lines.append(
            f"| {name} | {shares} | {each['most_epochs']:.1f} | {100 * mean:.1f}{listed} |"
        )
    return "\n".join(lines)


def opponents() -> dict[str, Weights]:
    """The mixtures that a proposal has to beat, by name."""
    available = np.array(list(SOURCES.values()))
    caps = np.minimum(1, REPETITION * available / TARGET_TOKENS)
    rng = np.random.default_rng(SEED)
    drawn: list[Weights] = []
    while len(drawn) < RANDOM:
        # Even over all mixtures within the caps: drawn from the simplex, the others thrown away.
        weights = rng.dirichlet(np.ones(len(caps)))
        if (weights <= caps).all():
            drawn.append(rounded(weights))
    found = {f"random-{i + 1:02}": weights for i, weights in enumerate(drawn)}
    found |= {f"only-{name}": rounded(row) for name, row in zip(SOURCES, np.eye(5), strict=True)}
    return found | {"natural": rounded(available / available.sum())}


def write_texts(folder: Path) -> None:
    """Each source as a JSONL file of about as many tokens as `SOURCES` says."""
    for name, tokens in SOURCES.items():
        path = folder / f"{name}.jsonl"
        if path.exists():
            continue
        texts: list[str] = []
        left = ROOM * tokens * CHARACTERS[name]
        for text in documents(name, SEED):
            left -= len(text)
            if left < 0:
                break
            texts.append(json.dumps({"text": text}))
        write_atomic(path, ("\n".join(texts) + "\n").encode())


def write_constraints(folder: Path) -> None:
    """What the target allows: tokens that there are, and how often they may be read."""
    limits = {
        "target_tokens": TARGET_TOKENS,
        "max_repetition": REPETITION,
        "sources": {name: {"tokens": tokens} for name, tokens in SOURCES.items()},
    }
    write_atomic(folder / "limits.yaml", yaml.safe_dump(limits, sort_keys=False).encode())


def write_manifest(
    folder: Path, mixtures: Mapping[str, Weights], seeds: int, mix: Mapping[str, Any] | None = None
) -> Path:
    """A manifest whose candidates are these mixtures and whose plan trains their targets."""
    benchmarks = [
        {
            "id": name,
            "items": str(ROOT / "stages/quickstart" / f"{name}.jsonl"),
            "traces": str(ROOT / "stages/quickstart" / f"{name}.traces.jsonl.gz"),
            "prompt": "Question: {question}\nAnswer: First,",
            "task": "arithmetic",
        }
        for name in ("stories-short", "stories-long")
    ]
    target = {
        "architecture": {"hidden_size": 192, "layers": 4, "heads": 6, "intermediate_size": 384},
        "tokens": TARGET_TOKENS,
        "learning_rate": "2e-3",
        "embedding_learning_rate": "6e-3",
        "precision": "bf16",
    }
    tiny = {
        "architecture": {"hidden_size": 64, "layers": 2, "heads": 2, "intermediate_size": 128},
        "tokens": PROXY_TOKENS,
        "learning_rate": "3e-3",
        "embedding_learning_rate": "1e-2",
    }
    mix = dict(mix or {})
    manifest = {
        "target": {"size": "1.7M", "tokens": TARGET_TOKENS},
        "sources": [
            {"id": name, "path": "json", "data_files": f"{name}.jsonl"} for name in SOURCES
        ],
        "candidates": [
            {"id": name, "mixture": {s: w for s, w in zip(SOURCES, weights, strict=True) if w > 0}}
            for name, weights in mixtures.items()
        ],
        "plan": {
            "seed": mix.pop("seed", 0),
            "tokenizer": {"train": {"vocab_size": 1024, "split_digits": False, "characters": "3M"}},
            "max_repeats": 100,  # single sources are repeated as often as it takes
            "benchmarks": benchmarks,
            "screen": {
                "proxy": target | _TRAINING,
                "seeds": seeds,
                "keep": 2,
                "accuracy": True,
            },
            "mix": {
                "sources": list(SOURCES),
                "trials": TRIALS,
                "constraints": "limits.yaml",
                "proxy": tiny | _TRAINING,
                **mix,
            },
        },
    }
    path = folder / "manifest.yaml"
    write_atomic(path, yaml.safe_dump(manifest, sort_keys=False).encode())
    return path


if __name__ == "__main__":
    main()
