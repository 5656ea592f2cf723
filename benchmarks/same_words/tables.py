"""Score the proxies' checkpoints in every way, and compare with the targets.

    python benchmarks/same_words/tables.py [--store DIR]

After `study.py`. Writes `results.json`, `RESULTS.md` and the manifest's
`candidates/same-words/target_accuracy.csv`; takes what is trained already, all of it or a part.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import transformers
from counting import Counting
from numpy.typing import NDArray
from study import HERE, MANIFESTS, ROOT, SIZES, STORE, Run, prepared, runs
from token_scores import Questions, measure_tokens, questions

from dataselect.compute.machine import processor_name
from dataselect.cost import training_flops
from dataselect.decisions.agreement import accuracy_difference, decision_accuracy
from dataselect.decisions.bootstrap import Bootstrap
from dataselect.decisions.noise_ceiling import noise_ceiling
from dataselect.proxies.make import checkpoint_name, find_proxy
from dataselect.report.markdown import table
from dataselect.scoring.rbridge import rbridge
from dataselect.stages.experiment import Experiment
from dataselect.store import write_atomic
from dataselect.units import format_count, format_flops

Losses = Mapping[str, Sequence[NDArray[np.float32]]]
STUDY = "python benchmarks/same_words/study.py"
DRAWS, CONFIDENCE = 10_000, 0.9
BOOTSTRAP = Bootstrap(DRAWS, 0, CONFIDENCE)
GROUPS: Mapping[str, tuple[str, ...]] = {
    "likelihood": ("rbridge", "trace_nll", "label_nll"),
    "parts of the trace": ("numbers", "operands", "results", "words"),
    "contrasts": (
        "contrast_numbers",
        "contrast_results",
        "contrast_order",
        "contrast_question",
        "contrast_all",
    ),
    "answers": ("accuracy", "ted"),
    "counting": tuple(
        f"ngram{order}_{score}" for order in range(1, 6) for score in ("trace_nll", "rbridge")
    ),
}
SHOWN = (
    *("rbridge", "trace_nll", "numbers", "results", "contrast_results"),
    *("contrast_order", "ngram1_trace_nll", "ngram5_trace_nll"),
)
"""Scores that are shown for each candidate."""
METRICS = [metric for group in GROUPS.values() for metric in group]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", type=Path, default=STORE)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    measured = json.loads((arguments.store / "measured.json").read_bytes())
    results: dict[str, Any] = {
        "commands": [
            f"{STUDY} targets",
            f"{STUDY} proxies",
            f"{STUDY} targets --held-out",
            f"{STUDY} proxies --held-out",
            "python benchmarks/same_words/tables.py",
        ],
        "hardware": processor_name(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "target": _described(measured, "target"),
    }
    together: dict[str, list[list[pd.DataFrame]]] = defaultdict(list)
    for which in MANIFESTS:
        results[which], tables = _compared(which, measured, arguments.store)
        for size, of_size in tables.items():
            together[size].append(of_size)
    results["together"] = _together(results, together)
    write_atomic(HERE / "results.json", (json.dumps(results, indent=1) + "\n").encode())
    truth = pd.DataFrame(results["candidates"]["target_accuracy"]).T
    accuracy = truth.mean(axis=1).rename("stories-tiny").rename_axis("id")
    (ROOT / "candidates/same-words").mkdir(exist_ok=True)
    accuracy.to_csv(ROOT / "candidates/same-words/target_accuracy.csv", float_format="%.4f")
    text = "\n\n".join(_report(results))
    write_atomic(HERE / "RESULTS.md", (text + "\n").encode())
    print(text)


def _together(
    results: Mapping[str, Any], tables: Mapping[str, list[list[pd.DataFrame]]]
) -> dict[str, Any]:
    """Agreement over the candidates of all manifests."""
    accuracy: dict[str, Any] = {}
    for which in MANIFESTS:
        accuracy |= results[which]["target_accuracy"]
    target = pd.DataFrame(accuracy).T
    ceiling = noise_ceiling(target.to_numpy())
    sizes = {}
    for size, of_size in tables.items():
        if len(of_size) == len(MANIFESTS):
            joined = [pd.concat(of_seed) for of_seed in zip(*of_size, strict=True)]
            described = results["candidates"]["sizes"][size]
            keep = ("parameters", "tokens", "training_flops")
            sizes[size] = {key: described[key] for key in keep} | _agreement(
                joined, target.mean(axis=1)
            )
    return {
        "target_accuracy": accuracy,
        "noise_ceiling": None if ceiling is None else vars(ceiling),
        "sizes": sizes,
    }


def _compared(
    which: str, measured: Mapping[str, Any], store: Path
) -> tuple[dict[str, Any], dict[str, list[pd.DataFrame]]]:
    """Truth and agreement of one manifest's candidates, and their scores by size and seed."""
    experiment = prepared(which, store)
    names = [candidate.id for candidate in experiment.manifest.candidates]
    truth = _truth(measured, names)
    sizes: dict[str, Any] = {}
    by_size: dict[str, list[pd.DataFrame]] = {}
    # Last the targets' own scores: what the metrics are worth once a model has learnt.
    for size in (*SIZES, "target") if len(truth) == len(names) else ():
        tables = _tables(experiment, size, measured, store)
        if tables:
            by_size[size] = tables
            sizes[size] = _described(measured, size) | _agreement(tables, truth.mean(axis=1))
    ceiling = noise_ceiling(truth.to_numpy())
    found = {
        "target_accuracy": truth.to_dict("index"),
        "noise_ceiling": None if ceiling is None else vars(ceiling),
        "sizes": sizes,
    }
    return found, by_size


def _truth(measured: Mapping[str, Any], names: Sequence[str]) -> pd.DataFrame:
    """Accuracy of the targets, candidates x seeds."""
    rows: dict[str, dict[str, float]] = defaultdict(dict)
    for name, each in measured.items():
        size, seed, candidate = name.split("/")
        if size == "target" and candidate in names:
            rows[f"seed {seed}"][candidate] = each["accuracy"]
    return pd.DataFrame(rows)


def _described(measured: Mapping[str, Any], size: str) -> dict[str, Any]:
    of_size = [each for name, each in measured.items() if name.startswith(f"{size}/")]
    first = of_size[0]
    return {
        "parameters": first["parameters"],
        "tokens": first["tokens"],
        "training_flops": training_flops(first["parameters"], first["tokens"]),
        "cpu_seconds": float(np.mean([each["cpu_seconds"] for each in of_size])),
        "models": len(of_size),
    }


def _tables(
    experiment: Experiment, size: str, measured: Mapping[str, Any], store: Path
) -> list[pd.DataFrame]:
    """For each seed the scores of the candidates, candidates x metrics, lower is better."""
    by_seed: dict[int, dict[str, dict[str, float]]] = defaultdict(dict)
    (evaluation,) = experiment.evaluations.values()
    assert experiment.tokenizer is not None, "prepared where anything is trained"
    asked = questions(evaluation, experiment.tokenizer.folder)
    counting = Counting(experiment, asked.items, store / "counted")
    of_size = [run for run in runs(experiment, [size], 10) if run.name in measured]
    for run in of_size:
        losses = measure_tokens(_checkpoint(experiment, run), asked, store / "tokens" / run.name)
        by_seed[run.seed][run.candidate] = {
            **token_means(losses, asked),
            "accuracy": -measured[run.name]["accuracy"],
            "ted": measured[run.name]["ted"],
            # The targets' text is counted in part: more of it changes nothing.
            **counting.scores(run.candidate, min(run.request.recipe.tokens, 400_000), run.seed),
        }
    names = [candidate.id for candidate in experiment.manifest.candidates]
    return [pd.DataFrame(each).T.loc[names] for each in by_seed.values() if len(each) == len(names)]


def _checkpoint(experiment: Experiment, run: Run) -> Path:
    proxy = find_proxy(experiment.store, run.request)
    assert proxy is not None, f"{run.name} was measured, and has gone from the store"
    return proxy.artifact.path / checkpoint_name(run.request.recipe.steps)


def token_means(losses: Losses, asked: Questions) -> dict[str, float]:
    """Means over the items, in nats per token."""
    kinds = [np.array(_kinds(pieces)) for pieces in asked.pieces]

    def mean_of(kind: Iterable[str]) -> float:
        wanted = set(kind)
        each = zip(losses["trace"], kinds, strict=True)
        return float(np.mean([nll[np.isin(of, list(wanted))].mean() for nll, of in each]))

    items = zip(losses["trace"], asked.items, strict=True)
    own = np.array([nll.mean() for nll in losses["trace"]])
    scores = {
        "rbridge": float(np.mean([rbridge(nll, item.token_weights) for nll, item in items])),
        "trace_nll": float(own.mean()),
        "label_nll": float(np.mean([nll.mean() for nll in losses["label"]])),
        "numbers": mean_of({"operand", "result"}),
        "operands": mean_of({"operand"}),
        "results": mean_of({"result"}),
        "words": mean_of({"word"}),
    }
    contrasts = {
        f"contrast_{name}": float(np.mean(own - [nll.mean() for nll in losses[name]]))
        for name in asked.altered
    }
    together = ("numbers", "order", "question")
    contrasts["contrast_all"] = float(np.mean([contrasts[f"contrast_{name}"] for name in together]))
    return scores | contrasts


def _kinds(pieces: Sequence[str]) -> list[str]:
    """What each token of a trace is: an operand, a result or a word."""
    kinds: list[str] = []
    for place, piece in enumerate(pieces):
        if not piece.strip().isdigit():
            kinds.append("word")
        else:
            before = pieces[place - 1].strip() if place else ""
            kinds.append("result" if before == "=" else "operand")
    return kinds


def _agreement(tables: list[pd.DataFrame], target: pd.Series) -> dict[str, Any]:
    mean = sum(tables[1:], tables[0]) / len(tables)
    metrics = {}
    for metric in METRICS:
        pooled = decision_accuracy(mean[metric], target, bootstrap=BOOTSTRAP)
        first = str(mean[metric].idxmin())
        over = accuracy_difference(mean[metric], mean["trace_nll"], target, bootstrap=BOOTSTRAP)
        metrics[metric] = {
            "by_seed": [decision_accuracy(t[metric], target).decision_accuracy for t in tables],
            "decision_accuracy": pooled.decision_accuracy,
            "interval": pooled.decision_accuracy_interval,
            "less_trace_nll": over.difference,
            "less_trace_nll_interval": over.interval,
            "first": first,
            "regret": float(target.max() - target[first]),
            "regret_by_seed": [
                float(target.max() - target[str(t[metric].idxmin())]) for t in tables
            ],
        }
    return {
        "metrics": metrics,
        "scores": mean.to_dict("index"),
        "sd_of_seeds": pd.concat(tables).groupby(level=0).std().mean().to_dict(),
    }


def _report(results: Mapping[str, Any]) -> list[str]:
    target = results["target"]
    parts = [
        "# Same words, other truth: results",
        "Written by `python benchmarks/same_words/tables.py` from what `study.py` trained, on "
        f"{results['hardware']}, one thread. Target: {_size(target)}, "
        f"{format_flops(target['training_flops'])}. Decision accuracy with the scores averaged "
        "over the seeds, [90% interval over candidates] and (each seed).",
    ]
    for which in ("together", *MANIFESTS):
        if results[which]["sizes"]:
            parts += _section(which, results[which], target)
    return parts


def _section(which: str, results: Mapping[str, Any], target: Mapping[str, Any]) -> list[str]:
    sizes, ceiling = results["sizes"], results["noise_ceiling"]
    heads = [
        f"{_size(each)}, 1/{target['training_flops'] / each['training_flops']:.0f}"
        for each in sizes.values()
    ]
    rows = [
        [metric, *(_cell(each["metrics"][metric]) for each in sizes.values())] for metric in METRICS
    ]
    accuracy = pd.DataFrame(results["target_accuracy"]).T
    last = pd.DataFrame(list(sizes.values())[-2]["scores"]).T
    columns = list(SHOWN)
    by_candidate = [
        [
            f"`{name}`",
            f"{accuracy.loc[name].mean() * 100:.1f}",
            " ".join(f"{value * 100:.0f}" for value in accuracy.loc[name]),
            *(f"{last.loc[name, column]:.3f}" for column in columns),
        ]
        for name in accuracy.mean(axis=1).sort_values(ascending=False).index
    ]
    noise = (
        f"Seeds of a target: standard deviation {ceiling['sd'] * 100:.1f} points; the most that a "
        f"score could reach against their means is about {ceiling['of_means']:.2f}, one seed "
        f"against the mean of the others reaches {ceiling['one_seed']:.2f}."
    )
    return [
        f"## {which.capitalize()}",
        *([noise] if ceiling else []),
        table(["score", *heads], rows),
        table(["candidate", "target, %", "by seed", *columns], by_candidate),
        f"Scores of the proxies of {heads[-2]} of the target's FLOPs, in nats per token.",
    ]


def _size(each: Mapping[str, Any]) -> str:
    return f"{format_count(each['parameters'])} x {format_count(each['tokens'])}"


def _cell(metric: Mapping[str, Any]) -> str:
    low, high = metric["interval"]
    seeds = " ".join(f"{each:.2f}" for each in metric["by_seed"])
    return f"{metric['decision_accuracy']:.2f} [{low:.2f}, {high:.2f}] ({seeds})"


if __name__ == "__main__":
    main()
