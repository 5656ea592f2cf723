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
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console

from dataselect.compute import LocalProcesses
from dataselect.compute.cores import available_cores
from dataselect.cost import training_flops
from dataselect.desk.world import documents
from dataselect.manifest import load_manifest
from dataselect.mixture_search.course import rounded
from dataselect.mixture_search.search import Found, search
from dataselect.pipeline import prepare
from dataselect.plan import Plan
from dataselect.proxies.make import processor_name
from dataselect.report.live import LiveWatch
from dataselect.stage import StageScores, run_stage
from dataselect.store import Store, write_atomic

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
COMMAND = "python benchmarks/mixture/desk_search.py"
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
CONFIRMED = 3
"""Seeds of targets of the proposals, the best random mixture and the best single source."""


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

        def targets(mixtures: Mapping[str, tuple[float, ...]], seeds: int) -> StageScores:
            path = write_manifest(folder, mixtures, seeds)
            manifest = load_manifest(path)
            plan = manifest.document_at(Plan, "plan")
            experiment = prepare(manifest, plan, store, compute, "cpu", watch)
            return run_stage(experiment, "stage1", plan.screen, list(mixtures))

        first = targets(others, 1)
        if arguments.only == "targets":
            return


def opponents() -> dict[str, tuple[float, ...]]:
    """The mixtures that a proposal has to beat, by name."""
    available = np.array(list(SOURCES.values()))
    caps = np.minimum(1, REPETITION * available / TARGET_TOKENS)
    rng = np.random.default_rng(SEED)
    drawn: list[tuple[float, ...]] = []
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


def write_manifest(folder: Path, mixtures: Mapping[str, tuple[float, ...]], seeds: int) -> Path:
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
    training = {
        "sequence_length": 128,
        "batch_size": 8,
    }
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
            "tokenizer": {"train": {"vocab_size": 1024, "split_digits": False, "characters": "3M"}},
            "max_repeats": 100,  # single sources are repeated as often as it takes
            "benchmarks": benchmarks,
            "screen": {
                "proxy": target | training,
                "seeds": seeds,
                "keep": 2,
                "accuracy": True,
            },
            "mix": {
                "sources": list(SOURCES),
                "trials": TRIALS,
                "constraints": "limits.yaml",
                "proxy": tiny | training,
            },
        },
    }
    path = folder / "manifest.yaml"
    write_atomic(path, yaml.safe_dump(manifest, sort_keys=False).encode())
    return path


if __name__ == "__main__":
    main()
